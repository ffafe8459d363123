// SPDX-License-Identifier: Apache-2.0
// The client's end of the control socket: one call at a time, with a timeout.
#pragma once

#include <chrono>
#include <functional>
#include <span>
#include <string>
#include <string_view>

#include "core/varlink.h"
#include "sys/fd.h"

namespace sluice {

class VarlinkClient {
  public:
    // Failure::unreachable when nobody answers at `path`. `timeout` holds for every later wait.
    static Result<VarlinkClient> connect(const std::string& path,
                                         std::chrono::milliseconds timeout);

    // `method` without the interface's name. An error reply comes back as the Error it was.
    Result<Json> call(std::string_view method, const Json& parameters, std::span<const int> fds);
    // Replies in parts, in order.
    Result<> call_more(std::string_view method, const Json& parameters, std::span<const int> fds,
                       const std::function<void(const Json&)>& part);

  private:
    VarlinkClient(Fd fd, std::string path, std::chrono::milliseconds timeout)
        : fd_(std::move(fd)),
          path_(std::move(path)),
          timeout_(timeout),
          splitter_(varlink_max_reply) {}
    Result<> send_call(const VarlinkCall& call, std::span<const int> fds);
    Result<VarlinkReply> next_reply();

    Fd fd_;
    std::string path_;
    std::chrono::milliseconds timeout_;
    MessageSplitter splitter_;
};

}  // namespace sluice

// SPDX-License-Identifier: Apache-2.0
// A server on a loop that turns on a thread of its own, and clients that may say anything to it.
#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <thread>
#include <unistd.h>

#include "support/patience.h"
#include "support/world.h"
#include "sys/event_loop.h"
#include "sys/fd.h"
#include "sys/unix_socket.h"

namespace sluice::testing {

// Runs the loop from here to the end of its scope.
class Turning {
  public:
    explicit Turning(EventLoop& loop)
        : wakeup_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)),
          stopping_(must(loop.io(wakeup_.get(), EPOLLIN,
                                 [&loop](std::uint32_t) { loop.exit(EXIT_SUCCESS); }))),
          thread_([&loop] { must(loop.run()); }) {}
    ~Turning() {
        ::eventfd_write(wakeup_.get(), 1);
        thread_.join();
    }
    Turning(const Turning&) = delete;
    Turning& operator=(const Turning&) = delete;

  private:
    Fd wakeup_;
    EventSource stopping_;
    std::thread thread_;
};

class Client {
  public:
    Client(const std::string& path, UnixKind kind)
        : fd_(must(connect_unix(path, kind, patience))) {}

    int fd() const { return fd_.get(); }

    // True when all of it went, with the descriptors beside its first byte.
    bool say(std::string_view bytes, std::span<const int> descriptors = {}) const {
        while (!bytes.empty()) {
            const auto sent = send(fd_.get(), bytes, descriptors);
            if (!sent || *sent == 0) return false;
            bytes.remove_prefix(*sent);
            descriptors = {};
        }
        return true;
    }
    bool say(std::string_view bytes, std::size_t descriptors, const Fd& of) const {
        return say(bytes, std::vector<int>(descriptors, of.get()));
    }

    // What comes up to the next NUL, without it; nothing when the server hangs up or stays silent.
    std::optional<std::string> hear() {
        for (;;) {
            if (const auto nul = heard_.find('\0'); nul != std::string::npos) {
                std::string message = heard_.substr(0, nul);
                heard_.erase(0, nul + 1);
                return message;
            }
            auto got = receive(fd_.get(), std::size_t{1} << 16U, false);
            if (!got || got->end || got->again) return std::nullopt;
            heard_ += got->bytes;
        }
    }
    // One packet.
    std::string hear_packet() const {
        auto got = receive(fd_.get(), std::size_t{1} << 16U, false);
        if (!got) return "(" + got.error().message() + ")";
        if (got->end) return "(hung up)";
        return got->again ? "(silence)" : got->bytes;
    }

    // The server ends the connection, whatever it says before.
    bool is_hung_up_on() const {
        for (;;) {
            auto got = receive(fd_.get(), std::size_t{1} << 16U, false);
            if (!got || got->end) return true;
            if (got->again) return false;
        }
    }
    void stop_talking() const { ::shutdown(fd_.get(), SHUT_WR); }

  private:
    Fd fd_;
    std::string heard_;
};

}  // namespace sluice::testing

// SPDX-License-Identifier: Apache-2.0
#include "follow/agent_link.h"

namespace sluice {
namespace {

constexpr std::chrono::seconds patience{10};

}  // namespace

Result<Json> AgentLink::call(std::string_view method, const Json& parameters,
                             std::span<const int> fds) {
    if (!client_) {
        auto client = VarlinkClient::connect(control_, patience);
        if (!client) return pass_on(client);
        client_ = std::move(*client);
        ++connections_;
    }
    auto reply = client_->call(method, parameters, fds);
    // An answer that comes too late would be taken for that to the next call.
    const bool answered = reply || reply.error().failure() == Failure::refused ||
                          reply.error().failure() == Failure::invalid;
    if (!answered) client_.reset();
    return reply;
}

}  // namespace sluice

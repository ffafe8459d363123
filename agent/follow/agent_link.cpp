// SPDX-License-Identifier: Apache-2.0
#include "follow/agent_link.h"

namespace sluice {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::chrono::seconds patience{10};
constexpr std::chrono::seconds at_once{1};

// What the agent said to a call, as opposed to what became of the connection.
bool is_answer(const Result<Json>& reply) {
    return reply || reply.error().failure() == Failure::refused ||
           reply.error().failure() == Failure::invalid;
}

}  // namespace

// An agent that has restarted since the last call has closed the connection. All our calls may be
// made twice.
Result<Json> AgentLink::call(std::string_view method, const Json& parameters,
                             std::span<const int> fds) {
    const bool is_old = client_.has_value();
    const auto begun = Clock::now();
    auto reply = call_once(method, parameters, fds);
    if (is_answer(reply) || !is_old || Clock::now() - begun > at_once) return reply;
    return call_once(method, parameters, fds);
}

Result<Json> AgentLink::call_once(std::string_view method, const Json& parameters,
                                  std::span<const int> fds) {
    if (!client_) {
        auto client = VarlinkClient::connect(control_, patience);
        if (!client) return pass_on(client);
        client_ = std::move(*client);
        ++connections_;
    }
    auto reply = client_->call(method, parameters, fds);
    // An answer that comes too late would be taken for that to the next call.
    if (!is_answer(reply)) client_.reset();
    return reply;
}

}  // namespace sluice

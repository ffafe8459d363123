// SPDX-License-Identifier: Apache-2.0
// Tells the agent of sockets that were closed: by the kernel's events, or by looking often where
// there are none, or too many (docs/adr/0007-closed-sockets-are-heard-of-in-quiet-times.md).
#pragma once

#include <array>
#include <memory>
#include <optional>
#include <vector>

#include "core/event_budget.h"
#include "daemon/agent.h"
#include "sluice/abi.h"
#include "sys/event_loop.h"
#include "sys/sock_diag.h"

namespace sluice {

class SocketWatch {
  public:
    // Serves the agent from now on; both must outlive it.
    static Result<std::unique_ptr<SocketWatch>> start(EventLoop& loop, Agent& agent,
                                                      EventLimits limits = {});
    ~SocketWatch();

    bool listening() const { return heard_ != std::array<bool, SLUICE_CLASSES>{}; }

  private:
    SocketWatch(EventLoop& loop, Agent& agent, EventLimits limits);
    Result<> open();
    void follow();
    void hear();
    void read();
    void turn();
    void give_up(const Error& why);

    EventLoop& loop_;
    Agent& agent_;
    EventBudget budget_;
    std::optional<DestroyedSockets> events_;               // nothing where the kernel has none
    std::array<bool, SLUICE_CLASSES> wanted_{}, heard_{};  // by SLUICE_TCP_V4 …
    std::vector<std::uint16_t> ports_;
    EventSource reading_, turning_;
};

}  // namespace sluice

// SPDX-License-Identifier: Apache-2.0
// Waits for grace periods off the loop's thread: they take 8 ms at best, and much longer on a busy
// machine.
#pragma once

#include <memory>
#include <optional>
#include <thread>

#include "daemon/agent.h"
#include "sys/event_loop.h"
#include "sys/fd.h"

namespace sluice {

class GraceWaiter {
  public:
    // Serves the agent's wishes from now on; both must outlive it.
    static Result<std::unique_ptr<GraceWaiter>> start(EventLoop& loop, Agent& agent);
    ~GraceWaiter();

  private:
    GraceWaiter(Agent& agent, Fd wakeup) : agent_(agent), wakeup_(std::move(wakeup)) {}
    void begin();
    void done();
    void put_off(const Error& why);

    Agent& agent_;
    Fd wakeup_;  // eventfd: the thread is done
    EventSource source_;
    std::optional<kernel::Dataplane::Ticket> ticket_;  // set while the thread waits
    Result<> waited_;                                  // the thread's; ours when it has ended
    std::jthread thread_;
};

}  // namespace sluice

// SPDX-License-Identifier: Apache-2.0
// The `register` socket: the one-line dialect over seqpacket (core/register_dialect.h).
#pragma once

#include <chrono>
#include <list>
#include <memory>
#include <span>
#include <string>

#include "core/access.h"
#include "core/result.h"
#include "sys/event_loop.h"
#include "sys/fd.h"

namespace sluice {

class RegistrationHandler {
  public:
    virtual ~RegistrationHandler() = default;
    virtual bool may_pass_descriptors(const Peer& peer) const = 0;
    // All or none. The descriptors are closed when it returns.
    virtual Result<> register_sockets(const std::string& label, std::span<const Fd> descriptors,
                                      const Peer& peer) = 0;
};

class RegisterServer {
  public:
    static Result<std::unique_ptr<RegisterServer>> start(EventLoop& loop, Fd listener,
                                                         RegistrationHandler& handler);
    ~RegisterServer();

  private:
    class Connection;
    using Clock = std::chrono::steady_clock;

    RegisterServer(EventLoop& loop, Fd listener, RegistrationHandler& handler);
    void accept_all();
    void sweep();
    void remove(Connection* connection);

    EventLoop& loop_;
    Fd listener_;
    RegistrationHandler& handler_;
    EventSource accepting_, sweeping_;
    std::list<std::unique_ptr<Connection>> connections_;
};

}  // namespace sluice

// SPDX-License-Identifier: Apache-2.0
// The `control` socket: Varlink over a stream socket, with descriptors (varlink.org).
//
// Whatever a client sends or fails to send costs bounded memory and no other client's time: limits
// on message size, descriptors, connections, time to finish a message and time to read an answer.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <list>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "core/access.h"
#include "core/varlink.h"
#include "core/varlink_interface.h"
#include "sys/event_loop.h"
#include "sys/fd.h"

namespace sluice {

// An answer: one reply, or many when `next` is set: it is called until it gives nothing, and never
// more often than the client reads.
struct VarlinkAnswer {
    Json parameters = Json::object();
    std::function<std::optional<Json>()> next;
};

// Who answers. Descriptors are the server's; they are closed when the call returns.
class CallHandler {
  public:
    virtual ~CallHandler() = default;
    virtual bool may_pass_descriptors(const Peer& peer) const = 0;
    // `parameters` are of the types that the interface file says.
    virtual Result<VarlinkAnswer> call(const VarlinkCall& call, std::span<const Fd> descriptors,
                                       const Peer& peer) = 0;
};

struct ServerLimits {
    std::size_t connections = 256;               // beyond, the one that was idle longest makes room
    std::chrono::seconds unfinished{5};          // to finish a message
    std::chrono::seconds stalled{30};            // to read an answer
    std::size_t output = std::size_t{1} << 20U;  // bytes that wait before more is produced
};

class VarlinkServer {
  public:
    // Serves connections to `listener` from the loop's thread, while it lives.
    static Result<std::unique_ptr<VarlinkServer>> start(EventLoop& loop, Fd listener,
                                                        CallHandler& handler,
                                                        ServerLimits limits = {});
    ~VarlinkServer();

    std::size_t connections() const { return connections_.size(); }

  private:
    class Connection;
    using Clock = std::chrono::steady_clock;

    VarlinkServer(EventLoop& loop, Fd listener, CallHandler& handler, ServerLimits limits,
                  VarlinkInterface interface);
    void accept_all();
    void sweep();
    void make_room();
    void remove(Connection* connection);

    EventLoop& loop_;
    Fd listener_;
    CallHandler& handler_;
    ServerLimits limits_;
    VarlinkInterface interface_;
    EventSource accepting_, sweeping_;
    std::list<std::unique_ptr<Connection>> connections_;
};

}  // namespace sluice

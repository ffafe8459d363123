// SPDX-License-Identifier: Apache-2.0
// The sockets that listen in a network namespace: sock_diag(7). Needs no privileges.
#pragma once

#include <vector>

#include "core/follow.h"
#include "core/result.h"
#include "sys/fd.h"

namespace sluice {

class SocketList {
  public:
    // Of the network namespace that the calling thread is in.
    static Result<SocketList> open();

    // TCP: listeners. UDP: bound and unconnected. Of an MPTCP listener, the TCP socket under it,
    // which has another cookie. A few microseconds, and more with the number of listeners, not with
    // that of connections.
    Result<std::vector<ListedSocket>> list(Protocol protocol, Family family) const;

  private:
    explicit SocketList(Fd netlink) : netlink_(std::move(netlink)) {}
    Fd netlink_;
};

}  // namespace sluice

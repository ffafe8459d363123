// SPDX-License-Identifier: Apache-2.0
// Sockets that the kernel has destroyed, told as it happens: the destroy groups of sock_diag(7).
//
// The kernel tells of every TCP and UDP socket of the namespace, of each connection that ends too.
// A filter on the netlink socket drops what is of no interest before anybody wakes up.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "core/address.h"
#include "core/result.h"
#include "sys/fd.h"

namespace sluice {

class DestroyedSockets {
  public:
    // Hears nothing yet. Of the calling thread's network namespace.
    static Result<DestroyedSockets> open();

    // Sockets of one protocol and family, as they were made: a dual-stack one is of IPv6. Needs
    // CAP_NET_ADMIN.
    Result<> hear(Protocol protocol, Family family, bool on);
    // What passes the filter: sockets without a peer that are bound to one of these ports, and of
    // the others one in `sampled`, by chance, so that their number can be known.
    Result<> watch_ports(std::span<const std::uint16_t> ports);
    static constexpr std::size_t sampled = 64;

    struct Batch {
        std::vector<std::uint64_t> cookies;  // SO_COOKIE of sockets without a peer
        std::size_t estimated = 0;           // how many sockets of any kind that stands for
        bool lost = false;                   // more came than the buffer holds
        bool end = false;                    // nothing is left to read
    };
    // What has been told since, at most some hundreds at once. Never waits.
    Result<Batch> receive();

    int fd() const { return fd_.get(); }

  private:
    explicit DestroyedSockets(Fd fd) : fd_(std::move(fd)) {}
    Fd fd_;
    std::vector<std::uint16_t> ports_;
};

}  // namespace sluice

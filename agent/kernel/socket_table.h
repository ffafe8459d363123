// SPDX-License-Identifier: Apache-2.0
// Which sockets serve which service: slots in the sockmap, and lists of slots a service's set
// points to.
//
// A set is replaced by one store of (first cell, count); a slot and the cells of an old list are
// used again only a grace period after the last set that named them was replaced, so no lookup ever
// gets a socket of another service. No descriptor is kept: the sockmap holds a socket only while
// its owner does.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "core/range_allocator.h"
#include "kernel/dispatcher.h"
#include "kernel/service_table.h"
#include "kernel/snapshot.h"

namespace sluice::kernel {

// A socket to be registered; the caller has judged that it can serve (core/admit.h).
struct NewSocket {
    int fd = -1;  // not owned
    std::uint64_t cookie = 0;
    Protocol protocol = Protocol::tcp;
    Family family = Family::ipv4;
    bool dual = false;
    Endpoint local;
    std::int32_t pid = 0;
    std::string command;
};

struct Registration {
    std::size_t added = 0;
    std::size_t present = 0;  // were registered for this service already
};

class SocketTable {
  public:
    // Takes over what the pins say; slots whose socket has closed, or that no set names, are freed.
    static Result<SocketTable> adopt(Dispatcher& dispatcher, ServiceTable& services);

    // All of them or none. A cookie that serves another service is refused by that service's name.
    // `replace`: they become the only ones of the service.
    Result<Registration> add(const std::string& service, const std::vector<NewSocket>& sockets,
                             bool replace, std::int64_t now);
    // Out of their service's sets; how many there were.
    Result<std::size_t> remove(const std::vector<std::uint64_t>& cookies);
    // Looks which sockets (of one service, where it is named) have closed, and takes them out.
    // Their descriptions.
    Result<std::vector<RegisteredSocket>> sweep(const std::optional<std::string>& service = {});

    const std::map<std::uint64_t, RegisteredSocket>& all() const { return sockets_; }  // by cookie
    std::vector<RegisteredSocket> of(const std::string& service) const;

    // Slots and cells that wait for a grace period. To free them: take `retired()` before it
    // begins, and give it to `reclaim()` after it has passed.
    struct Retired {
        std::vector<std::uint32_t> slots;
        std::vector<std::pair<std::uint32_t, std::uint32_t>> cells;  // first, count
        bool empty() const { return slots.empty() && cells.empty(); }
    };
    bool has_retired() const { return !retired_.empty(); }
    Retired retired() { return std::exchange(retired_, {}); }
    void reclaim(const Retired& retired);
    // The grace period did not come about: they wait for another.
    void retire_again(Retired retired);

  private:
    SocketTable(Dispatcher& dispatcher, ServiceTable& services);
    const Maps& maps() const { return dispatcher_->maps(); }
    Result<std::uint32_t> take_slot();
    Result<> reclaim_now();
    void take_over_slots();
    Result<> repair_sets();
    Result<> fill(std::uint32_t slot, const NewSocket& socket, ServiceId service, std::int64_t now);
    Result<std::optional<std::uint32_t>> write_list(const std::vector<std::uint32_t>& slots);
    Result<> rebuild_sets(const std::string& service, const std::vector<std::uint64_t>& leaving,
                          const std::vector<RegisteredSocket>& joining);
    void empty_slot(std::uint32_t slot);

    Dispatcher* dispatcher_;
    ServiceTable* services_;
    std::map<std::uint64_t, RegisteredSocket> sockets_;
    std::vector<std::uint32_t> free_slots_;  // the lowest last
    RangeAllocator cells_;
    Retired retired_;
};

}  // namespace sluice::kernel

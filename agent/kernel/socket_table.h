// SPDX-License-Identifier: Apache-2.0
// Which sockets serve which service: slots in the sockmap, and lists of slots a service's set
// points to.
//
// A set is replaced by one store of (first cell, count); a slot and the cells of an old list are
// used again only a grace period after the last set that named them was replaced, so no lookup ever
// gets a socket of another service. No descriptor is kept: the sockmap holds a socket only while
// its owner does.
//
// Every socket has a role, serving or one that waits, and the sets follow the roles. A change of
// roles, of any number of sockets of one service, is one store (sluice_service.roles): an agent
// that is killed in the middle has changed all of them or none.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
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
    ReplyOptions replies;
};

enum class Placement : std::uint8_t {
    add,      // beside those that serve
    replace,  // in place of those that serve; those that wait stay
    stage,    // to wait, beside others that do
};

struct Registration {
    std::size_t added = 0;
    std::size_t present = 0;  // were registered for this service already, in whatever role
};

struct Switched {
    std::size_t serving = 0;  // as many serve now
    std::size_t waiting = 0;  // of those that served before, as many wait to be switched back to
    std::size_t let_go = 0;   // as many that waited, or served, are the service's no more
};

class SocketTable {
  public:
    // Takes over what the pins say; slots whose socket has closed, or that no set names, are freed.
    static Result<SocketTable> adopt(Dispatcher& dispatcher, ServiceTable& services);

    // All of them or none. A cookie that is another service's is refused by that service's name.
    // One that is this service's keeps its role, but that `replace` makes it serve.
    Result<Registration> add(const std::string& service, const std::vector<NewSocket>& sockets,
                             Placement placement, std::int64_t now);
    // Whose a registered socket is now; nothing happens to one that is not registered.
    void set_owner(std::uint64_t cookie, std::int32_t pid, const std::string& command);
    // Those that are staged serve, those that served are the former ones, and the former ones
    // before them go. Refused when none is staged.
    Result<Switched> promote(const std::string& service);
    // The former ones serve again, and those that served are staged; where others have been staged
    // meanwhile, they go. Refused when there are no former ones.
    Result<Switched> demote(const std::string& service);
    // No more their service's; how many there were.
    Result<std::size_t> remove(const std::vector<std::uint64_t>& cookies);
    // Looks which sockets (of one service, where it is named) have closed, and takes them out.
    // Their descriptions.
    Result<std::vector<RegisteredSocket>> sweep(const std::optional<std::string>& service = {});

    // The same of so many sockets, those that were looked at longest ago.
    Result<std::vector<RegisteredSocket>> sweep_some(std::size_t most);

    const std::map<std::uint64_t, RegisteredSocket>& all() const { return sockets_; }  // by cookie
    std::vector<RegisteredSocket> of(const std::string& service) const;
    std::vector<RegisteredSocket> of(const std::string& service, SocketRole role) const;
    bool any_of(const std::string& service) const { return by_service_.contains(service); }

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
    // What becomes of one slot: a role of sluice/abi.h.
    struct Move {
        std::uint32_t slot;
        std::uint8_t role;
    };
    struct NewSet {
        std::uint32_t cls;
        std::uint32_t first;
        std::uint32_t count;
    };

    SocketTable(Dispatcher& dispatcher, ServiceTable& services);
    const Maps& maps() const { return dispatcher_->maps(); }
    Result<std::uint32_t> take_slot();
    Result<> reclaim_now();
    void take_over_slots();
    Result<> repair_sets();
    Result<> fill(std::uint32_t slot, const NewSocket& socket, ServiceId service, std::int64_t now);
    Result<std::optional<std::uint32_t>> write_list(const std::vector<std::uint32_t>& slots);
    Result<std::vector<NewSet>> write_sets(const std::string& service,
                                           const std::vector<std::uint32_t>& serving);
    void give_back(const std::vector<NewSet>& sets);
    void store_sets(ServiceId id, const std::vector<NewSet>& sets);
    Result<> change_roles(const std::string& service, const std::vector<Move>& moves);
    Result<> check_staged(const std::string& service,
                          const std::vector<RegisteredSocket>& joining) const;
    Result<bool> has_closed(const RegisteredSocket& socket) const;
    Result<std::vector<RegisteredSocket>> let_go(std::vector<RegisteredSocket> closed);
    Result<Switched> swap(const std::string& service, SocketRole rising, std::uint8_t falling);
    void insert(const RegisteredSocket& socket);
    void erase(std::uint64_t cookie);
    void empty_slot(std::uint32_t slot);

    Dispatcher* dispatcher_;
    ServiceTable* services_;
    std::map<std::uint64_t, RegisteredSocket> sockets_;
    std::map<std::string, std::set<std::uint64_t>> by_service_;  // cookies; no empty ones
    std::vector<std::uint32_t> free_slots_;                      // the lowest last
    RangeAllocator cells_;
    Retired retired_;
    std::uint64_t swept_ = 0;  // the cookie that sweep_some() looked at last
};

}  // namespace sluice::kernel

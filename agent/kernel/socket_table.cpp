// SPDX-License-Identifier: Apache-2.0
#include "kernel/socket_table.h"

#include <algorithm>
#include <cstring>
#include <iterator>
#include <set>
#include <sys/socket.h>

namespace sluice::kernel {
namespace {

std::uint64_t pack(std::uint32_t first, std::size_t count) {
    return std::uint64_t{first} << 32U | count;
}

std::uint8_t replies_of(const ReplyOptions& options) {
    unsigned bits = 0;
    if (options.known) bits |= SLUICE_REPLIES_KNOWN;
    if (options.original_destination) bits |= SLUICE_REPLIES_ORIGINAL_DESTINATION;
    if (options.packet_info) bits |= SLUICE_REPLIES_PACKET_INFO;
    if (options.nonlocal) bits |= SLUICE_REPLIES_NONLOCAL;
    return static_cast<std::uint8_t>(bits);
}

void write_owner(sluice_slot& record, std::int32_t pid, const std::string& command) {
    record.pid = pid;
    std::memset(record.command, 0, sizeof record.command);
    std::memcpy(record.command, command.data(),
                std::min(command.size(), sizeof record.command - 1));
}

sluice_slot record_of(const NewSocket& socket, ServiceId service, std::int64_t now) {
    sluice_slot record{};
    record.cookie = socket.cookie;
    record.since = now;
    std::memcpy(record.address, socket.local.address.bytes.data(), sizeof record.address);
    record.port = socket.local.port;
    record.service = service;
    record.protocol = static_cast<std::uint8_t>(socket.protocol);
    record.family = socket.family == Family::ipv6 ? AF_INET6 : AF_INET;
    record.dual = socket.dual ? 1 : 0;
    write_owner(record, socket.pid, socket.command);
    record.role[0] = record.role[1] = SLUICE_ROLE_NONE;
    record.replies = replies_of(socket.replies);
    return record;
}

RegisteredSocket registered(const NewSocket& socket, std::uint32_t slot, const std::string& service,
                            SocketRole role, std::int64_t now) {
    return {slot,           socket.cookie, service,      socket.protocol,
            socket.family,  socket.dual,   socket.local, socket.pid,
            socket.command, now,           role,         socket.replies};
}

SocketRole role_of(Placement placement) {
    return placement == Placement::stage ? SocketRole::staged : SocketRole::serving;
}

std::uint8_t abi_role(SocketRole role) {
    switch (role) {
        case SocketRole::serving:
            return SLUICE_ROLE_SERVING;
        case SocketRole::staged:
            return SLUICE_ROLE_STAGED;
        case SocketRole::former:
            return SLUICE_ROLE_FORMER;
    }
    return SLUICE_ROLE_NONE;
}

SocketRole role_of(std::uint8_t abi) {
    if (abi == SLUICE_ROLE_STAGED) return SocketRole::staged;
    return abi == SLUICE_ROLE_FORMER ? SocketRole::former : SocketRole::serving;
}

bool in_class(const sluice_slot& record, std::uint32_t cls) {
    const bool udp = cls == SLUICE_UDP_V4 || cls == SLUICE_UDP_V6;
    const bool six = cls == SLUICE_TCP_V6 || cls == SLUICE_UDP_V6;
    if (record.protocol != static_cast<std::uint8_t>(udp ? Protocol::udp : Protocol::tcp))
        return false;
    return (record.family == AF_INET6) == six || record.dual != 0;
}

Error too_many(const std::string& service, std::size_t count, const char* role) {
    return {Failure::refused, "'" + service + "' would have " + std::to_string(count) + role +
                                  " sockets of one protocol and family; there can be " +
                                  std::to_string(SLUICE_MAX_SET)};
}

}  // namespace

SocketTable::SocketTable(Dispatcher& dispatcher, ServiceTable& services)
    : dispatcher_(&dispatcher), services_(&services), cells_(0, SLUICE_MAX_MEMBERS) {}

Result<SocketTable> SocketTable::adopt(Dispatcher& dispatcher, ServiceTable& services) {
    SocketTable table(dispatcher, services);
    const Maps& maps = dispatcher.maps();
    // What the agent before us had retired, a lookup may still be reading.
    if (auto ok = dispatcher.grace_period(); !ok) return pass_on(ok);
    auto living = read_sockets(maps);
    if (!living) return pass_on(living);
    for (const RegisteredSocket& socket : *living) table.insert(socket);
    table.take_over_slots();
    if (auto ok = table.repair_sets(); !ok) return pass_on(ok);
    return table;
}

void SocketTable::take_over_slots() {
    std::set<std::uint32_t> used, named;
    for (const auto& [cookie, socket] : sockets_) used.insert(socket.slot);
    // The cells of every service, before the first new list is written.
    for (const auto& [name, id] : services_->all())
        for (std::uint32_t cls = 0; cls < SLUICE_CLASSES; ++cls) {
            const std::uint64_t set = maps().services[id].set[cls];
            if (const auto count = static_cast<std::uint32_t>(set); count != 0)
                cells_.claim(static_cast<std::uint32_t>(set >> 32U), count);
            for (const std::uint32_t slot : members_of(maps(), id, cls)) named.insert(slot);
        }
    for (std::uint32_t slot = SLUICE_MAX_SOCKETS; slot-- > 0;) {
        if (used.contains(slot)) continue;
        if (named.contains(slot)) {
            retired_.slots.push_back(slot);  // lookups find it until its list is replaced
            continue;
        }
        if (maps().slots[slot].cookie != 0) empty_slot(slot);
        free_slots_.push_back(slot);
    }
}

// The sets follow the roles, which a kill may have come between; sockets that have closed are in
// neither.
Result<> SocketTable::repair_sets() {
    for (const auto& [cookie, socket] : sockets_) {
        sluice_slot& record = maps().slots[socket.slot];
        record.role[0] = record.role[1] = abi_role(socket.role);
    }
    for (const auto& [name, id] : services_->all()) {
        std::vector<std::uint32_t> serving;
        for (const RegisteredSocket& socket : of(name, SocketRole::serving))
            serving.push_back(socket.slot);
        auto sets = write_sets(name, serving);
        if (!sets) return pass_on(sets);
        store_sets(id, *sets);
    }
    return {};
}

void SocketTable::insert(const RegisteredSocket& socket) {
    by_service_[socket.service].insert(socket.cookie);
    sockets_.emplace(socket.cookie, socket);
}

void SocketTable::erase(std::uint64_t cookie) {
    const auto at = sockets_.find(cookie);
    if (at == sockets_.end()) return;
    const auto service = by_service_.find(at->second.service);
    service->second.erase(cookie);
    if (service->second.empty()) by_service_.erase(service);
    sockets_.erase(at);
}

void SocketTable::empty_slot(std::uint32_t slot) {
    // A socket that has closed has left the slot by itself; there is nothing to do about other
    // failures but to try again when the slot is used next.
    (void)maps().sockets.erase(slot);
    maps().slots[slot] = sluice_slot{};
}

Result<> SocketTable::reclaim_now() {
    if (auto ok = dispatcher_->grace_period(); !ok) return ok;
    reclaim(retired());
    return {};
}

void SocketTable::reclaim(const Retired& retired) {
    for (const std::uint32_t slot : retired.slots) {
        empty_slot(slot);
        free_slots_.push_back(slot);
    }
    for (const auto& [first, count] : retired.cells) cells_.give_back(first, count);
}

void SocketTable::retire_again(Retired retired) {
    std::ranges::move(retired.slots, std::back_inserter(retired_.slots));
    std::ranges::move(retired.cells, std::back_inserter(retired_.cells));
}

Result<std::uint32_t> SocketTable::take_slot() {
    if (free_slots_.empty() && !retired_.slots.empty())
        if (auto ok = reclaim_now(); !ok) return pass_on(ok);
    if (free_slots_.empty())
        return fail(Failure::failed,
                    "all " + std::to_string(SLUICE_MAX_SOCKETS) + " slots are taken");
    const std::uint32_t slot = free_slots_.back();
    free_slots_.pop_back();
    return slot;
}

Result<> SocketTable::fill(std::uint32_t slot, const NewSocket& socket, ServiceId service,
                           std::int64_t now) {
    maps().slots[slot] = record_of(socket, service, now);
    auto ok = maps().sockets.update(slot, static_cast<std::uint64_t>(socket.fd));
    if (!ok) maps().slots[slot] = sluice_slot{};
    return ok;
}

// The first cell of a new list; nothing for an empty one.
Result<std::optional<std::uint32_t>> SocketTable::write_list(
    const std::vector<std::uint32_t>& slots) {
    if (slots.empty()) return std::optional<std::uint32_t>();
    auto first = cells_.take(static_cast<std::uint32_t>(slots.size()));
    if (!first && !retired_.cells.empty()) {
        if (auto ok = reclaim_now(); !ok) return pass_on(ok);
        first = cells_.take(static_cast<std::uint32_t>(slots.size()));
    }
    if (!first) return fail(Failure::failed, "no room for another list of sockets");
    for (std::size_t i = 0; i < slots.size(); ++i) maps().members[*first + i] = {slots[i], 0};
    return first;
}

// New lists for the classes that change. Nothing has happened yet.
Result<std::vector<SocketTable::NewSet>> SocketTable::write_sets(
    const std::string& service, const std::vector<std::uint32_t>& serving) {
    const ServiceId id = services_->id(service);
    std::vector<NewSet> sets;
    for (std::uint32_t cls = 0; cls < SLUICE_CLASSES; ++cls) {
        std::set<std::uint32_t> joining;
        for (const std::uint32_t slot : serving)
            if (in_class(maps().slots[slot], cls)) joining.insert(slot);
        const auto before = members_of(maps(), id, cls);
        std::vector<std::uint32_t> after;  // who stays keeps the place, and with it most flows
        for (const std::uint32_t slot : before)
            if (joining.erase(slot) != 0) after.push_back(slot);
        for (const std::uint32_t slot : serving)
            if (joining.erase(slot) != 0) after.push_back(slot);
        if (after == before) continue;
        auto first = after.size() > SLUICE_MAX_SET ? fail(too_many(service, after.size(), ""))
                                                   : write_list(after);
        if (!first) {
            give_back(sets);
            return pass_on(first);
        }
        sets.push_back({cls, first->value_or(0), static_cast<std::uint32_t>(after.size())});
    }
    return sets;
}

void SocketTable::give_back(const std::vector<NewSet>& sets) {
    for (const NewSet& set : sets)
        if (set.count != 0) cells_.give_back(set.first, set.count);
}

// One store for each.
void SocketTable::store_sets(ServiceId id, const std::vector<NewSet>& sets) {
    for (const NewSet& set : sets) {
        __u64& cell = maps().services[id].set[set.cls];
        const std::uint64_t old = cell;
        store_release<__u64>(cell, pack(set.first, set.count));
        if (const auto count = static_cast<std::uint32_t>(old); count != 0)
            retired_.cells.emplace_back(static_cast<std::uint32_t>(old >> 32U), count);
    }
}

// All of the moves, or none: whatever can fail comes first, and then one store decides. Slots that
// are to have no role leave the table.
Result<> SocketTable::change_roles(const std::string& service, const std::vector<Move>& moves) {
    const ServiceId id = services_->id(service);
    std::set<std::uint32_t> moved;
    for (const Move& move : moves) moved.insert(move.slot);
    std::vector<std::uint32_t> serving;
    for (const RegisteredSocket& socket : of(service, SocketRole::serving))
        if (!moved.contains(socket.slot)) serving.push_back(socket.slot);
    for (const Move& move : moves)
        if (move.role == SLUICE_ROLE_SERVING) serving.push_back(move.slot);
    auto sets = write_sets(service, serving);
    if (!sets) return pass_on(sets);

    sluice_service& record = maps().services[id];
    const std::uint8_t before = record.roles & 1U;
    const auto after = static_cast<std::uint8_t>(before ^ 1U);
    for (const Move& move : moves) store_release(maps().slots[move.slot].role[after], move.role);
    store_release(record.roles, after);
    store_sets(id, *sets);
    for (const Move& move : moves) {
        sluice_slot& slot = maps().slots[move.slot];
        store_release(slot.role[before], move.role);
        const auto known = sockets_.find(slot.cookie);
        if (known == sockets_.end()) continue;
        if (move.role != SLUICE_ROLE_NONE) {
            known->second.role = role_of(move.role);
            continue;
        }
        retired_.slots.push_back(move.slot);
        erase(slot.cookie);
    }
    return {};
}

// What waits must fit into sets when its time comes.
Result<> SocketTable::check_staged(const std::string& service,
                                   const std::vector<RegisteredSocket>& joining) const {
    const auto staged = of(service, SocketRole::staged);
    for (std::uint32_t cls = 0; cls < SLUICE_CLASSES; ++cls) {
        std::size_t count = 0;
        for (const auto* sockets : {&staged, &joining})
            for (const RegisteredSocket& socket : *sockets)
                if (in_class(maps().slots[socket.slot], cls)) ++count;
        if (count > SLUICE_MAX_SET) return fail(too_many(service, count, " staged"));
    }
    return {};
}

Result<Registration> SocketTable::add(const std::string& service,
                                      const std::vector<NewSocket>& sockets, Placement placement,
                                      std::int64_t now) {
    auto id = services_->add(service);
    if (!id) return pass_on(id);
    const SocketRole role = role_of(placement);
    Registration result;
    std::set<std::uint64_t> named;
    std::vector<RegisteredSocket> joining;
    std::vector<Move> moves;
    const auto give_up = [&](Error error) {
        for (const RegisteredSocket& socket : joining) {
            empty_slot(socket.slot);  // in no set yet: no lookup can have seen it
            free_slots_.push_back(socket.slot);
        }
        return std::unexpected(std::move(error));
    };
    for (const NewSocket& socket : sockets) {
        if (!named.insert(socket.cookie).second) continue;
        const auto known = sockets_.find(socket.cookie);
        if (known != sockets_.end() && known->second.service != service)
            return give_up(Error(Failure::refused, "socket " + to_string(socket.local) +
                                                       " serves '" + known->second.service +
                                                       "' already")
                               .hint("sluicectl unregister " + known->second.service + " first"));
        if (known != sockets_.end()) {
            ++result.present;
            if (placement == Placement::replace && known->second.role != role)
                moves.push_back({known->second.slot, abi_role(role)});
            continue;
        }
        auto slot = take_slot();
        if (!slot) return give_up(slot.error());
        if (auto ok = fill(*slot, socket, *id, now); !ok) {
            free_slots_.push_back(*slot);
            return give_up(std::move(ok).error().during("register " + to_string(socket.local)));
        }
        joining.push_back(registered(socket, *slot, service, role, now));
        moves.push_back({*slot, abi_role(role)});
    }
    if (placement == Placement::stage)
        if (auto ok = check_staged(service, joining); !ok) return give_up(ok.error());
    if (placement == Placement::replace)
        for (const RegisteredSocket& socket : of(service, SocketRole::serving))
            if (!named.contains(socket.cookie)) moves.push_back({socket.slot, SLUICE_ROLE_NONE});
    if (auto ok = change_roles(service, moves); !ok) return give_up(ok.error());
    result.added = joining.size();
    for (const RegisteredSocket& socket : joining) insert(socket);
    return result;
}

void SocketTable::set_owner(std::uint64_t cookie, std::int32_t pid, const std::string& command) {
    const auto at = sockets_.find(cookie);
    if (at == sockets_.end() || at->second.pid == pid) return;
    at->second.pid = pid;
    at->second.command = command;
    write_owner(maps().slots[at->second.slot], pid, command);
}

// Those of one role serve, and those that served fall to another.
Result<Switched> SocketTable::swap(const std::string& service, SocketRole rising,
                                   std::uint8_t falling) {
    Switched result;
    std::vector<Move> moves;
    for (const RegisteredSocket& socket : of(service)) {
        if (socket.role == rising) {
            moves.push_back({socket.slot, SLUICE_ROLE_SERVING});
            ++result.serving;
        } else if (socket.role == SocketRole::serving) {
            moves.push_back({socket.slot, falling});
            ++(falling == SLUICE_ROLE_NONE ? result.let_go : result.waiting);
        } else if (falling == SLUICE_ROLE_FORMER) {  // the former ones of the time before
            moves.push_back({socket.slot, SLUICE_ROLE_NONE});
            ++result.let_go;
        }
    }
    if (auto ok = change_roles(service, moves); !ok) return pass_on(ok);
    return result;
}

Result<Switched> SocketTable::promote(const std::string& service) {
    if (of(service, SocketRole::staged).empty())
        return fail(Error(Failure::refused, "no socket of '" + service + "' is staged")
                        .hint("sluicectl register " + service + " --staged …"));
    return swap(service, SocketRole::staged, SLUICE_ROLE_FORMER);
}

Result<Switched> SocketTable::demote(const std::string& service) {
    if (of(service, SocketRole::former).empty())
        return fail(Error(Failure::refused, "'" + service + "' has no former sockets to go back to")
                        .hint("promote keeps those that served before it, until they close"));
    const bool next = !of(service, SocketRole::staged).empty();
    return swap(service, SocketRole::former, next ? SLUICE_ROLE_NONE : SLUICE_ROLE_STAGED);
}

Result<std::size_t> SocketTable::remove(const std::vector<std::uint64_t>& cookies) {
    std::map<std::string, std::vector<Move>> leaving;
    for (const std::uint64_t cookie : std::set(cookies.begin(), cookies.end()))
        if (const auto at = sockets_.find(cookie); at != sockets_.end())
            leaving[at->second.service].push_back({at->second.slot, SLUICE_ROLE_NONE});
    std::size_t removed = 0;
    for (const auto& [service, moves] : leaving) {
        if (auto ok = change_roles(service, moves); !ok) return pass_on(ok);
        removed += moves.size();
    }
    return removed;
}

Result<bool> SocketTable::has_closed(const RegisteredSocket& socket) const {
    auto there = maps().sockets.lookup(socket.slot);
    if (!there) return pass_on(there);
    return !*there || **there != socket.cookie;
}

Result<std::vector<RegisteredSocket>> SocketTable::let_go(std::vector<RegisteredSocket> closed) {
    std::vector<std::uint64_t> cookies;
    for (const RegisteredSocket& socket : closed) cookies.push_back(socket.cookie);
    if (auto removed = remove(cookies); !removed) return pass_on(removed);
    return closed;
}

Result<std::vector<RegisteredSocket>> SocketTable::sweep(
    const std::optional<std::string>& service) {
    if (!service) return sweep_some(sockets_.size());
    std::vector<RegisteredSocket> gone;
    for (const RegisteredSocket& socket : of(*service)) {
        auto closed = has_closed(socket);
        if (!closed) return pass_on(closed);
        if (*closed) gone.push_back(socket);
    }
    return let_go(std::move(gone));
}

Result<std::vector<RegisteredSocket>> SocketTable::sweep_some(std::size_t most) {
    std::vector<RegisteredSocket> gone;
    auto at = sockets_.upper_bound(swept_);
    for (std::size_t left = std::min(most, sockets_.size()); left > 0; --left, ++at) {
        if (at == sockets_.end()) at = sockets_.begin();
        auto closed = has_closed(at->second);
        if (!closed) return pass_on(closed);
        if (*closed) gone.push_back(at->second);
        swept_ = at->first;
    }
    return let_go(std::move(gone));
}

std::vector<RegisteredSocket> SocketTable::of(const std::string& service) const {
    std::vector<RegisteredSocket> found;
    const auto at = by_service_.find(service);
    if (at == by_service_.end()) return found;
    for (const std::uint64_t cookie : at->second) found.push_back(sockets_.at(cookie));
    return found;
}

std::vector<RegisteredSocket> SocketTable::of(const std::string& service, SocketRole role) const {
    auto found = of(service);
    std::erase_if(found, [&](const RegisteredSocket& socket) { return socket.role != role; });
    return found;
}

}  // namespace sluice::kernel

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
    record.pid = socket.pid;
    std::memcpy(record.command, socket.command.data(),
                std::min(socket.command.size(), sizeof record.command - 1));
    return record;
}

RegisteredSocket registered(const NewSocket& socket, std::uint32_t slot, const std::string& service,
                            std::int64_t now) {
    return {slot,        socket.cookie, service,    socket.protocol, socket.family,
            socket.dual, socket.local,  socket.pid, socket.command,  now};
}

bool in_class(const RegisteredSocket& socket, std::uint32_t cls) {
    const bool udp = cls == SLUICE_UDP_V4 || cls == SLUICE_UDP_V6;
    const bool six = cls == SLUICE_TCP_V6 || cls == SLUICE_UDP_V6;
    return socket.serves(udp ? Protocol::udp : Protocol::tcp, six ? Family::ipv6 : Family::ipv4);
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
    for (RegisteredSocket& socket : *living) table.sockets_.emplace(socket.cookie, socket);
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

// Members whose socket has closed leave the lists. A dual-stack socket is in two, which a kill may
// have come between.
Result<> SocketTable::repair_sets() {
    std::map<std::string, std::vector<RegisteredSocket>> living;
    for (const auto& [cookie, socket] : sockets_) living[socket.service].push_back(socket);
    for (const auto& [name, id] : services_->all())
        if (auto ok = rebuild_sets(name, {}, living[name]); !ok) return ok;
    return {};
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

// New lists for the classes that change, then one store for each.
Result<> SocketTable::rebuild_sets(const std::string& service,
                                   const std::vector<std::uint64_t>& leaving,
                                   const std::vector<RegisteredSocket>& joining) {
    const ServiceId id = services_->id(service);
    struct NewSet {
        std::uint32_t cls;
        std::uint32_t first;
        std::vector<std::uint32_t> slots;
    };
    std::vector<NewSet> changed;
    for (std::uint32_t cls = 0; cls < SLUICE_CLASSES; ++cls) {
        const auto before = members_of(maps(), id, cls);
        std::vector<std::uint32_t> after;
        for (const std::uint32_t slot : before) {
            const std::uint64_t cookie = maps().slots[slot].cookie;
            if (sockets_.contains(cookie) && std::ranges::find(leaving, cookie) == leaving.end())
                after.push_back(slot);
        }
        for (const RegisteredSocket& socket : joining)
            if (in_class(socket, cls) && std::ranges::find(after, socket.slot) == after.end())
                after.push_back(socket.slot);
        if (after == before) continue;
        Result<std::optional<std::uint32_t>> first =
            after.size() > SLUICE_MAX_SET
                ? fail(Failure::refused, "'" + service + "' would have " +
                                             std::to_string(after.size()) +
                                             " sockets of one protocol and family; there can be " +
                                             std::to_string(SLUICE_MAX_SET))
                : write_list(after);
        if (!first) {
            for (const NewSet& set : changed)
                if (!set.slots.empty())
                    cells_.give_back(set.first, static_cast<std::uint32_t>(set.slots.size()));
            return pass_on(first);
        }
        changed.push_back({cls, first->value_or(0), std::move(after)});
    }
    for (const NewSet& set : changed) {
        __u64& cell = maps().services[id].set[set.cls];
        const std::uint64_t old = cell;
        store_release<__u64>(cell, pack(set.first, set.slots.size()));
        if (const auto count = static_cast<std::uint32_t>(old); count != 0)
            retired_.cells.emplace_back(static_cast<std::uint32_t>(old >> 32U), count);
    }
    return {};
}

Result<Registration> SocketTable::add(const std::string& service,
                                      const std::vector<NewSocket>& sockets, bool replace,
                                      std::int64_t now) {
    auto id = services_->add(service);
    if (!id) return pass_on(id);
    Registration result;
    std::vector<RegisteredSocket> joining;
    std::vector<std::uint64_t> leaving;
    if (replace)
        for (const RegisteredSocket& socket : of(service)) leaving.push_back(socket.cookie);
    const auto give_up = [&](Error error) {
        for (const RegisteredSocket& socket : joining) {
            empty_slot(socket.slot);  // in no set yet: no lookup can have seen it
            free_slots_.push_back(socket.slot);
        }
        return std::unexpected(std::move(error));
    };
    for (const NewSocket& socket : sockets) {
        const auto known = sockets_.find(socket.cookie);
        const bool twice = std::ranges::any_of(
            joining, [&](const RegisteredSocket& other) { return other.cookie == socket.cookie; });
        if (twice) continue;
        if (known != sockets_.end() && known->second.service != service)
            return give_up(Error(Failure::refused, "socket " + to_string(socket.local) +
                                                       " serves '" + known->second.service +
                                                       "' already")
                               .hint("sluicectl unregister " + known->second.service + " first"));
        if (known != sockets_.end()) {
            ++result.present;
            std::erase(leaving, socket.cookie);
            continue;
        }
        auto slot = take_slot();
        if (!slot) return give_up(slot.error());
        if (auto ok = fill(*slot, socket, *id, now); !ok) {
            free_slots_.push_back(*slot);
            return give_up(std::move(ok).error().during("register " + to_string(socket.local)));
        }
        joining.push_back(registered(socket, *slot, service, now));
    }
    if (auto ok = rebuild_sets(service, leaving, joining); !ok) return give_up(ok.error());
    result.added = joining.size();
    for (RegisteredSocket& socket : joining) sockets_.emplace(socket.cookie, std::move(socket));
    for (const std::uint64_t cookie : leaving) {
        retired_.slots.push_back(sockets_.at(cookie).slot);
        sockets_.erase(cookie);
    }
    return result;
}

Result<std::size_t> SocketTable::remove(const std::vector<std::uint64_t>& cookies) {
    std::map<std::string, std::vector<std::uint64_t>> leaving;
    for (const std::uint64_t cookie : cookies)
        if (const auto at = sockets_.find(cookie); at != sockets_.end())
            leaving[at->second.service].push_back(cookie);
    std::size_t removed = 0;
    for (const auto& [service, gone] : leaving) {
        if (auto ok = rebuild_sets(service, gone, {}); !ok) return pass_on(ok);
        for (const std::uint64_t cookie : gone) {
            retired_.slots.push_back(sockets_.at(cookie).slot);
            removed += sockets_.erase(cookie);
        }
    }
    return removed;
}

Result<std::vector<RegisteredSocket>> SocketTable::sweep(
    const std::optional<std::string>& service) {
    std::vector<RegisteredSocket> closed;
    std::vector<std::uint64_t> cookies;
    for (const auto& [cookie, socket] : sockets_) {
        if (service && socket.service != *service) continue;
        auto there = maps().sockets.lookup(socket.slot);
        if (!there) return pass_on(there);
        if (*there && **there == cookie) continue;
        closed.push_back(socket);
        cookies.push_back(cookie);
    }
    if (auto removed = remove(cookies); !removed) return pass_on(removed);
    return closed;
}

std::vector<RegisteredSocket> SocketTable::of(const std::string& service) const {
    std::vector<RegisteredSocket> found;
    for (const auto& [cookie, socket] : sockets_)
        if (socket.service == service) found.push_back(socket);
    return found;
}

}  // namespace sluice::kernel

// SPDX-License-Identifier: Apache-2.0
#include "kernel/snapshot.h"

#include <algorithm>
#include <cstring>
#include <optional>
#include <sys/socket.h>

#include "kernel/policy_store.h"
#include "kernel/service_table.h"

namespace sluice::kernel {
namespace {

Prefix prefix_of(const sluice_key_v4& key) {
    Address address;
    std::memcpy(address.bytes.data(), key.address, sizeof key.address);
    return Prefix::of(address, static_cast<int>(key.prefixlen) - SLUICE_KEY_HEAD_BITS);
}

Prefix prefix_of(const sluice_key_v6& key) {
    Address address;
    address.family = Family::ipv6;
    std::memcpy(address.bytes.data(), key.address, sizeof key.address);
    return Prefix::of(address, static_cast<int>(key.prefixlen) - SLUICE_KEY_HEAD_BITS);
}

class Reader {
  public:
    explicit Reader(const Maps& maps) : maps_(maps), half_(maps.active()) {
        const ServiceTable services(maps.services);
        for (const auto& [name, id] : services.all()) names_[id] = SharedText(name);
    }

    template <class Key>
    Result<> read(const Map<Key, sluice_prefix>& trie) {
        return trie.each_key([&](const Key& key) -> Result<> {
            auto value = trie.lookup(key);
            if (!value) return pass_on(value);
            if (!*value) return {};  // removed meanwhile
            return add(key.protocol, prefix_of(key), (*value)->column[half_]);
        });
    }

    Result<Bindings> finish() { return Bindings::make(std::move(bindings_)); }

  private:
    Result<> add(std::uint8_t protocol, const Prefix& prefix, std::uint32_t column) {
        const PolicyId policy = column & SLUICE_POLICY_MASK;
        if (policy == 0) return {};
        const auto lines = decode_policy(policy_words(maps_.policies, policy));
        if (!lines || column >> SLUICE_LENGTH_SHIFT != prefix.length)
            return fail(Failure::failed, "the kernel's table is damaged at " + to_string(prefix));
        for (const PolicyLine& line : *lines) {
            Binding binding;
            binding.match = {static_cast<Protocol>(protocol), prefix, line.ports};
            binding.owner = line.owner;
            if (line.target == SLUICE_TARGET_REJECT)
                binding.target = Target::reject();
            else if (line.target == SLUICE_TARGET_PASS)
                binding.target = Target::pass();
            else if (const auto at = names_.find(line.target); at != names_.end())
                binding.target = Target::service(at->second);
            else
                return fail(Failure::failed,
                            "the kernel's table names a service that has no record, at " +
                                to_string(binding.match));
            bindings_.push_back(std::move(binding));
        }
        return {};
    }

    const Maps& maps_;
    std::uint32_t half_;
    std::map<std::uint16_t, SharedText> names_;
    std::vector<Binding> bindings_;
};

RegisteredSocket describe(const sluice_slot& record, std::uint32_t slot,
                          const std::string& service) {
    RegisteredSocket socket;
    socket.slot = slot;
    socket.cookie = record.cookie;
    socket.service = service;
    socket.protocol = static_cast<Protocol>(record.protocol);
    socket.family = record.family == AF_INET6 ? Family::ipv6 : Family::ipv4;
    socket.dual = record.dual != 0;
    socket.local.address.family = socket.family;
    std::memcpy(socket.local.address.bytes.data(), record.address, sizeof record.address);
    socket.local.port = record.port;
    socket.pid = record.pid;
    socket.command.assign(record.command, ::strnlen(record.command, sizeof record.command));
    socket.since = record.since;
    socket.replies = {(record.replies & SLUICE_REPLIES_KNOWN) != 0,
                      (record.replies & SLUICE_REPLIES_ORIGINAL_DESTINATION) != 0,
                      (record.replies & SLUICE_REPLIES_PACKET_INFO) != 0,
                      (record.replies & SLUICE_REPLIES_NONLOCAL) != 0};
    return socket;
}

// Nothing when the slot is free, or its socket is the service's no more.
std::optional<SocketRole> role_of(const sluice_slot& record, const sluice_service& service,
                                  bool listed) {
    if (record.cookie == 0) return std::nullopt;
    switch (record.role[service.roles & 1U]) {
        case SLUICE_ROLE_LISTED:
            return listed ? std::optional(SocketRole::serving) : std::nullopt;
        case SLUICE_ROLE_SERVING:
            return SocketRole::serving;
        case SLUICE_ROLE_STAGED:
            return SocketRole::staged;
        case SLUICE_ROLE_FORMER:
            return SocketRole::former;
        default:
            return std::nullopt;
    }
}

}  // namespace

Result<Bindings> read_bindings(const Maps& maps) {
    Reader reader(maps);
    if (auto ok = reader.read(maps.prefixes_v4); !ok) return pass_on(ok);
    if (auto ok = reader.read(maps.prefixes_v6); !ok) return pass_on(ok);
    return reader.finish();
}

std::vector<std::uint32_t> members_of(const Maps& maps, ServiceId service, std::uint32_t cls) {
    const std::uint64_t set = load_acquire(maps.services[service].set[cls]);
    const auto first = static_cast<std::uint32_t>(set >> 32U);
    const auto count = static_cast<std::uint32_t>(set);
    std::vector<std::uint32_t> slots;
    if (count > SLUICE_MAX_SET || std::size_t{first} + count > maps.members.size()) return slots;
    for (std::uint32_t i = 0; i < count; ++i) slots.push_back(maps.members[first + i].slot);
    return slots;
}

Result<std::vector<RegisteredSocket>> read_sockets(const Maps& maps) {
    const ServiceTable services(maps.services);
    std::vector<bool> listed(maps.slots.size());
    for (const auto& [name, id] : services.all())
        for (std::uint32_t cls = 0; cls < SLUICE_CLASSES; ++cls)
            for (const std::uint32_t slot : members_of(maps, id, cls))
                if (slot < listed.size() && maps.slots[slot].service == id) listed[slot] = true;
    std::vector<RegisteredSocket> sockets;
    for (std::uint32_t slot = 0; slot < maps.slots.size(); ++slot) {
        const sluice_slot record = maps.slots[slot];
        if (record.cookie == 0 || record.service >= maps.services.size()) continue;
        const std::string& service = services.name(record.service);
        if (service.empty()) continue;
        const auto role = role_of(record, maps.services[record.service], listed[slot]);
        if (!role) continue;
        auto cookie = maps.sockets.lookup(slot);
        if (!cookie) return pass_on(cookie);
        if (!*cookie || **cookie != record.cookie) continue;
        sockets.push_back(describe(record, slot, service));
        sockets.back().role = *role;
    }
    return sockets;
}

}  // namespace sluice::kernel

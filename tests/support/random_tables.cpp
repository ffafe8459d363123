// SPDX-License-Identifier: Apache-2.0
#include "support/random_tables.h"

#include <algorithm>

#include "sluice/abi.h"
#include "support/world.h"

namespace sluice::testing {
namespace {

// `address` plus or minus one, as a number; wraps around.
Address next_to(Address address, bool above) {
    const int size = address.bits() / 8;
    for (int i = size - 1; i >= 0; --i) {
        auto& byte = address.bytes[static_cast<std::size_t>(i)];
        byte = static_cast<std::uint8_t>(above ? byte + 1 : byte - 1);
        if (byte != (above ? 0 : 255)) break;
    }
    return address;
}

// The prefix's bits, and `rest` below the mask.
Address inside(const Prefix& prefix, const Address& rest) {
    Address address = prefix.address;
    for (std::size_t i = 0; i < address.bytes.size(); ++i) {
        const int kept = std::clamp(prefix.length - static_cast<int>(i) * 8, 0, 8);
        address.bytes[i] |= static_cast<std::uint8_t>(rest.bytes[i] & (0xff >> kept));
    }
    return address;
}

bool fits_beside(const std::vector<Ports>& taken, const Ports& ports) {
    return std::ranges::all_of(taken, [&](const Ports& other) {
        return !(other == ports) &&
               (!other.touches(ports) || other.contains(ports) || ports.contains(other));
    });
}

int nesting(const std::vector<Ports>& taken, const Ports& ports) {
    return static_cast<int>(
        std::ranges::count_if(taken, [&](const Ports& other) { return other.contains(ports); }));
}

std::uint16_t port_near(Random& random, const Ports& ports) {
    switch (random.below(6)) {
        case 0:
            return ports.first;
        case 1:
            return ports.last;
        case 2:
            return static_cast<std::uint16_t>(ports.first - 1);
        case 3:
            return static_cast<std::uint16_t>(ports.last + 1);
        case 4:
            return static_cast<std::uint16_t>(
                ports.first + random.below(static_cast<std::uint32_t>(ports.width())));
        default:
            return static_cast<std::uint16_t>(random.bits());
    }
}

}  // namespace

std::string to_string(const LookupKey& key) {
    return std::string(sluice::to_string(key.protocol)) + " " + sluice::to_string(key.local) +
           " from " + sluice::to_string(key.remote);
}

Address RandomTables::anywhere(Family family) {
    Address address;
    address.family = family;
    for (int i = 0; i < address.bits() / 8; ++i)
        address.bytes[static_cast<std::size_t>(i)] = static_cast<std::uint8_t>(random_.bits());
    return address;
}

Prefix RandomTables::nested_prefix() {
    const Address& anchor = random_.of(anchors_);
    const auto bits = static_cast<std::uint32_t>(anchor.bits());
    const int length = static_cast<int>(random_.one_in(4) ? bits : random_.below(bits + 1));
    return Prefix::of(anchor, length);
}

Ports RandomTables::some_ports() {
    if (random_.one_in(3)) return Ports::any();
    const auto first = static_cast<std::uint16_t>(1 + random_.below(65535));
    if (random_.one_in(2)) return Ports::one(first);
    const std::uint32_t width = 1U << random_.below(17);
    return {first, static_cast<std::uint16_t>(std::min(65535U, first + random_.below(width)))};
}

Target RandomTables::some_target() {
    const auto kind = random_.below(8);
    if (kind == 0) return Target::reject();
    if (kind == 1) return Target::pass();
    return Target::service(random_.of(services_));
}

// One policy: usually a few lines, sometimes hundreds, which fill many blocks.
void RandomTables::fill(std::vector<Binding>& bindings, Protocol protocol, const Prefix& prefix) {
    const auto lines = random_.one_in(12) ? random_.below(200) : 1 + random_.below(6);
    std::vector<Ports> taken;
    for (std::uint32_t i = 0; i < lines; ++i) {
        const Ports ports = some_ports();
        if (!fits_beside(taken, ports) || nesting(taken, ports) >= SLUICE_MAX_RANGE_DEPTH / 2)
            continue;
        taken.push_back(ports);
        Binding binding;
        binding.match = {protocol, prefix, ports};
        binding.target = some_target();
        binding.owner = random_.one_in(8) ? Owner::runtime : Owner::config;
        bindings.push_back(std::move(binding));
    }
}

Bindings RandomTables::next(const Bindings& before) {
    anchors_.clear();
    const auto keep = random_.below(3);  // nothing, some, most
    std::vector<Binding> made;
    std::vector<Match> prefixes;
    for (const Binding& binding : before) {
        if (prefixes.empty() || !same_prefix(prefixes.back(), binding.match)) {
            if (keep == 0 || random_.one_in(keep == 1 ? 2 : 8)) continue;
            prefixes.push_back(binding.match);
        }
        // Of a prefix that stays, some lines go.
        if (!random_.one_in(10)) made.push_back(binding);
        if (random_.one_in(8)) anchors_.push_back(binding.match.prefix.address);
    }
    for (const Family family : {Family::ipv4, Family::ipv6})
        for (std::uint32_t i = 0; i <= random_.below(4); ++i) anchors_.push_back(anywhere(family));
    const auto fresh = random_.one_in(20) ? 0 : 1 + random_.below(60);
    for (std::uint32_t i = 0; i < fresh; ++i) {
        const Prefix prefix = nested_prefix();
        const Protocol protocol = random_.one_in(2) ? Protocol::tcp : Protocol::udp;
        const auto same = [&](const Match& match) {
            return match.protocol == protocol && match.prefix == prefix;
        };
        if (std::ranges::any_of(prefixes, same)) continue;
        prefixes.push_back({protocol, prefix, Ports::any()});
        fill(made, protocol, prefix);
    }
    return must(Bindings::make(std::move(made)));
}

std::map<std::string, ServiceConfig> RandomTables::policies() {
    std::map<std::string, ServiceConfig> made;
    std::vector<int> depth(services_.size(), 0);
    // From the last to the first, each falls back to later ones only: no cycle.
    for (std::size_t i = services_.size(); i-- > 0;) {
        Unavailable& policy = made[services_[i]].unavailable;
        const auto later = static_cast<std::uint32_t>(services_.size() - 1 - i);
        const std::size_t to = later == 0 ? i : i + 1 + random_.below(later);
        if (later > 0 && !random_.one_in(3) && depth[to] < SLUICE_MAX_FALLBACKS) {
            policy = {Unavailable::Kind::fallback, services_[to]};
            depth[i] = depth[to] + 1;
        } else if (random_.one_in(2)) {
            policy.kind = Unavailable::Kind::pass;
        }
    }
    return made;
}

LookupKey RandomTables::question(const Bindings& table) {
    LookupKey key;
    key.protocol = random_.one_in(2) ? Protocol::tcp : Protocol::udp;
    const Family family = random_.one_in(2) ? Family::ipv4 : Family::ipv6;
    key.local = {anywhere(family), static_cast<std::uint16_t>(random_.bits())};
    if (!table.empty() && !random_.one_in(16)) {
        const Binding& near = table.all()[random_.below(static_cast<std::uint32_t>(table.size()))];
        const Prefix& prefix = near.match.prefix;
        Address ones;
        ones.bytes.fill(255);
        switch (random_.below(5)) {
            case 0:
                key.local.address = prefix.address;
                break;
            case 1:
                key.local.address = inside(prefix, ones);
                break;
            case 2:
                key.local.address = next_to(prefix.address, false);
                break;
            case 3:
                key.local.address = next_to(inside(prefix, ones), true);
                break;
            default:
                key.local.address = inside(prefix, anywhere(prefix.address.family));
        }
        if (prefix.address.family == Family::ipv4)
            std::fill(key.local.address.bytes.begin() + 4, key.local.address.bytes.end(), 0);
        if (!random_.one_in(8)) key.protocol = near.match.protocol;
        key.local.port = port_near(random_, near.match.ports);
    }
    key.remote = {anywhere(key.local.address.family), static_cast<std::uint16_t>(random_.bits())};
    return key;
}

}  // namespace sluice::testing

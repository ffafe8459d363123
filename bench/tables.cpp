// SPDX-License-Identifier: Apache-2.0
#include "tables.h"

#include <algorithm>
#include <array>
#include <random>
#include <set>

namespace sluice::bench {
namespace {

constexpr std::uint16_t bound_port = 443, other_port = 80, any_port = 0;

class Generator {
  public:
    explicit Generator(const TableRequest& request)
        : request_(request), random_(request.seed), services_(request.services) {}

    std::size_t below(std::size_t count) {
        return std::uniform_int_distribution<std::size_t>(0, count - 1)(random_);
    }

    Address address_in(const Prefix& prefix) {
        Address address = prefix.address;
        for (int bit = prefix.length; bit < address.bits(); ++bit)
            if (random_() & 1U)
                address.bytes[static_cast<std::size_t>(bit / 8)] |=
                    static_cast<std::uint8_t>(0x80U >> static_cast<unsigned>(bit % 8));
        return address;
    }

    // A prefix inside `outer` that the table does not have yet.
    Prefix fresh(const Prefix& outer, int length) {
        for (;;) {
            const Prefix prefix = Prefix::of(address_in(outer), length);
            if (taken_.insert(prefix).second) return prefix;
        }
    }

    void add(Table& table, const Prefix& prefix, std::uint16_t port) {
        table.entries.push_back({prefix, port, next_service_++ % services_});
    }

    Key key(const Prefix& prefix, std::uint16_t port) {
        const std::uint16_t ephemeral = static_cast<std::uint16_t>(32768 + below(28232));
        return {{address_in(prefix), port}, {address_in(everywhere()), ephemeral}};
    }

    std::vector<Key> keys_in(const std::vector<Prefix>& prefixes, std::uint16_t port) {
        std::vector<Key> keys;
        while (keys.size() < request_.keys)
            keys.push_back(key(prefixes[below(prefixes.size())], port));
        return keys;
    }

    std::vector<Key> keys_outside(const std::array<int, 3>& lengths) {
        std::vector<Key> keys;
        while (keys.size() < request_.keys) {
            Key candidate = key(everywhere(), bound_port);
            if (!covered(candidate.local.address, lengths)) keys.push_back(candidate);
        }
        return keys;
    }

    // All keys are some of a few.
    static std::vector<Key> again(std::vector<Key> keys, std::size_t few) {
        for (std::size_t i = few; i < keys.size(); ++i) keys[i] = keys[i % few];
        return keys;
    }

    bool take(const Prefix& prefix) { return taken_.insert(prefix).second; }

    // 2000::/3 for IPv6: what is routed.
    Prefix everywhere() const {
        Prefix all;
        all.address.family = request_.family;
        if (request_.family == Family::ipv6) {
            all.address.bytes[0] = 0x20;
            all.length = 3;
        }
        return all;
    }

  private:
    bool covered(const Address& address, const std::array<int, 3>& lengths) const {
        return std::ranges::any_of(
            lengths, [&](int length) { return taken_.contains(Prefix::of(address, length)); });
    }

    TableRequest request_;
    std::mt19937_64 random_;
    std::set<Prefix> taken_;
    std::uint32_t services_, next_service_ = 0;
};

// Widest first: of a site, of a subnet, of a host.
std::array<int, 3> lengths_of(Family family) {
    return family == Family::ipv4 ? std::array{20, 24, 32} : std::array{48, 64, 128};
}

std::array<std::size_t, 3> shares_of(std::size_t size) {
    return {size / 10, size / 5, size - size / 10 - size / 5};
}

}  // namespace

Table edge_mix(const TableRequest& request) {
    Generator generator(request);
    Table table{.name = "edge mix", .entries = {}, .workloads = {}};
    const auto lengths = lengths_of(request.family);
    const auto shares = shares_of(request.size);
    std::vector<Prefix> prefixes;
    for (std::size_t i = 0; i < lengths.size(); ++i) {
        for (std::size_t n = 0; n < shares[i]; ++n) {
            prefixes.push_back(generator.fresh(generator.everywhere(), lengths[i]));
            generator.add(table, prefixes.back(), n % 2 == 0 ? any_port : bound_port);
        }
    }
    auto keys = generator.keys_in(prefixes, bound_port);
    table.workloads.push_back({"one hot key", keys, true, Manner::one_key});
    table.workloads.push_back({"256 warm keys", Generator::again(keys, 256)});
    table.workloads.push_back({"random keys", keys});
    table.workloads.push_back({"random keys, cold", std::move(keys), true, Manner::cold});
    table.workloads.push_back(
        {"one hot prefix", generator.keys_in({prefixes.front()}, bound_port)});
    table.workloads.push_back({"nothing bound", generator.keys_outside(lengths), false});
    return table;
}

Table nested_mix(const TableRequest& request) {
    Generator generator(request);
    Table table{.name = "nested", .entries = {}, .workloads = {}};
    const auto lengths = lengths_of(request.family);
    const auto [sites, subnets, hosts] = shares_of(request.size);
    std::vector<Prefix> outer, inner, under_any, under_port;
    for (std::size_t n = 0; n < sites; ++n) {
        outer.push_back(generator.fresh(generator.everywhere(), lengths[0]));
        generator.add(table, outer.back(), any_port);
    }
    for (std::size_t n = 0; n < subnets; ++n) {
        inner.push_back(generator.fresh(outer[generator.below(sites)], lengths[1]));
        generator.add(table, inner.back(), n % 2 == 0 ? any_port : bound_port);
    }
    for (std::size_t n = 0; n < hosts; ++n) {
        const std::size_t subnet = 2 * generator.below(subnets / 2) + n % 2;
        const Prefix host = generator.fresh(inner[subnet], lengths[2]);
        (n % 2 == 0 ? under_any : under_port).push_back(host);
        generator.add(table, host, bound_port);
    }
    table.workloads.push_back({"hosts' own port", generator.keys_in(under_port, bound_port)});
    table.workloads.push_back({"port miss, 1 level", generator.keys_in(under_any, other_port)});
    table.workloads.push_back({"port miss, 2 levels", generator.keys_in(under_port, other_port)});
    return table;
}

Table routes(const TableRequest& request) {
    Generator generator(request);
    Table table{.name = "routes", .entries = {}, .workloads = {}};
    std::vector<Prefix> prefixes;
    for (std::size_t n = 0; n < request.size; ++n) {
        const int length = request.family == Family::ipv4 ? 24 : 48;
        prefixes.push_back(generator.fresh(generator.everywhere(), length));
        generator.add(table, prefixes.back(), n % 2 == 0 ? any_port : bound_port);
    }
    table.workloads.push_back({"random /24s or /48s", generator.keys_in(prefixes, bound_port)});
    return table;
}

Table all_lengths(const TableRequest& request) {
    Generator generator(request);
    Table table{.name = "all lengths", .entries = {}, .workloads = {}};
    std::vector<Prefix> prefixes;
    const Prefix everywhere = generator.everywhere();
    while (prefixes.size() < request.size) {
        const Address address = generator.address_in(everywhere);
        for (int length = address.bits();
             length >= everywhere.length && prefixes.size() < request.size; --length) {
            const Prefix prefix = Prefix::of(address, length);
            if (!generator.take(prefix)) continue;
            prefixes.push_back(prefix);
            generator.add(table, prefix, any_port);
        }
    }
    table.workloads.push_back({"all lengths nested", generator.keys_in(prefixes, bound_port)});
    return table;
}

}  // namespace sluice::bench

// SPDX-License-Identifier: Apache-2.0
// Random tables of bindings and the keys that are asked of them: the same for every candidate.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "core/address.h"

namespace sluice::bench {

struct Entry {
    Prefix prefix;
    std::uint16_t port = 0;  // 0: any
    std::uint32_t service = 0;
};

struct Key {
    Endpoint local, remote;
};

// How a workload's keys are asked.
enum class Manner : std::uint8_t {
    one_key,  // a round asks for one key only, each round for another
    replay,   // one after the other, with nothing between
    cold,     // each after other work has displaced what the processor's own caches held
};

struct Workload {
    std::string_view name;
    std::vector<Key> keys;
    bool bound = true;  // every key finds a binding; else none does
    Manner manner = Manner::replay;
};

struct Table {
    std::string_view name;
    std::vector<Entry> entries;  // TCP; each prefix once
    std::vector<Workload> workloads;
};

struct TableRequest {
    Family family = Family::ipv4;
    std::size_t size = 0;  // 10 or more
    std::uint32_t services = 0;
    std::size_t keys = 0;  // of each workload
    std::uint64_t seed = 0;
};

// 70% hosts, 20% /24 (IPv6: /64), 10% /20 (/48), anywhere; half bind port 443, half any port.
// Workloads: one hot key, 256 warm ones, random keys, the same cold, one hot prefix, keys that
// nothing matches.
Table edge_mix(const TableRequest& request);

// /24s (IPv6: /48) anywhere, as in a routing table. Workload: random keys.
Table routes(const TableRequest& request);

// Around some addresses a prefix of every length there is, one in the other. Workload: random keys.
Table all_lengths(const TableRequest& request);

// The same shares, but every prefix lies in one of the next size: the /20s bind any port, half of
// the /24s any port and half 443, the hosts 443. Workloads: the hosts' port 443, and port 80 where
// it takes one step outwards, and two, to find a binding.
Table nested_mix(const TableRequest& request);

}  // namespace sluice::bench

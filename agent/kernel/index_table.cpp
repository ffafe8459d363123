// SPDX-License-Identifier: Apache-2.0
#include "kernel/index_table.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <random>

namespace sluice::kernel {
namespace {

// Of anybody's choice: no lookup depends on what it is, and nobody chooses prefixes by it.
std::uint64_t some_seed() {
    std::random_device device;
    return std::uint64_t{device()} << 32U | device();
}

template <class Key>
IndexKey key_of(const Key& key) {
    Address address;
    address.family = sizeof key.address == 4 ? Family::ipv4 : Family::ipv6;
    std::memcpy(address.bytes.data(), key.address, sizeof key.address);
    Prefix prefix;
    prefix.address = address;
    prefix.length = static_cast<std::uint8_t>(key.prefixlen - SLUICE_KEY_HEAD_BITS);
    return index_key(static_cast<Protocol>(key.protocol), prefix);
}

template <class Bucket>
void put_into(PrefixIndex<Bucket>& index, const IndexKey& key, PolicyId policy) {
    if (policy == 0)
        index.erase(key);
    else
        index.put(key, policy);
}

template <class Bucket>
std::uint32_t buckets_a_half(const MappedArray<Bucket>& map) {
    return static_cast<std::uint32_t>(map.size() / SLUICE_HALVES);
}

template <class Bucket>
bool fits_into(const MappedArray<Bucket>& map, const PrefixIndex<Bucket>& index) {
    return index.buckets().size() <= buckets_a_half(map);
}

template <class Bucket>
std::size_t write_family(const IndexMaps& maps, const MappedArray<Bucket>& map,
                         PrefixIndex<Bucket>& index, std::uint32_t half, std::uint32_t six) {
    const std::uint32_t base = half * buckets_a_half(map);
    const auto buckets = index.buckets();
    TouchedBuckets& touched = index.touched(half);
    const std::size_t written = touched.all ? buckets.size() : touched.some.size();
    if (touched.all)
        std::ranges::copy(buckets, map.data() + base);
    else
        for (const std::uint32_t bucket : touched.some) map[base + bucket] = buckets[bucket];
    touched = {false, {}};
    for (const Protocol protocol : {Protocol::tcp, Protocol::udp}) {
        sluice_index_head head = index.head(protocol);
        head.base = base;
        maps.heads[half * 4 + six * 2 + (protocol == Protocol::udp ? 1U : 0U)] = head;
    }
    return written;
}

// Room to grow before the next change that is large; a power of two, which the kernel would make of
// it for a program that is loaded without CAP_PERFMON.
template <class Bucket>
std::uint32_t wanted_buckets(const PrefixIndex<Bucket>& index, std::uint32_t at_least) {
    const auto needed = std::bit_ceil(static_cast<std::uint32_t>(index.buckets().size()));
    const bool nearly_full = index.size() > PrefixIndex<Bucket>::most_in(needed) / 10 * 9;
    return std::max(at_least, nearly_full ? needed * 2 : needed);
}

}  // namespace

IndexTable::IndexTable(const IndexMaps& maps) : maps_(&maps), v4_(some_seed()), v6_(some_seed()) {}

void IndexTable::put(const sluice_key_v4& key, PolicyId policy) {
    put_into(v4_, key_of(key), policy);
}
void IndexTable::put(const sluice_key_v6& key, PolicyId policy) {
    put_into(v6_, key_of(key), policy);
}

void IndexTable::reserve(std::size_t more_v4, std::size_t more_v6) {
    v4_.reserve(v4_.size() + more_v4);
    v6_.reserve(v6_.size() + more_v6);
}

void IndexTable::shrink() {
    v4_.shrink();
    v6_.shrink();
}

bool IndexTable::fits() const {
    return fits_into(maps_->v4, v4_) && fits_into(maps_->v6, v6_) &&
           maps_->heads.size() == SLUICE_INDEX_HEADS;
}

std::size_t IndexTable::write(std::uint32_t half) {
    return write_family(*maps_, maps_->v4, v4_, half, 0) +
           write_family(*maps_, maps_->v6, v6_, half, 1);
}

void IndexTable::maps_changed() {
    for (std::uint32_t half = 0; half < SLUICE_HALVES; ++half) {
        v4_.touched(half) = {};
        v6_.touched(half) = {};
    }
}

IndexSizes IndexTable::sizes(const IndexMaps& maps) {
    return {buckets_a_half(maps.v4), buckets_a_half(maps.v6)};
}

std::uint64_t IndexTable::bytes(const IndexSizes& sizes) {
    return std::uint64_t{SLUICE_HALVES} * 64 * (std::uint64_t{sizes.v4} + sizes.v6);
}

std::uint64_t IndexTable::image_bytes() const {
    return (v4_.buckets().size() + v6_.buckets().size()) * 64;
}

// Never fewer than there are, as long as they are not too many.
std::optional<IndexSizes> IndexTable::wanted(std::uint64_t memory) const {
    const IndexSizes now = sizes(*maps_), least{};
    const auto within = [&](const IndexSizes& floor) {
        return IndexSizes{wanted_buckets(v4_, floor.v4), wanted_buckets(v6_, floor.v6)};
    };
    const IndexSizes tight{std::bit_ceil(static_cast<std::uint32_t>(v4_.buckets().size())),
                           std::bit_ceil(static_cast<std::uint32_t>(v6_.buckets().size()))};
    const IndexSizes candidates[] = {
        within({std::max(now.v4, least.v4), std::max(now.v6, least.v6)}), within(least), tight};
    for (const IndexSizes& each : candidates)
        if (bytes(each) <= memory) return each;
    return std::nullopt;
}

}  // namespace sluice::kernel

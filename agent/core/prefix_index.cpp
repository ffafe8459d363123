// SPDX-License-Identifier: Apache-2.0
#include "core/prefix_index.h"

#include <algorithm>
#include <bit>

namespace sluice {
namespace {

constexpr int longest_walk = 500;  // entries moved to make room for one, before another seed
constexpr int seeds_tried = 3;     // before more buckets

template <class Bucket>
struct Layout;

template <>
struct Layout<sluice_index_v4> {
    static constexpr int slots = SLUICE_INDEX_V4_SLOTS;
    static constexpr std::uint32_t counters = SLUICE_INDEX_V4_DISPLACED;
    using Counters = __u64;
    // Of a hundred slots, how many are filled: in a table that was just made, and at most.
    static constexpr std::size_t roomy = 60, full = 90;

    static std::uint64_t hash(const IndexKey& key, std::uint64_t seed) {
        return sluice_index_hash_v4(word(key), seed);
    }
    static std::uint64_t word(const IndexKey& key) {
        return sluice_index_key_v4(static_cast<std::uint32_t>(key.low), key.kind);
    }
    static bool used(const sluice_index_v4& bucket, int slot) { return bucket.slots[slot] != 0; }
    static bool holds(const sluice_index_v4& bucket, int slot, const IndexKey& key) {
        return bucket.slots[slot] >> SLUICE_INDEX_POLICY_BITS == word(key);
    }
    static IndexKey key(const sluice_index_v4& bucket, int slot) {
        const std::uint64_t all = bucket.slots[slot];
        return {0, all >> 32U, static_cast<std::uint32_t>(all) >> SLUICE_INDEX_POLICY_BITS};
    }
    static std::uint32_t policy(const sluice_index_v4& bucket, int slot) {
        return static_cast<std::uint32_t>(bucket.slots[slot]) & SLUICE_INDEX_POLICY_MASK;
    }
    static void set(sluice_index_v4& bucket, int slot, const IndexKey& key, std::uint32_t policy) {
        bucket.slots[slot] = word(key) << SLUICE_INDEX_POLICY_BITS | policy;
    }
    static void clear(sluice_index_v4& bucket, int slot) { bucket.slots[slot] = 0; }
};

template <>
struct Layout<sluice_index_v6> {
    static constexpr int slots = SLUICE_INDEX_V6_SLOTS;
    static constexpr std::uint32_t counters = SLUICE_INDEX_V6_DISPLACED;
    using Counters = __u32;
    static constexpr std::size_t roomy = 60, full = 85;

    static std::uint64_t hash(const IndexKey& key, std::uint64_t seed) {
        return sluice_index_hash_v6(key.high, key.low, key.kind, seed);
    }
    static bool used(const sluice_index_v6& bucket, int slot) { return bucket.slots[slot] != 0; }
    static bool holds(const sluice_index_v6& bucket, int slot, const IndexKey& wanted) {
        return key(bucket, slot) == wanted;
    }
    static IndexKey key(const sluice_index_v6& bucket, int slot) {
        return {bucket.address[slot][0], bucket.address[slot][1],
                bucket.slots[slot] >> SLUICE_INDEX_POLICY_BITS};
    }
    static std::uint32_t policy(const sluice_index_v6& bucket, int slot) {
        return bucket.slots[slot] & SLUICE_INDEX_POLICY_MASK;
    }
    static void set(sluice_index_v6& bucket, int slot, const IndexKey& key, std::uint32_t policy) {
        bucket.slots[slot] = key.kind << SLUICE_INDEX_POLICY_BITS | policy;
        bucket.address[slot][0] = key.high;
        bucket.address[slot][1] = key.low;
    }
    static void clear(sluice_index_v6& bucket, int slot) { set(bucket, slot, {}, 0); }
};

std::uint64_t big_endian(const std::uint8_t* bytes, std::size_t count) {
    std::uint64_t value = 0;
    for (std::size_t i = 0; i < count; ++i) value = value << 8U | bytes[i];
    return value;
}

}  // namespace

IndexKey index_key(Protocol protocol, const Prefix& prefix) {
    const auto& bytes = prefix.address.bytes;
    const std::uint32_t kind =
        sluice_index_kind(protocol == Protocol::udp ? 1 : 0, prefix.length + 1U);
    if (prefix.address.family == Family::ipv4) return {0, big_endian(bytes.data(), 4), kind};
    return {big_endian(bytes.data(), 8), big_endian(bytes.data() + 8, 8), kind};
}

template <class Bucket>
PrefixIndex<Bucket>::PrefixIndex(std::uint64_t seed)
    : buckets_(2), seed_(seed), state_(seed | 1U) {}

// As few as a power of two would take, where that leaves room: the map has such a size.
template <class Bucket>
std::uint32_t PrefixIndex<Bucket>::buckets_for(std::size_t entries) {
    using L = Layout<Bucket>;
    const auto at_load = [&](std::size_t percent) {
        return entries * 100 / (L::slots * percent) + 1;
    };
    const std::size_t power = std::bit_ceil(at_load((L::roomy + L::full) / 2));
    return static_cast<std::uint32_t>(std::max<std::size_t>(2, std::min(power, at_load(L::roomy))));
}

template <class Bucket>
std::size_t PrefixIndex<Bucket>::most_in(std::uint32_t buckets) {
    using L = Layout<Bucket>;
    return std::size_t{buckets} * L::slots * L::full / 100;
}

template <class Bucket>
std::uint64_t PrefixIndex<Bucket>::random() {
    state_ ^= state_ << 13U;
    state_ ^= state_ >> 7U;
    state_ ^= state_ << 17U;
    return state_;
}

template <class Bucket>
void PrefixIndex<Bucket>::touch(std::uint32_t bucket) {
    for (TouchedBuckets& each : touched_) {
        if (each.all) continue;
        each.some.push_back(bucket);
        if (each.some.size() > buckets_.size()) each = {};  // copying all is less
    }
}

// One entry more, or one less, whose first choice is another bucket than the one it lives in.
template <class Bucket>
void PrefixIndex<Bucket>::displace(std::uint64_t hash, std::uint32_t bucket, int change) {
    using L = Layout<Bucket>;
    const std::uint32_t first = sluice_index_first(hash, count_of_buckets());
    if (bucket == first) return;
    auto& counters = buckets_[first].displaced;
    const std::uint32_t shift = sluice_index_shift(hash, L::counters);
    const auto count = counters >> shift & 15U;
    if (count == 15) return;  // nobody knows how many
    const auto one = typename L::Counters{1} << shift;
    counters = change > 0 ? counters + one : counters - one;
    touch(first);
}

template <class Bucket>
auto PrefixIndex<Bucket>::locate(const IndexKey& key) const -> Place {
    using L = Layout<Bucket>;
    const std::uint64_t hash = L::hash(key, seed_);
    const std::uint32_t first = sluice_index_first(hash, count_of_buckets());
    for (int slot = 0; slot < L::slots; ++slot)
        if (L::holds(buckets_[first], slot, key)) return {first, slot};
    if ((buckets_[first].displaced >> sluice_index_shift(hash, L::counters) & 15U) == 0)
        return {first, -1};
    const std::uint32_t second = sluice_index_second(hash, count_of_buckets());
    for (int slot = 0; slot < L::slots; ++slot)
        if (L::holds(buckets_[second], slot, key)) return {second, slot};
    return {second, -1};
}

template <class Bucket>
std::uint32_t PrefixIndex<Bucket>::find(const IndexKey& key) const {
    const Place at = locate(key);
    return at.slot < 0 ? 0 : Layout<Bucket>::policy(buckets_[at.bucket], at.slot);
}

template <class Bucket>
bool PrefixIndex<Bucket>::settle_in(std::uint32_t bucket, const Entry& entry, std::uint64_t hash) {
    using L = Layout<Bucket>;
    for (int slot = 0; slot < L::slots; ++slot) {
        if (L::used(buckets_[bucket], slot)) continue;
        L::set(buckets_[bucket], slot, entry.key, entry.policy);
        touch(bucket);
        displace(hash, bucket, 1);
        return true;
    }
    return false;
}

template <class Bucket>
auto PrefixIndex<Bucket>::swap(std::uint32_t bucket, int slot, const Entry& entry,
                               std::uint64_t hash) -> Entry {
    using L = Layout<Bucket>;
    Bucket& home = buckets_[bucket];
    const Entry out{L::key(home, slot), L::policy(home, slot)};
    displace(L::hash(out.key, seed_), bucket, -1);
    L::set(home, slot, entry.key, entry.policy);
    touch(bucket);
    displace(hash, bucket, 1);
    return out;
}

// The first bucket where there is room, so that most lookups read one line. When there is none in
// either, one of the entries there goes to its other bucket, and so on. False: `entry` is the one
// that is left without a place.
template <class Bucket>
bool PrefixIndex<Bucket>::place(Entry& entry) {
    using L = Layout<Bucket>;
    std::uint64_t hash = L::hash(entry.key, seed_);
    std::uint32_t at = sluice_index_first(hash, count_of_buckets());
    if (settle_in(at, entry, hash)) return true;
    std::uint32_t other = sluice_index_second(hash, count_of_buckets());
    for (int moved = 0; moved < longest_walk; ++moved) {
        if (settle_in(other, entry, hash)) return true;
        // Out of the bucket that it was not in before.
        if (moved > 0) at = other;
        entry = swap(at, static_cast<int>(random() % L::slots), entry, hash);
        hash = L::hash(entry.key, seed_);
        const std::uint32_t first = sluice_index_first(hash, count_of_buckets());
        other = at == first ? sluice_index_second(hash, count_of_buckets()) : first;
    }
    return false;
}

template <class Bucket>
void PrefixIndex<Bucket>::rebuild(std::uint32_t buckets, const Entry* homeless) {
    using L = Layout<Bucket>;
    std::vector<Entry> entries;
    entries.reserve(size_ + 1);
    for (const Bucket& bucket : buckets_)
        for (int slot = 0; slot < L::slots; ++slot)
            if (L::used(bucket, slot))
                entries.push_back({L::key(bucket, slot), L::policy(bucket, slot)});
    if (homeless != nullptr) entries.push_back(*homeless);
    for (TouchedBuckets& each : touched_) each = {};
    for (int attempt = 0;; ++attempt) {
        seed_ = random();
        if (attempt % seeds_tried == seeds_tried - 1) buckets += buckets / 4 + 1;
        buckets_.assign(buckets, Bucket{});
        const bool all = std::ranges::all_of(entries, [&](Entry entry) { return place(entry); });
        if (all) return;
    }
}

template <class Bucket>
void PrefixIndex<Bucket>::reserve(std::size_t entries) {
    if (entries > most_in(count_of_buckets())) rebuild(buckets_for(entries), nullptr);
}

template <class Bucket>
void PrefixIndex<Bucket>::shrink() {
    const std::uint32_t enough = buckets_for(size_ + size_ / 2);
    if (count_of_buckets() / 2 > enough) rebuild(enough, nullptr);
}

template <class Bucket>
void PrefixIndex<Bucket>::put(const IndexKey& key, std::uint32_t policy) {
    using L = Layout<Bucket>;
    if (const Place at = locate(key); at.slot >= 0) {
        L::set(buckets_[at.bucket], at.slot, key, policy);
        touch(at.bucket);
        return;
    }
    if (size_ >= most_in(count_of_buckets())) reserve(size_ + size_ / 2 + 1);
    Entry entry{key, policy};
    if (!place(entry)) rebuild(count_of_buckets(), &entry);
    ++size_;
    ++lengths_.at(key.kind & 1U).at(key.kind >> 1U);
}

template <class Bucket>
void PrefixIndex<Bucket>::erase(const IndexKey& key) {
    using L = Layout<Bucket>;
    const Place at = locate(key);
    if (at.slot < 0) return;
    L::clear(buckets_[at.bucket], at.slot);
    touch(at.bucket);
    displace(L::hash(key, seed_), at.bucket, -1);
    --size_;
    --lengths_.at(key.kind & 1U).at(key.kind >> 1U);
}

template <class Bucket>
sluice_index_head PrefixIndex<Bucket>::head(Protocol protocol) const {
    sluice_index_head head{};
    head.seed = seed_;
    head.buckets = count_of_buckets();
    const auto& counts = lengths_.at(protocol == Protocol::udp ? 1 : 0);
    unsigned place = 0;
    for (std::size_t one_more = counts.size(); one_more-- > 1;) {
        if (counts.at(one_more) == 0) continue;
        head.lengths[place / 8] |= std::uint64_t{one_more} << (place % 8 * 8);
        ++place;
    }
    return head;
}

template class PrefixIndex<sluice_index_v4>;
template class PrefixIndex<sluice_index_v6>;

}  // namespace sluice

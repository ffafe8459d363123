// SPDX-License-Identifier: Apache-2.0
// The index of one half and family as an image in memory: which prefix is in which bucket, in the
// layout of sluice/index.h. Pure; kernel/index_table copies the buckets that were touched.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "core/address.h"
#include "sluice/index.h"

namespace sluice {

// (protocol, prefix) as the index has it: bits in host byte order, IPv4 in `low`.
struct IndexKey {
    std::uint64_t high = 0, low = 0;
    std::uint32_t kind = 0;  // sluice_index_kind()
    bool operator==(const IndexKey&) const = default;
};
IndexKey index_key(Protocol protocol, const Prefix& prefix);

// Buckets that changed since somebody last looked: some, or all of them.
struct TouchedBuckets {
    bool all = true;
    std::vector<std::uint32_t> some;  // not sorted, some twice
};

// Bucket: sluice_index_v4 or sluice_index_v6.
template <class Bucket>
class PrefixIndex {
  public:
    // The same seed and the same calls give the same image.
    explicit PrefixIndex(std::uint64_t seed);

    // `policy` is not 0. Never fails: it moves entries, takes another seed or more buckets.
    void put(const IndexKey& key, std::uint32_t policy);
    void erase(const IndexKey& key);  // what is not there is no failure
    // Room for so many entries, so that a load does not pass through every size.
    void reserve(std::size_t entries);
    // Gives buckets back when it has twice as many as it would be given for half as many entries
    // again.
    void shrink();
    // The policy of exactly this prefix, found by the steps that the BPF program takes; 0: none.
    std::uint32_t find(const IndexKey& key) const;

    std::size_t size() const { return size_; }
    std::uint64_t seed() const { return seed_; }
    std::span<const Bucket> buckets() const { return buckets_; }
    // Of one protocol; `base` is 0.
    sluice_index_head head(Protocol protocol) const;
    // How many buckets a table of so many entries is given.
    static std::uint32_t buckets_for(std::size_t entries);
    // The most entries that so many buckets are asked to hold.
    static std::size_t most_in(std::uint32_t buckets);

    // What the copy in each half lacks; whoever has copied it clears it.
    TouchedBuckets& touched(std::uint32_t half) { return touched_.at(half); }

  private:
    struct Entry {
        IndexKey key;
        std::uint32_t policy = 0;
    };
    struct Place {
        std::uint32_t bucket;
        int slot;  // -1: none
    };
    std::uint32_t count_of_buckets() const { return static_cast<std::uint32_t>(buckets_.size()); }
    Place locate(const IndexKey& key) const;
    bool place(Entry& entry);
    bool settle_in(std::uint32_t bucket, const Entry& entry, std::uint64_t hash);
    Entry swap(std::uint32_t bucket, int slot, const Entry& entry, std::uint64_t hash);
    void displace(std::uint64_t hash, std::uint32_t bucket, int change);
    void touch(std::uint32_t bucket);
    void rebuild(std::uint32_t buckets, const Entry* homeless);
    std::uint64_t random();

    std::vector<Bucket> buckets_;
    std::size_t size_ = 0;
    std::uint64_t seed_, state_;
    // By protocol (UDP: 1) and 1 + length: how many entries have it.
    std::array<std::array<std::uint32_t, 130>, 2> lengths_{};
    std::array<TouchedBuckets, SLUICE_HALVES> touched_;
};

extern template class PrefixIndex<sluice_index_v4>;
extern template class PrefixIndex<sluice_index_v6>;

}  // namespace sluice

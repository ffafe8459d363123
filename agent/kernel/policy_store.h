// SPDX-License-Identifier: Apache-2.0
// Interned policies in the `policies` array: equal words are stored once and counted.
#pragma once

#include <cstdint>
#include <span>
#include <unordered_map>

#include "core/policy.h"
#include "core/range_allocator.h"
#include "kernel/maps.h"

namespace sluice::kernel {

// A policy's id is the number of its first block; 0 is no policy.
using PolicyId = std::uint32_t;

// The words at `id`, as the kernel's map has them; empty when they reach beyond it.
std::span<const PolicyWord> policy_words(const MappedArray<sluice_policy_block>& blocks,
                                         PolicyId id);

class PolicyStore {
  public:
    explicit PolicyStore(const MappedArray<sluice_policy_block>& blocks)
        : blocks_(&blocks), free_(1, static_cast<std::uint32_t>(blocks.size())) {}

    // One more reference; writes the words where they are new. Fails when the array is full.
    Result<PolicyId> acquire(const PolicyWords& words);
    // 0 when there is no such policy.
    PolicyId find(const PolicyWords& words) const;
    // One reference less. The blocks of the last one are free at once, so no lookup may still read
    // them: call it a grace period after the last column that named the policy was overwritten.
    void release(PolicyId id);
    // A policy that a restarted agent finds in the kernel. False if its blocks make no sense.
    bool adopt(PolicyId id);

    std::size_t size() const { return ids_.size(); }

  private:
    struct Hash {
        std::size_t operator()(const PolicyWords& words) const {
            std::uint64_t hash = 0xcbf29ce484222325ULL;
            for (const PolicyWord word : words) hash = (hash ^ word) * 0x9e3779b97f4a7c15ULL;
            return hash ^ (hash >> 32U);
        }
    };
    struct Entry {
        const PolicyWords* words;  // the key in ids_, whose address is stable
        std::uint32_t references;
    };
    const MappedArray<sluice_policy_block>* blocks_;
    RangeAllocator free_;
    std::unordered_map<PolicyWords, PolicyId, Hash> ids_;
    std::unordered_map<PolicyId, Entry> entries_;
};

}  // namespace sluice::kernel

// SPDX-License-Identifier: Apache-2.0
#include "kernel/policy_store.h"

#include <algorithm>

namespace sluice::kernel {

std::span<const PolicyWord> policy_words(const MappedArray<sluice_policy_block>& blocks,
                                         PolicyId id) {
    if (id == 0 || id >= blocks.size()) return {};
    const PolicyWord* first = &blocks[id].words[0].raw;
    const std::size_t count = policy_blocks(*first);
    if (id + count > blocks.size()) return {};
    return {first, count * SLUICE_BLOCK_WORDS};
}

Result<PolicyId> PolicyStore::acquire(const PolicyWords& words) {
    if (const PolicyId known = find(words); known != 0) {
        ++entries_.at(known).references;
        return known;
    }
    const auto id = free_.take(static_cast<std::uint32_t>(blocks_of(words)));
    if (!id)
        return fail(
            Error(Failure::failed,
                  "no room for another policy of " + std::to_string(blocks_of(words)) + " blocks")
                .hint("the table holds " + std::to_string(SLUICE_POLICY_BLOCKS - 1) +
                      " blocks of distinct port lists; prefixes with equal ones share theirs"));
    std::ranges::copy(words, &(*blocks_)[*id].words[0].raw);
    const auto [at, added] = ids_.emplace(words, *id);
    entries_[*id] = {&at->first, 1};
    return *id;
}

PolicyId PolicyStore::find(const PolicyWords& words) const {
    const auto at = ids_.find(words);
    return at == ids_.end() ? 0 : at->second;
}

void PolicyStore::release(PolicyId id) {
    const auto at = entries_.find(id);
    if (at == entries_.end() || --at->second.references > 0) return;
    free_.give_back(id, static_cast<std::uint32_t>(blocks_of(*at->second.words)));
    ids_.erase(ids_.find(*at->second.words));
    entries_.erase(at);
}

bool PolicyStore::adopt(PolicyId id) {
    if (const auto at = entries_.find(id); at != entries_.end()) {
        ++at->second.references;
        return true;
    }
    const auto words = policy_words(*blocks_, id);
    if (words.empty() ||
        !free_.claim(id, static_cast<std::uint32_t>(words.size() / SLUICE_BLOCK_WORDS)))
        return false;
    const auto [at, added] = ids_.emplace(PolicyWords(words.begin(), words.end()), id);
    entries_[id] = {&at->first, 1};
    return true;
}

}  // namespace sluice::kernel

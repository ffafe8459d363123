// SPDX-License-Identifier: Apache-2.0
#include "core/policy.h"

#include <bit>

#include "sluice/abi.h"

namespace sluice {
namespace {

std::uint16_t target_word(const Binding& binding, const ServiceIds& ids) {
    const auto owner =
        static_cast<std::uint16_t>(binding.owner == Owner::runtime ? SLUICE_RUNTIME : 0);
    switch (binding.target.kind) {
        case Target::Kind::reject:
            return SLUICE_TARGET_REJECT | owner;
        case Target::Kind::pass:
            return SLUICE_TARGET_PASS | owner;
        case Target::Kind::service:
            break;
    }
    return static_cast<std::uint16_t>(ids(*binding.target.name) | owner);
}

PolicyWord raw(sluice_policy_head head) { return std::bit_cast<PolicyWord>(head); }
PolicyWord raw(sluice_policy_entry entry) { return std::bit_cast<PolicyWord>(entry); }

// Free words sort behind every port, so that a search of a whole block needs no count.
constexpr sluice_policy_entry free_word = {0xffff, 0xffff, SLUICE_TARGET_NONE, SLUICE_NO_PARENT};

std::size_t blocks_for(std::size_t entries) {
    return (1 + entries + SLUICE_BLOCK_WORDS - 1) / SLUICE_BLOCK_WORDS;
}

}  // namespace

PolicyWords compile_policy(std::span<const Binding> group, const ServiceIds& ids) {
    sluice_policy_head head{0, SLUICE_TARGET_NONE, 0};
    PolicyWords words(1);
    std::vector<std::uint16_t> open;  // positions of the ranges that enclose the next entry
    std::vector<std::uint16_t> last;  // last port of each entry
    for (const Binding& binding : group) {
        const Ports& ports = binding.match.ports;
        if (ports.is_any()) {
            head.fallback = target_word(binding, ids);
            continue;
        }
        while (!open.empty() && last[open.back()] < ports.first) open.pop_back();
        const std::uint16_t parent = open.empty() ? std::uint16_t{SLUICE_NO_PARENT} : open.back();
        words.push_back(
            raw(sluice_policy_entry{ports.first, ports.last, target_word(binding, ids), parent}));
        open.push_back(static_cast<std::uint16_t>(last.size()));
        last.push_back(ports.last);
    }
    head.count = static_cast<std::uint32_t>(last.size());
    const std::size_t blocks = blocks_for(head.count);
    head.blocks = static_cast<std::uint16_t>(blocks);
    words[0] = raw(head);
    words.resize(blocks * SLUICE_BLOCK_WORDS, raw(free_word));
    return words;
}

std::size_t policy_blocks(PolicyWord head) {
    return blocks_for(std::bit_cast<sluice_policy_head>(head).count);
}

std::optional<std::vector<PolicyLine>> decode_policy(std::span<const PolicyWord> words) {
    if (words.empty()) return std::nullopt;
    const auto head = std::bit_cast<sluice_policy_head>(words[0]);
    if (head.count > SLUICE_MAX_PORTS || words.size() < 1 + std::size_t{head.count})
        return std::nullopt;
    std::vector<PolicyLine> lines;
    const auto add = [&](Ports ports, std::uint16_t word) {
        const auto target = static_cast<std::uint16_t>(word & SLUICE_TARGET_MASK);
        lines.push_back(
            {ports, target, (word & SLUICE_RUNTIME) != 0 ? Owner::runtime : Owner::config});
        return target < SLUICE_TARGET_NONE && ports.first <= ports.last;
    };
    if (head.fallback != SLUICE_TARGET_NONE && !add(Ports::any(), head.fallback))
        return std::nullopt;
    for (std::size_t i = 1; i <= head.count; ++i) {
        const auto entry = std::bit_cast<sluice_policy_entry>(words[i]);
        if (entry.first == 0 || !add({entry.first, entry.last}, entry.target)) return std::nullopt;
    }
    return lines;
}

}  // namespace sluice

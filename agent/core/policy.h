// SPDX-License-Identifier: Apache-2.0
// What one (protocol, prefix) says about ports, in the layout of sluice/abi.h: bindings <-> words.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "core/binding.h"
#include "sluice/abi.h"

namespace sluice {

// Raw sluice_policy_words in host byte order, padded to whole 64-byte blocks. Equal words are equal
// policies, whoever's prefix they are for.
using PolicyWord = decltype(sluice_policy_word::raw);
using PolicyWords = std::vector<PolicyWord>;

inline std::size_t blocks_of(const PolicyWords& words) { return words.size() / 8; }

using ServiceId = std::uint16_t;
// Names must be known: a table is compiled after its services have ids.
using ServiceIds = std::function<ServiceId(const std::string& name)>;

// `group`: all bindings of one (protocol, prefix), in the order of tables (core/bindings.h has
// checked that their ranges nest). Not empty.
PolicyWords compile_policy(std::span<const Binding> group, const ServiceIds& ids);

struct PolicyLine {
    Ports ports;
    std::uint16_t target;  // without the owner bit: a service id, SLUICE_TARGET_REJECT or _PASS
    Owner owner;
};
// The bindings a policy was compiled from, in the same order. Refuses words that no compiler
// writes.
std::optional<std::vector<PolicyLine>> decode_policy(std::span<const PolicyWord> words);

// How many 64-byte blocks a policy has whose first word is `head`.
std::size_t policy_blocks(PolicyWord head);

}  // namespace sluice

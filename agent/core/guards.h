// SPDX-License-Identifier: Apache-2.0
// What a change must not do unless it is asked for by name. Pure: a plan and facts in, refusals
// out.
#pragma once

#include <functional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/config.h"
#include "core/plan.h"

namespace sluice {

// The words of --allow.
enum class Allow : std::uint8_t { removals, protected_, empty, unserved, hosts };
std::string_view to_string(Allow allow);  // "protected"
Result<Allow> parse_allow_word(std::string_view word);
using Allowed = std::set<Allow>;
Result<Allowed> parse_allowed(std::span<const std::string> words);

// What the guards need to know beside the plan.
struct GuardFacts {
    // Has the service, or one that it falls back to, a usable socket for this traffic?
    std::function<bool(const std::string& service, Protocol, Family)> served;
    std::vector<Address> host_addresses;  // those of this host, lo's apart
};

// Judged by the guards that run and by those of the change, whichever is stricter. `before` and
// `after` are the effective tables that `plan` compares.
struct GuardedChange {
    const Plan* plan = nullptr;
    const Bindings* before = nullptr;
    const Bindings* after = nullptr;
    const Guards* running = nullptr;
    const Guards* coming = nullptr;
};
std::vector<RefusedBy> judge_guards(const GuardedChange& change, const GuardFacts& facts,
                                    const Allowed& allowed);

// Addresses of this host, not in `allowed`, whose traffic of some protocol on every port the table
// takes: it would take this host's ssh, and the answers to its own UDP clients. With the binding.
struct HostTaken {
    Address address;
    const Binding* binding = nullptr;
};
std::vector<HostTaken> hosts_taken(const Bindings& table, std::span<const Address> host_addresses,
                                   std::span<const Address> allowed);

}  // namespace sluice

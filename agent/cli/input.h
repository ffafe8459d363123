// SPDX-License-Identifier: Apache-2.0
// What people type, judged before it is sent: protocols, prefixes, ports, lists with commas.
#pragma once

#include <string>
#include <vector>

#include "cli/fields.h"
#include "core/binding.h"
#include "core/config.h"

namespace sluice::cli {

// "a,b" -> {"a", "b"}; an empty item is an error.
Result<std::vector<std::string>> split_list(const std::string& text);

// The product of three lists: what `bind` and `unbind` name. No match twice.
Result<std::vector<Match>> parse_matches(const std::string& protocols, const std::string& prefixes,
                                         const std::string& ports);
Json to_json(const std::vector<Match>& matches);

// PROTOCOL ADDRESS PORT, again and again.
Result<std::vector<ListenTriple>> parse_triples(const std::vector<std::string>& words);

// --allow's words
Result<std::vector<std::string>> parse_allow(const std::string& text);

// A decimal number between the two, nothing else; `what` names it in the error.
Result<std::int32_t> parse_number(const std::string& text, std::int32_t least, std::int32_t most,
                                  const std::string& what);

// A generation's number.
Result<std::int64_t> parse_generation(const std::string& text);

// The filters of `bindings`, checked.
struct BindingFilter {
    std::string service;
    std::optional<Protocol> protocol;
    std::optional<Address> covering;
    std::optional<Prefix> within;
    std::optional<std::uint16_t> port;
    std::string owner;

    Json parameters() const;                    // of the method Bindings
    bool lets_pass(const Json& binding) const;  // what the agent would do, for when it is dead
};

}  // namespace sluice::cli

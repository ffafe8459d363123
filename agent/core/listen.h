// SPDX-License-Identifier: Apache-2.0
// How a kind of socket is written: PROTOCOL ADDRESS PORT.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "core/config.h"

namespace sluice {

std::string to_string(const ListenTriple& triple);  // "tcp 0.0.0.0 443", as the config has it
Result<ListenTriple> parse_listen_triple(std::string_view text);
// "tcp 0.0.0.0 443, tcp :: 443"
std::string to_string(const std::vector<ListenTriple>& triples);

}  // namespace sluice

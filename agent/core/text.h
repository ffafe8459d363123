// SPDX-License-Identifier: Apache-2.0
// Text that people typed, made safe to show again, and what they may have meant.
#pragma once

#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

namespace sluice {

// 'text' for a message: at most 100 bytes of it, control characters and broken UTF-8 as \xNN.
std::string quoted(std::string_view text);

// Control characters as \xNN; everything else as it is.
std::string printable(std::string_view text);

bool is_utf8(std::string_view text);
// No control characters, and valid UTF-8.
bool is_plain_text(std::string_view text);
// Code points, which is terminal columns for all but wide and combining characters.
std::size_t columns(std::string_view text);

// The nearest of `known` when it is so near that a slip of the fingers explains it; else empty.
std::string_view nearest(std::string_view text, const std::vector<std::string_view>& known);

// "1,071,204"
std::string with_commas(std::size_t number);

}  // namespace sluice

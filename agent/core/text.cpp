// SPDX-License-Identifier: Apache-2.0
#include "core/text.h"

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <numeric>

namespace sluice {
namespace {

constexpr std::size_t max_quoted = 100;    // bytes of somebody's text in one message
constexpr std::size_t max_compared = 100;  // longer words are not slips of the fingers

unsigned char byte_at(std::string_view text, std::size_t i) {
    return static_cast<unsigned char>(text[i]);
}

bool is_control(unsigned char c) { return c < 0x20 || c == 0x7f; }

void append_hex(std::string& out, unsigned char c) {
    constexpr std::string_view digits = "0123456789abcdef";
    out += "\\x";
    out += digits[c >> 4U];
    out += digits[c & 15U];
}

// Length of the UTF-8 sequence at `i` (RFC 3629: no overlong forms, surrogates, or above U+10FFFF);
// 0 where there is none.
std::size_t sequence_at(std::string_view text, std::size_t i) {
    const unsigned char lead = byte_at(text, i);
    if (lead < 0x80) return 1;
    const std::size_t size = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;
    if (lead < 0xc2 || lead > 0xf4 || i + size > text.size()) return 0;
    for (std::size_t k = 1; k < size; ++k)
        if ((byte_at(text, i + k) & 0xc0U) != 0x80U) return 0;
    const unsigned char second = byte_at(text, i + 1);
    if ((lead == 0xe0 && second < 0xa0) || (lead == 0xed && second > 0x9f) ||
        (lead == 0xf0 && second < 0x90) || (lead == 0xf4 && second > 0x8f))
        return 0;
    return size;
}

// C1 controls (U+0080 to U+009F) drive terminals as the C0 ones do.
bool is_c1_control(std::string_view text, std::size_t i, std::size_t size) {
    return size == 2 && byte_at(text, i) == 0xc2 && byte_at(text, i + 1) < 0xa0;
}

std::size_t edit_distance(std::string_view a, std::string_view b) {
    std::vector<std::size_t> before(b.size() + 1);
    std::vector<std::size_t> row(b.size() + 1);
    std::iota(before.begin(), before.end(), std::size_t{0});
    for (std::size_t i = 1; i <= a.size(); ++i) {
        row[0] = i;
        for (std::size_t k = 1; k <= b.size(); ++k)
            row[k] = std::min(
                {before[k] + 1, row[k - 1] + 1, before[k - 1] + (a[i - 1] == b[k - 1] ? 0U : 1U)});
        std::swap(row, before);
    }
    return before[b.size()];
}

}  // namespace

std::string printable(std::string_view text) {
    std::string out;
    out.reserve(text.size());
    for (std::size_t i = 0; i < text.size();) {
        const std::size_t size = sequence_at(text, i);
        if (size == 0 || is_control(byte_at(text, i)) || is_c1_control(text, i, size)) {
            append_hex(out, byte_at(text, i));
            ++i;
            if (size == 2) append_hex(out, byte_at(text, i++));
            continue;
        }
        out += text.substr(i, size);
        i += size;
    }
    return out;
}

std::string quoted(std::string_view text) {
    if (text.size() <= max_quoted) return "'" + printable(text) + "'";
    std::size_t end = max_quoted;
    while (end > max_quoted - 4 && (byte_at(text, end) & 0xc0U) == 0x80U) --end;
    return "'" + printable(text.substr(0, end)) + "…'";
}

bool is_utf8(std::string_view text) {
    for (std::size_t i = 0; i < text.size();) {
        std::uint64_t word = 0;
        if (i + sizeof word <= text.size()) {
            std::memcpy(&word, text.data() + i, sizeof word);
            if ((word & 0x8080808080808080U) == 0) {
                i += sizeof word;
                continue;
            }
        }
        const std::size_t size = sequence_at(text, i);
        if (size == 0) return false;
        i += size;
    }
    return true;
}

bool is_plain_text(std::string_view text) {
    for (std::size_t i = 0; i < text.size();) {
        const std::size_t size = sequence_at(text, i);
        if (size == 0 || is_control(byte_at(text, i)) || is_c1_control(text, i, size)) return false;
        i += size;
    }
    return true;
}

std::size_t columns(std::string_view text) {
    return static_cast<std::size_t>(std::ranges::count_if(
        text, [](char c) { return (static_cast<unsigned char>(c) & 0xc0U) != 0x80U; }));
}

std::string_view nearest(std::string_view text, const std::vector<std::string_view>& known) {
    if (text.size() > max_compared) return {};
    std::string_view best;
    std::size_t least = text.size() <= 3 ? 2 : 3;  // distances below this are slips
    for (const std::string_view candidate : known) {
        if (candidate.size() > text.size() + 2 || text.size() > candidate.size() + 2) continue;
        const std::size_t distance = edit_distance(text, candidate);
        if (distance >= least || distance >= candidate.size()) continue;
        least = distance;
        best = candidate;
    }
    return best;
}

std::string with_commas(std::size_t number) {
    std::string text = std::to_string(number);
    for (std::size_t at = text.size(); at > 3;) text.insert(at -= 3, ",");
    return text;
}

}  // namespace sluice

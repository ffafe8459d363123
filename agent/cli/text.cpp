// SPDX-License-Identifier: Apache-2.0
#include "cli/text.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <ctime>

namespace sluice::cli {

namespace {

std::tm local(std::int64_t time) {
    std::tm parts{};
    const std::time_t seconds = time;
    localtime_r(&seconds, &parts);
    return parts;
}

std::string formatted(const std::tm& parts, const char* format) {
    std::array<char, 64> buffer{};
    return {buffer.data(), std::strftime(buffer.data(), buffer.size(), format, &parts)};
}

bool continues(char byte) { return (static_cast<unsigned char>(byte) & 0xc0) == 0x80; }

}  // namespace

std::string paint(const Look& look, Paint paint, std::string_view text) {
    if (!look.colour || paint == Paint::none || text.empty()) return std::string(text);
    const char* code = "";
    switch (paint) {
        case Paint::good:
            code = "\033[32m";
            break;
        case Paint::warn:
            code = "\033[33m";
            break;
        case Paint::bad:
            code = "\033[1;31m";
            break;
        case Paint::dim:
            code = "\033[2m";
            break;
        case Paint::none:
            break;
    }
    return code + std::string(text) + "\033[0m";
}

std::string grouped(std::int64_t number) {
    const auto size = static_cast<std::size_t>(number < 0 ? -number : number);
    return (number < 0 ? "-" : "") + with_commas(size);
}

std::string rate(double per_second) {
    const double tenths = std::round(per_second * 10);
    if (per_second >= 10 || std::fmod(tenths, 10) == 0)
        return grouped(static_cast<std::int64_t>(std::llround(per_second)));
    std::array<char, 32> buffer{};
    std::snprintf(buffer.data(), buffer.size(), "%.1f", per_second);
    return buffer.data();
}

std::string counted(std::int64_t n, std::string_view one, std::string_view many) {
    if (n == 1) return "1 " + std::string(one);
    return grouped(n) + " " + (many.empty() ? std::string(one) + "s" : std::string(many));
}

std::string short_age(std::int64_t seconds) {
    seconds = std::max<std::int64_t>(seconds, 0);
    if (seconds < 60) return std::to_string(seconds) + "s";
    if (seconds < 3600) return std::to_string(seconds / 60) + "m";
    if (seconds < 2 * 86400) return std::to_string(seconds / 3600) + "h";
    return std::to_string(seconds / 86400) + "d";
}

std::string long_age(std::int64_t seconds) {
    seconds = std::max<std::int64_t>(seconds, 0);
    if (seconds < 60) return std::to_string(seconds) + " s";
    if (seconds < 3600) return std::to_string(seconds / 60) + " min";
    if (seconds < 2 * 86400) return counted(seconds / 3600, "hour");
    return counted(seconds / 86400, "day");
}

std::string clock_time(std::int64_t time, std::int64_t now) {
    const std::tm then = local(time);
    const std::tm today = local(now);
    if (then.tm_year == today.tm_year && then.tm_yday == today.tm_yday)
        return formatted(then, "%H:%M:%S");
    const bool this_week = time <= now && now - time < std::int64_t{6} * 86400;
    return formatted(then, this_week ? "%a %H:%M:%S" : "%Y-%m-%d %H:%M:%S");
}

std::string moment(std::int64_t time, std::int64_t now) {
    std::string text = clock_time(time, now);
    const bool today = text.size() == std::string_view("14:02:11").size();
    return today ? text + " today" : text;
}

std::string padded(std::string text, std::size_t width) {
    const std::size_t have = columns(text);
    if (have < width) text.append(width - have, ' ');
    return text;
}

std::string cut(const std::string& text, std::size_t width) {
    if (columns(text) <= width || width == 0) return text;
    std::size_t at = 0;
    for (std::size_t left = width - 1; left > 0; --left) {
        ++at;
        while (at < text.size() && continues(text[at])) ++at;
    }
    return text.substr(0, at) + "…";
}

Lines wrapped(const std::string& text, int width, int indent) {
    Lines lines;
    std::string line;
    const auto limit = static_cast<std::size_t>(std::max(width, 20));
    const std::string margin(static_cast<std::size_t>(indent), ' ');
    std::size_t at = 0;
    while (at < text.size()) {
        // A word and the spaces before it, so that what was aligned stays aligned.
        std::size_t end = text.find_first_not_of(' ', at);
        end = end == std::string::npos ? text.size() : text.find(' ', end);
        if (end == std::string::npos) end = text.size();
        const std::string word = text.substr(at, end - at);
        at = end;
        const bool has_words = line.find_first_not_of(' ') != std::string::npos;
        if (has_words && columns(line) + columns(word) > limit) {
            lines.push_back(line);
            const std::size_t start = word.find_first_not_of(' ');
            line = margin + (start == std::string::npos ? "" : word.substr(start));
        } else {
            line += word;
        }
    }
    lines.push_back(line);
    return lines;
}

std::vector<std::size_t> Table::widths(const Look& look) const {
    std::vector<std::size_t> width;
    for (const Column& column : columns_)
        width.push_back(std::max(column.least, columns(column.title)));
    for (const auto& cells : rows_) {
        std::size_t at = 0;
        for (const Cell& cell : cells) {
            if (cell.span == 1) width[at] = std::max(width[at], columns(cell.text));
            at += static_cast<std::size_t>(cell.span);
        }
    }
    std::size_t total = 0;
    for (std::size_t at = 0; at < width.size(); ++at)
        total += width[at] + (at + 1 < width.size() ? columns_[at].gap : 0);
    const auto screen = static_cast<std::size_t>(look.width);
    for (std::size_t at = 0; at < columns_.size() && total > screen; ++at) {
        if (!columns_[at].shrinks) continue;
        const std::size_t least = std::max<std::size_t>(columns(columns_[at].title), 8);
        if (width[at] <= least) continue;
        const std::size_t less = std::min(total - screen, width[at] - least);
        width[at] -= less;
        total -= less;
    }
    return width;
}

Lines Table::line(const Look& look, const std::vector<Cell>& cells,
                  const std::vector<std::size_t>& width) const {
    Lines lines{""};
    std::size_t used = 0;  // columns of the last line; colours take none
    std::size_t at = 0;
    for (const Cell& cell : cells) {
        const std::size_t end = at + static_cast<std::size_t>(cell.span);
        std::size_t room = width[at];
        for (std::size_t more = at + 1; more < end; ++more)
            room += columns_[more - 1].gap + width[more];
        const std::string shown = columns_[at].shrinks ? cut(cell.text, room) : cell.text;
        const std::size_t have = columns(shown);
        const std::size_t blank = have < room ? room - have : 0;
        const std::size_t before = columns_[at].right ? blank : 0;
        if (at > 0 && used + before + have > static_cast<std::size_t>(look.width)) {
            lines.emplace_back(8, ' ');  // what does not fit goes on below, whole
            used = 8;
        }
        lines.back() += std::string(before, ' ') + paint(look, cell.paint, shown) +
                        std::string(blank - before + columns_[end - 1].gap, ' ');
        used += room + columns_[end - 1].gap;
        at = end;
    }
    for (std::string& one : lines) one.erase(one.find_last_not_of(' ') + 1);
    return lines;
}

Lines Table::lines(const Look& look) const {
    const std::vector<std::size_t> width = widths(look);
    Lines lines;
    std::vector<Cell> titles;
    bool titled = false;
    for (const Column& column : columns_) {
        titles.push_back({column.title});
        titled = titled || !column.title.empty();
    }
    if (titled) lines = line(look, titles, width);
    for (const auto& cells : rows_) {
        for (std::string& one : line(look, cells, width)) {
            if (!one.empty()) lines.push_back(std::move(one));
        }
    }
    return lines;
}

}  // namespace sluice::cli

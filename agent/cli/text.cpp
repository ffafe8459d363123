// SPDX-License-Identifier: Apache-2.0
#include "cli/text.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <ctime>
#include <map>

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

constexpr std::size_t narrowest = 8;  // of a column that shrinks

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

std::string minutes_text(std::int64_t seconds) {
    const std::string rest = std::to_string(seconds % 60);
    return std::to_string(seconds / 60) + ":" + (rest.size() < 2 ? "0" : "") + rest;
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

std::string joined(const Lines& lines) {
    std::string text;
    for (const std::string& line : lines) text += line + "\n";
    return text;
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
        const bool helps = margin.size() + columns(word) <= limit + 1;  // it has a space before it
        if (has_words && helps && columns(line) + columns(word) > limit) {
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

namespace {

// How many cells of a column have which width.
using Widths = std::map<std::size_t, std::size_t>;

// The next narrower width that a column may have, and what that costs.
struct Step {
    std::size_t column = 0;
    std::size_t width = 0;
    std::size_t gained = 0;  // columns of the screen
    std::size_t longer = 0;  // cells that will not fit any more
    bool better_than(const Step& other) const {
        return other.gained == 0 || longer * other.gained < other.longer * gained;
    }
};

Step narrower(std::size_t column, std::size_t width, std::size_t least, const Widths& cells) {
    if (width <= least) return {};
    std::size_t next = least;
    std::size_t longer = 0;
    for (auto at = cells.rbegin(); at != cells.rend(); ++at) {
        if (at->first < width) {
            next = std::max(least, at->first);
            break;
        }
        longer += at->second;
    }
    return {column, next, width - next, longer};
}

}  // namespace

// As wide as what is in them. Where the screen is too narrow for that, a few long cells must not
// break every row: columns that may shrink do so where it costs the fewest rows.
std::vector<std::size_t> Table::widths(const Look& look) const {
    std::vector<Widths> cells(columns_.size());
    std::vector<std::size_t> least;
    std::vector<std::size_t> width;
    for (const Column& column : columns_) {
        least.push_back(std::max(column.least, columns(column.title)));
        width.push_back(least.back());
    }
    for (const auto& row : rows_) {
        std::size_t at = 0;
        for (const Cell& cell : row) {
            const std::size_t have = columns(cell.text);
            if (cell.span == 1) {
                width[at] = std::max(width[at], have);
                ++cells[at][have];
            }
            at += static_cast<std::size_t>(cell.span);
        }
    }
    std::size_t total = 0;
    for (std::size_t at = 0; at < width.size(); ++at)
        total += width[at] + (at + 1 < width.size() ? columns_[at].gap : 0);
    while (total > static_cast<std::size_t>(look.width)) {
        Step best;
        for (std::size_t at = 0; at < width.size(); ++at) {
            if (!columns_[at].shrinks && at + 1 != width.size()) continue;
            const Step step = narrower(at, width[at], std::max(least[at], narrowest), cells[at]);
            if (step.gained > 0 && step.better_than(best)) best = step;
        }
        if (best.gained == 0) break;
        width[best.column] = best.width;
        total -= best.gained;
    }
    return width;
}

// A cell that does not fit stands whole, and its row goes on below, in the columns.
Lines Table::line(const Look& look, const std::vector<Cell>& cells,
                  const std::vector<std::size_t>& width) const {
    constexpr std::size_t margin = 8;
    const auto screen = static_cast<std::size_t>(look.width);
    Lines lines{""};
    std::size_t used = 0;   // columns of the last line, spaces at its end not counted
    std::size_t start = 0;  // where the cell's column begins
    std::size_t at = 0;
    for (const Cell& cell : cells) {
        const std::size_t end = at + static_cast<std::size_t>(cell.span);
        std::size_t room = width[at];
        for (std::size_t more = at + 1; more < end; ++more)
            room += columns_[more - 1].gap + width[more];
        const std::size_t have = columns(cell.text);
        const std::size_t before = columns_[at].right && have < room ? room - have : 0;
        if (have > 0) {
            const bool wide = at > 0 && start + before + have > screen;
            const std::size_t column = wide ? margin : start + before;
            const std::size_t gap = at == 0 ? 0 : columns_[at - 1].gap;
            if (used > 0 && used + gap > column) {
                lines.emplace_back();
                used = 0;
            }
            lines.back() += std::string(column - used, ' ');
            const bool last = end == columns_.size();
            const Lines pieces = wide && last
                                     ? wrapped(cell.text, look.width - static_cast<int>(margin), 0)
                                     : Lines{cell.text};
            for (const std::string& piece : pieces) {
                if (&piece != &pieces.front()) lines.emplace_back(margin, ' ');
                lines.back() += paint(look, cell.paint, piece);
            }
            used = column + columns(pieces.back());
        }
        start += room + columns_[end - 1].gap;
        at = end;
    }
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

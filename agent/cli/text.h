// SPDX-License-Identifier: Apache-2.0
// How numbers, times and tables look on a screen. Pure: what depends on the terminal or the clock
// comes in a Look.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "core/text.h"

namespace sluice::cli {

using Lines = std::vector<std::string>;

// What the screen is like, and the facts about the moment that a screen shows.
struct Look {
    bool colour = false;
    int width = 80;        // columns
    std::int64_t now = 0;  // seconds since 1970; shown in the time zone of the process
    std::function<std::string(std::uint32_t uid)> user;  // a user's name; empty: uids are shown
};

enum class Paint { none, good, warn, bad, dim };
// The text in its colour, when the screen has colours. Meaning never rests on it.
std::string paint(const Look& look, Paint paint, std::string_view text);

std::string grouped(std::int64_t number);  // 12,480
std::string rate(double per_second);       // 8,214   0.4   0
std::string counted(std::int64_t n, std::string_view one,
                    std::string_view many = "");  // 2 bindings

std::string short_age(std::int64_t seconds);     // 45s 12m 5h 3d
std::string long_age(std::int64_t seconds);      // 45 s, 14 min, 5 hours, 12 days
std::string minutes_text(std::int64_t seconds);  // 3:12
// 14:02:11 today; Mon 17:40:02 within a week; 2026-11-20 17:40:02
std::string moment(std::int64_t time, std::int64_t now);
std::string clock_time(std::int64_t time, std::int64_t now);  // as moment(), without the "today"

std::string padded(std::string text, std::size_t width);
std::string joined(const Lines& lines);  // each with a newline after it
// Broken at spaces; lines after the first start with `indent` spaces. A word that is longer than
// any line stays where it is.
Lines wrapped(const std::string& text, int width, int indent);

struct Cell {
    std::string text;
    Paint paint = Paint::none;
    int span = 1;  // how many columns it may take; the spanned ones have no cell of their own
};

struct Column {
    std::string title;
    bool right = false;     // numbers
    std::size_t least = 0;  // the least width
    bool shrinks = false;   // longer cells may stand out when the table is wider than the screen
    std::size_t gap = 2;    // spaces after it
};

// Columns as wide as what is in them, when the screen is. Nothing is cut: a cell that does not fit
// stands whole, and its row goes on below. No spaces at the end of a line.
class Table {
  public:
    explicit Table(std::vector<Column> table_columns) : columns_(std::move(table_columns)) {}
    void row(std::vector<Cell> cells) { rows_.push_back(std::move(cells)); }
    bool empty() const { return rows_.empty(); }
    // The title row comes first, unless no column has a title.
    Lines lines(const Look& look) const;

  private:
    std::vector<std::size_t> widths(const Look& look) const;
    Lines line(const Look& look, const std::vector<Cell>& cells,
               const std::vector<std::size_t>& width) const;
    std::vector<Column> columns_;
    std::vector<std::vector<Cell>> rows_;
};

}  // namespace sluice::cli

// SPDX-License-Identifier: Apache-2.0
// What a config's problems look like to people.
#include <algorithm>

#include "core/config.h"
#include "core/text.h"

namespace sluice {

namespace {

constexpr std::size_t shown_columns = 68;  // of a line of the file: with its number, on 80 columns

// From a code point on, so many of them.
std::string part_of(std::string_view text, std::size_t from, std::size_t count) {
    std::string part;
    std::size_t at = 0;
    for (const char byte : text) {
        const bool starts = (static_cast<unsigned char>(byte) & 0xc0U) != 0x80U;
        if (starts) ++at;
        if (at > from && at <= from + count) part += byte;
    }
    return part;
}

// A line as it is shown, with marks under what is wrong; a long one is cut on both sides of that.
struct Snippet {
    std::string text;
    std::size_t before = 0;  // columns in front of the marks
    std::size_t marks = 1;
};

// `column` and `width` count bytes, as the YAML parser does.
Snippet snippet(const std::string& line, std::size_t column, std::size_t width) {
    const std::string_view whole(line);
    column = std::min(column, whole.size());
    Snippet shown{printable(line), columns(printable(whole.substr(0, column))),
                  columns(printable(whole.substr(column, width)))};
    const std::size_t all = columns(shown.text);
    if (all > shown_columns) {
        const std::size_t half = shown_columns / 2;
        const std::size_t first =
            std::min(shown.before > half ? shown.before - half : 0, all - shown_columns);
        std::string text = part_of(shown.text, first, shown_columns);
        if (first > 0) text = "…" + part_of(text, 1, shown_columns);
        if (first + shown_columns < all) text = part_of(text, 0, shown_columns - 1) + "…";
        shown.text = std::move(text);
        shown.before -= first;
        shown.marks = std::min(shown.marks, shown_columns - shown.before);
    }
    shown.marks = std::max<std::size_t>(shown.marks, 1);
    return shown;
}

}  // namespace

std::vector<std::string> problem_lines(const Problem& problem) {
    const std::string place = to_string(problem.place);
    std::vector<std::string> lines{(place.empty() ? "" : place + ": ") +
                                   printable(problem.message)};
    if (problem.line.empty() || problem.place.line <= 0) return lines;
    const std::string number = std::to_string(problem.place.line);
    const Snippet shown =
        snippet(problem.line, static_cast<std::size_t>(std::max(problem.place.column - 1, 0)),
                static_cast<std::size_t>(std::max(problem.width, 1)));
    lines.push_back("  " + number + " | " + shown.text);
    if (problem.place.column <= 0) return lines;
    lines.push_back("  " + std::string(number.size(), ' ') + " | " +
                    std::string(shown.before, ' ') + std::string(shown.marks, '^'));
    return lines;
}

Error to_error(const CheckedConfig& checked) {
    if (checked.errors.empty()) return {Failure::invalid, "the config is invalid"};
    std::string why;
    for (const Problem& problem : checked.errors) {
        for (const std::string& line : problem_lines(problem))
            why += (why.empty() ? "" : "\n") + line;
        if (checked.errors.size() > 1 && !problem.hint.empty())
            why += "\nhint: " + printable(problem.hint);
    }
    if (checked.more_errors > 0) why += "\n… " + with_commas(checked.more_errors) + " more";
    // Of several, each hint stands below its own problem.
    Error error(Failure::invalid, std::move(why));
    if (checked.errors.size() == 1) error = std::move(error).hint(checked.errors.front().hint);
    for (const Problem& problem : checked.errors) error = std::move(error).at(problem.place);
    return error;
}

}  // namespace sluice

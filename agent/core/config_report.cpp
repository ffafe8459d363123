// SPDX-License-Identifier: Apache-2.0
// What a config's problems look like to people.
#include <algorithm>

#include "core/config.h"
#include "core/text.h"

namespace sluice {

std::vector<std::string> problem_lines(const Problem& problem) {
    const std::string place = to_string(problem.place);
    std::vector<std::string> lines{(place.empty() ? "" : place + ": ") +
                                   printable(problem.message)};
    if (problem.line.empty() || problem.place.line <= 0) return lines;
    const std::string number = std::to_string(problem.place.line);
    lines.push_back("  " + number + " | " + printable(problem.line));
    if (problem.place.column <= 0) return lines;
    const auto before = static_cast<std::size_t>(problem.place.column - 1);
    const auto marks = static_cast<std::size_t>(std::max(problem.width, 1));
    lines.push_back("  " + std::string(number.size(), ' ') + " | " + std::string(before, ' ') +
                    std::string(marks, '^'));
    return lines;
}

Error to_error(const CheckedConfig& checked) {
    if (checked.errors.empty()) return {Failure::invalid, "the config is invalid"};
    std::string why;
    for (const Problem& problem : checked.errors) {
        for (const std::string& line : problem_lines(problem))
            why += (why.empty() ? "" : "\n") + line;
        if (&problem != &checked.errors.front() && !problem.hint.empty())
            why += "\nhint: " + printable(problem.hint);
    }
    if (checked.more_errors > 0) why += "\n… " + std::to_string(checked.more_errors) + " more";
    Error error = Error(Failure::invalid, std::move(why)).hint(checked.errors.front().hint);
    for (const Problem& problem : checked.errors) error = std::move(error).at(problem.place);
    return error;
}

}  // namespace sluice

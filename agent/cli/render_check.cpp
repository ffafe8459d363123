// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "cli/render.h"

namespace sluice::cli {

namespace {

// 9 |   - {protocol: tcp, prefx: 192.0.2.200/32}
//   |                     ^^^^^
void snippet(Lines& lines, const Problem& problem) {
    if (problem.line.empty() || problem.place.line <= 0) return;
    const std::string number = std::to_string(problem.place.line);
    lines.push_back("  " + number + " | " + printable(problem.line));
    if (problem.place.column <= 0) return;
    const auto before = static_cast<std::size_t>(problem.place.column - 1);
    const auto marks = static_cast<std::size_t>(std::max(problem.width, 1));
    lines.push_back("  " + std::string(number.size(), ' ') + " | " + std::string(before, ' ') +
                    std::string(marks, '^'));
}

void problem_lines(Lines& lines, const Problem& problem, const char* head, const Look& look) {
    const std::string place = to_string(problem.place);
    const Lines one = wrapped(
        printable(head + (place.empty() ? "" : place + ": ") + problem.message), look.width, 2);
    lines.insert(lines.end(), one.begin(), one.end());
    snippet(lines, problem);
    if (!problem.hint.empty()) lines.push_back("hint: " + printable(problem.hint));
}

Json problem_document(const Problem& problem) {
    return {{"file", problem.place.file},
            {"line", problem.place.line},
            {"column", problem.place.column},
            {"message", problem.message},
            {"hint", problem.hint}};
}

}  // namespace

Lines render_problems(const CheckedConfig& checked, const Look& look) {
    Lines lines;
    for (const Problem& error : checked.errors)
        problem_lines(lines, error, "sluicectl: check: ", look);
    if (checked.more_errors > 0)
        lines.push_back("… " + counted(static_cast<std::int64_t>(checked.more_errors), "more error",
                                       "more errors"));
    for (const Problem& warning : checked.warnings)
        problem_lines(lines, warning, "warning: ", look);
    return lines;
}

Json check_document(const CheckedConfig& checked) {
    Json errors = Json::array();
    Json warnings = Json::array();
    for (const Problem& error : checked.errors) errors.push_back(problem_document(error));
    for (const Problem& warning : checked.warnings) warnings.push_back(problem_document(warning));
    return {{"valid", checked.valid()},
            {"errors", std::move(errors)},
            {"more_errors", checked.more_errors},
            {"warnings", std::move(warnings)}};
}

}  // namespace sluice::cli

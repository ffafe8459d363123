// SPDX-License-Identifier: Apache-2.0
#include "cli/render.h"

namespace sluice::cli {

namespace {

void show_problem(Lines& lines, const Problem& problem, const char* head, const Look& look) {
    const std::vector<std::string> report = problem_lines(problem);
    const Lines first = wrapped(head + report.front(), look.width, 2);
    lines.insert(lines.end(), first.begin(), first.end());
    lines.insert(lines.end(), report.begin() + 1, report.end());
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
        show_problem(lines, error, "sluicectl: check: ", look);
    if (checked.more_errors > 0)
        lines.push_back("… " + counted(static_cast<std::int64_t>(checked.more_errors), "more error",
                                       "more errors"));
    for (const Problem& warning : checked.warnings) show_problem(lines, warning, "warning: ", look);
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

// SPDX-License-Identifier: Apache-2.0
#include "cli/render.h"

namespace sluice::cli {

namespace {

// What an agent or a file made may hold anything; a newline is kept, it separates the lines of a
// snippet.
Lines split(const std::string& text) {
    Lines lines{""};
    for (const char byte : text) {
        if (byte == '\n')
            lines.emplace_back();
        else
            lines.back() += byte;
    }
    for (std::string& line : lines) line = printable(line);
    return lines;
}

// What people copy stays on one line.
bool may_break(const std::string& hint) {
    return hint.starts_with("hint: usage: ") || hint.find("sluicectl ") == std::string::npos;
}

// The place goes before the reason, unless the reason already says it.
std::string reason(const Error& error) {
    if (error.where().empty()) return error.why();
    const std::string place = to_string(error.where().front());
    if (place.empty() || error.why().find(place) != std::string::npos) return error.why();
    return place + ": " + error.why();
}

}  // namespace

Lines render_error(const Error& error, const Look& look) {
    const std::string doing = error.doing().empty() ? "" : error.doing() + ": ";
    const Lines parts = split("sluicectl: " + doing + reason(error));
    Lines lines = wrapped(parts.front(), look.width, 0);
    for (std::size_t at = 1; at < parts.size(); ++at) {
        // Lines of a file, and marks under them, are indented and stay whole.
        const bool whole = parts[at].starts_with("  ");
        const Lines part = whole ? Lines{parts[at]} : wrapped(parts[at], look.width, 2);
        lines.insert(lines.end(), part.begin(), part.end());
    }
    if (error.hint().empty()) return lines;
    std::string indent;
    for (const std::string& line : split("hint: " + error.hint())) {
        const Lines hint =
            may_break(line) ? wrapped(indent + line, look.width, 6) : Lines{indent + line};
        lines.insert(lines.end(), hint.begin(), hint.end());
        indent = "      ";
    }
    return lines;
}

Json error_document(const Error& error) {
    Json where = Json::array();
    for (const Place& place : error.where())
        where.push_back({{"file", place.file}, {"line", place.line}, {"column", place.column}});
    return {{"error",
             {{"exit", error.exit_code()},
              {"doing", error.doing()},
              {"why", error.why()},
              {"hint", error.hint()},
              {"where", std::move(where)}}}};
}

}  // namespace sluice::cli

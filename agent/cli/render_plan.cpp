// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "cli/render.h"

namespace sluice::cli {

namespace {

constexpr std::size_t shown_changes = 40;  // of one kind; a reload may add a million

// S of the JSON: a service, "reject" or "pass", which is what the kernel would do.
std::string other(const Json& change, const char* key) {
    const std::string name = text_of(change, key);
    if (name == "pass") return "the kernel";
    return name == "reject" ? "(reject)" : name;
}

struct Kind {
    const char* list;
    const char* sign;
    Paint colour;
    const char* key;
    const char* words;
};
constexpr Kind kinds[] = {{"added", "+", Paint::good, "takes_from", "takes from "},
                          {"moved", "~", Paint::warn, "from", "was "},
                          {"removed", "-", Paint::bad, "falls_to", "falls to "}};

std::string match_text(const Json& binding) {
    return text_of(binding, "protocol") + " " + text_of(binding, "prefix") + " " +
           text_of(binding, "port");
}

std::string place(const Json& binding) {
    const std::string source = source_of(binding);
    if (!source.empty()) return source;
    return text_of(binding, "owner");
}

void binding_changes(Table& table, const Json& changes, const Kind& kind) {
    std::size_t shown = 0;
    const Json& list = list_of(changes, kind.list);
    for (const Json& change : list) {
        if (shown == shown_changes && list.size() > shown_changes + 1) {
            const auto more = static_cast<std::int64_t>(list.size() - shown);
            table.row({{kind.sign, kind.colour}, {"… " + grouped(more) + " more", Paint::none, 4}});
            return;
        }
        ++shown;
        const std::string from = other(change, kind.key);
        table.row({{kind.sign, kind.colour},
                   {match_text(change)},
                   {target_of(change)},
                   {from.empty() ? "" : kind.words + from},
                   {place(change)}});
    }
}

std::string value_text(const Json& value) {
    if (value.is_null()) return "nothing";
    if (value.is_string()) return printable(value.get_ref<const std::string&>());
    if (!value.is_array()) return printable(one_line(value));
    std::string list;
    for (const Json& item : value) list += (list.empty() ? "" : ", ") + value_text(item);
    return "[" + list + "]";
}

void service_changes(Table& table, const Json& changes) {
    for (const Json& service : list_of(changes, "services")) {
        const std::string change = text_of(service, "change");
        const Kind& kind = kinds[change == "added" ? 0 : change == "removed" ? 2 : 1];
        const std::string name = "service " + text_of(service, "name");
        const Json& fields = field(service, "fields");
        if (change != "changed" || !fields.is_object() || fields.empty()) {
            table.row({{kind.sign, kind.colour}, {name}});
            continue;
        }
        for (const auto& [key, values] : fields.items()) {
            if (!values.is_array() || values.size() != 2) continue;
            table.row(
                {{kind.sign, kind.colour},
                 {name},
                 {printable(key) + ": " + value_text(values[0]) + " -> " + value_text(values[1]),
                  Paint::none, 3}});
        }
    }
}

std::string summary(const Json& changes) {
    std::string text;
    std::int64_t running = 0;
    for (const Kind& kind : kinds) {
        const auto n = static_cast<std::int64_t>(list_of(changes, kind.list).size());
        if (std::string_view(kind.list) != "removed") running += n;
        text += (text.empty() ? "" : ", ") + grouped(n) + " " + kind.list;
    }
    if (const auto bindings = number_of(changes, "bindings"))
        text += ", " + grouped(std::max<std::int64_t>(*bindings - running, 0)) + " as they are";
    const auto services = static_cast<std::int64_t>(list_of(changes, "services").size());
    if (services > 0) text += "; " + counted(services, "service changes", "services change");
    return text;
}

bool has_changes(const Json& reply) {
    return std::any_of(std::begin(kinds), std::end(kinds),
                       [&](const Kind& kind) { return !list_of(reply, kind.list).empty(); }) ||
           !list_of(reply, "services").empty();
}

void append(Lines& lines, const Lines& more) {
    lines.insert(lines.end(), more.begin(), more.end());
}

}  // namespace

Lines render_warnings(const Json& warnings, const Look& look) {
    Lines lines;
    if (!warnings.is_array()) return lines;
    for (const Json& warning : warnings) {
        Lines one = wrapped("warning: " + text_of(warning, "message"), look.width, 9);
        one.front().replace(0, 8, paint(look, Paint::warn, "warning:"));
        append(lines, one);
        const std::string fix = text_of(warning, "fix");
        if (!fix.empty()) lines.push_back("         " + fix);
    }
    return lines;
}

Lines render_changes(const Json& changes, const Look& look) {
    Lines lines;
    if (has_changes(changes)) {
        Table table({{"", false, 0, false, 1},
                     {"", false, 0, true},
                     {"", false, 8, true},
                     {"", false, 0, true},
                     {""}});
        for (const Kind& kind : kinds) binding_changes(table, changes, kind);
        service_changes(table, changes);
        lines = table.lines(look);
        lines.emplace_back();
        lines.push_back(summary(changes));
    }
    append(lines, render_warnings(field(changes, "warnings"), look));
    return lines;
}

Lines render_outcome(const Json& reply, const Look& look) {
    Lines lines = render_changes(reply, look);
    const std::string generation = "generation " + std::to_string(count_of(reply, "generation"));
    if (flag_of(reply, "changed"))
        lines.push_back(generation + " answers");
    else
        lines.push_back("nothing to change: " + generation + " goes on as it was");
    return lines;
}

Error refusal(const Json& reply, std::string_view command) {
    std::string why = "refused";
    std::string words;
    for (const Json& guard : list_of(reply, "refused_by")) {
        why += (why == "refused" ? ": " : "; ") + text_of(guard, "message");
        const std::string allow = text_of(guard, "allow");
        if (!allow.empty()) words += (words.empty() ? "" : ",") + allow;
    }
    Error error = Error(Failure::refused, why).during(command);
    if (words.empty()) return error;
    return std::move(error).hint("if it is meant: sluicectl " + std::string(command) + " --allow " +
                                 words);
}

Lines render_refused(const Json& reply, const Look& look) {
    Table table({{"", false, 0, false, 1}, {"", false, 0, true}, {"", false, 8, true}, {""}});
    const Json& removed = list_of(reply, "removed");
    for (std::size_t at = 0; at < std::min<std::size_t>(removed.size(), 3); ++at) {
        const Json& binding = removed[at];
        const std::string source = place(binding);
        table.row({{"  -", Paint::bad},
                   {match_text(binding)},
                   {target_of(binding)},
                   {source.empty() ? "" : "was " + source}});
    }
    if (table.empty()) return {};
    Lines lines = table.lines(look);
    if (removed.size() > 3)
        lines.push_back("  … " + grouped(static_cast<std::int64_t>(removed.size() - 3)) + " more");
    return lines;
}

}  // namespace sluice::cli

// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>
#include <cstdio>
#include <iterator>
#include <map>
#include <optional>
#include <set>

#include "cli/render.h"

namespace sluice::cli {

namespace {

constexpr std::int64_t much = 60;  // changes that are summed up by service
constexpr std::size_t shown_rows = 15;
constexpr std::int64_t shown_warnings = 4;  // of one kind

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

std::int64_t count_in(const Json& changes, const Kind& kind) {
    const auto counted = number_of(field(changes, "counts"), kind.list);
    return counted ? *counted : static_cast<std::int64_t>(list_of(changes, kind.list).size());
}

void binding_changes(Table& table, const Json& changes, const Kind& kind) {
    for (const Json& change : list_of(changes, kind.list)) {
        const std::string from = other(change, kind.key);
        table.row({{kind.sign, kind.colour},
                   {match_text(change)},
                   {target_of(change)},
                   {from.empty() ? "" : kind.words + from},
                   {place(change)}});
    }
}

void say_how_many_more(Table& table, const Json& changes, const Kind& kind) {
    const auto more =
        count_in(changes, kind) - static_cast<std::int64_t>(list_of(changes, kind.list).size());
    if (more > 0)
        table.row({{kind.sign, kind.colour}, {"… " + grouped(more) + " more", Paint::none, 4}});
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
        const auto n = count_in(changes, kind);
        if (std::string_view(kind.list) != "removed") running += n;
        text += (text.empty() ? "" : ", ") + grouped(n) + " " + kind.list;
    }
    if (const auto bindings = number_of(changes, "bindings"))
        text += ", " + grouped(std::max<std::int64_t>(*bindings - running, 0)) + " as they are";
    const auto services = static_cast<std::int64_t>(list_of(changes, "services").size());
    if (services > 0) text += "; " + counted(services, "service changes", "services change");
    return text;
}

void append(Lines& lines, const Lines& more) {
    lines.insert(lines.end(), more.begin(), more.end());
}

Table change_table() {
    return Table({{"", false, 0, false, 1},
                  {"", false, 0, true},
                  {"", false, 8, true},
                  {"", false, 0, true},
                  {""}});
}

const Kind& kind_of(std::string_view list) {
    return *std::find_if(std::begin(kinds), std::end(kinds) - 1,
                         [&](const Kind& kind) { return list == kind.list; });
}

std::string milliseconds(double time) {
    if (time >= 1000) return rate(time / 1000) + " s";
    std::array<char, 32> text{};
    std::snprintf(text.data(), text.size(), "%.1f ms", time);
    return text.data();
}

// Of many changes, what they are to each service.
Lines by_service(const Json& changes, const Look& look) {
    std::int64_t total = 0;
    for (const Kind& kind : kinds) total += count_in(changes, kind);
    if (total < much) return {};
    Table table({{"SERVICE", false, 8},
                 {"ADDED", true, 8},
                 {"MOVED TO", true},
                 {"MOVED FROM", true},
                 {"REMOVED", true}});
    std::size_t rows = 0;
    const Json& list = list_of(changes, "per_service");
    for (const Json& row : list) {
        if (rows++ == shown_rows) break;
        const std::string name = text_of(row, "name");
        const bool verdict = name == "reject" || name == "pass";
        table.row({{verdict ? "(" + name + ")" : name},
                   {grouped(count_of(row, "added"))},
                   {grouped(count_of(row, "moved_to"))},
                   {grouped(count_of(row, "moved_from"))},
                   {grouped(count_of(row, "removed"))}});
    }
    Lines lines{""};
    const Lines body = table.lines(look);
    lines.insert(lines.end(), body.begin(), body.end());
    if (list.size() > shown_rows)
        lines.push_back("… " + counted(static_cast<std::int64_t>(list.size() - shown_rows),
                                       "more service", "more services"));
    return lines;
}

bool has_changes(const Json& reply) {
    return std::any_of(std::begin(kinds), std::end(kinds),
                       [&](const Kind& kind) { return count_in(reply, kind) > 0; }) ||
           !list_of(reply, "services").empty();
}

Lines after_the_lists(const Json& changes, const Look& look) {
    Lines lines = by_service(changes, look);
    if (has_changes(changes)) {
        lines.emplace_back();
        lines.push_back(summary(changes));
    }
    append(lines, render_warnings(field(changes, "warnings"), look));
    return lines;
}

}  // namespace

Lines render_warnings(const Json& warnings, const Look& look) {
    Lines lines;
    if (!warnings.is_array()) return lines;
    std::map<std::string, std::int64_t> seen;  // by code: a thousand of one kind hide the others
    for (const Json& warning : warnings) {
        if (++seen[text_of(warning, "code")] > shown_warnings) continue;
        Lines one = wrapped("warning: " + text_of(warning, "message"), look.width, 9);
        one.front().replace(0, 8, paint(look, Paint::warn, "warning:"));
        append(lines, one);
        const std::string fix = text_of(warning, "fix");
        if (!fix.empty()) lines.push_back("         " + fix);
    }
    for (const auto& [code, count] : seen)
        if (count > shown_warnings)
            lines.push_back("         … " + grouped(count - shown_warnings) + " more of '" + code +
                            "': -o json has them");
    return lines;
}

Lines render_changes(const Json& changes, const Look& look) {
    Table table = change_table();
    for (const Kind& kind : kinds) {
        binding_changes(table, changes, kind);
        say_how_many_more(table, changes, kind);
    }
    service_changes(table, changes);
    Lines lines = table.empty() ? Lines{} : table.lines(look);
    append(lines, after_the_lists(changes, look));
    return lines;
}

Lines render_change_lists(const Json& part, const Look& look) {
    Table table = change_table();
    for (const Kind& kind : kinds) binding_changes(table, part, kind);
    return table.empty() ? Lines{} : table.lines(look);
}

Lines render_change_summary(const Json& changes, const Look& look) {
    Table table = change_table();
    service_changes(table, changes);
    Lines lines = table.empty() ? Lines{} : table.lines(look);
    append(lines, after_the_lists(changes, look));
    return lines;
}

Lines render_outcome(const Json& reply, const Look&) {
    const std::string generation = "generation " + std::to_string(count_of(reply, "generation"));
    if (!flag_of(reply, "changed"))
        return {"nothing to change: " + generation + " goes on as it was"};
    return {generation + " answers"};
}

Lines render_applied(const Json& reply, std::optional<std::int64_t> within, const Look& look) {
    Lines lines = render_outcome(reply, look);
    if (!flag_of(reply, "changed")) return lines;
    double total = 0;
    for (const Json& time : list_of(reply, "times"))
        if (text_of(time, "step") != "flip") total += real_of(time, "milliseconds").value_or(0);
    lines.back() += " (" + milliseconds(total) + ")";
    if (!within) return lines;
    lines.back() += "; it returns to " + std::to_string(count_of(reply, "base_generation")) +
                    " at " + clock_time(look.now + *within, look.now);
    lines.push_back("keep it: sluicectl confirm        go back now: sluicectl rollback");
    return lines;
}

Lines render_times(const Json& reply) {
    Table table({{"", false, 8}, {"", true, 10}});
    for (const Json& time : list_of(reply, "times"))
        table.row(
            {{text_of(time, "step")}, {milliseconds(real_of(time, "milliseconds").value_or(0))}});
    return table.empty() ? Lines{} : table.lines(Look{.user = {}});
}

Error refusal(const Json& reply, std::string_view command) {
    std::string why = "refused";
    std::string words;
    for (const Json& guard : list_of(reply, "refused_by")) {
        why += (why == "refused" ? ": " : ", and ") + text_of(guard, "message");
        const std::string allow = text_of(guard, "allow");
        if (!allow.empty()) words += (words.empty() ? "" : ",") + allow;
    }
    Error error = Error(Failure::refused, why).during(command);
    if (words.empty()) return error;
    // What a config would do is insisted on by applying it.
    const std::string verb(command == "reload" || command == "plan" ? "apply" : command);
    return std::move(error).hint("if it is meant: sluicectl " + verb + " --allow " + words);
}

Lines render_refused(const Json& reply, const Look& look) {
    Table table({{"", false, 0, false, 1},
                 {"", false, 0, true},
                 {"", false, 8, true},
                 {"", false, 0, true},
                 {""}});
    std::set<std::string> shown;  // several guards may be about the same bindings
    std::int64_t most = 0;
    for (const Json& guard : list_of(reply, "refused_by")) {
        most = std::max(most, count_of(guard, "count"));
        for (const Json& change : list_of(guard, "first")) {
            if (!shown.insert(match_text(change)).second) continue;
            const Kind& kind = kind_of(text_of(change, "change"));
            const bool removed = std::string_view(kind.list) == "removed";
            const std::string from = removed ? "" : other(change, kind.key);
            table.row({{std::string("  ") + kind.sign, kind.colour},
                       {match_text(change)},
                       {target_of(change)},
                       {from.empty() ? "" : kind.words + from},
                       {(removed ? "was " : "") + place(change)}});
        }
    }
    if (table.empty()) return {};
    Lines lines = table.lines(look);
    const auto others = most - static_cast<std::int64_t>(shown.size());
    if (others > 0) lines.push_back("  … " + grouped(others) + " more: sluicectl plan");
    return lines;
}

}  // namespace sluice::cli

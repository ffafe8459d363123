// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <functional>
#include <map>
#include <string>

#include "cli/render.h"

namespace sluice::cli {

namespace {

constexpr std::size_t shown_services = 15;
constexpr std::int64_t shown_reasons = 4;  // of one kind

std::string header_state(const Json& status) {
    const std::string state = text_of(status, "state");
    if (state == "ok" || state.empty()) return state;
    std::string shout = state;
    for (char& letter : shout) {
        if (letter >= 'a' && letter <= 'z') letter = static_cast<char>(letter - 'a' + 'A');
    }
    const auto reasons = list_of(status, "reasons").size();
    if (reasons == 0) return shout;
    return shout + ", " + counted(static_cast<std::int64_t>(reasons), "reason");
}

std::string header(const Json& status, const Look& look) {
    std::string left = "sluiced " + text_of(status, "version");
    const std::string instance = text_of(status, "instance");
    if (!instance.empty()) left += " (" + instance + ")";
    if (const auto since = number_of(status, "since"))
        left += ", up " + long_age(look.now - *since);
    const std::string state = header_state(status);
    const std::size_t used = columns(left) + columns(state);
    const auto width = static_cast<std::size_t>(std::min(look.width, 80));
    const std::string gap(used + 2 <= width ? width - used : 2, ' ');
    return left + gap + paint(look, state == "ok" ? Paint::good : Paint::bad, state);
}

// "dns: no usable udp ipv6 socket since 14:31:07; 2 bindings refuse"
std::string reason_text(const Json& reason, const Look& look) {
    const std::string subject = text_of(reason, "subject");
    std::string message = text_of(reason, "message");
    const auto since = number_of(reason, "since");
    if (since && *since > 0 && message.find(" since ") == std::string::npos) {
        const std::string text = " since " + clock_time(*since, look.now);
        message.insert(std::min(message.find(';'), message.size()), text);
    }
    return subject.empty() ? message : subject + ": " + message;
}

void reasons(Lines& lines, const Json& status, const std::string& service, const Look& look) {
    std::map<std::string, std::int64_t> seen;  // by code: a thousand of one kind hide the others
    for (const Json& reason : list_of(status, "reasons")) {
        if (!service.empty() && text_of(reason, "subject") != service) continue;
        if (++seen[text_of(reason, "code")] > shown_reasons) continue;
        Lines one = wrapped("  ! " + reason_text(reason, look), look.width, 4);
        one.front().replace(2, 1, paint(look, Paint::bad, "!"));
        lines.insert(lines.end(), one.begin(), one.end());
        const std::string fix = text_of(reason, "fix");
        if (!fix.empty()) lines.push_back("    " + fix);
    }
    for (const auto& [code, count] : seen)
        if (count > shown_reasons)
            lines.push_back("  … " + grouped(count - shown_reasons) + " more of '" + code +
                            "': sluicectl -o json status");
}

void fact(Lines& lines, const char* name, const std::string& text, const Look& look) {
    if (text.empty()) return;
    const Lines one = wrapped(padded(name, 12) + text, look.width, 12);
    lines.insert(lines.end(), one.begin(), one.end());
}

std::string generation_text(const Json& status, const Look& look) {
    const auto number = number_of(status, "generation");
    if (!number) return "";
    if (*number == 0) return "0, no config was ever accepted";
    std::string text = std::to_string(*number);
    const Json& change = field(status, "change");
    auto time = number_of(status, "changed");
    if (!time) time = number_of(change, "time");
    if (time && *time > 0) text += ", " + moment(*time, look.now);
    const std::string cause = text_of(change, "cause");
    const std::string by = author_of(field(change, "by"), look);
    if (!cause.empty()) text += ", " + cause + (by.empty() ? "" : " by " + by);
    const std::string note = text_of(change, "note");
    if (!note.empty()) text += ": " + quoted(note);
    return text;
}

// "returns to 42 in 3:12 unless confirmed       sluicectl confirm"
std::string pending_text(const Json& status) {
    const Json& pending = field(status, "pending_confirm");
    if (!pending.is_object()) return "";
    return "returns to " + std::to_string(count_of(pending, "returns_to")) + " in " +
           minutes_text(count_of(pending, "seconds_left")) +
           " unless confirmed       sluicectl confirm";
}

std::string config_state(const std::string& state) {
    if (state == "changed") return "changed since: sluicectl reload";
    if (state == "set-aside") return "set aside: it was taken back, and has not changed since";
    if (state == "other-file") return "not in use: another file was applied";
    if (state == "invalid") return "INVALID, what ran goes on: sluicectl check";
    return state;
}

std::string config_text(const Json& status) {
    const Json& config = field(status, "config");
    std::string text = text_of(config, "path");
    const auto files = number_of(config, "files");
    if (files && *files > 1) text += " + " + counted(*files - 1, "file");
    const std::string state = config_state(text_of(config, "state"));
    if (state.empty()) return text;
    return text.empty() ? state : text + ", " + state;
}

std::string overrides_text(const Json& status) {
    const std::int64_t overrides = count_of(status, "overrides");
    if (overrides == 0) return "";
    return grouped(overrides) + " runtime over the config: sluicectl bindings --owner runtime";
}

std::string foreign_text(const Json& status) {
    const Json& foreign = field(status, "foreign_programs");
    if (!foreign.is_array()) return "";
    if (foreign.empty()) return "no foreign programs";
    std::string text = counted(static_cast<std::int64_t>(foreign.size()), "foreign program") + ":";
    for (const Json& id : foreign) text += " " + one_line(id);
    return text;
}

std::string dispatcher_text(const Json& status) {
    if (text_of(status, "state") == "detached") return "detached: sluicectl attach";
    const auto program = number_of(status, "program_id");
    std::string text = program ? "program " + std::to_string(*program) : "";
    for (const std::string& part : {text_of(status, "table"), foreign_text(status)}) {
        if (!part.empty()) text += (text.empty() ? "" : ", ") + part;
    }
    return text;
}

std::string bindings_text(const Json& status) {
    const auto bindings = number_of(status, "bindings");
    if (!bindings) return "";
    std::string text = grouped(*bindings);
    const auto capacity = number_of(status, "capacity");
    if (capacity && *capacity > 0) text += " of " + grouped(*capacity);
    const Json& owners = field(status, "owners");
    std::string parts;
    for (const char* owner : {"config", "runtime"}) {
        const std::int64_t n = count_of(owners, owner);
        if (n > 0) parts += "  " + grouped(n) + " " + owner;
    }
    return parts.empty() ? text : text + " " + parts;
}

std::string sockets_text(const Json& status) {
    const auto sockets = number_of(status, "sockets");
    if (!sockets) return "";
    const Json& states = field(status, "socket_states");
    std::string parts;
    for (const char* state : {"serving", "staged", "failing", "parked"}) {
        const std::int64_t n = count_of(states, state);
        if (n > 0) parts += "  " + grouped(n) + " " + state;
    }
    return parts.empty() ? grouped(*sockets) : grouped(*sockets) + " " + parts;
}

std::string rate_text(const Json& object, const char* key) {
    const auto value = real_of(object, key);
    return value ? rate(*value) : "-";
}

int severity(const Json& service) {
    const std::string state = text_of(service, "state");
    if (state == "ok") return 3;
    if (state == "parked") return 2;
    return state == "waiting" ? 1 : 0;
}

bool worse(const Json* a, const Json* b) {
    if (severity(*a) != severity(*b)) return severity(*a) < severity(*b);
    const double of_a = real_of(*a, "lookups_per_second").value_or(0);
    const double of_b = real_of(*b, "lookups_per_second").value_or(0);
    if (of_a != of_b) return of_a > of_b;
    const std::int64_t lookups = count_of(*a, "lookups");
    if (lookups != count_of(*b, "lookups")) return lookups > count_of(*b, "lookups");
    return std::less<>()(a, b);  // elements of one list: in its order
}

std::vector<Cell> service_row(const Json& service) {
    static constexpr Paint paints[] = {Paint::bad, Paint::warn, Paint::dim, Paint::none};
    // What is wrong, in a few words: "no udp ipv6".
    const std::string detail = severity(service) == 3 ? "" : text_of(service, "brief");
    return {{text_of(service, "name")},
            {grouped(count_of(service, "bindings"))},
            {grouped(count_of(service, "sockets"))},
            {rate_text(service, "lookups_per_second")},
            {rate_text(service, "refused_per_second")},
            {grouped(count_of(service, "errors"))},
            {detail.empty() ? text_of(service, "state") : detail, paints[severity(service)]}};
}

// The bindings that go to no service have rows of their own, when there are any.
void verdict_rows(Table& table, const Json& status) {
    for (const Json& row : list_of(status, "verdicts")) {
        const std::int64_t bindings = count_of(row, "bindings");
        if (bindings == 0) continue;
        table.row({{text_of(row, "name")},
                   {grouped(bindings)},
                   {"-"},
                   {rate_text(row, "lookups_per_second")},
                   {rate_text(row, "refused_per_second")},
                   {"-"},
                   {"-"}});
    }
}

void rest(Lines& lines, const std::vector<const Json*>& services) {
    if (services.size() <= shown_services) return;
    const auto more = static_cast<std::int64_t>(services.size() - shown_services);
    const auto bad = std::count_if(services.begin() + shown_services, services.end(),
                                   [](const Json* service) { return severity(*service) < 2; });
    lines.push_back("… " + grouped(more) + " more, " +
                    (bad == 0 ? "all ok" : grouped(bad) + " not ok: sluicectl services"));
}

void services(Lines& lines, const Json& status, const std::string& wanted, const Look& look) {
    std::vector<const Json*> all;
    for (const Json& service : list_of(status, "services")) {
        if (wanted.empty() || text_of(service, "name") == wanted) all.push_back(&service);
    }
    std::sort(all.begin(), all.end(), worse);
    Table table({{"SERVICE", false, 13, true},
                 {"BINDINGS", true},
                 {"SOCKETS", true},
                 {"LOOKUP/s", true},
                 {"REFUSED/s", true},
                 {"ERRORS", true},
                 {"STATE"}});
    for (std::size_t at = 0; at < std::min(all.size(), shown_services); ++at)
        table.row(service_row(*all[at]));
    if (wanted.empty()) verdict_rows(table, status);
    if (table.empty()) return;
    lines.emplace_back();
    const Lines rows = table.lines(look);
    lines.insert(lines.end(), rows.begin(), rows.end());
    rest(lines, all);
}

// What one service did since the counters were made.
void totals(Lines& lines, const Json& status, const std::string& wanted, const Look& look) {
    for (const Json& service : list_of(status, "services")) {
        if (text_of(service, "name") != wanted) continue;
        std::string text = counted(count_of(service, "lookups"), "lookup") + ": ";
        text += grouped(count_of(service, "assigned")) + " assigned, ";
        text += grouped(count_of(service, "rejected")) + " rejected, ";
        text += grouped(count_of(service, "unavailable")) + " without a usable socket, ";
        text += counted(count_of(service, "errors"), "error");
        lines.emplace_back();
        fact(lines, "in all", text, look);
    }
}

}  // namespace

Lines render_status(const Json& status, const std::string& service, const Look& look) {
    Lines lines{header(status, look)};
    reasons(lines, status, service, look);
    if (!service.empty()) {
        services(lines, status, service, look);
        totals(lines, status, service, look);
        return lines;
    }
    lines.emplace_back();
    fact(lines, "generation", generation_text(status, look), look);
    if (const std::string pending = pending_text(status); !pending.empty())
        lines.push_back(padded("pending", 12) + pending);
    fact(lines, "config", config_text(status), look);
    fact(lines, "overrides", overrides_text(status), look);
    fact(lines, "dispatcher", dispatcher_text(status), look);
    fact(lines, "bindings", bindings_text(status), look);
    fact(lines, "sockets", sockets_text(status), look);
    services(lines, status, service, look);
    return lines;
}

}  // namespace sluice::cli

// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "cli/render.h"

namespace sluice::cli {

namespace {

constexpr std::size_t shown_sockets = 8;
constexpr std::size_t shown_losers = 8;

std::string asked(const Json& e) {
    const std::string address = text_of(e, "address");
    const bool ipv6 = address.find(':') != std::string::npos;
    return text_of(e, "protocol") + " " + (ipv6 ? "[" + address + "]" : address) + ":" +
           std::to_string(count_of(e, "port"));
}

std::string family_of(const Json& e) {
    return text_of(e, "address").find(':') != std::string::npos ? "IPv6" : "IPv4";
}

std::string for_how_long(const Json& e, const Look& look) {
    const auto since = number_of(e, "unavailable_since");
    return since && *since > 0 ? " (" + long_age(look.now - *since) + ")" : "";
}

// "one of 4 sockets, by the flow"
std::string share(const Json& e) {
    const auto& sockets = list_of(e, "sockets");
    const auto serving = std::count_if(sockets.begin(), sockets.end(), [](const Json& socket) {
        const std::string state = text_of(socket, "state");
        return state == "serving" || state.empty();
    });
    if (serving < 2) return "";
    const bool flow = field(e, "from").is_string();
    return " (one of " + std::to_string(serving) + " sockets, by " + (flow ? "this" : "the") +
           " flow)";
}

// The protocol matters where the service has sockets of the family, of another protocol.
std::string protocol_if_needed(const Json& e) {
    const std::string family = family_of(e) == "IPv6" ? "ipv6" : "ipv4";
    for (const Json& socket : list_of(e, "other_sockets")) {
        const std::string its = text_of(socket, "family");
        if (text_of(socket, "protocol") != text_of(e, "protocol") &&
            (its == family || its == "dual"))
            return text_of(e, "protocol") + " ";
    }
    return "";
}

std::string unavailable_text(const Json& e, const Look& look) {
    std::string text = "'" + text_of(e, "service") + "' has no usable " + protocol_if_needed(e) +
                       family_of(e) + " socket" + for_how_long(e, look);
    const std::string policy = text_of(e, "unavailable");
    if (text_of(e, "verdict") == "unavailable" && policy.starts_with("fallback "))
        text += ", nor has its " + policy;
    return text;
}

std::string assigned_text(const Json& e) {
    const std::string served_by = text_of(e, "served_by");
    std::string text = served_by.empty() ? text_of(e, "service") : served_by;
    const std::string process = process_of(field(e, "socket"));
    if (!process.empty()) text += ", " + process;
    return text + share(e);
}

std::string answer(const Json& e, const Look& look) {
    const std::string verdict = text_of(e, "verdict");
    const std::string effect = text_of(e, "effect");
    const std::string service = text_of(e, "service");
    const std::string served_by = text_of(e, "served_by");
    const bool unavailable = verdict == "unavailable" ||
                             (!served_by.empty() && !service.empty() && served_by != service);
    if (effect == "assign") {
        const std::string text = assigned_text(e);
        return unavailable ? text + ": " + unavailable_text(e, look) : text;
    }
    const std::string why = unavailable ? unavailable_text(e, look)
                            : field(e, "binding").is_object()
                                ? (effect == "reject" ? "a reject binding" : "a pass binding")
                                : "no binding matches";
    if (effect == "reject") return "REFUSED: " + why;
    return "the kernel's ordinary lookup: " + why;
}

std::string binding_text(const Json& binding) {
    return text_of(binding, "protocol") + " " + text_of(binding, "prefix") + " " +
           text_of(binding, "port") + " -> " + target_of(binding);
}

void considered(Lines& lines, const Json& e, const Look& look) {
    Table table({{"", false, 7}, {"", false, 36, true}, {""}});
    std::size_t lost = 0;
    for (const Json& binding : list_of(e, "considered")) {
        if (flag_of(binding, "wins")) {
            std::string where = source_of(binding);
            if (where.empty()) {
                where = text_of(binding, "owner");
                const std::string origin = binding_row(binding, look).where;
                if (!origin.empty()) where += ", " + origin;
            }
            table.row({{"won"}, {binding_text(binding)}, {where}});
            continue;
        }
        if (++lost <= shown_losers)
            table.row({{"lost"}, {binding_text(binding)}, {text_of(binding, "why")}});
    }
    if (!table.empty()) {
        const Lines rows = table.lines(look);
        lines.insert(lines.end(), rows.begin(), rows.end());
    }
    if (lost > shown_losers)
        lines.push_back("         … " + std::to_string(lost - shown_losers) + " more lost");
}

// Why a socket of the service does not serve this lookup, when that is so.
std::string socket_state(const Json& e, const Json& socket) {
    const std::string why = text_of(socket, "why");
    if (!why.empty()) return why;
    const std::string protocol = text_of(socket, "protocol");
    if (protocol != text_of(e, "protocol")) return "serves " + protocol + " only";
    const std::string family = text_of(socket, "family");
    if (family == "ipv4" && family_of(e) == "IPv6") return "serves IPv4 only";
    if (family == "ipv6" && family_of(e) == "IPv4") return "serves IPv6 only";
    return text_of(socket, "state");
}

void sockets(Lines& lines, const Json& e, const Look& look) {
    const std::string chosen = text_of(field(e, "socket"), "cookie");
    std::vector<const Json*> all;
    for (const char* key : {"sockets", "other_sockets"}) {
        for (const Json& socket : list_of(e, key)) all.push_back(&socket);
    }
    const auto takes_it = std::find_if(all.begin(), all.end(), [&](const Json* socket) {
        return !chosen.empty() && text_of(*socket, "cookie") == chosen;
    });
    if (takes_it != all.end()) std::rotate(all.begin(), takes_it, takes_it + 1);
    Table table({{"", false, 9}, {"", false, 0, true}, {"", false, 0, true}, {""}});
    for (std::size_t at = 0; at < std::min(all.size(), shown_sockets); ++at) {
        const Json& socket = *all[at];
        const std::string cookie = text_of(socket, "cookie");
        const bool takes = !chosen.empty() && cookie == chosen;
        table.row({{"           sk:" + cookie},
                   {text_of(socket, "protocol") + " " + text_of(socket, "local")},
                   {process_of(socket)},
                   {takes ? "takes it" : socket_state(e, socket)}});
    }
    if (table.empty()) return;
    const Lines rows = table.lines(look);
    lines.insert(lines.end(), rows.begin(), rows.end());
    if (all.size() > shown_sockets)
        lines.push_back("           … " + std::to_string(all.size() - shown_sockets) + " more");
}

void fact(Lines& lines, const char* name, const std::string& text, const Look& look) {
    if (text.empty()) return;
    const Lines one = wrapped(padded(name, 9) + text, look.width, 9);
    lines.insert(lines.end(), one.begin(), one.end());
}

std::string service_text(const Json& e) {
    const std::string service = text_of(e, "service");
    if (service.empty()) return "";
    const std::string policy = text_of(e, "unavailable");
    return policy.empty() ? service : service + ", unavailable: " + policy;
}

const char* verb(const std::string& effect) {
    if (effect == "assign") return "assigns";
    return effect == "reject" ? "refuses" : "passes";
}

std::string kernel_text(const Json& e) {
    const Json& kernel = field(e, "kernel");
    const auto program = number_of(kernel, "program_id");
    std::string text =
        program && *program > 0 ? "program " + std::to_string(*program) : "the program";
    const std::string verdict = text_of(kernel, "verdict");
    if (verdict.empty()) return "";
    text += " " + std::string(verb(verdict));
    const auto denied = [&](const char* key) {
        const Json& value = field(kernel, key);
        return value.is_boolean() && !value.get<bool>();
    };
    if (denied("attached")) text += ", but IS NOT ATTACHED: sluicectl attach";
    if (denied("same_program")) text += ", but ANOTHER PROGRAM is attached";
    const Json& agree = field(e, "agree");
    if (agree.is_boolean() && agree.get<bool>()) text += "; model agrees";
    if (agree.is_boolean() && !agree.get<bool>()) {
        const Json& model = field(e, "model");
        const std::string service = text_of(model, "service");
        text += "; THE MODEL DIFFERS, it " + std::string(verb(text_of(model, "effect"))) +
                (service.empty() ? "" : " to " + service);
    }
    const Json& foreign = field(kernel, "foreign_programs");
    if (!foreign.is_array()) return text;
    if (foreign.empty()) return text + "; no foreign programs";
    text += "; " + counted(static_cast<std::int64_t>(foreign.size()), "foreign program") +
            " may choose otherwise:";
    for (const Json& id : foreign) text += " " + one_line(id);
    return text;
}

std::string since_text(const Json& e, const Look& look) {
    const auto generation = number_of(e, "generation");
    if (!generation) return "";
    std::string text = "generation " + std::to_string(*generation);
    const auto since = number_of(e, "since");
    if (since && *since > 0) text += ", " + clock_time(*since, look.now);
    const Json& change = field(e, "change");
    const std::string by = author_of(field(change, "by"), look);
    if (!by.empty()) text += ", " + by;
    const std::string note = text_of(change, "note");
    return note.empty() ? text : text + ": " + quoted(note);
}

// arrives: does the address have a local route, without which no lookup ever happens?
std::string route_text(const Json& e) {
    const Json& route = field(e, "route");
    const std::string text = text_of(route, "text");
    const Json& arrives = field(route, "arrives");
    if (!arrives.is_boolean()) return text;
    return padded(text, 38) + "  " + (arrives.get<bool>() ? "arrives here" : "DOES NOT ARRIVE");
}

// Lines after the first, which are commands, stand below its text.
Lines hint_lines(const Json& hint) {
    if (!hint.is_string()) return {};
    Lines lines{"hint: "};
    for (const char letter : hint.get_ref<const std::string&>()) {
        if (letter == '\n')
            lines.emplace_back("      ");
        else
            lines.back() += letter;
    }
    for (std::string& line : lines) line = printable(line);
    return lines;
}

}  // namespace

Lines render_explain(const Json& explanation, const Look& look) {
    const Json& e = explanation;
    const std::string head = asked(e) + " -> ";
    const std::string told = answer(e, look);
    Lines lines = wrapped(head + told, look.width, 2);
    if (told.starts_with("REFUSED") && lines.front().size() > head.size())
        lines.front().replace(head.size(), 7, paint(look, Paint::bad, "REFUSED"));
    lines.emplace_back();
    considered(lines, e, look);
    fact(lines, "service", service_text(e), look);
    sockets(lines, e, look);
    fact(lines, "route", route_text(e), look);
    fact(lines, "kernel", kernel_text(e), look);
    fact(lines, "since", since_text(e, look), look);
    const Lines warnings = render_warnings(field(e, "warnings"), look);
    const Lines hint = hint_lines(field(e, "hint"));
    if (!warnings.empty() || !hint.empty()) lines.emplace_back();
    lines.insert(lines.end(), warnings.begin(), warnings.end());
    lines.insert(lines.end(), hint.begin(), hint.end());
    return lines;
}

}  // namespace sluice::cli

// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <functional>

#include "cli/render.h"

namespace sluice::cli {

namespace {

Paint state_paint(const std::string& state) {
    if (state == "ok" || state == "serving") return Paint::none;
    if (state == "parked" || state == "staged") return Paint::dim;
    return state == "waiting" ? Paint::warn : Paint::bad;
}

int severity(const Json& object) {
    const std::string state = text_of(object, "state");
    if (state == "degraded" || state == "failing") return 0;
    if (state == "waiting" || state == "staged") return 1;
    return state == "parked" ? 2 : 3;
}

std::vector<const Json*> worst_first(const Json& list) {
    std::vector<const Json*> sorted;
    if (!list.is_array()) return sorted;
    for (const Json& object : list) sorted.push_back(&object);
    std::sort(sorted.begin(), sorted.end(), [](const Json* a, const Json* b) {
        if (severity(*a) != severity(*b)) return severity(*a) < severity(*b);
        return std::less<>()(a, b);  // elements of one list: in its order
    });
    return sorted;
}

// `users nginx; units nginx.service`
std::string register_text(const Json& rule) {
    std::string text;
    for (const char* key : {"users", "groups", "units"}) {
        std::string names;
        for (const Json& name : list_of(rule, key)) {
            if (!name.is_string()) continue;
            names += (names.empty() ? "" : ",") + printable(name.get_ref<const std::string&>());
        }
        if (!names.empty()) text += (text.empty() ? "" : "; ") + std::string(key) + " " + names;
    }
    return text.empty() ? "root only" : "root; " + text;
}

std::string age_text(const Json& object, const Look& look) {
    const auto since = number_of(object, "since");
    return since && *since > 0 ? short_age(look.now - *since) : "-";
}

// The sockets that one lookup of a family may get, this one among them.
std::int64_t rivals(const Json& sockets, const Json& socket, const char* family) {
    return std::count_if(sockets.begin(), sockets.end(), [&](const Json& one) {
        const std::string its = text_of(one, "family");
        return text_of(one, "state") == "serving" &&
               text_of(one, "service") == text_of(socket, "service") &&
               text_of(one, "protocol") == text_of(socket, "protocol") &&
               (its == family || its == "dual");
    });
}

// What part of the lookups a socket gets: 1/4; for a dual-stack one of IPv4 and of IPv6 when they
// differ.
std::string share_text(const Json& sockets, const Json& socket) {
    if (text_of(socket, "state") != "serving") return "-";
    const std::string family = text_of(socket, "family");
    const auto of = [&](const char* name) {
        return "1/" + std::to_string(std::max<std::int64_t>(rivals(sockets, socket, name), 1));
    };
    if (family != "dual") return of(family == "ipv6" ? "ipv6" : "ipv4");
    const std::string v4 = of("ipv4");
    const std::string v6 = of("ipv6");
    return v4 == v6 ? v4 : v4 + " " + v6;
}

// "serving"; "staged, promote" and "staged, demote" say what would bring the socket into service.
std::string state_text(const Json& socket) {
    const std::string waits_for = text_of(socket, "waits_for");
    return text_of(socket, "state") + (waits_for.empty() ? "" : ", " + waits_for);
}

void append(Lines& lines, const Lines& more) {
    lines.insert(lines.end(), more.begin(), more.end());
}

}  // namespace

Lines render_services(const Json& services, const Look& look) {
    Table table({{"SERVICE", false, 0, true},
                 {"STATE"},
                 {"BINDINGS", true},
                 {"SOCKETS", true},
                 {"UNAVAILABLE"},
                 {"REGISTER"}});
    for (const Json* service : worst_first(services)) {
        const std::string state = text_of(*service, "state");
        table.row({{text_of(*service, "name")},
                   {state, state_paint(state)},
                   {grouped(count_of(*service, "bindings"))},
                   {grouped(count_of(*service, "sockets"))},
                   {text_of(*service, "unavailable")},
                   {register_text(field(*service, "register"))}});
    }
    return table.empty() ? Lines{"no services"} : table.lines(look);
}

Lines render_sockets(const Json& sockets, const Look& look) {
    Table table({{"SERVICE", false, 0, true},
                 {"PROTOCOL"},
                 {"LOCAL", false, 0, true},
                 {"PROCESS", false, 0, true},
                 {"COOKIE"},
                 {"AGE", true},
                 {"SHARE", true},
                 {"STATE"}});
    for (const Json* socket : worst_first(sockets)) {
        const std::string state = text_of(*socket, "state");
        const std::string process = process_of(*socket);
        table.row({{text_of(*socket, "service")},
                   {text_of(*socket, "protocol") + " " + text_of(*socket, "family")},
                   {text_of(*socket, "local")},
                   {process.empty() ? "-" : process},
                   {text_of(*socket, "cookie")},
                   {age_text(*socket, look)},
                   {share_text(sockets, *socket)},
                   {state_text(*socket), state_paint(state)}});
    }
    return table.empty() ? Lines{"no sockets"} : table.lines(look);
}

Lines render_registered(const Json& reply, bool staged, const Look& look) {
    const std::int64_t added = count_of(reply, "added");
    const std::int64_t present = count_of(reply, "present");
    const std::string service = text_of(reply, "service");
    std::string text =
        service + ": " + counted(added, "socket") + (staged ? " staged" : " registered");
    if (present > 0) text += ", " + grouped(present) + " already there";
    if (staged && added > 0) text += "; to switch to them: sluicectl promote " + service;
    Lines lines{text};
    Table table({{"", false, 0, false, 1}, {""}, {""}, {""}});
    for (const Json& socket : list_of(reply, "sockets"))
        table.row({{"  sk:" + text_of(socket, "cookie")},
                   {text_of(socket, "protocol") + " " + text_of(socket, "local")},
                   {text_of(socket, "family")},
                   {process_of(socket)}});
    if (!table.empty()) append(lines, table.lines(look));
    append(lines, render_warnings(field(reply, "warnings"), look));
    return lines;
}

Lines render_switched(const Json& reply, bool forward, const Look& look) {
    const std::string service = text_of(reply, "service");
    const std::int64_t waiting = count_of(reply, "waiting");
    const std::int64_t let_go = count_of(reply, "let_go");
    Lines lines{service + ": " + counted(count_of(reply, "serving"), "socket") +
                (forward ? " promoted" : " back from before")};
    if (waiting > 0)
        lines.push_back("  " + counted(waiting, "socket") +
                        (forward ? " before, to go back: sluicectl demote "
                                 : " staged again, to return: sluicectl promote ") +
                        service);
    if (let_go > 0)
        lines.push_back("  " + counted(let_go, "socket") + " let go: nothing new comes to " +
                        (let_go == 1 ? "it" : "them"));
    append(lines, render_warnings(field(reply, "warnings"), look));
    return lines;
}

Lines render_detach(const Json& reply, const Look& look) {
    Lines lines{"Traffic will fall to this host's ordinary listeners:"};
    Table table({{"", false, 0, true}, {""}, {""}});
    for (const Json& service : list_of(reply, "services")) {
        std::string traffic = counted(count_of(service, "bindings"), "binding");
        if (const auto per_second = real_of(service, "lookups_per_second"))
            traffic += ", " + rate(*per_second) + "/s";
        const std::string falls = text_of(service, "falls_to");
        const bool refused = falls.find("REFUSED") != std::string::npos;
        table.row({{"  " + text_of(service, "name")},
                   {traffic + " "},
                   {falls, refused ? Paint::bad : Paint::none}});
    }
    if (table.empty()) return {"No traffic is bound: nothing changes for clients."};
    append(lines, table.lines(look));
    return lines;
}

}  // namespace sluice::cli

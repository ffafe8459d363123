// SPDX-License-Identifier: Apache-2.0
// Sockets in and out: register, unregister, promote, demote.
#include <algorithm>
#include <map>

#include "cli/commands.h"
#include "cli/input.h"
#include "cli/render.h"
#include "core/unit_name.h"

namespace sluice::cli::command {

namespace {

constexpr std::int32_t most_descriptors = 1 << 20;  // the kernel's usual limit, nr_open
constexpr std::int32_t most_pid = 1 << 22;          // PID_MAX_LIMIT of 64-bit kernels

bool is_protocol(const std::string& word) { return parse_protocol(word).has_value(); }

// What to register: descriptors by service. Those that we opened are owned here.
struct Offer {
    std::map<std::string, std::vector<int>> by_service;
    std::vector<Fd> owned;
    std::int32_t pid = 0;            // whose they are, when they were taken; 0: the caller's
    std::vector<std::int32_t> pids;  // whose each is of the only service, when they differ
};

// All services in one call: all of the sockets are registered, or none. One element for each
// service.
Result<Json> register_all(Session& session, const Offer& offer, std::string_view mode) {
    auto agent = session.agent();
    if (!agent) return pass_on(agent);
    std::vector<int> descriptors;
    Json offers = Json::array();
    for (const auto& [service, fds] : offer.by_service) {
        Json indices = Json::array();
        for (const int fd : fds) {
            indices.push_back(descriptors.size());
            descriptors.push_back(fd);
        }
        offers.push_back({{"service", service}, {"sockets", std::move(indices)}});
    }
    Json parameters = {{"mode", mode}};
    if (offer.pid != 0) parameters["pid"] = offer.pid;
    if (!offer.pids.empty()) parameters["pids"] = offer.pids;
    if (offers.size() == 1) {
        parameters.update(offers.front());
        auto reply = (*agent)->call("Register", parameters, descriptors);
        if (!reply) return pass_on(reply);
        return Json::array({std::move(*reply)});
    }
    parameters["offers"] = std::move(offers);
    auto reply = (*agent)->call("RegisterAll", parameters, descriptors);
    if (!reply) return pass_on(reply);
    return list_of(*reply, "registered");
}

Result<Offer> offer_inherited(const Arguments& a, const std::string& service) {
    Offer offer;
    for (const std::string& text : a.fds) {
        auto fd = parse_number(text, 0, most_descriptors, "descriptor");
        if (!fd) return pass_on(fd, "--fd");
        offer.by_service[service].push_back(*fd);
    }
    return offer;
}

Result<Offer> offer_taken(Session& session, const Arguments& a, const std::string& service,
                          const std::vector<ListenTriple>& triples) {
    auto pid = parse_number(a.pid, 1, most_pid, "process id");
    if (!pid) return pass_on(pid, "--pid");
    auto taken = session.world().take(*pid, triples);
    if (!taken) return pass_on(taken);
    Offer offer;
    for (const Fd& fd : *taken) offer.by_service[service].push_back(fd.get());
    offer.owned = std::move(*taken);
    offer.pid = *pid;
    return offer;
}

Result<Offer> offer_of_unit(Session& session, const Arguments& a, const std::string& service,
                            const std::vector<ListenTriple>& triples) {
    auto unit = parse_unit_name(a.unit);
    if (!unit) return pass_on(unit, "--unit");
    auto taken = session.world().take_unit(a.cgroup_root, *unit, triples);
    if (!taken) return pass_on(taken);
    Offer offer;
    for (TakenSocket& each : *taken) {
        offer.by_service[service].push_back(each.fd.get());
        offer.pids.push_back(each.pid);
        offer.owned.push_back(std::move(each.fd));
    }
    return offer;
}

// By LISTEN_FDNAMES when no service is named.
Result<Offer> offer_passed(Session& session, const std::string& service) {
    auto passed = session.world().passed();
    if (!passed) return pass_on(passed);
    if (passed->empty())
        return fail(Error(Failure::invalid, "no sockets: LISTEN_FDS passes none")
                        .hint("name a source: --fd N, or --pid PID or --unit UNIT with PROTOCOL "
                              "ADDRESS PORT"));
    Offer offer;
    offer.pid = session.world().parent;  // who passes them holds them, and we are about to end
    for (NamedFd& one : *passed) {
        auto name = parse_service_name(service.empty() ? one.name : service);
        if (!name) return pass_on(name, "FileDescriptorName '" + one.name + "'");
        offer.by_service[*name].push_back(one.fd.get());
        offer.owned.push_back(std::move(one.fd));
    }
    return offer;
}

Result<Offer> make_offer(Session& session, const Arguments& a) {
    // The first word is the service, unless it starts a triple.
    std::vector<std::string> words = a.words;
    std::string service;
    if (!words.empty() && (words.size() % 3 != 0 || !is_protocol(words.front()))) {
        auto name = parse_service_name(words.front());
        if (!name) return pass_on(name);
        service = *name;
        words.erase(words.begin());
    }
    auto triples = parse_triples(words);
    if (!triples) return pass_on(triples);
    const bool taken = !a.pid.empty() || !a.unit.empty();
    const int sources =
        (a.fds.empty() ? 0 : 1) + (a.pid.empty() ? 0 : 1) + (a.unit.empty() ? 0 : 1);
    if (sources > 1) return fail(Failure::invalid, "--fd, --pid and --unit exclude each other");
    if (sources > 0 && service.empty()) return fail(Failure::invalid, "SERVICE is missing");
    if (!taken && !triples->empty())
        return fail(Failure::invalid, "PROTOCOL ADDRESS PORT goes with --pid or --unit only");
    if (taken && triples->empty())
        return fail(
            Error(Failure::invalid, "which of its sockets? PROTOCOL ADDRESS PORT is missing")
                .hint("for example: tcp 0.0.0.0 443"));
    if (!a.fds.empty()) return offer_inherited(a, service);
    if (!a.pid.empty()) return offer_taken(session, a, service, *triples);
    if (!a.unit.empty()) return offer_of_unit(session, a, service, *triples);
    return offer_passed(session, service);
}

Result<int> switch_sets(Session& session, const Arguments& a, bool forward) {
    auto service = parse_service_name(a.words.front());
    if (!service) return pass_on(service);
    auto reply = session.call(forward ? "Promote" : "Demote", {{"service", *service}});
    if (!reply) return pass_on(reply);
    session.answer(*reply, render_switched(*reply, forward, session.look()));
    return 0;
}

}  // namespace

Result<int> promote(Session& session, const Arguments& a) { return switch_sets(session, a, true); }

Result<int> demote(Session& session, const Arguments& a) { return switch_sets(session, a, false); }

Result<int> enlist(Session& session, const Arguments& a) {
    if (a.replace && a.staged)
        return fail(Failure::invalid, "--replace and --staged exclude each other");
    auto offer = make_offer(session, a);
    if (!offer) return pass_on(offer);
    auto registered =
        register_all(session, *offer, a.staged ? "staged" : (a.replace ? "replace" : "add"));
    if (!registered) return pass_on(registered);
    Lines lines;
    for (const Json& one : *registered) {
        const Lines shown = render_registered(one, a.staged, session.look());
        lines.insert(lines.end(), shown.begin(), shown.end());
    }
    session.answer({{"registered", std::move(*registered)}}, lines);
    return 0;
}

Result<int> unregister(Session& session, const Arguments& a) {
    auto service = parse_service_name(a.words.front());
    if (!service) return pass_on(service);
    Json parameters = {{"service", *service}};
    if (!a.cookie.empty()) {
        // People copy it from `ss -e` and from our own screens.
        std::string cookie = a.cookie;
        for (const std::string_view head : {"sk:", "0x"})
            if (cookie.starts_with(head)) cookie.erase(0, head.size());
        const bool hex = !cookie.empty() && cookie.size() <= 16 &&
                         cookie.find_first_not_of("0123456789abcdef") == std::string::npos;
        if (!hex)
            return fail(Error(Failure::invalid, "'" + a.cookie + "' is no socket's cookie")
                            .during("--cookie")
                            .hint("sluicectl sockets prints them: lower-case hexadecimal"));
        parameters["cookie"] = cookie;
    }
    auto reply = session.call("Unregister", parameters);
    if (!reply) return pass_on(reply);
    session.answer(
        *reply, {*service + ": " + counted(count_of(*reply, "removed"), "socket") + " taken out"});
    return 0;
}

}  // namespace sluice::cli::command

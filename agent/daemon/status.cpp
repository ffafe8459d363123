// SPDX-License-Identifier: Apache-2.0
#include "daemon/status.h"

#include <algorithm>

#include "daemon/following.h"
#include "sys/clock.h"
#include "sys/routes.h"

namespace sluice {
namespace {

constexpr std::size_t routes_checked = 64;  // prefixes a status asks the kernel about

Json time_or_null(std::int64_t time) { return time == 0 ? Json(nullptr) : Json(time); }

const char* word(ConfigState state) {
    switch (state) {
        case ConfigState::applied:
            return "applied";
        case ConfigState::changed:
            return "changed";
        case ConfigState::set_aside:
            return "set-aside";
        case ConfigState::other_file:
            return "other-file";
        case ConfigState::invalid:
            return "invalid";
    }
    return "";
}

void add_route_reasons(const Agent& agent, std::vector<Reason>& reasons) {
    std::map<Prefix, std::size_t> prefixes;  // the shortest cover the most
    for (const Binding& binding : agent.running().table->effective) {
        if (binding.target.kind == Target::Kind::pass) continue;
        if (const auto at = prefixes.find(binding.match.prefix); at != prefixes.end())
            ++at->second;
        else if (prefixes.size() < routes_checked)
            prefixes.emplace(binding.match.prefix, 1);
    }
    for (const auto& [prefix, bindings] : prefixes) {
        const auto local = is_local(prefix);
        if (!local || *local) continue;
        reasons.push_back({"no-local-route", to_string(prefix),
                           "no local route, nothing arrives; " + std::to_string(bindings) +
                               (bindings == 1 ? " binding" : " bindings"),
                           0});
    }
}

Json reasons_json(const std::vector<Reason>& reasons) {
    Json list = Json::array();
    for (const Reason& reason : reasons)
        list.push_back({{"code", reason.code},
                        {"subject", reason.subject},
                        {"message", reason.message},
                        {"since", time_or_null(reason.since)}});
    return list;
}

Json rate_json(const std::optional<Rate>& rate, double Rate::* field) {
    return rate ? Json((*rate).*field) : Json(nullptr);
}

Json counted(const Agent& agent, const std::string& row) {
    const Totals totals = agent.rates().totals(row);
    const auto rate = agent.rates().rate(row);
    return {{"lookups", totals.lookups},
            {"assigned", totals.assigned},
            {"rejected", totals.rejected},
            {"unavailable", totals.unavailable},
            {"passed", totals.passed},
            {"errors", totals.errors},
            {"lookups_per_second", rate_json(rate, &Rate::lookups)},
            {"refused_per_second", rate_json(rate, &Rate::refused)},
            {"errors_per_second", rate_json(rate, &Rate::errors)}};
}

Json service_status(const Agent& agent, const std::string& name) {
    const ServiceHealth health = agent.health(name);
    const auto use = agent.running().use.services.find(name);
    Json item = counted(agent, name);
    item["name"] = name;
    item["state"] = to_string(health.state);
    item["message"] = health.message;
    item["brief"] = health.brief;
    item["bindings"] = use == agent.running().use.services.end() ? 0 : use->second.bindings;
    item["sockets"] = agent.sockets_of(name).total;
    return item;
}

// Rows that are no service's: what reject and pass bindings, and no binding, answered.
Json verdict_status(const Agent& agent, const char* row, std::size_t bindings) {
    Json item = counted(agent, row);
    item["name"] = row;
    item["bindings"] = bindings;
    return item;
}

Json socket_states(const Agent& agent) {
    std::size_t serving = 0, staged = 0, failing = 0, parked = 0;
    for (const std::string& name : agent.service_names()) {
        const ServiceSockets count = agent.sockets_of(name);
        if (!agent.running().generation.services.contains(name)) {
            parked += count.total + count.waiting;
            continue;
        }
        serving += count.total - count.failing;
        failing += count.failing;
        staged += count.waiting;
    }
    return {{"serving", serving}, {"staged", staged}, {"failing", failing}, {"parked", parked}};
}

Json pending_status(const Generation& generation) {
    if (!generation.pending) return nullptr;
    const std::int64_t left =
        std::max<std::int64_t>(generation.pending->deadline - uptime_seconds(), 0);
    return {{"generation", generation.number},
            {"returns_to", generation.pending->return_to},
            {"seconds_left", left},
            {"deadline", unix_time() + left}};
}

bool usable(const Agent& agent, const RegisteredSocket& socket) {
    for (const Family family : {Family::ipv4, Family::ipv6})
        if (socket.serves(socket.protocol, family) && agent.plane().usable(socket, family))
            return true;
    return false;
}

const char* word(kernel::Answering answering) {
    switch (answering) {
        case kernel::Answering::index:
            return "answers";
        case kernel::Answering::off:
            return "off";
        case kernel::Answering::too_large:
            return "too-large";
        case kernel::Answering::rebuilding:
            return "rebuilding";
    }
    return "";
}

// `memory` is the kernel's, for both halves; `agent_memory` the image that this process keeps.
Json index_json(const kernel::Dataplane& plane) {
    const auto& index = plane.table().index();
    const auto sizes = kernel::IndexTable::sizes(plane.dispatcher().maps().index);
    return {{"state", word(plane.table().answering())},
            {"memory", kernel::IndexTable::bytes(sizes)},
            {"limit", plane.table().config().memory},
            {"agent_memory", index ? index->image_bytes() : 0},
            {"prefixes", index ? Json(index->entries()) : Json(nullptr)}};
}

Error unknown_service(const std::string& name) {
    return {Failure::invalid, "there is no service '" + name + "'"};
}

}  // namespace

std::vector<Reason> find_reasons(const Agent& agent) {
    std::vector<Reason> reasons;
    const auto& dispatcher = agent.plane().dispatcher();
    if (!dispatcher.attached())
        reasons.push_back({"detached", "dispatcher",
                           "detached by command: traffic is left to the kernel's ordinary lookup",
                           0});
    for (const std::string& name : agent.service_names()) {
        const ServiceHealth health = agent.health(name);
        if (health.state == ServiceState::degraded)
            reasons.push_back(
                {"no-usable-socket", name, health.message, agent.troubled_since(name)});
    }
    if (const ConfigStatus config = agent.config_status(); config.failed)
        reasons.push_back(
            {config.state == ConfigState::invalid ? "config-invalid" : "config-refused", "config",
             config.problem, config.since});
    if (!agent.not_returned().empty())
        reasons.push_back({"not-returned", "generation",
                           "an unconfirmed generation still answers: " + agent.not_returned(), 0});
    if (const std::string problem = following_problem(agent); !problem.empty())
        reasons.push_back({"not-followed", "sluice-follow", problem, 0});
    if (!agent.not_stored().empty())
        reasons.push_back(
            {"not-stored", "state", "a reboot would bring back less: " + agent.not_stored(), 0});
    add_route_reasons(agent, reasons);
    if (const auto foreign = dispatcher.foreign_programs(); foreign && !foreign->empty())
        reasons.push_back({"foreign-program", "dispatcher",
                           std::to_string(foreign->size()) +
                               " other sk_lookup program(s) attached: what they pick, stands",
                           0});
    return reasons;
}

Result<Json> status_json(const Agent& agent, const std::optional<std::string>& service) {
    const Running& running = agent.running();
    const auto& dispatcher = agent.plane().dispatcher();
    const std::set<std::string> names = agent.service_names();
    if (service && !names.contains(*service)) return fail(unknown_service(*service));
    const auto reasons = find_reasons(agent);
    const ConfigStatus config = agent.config_status();
    Json services = Json::array();
    for (const std::string& name : names)
        if (!service || *service == name) services.push_back(service_status(agent, name));
    Json verdicts = Json::array();
    verdicts.push_back(verdict_status(agent, "(reject)", running.use.rejects));
    verdicts.push_back(verdict_status(agent, "(pass)", running.use.passes));
    verdicts.push_back(verdict_status(agent, "(none)", 0));
    const std::string state =
        !dispatcher.attached() ? "detached" : (reasons.empty() ? "ok" : "degraded");
    return Json{
        {"version", SLUICE_VERSION},
        {"instance",
         agent.options().instance.empty() ? Json(nullptr) : Json(agent.options().instance)},
        {"generation", running.generation.number},
        {"state", state},
        {"reasons", reasons_json(reasons)},
        {"netns", {{"cookie", dispatcher.maps().state().netns_cookie}}},
        {"program_id", dispatcher.program_id()},
        {"config",
         {{"path", agent.options().config},
          {"state", word(config.state)},
          {"problem", config.problem.empty() ? Json(nullptr) : Json(config.problem)},
          {"files", running.generation.config_files}}},
        {"bindings", running.table->effective.size()},
        {"sockets", agent.plane().sockets().all().size()},
        {"overrides", running.table->shadowed.size()},
        {"pending_confirm", pending_status(running.generation)},
        {"table", agent.plane().dispatcher().maps().by_index() ? "index" : "tries"},
        {"index", index_json(agent.plane())},
        {"services", std::move(services)},
        {"verdicts", std::move(verdicts)},
        {"since", agent.started()},
        {"capacity", dispatcher.capacity()},
        {"owners", {{"config", running.use.config}, {"runtime", running.use.runtime}}},
        {"socket_states", socket_states(agent)},
        {"foreign_programs", dispatcher.foreign_programs().value_or(std::vector<std::uint32_t>())},
        {"changed", time_or_null(running.generation.time)},
        {"change", change_json(running.generation)}};
}

Json services_json(const Agent& agent) {
    Json list = Json::array();
    for (const std::string& name : agent.service_names()) {
        const auto at = agent.running().generation.services.find(name);
        const ServiceConfig config =
            at == agent.running().generation.services.end() ? ServiceConfig{} : at->second;
        const auto use = agent.running().use.services.find(name);
        const ServiceHealth health = agent.health(name);
        list.push_back(
            {{"name", name},
             {"description", config.description.empty() ? Json(nullptr) : Json(config.description)},
             {"state", to_string(health.state)},
             {"message", health.message.empty() ? Json(nullptr) : Json(health.message)},
             {"unavailable", to_string(config.unavailable)},
             {"bindings", use == agent.running().use.services.end() ? 0 : use->second.bindings},
             {"sockets", agent.sockets_of(name).total},
             {"register", register_json(config.registration)},
             {"since", time_or_null(agent.troubled_since(name))}});
    }
    return list;
}

Result<Json> sockets_json(const Agent& agent, const std::optional<std::string>& service) {
    if (service && !agent.service_names().contains(*service))
        return fail(unknown_service(*service));
    std::vector<const RegisteredSocket*> sockets;
    for (const auto& [cookie, socket] : agent.plane().sockets().all())
        if (!service || socket.service == *service) sockets.push_back(&socket);
    std::ranges::sort(sockets, [](const RegisteredSocket* a, const RegisteredSocket* b) {
        return std::tie(a->service, a->cookie) < std::tie(b->service, b->cookie);
    });
    Json list = Json::array();
    for (const RegisteredSocket* socket : sockets)
        list.push_back(socket_json(
            *socket,
            socket_state(*socket, agent.running().generation.services.contains(socket->service),
                         usable(agent, *socket))));
    return list;
}

Json detach_json(const Agent& agent) {
    Json list = Json::array();
    for (const auto& [name, use] : agent.running().use.services) {
        const auto rate = agent.rates().rate(name);
        list.push_back({{"name", name},
                        {"bindings", use.bindings},
                        {"lookups_per_second", rate_json(rate, &Rate::lookups)},
                        {"falls_to", "the kernel's ordinary lookup"}});
    }
    return list;
}

}  // namespace sluice

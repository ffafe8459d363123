// SPDX-License-Identifier: Apache-2.0
#include "core/follow.h"

#include <algorithm>
#include <charconv>

#include "core/registered_socket.h"
#include "core/text.h"
#include "core/unit_name.h"

namespace sluice {
namespace {

bool is_one_of(const std::vector<std::int32_t>& pids, std::int32_t pid) {
    return std::ranges::find(pids, pid) != pids.end();
}

const FollowedService* owner_of(std::uint64_t cookie,
                                const std::vector<FollowedService>& services) {
    const auto owner = std::ranges::find_if(
        services, [&](const auto& each) { return each.sockets.contains(cookie); });
    return owner == services.end() ? nullptr : &*owner;
}

// Is a socket of the service in the name of a process that none of its units runs?
bool is_orphan(const FollowedService& service, const ListedSocket& socket,
               const UnitProcessIds& processes) {
    const std::int32_t pid = service.sockets.at(socket.cookie);
    return std::ranges::all_of(service.rules, [&](const FollowRule& rule) {
        if (!names(rule, socket.local)) return true;
        const auto unit = processes.find(rule.unit);
        return unit != processes.end() && !is_one_of(unit->second, pid);
    });
}

Result<FollowRule> parse_rule(const Json& json) {
    auto unit = parse_unit_name(json.at("unit").get<std::string>());
    if (!unit) return pass_on(unit);
    FollowRule rule{*unit, {}};
    for (const Json& text : json.at("listen")) {
        auto triple = parse_listen_triple(text.get<std::string>());
        if (!triple) return pass_on(triple);
        rule.listen.push_back(*triple);
    }
    return rule;
}

Result<FollowedService> parse_service(const Json& json) {
    FollowedService service{json.at("name").get<std::string>(), {}};
    for (const Json& each : json.at("rules")) {
        auto rule = parse_rule(each);
        if (!rule) return pass_on(rule);
        service.rules.push_back(std::move(*rule));
    }
    for (const Json& socket : json.at("sockets")) {
        const auto text = socket.at("cookie").get<std::string>();
        std::uint64_t cookie = 0;
        const auto [end, problem] =
            std::from_chars(text.data(), text.data() + text.size(), cookie, 16);
        if (problem != std::errc{} || end != text.data() + text.size())
            return fail(Failure::failed, sluice::quoted(text) + " is not a cookie");
        const Json& pid = socket.at("pid");
        service.sockets[cookie] = pid.is_null() ? 0 : pid.get<std::int32_t>();
    }
    return service;
}

}  // namespace

Json to_json(const FollowedService& service) {
    Json rules = Json::array(), sockets = Json::array();
    for (const FollowRule& rule : service.rules) {
        Json listen = Json::array();
        for (const ListenTriple& triple : rule.listen) listen.push_back(to_string(triple));
        rules.push_back({{"unit", rule.unit}, {"listen", std::move(listen)}});
    }
    for (const auto& [cookie, pid] : service.sockets)
        sockets.push_back(
            {{"cookie", cookie_text(cookie)}, {"pid", pid == 0 ? Json(nullptr) : Json(pid)}});
    return {{"name", service.name}, {"rules", std::move(rules)}, {"sockets", std::move(sockets)}};
}

Result<std::vector<FollowedService>> parse_following(const Json& reply) {
    try {
        std::vector<FollowedService> services;
        for (const Json& each : reply.at("services")) {
            auto service = parse_service(each);
            if (!service) return pass_on(service, "read which services follow units");
            services.push_back(std::move(*service));
        }
        return services;
    } catch (const Json::exception& error) {
        return fail(Failure::failed,
                    std::string("the answer about followed units makes no sense: ") + error.what());
    }
}

std::set<std::pair<Protocol, Family>> kinds_of(const std::vector<FollowedService>& services) {
    std::set<std::pair<Protocol, Family>> kinds;
    for (const FollowedService& service : services)
        for (const FollowRule& rule : service.rules)
            for (const ListenTriple& triple : rule.listen)
                kinds.emplace(triple.protocol, triple.address.family);
    return kinds;
}

bool names(const FollowRule& rule, const ListenTriple& local) {
    return std::ranges::find(rule.listen, local) != rule.listen.end();
}

bool names(const FollowedService& service, const ListenTriple& local) {
    return std::ranges::any_of(service.rules, [&](const auto& rule) { return names(rule, local); });
}

std::vector<ListedSocket> keep_named(std::vector<ListedSocket> listed,
                                     const std::vector<FollowedService>& services) {
    std::set<ListenTriple> named;
    for (const FollowedService& service : services)
        for (const FollowRule& rule : service.rules)
            named.insert(rule.listen.begin(), rule.listen.end());
    std::erase_if(listed, [&](const ListedSocket& each) { return !named.contains(each.local); });
    return listed;
}

Gaps find_gaps(const std::vector<FollowedService>& services,
               const std::vector<ListedSocket>& listed, const UnitProcessIds& processes) {
    Gaps gaps;
    for (const FollowedService& service : services)
        for (const FollowRule& rule : service.rules)
            for (const ListedSocket& socket : listed) {
                if (!names(rule, socket.local)) continue;
                const FollowedService* owner = owner_of(socket.cookie, services);
                if (owner == nullptr)
                    gaps.wanted.push_back({service.name, rule.unit, socket, false});
                else if (owner != &service)
                    gaps.overlaps.push_back({service.name, owner->name, socket});
                else if (is_orphan(service, socket, processes))
                    gaps.wanted.push_back({service.name, rule.unit, socket, true});
            }
    return gaps;
}

std::vector<Taking> find_takings(const std::vector<Wanted>& wanted,
                                 const std::map<std::string, Holders>& by_unit) {
    std::vector<Taking> takings;
    std::set<std::uint64_t> taken;
    for (const Wanted& each : wanted) {
        const auto unit = by_unit.find(each.unit);
        if (unit == by_unit.end()) continue;
        const auto holder = unit->second.find(each.socket.inode);
        if (holder == unit->second.end() || !taken.insert(each.socket.cookie).second) continue;
        takings.push_back({each, holder->second});
    }
    return takings;
}

Leaving find_leaving(const FollowedService& service,
                     const std::map<std::uint64_t, ListenTriple>& followed, bool coming) {
    Leaving leaving;
    for (const auto& [cookie, pid] : service.sockets) {
        const auto local = followed.find(cookie);
        if (local != followed.end() && !names(service, local->second))
            leaving.cookies.push_back(cookie);
    }
    const bool others = service.sockets.size() > leaving.cookies.size();
    if (!others && !coming) return {};
    leaving.replace = !leaving.cookies.empty() && !others;
    return leaving;
}

std::vector<ListenTriple> unmatched(const FollowedService& service, const FollowRule& rule,
                                    const std::vector<ListedSocket>& listed) {
    std::vector<ListenTriple> missing = rule.listen;
    for (const ListedSocket& socket : listed)
        if (service.sockets.contains(socket.cookie)) std::erase(missing, socket.local);
    return missing;
}

}  // namespace sluice

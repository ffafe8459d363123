// SPDX-License-Identifier: Apache-2.0
#include "core/plan.h"

#include <algorithm>

namespace sluice {
namespace {

Target answerer(const Binding* binding) {
    return binding == nullptr ? Target::pass() : binding->target;
}

void compare_bindings(Plan& plan, const Bindings& from, const Bindings& to) {
    if (from.shares(to)) return;
    Coverings before(from), after(to);
    auto old = from.begin();
    auto fresh = to.begin();
    while (old != from.end() || fresh != to.end()) {
        const bool only_old = fresh == to.end() || (old != from.end() && old->match < fresh->match);
        const bool only_fresh = !only_old && (old == from.end() || fresh->match < old->match);
        if (only_old) {
            plan.removed.push_back({&*old, answerer(after.of(old->match))});
            ++old;
        } else if (only_fresh) {
            plan.added.push_back({&*fresh, answerer(before.of(fresh->match))});
            ++fresh;
        } else {
            if (!(old->target == fresh->target)) plan.moved.push_back({&*fresh, old->target});
            if (old->owner != fresh->owner) plan.other_changes = true;
            ++old;
            ++fresh;
        }
    }
}

std::string list(const std::vector<std::string>& items) {
    std::string text = "[";
    for (const std::string& item : items) text += (text.size() > 1 ? ", " : "") + item;
    return text + "]";
}

std::string list(const std::vector<FollowRule>& rules) {
    std::vector<std::string> items;
    for (const FollowRule& rule : rules) {
        std::string text = rule.unit + ":";
        for (const ListenTriple& triple : rule.listen)
            text += " " + std::string(to_string(triple.protocol)) + " " +
                    to_string(triple.address) + " " + std::to_string(triple.port);
        items.push_back(std::move(text));
    }
    return list(items);
}

using Fields = std::vector<ServiceChange::Field>;

void compare_field(Fields& fields, const char* key, std::string from, std::string to) {
    if (from != to) fields.push_back({key, std::move(from), std::move(to)});
}

Fields compare_service(const ServiceConfig& from, const ServiceConfig& to) {
    Fields fields;
    compare_field(fields, "description", from.description, to.description);
    compare_field(fields, "unavailable", to_string(from.unavailable), to_string(to.unavailable));
    compare_field(fields, "register.users", list(from.registration.users),
                  list(to.registration.users));
    compare_field(fields, "register.groups", list(from.registration.groups),
                  list(to.registration.groups));
    compare_field(fields, "register.units", list(from.registration.units),
                  list(to.registration.units));
    compare_field(fields, "mixed_ports", from.mixed_ports ? "true" : "false",
                  to.mixed_ports ? "true" : "false");
    compare_field(fields, "sockets", list(from.sockets), list(to.sockets));
    return fields;
}

void compare_services(Plan& plan, const std::map<std::string, ServiceConfig>& from,
                      const std::map<std::string, ServiceConfig>& to) {
    for (const auto& [name, service] : to) {
        const auto old = from.find(name);
        if (old == from.end()) {
            plan.services.push_back({name, ServiceChange::Kind::added, {}});
        } else if (auto fields = compare_service(old->second, service); !fields.empty()) {
            plan.services.push_back({name, ServiceChange::Kind::changed, std::move(fields)});
        }
    }
    for (const auto& [name, service] : from)
        if (!to.contains(name)) plan.services.push_back({name, ServiceChange::Kind::removed, {}});
}

// What one owner says, whether it answers or waits: after an unbind, what waited answers.
bool say_the_same(const Bindings& from, const Bindings& to) {
    return from.shares(to) || std::ranges::equal(from, to, [](const Binding& a, const Binding& b) {
               return a.same_meaning(b);
           });
}

}  // namespace

Plan make_plan(const Generation& from_generation, const Bindings& from,
               const Generation& to_generation, const Bindings& to) {
    Plan plan;
    plan.base = from_generation.number;
    plan.bindings = to.size();
    plan.from = from;
    plan.to = to;
    compare_bindings(plan, plan.from, plan.to);
    compare_services(plan, from_generation.services, to_generation.services);
    if (!(from_generation.admins == to_generation.admins) ||
        !(from_generation.guards == to_generation.guards) ||
        !(from_generation.dataplane == to_generation.dataplane) ||
        !say_the_same(from_generation.config, to_generation.config) ||
        !say_the_same(from_generation.runtime, to_generation.runtime))
        plan.other_changes = true;
    return plan;
}

}  // namespace sluice

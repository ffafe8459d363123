// SPDX-License-Identifier: Apache-2.0
#include "core/views.h"

#include <algorithm>
#include <array>
#include <cstdio>

namespace sluice {
namespace {

Json text_or_null(const SharedText& text) { return text ? Json(*text) : Json(nullptr); }
Json time_or_null(std::int64_t time) { return time == 0 ? Json(nullptr) : Json(time); }

const char* kind_word(ServiceChange::Kind kind) {
    switch (kind) {
        case ServiceChange::Kind::added:
            return "added";
        case ServiceChange::Kind::changed:
            return "changed";
        case ServiceChange::Kind::removed:
            return "removed";
    }
    return "";
}

Json changes_json(const std::vector<Change>& changes, const char* other) {
    Json list = Json::array();
    for (const Change& change : changes) {
        Json item = binding_json(change.binding, false);
        item[other] = target_word(change.other);
        list.push_back(std::move(item));
    }
    return list;
}

}  // namespace

std::string cookie_text(std::uint64_t cookie) {
    std::array<char, 20> text{};
    std::snprintf(text.data(), text.size(), "%llx", static_cast<unsigned long long>(cookie));
    return text.data();
}

std::string target_word(const Target& target) {
    switch (target.kind) {
        case Target::Kind::reject:
            return "reject";
        case Target::Kind::pass:
            return "pass";
        case Target::Kind::service:
            break;
    }
    return *target.name;
}

Json binding_json(const Binding& binding, bool shadowed) {
    Json source = nullptr;
    if (binding.file != nullptr) source = {{"file", *binding.file}, {"line", binding.line}};
    return {{"service", binding.target.is_service() ? Json(*binding.target.name) : Json(nullptr)},
            {"reject", binding.target.kind == Target::Kind::reject},
            {"pass", binding.target.kind == Target::Kind::pass},
            {"protocol", to_string(binding.match.protocol)},
            {"prefix", to_string(binding.match.prefix)},
            {"port", to_string(binding.match.ports)},
            {"owner", to_string(binding.owner)},
            {"source", std::move(source)},
            {"note", text_or_null(binding.note)},
            {"since", time_or_null(binding.since)},
            {"shadowed", shadowed}};
}

Json register_json(const RegisterRule& rule) {
    return {{"users", rule.users}, {"groups", rule.groups}, {"units", rule.units}};
}

Json socket_json(const RegisteredSocket& socket, std::string_view state) {
    return {{"service", socket.service},
            {"protocol", to_string(socket.protocol)},
            {"family", family_word(socket)},
            {"local", to_string(socket.local)},
            {"cookie", cookie_text(socket.cookie)},
            {"pid", socket.pid == 0 ? Json(nullptr) : Json(socket.pid)},
            {"command", socket.command.empty() ? Json(nullptr) : Json(socket.command)},
            {"state", state},
            {"since", time_or_null(socket.since)}};
}

Json warnings_json(const std::vector<Warning>& warnings) {
    Json list = Json::array();
    for (const Warning& warning : warnings)
        list.push_back({{"code", warning.code},
                        {"message", warning.message},
                        {"fix", warning.fix.empty() ? Json(nullptr) : Json(warning.fix)}});
    return list;
}

Json change_json(const Generation& generation) {
    const Author& by = generation.by;
    return {{"time", generation.time == 0 ? Json(nullptr) : Json(generation.time)},
            {"cause", generation.cause},
            {"by",
             {{"uid", by.uid},
              {"login_uid", by.login_uid < 0 ? Json(nullptr) : Json(by.login_uid)},
              {"pid", by.pid},
              {"command", by.command}}},
            {"note", generation.note.empty() ? Json(nullptr) : Json(generation.note)}};
}

Json plan_json(const Plan& plan) {
    Json services = Json::array();
    for (const ServiceChange& change : plan.services) {
        Json fields = Json::object();
        for (const auto& field : change.fields) fields[field.key] = {field.from, field.to};
        services.push_back({{"name", change.name},
                            {"change", kind_word(change.kind)},
                            {"fields", std::move(fields)}});
    }
    return {{"changed", plan.changes()},
            {"base_generation", plan.base},
            {"added", changes_json(plan.added, "takes_from")},
            {"moved", changes_json(plan.moved, "from")},
            {"removed", changes_json(plan.removed, "falls_to")},
            {"bindings", plan.bindings},
            {"services", std::move(services)},
            {"refused_by", Json::array()},
            {"warnings", warnings_json(plan.warnings)}};
}

bool BindingFilter::matches(const Binding& binding) const {
    if (service && !binding.target.is_service(*service)) return false;
    if (protocol && binding.match.protocol != *protocol) return false;
    if (covering && !binding.match.prefix.contains(*covering)) return false;
    if (within && !within->contains(binding.match.prefix)) return false;
    if (port && !binding.match.ports.contains(*port)) return false;
    return !owner || binding.owner == *owner;
}

BindingsView::BindingsView(const Bindings& effective, const std::vector<Binding>& shadowed,
                           const BindingFilter& filter) {
    for (const Binding& binding : effective)
        if (filter.matches(binding)) shown_.push_back({&binding, false});
    for (const Binding& binding : shadowed)
        if (filter.matches(binding)) shown_.push_back({&binding, true});
    std::ranges::sort(shown_, before);
}

Json BindingsView::part(std::size_t from, std::size_t count) const {
    Json list = Json::array();
    for (std::size_t i = from; i < std::min(from + count, shown_.size()); ++i)
        list.push_back(binding_json(*shown_[i].binding, shown_[i].shadowed));
    return list;
}

bool BindingsView::before(const Shown& a, const Shown& b) {
    const Match &x = a.binding->match, &y = b.binding->match;
    if (x.prefix.length != y.prefix.length) return x.prefix.length > y.prefix.length;
    if (auto c = x.prefix <=> y.prefix; c != 0) return c < 0;
    if (x.ports.width() != y.ports.width()) return x.ports.width() < y.ports.width();
    if (x.ports.first != y.ports.first) return x.ports.first < y.ports.first;
    if (x.protocol != y.protocol) return x.protocol > y.protocol;
    return a.shadowed < b.shadowed;
}

}  // namespace sluice

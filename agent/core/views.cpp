// SPDX-License-Identifier: Apache-2.0
#include "core/views.h"

#include <algorithm>
#include <array>
#include <cstdio>

#include "core/by_name.h"

namespace sluice {
namespace {

Json text_or_null(const SharedText& text) { return text ? Json(*text) : Json(nullptr); }
Json time_or_null(std::int64_t time) { return time == 0 ? Json(nullptr) : Json(time); }

Json author_json(const Author& by) {
    return {{"uid", by.uid},
            {"login_uid", by.login_uid < 0 ? Json(nullptr) : Json(by.login_uid)},
            {"pid", by.pid},
            {"command", by.command}};
}

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

// How the list is called, and who else it is about.
struct KindWords {
    const char* list;
    const char* other;
};
KindWords words_of(ChangeKind kind) {
    switch (kind) {
        case ChangeKind::added:
            return {"added", "takes_from"};
        case ChangeKind::moved:
            return {"moved", "from"};
        case ChangeKind::removed:
            return {"removed", "falls_to"};
    }
    return {"", ""};
}

Json change_json(ChangeKind kind, const Change& change) {
    Json item = binding_json(*change.binding, false);
    item[words_of(kind).other] = target_word(change.other);
    return item;
}

Json refused_json(const std::vector<RefusedBy>& refusals) {
    Json list = Json::array();
    for (const RefusedBy& refused : refusals) {
        Json first = Json::array();
        for (const auto& [kind, change] : refused.first) {
            first.push_back(change_json(kind, change));
            first.back()["change"] = words_of(kind).list;
        }
        list.push_back({{"guard", refused.guard},
                        {"message", refused.message},
                        {"allow", refused.allow},
                        {"count", refused.count},
                        {"first", std::move(first)}});
    }
    return list;
}

Json times_json(const Plan& plan) {
    Json list = Json::array();
    for (const auto& [step, milliseconds] : plan.times)
        list.push_back({{"step", step}, {"milliseconds", milliseconds}});
    return list;
}

Json per_service_json(const Plan& plan) {
    struct Row {
        std::size_t added = 0, gained = 0, lost = 0, removed = 0;
    };
    ByName<Row> rows;
    const SharedText reject("reject"), pass("pass");
    const auto row_of = [&](const Target& target) -> Row& {
        if (target.is_service()) return rows[target.name];
        return rows[target.kind == Target::Kind::reject ? reject : pass];
    };
    for (const Change& change : plan.added) ++row_of(change.binding->target).added;
    for (const Change& change : plan.removed) ++row_of(change.binding->target).removed;
    for (const Change& change : plan.moved) {
        ++row_of(change.binding->target).gained;
        ++row_of(change.other).lost;
    }
    Json list = Json::array();
    for (const auto& [name, row] : rows.take())
        list.push_back({{"name", name},
                        {"added", row.added},
                        {"moved_to", row.gained},
                        {"moved_from", row.lost},
                        {"removed", row.removed}});
    return list;
}

// What brings a socket that waits into service.
Json waits_for(SocketRole role) {
    if (role == SocketRole::serving) return nullptr;
    return role == SocketRole::staged ? "promote" : "demote";
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

std::string_view socket_state(const RegisteredSocket& socket, bool configured, bool usable) {
    if (!configured) return "parked";
    if (!usable) return "failing";
    return socket.role == SocketRole::serving ? "serving" : "staged";
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
            {"waits_for", waits_for(socket.role)},
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
    return {{"time", time_or_null(generation.time)},
            {"cause", generation.cause},
            {"by", author_json(generation.by)},
            {"note", generation.note.empty() ? Json(nullptr) : Json(generation.note)}};
}

Json plan_head_json(const Plan& plan) {
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
            {"counts",
             {{"added", plan.added.size()},
              {"moved", plan.moved.size()},
              {"removed", plan.removed.size()}}},
            {"per_service", per_service_json(plan)},
            {"bindings", plan.bindings},
            {"services", std::move(services)},
            {"refused_by", refused_json(plan.refused_by)},
            {"warnings", warnings_json(plan.warnings)},
            {"times", times_json(plan)}};
}

ChangesView::ChangesView(const Plan& plan, std::size_t most_of_each) {
    const auto take = [&](ChangeKind kind, std::span<const Change> list) {
        lists_.push_back({kind, list.first(std::min(list.size(), most_of_each))});
    };
    take(ChangeKind::added, plan.added);
    take(ChangeKind::moved, plan.moved);
    take(ChangeKind::removed, plan.removed);
}

std::size_t ChangesView::size() const {
    std::size_t size = 0;
    for (const List& list : lists_) size += list.changes.size();
    return size;
}

Json ChangesView::part(std::size_t from, std::size_t count) const {
    Json lists = Json::object();
    for (const auto& [kind, changes] : lists_) {
        Json& list = lists[words_of(kind).list] = Json::array();
        const std::size_t skipped = std::min(from, changes.size());
        const std::size_t taken = std::min(count, changes.size() - skipped);
        for (const Change& change : changes.subspan(skipped, taken))
            list.push_back(change_json(kind, change));
        from -= skipped;
        count -= taken;
    }
    return lists;
}

Json record_json(const Record& record, Standing standing) {
    return {{"generation", record.number},
            {"time", time_or_null(record.time)},
            {"owner", to_string(record.owner)},
            {"cause", record.cause},
            {"by", author_json(record.by)},
            {"note", record.note.empty() ? Json(nullptr) : Json(record.note)},
            {"summary", summary_of(record)},
            {"added", record.added},
            {"moved", record.moved},
            {"removed", record.removed},
            {"restores", record.restores == 0 ? Json(nullptr) : Json(record.restores)},
            {"state", to_string(standing)}};
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

// SPDX-License-Identifier: Apache-2.0
#include "cli/offline.h"

#include "core/explain.h"
#include "core/health.h"
#include "core/views.h"
#include "kernel/dataplane.h"
#include "kernel/pins.h"
#include "kernel/snapshot.h"

namespace sluice::cli {
namespace {

// One moment of the pinned dispatcher.
struct Pins {
    std::string directory;
    kernel::Maps maps;
    Bindings bindings;
    std::vector<RegisteredSocket> sockets;
};

Result<Pins> read_pins(const std::string& bpffs_dir) {
    auto directory = kernel::find_current(bpffs_dir);
    if (!directory) return pass_on(directory);
    if (directory->empty())
        return fail(Failure::unreachable,
                    "the agent is not running, and nothing is pinned in " + bpffs_dir);
    auto maps = kernel::Maps::open(*directory, kernel::Access::read_only);
    if (!maps) return pass_on(maps);
    auto bindings = kernel::read_bindings(*maps);
    if (!bindings) return pass_on(bindings);
    auto sockets = kernel::read_sockets(*maps);
    if (!sockets) return pass_on(sockets);
    return Pins{*directory, std::move(*maps), std::move(*bindings), std::move(*sockets)};
}

std::uint64_t generation_of(const Pins& pins) {
    return pins.maps.state().generation[pins.maps.active()];
}

ServiceSockets count_sockets(const kernel::Lookup& lookup, const Pins& pins,
                             const std::string& name) {
    ServiceSockets count;
    for (const RegisteredSocket& socket : pins.sockets) {
        if (socket.service != name) continue;
        if (socket.role != SocketRole::serving) {
            ++count.waiting;
            continue;
        }
        ++count.total;
        const ClassMask before = count.usable;
        bool usable = false;
        for (const Family family : {Family::ipv4, Family::ipv6}) {
            if (!socket.serves(socket.protocol, family)) continue;
            const auto answer = lookup.usable(socket.slot, socket.protocol, family);
            if (!answer || !*answer) continue;
            usable = true;
            count.usable =
                static_cast<ClassMask>(before | count.usable | class_bit(socket.protocol, family));
        }
        if (!usable) ++count.failing;
    }
    return count;
}

Json service_status(const Pins& pins, const kernel::Lookup& lookup, const TableUse& table,
                    const kernel::ServiceTable& services, const std::string& name, ServiceId id) {
    const auto at = table.services.find(name);
    const ServiceUse use = at == table.services.end() ? ServiceUse{} : at->second;
    const ServiceSockets sockets = count_sockets(lookup, pins, name);
    const ServiceHealth health =
        judge_service(true, false, use, sockets, services.unavailable(pins.maps.active(), id));
    sluice_counters total{};
    for (std::uint32_t cls = 0; cls < SLUICE_CLASSES; ++cls) {
        const auto row = kernel::read_counters(pins.maps, id, cls);
        if (!row) continue;
        total.assigned += row->assigned;
        total.unavailable += row->unavailable;
        total.rejected += row->rejected;
        total.error_type +=
            row->error_type + row->error_protocol + row->error_family + row->error_other;
    }
    return {{"name", name},
            {"state", to_string(health.state)},
            {"message", health.message},
            {"brief", health.brief},
            {"bindings", use.bindings},
            {"sockets", sockets.total},
            {"lookups", total.assigned + total.unavailable},
            {"assigned", total.assigned},
            {"rejected", total.rejected},
            {"unavailable", total.unavailable},
            {"errors", total.error_type}};
}

}  // namespace

Result<Json> offline_status(const std::string& bpffs_dir) {
    auto pins = read_pins(bpffs_dir);
    if (!pins) return pass_on(pins);
    auto lookup = kernel::Lookup::open(pins->directory);
    if (!lookup) return pass_on(lookup);
    const kernel::ServiceTable services(pins->maps.services);
    const TableUse use = count_use(pins->bindings);
    const bool detached = pins->maps.state().detached != 0;
    Json list = Json::array();
    Json reasons = Json::array();
    reasons.push_back({{"code", "agent-not-running"},
                       {"subject", "sluiced"},
                       {"message", "not running; traffic flows by what is pinned"},
                       {"since", nullptr}});
    for (const auto& [name, id] : services.all()) {
        list.push_back(service_status(*pins, *lookup, use, services, name, id));
        if (list.back()["state"] == "degraded")
            reasons.push_back({{"code", "no-usable-socket"},
                               {"subject", name},
                               {"message", list.back()["message"]},
                               {"since", nullptr}});
    }
    const std::int64_t changed = pins->maps.state().changed;
    return Json{{"version", SLUICE_VERSION},
                {"instance", nullptr},
                {"generation", generation_of(*pins)},
                {"state", detached ? "detached" : "degraded"},
                {"reasons", std::move(reasons)},
                {"netns", {{"cookie", pins->maps.state().netns_cookie}}},
                {"program_id", nullptr},
                {"config", {{"path", nullptr}, {"state", nullptr}}},
                {"bindings", pins->bindings.size()},
                {"sockets", pins->sockets.size()},
                {"overrides", nullptr},
                {"pending_confirm", nullptr},
                {"table", pins->maps.by_index() ? "index" : "tries"},
                {"index", nullptr},
                {"services", std::move(list)},
                {"owners", {{"config", use.config}, {"runtime", use.runtime}}},
                {"changed", changed == 0 ? Json(nullptr) : Json(changed)}};
}

Result<Json> offline_bindings(const std::string& bpffs_dir) {
    auto pins = read_pins(bpffs_dir);
    if (!pins) return pass_on(pins);
    const BindingsView view(pins->bindings, {}, {});
    return Json{{"bindings", view.part(0, view.size())}, {"total", view.size()}};
}

Result<Json> offline_explain(const std::string& bpffs_dir, const std::string& protocol,
                             const std::string& address, std::uint16_t port,
                             const std::string& from) {
    Question question;
    auto parsed_protocol = parse_protocol(protocol);
    if (!parsed_protocol) return pass_on(parsed_protocol);
    auto parsed_address = Address::parse(address);
    if (!parsed_address) return pass_on(parsed_address);
    question.protocol = *parsed_protocol;
    question.to = {*parsed_address, port};
    if (!from.empty()) {
        auto endpoint = Endpoint::parse(from);
        if (!endpoint) return pass_on(endpoint);
        question.from = *endpoint;
    }
    auto pins = read_pins(bpffs_dir);
    if (!pins) return pass_on(pins);
    auto lookup = kernel::Lookup::open(pins->directory);
    if (!lookup) return pass_on(lookup);
    const kernel::ServiceTable services(pins->maps.services);
    World world;
    world.bindings = &pins->bindings;
    for (const auto& [name, id] : services.all())
        world.policies[name] = services.unavailable(pins->maps.active(), id);
    world.sockets =
        kernel::judge(*lookup, pins->sockets, question.protocol, question.to.address.family);
    world.generation = generation_of(*pins);
    world.since = pins->maps.state().changed;
    auto kernel = kernel::ask(pins->maps, *lookup, question, 0);
    if (!kernel) return pass_on(kernel);
    std::vector<Warning> warnings;
    if (!kernel->attached)
        warnings.push_back(
            {"detached", "the dispatcher is detached: this is what it would answer", ""});
    return explain_json(world, question, answer(world, question), *kernel, warnings);
}

}  // namespace sluice::cli

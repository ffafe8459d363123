// SPDX-License-Identifier: Apache-2.0
// The agent's side of sockets: registration, and whether services can serve.
#include <algorithm>
#include <iterator>

#include <spdlog/spdlog.h>

#include "core/admit.h"
#include "core/replies.h"
#include "daemon/agent.h"
#include "sys/clock.h"
#include "sys/process.h"
#include "sys/socket_facts.h"

namespace sluice {
namespace {

constexpr std::int64_t early_seconds = 60;    // after boot
constexpr std::size_t probed_at_least = 512;  // sockets a tick
constexpr std::size_t ticks_for_all = 4;

void log_closed(const std::vector<RegisteredSocket>& sockets) {
    for (const RegisteredSocket& socket : sockets)
        spdlog::info("socket {} of '{}' ({} {}, {}[{}]) was closed", cookie_text(socket.cookie),
                     socket.service, to_string(socket.protocol), to_string(socket.local),
                     socket.command, socket.pid);
}

kernel::Placement placement_of(RegisterMode mode) {
    switch (mode) {
        case RegisterMode::add:
            return kernel::Placement::add;
        case RegisterMode::replace:
            return kernel::Placement::replace;
        case RegisterMode::staged:
            return kernel::Placement::stage;
    }
    return kernel::Placement::add;
}

// A socket that is registered already keeps its role: say so where that is not what was asked for.
Warning role_warning(const RegisteredSocket& socket, RegisterMode mode) {
    const std::string local = to_string(socket.local);
    if (mode == RegisterMode::staged && socket.role == SocketRole::serving)
        return {"serves-already", local + " serves '" + socket.service + "' already, and goes on",
                ""};
    if (mode != RegisterMode::staged && socket.role == SocketRole::staged)
        return {"staged-already", local + " is staged, and stays so",
                "sluicectl promote " + socket.service};
    if (socket.role == SocketRole::former)
        return {"former-already", local + " served before the last promote, and waits",
                "sluicectl demote " + socket.service};
    return {};
}

}  // namespace

// Members must be interchangeable: one local port for each (protocol, family), unless the config
// says otherwise.
Result<> Agent::check_ports(const std::string& service, const std::vector<kernel::NewSocket>& fresh,
                            RegisterMode mode) const {
    const auto at = running_.generation.services.find(service);
    if (at == running_.generation.services.end() || at->second.mixed_ports) return {};
    std::map<std::pair<Protocol, Family>, std::uint16_t> ports;
    const auto check = [&](Protocol protocol, Family family, bool dual, std::uint16_t port) {
        for (const Family each : {Family::ipv4, Family::ipv6})
            if ((each == family || dual) &&
                ports.try_emplace({protocol, each}, port).first->second != port)
                return ports.at({protocol, each});
        return port;
    };
    if (mode != RegisterMode::replace) {
        const bool staged = mode == RegisterMode::staged;
        for (const RegisteredSocket& socket :
             plane_->sockets().of(service, staged ? SocketRole::staged : SocketRole::serving))
            check(socket.protocol, socket.family, socket.dual, socket.local.port);
    }
    for (const kernel::NewSocket& socket : fresh) {
        // One that is there already keeps its role, and joins nobody.
        if (mode != RegisterMode::replace && plane_->sockets().all().contains(socket.cookie))
            continue;
        const auto other = check(socket.protocol, socket.family, socket.dual, socket.local.port);
        if (other == socket.local.port) continue;
        return fail(
            Error(Failure::refused, to_string(socket.local) + ": the sockets of '" + service +
                                        "' are on port " + std::to_string(other) +
                                        ", and any of them may get any lookup")
                .hint("make it a service of its own, use --replace, or set mixed_ports: true"));
    }
    return {};
}

// What the kernel says of the descriptors, judged. Nothing has happened yet.
Result<Agent::Prepared> Agent::prepare(const SocketOffer& offer, RegisterMode mode,
                                       const Author& owner) const {
    const std::string& service = offer.service;
    if (!running_.generation.services.contains(service))
        return fail(Error(Failure::invalid, "there is no service '" + service + "'")
                        .hint("services are defined in " + options_.config));
    if (offer.descriptors.empty()) return fail(Failure::invalid, "no sockets were passed");
    Prepared prepared;
    prepared.owners_named = !offer.owners.empty();
    const std::uint64_t netns_cookie = own_netns_cookie();
    for (std::size_t i = 0; i < offer.descriptors.size(); ++i) {
        const int descriptor = offer.descriptors[i];
        const std::int32_t pid = prepared.owners_named ? offer.owners.at(i) : owner.pid;
        auto facts = socket_facts(descriptor);
        if (!facts) return pass_on(facts, "look at the socket");
        auto admitted = admit(*facts, netns_cookie);
        if (!admitted) return pass_on(admitted);
        std::ranges::move(admitted->warnings, std::back_inserter(prepared.warnings));
        prepared.sockets.push_back(
            {descriptor, admitted->cookie, admitted->protocol,
             admitted->family == SocketFamily::ipv4 ? Family::ipv4 : Family::ipv6,
             admitted->family == SocketFamily::dual, admitted->local, pid,
             prepared.owners_named ? command_of(pid).value_or("") : owner.command,
             admitted->replies});
    }
    if (auto ok = check_ports(service, prepared.sockets, mode); !ok) return pass_on(ok);
    return prepared;
}

Result<std::vector<Registered>> Agent::register_sockets(std::span<const SocketOffer> offers,
                                                        RegisterMode mode, const Author& by,
                                                        std::int32_t owner_pid) {
    std::set<std::string> named;
    for (const SocketOffer& offer : offers)
        if (!named.insert(offer.service).second)
            return fail(Error(Failure::invalid, "sockets of '" + offer.service + "' twice")
                            .hint("name all of a service's sockets in one place"));
    // A service that restarts comes back before the next tick.
    for (const SocketOffer& offer : offers) forget_closed(offer.service);
    Author owner = by;
    if (owner_pid != 0) owner.pid = owner_pid, owner.command = command_of(owner_pid).value_or("");
    std::vector<Prepared> prepared;
    for (const SocketOffer& offer : offers) {
        auto one = prepare(offer, mode, owner);
        if (!one) return pass_on(one);
        prepared.push_back(std::move(*one));
    }
    // Several services cannot be replaced in one step that may still fail: first all is added,
    // which can be taken back, and then the old ones go, which cannot fail for want of anything.
    const bool replace = mode == RegisterMode::replace;
    const kernel::Placement placement = placement_of(mode);
    std::vector<Registered> done;
    std::vector<std::uint64_t> fresh;
    for (std::size_t i = 0; i < offers.size(); ++i) {
        auto one = enlist(offers[i].service, prepared[i],
                          replace && offers.size() > 1 ? kernel::Placement::add : placement, fresh);
        if (!one) {
            (void)plane_->sockets().remove(fresh);  // the first failure is the one to tell
            want_grace();
            return pass_on(one);
        }
        done.push_back(std::move(*one));
    }
    for (std::size_t i = 0; i < offers.size() && replace && offers.size() > 1; ++i) {
        auto ok =
            plane_->sockets().add(offers[i].service, prepared[i].sockets, placement, unix_time());
        if (!ok) return pass_on(ok);
    }
    for (std::size_t i = 0; i < offers.size(); ++i) {
        describe(done[i], prepared[i], offers[i].service, mode);
        if (done[i].added != 0)
            spdlog::info("{} {} socket(s) for '{}', {} in all (by {})",
                         mode == RegisterMode::staged ? "staged" : "registered", done[i].added,
                         offers[i].service, plane_->sockets().of(offers[i].service).size(),
                         to_string(by));
    }
    sockets_changed();
    return done;
}

// One service's part. Cookies that were not registered before are added to `fresh`.
Result<Registered> Agent::enlist(const std::string& service, const Prepared& prepared,
                                 kernel::Placement placement, std::vector<std::uint64_t>& fresh) {
    std::vector<std::uint64_t> added;
    for (const kernel::NewSocket& socket : prepared.sockets)
        if (!plane_->sockets().all().contains(socket.cookie)) added.push_back(socket.cookie);
    auto counts = plane_->sockets().add(service, prepared.sockets, placement, unix_time());
    if (!counts) return pass_on(counts);
    fresh.insert(fresh.end(), added.begin(), added.end());
    if (prepared.owners_named)  // a process may have handed its sockets on
        for (const kernel::NewSocket& socket : prepared.sockets)
            plane_->sockets().set_owner(socket.cookie, socket.pid, socket.command);
    return Registered{counts->added, counts->present, {}, {}};
}

// What the caller should know, now that all is done.
void Agent::describe(Registered& done, Prepared& prepared, const std::string& service,
                     RegisterMode mode) const {
    done.warnings = std::move(prepared.warnings);
    for (const kernel::NewSocket& socket : prepared.sockets) {
        const RegisteredSocket& known = plane_->sockets().all().at(socket.cookie);
        done.sockets.push_back(known);
        if (auto warning = role_warning(known, mode); !warning.code.empty())
            done.warnings.push_back(std::move(warning));
    }
    if (const auto use = running_.use.services.find(service); use != running_.use.services.end())
        std::ranges::move(judge_replies(service, done.sockets, use->second.udp_samples),
                          std::back_inserter(done.warnings));
}

Result<std::size_t> Agent::unregister(const std::string& service,
                                      std::optional<std::uint64_t> cookie, const Author& by) {
    if (!service_names().contains(service))
        return fail(Failure::invalid, "there is no service '" + service + "'");
    std::vector<std::uint64_t> cookies;
    for (const RegisteredSocket& socket : plane_->sockets().of(service))
        if (!cookie || *cookie == socket.cookie) cookies.push_back(socket.cookie);
    if (cookie && cookies.empty())
        return fail(Failure::invalid, "'" + service + "' has no socket " + cookie_text(*cookie));
    auto removed = plane_->sockets().remove(cookies);
    if (!removed) return pass_on(removed);
    if (*removed != 0)
        spdlog::info("unregistered {} socket(s) of '{}' (by {})", *removed, service, to_string(by));
    sockets_changed();
    return removed;
}

void Agent::tick() {
    rates_.sample(*plane_, Rates::Clock::now());
    forget_closed({});
    probe_some();
    if (!not_stored_.empty()) remember();
    return_when_due();
    note_health();
    want_grace();
}

void Agent::forget_closed(const std::optional<std::string>& service) {
    auto closed = plane_->sockets().sweep(service);
    if (!closed) {
        spdlog::error("look for closed sockets: {}", closed.error().message());
        return;
    }
    log_closed(*closed);
    if (!closed->empty() && on_sockets_changed) on_sockets_changed();
}

void Agent::look_for_closed(std::size_t most) {
    auto closed = plane_->sockets().sweep_some(most);
    if (!closed) {
        spdlog::error("look for closed sockets: {}", closed.error().message());
        return;
    }
    log_closed(*closed);
    if (!closed->empty()) sockets_changed();
}

void Agent::forget_destroyed(std::span<const std::uint64_t> cookies) {
    std::vector<RegisteredSocket> ours;
    std::vector<std::uint64_t> gone;
    for (const std::uint64_t cookie : cookies) {
        const auto at = plane_->sockets().all().find(cookie);
        if (at == plane_->sockets().all().end()) continue;
        ours.push_back(at->second);
        gone.push_back(cookie);
    }
    if (gone.empty()) return;
    if (auto removed = plane_->sockets().remove(gone); !removed) {
        spdlog::error("forget closed sockets: {}", removed.error().message());
        return;  // the next tick tries again
    }
    log_closed(ours);
    sockets_changed();
}

void Agent::sockets_changed() {
    note_health();
    want_grace();
    if (on_sockets_changed) on_sockets_changed();
}

std::set<std::string> Agent::service_names() const {
    std::set<std::string> names;
    for (const auto& [name, service] : running_.generation.services) names.insert(name);
    for (const auto& [cookie, socket] : plane_->sockets().all()) names.insert(socket.service);
    return names;
}

// Which classes the kernel would take the socket for, now: a few microseconds.
ClassMask Agent::probe(const RegisteredSocket& socket) const {
    ClassMask usable = 0;
    for (const Family family : {Family::ipv4, Family::ipv6})
        if (socket.serves(socket.protocol, family) && plane_->usable(socket, family))
            usable |= class_bit(socket.protocol, family);
    return usable;
}

// Nobody tells of a listener that was shut down, or of a UDP socket that was connected. All sockets
// are asked in turn, so many a tick that each is within seconds, however many there are.
void Agent::probe_some() {
    const auto& all = plane_->sockets().all();
    std::size_t left =
        std::min(all.size(), std::max(probed_at_least, all.size() / ticks_for_all + 1));
    for (auto at = all.upper_bound(probed_); left > 0; --left, ++at) {
        if (at == all.end()) at = all.begin();
        usable_[at->first] = probe(at->second);
        probed_ = at->first;
    }
}

// What was probed, counted; those that are new are probed here.
void Agent::count_sockets() {
    socket_counts_.clear();
    const auto& all = plane_->sockets().all();
    std::erase_if(usable_, [&](const auto& one) { return !all.contains(one.first); });
    for (const auto& [cookie, socket] : all) {
        auto at = usable_.find(cookie);
        if (at == usable_.end()) at = usable_.emplace(cookie, probe(socket)).first;
        ServiceSockets& count = socket_counts_[socket.service];
        if (socket.role != SocketRole::serving) {
            ++count.waiting;
            continue;
        }
        ++count.total;
        count.usable |= at->second;
        if (at->second == 0) ++count.failing;
    }
}

ServiceSockets Agent::sockets_of(const std::string& service) const {
    const auto at = socket_counts_.find(service);
    return at == socket_counts_.end() ? ServiceSockets{} : at->second;
}

bool Agent::just_booted() { return uptime_seconds() < early_seconds; }

ServiceHealth Agent::health(const std::string& service) const {
    const auto config = running_.generation.services.find(service);
    const bool configured = config != running_.generation.services.end();
    const auto use = running_.use.services.find(service);
    return judge_service(
        configured, just_booted(), use == running_.use.services.end() ? ServiceUse{} : use->second,
        sockets_of(service), configured ? config->second.unavailable : Unavailable{});
}

std::int64_t Agent::troubled_since(const std::string& service) const {
    const auto at = troubled_.find(service);
    return at == troubled_.end() ? 0 : at->second;
}

// Remembers since when a service is in trouble, and logs each change once.
void Agent::note_health() {
    count_sockets();
    std::map<std::string, std::string> now;
    for (const std::string& name : service_names()) {
        const ServiceHealth judged = health(name);
        if (judged.state == ServiceState::degraded) now[name] = judged.message;
    }
    for (const auto& [name, message] : now) {
        troubled_.try_emplace(name, unix_time());
        if (const auto old = last_health_.find(name);
            old == last_health_.end() || old->second != message)
            spdlog::warn("{}: {}", name, message);
    }
    for (const auto& [name, message] : last_health_)
        if (!now.contains(name)) {
            troubled_.erase(name);
            spdlog::info("{}: well again", name);
        }
    last_health_ = std::move(now);
}

}  // namespace sluice

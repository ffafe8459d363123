// SPDX-License-Identifier: Apache-2.0
// The agent's side of sockets: registration, and whether services can serve.
#include <algorithm>
#include <iterator>

#include <spdlog/spdlog.h>

#include "core/admit.h"
#include "daemon/agent.h"
#include "sys/clock.h"
#include "sys/process.h"
#include "sys/socket_facts.h"

namespace sluice {
namespace {

constexpr std::int64_t early_seconds = 60;  // after boot

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
    if (mode == RegisterMode::add)
        for (const RegisteredSocket& socket : plane_->sockets().of(service))
            check(socket.protocol, socket.family, socket.dual, socket.local.port);
    for (const kernel::NewSocket& socket : fresh) {
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
    const std::uint64_t netns_cookie = own_netns_cookie();
    for (const int descriptor : offer.descriptors) {
        auto facts = socket_facts(descriptor);
        if (!facts) return pass_on(facts, "look at the socket");
        auto admitted = admit(*facts, netns_cookie);
        if (!admitted) return pass_on(admitted);
        std::ranges::move(admitted->warnings, std::back_inserter(prepared.warnings));
        prepared.sockets.push_back(
            {descriptor, admitted->cookie, admitted->protocol,
             admitted->family == SocketFamily::ipv4 ? Family::ipv4 : Family::ipv6,
             admitted->family == SocketFamily::dual, admitted->local, owner.pid, owner.command});
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
    std::vector<Registered> done;
    std::vector<std::uint64_t> fresh;
    for (std::size_t i = 0; i < offers.size(); ++i) {
        auto one = enlist(offers[i].service, prepared[i], replace && offers.size() == 1, fresh);
        if (!one) {
            (void)plane_->sockets().remove(fresh);  // the first failure is the one to tell
            want_grace();
            return pass_on(one);
        }
        done.push_back(std::move(*one));
    }
    for (std::size_t i = 0; i < offers.size() && replace && offers.size() > 1; ++i) {
        auto ok = plane_->sockets().add(offers[i].service, prepared[i].sockets, true, unix_time());
        if (!ok) return pass_on(ok);
    }
    for (std::size_t i = 0; i < offers.size(); ++i)
        if (done[i].added != 0)
            spdlog::info("registered {} socket(s) for '{}', {} in all (by {})", done[i].added,
                         offers[i].service, plane_->sockets().of(offers[i].service).size(),
                         to_string(by));
    note_health();
    want_grace();
    return done;
}

// One service's part. Cookies that were not registered before are added to `fresh`.
Result<Registered> Agent::enlist(const std::string& service, Prepared& prepared, bool replace,
                                 std::vector<std::uint64_t>& fresh) {
    std::vector<std::uint64_t> added;
    for (const kernel::NewSocket& socket : prepared.sockets)
        if (!plane_->sockets().all().contains(socket.cookie)) added.push_back(socket.cookie);
    auto counts = plane_->sockets().add(service, prepared.sockets, replace, unix_time());
    if (!counts) return pass_on(counts);
    fresh.insert(fresh.end(), added.begin(), added.end());
    Registered result{counts->added, counts->present, {}, std::move(prepared.warnings)};
    for (const kernel::NewSocket& socket : prepared.sockets)
        result.sockets.push_back(plane_->sockets().all().at(socket.cookie));
    return result;
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
    note_health();
    want_grace();
    return removed;
}

void Agent::tick() {
    rates_.sample(*plane_, Rates::Clock::now());
    forget_closed({});
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
    for (const RegisteredSocket& socket : *closed)
        spdlog::info("socket {} of '{}' ({} {}, {}[{}]) was closed", cookie_text(socket.cookie),
                     socket.service, to_string(socket.protocol), to_string(socket.local),
                     socket.command, socket.pid);
}

std::set<std::string> Agent::service_names() const {
    std::set<std::string> names;
    for (const auto& [name, service] : running_.generation.services) names.insert(name);
    for (const auto& [cookie, socket] : plane_->sockets().all()) names.insert(socket.service);
    return names;
}

// One pass over all sockets, each asked of the kernel: a few microseconds a socket.
void Agent::count_sockets() {
    socket_counts_.clear();
    for (const auto& [cookie, socket] : plane_->sockets().all()) {
        ServiceSockets& count = socket_counts_[socket.service];
        ++count.total;
        bool usable = false;
        for (const Family family : {Family::ipv4, Family::ipv6}) {
            if (!socket.serves(socket.protocol, family) || !plane_->usable(socket, family))
                continue;
            count.usable |= class_bit(socket.protocol, family);
            usable = true;
        }
        if (!usable) ++count.failing;
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

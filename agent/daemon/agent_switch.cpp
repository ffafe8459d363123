// SPDX-License-Identifier: Apache-2.0
// The agent's side of releases: promote and demote, which switch a service between two sets.
#include <algorithm>

#include <spdlog/spdlog.h>

#include "daemon/agent.h"

namespace sluice {

// A switch to sockets of which none can serve would be an outage with nothing gained.
Result<> Agent::check_switch(const std::string& service, SocketRole rising) {
    if (!service_names().contains(service))
        return fail(Error(Failure::invalid, "there is no service '" + service + "'")
                        .hint("services are defined in " + options_.config));
    if (!running_.generation.services.contains(service))
        return fail(Error(Failure::refused,
                          "'" + service + "' is not in the config: its sockets are parked")
                        .hint("services are defined in " + options_.config));
    forget_closed(service);
    const auto sockets = plane_->sockets().of(service, rising);
    for (const RegisteredSocket& socket : sockets) usable_[socket.cookie] = probe(socket);
    const bool usable = std::ranges::any_of(
        sockets, [&](const RegisteredSocket& socket) { return usable_.at(socket.cookie) != 0; });
    if (sockets.empty() || usable) return {};  // that there are none, the table says better
    return fail(
        Error(Failure::refused,
              "none of the " + std::to_string(sockets.size()) + " sockets to switch to can serve")
            .hint("they were shut down or connected: sluicectl sockets --service " + service));
}

// `way_back`: what to type where the service is worse off than before.
SwitchedSets Agent::switched(const std::string& service, kernel::Switched counts,
                             const std::string& way_back) {
    sockets_changed();
    SwitchedSets result{counts, plane_->sockets().of(service), {}};
    if (const ServiceHealth now = health(service); now.state == ServiceState::degraded)
        result.warnings.push_back({"no-usable-socket", service + ": " + now.message, way_back});
    return result;
}

Result<SwitchedSets> Agent::promote(const std::string& service, const Author& by) {
    if (auto ok = check_switch(service, SocketRole::staged); !ok) return pass_on(ok);
    auto counts = plane_->sockets().promote(service);
    if (!counts) return pass_on(counts);
    spdlog::info("promoted {} socket(s) of '{}'; {} before them wait for demote, {} let go (by {})",
                 counts->serving, service, counts->waiting, counts->let_go, to_string(by));
    return switched(service, *counts, counts->waiting != 0 ? "sluicectl demote " + service : "");
}

Result<SwitchedSets> Agent::demote(const std::string& service, const Author& by) {
    if (auto ok = check_switch(service, SocketRole::former); !ok) return pass_on(ok);
    auto counts = plane_->sockets().demote(service);
    if (!counts) return pass_on(counts);
    spdlog::info("went back to {} former socket(s) of '{}'; {} are staged again, {} let go (by {})",
                 counts->serving, service, counts->waiting, counts->let_go, to_string(by));
    return switched(service, *counts, counts->waiting != 0 ? "sluicectl promote " + service : "");
}

}  // namespace sluice

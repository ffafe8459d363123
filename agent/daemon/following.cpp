// SPDX-License-Identifier: Apache-2.0
#include "daemon/following.h"

#include <algorithm>

namespace sluice {
namespace {

// A follower asks once a second; it may be restarting, or the machine be busy.
constexpr std::chrono::seconds follower_patience{10};

}  // namespace

std::vector<FollowedService> followed_services(const Agent& agent) {
    std::vector<FollowedService> services;
    for (const auto& [name, config] : agent.running().generation.services)
        if (!config.sockets.empty()) services.push_back({name, config.sockets});
    for (const auto& [cookie, socket] : agent.plane().sockets().all()) {
        const auto service =
            std::ranges::lower_bound(services, socket.service, {}, &FollowedService::name);
        if (service != services.end() && service->name == socket.service)
            service->sockets[cookie] = socket.pid;
    }
    return services;
}

std::string following_problem(const Agent& agent) {
    if (std::chrono::steady_clock::now() - agent.follower_seen() < follower_patience) return "";
    std::string names;
    for (const auto& [name, config] : agent.running().generation.services)
        if (!config.sockets.empty()) names += (names.empty() ? "" : ", ") + name;
    if (names.empty()) return "";
    return "nobody takes sockets from units for " + names + ": is sluice-follow running?";
}

}  // namespace sluice

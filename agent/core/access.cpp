// SPDX-License-Identifier: Apache-2.0
#include "core/access.h"

#include <algorithm>
#include <fnmatch.h>

namespace sluice {
namespace {

constexpr std::string_view reading_group = "sluice";

// By name, or by number as people write ids without a name.
bool names_user(const std::vector<std::string>& users, const Peer& peer) {
    return std::ranges::any_of(users, [&](const std::string& user) {
        return (!peer.user.empty() && user == peer.user) || user == std::to_string(peer.uid);
    });
}

bool names_group(const std::vector<std::string>& groups, const Peer& peer) {
    return std::ranges::any_of(groups, [&](const std::string& group) {
        return std::ranges::find(peer.groups, group) != peer.groups.end() ||
               std::ranges::any_of(peer.gids,
                                   [&](std::uint32_t gid) { return group == std::to_string(gid); });
    });
}

bool names_unit(const std::vector<std::string>& patterns, const Peer& peer) {
    return !peer.unit.empty() && std::ranges::any_of(patterns, [&](const std::string& pattern) {
        return ::fnmatch(pattern.c_str(), peer.unit.c_str(), 0) == 0;
    });
}

bool is_admin(const AccessRules& rules, const Peer& peer) {
    return peer.uid == 0 || names_user(rules.admins.users, peer) ||
           names_group(rules.admins.groups, peer);
}

bool may_register(const RegisterRule& rule, const Peer& peer) {
    return names_user(rule.users, peer) || names_group(rule.groups, peer) ||
           names_unit(rule.units, peer);
}

bool may_read(const Peer& peer) {
    return std::ranges::find(peer.groups, reading_group) != peer.groups.end();
}

bool is_unit(std::string_view name) {
    return name.ends_with(".service") || name.ends_with(".scope") || name.ends_with(".socket");
}

std::unexpected<Error> refuse(const Peer& peer, std::string_view what, std::string hint) {
    return std::unexpected(
        Error(Failure::refused, to_string(peer) + " may not " + std::string(what))
            .hint(std::move(hint)));
}

}  // namespace

std::string to_string(const Peer& peer) {
    std::string text = peer.user.empty() ? "uid " + std::to_string(peer.uid)
                                         : peer.user + " (uid " + std::to_string(peer.uid) + ")";
    text += ", pid " + std::to_string(peer.pid);
    if (!peer.unit.empty()) text += ", " + peer.unit;
    return text;
}

Result<> authorize(const AccessRules& rules, const Peer& peer, Action action,
                   std::string_view service) {
    if (is_admin(rules, peer)) return {};
    switch (action) {
        case Action::read:
            if (may_read(peer)) return {};
            return refuse(peer, "read the agent's state", "root, admins: and the group sluice may");
        case Action::register_: {
            const auto at = rules.services.find(std::string(service));
            if (at != rules.services.end() && may_register(at->second.registration, peer))
                return {};
            return refuse(peer, "register sockets for '" + std::string(service) + "'",
                          "name the user, group or unit in register: of the service");
        }
        case Action::change:
            break;
    }
    return refuse(peer, "change the agent's state", "root and those in admins: may");
}

bool may_pass_descriptors(const AccessRules& rules, const Peer& peer) {
    // Readers too: the config that `plan` judges travels in one.
    return is_admin(rules, peer) || may_read(peer) ||
           std::ranges::any_of(rules.services, [&](const auto& service) {
               return may_register(service.second.registration, peer);
           });
}

std::string outermost_unit(std::string_view path) {
    if (const auto root = path.find(":/"); root != std::string_view::npos)
        path.remove_prefix(root + 2);
    while (!path.empty()) {
        const auto slash = path.find('/');
        const std::string_view part = path.substr(0, slash);
        if (is_unit(part)) return std::string(part);
        if (slash == std::string_view::npos) break;
        path.remove_prefix(slash + 1);
    }
    return {};
}

}  // namespace sluice

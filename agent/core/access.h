// SPDX-License-Identifier: Apache-2.0
// Who may do what: rules of the config held against what the kernel says of the peer.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "core/config.h"

namespace sluice {

// The process at the other end of a Unix socket, by the kernel's word (sys/peer.h).
struct Peer {
    std::uint32_t uid = 0;
    std::uint32_t gid = 0;
    std::int32_t pid = 0;
    std::string user;                 // name of uid; empty if it has none
    std::vector<std::uint32_t> gids;  // primary and supplementary
    std::vector<std::string> groups;  // their names
    std::string unit;                 // the outermost system unit of its cgroup; empty if none
};
std::string to_string(const Peer& peer);  // "nginx[812] (uid 33)", for refusals and the log

struct AccessRules {
    Admins admins;
    std::map<std::string, ServiceConfig> services;
};

enum class Action : std::uint8_t {
    read,       // root, admins, group `sluice`
    register_,  // root, admins, whom the service's `register:` names
    change,     // root, admins
};

// Failure::refused says who, what, and who may. `service` is for Action::register_ only.
Result<> authorize(const AccessRules& rules, const Peer& peer, Action action,
                   std::string_view service);

// May the peer pass descriptors at all: is it root, an admin, a reader, or named by any service's
// rule?
bool may_pass_descriptors(const AccessRules& rules, const Peer& peer);

// The outermost unit of a cgroup path as in /proc/PID/cgroup
// ("0::/system.slice/nginx.service/worker"): a user's own unit of the same name is inside
// user@UID.service, and yields that. "" if none.
std::string outermost_unit(std::string_view cgroup_path);

}  // namespace sluice

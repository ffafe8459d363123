// SPDX-License-Identifier: Apache-2.0
// Who may do what, by the credentials that the kernel gives of a peer (agent/sys/peer.h reads them
// and resolves the names).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/config.h"

namespace sluice {

struct PeerGroup {
    std::uint32_t id = 0;
    std::string name;  // empty when the system knows none
    bool operator==(const PeerGroup&) const = default;
};

// The process at the other end of a unix socket, as it was when it connected.
struct Peer {
    std::uint32_t uid = 0;
    std::string user;               // empty when the system knows no name
    PeerGroup group;                // its effective one
    std::vector<PeerGroup> groups;  // the supplementary ones
    std::int32_t pid = 0;           // 0: of a process outside this pid namespace
    std::optional<std::string>
        unit;  // outermost_system_unit(); none when unknown or the process is gone
    bool operator==(const Peer&) const = default;
};
std::string to_string(const Peer& peer);  // "user nginx (uid 33), pid 812, unit nginx.service"

// Each is Failure::refused with who, what and why when the peer may not. GetInfo is for everybody.
// Root and `admins` may do everything; the group `sluice` may read.
Result<> may_read(const Peer& peer, const Admins& admins);
Result<> may_change(const Peer& peer, const Admins& admins);
// Registering and unregistering; `rule` is the service's, null for a service that the config lacks.
Result<> may_register(const Peer& peer, const Admins& admins, std::string_view service,
                      const RegisterRule* rule);
// Whether any rule names the peer: of anyone else not even descriptors are received.
bool may_register_something(const Peer& peer, const Config& config);

// Whether a rule's user or group means this one: by name, or a decimal number as the id.
bool names_user(const std::string& rule, const Peer& peer);
bool names_group(const std::string& rule, const Peer& peer);

// The system unit of a process, from the text of its /proc/PID/cgroup: the first component of the
// path that is not a slice. What is inside a unit is that unit's own affair: a user's nginx.service
// is user@1000.service, a container's is the container's scope. None for kernel threads and the
// like.
std::optional<std::string> outermost_system_unit(std::string_view proc_cgroup);

}  // namespace sluice

// SPDX-License-Identifier: Apache-2.0
// The processes of systemd's units, from the tree of control groups: cgroups(7), version 2.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "core/result.h"
#include "sys/fd.h"

namespace sluice {

// Where the version 2 hierarchy is mounted: /sys/fs/cgroup, or /sys/fs/cgroup/unified beside the
// hierarchies of version 1. The first where there is neither.
std::string default_cgroup_root();
// Is it one, or a group inside one?
bool is_cgroup(const std::string& path);

// The directory of a unit's control group; nothing when the unit does not run. Looked for in slices
// only: what a unit keeps inside its own group (a container, the units of a user's own systemd) may
// have any name.
Result<std::optional<std::string>> find_unit(const std::string& root, const std::string& unit);

// Processes of a group and of all groups inside it, ascending. Empty when it is gone. Those of
// another pid namespace are left out.
std::vector<std::int32_t> processes_of(const std::string& group);

// A process of a unit, pinned: what is done by `pidfd` is done to that very process or fails, even
// if its number has become another's meanwhile.
struct UnitProcess {
    std::int32_t pid = 0;
    Fd pidfd;
};
// Calls `visit` for each process of a group and of all groups inside it, the oldest first, until it
// returns false. Every one was in the group after it was opened. `visit` may keep the pidfd.
Result<> visit_processes(const std::string& group, const std::function<bool(UnitProcess&)>& visit);

}  // namespace sluice

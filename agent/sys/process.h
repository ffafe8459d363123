// SPDX-License-Identifier: Apache-2.0
// Other processes: names, owners, and their descriptors by pidfd_getfd(2).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/admit.h"
#include "core/config.h"
#include "core/result.h"
#include "sys/fd.h"

namespace sluice {

std::optional<std::string> command_of(std::int32_t pid);  // /proc/PID/comm
std::int64_t login_uid_of(std::int32_t pid);              // /proc/PID/loginuid; -1: none
std::optional<std::string> cgroup_of(std::int32_t pid);   // the systemd line of /proc/PID/cgroup

// Takes duplicates of the sockets that a process holds: all that match any of the triples. Every
// triple must match at least one. With the caller's rights: root, or CAP_SYS_PTRACE and
// CAP_DAC_READ_SEARCH. `tcp 0.0.0.0 443` and `tcp :: 443` are different kinds. Errors say what the
// process does listen on.
Result<std::vector<Fd>> take_sockets(std::int32_t pid, const std::vector<ListenTriple>& wanted);

// The same from all processes of a unit, oldest first: a socket that several share is taken once,
// from the one that has had it longest. `group`: its control group (sys/cgroup.h).
struct TakenSocket {
    Fd fd;
    std::int32_t pid = 0;
};
Result<std::vector<TakenSocket>> take_unit_sockets(const std::string& unit,
                                                   const std::string& group,
                                                   const std::vector<ListenTriple>& wanted);

// The sockets among a process's descriptors. Empty when it has ended.
struct HeldSocket {
    int descriptor = -1;
    std::uint64_t inode = 0;
};
Result<std::vector<HeldSocket>> held_sockets(std::int32_t pid);
// A duplicate of one descriptor; an Fd that is not open when the process has closed it or has
// ended.
Result<Fd> take_descriptor(const Fd& pidfd, int descriptor);
// What a triple would name the socket: nothing for what is neither listening TCP nor unconnected
// UDP.
std::optional<ListenTriple> triple_of(const SocketFacts& facts);

}  // namespace sluice

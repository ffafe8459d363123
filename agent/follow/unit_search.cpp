// SPDX-License-Identifier: Apache-2.0
#include "follow/unit_search.h"

#include <algorithm>

#include "sys/process.h"
#include "sys/socket_facts.h"

namespace sluice {
namespace {

constexpr int mptcp = 262;  // IPPROTO_MPTCP

// Is it the socket that was listed? Of an MPTCP listener, what is listed is a TCP socket under it;
// it is handed on all the same, so that its refusal says what to do.
bool is_it(const SocketFacts& facts, const ListedSocket& wanted) {
    return triple_of(facts) == wanted.local &&
           (facts.cookie == wanted.cookie || facts.protocol == mptcp);
}

}  // namespace

Result<> UnitSearch::look_into(const std::string& group, std::set<std::uint64_t> inodes) {
    Result<> looked;
    auto visited = visit_processes(group, [&](UnitProcess& process) {
        auto held = held_sockets(process.pid);
        if (!held) {
            looked = pass_on(held);
            return false;
        }
        bool keep = false;
        for (const HeldSocket& each : *held) {
            if (inodes.erase(each.inode) == 0) continue;
            found_[each.inode] = {process.pid, each.descriptor};
            keep = true;
        }
        if (keep) pidfds_[process.pid] = std::move(process.pidfd);
        return !inodes.empty();
    });
    if (!visited) return visited;
    return looked;
}

Result<Fd> UnitSearch::take(const Taking& taking) const {
    auto fd = take_descriptor(pidfds_.at(taking.holder.pid), taking.holder.descriptor);
    if (!fd) return pass_on(fd, "process " + std::to_string(taking.holder.pid));
    if (!*fd) return fd;
    const auto facts = socket_facts(fd->get());
    if (!facts || !is_it(*facts, taking.wanted.socket)) return Fd();
    return fd;
}

std::vector<ListenTriple> listening_in(const std::string& group,
                                       const std::vector<ListedSocket>& all, std::size_t most) {
    std::map<std::uint64_t, ListenTriple> by_inode;
    for (const ListedSocket& socket : all) by_inode.emplace(socket.inode, socket.local);
    std::set<ListenTriple> found;
    (void)visit_processes(group, [&](UnitProcess& process) {
        const auto held = held_sockets(process.pid);
        for (const HeldSocket& each : held ? *held : std::vector<HeldSocket>())
            if (const auto local = by_inode.find(each.inode); local != by_inode.end())
                found.insert(local->second);
        return found.size() < most;
    });
    std::vector<ListenTriple> listening(found.begin(), found.end());
    listening.resize(std::min(listening.size(), most));
    return listening;
}

}  // namespace sluice

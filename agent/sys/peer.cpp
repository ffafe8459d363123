// SPDX-License-Identifier: Apache-2.0
#include "sys/peer.h"

#include <array>
#include <cerrno>
#include <grp.h>
#include <poll.h>
#include <pwd.h>
#include <sys/socket.h>

#include "sys/fd.h"
#include "sys/process.h"

namespace sluice {
namespace {

constexpr int so_peerpidfd = 77;  // since 6.5
constexpr std::size_t name_buffer = 16384;

std::string user_name(uid_t uid) {
    std::vector<char> buffer(name_buffer);
    passwd entry{};
    passwd* found = nullptr;
    ::getpwuid_r(uid, &entry, buffer.data(), buffer.size(), &found);
    return found != nullptr ? found->pw_name : "";
}

std::string group_name(gid_t gid) {
    std::vector<char> buffer(name_buffer);
    group entry{};
    group* found = nullptr;
    ::getgrgid_r(gid, &entry, buffer.data(), buffer.size(), &found);
    return found != nullptr ? found->gr_name : "";
}

// The groups the peer had when it connected, the primary one first.
std::vector<gid_t> groups_of(int fd, gid_t primary) {
    std::vector<gid_t> gids(64);
    for (int attempt = 0; attempt < 2; ++attempt) {
        auto size = static_cast<socklen_t>(gids.size() * sizeof(gid_t));
        const int result = ::getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, gids.data(), &size);
        gids.resize(size / sizeof(gid_t));  // on ERANGE, how many there are
        if (result == 0) break;
        if (errno != ERANGE) gids.clear();
    }
    gids.insert(gids.begin(), primary);
    return gids;
}

// What was read about the pid is about the peer only if the peer has not ended meanwhile.
bool still_alive(const Fd& pidfd) {
    pollfd wait{pidfd.get(), POLLIN, 0};
    return ::poll(&wait, 1, 0) == 0;
}

std::string unit_of(int fd, pid_t pid) {
    int number = -1;
    socklen_t size = sizeof number;
    const bool known = ::getsockopt(fd, SOL_SOCKET, so_peerpidfd, &number, &size) == 0;
    const Fd pidfd(known ? number : -1);
    const auto cgroup = cgroup_of(pid);
    if (!cgroup || (pidfd && !still_alive(pidfd))) return {};
    return outermost_unit(*cgroup);
}

}  // namespace

Result<Peer> peer_of(int fd) {
    ucred credentials{};
    socklen_t size = sizeof credentials;
    if (::getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &credentials, &size) != 0)
        return fail_errno(errno, "ask who the peer is");
    Peer peer;
    peer.uid = credentials.uid;
    peer.gid = credentials.gid;
    peer.pid = credentials.pid;
    peer.user = user_name(credentials.uid);
    for (const gid_t gid : groups_of(fd, credentials.gid)) {
        peer.gids.push_back(gid);
        if (const std::string name = group_name(gid); !name.empty()) peer.groups.push_back(name);
    }
    peer.unit = unit_of(fd, credentials.pid);
    return peer;
}

}  // namespace sluice

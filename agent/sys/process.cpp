// SPDX-License-Identifier: Apache-2.0
#include "sys/process.h"

#include <array>
#include <cerrno>
#include <charconv>
#include <dirent.h>
#include <fstream>
#include <memory>
#include <set>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "core/listen.h"
#include "sys/cgroup.h"
#include "sys/socket_facts.h"

namespace sluice {
namespace {

constexpr std::uint32_t no_login = 0xffffffff;  // loginuid of a process that nobody logged in for
constexpr std::size_t listed = 8;               // sockets that an error message names

std::string proc(std::int32_t pid, const char* name) {
    return "/proc/" + std::to_string(pid) + "/" + name;
}

std::optional<std::string> first_line(const std::string& path) {
    std::ifstream file(path);
    std::string line;
    if (!std::getline(file, line)) return std::nullopt;
    return line;
}

Error access_error(int error, std::int32_t pid, const std::string& what) {
    return Error::from_errno(error, what + " of process " + std::to_string(pid))
        .hint(error == EPERM || error == EACCES
                  ? "this needs root, or CAP_SYS_PTRACE and CAP_DAC_READ_SEARCH"
                  : "");
}

// `whose`: "process 812 (nginx)", "nginx.service".
Error nothing_matches(const std::string& whose, const ListenTriple& triple,
                      const std::set<std::string>& others) {
    std::string has;
    std::size_t count = 0;
    for (const std::string& other : others)
        if (count++ < listed) has += (has.empty() ? "" : ", ") + other;
    if (others.size() > listed) has += ", …";
    return Error(Failure::invalid, whose + " has no socket " + to_string(triple))
        .hint(has.empty() ? "it has no TCP listener and no unconnected UDP socket"
                          : "it has: " + has);
}

// What the target of a /proc/PID/fd entry names, "socket:[4711]"; 0 for what is no socket.
std::uint64_t inode_of(std::string_view target) {
    constexpr std::string_view head = "socket:[";
    std::uint64_t inode = 0;
    if (target.starts_with(head))
        std::from_chars(target.data() + head.size(), target.data() + target.size(), inode);
    return inode;
}

// A search for sockets, in one process or in several.
struct Search {
    const std::vector<ListenTriple>& wanted;
    std::vector<bool> matched = std::vector<bool>(wanted.size());
    std::set<std::uint64_t> seen{};  // inodes: one socket may have several descriptors
    std::set<std::string> others{};  // sockets that were not wanted
    std::vector<TakenSocket> taken{};
};

Result<> look_at(const HeldSocket& held, const Fd& pidfd, std::int32_t pid, Search& search) {
    if (search.seen.contains(held.inode)) return {};
    auto fd = take_descriptor(pidfd, held.descriptor);
    if (!fd) return fail(access_error(fd.error().code(), pid, "take a descriptor"));
    if (!*fd) return {};
    const auto facts = socket_facts(fd->get());
    if (!facts) return {};
    search.seen.insert(held.inode);
    const auto triple = triple_of(*facts);
    if (!triple) return {};
    bool wanted = false;
    for (std::size_t i = 0; i < search.wanted.size(); ++i)  // it may have been named twice
        if (search.wanted[i] == *triple) wanted = search.matched[i] = true;
    if (wanted)
        search.taken.push_back({std::move(*fd), pid});
    else
        search.others.insert(to_string(*triple));
    return {};
}

Result<> look_into(const Fd& pidfd, std::int32_t pid, Search& search) {
    auto held = held_sockets(pid);
    if (!held) return pass_on(held);
    for (const HeldSocket& each : *held)
        if (auto ok = look_at(each, pidfd, pid, search); !ok) return ok;
    return {};
}

Result<std::vector<TakenSocket>> outcome(Search& search, const std::string& whose) {
    for (std::size_t i = 0; i < search.wanted.size(); ++i)
        if (!search.matched[i])
            return fail(nothing_matches(whose, search.wanted[i], search.others));
    return std::move(search.taken);
}

}  // namespace

std::optional<std::string> command_of(std::int32_t pid) { return first_line(proc(pid, "comm")); }

std::int64_t login_uid_of(std::int32_t pid) {
    const auto line = first_line(proc(pid, "loginuid"));
    std::uint32_t uid = no_login;
    if (line) std::from_chars(line->data(), line->data() + line->size(), uid);
    return uid == no_login ? -1 : static_cast<std::int64_t>(uid);
}

std::optional<std::string> cgroup_of(std::int32_t pid) {
    std::ifstream file(proc(pid, "cgroup"));
    std::string line;
    while (std::getline(file, line))
        if (line.starts_with("0::") || line.find(":name=systemd:") != std::string::npos)
            return line;
    return std::nullopt;
}

Result<std::vector<HeldSocket>> held_sockets(std::int32_t pid) {
    const std::unique_ptr<DIR, int (*)(DIR*)> directory(::opendir(proc(pid, "fd").c_str()),
                                                        ::closedir);
    if (!directory && (errno == ENOENT || errno == ESRCH)) return std::vector<HeldSocket>();
    if (!directory) return fail(access_error(errno, pid, "list the descriptors"));
    std::vector<HeldSocket> held;
    while (const dirent* entry = ::readdir(directory.get())) {
        std::array<char, 64> target{};
        const ssize_t size =
            ::readlinkat(::dirfd(directory.get()), entry->d_name, target.data(), target.size());
        if (size <= 0) continue;  // "." and "..", or closed meanwhile
        const auto inode = inode_of({target.data(), static_cast<std::size_t>(size)});
        const std::string_view name = entry->d_name;
        int number = 0;
        if (inode != 0 &&
            std::from_chars(name.data(), name.data() + name.size(), number).ec == std::errc{})
            held.push_back({number, inode});
    }
    return held;
}

Result<Fd> take_descriptor(const Fd& pidfd, int descriptor) {
    Fd fd(static_cast<int>(::syscall(SYS_pidfd_getfd, pidfd.get(), descriptor, 0)));
    if (!fd && errno != EBADF && errno != ESRCH) return fail_errno(errno, "take a descriptor");
    return fd;
}

std::optional<ListenTriple> triple_of(const SocketFacts& facts) {
    const bool tcp = facts.type == SOCK_STREAM && facts.listening;
    const bool udp = facts.type == SOCK_DGRAM && !facts.connected;
    if (!facts.local || facts.local->port == 0 || (!tcp && !udp)) return std::nullopt;
    return ListenTriple{tcp ? Protocol::tcp : Protocol::udp, facts.local->address,
                        facts.local->port};
}

Result<std::vector<Fd>> take_sockets(std::int32_t pid, const std::vector<ListenTriple>& wanted) {
    const Fd process(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
    if (!process && errno == ESRCH)
        return fail(Failure::invalid, "there is no process " + std::to_string(pid));
    if (!process) return fail(access_error(errno, pid, "open"));
    Search search{wanted};
    if (auto ok = look_into(process, pid, search); !ok) return pass_on(ok);
    auto taken = outcome(
        search, "process " + std::to_string(pid) + " (" + command_of(pid).value_or("?") + ")");
    if (!taken) return pass_on(taken);
    std::vector<Fd> sockets;
    for (TakenSocket& each : *taken) sockets.push_back(std::move(each.fd));
    return sockets;
}

Result<std::vector<TakenSocket>> take_unit_sockets(const std::string& unit,
                                                   const std::string& group,
                                                   const std::vector<ListenTriple>& wanted) {
    Search search{wanted};
    Result<> looked;
    auto visited = visit_processes(group, [&](UnitProcess& process) {
        looked = look_into(process.pidfd, process.pid, search);
        return looked.has_value();
    });
    if (!visited) return pass_on(visited);
    if (!looked) return pass_on(looked);
    return outcome(search, unit);
}

}  // namespace sluice

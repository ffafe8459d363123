// SPDX-License-Identifier: Apache-2.0
#include "sys/process.h"

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <filesystem>
#include <fstream>
#include <set>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "sys/socket_facts.h"

namespace sluice {
namespace {

namespace fs = std::filesystem;

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

// Which kind of socket a descriptor is, as a triple would name it; nothing for what can't be named.
std::optional<ListenTriple> triple_of(const SocketFacts& facts) {
    const bool tcp = facts.type == SOCK_STREAM && facts.listening;
    const bool udp = facts.type == SOCK_DGRAM && !facts.connected;
    if (!facts.local || facts.local->port == 0 || (!tcp && !udp)) return std::nullopt;
    return ListenTriple{tcp ? Protocol::tcp : Protocol::udp, facts.local->address,
                        facts.local->port};
}

std::string words(const ListenTriple& triple) {
    return std::string(to_string(triple.protocol)) + " " + to_string(triple.address) + " " +
           std::to_string(triple.port);
}

Error access_error(int error, std::int32_t pid, const std::string& what) {
    return Error::from_errno(error, what + " of process " + std::to_string(pid))
        .hint(error == EPERM || error == EACCES
                  ? "this needs root, or CAP_SYS_PTRACE and CAP_DAC_READ_SEARCH"
                  : "");
}

Result<std::vector<int>> descriptors_of(std::int32_t pid) {
    std::vector<int> numbers;
    std::error_code error;
    fs::directory_iterator entries(proc(pid, "fd"), error);
    if (error) return fail(access_error(error.value(), pid, "list the descriptors"));
    for (const auto& entry : entries) {
        const std::string target = fs::read_symlink(entry.path(), error).string();
        if (error || !target.starts_with("socket:")) continue;
        const std::string name = entry.path().filename().string();
        int number = 0;
        if (std::from_chars(name.data(), name.data() + name.size(), number).ec == std::errc{})
            numbers.push_back(number);
    }
    return numbers;
}

Error nothing_matches(std::int32_t pid, const ListenTriple& triple,
                      const std::set<std::string>& others) {
    std::string has;
    std::size_t count = 0;
    for (const std::string& other : others)
        if (count++ < listed) has += (has.empty() ? "" : ", ") + other;
    if (others.size() > listed) has += ", …";
    return Error(Failure::invalid, "process " + std::to_string(pid) + " (" +
                                       command_of(pid).value_or("?") + ") has no socket " +
                                       words(triple))
        .hint(has.empty() ? "it has no TCP listener and no unconnected UDP socket"
                          : "it has: " + has);
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

Result<std::vector<Fd>> take_sockets(std::int32_t pid, const std::vector<ListenTriple>& wanted) {
    const Fd process(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
    if (!process && errno == ESRCH)
        return fail(Failure::invalid, "there is no process " + std::to_string(pid));
    if (!process) return fail(access_error(errno, pid, "open"));
    auto numbers = descriptors_of(pid);
    if (!numbers) return pass_on(numbers);
    std::vector<Fd> taken;
    std::vector<std::uint64_t> cookies;  // one socket may have several descriptors
    std::vector<bool> matched(wanted.size());
    std::set<std::string> others;
    for (const int number : *numbers) {
        Fd fd(static_cast<int>(::syscall(SYS_pidfd_getfd, process.get(), number, 0)));
        if (!fd && errno == EBADF) continue;  // closed meanwhile
        if (!fd) return fail(access_error(errno, pid, "take a descriptor"));
        const auto facts = socket_facts(fd.get());
        if (!facts) continue;
        const auto triple = triple_of(*facts);
        if (!triple) continue;
        if (std::ranges::find(wanted, *triple) == wanted.end()) {
            others.insert(words(*triple));
            continue;
        }
        for (std::size_t i = 0; i < wanted.size(); ++i)  // it may have been named twice
            if (wanted[i] == *triple) matched[i] = true;
        if (std::ranges::find(cookies, facts->cookie) != cookies.end()) continue;
        cookies.push_back(facts->cookie);
        taken.push_back(std::move(fd));
    }
    for (std::size_t i = 0; i < wanted.size(); ++i)
        if (!matched[i]) return fail(nothing_matches(pid, wanted[i], others));
    return taken;
}

}  // namespace sluice

// SPDX-License-Identifier: Apache-2.0
#include "sys/cgroup.h"

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <dirent.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <memory>
#include <poll.h>
#include <span>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <utility>

#include "core/unit_name.h"
#include "sys/files.h"

namespace sluice {
namespace {

constexpr const char* usual_root = "/sys/fs/cgroup";
constexpr const char* hybrid_root = "/sys/fs/cgroup/unified";
constexpr int deepest = 32;                                  // groups inside each other
constexpr std::size_t longest_list = std::size_t{4} << 20U;  // of processes, in bytes
constexpr std::size_t at_once = 64;        // processes that are open: a unit may have very many
constexpr std::size_t after_command = 19;  // fields of /proc/PID/stat from the command's end to
                                           // starttime: proc(5)

Result<std::vector<std::string>> directories_in(const std::string& path) {
    const std::unique_ptr<DIR, int (*)(DIR*)> directory(::opendir(path.c_str()), ::closedir);
    if (!directory) return fail_errno(errno, "look into the control group " + path);
    std::vector<std::string> names;
    while (const dirent* entry = ::readdir(directory.get())) {
        const std::string_view name = entry->d_name;
        if (entry->d_type == DT_DIR && name != "." && name != "..") names.emplace_back(name);
    }
    return names;
}

std::string below(const std::string& directory, const std::string& name) {
    std::string path = directory;
    return path.append("/").append(name);
}

Result<std::optional<std::string>> find_in(const std::string& slice, const std::string& unit,
                                           int depth) {
    auto names = directories_in(slice);
    if (!names) return pass_on(names);
    for (const std::string& name : *names)
        if (is_cgroup_of_unit(name, unit)) return below(slice, name);
    for (const std::string& name : *names) {
        if (!is_slice(name) || depth == deepest) continue;
        auto found = find_in(below(slice, name), unit, depth + 1);
        if (!found && found.error().code() == ENOENT) continue;  // gone meanwhile
        if (!found || *found) return found;
    }
    return std::optional<std::string>();
}

void add_numbers(std::string_view text, std::vector<std::int32_t>& pids) {
    while (!text.empty()) {
        const auto line = text.substr(0, text.find('\n'));
        std::int32_t pid = 0;
        std::from_chars(line.data(), line.data() + line.size(), pid);
        if (pid > 0) pids.push_back(pid);
        text.remove_prefix(std::min(line.size() + 1, text.size()));
    }
}

void add_processes(const std::string& group, int depth, std::vector<std::int32_t>& pids) {
    // A group of threads has no such list: its processes are in the group above it.
    if (auto list = read_file(group + "/cgroup.procs", longest_list)) add_numbers(*list, pids);
    if (depth == deepest) return;
    if (const auto names = directories_in(group))
        for (const std::string& name : *names) add_processes(below(group, name), depth + 1, pids);
}

std::uint64_t started(std::int32_t pid) {
    const auto text = read_file("/proc/" + std::to_string(pid) + "/stat", 4096);
    if (!text) return 0;
    std::size_t at = text->rfind(')');  // of the command, which may have any characters
    if (at == std::string::npos) return 0;
    for (std::size_t field = 0; field <= after_command && at != std::string::npos; ++field)
        at = text->find(' ', at + 1);
    if (at == std::string::npos) return 0;
    std::uint64_t ticks = 0;
    std::from_chars(text->data() + at + 1, text->data() + text->size(), ticks);
    return ticks;
}

bool has_ended(const Fd& pidfd) {
    pollfd wait{pidfd.get(), POLLIN, 0};
    return ::poll(&wait, 1, 0) != 0;
}

std::vector<std::int32_t> oldest_first(const std::vector<std::int32_t>& pids) {
    std::vector<std::pair<std::uint64_t, std::int32_t>> by_age;
    for (const std::int32_t pid : pids) by_age.emplace_back(started(pid), pid);
    std::ranges::sort(by_age);
    std::vector<std::int32_t> sorted;
    for (const auto& [ticks, pid] : by_age) sorted.push_back(pid);
    return sorted;
}

Result<std::vector<UnitProcess>> open_processes(const std::string& group,
                                                std::span<const std::int32_t> pids) {
    std::vector<UnitProcess> processes;
    for (const std::int32_t pid : pids) {
        Fd pidfd(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
        if (!pidfd && (errno == ESRCH || errno == EINVAL)) continue;  // ended meanwhile
        if (!pidfd) return fail_errno(errno, "open process " + std::to_string(pid));
        processes.push_back({pid, std::move(pidfd)});
    }
    // A number may have become a stranger's between the list and the opening. One that is in the
    // group now, and has not ended after that, is who was opened.
    const auto now = processes_of(group);
    std::erase_if(processes, [&](const UnitProcess& process) {
        return !std::ranges::binary_search(now, process.pid) || has_ended(process.pidfd);
    });
    return processes;
}

}  // namespace

std::string default_cgroup_root() {
    return !is_cgroup(usual_root) && is_cgroup(hybrid_root) ? hybrid_root : usual_root;
}

bool is_cgroup(const std::string& path) {
    struct statfs info{};
    return ::statfs(path.c_str(), &info) == 0 && info.f_type == CGROUP2_SUPER_MAGIC;
}

Result<std::optional<std::string>> find_unit(const std::string& root, const std::string& unit) {
    return find_in(root, unit, 0);
}

std::vector<std::int32_t> processes_of(const std::string& group) {
    std::vector<std::int32_t> pids;
    add_processes(group, 0, pids);
    std::ranges::sort(pids);
    const auto twice = std::ranges::unique(pids);  // one that moved while they were read
    pids.erase(twice.begin(), twice.end());
    return pids;
}

Result<> visit_processes(const std::string& group, const std::function<bool(UnitProcess&)>& visit) {
    std::vector<std::int32_t> pids = oldest_first(processes_of(group));
    for (std::span<const std::int32_t> rest = pids; !rest.empty();) {
        const auto some = rest.first(std::min(rest.size(), at_once));
        rest = rest.subspan(some.size());
        auto opened = open_processes(group, some);
        if (!opened) return pass_on(opened);
        for (UnitProcess& process : *opened)
            if (!visit(process)) return {};
    }
    return {};
}

}  // namespace sluice

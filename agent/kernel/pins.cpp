// SPDX-License-Identifier: Apache-2.0
#include "kernel/pins.h"

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <fcntl.h>
#include <filesystem>
#include <linux/magic.h>
#include <optional>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include <bpf/bpf.h>

#include "kernel/maps.h"

namespace sluice::kernel {
namespace {

namespace fs = std::filesystem;

// DIR/N -> N; 0 for anything else.
unsigned number_of(const std::string& name) {
    unsigned number = 0;
    const auto [end, problem] = std::from_chars(name.data(), name.data() + name.size(), number);
    return problem == std::errc{} && end == name.data() + name.size() ? number : 0;
}

bool is_ours(const std::string& name) {
    constexpr std::string_view aside = "-new";
    return number_of(name) != 0 ||
           (name.ends_with(aside) && number_of(name.substr(0, name.size() - aside.size())) != 0);
}

// A directory that cannot be listed is not an empty one.
Result<std::vector<std::string>> children(const std::string& directory) {
    std::vector<std::string> names;
    std::error_code error;
    for (fs::directory_iterator at(directory, error), end; !error && at != end; at.increment(error))
        names.push_back(at->path().filename().string());
    if (error) return fail_errno(error.value(), "list " + directory);
    return names;
}

// Newest first.
Result<std::vector<unsigned>> numbered(const std::string& directory) {
    auto names = children(directory);
    if (!names) return pass_on(names);
    std::vector<unsigned> numbers;
    for (const std::string& name : *names)
        if (const unsigned number = number_of(name); number != 0) numbers.push_back(number);
    std::ranges::sort(numbers, std::greater{});
    return numbers;
}

// Nothing where there is no such pin.
template <class Info>
Result<std::optional<Info>> read_info(const std::string& path) {
    const Fd fd(bpf_obj_get(path.c_str()));
    if (!fd && errno == ENOENT) return std::optional<Info>();
    if (!fd) return fail_errno(errno, "open pin " + path);
    Info info{};
    __u32 size = sizeof info;
    if (bpf_obj_get_info_by_fd(fd.get(), &info, &size) != 0)
        return fail_errno(errno, "ask about pin " + path);
    return info;
}

// Does the link pinned here run the program pinned here? After a crash during an upgrade two
// directories hold the link, and only one the program it runs.
Result<bool> is_attached(const std::string& directory) {
    auto link = read_info<bpf_link_info>(directory + "/" + pin::link);
    if (!link) return pass_on(link);
    auto program = read_info<bpf_prog_info>(directory + "/" + pin::dispatch);
    if (!program) return pass_on(program);
    return *link && *program && (*link)->prog_id == (*program)->id;
}

void remove_pins(const std::string& directory) {
    std::error_code ignored;  // what stays is found again by the next start
    fs::remove_all(directory, ignored);
}

}  // namespace

Result<> check_bpffs(const std::string& directory) {
    struct statfs info{};
    std::string there = directory;
    int result = ::statfs(there.c_str(), &info);
    if (result != 0 && errno == ENOENT) {
        fs::path path(directory);
        if (!path.has_filename()) path = path.parent_path();  // "x/" is in what "x" is in
        there = path.parent_path().string();
        result = ::statfs(there.c_str(), &info);
    }
    if (result != 0) return fail_errno(errno, "look at " + there);
    if (info.f_type != BPF_FS_MAGIC)
        return fail(Error(Failure::failed, there + " is not in a mounted bpffs")
                        .hint("mount -t bpf bpf /sys/fs/bpf"));
    return {};
}

Result<std::string> find_current(const std::string& directory) {
    std::error_code error;
    if (!fs::exists(directory, error)) {
        if (error) return fail_errno(error.value(), "look for pins in " + directory);
        return std::string();
    }
    if (::access(directory.c_str(), R_OK | X_OK) != 0)
        return fail_errno(errno, "look for pins in " + directory);
    auto numbers = numbered(directory);
    if (!numbers) return pass_on(numbers);
    for (const unsigned number : *numbers) {
        std::string path = directory + "/" + std::to_string(number);
        auto attached = is_attached(path);
        if (!attached) return pass_on(attached);
        if (*attached) return path;
    }
    if (numbers->empty()) return std::string();
    return directory + "/" + std::to_string(numbers->front());
}

Result<PinDirectory> PinDirectory::lock(const std::string& directory) {
    if (auto ok = check_bpffs(directory); !ok) return pass_on(ok);
    if (::mkdir(directory.c_str(), 0700) != 0 && errno != EEXIST)
        return fail_errno(errno, "make " + directory);
    Fd fd(::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!fd) return fail_errno(errno, "open " + directory);
    // Only we may enter, so nobody else can hold the lock.
    if (::fchmod(fd.get(), 0700) != 0) return fail_errno(errno, "set the mode of " + directory);
    if (::flock(fd.get(), LOCK_EX | LOCK_NB) != 0) {
        if (errno != EWOULDBLOCK) return fail_errno(errno, "lock " + directory);
        return fail(
            Error(Failure::failed, "another sluiced is running on " + directory)
                .hint("a second one needs an instance of its own: sluiced --instance NAME"));
    }
    PinDirectory pins(directory, std::move(fd));
    auto current = find_current(directory);
    if (!current) return pass_on(current);
    pins.current_ = std::move(*current);
    return pins;
}

Result<std::string> PinDirectory::begin() const {
    auto numbers = numbered(path_);
    if (!numbers) return pass_on(numbers);
    const unsigned next = numbers->empty() ? 1 : numbers->front() + 1;
    const std::string aside = path_ + "/" + std::to_string(next) + "-new";
    remove_pins(aside);
    if (::mkdir(aside.c_str(), 0700) != 0) return fail_errno(errno, "make " + aside);
    return aside;
}

Result<std::string> PinDirectory::commit(const std::string& aside) {
    const std::string path = aside.substr(0, aside.size() - std::string_view("-new").size());
    if (::rename(aside.c_str(), path.c_str()) != 0)
        return fail_errno(errno, "rename " + aside + " to " + path);
    return path;
}

Result<> PinDirectory::keep_only(const std::string& path) {
    current_ = path;
    auto names = children(path_);
    if (!names) return pass_on(names);
    for (const std::string& name : *names)
        if (is_ours(name) && path_ + "/" + name != path) remove_pins(path_ + "/" + name);
    return {};
}

}  // namespace sluice::kernel

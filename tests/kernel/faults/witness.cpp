// SPDX-License-Identifier: Apache-2.0
#include "faults/witness.h"

#include <array>
#include <atomic>
#include <cerrno>
#include <cstdarg>
#include <ctime>
#include <dirent.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace sluice::testing {
namespace {

thread_local Witness* witness = nullptr;
thread_local bool inside = false;  // of a witness, whose own operations are not seen
std::atomic<std::int64_t> clock_moved = 0;

// The same function further down: the C library's, or a sanitizer's in front of it.
template <class Function>
Function* real(const char* name) {
    void* found = ::dlsym(RTLD_NEXT, name);
    if (found == nullptr) ::abort();
    return reinterpret_cast<Function*>(found);
}

bool watching() { return witness != nullptr && !inside; }

class Inside {
  public:
    Inside() { inside = true; }
    ~Inside() {
        inside = false;
        errno = error_;
    }
    Inside(const Inside&) = delete;
    Inside& operator=(const Inside&) = delete;

  private:
    int error_ = errno;
};

std::string path_of(int fd) {
    std::array<char, 4096> path{};
    const std::string link = "/proc/self/fd/" + std::to_string(fd);
    const ssize_t got = ::readlink(link.c_str(), path.data(), path.size());
    return got > 0 ? std::string(path.data(), static_cast<std::size_t>(got)) : "";
}

// Asks the witness, makes the call, and tells what became of it.
template <class Call>
auto pass(const Operation& operation, Call&& call, decltype(call()) failed) {
    Fault fault;
    {
        const Inside guard;
        fault = witness->before(operation);
    }
    if (fault.error != 0) {
        errno = fault.error;
        return failed;
    }
    const auto result = call();
    if (result != failed) {
        const Inside guard;
        witness->after(operation);
    }
    return result;
}

using Kind = Operation::Kind;

Operation of_path(Kind kind, const char* call, const char* path) {
    return {kind, call, path, -1, 0};
}

Operation of_fd(Kind kind, const char* call, int fd) {
    const Inside guard;
    return {kind, call, path_of(fd), fd, 0};
}

Operation of_open(const char* path, int flags) {
    return {(flags & (O_CREAT | O_TRUNC)) != 0 ? Kind::writes : Kind::reads, "open", path, -1, 0};
}

const char* name_of(bpf_cmd command) {
    switch (command) {
        case BPF_MAP_CREATE:
            return "map create";
        case BPF_MAP_LOOKUP_ELEM:
            return "map lookup";
        case BPF_MAP_UPDATE_ELEM:
            return "map update";
        case BPF_MAP_DELETE_ELEM:
            return "map delete";
        case BPF_MAP_GET_NEXT_KEY:
            return "map next key";
        case BPF_MAP_UPDATE_BATCH:
            return "map update batch";
        case BPF_OBJ_GET:
            return "pin open";
        case BPF_PROG_TEST_RUN:
            return "test run";
        case BPF_OBJ_GET_INFO_BY_FD:
            return "ask about";
        default:
            return "bpf";
    }
}

// Of which map or program, as far as the command has one.
int fd_in(bpf_cmd command, const bpf_attr& attr) {
    switch (command) {
        case BPF_MAP_LOOKUP_ELEM:
        case BPF_MAP_UPDATE_ELEM:
        case BPF_MAP_DELETE_ELEM:
        case BPF_MAP_GET_NEXT_KEY:
            return static_cast<int>(attr.map_fd);
        case BPF_MAP_UPDATE_BATCH:
            return static_cast<int>(attr.batch.map_fd);
        default:
            return -1;
    }
}

long bpf(bpf_cmd command, bpf_attr* attr, unsigned size) {
    return real<long(long, ...)>("syscall")(SYS_bpf, command, attr, size);
}

std::string map_name(int fd) {
    bpf_map_info info{};
    bpf_attr attr{};
    attr.info.bpf_fd = static_cast<__u32>(fd);
    attr.info.info_len = sizeof info;
    attr.info.info = reinterpret_cast<std::uint64_t>(&info);
    return bpf(BPF_OBJ_GET_INFO_BY_FD, &attr, sizeof attr) == 0 ? info.name : "";
}

Operation of_bpf(bpf_cmd command, const bpf_attr& attr) {
    const Inside guard;
    const int fd = fd_in(command, attr);
    if (fd < 0) return {Kind::kernel, name_of(command), "", fd, 0};
    const std::size_t elements = command == BPF_MAP_UPDATE_BATCH ? attr.batch.count : 1;
    return {Kind::kernel, name_of(command), map_name(fd), fd, elements};
}

// As the kernel does it where memory ends in the middle of a batch.
long half_a_batch(bpf_attr* attr, unsigned size, int error) {
    const __u32 half = attr->batch.count / 2;
    attr->batch.count = half;
    if (half > 0) bpf(BPF_MAP_UPDATE_BATCH, attr, size);
    attr->batch.count = half;
    errno = error;
    return -1;
}

}  // namespace

Witnessed::Witnessed(Witness& it) { witness = &it; }
Witnessed::~Witnessed() { witness = nullptr; }

void move_clock(std::int64_t seconds) { clock_moved += seconds; }

}  // namespace sluice::testing

// The C library's symbols. Those that it calls inside itself (fopen's open, say) do not come here.
extern "C" {

using namespace sluice::testing;  // NOLINT: this is all of them

#define OPEN(name)                                                             \
    int name(const char* path, int flags, ...) {                               \
        va_list more;                                                          \
        va_start(more, flags);                                                 \
        const mode_t mode = (flags & O_CREAT) != 0 ? va_arg(more, mode_t) : 0; \
        va_end(more);                                                          \
        const auto call = [&] {                                                \
            return real<int(const char*, int, ...)>(#name)(path, flags, mode); \
        };                                                                     \
        if (!watching()) return call();                                        \
        return pass(of_open(path, flags), call, -1);                           \
    }
OPEN(open)
OPEN(open64)

#define OPENAT(name)                                                                           \
    int name(int directory, const char* path, int flags, ...) {                                \
        va_list more;                                                                          \
        va_start(more, flags);                                                                 \
        const mode_t mode = (flags & O_CREAT) != 0 ? va_arg(more, mode_t) : 0;                 \
        va_end(more);                                                                          \
        const auto call = [&] {                                                                \
            return real<int(int, const char*, int, ...)>(#name)(directory, path, flags, mode); \
        };                                                                                     \
        if (!watching()) return call();                                                        \
        return pass(of_open(path, flags), call, -1);                                           \
    }
OPENAT(openat)
OPENAT(openat64)

ssize_t read(int fd, void* buffer, size_t size) {
    const auto call = [&] { return real<ssize_t(int, void*, size_t)>("read")(fd, buffer, size); };
    if (!watching()) return call();
    return pass(of_fd(Kind::reads, "read", fd), call, ssize_t{-1});
}

ssize_t write(int fd, const void* buffer, size_t size) {
    const auto call = [&](size_t bytes) {
        return real<ssize_t(int, const void*, size_t)>("write")(fd, buffer, bytes);
    };
    if (!watching()) return call(size);
    const Operation operation = of_fd(Kind::writes, "write", fd);
    Fault fault;
    {
        const Inside guard;
        fault = witness->before(operation);
    }
    if (fault.error != 0 && fault.half && size > 1) return call(size / 2);
    if (fault.error != 0) {
        errno = fault.error;
        return -1;
    }
    const ssize_t written = call(size);
    if (written >= 0) {
        const Inside guard;
        witness->after(operation);
    }
    return written;
}

#define OF_FD(kind, name)                                            \
    int name(int fd) {                                               \
        const auto call = [&] { return real<int(int)>(#name)(fd); }; \
        if (!watching()) return call();                              \
        return pass(of_fd(kind, #name, fd), call, -1);               \
    }
OF_FD(Kind::writes, fsync)
OF_FD(Kind::writes, fdatasync)

#define OF_PATH(kind, name)                                                    \
    int name(const char* path) noexcept {                                      \
        const auto call = [&] { return real<int(const char*)>(#name)(path); }; \
        if (!watching()) return call();                                        \
        return pass(of_path(kind, #name, path), call, -1);                     \
    }
OF_PATH(Kind::removes, unlink)
OF_PATH(Kind::removes, remove)
OF_PATH(Kind::removes, rmdir)

int unlinkat(int directory, const char* path, int flags) noexcept {
    const auto call = [&] {
        return real<int(int, const char*, int)>("unlinkat")(directory, path, flags);
    };
    if (!watching()) return call();
    return pass(of_path(Kind::removes, "unlinkat", path), call, -1);
}

int rename(const char* from, const char* to) noexcept {
    const auto call = [&] { return real<int(const char*, const char*)>("rename")(from, to); };
    if (!watching()) return call();
    return pass(of_path(Kind::writes, "rename", to), call, -1);
}

int mkdir(const char* path, mode_t mode) noexcept {
    const auto call = [&] { return real<int(const char*, mode_t)>("mkdir")(path, mode); };
    if (!watching()) return call();
    return pass(of_path(Kind::writes, "mkdir", path), call, -1);
}

int stat(const char* path, struct stat* info) noexcept {
    const auto call = [&] { return real<int(const char*, struct stat*)>("stat")(path, info); };
    if (!watching()) return call();
    return pass(of_path(Kind::reads, "stat", path), call, -1);
}

int stat64(const char* path, struct stat64* info) noexcept {
    const auto call = [&] { return real<int(const char*, struct stat64*)>("stat64")(path, info); };
    if (!watching()) return call();
    return pass(of_path(Kind::reads, "stat", path), call, -1);
}

int fstat(int fd, struct stat* info) noexcept {
    const auto call = [&] { return real<int(int, struct stat*)>("fstat")(fd, info); };
    if (!watching()) return call();
    return pass(of_fd(Kind::reads, "fstat", fd), call, -1);
}

int statfs(const char* path, struct statfs* info) noexcept {
    const auto call = [&] { return real<int(const char*, struct statfs*)>("statfs")(path, info); };
    if (!watching()) return call();
    return pass(of_path(Kind::reads, "statfs", path), call, -1);
}

int access(const char* path, int mode) noexcept {
    const auto call = [&] { return real<int(const char*, int)>("access")(path, mode); };
    if (!watching()) return call();
    return pass(of_path(Kind::reads, "access", path), call, -1);
}

int flock(int fd, int operation) noexcept {
    const auto call = [&] { return real<int(int, int)>("flock")(fd, operation); };
    if (!watching()) return call();
    return pass(of_fd(Kind::writes, "flock", fd), call, -1);
}

int fchmod(int fd, mode_t mode) noexcept {
    const auto call = [&] { return real<int(int, mode_t)>("fchmod")(fd, mode); };
    if (!watching()) return call();
    return pass(of_fd(Kind::writes, "fchmod", fd), call, -1);
}

DIR* opendir(const char* path) {
    const auto call = [&] { return real<DIR*(const char*)>("opendir")(path); };
    if (!watching()) return call();
    return pass(of_path(Kind::reads, "opendir", path), call, nullptr);
}

DIR* fdopendir(int fd) {
    const auto call = [&] { return real<DIR*(int)>("fdopendir")(fd); };
    if (!watching()) return call();
    return pass(of_fd(Kind::reads, "fdopendir", fd), call, nullptr);
}

int clock_gettime(clockid_t clock, timespec* now) noexcept {
    const int result = real<int(clockid_t, timespec*)>("clock_gettime")(clock, now);
    if (result == 0 && clock == CLOCK_BOOTTIME) now->tv_sec += clock_moved;
    return result;
}

long syscall(long number, ...) noexcept {
    std::array<long, 6> words{};
    va_list more;
    va_start(more, number);
    for (long& word : words) word = va_arg(more, long);
    va_end(more);
    const auto call = [&] {
        return real<long(long, ...)>("syscall")(number, words[0], words[1], words[2], words[3],
                                                words[4], words[5]);
    };
    if (number != SYS_bpf || !watching()) return call();
    const auto command = static_cast<bpf_cmd>(words[0]);
    auto* attr = reinterpret_cast<bpf_attr*>(words[1]);
    const Operation operation = of_bpf(command, *attr);
    Fault fault;
    {
        const Inside guard;
        fault = witness->before(operation);
    }
    if (fault.error != 0 && fault.half && command == BPF_MAP_UPDATE_BATCH)
        return half_a_batch(attr, static_cast<unsigned>(words[2]), fault.error);
    if (fault.error != 0) {
        errno = fault.error;
        return -1;
    }
    const long result = call();
    if (result >= 0) {
        const Inside guard;
        witness->after(operation);
    }
    return result;
}

}  // extern "C"

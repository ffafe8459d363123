// SPDX-License-Identifier: Apache-2.0
#include "sys/files.h"

#include <cerrno>
#include <fcntl.h>
#include <filesystem>
#include <glob.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sys/fd.h"

namespace sluice {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t largest_config_file = std::size_t{256}
                                            << 20U;  // prefix lists of a million lines

Result<> write_all(const Fd& fd, std::string_view content) {
    while (!content.empty()) {
        const ssize_t written = ::write(fd.get(), content.data(), content.size());
        if (written < 0 && errno == EINTR) continue;
        if (written < 0) return fail_errno(errno, "write");
        content.remove_prefix(static_cast<std::size_t>(written));
    }
    return {};
}

Result<> sync_directory(const std::string& directory) {
    const Fd fd(::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!fd) return fail_errno(errno, "open " + directory);
    if (::fsync(fd.get()) != 0) return fail_errno(errno, "sync " + directory);
    return {};
}

Result<> write_temporary(const std::string& path, std::string_view content, mode_t mode) {
    const Fd fd(::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, mode));
    if (!fd) return fail_errno(errno, "create " + path);
    if (auto ok = write_all(fd, content); !ok) return pass_on(ok, path);
    if (::fsync(fd.get()) != 0) return fail_errno(errno, "sync " + path);
    return {};
}

// The path as a pattern of glob(3) that matches only itself.
std::string literally(std::string_view path) {
    std::string pattern;
    for (const char c : path) {
        if (std::string_view("*?[]\\").find(c) != std::string_view::npos) pattern += '\\';
        pattern += c;
    }
    return pattern;
}

}  // namespace

Result<std::string> read_file(const std::string& path, std::size_t most) {
    // O_NONBLOCK: opening a pipe that nobody writes would wait for ever.
    const Fd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
    if (!fd) return fail_errno(errno, "open " + path);
    struct stat info{};
    if (::fstat(fd.get(), &info) != 0) return fail_errno(errno, "look at " + path);
    if (!S_ISREG(info.st_mode)) return fail(Failure::failed, path + " is not a regular file");
    const auto too_large = [&] {
        return fail(Failure::invalid, path + " is larger than " + std::to_string(most) + " bytes");
    };
    // Before memory is taken for it: a file may claim any size.
    if (static_cast<std::size_t>(info.st_size) > most) return too_large();
    std::string content;
    content.reserve(static_cast<std::size_t>(info.st_size) + 1);
    std::string buffer(std::size_t{1} << 16U, '\0');
    for (;;) {
        const ssize_t got = ::read(fd.get(), buffer.data(), buffer.size());
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return fail_errno(errno, "read " + path);
        if (got == 0) return content;
        content.append(buffer, 0, static_cast<std::size_t>(got));
        if (content.size() > most) return too_large();
    }
}

Result<std::string> read_range(int fd, std::int64_t offset, std::size_t size) {
    struct stat info{};
    if (::fstat(fd, &info) != 0) return fail_errno(errno, "look at the descriptor");
    if (!S_ISREG(info.st_mode)) return fail(Failure::invalid, "it is not a regular file");
    // Before memory is taken for it.
    if (offset > info.st_size || size > static_cast<std::size_t>(info.st_size - offset))
        return fail(Failure::invalid, "it is shorter than it was said to be");
    std::string content(size, '\0');
    for (std::size_t done = 0; done < size;) {
        const ssize_t got = ::pread(fd, content.data() + done, size - done,
                                    offset + static_cast<std::int64_t>(done));
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return fail_errno(errno, "read");
        if (got == 0) return fail(Failure::failed, "it became shorter meanwhile");
        done += static_cast<std::size_t>(got);
    }
    return content;
}

Result<Fd> sealed_file(const std::string& name, std::string_view content) {
    Fd fd(::memfd_create(name.c_str(), MFD_CLOEXEC | MFD_ALLOW_SEALING));
    if (!fd) return fail_errno(errno, "make a file in memory");
    if (auto ok = write_all(fd, content); !ok) return pass_on(ok, "fill a file in memory");
    constexpr int seals = F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE;
    if (::fcntl(fd.get(), F_ADD_SEALS, seals) != 0) return fail_errno(errno, "seal it");
    return fd;
}

Result<> write_file_durably(const std::string& path, std::string_view content, mode_t mode) {
    const std::string temporary = path + ".tmp";
    auto written = write_temporary(temporary, content, mode);
    if (written && ::rename(temporary.c_str(), path.c_str()) != 0)
        written = fail_errno(errno, "rename " + temporary + " to " + path);
    if (!written) {
        ::unlink(temporary.c_str());
        return written;
    }
    return sync_directory(fs::path(path).parent_path().string());
}

Result<> remove_file_durably(const std::string& path) {
    if (::unlink(path.c_str()) == 0) return sync_directory(fs::path(path).parent_path().string());
    if (errno == ENOENT) return {};
    return fail_errno(errno, "remove " + path);
}

Result<> make_directory(const std::string& path, mode_t mode) {
    // "x/" has "x" above it, which would be made with the mode of directories above.
    if (path.size() > 1 && path.ends_with('/'))
        return make_directory(path.substr(0, path.size() - 1), mode);
    const std::string parent = fs::path(path).parent_path().string();
    std::error_code error;
    const bool missing = !parent.empty() && !fs::exists(parent, error);
    if (error) return fail_errno(error.value(), "look at " + parent);
    if (missing)
        if (auto ok = make_directory(parent, 0755); !ok) return ok;
    if (::mkdir(path.c_str(), mode) == 0) return sync_directory(parent.empty() ? "." : parent);
    if (errno == EEXIST && fs::is_directory(path, error)) return {};
    return fail_errno(errno, "make the directory " + path);
}

RealConfigFiles::RealConfigFiles(const std::string& main_file)
    : main_file_(main_file), directory_(fs::absolute(main_file).parent_path().string()) {}

std::string RealConfigFiles::path_of(const std::string& path) const {
    // The main file is named as the user did; everything else is relative to its directory.
    if (path == main_file_) return path;
    return (fs::path(directory_) / path).string();
}

Result<std::string> RealConfigFiles::read(const std::string& path) {
    return read_file(path_of(path), largest_config_file);
}

std::vector<std::string> RealConfigFiles::glob(const std::string& pattern) {
    glob_t found{};
    std::vector<std::string> paths;
    const bool relative = !pattern.starts_with('/');
    const std::string whole = relative ? literally(directory_) + "/" + pattern : pattern;
    if (::glob(whole.c_str(), 0, nullptr, &found) == 0)
        for (std::size_t i = 0; i < found.gl_pathc; ++i) {
            const std::string path = found.gl_pathv[i];
            paths.push_back(relative ? fs::path(path).lexically_relative(directory_).string()
                                     : path);
        }
    ::globfree(&found);
    return paths;  // glob(3) sorts
}

}  // namespace sluice

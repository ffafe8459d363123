// SPDX-License-Identifier: Apache-2.0
#include "cli/real_world.h"

#include <array>
#include <cstdlib>
#include <ctime>
#include <iostream>
#include <pwd.h>
#include <sys/ioctl.h>
#include <unistd.h>

namespace sluice::cli {

namespace {

constexpr int unbroken = 10000;  // columns of what is no terminal: lines stay whole

bool is_terminal(int fd) {
    const char* type = std::getenv("TERM");
    return isatty(fd) == 1 && (type == nullptr || std::string_view(type) != "dumb");
}

int width_of(int fd) {
    if (isatty(fd) != 1) return unbroken;
    winsize size{};
    if (ioctl(fd, TIOCGWINSZ, &size) != 0 || size.ws_col == 0) return 80;
    return size.ws_col;
}

std::string host_name() {
    std::array<char, 256> name{};  // HOST_NAME_MAX is 64
    if (gethostname(name.data(), name.size() - 1) != 0) return "";
    return name.data();
}

std::string user_name(std::uint32_t uid) {
    std::array<char, 4096> buffer{};
    passwd entry{};
    passwd* found = nullptr;
    if (getpwuid_r(uid, &entry, buffer.data(), buffer.size(), &found) != 0 || found == nullptr)
        return "";
    return found->pw_name;
}

std::optional<std::string> environment(const char* name) {
    const char* value = std::getenv(name);
    return value == nullptr ? std::nullopt : std::optional<std::string>(value);
}

}  // namespace

World real_world() {
    World world{.in = std::cin, .out = std::cout, .err = std::cerr};
    world.in_is_terminal = isatty(STDIN_FILENO) == 1;
    world.out_is_terminal = is_terminal(STDOUT_FILENO);
    world.err_is_terminal = is_terminal(STDERR_FILENO);
    world.out_width = width_of(STDOUT_FILENO);
    world.err_width = width_of(STDERR_FILENO);
    world.now = std::time(nullptr);
    world.uid = geteuid();
    world.parent = getppid();
    world.host_name = host_name();
    world.environment = environment;
    world.user = user_name;
    return world;
}

}  // namespace sluice::cli

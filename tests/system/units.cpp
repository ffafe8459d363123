// SPDX-License-Identifier: Apache-2.0
#include "system/units.h"

#include <array>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <stdexcept>
#include <sys/mount.h>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>

namespace sluice::testing {
namespace {

namespace fs = std::filesystem;

void put(const std::string& path, const std::string& text) {
    std::ofstream file(path);
    file << text;
    if (!file.flush()) throw std::runtime_error("cannot write " + path);
}

bool populated(const std::string& group) {
    std::ifstream file(group + "/cgroup.events");
    std::stringstream text;
    text << file.rdbuf();
    return text.str().find("populated 1") != std::string::npos;
}

// Groups inside it first: only empty ones can be removed, and what is in them are no files.
void remove_tree(const std::string& group) {
    std::error_code gone;
    for (const auto& entry : fs::directory_iterator(group, gone))
        if (entry.is_directory(gone)) remove_tree(entry.path());
    ::rmdir(group.c_str());
}

// Everything in it ends, and it goes.
void sweep(const std::string& group) {
    std::ofstream(group + "/cgroup.kill") << "1";
    for (int i = 0; i < 1000 && populated(group); ++i)
        std::this_thread::sleep_for(std::chrono::milliseconds(5));
    remove_tree(group);
}

// Waits for the test to end, however it does, and cleans up after it.
[[noreturn]] void be_janitor(int test, const std::string& group) {
    ::setpgid(0, 0);  // what ends the test's group does not end it
    ::dup2(test, STDIN_FILENO);
    ::close_range(1, ~0U, 0);
    char byte = 0;
    while (::read(STDIN_FILENO, &byte, 1) < 0 && errno == EINTR) continue;
    sweep(group);
    ::_exit(0);
}

}  // namespace

Units::Units(const std::string& scratch)
    : mount_(scratch + "/cgroup"), root_(mount_ + "/sluice-test-" + std::to_string(::getpid())) {
    fs::create_directory(mount_);
    if (::mount("cgroup2", mount_.c_str(), "cgroup2", 0, nullptr) != 0)
        throw std::runtime_error("mount cgroup2: " + std::string(std::strerror(errno)));
    std::array<int, 2> ends{};
    if (::pipe2(ends.data(), O_CLOEXEC) != 0) throw std::runtime_error("pipe");
    const Fd reading(ends[0]);
    alive_ = Fd(ends[1]);
    fs::create_directory(root_);
    janitor_ = ::fork();
    if (janitor_ < 0) throw std::runtime_error("fork");
    if (janitor_ == 0) be_janitor(reading.get(), root_);
}

Units::~Units() {
    alive_.reset();
    ::waitpid(janitor_, nullptr, 0);
    ::umount2(mount_.c_str(), MNT_DETACH);
    std::error_code ignored;
    fs::remove(mount_, ignored);
}

std::string Units::group(const std::string& path) const {
    const std::string group = root_ + "/" + path;
    fs::create_directories(group);
    return group;
}

Command Units::in(const std::string& path, Command command) const {
    command.words.insert(command.words.begin(), {"/bin/sh", "-c", "echo $$ >\"$0\" && exec \"$@\"",
                                                 group(path) + "/cgroup.procs"});
    return command;
}

void Units::end(const std::string& path) const {
    put(group(path) + "/cgroup.kill", "1");
    if (!eventually([&] { return !populated(group(path)); }))
        throw std::runtime_error(path + " does not end");
}

void Units::remove(const std::string& path) const { remove_tree(root_ + "/" + path); }

}  // namespace sluice::testing

// SPDX-License-Identifier: Apache-2.0
#include "support/world.h"

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <sched.h>
#include <sstream>
#include <sys/mount.h>

namespace sluice::testing {

namespace fs = std::filesystem;

std::size_t open_descriptors() {
    std::size_t count = 0;
    for ([[maybe_unused]] const auto& entry : fs::directory_iterator("/proc/self/fd")) ++count;
    return count - 1;  // the one that reads the directory
}

void FreshWorld::SetUp() {
    ASSERT_EQ(::unshare(CLONE_NEWNET | CLONE_NEWNS), 0)
        << "privileged tests need root: " << std::strerror(errno);
    ASSERT_EQ(::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr), 0)
        << std::strerror(errno);
    std::string name = (fs::temp_directory_path() / "sluice-test-XXXXXX").string();
    ASSERT_NE(::mkdtemp(name.data()), nullptr) << std::strerror(errno);
    scratch_ = name;
    bpffs_ = scratch_ + "/bpf";
    fs::create_directory(bpffs_);
    ASSERT_EQ(::mount("bpf", bpffs_.c_str(), "bpf", 0, "mode=0700"), 0) << std::strerror(errno);
    ip("link set lo up");
    descriptors_ = open_descriptors();
}

void FreshWorld::TearDown() {
    if (!IsSkipped() && !HasFatalFailure()) {
        EXPECT_EQ(open_descriptors(), descriptors_) << "descriptors leaked";
    }
    ::umount2(bpffs_.c_str(), MNT_DETACH);
    std::error_code ignored;
    fs::remove_all(scratch_, ignored);
}

void FreshWorld::ip(const std::string& arguments) {
    const std::string command = "ip " + arguments;
    ASSERT_EQ(std::system(command.c_str()), 0) << command;  // NOLINT: text of our own
}

Binding binding(std::string_view text) {
    std::istringstream words{std::string(text)};
    std::string protocol, prefix, ports, target, owner;
    words >> protocol >> prefix >> ports >> target >> owner;
    Binding made;
    made.match = {must(parse_protocol(protocol)), must(Prefix::parse(prefix)),
                  must(Ports::parse(ports))};
    made.target = target == "(reject)" ? Target::reject()
                  : target == "(pass)" ? Target::pass()
                                       : Target::service(target);
    made.owner = owner == "runtime" ? Owner::runtime : Owner::config;
    return made;
}

Bindings bindings(const std::vector<std::string>& lines) {
    std::vector<Binding> all;
    for (const std::string& line : lines) all.push_back(binding(line));
    return must(Bindings::make(std::move(all)));
}

}  // namespace sluice::testing

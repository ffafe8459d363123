// SPDX-License-Identifier: Apache-2.0
// Units and their processes, from trees that look like the kernel's.
#include "sys/cgroup.h"

#include <algorithm>
#include <filesystem>
#include <fstream>

#include <gmock/gmock.h>

#include "child.h"
#include "support/world.h"

namespace sluice {
namespace {

using namespace sluice::testing;  // NOLINT: claims read better without prefixes
using ::testing::ElementsAre;
using ::testing::IsEmpty;

std::string nothing() { return "ready"; }

class CgroupTest : public FreshWorld {
  protected:
    std::string group(const std::string& path, const std::vector<pid_t>& pids = {}) const {
        const std::string made = scratch() + "/tree/" + path;
        std::filesystem::create_directories(made);
        std::ofstream file(made + "/cgroup.procs");
        for (const pid_t pid : pids) file << pid << "\n";
        return made;
    }
    std::string found(const std::string& unit) const {
        const auto at = must(find_unit(scratch() + "/tree", unit));
        return at ? at->substr(scratch().size() + 6) : "";
    }
    static std::vector<std::int32_t> visited(const std::string& group) {
        std::vector<std::int32_t> pids;
        must(visit_processes(group, [&](UnitProcess& process) {
            pids.push_back(process.pid);
            return true;
        }));
        return pids;
    }
};

TEST_F(CgroupTest, AUnitIsFoundInWhateverSliceItIs) {
    group("system.slice/nginx.service");
    group("system.slice/system-web.slice/web@1.service");
    group("edge.slice/edge-web.slice/cdn.service");
    group("system.slice/_cpu.service");
    group("init.scope");
    EXPECT_EQ(found("nginx.service"), "system.slice/nginx.service");
    EXPECT_EQ(found("web@1.service"), "system.slice/system-web.slice/web@1.service");
    EXPECT_EQ(found("cdn.service"), "edge.slice/edge-web.slice/cdn.service");
    EXPECT_EQ(found("cpu.service"), "system.slice/_cpu.service");
    EXPECT_EQ(found("init.scope"), "init.scope");
    EXPECT_EQ(found("web@2.service"), "");
}

TEST_F(CgroupTest, WhatAUnitKeepsInsideItselfIsNoUnitOfTheHost) {
    group("user.slice/user-1000.slice/user@1000.service/app.slice/nginx.service");
    group("system.slice/container.service/system.slice/nginx.service");
    group("machine.slice/machine-a.scope/nginx.service");
    EXPECT_EQ(found("nginx.service"), "");
}

TEST_F(CgroupTest, ATreeThatIsNotThereIsAFailureAndNotAUnitThatDoesNotRun) {
    EXPECT_FALSE(find_unit(scratch() + "/nowhere", "nginx.service"));
}

TEST_F(CgroupTest, ProcessesOfAllGroupsInsideAreListedOnceAscending) {
    const std::string unit = group("a.service", {30, 7});
    group("a.service/inner/deeper", {9, 30, 0});  // 0: of another pid namespace
    EXPECT_THAT(processes_of(unit), ElementsAre(7, 9, 30));
    EXPECT_THAT(processes_of(scratch() + "/tree/gone"), IsEmpty());
}

TEST_F(CgroupTest, LivingProcessesAreVisitedTheOldestFirstAndPinned) {
    const Child first(nothing), second(nothing), third(nothing);
    third.die();
    Child gone(nothing);
    const pid_t no_process = gone.pid();
    gone.end();
    const std::string unit =
        group("a.service", {no_process, second.pid(), third.pid(), first.pid()});
    auto expected = std::vector{first.pid(), second.pid()};
    std::ranges::sort(expected);  // of one age as far as the clock tells
    auto seen = visited(unit);
    std::ranges::sort(seen);
    EXPECT_EQ(seen, expected);

    const pid_t init = 1;
    const std::string with_init = group("b.service", {second.pid(), init});
    EXPECT_EQ(visited(with_init).front(), init);

    Fd kept;
    must(visit_processes(unit, [&](UnitProcess& process) {
        kept = std::move(process.pidfd);
        return false;
    }));
    EXPECT_TRUE(kept) << "a visitor may keep it, and the visit ends when it says so";
}

TEST_F(CgroupTest, MoreProcessesThanAreOpenedAtOnceAreAllVisited) {
    std::vector<std::unique_ptr<Child>> children;
    std::vector<pid_t> pids;
    for (int i = 0; i < 150; ++i) {
        children.push_back(std::make_unique<Child>(nothing));
        pids.push_back(children.back()->pid());
    }
    const std::size_t before = open_descriptors();
    auto seen = visited(group("a.service", pids));
    std::ranges::sort(seen);
    std::ranges::sort(pids);
    EXPECT_EQ(seen, pids);
    EXPECT_EQ(open_descriptors(), before);
}

TEST_F(CgroupTest, AFileSystemThatIsNoneOfGroupsIsToldApart) {
    EXPECT_FALSE(is_cgroup(scratch()));
    EXPECT_TRUE(is_cgroup(default_cgroup_root())) << default_cgroup_root();
}

}  // namespace
}  // namespace sluice

// SPDX-License-Identifier: Apache-2.0
// What a kill between two steps leaves behind, and what the next agent makes of it.
#include <filesystem>
#include <unistd.h>

#include <gmock/gmock.h>

#include "child.h"
#include "kernel/dataplane.h"
#include "kernel/snapshot.h"
#include "support/dataplane.h"
#include "support/sockets.h"
#include "support/world.h"

namespace sluice::kernel {
namespace {

using namespace sluice::testing;  // NOLINT: claims read better without prefixes
using ::testing::HasSubstr;

class LeftBehind : public FreshWorld {
  protected:
    Site site() const {
        Site made;
        made.directory = bpffs();
        made.capacity = 1000;
        return made;
    }
};

TEST_F(LeftBehind, ASetThatShrankMeanwhileDoesNotTakeTheCellsOfAnotherService) {
    TestPlane plane(bpffs(), site());
    plane.apply({"tcp 127.7.0.0/16 80 first", "tcp 127.8.0.0/16 80 second"});
    const Fd second = listen_tcp("127.0.0.1:0"), stays = listen_tcp("127.0.0.1:0");
    Fd closes = listen_tcp("127.0.0.1:0");
    plane.add("second", {&second});  // the lower cells, and the later name
    plane.add("first", {&closes, &stays});
    closes.reset();
    plane.reopen();
    for (int i = 0; i < 8; ++i) {
        EXPECT_TRUE(reaches("127.8.7.7:80", second));
        EXPECT_TRUE(reaches("127.7.7.7:80", stays));
    }
}

// Slots and cells that were in use when the agent before was killed.
TEST_F(LeftBehind, ASlotWhoseSocketClosedIsNotFilledAgainBeforeAGracePeriod) {
    TestPlane plane(bpffs(), site());
    plane.apply({"tcp 127.7.0.0/16 80 www", "tcp 127.8.0.0/16 80 api"});
    Fd www = listen_tcp("127.0.0.1:0");
    plane.add("www", {&www});
    const std::uint32_t slot = plane.sockets->of("www").front().slot;
    www.reset();
    plane.reopen();
    EXPECT_TRUE(plane.sockets->has_retired());
    const Fd api = listen_tcp("127.0.0.1:0"), other = listen_tcp("127.0.0.1:0");
    plane.add("api", {&api});
    EXPECT_NE(plane.sockets->of("api").front().slot, slot);
    plane.settle();
    plane.add("www", {&other});
    EXPECT_EQ(plane.sockets->of("www").front().slot, slot);
}

TEST_F(LeftBehind, ADualStackSocketThatIsInOneOfItsTwoSetsIsPutIntoTheOther) {
    TestPlane plane(bpffs(), site());
    plane.apply({"tcp 127.7.0.0/16 80 www", "tcp ::/0 80 www"});
    const Fd www = listen_tcp("[::]:9999");
    plane.add("www", {&www}, true);
    ASSERT_TRUE(reaches("127.7.7.7:80", www));
    // As after a kill between the stores of its two sets.
    plane.dispatcher->maps().services[plane.services_table->id("www")].set[SLUICE_TCP_V6] = 0;
    plane.reopen();
    EXPECT_TRUE(reaches("127.7.7.7:80", www));
    EXPECT_TRUE(reaches("[::1]:80", www));
    plane.reopen();
    EXPECT_EQ(
        members_of(plane.dispatcher->maps(), plane.services_table->id("www"), SLUICE_TCP_V4).size(),
        1U)
        << "and only once";
}

TEST_F(LeftBehind, ADetachThatWasCutOffIsFinished) {
    TestPlane plane(bpffs(), site());
    plane.apply({"tcp 127.7.0.0/16 80 www"});
    const Fd www = listen_tcp("127.0.0.1:0"), ordinary = listen_tcp("127.7.7.7:80");
    plane.add("www", {&www});
    plane.dispatcher->maps().state().detached = 1;  // written first; the link is still there
    plane.reopen();
    EXPECT_FALSE(plane.dispatcher->attached());
    EXPECT_TRUE(reaches("127.7.7.7:80", ordinary));
    must(plane.dispatcher->attach());
    EXPECT_TRUE(reaches("127.7.7.7:80", www));
    must(plane.dispatcher->detach());
    EXPECT_TRUE(reaches("127.7.7.7:80", ordinary));
}

// `count` services of these names, with nothing bound.
std::map<std::string, ServiceConfig> named(const std::string& prefix, int count) {
    std::map<std::string, ServiceConfig> services;
    for (int i = 0; i < count; ++i) services[prefix + std::to_string(i)] = {};
    return services;
}

TEST_F(LeftBehind, AChangeThatFailsLeavesNoServicesBehind) {
    TestPlane plane(bpffs(), site());
    const Bindings nothing;
    const auto before = named("before", 4000), after = named("after", 4000);
    must(plane.table->apply({1, 0, &nothing, &nothing, &before}));
    plane.settle();
    const auto refused = plane.table->apply({2, 0, &nothing, &nothing, &after});
    ASSERT_FALSE(refused);
    EXPECT_THAT(refused.error().message(), HasSubstr("there can be 4096"));
    EXPECT_EQ(plane.services_table->all().size(), 4000U);
    plane.reopen();
    EXPECT_EQ(plane.services_table->all().size(), 4000U);
}

TEST_F(LeftBehind, WhatStillNamesAServiceThatIsGoneFallsToNobody) {
    TestPlane plane(bpffs(), site());
    const Fd first = listen_tcp("127.0.0.1:0");
    plane.apply({"tcp 127.6.0.0/16 80 first"});
    ASSERT_EQ(plane.services_table->id("first"), 0U) << "a record of zeros names it";
    plane.add("first", {&first});
    plane.services["www"].unavailable = {Unavailable::Kind::fallback, "gone"};
    plane.services["gone"] = {};
    plane.apply({"tcp 127.6.0.0/16 80 first", "tcp 127.7.0.0/16 80 www"});
    plane.settle();
    plane.services_table->remove(plane.services_table->id("gone"));
    EXPECT_EQ(dial("127.7.7.7:80"), "refused");
}

TEST_F(LeftBehind, AChangeFromWhatTheKernelDoesNotSayIsNotMade) {
    TestPlane plane(bpffs(), site());
    plane.apply({"tcp 127.7.0.0/16 80 www"});
    const Fd www = listen_tcp("127.0.0.1:0");
    plane.add("www", {&www});
    plane.settle();
    const Bindings wrong = bindings({"tcp 127.7.0.0/16 81-82 www"}), nothing;
    const auto refused = plane.table->apply({2, 0, &wrong, &nothing, &plane.services});
    ASSERT_FALSE(refused);
    EXPECT_THAT(refused.error().message(), HasSubstr("127.7.0.0/16"));
    EXPECT_TRUE(reaches("127.7.7.7:80", www));
    plane.apply({"tcp 127.7.0.0/16 81 www"});
    EXPECT_TRUE(reaches("127.7.7.7:81", www));
}

TEST_F(LeftBehind, ADirectoryNamedWithASlashIsTheSame) {
    Site slash = site();
    slash.directory += "/";
    must(Dispatcher::open(slash));
    EXPECT_TRUE(must(Dispatcher::open(site())).adopted());
    EXPECT_TRUE(must(Dispatcher::open(slash)).adopted());
}

TEST_F(LeftBehind, APlaceThatMayNotBeLookedAtIsSaid) {
    const Child child([&] {
        if (::setuid(65534) != 0) return std::string("cannot become another user");
        const auto refused = Dispatcher::open(site());
        return refused ? "opened" : refused.error().message();
    });
    EXPECT_THAT(child.said(), HasSubstr(bpffs() + ": Permission denied"));
}

}  // namespace
}  // namespace sluice::kernel

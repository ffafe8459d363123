// SPDX-License-Identifier: Apache-2.0
// Sockets that wait, and the switch between two sets of a service: one step, also for a kill.
#include <chrono>
#include <csignal>
#include <optional>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kernel/snapshot.h"
#include "support/dataplane.h"
#include "support/sockets.h"
#include "support/world.h"

namespace sluice {
namespace {

using namespace sluice::testing;  // NOLINT: claims read better without prefixes

std::uint64_t cookies(const std::vector<RegisteredSocket>& sockets) {
    std::uint64_t sum = 0;  // of one or two sockets: which they are
    for (const RegisteredSocket& socket : sockets) sum += socket.cookie;
    return sum;
}

class Roles : public FreshWorld {
  protected:
    void SetUp() override {
        FreshWorld::SetUp();
        plane_.emplace(bpffs());
        plane().apply({"tcp 127.7.0.0/16 80 www"});
    }
    void TearDown() override {
        plane_.reset();
        FreshWorld::TearDown();
    }
    TestPlane& plane() { return *plane_; }
    void forget_plane() { plane_.reset(); }
    void adopt_plane() { plane_.emplace(bpffs()); }

    void put(kernel::Placement placement, const std::vector<const Fd*>& sockets) {
        std::vector<kernel::NewSocket> fresh;
        for (const Fd* socket : sockets) fresh.push_back(TestPlane::describe(*socket));
        must(plane().sockets->add("www", fresh, placement, 0));
    }
    std::uint64_t in(SocketRole role) { return cookies(plane().sockets->of("www", role)); }
    // Who gets lookups, by the pinned maps alone.
    std::vector<std::uint64_t> listed() {
        std::vector<std::uint64_t> found;
        const auto& maps = plane().dispatcher->maps();
        for (const std::uint32_t slot :
             kernel::members_of(maps, plane().services_table->id("www"), SLUICE_TCP_V4))
            found.push_back(maps.slots[slot].cookie);
        return found;
    }

    // A process switches as fast as it can, and is killed so long after its first switch.
    void switch_until_killed(std::chrono::microseconds after) {
        const Fd switching(::eventfd(0, EFD_CLOEXEC));
        const pid_t pid = ::fork();
        ASSERT_GE(pid, 0);
        if (pid == 0) {
            ::prctl(PR_SET_PDEATHSIG, SIGKILL);
            adopt_plane();
            for (;;) {
                if (!plane().sockets->promote("www")) must(plane().sockets->demote("www"));
                ::eventfd_write(switching.get(), 1);  // and no grace period: a kill would find that
            }
        }
        eventfd_t ignored = 0;
        ::eventfd_read(switching.get(), &ignored);
        ::usleep(static_cast<useconds_t>(after.count()));
        ::kill(pid, SIGKILL);
        ::waitpid(pid, nullptr, 0);
    }

  private:
    std::optional<TestPlane> plane_;
};

TEST_F(Roles, AStagedSocketGetsNothingUntilItIsPromoted) {
    const Fd old = listen_tcp("127.0.0.1:8080"), next = listen_tcp("127.0.0.1:8081");
    put(kernel::Placement::stage, {&next});
    EXPECT_EQ(dial("127.7.7.7:80"), "refused") << "not even when nobody serves";
    put(kernel::Placement::add, {&old});
    for (int i = 0; i < 20; ++i) EXPECT_TRUE(reaches("127.7.7.7:80", old));
    const kernel::Switched done = must(plane().sockets->promote("www"));
    EXPECT_EQ(done.serving, 1U);
    EXPECT_EQ(done.waiting, 1U);
    EXPECT_EQ(done.let_go, 0U);
    for (int i = 0; i < 20; ++i) EXPECT_TRUE(reaches("127.7.7.7:80", next));
}

TEST_F(Roles, DemoteGoesBackAndPromoteForthAgain) {
    const Fd old = listen_tcp("127.0.0.1:8080"), next = listen_tcp("127.0.0.1:8081");
    put(kernel::Placement::add, {&old});
    put(kernel::Placement::stage, {&next});
    for (int i = 0; i < 3; ++i) {
        must(plane().sockets->promote("www"));
        EXPECT_TRUE(reaches("127.7.7.7:80", next));
        EXPECT_EQ(in(SocketRole::former), cookie_of(old));
        must(plane().sockets->demote("www"));
        EXPECT_TRUE(reaches("127.7.7.7:80", old));
        EXPECT_EQ(in(SocketRole::staged), cookie_of(next));
        EXPECT_EQ(in(SocketRole::former), 0U);
        plane().settle();
    }
}

TEST_F(Roles, WithNothingToSwitchToASwitchIsRefusedAndChangesNothing) {
    const Fd old = listen_tcp("127.0.0.1:8080");
    EXPECT_EQ(plane().sockets->promote("www").error().failure(), Failure::refused);
    put(kernel::Placement::add, {&old});
    EXPECT_EQ(plane().sockets->promote("www").error().failure(), Failure::refused);
    EXPECT_EQ(plane().sockets->demote("www").error().failure(), Failure::refused);
    EXPECT_FALSE(plane().sockets->promote("nobody"));
    EXPECT_TRUE(reaches("127.7.7.7:80", old));
}

TEST_F(Roles, APromotionLetsTheFormerOnesBeforeItGo) {
    const Fd one = listen_tcp("127.0.0.1:8081"), two = listen_tcp("127.0.0.1:8082"),
             three = listen_tcp("127.0.0.1:8083");
    put(kernel::Placement::add, {&one});
    put(kernel::Placement::stage, {&two});
    must(plane().sockets->promote("www"));
    put(kernel::Placement::stage, {&three});
    EXPECT_EQ(must(plane().sockets->promote("www")).let_go, 1U);
    EXPECT_EQ(plane().sockets->of("www").size(), 2U);
    must(plane().sockets->demote("www"));
    EXPECT_TRUE(reaches("127.7.7.7:80", two));
    put(kernel::Placement::add, {&one});
    EXPECT_EQ(in(SocketRole::serving), cookie_of(one) + cookie_of(two)) << "it may come back";
}

TEST_F(Roles, ADemotionKeepsWhatWasStagedMeanwhileAndLetsTheDemotedGo) {
    const Fd one = listen_tcp("127.0.0.1:8081"), two = listen_tcp("127.0.0.1:8082"),
             three = listen_tcp("127.0.0.1:8083");
    put(kernel::Placement::add, {&one});
    put(kernel::Placement::stage, {&two});
    must(plane().sockets->promote("www"));
    put(kernel::Placement::stage, {&three});
    const kernel::Switched back = must(plane().sockets->demote("www"));
    EXPECT_EQ(back.waiting, 0U);
    EXPECT_EQ(back.let_go, 1U);
    EXPECT_EQ(in(SocketRole::serving), cookie_of(one));
    EXPECT_EQ(in(SocketRole::staged), cookie_of(three));
    EXPECT_EQ(in(SocketRole::former), 0U);
}

TEST_F(Roles, AddingAndReplacingLeaveThoseThatWaitAlone) {
    const Fd old = listen_tcp("127.0.0.1:8080"), next = listen_tcp("127.0.0.1:8081"),
             more = listen_tcp("127.0.0.1:8082"), only = listen_tcp("127.0.0.1:8083"),
             ready = listen_tcp("127.0.0.1:8084");
    put(kernel::Placement::add, {&old});
    put(kernel::Placement::stage, {&next});
    must(plane().sockets->promote("www"));
    put(kernel::Placement::stage, {&ready});
    put(kernel::Placement::add, {&more});
    EXPECT_EQ(in(SocketRole::serving), cookie_of(next) + cookie_of(more));
    put(kernel::Placement::replace, {&only});
    EXPECT_EQ(in(SocketRole::serving), cookie_of(only));
    EXPECT_EQ(in(SocketRole::former), cookie_of(old));
    EXPECT_EQ(in(SocketRole::staged), cookie_of(ready));
    must(plane().sockets->demote("www"));
    EXPECT_TRUE(reaches("127.7.7.7:80", old));
}

TEST_F(Roles, ASocketThatIsThereAlreadyKeepsItsRole) {
    const Fd old = listen_tcp("127.0.0.1:8080"), next = listen_tcp("127.0.0.1:8081");
    put(kernel::Placement::add, {&old});
    put(kernel::Placement::stage, {&next, &old});
    EXPECT_EQ(in(SocketRole::serving), cookie_of(old));
    put(kernel::Placement::add, {&next});
    EXPECT_EQ(in(SocketRole::staged), cookie_of(next));
    put(kernel::Placement::replace, {&next});
    EXPECT_EQ(in(SocketRole::serving), cookie_of(next)) << "but that the only one serves";
    EXPECT_EQ(plane().sockets->of("www").size(), 1U);
    EXPECT_TRUE(reaches("127.7.7.7:80", next));
}

TEST_F(Roles, OneThatClosesWhileItWaitsIsForgottenAndServesNobodyLater) {
    const Fd old = listen_tcp("127.0.0.1:8080");
    Fd next = listen_tcp("127.0.0.1:8081");
    const Fd other = listen_tcp("127.0.0.2:8081");
    put(kernel::Placement::add, {&old});
    put(kernel::Placement::stage, {&next, &other});
    next.reset();
    EXPECT_EQ(must(plane().sockets->sweep()).size(), 1U);
    EXPECT_EQ(in(SocketRole::staged), cookie_of(other));
    EXPECT_EQ(must(plane().sockets->promote("www")).serving, 1U);
    EXPECT_TRUE(reaches("127.7.7.7:80", other));
}

TEST_F(Roles, MoreStagedSocketsThanASetHoldsAreRefusedWhenTheyCome) {
    std::vector<Fd> sockets;
    std::vector<const Fd*> most;
    for (int i = 0; i <= SLUICE_MAX_SET; ++i)
        sockets.push_back(listen_tcp("127.0.0.1:8080", {.reuseport = true}));
    for (int i = 0; i < SLUICE_MAX_SET; ++i) most.push_back(&sockets[static_cast<unsigned>(i)]);
    put(kernel::Placement::stage, most);
    const auto one_more = plane().sockets->add("www", {TestPlane::describe(sockets.back())},
                                               kernel::Placement::stage, 0);
    ASSERT_FALSE(one_more);
    EXPECT_EQ(one_more.error().failure(), Failure::refused);
    EXPECT_EQ(plane().sockets->all().size(), std::size_t{SLUICE_MAX_SET});
    EXPECT_EQ(must(plane().sockets->promote("www")).serving, std::size_t{SLUICE_MAX_SET});
}

TEST_F(Roles, EveryRoleIsStillThereForTheNextAgent) {
    const Fd old = listen_tcp("127.0.0.1:8080"), next = listen_tcp("127.0.0.1:8081"),
             ready = listen_tcp("127.0.0.1:8082");
    put(kernel::Placement::add, {&old});
    put(kernel::Placement::stage, {&next});
    must(plane().sockets->promote("www"));
    put(kernel::Placement::stage, {&ready});
    plane().reopen();
    EXPECT_EQ(in(SocketRole::serving), cookie_of(next));
    EXPECT_EQ(in(SocketRole::former), cookie_of(old));
    EXPECT_EQ(in(SocketRole::staged), cookie_of(ready));
    must(plane().sockets->demote("www"));
    EXPECT_TRUE(reaches("127.7.7.7:80", old));
}

TEST_F(Roles, PinsOfAnAgentThatKnewNoRolesAreReadAsBefore) {
    const Fd listed = listen_tcp("127.0.0.1:8080"), left = listen_tcp("127.0.0.1:8081");
    put(kernel::Placement::add, {&listed, &left});
    // As it left them: no roles, and a slot that waits for its grace period.
    const auto& maps = plane().dispatcher->maps();
    must(plane().sockets->remove({cookie_of(left)}));
    for (std::size_t slot = 0; slot < maps.slots.size(); ++slot)
        maps.slots[slot].role[0] = maps.slots[slot].role[1] = SLUICE_ROLE_LISTED;
    plane().reopen();
    EXPECT_EQ(in(SocketRole::serving), cookie_of(listed));
    EXPECT_EQ(plane().sockets->all().size(), 1U) << "what was unregistered does not come back";
    EXPECT_TRUE(reaches("127.7.7.7:80", listed));
}

// A switch as it is found after a kill: before the one store that decides, and between that and the
// sets that follow.
TEST_F(Roles, ASwitchThatWasCutOffHasHappenedFromTheOneStoreOnThatDecidesIt) {
    const Fd old = listen_tcp("127.0.0.1:8080"), next = listen_tcp("127.0.0.1:8081");
    put(kernel::Placement::add, {&old});
    put(kernel::Placement::stage, {&next});
    for (const bool decided : {false, true}) {
        const auto& maps = plane().dispatcher->maps();
        sluice_service& service = maps.services[plane().services_table->id("www")];
        const auto other = static_cast<std::uint8_t>(service.roles ^ 1U);
        for (std::size_t slot = 0; slot < maps.slots.size(); ++slot) {
            if (maps.slots[slot].cookie == cookie_of(old))
                maps.slots[slot].role[other] = SLUICE_ROLE_FORMER;
            if (maps.slots[slot].cookie == cookie_of(next))
                maps.slots[slot].role[other] = SLUICE_ROLE_SERVING;
        }
        if (decided) service.roles = other;
        EXPECT_EQ(listed(), (std::vector<std::uint64_t>{cookie_of(old)}));
        plane().reopen();
        EXPECT_EQ(in(SocketRole::serving), cookie_of(decided ? next : old));
        EXPECT_EQ(in(SocketRole::former), decided ? cookie_of(old) : 0U);
        EXPECT_EQ(in(SocketRole::staged), decided ? 0U : cookie_of(next));
        EXPECT_TRUE(reaches("127.7.7.7:80", decided ? next : old));
    }
}

// Whenever it is killed: one set serves, whole, and the other waits, whole.
TEST_F(Roles, AKillInTheMiddleOfASwitchLeavesOneSetWholeAndTheOtherWaiting) {
    std::vector<Fd> a, b;
    std::vector<const Fd*> all_a, all_b;
    for (int i = 0; i < 8; ++i) {
        a.push_back(listen_tcp("127.0.0.1:8080", {.reuseport = true}));
        b.push_back(listen_tcp("127.0.0.1:8081", {.reuseport = true}));
    }
    for (const Fd& one : a) all_a.push_back(&one);
    for (const Fd& one : b) all_b.push_back(&one);
    std::uint64_t of_a = 0, of_b = 0;
    for (const Fd& one : a) of_a += cookie_of(one);
    for (const Fd& one : b) of_b += cookie_of(one);
    put(kernel::Placement::add, all_a);
    put(kernel::Placement::stage, all_b);
    int seen_a = 0;
    constexpr int rounds = 40;
    for (int round = 0; round < rounds; ++round) {
        forget_plane();
        switch_until_killed(std::chrono::microseconds(700 * round));
        adopt_plane();
        const bool a_serves = in(SocketRole::serving) == of_a;
        if (a_serves) ++seen_a;
        EXPECT_EQ(in(SocketRole::serving), a_serves ? of_a : of_b);
        EXPECT_EQ(in(SocketRole::staged) + in(SocketRole::former), a_serves ? of_b : of_a);
        EXPECT_EQ(listed().size(), 8U);
        EXPECT_EQ(plane().sockets->all().size(), 16U) << "none is lost";
    }
    EXPECT_GT(seen_a, 0);
    EXPECT_LT(seen_a, rounds) << "it was killed at different moments";
}

}  // namespace
}  // namespace sluice

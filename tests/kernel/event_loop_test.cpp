// SPDX-License-Identifier: Apache-2.0
// The event loop: callbacks that come when they should, and never after their source has gone.
#include "sys/event_loop.h"

#include <array>
#include <csignal>
#include <optional>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "support/world.h"
#include "sys/fd.h"

namespace sluice {
namespace {

using namespace sluice::testing;  // NOLINT: claims read better without prefixes
using std::chrono::milliseconds;

class EventLoopTest : public FreshWorld {
  protected:
    void SetUp() override {
        FreshWorld::SetUp();
        loop_.emplace(must(EventLoop::create()));
        // A test that would wait for ever ends here instead.
        patience_ =
            must(loop_->every(std::chrono::seconds(20), [this] { loop_->exit(timed_out); }));
    }
    void TearDown() override {
        patience_.reset();
        loop_.reset();
        FreshWorld::TearDown();
    }

    EventLoop& loop() { return *loop_; }
    int run() { return must(loop_->run()); }

    static Fd event(unsigned value) { return Fd(::eventfd(value, EFD_CLOEXEC | EFD_NONBLOCK)); }

    static constexpr int done = 0, timed_out = 99;

  private:
    std::optional<EventLoop> loop_;
    EventSource patience_;
};

TEST_F(EventLoopTest, RunReturnsTheCodeItWasEndedWith) {
    auto source = must(loop().soon([&] { loop().exit(7); }));
    EXPECT_EQ(run(), 7);
}

TEST_F(EventLoopTest, SoonIsOnce) {
    int calls = 0, turns = 0;
    auto once = must(loop().soon([&] { ++calls; }));
    auto timer = must(loop().every(milliseconds(1), [&] {
        if (++turns == 2) loop().exit(done);
    }));
    EXPECT_EQ(run(), done);
    EXPECT_EQ(calls, 1);
}

TEST_F(EventLoopTest, EveryComesAgainAndAgain) {
    int calls = 0;
    auto timer = must(loop().every(milliseconds(1), [&] {
        if (++calls == 3) loop().exit(done);
    }));
    EXPECT_EQ(run(), done);
    EXPECT_EQ(calls, 3);
}

TEST_F(EventLoopTest, IoSaysWhatTheDescriptorIsReadyFor) {
    const Fd fd = event(1);
    std::uint32_t got = 0;
    auto source = must(loop().io(fd.get(), EPOLLIN, [&](std::uint32_t events) {
        got = events;
        loop().exit(done);
    }));
    EXPECT_EQ(run(), done);
    EXPECT_EQ(got, std::uint32_t{EPOLLIN});
}

TEST_F(EventLoopTest, WatchChangesWhatIsWaitedFor) {
    const Fd fd = event(1);  // readable and writable
    std::vector<std::uint32_t> seen;
    EventSource source;
    source = must(loop().io(fd.get(), EPOLLIN, [&](std::uint32_t events) {
        seen.push_back(events);
        if (seen.size() == 1) source.watch(EPOLLOUT);
        if (seen.size() == 2) source.watch(0);
        if (seen.size() == 3) loop().exit(done);
    }));
    int turns = 0;
    auto timer = must(loop().every(milliseconds(1), [&] {
        if (++turns == 2) source.watch(EPOLLIN | EPOLLOUT);
    }));
    EXPECT_EQ(run(), done);
    ASSERT_EQ(seen.size(), 3U);
    EXPECT_EQ(seen[0], std::uint32_t{EPOLLIN});
    EXPECT_EQ(seen[1], std::uint32_t{EPOLLOUT});
    EXPECT_EQ(seen[2], std::uint32_t{EPOLLIN | EPOLLOUT});
    EXPECT_GE(turns, 2) << "watching nothing, it was silent";
}

TEST_F(EventLoopTest, TheOtherEndHangingUpIsTold) {
    std::array<int, 2> ends{};
    ASSERT_EQ(::pipe(ends.data()), 0);
    const Fd reading(ends[0]);
    Fd writing(ends[1]);
    std::uint32_t got = 0;
    auto source = must(loop().io(reading.get(), 0, [&](std::uint32_t events) {
        got = events;
        loop().exit(done);
    }));
    auto hang_up = must(loop().soon([&] { writing.reset(); }));
    EXPECT_EQ(run(), done);
    EXPECT_EQ(got, std::uint32_t{EPOLLHUP});
}

TEST_F(EventLoopTest, ASourceMayDestroyItselfInItsCallback) {
    const Fd fd = event(1);
    int io_calls = 0, timer_calls = 0, soon_calls = 0;
    // Each callback owns what it counts by: memory that is freed with it would be noticed by asan.
    EventSource io, timer, soon;
    io = must(loop().io(fd.get(), EPOLLIN, [&, text = std::string(100, 'x')](std::uint32_t) {
        io.reset();
        io_calls += static_cast<int>(text.size()) / 100;
    }));
    timer = must(loop().every(milliseconds(1), [&, text = std::string(100, 'x')] {
        timer.reset();
        timer_calls += static_cast<int>(text.size()) / 100;
    }));
    soon = must(loop().soon([&, text = std::string(100, 'x')] {
        soon.reset();
        soon_calls += static_cast<int>(text.size()) / 100;
    }));
    int turns = 0;
    auto ending = must(loop().every(milliseconds(2), [&] {
        if (++turns == 3) loop().exit(done);
    }));
    EXPECT_EQ(run(), done);
    EXPECT_EQ(io_calls, 1);
    EXPECT_EQ(timer_calls, 1);
    EXPECT_EQ(soon_calls, 1);
    EXPECT_FALSE(io);
}

TEST_F(EventLoopTest, ASourceThatAnotherDestroysIsNeverCalledAlthoughItWasReady) {
    const Fd one = event(1), two = event(1);
    std::array<EventSource, 2> sources;
    int calls = 0;
    const auto only_one = [&](std::size_t other) {
        return [&, other](std::uint32_t) {
            ++calls;
            sources.at(other).reset();
            sources.at(1 - other).watch(0);
        };
    };
    sources[0] = must(loop().io(one.get(), EPOLLIN, only_one(1)));
    sources[1] = must(loop().io(two.get(), EPOLLIN, only_one(0)));
    int turns = 0;
    auto ending = must(loop().every(milliseconds(1), [&] {
        if (++turns == 2) loop().exit(done);
    }));
    EXPECT_EQ(run(), done);
    EXPECT_EQ(calls, 1);
}

TEST_F(EventLoopTest, ASourceThatIsMovedGoesOnAndOneThatIsReplacedEnds) {
    int first = 0, second = 0;
    auto source = must(loop().every(milliseconds(1), [&] { ++first; }));
    EventSource moved = std::move(source);
    EventSource other =
        must(loop().every(milliseconds(1), [&] { ADD_FAILURE() << "was replaced"; }));
    other = must(loop().every(milliseconds(1), [&] {
        if (++second >= 2 && first >= 2) loop().exit(done);
    }));
    EXPECT_TRUE(moved);
    EXPECT_EQ(run(), done);
}

TEST_F(EventLoopTest, SignalsArriveAsCallbacks) {
    int hangups = 0;
    auto hangup = must(loop().signal(SIGHUP, [&] {
        if (++hangups == 2) return loop().exit(done);
        ::kill(::getpid(), SIGHUP);
    }));
    auto first = must(loop().soon([] { ::kill(::getpid(), SIGHUP); }));
    EXPECT_EQ(run(), done);
    EXPECT_EQ(hangups, 2);
}

TEST_F(EventLoopTest, WithoutAWatchdogInTheUnitThereIsNothingToAnswer) {
    ::unsetenv("WATCHDOG_USEC");
    EXPECT_TRUE(loop().watchdog());
}

TEST_F(EventLoopTest, ADescriptorThatCannotBeWaitedForIsAnError) {
    EXPECT_FALSE(loop().io(-1, EPOLLIN, [](std::uint32_t) {}));
}

}  // namespace
}  // namespace sluice

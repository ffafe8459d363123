// SPDX-License-Identifier: Apache-2.0
// That the agent knows of closed sockets without a tick: by events, and by looking without them.
#include "daemon/socket_watch.h"

#include <fstream>
#include <iterator>
#include <linux/netlink.h>
#include <sstream>
#include <sys/socket.h>

#include "agent_fixture.h"
#include "support/patience.h"

namespace sluice {
namespace {

using namespace sluice::testing;  // NOLINT: claims read better without prefixes

// Has any sock_diag socket of this namespace had no room for an event?
bool events_lost() {
    std::ifstream table("/proc/net/netlink");
    std::string line;
    std::getline(table, line);  // sk Eth Pid Groups Rmem Wmem Dump Locks Drops Inode
    while (std::getline(table, line)) {
        std::istringstream columns(line);
        std::vector<std::string> column(std::istream_iterator<std::string>(columns), {});
        if (column.size() > 8 && column[1] == std::to_string(NETLINK_SOCK_DIAG) && column[8] != "0")
            return true;
    }
    return false;
}

class SocketWatchTest : public AgentTest {
  protected:
    void watch(EventLimits limits = {}) {
        loop_.emplace(must(EventLoop::create()));
        start();
        watch_ = must(SocketWatch::start(*loop_, agent(), limits));
    }
    void TearDown() override {
        watch_.reset();
        loop_.reset();
        AgentTest::TearDown();
    }
    // Turns the loop until it is so; nobody ticks meanwhile.
    bool turning(const std::function<bool()>& condition) {
        const auto end = std::chrono::steady_clock::now() + patience;
        const auto looking = must(loop_->every(std::chrono::milliseconds(1), [&] {
            if (condition() || std::chrono::steady_clock::now() > end) loop_->exit(EXIT_SUCCESS);
        }));
        must(loop_->run());
        return condition();
    }
    SocketWatch& it() { return *watch_; }

  private:
    std::optional<EventLoop> loop_;
    std::unique_ptr<SocketWatch> watch_;
};

TEST_F(SocketWatchTest, AClosedSocketIsGoneAndItsServiceDegradedWithoutATick) {
    watch();
    EXPECT_FALSE(it().listening()) << "there is nothing to hear of";
    Fd www = listen_tcp("127.0.0.1:8080");
    const Fd dns = bind_udp("127.0.0.1:5353");
    must(enlist("www", {&www}));
    must(enlist("dns", {&dns}));
    EXPECT_TRUE(it().listening());
    EXPECT_EQ(agent().health("www").state, ServiceState::ok);
    www.reset();
    const bool seen = turning([&] { return sockets_of("www") == 0; });
    EXPECT_TRUE(seen);
    EXPECT_EQ(agent().health("www").state, ServiceState::degraded);
    EXPECT_EQ(sockets_of("dns"), 1U);
}

TEST_F(SocketWatchTest, WithoutEventsTheAgentLooks) {
    watch({-1, std::chrono::seconds(1000)});  // any number is too many
    Fd www = listen_tcp("127.0.0.1:8080");
    must(enlist("www", {&www}));
    bool rests = false, closed = false;
    const bool seen = turning([&] {
        rests = rests || !it().listening();
        if (rests && !closed) closed = true, www.reset();
        return closed && sockets_of("www") == 0;
    });
    EXPECT_TRUE(rests);
    EXPECT_TRUE(seen);
}

TEST_F(SocketWatchTest, ARestartedAgentHearsOfTheSocketsItFinds) {
    start();
    Fd www = listen_tcp("[::]:8080");
    must(enlist("www", {&www}));
    stop();
    watch();
    EXPECT_TRUE(it().listening());
    www.reset();
    EXPECT_TRUE(turning([&] { return sockets_of("www") == 0; }));
}

TEST_F(SocketWatchTest, WhenEventsWereLostTheAgentLooksAndRests) {
    watch({1e9, std::chrono::seconds(1000)});
    const Fd stays = listen_tcp("127.0.0.1:8081");
    Fd www = listen_tcp("127.0.0.1:8080");
    must(enlist("mixed", {&stays}));
    must(enlist("www", {&www}));
    const Fd dns = bind_udp("127.0.0.1:5353", {.reuseport = true});
    must(enlist("dns", {&dns}));
    // Nobody reads meanwhile.
    ASSERT_TRUE(eventually([] {
        for (int i = 0; i < 1000; ++i) bind_udp("127.0.0.1:5353", {.reuseport = true});
        return events_lost();
    }));
    www.reset();
    EXPECT_TRUE(turning([&] { return sockets_of("www") == 0 && !it().listening(); }));
    EXPECT_EQ(sockets_of("mixed"), 1U);
}

}  // namespace
}  // namespace sluice

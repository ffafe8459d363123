// SPDX-License-Identifier: Apache-2.0
// What the kernel tells of sockets that it destroys, and what the filter lets through.
#include "sys/sock_diag.h"

#include <algorithm>
#include <poll.h>
#include <sched.h>
#include <sys/socket.h>
#include <thread>

#include "support/patience.h"
#include "support/sockets.h"
#include "support/world.h"

namespace sluice {
namespace {

using namespace sluice::testing;  // NOLINT: claims read better without prefixes

class DestroyedSocketsTest : public FreshWorld {
  protected:
    void SetUp() override {
        FreshWorld::SetUp();
        events_.emplace(must(DestroyedSockets::open()));
    }
    void TearDown() override {
        events_.reset();
        FreshWorld::TearDown();
    }
    DestroyedSockets& events() { return *events_; }
    void hear_all() {
        for (const Protocol protocol : {Protocol::tcp, Protocol::udp})
            for (const Family family : {Family::ipv4, Family::ipv6})
                must(events().hear(protocol, family, true));
    }
    void read() {
        auto batch = must(events().receive());
        told_.insert(told_.end(), batch.cookies.begin(), batch.cookies.end());
        estimated_ += batch.estimated;
        lost_ = lost_ || batch.lost;
    }
    // Waits for what is told of this socket.
    bool told_of(std::uint64_t cookie) {
        return eventually([&] {
            read();
            return std::ranges::find(told_, cookie) != told_.end();
        });
    }
    // The kernel tells more or less in the order of closing: what was to come of others has come.
    void close_and_wait_for(Fd& socket) {
        const std::uint64_t cookie = cookie_of(socket);
        socket.reset();
        EXPECT_TRUE(told_of(cookie));
    }

    std::vector<std::uint64_t> told_;
    std::size_t estimated_ = 0;
    bool lost_ = false;

  private:
    std::optional<DestroyedSockets> events_;
};

TEST_F(DestroyedSocketsTest, SocketsOfBothProtocolsAndFamiliesAreToldOfByTheirCookies) {
    const std::vector<std::uint16_t> ports{80, 53, 54, 81};
    must(events().watch_ports(ports));
    hear_all();
    Fd tcp = listen_tcp("127.0.0.1:80"), udp = bind_udp("127.0.0.1:53"),
       udp6 = bind_udp("[::1]:54"), dual = listen_tcp("[::]:81");
    for (Fd* socket : {&tcp, &udp, &udp6, &dual}) close_and_wait_for(*socket);
    EXPECT_EQ(told_.size(), 4U);
    EXPECT_FALSE(lost_);
}

TEST_F(DestroyedSocketsTest, ASocketIsToldOfWhenTheLastOfItsDescriptorsIsClosed) {
    const std::vector<std::uint16_t> ports{80, 81};
    must(events().watch_ports(ports));
    hear_all();
    Fd one = listen_tcp("127.0.0.1:80"), other = listen_tcp("127.0.0.1:81");
    Fd again(::dup(one.get()));
    const std::uint64_t cookie = cookie_of(one);
    one.reset();
    close_and_wait_for(other);
    EXPECT_EQ(std::ranges::count(told_, cookie), 0);
    again.reset();
    EXPECT_TRUE(told_of(cookie));
}

TEST_F(DestroyedSocketsTest, OtherPortsAndConnectionsWakeNobodyButForASample) {
    const std::vector<std::uint16_t> ports{80};
    must(events().watch_ports(ports));
    hear_all();
    Fd listener = listen_tcp("127.0.0.1:80", {.backlog = 4096});
    constexpr std::size_t connections = 400;
    for (std::size_t i = 0; i < connections; ++i) EXPECT_TRUE(reaches("127.0.0.1:80", listener));
    for (int i = 0; i < 100; ++i) bind_udp("127.0.0.1:99");
    close_and_wait_for(listener);
    EXPECT_EQ(told_.size(), 1U) << "only the listener itself";
    // 900 others, of which one in 64 is read; the estimate is theirs.
    EXPECT_LT(estimated_, 64U * 100U);
}

TEST_F(DestroyedSocketsTest, TheSampleTellsAboutHowManyThereAre) {
    hear_all();
    constexpr std::size_t closed = 20'000;
    for (std::size_t i = 0; i < closed; ++i) {
        bind_udp("127.0.0.1:99");
        if (i % 100 == 0) read();
    }
    EXPECT_TRUE(eventually([&] {
        read();
        return estimated_ > closed / 2;
    }));
    EXPECT_LT(estimated_, closed * 2);
    EXPECT_TRUE(told_.empty());
}

TEST_F(DestroyedSocketsTest, MorePortsThanAFilterHasRoomForAllPass) {
    std::vector<std::uint16_t> ports;
    for (std::uint16_t port = 1000; port < 1200; ++port) ports.push_back(port);
    must(events().watch_ports(ports));
    hear_all();
    Fd one = bind_udp("127.0.0.1:1199"), other = bind_udp("127.0.0.1:99");
    close_and_wait_for(one);
    close_and_wait_for(other);
    ports.resize(128);
    must(events().watch_ports(ports));
    Fd last = bind_udp("127.0.0.1:1127"), unwatched = bind_udp("127.0.0.1:1128");
    const std::uint64_t cookie = cookie_of(unwatched);
    unwatched.reset();
    close_and_wait_for(last);
    EXPECT_EQ(std::ranges::count(told_, cookie), 0);
}

TEST_F(DestroyedSocketsTest, WhatIsNotHeardIsNotToldAndHearingMayEnd) {
    const std::vector<std::uint16_t> ports{53, 80};
    must(events().watch_ports(ports));
    must(events().hear(Protocol::udp, Family::ipv4, true));
    Fd tcp = listen_tcp("127.0.0.1:80"), udp = bind_udp("127.0.0.1:53");
    tcp.reset();
    close_and_wait_for(udp);
    EXPECT_EQ(told_.size(), 1U);
    must(events().hear(Protocol::udp, Family::ipv4, false));
    must(events().hear(Protocol::tcp, Family::ipv4, true));
    udp = bind_udp("127.0.0.1:53");
    tcp = listen_tcp("127.0.0.1:80");
    udp.reset();
    close_and_wait_for(tcp);
    EXPECT_EQ(told_.size(), 2U);
}

TEST_F(DestroyedSocketsTest, OfAnotherNamespaceNothingIsTold) {
    const std::vector<std::uint16_t> ports{80};
    must(events().watch_ports(ports));
    hear_all();
    std::uint64_t foreign = 0;
    std::thread([&] {
        if (::unshare(CLONE_NEWNET) != 0) return;
        const Fd socket = bind_udp("0.0.0.0:80");
        foreign = cookie_of(socket);
    }).join();
    ASSERT_NE(foreign, 0U);
    Fd own = bind_udp("127.0.0.1:80");
    close_and_wait_for(own);
    EXPECT_EQ(std::ranges::count(told_, foreign), 0);
}

TEST_F(DestroyedSocketsTest, MoreThanTheBufferHoldsIsSaidToBeLost) {
    const std::vector<std::uint16_t> ports{99};
    must(events().watch_ports(ports));
    hear_all();
    const int small = 4096;
    ASSERT_EQ(::setsockopt(events().fd(), SOL_SOCKET, SO_RCVBUF, &small, sizeof small), 0);
    EXPECT_TRUE(eventually([&] {
        for (int i = 0; i < 100; ++i) bind_udp("127.0.0.1:99");
        read();
        return lost_;
    }));
}

}  // namespace
}  // namespace sluice

// SPDX-License-Identifier: Apache-2.0
// Several sockets of one service: they share the load, and one that goes costs no connection.
#include <sys/socket.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "system/agent_world.h"
#include "system/clients.h"

namespace sluice::testing {
namespace {

using ::testing::Each;

struct Members : AgentWorld {
    void SetUp() override {
        AgentWorld::SetUp();
        start(R"(version: 1
services: {www: {}, dns: {}}
bindings:
  - {service: www, protocol: tcp, prefix: 127.7.0.0/16, port: 80}
  - {service: dns, protocol: udp, prefix: 127.7.0.0/16, port: 53}
)");
    }

    static std::vector<std::string> dial_200_times() {
        std::vector<std::string> results;
        for (int i = 0; i < 200; ++i)
            results.push_back(dial("127.7.0." + std::to_string(i + 1) + ":80"));
        return results;
    }
};

TEST_F(Members, EachGetsAShareAndTogetherTheyGetAll) {
    const Fd a = listen_tcp("127.0.0.1:9999", {.backlog = 256}),
             b = listen_tcp("127.0.0.2:9999", {.backlog = 256}),
             c = listen_tcp("127.0.0.3:9999", {.backlog = 256});
    ASSERT_EQ(enlist("www", {&a, &b, &c}).exit, 0);
    EXPECT_THAT(dial_200_times(), Each("connected"));
    const int of_a = waiting(a), of_b = waiting(b), of_c = waiting(c);
    EXPECT_GT(of_a, 0);
    EXPECT_GT(of_b, 0);
    EXPECT_GT(of_c, 0);
    EXPECT_EQ(of_a + of_b + of_c, 200);
}

TEST_F(Members, OneThatClosesCostsNoConnection) {
    const Fd a = listen_tcp("127.0.0.1:9999"), c = listen_tcp("127.0.0.3:9999");
    Fd b = listen_tcp("127.0.0.2:9999");
    ASSERT_EQ(enlist("www", {&a, &b, &c}).exit, 0);
    const Accepting accepting({&a, &c});
    b.reset();
    EXPECT_THAT(dial_200_times(), Each("connected"));
}

TEST_F(Members, OneThatIsShutDownCostsNoConnection) {
    const Fd a = listen_tcp("127.0.0.1:9999"), b = listen_tcp("127.0.0.2:9999"),
             c = listen_tcp("127.0.0.3:9999");
    ASSERT_EQ(enlist("www", {&a, &b, &c}).exit, 0);
    const Accepting accepting({&a, &c});
    ASSERT_EQ(::shutdown(b.get(), SHUT_RDWR), 0);
    EXPECT_THAT(dial_200_times(), Each("connected"));
}

TEST_F(Members, AUdpSocketThatIsConnectedLaterCostsNoDatagram) {
    const Fd a = bind_udp("127.0.0.1:9953"), b = bind_udp("127.0.0.2:9953");
    ASSERT_EQ(enlist("dns", {&a, &b}).exit, 0);
    const SocketAddress peer = sockaddr_of("127.0.0.1:9");
    ASSERT_EQ(::connect(b.get(), peer.get(), peer.size), 0);
    for (int i = 1; i <= 50; ++i)
        EXPECT_TRUE(datagram_reaches("127.7.0." + std::to_string(i) + ":53", a)) << i;
}

TEST_F(Members, TheLastThatClosesLeavesThePolicyToAnswer) {
    Fd a = listen_tcp("127.0.0.1:9999"), b = listen_tcp("127.0.0.2:9999");
    ASSERT_EQ(enlist("www", {&a, &b}).exit, 0);
    a.reset();
    b.reset();
    EXPECT_THAT(dial_200_times(), Each("refused"));
}

TEST_F(Members, OneThatComesLaterSharesFromThenOn) {
    const Fd a = listen_tcp("127.0.0.1:9999", {.backlog = 256}),
             b = listen_tcp("127.0.0.2:9999", {.backlog = 256});
    ASSERT_EQ(enlist("www", {&a}).exit, 0);
    EXPECT_THAT(dial_200_times(), Each("connected"));
    EXPECT_EQ(waiting(a), 200);
    ASSERT_EQ(enlist("www", {&b}).exit, 0);
    EXPECT_THAT(dial_200_times(), Each("connected"));
    EXPECT_GT(waiting(b), 0);
    EXPECT_GT(waiting(a), 0);
}

}  // namespace
}  // namespace sluice::testing

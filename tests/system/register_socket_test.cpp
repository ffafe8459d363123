// SPDX-License-Identifier: Apache-2.0
// The `register` socket: one line with descriptors in, one line out; and everything that is not
// that.
#include <fcntl.h>
#include <sys/socket.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "system/agent_world.h"
#include "system/clients.h"

namespace sluice::testing {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

struct RegisterSocket : AgentWorld {
    void SetUp() override {
        AgentWorld::SetUp();
        start(R"(version: 1
services: {www: {}, dns: {}}
bindings:
  - {service: www, protocol: tcp, prefix: 127.7.0.0/16, port: 80}
  - {service: dns, protocol: udp, prefix: 127.7.0.0/16, port: 53}
)");
    }
    RawPeer peer() const { return {run_dir() + "/register", SOCK_SEQPACKET}; }
    // A line on a connection of its own, and the answer.
    std::string say(std::string_view line, const std::vector<int>& descriptors) const {
        const RawPeer one = peer();
        return one.send(line, descriptors) ? one.receive_packet() : "closed";
    }
    void expect_it_still_serves() const {
        const Fd listener = listen_tcp("127.0.0.9:9999");
        EXPECT_EQ(say("www#", {listener.get()}), "OK");
        EXPECT_TRUE(reaches("127.7.0.1:80", listener));
    }
};

TEST_F(RegisterSocket, ALabelWithADescriptorIsOk) {
    Fd www = listen_tcp("127.0.0.1:9999");
    const Fd dns = bind_udp("127.0.0.1:9953");
    EXPECT_EQ(say("www#", {www.get()}), "OK");
    EXPECT_EQ(say("dns#", {dns.get()}), "OK");
    EXPECT_TRUE(reaches("127.7.0.1:80", www));
    EXPECT_TRUE(datagram_reaches("127.7.0.1:53", dns));
    www.reset();
    EXPECT_EQ(dial("127.7.0.1:80"), "refused") << "the agent keeps a duplicate";
}

TEST_F(RegisterSocket, AMessageWithoutTheEndIsContinued) {
    const Fd a = listen_tcp("127.0.0.1:9999"), b = listen_tcp("127.0.0.2:9999");
    const RawPeer one = peer();
    ASSERT_TRUE(one.send("w", {a.get()}));
    ASSERT_TRUE(one.send("ww"));
    ASSERT_TRUE(one.send("#", {b.get()}));
    EXPECT_EQ(one.receive_packet(), "OK");
    EXPECT_EQ(ask("sockets --service www").size(), 2U);
}

TEST_F(RegisterSocket, OneConnectionMayRegisterAgainAndAgain) {
    const Fd a = listen_tcp("127.0.0.1:9999"), b = bind_udp("127.0.0.1:9953");
    const RawPeer one = peer();
    ASSERT_TRUE(one.send("www#", {a.get()}));
    EXPECT_EQ(one.receive_packet(), "OK");
    ASSERT_TRUE(one.send("wwww#", {a.get()}));
    EXPECT_THAT(one.receive_packet(), StartsWith("ERR "));
    ASSERT_TRUE(one.send("dns#", {b.get()}));
    EXPECT_EQ(one.receive_packet(), "OK");
}

TEST_F(RegisterSocket, MoreDescriptorsInOneRegistrationThanFitAreRefused) {
    const Fd a = listen_tcp("127.0.0.1:9999");
    const std::vector<int> many(200, a.get());
    const RawPeer one = peer();
    ASSERT_TRUE(one.send("www", many));
    ASSERT_TRUE(one.send("#", many));
    EXPECT_THAT(one.receive_packet(), AllOf(StartsWith("ERR "), HasSubstr("253")));
    EXPECT_EQ(ask("sockets").size(), 0U);
    expect_it_still_serves();
}

TEST_F(RegisterSocket, AsManyDescriptorsAsFitAreTaken) {
    std::vector<Fd> listeners;
    std::vector<int> numbers;
    for (int i = 0; i < 253; ++i) {
        listeners.push_back(listen_tcp("127.0.0.1:9999", {.reuseport = true}));
        numbers.push_back(listeners.back().get());
    }
    EXPECT_EQ(say("www#", numbers), "OK");
    EXPECT_EQ(ask("sockets").size(), 253U);
}

TEST_F(RegisterSocket, WhatIsNoRegistrationIsRefusedWithAReasonOnOneLine) {
    const Fd listener = listen_tcp("127.0.0.1:9999");
    struct Case {
        std::string line;
        int descriptors;
        std::string reason;
    };
    const std::vector<Case> cases = {
        {"www#", 0, "no descriptors"},
        {"#", 1, ""},
        {"www#more", 1, "'#' must be the last"},
        {"www##", 1, ""},
        {"no such service#", 1, ""},
        {"../../etc#", 1, ""},
        {"unknown#", 1, "there is no service 'unknown'"},
        {std::string("w\0w#", 4), 1, ""},
        {"w\nw#", 1, ""},
        {"\xff\xfe#", 1, ""},
        {std::string(101, 'w') + "#", 1, "100"},
        {std::string(5000, 'w') + "#", 1, "too long"},
    };
    for (const Case& one : cases) {
        const std::vector<int> descriptors(static_cast<std::size_t>(one.descriptors),
                                           listener.get());
        const std::string answer = say(one.line, descriptors);
        EXPECT_THAT(answer, AllOf(StartsWith("ERR "), HasSubstr(one.reason), Not(HasSubstr("\n"))))
            << one.line;
    }
    EXPECT_EQ(ask("sockets").size(), 0U);
}

TEST_F(RegisterSocket, ADescriptorThatIsNoUsableSocketIsRefusedWithTheReason) {
    const Fd file(::open("/dev/null", O_RDONLY | O_CLOEXEC));
    const Fd stream(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    EXPECT_THAT(say("www#", {file.get()}), AllOf(StartsWith("ERR "), HasSubstr("not a socket")));
    EXPECT_THAT(say("www#", {stream.get()}), AllOf(StartsWith("ERR "), HasSubstr("not listen")));
    expect_it_still_serves();
}

TEST_F(RegisterSocket, APeerThatSaysNothingOrHalfAndGoesLeavesNothingBehind) {
    const Fd listener = listen_tcp("127.0.0.1:9999");
    for (int i = 0; i < 20; ++i) {
        const RawPeer silent = peer();
        const RawPeer half = peer();
        ASSERT_TRUE(half.send("www", {listener.get()}));
        const RawPeer empty = peer();
        ASSERT_TRUE(empty.send("", {listener.get()}));
        const RawPeer deaf = peer();
        ASSERT_TRUE(deaf.send("unknown#", {listener.get()}));
    }
    EXPECT_TRUE(no_more_descriptors());
    EXPECT_EQ(ask("sockets").size(), 0U);
}

TEST_F(RegisterSocket, MoreConnectionsThanItHoldsPushTheOldestOut) {
    std::vector<RawPeer> crowd;
    for (int i = 0; i < 300; ++i) crowd.push_back(peer());
    expect_it_still_serves();
}

}  // namespace
}  // namespace sluice::testing

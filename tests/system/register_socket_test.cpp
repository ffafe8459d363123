// SPDX-License-Identifier: Apache-2.0
// The `register` socket: one line with descriptors in, one line out; and everything that is not
// that.
#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <fcntl.h>
#include <linux/filter.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "sys/unix_socket.h"
#include "system/agent_world.h"
#include "system/clients.h"
#include "system/process.h"

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

// ---- a daemon that marshals the sockets of UDP services ----------------------------------------
//
// What such a daemon says, message by message as strace(1) showed it (docs/udpgrm.md): for each new
// generation of a service a connection of its own with one second for everything, the label with
// all sockets of the generation in one message, and nothing but `OK` for an answer.

// The answer; or what came in its place.
std::string says_within_a_second(const std::string& path, const std::string& line,
                                 const std::vector<int>& descriptors) {
    const Fd client(::socket(AF_UNIX, SOCK_SEQPACKET, 0));
    const timeval second{1, 0};
    for (const int option : {SO_RCVTIMEO, SO_SNDTIMEO})
        ::setsockopt(client.get(), SOL_SOCKET, option, &second, sizeof second);
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    path.copy(address.sun_path, sizeof address.sun_path - 1);
    if (::connect(client.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
        return std::strerror(errno);
    if (send(client.get(), line, descriptors).value_or(0) != line.size()) return "half sent";
    std::array<char, 1024> answer{};
    const ssize_t got = ::read(client.get(), answer.data(), answer.size());
    return got < 0 ? std::strerror(errno)
                   : std::string(answer.data(), static_cast<std::size_t>(got));
}

struct MarshalledUdp : RegisterSocket {
    std::string path() const { return run_dir() + "/register"; }
    // A service with so many sockets in the group of one address; the daemon's copies are in
    // `copies`.
    static Process generation(int sockets, std::vector<Fd>& copies) {
        std::vector<int> numbers;
        for (int i = 0; i < sockets; ++i) {
            copies.push_back(bind_udp("127.0.0.1:5201", {.reuseport = true}));
            numbers.push_back(copies.back().get());
        }
        return Process({{"/bin/sleep", "1000"}, {}, numbers});
    }
    static std::vector<int> numbers_of(const std::vector<Fd>& fds) {
        std::vector<int> numbers;
        for (const Fd& fd : fds) numbers.push_back(fd.get());
        return numbers;
    }
    // Over loopback, so that it is there when this returns.
    static void send_to(std::string_view to) {
        const SocketAddress address = sockaddr_of(to);
        const Fd client(::socket(address.storage.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0));
        ASSERT_EQ(::sendto(client.get(), "?", 1, 0, address.get(), address.size), 1);
    }
    static int datagrams_in(const Fd& socket) {
        int count = 0;
        char byte = 0;
        while (::recv(socket.get(), &byte, 1, MSG_DONTWAIT) == 1) ++count;
        return count;
    }
    // All datagrams to the group of this socket go to the one that joined it as number `index`.
    static void let_the_group_choose(const Fd& member, unsigned index) {
        std::array<sock_filter, 1> code{{{BPF_RET | BPF_K, 0, 0, index}}};
        const sock_fprog program{code.size(), code.data()};
        ASSERT_EQ(::setsockopt(member.get(), SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF, &program,
                               sizeof program),
                  0);
    }
};

TEST_F(MarshalledUdp, EachGenerationsSocketsAreRegisteredBesideTheLastAndGoWithTheirService) {
    std::vector<Fd> copies;
    Process first = generation(3, copies);
    EXPECT_EQ(says_within_a_second(path(), "dns#", numbers_of(copies)), "OK");
    copies.clear();
    EXPECT_EQ(ask("sockets --service dns").size(), 3U);
    EXPECT_TRUE(no_more_descriptors());

    Process second = generation(2, copies);
    EXPECT_EQ(says_within_a_second(path(), "dns#", numbers_of(copies)), "OK");
    EXPECT_EQ(ask("sockets --service dns").size(), 5U);
    first.signal(SIGKILL);
    ASSERT_TRUE(first.wait());
    EXPECT_TRUE(eventually([&] { return ask("sockets --service dns").size() == 2; }));
    for (int i = 1; i <= 50; ++i) send_to("127.7.0." + std::to_string(i) + ":53");
    const int of_one = datagrams_in(copies[0]), of_other = datagrams_in(copies[1]);
    EXPECT_GT(of_one, 0);
    EXPECT_GT(of_other, 0);
    EXPECT_EQ(of_one + of_other, 50);
    copies.clear();
    second.signal(SIGKILL);
    ASSERT_TRUE(second.wait());
    EXPECT_EQ(ask_udp("127.7.0.1:53"), "refused");
}

TEST_F(MarshalledUdp, TheGroupsOwnProgramHasTheLastWord) {
    // So which generation gets a flow is the daemon's to say, also where only some are registered.
    std::vector<Fd> group;
    const Process service = generation(4, group);
    EXPECT_EQ(says_within_a_second(path(), "dns#", numbers_of(group)), "OK");
    for (const unsigned chosen : {2U, 0U, 3U}) {
        let_the_group_choose(group[0], chosen);
        for (int i = 1; i < 20; ++i)
            EXPECT_TRUE(datagram_reaches("127.7.0." + std::to_string(i) + ":53", group[chosen]));
    }
    std::vector<Fd> late;
    const Process next = generation(1, late);
    let_the_group_choose(group[0], 4);
    EXPECT_TRUE(datagram_reaches("127.7.0.1:53", late[0])) << "in the group, not registered";
}

TEST_F(MarshalledUdp, AGenerationThatIsRefusedIsToldInOtherWordsThanOk) {
    std::vector<Fd> copies;
    const Process service = generation(2, copies);
    EXPECT_THAT(says_within_a_second(path(), "unknown#", numbers_of(copies)), StartsWith("ERR "));
    EXPECT_EQ(says_within_a_second(path(), "dns#", numbers_of(copies)), "OK");
    kill();
    EXPECT_EQ(says_within_a_second(path(), "dns#", numbers_of(copies)), "Connection refused");
}

TEST_F(MarshalledUdp, AClientThatGaveUpAfterItsSecondIsRegisteredAllTheSame) {
    std::vector<Fd> copies;
    const Process service = generation(2, copies);
    agent().signal(SIGSTOP);
    EXPECT_EQ(says_within_a_second(path(), "dns#", numbers_of(copies)),
              "Resource temporarily unavailable");
    copies.clear();
    agent().signal(SIGCONT);
    EXPECT_TRUE(eventually([&] { return ask("sockets --service dns").size() == 2; }));
    EXPECT_TRUE(no_more_descriptors());
}

}  // namespace
}  // namespace sluice::testing

// SPDX-License-Identifier: Apache-2.0
// Sockets that cannot serve, messages that are none, and places where the agent cannot run: refused
// with a reason, and the agent goes on.
#include <arpa/inet.h>
#include <fcntl.h>
#include <filesystem>
#include <netinet/in.h>
#include <sched.h>
#include <sys/socket.h>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "system/agent_world.h"
#include "system/clients.h"

namespace sluice::testing {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr const char* one_service = R"(version: 1
services: {www: {}}
bindings:
  - {service: www, protocol: tcp, prefix: 127.7.0.0/16, port: 80}
)";

Fd new_socket(int domain, int type, int protocol = 0) {
    return Fd(::socket(domain, type | SOCK_CLOEXEC, protocol));
}

Fd connected_to(int type, std::uint16_t port) {
    Fd fd = new_socket(AF_INET, type);
    const SocketAddress peer = sockaddr_of("127.0.0.1:" + std::to_string(port));
    ::connect(fd.get(), peer.get(), peer.size);
    return fd;
}

Fd listening_mptcp() {
    constexpr int mptcp = 262;  // IPPROTO_MPTCP
    Fd fd = new_socket(AF_INET, SOCK_STREAM, mptcp);
    ::listen(fd.get(), 64);
    return fd;
}

Fd listening_on_lo_only() {
    Fd fd = new_socket(AF_INET, SOCK_STREAM);
    ::setsockopt(fd.get(), SOL_SOCKET, SO_BINDTODEVICE, "lo", 2);
    ::listen(fd.get(), 64);
    return fd;
}

Fd listening_on_mapped_address() {
    Fd fd = new_socket(AF_INET6, SOCK_STREAM);
    sockaddr_in6 address{};
    address.sin6_family = AF_INET6;
    ::inet_pton(AF_INET6, "::ffff:127.0.0.1", &address.sin6_addr);
    const int off = 0;
    ::setsockopt(fd.get(), IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
    ::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address);
    ::listen(fd.get(), 64);
    return fd;
}

Fd listening_elsewhere() {
    Fd fd;
    std::thread([&] {
        ::unshare(CLONE_NEWNET);
        fd = new_socket(AF_INET, SOCK_STREAM);
        ::listen(fd.get(), 64);
    }).join();
    return fd;
}

struct BadSocket : AgentWorld {};

TEST_F(BadSocket, OneThatCannotServeIsRefusedWithTheReasonAndAHint) {
    start(one_service);
    const Fd listener = listen_tcp("127.0.0.1:9998");
    struct Case {
        Fd socket;
        std::string reason;
    };
    std::vector<Case> cases;
    cases.push_back({Fd(::open("/dev/null", O_RDONLY | O_CLOEXEC)), "not a socket"});
    cases.push_back({new_socket(AF_INET, SOCK_STREAM), "does not listen"});
    cases.push_back({new_socket(AF_INET, SOCK_DGRAM), "not bound"});
    cases.push_back({new_socket(AF_INET6, SOCK_DGRAM), "not bound"});
    cases.push_back({new_socket(AF_UNIX, SOCK_STREAM), "Unix socket"});
    cases.push_back({new_socket(AF_INET, SOCK_RAW, IPPROTO_ICMP), "neither TCP nor UDP"});
    cases.push_back({connected_to(SOCK_STREAM, 9998), "a connection"});
    cases.push_back({connected_to(SOCK_DGRAM, 9998), "connected"});
    cases.push_back({listening_mptcp(), "MPTCP"});
    cases.push_back({listening_on_lo_only(), "device lo"});
    cases.push_back({listening_elsewhere(), "another network namespace"});
    cases.push_back({listening_on_mapped_address(), "IPv4-mapped"});
    for (const Case& one : cases) {
        ASSERT_TRUE(one.socket) << one.reason;
        const Answer answer = enlist("www", {&one.socket});
        EXPECT_EQ(answer.exit, 4) << one.reason;
        EXPECT_THAT(answer.err, AllOf(HasSubstr(one.reason), HasSubstr("\nhint: ")));
    }
    EXPECT_EQ(ask("sockets").size(), 0U);
}

struct BadMessage : AgentWorld {
    void SetUp() override {
        AgentWorld::SetUp();
        start(one_service);
    }
    void TearDown() override {
        expect_it_still_serves();
        AgentWorld::TearDown();
    }
    void expect_it_still_serves() const {
        const Fd www = listen_tcp("127.0.0.1:9999");
        EXPECT_EQ(enlist("www", {&www}).exit, 0);
        EXPECT_TRUE(reaches("127.7.0.1:80", www));
    }
    RawPeer peer() const { return {control(), SOCK_STREAM}; }
    static std::string register_call(const std::string& sockets) {
        return R"({"method":"internal.sluice.Agent.Register","parameters":{"service":"www",)"
               R"("mode":"add","sockets":)" +
               sockets + "}}" + std::string(1, '\0');
    }
};

TEST_F(BadMessage, WhatIsNoCallEndsTheConnection) {
    const std::string nul(1, '\0');
    for (const std::string& text :
         {nul, "hello" + nul, "[]" + nul, "{}" + nul, "{\"method\":7}" + nul,
          "{\"method\":\"" + nul, "\xff\xfe" + nul, std::string(500, '[') + nul,
          "{\"method\":\"internal.sluice.Agent.Status\",\"parameters\":[]}" + nul,
          "{\"method\":\"a\",\"unknown\":1}" + nul}) {
        RawPeer one = peer();
        one.send(text);
        EXPECT_TRUE(one.closed_by_peer()) << text;
    }
}

TEST_F(BadMessage, ACallThatIsTooLongEndsTheConnection) {
    RawPeer one = peer();
    const std::string megabyte(std::size_t{1} << 20U, 'x');
    one.send(megabyte);
    one.send(megabyte);
    EXPECT_TRUE(one.closed_by_peer());
}

TEST_F(BadMessage, MoreDescriptorsThanACallMayHaveEndTheConnection) {
    const Fd listener = listen_tcp("127.0.0.1:9998");
    const std::vector<int> many(253, listener.get());
    RawPeer one = peer();
    ASSERT_TRUE(one.send("{", many));
    one.send(" ", many);
    EXPECT_TRUE(one.closed_by_peer());
}

TEST_F(BadMessage, CallsThatMakeNoSenseAreAnsweredWithAnError) {
    const auto call = [](const std::string& rest) {
        return "{\"method\":\"" + rest + std::string(1, '\0');
    };
    const std::vector<std::pair<std::string, std::string>> cases = {
        {call("internal.sluice.Agent.Nothing\"}"), "org.varlink.service.MethodNotFound"},
        {call("internal.sluice.Other.Status\"}"), "org.varlink.service.InterfaceNotFound"},
        {call("org.varlink.service.Nothing\"}"), "org.varlink.service.MethodNotFound"},
        {call("org.varlink.service.GetInterfaceDescription\",\"parameters\":{\"interface\":\"a.b\"}"
              "}"),
         "org.varlink.service.InterfaceNotFound"},
        {call("internal.sluice.Agent.Bind\"}"), "org.varlink.service.InvalidParameter"},
        {call("internal.sluice.Agent.Status\",\"parameters\":{\"service\":7}}"),
         "org.varlink.service.InvalidParameter"},
        {call("internal.sluice.Agent.Status\",\"parameters\":{\"service\":\"none\"}}"),
         "internal.sluice.Agent.Invalid"},
        {call("internal.sluice.Agent.Status\",\"upgrade\":true}"),
         "org.varlink.service.MethodNotImplemented"},
        {register_call("[0]"), "internal.sluice.Agent.Invalid"},
        {register_call("[-1]"), "internal.sluice.Agent.Invalid"},
        {register_call("[9223372036854775807]"), "internal.sluice.Agent.Invalid"},
        {register_call("[]"), "internal.sluice.Agent.Invalid"},
        {register_call("[\"0\"]"), "org.varlink.service.InvalidParameter"},
    };
    RawPeer one = peer();
    for (const auto& [text, error] : cases) {
        ASSERT_TRUE(one.send(text));
        EXPECT_EQ(Json::parse(one.receive_to_nul()).value("error", ""), error) << text;
    }
}

TEST_F(BadMessage, DescriptorsThatNoCallNamesAreClosed) {
    const Fd listener = listen_tcp("127.0.0.1:9998");
    const std::vector<int> many(100, listener.get());
    const std::string info = std::string("{\"method\":\"org.varlink.service.GetInfo\"}") + '\0';
    RawPeer one = peer();
    for (int i = 0; i < 20; ++i) {
        ASSERT_TRUE(one.send(info, many));
        EXPECT_NE(one.receive_to_nul(), "");
    }
    ASSERT_TRUE(one.send(register_call("[0]"), many));
    EXPECT_TRUE(Json::parse(one.receive_to_nul()).contains("parameters"));
    ASSERT_EQ(ctl("unregister www").exit, 0);
    {
        const RawPeer gone = std::move(one);
    }
    EXPECT_TRUE(no_more_descriptors());
}

TEST_F(BadMessage, APeerThatGoesInTheMiddleLeavesNothingBehind) {
    const Fd listener = listen_tcp("127.0.0.1:9998");
    for (int i = 0; i < 20; ++i) {
        const RawPeer half = peer();
        ASSERT_TRUE(half.send("{\"method\":", {listener.get()}));
        const RawPeer deaf = peer();
        ASSERT_TRUE(deaf.send(register_call("[0, 0]"), {listener.get()}));
    }
    EXPECT_TRUE(no_more_descriptors());
    ASSERT_EQ(ctl("unregister www").exit, 0);
}

TEST_F(BadMessage, MoreConnectionsThanItHoldsPushTheIdleOut) {
    std::vector<RawPeer> crowd;
    for (int i = 0; i < 600; ++i) crowd.push_back(peer());
    EXPECT_EQ(ask("status").at("generation"), 1);
}

struct BadPlace : AgentWorld {
    // It said what is wrong in one line, perhaps with a hint below, and nothing else went wrong.
    static void expect_one_reason(const Finished& ended, const std::string& reason) {
        EXPECT_THAT(ended.exit, ::testing::AnyOf(1, 2, 4));
        std::istringstream lines(ended.err);
        std::size_t reasons = 0, others = 0;
        for (std::string line; std::getline(lines, line);)
            if (line.find("hint: ") == std::string::npos) {
                ++others;
                if (line.find(reason) != std::string::npos) ++reasons;
            }
        EXPECT_EQ(reasons, 1U) << ended.err;
        EXPECT_EQ(others, 1U) << ended.err;
    }
    Command without(const std::string& capabilities) const {
        Command command = sluiced();
        command.words.insert(command.words.begin(), {"setpriv", "--bounding-set", capabilities});
        return command;
    }
};

TEST_F(BadPlace, WhereNoBpffsIsMountedTheAgentSaysHowToMountIt) {
    write_config(one_service);
    const Finished ended = refused(sluiced({{"--bpffs", scratch() + "/sluice"}}));
    expect_one_reason(ended, "is not in a mounted bpffs");
    EXPECT_THAT(ended.err, HasSubstr("hint: mount -t bpf bpf /sys/fs/bpf"));
    EXPECT_FALSE(std::filesystem::exists(scratch() + "/sluice"));
}

TEST_F(BadPlace, WithoutACapabilityTheAgentSaysWhichItNeeds) {
    write_config(one_service);
    const std::pair<const char*, const char*> cases[] = {
        {"-bpf,-sys_admin", ": CAP_BPF is missing"},
        {"-net_admin,-sys_admin", ": CAP_NET_ADMIN is missing"},
        {"-all", ": CAP_BPF and CAP_NET_ADMIN are missing"}};
    for (const auto& [missing, said] : cases) {
        const Finished ended = refused(without(missing));
        expect_one_reason(ended, said);
        EXPECT_THAT(ended.err, HasSubstr("hint: sluiced needs CAP_BPF and CAP_NET_ADMIN"));
    }
}

TEST_F(BadPlace, AFailedStartLeavesNothingPinnedAndTheNextOneWorks) {
    write_config(one_service);
    ASSERT_NE(refused(without("-net_admin,-sys_admin")).exit, 0);
    start();
    EXPECT_EQ(ask("bindings").size(), 1U);
}

TEST_F(BadPlace, PinsOfAnotherNamespaceAreRefusedByNameAndKept) {
    start(one_service);
    const Fd www = listen_tcp("127.0.0.1:9999");
    ASSERT_EQ(enlist("www", {&www}).exit, 0);
    stop();
    Command elsewhere = sluiced();
    elsewhere.words.insert(elsewhere.words.begin(), {"unshare", "--net"});
    const Finished ended = refused(elsewhere);
    expect_one_reason(ended, "belong to another network namespace");
    EXPECT_THAT(ended.err, HasSubstr(bpffs()));
    EXPECT_TRUE(reaches("127.7.0.1:80", www));
    start();
    EXPECT_TRUE(reaches("127.7.0.1:80", www));
}

TEST_F(BadPlace, ASecondAgentOnTheSamePinsIsRefused) {
    start(one_service);
    const Finished ended = refused(
        sluiced({{"--run-dir", scratch() + "/run2"}, {"--state-dir", scratch() + "/state2"}}));
    expect_one_reason(ended, "another sluiced is running on " + bpffs());
    EXPECT_THAT(ended.err, HasSubstr("--instance"));
    EXPECT_EQ(ask("bindings").size(), 1U);
}

TEST_F(BadPlace, ASecondAgentOnTheSameRunDirectoryIsRefusedAndTheFirstKeepsItsSockets) {
    start(one_service);
    const Finished ended =
        refused(sluiced({{"--bpffs", bpffs() + "2"}, {"--state-dir", scratch() + "/state2"}}));
    EXPECT_NE(ended.exit, 0);
    EXPECT_THAT(ended.err, HasSubstr("somebody listens on " + control()));
    EXPECT_EQ(ask("bindings").size(), 1U);
}

TEST_F(BadPlace, WrongUsageIsExit2) {
    EXPECT_EQ(refused(sluiced({{"--nonsense", ""}})).exit, 2);
    EXPECT_EQ(refused(sluiced({{"--log-level", "loud"}})).exit, 2);
    EXPECT_EQ(refused(sluiced({{"--netns", scratch() + "/none"}})).exit, 1);
    EXPECT_EQ(run({{SLUICED, "--version"}, {}, {}}).exit, 0);
}

TEST_F(BadPlace, AStoredGenerationThatIsDamagedDoesNotStopTheAgentNorLoseABinding) {
    start(one_service);
    ASSERT_EQ(ctl("bind www tcp 127.8.0.0/16 80").exit, 0);
    const auto before = brief_all(ask("bindings"));
    stop();
    for (const char* damage : {"", "{", "{}", "\xff\xff", "null"}) {
        for (const auto& file : std::filesystem::directory_iterator(state_dir() + "/generations"))
            if (file.is_regular_file()) write(file.path().string(), damage);
        write(state_dir() + "/current", damage);
        start();
        EXPECT_EQ(brief_all(ask("bindings")), before) << damage;
        stop();
    }
}

}  // namespace
}  // namespace sluice::testing

// SPDX-License-Identifier: Apache-2.0
// The ways in for sockets, and who keeps them: nobody but their service.
#include <csignal>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "system/agent_world.h"
#include "system/clients.h"

namespace sluice::testing {
namespace {

using ::testing::HasSubstr;

constexpr const char* two_services = R"(version: 1
services: {www: {}, dns: {}}
bindings:
  - {service: www, protocol: tcp, prefix: 127.7.0.0/16, port: 80}
  - {service: dns, protocol: udp, prefix: 127.7.0.0/16, port: 53}
)";

// As systemd passes descriptors: LISTEN_PID is the program's own.
Command with_listen_fds(Command command, const std::string& names, std::vector<int> descriptors) {
    command.environment["LISTEN_FDS"] = std::to_string(descriptors.size());
    if (!names.empty()) command.environment["LISTEN_FDNAMES"] = names;
    command.descriptors = std::move(descriptors);
    command.words.insert(command.words.begin(),
                         {"/bin/sh", "-c", "LISTEN_PID=$$ exec \"$@\"", "sh"});
    return command;
}

struct Registration : AgentWorld {
    // A process that holds these sockets, alone once the test has closed its own.
    static Process holder(std::vector<int> descriptors) {
        return Process({{"/bin/sleep", "1000"}, {}, std::move(descriptors)});
    }
};

TEST_F(Registration, AnInheritedDescriptorServesAndTheAgentKeepsNoDuplicate) {
    start(two_services);
    Fd www = listen_tcp("127.0.0.1:9999");
    const Answer answer = enlist("www", {&www});
    EXPECT_EQ(answer.exit, 0) << answer.err;
    EXPECT_TRUE(reaches("127.7.0.1:80", www));
    www.reset();
    EXPECT_EQ(dial("127.7.0.1:80"), "refused") << "somebody else holds the listener";
    EXPECT_TRUE(eventually([&] { return ask("sockets").empty(); }));
}

TEST_F(Registration, AClosedUdpSocketGetsNothingMore) {
    start(two_services);
    Fd dns = bind_udp("127.0.0.1:9953");
    ASSERT_EQ(enlist("dns", {&dns}).exit, 0);
    EXPECT_TRUE(datagram_reaches("127.7.0.1:53", dns));
    dns.reset();
    EXPECT_EQ(ask_udp("127.7.0.1:53"), "refused");
    EXPECT_TRUE(eventually([&] { return ask("sockets").empty(); }));
}

TEST_F(Registration, TheSameSocketAgainChangesNothing) {
    start(two_services);
    const Fd www = listen_tcp("127.0.0.1:9999");
    ASSERT_EQ(enlist("www", {&www}).exit, 0);
    const Json before = ask("sockets");
    const Json again = enlist("www", {&www}, "-o json").json().at("registered").at(0);
    EXPECT_EQ(again.at("added"), 0);
    EXPECT_EQ(again.at("present"), 1);
    EXPECT_EQ(ask("sockets"), before);
}

TEST_F(Registration, OneSocketServesOneServiceOnly) {
    start("version: 1\nservices: {www: {}, other: {}}\n");
    const Fd www = listen_tcp("127.0.0.1:9999");
    ASSERT_EQ(enlist("www", {&www}).exit, 0);
    const Answer answer = enlist("other", {&www});
    EXPECT_EQ(answer.exit, 4);
    EXPECT_THAT(answer.err, HasSubstr("serves 'www' already"));
    EXPECT_EQ(ask("sockets").size(), 1U);
}

TEST_F(Registration, AllSocketsOfOneRegistrationGoInOrNone) {
    start(two_services);
    const Fd good = listen_tcp("127.0.0.1:9999"), bad(::socket(AF_INET, SOCK_STREAM, 0));
    EXPECT_EQ(enlist("www", {&good, &bad}).exit, 4);
    EXPECT_EQ(ask("sockets").size(), 0U);
    EXPECT_EQ(dial("127.7.0.1:80"), "refused");
}

TEST_F(Registration, SocketsOfTwoPortsAreRefusedWithTheWayOut) {
    start(two_services);
    const Fd first = listen_tcp("127.0.0.1:9999"), second = listen_tcp("127.0.0.1:9998");
    ASSERT_EQ(enlist("www", {&first}).exit, 0);
    const Answer answer = enlist("www", {&second});
    EXPECT_EQ(answer.exit, 4);
    EXPECT_THAT(answer.err, HasSubstr("9999"));
    EXPECT_THAT(answer.err, HasSubstr("hint: "));
    EXPECT_THAT(answer.err, HasSubstr("--replace"));
    EXPECT_THAT(answer.err, HasSubstr("mixed_ports"));
    EXPECT_TRUE(reaches("127.7.0.1:80", first));
}

TEST_F(Registration, ReplaceTakesTheOldSocketsOut) {
    start(two_services);
    const Fd first = listen_tcp("127.0.0.1:9999"), second = listen_tcp("127.0.0.1:9998");
    ASSERT_EQ(enlist("www", {&first}).exit, 0);
    EXPECT_EQ(enlist("www", {&second}, "--replace").exit, 0);
    for (int i = 0; i < 10; ++i) EXPECT_TRUE(reaches("127.7.0.1:80", second));
    EXPECT_EQ(ask("sockets").size(), 1U);
}

TEST_F(Registration, MixedPortsLetsOneServiceHaveSocketsOfSeveral) {
    start("version: 1\nservices: {www: {mixed_ports: true}}\n");
    const Fd first = listen_tcp("127.0.0.1:9999"), second = listen_tcp("127.0.0.1:9998");
    EXPECT_EQ(enlist("www", {&first, &second}).exit, 0);
    EXPECT_EQ(ask("sockets").size(), 2U);
}

TEST_F(Registration, ToAnUnknownServiceIsInvalid) {
    start(two_services);
    const Fd socket = listen_tcp("127.0.0.1:9999");
    const Answer answer = enlist("wwww", {&socket});
    EXPECT_EQ(answer.exit, 2);
    EXPECT_THAT(answer.err, HasSubstr("there is no service 'wwww'"));
}

TEST_F(Registration, WithoutASourceIsInvalidAndSaysWhichThereAre) {
    start(two_services);
    const Answer answer = ctl("register www");
    EXPECT_EQ(answer.exit, 2);
    EXPECT_THAT(answer.err, HasSubstr("LISTEN_FDS"));
    EXPECT_THAT(answer.err, HasSubstr("hint: "));
}

TEST_F(Registration, ADescriptorThatIsNotOpenIsInvalid) {
    start(two_services);
    const Answer answer = ctl("register www --fd 77");
    EXPECT_EQ(answer.exit, 2);
    EXPECT_THAT(answer.err, HasSubstr("not open"));
}

TEST_F(Registration, ListenFdsOfSluicectlGoToTheNamedService) {
    start(two_services);
    const Fd a = listen_tcp("127.0.0.1:9999"), b = listen_tcp("127.0.0.2:9999");
    const Answer answer =
        ctl(with_listen_fds(sluicectl({"register", "www"}), "x:y", {a.get(), b.get()}));
    EXPECT_EQ(answer.exit, 0) << answer.err;
    const Json sockets = ask("sockets --service www");
    ASSERT_EQ(sockets.size(), 2U);
    EXPECT_EQ(sockets.at(0).at("pid"), ::getpid()) << "who passes them holds them";
}

TEST_F(Registration, ListenFdnamesAreTheServicesWhereNoneIsNamed) {
    start(two_services);
    const Fd www = listen_tcp("127.0.0.1:9999"), dns = bind_udp("127.0.0.1:9953");
    const Answer answer =
        ctl(with_listen_fds(sluicectl({"register"}), "dns:www", {dns.get(), www.get()}));
    EXPECT_EQ(answer.exit, 0) << answer.err;
    EXPECT_TRUE(reaches("127.7.0.1:80", www));
    EXPECT_TRUE(datagram_reaches("127.7.0.1:53", dns));
}

TEST_F(Registration, ListenFdsForSeveralServicesGoInOrNone) {
    start(two_services);
    const Fd www = listen_tcp("127.0.0.1:9999"), other = bind_udp("127.0.0.1:9953");
    for (const char* names : {"www:unknown", "unknown:www"}) {
        const Answer answer =
            ctl(with_listen_fds(sluicectl({"register"}), names, {www.get(), other.get()}));
        EXPECT_EQ(answer.exit, 2) << names;
        EXPECT_THAT(answer.err, HasSubstr("there is no service 'unknown'")) << names;
    }
    const Fd deaf(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    const Answer answer =
        ctl(with_listen_fds(sluicectl({"register"}), "www:dns", {www.get(), deaf.get()}));
    EXPECT_EQ(answer.exit, 4);
    EXPECT_EQ(ask("sockets").size(), 0U);
}

TEST_F(Registration, ListenFdsOfTheAgentGoToTheServicesTheyAreNamedAfter) {
    write_config(two_services);
    Fd www = listen_tcp("127.0.0.1:9999"), dns = bind_udp("127.0.0.1:9953");
    start(with_listen_fds(sluiced(), "www:dns", {www.get(), dns.get()}));
    EXPECT_TRUE(reaches("127.7.0.1:80", www));
    EXPECT_TRUE(datagram_reaches("127.7.0.1:53", dns));
    www.reset();
    EXPECT_EQ(dial("127.7.0.1:80"), "refused") << "the agent keeps a duplicate";
}

TEST_F(Registration, ListenFdsOfAnUnknownNameAreLoggedAndTheAgentGoesOn) {
    write_config(two_services);
    const Fd www = listen_tcp("127.0.0.1:9999"), other = listen_tcp("127.0.0.1:9998");
    start(with_listen_fds(sluiced(), "wwww:www", {other.get(), www.get()}));
    EXPECT_THAT(log(), HasSubstr("there is no service 'wwww'"));
    EXPECT_TRUE(reaches("127.7.0.1:80", www));
}

TEST_F(Registration, TheAgentsOwnSocketsMayBePassedToo) {
    write_config(two_services);
    Fd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    const std::string path = scratch() + "/passed";
    path.copy(address.sun_path, sizeof address.sun_path - 1);
    ASSERT_EQ(::bind(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
    ASSERT_EQ(::listen(socket.get(), 16), 0);
    // It answers on what was passed, so its own path is a way there.
    ASSERT_EQ(::mkdir(run_dir().c_str(), 0755), 0);
    ASSERT_EQ(::symlink(path.c_str(), control().c_str()), 0);
    start(with_listen_fds(sluiced(), "control", {socket.get()}));
    EXPECT_EQ(ask("status").at("state"), "degraded") << "no sockets yet";
}

TEST_F(Registration, ARunningProgramsListenerIsTakenAndGoesWithTheProgram) {
    start(two_services);
    Process server(
        {{"/usr/bin/python3", "-m", "http.server", "--bind", "127.0.0.1", "9000"}, {}, {}});
    ASSERT_TRUE(eventually([] { return dial("127.0.0.1:9000") == "connected"; }));
    const std::string pid = std::to_string(server.pid());
    const Answer answer = ctl("register www --pid " + pid + " tcp 127.0.0.1 9000");
    EXPECT_EQ(answer.exit, 0) << answer.err;
    EXPECT_EQ(dial("127.7.0.1:80"), "connected");
    const Json socket = ask("sockets --service www").at(0);
    EXPECT_EQ(socket.at("pid"), server.pid());
    EXPECT_EQ(socket.at("command"), "python3");
    server.signal(SIGKILL);
    ASSERT_TRUE(server.wait());
    EXPECT_EQ(dial("127.7.0.1:80"), "refused") << "somebody else holds the listener";
    EXPECT_TRUE(eventually([&] { return ask("sockets").empty(); }));
}

TEST_F(Registration, EverySocketThatATripleNamesIsTaken) {
    start(two_services);
    Fd a = listen_tcp("127.0.0.1:9999", {.reuseport = true}),
       b = listen_tcp("127.0.0.1:9999", {.reuseport = true}), c = listen_tcp("127.0.0.1:9998"),
       d = bind_udp("127.0.0.1:9999");
    const Process owner = holder({a.get(), b.get(), c.get(), d.get(), a.get()});
    for (Fd* mine : {&a, &b, &c, &d}) mine->reset();
    const std::string pid = std::to_string(owner.pid());
    const Json done = ask("register www --pid " + pid + " tcp 127.0.0.1 9999");
    EXPECT_EQ(done.at("registered").at(0).at("added"), 2);
    const Json mixed = ask("register dns --pid " + pid + " udp 127.0.0.1 9999");
    EXPECT_EQ(mixed.at("registered").at(0).at("added"), 1);
}

TEST_F(Registration, ATripleThatNothingMatchesIsAnErrorThatSaysWhatThereIs) {
    start(two_services);
    Fd held = listen_tcp("127.0.0.1:9999");
    const Process owner = holder({held.get()});
    const std::string pid = std::to_string(owner.pid());
    const Answer answer =
        ctl("register www --pid " + pid + " tcp 127.0.0.1 9999 tcp 127.0.0.1 9997");
    EXPECT_EQ(answer.exit, 2);
    EXPECT_THAT(answer.err, HasSubstr("has no socket tcp 127.0.0.1 9997"));
    EXPECT_EQ(ask("sockets").size(), 0U) << "all or none";
    const Answer other = ctl("register www --pid " + pid + " tcp 127.0.0.1 9997");
    EXPECT_THAT(other.err, HasSubstr("hint: it has: tcp 127.0.0.1 9999"));
}

TEST_F(Registration, AProcessThatDoesNotExistIsInvalid) {
    start(two_services);
    Process gone({{"/bin/true"}, {}, {}});
    ASSERT_TRUE(gone.wait());
    const Answer answer =
        ctl("register www --pid " + std::to_string(gone.pid()) + " tcp 127.0.0.1 9999");
    EXPECT_EQ(answer.exit, 2);
    EXPECT_THAT(answer.err, HasSubstr("there is no process"));
}

TEST_F(Registration, AnUnregisteredSocketGetsNothingMore) {
    start(two_services);
    const Fd a = listen_tcp("127.0.0.1:9999"), b = listen_tcp("127.0.0.2:9999");
    ASSERT_EQ(enlist("www", {&a, &b}).exit, 0);
    const Json sockets = ask("sockets");
    const bool first_is_a = sockets.at(0).at("local") == "127.0.0.1:9999";
    const auto cookie = sockets.at(0).at("cookie").get<std::string>();
    EXPECT_EQ(ctl("unregister www --cookie " + cookie).exit, 0);
    for (int i = 0; i < 10; ++i) EXPECT_TRUE(reaches("127.7.0.1:80", first_is_a ? b : a));
    EXPECT_EQ(ctl("unregister www").exit, 0);
    EXPECT_EQ(dial("127.7.0.1:80"), "refused");
    EXPECT_EQ(ctl("unregister www --cookie " + cookie).exit, 2) << "there is none any more";
    EXPECT_EQ(ctl("unregister wwww").exit, 2);
}

TEST_F(Registration, AServiceThatLeavesTheConfigKeepsItsSocketsUntilItComesBack) {
    start(two_services);
    const Fd www = listen_tcp("127.0.0.1:9999");
    ASSERT_EQ(enlist("www", {&www}).exit, 0);
    write_config("version: 1\nservices: {dns: {}}\n");
    ASSERT_EQ(ctl("reload --allow empty,removals").exit, 0);
    EXPECT_EQ(ask("sockets").at(0).at("state"), "parked");
    EXPECT_EQ(dial("127.7.0.1:80"), "refused");
    write_config(two_services);
    ASSERT_EQ(ctl("reload").exit, 0);
    EXPECT_TRUE(reaches("127.7.0.1:80", www));
}

}  // namespace
}  // namespace sluice::testing

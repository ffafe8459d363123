// SPDX-License-Identifier: Apache-2.0
// The agent on a real dispatcher: changes, registrations, restarts, reboots, and a disk that lies.
#include "daemon/agent.h"

#include <fcntl.h>
#include <filesystem>
#include <fstream>
#include <sys/mount.h>
#include <sys/socket.h>

#include "agent_fixture.h"
#include "served.h"
#include "support/sockets.h"
#include "support/world.h"
#include "sys/files.h"

namespace sluice {
namespace {

using namespace sluice::testing;  // NOLINT: claims read better without prefixes
namespace fs = std::filesystem;

TEST_F(AgentTest, TheConfigAnswersFromTheFirstStartOn) {
    start();
    EXPECT_EQ(generation(), 1U);
    EXPECT_EQ(table(), (std::vector<std::string>{"tcp 127.7.0.0/16 80 -> www (config)"}));
    EXPECT_EQ(dial("127.7.7.7:80"), "refused") << "bound, but no socket yet";
    EXPECT_EQ(explained("127.7.7.7:80"), "unavailable");
    const Fd www = listen_tcp("127.0.0.1:8080");
    EXPECT_EQ(must(enlist("www", {&www})).added, 1U);
    EXPECT_TRUE(reaches("127.7.7.7:80", www));
    EXPECT_EQ(explained("127.7.7.7:80"), "assign");
    EXPECT_EQ(explained("127.8.8.8:80"), "pass");
}

TEST_F(AgentTest, AReloadMakesItSoOrChangesNothing) {
    start();
    const Fd www = listen_tcp("127.0.0.1:8080");
    must(enlist("www", {&www}));
    for (const char* bad : {"services: {www: {}}\nbindings: [{service: nobody}]\n", "nonsense",
                            "services: {www: {}}\nbindings:\n  - {prefx: 1}\n"}) {
        write_config(bad);
        EXPECT_FALSE(reload()) << bad;
        EXPECT_EQ(agent().config_status().state, ConfigState::invalid);
        EXPECT_FALSE(agent().config_status().problem.empty());
        EXPECT_EQ(generation(), 1U);
        EXPECT_TRUE(reaches("127.7.7.7:80", www));
    }
    write_config(
        "services: {www: {}}\nbindings: [{service: www, protocol: tcp, prefix: "
        "127.9.0.0/16, port: any}]\n");
    EXPECT_EQ(agent().config_status().state, ConfigState::changed) << "until it is read again";
    const Plan plan = must(reload());
    EXPECT_EQ(plan.added.size(), 1U);
    EXPECT_EQ(plan.removed.size(), 1U);
    EXPECT_EQ(generation(), 2U);
    EXPECT_EQ(agent().config_status().state, ConfigState::applied);
    EXPECT_TRUE(reaches("127.9.7.7:1", www));
    EXPECT_EQ(dial("127.7.7.7:80"), "refused");
    EXPECT_FALSE(must(reload()).changes());
    EXPECT_EQ(generation(), 2U) << "nothing changed, nothing is counted";
}

TEST_F(AgentTest, WithABadConfigItStartsAllTheSameAndSaysSo) {
    write_config("nonsense");
    start();
    EXPECT_EQ(agent().config_status().state, ConfigState::invalid);
    EXPECT_TRUE(table().empty());
    fs::remove(options().config);
    restart();
    EXPECT_EQ(agent().config_status().state, ConfigState::invalid);
    write_config("services: {www: {}}\n");
    EXPECT_TRUE(reload());
}

TEST_F(AgentTest, ABindingLastsUntilItIsUnbound) {
    start();
    const Fd www = listen_tcp("127.0.0.1:8080");
    must(enlist("www", {&www}));
    BindRequest request = to_service("www", "tcp 127.8.0.0/16 any");
    request.note = "INC-4711";
    EXPECT_EQ(must(agent().bind(request, somebody)).added.size(), 1U);
    EXPECT_TRUE(reaches("127.8.7.7:1", www));
    EXPECT_FALSE(must(agent().bind(request, somebody)).changes()) << "it is so already";
    EXPECT_EQ(generation(), 2U);

    must(reload());
    EXPECT_TRUE(reaches("127.8.7.7:1", www));
    restart();
    EXPECT_EQ(generation(), 2U);
    EXPECT_TRUE(reaches("127.8.7.7:1", www));
    const Binding* kept = agent().running().generation.runtime.find(match("tcp 127.8.0.0/16 any"));
    ASSERT_NE(kept, nullptr);
    ASSERT_NE(kept->note, nullptr);
    EXPECT_EQ(*kept->note, "INC-4711");

    reboot();
    EXPECT_EQ(generation(), 2U);
    EXPECT_EQ(table().size(), 2U);
    EXPECT_EQ(dial("127.8.7.7:1"), "refused") << "services register again";
    must(enlist("www", {&www}));
    EXPECT_TRUE(reaches("127.8.7.7:1", www));

    EXPECT_EQ(must(agent().unbind({match("tcp 127.8.0.0/16 any")}, somebody)).removed.size(), 1U);
    EXPECT_EQ(dial("127.8.7.7:1"), "refused");
    EXPECT_EQ(generation(), 3U);
}

TEST_F(AgentTest, WhatTheConfigOwnsIsNotChangedByAccident) {
    start();
    EXPECT_EQ(bind("dns", "tcp 127.7.0.0/16 80").error().failure(), Failure::refused);
    EXPECT_EQ(agent().unbind({match("tcp 127.7.0.0/16 80")}, somebody).error().failure(),
              Failure::refused);
    EXPECT_EQ(agent().unbind({match("tcp 127.6.0.0/16 80")}, somebody).error().failure(),
              Failure::invalid);
    EXPECT_EQ(bind("nobody", "tcp 127.6.0.0/16 80").error().failure(), Failure::invalid);
    EXPECT_FALSE(must(bind("www", "tcp 127.7.0.0/16 80")).changes()) << "it says so already";
    EXPECT_EQ(generation(), 1U);

    BindRequest over = to_service("dns", "tcp 127.7.0.0/16 80");
    over.override_config = true;
    EXPECT_EQ(must(agent().bind(over, somebody)).moved.size(), 1U);
    EXPECT_EQ(table(), (std::vector<std::string>{"tcp 127.7.0.0/16 80 -> dns (runtime)"}));
    restart();
    EXPECT_EQ(table(), (std::vector<std::string>{"tcp 127.7.0.0/16 80 -> dns (runtime)"}));
    must(agent().unbind({match("tcp 127.7.0.0/16 80")}, somebody));
    EXPECT_EQ(table(), (std::vector<std::string>{"tcp 127.7.0.0/16 80 -> www (config)"}))
        << "which waited behind it";
}

TEST_F(AgentTest, OneUnbindOfSeveralIsAllOrNothing) {
    start();
    must(bind("www", "tcp 127.8.0.0/16 any"));
    EXPECT_FALSE(
        agent().unbind({match("tcp 127.8.0.0/16 any"), match("tcp 127.6.0.0/16 any")}, somebody));
    EXPECT_EQ(table().size(), 2U);
}

TEST_F(AgentTest, ARegistrationIsAllOrNothing) {
    start();
    const Fd good = listen_tcp("127.0.0.1:8080"), other_port = listen_tcp("127.0.0.1:8081");
    const Fd unbound(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    const Fd file(::open(options().config.c_str(), O_RDONLY | O_CLOEXEC));
    for (const Fd* bad : {&unbound, &file, &other_port})
        EXPECT_EQ(enlist("www", {&good, bad}).error().failure(), Failure::refused);
    EXPECT_EQ(enlist("www", {}).error().failure(), Failure::invalid);
    EXPECT_EQ(enlist("nobody", {&good}).error().failure(), Failure::invalid);
    EXPECT_EQ(sockets_of("www"), 0U);
    EXPECT_EQ(must(enlist("mixed", {&good, &other_port})).added, 2U) << "who says so, may";
    EXPECT_EQ(enlist("www", {&good}).error().failure(), Failure::refused)
        << "a socket serves one service";
}

TEST_F(AgentTest, ARegistrationForSeveralServicesIsAllOrNothingToo) {
    start();
    const Fd www = listen_tcp("127.0.0.1:8080"), dns = bind_udp("127.0.0.1:5353");
    const Fd unbound(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    const std::vector<SocketOffer> good{offer("www", {&www}), offer("dns", {&dns})};
    for (const SocketOffer& wrong : {offer("dns", {&unbound}), offer("dns", {&www}),
                                     offer("nobody", {&dns}), offer("dns", {})}) {
        const std::vector<SocketOffer> bad{offer("www", {&www}), wrong};
        EXPECT_FALSE(agent().register_sockets(bad, RegisterMode::add, somebody));
        EXPECT_EQ(sockets_of("www"), 0U);
        EXPECT_EQ(sockets_of("dns"), 0U);
    }
    const auto done = must(agent().register_sockets(good, RegisterMode::add, somebody));
    ASSERT_EQ(done.size(), 2U);
    EXPECT_EQ(done[0].added, 1U);
    EXPECT_EQ(sockets_of("www"), 1U);
    EXPECT_EQ(sockets_of("dns"), 1U);
}

TEST_F(AgentTest, TheSameSocketAgainChangesNothing) {
    start();
    const Fd www = listen_tcp("127.0.0.1:8080");
    const Fd again(::fcntl(www.get(), F_DUPFD_CLOEXEC, 0));
    const Registered first = must(enlist("www", {&www, &again, &www}));
    EXPECT_EQ(first.added, 1U);
    EXPECT_EQ(sockets_of("www"), 1U);
    const Registered second = must(enlist("www", {&again}));
    EXPECT_EQ(second.added, 0U);
    EXPECT_EQ(second.present, 1U);
    EXPECT_EQ(sockets_of("www"), 1U);
    EXPECT_TRUE(reaches("127.7.7.7:80", www));
}

TEST_F(AgentTest, ReplacingMovesToAnotherPortWhichAddingMayNot) {
    start();
    const Fd before = listen_tcp("127.0.0.1:8080"), after = listen_tcp("127.0.0.1:8081");
    must(enlist("www", {&before}));
    EXPECT_EQ(enlist("www", {&after}).error().failure(), Failure::refused);
    EXPECT_TRUE(reaches("127.7.7.7:80", before));
    must(enlist("www", {&after}, RegisterMode::replace));
    EXPECT_TRUE(reaches("127.7.7.7:80", after));
    EXPECT_EQ(sockets_of("www"), 1U);
}

TEST_F(AgentTest, ASocketLivesAsLongAsItsServiceAndNoLonger) {
    start();
    Fd www = listen_tcp("127.0.0.1:8080");
    must(enlist("www", {&www}));
    const std::uint64_t cookie = cookie_of(www);
    restart();
    EXPECT_EQ(sockets_of("www"), 1U);
    EXPECT_TRUE(reaches("127.7.7.7:80", www)) << "over the agent's restart";
    www.reset();
    EXPECT_EQ(dial("127.7.7.7:80"), "refused") << "the agent holds no duplicate";
    agent().tick();
    EXPECT_EQ(sockets_of("www"), 0U);
    EXPECT_EQ(agent().health("www").state, ServiceState::degraded);
    EXPECT_NE(agent().troubled_since("www"), 0);
    EXPECT_FALSE(agent().unregister("www", cookie, somebody)) << "it is gone already";
    EXPECT_EQ(must(agent().unregister("www", std::nullopt, somebody)), 0U);
}

TEST_F(AgentTest, AServiceThatLeavesTheConfigKeepsItsSocketsForARollback) {
    start();
    const Fd www = listen_tcp("127.0.0.1:8080");
    must(enlist("www", {&www}));
    const std::string before = must(read_file(options().config, 10'000));
    write_config("services: {dns: {}}\n");
    must(reload({Allow::empty}));
    EXPECT_EQ(dial("127.7.7.7:80"), "refused");
    EXPECT_EQ(sockets_of("www"), 1U);
    std::ofstream(options().config, std::ios::trunc) << before;
    must(reload());
    EXPECT_TRUE(reaches("127.7.7.7:80", www));
}

TEST_F(AgentTest, ADamagedGenerationIsSetAsideAndWhatTheKernelAnswersGoesOn) {
    start();
    const Fd www = listen_tcp("127.0.0.1:8080");
    must(enlist("www", {&www}));
    must(bind("www", "tcp 127.8.0.0/16 any"));
    const auto before = table();
    stop();
    damage(generation_file(2));
    start();
    EXPECT_TRUE(fs::exists(generation_file(2) + ".damaged"));
    EXPECT_EQ(table(), before);
    EXPECT_EQ(sockets_of("www"), 1U);
    EXPECT_TRUE(reaches("127.8.7.7:1", www));
    EXPECT_TRUE(reaches("127.7.7.7:80", www));
    const std::uint64_t last = generation();
    EXPECT_GE(last, 2U);
    must(agent().unbind({match("tcp 127.8.0.0/16 any")}, somebody));
    EXPECT_GT(generation(), last);
    restart();
    EXPECT_EQ(table().size(), 1U);
}

TEST_F(AgentTest, AStateDirectoryThatIsGoneCostsNoBinding) {
    start();
    must(bind("www", "tcp 127.8.0.0/16 any"));
    const auto before = table();
    stop();
    fs::remove_all(options().state_dir);
    start();
    EXPECT_EQ(table(), before);
    must(bind("www", "tcp 127.9.0.0/16 any"));
    EXPECT_GT(generation(), 2U) << "numbers go on from the kernel's";
    restart();
    EXPECT_EQ(table().size(), 3U);
}

TEST_F(AgentTest, AfterARebootADamagedGenerationIsNotFatal) {
    start();
    must(bind("www", "tcp 127.8.0.0/16 any"));
    stop();
    damage(generation_file(2));
    fs::remove_all(bpffs());
    start();
    EXPECT_TRUE(fs::exists(generation_file(2) + ".damaged"));
    EXPECT_EQ(table().front(), "tcp 127.7.0.0/16 80 -> www (config)") << "from the config";
    EXPECT_EQ(generation(), 1U) << "an older one is better than none";
    must(bind("www", "tcp 127.9.0.0/16 any"));
    EXPECT_GT(generation(), 2U) << "a number is never used twice";
}

TEST_F(AgentTest, WhereAChangeCannotBeStoredItIsNotMade) {
    fs::create_directory(options().state_dir);
    ASSERT_EQ(::mount("small", options().state_dir.c_str(), "tmpfs", 0, "size=64k"), 0);
    start();
    const Fd www = listen_tcp("127.0.0.1:8080");
    must(enlist("www", {&www}));
    BindRequest large = to_service("www", "tcp 127.8.0.0/16 any");
    large.note = std::string(100'000, 'x');
    const auto refused = agent().bind(large, somebody);
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code(), ENOSPC);
    EXPECT_EQ(generation(), 1U);
    EXPECT_EQ(table().size(), 1U);
    EXPECT_EQ(dial("127.8.7.7:1"), "refused");
    EXPECT_TRUE(reaches("127.7.7.7:80", www));
    must(bind("www", "tcp 127.8.0.0/16 any"));
    EXPECT_TRUE(reaches("127.8.7.7:1", www));
    stop();
    ASSERT_EQ(::umount2(options().state_dir.c_str(), MNT_DETACH), 0);
}

TEST_F(AgentTest, StaysDetachedUntilItIsAttached) {
    start();
    const Fd www = listen_tcp("127.0.0.1:8080");
    must(enlist("www", {&www}));
    EXPECT_TRUE(must(agent().detach(somebody)));
    EXPECT_FALSE(must(agent().detach(somebody))) << "it is so already";
    EXPECT_TRUE(eventually([] { return dial("127.7.7.7:80") == "refused"; }))
        << "nobody listens there";
    restart();
    EXPECT_EQ(dial("127.7.7.7:80"), "refused");
    EXPECT_EQ(explained("127.7.7.7:80"), "assign") << "what it would answer";
    reboot();
    EXPECT_FALSE(agent().plane().dispatcher().attached());
    must(enlist("www", {&www}));
    EXPECT_TRUE(must(agent().attach(somebody)));
    EXPECT_FALSE(must(agent().attach(somebody)));
    EXPECT_TRUE(reaches("127.7.7.7:80", www));
}

TEST_F(AgentTest, WhenDetachReturnsTrafficIsLeftToTheKernel) {
    start();
    const Fd www = listen_tcp("127.0.0.1:8080");
    must(enlist("www", {&www}));
    for (int i = 0; i < 10; ++i) {
        ASSERT_EQ(dial("127.7.7.7:80"), "connected");
        must(agent().detach(somebody));
        ASSERT_EQ(dial("127.7.7.7:80"), "refused") << "after " << i << " times";
        must(agent().attach(somebody));
    }
}

TEST_F(AgentTest, ASecondAgentIsRefusedAndTheFirstGoesOn) {
    start();
    const Fd www = listen_tcp("127.0.0.1:8080");
    must(enlist("www", {&www}));
    EXPECT_FALSE(Agent::start(options()));
    EXPECT_TRUE(reaches("127.7.7.7:80", www));
    must(bind("www", "tcp 127.8.0.0/16 any"));
    EXPECT_TRUE(reaches("127.8.7.7:1", www));
}

TEST_F(AgentTest, ASocketMayGoAndComeBackWhileAGracePeriodIsAwaited) {
    start();
    const Fd www = listen_tcp("127.0.0.1:8080");
    for (int i = 0; i < 5; ++i) {
        must(enlist("www", {&www}));
        EXPECT_TRUE(reaches("127.7.7.7:80", www));
        ASSERT_TRUE(agent().wants_grace());
        auto ticket = agent().begin_grace();
        EXPECT_EQ(must(agent().unregister("www", std::nullopt, somebody)), 1U);
        EXPECT_EQ(dial("127.7.7.7:80"), "refused");
        must(enlist("www", {&www}));
        must(bind("www", "tcp 127." + std::to_string(20 + i) + ".0.0/16 any"));
        must(agent().plane().dispatcher().grace_period());
        agent().finish_grace(std::move(ticket));
        EXPECT_TRUE(reaches("127.7.7.7:80", www));
        EXPECT_EQ(sockets_of("www"), 1U);
        must(agent().unregister("www", std::nullopt, somebody));
    }
}

}  // namespace
}  // namespace sluice

// SPDX-License-Identifier: Apache-2.0
// Reload, restart, death, reboot and detach: what goes on, and what comes back.
#include <csignal>
#include <filesystem>
#include <set>
#include <unistd.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "system/agent_world.h"
#include "system/clients.h"

namespace sluice::testing {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr const char* one_service = R"(version: 1
services: {www: {}}
bindings:
  - {service: www, protocol: tcp, prefix: 127.7.0.0/16, port: 80}
)";
constexpr const char* other_port = R"(version: 1
services: {www: {}}
bindings:
  - {service: www, protocol: tcp, prefix: 127.7.0.0/16, port: 81}
)";

struct Lifecycle : AgentWorld {
    void serve_www() {
        start(one_service);
        ASSERT_EQ(enlist("www", {&www}).exit, 0);
    }
    std::uint64_t assigned() const {
        return ask("status www").at("services").at(0).at("assigned").get<std::uint64_t>();
    }
    void TearDown() override {
        www.reset();
        AgentWorld::TearDown();
    }
    Fd www;
    void SetUp() override {
        AgentWorld::SetUp();
        www = listen_tcp("127.0.0.1:9999", {.backlog = 512});
    }
};

TEST_F(Lifecycle, SighupReloadsAndSaysSoToTheServiceManager) {
    serve_www();
    write_config(other_port);
    agent().signal(SIGHUP);
    const std::string reloading = notified("RELOADING=1");
    notified("READY=1");
    EXPECT_TRUE(reaches("127.7.0.1:81", www));
    EXPECT_EQ(dial("127.7.0.1:80"), "refused");
}

TEST_F(Lifecycle, TheServiceManagerHearsOfEveryNewGeneration) {
    serve_www();
    ASSERT_EQ(ctl("bind www tcp 127.8.0.0/16 80").exit, 0);
    EXPECT_EQ(notified("STATUS=generation 2"), "STATUS=generation 2");
}

TEST_F(Lifecycle, SighupOnABadConfigChangesNothingAndTheAgentIsReadyAgain) {
    serve_www();
    write_config("version: 1\nbindngs: []\n");
    agent().signal(SIGHUP);
    notified("RELOADING=1");
    notified("READY=1");
    EXPECT_TRUE(reaches("127.7.0.1:80", www));
    EXPECT_EQ(ask("status").at("config").at("state"), "invalid");
}

TEST_F(Lifecycle, ASighupDuringTheStartIsAReloadLaterAndNotTheEnd) {
    write_config(one_service);
    Process starting(sluiced());
    ASSERT_TRUE(eventually([&] { return std::filesystem::exists(run_dir()); }));
    starting.signal(SIGHUP);
    EXPECT_TRUE(eventually([&] { return ctl("status").exit == 0; })) << starting.err();
    EXPECT_TRUE(starting.running());
    starting.signal(SIGTERM);
    EXPECT_EQ(starting.wait(), 0);
}

TEST_F(Lifecycle, AnAgentWhoseLogNobodyReadsAnyMoreGoesOn) {
    serve_www();
    agent().signal(SIGPIPE);
    EXPECT_EQ(ask("status").at("state"), "ok");
    EXPECT_TRUE(agent().running());
}

TEST_F(Lifecycle, AConfigThatChangedOnDiskIsChangedUntilAReload) {
    serve_www();
    EXPECT_EQ(ask("status").at("config").at("state"), "applied");
    write_config(other_port);
    EXPECT_EQ(ask("status").at("config").at("state"), "changed");
    ASSERT_EQ(ctl("reload").exit, 0);
    EXPECT_EQ(ask("status").at("config").at("state"), "applied");
}

TEST_F(Lifecycle, AReloadThatChangesNothingMakesNoGeneration) {
    serve_www();
    const Json reloaded = ask("reload");
    EXPECT_EQ(reloaded.at("changed"), false);
    EXPECT_EQ(reloaded.at("generation"), 1);
}

TEST_F(Lifecycle, SigtermStopsTheAgentAndNotTheTraffic) {
    serve_www();
    stop();
    EXPECT_TRUE(reaches("127.7.0.1:80", www));
    EXPECT_EQ(ctl("status").exit, 3);
}

TEST_F(Lifecycle, AClientOfAReloadingAgentSeesNoFailure) {
    serve_www();
    const Accepting accepting({&www});
    KeepsConnecting client("127.7.0.1:80");
    const std::string more = "  - {service: www, protocol: tcp, prefix: 127.7.0.0/24, port: 80}\n";
    for (int i = 0; i < 20; ++i) {
        write_config(i % 2 == 0 ? one_service + more : one_service);
        ASSERT_EQ(ctl("reload").exit, 0);
        client.wait_for(5);
    }
    EXPECT_THAT(client.stop(), IsEmpty());
}

TEST_F(Lifecycle, AClientOfARestartedAgentSeesNoFailure) {
    serve_www();
    const Accepting accepting({&www});
    KeepsConnecting client("127.7.0.1:80");
    for (int i = 0; i < 5; ++i) {
        client.wait_for(20);
        restart();
    }
    client.wait_for(20);
    EXPECT_THAT(client.stop(), IsEmpty());
}

TEST_F(Lifecycle, AClientOfAKilledAgentSeesNoFailure) {
    serve_www();
    const Accepting accepting({&www});
    KeepsConnecting client("127.7.0.1:80");
    for (int i = 0; i < 5; ++i) {
        client.wait_for(20);
        kill();
        client.wait_for(20);
        start();
    }
    client.wait_for(20);
    EXPECT_THAT(client.stop(), IsEmpty());
}

TEST_F(Lifecycle, AnAgentKilledWhileItChangesLeavesOneWholeGeneration) {
    start(
        "version: 1\nservices: {a: {}, b: {}}\nbindings:\n  - {service: a, protocol: tcp, "
        "prefix: 127.7.0.0/16, port: 80}\n");
    const Fd a = listen_tcp("127.0.0.1:9001"), b = listen_tcp("127.0.0.1:9002");
    ASSERT_EQ(enlist("a", {&a}).exit, 0);
    ASSERT_EQ(enlist("b", {&b}).exit, 0);
    const Accepting accepting({&a, &b});
    KeepsConnecting client("127.7.0.1:80");
    for (int i = 0; i < 10; ++i) {
        std::string yaml = "version: 1\nservices: {a: {}, b: {}}\nbindings:\n";
        const std::string service = i % 2 == 0 ? "b" : "a";
        yaml += "  - {service: " + service + ", protocol: tcp, prefix: 127.7.0.0/16, port: 80}\n";
        for (int n = 0; n < 200; ++n)
            yaml += "  - {service: " + service + ", protocol: tcp, prefix: 10." +
                    std::to_string(n) + ".0.0/16, port: any}\n";
        write_config(yaml);
        agent().signal(SIGHUP);
        notified("RELOADING=1");
        client.wait_for(static_cast<unsigned>(i) % 3);
        kill();
        std::set<std::string> answering;
        for (const Json& binding : ctl("-o json bindings").json())
            answering.insert(binding.at("service").get<std::string>());
        EXPECT_EQ(answering.size(), 1U) << "one generation is of a, the other of b";
        start();
        EXPECT_EQ(ask("bindings --service " + service).size(), 201U);
        EXPECT_EQ(ask("bindings").size(), 201U);
    }
    EXPECT_THAT(client.stop(), IsEmpty());
}

TEST_F(Lifecycle, ARestartKeepsBindingsRegistrationsAndNotes) {
    serve_www();
    ASSERT_EQ(ctl("bind --note 'kept for later' www tcp 127.8.0.0/16 80").exit, 0);
    const Json bindings = ask("bindings"), sockets = ask("sockets");
    const Json generation = ask("status").at("generation");
    restart();
    EXPECT_EQ(ask("bindings"), bindings);
    EXPECT_EQ(ask("sockets"), sockets);
    EXPECT_EQ(ask("status").at("generation"), generation);
    kill();
    start();
    EXPECT_EQ(ask("bindings"), bindings);
    EXPECT_EQ(ask("sockets"), sockets);
    EXPECT_EQ(ask("status").at("generation"), generation);
}

TEST_F(Lifecycle, ARestartDoesNotResetTheCounters) {
    serve_www();
    for (int i = 0; i < 7; ++i) ASSERT_EQ(dial("127.7.0.1:80"), "connected");
    EXPECT_TRUE(eventually([&] { return assigned() == 7; }));
    restart();
    EXPECT_EQ(assigned(), 7U);
    kill();
    for (int i = 0; i < 3; ++i) ASSERT_EQ(dial("127.7.0.1:80"), "connected");
    start();
    EXPECT_EQ(assigned(), 10U) << "what came while it was dead counts too";
}

TEST_F(Lifecycle, ASocketThatClosedWhileTheAgentWasDeadIsGone) {
    serve_www();
    const Fd other = listen_tcp("127.0.0.2:9999");
    ASSERT_EQ(enlist("www", {&other}).exit, 0);
    kill();
    www.reset();
    start();
    EXPECT_EQ(ask("sockets").size(), 1U);
    for (int i = 0; i < 10; ++i) EXPECT_TRUE(reaches("127.7.0.1:80", other));
}

TEST_F(Lifecycle, AfterARebootTheLastGenerationIsBackAndSocketsRegisterAgain) {
    serve_www();
    ASSERT_EQ(ctl("bind --note why www tcp 127.8.0.0/16 80").exit, 0);
    const Json bindings = ask("bindings");
    stop();
    std::filesystem::remove_all(bpffs());
    start();
    EXPECT_EQ(ask("bindings"), bindings);
    EXPECT_EQ(ask("sockets").size(), 0U);
    EXPECT_EQ(dial("127.8.0.1:80"), "refused");
    ASSERT_EQ(enlist("www", {&www}).exit, 0);
    EXPECT_TRUE(reaches("127.8.0.1:80", www));
}

TEST_F(Lifecycle, AfterARebootWithABadConfigTheLastGenerationIsBackToo) {
    serve_www();
    stop();
    std::filesystem::remove_all(bpffs());
    write_config("nonsense");
    start();
    EXPECT_EQ(ask("bindings").size(), 1U);
}

TEST_F(Lifecycle, WithTheAgentDeadReadingCommandsTellWhatThePinsSayAndExit3) {
    serve_www();
    ASSERT_EQ(ctl("bind --reject tcp 127.7.7.7 80").exit, 0);
    const auto before = brief_all(ask("bindings"));
    kill();
    const Answer bindings = ctl("-o json bindings");
    EXPECT_EQ(bindings.exit, 3);
    EXPECT_THAT(bindings.err, HasSubstr("the agent is not running"));
    EXPECT_EQ(brief_all(bindings.json()), before);
    const Answer status = ctl("-o json status");
    EXPECT_EQ(status.exit, 3);
    EXPECT_EQ(status.json().at("generation"), 2);
    EXPECT_EQ(status.json().at("bindings"), 2);
    EXPECT_EQ(status.json().at("sockets"), 1);
    EXPECT_EQ(status.json().at("reasons").at(0).at("code"), "agent-not-running");
    const Answer explain = ctl("-o json explain tcp 127.7.0.1 80");
    EXPECT_EQ(explain.exit, 3) << explain.err;
    EXPECT_EQ(explain.json().at("verdict"), "assign");
    EXPECT_EQ(explain.json().at("served_by"), "www");
    EXPECT_EQ(ctl("-o json explain tcp 127.7.7.7 80").json().at("verdict"), "reject");
    EXPECT_EQ(ctl("-o json explain tcp 127.7.0.1 81").json().at("verdict"), "pass");
    for (const char* command : {"status", "bindings", "explain tcp 127.7.0.1 80"}) {
        const Answer text = ctl(command);
        EXPECT_EQ(text.exit, 3) << command;
        EXPECT_THAT(text.out, HasSubstr("www")) << command;
        EXPECT_THAT(text.err, HasSubstr("the agent is not running")) << command;
    }
}

TEST_F(Lifecycle, WithTheAgentDeadEveryOtherCommandIsUnreachable) {
    serve_www();
    kill();
    for (const char* command :
         {"services", "sockets", "config", "reload", "bind www tcp 127.8.0.0/16 80",
          "unbind tcp 127.8.0.0/16 80", "unregister www", "detach --yes", "attach"}) {
        const Answer answer = ctl(std::string("-o json ") + command);
        EXPECT_EQ(answer.exit, 3) << command;
        EXPECT_EQ(answer.json().at("error").at("exit"), 3) << command;
        EXPECT_THAT(answer.err, HasSubstr(control())) << command;
    }
    EXPECT_EQ(enlist("www", {&www}).exit, 3);
    EXPECT_TRUE(reaches("127.7.0.1:80", www));
}

TEST_F(Lifecycle, WhereThereNeverWasAnAgentReadingExits3Too) {
    for (const char* command : {"status", "bindings", "explain tcp 127.7.0.1 80"})
        EXPECT_EQ(ctl(command).exit, 3) << command;
}

TEST_F(Lifecycle, DetachWithoutATerminalAsksForYesAndDoesNothing) {
    serve_www();
    const Answer answer = ctl("detach");
    EXPECT_EQ(answer.exit, 2);
    EXPECT_THAT(answer.err, HasSubstr("--yes"));
    EXPECT_TRUE(reaches("127.7.0.1:80", www));
}

TEST_F(Lifecycle, DetachLeavesTrafficToOrdinaryListenersAndAttachTakesItBack) {
    serve_www();
    const Fd ordinary = listen_tcp("127.7.0.2:80");
    const Answer answer = ctl("detach --yes");
    EXPECT_EQ(answer.exit, 0);
    EXPECT_THAT(answer.out, HasSubstr("www")) << "it says whose traffic falls";
    EXPECT_EQ(dial("127.7.0.1:80"), "refused");
    EXPECT_TRUE(reaches("127.7.0.2:80", ordinary));
    EXPECT_EQ(ask("status").at("state"), "detached");
    EXPECT_EQ(ask("detach --yes").at("changed"), false);
    ASSERT_EQ(ctl("attach").exit, 0);
    EXPECT_TRUE(reaches("127.7.0.1:80", www));
    EXPECT_TRUE(reaches("127.7.0.2:80", www));
    EXPECT_EQ(ask("status").at("state"), "ok");
    EXPECT_EQ(ask("attach").at("changed"), false);
}

TEST_F(Lifecycle, DetachedStaysDetachedThroughRestartDeathAndReboot) {
    serve_www();
    ASSERT_EQ(ctl("detach --yes").exit, 0);
    restart();
    EXPECT_EQ(ask("status").at("state"), "detached");
    EXPECT_EQ(dial("127.7.0.1:80"), "refused");
    kill();
    EXPECT_EQ(ctl("-o json status").json().at("state"), "detached");
    start();
    EXPECT_EQ(dial("127.7.0.1:80"), "refused");
    stop();
    std::filesystem::remove_all(bpffs());
    start();
    EXPECT_EQ(ask("status").at("state"), "detached");
    ASSERT_EQ(enlist("www", {&www}).exit, 0);
    EXPECT_EQ(dial("127.7.0.1:80"), "refused");
    ASSERT_EQ(ctl("attach").exit, 0);
    EXPECT_TRUE(reaches("127.7.0.1:80", www));
    restart();
    EXPECT_TRUE(reaches("127.7.0.1:80", www)) << "attach is remembered too";
}

TEST_F(Lifecycle, ALinkThatWasRemovedBehindItsBackIsMadeAgainAtTheNextStart) {
    serve_www();
    stop();
    for (const auto& entry : std::filesystem::directory_iterator(bpffs()))
        std::filesystem::remove(entry.path() / "link");
    ASSERT_TRUE(eventually([] { return dial("127.7.0.1:80") == "refused"; }));
    start();
    EXPECT_TRUE(reaches("127.7.0.1:80", www));
}

}  // namespace
}  // namespace sluice::testing

// SPDX-License-Identifier: Apache-2.0
// A release with an undo: staged sockets, promote and demote, as people run them.
#include <sys/socket.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "system/agent_world.h"
#include "system/clients.h"

namespace sluice::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr const char* one_service = R"(version: 1
services: {www: {}, other: {}}
bindings:
  - {service: www, protocol: tcp, prefix: 127.7.0.0/16, port: 80}
)";

struct Staged : AgentWorld {
    void SetUp() override {
        AgentWorld::SetUp();
        start(one_service);
    }
    // "serving", "staged promote", …, by local address.
    std::map<std::string, std::string> states() const {
        std::map<std::string, std::string> found;
        for (const Json& socket : ask("sockets")) {
            std::string state = socket.at("state").get<std::string>();
            if (!socket.at("waits_for").is_null())
                state += " " + socket.at("waits_for").get<std::string>();
            found[socket.at("local").get<std::string>()] = state;
        }
        return found;
    }
    using States = std::map<std::string, std::string>;
};

TEST_F(Staged, PromoteSwitchesAndDemoteGoesBack) {
    const Fd old = listen_tcp("127.0.0.1:9001"), next = listen_tcp("127.0.0.1:9002");
    ASSERT_EQ(enlist("www", {&old}).exit, 0);
    const Answer staged = enlist("www", {&next}, "--staged");
    EXPECT_EQ(staged.exit, 0) << staged.err;
    EXPECT_THAT(staged.out, HasSubstr("www: 1 socket staged; to switch to them: "
                                      "sluicectl promote www"));
    EXPECT_EQ(states(),
              (States{{"127.0.0.1:9001", "serving"}, {"127.0.0.1:9002", "staged promote"}}));
    EXPECT_TRUE(reaches("127.7.0.1:80", old));

    const Answer promoted = ctl("promote www");
    EXPECT_EQ(promoted.exit, 0) << promoted.err;
    EXPECT_THAT(promoted.out, HasSubstr("sluicectl demote www"));
    EXPECT_EQ(states(),
              (States{{"127.0.0.1:9001", "staged demote"}, {"127.0.0.1:9002", "serving"}}));
    EXPECT_TRUE(reaches("127.7.0.1:80", next));

    const Json demoted = ask("demote www");
    EXPECT_EQ(demoted.at("serving"), 1);
    EXPECT_EQ(demoted.at("waiting"), 1);
    EXPECT_EQ(demoted.at("let_go"), 0);
    EXPECT_EQ(states(),
              (States{{"127.0.0.1:9001", "serving"}, {"127.0.0.1:9002", "staged promote"}}));
    EXPECT_TRUE(reaches("127.7.0.1:80", old));
}

TEST_F(Staged, SwitchingCostsNoConnection) {
    const Fd old = listen_tcp("127.0.0.1:9001"), next = listen_tcp("127.0.0.1:9002");
    ASSERT_EQ(enlist("www", {&old}).exit, 0);
    ASSERT_EQ(enlist("www", {&next}, "--staged").exit, 0);
    const Accepting accepting({&old, &next});
    KeepsConnecting client("127.7.0.1:80");
    for (int i = 0; i < 5; ++i) {
        EXPECT_EQ(ctl("promote www").exit, 0);
        client.wait_for(50);
        EXPECT_EQ(ctl("demote www").exit, 0);
        client.wait_for(50);
    }
    EXPECT_THAT(client.stop(), IsEmpty());
}

TEST_F(Staged, AllOfItOutlivesTheAgent) {
    const Fd old = listen_tcp("127.0.0.1:9001"), next = listen_tcp("127.0.0.1:9002"),
             ready = listen_tcp("127.0.0.1:9003");
    ASSERT_EQ(enlist("www", {&old}).exit, 0);
    ASSERT_EQ(enlist("www", {&next}, "--staged").exit, 0);
    kill();
    start();
    ASSERT_EQ(ctl("promote www").exit, 0);
    ASSERT_EQ(enlist("www", {&ready}, "--staged").exit, 0);
    kill();
    EXPECT_TRUE(reaches("127.7.0.1:80", next));
    start();
    EXPECT_EQ(states(), (States{{"127.0.0.1:9001", "staged demote"},
                                {"127.0.0.1:9002", "serving"},
                                {"127.0.0.1:9003", "staged promote"}}));
    ASSERT_EQ(ctl("demote www").exit, 0);
    EXPECT_TRUE(reaches("127.7.0.1:80", old));
}

TEST_F(Staged, WithNothingToSwitchToItIsRefusedAndAnUnknownNameIsInvalid) {
    for (const char* command : {"promote", "demote"}) {
        const Answer nothing = ctl(std::string(command) + " www");
        EXPECT_EQ(nothing.exit, 4) << nothing.err;
        EXPECT_THAT(nothing.err, HasSubstr("hint: "));
        EXPECT_EQ(ctl(std::string(command) + " nobody").exit, 2);
        const Answer json = ctl("-o json " + std::string(command) + " www");
        EXPECT_EQ(json.exit, 4);
        EXPECT_EQ(json.json().at("error").at("exit"), 4);
    }
    const Fd www = listen_tcp("127.0.0.1:9001");
    ASSERT_EQ(enlist("www", {&www}).exit, 0);
    EXPECT_EQ(ctl("promote www").exit, 4);
    EXPECT_EQ(ctl("demote www").exit, 4);
    EXPECT_TRUE(reaches("127.7.0.1:80", www));
}

TEST_F(Staged, ASetThatCanNoMoreServeIsNotSwitchedTo) {
    const Fd old = listen_tcp("127.0.0.1:9001"), next = listen_tcp("127.0.0.1:9002");
    ASSERT_EQ(enlist("www", {&old}).exit, 0);
    ASSERT_EQ(enlist("www", {&next}, "--staged").exit, 0);
    ASSERT_EQ(::shutdown(next.get(), SHUT_RDWR), 0);
    const Answer answer = ctl("promote www");
    EXPECT_EQ(answer.exit, 4);
    EXPECT_THAT(answer.err, HasSubstr("can serve"));
    EXPECT_EQ(states().at("127.0.0.1:9002"), "failing promote");
    EXPECT_TRUE(reaches("127.7.0.1:80", old));
}

TEST_F(Staged, StagedSocketsMayBeOnAnotherPortButAllOnOne) {
    const Fd old = listen_tcp("127.0.0.1:9001"), next = listen_tcp("127.0.0.1:9002"),
             third = listen_tcp("127.0.0.1:9003");
    ASSERT_EQ(enlist("www", {&old}).exit, 0);
    EXPECT_EQ(enlist("www", {&next}, "--staged").exit, 0);
    EXPECT_EQ(enlist("www", {&third}, "--staged").exit, 4);
    EXPECT_EQ(enlist("www", {&third}).exit, 4) << "nor beside the one that serves";
}

TEST_F(Staged, WhereTheOldOnesAreGoneTheServiceIsDegradedAndSaysWhatCouldBePromoted) {
    Fd old = listen_tcp("127.0.0.1:9001");
    const Fd next = listen_tcp("127.0.0.1:9002");
    ASSERT_EQ(enlist("www", {&old}).exit, 0);
    ASSERT_EQ(enlist("www", {&next}, "--staged").exit, 0);
    old.reset();
    EXPECT_EQ(dial("127.7.0.1:80"), "refused") << "what was not promoted serves nobody";
    ASSERT_TRUE(eventually([&] { return states().size() == 1; }));
    EXPECT_THAT(ctl("status").out, HasSubstr("1 staged could be promoted"));
    EXPECT_EQ(ctl("promote www").exit, 0);
    EXPECT_TRUE(reaches("127.7.0.1:80", next));
    EXPECT_EQ(ctl("demote www").exit, 4) << "there is nothing to go back to";
}

TEST_F(Staged, ASwitchThatLosesAKindOfTrafficSaysSo) {
    write_config(R"(version: 1
services: {www: {}}
bindings:
  - {service: www, protocol: tcp, prefix: [127.7.0.0/16, "2001:db8::/32"], port: 80}
)");
    ASSERT_EQ(ctl("reload").exit, 0);
    const Fd both = listen_tcp("[::]:9001"), four = listen_tcp("127.0.0.1:9002");
    ASSERT_EQ(enlist("www", {&both}).exit, 0);
    ASSERT_EQ(enlist("www", {&four}, "--staged").exit, 0);
    const Answer answer = ctl("promote www");
    EXPECT_EQ(answer.exit, 0);
    EXPECT_THAT(answer.out, HasSubstr("warning: www: no usable tcp ipv6 socket"));
    EXPECT_THAT(answer.out, HasSubstr("sluicectl demote www"));
}

TEST_F(Staged, WhatIsStagedIsInNoAnswerOfExplainButNamed) {
    const Fd next = listen_tcp("127.0.0.1:9002");
    ASSERT_EQ(enlist("www", {&next}, "--staged").exit, 0);
    const Json refused = ask("explain tcp 127.7.0.1 80");
    EXPECT_EQ(refused.at("verdict"), "unavailable");
    EXPECT_EQ(refused.at("agree"), true);
    EXPECT_EQ(refused.at("sockets").at(0).at("state"), "staged");
}

TEST_F(Staged, UnregisterTakesThoseThatWaitTooAndTheAgentSaysWhichThereAre) {
    const Fd old = listen_tcp("127.0.0.1:9001"), next = listen_tcp("127.0.0.1:9002");
    ASSERT_EQ(enlist("www", {&old}).exit, 0);
    ASSERT_EQ(enlist("www", {&next}, "--staged").exit, 0);
    EXPECT_EQ(ask("status").at("socket_states").at("staged"), 1);
    EXPECT_EQ(ask("status").at("socket_states").at("serving"), 1);
    EXPECT_EQ(ask("unregister www").at("removed"), 2);
    EXPECT_EQ(ask("sockets").size(), 0U);
}

TEST_F(Staged, ASocketThatIsThereAlreadyKeepsItsRoleAndThatIsSaid) {
    const Fd old = listen_tcp("127.0.0.1:9001"), next = listen_tcp("127.0.0.1:9002");
    ASSERT_EQ(enlist("www", {&old}).exit, 0);
    ASSERT_EQ(enlist("www", {&next}, "--staged").exit, 0);
    EXPECT_THAT(enlist("www", {&old}, "--staged").out, HasSubstr("serves 'www' already"));
    EXPECT_THAT(enlist("www", {&old}).out, ::testing::Not(HasSubstr("warning")));
    const Answer again = enlist("other", {&next});
    EXPECT_EQ(again.exit, 4);
    EXPECT_THAT(enlist("www", {&next}, "--staged").out, ::testing::Not(HasSubstr("warning")));
    EXPECT_EQ(enlist("www", {&next}, "--replace").exit, 0);
    EXPECT_EQ(states(), (States{{"127.0.0.1:9002", "serving"}}));
}

TEST_F(Staged, SocketsOfAServiceThatLeftTheConfigAreParkedWhateverTheirRole) {
    const Fd old = listen_tcp("127.0.0.1:9001"), next = listen_tcp("127.0.0.1:9002");
    ASSERT_EQ(enlist("www", {&old}).exit, 0);
    ASSERT_EQ(enlist("www", {&next}, "--staged").exit, 0);
    write_config("version: 1\nservices: {other: {}}\n");
    ASSERT_EQ(ctl("reload --allow empty,removals").exit, 0);
    EXPECT_EQ(states(),
              (States{{"127.0.0.1:9001", "parked"}, {"127.0.0.1:9002", "parked promote"}}));
    EXPECT_EQ(ctl("promote www").exit, 4);
    write_config(one_service);
    ASSERT_EQ(ctl("reload").exit, 0);
    EXPECT_TRUE(reaches("127.7.0.1:80", old));
    EXPECT_EQ(ctl("promote www").exit, 0);
    EXPECT_TRUE(reaches("127.7.0.1:80", next));
}

}  // namespace
}  // namespace sluice::testing

// SPDX-License-Identifier: Apache-2.0
// explain says what a packet would find, why, and leaves no trace.
#include <set>
#include <sys/socket.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "system/agent_world.h"
#include "system/clients.h"

namespace sluice::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

struct Explain : AgentWorld {
    Fd four, spare;
    void SetUp() override {
        AgentWorld::SetUp();
        start(R"(version: 1
services:
  www: {}
  empty: {}
  passing: {unavailable: pass}
  falling: {unavailable: {fallback: spare}}
  spare: {}
bindings:
  - {service: www, protocol: tcp, prefix: [127.7.0.0/16, "2001:db8::/32"], port: any}
  - {service: empty, protocol: tcp, prefix: 127.7.1.0/24, port: 80}
  - {service: passing, protocol: tcp, prefix: 127.7.2.0/24, port: 80}
  - {service: falling, protocol: tcp, prefix: 127.7.3.0/24, port: 80}
  - {reject: true, protocol: tcp, prefix: 127.7.4.0/24, port: 80}
  - {pass: true, protocol: tcp, prefix: 127.7.5.0/24, port: 80}
)");
        four = listen_tcp("127.0.0.1:9999");
        spare = listen_tcp("127.0.0.1:9998");
        ASSERT_EQ(enlist("www", {&four}).exit, 0);
        ASSERT_EQ(enlist("spare", {&spare}).exit, 0);
    }
    void TearDown() override {
        four.reset();
        spare.reset();
        AgentWorld::TearDown();
    }
};

TEST_F(Explain, GivesTheVerdictTheEffectAndWhoServesForEveryKindOfBinding) {
    struct Case {
        std::string to, verdict, effect;
        Json served_by;
    };
    const std::vector<Case> cases = {
        {"127.7.0.1 80", "assign", "assign", "www"},
        {"127.7.1.1 80", "unavailable", "reject", nullptr},
        {"127.7.2.1 80", "unavailable", "pass", nullptr},
        {"127.7.3.1 80", "assign", "assign", "spare"},
        {"127.7.4.1 80", "reject", "reject", nullptr},
        {"127.7.5.1 80", "pass", "pass", nullptr},
        {"127.8.0.1 80", "pass", "pass", nullptr},
        {"2001:db8::1 80", "unavailable", "reject", nullptr},
    };
    for (const Case& one : cases) {
        const Json explained = ask("explain tcp " + one.to);
        EXPECT_EQ(explained.at("verdict"), one.verdict) << one.to;
        EXPECT_EQ(explained.at("effect"), one.effect) << one.to;
        EXPECT_EQ(explained.at("served_by"), one.served_by) << one.to;
        EXPECT_EQ(explained.at("agree"), true) << one.to;
    }
}

TEST_F(Explain, ListsWhatWasConsideredWithTheWinnerFirstAndWhyTheOthersLost) {
    const Json considered = ask("explain tcp 127.7.4.1 80").at("considered");
    ASSERT_EQ(considered.size(), 2U);
    EXPECT_EQ(considered.at(0).at("wins"), true);
    EXPECT_EQ(considered.at(0).at("prefix"), "127.7.4.0/24");
    EXPECT_EQ(considered.at(1).at("wins"), false);
    EXPECT_THAT(considered.at(1).at("why").get<std::string>(), HasSubstr("shorter prefix"));
    const Json elsewhere = ask("explain tcp 127.7.4.1 81").at("considered");
    EXPECT_EQ(elsewhere.at(0).at("service"), "www") << "the port is not the reject's";
}

TEST_F(Explain, NamesTheVerySocketThatAFlowGets) {
    std::vector<Fd> members;
    for (int i = 2; i < 6; ++i)
        members.push_back(listen_tcp("127.0.0." + std::to_string(i) + ":9999"));
    ASSERT_EQ(enlist("www", {&members[0], &members[1], &members[2], &members[3]}).exit, 0);
    std::set<std::string> chosen;
    for (int port = 40000; port < 40016; ++port) {
        const Fd client(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
        const auto from = sockaddr_of("127.0.0.1:" + std::to_string(port));
        const auto to = sockaddr_of("127.7.0.1:80");
        const Json explained =
            ask("explain tcp 127.7.0.1 80 --from 127.0.0.1:" + std::to_string(port));
        const auto local = explained.at("socket").at("local").get<std::string>();
        chosen.insert(local);
        ASSERT_EQ(::bind(client.get(), from.get(), from.size), 0);
        ASSERT_EQ(::connect(client.get(), to.get(), to.size), 0);
        for (const Fd* member : {&four, &members[0], &members[1], &members[2], &members[3]})
            EXPECT_EQ(waiting(*member) == 1, local_of(*member) == local) << local;
    }
    EXPECT_GT(chosen.size(), 1U);
}

TEST_F(Explain, MovesNoCounter) {
    const auto counters = [&] {
        Json rows = ask("status").at("services");
        std::vector<std::string> texts;
        for (const Json& row : rows)
            for (const char* key : {"lookups", "assigned", "rejected", "unavailable", "errors"})
                texts.push_back(row.at("name").get<std::string>() + " " + key + " " +
                                row.at(key).dump());
        for (const Json& row : ask("status").at("verdicts"))
            texts.push_back(row.at("name").get<std::string>() + row.at("lookups").dump());
        return texts;
    };
    ASSERT_EQ(dial("127.7.0.1:80"), "connected");
    ASSERT_TRUE(eventually([&] {
        return ask("status www").at("services").at(0).at("assigned") == 1;
    })) << "traffic counts";
    const auto before = counters();
    for (const char* to : {"127.7.0.1 80", "127.7.1.1 80", "127.7.2.1 80", "127.7.3.1 80",
                           "127.7.4.1 80", "127.7.5.1 80", "127.8.0.1 80"})
        ask(std::string("explain tcp ") + to);
    // Counters are sampled once a second: traffic afterwards shows that a later sample was looked
    // at.
    ASSERT_EQ(dial("127.7.1.1:80"), "refused");
    ASSERT_TRUE(eventually(
        [&] { return ask("status empty").at("services").at(0).at("unavailable") == 1; }));
    auto expected = before;
    for (std::string& text : expected) {
        if (text == "empty lookups 0") text = "empty lookups 1";
        if (text == "empty unavailable 0") text = "empty unavailable 1";
        if (text == "empty rejected 0") text = "empty rejected 1";
    }
    EXPECT_EQ(counters(), expected);
}

TEST_F(Explain, SaysWhyAServiceWithASocketOfTheOtherFamilyRefuses) {
    const Answer answer = ctl("explain tcp 2001:db8::7 443");
    EXPECT_EQ(answer.exit, 0);
    EXPECT_THAT(answer.out, HasSubstr("no usable IPv6 socket"));
    EXPECT_THAT(answer.out, HasSubstr("serves IPv4 only"));
    EXPECT_THAT(answer.out, HasSubstr("hint: "));
}

TEST_F(Explain, WarnsOfAnAddressWithoutALocalRoute) {
    const Answer answer = ctl("explain tcp 192.0.2.1 80");
    EXPECT_EQ(answer.exit, 0);
    const Json warnings = ask("explain tcp 192.0.2.1 80").at("warnings");
    ASSERT_EQ(warnings.size(), 1U);
    EXPECT_EQ(warnings.at(0).at("code"), "no-local-route");
    EXPECT_THAT(warnings.at(0).at("fix").get<std::string>(), HasSubstr("ip route add local"));
}

TEST_F(Explain, AgreesWithTrafficOnEveryAddressAndPortThatBordersABinding) {
    for (const char* to :
         {"127.7.0.0", "127.7.0.255", "127.7.1.0", "127.7.1.255", "127.7.2.0", "127.7.3.255",
          "127.7.4.0", "127.7.5.255", "127.7.255.255", "127.6.255.255", "127.8.0.0"})
        for (const int port : {79, 80, 81, 1, 65535}) {
            const std::string where = std::string(to) + " " + std::to_string(port);
            const bool assigned = ask("explain tcp " + where).at("effect") == "assign";
            const std::string seen = dial(std::string(to) + ":" + std::to_string(port));
            EXPECT_EQ(seen, assigned ? "connected" : "refused") << where;
        }
}

}  // namespace
}  // namespace sluice::testing

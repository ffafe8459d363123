// SPDX-License-Identifier: Apache-2.0
// bind and unbind: what answers at once, what they may change, and how they meet the config.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "system/agent_world.h"
#include "system/clients.h"

namespace sluice::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr const char* two_services = R"(version: 1
services: {www: {}, api: {}}
bindings:
  - {service: www, protocol: tcp, prefix: 127.7.0.0/16, port: 80}
)";

struct RuntimeBindings : AgentWorld {
    void SetUp() override {
        AgentWorld::SetUp();
        start(two_services);
    }
    std::vector<std::string> runtime() const { return brief_all(ask("bindings --owner runtime")); }
};

TEST_F(RuntimeBindings, ABindingAnswersFromThenOnUntilItIsUnbound) {
    const Fd api = listen_tcp("127.0.0.1:9998");
    ASSERT_EQ(enlist("api", {&api}).exit, 0);
    EXPECT_EQ(dial("127.8.0.1:80"), "refused");
    const Json bound = ask("bind api tcp 127.8.0.0/16 80");
    EXPECT_EQ(bound.at("changed"), true);
    EXPECT_EQ(bound.at("generation"), 2);
    EXPECT_TRUE(reaches("127.8.0.1:80", api));
    EXPECT_THAT(runtime(), ElementsAre("tcp 127.8.0.0/16 80 api runtime"));
    EXPECT_EQ(ctl("unbind tcp 127.8.0.0/16 80").exit, 0);
    EXPECT_EQ(dial("127.8.0.1:80"), "refused");
    EXPECT_THAT(runtime(), IsEmpty());
}

TEST_F(RuntimeBindings, ListsWithCommasAreOneChange) {
    const Json bound = ask("bind api tcp,udp 127.8.0.0/16,2001:db8::/64 80,8000-8999");
    EXPECT_EQ(bound.at("added").size(), 8U);
    EXPECT_EQ(bound.at("generation"), 2);
    EXPECT_EQ(runtime().size(), 8U);
    EXPECT_EQ(ask("unbind tcp,udp 127.8.0.0/16,2001:db8::/64 80,8000-8999").at("generation"), 3);
    EXPECT_THAT(runtime(), IsEmpty());
}

TEST_F(RuntimeBindings, AListWithOneThatIsRefusedChangesNothing) {
    EXPECT_EQ(ctl("bind api tcp 127.8.0.0/16,127.7.0.0/16 80").exit, 4);
    EXPECT_THAT(runtime(), IsEmpty());
    ASSERT_EQ(ctl("bind api tcp 127.8.0.0/16 80").exit, 0);
    EXPECT_EQ(ctl("unbind tcp 127.8.0.0/16,127.9.0.0/16 80").exit, 2);
    EXPECT_EQ(runtime().size(), 1U);
}

TEST_F(RuntimeBindings, WhatIsSoAlreadyIsDoneAndMakesNoGeneration) {
    const auto generation = ask("bind api tcp 127.8.0.0/16 80").at("generation");
    const Json again = ask("bind api tcp 127.8.0.0/16 80");
    EXPECT_EQ(again.at("changed"), false);
    EXPECT_EQ(again.at("generation"), generation);
    const Json as_in_config = ask("bind www tcp 127.7.0.0/16 80");
    EXPECT_EQ(as_in_config.at("changed"), false);
    EXPECT_EQ(runtime().size(), 1U);
}

TEST_F(RuntimeBindings, ABindingOfTheConfigIsRefusedWithoutOverride) {
    const Answer answer = ctl("bind api tcp 127.7.0.0/16 80");
    EXPECT_EQ(answer.exit, 4);
    EXPECT_THAT(answer.err, HasSubstr("sluice.yaml:4"));
    EXPECT_THAT(answer.err, HasSubstr("hint: "));
    EXPECT_THAT(answer.err, HasSubstr("--override"));
}

TEST_F(RuntimeBindings, AnOverrideAnswersAndTheConfigsWaitsBehindItUntilItIsUnbound) {
    const Fd www = listen_tcp("127.0.0.1:9999"), api = listen_tcp("127.0.0.1:9998");
    ASSERT_EQ(enlist("www", {&www}).exit, 0);
    ASSERT_EQ(enlist("api", {&api}).exit, 0);
    ASSERT_EQ(ctl("bind --override --note 'INC 4711' api tcp 127.7.0.0/16 80").exit, 0);
    EXPECT_TRUE(reaches("127.7.0.1:80", api));
    const Json bindings = ask("bindings");
    EXPECT_THAT(brief_all(bindings), ElementsAre("tcp 127.7.0.0/16 80 api runtime",
                                                 "tcp 127.7.0.0/16 80 www config shadowed"));
    EXPECT_EQ(bindings.at(0).at("note"), "INC 4711");
    EXPECT_EQ(ask("status").at("overrides"), 1);
    ASSERT_EQ(ctl("unbind tcp 127.7.0.0/16 80").exit, 0);
    EXPECT_TRUE(reaches("127.7.0.1:80", www));
}

TEST_F(RuntimeBindings, ABindingOfTheConfigCannotBeUnbound) {
    const Answer answer = ctl("unbind tcp 127.7.0.0/16 80");
    EXPECT_EQ(answer.exit, 4);
    EXPECT_THAT(answer.err, HasSubstr("sluice.yaml:4"));
    EXPECT_EQ(ask("bindings").size(), 1U);
}

TEST_F(RuntimeBindings, WhatDoesNotExistIsInvalid) {
    EXPECT_EQ(ctl("bind none tcp 127.8.0.0/16 80").exit, 2);
    EXPECT_EQ(ctl("unbind tcp 127.8.0.0/16 80").exit, 2);
    EXPECT_EQ(ctl("bindings --service none").exit, 2);
    EXPECT_EQ(ctl("status none").exit, 2);
    EXPECT_EQ(ctl("sockets --service none").exit, 2);
}

TEST_F(RuntimeBindings, WordsThatAreNoBindingAreInvalid) {
    for (const char* words :
         {"bind api sctp 127.8.0.0/16 80", "bind api TCP 127.8.0.0/16 80",
          "bind api tcp 127.8.0.1/16 80", "bind api tcp 127.8.0.0/16 0",
          "bind api tcp 127.8.0.0/16 080", "bind api tcp 127.8.0.0/16 90-80",
          "bind api tcp ::ffff:127.0.0.1 80", "bind api tcp 127.8.0.0/16",
          "bind api tcp 127.8.0.0/16 80 more", "bind --reject api tcp 127.8.0.0/16 80",
          "bind --reject --pass tcp 127.8.0.0/16 80", "bind tcp 127.8.0.0/16 80",
          "bind api tcp 127.8.0.0/16, 80", "bind api tcp,tcp 127.8.0.0/16 1-10,5-15", "unbind tcp",
          "binds", ""})
        EXPECT_EQ(ctl(words).exit, 2) << words;
    EXPECT_EQ(ask("status").at("generation"), 1);
}

TEST_F(RuntimeBindings, RejectAndPassStandInPlaceOfAService) {
    const Fd ordinary = listen_tcp("127.7.0.2:80"), www = listen_tcp("127.0.0.1:9999");
    ASSERT_EQ(enlist("www", {&www}).exit, 0);
    ASSERT_EQ(ctl("bind --reject tcp 127.7.0.1 80").exit, 0);
    ASSERT_EQ(ctl("bind --pass tcp 127.7.0.2 80").exit, 0);
    EXPECT_EQ(dial("127.7.0.1:80"), "refused");
    EXPECT_TRUE(reaches("127.7.0.2:80", ordinary));
    EXPECT_TRUE(reaches("127.7.0.3:80", www));
    EXPECT_THAT(runtime(), ElementsAre("tcp 127.7.0.1/32 80 (reject) runtime",
                                       "tcp 127.7.0.2/32 80 (pass) runtime"));
}

TEST_F(RuntimeBindings, AReloadLeavesThemAlone) {
    ASSERT_EQ(ctl("bind api tcp 127.8.0.0/16 80").exit, 0);
    write_config(
        "version: 1\nservices: {www: {}, api: {}}\nbindings:\n  - {service: www, "
        "protocol: tcp, prefix: 127.9.0.0/16, port: 80}\n");
    ASSERT_EQ(ctl("reload").exit, 0);
    EXPECT_THAT(brief_all(ask("bindings")),
                ElementsAre("tcp 127.8.0.0/16 80 api runtime", "tcp 127.9.0.0/16 80 www config"));
}

TEST_F(RuntimeBindings, AConfigThatSaysTheSameTakesThemOver) {
    const std::string more = "  - {service: api, protocol: tcp, prefix: 127.8.0.0/16, port: 80}\n";
    const Fd api = listen_tcp("127.0.0.1:9998");
    ASSERT_EQ(enlist("api", {&api}).exit, 0);
    ASSERT_EQ(ctl("bind api tcp 127.8.0.0/16 80").exit, 0);
    write_config(two_services + more);
    KeepsConnecting client("127.8.0.1:80");
    const Accepting accepting({&api});
    ASSERT_EQ(ctl("reload").exit, 0);
    client.wait_for(20);
    EXPECT_THAT(client.stop(), IsEmpty());
    EXPECT_THAT(runtime(), IsEmpty());
    EXPECT_EQ(ask("bindings").size(), 2U);
}

TEST_F(RuntimeBindings, AConfigThatSaysOtherwiseWaitsBehindThemWithAWarning) {
    ASSERT_EQ(ctl("bind api tcp 127.8.0.0/16 80").exit, 0);
    write_config(two_services + std::string("  - {service: www, protocol: tcp, prefix: "
                                            "127.8.0.0/16, port: 80}\n"));
    const Answer answer = ctl("reload");
    EXPECT_EQ(answer.exit, 0);
    EXPECT_THAT(answer.out + answer.err, HasSubstr("waits behind a runtime binding"));
    EXPECT_THAT(
        brief_all(ask("bindings --covering 127.8.0.1")),
        ElementsAre("tcp 127.8.0.0/16 80 api runtime", "tcp 127.8.0.0/16 80 www config shadowed"));
}

TEST_F(RuntimeBindings, AChangeWithoutARouteOrASocketSaysSo) {
    const Json bound = ask("bind api tcp 192.0.2.0/24 80");
    std::vector<std::string> codes;
    for (const Json& warning : bound.at("warnings")) codes.push_back(warning.at("code"));
    EXPECT_THAT(codes,
                ::testing::UnorderedElementsAre("no-local-route", "service-without-sockets"));
    EXPECT_THAT(ctl("bind api tcp 198.51.100.0/24 80").out,
                HasSubstr("ip route add local 198.51.100.0/24 dev lo"));
}

TEST_F(RuntimeBindings, FiltersOfBindingsMustAllHold) {
    ASSERT_EQ(ctl("bind api tcp,udp 127.7.7.0/24 443").exit, 0);
    ASSERT_EQ(ctl("bind api tcp 127.7.0.0/16 8000-8999").exit, 0);
    EXPECT_EQ(ask("bindings").size(), 4U);
    EXPECT_THAT(brief_all(ask("bindings --covering 127.7.7.1 --protocol tcp")),
                ElementsAre("tcp 127.7.7.0/24 443 api runtime", "tcp 127.7.0.0/16 80 www config",
                            "tcp 127.7.0.0/16 8000-8999 api runtime"));
    EXPECT_THAT(brief_all(ask("bindings --within 127.7.7.0/24 --protocol udp")),
                ElementsAre("udp 127.7.7.0/24 443 api runtime"));
    EXPECT_THAT(brief_all(ask("bindings --port 8500")),
                ElementsAre("tcp 127.7.0.0/16 8000-8999 api runtime"));
    EXPECT_THAT(brief_all(ask("bindings --service www --owner runtime")), IsEmpty());
}

}  // namespace
}  // namespace sluice::testing

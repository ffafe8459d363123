// SPDX-License-Identifier: Apache-2.0
// The control socket as any Varlink client sees it: introspection, parts of long answers, oneway.
#include <set>
#include <sys/socket.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/varlink_interface.h"
#include "system/agent_world.h"
#include "system/clients.h"

namespace sluice::testing {
namespace {

using ::testing::HasSubstr;

struct Varlink : AgentWorld {
    void SetUp() override {
        AgentWorld::SetUp();
        start(
            "version: 1\nservices: {www: {}}\nbindings:\n  - {service: www, protocol: tcp, "
            "prefix: 127.7.0.0/16, port: 80}\n");
    }
    RawPeer peer() const { return {control(), SOCK_STREAM}; }
    static void say(RawPeer& to, const Json& call) {
        ASSERT_TRUE(to.send(call.dump() + std::string(1, '\0')));
    }
    static Json hear(RawPeer& from) { return Json::parse(from.receive_to_nul()); }
    Json ask_raw(const Json& call) const {
        RawPeer one = peer();
        say(one, call);
        return hear(one);
    }
};

TEST_F(Varlink, GetInfoSaysWhoAnswersAndWhatItSpeaks) {
    const Json info = ask_raw({{"method", "org.varlink.service.GetInfo"}}).at("parameters");
    for (const char* key : {"vendor", "product", "version", "url"})
        EXPECT_TRUE(info.at(key).is_string()) << key;
    EXPECT_EQ(info.at("interfaces"), Json::array({"org.varlink.service", "internal.sluice.Agent"}));
}

TEST_F(Varlink, EveryInterfaceDescribesItselfInTheLanguageOfVarlink) {
    for (const char* name : {"org.varlink.service", "internal.sluice.Agent"}) {
        const Json described = ask_raw({{"method", "org.varlink.service.GetInterfaceDescription"},
                                        {"parameters", {{"interface", name}}}});
        const auto text = described.at("parameters").at("description").get<std::string>();
        EXPECT_EQ(must(VarlinkInterface::parse(text)).name(), name);
    }
}

TEST_F(Varlink, WhatTheAgentAnswersIsWhatItsInterfaceSays) {
    const Json described = ask_raw({{"method", "org.varlink.service.GetInterfaceDescription"},
                                    {"parameters", {{"interface", "internal.sluice.Agent"}}}});
    const auto interface = must(
        VarlinkInterface::parse(described.at("parameters").at("description").get<std::string>()));
    const Json match = {{"protocol", "tcp"}, {"prefix", "127.8.0.0/16"}, {"port", "80"}};
    const std::vector<std::pair<std::string, Json>> calls = {
        {"Status", Json::object()},
        {"Bindings", Json::object()},
        {"Services", Json::object()},
        {"Sockets", Json::object()},
        {"Bind", {{"service", "www"}, {"matches", Json::array({match})}}},
        {"Unbind", {{"matches", Json::array({match})}}},
        {"Reload", Json::object()},
        {"Unregister", {{"service", "www"}}},
        {"Config", Json::object()},
        {"Explain", {{"protocol", "tcp"}, {"address", "127.7.0.1"}, {"port", 80}}},
        {"Detach", {{"dry_run", true}}},
        {"Attach", Json::object()},
    };
    for (const auto& [name, parameters] : calls) {
        const Json reply =
            ask_raw({{"method", "internal.sluice.Agent." + name}, {"parameters", parameters}});
        ASSERT_FALSE(reply.contains("error")) << name << reply;
        const auto* method = interface.method(name);
        ASSERT_NE(method, nullptr) << name;
        const Json answer = reply.at("parameters");
        EXPECT_EQ(interface.first_mismatch(method->out, answer), "") << name << answer;
    }
}

TEST_F(Varlink, ErrorsCarryWhatTheInterfaceSaysTheyDo) {
    const Json reply = ask_raw(
        {{"method", "internal.sluice.Agent.Status"}, {"parameters", {{"service", "none"}}}});
    EXPECT_EQ(reply.at("error"), "internal.sluice.Agent.Invalid");
    const Json said = reply.at("parameters");
    EXPECT_EQ(said.at("exit"), 2);
    EXPECT_THAT(said.at("why").get<std::string>(), HasSubstr("'none'"));
    EXPECT_TRUE(said.at("doing").is_string());
    EXPECT_TRUE(said.at("where").is_array());
}

TEST_F(Varlink, ALongListComesInPartsThatTogetherAreTheWhole) {
    std::string list;
    for (int i = 0; i < 5000; ++i)
        list += "10." + std::to_string(i / 250) + "." + std::to_string(i % 250) + ".0/24\n";
    write(scratch() + "/list.txt", list);
    write_config(
        "version: 1\nservices: {www: {}}\nbindings:\n  - {service: www, protocol: tcp, "
        "prefixes_from: list.txt, port: 80}\n");
    ASSERT_EQ(ctl("reload").exit, 0);
    RawPeer one = peer();
    say(one, {{"method", "internal.sluice.Agent.Bindings"}, {"more", true}});
    std::set<std::string> prefixes;
    int parts = 0;
    for (bool more = true; more;) {
        const Json part = hear(one);
        more = part.value("continues", false);
        ++parts;
        EXPECT_EQ(part.at("parameters").at("total"), 5000);
        for (const Json& binding : part.at("parameters").at("bindings"))
            prefixes.insert(binding.at("prefix").get<std::string>());
    }
    EXPECT_GT(parts, 1);
    EXPECT_EQ(prefixes.size(), 5000U);
    EXPECT_EQ(ask("bindings").size(), 5000U);
}

TEST_F(Varlink, AListWithNothingInItIsOnePart) {
    RawPeer one = peer();
    say(one, {{"method", "internal.sluice.Agent.Bindings"},
              {"parameters", {{"covering", "192.0.2.1"}}},
              {"more", true}});
    const Json part = hear(one);
    EXPECT_FALSE(part.value("continues", false));
    EXPECT_EQ(part.at("parameters").at("bindings"), Json::array());
}

TEST_F(Varlink, CallsOnOneConnectionAreAnsweredInOrderAndOnewayOnesNotAtAll) {
    RawPeer one = peer();
    const auto call = [](const char* method, const Json& parameters, bool oneway) {
        Json made = {{"method", method}, {"parameters", parameters}};
        if (oneway) made["oneway"] = true;
        return made.dump() + std::string(1, '\0');
    };
    const Json match = {{"protocol", "tcp"}, {"prefix", "127.8.0.0/16"}, {"port", "80"}};
    const Json bind = {{"service", "www"}, {"matches", Json::array({match})}};
    ASSERT_TRUE(one.send(call("internal.sluice.Agent.Bind", bind, true) +
                         call("internal.sluice.Agent.Status", Json::object(), false) +
                         call("org.varlink.service.GetInfo", Json::object(), false)));
    EXPECT_EQ(hear(one).at("parameters").at("generation"), 2);
    EXPECT_EQ(hear(one).at("parameters").at("product"), "sluiced");
}

TEST_F(Varlink, AClientThatDoesNotReadKeepsNobodyElseWaiting) {
    RawPeer deaf = peer();
    const std::string describe = Json({{"method", "org.varlink.service.GetInterfaceDescription"},
                                       {"parameters", {{"interface", "internal.sluice.Agent"}}}})
                                     .dump() +
                                 std::string(1, '\0');
    for (int i = 0; i < 200; ++i) ASSERT_TRUE(deaf.send(describe));
    EXPECT_EQ(ask("status").at("generation"), 1);
    for (int i = 0; i < 200; ++i) ASSERT_NE(deaf.receive_to_nul(), "") << i;
}

}  // namespace
}  // namespace sluice::testing

// SPDX-License-Identifier: Apache-2.0
// plan, apply, confirm, rollback and history, with the guards and owners, as an operator types
// them.
#include <filesystem>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "system/agent_world.h"
#include "system/clients.h"

namespace sluice::testing {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

std::string config(const std::string& bindings, const std::string& more = "") {
    return "version: 1\nservices: {www: {}, api: {}, dns: {}}\n" + more + "bindings:\n" + bindings;
}
std::string bound(const std::string& service, const std::string& prefix,
                  const std::string& port = "80") {
    return "  - {service: " + service + ", protocol: tcp, prefix: " + prefix + ", port: " + port +
           "}\n";
}
const std::string first = config(bound("www", "127.7.0.0/16"));
const std::string second = config(bound("www", "127.7.0.0/16") + bound("api", "127.8.0.0/16"));

struct Changes : AgentWorld {
    Fd www, api;
    void SetUp() override {
        AgentWorld::SetUp();
        www = listen_tcp("127.0.0.1:9999", {.backlog = 512});
        api = listen_tcp("127.0.0.1:9998", {.backlog = 512});
    }
    void TearDown() override {
        www.reset();
        api.reset();
        AgentWorld::TearDown();
    }
    void start_serving(const std::string& yaml) {
        start(yaml);
        ASSERT_EQ(enlist("www", {&www}).exit, 0);
        ASSERT_EQ(enlist("api", {&api}).exit, 0);
    }
    std::vector<std::string> table() const { return brief_all(ask("bindings")); }
    std::int64_t generation() const { return ask("status").at("generation"); }
    std::string config_state() const { return ask("status").at("config").at("state"); }
    void reboot() {
        stop();
        std::filesystem::remove_all(bpffs());
        start();
    }
    std::vector<std::string> standings() const {
        std::vector<std::string> list;
        for (const Json& one : ask("history"))
            list.push_back(std::to_string(one.at("generation").get<int>()) + " " +
                           one.at("state").get<std::string>());
        return list;
    }
};

TEST_F(Changes, APlanSaysWhatWouldChangeAndChangesNothing) {
    start_serving(first);
    write_config(config(bound("api", "127.7.0.0/16") + bound("www", "127.7.1.0/24", "any") +
                        bound("www", "127.9.0.0/16")));
    const Json plan = ask("plan");
    EXPECT_EQ(plan.at("changed"), true);
    EXPECT_EQ(plan.at("base_generation"), 1);
    EXPECT_EQ(plan.at("added").size(), 2U);
    EXPECT_EQ(plan.at("added").at(0).at("takes_from"), "pass");
    EXPECT_EQ(plan.at("moved").at(0).at("from"), "www");
    EXPECT_THAT(plan.at("refused_by"), IsEmpty());
    EXPECT_EQ(generation(), 1);
    const Answer text = ctl("plan");
    EXPECT_EQ(text.exit, 0);
    EXPECT_THAT(text.out, AllOf(HasSubstr("against generation 1, from " + config_path()),
                                HasSubstr("~ tcp 127.7.0.0/16 80   api       was www"),
                                HasSubstr("2 added, 1 moved, 0 removed, 0 as they are"),
                                HasSubstr("nothing was changed; to do it: sluicectl apply "
                                          "--if-generation 1")));
    EXPECT_EQ(ctl("plan --exit-code").exit, 10);
    ASSERT_EQ(ctl("apply --if-generation 1").exit, 0);
    EXPECT_EQ(ctl("plan --exit-code").exit, 0);
    EXPECT_THAT(ctl("plan").out, HasSubstr("nothing to change: generation 2 says the same"));
    EXPECT_TRUE(reaches("127.7.0.1:80", api));
}

TEST_F(Changes, AnApplyAgainstAnotherGenerationIsRefused) {
    start_serving(first);
    ASSERT_EQ(ctl("bind www tcp 127.9.0.0/16 80").exit, 0);
    write_config(second);
    const Answer late = ctl("apply --if-generation 1");
    EXPECT_EQ(late.exit, 4);
    EXPECT_THAT(late.err, AllOf(HasSubstr("generation 2 answers by now, not 1"),
                                HasSubstr("hint: look again: sluicectl plan")));
    EXPECT_EQ(generation(), 2);
    EXPECT_EQ(ctl("apply --if-generation 2").exit, 0);
}

TEST_F(Changes, AnInvalidConfigIsRefusedByTheCommandLineItself) {
    start_serving(first);
    write_config("version: 1\nbindngs: []\n");
    for (const char* command : {"plan", "apply"}) {
        const Answer answer = ctl(command);
        EXPECT_EQ(answer.exit, 2) << command;
        EXPECT_THAT(answer.err, HasSubstr("did you mean 'bindings'?"));
        EXPECT_EQ(ctl(std::string("-o json ") + command).json().at("error").at("where").size(), 1U);
    }
    EXPECT_EQ(ctl("apply " + scratch() + "/nowhere.yaml").exit, 2);
    EXPECT_EQ(generation(), 1);
}

TEST_F(Changes, ARollbackBringsBackAServiceThatWasDroppedWithItsSockets) {
    start_serving(second);
    write_config("version: 1\nservices: {www: {}}\nbindings:\n" + bound("www", "127.7.0.0/16"));
    ASSERT_EQ(ctl("reload").exit, 0);
    EXPECT_EQ(dial("127.8.0.1:80"), "refused");
    EXPECT_THAT(ctl("sockets").out, HasSubstr("parked"));
    const Answer back = ctl("rollback --note oops");
    EXPECT_EQ(back.exit, 0) << back.err;
    EXPECT_TRUE(reaches("127.8.0.1:80", api)) << "with no registration in between";
    EXPECT_THAT(standings(), ElementsAre("3 current", "2 rolled-back", "1 superseded"));
    EXPECT_EQ(ask("history 3").at(0).at("note"), "oops");
    EXPECT_EQ(ask("history 3").at(0).at("restores"), 1);
}

TEST_F(Changes, WhatWasRolledBackDoesNotReturnByItself) {
    start_serving(first);
    write_config(second);
    ASSERT_EQ(ctl("reload").exit, 0);
    ASSERT_EQ(ctl("rollback").exit, 0);
    EXPECT_EQ(config_state(), "set-aside");
    const std::vector<std::string> before = table();
    EXPECT_EQ(before, (std::vector<std::string>{"tcp 127.7.0.0/16 80 www config"}));
    const Answer reload = ctl("reload");
    EXPECT_EQ(reload.exit, 4);
    EXPECT_THAT(reload.err, HasSubstr("set aside as it is: generation 2 was rolled back by "));
    agent().signal(SIGHUP);
    notified("READY=1");
    EXPECT_EQ(table(), before) << "SIGHUP";
    restart();
    EXPECT_EQ(table(), before) << "restart";
    kill();
    start();
    EXPECT_EQ(table(), before) << "kill";
    reboot();
    EXPECT_EQ(table(), before) << "reboot";
    EXPECT_EQ(config_state(), "set-aside");
    ASSERT_EQ(ctl("apply").exit, 0);
    EXPECT_EQ(table().size(), 2U) << "somebody typed it";
    EXPECT_EQ(config_state(), "applied");
    ASSERT_EQ(ctl("rollback").exit, 0);
    write_config(second + "# another thought\n");
    EXPECT_EQ(config_state(), "changed");
    ASSERT_EQ(ctl("reload").exit, 0);
    EXPECT_EQ(table().size(), 2U) << "it changed";
}

TEST_F(Changes, RollingBackTwiceGoesBackTwoAndAnyKeptGenerationCanBeNamed) {
    start_serving(first);
    write_config(second);
    ASSERT_EQ(ctl("reload").exit, 0);
    write_config(config(bound("www", "127.7.0.0/16") + bound("www", "127.8.0.0/16")));
    ASSERT_EQ(ctl("reload").exit, 0);
    ASSERT_EQ(ctl("rollback").exit, 0);
    EXPECT_TRUE(reaches("127.8.0.1:80", api));
    ASSERT_EQ(ctl("rollback").exit, 0);
    EXPECT_EQ(table().size(), 1U);
    EXPECT_EQ(ctl("rollback").exit, 2) << "there is nothing before it";
    ASSERT_EQ(ctl("rollback 3").exit, 0);
    EXPECT_TRUE(reaches("127.8.0.1:80", www));
    EXPECT_EQ(ctl("rollback 99").exit, 2);
    EXPECT_THAT(ctl("rollback 99").err, HasSubstr("there is no generation 99"));
    std::filesystem::remove(config_path());
    ASSERT_EQ(ctl("rollback 1").exit, 0) << "no config file is needed";
    EXPECT_EQ(table().size(), 1U);
}

TEST_F(Changes, AnotherFileRunsUntilAReload) {
    start_serving(first);
    const std::string other = scratch() + "/other.yaml";
    write(other, second);
    ASSERT_EQ(ctl("apply " + other).exit, 0);
    EXPECT_EQ(config_state(), "other-file");
    write_config(config(bound("www", "127.9.0.0/16")));
    restart();
    EXPECT_EQ(table().size(), 2U) << "restarts leave the default config alone";
    reboot();
    EXPECT_EQ(table().size(), 2U);
    EXPECT_EQ(config_state(), "other-file");
    ASSERT_EQ(ctl("reload").exit, 0);
    EXPECT_THAT(table(), ElementsAre("tcp 127.9.0.0/16 80 www config"));
    EXPECT_EQ(config_state(), "applied");
}

TEST_F(Changes, AConfigIsReadWithTheCallersRightsWithAllThatItIncludes) {
    start_serving(first);
    const std::string directory = scratch() + "/mine";
    std::filesystem::create_directories(directory + "/conf.d");
    write(directory + "/conf.d/api.yaml",
          "services: {api: {}}\nbindings:\n" + bound("api", "127.8.0.0/16"));
    write(directory + "/list.txt", "127.9.0.0/24\n127.9.1.0/24\n");
    write(directory + "/main.yaml",
          "version: 1\ninclude: [conf.d/*.yaml]\nservices: {www: {}}\n"
          "bindings:\n" +
              bound("www", "127.7.0.0/16") +
              "  - {service: www, protocol: tcp, prefixes_from: list.txt, "
              "port: 80}\n");
    const Json applied = ask("apply " + directory + "/main.yaml");
    EXPECT_EQ(applied.at("added").size(), 3U);
    EXPECT_EQ(applied.at("added").at(0).at("source").at("file"), "conf.d/api.yaml");
    EXPECT_TRUE(reaches("127.9.1.1:80", www));
    EXPECT_EQ(ask("status").at("config").at("files"), 3);
}

TEST_F(Changes, AMassRemovalIsRefusedWithTheNumbersAndTheWord) {
    std::string many;
    for (int i = 0; i < 20; ++i) many += bound("www", "127.7." + std::to_string(i) + ".0/24");
    start_serving(config(many));
    write_config(config(bound("www", "127.7.0.0/24")));
    for (const char* command : {"reload", "apply", "plan"}) {
        const Answer answer = ctl(command);
        EXPECT_EQ(answer.exit, 4) << command;
        EXPECT_THAT(answer.err,
                    AllOf(HasSubstr("refused: it removes 19 of 20 bindings (95 %), more than "
                                    "guards.max_removed allows (20 %)"),
                          HasSubstr("  - tcp 127.7.1.0/24 80  www         was "),
                          HasSubstr("  … 16 more: sluicectl plan"),
                          HasSubstr("hint: if it is meant: sluicectl apply --allow removals")));
        const Json document = ctl(std::string("-o json ") + command).json();
        EXPECT_EQ(document.at("error").at("exit"), 4);
        EXPECT_EQ(document.at("refused_by").at(0).at("guard"), "max_removed");
        EXPECT_EQ(document.at("refused_by").at(0).at("count"), 19);
        EXPECT_EQ(document.at("refused_by").at(0).at("allow"), "removals");
    }
    EXPECT_EQ(table().size(), 20U);
    const Json status = ask("status");
    EXPECT_EQ(status.at("state"), "degraded");
    EXPECT_EQ(status.at("config").at("state"), "changed");
    restart();
    EXPECT_EQ(table().size(), 20U) << "a restart is refused as well";
    EXPECT_EQ(ctl("apply --allow protected,empty").exit, 4);
    ASSERT_EQ(ctl("apply --allow removals").exit, 0);
    EXPECT_EQ(table().size(), 1U);
    EXPECT_EQ(ask("status").at("state"), "ok");
    ASSERT_EQ(ctl("rollback").exit, 0) << "going back is never refused";
    EXPECT_EQ(table().size(), 20U);
}

TEST_F(Changes, AnEmptyFileOrListNeverMeansNothing) {
    start_serving(second);
    for (const char* nothing : {"", "version: 1\n", "version: 1\nservices: {www: {}}\n"}) {
        write_config(nothing);
        EXPECT_NE(ctl("reload").exit, 0) << nothing;
        restart();
        EXPECT_EQ(table().size(), 2U) << nothing;
    }
    EXPECT_EQ(ctl("reload --allow empty").exit, 0);
    EXPECT_THAT(table(), IsEmpty());
}

TEST_F(Changes, ProtectedUnservedAndBindingsOverTheHostAreAskedForByName) {
    ip("link add v0 type veth peer name v1");
    ip("address add 198.51.100.7/24 dev v0");
    const std::string guards = "guards: {protected: [127.7.0.0/16]}\n";
    start_serving(config(bound("www", "127.7.0.0/16") + bound("www", "127.8.0.0/16"), guards));
    EXPECT_EQ(ctl("bind --override api tcp 127.7.0.0/16 80").exit, 4);
    EXPECT_EQ(ctl("bind --override --allow protected api tcp 127.7.0.0/16 80").exit, 0);
    EXPECT_EQ(ctl("unbind tcp 127.7.0.0/16 80").exit, 0) << "what was named is not judged";
    EXPECT_THAT(ctl("bind --override dns tcp 127.8.0.0/16 80").err,
                HasSubstr("without a usable socket ('dns'), which guards.unserved refuses"));
    EXPECT_EQ(ctl("bind --override --allow unserved dns tcp 127.8.0.0/16 80").exit, 0);
    const Answer host = ctl("bind api tcp,udp 198.51.100.0/24 any");
    EXPECT_EQ(host.exit, 4);
    EXPECT_THAT(host.err, HasSubstr("every port of 198.51.100.7, an address of this host"));
    EXPECT_EQ(ctl("bind --pass tcp,udp 198.51.100.7 any").exit, 0);
    EXPECT_EQ(ctl("bind api tcp,udp 198.51.100.0/24 any").exit, 0) << "this host's own is left";
    write_config(config(bound("www", "198.51.0.0/16", "any")));
    EXPECT_THAT(ctl("check").err, Not(HasSubstr("lo")));
    EXPECT_THAT(ctl("check").err, HasSubstr("takes every port of 198.51.100.7"));
}

TEST_F(Changes, ARuntimeBindingThatTheConfigTookOverIsBackAfterARollback) {
    start_serving(first);
    ASSERT_EQ(ctl("bind --note INC-1 api tcp 127.8.0.0/16 80").exit, 0);
    const Accepting accepting({&www, &api});
    KeepsConnecting client("127.8.0.1:80");
    client.wait_for(5);
    write_config(second);
    ASSERT_EQ(ctl("reload").exit, 0);
    EXPECT_THAT(table(),
                ElementsAre("tcp 127.7.0.0/16 80 www config", "tcp 127.8.0.0/16 80 api config"));
    client.wait_for(5);
    ASSERT_EQ(ctl("rollback").exit, 0);
    client.wait_for(5);
    EXPECT_THAT(table(),
                ElementsAre("tcp 127.7.0.0/16 80 www config", "tcp 127.8.0.0/16 80 api runtime"));
    EXPECT_THAT(ctl("bindings").out, HasSubstr("INC-1"));
    EXPECT_THAT(client.stop(), IsEmpty()) << "without a gap";
    reboot();
    EXPECT_EQ(table().size(), 2U);
}

TEST_F(Changes, RuntimeBindingsStayThroughARollback) {
    start_serving(first);
    write_config(second);
    ASSERT_EQ(ctl("reload").exit, 0);
    ASSERT_EQ(ctl("bind www tcp 127.9.0.0/16 80").exit, 0);
    ASSERT_EQ(ctl("rollback").exit, 0);
    EXPECT_THAT(table(),
                ElementsAre("tcp 127.7.0.0/16 80 www config", "tcp 127.9.0.0/16 80 www runtime"));
    ASSERT_EQ(ctl("unbind tcp 127.9.0.0/16 80").exit, 0);
    ASSERT_EQ(ctl("rollback 3").exit, 0) << "a runtime generation has its config too";
    EXPECT_EQ(table().size(), 2U);
    EXPECT_EQ(table().back(), "tcp 127.8.0.0/16 80 api config") << "and what was unbound stays so";
}

TEST_F(Changes, ARollbackBringsServicesRulesAndGuardsBackToo) {
    start_serving(first);
    const std::string running = ask("config").at("yaml");
    write_config(
        "version: 1\nservices: {www: {unavailable: pass, register: {users: [nobody]}}}\n"
        "admins: {groups: [daemon]}\n"
        "guards: {protected: [127.7.0.0/16]}\nbindings:\n" +
        bound("www", "127.7.0.0/16"));
    const Json changed = ask("apply");
    EXPECT_EQ(changed.at("services").size(), 3U);
    EXPECT_NE(ask("config").at("yaml"), running);
    ASSERT_EQ(ctl("rollback").exit, 0);
    EXPECT_EQ(ask("config").at("yaml"), running);
    EXPECT_EQ(ask("config 1").at("yaml"), running);
    EXPECT_THAT(ctl("config 2").out, HasSubstr("127.7.0.0/16"));
    write(scratch() + "/kept.yaml", ctl("config 2").out);
    EXPECT_EQ(ask("apply " + scratch() + "/kept.yaml").at("generation"), 4)
        << "a kept config is a file that apply takes";
    EXPECT_EQ(ctl("config 77").exit, 2);
}

TEST_F(Changes, AnUnconfirmedApplyReturnsAndItsContentStaysAside) {
    start_serving(first);
    write_config(second);
    const Answer applied = ctl("apply --confirm-within 2s");
    EXPECT_EQ(applied.exit, 0) << applied.err;
    EXPECT_THAT(applied.out,
                AllOf(HasSubstr("generation 2 answers ("), HasSubstr("; it returns to 1 at "),
                      HasSubstr("keep it: sluicectl confirm")));
    EXPECT_TRUE(reaches("127.8.0.1:80", api));
    const Json pending = ask("status").at("pending_confirm");
    EXPECT_EQ(pending.at("generation"), 2);
    EXPECT_EQ(pending.at("returns_to"), 1);
    const Answer other = ctl("bind www tcp 127.9.0.0/16 80");
    EXPECT_EQ(other.exit, 4);
    EXPECT_THAT(other.err, HasSubstr("generation 2 (apply by sluicectl["));
    EXPECT_EQ(ctl("reload").exit, 4);
    EXPECT_TRUE(eventually([&] { return generation() == 3; }));
    EXPECT_EQ(table().size(), 1U);
    EXPECT_EQ(ctl("confirm").exit, 4) << "too late";
    EXPECT_EQ(config_state(), "set-aside");
    EXPECT_THAT(standings(), ElementsAre("3 current", "2 rolled-back", "1 superseded"));
    restart();
    EXPECT_EQ(table().size(), 1U);
}

TEST_F(Changes, AConfirmedApplyStays) {
    start_serving(first);
    write_config(second);
    ASSERT_EQ(ctl("apply --confirm-within 59m").exit, 0);
    EXPECT_THAT(ctl("status").out, HasSubstr("pending     returns to 1 in "));
    EXPECT_THAT(ctl("history").out, HasSubstr("pending 5"));
    restart();
    EXPECT_EQ(ask("status").at("pending_confirm").at("generation"), 2);
    ASSERT_EQ(ctl("confirm").exit, 0);
    EXPECT_EQ(ask("status").at("pending_confirm"), nullptr);
    EXPECT_EQ(ctl("confirm").exit, 4);
    reboot();
    EXPECT_EQ(table().size(), 2U);
    EXPECT_EQ(ctl("bind www tcp 127.9.0.0/16 80").exit, 0);
}

TEST_F(Changes, ARollbackEndsTheWaitAtOnce) {
    start_serving(first);
    ASSERT_EQ(ctl("bind www tcp 127.9.0.0/16 80").exit, 0);
    write_config(second);
    ASSERT_EQ(ctl("apply --confirm-within 1h").exit, 0);
    ASSERT_EQ(ctl("rollback").exit, 0);
    EXPECT_EQ(table().size(), 2U);
    EXPECT_EQ(ask("status").at("pending_confirm"), nullptr);
    EXPECT_EQ(ctl("bind www tcp 127.10.0.0/16 80").exit, 0);
}

TEST_F(Changes, AChangeThatChangesNothingMakesNoGeneration) {
    start_serving(first);
    for (const char* command : {"apply", "reload", "apply --confirm-within 1h"})
        EXPECT_EQ(ask(command).at("changed"), false) << command;
    write_config("# from another line\n" + first);
    EXPECT_EQ(ask("apply").at("changed"), false);
    EXPECT_EQ(generation(), 1);
    EXPECT_EQ(ask("bindings").at(0).at("source").at("line"), 5) << "but places are kept true";
    EXPECT_EQ(config_state(), "applied");
    EXPECT_THAT(ctl("apply -v").out, HasSubstr("nothing to change"));
}

TEST_F(Changes, ReadersMayPlanAndOthersMayNot) {
    start_serving(first);
    const auto as = [&](const std::string& groups, const std::string& text) {
        Command command = sluicectl(words(text));
        const std::vector<std::string> who = {"setpriv", "--reuid=65500", "--regid=65533", groups,
                                              "--"};
        command.words.insert(command.words.begin(), who.begin(), who.end());
        return ctl(command).exit;
    };
    for (const char* command : {"plan", "history", "config 1"})
        EXPECT_EQ(as("--clear-groups", command), 4) << command;
    for (const char* command : {"apply", "rollback", "confirm", "apply --confirm-within 1m"})
        EXPECT_EQ(as("--clear-groups", command), 4) << command;
}

}  // namespace
}  // namespace sluice::testing

// SPDX-License-Identifier: Apache-2.0
// The agent after a kill between any two steps, and with services and sockets that come and go.
#include <filesystem>
#include <fstream>
#include <set>

#include <gmock/gmock.h>

#include "agent_fixture.h"
#include "daemon/status.h"
#include "served.h"
#include "support/sockets.h"
#include "support/world.h"

namespace sluice {
namespace {

using namespace sluice::testing;  // NOLINT: claims read better without prefixes
using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::Not;
namespace fs = std::filesystem;

class AgentRecovery : public AgentTest {
  protected:
    std::string current_file() const { return options().state_dir + "/current"; }
    // What the thread beside the loop does.
    void finish_grace() const {
        while (agent().wants_grace()) {
            const auto ticket = agent().begin_grace();
            must(agent().plane().dispatcher().grace_period());
            agent().finish_grace(ticket);
        }
    }
    std::set<std::string> generation_files() const {
        std::set<std::string> names;
        for (const auto& entry : fs::directory_iterator(options().state_dir + "/generations"))
            names.insert(entry.path().filename().string());
        return names;
    }
};

constexpr const char* kept_by_runtime = "tcp 127.8.0.0/16 any -> www (runtime)";

TEST_F(AgentRecovery, KilledBeforeTheLastGenerationWasBackItIsBackAtTheNextStart) {
    start();
    must(bind("www", "tcp 127.8.0.0/16 any"));
    const auto before = table();
    stop();
    fs::remove_all(bpffs());
    {
        kernel::Site site;
        site.directory = bpffs();
        must(kernel::Dispatcher::open(site));  // pinned, and nothing in it yet
    }
    start();
    EXPECT_EQ(table(), before);
    EXPECT_EQ(generation(), 2U);
}

TEST_F(AgentRecovery, KilledBeforeItWasRememberedWhatAnswersIsWhatARebootBringsBack) {
    start();
    must(bind("www", "tcp 127.8.0.0/16 any"));
    stop();
    std::ofstream(current_file(), std::ios::trunc) << "1\n";
    start();
    EXPECT_EQ(generation(), 2U);
    reboot();
    EXPECT_THAT(table(), Contains(kept_by_runtime));
}

TEST_F(AgentRecovery, WhatARestartFoundInTheKernelAloneOutlivesAReboot) {
    for (const bool valid : {true, false}) {
        write_config("services: {www: {}}\n");
        start();
        must(bind("www", "tcp 127.8.0.0/16 any"));
        stop();
        fs::remove_all(options().state_dir);
        if (!valid) write_config("nonsense");
        restart();
        EXPECT_THAT(table(), Contains(kept_by_runtime));
        reboot();
        EXPECT_THAT(table(), Contains(kept_by_runtime)) << valid;
        stop();
        fs::remove_all(options().state_dir);
        fs::remove_all(bpffs());
    }
}

TEST_F(AgentRecovery, WithoutTheNumberOfTheLastGenerationTheNewestIsBroughtBack) {
    for (const char* damaged : {"", "x\n"}) {
        start();
        must(bind("www", "tcp 127.8.0.0/16 any"));
        stop();
        std::ofstream(current_file(), std::ios::trunc) << damaged;
        reboot();
        EXPECT_THAT(table(), Contains(kept_by_runtime)) << "'" << damaged << "'";
        stop();
    }
    fs::remove(current_file());
    reboot();
    EXPECT_THAT(table(), Contains(kept_by_runtime));
}

TEST_F(AgentRecovery, WhatARebootWouldNotBringBackIsSaidAndTriedAgain) {
    const auto codes = [this] {
        std::vector<std::string> all;
        for (const Reason& reason : find_reasons(agent())) all.push_back(reason.code);
        return all;
    };
    start();
    EXPECT_THAT(codes(), Not(Contains("not-stored")));
    stop();
    fs::remove(current_file());
    fs::create_directory(current_file());  // where nothing can be written
    start();
    EXPECT_THAT(codes(), Contains("not-stored"));
    agent().tick();
    EXPECT_THAT(codes(), Contains("not-stored"));
    fs::remove(current_file());
    agent().tick();
    EXPECT_THAT(codes(), Not(Contains("not-stored")));
    EXPECT_EQ(must(read_file(current_file(), 100)), "1\n");
}

TEST_F(AgentRecovery, WhereNobodyKnowsWhichLineSaidItTheConfigsBindingsAreStillItsOwn) {
    start();
    stop();
    fs::remove_all(options().state_dir);
    write_config("nonsense");
    start();
    EXPECT_EQ(bind("dns", "tcp 127.7.0.0/16 80").error().failure(), Failure::refused);
    EXPECT_EQ(agent().unbind({match("tcp 127.7.0.0/16 80")}, somebody).error().failure(),
              Failure::refused);
}

TEST_F(AgentRecovery, AChangeThatFailsLeavesNoFile) {
    const auto services = [](const std::string& prefix) {
        std::string yaml = "services:\n";
        for (int i = 0; i < 3000; ++i) yaml += "  " + prefix + std::to_string(i) + ": {}\n";
        return yaml;
    };
    write_config(services("a"));
    start();
    const auto before = generation_files();
    write_config(services("b"));  // both together are more than there can be
    for (int i = 0; i < 3; ++i) EXPECT_FALSE(reload());
    EXPECT_EQ(generation_files(), before);
    EXPECT_EQ(generation(), 1U);
}

TEST_F(AgentRecovery, AServiceThatARuntimeBindingKeepsKeepsItsFallbacks) {
    const std::string others = "  other: {}\n";
    write_config("services:\n  www: {unavailable: {fallback: spare}}\n  spare: {}\n" + others);
    start();
    const Fd spare = listen_tcp("127.0.0.1:8080"), stranger = listen_tcp("127.0.0.1:8081");
    must(bind("www", "tcp 127.8.0.0/16 any"));
    finish_grace();
    write_config("services:\n" + others);
    must(reload());
    finish_grace();
    write_config("services:\n  stranger: {}\n" + others);
    must(reload());
    finish_grace();
    must(enlist("stranger", {&stranger}));
    EXPECT_EQ(dial("127.8.7.7:80"), "refused") << "not to whoever has the number of `spare` now";
    must(enlist("spare", {&spare}));
    EXPECT_TRUE(reaches("127.8.7.7:80", spare));
    restart();
    EXPECT_TRUE(reaches("127.8.7.7:80", spare));
}

TEST_F(AgentRecovery, ANewServiceDoesNotStartWithTheCountersOfOneThatLeft) {
    const std::string bound =
        "bindings: [{service: www, protocol: tcp, prefix: 127.7.0.0/16, port: 80}]\n";
    write_config("services: {www: {}}\n" + bound);
    start();
    EXPECT_EQ(dial("127.7.7.7:80"), "refused");
    agent().tick();
    ASSERT_GT(agent().rates().totals("www").unavailable, 0U);
    const auto id = agent().plane().services().find("www");
    write_config("services: {dns: {}}\n");
    must(reload({Allow::empty}));
    finish_grace();
    write_config("services: {dns: {}, later: {}}\n");
    must(reload());
    ASSERT_EQ(agent().plane().services().find("later"), id) << "it has the number of `www`";
    agent().tick();
    EXPECT_EQ(agent().rates().totals("later").unavailable, 0U);
    EXPECT_EQ(agent().rates().totals("later").rejected, 0U);
}

TEST_F(AgentRecovery, AServiceThatRestartsOnAnotherPortMayRegisterAtOnce) {
    start();
    Fd before = listen_tcp("127.0.0.1:8080");
    const Fd after = listen_tcp("127.0.0.1:8081");
    must(enlist("www", {&before}));
    before.reset();  // and nobody has looked since
    EXPECT_TRUE(enlist("www", {&after}));
    EXPECT_TRUE(reaches("127.7.7.7:80", after));
    EXPECT_EQ(sockets_of("www"), 1U);
}

TEST_F(AgentRecovery, AFullServiceThatRestartsMayRegisterAsManyAtOnce) {
    start();
    const auto workers = [] {
        std::vector<Fd> all;
        for (int i = 0; i < 200; ++i)
            all.push_back(listen_tcp("127.0.0.1:8080", {.reuseport = true}));
        return all;
    };
    const auto pointers = [](const std::vector<Fd>& all) {
        std::vector<const Fd*> list;
        for (const Fd& fd : all) list.push_back(&fd);
        return list;
    };
    auto before = workers();
    must(enlist("www", pointers(before)));
    before.clear();
    const auto after = workers();
    EXPECT_TRUE(enlist("www", pointers(after)));
    EXPECT_EQ(sockets_of("www"), 200U);
}

TEST_F(AgentRecovery, OneServiceIsOfferedSocketsOnce) {
    start();
    const Fd one = listen_tcp("127.0.0.1:8080"), other = listen_tcp("127.0.0.1:8081");
    for (const RegisterMode mode : {RegisterMode::add, RegisterMode::replace}) {
        const std::vector<SocketOffer> offers{offer("www", {&one}), offer("www", {&other})};
        const auto refused = agent().register_sockets(offers, mode, somebody);
        ASSERT_FALSE(refused);
        EXPECT_EQ(refused.error().failure(), Failure::invalid);
        EXPECT_EQ(sockets_of("www"), 0U);
    }
}

TEST_F(AgentRecovery, AGracePeriodThatWasNotWaitedForIsWaitedForLater) {
    start();
    const Fd www = listen_tcp("127.0.0.1:8080");
    must(enlist("www", {&www}));
    finish_grace();
    must(agent().unregister("www", std::nullopt, somebody));
    must(bind("www", "tcp 127.8.0.0/16 any"));
    ASSERT_TRUE(agent().wants_grace());
    auto ticket = agent().begin_grace();
    agent().put_off_grace(std::move(ticket), Error(Failure::failed, "no memory"));
    EXPECT_TRUE(agent().wants_grace());
    EXPECT_TRUE(agent().plane().sockets().has_retired()) << "nothing is used again yet";
    EXPECT_FALSE(agent().plane().table().settled());
    finish_grace();
    EXPECT_TRUE(agent().plane().table().settled());
}

TEST_F(AgentRecovery, ABindingThatOverlapsTheConfigsInPartIsRefusedWithoutOverride) {
    write_config(
        "services: {www: {}, dns: {}}\n"
        "bindings: [{service: www, protocol: tcp, prefix: 127.7.0.0/16, port: 8000-8999}]\n");
    start();
    const auto refused = bind("dns", "tcp 127.7.0.0/16 8500-9500");
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().failure(), Failure::refused);
    EXPECT_THAT(refused.error().message(), HasSubstr("8000-8999"));
    EXPECT_TRUE(bind("dns", "tcp 127.7.0.0/16 8100-8200")) << "one inside the other is no conflict";
    EXPECT_TRUE(bind("dns", "tcp 127.7.0.0/16 any"));
    EXPECT_TRUE(bind("dns", "tcp 127.7.0.0/16 9000-9500"));
    BindRequest over = to_service("dns", "tcp 127.7.0.0/16 7000-8050");
    over.override_config = true;
    EXPECT_TRUE(agent().bind(over, somebody));
}

TEST_F(AgentRecovery, AReloadWarnsOfWhatWaitsBehindAnOverlappingRange) {
    start();
    must(bind("dns", "tcp 127.9.0.0/16 8500-9500"));
    write_config(
        "services: {www: {}, dns: {}}\n"
        "bindings: [{service: www, protocol: tcp, prefix: 127.9.0.0/16, port: 8000-8999}]\n");
    std::vector<std::string> warnings;
    for (const Warning& warning : must(reload()).warnings) warnings.push_back(warning.code);
    EXPECT_THAT(warnings, Contains("waits-behind-runtime"));
}

TEST_F(AgentRecovery, WhetherItIsAttachedIsWhatThePinsSay) {
    start();
    stop();
    std::ofstream(options().state_dir + "/detached") << "";  // killed before the link was removed
    start();
    EXPECT_TRUE(agent().plane().dispatcher().attached());
    reboot();
    EXPECT_TRUE(agent().plane().dispatcher().attached());
    must(agent().detach(somebody));
    stop();
    fs::remove(options().state_dir + "/detached");
    start();
    EXPECT_FALSE(agent().plane().dispatcher().attached());
    reboot();
    EXPECT_FALSE(agent().plane().dispatcher().attached());
}

TEST_F(AgentRecovery, AConfigNamedFromTheWorkingDirectoryIsNotChangedByThat) {
    const fs::path here = fs::current_path();
    fs::current_path(fs::path(scratch()).parent_path());
    Options relative = options();
    relative.config = fs::path(scratch()).filename().string() + "/sluice.yaml";
    {
        const auto agent = must(Agent::start(relative));
        EXPECT_EQ(agent->config_status().state, ConfigState::applied);
        write_config("services: {www: {}, dns: {}, more: {}}\n");
        fs::last_write_time(options().config,
                            fs::file_time_type::clock::now() + std::chrono::hours(1));
        EXPECT_EQ(agent->config_status().state, ConfigState::changed);
    }
    fs::current_path(here);
}

}  // namespace
}  // namespace sluice

// SPDX-License-Identifier: Apache-2.0
// The agent's own sockets held by somebody else, as systemd holds them: clients wait for an agent
// that is down, and may start it.
#include <csignal>
#include <optional>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "sys/unix_socket.h"
#include "system/agent_world.h"
#include "system/clients.h"

namespace sluice::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

constexpr const char* one_service = R"(version: 1
services: {www: {}}
bindings: [{service: www, protocol: tcp, prefix: 127.7.0.0/16, port: 80}]
)";

struct Activation : AgentWorld {
    void SetUp() override {
        AgentWorld::SetUp();
        if (HasFatalFailure()) return;
        ASSERT_EQ(::mkdir(run_dir().c_str(), 0755), 0);
        control_ = must(listen_unix(control(), UnixKind::stream));
        register_ = must(listen_unix(run_dir() + "/register", UnixKind::seqpacket));
        write_config(one_service);
    }
    void TearDown() override {
        control_.reset();
        register_.reset();
        AgentWorld::TearDown();
    }
    Command activated() const {
        Command command = sluiced();
        command.environment["LISTEN_FDS"] = "2";
        command.environment["LISTEN_FDNAMES"] = "control:register";
        command.descriptors = {control_.get(), register_.get()};
        command.words.insert(command.words.begin(),
                             {"/bin/sh", "-c", "LISTEN_PID=$$ exec \"$@\"", "sh"});
        return command;
    }
    // Somebody has connected, and nobody has accepted.
    static bool somebody_waits(const Fd& listener) {
        pollfd wait{listener.get(), POLLIN, 0};
        return ::poll(&wait, 1, static_cast<int>(std::chrono::milliseconds(patience).count())) == 1;
    }
    Fd control_, register_;
};

TEST_F(Activation, AStatusThatIsAskedWhileTheAgentIsDownIsAnsweredWhenItIsBack) {
    start(activated());
    EXPECT_EQ(ask("status").at("generation"), 1);
    stop();
    Process asking(sluicectl({"-o", "json", "status"}));
    ASSERT_TRUE(somebody_waits(control_));
    EXPECT_TRUE(asking.running());
    start(activated());
    ASSERT_EQ(asking.wait(), 0) << asking.err();
    EXPECT_EQ(Json::parse(asking.out()).at("generation"), 1);
}

TEST_F(Activation, ARegistrationThatIsMadeWhileTheAgentIsDownIsDoneWhenItIsBack) {
    start(activated());
    kill();
    const Fd www = listen_tcp("127.0.0.1:9999");
    const RawPeer service(run_dir() + "/register", SOCK_SEQPACKET);
    ASSERT_TRUE(service.send("www#", {www.get()}));
    Command command = sluicectl({"register", "www", "--fd", "3"});
    command.descriptors = {www.get()};
    Process other(command);
    ASSERT_TRUE(somebody_waits(register_));
    ASSERT_TRUE(somebody_waits(control_));
    EXPECT_EQ(dial("127.7.0.1:80"), "refused") << "nobody has taken it yet";
    start(activated());
    EXPECT_EQ(service.receive_packet(), "OK");
    EXPECT_EQ(other.wait(), 0) << other.err();
    EXPECT_TRUE(reaches("127.7.0.1:80", www));
    EXPECT_EQ(ask("sockets").size(), 1U);
}

TEST_F(Activation, ManyRestartsLoseNoQuestion) {
    start(activated());
    for (int i = 0; i < 3; ++i) {
        stop();
        std::vector<Process> asking;
        for (int j = 0; j < 5; ++j) asking.emplace_back(sluicectl({"-o", "json", "bindings"}));
        ASSERT_TRUE(somebody_waits(control_));
        start(activated());
        for (Process& each : asking) EXPECT_EQ(each.wait(), 0) << each.err();
    }
}

TEST_F(Activation, AFollowerWaitsForItToo) {
    start(activated());
    Process follower({{SLUICE_FOLLOW, "--run-dir", run_dir()}, {}, {}});
    for (int i = 0; i < 3; ++i) {
        const std::string unit = "test" + std::to_string(i) + ".service";
        write_config("version: 1\nservices: {www: {sockets: [{unit: " + unit +
                     ", listen: [tcp 127.0.0.1 8080]}]}}\n");
        ASSERT_EQ(ctl("reload --allow empty,removals").exit, 0);
        EXPECT_TRUE(eventually([&] {
            return follower.err().find("'www' follows " + unit) != std::string::npos;
        })) << follower.err();
        stop();
        start(activated());
    }
    EXPECT_THAT(follower.err(), Not(HasSubstr("warning")));
}

TEST_F(Activation, AnAgentThatStaysDownIsUnreachableWhenTheTimeIsUp) {
    const Answer answer = ctl("--timeout 1s services");
    EXPECT_EQ(answer.exit, 3);
    EXPECT_THAT(answer.err, HasSubstr("no answer within"));
}

TEST_F(Activation, AClientStartsTheAgentByItsSocket) {
    control_.reset();
    register_.reset();  // the agent makes its own
    const std::string path = scratch() + "/activated";
    Command command = sluiced();
    command.words.insert(command.words.begin(),
                         {"/usr/bin/systemd-socket-activate", "-l", path, "--fdname=control"});
    command.environment.clear();
    Process activator(command);
    ASSERT_TRUE(
        eventually([&] { return activator.err().find("Listening on") != std::string::npos; }));
    ::unlink(control().c_str());
    ASSERT_EQ(::symlink(path.c_str(), control().c_str()), 0);
    const Answer answer = ctl("-o json status");
    EXPECT_EQ(answer.exit, 0) << answer.err << activator.err();
    activator.signal(SIGTERM);
    EXPECT_EQ(activator.wait(), 0) << activator.err();
}

}  // namespace
}  // namespace sluice::testing

// SPDX-License-Identifier: Apache-2.0
// Who may do what, judged by the kernel's word for who the peer is.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "system/agent_world.h"
#include "system/clients.h"

namespace sluice::testing {
namespace {

using ::testing::HasSubstr;

struct Access : AgentWorld {
    // sluicectl as another user, perhaps in other groups, with a socket at hand as descriptor 3.
    Answer as(const std::string& user, const std::string& text, const std::string& group = "",
              const Fd* socket = nullptr) const {
        Command command = sluicectl(words(text));
        std::vector<std::string> before = {"setpriv", "--reuid=" + user, "--regid=65533"};
        before.push_back(group.empty() ? "--clear-groups" : "--groups=" + group);
        before.emplace_back("--");
        command.words.insert(command.words.begin(), before.begin(), before.end());
        if (socket != nullptr) command.descriptors.push_back(socket->get());
        return ctl(command);
    }
};

constexpr const char* rules = R"(version: 1
admins: {users: ["65531"], groups: ["65530"]}
services:
  www: {register: {users: ["65534"], groups: ["65532"]}}
  dns: {}
bindings:
  - {service: www, protocol: tcp, prefix: 127.7.0.0/16, port: 80}
)";

TEST_F(Access, ANobodyMayNeitherReadNorChangeNorRegister) {
    start(rules);
    const Fd socket = listen_tcp("127.0.0.1:9999");
    for (const char* command :
         {"status", "bindings", "services", "sockets", "config", "explain tcp 127.7.0.1 80",
          "bind www tcp 127.8.0.0/16 80", "unbind tcp 127.7.0.0/16 80", "reload", "detach --yes",
          "attach", "unregister www"}) {
        const Answer answer = as("65500", std::string("-o json ") + command);
        EXPECT_EQ(answer.exit, 4) << command << answer.err;
        EXPECT_EQ(answer.json().at("error").at("exit"), 4) << command;
    }
    EXPECT_EQ(as("65500", "register www --fd 3", "", &socket).exit, 4);
    EXPECT_EQ(as("65500", "register dns --fd 3", "", &socket).exit, 4);
    EXPECT_EQ(ask("sockets").size(), 0U);
    EXPECT_EQ(ask("status").at("generation"), 1);
}

TEST_F(Access, AUserWhomARuleNamesMayRegisterForThatServiceAndNoOther) {
    start(rules);
    const Fd www = listen_tcp("127.0.0.1:9999"), dns = bind_udp("127.0.0.1:9953");
    EXPECT_EQ(as("65534", "register www --fd 3", "", &www).exit, 0);
    EXPECT_TRUE(reaches("127.7.0.1:80", www));
    const Answer other = as("65534", "register dns --fd 3", "", &dns);
    EXPECT_EQ(other.exit, 4);
    EXPECT_THAT(other.err, HasSubstr("dns"));
    EXPECT_EQ(as("65534", "bind www tcp 127.8.0.0/16 80").exit, 4);
    EXPECT_EQ(as("65534", "unregister dns").exit, 4);
    EXPECT_EQ(as("65534", "unregister www").exit, 0);
    EXPECT_EQ(dial("127.7.0.1:80"), "refused");
}

TEST_F(Access, ASupplementaryGroupIsEnough) {
    start(rules);
    const Fd www = listen_tcp("127.0.0.1:9999");
    EXPECT_EQ(as("65500", "register www --fd 3", "65532", &www).exit, 0);
    EXPECT_EQ(as("65500", "bind www tcp 127.8.0.0/16 80", "65530").exit, 0) << "an admin's group";
}

TEST_F(Access, AnAdminMayDoEverything) {
    start(rules);
    const Fd dns = bind_udp("127.0.0.1:9953");
    EXPECT_EQ(as("65531", "register dns --fd 3", "", &dns).exit, 0);
    EXPECT_EQ(as("65531", "bind dns udp 127.8.0.0/16 53").exit, 0);
    EXPECT_EQ(as("65531", "status").exit, 0);
    EXPECT_EQ(as("65531", "detach --yes").exit, 0);
    EXPECT_EQ(as("65531", "attach").exit, 0);
}

TEST_F(Access, AReloadChangesWhoMayRegister) {
    start(rules);
    const Fd dns = bind_udp("127.0.0.1:9953");
    ASSERT_EQ(as("65534", "register dns --fd 3", "", &dns).exit, 4);
    write_config(R"(version: 1
services: {www: {}, dns: {register: {users: ["65534"]}}}
bindings: [{service: www, protocol: tcp, prefix: 127.7.0.0/16, port: 80}]
)");
    ASSERT_EQ(ctl("reload").exit, 0);
    EXPECT_EQ(as("65534", "register dns --fd 3", "", &dns).exit, 0);
    EXPECT_EQ(as("65534", "unregister www").exit, 4);
}

TEST_F(Access, WithTheAgentDeadOnlyRootReadsThePins) {
    start(rules);
    kill();
    const Answer answer = as("65531", "status");
    EXPECT_EQ(answer.exit, 3);
    EXPECT_EQ(answer.out, "");
    EXPECT_EQ(ctl("status").exit, 3);
    EXPECT_NE(ctl("status").out, "");
}

}  // namespace
}  // namespace sluice::testing

// SPDX-License-Identifier: Apache-2.0
// Whoever listens where the agent should cannot hold a caller longer than it wants to wait, make it
// keep anything, or make it print what a terminal obeys.
#include <chrono>
#include <fcntl.h>
#include <string>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "client/peer.h"

namespace sluice::testing {
namespace {

using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::StartsWith;

constexpr int ample_ms = 20'000;  // for what comes at once

struct HostileAgent : ::testing::Test {
    void SetUp() override { before_ = descriptors_open(); }
    void TearDown() override { EXPECT_EQ(descriptors_open(), before_) << "descriptors leaked"; }

    // One call, to somebody who does this with the connection.
    int call(const std::function<void(int)>& act, int timeout_ms = ample_ms) {
        Peer peer(act);
        const sluice_options options = peer.options(timeout_ms);
        return sluice_unregister_all(&options, "www", &report_);
    }
    sluice_report report_{};

  private:
    std::size_t before_ = 0;
};

TEST_F(HostileAgent, WhoSaysNothingIsWaitedForSoLong) {
    const auto silent = [](int connection) {
        char byte = 0;
        ::read(connection, &byte, 1);  // until the client goes
    };
    EXPECT_EQ(call(silent, 100), SLUICE_UNANSWERED);
    EXPECT_STREQ(report_.text, "unregister all of 'www': no answer within 100 ms");
}

TEST_F(HostileAgent, WhoDripsIsWaitedForNoLonger) {
    const auto drip = [](int connection) {
        while (::send(connection, " ", 1, MSG_NOSIGNAL) == 1) ::usleep(1000);
    };
    EXPECT_EQ(call(drip, 200), SLUICE_UNANSWERED);
    EXPECT_THAT(report_.text, HasSubstr("no answer within 200 ms"));
}

TEST_F(HostileAgent, WhoNeverAcceptsIsWaitedForSoLong) {
    Peer peer([](int) {});
    const sluice_options options = peer.options(100);
    // The first is accepted and keeps the peer busy; the next two fill its backlog.
    std::array<int, 3> crowd{};
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    (std::string(options.run_dir) + "/control").copy(address.sun_path, sizeof address.sun_path - 1);
    for (int& one : crowd) {
        one = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        ASSERT_EQ(::connect(one, reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
    }
    EXPECT_EQ(sluice_unregister_all(&options, "www", &report_), SLUICE_UNREACHABLE);
    EXPECT_THAT(report_.text, HasSubstr("did not take the call within 100 ms"));
    for (const int one : crowd) ::close(one);
}

TEST_F(HostileAgent, WhoGoesAwayIsNotWaitedFor) {
    EXPECT_EQ(call([](int) {}), SLUICE_UNANSWERED);
    EXPECT_THAT(report_.text, HasSubstr("closed the connection without an answer"));
    EXPECT_EQ(call([](int connection) { tell(connection, R"({"parameters":{)"); }),
              SLUICE_UNANSWERED);
    EXPECT_THAT(report_.text, HasSubstr("closed the connection without an answer"));
}

TEST_F(HostileAgent, WhoNeverEndsIsHeardUpToALimit) {
    const auto endless = [](int connection) {
        tell(connection, "{\"a\":\"");
        const std::string much(65536, 'x');
        for (int i = 0; i < 64; ++i) tell(connection, much);
    };
    EXPECT_EQ(call(endless), SLUICE_UNANSWERED);
    EXPECT_THAT(report_.text, HasSubstr("longer than 1048576 bytes"));
}

TEST_F(HostileAgent, WhatIsNoAnswerIsNotTakenForOne) {
    for (const char* message :
         {"", "hello", "null", "[]", "3", "\"OK\"", "{", "{}{}", R"({"parameters":[]})",
          R"({"parameters":3})", R"({"error":3})", R"({"error":{"a":1}})", R"({"error":true})",
          R"({"parameters":{"removed":1}} trailing)", "{\"parameters\":{\"why\":\"\xff\"}}"}) {
        EXPECT_EQ(call(answering(message)), SLUICE_UNANSWERED) << message;
        EXPECT_THAT(report_.text, HasSubstr("not what the protocol says")) << message;
        EXPECT_THAT(report_.hint, HasSubstr("is another program behind /")) << message;
    }
    EXPECT_EQ(call(answering(std::string(1'000'000, '['))), SLUICE_UNANSWERED);
}

TEST_F(HostileAgent, DescriptorsThatItSendsAreNotReceived) {
    const auto generous = [](int connection) {
        const std::string message(R"({"parameters":{"removed":1}})");
        const int gift = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
        for (const char& byte : message + '\0') tell(connection, {&byte, 1}, gift);
        ::close(gift);
    };
    EXPECT_EQ(call(generous), SLUICE_DONE) << report_.text;
    EXPECT_EQ(report_.removed, 1U);
}

TEST_F(HostileAgent, ItsTextsAreSafeToPrintAndFit) {
    const std::string error = R"({"error":"internal.sluice.Agent.Refused","parameters":{"why":")";
    EXPECT_EQ(call(answering(error + R"(\u001b]0;owned\u0007\nroot:","hint":"a\r\u009bb"}})")),
              SLUICE_REFUSED);
    EXPECT_STREQ(report_.text, "unregister all of 'www':  ]0;owned  root:");
    EXPECT_STREQ(report_.hint, "a  b");

    std::string umlauts;
    for (int i = 0; i < 100'000; ++i) umlauts += "ä";
    EXPECT_EQ(call(answering(error + umlauts + R"("}})")), SLUICE_REFUSED);
    EXPECT_THAT(report_.text, EndsWith("ä…"));
    EXPECT_GT(std::string(report_.text).size(), 900U);
}

TEST_F(HostileAgent, ItsNumbersAreTakenAsFarAsTheyMakeSense) {
    for (const char* number : {"-1", "1e9", "4294967296", "99999999999999999999", "\"7\"", "[7]"}) {
        EXPECT_EQ(call(answering(std::string(R"({"parameters":{"removed":)") + number + "}}")),
                  SLUICE_DONE);
        EXPECT_EQ(report_.removed, 0U) << number;
    }
    EXPECT_EQ(call(answering(R"({"parameters":{"removed":4294967295}})")), SLUICE_DONE);
    EXPECT_EQ(report_.removed, 4294967295U);
}

TEST_F(HostileAgent, ItsWarningsAreAllCountedAndKeptAsFarAsTheyFit) {
    std::string warnings;
    for (int i = 0; i < 500; ++i)
        warnings += R"({"code":"small-backlog","message":"too small","fix":"more"},)";
    EXPECT_EQ(call(answering(R"({"parameters":{"warnings":[)" + warnings + "3]}}")), SLUICE_DONE);
    EXPECT_EQ(report_.warnings, 501U);
    EXPECT_THAT(report_.warning_text,
                StartsWith("small-backlog: too small; more\nsmall-backlog: "));
    EXPECT_THAT(report_.warning_text, EndsWith("…"));
}

TEST_F(HostileAgent, WhatComesAfterTheAnswerIsNotLookedAt) {
    EXPECT_EQ(call([](int connection) {
                  tell(connection, std::string(R"({"parameters":{"removed":2}})") + '\0' + "junk");
              }),
              SLUICE_DONE);
    EXPECT_EQ(report_.removed, 2U);
}

TEST_F(HostileAgent, ErrorsOfEveryKindHaveACode) {
    const auto agent = [](const std::string& name, const std::string& parameters) {
        return answering(R"({"error":")" + name + R"(","parameters":)" + parameters + "}");
    };
    const struct {
        const char *name, *parameters;
        int code;
        const char* text;
    } cases[] = {
        {"internal.sluice.Agent.Failed", R"({"exit":1,"doing":"d","why":"w"})", SLUICE_FAILED,
         "d: w"},
        {"internal.sluice.Agent.Invalid", R"({"why":"w","doing":""})", SLUICE_INVALID, "': w"},
        {"internal.sluice.Agent.Refused", R"({"exit":4,"why":"w"})", SLUICE_REFUSED, "': w"},
        {"internal.sluice.Agent.New", R"({"exit":4,"why":"w"})", SLUICE_REFUSED, "': w"},
        {"internal.sluice.Agent.New", R"({"exit":77})", SLUICE_FAILED, "'New' without a reason"},
        {"internal.sluice.Agent.Failed", "null", SLUICE_FAILED, "without a reason"},
        {"org.varlink.service.PermissionDenied", "{}", SLUICE_REFUSED, "does not let this user"},
        {"org.varlink.service.InvalidParameter", R"({"parameter":"mode"})", SLUICE_INVALID,
         "does not accept the parameter 'mode'"},
        {"org.varlink.service.MethodNotFound", R"({"method":"Promote"})", SLUICE_FAILED,
         "does not know the method 'Promote'"},
        {"org.varlink.service.Whatever", "{}", SLUICE_FAILED, "'org.varlink.service.Whatever'"},
        {"com.example.Odd", "{}", SLUICE_FAILED, "'com.example.Odd'"},
    };
    for (const auto& one : cases) {
        EXPECT_EQ(call(agent(one.name, one.parameters)), one.code) << one.name;
        EXPECT_THAT(report_.text, HasSubstr(one.text)) << one.name;
        // The members of a message have no order.
        EXPECT_EQ(call(answering(std::string(R"({"parameters":)") + one.parameters +
                                 R"(,"error":")" + one.name + "\"}")),
                  one.code);
        EXPECT_THAT(report_.text, HasSubstr(one.text)) << one.name;
    }
}

}  // namespace
}  // namespace sluice::testing

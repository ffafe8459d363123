// SPDX-License-Identifier: Apache-2.0
// What libsluice says to the agent, and what it refuses to say.
#include <cstdlib>
#include <netinet/in.h>
#include <string>
#include <sys/socket.h>
#include <unistd.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "client/peer.h"
#include "core/varlink_interface.h"

namespace sluice::testing {
namespace {

using ::testing::HasSubstr;

// One socket, closed at the end.
class Socket {
  public:
    explicit Socket(int type = SOCK_DGRAM) : fd_(::socket(AF_INET, type | SOCK_CLOEXEC, 0)) {}
    ~Socket() { ::close(fd_); }
    Socket(const Socket&) = delete;
    Socket& operator=(const Socket&) = delete;
    int fd() const { return fd_; }
    static std::uint64_t cookie(int fd) {
        std::uint64_t cookie = 0;
        socklen_t size = sizeof cookie;
        EXPECT_EQ(::getsockopt(fd, SOL_SOCKET, SO_COOKIE, &cookie, &size), 0);
        return cookie;
    }

  private:
    int fd_;
};

struct Calls : ::testing::Test {
    // The call that `act` makes with these options, as far as the interface file allows it.
    static VarlinkCall said(Peer& peer) {
        const auto call = parse_call(peer.heard().message);
        EXPECT_TRUE(call) << peer.heard().message;
        const auto interface = VarlinkInterface::parse(agent_interface_text());
        EXPECT_TRUE(interface);
        EXPECT_EQ(call->interface_name(), interface->name());
        const VarlinkMethod* method = interface->method(call->method_name());
        if (method == nullptr) throw std::runtime_error(call->method + " is not in the interface");
        EXPECT_EQ(interface->first_mismatch(method->in, call->parameters), "");
        EXPECT_FALSE(peer.heard().late_descriptors);
        return *call;
    }
    static std::function<void(int)> fine() { return answering(R"({"parameters":{"added":1}})"); }
    sluice_report report_{};
};

TEST_F(Calls, RegisterNamesItsSocketsInOrder) {
    const std::array<Socket, 3> sockets;
    const std::array<int, 3> numbers{sockets[2].fd(), sockets[0].fd(), sockets[1].fd()};
    Peer peer(fine());
    const sluice_options options = peer.options();
    ASSERT_EQ(sluice_register(&options, "www", numbers.data(), numbers.size(), &report_),
              SLUICE_DONE)
        << report_.text;
    const VarlinkCall call = said(peer);
    EXPECT_EQ(call.method_name(), "Register");
    EXPECT_EQ(call.parameters, Json::parse(R"({"service":"www","mode":"add","sockets":[0,1,2]})"));
    ASSERT_EQ(peer.heard().descriptors.size(), 3U);
    for (std::size_t i = 0; i < numbers.size(); ++i)
        EXPECT_EQ(Socket::cookie(peer.heard().descriptors[i]), Socket::cookie(numbers[i]));
}

TEST_F(Calls, TheModesAreThoseOfTheInterface) {
    const Socket socket;
    const int fd = socket.fd();
    const struct {
        decltype(&sluice_register) function;
        const char* mode;
    } cases[] = {{sluice_register, "add"}, {sluice_replace, "replace"}, {sluice_stage, "staged"}};
    for (const auto& one : cases) {
        Peer peer(fine());
        sluice_options options = peer.options();
        options.owner_pid = 4711;
        EXPECT_EQ(one.function(&options, "www", &fd, 1, nullptr), SLUICE_DONE);
        const VarlinkCall call = said(peer);
        EXPECT_EQ(call.parameters.at("mode"), one.mode);
        EXPECT_EQ(call.parameters.at("pid"), 4711);
    }
}

TEST_F(Calls, AsManySocketsAsTheKernelPasses) {
    const Socket socket;
    std::vector<int> many(SLUICE_MAX_PASSED, socket.fd());
    Peer peer(fine());
    const sluice_options options = peer.options();
    EXPECT_EQ(sluice_register(&options, "www", many.data(), many.size(), &report_), SLUICE_DONE)
        << report_.text;
    EXPECT_EQ(said(peer).parameters.at("sockets").back(), SLUICE_MAX_PASSED - 1);
    EXPECT_EQ(peer.heard().descriptors.size(), many.size());
    many.push_back(socket.fd());
    EXPECT_EQ(sluice_register(&options, "www", many.data(), many.size(), &report_), SLUICE_INVALID);
    EXPECT_STREQ(report_.text, "register for 'www': 254 sockets in one call; at most 253");
}

TEST_F(Calls, UnregisterNamesTheSocketByItsCookie) {
    const Socket socket;
    Peer peer(answering(R"({"parameters":{"removed":1}})"));
    const sluice_options options = peer.options();
    ASSERT_EQ(sluice_unregister(&options, "www", socket.fd(), &report_), SLUICE_DONE);
    EXPECT_EQ(report_.removed, 1U);
    const VarlinkCall call = said(peer);
    EXPECT_EQ(call.method_name(), "Unregister");
    EXPECT_EQ(std::stoull(call.parameters.at("cookie").get<std::string>(), nullptr, 16),
              Socket::cookie(socket.fd()));
    EXPECT_TRUE(peer.heard().descriptors.empty());
}

TEST_F(Calls, PromoteAndDemoteNameTheServiceAndTellWhatWasLetGo) {
    const struct {
        decltype(&sluice_promote) function;
        const char* method;
    } cases[] = {{sluice_promote, "Promote"}, {sluice_demote, "Demote"}};
    for (const auto& one : cases) {
        Peer peer(answering(R"({"parameters":{"let_go":2,"serving":3,"service":"www"}})"));
        const sluice_options options = peer.options();
        EXPECT_EQ(one.function(&options, "www", &report_), SLUICE_DONE);
        EXPECT_EQ(report_.removed, 2U);
        const VarlinkCall call = said(peer);
        EXPECT_EQ(call.method_name(), one.method);
        EXPECT_EQ(call.parameters, Json::parse(R"({"service":"www"})"));
    }
}

TEST_F(Calls, UnregisterAllNamesNone) {
    Peer peer(fine());
    const sluice_options options = peer.options();
    ASSERT_EQ(sluice_unregister_all(&options, "www", &report_), SLUICE_DONE);
    EXPECT_EQ(said(peer).parameters, Json::parse(R"({"service":"www"})"));
}

TEST_F(Calls, WrongArgumentsAreNotSaid) {
    const Socket socket;
    const int fd = socket.fd(), closed = 9999;
    sluice_options options{};
    options.run_dir = "/nonexistent";
    const auto register_for = [&](const char* service, const int* sockets, std::size_t count) {
        return sluice_register(&options, service, sockets, count, &report_);
    };
    for (const char* service : {"", "two words", "a\"b", "a/b", "ä", "a\nb"}) {
        EXPECT_EQ(register_for(service, &fd, 1), SLUICE_INVALID) << service;
        EXPECT_THAT(report_.text, HasSubstr("is no name of a service")) << service;
    }
    EXPECT_EQ(register_for(std::string(101, 'a').c_str(), &fd, 1), SLUICE_INVALID);
    EXPECT_EQ(register_for(nullptr, &fd, 1), SLUICE_INVALID);
    EXPECT_EQ(register_for("www", &fd, 0), SLUICE_INVALID);
    EXPECT_EQ(register_for("www", nullptr, 1), SLUICE_INVALID);
    EXPECT_EQ(register_for("www", &closed, 1), SLUICE_INVALID);
    EXPECT_STREQ(report_.text, "register for 'www': descriptor 9999 is not open");
    EXPECT_EQ(sluice_unregister(&options, "www", -1, &report_), SLUICE_INVALID);
    EXPECT_EQ(sluice_unregister(&options, "www", STDERR_FILENO, nullptr), SLUICE_INVALID);
    EXPECT_EQ(register_for("www", &fd, 1), SLUICE_UNREACHABLE) << "the control of this test";
}

TEST_F(Calls, OptionsThatMakeNoSenseAreInvalid) {
    const auto with = [&](auto change) {
        sluice_options options{};
        options.run_dir = "/nonexistent";
        change(options);
        return sluice_promote(&options, "www", &report_);
    };
    EXPECT_EQ(with([](auto& o) { o.timeout_ms = -1; }), SLUICE_INVALID);
    EXPECT_EQ(with([](auto& o) { o.owner_pid = -1; }), SLUICE_INVALID);
    EXPECT_EQ(with([](auto& o) { o.reserved[3] = 1; }), SLUICE_INVALID);
    EXPECT_EQ(with([](auto& o) { o.run_dir = ""; }), SLUICE_INVALID);
    EXPECT_EQ(with([](auto& o) { o.run_dir = "relative"; }), SLUICE_INVALID);
    const std::string longest = "/" + std::string(98, 'd'), longer = longest + "d";
    EXPECT_EQ(with([&](auto& o) { o.run_dir = longest.c_str(); }), SLUICE_UNREACHABLE);
    EXPECT_EQ(with([&](auto& o) { o.run_dir = longer.c_str(); }), SLUICE_INVALID);
    EXPECT_EQ(with([](auto&) {}), SLUICE_UNREACHABLE) << "the control of this test";
}

TEST_F(Calls, TheAgentIsFoundByInstance) {
    const auto asked = [&](const char* instance, const char* environment) {
        if (environment != nullptr)
            ::setenv("SLUICE_INSTANCE", environment, 1);
        else
            ::unsetenv("SLUICE_INSTANCE");
        sluice_options options{};
        options.instance = instance;
        options.timeout_ms = 1;
        sluice_promote(&options, "www", &report_);
        ::unsetenv("SLUICE_INSTANCE");
        return std::string(report_.text);
    };
    EXPECT_THAT(asked("no-such-agent", nullptr), HasSubstr("/run/sluice-no-such-agent/control"));
    EXPECT_THAT(asked("no-such-agent", "x"), HasSubstr("/run/sluice-no-such-agent/control"));
    EXPECT_THAT(asked(nullptr, "no-such-one"), HasSubstr("/run/sluice-no-such-one/control"));
    EXPECT_THAT(asked("..", nullptr), HasSubstr("no name of an instance"));
    EXPECT_THAT(asked("a/b", nullptr), HasSubstr("no name of an instance"));
    EXPECT_THAT(asked(nullptr, "a/b"), HasSubstr("no name of an instance"));
    EXPECT_THAT(asked(std::string(100, 'i').c_str(), nullptr), HasSubstr("at most 107 bytes"));
}

TEST_F(Calls, NobodyThereIsUnreachableAndSaysWhatToDo) {
    sluice_options options{};
    options.run_dir = "/nonexistent";
    EXPECT_EQ(sluice_demote(&options, "www", &report_), SLUICE_UNREACHABLE);
    EXPECT_STREQ(report_.text,
                 "demote 'www': the agent is not running (nobody listens on /nonexistent/control)");
    EXPECT_STREQ(report_.hint, "systemctl start sluiced");
}

TEST_F(Calls, AReportIsWrittenWholeWhateverItWas) {
    std::memset(&report_, 0xff, sizeof report_);
    Peer peer(fine());
    const sluice_options options = peer.options();
    EXPECT_EQ(sluice_unregister_all(&options, "www", &report_), SLUICE_DONE);
    EXPECT_EQ(report_.added, 1U);
    EXPECT_EQ(report_.present + report_.removed + report_.warnings, 0U);
    EXPECT_STREQ(report_.text, "");
    EXPECT_STREQ(report_.hint, "");
    EXPECT_STREQ(report_.warning_text, "");
    for (const auto word : report_.reserved) EXPECT_EQ(word, 0U);
}

}  // namespace
}  // namespace sluice::testing

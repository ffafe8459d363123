// SPDX-License-Identifier: Apache-2.0
// docs/examples: built as a reader would, from what is installed and with pkg-config, and run
// against the real agent.
#include <array>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <thread>
#include <unistd.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "system/agent_world.h"
#include "system/clients.h"

namespace sluice::testing {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;
using ::testing::MatchesRegex;
using ::testing::StartsWith;

// What a TCP server says to one client, or how that failed.
std::string greeting_of(std::string_view to) {
    const SocketAddress address = sockaddr_of(to);
    const Fd client(::socket(address.storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0));
    if (::connect(client.get(), address.get(), address.size) != 0) return "refused";
    std::string said;
    std::array<char, 256> buffer{};
    for (;;) {
        pollfd wait{client.get(), POLLIN, 0};
        if (::poll(&wait, 1, 10'000) != 1) return "timeout after '" + said + "'";
        const ssize_t got = ::recv(client.get(), buffer.data(), buffer.size(), 0);
        if (got < 0) return "reset after '" + said + "'";
        if (got == 0) return said;
        said.append(buffer.data(), static_cast<std::size_t>(got));
    }
}

std::string pid_text(const Process& process) { return std::to_string(process.pid()); }

struct Examples : AgentWorld {
    void SetUp() override {
        AgentWorld::SetUp();
        start(R"(version: 1
services: {www: {}, echo: {}}
bindings:
  - {service: www, protocol: tcp, prefix: [127.7.0.0/16, "2001:db8::/32"], port: 80}
  - {service: echo, protocol: udp, prefix: [127.9.0.0/16, "2001:db8:9::/48"], port: any}
)");
    }

    // As packages do: what a program needs to run, and what it needs to be built.
    std::string prefix() const { return scratch() + "/prefix"; }
    void install() const {
        for (const char* component : {"libsluice0", "libsluice-dev"}) {
            const Finished done = run(
                {{CMAKE, "--install", BUILD_DIR, "--prefix", prefix(), "--component", component},
                 {},
                 {}});
            ASSERT_EQ(done.exit, 0) << done.err;
        }
    }
    std::string library_dir() const { return fs::path(pkg_config("--variable=libdir")); }
    std::string pkg_config(const std::string& flags) const {
        std::string directory;
        for (const auto& entry : fs::recursive_directory_iterator(prefix()))
            if (entry.path().filename() == "libsluice.pc") directory = entry.path().parent_path();
        const Finished done = run({{"/bin/sh", "-c", "pkg-config " + flags + " libsluice"},
                                   {{"PKG_CONFIG_PATH", directory}},
                                   {}});
        EXPECT_EQ(done.exit, 0) << done.err;
        return done.out.substr(0, done.out.find_last_not_of(" \n") + 1);
    }
    // The command line in each example's head.
    std::string build(const std::string& name) const {
        install();
        const std::string program = scratch() + "/" + name;
        const Finished done =
            run({{"/bin/sh", "-c",
                  "cc -std=c11 -Wall -Wextra -Wpedantic -Werror -o " + program + " " EXAMPLES "/" +
                      name + ".c " + pkg_config("--cflags --libs")},
                 {},
                 {}});
        EXPECT_EQ(done.exit, 0) << done.err;
        return program;
    }
    Command installed(std::vector<std::string> words) const {
        return {std::move(words), {{"LD_LIBRARY_PATH", library_dir()}}, {}};
    }
    static void serves(const Process& process) {
        ASSERT_TRUE(eventually([&] { return process.out().starts_with("serving\n"); }))
            << process.err();
    }
    // One takes over from the other while somebody keeps asking; nobody is lost.
    void take_over(const Command& first_command, const Command& second_command) {
        Process first(first_command);
        serves(first);
        EXPECT_EQ(greeting_of("127.7.1.2:80"),
                  "www here, process " + pid_text(first) + "; you asked for 127.7.1.2 port 80\n");
        std::atomic<bool> stop = false;
        std::vector<std::string> wrong;
        std::thread asking([&] {
            while (!stop)
                if (std::string said = greeting_of("127.7.3.4:80"); !said.starts_with("www here"))
                    wrong.push_back(said);
        });
        Process second(second_command);
        serves(second);
        first.signal(SIGTERM);
        EXPECT_EQ(first.wait(), 0) << first.err();
        for (int i = 0; i < 20; ++i)
            EXPECT_THAT(greeting_of("127.7.1.2:80"), HasSubstr(pid_text(second)));
        stop = true;
        asking.join();
        EXPECT_THAT(wrong, ::testing::IsEmpty());
        second.signal(SIGTERM);
        EXPECT_EQ(second.wait(), 0) << second.err();
        EXPECT_EQ(greeting_of("127.7.1.2:80"), "refused");
    }
};

TEST_F(Examples, ComponentsHaveWhatTheyShouldAndNothingElse) {
    const auto installs = [&](const char* component) {
        const std::string into = scratch() + "/" + component;
        EXPECT_EQ(run({{CMAKE, "--install", BUILD_DIR, "--prefix", into, "--component", component},
                       {},
                       {}})
                      .exit,
                  0);
        std::vector<std::string> files;
        for (const auto& entry : fs::recursive_directory_iterator(into))
            if (!entry.is_directory()) files.push_back(entry.path().filename());
        return files;
    };
    EXPECT_THAT(installs("libsluice0"),
                ::testing::UnorderedElementsAre("libsluice.so.0", StartsWith("libsluice.so.0.")));
    EXPECT_THAT(installs("libsluice-dev"),
                ::testing::UnorderedElementsAre(
                    "libsluice.so", "libsluice.pc", "sluice.h", "libsluice.3", "sluice_demote.3",
                    "sluice_promote.3", "sluice_register.3", "sluice_replace.3", "sluice_stage.3",
                    "sluice_unregister.3", "sluice_unregister_all.3", "sluice_version.3"));
}

TEST_F(Examples, PkgConfigNamesThePrefixAndTheVersion) {
    install();
    EXPECT_THAT(pkg_config("--cflags"), HasSubstr("-I" + prefix()));
    EXPECT_THAT(pkg_config("--libs"), MatchesRegex("-L" + prefix() + ".* -lsluice"));
    EXPECT_THAT(pkg_config("--modversion"), MatchesRegex("[0-9]+\\.[0-9]+\\.[0-9]+"));
}

TEST_F(Examples, GreeterInCServesAndTheNextVersionTakesOver) {
    const std::string program = build("greeter");
    take_over(installed({program, "www", "127.0.0.1", "9000", run_dir()}),
              installed({program, "www", "127.0.0.1", "9001", run_dir(), "replace"}));
}

TEST_F(Examples, GreeterInCServesIpv6) {
    Process greeter(installed({build("greeter"), "www", "::1", "9000", run_dir()}));
    serves(greeter);
    EXPECT_THAT(greeting_of("[2001:db8::7]:80"), HasSubstr("you asked for 2001:db8::7 port 80"));
}

TEST_F(Examples, GreeterInCSaysWhyItCannotAndWhatToDo) {
    const std::string program = build("greeter");
    const Finished unknown = run(installed({program, "wwww", "127.0.0.1", "9000", run_dir()}));
    EXPECT_EQ(unknown.exit, 2);
    EXPECT_THAT(unknown.err, HasSubstr("there is no service 'wwww'"));
    EXPECT_THAT(unknown.err, HasSubstr("hint: services are defined in"));
    const Finished nobody = run(installed({program, "www", "127.0.0.1", "9000", "/nonexistent"}));
    EXPECT_EQ(nobody.exit, 3);
    EXPECT_THAT(nobody.err, HasSubstr("nobody listens on /nonexistent/control"));
}

TEST_F(Examples, GreeterInPythonServesAndTheNextVersionTakesOver) {
    const std::string program = EXAMPLES "/greeter.py";
    take_over(
        {{"/usr/bin/python3", program, "www", "127.0.0.1", "9000", run_dir()}, {}, {}},
        {{"/usr/bin/python3", program, "www", "127.0.0.1", "9001", run_dir(), "replace"}, {}, {}});
}

TEST_F(Examples, GreeterInPythonSaysWhyItCannot) {
    const auto greeter = [&](const char* service, const char* how) {
        return run({{"/usr/bin/python3", EXAMPLES "/greeter.py", service, "127.0.0.1", "9000",
                     run_dir(), how},
                    {},
                    {}});
    };
    for (const char* how : {"add", "replace"}) {
        EXPECT_EQ(greeter("wwww", how).exit, 1);
        EXPECT_THAT(greeter("wwww", how).err, StartsWith("greeter.py: there is no service 'wwww'"))
            << how;
    }
}

TEST_F(Examples, GreeterInShellServesOnTheSocketThatSystemdOpened) {
    const std::string path =
        fs::path(SLUICECTL).parent_path().string() + ":" + std::string(std::getenv("PATH"));
    Process systemd({{"/usr/bin/systemd-socket-activate", "-l", "127.0.0.1:9000",
                      EXAMPLES "/greeter.sh", "www", run_dir()},
                     {{"PATH", path}},
                     {}});
    EXPECT_EQ(greeting_of("127.7.1.2:80"), "refused") << "not registered yet";
    // This one starts the service only when somebody comes.
    ASSERT_TRUE(eventually([] { return dial("127.0.0.1:9000") == "connected"; }));
    ASSERT_TRUE(eventually([&] { return !ask("sockets").empty(); })) << systemd.err();
    EXPECT_THAT(greeting_of("127.7.1.2:80"), MatchesRegex("www here, process [0-9]+\n"));
    EXPECT_EQ(ask("sockets").at(0).at("service"), "www");
}

// ---- UDP: the answer comes from where the question went ----------------------------------------

std::string text_of(const sockaddr_storage& from) {
    Endpoint endpoint;
    if (from.ss_family == AF_INET) {
        sockaddr_in in{};
        std::memcpy(&in, &from, sizeof in);
        endpoint.address.family = Family::ipv4;
        std::memcpy(endpoint.address.bytes.data(), &in.sin_addr, sizeof in.sin_addr);
        endpoint.port = ntohs(in.sin_port);
    } else {
        sockaddr_in6 in{};
        std::memcpy(&in, &from, sizeof in);
        endpoint.address.family = Family::ipv6;
        std::memcpy(endpoint.address.bytes.data(), &in.sin6_addr, sizeof in.sin6_addr);
        endpoint.port = ntohs(in.sin6_port);
    }
    return to_string(endpoint);
}

// Who answers a datagram to `to`, and with what: "127.9.0.1:53 says ping". The sender takes an
// answer from anybody.
std::string echo_of(std::string_view to, const std::string& text) {
    const SocketAddress address = sockaddr_of(to);
    const Fd client(::socket(address.storage.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    ::sendto(client.get(), text.data(), text.size(), 0, address.get(), address.size);
    pollfd wait{client.get(), POLLIN, 0};
    if (::poll(&wait, 1, 5000) != 1) return "silence";
    std::array<char, 4096> buffer{};
    sockaddr_storage from{};
    socklen_t size = sizeof from;
    const ssize_t got = ::recvfrom(client.get(), buffer.data(), buffer.size(), 0,
                                   reinterpret_cast<sockaddr*>(&from), &size);
    if (got < 0) return "error";
    return text_of(from) + " says " + std::string(buffer.data(), static_cast<std::size_t>(got));
}

const std::array<std::string, 10> asked{
    "127.9.0.1:53",      "127.9.0.1:5300",      "127.9.255.254:65535", "127.9.0.1:1",
    "127.9.77.7:9007",   "[2001:db8:9::1]:53",  "[2001:db8:9::1]:443", "[2001:db8:9:ffff::]:65535",
    "[2001:db8:9::7]:1", "[2001:db8:9::7]:9007"};

TEST_F(Examples, UdpEchoAnswersFromWhateverWasAsked) {
    Process echo(installed({build("udp_echo"), "echo", "9007", run_dir()}));
    serves(echo);
    for (const std::string& to : asked) {
        EXPECT_EQ(echo_of(to, "ping"), to + " says ping");
        EXPECT_EQ(echo_of(to, std::string(4000, 'x')), to + " says " + std::string(4000, 'x'));
    }
    EXPECT_EQ(echo_of("127.0.0.1:9007", "direct"), "127.0.0.1:9007 says direct");
    EXPECT_EQ(echo_of("[::1]:9007", "direct"), "[::1]:9007 says direct");
    EXPECT_EQ(echo.err(), "");
}

TEST_F(Examples, UdpEchoAnswersManyAtOnceAndKeepsNoDescriptor) {
    Process echo(installed({build("udp_echo"), "echo", "9007", run_dir()}));
    serves(echo);
    const auto descriptors = [&] {
        std::size_t count = 0;
        for ([[maybe_unused]] const auto& entry :
             fs::directory_iterator("/proc/" + pid_text(echo) + "/fd"))
            ++count;
        return count;
    };
    const std::size_t before = descriptors();
    std::vector<std::thread> clients;
    std::array<std::atomic<int>, 4> right{};
    for (auto& count : right)
        clients.emplace_back([&count, which = std::to_string(&count - right.data())] {
            for (int i = 0; i < 100; ++i)
                for (const std::string& to : {std::string("127.9.0.1:53"), asked[6]})
                    if (echo_of(to, which) == to + " says " + which) ++count;
        });
    for (std::thread& client : clients) client.join();
    for (const auto& count : right) EXPECT_EQ(count, 200);
    EXPECT_TRUE(eventually([&] { return descriptors() == before; }));
}

TEST_F(Examples, AnEchoThatAnswersFromItsOwnPortIsTold) {
    // The control of the two above: what everybody writes first.
    const Fd plain = bind_udp("127.0.0.1:9007");
    ASSERT_EQ(enlist("echo", {&plain}).exit, 0);
    std::thread echo([&] {
        std::array<char, 64> buffer{};
        sockaddr_storage from{};
        socklen_t size = sizeof from;
        const ssize_t got = ::recvfrom(plain.get(), buffer.data(), buffer.size(), 0,
                                       reinterpret_cast<sockaddr*>(&from), &size);
        ::sendto(plain.get(), buffer.data(), static_cast<std::size_t>(got), 0,
                 reinterpret_cast<const sockaddr*>(&from), size);
    });
    EXPECT_EQ(echo_of("127.9.0.1:53", "ping"), "127.0.0.1:9007 says ping");
    echo.join();
}

}  // namespace
}  // namespace sluice::testing

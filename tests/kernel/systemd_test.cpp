// SPDX-License-Identifier: Apache-2.0
// What systemd passes to a service and hears from it, with the test in systemd's place.
#include "sys/systemd.h"

#include <cstdlib>
#include <ctime>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "child.h"
#include "support/sockets.h"
#include "support/world.h"
#include "sys/unix_socket.h"

namespace sluice {
namespace {

using namespace sluice::testing;  // NOLINT: claims read better without prefixes

constexpr int first_passed = 3;

struct Environment {
    std::string count;                 // LISTEN_FDS
    const char* names = nullptr;       // LISTEN_FDNAMES
    bool for_another_process = false;  // LISTEN_PID
};

// In a child: as systemd starts a service.
void pass(const Environment& environment, const std::vector<const Fd*>& sockets) {
    std::vector<int> high;  // out of the way of 3, 4, …
    high.reserve(sockets.size());
    for (const Fd* socket : sockets) high.push_back(::fcntl(socket->get(), F_DUPFD, 100));
    for (std::size_t i = 0; i < high.size(); ++i)
        ::dup2(high[i], first_passed + static_cast<int>(i));
    const auto owner = environment.for_another_process ? ::getppid() : ::getpid();
    ::setenv("LISTEN_PID", std::to_string(owner).c_str(), 1);
    ::setenv("LISTEN_FDS", environment.count.c_str(), 1);
    ::unsetenv("LISTEN_FDNAMES");
    if (environment.names != nullptr) ::setenv("LISTEN_FDNAMES", environment.names, 1);
}

// "cdn=COOKIE dns=COOKIE", or the error.
std::string taken() {
    const auto passed = passed_descriptors();
    if (!passed) return "error: " + passed.error().message();
    std::string text;
    for (const NamedFd& one : *passed) {
        if ((::fcntl(one.fd.get(), F_GETFD) & FD_CLOEXEC) == 0) text += "(inherited) ";
        text += one.name + "=" + std::to_string(cookie_of(one.fd)) + " ";
    }
    for (const char* name : {"LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"})
        if (std::getenv(name) != nullptr) text += std::string(name) + " is still set";
    return text;
}

std::string taken_from(const Environment& environment, const std::vector<const Fd*>& sockets) {
    const Child child([&] {
        pass(environment, sockets);
        return taken();
    });
    return child.said();
}

class SystemdTest : public FreshWorld {
  protected:
    void TearDown() override {
        ::unsetenv("NOTIFY_SOCKET");
        FreshWorld::TearDown();
    }
};

TEST_F(SystemdTest, PassedSocketsComeInOrderWithTheirNames) {
    const Fd web = listen_tcp("127.0.0.1:80"), dns = bind_udp("127.0.0.1:53");
    EXPECT_EQ(
        taken_from({.count = "2", .names = "cdn:dns"}, {&web, &dns}),
        "cdn=" + std::to_string(cookie_of(web)) + " dns=" + std::to_string(cookie_of(dns)) + " ");
}

TEST_F(SystemdTest, SocketsOfOneNameAreAllOfThatName) {
    const Fd one = listen_tcp("127.0.0.1:80"), two = listen_tcp("127.0.0.1:81");
    EXPECT_EQ(
        taken_from({.count = "2", .names = "cdn:cdn"}, {&one, &two}),
        "cdn=" + std::to_string(cookie_of(one)) + " cdn=" + std::to_string(cookie_of(two)) + " ");
}

TEST_F(SystemdTest, WithoutNamesTheyAreUnknown) {
    const Fd web = listen_tcp("127.0.0.1:80");
    EXPECT_EQ(taken_from({.count = "1"}, {&web}),
              "unknown=" + std::to_string(cookie_of(web)) + " ");
}

TEST_F(SystemdTest, WhatIsPassedToAnotherProcessIsNotOurs) {
    const Fd web = listen_tcp("127.0.0.1:80");
    EXPECT_EQ(taken_from({.count = "1", .names = "cdn", .for_another_process = true}, {&web}), "");
}

TEST_F(SystemdTest, NothingPassedIsNoError) {
    const Child child([] {
        for (const char* name : {"LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"}) ::unsetenv(name);
        return "nothing" + taken();
    });
    EXPECT_EQ(child.said(), "nothing");
}

TEST_F(SystemdTest, AnEnvironmentThatMakesNoSenseIsAnError) {
    const Fd web = listen_tcp("127.0.0.1:80");
    for (const char* count : {"two", "0", "-1", "99999999999999999999"})
        EXPECT_TRUE(taken_from({.count = count}, {&web}).starts_with("error: ")) << count;
    EXPECT_TRUE(taken_from({.count = "1", .names = "cdn:dns"}, {&web}).starts_with("error: "))
        << "more names than sockets";
    EXPECT_TRUE(taken_from({.count = "90"}, {&web}).starts_with("error: "))
        << "more sockets than there are";
}

class NotifyTest : public SystemdTest {
  protected:
    // A socket in systemd's place, that notify() is told of.
    Fd listen() const {
        Fd fd(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
        sockaddr_un address{};
        address.sun_family = AF_UNIX;
        path().copy(address.sun_path, sizeof address.sun_path - 1);
        EXPECT_EQ(::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
        ::setenv("NOTIFY_SOCKET", path().c_str(), 1);
        return fd;
    }
    std::string path() const { return scratch() + "/notify"; }
    static std::string heard(const Fd& fd) { return must(receive(fd.get(), 1000, false)).bytes; }
};

TEST_F(NotifyTest, EveryStateIsHeardAsItWasSaid) {
    const Fd systemd = listen();
    notify("READY=1\nSTATUS=generation 43");
    notify("RELOADING=1");
    notify("STOPPING=1");
    EXPECT_EQ(heard(systemd), "READY=1\nSTATUS=generation 43");
    EXPECT_EQ(heard(systemd), "RELOADING=1");
    EXPECT_EQ(heard(systemd), "STOPPING=1");
    EXPECT_EQ(heard(systemd), "") << "and nothing else";
}

TEST_F(NotifyTest, AReloadSaysWhenItBeganAsTypeNotifyReloadWantsIt) {
    const Fd systemd = listen();
    timespec before{};
    ::clock_gettime(CLOCK_MONOTONIC, &before);
    notify_reloading();
    const std::string said = heard(systemd), start = "RELOADING=1\nMONOTONIC_USEC=";
    ASSERT_TRUE(said.starts_with(start)) << said;
    EXPECT_GE(std::stoll(said.substr(start.size())),
              before.tv_sec * 1'000'000LL + before.tv_nsec / 1000);
}

TEST_F(NotifyTest, WhereNobodyListensNothingHappens) {
    Fd systemd = listen();
    systemd.reset();
    notify("READY=1");
    ::setenv("NOTIFY_SOCKET", (scratch() + "/missing").c_str(), 1);
    notify("READY=1");
    ::setenv("NOTIFY_SOCKET", "not a path", 1);
    notify("READY=1");
    ::unsetenv("NOTIFY_SOCKET");
    notify("READY=1");
    systemd = Fd();
    ::unlink(path().c_str());
    systemd = listen();
    EXPECT_EQ(heard(systemd), "") << "what was said before is not kept";
    notify("READY=1");
    EXPECT_EQ(heard(systemd), "READY=1");
}

}  // namespace
}  // namespace sluice

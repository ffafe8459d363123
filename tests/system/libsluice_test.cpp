// SPDX-License-Identifier: Apache-2.0
// libsluice as a service uses it: the shared library, against the real agent.
#include <array>
#include <climits>
#include <csignal>
#include <fcntl.h>
#include <fstream>
#include <grp.h>
#include <linux/sockios.h>
#include <pthread.h>
#include <sluice/sluice.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "system/agent_world.h"
#include "system/clients.h"

namespace sluice::testing {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::StartsWith;

constexpr uid_t nobody = 65534;
constexpr int ample_ms = 30'000;

struct LibSluice : AgentWorld {
    void SetUp() override {
        AgentWorld::SetUp();
        run_dir_ = run_dir();
        start(R"(version: 1
services:
  www: {register: {users: [nobody]}}
  dns: {}
bindings:
  - {service: www, protocol: tcp, prefix: 127.7.0.0/16, port: 80}
  - {service: dns, protocol: udp, prefix: 127.7.0.0/16, port: 53}
)");
    }
    sluice_options options(int timeout_ms = ample_ms) const {
        sluice_options options{};
        options.run_dir = run_dir_.c_str();
        options.timeout_ms = timeout_ms;
        return options;
    }
    int add(const char* service, const Fd& socket, int timeout_ms = ample_ms) {
        const sluice_options with = options(timeout_ms);
        const int fd = socket.get();
        return sluice_register(&with, service, &fd, 1, &report_);
    }
    int replace(const char* service, const Fd& socket) {
        const sluice_options with = options();
        const int fd = socket.get();
        return sluice_replace(&with, service, &fd, 1, &report_);
    }
    // What `act` returns in a child; the child ends with it.
    static int in_child(const std::function<int()>& act) {
        const pid_t child = ::fork();
        if (child == 0) ::_exit(act());
        int status = 0;
        EXPECT_EQ(::waitpid(child, &status, 0), child);
        return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    }
    // Whether this process has said something on a Unix stream that nobody has read yet.
    static bool call_is_sent() {
        for (int fd = 3; fd < 256; ++fd) {
            int domain = 0, type = 0, unread = 0;
            socklen_t size = sizeof domain;
            if (::getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &size) == 0 && domain == AF_UNIX &&
                ::getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) == 0 && type == SOCK_STREAM &&
                ::ioctl(fd, SIOCOUTQ, &unread) == 0 && unread > 0)
                return true;
        }
        return false;
    }
    sluice_report report_{};

  private:
    std::string run_dir_;
};

TEST_F(LibSluice, ARegisteredSocketServesAndStaysTheCallers) {
    Fd www = listen_tcp("127.0.0.1:9999");
    const int flags = ::fcntl(www.get(), F_GETFD);
    ASSERT_EQ(add("www", www), SLUICE_DONE) << report_.text;
    EXPECT_EQ(report_.added, 1U);
    EXPECT_EQ(report_.present, 0U);
    EXPECT_EQ(::fcntl(www.get(), F_GETFD), flags);
    EXPECT_TRUE(reaches("127.7.0.1:80", www));
    const Json socket = ask("sockets").at(0);
    EXPECT_EQ(socket.at("pid"), ::getpid());
    EXPECT_TRUE(no_more_descriptors());
    www.reset();
    EXPECT_EQ(dial("127.7.0.1:80"), "refused") << "somebody keeps a duplicate";
}

TEST_F(LibSluice, RegisteringAgainChangesNothing) {
    const Fd www = listen_tcp("127.0.0.1:9999");
    ASSERT_EQ(add("www", www), SLUICE_DONE);
    EXPECT_EQ(add("www", www), SLUICE_DONE);
    EXPECT_EQ(report_.added, 0U);
    EXPECT_EQ(report_.present, 1U);
}

TEST_F(LibSluice, ManySocketsInOneCallGoInOrNone) {
    std::vector<Fd> all;
    std::vector<int> numbers;
    for (int i = 0; i < SLUICE_MAX_PASSED; ++i) {
        all.push_back(listen_tcp("127.0.0.1:9999", {.reuseport = true}));
        numbers.push_back(all.back().get());
    }
    const Fd deaf(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    const sluice_options with = options();
    std::swap(numbers.back(), numbers.front());
    const int last = numbers.back();
    numbers.back() = deaf.get();
    EXPECT_EQ(sluice_register(&with, "www", numbers.data(), numbers.size(), &report_),
              SLUICE_REFUSED);
    EXPECT_EQ(ask("sockets").size(), 0U);
    numbers.back() = last;
    EXPECT_EQ(sluice_register(&with, "www", numbers.data(), numbers.size(), &report_), SLUICE_DONE)
        << report_.text;
    EXPECT_EQ(report_.added, static_cast<unsigned>(SLUICE_MAX_PASSED));
}

TEST_F(LibSluice, ReplaceMakesItTheOnlyOne) {
    const Fd first = listen_tcp("127.0.0.1:9999"), second = listen_tcp("127.0.0.1:9998");
    ASSERT_EQ(add("www", first), SLUICE_DONE);
    EXPECT_EQ(add("www", second), SLUICE_REFUSED) << "another port";
    EXPECT_EQ(replace("www", second), SLUICE_DONE) << report_.text;
    for (int i = 0; i < 10; ++i) EXPECT_TRUE(reaches("127.7.0.1:80", second));
    EXPECT_EQ(ask("sockets").size(), 1U);
}

TEST_F(LibSluice, ASocketOfTheSameReuseportGroupDoesNotReplace) {
    // Why the header says so: the kernel lets the group choose.
    const Fd first = listen_tcp("127.0.0.1:9999", {.reuseport = true}),
             second = listen_tcp("127.0.0.1:9999", {.reuseport = true});
    ASSERT_EQ(add("www", first), SLUICE_DONE);
    ASSERT_EQ(replace("www", second), SLUICE_DONE);
    for (int i = 0; i < 100; ++i)
        ASSERT_EQ(dial("127.7.0." + std::to_string(i + 1) + ":80"), "connected");
    EXPECT_GT(waiting(first), 0);
    EXPECT_GT(waiting(second), 0);
}

TEST_F(LibSluice, StagedSocketsServeOncePromotedAndDemoteGoesBack) {
    const Fd first = listen_tcp("127.0.0.1:9999"), second = listen_tcp("127.0.0.1:9998"),
             third = listen_tcp("127.0.0.1:9997");
    const sluice_options with = options();
    const auto stage = [&](const Fd& socket) {
        const int fd = socket.get();
        return sluice_stage(&with, "www", &fd, 1, &report_);
    };
    const auto all_go_to = [](const Fd& socket) {
        for (int i = 0; i < 5; ++i)
            if (!reaches("127.7.0.1:80", socket)) return false;
        return true;
    };
    ASSERT_EQ(add("www", first), SLUICE_DONE);
    EXPECT_EQ(sluice_promote(&with, "www", &report_), SLUICE_REFUSED) << "nothing is staged";
    ASSERT_EQ(stage(second), SLUICE_DONE) << report_.text;
    EXPECT_EQ(report_.added, 1U);
    EXPECT_TRUE(all_go_to(first));
    ASSERT_EQ(sluice_promote(&with, "www", &report_), SLUICE_DONE) << report_.text;
    EXPECT_EQ(report_.removed, 0U);
    EXPECT_TRUE(all_go_to(second));
    ASSERT_EQ(sluice_demote(&with, "www", &report_), SLUICE_DONE) << report_.text;
    EXPECT_TRUE(all_go_to(first));
    EXPECT_EQ(sluice_demote(&with, "www", &report_), SLUICE_REFUSED) << "nothing to go back to";
    EXPECT_STRNE(report_.text, "");

    ASSERT_EQ(sluice_promote(&with, "www", &report_), SLUICE_DONE);
    ASSERT_EQ(stage(third), SLUICE_DONE);
    ASSERT_EQ(sluice_promote(&with, "www", &report_), SLUICE_DONE);
    EXPECT_EQ(report_.removed, 1U) << "the first is let go";
    EXPECT_TRUE(all_go_to(third));
    EXPECT_EQ(ask("sockets --service www").size(), 2U);
    EXPECT_EQ(sluice_promote(&with, "wwww", &report_), SLUICE_INVALID);
}

TEST_F(LibSluice, UnregisterTakesOneOutAndItsSiblingsServe) {
    const Fd a = listen_tcp("127.0.0.1:9999"), b = listen_tcp("127.0.0.2:9999");
    const sluice_options with = options();
    ASSERT_EQ(add("www", a), SLUICE_DONE);
    ASSERT_EQ(add("www", b), SLUICE_DONE);
    EXPECT_EQ(sluice_unregister(&with, "www", a.get(), &report_), SLUICE_DONE) << report_.text;
    EXPECT_EQ(report_.removed, 1U);
    for (int i = 0; i < 10; ++i) EXPECT_TRUE(reaches("127.7.0.1:80", b));
    EXPECT_EQ(sluice_unregister(&with, "www", a.get(), &report_), SLUICE_INVALID);
    EXPECT_THAT(report_.text, AllOf(StartsWith("unregister a socket of 'www': "),
                                    HasSubstr("'www' has no socket")));
    EXPECT_TRUE(reaches("127.0.0.1:9999", a)) << "it is not closed";
}

TEST_F(LibSluice, UnregisterAllTakesAllOut) {
    const Fd a = listen_tcp("127.0.0.1:9999"), b = listen_tcp("127.0.0.2:9999"),
             dns = bind_udp("127.0.0.1:9953");
    const sluice_options with = options();
    for (const Fd* one : {&a, &b}) ASSERT_EQ(add("www", *one), SLUICE_DONE);
    ASSERT_EQ(add("dns", dns), SLUICE_DONE);
    EXPECT_EQ(sluice_unregister_all(&with, "www", &report_), SLUICE_DONE);
    EXPECT_EQ(report_.removed, 2U);
    EXPECT_EQ(dial("127.7.0.1:80"), "refused");
    EXPECT_TRUE(datagram_reaches("127.7.0.1:53", dns));
    EXPECT_EQ(sluice_unregister_all(&with, "www", &report_), SLUICE_DONE) << "none is fine";
    EXPECT_EQ(report_.removed, 0U);
}

TEST_F(LibSluice, WhatTheAgentRefusesComesWithItsReasonAndTheWayOut) {
    const Fd deaf(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    EXPECT_EQ(add("www", deaf), SLUICE_REFUSED);
    EXPECT_THAT(report_.text, AllOf(StartsWith("register for 'www': "), HasSubstr("not listen")));
    EXPECT_THAT(report_.hint, HasSubstr("call listen()"));
    EXPECT_EQ(add("wwww", deaf), SLUICE_INVALID);
    EXPECT_THAT(report_.text, HasSubstr("there is no service 'wwww'"));
}

TEST_F(LibSluice, ASmallBacklogServesWithAWarning) {
    const Fd www = listen_tcp("127.0.0.1:9999", {.backlog = 2});
    EXPECT_EQ(add("www", www), SLUICE_DONE);
    EXPECT_EQ(report_.warnings, 1U);
    EXPECT_THAT(report_.warning_text,
                AllOf(StartsWith("small-backlog: 127.0.0.1:9999: "), HasSubstr("; listen() with")));
    EXPECT_TRUE(reaches("127.7.0.1:80", www));
}

TEST_F(LibSluice, AUserRegistersForTheServicesWhoseRulesNameIt) {
    const Fd www = listen_tcp("127.0.0.1:9999"), dns = bind_udp("127.0.0.1:9953");
    const auto as_nobody = [](const std::function<int()>& act) {
        return in_child([&] {
            if (::setgroups(0, nullptr) != 0 || ::setresgid(nobody, nobody, nobody) != 0 ||
                ::setresuid(nobody, nobody, nobody) != 0)
                return -1;
            return act();
        });
    };
    EXPECT_EQ(as_nobody([&] { return add("dns", dns); }), SLUICE_REFUSED);
    EXPECT_EQ(as_nobody([&] { return add("www", www); }), SLUICE_DONE);
    EXPECT_EQ(as_nobody([&] { return replace("www", www); }), SLUICE_DONE);
    EXPECT_TRUE(reaches("127.7.0.1:80", www));
    EXPECT_EQ(ask("sockets").size(), 1U);
}

TEST_F(LibSluice, AnotherProcessMayBeNamedAsTheOwner) {
    const Fd www = listen_tcp("127.0.0.1:9999");
    const Process holder({{"/bin/sleep", "1000"}, {}, {www.get()}});
    const std::string comm = "/proc/" + std::to_string(holder.pid()) + "/comm";
    ASSERT_TRUE(eventually([&] {
        std::string name;
        return std::ifstream(comm) >> name && name == "sleep";
    }));
    sluice_options with = options();
    with.owner_pid = holder.pid();
    const int fd = www.get();
    ASSERT_EQ(sluice_register(&with, "www", &fd, 1, &report_), SLUICE_DONE);
    EXPECT_EQ(ask("sockets").at(0).at("pid"), holder.pid());
    EXPECT_EQ(ask("sockets").at(0).at("command"), "sleep");
}

TEST_F(LibSluice, TheAgentIsFoundWhereItIsByDefaultAndByInstance) {
    ASSERT_EQ(::mount("tmpfs", "/run", "tmpfs", 0, nullptr), 0);  // this world's own
    const Fd www = listen_tcp("127.0.0.1:9999");
    const int fd = www.get();
    const auto register_at = [&](const char* instance, const char* environment) {
        sluice_options with{};
        with.instance = instance;
        if (environment != nullptr) ::setenv("SLUICE_INSTANCE", environment, 1);
        const int code = sluice_register(&with, "www", &fd, 1, &report_);
        ::unsetenv("SLUICE_INSTANCE");
        return code;
    };
    EXPECT_EQ(sluice_register(nullptr, "www", &fd, 1, &report_), SLUICE_UNREACHABLE);
    EXPECT_THAT(report_.text, HasSubstr("(nobody listens on /run/sluice/control)"));
    ASSERT_EQ(::symlink(run_dir().c_str(), "/run/sluice"), 0);
    EXPECT_EQ(sluice_register(nullptr, "www", &fd, 1, &report_), SLUICE_DONE) << report_.text;
    EXPECT_EQ(register_at("edge-2", nullptr), SLUICE_UNREACHABLE);
    EXPECT_EQ(register_at(nullptr, "edge-2"), SLUICE_UNREACHABLE);
    EXPECT_EQ(register_at("", "edge-2"), SLUICE_DONE) << "the one without a name";
    ASSERT_EQ(::rename("/run/sluice", "/run/sluice-edge-2"), 0);
    EXPECT_EQ(register_at("edge-2", nullptr), SLUICE_DONE) << report_.text;
    EXPECT_EQ(register_at(nullptr, "edge-2"), SLUICE_DONE) << report_.text;
    EXPECT_EQ(register_at("", nullptr), SLUICE_UNREACHABLE);
    EXPECT_EQ(::umount2("/run", MNT_DETACH), 0);
}

TEST_F(LibSluice, AStoppedAgentIsWaitedForSoLongAndMayDoItLater) {
    const Fd www = listen_tcp("127.0.0.1:9999");
    agent().signal(SIGSTOP);
    EXPECT_EQ(add("www", www, 100), SLUICE_UNANSWERED);
    EXPECT_THAT(report_.text, HasSubstr("no answer within 100 ms"));
    agent().signal(SIGCONT);
    EXPECT_EQ(add("www", www), SLUICE_DONE) << report_.text;
    EXPECT_EQ(report_.added + report_.present, 1U);
    EXPECT_EQ(ask("sockets").size(), 1U);
}

TEST_F(LibSluice, SignalsDoNotCutTheWaitShort) {
    struct sigaction heard{}, before{};
    static volatile sig_atomic_t alarms;
    heard.sa_handler = [](int) { alarms = alarms + 1; };  // without SA_RESTART
    ASSERT_EQ(::sigaction(SIGALRM, &heard, &before), 0);
    const itimerval often{{0, 1000}, {0, 1000}}, never{};
    agent().signal(SIGSTOP);
    std::thread waker([this] {
        eventually([] { return alarms > 50; });
        agent().signal(SIGCONT);
    });
    const Fd www = listen_tcp("127.0.0.1:9999");
    ASSERT_EQ(::setitimer(ITIMER_REAL, &often, nullptr), 0);
    EXPECT_EQ(add("www", www), SLUICE_DONE) << report_.text;
    ASSERT_EQ(::setitimer(ITIMER_REAL, &never, nullptr), 0);
    EXPECT_GT(alarms, 50);
    waker.join();
    ::sigaction(SIGALRM, &before, nullptr);
}

TEST_F(LibSluice, AnAgentThatDiesInTheMiddleIsToldApartFromNone) {
    const Fd www = listen_tcp("127.0.0.1:9999");
    agent().signal(SIGSTOP);
    int code = -1;
    std::thread caller([&] { code = add("www", www); });
    ASSERT_TRUE(eventually(call_is_sent));
    kill();
    caller.join();
    EXPECT_EQ(code, SLUICE_UNANSWERED);
    EXPECT_THAT(report_.text, HasSubstr("closed the connection without an answer"));
    EXPECT_EQ(add("www", www), SLUICE_UNREACHABLE);
    start();
    EXPECT_EQ(add("www", www), SLUICE_DONE);
}

TEST_F(LibSluice, ManyThreadsAtOnceDoNotMeet) {
    std::array<std::atomic<int>, 6> codes{};
    std::vector<std::thread> threads;
    for (int t = 0; t < 8; ++t)
        threads.emplace_back([&, t] {
            const Fd www = listen_tcp("127.0.0." + std::to_string(t + 1) + ":9999");
            const sluice_options with = options();
            const int fd = www.get();
            sluice_report report{};
            for (int i = 0; i < 50; ++i) {
                ++codes.at(
                    static_cast<std::size_t>(sluice_register(&with, "www", &fd, 1, &report)));
                ++codes.at(static_cast<std::size_t>(sluice_unregister(&with, "www", fd, &report)));
            }
        });
    for (std::thread& thread : threads) thread.join();
    EXPECT_EQ(codes[SLUICE_DONE], 800);
    EXPECT_EQ(ask("sockets").size(), 0U);
}

TEST_F(LibSluice, AChildOfAProgramWithThreadsMayCallIt) {
    std::atomic<bool> stop = false;
    const Fd busy = listen_tcp("127.0.0.1:9999");
    std::thread other([&] {
        const sluice_options with = options();
        const int fd = busy.get();
        while (!stop) sluice_register(&with, "www", &fd, 1, nullptr);
    });
    for (int i = 0; i < 20; ++i)
        EXPECT_EQ(in_child([this, i] {
                      ::alarm(20);  // it must not hang in what the other thread held
                      const std::size_t before = open_descriptors();
                      const Fd mine = listen_tcp("127.0.0." + std::to_string(i + 2) + ":9999");
                      const int code = add("www", mine);
                      return open_descriptors() == before + 1 ? code : 99;
                  }),
                  SLUICE_DONE);
    stop = true;
    other.join();
    EXPECT_TRUE(eventually([&] { return ask("sockets").size() == 1; }))
        << "the children's are closed";
}

TEST_F(LibSluice, TwentyFourKilobytesOfStackAreEnough) {
    const Fd www = listen_tcp("127.0.0.1:9999", {.backlog = 2});
    struct Call {
        sluice_options options;
        sluice_report report;
        int fd;
        std::array<int, 3> codes;
    } call{options(), {}, www.get(), {-1, -1, -1}};
    pthread_attr_t small;
    ASSERT_EQ(::pthread_attr_init(&small), 0);
    // The thread itself takes the least there is.
    ASSERT_EQ(::pthread_attr_setstacksize(
                  &small, static_cast<std::size_t>(PTHREAD_STACK_MIN) + 24UL * 1024),
              0);
    pthread_t thread{};
    ASSERT_EQ(::pthread_create(
                  &thread, &small,
                  [](void* at) -> void* {
                      auto& [with, report, fd, codes] = *static_cast<Call*>(at);
                      codes[0] = sluice_register(&with, "www", &fd, 1, &report);
                      codes[1] = sluice_unregister(&with, "www", fd, nullptr);
                      codes[2] = sluice_promote(&with, "no-such-service", nullptr);
                      return nullptr;
                  },
                  &call),
              0);
    ASSERT_EQ(::pthread_join(thread, nullptr), 0);
    ::pthread_attr_destroy(&small);
    EXPECT_EQ(call.codes[0], SLUICE_DONE);
    EXPECT_EQ(call.report.warnings, 1U);
    EXPECT_EQ(call.codes[1], SLUICE_DONE);
    EXPECT_NE(call.codes[2], SLUICE_DONE);
}

TEST_F(LibSluice, AThreadThatIsCancelledLeavesNothingOpen) {
    const Fd www = listen_tcp("127.0.0.1:9999");
    agent().signal(SIGSTOP);
    struct Call {
        LibSluice* self;
        const Fd* socket;
        int code = -1;
    } call{this, &www};
    pthread_t thread{};
    const std::size_t before = open_descriptors();
    ASSERT_EQ(::pthread_create(
                  &thread, nullptr,
                  [](void* at) -> void* {
                      auto& mine = *static_cast<Call*>(at);
                      mine.code = mine.self->add("www", *mine.socket);
                      ::pthread_testcancel();
                      return at;
                  },
                  &call),
              0);
    ASSERT_TRUE(eventually([before] { return open_descriptors() > before; })) << "its connection";
    ::pthread_cancel(thread);
    agent().signal(SIGCONT);
    void* ended = nullptr;
    ASSERT_EQ(::pthread_join(thread, &ended), 0);
    EXPECT_EQ(ended, PTHREAD_CANCELED) << "right after the call";
    EXPECT_EQ(call.code, SLUICE_DONE) << "which it does not cut short";
    EXPECT_EQ(open_descriptors(), before);
}

TEST_F(LibSluice, ClosedStandardDescriptorsAreNotTakenForTheConnection) {
    const Fd www = listen_tcp("127.0.0.1:9999");
    agent().signal(SIGSTOP);
    EXPECT_EQ(in_child([&] {
                  for (int fd = 0; fd <= 2; ++fd) ::close(fd);
                  std::thread resume([this] {
                      // What a thread prints meanwhile must not reach the agent.
                      for (int i = 0; i < 100; ++i) {
                          if (::write(1, "printed\n", 8) >= 0 || ::write(2, "x", 1) >= 0)
                              ::_exit(98);
                          ::usleep(1000);
                      }
                      agent().signal(SIGCONT);
                  });
                  const int code = add("www", www);
                  resume.join();
                  return code;
              }),
              SLUICE_DONE);
}

TEST_F(LibSluice, TwoThousandCallsLeaveNothingBehind) {
    const Fd www = listen_tcp("127.0.0.1:9999"), deaf(::socket(AF_INET, SOCK_STREAM, 0));
    const sluice_options with = options();
    const std::size_t before = open_descriptors();
    for (int i = 0; i < 500; ++i) {
        ASSERT_EQ(add("www", www), SLUICE_DONE);
        ASSERT_EQ(add("www", deaf), SLUICE_REFUSED);
        ASSERT_EQ(sluice_unregister(&with, "www", www.get(), &report_), SLUICE_DONE);
        ASSERT_EQ(sluice_unregister(&with, "www", www.get(), &report_), SLUICE_INVALID);
    }
    EXPECT_EQ(open_descriptors(), before);
    EXPECT_TRUE(no_more_descriptors());
}

}  // namespace
}  // namespace sluice::testing

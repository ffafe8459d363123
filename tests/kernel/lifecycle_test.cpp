// SPDX-License-Identifier: Apache-2.0
// What a dispatcher lives through: kills, restarts, upgrades, detaching, a full table, other
// people.
#include <atomic>
#include <chrono>
#include <csignal>
#include <fcntl.h>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <linux/capability.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <thread>

#include <gmock/gmock.h>

#include "kernel/dataplane.h"
#include "kernel/snapshot.h"
#include "support/dataplane.h"
#include "support/patience.h"
#include "support/random_tables.h"
#include "support/sockets.h"
#include "support/world.h"

namespace sluice::kernel {
namespace {

using namespace sluice::testing;  // NOLINT: claims read better without prefixes
using ::testing::HasSubstr;
namespace fs = std::filesystem;

class LifecycleTest : public FreshWorld {
  protected:
    Site site() const {
        Site made;
        made.directory = bpffs();
        made.capacity = 1000;
        return made;
    }
    std::vector<std::string> pins() const {
        std::vector<std::string> names;
        for (const auto& entry : fs::directory_iterator(bpffs()))
            names.push_back(entry.path().filename().string());
        std::ranges::sort(names);
        return names;
    }
    static std::uint64_t assigned(const TestPlane& plane, const std::string& service) {
        return must(read_counters(plane.dispatcher->maps(), plane.services_table->id(service),
                                  SLUICE_TCP_V4))
            .assigned;
    }
};

// The same program in other bytes: what comes after an ELF file's sections is nobody's.
class OtherImage {
  public:
    OtherImage() {
        const auto original = ProgramImage::dispatcher().elf;
        bytes_.assign(original.begin(), original.end());
        bytes_.resize(bytes_.size() + 8);
    }
    ProgramImage image() const { return {bytes_}; }

  private:
    std::vector<std::byte> bytes_;
};

// Keeps connecting until it is stopped, and counts what failed.
class Client {
  public:
    explicit Client(std::string to) : thread_([this, to = std::move(to)] { run(to); }) {}
    ~Client() { stop(); }
    void stop() {
        stop_ = true;
        if (thread_.joinable()) thread_.join();
    }
    int failed() const { return failed_; }
    int connected() const { return connected_; }
    void wait_for_more(int connections) const {
        const int until = connected_ + connections;
        const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(20);
        while (connected_ < until && std::chrono::steady_clock::now() < end)
            std::this_thread::yield();
    }

  private:
    void run(const std::string& to) {
        while (!stop_) ++(dial(to) == "connected" ? connected_ : failed_);
    }
    std::atomic<bool> stop_ = false;
    std::atomic<int> failed_ = 0, connected_ = 0;
    std::thread thread_;
};

// Accepts and closes, so that no backlog fills up.
class Server {
  public:
    explicit Server(const Fd& listener) : fd_(listener.get()), thread_([this] { run(); }) {}
    ~Server() {
        stop_ = true;
        thread_.join();
    }

  private:
    void run() {
        ::fcntl(fd_, F_SETFL, O_NONBLOCK);
        while (!stop_) {
            const Fd connection(::accept4(fd_, nullptr, nullptr, SOCK_CLOEXEC));
            if (!connection) std::this_thread::yield();
        }
    }
    int fd_;
    std::atomic<bool> stop_ = false;
    std::thread thread_;
};

TEST_F(LifecycleTest, ARestartFindsBindingsSocketsAndCountersAsTheyWere) {
    TestPlane plane(bpffs(), site());
    plane.apply({"tcp 127.7.0.0/16 80 www", "tcp 127.7.0.0/16 81 (reject) runtime"});
    const Fd www = listen_tcp("127.0.0.1:0");
    plane.add("www", {&www});
    ASSERT_TRUE(reaches("127.7.7.7:80", www));
    const auto program = plane.dispatcher->program_id();
    plane.reopen();
    EXPECT_TRUE(plane.dispatcher->adopted());
    EXPECT_FALSE(plane.dispatcher->upgraded());
    EXPECT_FALSE(plane.dispatcher->relinked());
    EXPECT_EQ(plane.dispatcher->program_id(), program);
    EXPECT_EQ(plane.generation, 1U);
    ASSERT_EQ(plane.running.size(), 2U);
    EXPECT_EQ(plane.running.all()[1].owner, Owner::runtime);
    ASSERT_EQ(plane.sockets->of("www").size(), 1U);
    EXPECT_EQ(plane.sockets->of("www")[0].cookie, cookie_of(www));
    EXPECT_EQ(assigned(plane, "www"), 1U);
    EXPECT_TRUE(reaches("127.7.7.7:80", www));
}

TEST_F(LifecycleTest, ASocketThatClosesWhileNobodyIsThereIsGoneAfterwards) {
    TestPlane plane(bpffs(), site());
    plane.apply({"tcp 127.7.0.0/16 80 www"});
    Fd first = listen_tcp("127.0.0.1:0");
    const Fd second = listen_tcp("127.0.0.1:0");
    plane.add("www", {&first, &second});
    first.reset();
    plane.reopen();
    ASSERT_EQ(plane.sockets->of("www").size(), 1U);
    EXPECT_EQ(plane.sockets->of("www")[0].cookie, cookie_of(second));
}

TEST_F(LifecycleTest, AnotherProgramTakesOverWithoutAFailedConnection) {
    TestPlane plane(bpffs(), site());
    plane.apply({"tcp 127.7.0.0/16 80 www"});
    const Fd www = listen_tcp("127.0.0.1:0", {.backlog = 1024});
    plane.add("www", {&www});
    const Server server(www);
    Client client("127.7.7.7:80");
    const OtherImage other;
    for (int i = 0; i < 10; ++i) {
        client.wait_for_more(50);
        const auto program = plane.dispatcher->program_id();
        plane.set_image(i % 2 == 0 ? other.image() : ProgramImage::dispatcher());
        plane.reopen();
        EXPECT_TRUE(plane.dispatcher->upgraded());
        EXPECT_NE(plane.dispatcher->program_id(), program);
        EXPECT_FALSE(plane.dispatcher->relinked());
        EXPECT_EQ(pins().size(), 1U) << "what was replaced is removed";
    }
    client.wait_for_more(50);
    client.stop();
    EXPECT_EQ(client.failed(), 0);
    EXPECT_GE(client.connected(), 500);
    // A late packet of a connection that is gone is a lookup too.
    EXPECT_GE(assigned(plane, "www"), static_cast<std::uint64_t>(client.connected()))
        << "the counters went along";
}

TEST_F(LifecycleTest, ALargerTableTakesOverWithItsBindings) {
    TestPlane plane(bpffs(), site());
    plane.apply({"tcp 127.7.0.0/16 80 www", "udp 2001:db8::/32 53 www"});
    const Fd www = listen_tcp("127.0.0.1:0");
    plane.add("www", {&www});
    plane.set_capacity(5000);
    plane.reopen();
    EXPECT_TRUE(plane.dispatcher->upgraded());
    EXPECT_EQ(plane.dispatcher->capacity(), 5000U);
    EXPECT_EQ(plane.running.size(), 2U);
    EXPECT_TRUE(reaches("127.7.7.7:80", www));
    plane.apply({"tcp 127.8.0.0/16 80 www"});
    EXPECT_TRUE(reaches("127.8.7.7:80", www));
    EXPECT_EQ(dial("127.7.7.7:80"), "refused");
}

TEST_F(LifecycleTest, MoreThanTheTableHoldsIsRefusedAndTheOldGenerationAnswers) {
    Site small = site();
    small.capacity = 10;
    TestPlane plane(bpffs(), small);
    plane.apply({"tcp 127.7.0.0/16 80 www"});
    const Fd www = listen_tcp("127.0.0.1:0");
    plane.add("www", {&www});
    std::vector<std::string> lines;
    for (int i = 0; i < 11; ++i)
        lines.push_back("tcp 127.7." + std::to_string(i) + ".0/24 80 (reject)");
    const auto refused = plane.try_apply(bindings(lines));
    ASSERT_FALSE(refused);
    EXPECT_THAT(refused.error().message(), HasSubstr("the table holds 10 prefixes; 11 were asked"));
    EXPECT_TRUE(reaches("127.7.7.7:80", www));
    lines.pop_back();
    plane.apply(lines);
    EXPECT_EQ(dial("127.7.7.7:80"), "refused");
    plane.apply({"tcp 127.7.0.0/16 80 www"});
    EXPECT_TRUE(reaches("127.7.7.7:80", www));
}

TEST_F(LifecycleTest, DetachedTrafficGoesItsOrdinaryWayUntilAttach) {
    TestPlane plane(bpffs(), site());
    plane.apply({"tcp 127.7.0.0/16 80 www"});
    const Fd www = listen_tcp("127.0.0.1:0"), ordinary = listen_tcp("127.7.7.7:80");
    plane.add("www", {&www});
    ASSERT_TRUE(reaches("127.7.7.7:80", www));
    must(plane.dispatcher->detach());
    must(plane.dispatcher->detach());
    EXPECT_TRUE(reaches("127.7.7.7:80", ordinary));
    plane.reopen();
    EXPECT_FALSE(plane.dispatcher->attached()) << "a restart does not undo it";
    EXPECT_TRUE(reaches("127.7.7.7:80", ordinary));
    must(plane.dispatcher->attach());
    must(plane.dispatcher->attach());
    EXPECT_TRUE(reaches("127.7.7.7:80", www));
}

TEST_F(LifecycleTest, ALinkThatSomebodyRemovedIsMadeAgain) {
    TestPlane plane(bpffs(), site());
    plane.apply({"tcp 127.7.0.0/16 80 www"});
    const Fd www = listen_tcp("127.0.0.1:0");
    plane.add("www", {&www});
    ASSERT_TRUE(fs::remove(plane.dispatcher->directory() + "/link"));
    // The kernel lets go of the link some time after its pin is gone.
    EXPECT_TRUE(eventually([] { return dial("127.7.7.7:80") == "refused"; }));
    plane.reopen();
    EXPECT_TRUE(plane.dispatcher->relinked());
    EXPECT_TRUE(reaches("127.7.7.7:80", www));
}

TEST_F(LifecycleTest, WhatACrashLeftHalfBuiltIsRemoved) {
    TestPlane plane(bpffs(), site());
    fs::create_directory(bpffs() + "/7-new");
    fs::create_directory(bpffs() + "/others");
    plane.reopen();
    EXPECT_EQ(pins(), (std::vector<std::string>{"1", "others"})) << "and nothing that is not ours";
}

TEST_F(LifecycleTest, PinsAreForTheOwnerAlone) {
    TestPlane plane(bpffs(), site());
    struct stat info{};
    ASSERT_EQ(::stat(bpffs().c_str(), &info), 0);
    EXPECT_EQ(info.st_mode & 07777U, 0700U);
    ASSERT_EQ(::stat(plane.dispatcher->directory().c_str(), &info), 0);
    EXPECT_EQ(info.st_mode & 07777U, 0700U);
    for (const auto& pin : fs::directory_iterator(plane.dispatcher->directory())) {
        ASSERT_EQ(::stat(pin.path().c_str(), &info), 0);
        EXPECT_EQ(info.st_mode & 07777U, 0600U) << pin.path();
    }
}

TEST_F(LifecycleTest, ASecondWriterIsRefused) {
    const TestPlane plane(bpffs(), site());
    const auto second = Dispatcher::open(site());
    ASSERT_FALSE(second);
    EXPECT_THAT(second.error().message(), HasSubstr("another sluiced is running on " + bpffs()));
    EXPECT_THAT(second.error().hint(), HasSubstr("--instance"));
}

TEST_F(LifecycleTest, PinsOfAnotherNamespaceAreRefusedByName) {
    {
        const TestPlane plane(bpffs(), site());
    }
    ASSERT_EQ(::unshare(CLONE_NEWNET), 0);
    const auto foreign = Dispatcher::open(site());
    ASSERT_FALSE(foreign);
    EXPECT_THAT(foreign.error().message(), HasSubstr(bpffs()));
    EXPECT_THAT(foreign.error().message(), HasSubstr("belong to another network namespace"));
}

TEST_F(LifecycleTest, ADirectoryOutsideABpffsIsRefused) {
    Site nowhere = site();
    nowhere.directory = scratch() + "/sluice";
    const auto refused = Dispatcher::open(nowhere);
    ASSERT_FALSE(refused);
    EXPECT_THAT(refused.error().message(), HasSubstr("is not in a mounted bpffs"));
    EXPECT_THAT(refused.error().hint(), HasSubstr("mount -t bpf"));
}

TEST_F(LifecycleTest, AnotherLayoutIsRefusedBeforeAnythingIsMisread) {
    {
        const TestPlane plane(bpffs(), site());
        plane.dispatcher->maps().state().abi = 99;
    }
    const auto refused = Dispatcher::open(site());
    ASSERT_FALSE(refused);
    EXPECT_THAT(refused.error().message(), HasSubstr("have layout 99"));
}

TEST_F(LifecycleTest, AnotherProgramInTheNamespaceIsNoticed) {
    const TestPlane plane(bpffs(), site());
    EXPECT_TRUE(must(plane.dispatcher->foreign_programs()).empty());
    const TestPlane other(bpffs() + "-other", site());
    EXPECT_EQ(must(plane.dispatcher->foreign_programs()),
              std::vector{other.dispatcher->program_id()});
}

// Runs `body` in a child process; its exit status.
template <class Body>
int in_child(Body body) {
    const pid_t child = ::fork();
    if (child == 0) ::_exit(body());
    int status = 0;
    ::waitpid(child, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

// What a process with only these capabilities is told, through a file that both can read.
std::string refusal_with(std::uint32_t low, std::uint32_t high, const Site& site,
                         const std::string& file) {
    in_child([&] {
        __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
        std::array<__user_cap_data_struct, 2> sets{};
        sets[0].effective = sets[0].permitted = low;
        sets[1].effective = sets[1].permitted = high;
        if (::syscall(SYS_capset, &header, sets.data()) != 0) return 1;
        const auto refused = Dispatcher::open(site);
        std::ofstream(file) << (refused ? "opened" : refused.error().message());
        return 0;
    });
    std::ifstream text(file);
    return {std::istreambuf_iterator<char>(text), {}};
}

TEST_F(LifecycleTest, WithoutACapabilityTheMessageNamesIt) {
    const std::string file = scratch() + "/said";
    const std::uint32_t files = 1U << CAP_DAC_OVERRIDE, net = 1U << CAP_NET_ADMIN;
    const std::uint32_t bpf = 1U << (CAP_BPF - 32);
    EXPECT_THAT(refusal_with(files, 0, site(), file),
                HasSubstr("CAP_BPF and CAP_NET_ADMIN are missing"));
    EXPECT_THAT(refusal_with(files | net, 0, site(), file), HasSubstr(": CAP_BPF is missing"));
    EXPECT_THAT(refusal_with(files, bpf, site(), file), HasSubstr(": CAP_NET_ADMIN is missing"));
    EXPECT_EQ(refusal_with(files | net, bpf, site(), file), "opened") << "no other is needed";
}

// What each generation of the storm says: everything to one service, under prefixes of its own.
std::vector<std::string> storm_table(std::uint64_t generation) {
    std::vector<std::string> lines;
    const std::string service = generation % 2 == 0 ? " even" : " odd";
    for (std::uint64_t i = 0; i < 200; ++i)
        if ((i + generation) % 3 != 0)
            lines.push_back("tcp 127.7." + std::to_string(i) + ".0/24 " +
                            std::to_string(1 + generation % 7) + service);
    lines.push_back("tcp 127.7.0.0/16 any" + service);
    return lines;
}

// An agent that changes the table as fast as it can, and its program now and then.
[[noreturn]] void storm(const std::string& bpffs, Site site) {
    const OtherImage other;
    for (int round = 0;; ++round) {
        if (round % 3 == 1) site.image = other.image();
        TestPlane plane(bpffs, site);
        for (int i = 0; i < 5; ++i) {
            plane.apply(storm_table(plane.generation + 1));
            if (i % 2 == 0) plane.settle();
        }
        site.image = ProgramImage::dispatcher();
    }
}

void expect_one_whole_generation(const TestPlane& plane) {
    ASSERT_GT(plane.generation, 0U);
    const Bindings wanted = bindings(storm_table(plane.generation));
    const auto same = [](const Binding& a, const Binding& b) { return a.same_meaning(b); };
    ASSERT_TRUE(std::ranges::equal(plane.running, wanted, same))
        << "generation " << plane.generation << " is not what it was";
}

TEST_F(LifecycleTest, KilledAtAnyMomentTheKernelAnswersFromOneWholeGeneration) {
    Fd even, odd;
    {
        TestPlane plane(bpffs(), site());
        plane.apply(storm_table(1));
        plane.apply(storm_table(2));
        even = listen_tcp("127.0.0.1:0", {.backlog = 1024});
        odd = listen_tcp("127.0.0.1:0", {.backlog = 1024});
        plane.add("even", {&even});
        plane.add("odd", {&odd});
    }
    const Server even_server(even), odd_server(odd);
    Client client("127.7.7.7:80");
    Random random(20261124);
    for (int kill = 0; kill < 40; ++kill) {
        const pid_t child = ::fork();
        if (child == 0) {
            const int null = ::open("/dev/null", O_WRONLY);
            ::dup2(null, STDOUT_FILENO);
            storm(bpffs(), site());
        }
        ::usleep(1000 + random.below(150'000));  // any moment is the point
        ASSERT_EQ(::kill(child, SIGKILL), 0);
        int status = 0;
        ASSERT_EQ(::waitpid(child, &status, 0), child);
        ASSERT_TRUE(WIFSIGNALED(status)) << "the child ended by itself: " << status;

        TestPlane plane(bpffs(), site());
        expect_one_whole_generation(plane);
        ASSERT_EQ(plane.sockets->all().size(), 2U) << "after kill " << kill;
        // Both halves are whole again: the next change, and the one after it, are too.
        for (int i = 0; i < 2; ++i) {
            plane.apply(storm_table(plane.generation + 1));
            const Bindings read = must(read_bindings(plane.dispatcher->maps()));
            ASSERT_EQ(read.size(), plane.running.size());
        }
    }
    client.stop();
    EXPECT_EQ(client.failed(), 0) << "of " << client.connected();
    EXPECT_GT(client.connected(), 1000);
}

}  // namespace
}  // namespace sluice::kernel

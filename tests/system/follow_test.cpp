// SPDX-License-Identifier: Apache-2.0
// sluice-follow keeps services in step with units that know nothing of it: real servers in control
// groups of the test's own, under clients that never pause.
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <optional>
#include <set>
#include <sstream>
#include <sys/stat.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/registered_socket.h"
#include "system/agent_world.h"
#include "system/clients.h"
#include "system/units.h"

namespace sluice::testing {
namespace {

using ::testing::Each;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

constexpr const char* nginx_unit = "system.slice/nginx.service";

std::string text_of(const std::string& path) {
    std::ifstream file(path);
    return {std::istreambuf_iterator<char>(file), {}};
}

std::size_t times(const std::string& text, std::string_view part) {
    std::size_t count = 0;
    for (std::size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1))
        ++count;
    return count;
}

class Follow : public AgentWorld {
  protected:
    void SetUp() override {
        AgentWorld::SetUp();
        if (HasFatalFailure()) return;
        units_.emplace(scratch());
    }
    void TearDown() override {
        if (HasFailure() && follower_) std::cerr << "the follower's log:\n" << follower_log();
        follower_.reset();
        units_.reset();
        AgentWorld::TearDown();
    }

    // A config whose service `www` follows nginx.service, listening at `listen`.
    static std::string www(const std::string& listen, const std::string& more = "") {
        return "version: 1\nservices:\n  www:\n    sockets: [{unit: nginx.service, listen: [" +
               listen + "]}]\n" + more +
               "bindings: [{service: www, protocol: tcp, prefix: 127.7.0.0/16, port: 80}]\n";
    }

    Command sluice_follow() const {
        return {{SLUICE_FOLLOW, "--run-dir", run_dir(), "--cgroup-root", units_->root()}, {}, {}};
    }
    void follow() { follower_.emplace(sluice_follow()); }
    Process& follower() { return *follower_; }
    std::string follower_log() const { return follower_->err(); }
    bool follower_says(const std::string& text) const {
        return eventually([&] { return times(follower_log(), text) > 0; });
    }
    const Units& units() const { return *units_; }

    // nginx as a unit of its own: a master as root, workers as www-data.
    struct Site {
        std::string listen;  // "listen 127.0.0.1:8080 reuseport;"
        int workers = 1;
        std::string more{};  // in the http block
    };
    void configure(const Site& site) const {
        const std::string dir = scratch() + "/nginx";
        ::mkdir(dir.c_str(), 0755);
        write(dir + "/nginx.conf",
              "user www-data;\nworker_processes " + std::to_string(site.workers) + ";\npid " + dir +
                  "/nginx.pid;\nerror_log " + dir +
                  "/error.log notice;\nevents { worker_connections 512; }\nhttp {\n"
                  "  access_log off;\n  client_body_temp_path " +
                  dir + "/body;\n  proxy_temp_path " + dir + "/proxy;\n  fastcgi_temp_path " + dir +
                  "/fastcgi;\n  uwsgi_temp_path " + dir + "/uwsgi;\n  scgi_temp_path " + dir +
                  "/scgi;\n" + site.more + "\n  server {\n    " + site.listen +
                  "\n    location / { return 200 \"done\\n\"; }\n  }\n}\n");
    }
    void run_nginx(const Site& site) {
        configure(site);
        start_nginx();
    }
    void start_nginx() {
        // By its absolute path, or an upgrade cannot find it; and as a daemon, or it refuses one.
        const Finished started = run(units_->in(
            nginx_unit,
            {{"/usr/sbin/nginx", "-c", scratch() + "/nginx/nginx.conf", "-e", "stderr"}, {}, {}}));
        if (started.exit != 0 || !eventually([&] { return master() > 0; }))
            throw std::runtime_error("nginx does not start: " + started.err);
    }
    void stop_nginx() const {
        const pid_t old = master();
        ::kill(old, SIGTERM);
        ASSERT_TRUE(eventually([&] { return ::kill(old, 0) != 0; }));
    }
    pid_t master() const {  // as its pid file says
        return std::atoi(text_of(scratch() + "/nginx/nginx.pid").c_str());
    }

    std::set<pid_t> workers() const {
        std::istringstream pids(text_of("/proc/" + std::to_string(master()) + "/task/" +
                                        std::to_string(master()) + "/children"));
        return {std::istream_iterator<pid_t>(pids), {}};
    }
    // As many workers as that, and none of those that were there.
    bool has_new_workers(std::size_t count, const std::set<pid_t>& old) const {
        return eventually([&] {
            const auto now = workers();
            return now.size() == count &&
                   std::ranges::none_of(now, [&](pid_t pid) { return old.contains(pid); });
        });
    }
    void reload_nginx(const Site& site) {
        const auto old = workers();
        configure(site);
        ::kill(master(), SIGHUP);
        ASSERT_TRUE(has_new_workers(static_cast<std::size_t>(site.workers), old));
    }

    // A process in the unit that holds sockets and does nothing with them.
    Process holder(const std::string& path, const std::vector<const Fd*>& sockets) const {
        Command command{{"/bin/sleep", "1000"}, {}, {}};
        for (const Fd* socket : sockets) command.descriptors.push_back(socket->get());
        Process process(units_->in(path, command));
        const std::string procs = units_->group(path) + "/cgroup.procs";
        if (!eventually([&] {
                return text_of(procs).find(std::to_string(process.pid()) + "\n") !=
                       std::string::npos;
            }))
            throw std::runtime_error("not in " + path);
        return process;
    }

    Json sockets(const std::string& service = "www") const {
        return ask("sockets --service " + service);
    }
    std::set<std::string> cookies() const {
        std::set<std::string> found;
        for (const Json& socket : sockets()) found.insert(socket.at("cookie").get<std::string>());
        return found;
    }
    static std::string cookie(const Fd& socket) { return cookie_text(cookie_of(socket)); }
    bool has(std::size_t count) const {
        return eventually([&] { return sockets().size() == count; });
    }
    bool has_exactly(const std::set<std::string>& wanted) const {
        return eventually([&] { return cookies() == wanted; });
    }
    // All sockets of www are in the name of this process.
    bool owned_by(pid_t pid) const {
        return eventually([&] {
            const Json list = sockets();
            return !list.empty() && std::ranges::all_of(list, [&](const Json& socket) {
                return socket.at("pid") == pid;
            });
        });
    }
    // The follower has looked at everything at least once more: what was taken out is back.
    void another_round() const {
        const auto before = cookies();
        ASSERT_FALSE(before.empty());
        ASSERT_EQ(ctl("unregister www").exit, 0);
        ASSERT_TRUE(has_exactly(before));
    }

  private:
    std::optional<Units> units_;
    std::optional<Process> follower_;
};

TEST_F(Follow, TakesTheSocketThatTheRuleNamesAndNeverItsNeighbour) {
    start(www("tcp 127.0.0.1 8080"));
    run_nginx({.listen = "listen 127.0.0.1:8080; listen 127.0.0.1:8081;"});
    follow();
    ASSERT_TRUE(has(1));
    const Json socket = sockets().at(0);
    EXPECT_EQ(socket.at("local"), "127.0.0.1:8080");
    EXPECT_EQ(socket.at("pid"), master());
    EXPECT_EQ(socket.at("command"), "nginx");
    KeepsFetching client("127.7.0.1:80");
    client.wait_for(100);
    EXPECT_THAT(client.stop(), IsEmpty());
    another_round();
    EXPECT_EQ(sockets().size(), 1U);
    EXPECT_EQ(ask("status").at("state"), "ok");
}

TEST_F(Follow, AUnitMayStartAfterTheFollower) {
    start(www("tcp 127.0.0.1 8080"));
    follow();
    EXPECT_TRUE(follower_says("nginx.service is not running"));
    EXPECT_EQ(ask("services").at(0).at("sockets"), 0);
    run_nginx({.listen = "listen 127.0.0.1:8080;"});
    EXPECT_TRUE(has(1));
    another_round();
    EXPECT_EQ(times(follower_log(), "is not running"), 1U) << "told once";
}

TEST_F(Follow, AReloadLosesNoConnection) {
    start(www("tcp 127.0.0.1 8080"));
    const Site site{.listen = "listen 127.0.0.1:8080;", .workers = 4};
    run_nginx(site);
    follow();
    ASSERT_TRUE(has(1));
    const auto before = cookies();
    KeepsFetching client("127.7.0.1:80");
    for (int i = 0; i < 5; ++i) {
        client.wait_for(200);
        reload_nginx(site);
    }
    client.wait_for(200);
    EXPECT_THAT(client.stop(), IsEmpty());
    EXPECT_EQ(cookies(), before);
}

TEST_F(Follow, AReloadWithReuseportLosesNoConnection) {
    start(www("tcp 127.0.0.1 8080"));
    const Site site{.listen = "listen 127.0.0.1:8080 reuseport;", .workers = 4};
    run_nginx(site);
    follow();
    ASSERT_TRUE(has(4)) << "every member of the group";
    const auto before = cookies();
    KeepsFetching client("127.7.0.1:80");
    for (int i = 0; i < 5; ++i) {
        client.wait_for(200);
        reload_nginx(site);
    }
    client.wait_for(200);
    EXPECT_THAT(client.stop(), IsEmpty());
    EXPECT_EQ(cookies(), before);
}

// What waits in the queue of a listener that closes is the kernel's to save, and it does when it is
// told to: net.ipv4.tcp_migrate_req.
TEST_F(Follow, WorkersComeAndGoWithoutAFailedConnection) {
    write("/proc/sys/net/ipv4/tcp_migrate_req", "1");
    start(www("tcp 127.0.0.1 8080"));
    Site site{.listen = "listen 127.0.0.1:8080 reuseport;", .workers = 4};
    run_nginx(site);
    follow();
    ASSERT_TRUE(has(4));
    KeepsFetching client("127.7.0.1:80");
    for (int i = 0; i < 3; ++i) {
        const auto four = cookies();
        site.workers = 2;
        client.wait_for(200);
        reload_nginx(site);
        ASSERT_TRUE(has(2));
        for (const std::string& cookie : cookies()) EXPECT_TRUE(four.contains(cookie));
        site.workers = 4;
        client.wait_for(200);
        reload_nginx(site);
        ASSERT_TRUE(has(4));
    }
    client.wait_for(200);
    EXPECT_THAT(client.stop(), IsEmpty());
    EXPECT_THAT(
        sockets(),
        Each(::testing::Truly([&](const Json& socket) { return socket.at("pid") == master(); })));
}

TEST_F(Follow, WithoutMigrationOnlyWhatWaitedInAClosedQueueIsReset) {
    start(www("tcp 127.0.0.1 8080"));
    Site site{.listen = "listen 127.0.0.1:8080 reuseport;", .workers = 4};
    run_nginx(site);
    follow();
    ASSERT_TRUE(has(4));
    KeepsFetching client("127.7.0.1:80");
    site.workers = 2;
    client.wait_for(200);
    reload_nginx(site);
    ASSERT_TRUE(has(2));
    client.wait_for(200);
    for (const auto& [failure, count] : client.stop()) {
        EXPECT_THAT(failure, Not(HasSubstr("refused"))) << count << " times";
        RecordProperty(failure, std::to_string(count));
    }
}

TEST_F(Follow, AnUpgradeHandsTheSocketsOnWithoutAFailedConnection) {
    start(www("tcp 127.0.0.1 8080"));
    run_nginx({.listen = "listen 127.0.0.1:8080 reuseport;", .workers = 2});
    follow();
    ASSERT_TRUE(has(2));
    const auto before = cookies();
    const pid_t old = master();
    KeepsFetching client("127.7.0.1:80");
    client.wait_for(200);
    ::kill(old, SIGUSR2);
    ASSERT_TRUE(eventually([&] { return master() > 0 && master() != old; }));
    ASSERT_TRUE(eventually([&] { return workers().size() == 2; }));
    client.wait_for(200);
    ::kill(old, SIGQUIT);
    ASSERT_TRUE(eventually([&] { return ::kill(old, 0) != 0; }));
    client.wait_for(200);
    EXPECT_TRUE(owned_by(master())) << "the old one has ended";
    EXPECT_EQ(cookies(), before) << "the same sockets";
    EXPECT_THAT(client.stop(), IsEmpty());
    EXPECT_THAT(follower_log(), HasSubstr("'www' keeps 2 socket(s) of nginx.service"));
}

TEST_F(Follow, AfterARestartTheNewSocketsServe) {
    start(www("tcp 127.0.0.1 8080"));
    run_nginx({.listen = "listen 127.0.0.1:8080 reuseport;", .workers = 2});
    follow();
    ASSERT_TRUE(has(2));
    const auto before = cookies();
    KeepsFetching client("127.7.0.1:80");
    client.wait_for(200);
    stop_nginx();
    start_nginx();
    ASSERT_TRUE(has(2));
    ASSERT_TRUE(owned_by(master()));
    for (const std::string& cookie : cookies()) EXPECT_FALSE(before.contains(cookie));
    client.settle();
    const unsigned failed = client.failed();
    client.wait_for(300);
    EXPECT_EQ(client.failed(), failed) << ::testing::PrintToString(client.stop());
    for (const auto& [failure, count] : client.stop())
        RecordProperty(failure, std::to_string(count));
}

// Until the follower has seen the new sockets, the kernel's ordinary lookup finds them.
TEST_F(Follow, WithPassARestartFailsOnlyWhileNobodyListens) {
    start(www("tcp 0.0.0.0 80", "    unavailable: pass\n"));
    run_nginx({.listen = "listen 80;"});
    follow();
    ASSERT_TRUE(has(1));
    KeepsFetching client("127.7.0.1:80");
    client.wait_for(200);
    stop_nginx();
    start_nginx();
    client.settle();
    const unsigned failed = client.failed();
    ASSERT_TRUE(owned_by(master()));
    client.wait_for(300);
    EXPECT_EQ(client.failed(), failed) << ::testing::PrintToString(client.stop());
}

TEST_F(Follow, KeepsNoDuplicateOfASocket) {
    start(www("tcp 127.0.0.1 8080"));
    follow();
    ASSERT_TRUE(follower_says("not running"));
    const std::string directory = "/proc/" + std::to_string(follower().pid()) + "/fd";
    const auto open = [&] {
        std::size_t count = 0;
        for ([[maybe_unused]] const auto& each : std::filesystem::directory_iterator(directory))
            ++count;
        return count;
    };
    const std::size_t before = open();
    Fd socket = listen_tcp("127.0.0.1:8080");
    const Process server = holder(nginx_unit, {&socket});
    socket.reset();
    ASSERT_TRUE(has(1));
    EXPECT_TRUE(eventually([&] { return open() == before; }));
    EXPECT_EQ(dial("127.7.0.1:80"), "connected");
    server.signal(SIGKILL);
    EXPECT_TRUE(eventually([] { return dial("127.7.0.1:80") == "refused"; }))
        << "somebody else holds the listener";
}

TEST_F(Follow, ADualStackSocketServesBothFamilies) {
    start(
        "version: 1\nservices: {www: {sockets: [{unit: nginx.service, listen: [\"tcp :: "
        "8080\"]}]}}\n"
        "bindings: [{service: www, protocol: tcp, prefix: [127.7.0.0/16, \"2001:db8::/32\"],"
        " port: 80}]\n");
    run_nginx({.listen = "listen [::]:8080 ipv6only=off; listen 8081;"});
    follow();
    ASSERT_TRUE(has(1));
    EXPECT_EQ(sockets().at(0).at("family"), "dual");
    EXPECT_EQ(dial("127.7.0.1:80"), "connected");
    EXPECT_EQ(dial("[2001:db8::1]:80"), "connected");
}

TEST_F(Follow, AUdpSocketIsTakenAndATcpOneOfTheSameNumberIsNot) {
    start(
        "version: 1\nservices: {www: {sockets: [{unit: dns.service, listen: [udp 127.0.0.1 "
        "5353]}]}}\n"
        "bindings: [{service: www, protocol: udp, prefix: 127.7.0.0/16, port: 53}]\n");
    const Fd udp = bind_udp("127.0.0.1:5353"), tcp = listen_tcp("127.0.0.1:5353");
    const Process server = holder("system.slice/dns.service", {&tcp, &udp});
    follow();
    EXPECT_TRUE(has_exactly({cookie(udp)}));
    EXPECT_TRUE(datagram_reaches("127.7.0.1:53", udp));
}

TEST_F(Follow, AStrangerAtTheSameAddressIsNeverTaken) {
    start(www("tcp 127.0.0.1 8080"));
    const Fd stranger = listen_tcp("127.0.0.1:8080", {.reuseport = true}),
             ours = listen_tcp("127.0.0.1:8080", {.reuseport = true});
    const Process other = holder("system.slice/other.service", {&stranger});
    follow();
    ASSERT_TRUE(follower_says("not running"));
    const Process server = holder(nginx_unit, {&ours});
    ASSERT_TRUE(has_exactly({cookie(ours)}));
    another_round();
    EXPECT_TRUE(has_exactly({cookie(ours)}));
}

TEST_F(Follow, ASocketThatIsHandedToTheUnitLaterIsTakenThen) {
    start(www("tcp 127.0.0.1 8080"));
    const Fd activated = listen_tcp("127.0.0.1:8080");
    const Process idle = holder(nginx_unit, {});
    follow();
    ASSERT_TRUE(follower_says("nginx.service runs, and listens on nothing here"));
    const Process server = holder(nginx_unit, {&activated});
    EXPECT_TRUE(has_exactly({cookie(activated)}));
    EXPECT_EQ(sockets().at(0).at("pid"), server.pid());
}

TEST_F(Follow, GroupsInsideTheUnitAreItsOwnAndThoseInsideOthersAreNot) {
    start(www("tcp 127.0.0.1 8080"));
    std::vector<Fd> sockets;
    for (int i = 0; i < 5; ++i)
        sockets.push_back(listen_tcp("127.0.0.1:8080", {.reuseport = true}));
    const std::string user = "user.slice/user-1000.slice/user@1000.service/app.slice/nginx.service";
    const Process of_a_user = holder(user, {&sockets[0]}),
                  of_another = holder("system.slice/other.service/nginx.service", {&sockets[1]}),
                  like_it = holder("system.slice/xnginx.service", {&sockets[2]});
    follow();
    ASSERT_TRUE(follower_says("not running"));
    const Process inner = holder("edge.slice/edge-web.slice/nginx.service/a/b", {&sockets[3]}),
                  second = holder("edge.slice/edge-web.slice/nginx.service/c", {&sockets[4]});
    EXPECT_TRUE(has_exactly({cookie(sockets[3]), cookie(sockets[4])}));
    for (const Json& socket : ask("sockets"))
        EXPECT_EQ(socket.at("pid"),
                  socket.at("cookie") == cookie(sockets[3]) ? inner.pid() : second.pid());
    another_round();
}

TEST_F(Follow, GoesOnAfterTheAgentWasAway) {
    start(www("tcp 127.0.0.1 8080"));
    run_nginx({.listen = "listen 127.0.0.1:8080;"});
    follow();
    ASSERT_TRUE(has(1));
    kill();
    ASSERT_TRUE(follower_says("the agent is not running"));
    EXPECT_EQ(dial("127.7.0.1:80"), "connected");
    stop_nginx();
    start_nginx();
    start();
    EXPECT_TRUE(owned_by(master()));
    EXPECT_EQ(dial("127.7.0.1:80"), "connected");
    EXPECT_TRUE(follower_says("the agent answers again"));
    EXPECT_EQ(times(follower_log(), "the agent is not running"), 1U) << "told once";
}

TEST_F(Follow, TheFollowerMayStartBeforeTheAgentAndEndWithoutATrace) {
    follow();
    ASSERT_TRUE(follower_says("the agent is not running"));
    run_nginx({.listen = "listen 127.0.0.1:8080;"});
    start(www("tcp 127.0.0.1 8080"));
    ASSERT_TRUE(has(1));
    KeepsFetching client("127.7.0.1:80");
    follower().signal(SIGTERM);
    EXPECT_EQ(follower().wait(), 0);
    client.wait_for(100);
    EXPECT_THAT(client.stop(), IsEmpty());
    EXPECT_EQ(sockets().size(), 1U);
}

TEST_F(Follow, ARuleThatNamesAnotherPortReplacesTheSocketsInOneStep) {
    start(www("tcp 127.0.0.1 8080"));
    run_nginx({.listen = "listen 127.0.0.1:8080; listen 127.0.0.1:8081;"});
    follow();
    ASSERT_TRUE(has(1));
    KeepsFetching client("127.7.0.1:80");
    client.wait_for(100);
    write_config(www("tcp 127.0.0.1 8081"));
    ASSERT_EQ(ctl("reload").exit, 0);
    EXPECT_TRUE(eventually([&] {
        const Json list = sockets();
        return list.size() == 1 && list.at(0).at("local") == "127.0.0.1:8081";
    }));
    client.wait_for(100);
    EXPECT_THAT(client.stop(), IsEmpty());
}

TEST_F(Follow, AFollowerThatHasRestartedKnowsWhatCameByARule) {
    start(www("tcp 127.0.0.1 8080"));
    run_nginx({.listen = "listen 127.0.0.1:8080; listen 127.0.0.1:8081;"});
    follow();
    ASSERT_TRUE(has(1));
    follow();  // another one, in its place
    ASSERT_TRUE(follower_says("'www' follows"));
    write_config(www("tcp 127.0.0.1 8081"));
    ASSERT_EQ(ctl("reload").exit, 0);
    EXPECT_TRUE(eventually([&] {
        const Json list = sockets();
        return list.size() == 1 && list.at(0).at("local") == "127.0.0.1:8081";
    }));
}

TEST_F(Follow, ARuleThatIsQuickerThanTheUnitEmptiesNoService) {
    start(www("tcp 127.0.0.1 8080"));
    run_nginx({.listen = "listen 127.0.0.1:8080;"});
    follow();
    ASSERT_TRUE(has(1));
    KeepsFetching client("127.7.0.1:80");
    client.wait_for(100);
    write_config(www("tcp 127.0.0.1 8081"));
    ASSERT_EQ(ctl("reload").exit, 0);
    ASSERT_TRUE(follower_says("listens on tcp 127.0.0.1 8080"));
    client.wait_for(100);
    reload_nginx({.listen = "listen 127.0.0.1:8080; listen 127.0.0.1:8081;"});
    EXPECT_TRUE(eventually([&] {
        const Json list = sockets();
        return list.size() == 1 && list.at(0).at("local") == "127.0.0.1:8081";
    }));
    client.wait_for(100);
    EXPECT_THAT(client.stop(), IsEmpty());
}

TEST_F(Follow, WithoutItsRuleAServiceKeepsTheSocketsThatItHas) {
    start(www("tcp 127.0.0.1 8080"));
    run_nginx({.listen = "listen 127.0.0.1:8080;"});
    follow();
    ASSERT_TRUE(has(1));
    write_config(
        "version: 1\nservices: {www: {}}\n"
        "bindings: [{service: www, protocol: tcp, prefix: 127.7.0.0/16, port: 80}]\n");
    ASSERT_EQ(ctl("reload").exit, 0);
    ASSERT_TRUE(follower_says("'www' follows no unit any more"));
    EXPECT_EQ(dial("127.7.0.1:80"), "connected");
    EXPECT_EQ(sockets().size(), 1U);
}

TEST_F(Follow, ASocketServesOneOfTwoServicesAndTheOtherIsToldOnce) {
    start(
        "version: 1\nservices:\n"
        "  www: {sockets: [{unit: nginx.service, listen: [tcp 127.0.0.1 8080]}]}\n"
        "  zzz: {sockets: [{unit: nginx.service, listen: [tcp 127.0.0.1 8080]}]}\n");
    run_nginx({.listen = "listen 127.0.0.1:8080;"});
    follow();
    ASSERT_TRUE(has(1));
    ASSERT_TRUE(follower_says("'zzz' goes without tcp 127.0.0.1 8080"));
    for (int i = 0; i < 3; ++i) another_round();
    EXPECT_EQ(sockets("zzz").size(), 0U);
    EXPECT_EQ(times(follower_log(), "goes without"), 1U);
    EXPECT_THAT(log(), Not(HasSubstr("serves 'www' already"))) << "the agent was not asked";
}

TEST_F(Follow, ASocketThatIsRefusedIsToldOnceAndStandsInNoOthersWay) {
    start(www("tcp 127.0.0.1 8080, tcp 127.0.0.2 8080"));
    constexpr int mptcp = 262;
    const Fd refused(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, mptcp));
    const SocketAddress local = sockaddr_of("127.0.0.1:8080");
    ASSERT_EQ(::bind(refused.get(), local.get(), local.size), 0);
    ASSERT_EQ(::listen(refused.get(), 64), 0);
    const Fd good = listen_tcp("127.0.0.2:8080");
    const Process server = holder(nginx_unit, {&refused, &good});
    follow();
    EXPECT_TRUE(has_exactly({cookie(good)}));
    ASSERT_TRUE(follower_says("GODEBUG=multipathtcp=0"));
    for (int i = 0; i < 3; ++i) another_round();
    EXPECT_EQ(times(follower_log(), "goes without"), 1U);
}

TEST_F(Follow, ManySocketsOfOneUnitAreRegisteredInSeveralCalls) {
    start(
        "version: 1\nservices: {www: {sockets: [{unit: nginx.service, listen: [tcp 127.0.0.1 "
        "8080]}]}}\n");
    std::vector<Fd> sockets;
    std::vector<const Fd*> all;
    for (int i = 0; i < 250; ++i)
        sockets.push_back(listen_tcp("127.0.0.1:8080", {.reuseport = true}));
    for (const Fd& socket : sockets) all.push_back(&socket);
    const Process server = holder(nginx_unit, all);
    follow();
    EXPECT_TRUE(has(250));
}

TEST_F(Follow, HasNoMoreThanTwoCapabilities) {
    start(www("tcp 127.0.0.1 8080"));
    run_nginx({.listen = "listen 127.0.0.1:8080;"});
    follow();
    ASSERT_TRUE(has(1));
    const std::string status = text_of("/proc/" + std::to_string(follower().pid()) + "/status");
    // CAP_DAC_READ_SEARCH is 2, CAP_SYS_PTRACE is 19.
    for (const char* set : {"CapPrm:\t", "CapEff:\t", "CapBnd:\t"})
        EXPECT_THAT(status, HasSubstr(set + std::string("0000000000080004\n")));
    for (const char* set : {"CapInh:\t", "CapAmb:\t"})
        EXPECT_THAT(status, HasSubstr(set + std::string("0000000000000000\n")));
    EXPECT_THAT(status, HasSubstr("NoNewPrivs:\t1\n"));
}

TEST_F(Follow, RefusesToRunWithLessAndSaysWhatIsMissing) {
    start(www("tcp 127.0.0.1 8080"));
    for (const auto& [dropped, missing] :
         {std::pair("-sys_ptrace", "without CAP_SYS_PTRACE\n"),
          std::pair("-sys_ptrace,-dac_read_search",
                    "without CAP_SYS_PTRACE and CAP_DAC_READ_SEARCH\n")}) {
        Command command = sluice_follow();
        command.words.insert(command.words.begin(),
                             {"/usr/bin/setpriv", "--bounding-set", dropped, "--"});
        const Finished refused = run(command);
        EXPECT_EQ(refused.exit, 4);
        EXPECT_THAT(refused.err, HasSubstr(missing));
        EXPECT_THAT(refused.err, HasSubstr("hint: "));
    }
}

TEST_F(Follow, ACgroupRootThatIsNoneIsRefused) {
    start(www("tcp 127.0.0.1 8080"));
    const Finished refused = run({{SLUICE_FOLLOW, "--cgroup-root", scratch()}, {}, {}});
    EXPECT_EQ(refused.exit, 2);
    EXPECT_THAT(refused.err, HasSubstr("--cgroup-root"));
}

TEST_F(Follow, StatusSaysThatNobodyFollows) {
    start(www("tcp 127.0.0.1 8080"));
    run_nginx({.listen = "listen 127.0.0.1:8080;"});
    ASSERT_EQ(ctl("register www --unit nginx.service --cgroup-root " + units().root() +
                  " tcp 127.0.0.1 8080")
                  .exit,
              0);
    EXPECT_TRUE(eventually([&] { return ask("status").at("state") == "degraded"; }));
    EXPECT_THAT(ctl("status").out, HasSubstr("is sluice-follow running?"));
    follow();
    EXPECT_TRUE(eventually([&] { return ask("status").at("state") == "ok"; }));
}

TEST_F(Follow, ByHandAllSocketsOfAUnitAreTakenAndEachIsInItsOwnersName) {
    start("version: 1\nservices: {www: {}}\n");
    Fd shared = listen_tcp("127.0.0.1:8080", {.reuseport = true}),
       own = listen_tcp("127.0.0.1:8080", {.reuseport = true}),
       admin = listen_tcp("127.0.0.1:8081");
    const Process older = holder(nginx_unit, {&shared, &admin}),
                  younger = holder("system.slice/nginx.service/sub", {&shared, &own});
    const std::string of_unit = "register www --cgroup-root " + units().root() + " --unit ";
    const Answer answer = ctl(of_unit + "nginx.service tcp 127.0.0.1 8080");
    EXPECT_EQ(answer.exit, 0) << answer.err;
    ASSERT_EQ(cookies(), (std::set{cookie(shared), cookie(own)}));
    for (const Json& socket : sockets())
        EXPECT_EQ(socket.at("pid"),
                  socket.at("cookie") == cookie(own) ? younger.pid() : older.pid());

    const Answer unmatched = ctl(of_unit + "nginx.service tcp 127.0.0.1 8080 udp 127.0.0.1 8080");
    EXPECT_EQ(unmatched.exit, 2);
    EXPECT_THAT(unmatched.err, HasSubstr("nginx.service has no socket udp 127.0.0.1 8080"));
    EXPECT_THAT(unmatched.err, HasSubstr("hint: it has: tcp 127.0.0.1 8081"));
    const Answer absent = ctl(of_unit + "apache2.service tcp 127.0.0.1 8080");
    EXPECT_EQ(absent.exit, 2);
    EXPECT_THAT(absent.err, HasSubstr("apache2.service is not running"));
}

}  // namespace
}  // namespace sluice::testing

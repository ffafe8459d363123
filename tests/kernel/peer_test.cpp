// SPDX-License-Identifier: Apache-2.0
// Who a connected client is, by the kernel's word, for clients of every kind.
#include "sys/peer.h"

#include <algorithm>
#include <fstream>
#include <grp.h>
#include <numeric>
#include <poll.h>
#include <pwd.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <unistd.h>

#include "child.h"
#include "support/patience.h"
#include "support/world.h"
#include "sys/process.h"
#include "sys/unix_socket.h"

namespace sluice {
namespace {

using namespace sluice::testing;  // NOLINT: claims read better without prefixes

constexpr uid_t nameless = 54321;  // has no entry in the user database

void become(uid_t uid, gid_t gid, const std::vector<gid_t>& groups) {
    if (::setgroups(groups.size(), groups.data()) != 0 || ::setresgid(gid, gid, gid) != 0 ||
        ::setresuid(uid, uid, uid) != 0)
        throw std::runtime_error("could not become uid " + std::to_string(uid));
}

class PeerTest : public FreshWorld {
  protected:
    void SetUp() override {
        FreshWorld::SetUp();
        path_ = scratch() + "/socket";
        ASSERT_EQ(::chmod(scratch().c_str(), 0755), 0);
        listener_ = must(listen_unix(path_, UnixKind::seqpacket));
    }
    void TearDown() override {
        listener_.reset();
        FreshWorld::TearDown();
    }

    // For a child: connects, and keeps the connection as long as it lives.
    std::string connect() const {
        auto fd = connect_unix(path_, UnixKind::seqpacket, patience);
        if (!fd) return fd.error().message();
        (void)fd->release();
        return "connected";
    }
    Fd accept() const {
        pollfd wait{listener_.get(), POLLIN, 0};
        EXPECT_EQ(::poll(&wait, 1, 10'000), 1);
        return must(accept_unix(listener_));
    }
    Peer peer() const { return must(peer_of(accept().get())); }

    // What the kernel says of a child's cgroup, replaced in this test's mount namespace.
    void put_into_cgroup(pid_t pid, const std::string& line) const {
        const std::string file = scratch() + "/cgroup";
        std::ofstream(file) << line << "\n";
        const std::string proc = "/proc/" + std::to_string(pid) + "/cgroup";
        ASSERT_EQ(::mount(file.c_str(), proc.c_str(), nullptr, MS_BIND, nullptr), 0);
    }

  private:
    std::string path_;
    Fd listener_;
};

TEST_F(PeerTest, IsTheProcessThatConnected) {
    const Child child([&] { return connect(); });
    ASSERT_EQ(child.said(), "connected");
    const Peer found = peer();
    EXPECT_EQ(found.pid, child.pid());
    EXPECT_EQ(found.uid, 0U);
    EXPECT_EQ(found.gid, 0U);
    EXPECT_EQ(found.user, "root");
    EXPECT_EQ(found.gids.front(), 0U);
    EXPECT_EQ(found.groups.front(), "root");
}

TEST_F(PeerTest, HasTheUserAndAllGroupsThatItDroppedTo) {
    const passwd* user = ::getpwnam("nobody");
    ASSERT_NE(user, nullptr);
    const std::string name = user->pw_name;
    const uid_t uid = user->pw_uid;
    const Child child([&] {
        become(uid, 2, {1, 3});
        return connect();
    });
    ASSERT_EQ(child.said(), "connected");
    const Peer found = peer();
    EXPECT_EQ(found.uid, uid);
    EXPECT_EQ(found.user, name);
    EXPECT_EQ(found.gid, 2U);
    EXPECT_EQ(found.gids, (std::vector<std::uint32_t>{2, 1, 3}));
    std::vector<std::string> names;
    for (const gid_t gid : {2U, 1U, 3U})
        if (const group* entry = ::getgrgid(gid)) names.emplace_back(entry->gr_name);
    EXPECT_EQ(found.groups, names);
}

TEST_F(PeerTest, WithoutANameIsKnownByItsNumbers) {
    const Child child([&] {
        become(nameless, nameless, {});
        return connect();
    });
    ASSERT_EQ(child.said(), "connected");
    const Peer found = peer();
    EXPECT_EQ(found.uid, nameless);
    EXPECT_EQ(found.user, "");
    EXPECT_EQ(found.gids, (std::vector<std::uint32_t>{nameless}));
    EXPECT_TRUE(found.groups.empty());
    EXPECT_EQ(to_string(found), "uid 54321, pid " + std::to_string(child.pid()));
}

TEST_F(PeerTest, HasEveryOneOfManyGroups) {
    std::vector<gid_t> many(200);
    std::iota(many.begin(), many.end(), 60'000);
    const Child child([&] {
        become(nameless, nameless, many);
        return connect();
    });
    ASSERT_EQ(child.said(), "connected");
    std::vector<std::uint32_t> expected{nameless};
    expected.insert(expected.end(), many.begin(), many.end());
    EXPECT_EQ(peer().gids, expected);
}

TEST_F(PeerTest, HasTheGroupsItHadWhenItConnected) {
    const Child child([&] {
        if (::setgroups(0, nullptr) != 0) return std::string("could not drop groups");
        const std::string said = connect();
        become(nameless, nameless, {60'000});
        return said;
    });
    ASSERT_EQ(child.said(), "connected");
    const Peer found = peer();
    EXPECT_EQ(found.uid, 0U);
    EXPECT_EQ(found.gids, (std::vector<std::uint32_t>{0}));
}

TEST_F(PeerTest, BelongsToTheOutermostUnitOfItsCgroup) {
    struct Case {
        const char* line;
        const char* unit;
    };
    for (const Case& each : {Case{"0::/system.slice/nginx.service", "nginx.service"},
                             Case{"0::/system.slice/nginx.service/workers", "nginx.service"},
                             Case{"1:name=systemd:/system.slice/dns.service", "dns.service"},
                             Case{"0::/user.slice/user-1000.slice/user@1000.service/app.slice/"
                                  "nginx.service",
                                  "user@1000.service"},
                             Case{"0::/", ""}, Case{"", ""}}) {
        const Child child([&] { return connect(); });
        ASSERT_EQ(child.said(), "connected");
        put_into_cgroup(child.pid(), each.line);
        EXPECT_EQ(peer().unit, each.unit) << each.line;
    }
}

TEST_F(PeerTest, ThatHasEndedHasNoUnitWhateverItsPidIsNow) {
    const Child child([&] { return connect(); });
    ASSERT_EQ(child.said(), "connected");
    put_into_cgroup(child.pid(), "0::/system.slice/nginx.service");
    child.die();
    ASSERT_EQ(cgroup_of(child.pid()), "0::/system.slice/nginx.service")
        << "what is read by the pid is still there";
    const Peer found = peer();
    EXPECT_EQ(found.pid, child.pid());
    EXPECT_EQ(found.unit, "");
}

TEST_F(PeerTest, OfNoSocketIsAnError) {
    EXPECT_FALSE(peer_of(-1));
    EXPECT_FALSE(peer_of(STDIN_FILENO));
}

}  // namespace
}  // namespace sluice

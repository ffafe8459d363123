// SPDX-License-Identifier: Apache-2.0
// The dispatcher with real traffic: every verdict, protocol and family.
#include "kernel/dispatcher.h"

#include <sys/socket.h>

#include "kernel/binding_table.h"
#include "kernel/lookup.h"
#include "kernel/socket_table.h"
#include "support/dataplane.h"
#include "support/sockets.h"
#include "support/world.h"

namespace sluice::kernel {
namespace {

using namespace sluice::testing;  // NOLINT: claims read better without prefixes

class DispatcherTest : public FreshWorld {};

TEST_F(DispatcherTest, ABoundPrefixReachesTheSocketOnEveryAddress) {
    TestPlane plane(bpffs());
    plane.apply({"tcp 127.7.0.0/16 80 www"});
    EXPECT_EQ(dial("127.7.7.7:80"), "refused") << "bound, but no socket yet";

    const Fd www = listen_tcp("127.0.0.1:9999");
    plane.add("www", {&www});
    EXPECT_TRUE(reaches("127.7.7.7:80", www));
    EXPECT_TRUE(reaches("127.7.255.1:80", www));
    EXPECT_EQ(dial("127.7.7.7:81"), "refused") << "another port is nobody's";
    EXPECT_EQ(dial("127.8.7.7:80"), "refused") << "another prefix is nobody's";
}

TEST_F(DispatcherTest, TheLongestPrefixThenTheNarrowestPortsWin) {
    TestPlane plane(bpffs());
    plane.apply({"tcp 127.7.0.0/16 any wide", "tcp 127.7.7.0/24 443 narrow",
                 "tcp 127.7.7.0/24 8000-8999 range", "tcp 127.7.7.0/24 8443 exact"});
    const Fd wide = listen_tcp("127.0.0.1:1001"), narrow = listen_tcp("127.0.0.1:1002");
    const Fd range = listen_tcp("127.0.0.1:1003"), exact = listen_tcp("127.0.0.1:1004");
    plane.add("wide", {&wide});
    plane.add("narrow", {&narrow});
    plane.add("range", {&range});
    plane.add("exact", {&exact});
    EXPECT_TRUE(reaches("127.7.7.7:443", narrow));
    EXPECT_TRUE(reaches("127.7.7.7:8000", range));
    EXPECT_TRUE(reaches("127.7.7.7:8999", range));
    EXPECT_TRUE(reaches("127.7.7.7:8443", exact));
    EXPECT_TRUE(reaches("127.7.7.7:22", wide))
        << "the /24 has no such port: the next shorter prefix";
    EXPECT_TRUE(reaches("127.7.8.7:443", wide));
}

TEST_F(DispatcherTest, UdpIpv6AndDualStackAreServed) {
    TestPlane plane(bpffs());
    ip("route add local 2001:db8::/32 dev lo");
    plane.apply({"tcp 2001:db8::/32 443 six", "udp 2001:db8::/32 53 dns", "udp 127.7.0.0/16 53 dns",
                 "tcp 127.7.0.0/16 80 both", "tcp 2001:db8::/32 80 both"});
    const Fd six = listen_tcp("[::1]:1001", {.v6only = true});
    const Fd dns4 = bind_udp("127.0.0.1:1053"), dns6 = bind_udp("[::1]:1053");
    const Fd both = listen_tcp("[::]:1080");
    plane.add("six", {&six});
    plane.add("dns", {&dns4, &dns6});
    plane.add("both", {&both}, true);
    EXPECT_TRUE(reaches("[2001:db8::7]:443", six));
    EXPECT_TRUE(datagram_reaches("[2001:db8:1::7]:53", dns6));
    EXPECT_TRUE(datagram_reaches("127.7.7.7:53", dns4));
    EXPECT_TRUE(reaches("127.7.7.7:80", both));
    EXPECT_TRUE(reaches("[2001:db8::9]:80", both));
}

TEST_F(DispatcherTest, RejectAndPassBindings) {
    TestPlane plane(bpffs());
    const Fd ordinary = listen_tcp("127.7.7.7:80");
    const Fd ordinary_udp = bind_udp("127.7.7.7:80");
    plane.apply({"tcp 127.7.0.0/16 any (reject)", "udp 127.7.0.0/16 any (reject)"});
    EXPECT_EQ(dial("127.7.7.7:80"), "refused") << "though a listener is bound there";
    EXPECT_FALSE(datagram_reaches("127.7.7.7:80", ordinary_udp));
    plane.apply({"tcp 127.7.0.0/16 any (reject)", "udp 127.7.0.0/16 any (reject)",
                 "tcp 127.7.7.7 80 (pass)", "udp 127.7.7.7 80 (pass)"});
    EXPECT_TRUE(reaches("127.7.7.7:80", ordinary));
    EXPECT_TRUE(datagram_reaches("127.7.7.7:80", ordinary_udp));
}

TEST_F(DispatcherTest, AnUnavailableServiceRejectsPassesOrFallsBack) {
    TestPlane plane(bpffs());
    const Fd ordinary = listen_tcp("127.7.7.7:80"), spare = listen_tcp("127.0.0.1:1001");
    plane.services["www"] = {};
    plane.services["spare"] = {};
    plane.apply({"tcp 127.7.0.0/16 80 www"});
    plane.add("spare", {&spare});
    EXPECT_EQ(dial("127.7.7.7:80"), "refused");
    plane.services["www"].unavailable = {Unavailable::Kind::pass, ""};
    plane.apply({"tcp 127.7.0.0/16 80 www"});
    EXPECT_TRUE(reaches("127.7.7.7:80", ordinary));
    plane.services["www"].unavailable = {Unavailable::Kind::fallback, "spare"};
    plane.apply({"tcp 127.7.0.0/16 80 www"});
    EXPECT_TRUE(reaches("127.7.7.7:80", spare));
    const Fd www = listen_tcp("127.0.0.1:1002");
    plane.add("www", {&www});
    EXPECT_TRUE(reaches("127.7.7.7:80", www));
}

TEST_F(DispatcherTest, TheLastOfTheLongestChainOfFallbacksHasItsSay) {
    TestPlane plane(bpffs());
    const Fd ordinary = listen_tcp("127.7.7.7:80"), last = listen_tcp("127.0.0.1:1001");
    for (const char* from : {"a", "b", "c", "d"})
        plane.services[from].unavailable = {Unavailable::Kind::fallback,
                                            std::string(1, static_cast<char>(from[0] + 1))};
    plane.services["e"].unavailable = {Unavailable::Kind::pass, ""};
    plane.apply({"tcp 127.7.0.0/16 80 a"});
    EXPECT_TRUE(reaches("127.7.7.7:80", ordinary)) << "passed, by the policy of the last one";
    plane.add("e", {&last});
    EXPECT_TRUE(reaches("127.7.7.7:80", last));
}

TEST_F(DispatcherTest, WhenOneOfSeveralSocketsClosesItsSiblingsServe) {
    TestPlane plane(bpffs());
    plane.apply({"tcp 127.7.0.0/16 80 www"});
    Fd first = listen_tcp("127.0.0.1:1001", {.reuseport = true, .backlog = 512});
    const Fd second = listen_tcp("127.0.0.1:1001", {.reuseport = true, .backlog = 512});
    const Fd third = listen_tcp("127.0.0.1:1001", {.reuseport = true, .backlog = 512});
    plane.add("www", {&first, &second, &third});
    first.reset();
    ::shutdown(second.get(), SHUT_RDWR);  // leaves the slot filled
    for (int i = 0; i < 100; ++i) ASSERT_TRUE(reaches("127.7.7.7:80", third)) << "connection " << i;

    const auto closed = must(plane.sockets->sweep());
    ASSERT_EQ(closed.size(), 1U);
    EXPECT_EQ(closed[0].service, "www");
    EXPECT_TRUE(reaches("127.7.7.7:80", third));
}

TEST_F(DispatcherTest, TheOneThatLivesIsFoundAmongAllThatDoNot) {
    TestPlane plane(bpffs());
    plane.apply({"tcp 127.7.0.0/16 80 www"});
    std::vector<Fd> sockets;
    for (int i = 0; i < SLUICE_MAX_SET; ++i) sockets.push_back(listen_tcp("127.0.0.1:0"));
    std::vector<const Fd*> all;
    for (const Fd& socket : sockets) all.push_back(&socket);
    plane.add("www", all);
    constexpr std::size_t live = 200;
    for (const Fd& socket : sockets)
        if (&socket != &sockets[live]) ::shutdown(socket.get(), SHUT_RDWR);
    for (int i = 0; i < 30; ++i) ASSERT_TRUE(reaches("127.7.7.7:80", sockets[live])) << i;
}

TEST_F(DispatcherTest, AConnectedUdpSocketIsPassedOver) {
    TestPlane plane(bpffs());
    plane.apply({"udp 127.7.0.0/16 53 dns"});
    const Fd connected = bind_udp("127.0.0.1:1053", {.reuseport = true});
    const Fd free = bind_udp("127.0.0.1:1053", {.reuseport = true});
    plane.add("dns", {&connected, &free});
    const Fd peer = bind_udp("127.0.0.1:2000");
    sockaddr address{};
    socklen_t size = sizeof address;
    ASSERT_EQ(::getsockname(peer.get(), &address, &size), 0);
    ASSERT_EQ(::connect(connected.get(), &address, size), 0);
    for (int i = 0; i < 50; ++i) ASSERT_TRUE(datagram_reaches("127.7.7.7:53", free)) << i;
}

TEST_F(DispatcherTest, ReplaceMakesTheNewSocketsTheOnlyOnes) {
    TestPlane plane(bpffs());
    plane.apply({"tcp 127.7.0.0/16 80 www"});
    const Fd old = listen_tcp("127.0.0.1:1001"), fresh = listen_tcp("127.0.0.1:1002");
    plane.add("www", {&old});
    EXPECT_TRUE(reaches("127.7.7.7:80", old));
    must(plane.sockets->add("www", {plane.describe(fresh)}, kernel::Placement::replace, 0));
    for (int i = 0; i < 20; ++i) EXPECT_TRUE(reaches("127.7.7.7:80", fresh));
    EXPECT_EQ(plane.sockets->of("www").size(), 1U);
}

TEST_F(DispatcherTest, ASocketServesOneServiceAndASlotIsReusedOnlyAfterAGracePeriod) {
    TestPlane plane(bpffs());
    plane.apply({"tcp 127.7.0.0/16 80 www", "tcp 127.8.0.0/16 80 other"});
    const Fd www = listen_tcp("127.0.0.1:1001"), more = listen_tcp("127.0.0.1:1002");
    plane.add("www", {&www});
    const auto taken =
        plane.sockets->add("other", {plane.describe(www)}, kernel::Placement::add, 0);
    ASSERT_FALSE(taken);
    EXPECT_EQ(taken.error().failure(), Failure::refused);

    const std::uint32_t slot = plane.sockets->of("www")[0].slot;
    must(plane.sockets->remove({cookie_of(www)}));
    plane.add("other", {&more});
    EXPECT_NE(plane.sockets->of("other")[0].slot, slot);
    const auto retired = plane.sockets->retired();
    EXPECT_EQ(retired.slots, std::vector{slot});
    must(plane.dispatcher->grace_period());
    plane.sockets->reclaim(retired);
    plane.add("www", {&www});
    EXPECT_EQ(plane.sockets->of("www")[0].slot, slot);
}

TEST_F(DispatcherTest, CountersKeepVerdictsApart) {
    TestPlane plane(bpffs());
    plane.apply(
        {"tcp 127.7.0.0/16 80 www", "tcp 127.7.0.0/16 81 (reject)", "tcp 127.7.0.0/16 82 dead"});
    const Fd www = listen_tcp("127.0.0.1:1001");
    plane.add("www", {&www});
    for (int i = 0; i < 3; ++i) EXPECT_TRUE(reaches("127.7.7.7:80", www));
    for (int i = 0; i < 4; ++i) dial("127.7.7.7:81");
    for (int i = 0; i < 5; ++i) dial("127.7.7.7:82");
    const auto row = [&](std::uint32_t target) {
        return must(read_counters(plane.dispatcher->maps(), target, SLUICE_TCP_V4));
    };
    EXPECT_EQ(row(plane.services_table->id("www")).assigned, 3U);
    EXPECT_EQ(row(SLUICE_TARGET_REJECT).rejected, 4U);
    EXPECT_EQ(row(plane.services_table->id("dead")).unavailable, 5U);
    EXPECT_EQ(row(plane.services_table->id("dead")).rejected, 5U);
}

TEST_F(DispatcherTest, ATestRunMovesNoCounter) {
    TestPlane plane(bpffs());
    plane.apply({"tcp 127.7.0.0/16 80 www"});
    const Fd www = listen_tcp("127.0.0.1:1001");
    plane.add("www", {&www});
    const auto lookup = must(Lookup::open(plane.dispatcher->directory()));
    EXPECT_TRUE(lookup.same_program());
    const auto verdict =
        must(lookup.verdict(Protocol::tcp, at("127.7.7.7:80"), at("127.0.0.9:4000")));
    EXPECT_EQ(verdict.cookie, cookie_of(www));
    const auto row = must(
        read_counters(plane.dispatcher->maps(), plane.services_table->id("www"), SLUICE_TCP_V4));
    EXPECT_EQ(row.assigned, 0U);
}

TEST_F(DispatcherTest, ATestRunNamesTheMemberOfAReuseportGroupThatWasChosen) {
    TestPlane plane(bpffs());
    plane.apply({"tcp 127.7.0.0/16 80 www"});
    const Fd first = listen_tcp("127.0.0.1:1001", {.reuseport = true});
    const Fd second = listen_tcp("127.0.0.1:1001", {.reuseport = true});
    plane.add("www", {&first});
    const auto lookup = must(Lookup::open(plane.dispatcher->directory()));
    EXPECT_TRUE(must(lookup.usable(plane.sockets->of("www")[0].slot, Protocol::tcp, Family::ipv4)));
    for (std::uint16_t port = 4000; port < 4020; ++port) {
        const auto verdict = lookup.verdict(Protocol::tcp, at("127.7.7.7:80"),
                                            at("127.0.0.9:" + std::to_string(port)));
        EXPECT_EQ(must(verdict).cookie, cookie_of(first));
    }
}

TEST_F(DispatcherTest, TheProbeSaysWhichSocketsCanTakeALookup) {
    TestPlane plane(bpffs());
    plane.apply({"tcp 127.7.0.0/16 80 www"});
    Fd www = listen_tcp("127.0.0.1:1001");
    plane.add("www", {&www});
    const std::uint32_t slot = plane.sockets->of("www")[0].slot;
    const auto lookup = must(Lookup::open(plane.dispatcher->directory()));
    EXPECT_TRUE(must(lookup.usable(slot, Protocol::tcp, Family::ipv4)));
    EXPECT_FALSE(must(lookup.usable(slot, Protocol::tcp, Family::ipv6)));
    EXPECT_FALSE(must(lookup.usable(slot + 1, Protocol::tcp, Family::ipv4)));
    ::shutdown(www.get(), SHUT_RDWR);
    EXPECT_FALSE(must(lookup.usable(slot, Protocol::tcp, Family::ipv4)));
}

}  // namespace
}  // namespace sluice::kernel

// SPDX-License-Identifier: Apache-2.0
// Which sockets may serve, by what the kernel says of them.
#include "core/admit.h"

#include <functional>
#include <netinet/in.h>
#include <sys/socket.h>

#include "words.h"

namespace sluice {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::SizeIs;

constexpr std::uint64_t our_netns = 4026531840;

SocketFacts tcp_listener(const char* local) {
    SocketFacts facts;
    facts.is_socket = true;
    facts.local = endpoint(local);
    facts.domain = facts.local->address.family == Family::ipv4 ? AF_INET : AF_INET6;
    facts.type = SOCK_STREAM;
    facts.protocol = IPPROTO_TCP;
    facts.listening = true;
    facts.cookie = 0x2a;
    facts.netns_cookie = our_netns;
    facts.backlog = 4096;
    return facts;
}

SocketFacts udp_socket(const char* local) {
    SocketFacts facts = tcp_listener(local);
    facts.type = SOCK_DGRAM;
    facts.protocol = IPPROTO_UDP;
    facts.listening = false;
    facts.backlog = std::nullopt;
    return facts;
}

TEST(Admit, TakesListenersAndBoundUnconnectedSockets) {
    const Admitted tcp = must(admit(tcp_listener("192.0.2.1:443"), our_netns));
    EXPECT_EQ(tcp.protocol, Protocol::tcp);
    EXPECT_EQ(tcp.family, SocketFamily::ipv4);
    EXPECT_EQ(tcp.local, endpoint("192.0.2.1:443"));
    EXPECT_EQ(tcp.cookie, 0x2au);
    EXPECT_THAT(tcp.warnings, IsEmpty());
    const Admitted udp = must(admit(udp_socket("[2001:db8::1]:53"), our_netns));
    EXPECT_EQ(udp.protocol, Protocol::udp);
    EXPECT_EQ(udp.family, SocketFamily::ipv6);
}

TEST(Admit, CallsAnIpv6SocketDualOnlyWhenItIsBoundToAllAndNotV6only) {
    EXPECT_EQ(must(admit(tcp_listener("[::]:443"), our_netns)).family, SocketFamily::dual);
    SocketFacts v6only = tcp_listener("[::]:443");
    v6only.v6only = true;
    EXPECT_EQ(must(admit(v6only, our_netns)).family, SocketFamily::ipv6);
    EXPECT_EQ(must(admit(tcp_listener("[2001:db8::1]:443"), our_netns)).family, SocketFamily::ipv6);
    EXPECT_EQ(must(admit(tcp_listener("0.0.0.0:443"), our_netns)).family, SocketFamily::ipv4);
    EXPECT_EQ(must(admit(udp_socket("[::]:53"), our_netns)).family, SocketFamily::dual);
}

struct Refused {
    const char* what;
    std::function<void(SocketFacts&)> change;
    const char* reason;
    const char* hint;
};

void expect_refused(const SocketFacts& good, const std::vector<Refused>& cases) {
    ASSERT_TRUE(admit(good, our_netns));
    for (const Refused& one : cases) {
        SCOPED_TRACE(one.what);
        SocketFacts facts = good;
        one.change(facts);
        const auto admitted = admit(facts, our_netns);
        ASSERT_FALSE(admitted);
        EXPECT_EQ(admitted.error().failure(), Failure::refused);
        EXPECT_THAT(why(admitted), HasSubstr(one.reason));
        EXPECT_THAT(sluice::hint(admitted), HasSubstr(one.hint));
    }
}

TEST(Admit, RefusesTcpSocketsThatCannotServeEachWithTheWayOut) {
    expect_refused(
        tcp_listener("192.0.2.1:443"),
        {{"a file", [](auto& f) { f = {}; }, "not a socket", "listening TCP"},
         {"a Unix socket", [](auto& f) { f.domain = AF_UNIX; }, "Unix socket", "TCP and UDP"},
         {"netlink", [](auto& f) { f.domain = AF_NETLINK; }, "not an IP socket", "TCP and UDP"},
         {"MPTCP", [](auto& f) { f.protocol = 262; }, "MPTCP", "GODEBUG=multipathtcp=0"},
         {"SCTP", [](auto& f) { f.protocol = IPPROTO_SCTP; }, "neither TCP nor UDP", "TCP and UDP"},
         {"raw",
          [](auto& f) {
              f.type = SOCK_RAW;
              f.protocol = IPPROTO_RAW;
          },
          "neither TCP nor UDP", ""},
         {"UDP-Lite",
          [](auto& f) {
              f.type = SOCK_DGRAM;
              f.protocol = IPPROTO_UDPLITE;
          },
          "neither TCP nor UDP", ""},
         {"a raw socket of protocol TCP", [](auto& f) { f.type = SOCK_RAW; }, "neither TCP nor UDP",
          ""},
         {"not listening", [](auto& f) { f.listening = false; }, "does not listen", "listen()"},
         {"a connection",
          [](auto& f) {
              f.listening = false;
              f.connected = true;
          },
          "a connection, not a listener", "listening socket"},
         {"on a device", [](auto& f) { f.device = "eth0"; }, "bound to the device eth0",
          "SO_BINDTODEVICE"},
         {"of another namespace", [](auto& f) { f.netns_cookie = 1; }, "another network namespace",
          "an instance of sluiced in each"},
         {"bound to a mapped address",
          [](auto& f) {
              f.domain = AF_INET6;
              f.mapped = true;
          },
          "IPv4-mapped", "IPv4 socket"}});
}

TEST(Admit, RefusesUdpSocketsThatCannotServeEachWithTheWayOut) {
    expect_refused(
        udp_socket("192.0.2.1:53"),
        {{"unbound",
          [](auto& f) {
              f.local = endpoint("192.0.2.1:53");
              f.local->port = 0;
          },
          "not bound", "bind()"},
         {"without a name", [](auto& f) { f.local = std::nullopt; }, "not bound", "bind()"},
         {"connected", [](auto& f) { f.connected = true; }, "connected", "unconnected"},
         {"on a device", [](auto& f) { f.device = "eth0"; }, "bound to the device eth0",
          "SO_BINDTODEVICE"},
         {"of another namespace", [](auto& f) { f.netns_cookie = 1; }, "another network namespace",
          ""}});
}

TEST(Admit, CannotTellNamespacesApartWhereTheKernelHasNoCookies) {
    SocketFacts old = tcp_listener("192.0.2.1:443");
    old.netns_cookie = std::nullopt;
    EXPECT_TRUE(admit(old, our_netns));
    EXPECT_TRUE(admit(tcp_listener("192.0.2.1:443"), 0));
}

TEST(Admit, WarnsOfABacklogThatOverflowsAtOnce) {
    SocketFacts facts = tcp_listener("192.0.2.1:443");
    facts.backlog = 15;
    const Admitted admitted = must(admit(facts, our_netns));
    ASSERT_THAT(admitted.warnings, SizeIs(1));
    EXPECT_EQ(admitted.warnings[0].code, "small-backlog");
    EXPECT_THAT(admitted.warnings[0].message, HasSubstr("192.0.2.1:443: a backlog of 15"));
    EXPECT_THAT(admitted.warnings[0].fix, Not(IsEmpty()));
    facts.backlog = 16;
    EXPECT_THAT(must(admit(facts, our_netns)).warnings, IsEmpty());
}

TEST(Admit, WarnsOfAFilterThatMayDropWhatWasDispatched) {
    SocketFacts facts = udp_socket("192.0.2.1:53");
    facts.filter = true;
    facts.filter_length = 12;
    const Admitted classic = must(admit(facts, our_netns));
    ASSERT_THAT(classic.warnings, SizeIs(1));
    EXPECT_EQ(classic.warnings[0].code, "filter-attached");
    EXPECT_THAT(classic.warnings[0].message, HasSubstr("12 instruction"));
    EXPECT_THAT(classic.warnings[0].fix, HasSubstr("SO_DETACH_FILTER"));
    facts.filter_length = 0;
    EXPECT_THAT(must(admit(facts, our_netns)).warnings.at(0).message, HasSubstr("eBPF"));
}

TEST(Admit, NotesWhatAUdpSocketCanAnswerWith) {
    SocketFacts facts = udp_socket("0.0.0.0:53");
    EXPECT_EQ(must(admit(facts, our_netns)).replies, (ReplyOptions{true, false, false, false}));
    facts.original_destination = true;
    EXPECT_EQ(must(admit(facts, our_netns)).replies, (ReplyOptions{true, true, false, false}));
    facts.packet_info = true;
    EXPECT_EQ(must(admit(facts, our_netns)).replies, (ReplyOptions{true, true, true, false}));
    facts.freebind = true;
    EXPECT_EQ(must(admit(facts, our_netns)).replies, (ReplyOptions{true, true, true, true}));
    facts.freebind = false;
    facts.transparent = true;
    EXPECT_EQ(must(admit(facts, our_netns)).replies, (ReplyOptions{true, true, true, true}));
}

}  // namespace
}  // namespace sluice

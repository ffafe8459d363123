// SPDX-License-Identifier: Apache-2.0
// Every verdict with real traffic: who gets a connection or a datagram, and what the client sees.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "system/agent_world.h"
#include "system/clients.h"

namespace sluice::testing {
namespace {

struct Verdicts : AgentWorld {};

TEST_F(Verdicts, AServiceGetsTcpConnectionsToEveryAddressOfItsPrefix) {
    start(R"(version: 1
services: {www: {}}
bindings:
  - {service: www, protocol: tcp, prefix: 127.7.0.0/16, port: 80}
  - {service: www, protocol: tcp, prefix: "2001:db8::/32", port: 80}
)");
    const Fd four = listen_tcp("127.0.0.1:9999"), six = listen_tcp("[::1]:9999", {.v6only = true});
    ASSERT_EQ(enlist("www", {&four, &six}).exit, 0);
    EXPECT_TRUE(reaches("127.7.0.1:80", four));
    EXPECT_TRUE(reaches("127.7.255.254:80", four));
    EXPECT_TRUE(reaches("[2001:db8::7]:80", six));
    EXPECT_EQ(dial("127.8.0.1:80"), "refused") << "outside the prefix";
    EXPECT_EQ(dial("127.7.0.1:81"), "refused") << "another port";
}

TEST_F(Verdicts, AServiceGetsDatagramsToEveryAddressOfItsPrefix) {
    start(R"(version: 1
services: {dns: {}}
bindings:
  - {service: dns, protocol: udp, prefix: 127.7.0.0/16, port: 53}
  - {service: dns, protocol: udp, prefix: "2001:db8::/32", port: 53}
)");
    const Fd four = bind_udp("127.0.0.1:9953"), six = bind_udp("[::1]:9953", {.v6only = true});
    ASSERT_EQ(enlist("dns", {&four, &six}).exit, 0);
    EXPECT_TRUE(datagram_reaches("127.7.0.1:53", four));
    EXPECT_TRUE(datagram_reaches("[2001:db8::7]:53", six));
    EXPECT_EQ(ask_udp("127.7.0.1:54"), "refused") << "another port";
}

TEST_F(Verdicts, ADualStackSocketServesBothFamilies) {
    start(R"(version: 1
services: {www: {}, dns: {}}
bindings:
  - {service: www, protocol: tcp, prefix: [127.7.0.0/16, "2001:db8::/32"], port: 80}
  - {service: dns, protocol: udp, prefix: [127.7.0.0/16, "2001:db8::/32"], port: 53}
)");
    const Fd www = listen_tcp("[::]:9999"), dns = bind_udp("[::]:9953");
    ASSERT_EQ(enlist("www", {&www}).exit, 0);
    ASSERT_EQ(enlist("dns", {&dns}).exit, 0);
    EXPECT_TRUE(reaches("127.7.0.1:80", www));
    EXPECT_TRUE(reaches("[2001:db8::7]:80", www));
    EXPECT_TRUE(datagram_reaches("127.7.0.1:53", dns));
    EXPECT_TRUE(datagram_reaches("[2001:db8::7]:53", dns));
    EXPECT_EQ(ask("sockets --service www").at(0).at("family"), "dual");
}

TEST_F(Verdicts, ARejectRefusesAtOnceWhateverAShorterPrefixSays) {
    start(R"(version: 1
services: {www: {}}
bindings:
  - {service: www, protocol: tcp, prefix: [127.7.0.0/16, "2001:db8::/32"], port: any}
  - {service: www, protocol: udp, prefix: [127.7.0.0/16, "2001:db8::/32"], port: any}
  - {reject: true, protocol: [tcp, udp], prefix: [127.7.9.0/24, "2001:db8:9::/48"], port: 80}
)");
    const Fd tcp = listen_tcp("[::]:9999"), udp = bind_udp("[::]:9999");
    ASSERT_EQ(enlist("www", {&tcp, &udp}).exit, 0);
    EXPECT_EQ(dial("127.7.9.1:80"), "refused");
    EXPECT_EQ(dial("[2001:db8:9::1]:80"), "refused");
    EXPECT_EQ(ask_udp("127.7.9.1:80"), "refused");
    EXPECT_EQ(ask_udp("[2001:db8:9::1]:80"), "refused");
    EXPECT_TRUE(reaches("127.7.9.1:81", tcp)) << "the other ports are the service's";
    EXPECT_TRUE(reaches("127.7.8.1:80", tcp));
    EXPECT_TRUE(datagram_reaches("[2001:db8:9::1]:81", udp));
}

TEST_F(Verdicts, ARejectRefusesEvenWhereAnOrdinaryListenerIs) {
    const Fd ordinary = listen_tcp("127.0.0.1:80");
    start(
        "version: 1\nbindings:\n  - {reject: true, protocol: tcp, prefix: 127.0.0.1, port: 80}\n");
    EXPECT_EQ(dial("127.0.0.1:80"), "refused");
}

TEST_F(Verdicts, APassLeavesTrafficToTheOrdinaryListener) {
    const Fd tcp = listen_tcp("127.7.0.10:22"), udp = bind_udp("127.7.0.10:22");
    start(R"(version: 1
services: {www: {}}
bindings:
  - {service: www, protocol: [tcp, udp], prefix: 127.7.0.0/24, port: any}
  - {pass: true, protocol: [tcp, udp], prefix: 127.7.0.10, port: 22}
)");
    const Fd www = listen_tcp("127.0.0.1:9999");
    ASSERT_EQ(enlist("www", {&www}).exit, 0);
    EXPECT_TRUE(reaches("127.7.0.10:22", tcp));
    EXPECT_TRUE(datagram_reaches("127.7.0.10:22", udp));
    EXPECT_TRUE(reaches("127.7.0.10:23", www));
    EXPECT_TRUE(reaches("127.7.0.11:22", www));
}

TEST_F(Verdicts, APassNeverFallsToTheNextShorterBinding) {
    start(R"(version: 1
services: {www: {}}
bindings:
  - {service: www, protocol: tcp, prefix: 127.7.0.0/24, port: any}
  - {pass: true, protocol: tcp, prefix: 127.7.0.10, port: 22}
)");
    const Fd www = listen_tcp("127.0.0.1:9999");
    ASSERT_EQ(enlist("www", {&www}).exit, 0);
    EXPECT_EQ(dial("127.7.0.10:22"), "refused") << "nothing listens there";
}

TEST_F(Verdicts, WhereNoBindingMatchesTheKernelAnswersAsEver) {
    const Fd tcp = listen_tcp("127.0.0.1:80"), six = listen_tcp("[::1]:80", {.v6only = true});
    const Fd udp = bind_udp("127.0.0.1:53");
    start(
        "version: 1\nservices: {www: {}}\nbindings: [{service: www, protocol: tcp, prefix: "
        "127.7.0.0/16, port: any}]\n");
    EXPECT_TRUE(reaches("127.0.0.1:80", tcp));
    EXPECT_TRUE(reaches("[::1]:80", six));
    EXPECT_TRUE(datagram_reaches("127.0.0.1:53", udp));
}

TEST_F(Verdicts, ThePrefixOfAllIpv6MatchesNoIpv4Traffic) {
    const Fd ordinary = listen_tcp("127.0.0.1:80");
    start("version: 1\nbindings:\n  - {reject: true, protocol: tcp, prefix: '::/0', port: any}\n");
    EXPECT_EQ(dial("[2001:db8::1]:80"), "refused");
    EXPECT_TRUE(reaches("127.0.0.1:80", ordinary));
}

TEST_F(Verdicts, AnUnavailableServiceRefusesByDefault) {
    const Fd tcp = listen_tcp("127.7.0.1:80");
    const Fd udp = bind_udp("127.7.0.1:80");
    start(R"(version: 1
services: {www: {}}
bindings:
  - {service: www, protocol: [tcp, udp], prefix: [127.7.0.0/16, "2001:db8::/32"], port: 80}
)");
    EXPECT_EQ(dial("127.7.0.1:80"), "refused") << "though an ordinary listener is there";
    EXPECT_EQ(dial("[2001:db8::1]:80"), "refused");
    EXPECT_EQ(ask_udp("127.7.0.1:80"), "refused");
    EXPECT_EQ(ask_udp("[2001:db8::1]:80"), "refused");
}

TEST_F(Verdicts, AnUnavailableServicePassesWhereItsPolicySaysSo) {
    const Fd tcp = listen_tcp("127.7.0.1:80"), udp = bind_udp("127.7.0.1:80");
    start(R"(version: 1
services: {www: {unavailable: pass}}
bindings:
  - {service: www, protocol: [tcp, udp], prefix: 127.7.0.0/16, port: 80}
)");
    EXPECT_TRUE(reaches("127.7.0.1:80", tcp));
    EXPECT_TRUE(datagram_reaches("127.7.0.1:80", udp));
    const Fd www = listen_tcp("127.0.0.1:9999");
    ASSERT_EQ(enlist("www", {&www}).exit, 0);
    EXPECT_TRUE(reaches("127.7.0.1:80", www));
}

TEST_F(Verdicts, AnUnavailableServiceFallsBackAlongTheChainToTheFirstThatServes) {
    start(R"(version: 1
services:
  a: {unavailable: {fallback: b}}
  b: {unavailable: {fallback: c}}
  c: {}
bindings:
  - {service: a, protocol: [tcp, udp], prefix: [127.7.0.0/16, "2001:db8::/32"], port: 80}
)");
    EXPECT_EQ(dial("127.7.0.1:80"), "refused") << "the last one's policy applies";
    const Fd c = listen_tcp("[::]:9003"), c_udp = bind_udp("[::]:9003");
    ASSERT_EQ(enlist("c", {&c, &c_udp}).exit, 0);
    EXPECT_TRUE(reaches("127.7.0.1:80", c));
    EXPECT_TRUE(reaches("[2001:db8::1]:80", c));
    EXPECT_TRUE(datagram_reaches("127.7.0.1:80", c_udp));
    const Fd b = listen_tcp("127.0.0.1:9002");
    ASSERT_EQ(enlist("b", {&b}).exit, 0);
    EXPECT_TRUE(reaches("127.7.0.1:80", b));
    EXPECT_TRUE(reaches("[2001:db8::1]:80", c)) << "b serves IPv4 only";
    const Fd a = listen_tcp("127.0.0.1:9001");
    ASSERT_EQ(enlist("a", {&a}).exit, 0);
    EXPECT_TRUE(reaches("127.7.0.1:80", a));
}

TEST_F(Verdicts, TheNarrowestPortWinsOnOnePrefixAndALongerPrefixWinsOverThat) {
    start(R"(version: 1
services: {whole: {}, wide: {}, narrow: {}, exact: {}, longer: {}}
bindings:
  - {service: whole, protocol: tcp, prefix: 127.7.0.0/16, port: any}
  - {service: wide, protocol: tcp, prefix: 127.7.0.0/16, port: 8000-8999}
  - {service: narrow, protocol: tcp, prefix: 127.7.0.0/16, port: 8100-8199}
  - {service: exact, protocol: tcp, prefix: 127.7.0.0/16, port: 8150}
  - {service: longer, protocol: tcp, prefix: 127.7.7.0/24, port: any}
)");
    const Fd whole = listen_tcp("127.0.0.1:9001"), wide = listen_tcp("127.0.0.1:9002"),
             narrow = listen_tcp("127.0.0.1:9003"), exact = listen_tcp("127.0.0.1:9004"),
             longer = listen_tcp("127.0.0.1:9005");
    ASSERT_EQ(enlist("whole", {&whole}).exit, 0);
    ASSERT_EQ(enlist("wide", {&wide}).exit, 0);
    ASSERT_EQ(enlist("narrow", {&narrow}).exit, 0);
    ASSERT_EQ(enlist("exact", {&exact}).exit, 0);
    ASSERT_EQ(enlist("longer", {&longer}).exit, 0);
    EXPECT_TRUE(reaches("127.7.0.1:80", whole));
    EXPECT_TRUE(reaches("127.7.0.1:8999", wide));
    EXPECT_TRUE(reaches("127.7.0.1:8100", narrow));
    EXPECT_TRUE(reaches("127.7.0.1:8150", exact));
    EXPECT_TRUE(reaches("127.7.7.1:8150", longer));
}

}  // namespace
}  // namespace sluice::testing

// SPDX-License-Identifier: Apache-2.0
// Whether the kernel delivers a prefix to this host.
#include "sys/routes.h"

#include "support/world.h"

namespace sluice {
namespace {

using namespace sluice::testing;  // NOLINT: claims read better without prefixes

bool local(std::string_view prefix) { return must(is_local(must(Prefix::parse(prefix)))); }

class RoutesTest : public FreshWorld {};

TEST_F(RoutesTest, LoopbackIsLocalAsAWhole) {
    EXPECT_TRUE(local("127.0.0.0/8"));
    EXPECT_TRUE(local("127.7.0.0/16"));
    EXPECT_TRUE(local("127.0.0.1"));
    EXPECT_TRUE(local("::1"));
    EXPECT_FALSE(local("126.0.0.0/7")) << "half of it is not";
    EXPECT_FALSE(local("::/127")) << "half of it is not";
}

TEST_F(RoutesTest, WithoutARouteNothingIsLocal) {
    for (const char* prefix : {"192.0.2.0/24", "192.0.2.1", "2001:db8::/32", "2001:db8::1",
                               "0.0.0.0/0", "::/0", "255.255.255.255", "224.0.0.1"})
        EXPECT_FALSE(local(prefix)) << prefix;
}

TEST_F(RoutesTest, ALocalRouteMakesItsPrefixesLocalAndNoWiderOnes) {
    ip("route add local 192.0.2.0/24 dev lo");
    ip("route add local 2001:db8::/32 dev lo");
    for (const char* prefix : {"192.0.2.0/24", "192.0.2.128/25", "192.0.2.0/31", "192.0.2.255",
                               "192.0.2.7", "2001:db8::/32", "2001:db8::7", "2001:db8:ffff::/48"})
        EXPECT_TRUE(local(prefix)) << prefix;
    for (const char* prefix :
         {"192.0.2.0/23", "192.0.0.0/16", "192.0.3.0/24", "2001:db8::/31", "2001:db9::/32"})
        EXPECT_FALSE(local(prefix)) << prefix;
}

TEST_F(RoutesTest, ARouteElsewhereIsNotLocal) {
    ip("link add left type veth peer name right");
    ip("link set left up");
    ip("link set right up");
    ip("address add 198.51.100.1/24 dev left");
    ip("route add 192.0.2.0/24 via 198.51.100.2");
    ip("route add blackhole 203.0.113.0/24");
    ip("route add unreachable 203.0.112.0/24");
    EXPECT_TRUE(local("198.51.100.1")) << "the host's own address";
    EXPECT_FALSE(local("198.51.100.0/24")) << "the rest of its network is not";
    EXPECT_FALSE(local("198.51.100.255")) << "broadcast";
    EXPECT_FALSE(local("192.0.2.0/24"));
    EXPECT_FALSE(local("203.0.113.0/24"));
    EXPECT_FALSE(local("203.0.112.0/24"));
}

TEST_F(RoutesTest, AnAddressWithItsBroadcastIsLocalAsANetworkOnLo) {
    ip("address add 192.0.2.0/30 dev lo");
    ip("address add 198.51.100.1/29 brd 198.51.100.7 dev lo");
    EXPECT_TRUE(local("192.0.2.0/30"));
    EXPECT_TRUE(local("198.51.100.0/29")) << "all that clients can ask for";
}

}  // namespace
}  // namespace sluice

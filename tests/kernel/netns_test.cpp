// SPDX-License-Identifier: Apache-2.0
// Entering another network namespace, by the thread that asks and no other.
#include "sys/netns.h"

#include <cerrno>
#include <fstream>
#include <sched.h>
#include <thread>

#include "child.h"
#include "support/sockets.h"
#include "support/world.h"
#include "sys/socket_facts.h"

namespace sluice {
namespace {

using namespace sluice::testing;  // NOLINT: claims read better without prefixes

class NetnsTest : public FreshWorld {};

TEST_F(NetnsTest, OneThreadEntersAndTheOthersStay) {
    const Child child([] {
        if (::unshare(CLONE_NEWNET) != 0) return std::string("cannot unshare");
        return std::to_string(own_netns_cookie());
    });
    const std::uint64_t own = own_netns_cookie();
    std::string there;
    std::thread([&] {
        const auto entered = enter_netns("/proc/" + std::to_string(child.pid()) + "/ns/net");
        there = entered ? std::to_string(own_netns_cookie()) : entered.error().message();
    }).join();
    EXPECT_EQ(there, child.said());
    EXPECT_NE(there, std::to_string(own));
    EXPECT_EQ(own_netns_cookie(), own);
}

TEST_F(NetnsTest, WhatIsNoNetworkNamespaceIsAnErrorThatNamesIt) {
    const std::uint64_t own = own_netns_cookie();
    const std::string file = scratch() + "/file";
    std::ofstream(file) << "not a namespace";
    for (const std::string& path : {scratch() + "/missing", file, std::string("/proc/self/ns/mnt"),
                                    std::string("/proc/self/ns/uts"), scratch()}) {
        const auto refused = enter_netns(path);
        ASSERT_FALSE(refused) << path;
        EXPECT_NE(refused.error().message().find(path), std::string::npos)
            << refused.error().message();
    }
    EXPECT_EQ(own_netns_cookie(), own);
}

}  // namespace
}  // namespace sluice

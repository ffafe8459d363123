// SPDX-License-Identifier: Apache-2.0
// Giving up capabilities, in children of the test.
#include "sys/capabilities.h"

#include <fstream>
#include <linux/capability.h>
#include <sstream>

#include <gmock/gmock.h>

#include "child.h"
#include "support/world.h"

namespace sluice {
namespace {

using namespace sluice::testing;  // NOLINT: claims read better without prefixes
using ::testing::HasSubstr;
using ::testing::Not;

std::string own_status() {
    std::stringstream text;
    text << std::ifstream("/proc/self/status").rdbuf();
    return text.str();
}

constexpr std::array bind_low{Capability{CAP_NET_BIND_SERVICE, "CAP_NET_BIND_SERVICE"}};

class CapabilitiesTest : public FreshWorld {};

TEST_F(CapabilitiesTest, OnlyWhatIsKeptIsLeftInEverySet) {
    const Child child([] {
        must(keep_only(bind_low));
        return own_status();
    });
    for (const char* set : {"CapPrm:\t", "CapEff:\t", "CapBnd:\t"})
        EXPECT_THAT(child.said(), HasSubstr(set + std::string("0000000000000400\n")));
    EXPECT_THAT(child.said(), HasSubstr("CapAmb:\t0000000000000000\n"));
    EXPECT_THAT(child.said(), HasSubstr("NoNewPrivs:\t1\n"));
}

TEST_F(CapabilitiesTest, AProgramThatIsExecutedLaterGetsNoMore) {
    const Child child([] {
        must(keep_only(bind_low));
        std::string status;
        FILE* pipe = ::popen("grep CapEff /proc/self/status", "r");
        std::array<char, 256> line{};
        while (pipe != nullptr && std::fgets(line.data(), line.size(), pipe) != nullptr)
            status += line.data();
        if (pipe != nullptr) ::pclose(pipe);
        return status;
    });
    EXPECT_THAT(child.said(), HasSubstr("CapEff:\t0000000000000400\n"));
}

TEST_F(CapabilitiesTest, WhatIsNotThereCannotBeKeptAndIsNamedAndNothingIsGivenUp) {
    const Child child([] {
        must(keep_only(bind_low));
        const auto refused = keep_only(capabilities_to_take_sockets());
        return (refused ? "kept" : refused.error().message()) + "\n" + own_status();
    });
    EXPECT_THAT(child.said(), HasSubstr("without CAP_SYS_PTRACE and CAP_DAC_READ_SEARCH\n"));
    EXPECT_THAT(child.said(), HasSubstr("CapEff:\t0000000000000400\n"));
}

}  // namespace
}  // namespace sluice

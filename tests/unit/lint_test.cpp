// SPDX-License-Identifier: Apache-2.0
// Bindings that never answer.
#include "core/lint.h"

#include <random>

#include "memory_files.h"
#include "words.h"

namespace sluice {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

std::vector<std::string> covered(const Bindings& table) {
    std::vector<std::string> texts;
    for (const Binding* binding : covered_bindings(table, 100))
        texts.push_back(to_string(*binding));
    return texts;
}

TEST(Covered, IsWhatBothHalvesTake) {
    EXPECT_THAT(covered(table({"tcp 192.0.2.0/24 80 -> a", "tcp 192.0.2.0/25 80 -> b",
                               "tcp 192.0.2.128/25 any -> c"})),
                ElementsAre("tcp 192.0.2.0/24 80 -> a"));
    EXPECT_THAT(covered(table({"tcp 192.0.2.0/24 80 -> a", "tcp 192.0.2.0/25 80 -> b"})),
                IsEmpty());
    EXPECT_THAT(covered(table({"tcp 192.0.2.0/24 any -> a", "tcp 192.0.2.0/25 80 -> b",
                               "tcp 192.0.2.128/25 80 -> b"})),
                IsEmpty())
        << "other ports are left";
    EXPECT_THAT(covered(table({"udp 192.0.2.0/24 80 -> a", "tcp 192.0.2.0/25 80 -> b",
                               "tcp 192.0.2.128/25 80 -> b"})),
                IsEmpty());
}

TEST(Covered, CountsAnAddressOnce) {
    EXPECT_THAT(covered(table({"tcp 192.0.2.0/30 80 -> a", "tcp 192.0.2.0/31 80 -> b",
                               "tcp 192.0.2.0 80 -> c", "tcp 192.0.2.1 80 -> c"})),
                ElementsAre("tcp 192.0.2.0/31 80 -> b"));
}

TEST(Covered, WorksUpToTheWholeSpaceOfAddresses) {
    EXPECT_THAT(covered(table({"tcp ::/0 80 -> a", "tcp ::/1 80 -> b", "tcp 8000::/1 80 -> b"})),
                ElementsAre("tcp ::/0 80 -> a"));
    EXPECT_THAT(covered(table(
                    {"tcp 0.0.0.0/0 80 -> a", "tcp 0.0.0.0/1 80 -> b", "tcp 128.0.0.0/1 80 -> b"})),
                ElementsAre("tcp 0.0.0.0/0 80 -> a"));
    EXPECT_THAT(covered(table({"tcp ::/0 80 -> a", "tcp ::/1 80 -> b"})), IsEmpty());
}

TEST(Covered, IsARangeWhosePortsAreAllTaken) {
    EXPECT_THAT(covered(table({"tcp 192.0.2.0/24 80-81 -> a", "tcp 192.0.2.0/24 80 -> b",
                               "tcp 192.0.2.0/24 81 -> b"})),
                ElementsAre("tcp 192.0.2.0/24 80-81 -> a"));
    EXPECT_THAT(covered(table({"tcp 192.0.2.0/24 80-82 -> a", "tcp 192.0.2.0/24 80 -> b",
                               "tcp 192.0.2.0/24 82 -> b"})),
                IsEmpty());
    EXPECT_THAT(covered(table({"tcp 192.0.2.0/24 any -> a", "tcp 192.0.2.0/24 1-65535 -> b"})),
                IsEmpty())
        << "any has port 0 too";
}

// By brute force: a binding is covered when no lookup of its own traffic gives it.
TEST(Covered, IsNeverAWinnerInRandomSmallTables) {
    std::mt19937 random(7);  // NOLINT: the same tables every time
    std::size_t found = 0;
    for (int round = 0; round < 300; ++round) {
        std::vector<Binding> list;
        for (int i = 0; i < 12; ++i) {
            const int length = 29 + static_cast<int>(random() % 4);
            Binding one = binding("tcp 192.0.2.0/32 80 -> a");
            Address address = sluice::address("192.0.2.0");
            address.bytes[3] = static_cast<std::uint8_t>(random() % 8);
            one.match.prefix = Prefix::of(address, length);
            one.match.ports = random() % 2 == 0 ? Ports::one(80) : Ports::any();
            list.push_back(one);
        }
        std::ranges::sort(list, std::less{}, &Binding::match);
        const auto same = std::ranges::unique(list, {}, &Binding::match);
        list.erase(same.begin(), same.end());
        const Bindings table = must(Bindings::make(list));
        for (const Binding* binding : covered_bindings(table, 100)) {
            ++found;
            for (std::uint8_t host = 0; host < 8; ++host)
                for (const int port : {0, 80, 81}) {
                    Address address = sluice::address("192.0.2.0");
                    address.bytes[3] = host;
                    ASSERT_NE(
                        table.lookup(Protocol::tcp, address, static_cast<std::uint16_t>(port)),
                        binding)
                        << to_string(*binding);
                }
        }
    }
    EXPECT_GT(found, 50u);
}

TEST(Covered, IsAWarningOfTheConfigAtItsLine) {
    const CheckedConfig checked = check(R"(version: 1
services: {a: {}, b: {}}
bindings:
  - {service: a, protocol: tcp, prefix: 192.0.2.0/24, port: 80}
  - {service: b, protocol: tcp, prefix: [192.0.2.0/25, 192.0.2.128/25], port: 80}
)");
    ASSERT_TRUE(checked.valid());
    ASSERT_EQ(checked.warnings.size(), 1u);
    EXPECT_EQ(checked.warnings[0].place.line, 4);
    EXPECT_THAT(checked.warnings[0].message, HasSubstr("never answers"));
}

}  // namespace
}  // namespace sluice

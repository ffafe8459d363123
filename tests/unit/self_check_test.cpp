// SPDX-License-Identifier: Apache-2.0
// The questions of the self-check lie where two tables would differ.
#include "core/self_check.h"

#include <algorithm>

#include "words.h"

namespace sluice {
namespace {

Bindings one_binding() {
    Binding binding;
    binding.match = {Protocol::udp, must(Prefix::parse("192.0.2.0/24")), Ports{8000, 8999}};
    binding.target = Target::reject();
    return must(Bindings::make({binding}));
}

TEST(CheckQuestions, AskEachSideOfEachBoundary) {
    const auto asked = check_questions(one_binding(), 2000, 1);
    ASSERT_EQ(asked.size(), 2000U);
    const auto count = [&](auto&& matches) { return std::ranges::count_if(asked, matches); };
    for (const char* text : {"192.0.2.0", "192.0.2.255", "192.0.1.255", "192.0.3.0"})
        EXPECT_GT(count([&](const CheckQuestion& each) {
                      return each.to.address == address(text) && each.protocol == Protocol::udp;
                  }),
                  100)
            << text;
    for (const int port : {8000, 8999, 7999, 9000})
        EXPECT_GT(count([&](const CheckQuestion& each) { return each.to.port == port; }), 100)
            << port;
    EXPECT_GT(
        count([](const CheckQuestion& each) { return each.to.address.family == Family::ipv6; }), 50)
        << "and anywhere else";
}

TEST(CheckQuestions, AreTheSameForTheSameSeedAndNeedNoBinding) {
    const auto a = check_questions(one_binding(), 50, 7), b = check_questions(one_binding(), 50, 7);
    const auto other = check_questions(one_binding(), 50, 8);
    const auto same = [](const CheckQuestion& x, const CheckQuestion& y) {
        return x.protocol == y.protocol && x.to == y.to;
    };
    EXPECT_TRUE(std::ranges::equal(a, b, same));
    EXPECT_FALSE(std::ranges::equal(a, other, same));
    EXPECT_EQ(check_questions({}, 50, 7).size(), 50U);
}

// Four bytes of an IPv4 address are all that is ever set.
TEST(CheckQuestions, KeepAnAddressOfIpv4One) {
    for (const CheckQuestion& each : check_questions(one_binding(), 500, 3)) {
        if (each.to.address.family == Family::ipv6) continue;
        const auto& bytes = each.to.address.bytes;
        ASSERT_TRUE(std::all_of(bytes.begin() + 4, bytes.end(), [](auto byte) {
            return byte == 0;
        })) << to_string(each.to);
    }
}

}  // namespace
}  // namespace sluice

// SPDX-License-Identifier: Apache-2.0
#include "core/follow.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace sluice {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

ListenTriple triple(std::string_view text) { return parse_listen_triple(text).value(); }

FollowRule rule(const std::string& unit, const std::vector<std::string>& listen) {
    FollowRule made{unit, {}};
    for (const std::string& text : listen) made.listen.push_back(triple(text));
    return made;
}

// The inode is the cookie and 1000, for short.
ListedSocket socket(std::string_view local, std::uint64_t cookie) {
    return {triple(local), cookie, cookie + 1000};
}

FollowedService service(const std::string& name, std::vector<FollowRule> rules,
                        std::map<std::uint64_t, std::int32_t> sockets = {}) {
    return {name, std::move(rules), std::move(sockets)};
}

// "www wants tcp 0.0.0.0 443 (7) of nginx.service", "… again" for what is registered.
std::vector<std::string> words(const std::vector<Wanted>& wanted) {
    std::vector<std::string> lines;
    for (const Wanted& each : wanted)
        lines.push_back(each.service + " wants " + to_string(each.socket.local) + " (" +
                        std::to_string(each.socket.cookie) + ") of " + each.unit +
                        (each.registered ? " again" : ""));
    return lines;
}

const FollowRule https = rule("nginx.service", {"tcp 0.0.0.0 443", "tcp :: 443"});

TEST(Follow, ProtocolAddressAndPortMustAllBeWhatTheRuleSays) {
    const auto gaps = find_gaps(
        {service("www", {https})},
        {socket("tcp 0.0.0.0 443", 1), socket("tcp :: 443", 2), socket("udp 0.0.0.0 443", 3),
         socket("tcp 127.0.0.1 443", 4), socket("tcp 0.0.0.0 8443", 5), socket("tcp ::1 443", 6)},
        {});
    EXPECT_THAT(words(gaps.wanted), ElementsAre("www wants tcp 0.0.0.0 443 (1) of nginx.service",
                                                "www wants tcp :: 443 (2) of nginx.service"));
}

TEST(Follow, EveryMemberOfAReuseportGroupIsWantedAndNoneThatIsThere) {
    const auto gaps = find_gaps(
        {service("www", {https}, {{2, 812}})},
        {socket("tcp 0.0.0.0 443", 1), socket("tcp 0.0.0.0 443", 2), socket("tcp 0.0.0.0 443", 3)},
        {});
    EXPECT_THAT(words(gaps.wanted), ElementsAre("www wants tcp 0.0.0.0 443 (1) of nginx.service",
                                                "www wants tcp 0.0.0.0 443 (3) of nginx.service"));
}

TEST(Follow, ASocketThatServesAnotherServiceIsAnOverlapNotAWish) {
    const auto gaps = find_gaps({service("a", {https}, {{1, 812}}), service("b", {https})},
                                {socket("tcp 0.0.0.0 443", 1)}, {});
    EXPECT_THAT(gaps.wanted, IsEmpty());
    ASSERT_EQ(gaps.overlaps.size(), 1U);
    EXPECT_EQ(gaps.overlaps[0].service, "b");
    EXPECT_EQ(gaps.overlaps[0].serves, "a");
}

TEST(Follow, ASocketOfAProcessThatIsGoneIsWantedAgainToSayWhoseItIs) {
    const std::vector services{service("www", {https}, {{1, 812}})};
    const std::vector listed{socket("tcp 0.0.0.0 443", 1)};
    EXPECT_THAT(find_gaps(services, listed, {{"nginx.service", {812, 813}}}).wanted, IsEmpty());
    EXPECT_THAT(words(find_gaps(services, listed, {{"nginx.service", {813}}}).wanted),
                ElementsAre("www wants tcp 0.0.0.0 443 (1) of nginx.service again"));
    EXPECT_THAT(find_gaps(services, listed, {}).wanted, IsEmpty()) << "nobody has looked";
}

TEST(Follow, ASocketOfAnyOfTheUnitsThatTheRulesNameHasItsOwner) {
    const std::vector services{
        service("www", {https, rule("canary.service", {"tcp 0.0.0.0 443"})}, {{1, 900}})};
    const std::vector listed{socket("tcp 0.0.0.0 443", 1)};
    EXPECT_THAT(
        find_gaps(services, listed, {{"nginx.service", {812}}, {"canary.service", {900}}}).wanted,
        IsEmpty());
}

TEST(Follow, IsTakenFromTheUnitThatHoldsItOnceForTheFirstThatWantsIt) {
    const std::vector services{service("a", {rule("one.service", {"tcp 0.0.0.0 443"})}),
                               service("b", {rule("two.service", {"tcp 0.0.0.0 443"})}),
                               service("c", {rule("two.service", {"tcp 0.0.0.0 443"})})};
    const auto gaps = find_gaps(services, {socket("tcp 0.0.0.0 443", 1)}, {});
    ASSERT_EQ(gaps.wanted.size(), 3U);
    const auto takings =
        find_takings(gaps.wanted, {{"one.service", {}}, {"two.service", {{1001, {900, 6}}}}});
    ASSERT_EQ(takings.size(), 1U);
    EXPECT_EQ(takings[0].wanted.service, "b");
    EXPECT_EQ(takings[0].holder, (Holder{900, 6}));
}

TEST(Follow, WhatNoUnitHoldsIsNotTaken) {
    const auto gaps = find_gaps({service("www", {https})}, {socket("tcp 0.0.0.0 443", 1)}, {});
    EXPECT_THAT(find_takings(gaps.wanted, {}), IsEmpty());
    EXPECT_THAT(find_takings(gaps.wanted, {{"nginx.service", {{1002, {812, 6}}}}}), IsEmpty());
}

TEST(Follow, SocketsThatARuleNoLongerNamesLeaveWhenOthersAreThere) {
    const std::map<std::uint64_t, ListenTriple> followed{{1, triple("tcp 0.0.0.0 80")},
                                                         {2, triple("tcp 0.0.0.0 443")}};
    const auto alone = service("www", {https}, {{1, 812}});
    EXPECT_THAT(find_leaving(alone, followed, false).cookies, IsEmpty())
        << "an empty service serves nobody";
    const Leaving replaced = find_leaving(alone, followed, true);
    EXPECT_THAT(replaced.cookies, ElementsAre(1));
    EXPECT_TRUE(replaced.replace) << "in one step";

    const auto others = service("www", {https}, {{1, 812}, {2, 812}});
    const Leaving leaving = find_leaving(others, followed, false);
    EXPECT_THAT(leaving.cookies, ElementsAre(1));
    EXPECT_FALSE(leaving.replace) << "the others stay";
}

TEST(Follow, SocketsThatCameOtherwiseAreLeftAlone) {
    const auto mixed = service("www", {https}, {{7, 1}, {8, 1}});
    EXPECT_THAT(find_leaving(mixed, {}, true).cookies, IsEmpty());
    EXPECT_FALSE(find_leaving(mixed, {}, true).replace);
}

TEST(Follow, OnlyTheListsThatRulesNameAreReadAndOnlyWhatTheyNameIsKept) {
    const std::vector services{service("www", {https}),
                               service("dns", {rule("u.service", {"udp :: 53"})})};
    EXPECT_THAT(kinds_of(services), ElementsAre(std::pair(Protocol::tcp, Family::ipv4),
                                                std::pair(Protocol::tcp, Family::ipv6),
                                                std::pair(Protocol::udp, Family::ipv6)));
    const auto kept = keep_named(
        {socket("tcp 0.0.0.0 443", 1), socket("tcp 0.0.0.0 22", 2), socket("udp :: 53", 3)},
        services);
    EXPECT_THAT(kept, ElementsAre(socket("tcp 0.0.0.0 443", 1), socket("udp :: 53", 3)));
}

TEST(Follow, ATripleIsMatchedByARegisteredSocketOnly) {
    const auto www = service("www", {https}, {{1, 812}});
    EXPECT_THAT(unmatched(www, https, {socket("tcp 0.0.0.0 443", 1), socket("tcp :: 443", 2)}),
                ElementsAre(triple("tcp :: 443")));
}

TEST(Follow, WhatTheAgentSaysIsReadBackAsItWas) {
    const std::vector services{
        service("www", {https, rule("a@1.service", {"udp 127.0.0.1 53"})}, {{0x1f4, 812}, {7, 0}}),
        service("empty", {})};
    Json list = Json::array();
    for (const FollowedService& each : services) list.push_back(to_json(each));
    EXPECT_EQ(list[0]["rules"][0]["listen"], Json({"tcp 0.0.0.0 443", "tcp :: 443"}));
    const auto back = parse_following({{"services", list}});
    ASSERT_TRUE(back) << back.error().message();
    EXPECT_EQ(*back, services);
}

TEST(Follow, AnAnswerThatMakesNoSenseIsAFailure) {
    const auto refused = [](const char* text) {
        const auto parsed = parse_following(Json::parse(text));
        return !parsed.has_value();
    };
    EXPECT_TRUE(refused("{}"));
    EXPECT_TRUE(refused(R"({"services": [{"name": "a"}]})"));
    EXPECT_TRUE(refused(R"({"services": [{"name": "a", "rules": [], "sockets": [{"cookie": "x",
                        "pid": 1}]}]})"));
    EXPECT_TRUE(refused(R"({"services": [{"name": "a", "rules": [{"unit": "../a.service",
                        "listen": []}], "sockets": []}]})"))
        << "a unit's name becomes a path";
    EXPECT_TRUE(refused(R"({"services": [{"name": "a", "rules": [{"unit": "a.service",
                        "listen": ["tcp 0.0.0.0"]}], "sockets": []}]})"));
}

TEST(Follow, ATripleIsThreeWords) {
    EXPECT_EQ(to_string(triple("tcp :: 443")), "tcp :: 443");
    for (const char* wrong : {"", "tcp", "tcp 0.0.0.0", "tcp  0.0.0.0 443", "tcp 0.0.0.0 443 ",
                              "tcp 0.0.0.0 any", "icmp 0.0.0.0 1", "tcp 0.0.0.0/0 443"})
        EXPECT_FALSE(parse_listen_triple(wrong)) << wrong;
}

}  // namespace
}  // namespace sluice

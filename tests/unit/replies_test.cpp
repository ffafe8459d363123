// SPDX-License-Identifier: Apache-2.0
// Which UDP services can answer from where they were asked, judged without a socket.
#include "core/replies.h"

#include <random>

#include "core/health.h"
#include "words.h"

namespace sluice {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

RegisteredSocket udp(const char* local, ReplyOptions replies, bool dual = false) {
    RegisteredSocket socket;
    socket.service = "dns";
    socket.protocol = Protocol::udp;
    socket.local = endpoint(local);
    socket.family = socket.local.address.family;
    socket.dual = dual;
    socket.replies = replies;
    return socket;
}

constexpr ReplyOptions plain{true, false, false, false};
constexpr ReplyOptions packet_info{true, false, true, false};
constexpr ReplyOptions destination{true, true, false, false};
constexpr ReplyOptions everything{true, true, true, true};

std::vector<std::string> codes(const RegisteredSocket& socket, const std::vector<Match>& matches) {
    std::vector<std::string> list;
    for (const Warning& warning : judge_replies("dns", {&socket, 1}, matches)) {
        EXPECT_THAT(warning.message, HasSubstr("'dns': a UDP socket ")) << warning.code;
        EXPECT_THAT(warning.fix, Not(IsEmpty())) << warning.code;
        list.push_back(warning.code);
    }
    return list;
}

TEST(Replies, AreInOrderWhereOnlyTheBoundAddressAndPortAreAsked) {
    EXPECT_THAT(codes(udp("192.0.2.1:53", plain), {match("udp 192.0.2.1/32 53")}), IsEmpty());
    EXPECT_THAT(codes(udp("[2001:db8::1]:53", plain), {match("udp 2001:db8::1/128 53")}),
                IsEmpty());
}

TEST(Replies, LeaveFromTheWrongPortWhereAnotherIsAskedAndNobodyTells) {
    for (const char* asked : {"udp 192.0.2.1/32 any", "udp 192.0.2.1/32 54",
                              "udp 192.0.2.1/32 53-54", "udp 192.0.2.1/32 1-53"}) {
        EXPECT_THAT(codes(udp("192.0.2.1:53", plain), {match(asked)}),
                    ElementsAre("udp-reply-port"));
        EXPECT_THAT(codes(udp("192.0.2.1:53", packet_info), {match(asked)}),
                    ElementsAre("udp-reply-port"))
            << "IP_PKTINFO tells the address only";
        EXPECT_THAT(codes(udp("192.0.2.1:53", destination), {match(asked)}), IsEmpty());
    }
}

TEST(Replies, LeaveFromTheWrongAddressWhereAnotherIsAskedAndNobodyTells) {
    for (const char* asked : {"udp 192.0.2.0/24 53", "udp 192.0.2.2/32 53", "udp 0.0.0.0/0 53"}) {
        EXPECT_THAT(codes(udp("192.0.2.1:53", plain), {match(asked)}),
                    ElementsAre("udp-reply-address"));
        EXPECT_THAT(codes(udp("0.0.0.0:53", plain), {match(asked)}),
                    ElementsAre("udp-reply-address"));
        EXPECT_THAT(codes(udp("0.0.0.0:53", packet_info), {match(asked)}), IsEmpty());
        EXPECT_THAT(codes(udp("0.0.0.0:53", destination), {match(asked)}), IsEmpty());
    }
}

TEST(Replies, FromIpv6AddressesThatAreOnNoInterfaceNeedThePermissionToo) {
    const std::vector<Match> asked{match("udp 2001:db8::/32 53")};
    EXPECT_THAT(codes(udp("[::]:53", plain), asked),
                ElementsAre("udp-reply-address", "udp-reply-nonlocal"));
    EXPECT_THAT(codes(udp("[::]:53", packet_info), asked), ElementsAre("udp-reply-nonlocal"));
    EXPECT_THAT(codes(udp("[::]:53", everything), asked), IsEmpty());
    EXPECT_THAT(codes(udp("0.0.0.0:53", packet_info), {match("udp 192.0.2.0/24 53")}), IsEmpty())
        << "IPv4 takes what is routed here for its own";
}

TEST(Replies, AreJudgedForTheFamiliesASocketServes) {
    EXPECT_THAT(codes(udp("0.0.0.0:53", plain), {match("udp 2001:db8::/32 any")}), IsEmpty());
    EXPECT_THAT(codes(udp("[::]:53", plain), {match("udp 192.0.2.0/24 any")}), IsEmpty());
    EXPECT_THAT(codes(udp("[::]:53", plain, true), {match("udp 192.0.2.0/24 any")}),
                ElementsAre("udp-reply-port", "udp-reply-address"));
}

TEST(Replies, OfTcpAreTheKernelsAffair) {
    RegisteredSocket listener = udp("0.0.0.0:80", plain);
    listener.protocol = Protocol::tcp;
    EXPECT_THAT(codes(listener, {match("tcp 192.0.2.0/24 any"), match("udp 192.0.2.0/24 any")}),
                IsEmpty());
}

TEST(Replies, OfSocketsWhoseOptionsNobodyNotedAreNotJudged) {
    EXPECT_THAT(codes(udp("0.0.0.0:53", {}), {match("udp 192.0.2.0/24 any")}), IsEmpty());
}

TEST(Replies, OfManySocketsAreOneWarningThatCountsThem) {
    const std::vector<RegisteredSocket> sockets{udp("0.0.0.0:53", plain), udp("0.0.0.0:53", plain),
                                                udp("0.0.0.0:53", everything)};
    const std::vector<Match> asked{match("udp 192.0.2.0/24 53"), match("udp 198.51.100.0/24 53")};
    const auto warnings = judge_replies("dns", sockets, asked);
    ASSERT_EQ(warnings.size(), 1U);
    EXPECT_THAT(warnings[0].message, HasSubstr("2 UDP sockets"));
    EXPECT_THAT(warnings[0].message, HasSubstr("(udp 192.0.2.0/24 53)"));
}

// Any table, any socket: the few samples lead to the warnings that all bindings lead to.
TEST(Replies, SamplesSayAsMuchAsAllBindingsAndAreFew) {
    constexpr unsigned seed = 4711;
    std::mt19937 random(seed);
    const std::vector<std::string> prefixes{"192.0.2.1/32", "192.0.2.2/32",    "192.0.2.3/32",
                                            "192.0.2.0/24", "2001:db8::1/128", "2001:db8::2/128",
                                            "2001:db8::/32"};
    const std::vector<std::string> ports{"53", "54", "55", "53-54", "any"};
    const auto pick = [&](const std::vector<std::string>& from) {
        return from[random() % from.size()];
    };
    for (int round = 0; round < 3000; ++round) {
        std::vector<Match> all, samples;
        for (auto left = 1 + random() % 12; left > 0; --left) {
            all.push_back(
                match((random() % 8 == 0 ? "tcp " : "udp ") + pick(prefixes) + " " + pick(ports)));
            add_udp_sample(samples, all.back());
        }
        EXPECT_LE(samples.size(), 12U);
        for (const char* local : {"192.0.2.1:53", "0.0.0.0:54", "[2001:db8::1]:53", "[::]:55"})
            for (const ReplyOptions& options : {plain, packet_info, destination}) {
                const RegisteredSocket socket =
                    udp(local, options, std::string(local) == "[::]:55");
                ASSERT_EQ(codes(socket, samples), codes(socket, all)) << "seed " << seed;
            }
    }
}

TEST(Replies, SamplesOfAServiceAreCountedWithItsBindings) {
    const TableUse use =
        count_use(table({"udp 192.0.2.0/24 any -> dns", "udp 192.0.2.1/32 53 -> dns",
                         "udp 198.51.100.0/24 any -> dns", "tcp 192.0.2.0/24 any -> dns"}));
    EXPECT_THAT(use.services.at("dns").udp_samples, ElementsAre(match("udp 192.0.2.0/24 any")));
}

}  // namespace
}  // namespace sluice

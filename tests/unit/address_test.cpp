// SPDX-License-Identifier: Apache-2.0
// Protocols, addresses, prefixes, ports and endpoints: parsed strictly, printed one way.
#include "core/address.h"

#include "words.h"

namespace sluice {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

TEST(Protocol, IsTcpOrUdpInLowerCaseAndNothingElse) {
    EXPECT_EQ(must(parse_protocol("tcp")), Protocol::tcp);
    EXPECT_EQ(must(parse_protocol("udp")), Protocol::udp);
    EXPECT_EQ(to_string(Protocol::tcp), "tcp");
    EXPECT_EQ(to_string(Protocol::udp), "udp");
    for (const auto* text : {"", "TCP", "Udp", "sctp", "6", " tcp", "tcp ", "tcpudp"}) {
        const auto parsed = parse_protocol(text);
        ASSERT_FALSE(parsed) << text;
        EXPECT_EQ(parsed.error().failure(), Failure::invalid);
        EXPECT_THAT(why(parsed), AllOf(HasSubstr("unknown protocol"), HasSubstr("tcp or udp")));
    }
}

TEST(Address, IsPrintedInTheOneWayThatRfc5952Gives) {
    const std::pair<const char*, const char*> cases[] = {
        {"0.0.0.0", "0.0.0.0"},
        {"255.255.255.255", "255.255.255.255"},
        {"192.0.2.1", "192.0.2.1"},
        {"::", "::"},
        {"::1", "::1"},
        {"2001:DB8::7", "2001:db8::7"},
        {"2001:0db8:0000:0000:0000:0000:0000:0007", "2001:db8::7"},
        {"2001:db8:0:0:1:0:0:1", "2001:db8::1:0:0:1"},
        {"64:ff9b::192.0.2.1", "64:ff9b::c000:201"},
        {"ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"},
    };
    for (const auto& [text, printed] : cases) EXPECT_EQ(to_string(address(text)), printed) << text;
}

TEST(Address, KeepsNetworkByteOrderAndZeroesWhatIpv4DoesNotUse) {
    const Address v4 = address("192.0.2.1");
    EXPECT_EQ(v4.family, Family::ipv4);
    EXPECT_EQ(v4.bits(), 32);
    EXPECT_EQ(v4.bytes, (std::array<std::uint8_t, 16>{192, 0, 2, 1}));
    const Address v6 = address("2001:db8::7");
    EXPECT_EQ(v6.family, Family::ipv6);
    EXPECT_EQ(v6.bits(), 128);
    EXPECT_EQ(v6.bytes[0], 0x20);
    EXPECT_EQ(v6.bytes[15], 7);
    EXPECT_EQ(to_string(Family::ipv4), "ipv4");
    EXPECT_EQ(to_string(Family::ipv6), "ipv6");
}

struct Refused {
    std::string_view text;
    const char* reason;
};

TEST(Address, RefusesWhatPeopleGetWrongAndSaysWhy) {
    using namespace std::string_view_literals;
    const Refused cases[] = {
        {"", "not an IPv4 address"},
        {"192.0.2", "not an IPv4 address"},
        {"192.0.2.1.1", "not an IPv4 address"},
        {"192.0.2.256", "not an IPv4 address"},
        {"192.0.02.1", "without leading zeros"},
        {"192.0.2.01", "without leading zeros"},
        {"00.0.0.0", "without leading zeros"},
        {"0x7f.0.0.1", "not an IPv4 address"},
        {"3221225985", "not an IPv4 address"},
        {" 192.0.2.1", "not an IPv4 address"},
        {"192.0.2.1 ", "not an IPv4 address"},
        {"-1.0.0.0", "not an IPv4 address"},
        {"localhost", "not an IPv4 address"},
        {"2001:db8", "not an IPv6 address"},
        {"2001:db8::1::2", "not an IPv6 address"},
        {"2001:db8::g", "not an IPv6 address"},
        {"20001::", "not an IPv6 address"},
        {"[::1]", "not an IPv6 address"},
        {":::", "not an IPv6 address"},
        {"fe80::1%eth0", "zone id"},
        {"192.0.2.1%1", "zone id"},
        {"::ffff:192.0.2.1", "IPv4-mapped"},
        {"::ffff:c000:201", "IPv4-mapped"},
        {"::ffff:0:0", "IPv4-mapped"},
        {"192.0.2.1\0"sv, "not an IP address"},
        {"2001:0db8:0000:0000:0000:0000:0000:0000000000000000000000000007", "not an IP address"},
    };
    for (const auto& [text, reason] : cases) {
        const auto parsed = Address::parse(text);
        ASSERT_FALSE(parsed) << text;
        EXPECT_EQ(parsed.error().failure(), Failure::invalid) << text;
        EXPECT_THAT(why(parsed), HasSubstr(reason)) << text;
    }
}

TEST(Address, NeverPutsAHostileTextIntoItsMessageAsItIs) {
    for (const auto& message :
         {why(Address::parse("1.2.\x1b[31m.4")), why(Prefix::parse("192.0.2.0/\n24")),
          why(Ports::parse("80\r\n")), why(parse_protocol("t\x1b"))}) {
        EXPECT_EQ(message.find_first_of("\x1b\r\n"), std::string::npos) << message;
    }
}

TEST(Prefix, ReadsAnAddressAloneAsThatOneAddress) {
    EXPECT_EQ(prefix("192.0.2.1"), prefix("192.0.2.1/32"));
    EXPECT_EQ(prefix("2001:db8::1"), prefix("2001:db8::1/128"));
    EXPECT_TRUE(prefix("192.0.2.1").is_host());
    EXPECT_FALSE(prefix("192.0.2.0/31").is_host());
    EXPECT_EQ(to_string(prefix("192.0.2.1")), "192.0.2.1/32");
    EXPECT_EQ(to_string(prefix("::")), "::/128");
    EXPECT_EQ(to_string(prefix("::/0")), "::/0");
    EXPECT_EQ(to_string(prefix("0.0.0.0/0")), "0.0.0.0/0");
}

TEST(Prefix, RefusesHostBitsBelowTheMaskAndNamesThePrefixMeant) {
    const auto v4 = Prefix::parse("192.0.2.1/24");
    EXPECT_THAT(why(v4), HasSubstr("bits set below its mask"));
    EXPECT_THAT(hint(v4), AllOf(HasSubstr("192.0.2.0/24"), HasSubstr("192.0.2.1/32")));
    const auto v6 = Prefix::parse("2001:db8::1/32");
    EXPECT_THAT(hint(v6), AllOf(HasSubstr("2001:db8::/32"), HasSubstr("2001:db8::1/128")));
    EXPECT_FALSE(Prefix::parse("128.0.0.0/0"));
    EXPECT_FALSE(Prefix::parse("192.0.2.3/31"));
}

TEST(Prefix, RefusesLengthsThatAreNoneOfItsFamily) {
    for (const auto* text : {"192.0.2.0/33", "192.0.2.0/", "192.0.2.0/024", "192.0.2.0/00",
                             "192.0.2.0/-1", "192.0.2.0/+24", "192.0.2.0/24 ", "192.0.2.0/0x18",
                             "192.0.2.0/24/24", "192.0.2.0/255.255.255.0", "2001:db8::/129",
                             "192.0.2.0/4294967320", "0.0.0.0/18446744073709551616"})
        EXPECT_THAT(why(Prefix::parse(text)), HasSubstr("has no prefix length from 0 to")) << text;
    EXPECT_FALSE(Prefix::parse("/24"));
    EXPECT_FALSE(Prefix::parse(""));
    EXPECT_THAT(why(Prefix::parse("::ffff:0:0/96")), HasSubstr("IPv4-mapped"));
    EXPECT_THAT(why(Prefix::parse("fe80::%eth0/64")), HasSubstr("zone id"));
}

TEST(Prefix, ContainsExactlyTheAddressesThatShareItsBits) {
    struct Case {
        const char* outer;
        const char* inner;
        bool contains;
    };
    const Case cases[] = {
        {"192.0.2.0/24", "192.0.2.255", true},
        {"192.0.2.0/24", "192.0.3.0", false},
        {"192.0.2.0/23", "192.0.3.0", true},
        {"192.0.2.0/31", "192.0.2.1", true},
        {"192.0.2.0/31", "192.0.2.2", false},
        {"0.0.0.0/0", "255.255.255.255", true},
        {"128.0.0.0/1", "127.255.0.0", false},
        {"192.0.2.1", "192.0.2.1", true},
        {"192.0.2.1", "192.0.2.0", false},
        {"::/0", "192.0.2.1", false},
        {"0.0.0.0/0", "::", false},
        {"2001:db8::/33", "2001:db8:8000::", false},
        {"2001:db8::/33", "2001:db8:7fff::1", true},
        {"::/0", "ffff::", true},
        {"2001:db8::1", "2001:db8::1", true},
        {"2001:db8::/127", "2001:db8::2", false},
    };
    for (const auto& [outer, inner, contains] : cases)
        EXPECT_EQ(prefix(outer).contains(address(inner)), contains) << outer << " " << inner;
    EXPECT_TRUE(prefix("192.0.2.0/24").contains(prefix("192.0.2.0/24")));
    EXPECT_TRUE(prefix("192.0.2.0/24").contains(prefix("192.0.2.128/25")));
    EXPECT_FALSE(prefix("192.0.2.128/25").contains(prefix("192.0.2.0/24")));
    EXPECT_FALSE(prefix("::/0").contains(prefix("0.0.0.0/0")));
}

TEST(Prefix, OfClearsEveryBitBelowTheMask) {
    const Address all = address("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff");
    for (int length = 0; length <= 128; ++length) {
        const Prefix cut = Prefix::of(all, length);
        for (int bit = 0; bit < 128; ++bit) {
            const auto byte = cut.address.bytes[static_cast<std::size_t>(bit / 8)];
            const bool set = (byte >> (7 - bit % 8) & 1) != 0;
            ASSERT_EQ(set, bit < length) << "bit " << bit << " of /" << length;
        }
        EXPECT_EQ(prefix(to_string(cut)), cut) << "what is printed is read back";
    }
}

TEST(Ports, AreOneARangeOrAny) {
    EXPECT_EQ(ports("443"), Ports::one(443));
    EXPECT_EQ(ports("1-65535"), (Ports{1, 65535}));
    EXPECT_EQ(ports("8000-8000"), Ports::one(8000));
    EXPECT_EQ(ports("any"), Ports::any());
    EXPECT_TRUE(ports("any").contains(std::uint16_t{0})) << "any also matches port 0";
    EXPECT_FALSE(ports("1-65535").is_any());
    EXPECT_GT(ports("any").width(), ports("1-65535").width());
    for (const auto* text : {"1", "443", "65535", "8000-8999", "1-65535", "any"})
        EXPECT_EQ(to_string(ports(text)), text);
    EXPECT_EQ(to_string(ports("80-80")), "80");
}

TEST(Ports, RefuseZeroLeadingZerosAndRangesThatEndBeforeTheyStart) {
    for (const auto* text : {"",      "0",    "00",         "080",   "0x50",
                             "65536", "-1",   "+1",         "1-",    "-",
                             "0-10",  "1-0",  "1-65536",    "1-2-3", "1 - 2",
                             "80 ",   " 80",  "any ",       "Any",   "ANY",
                             "*",     "http", "8000-08999", "01-2",  "99999999999999999999"}) {
        const auto parsed = Ports::parse(text);
        ASSERT_FALSE(parsed) << text;
        EXPECT_EQ(parsed.error().failure(), Failure::invalid) << text;
    }
    EXPECT_THAT(why(Ports::parse("9000-8000")), HasSubstr("ends before it starts"));
    EXPECT_THAT(why(Ports::parse("0")), HasSubstr("1 to 65535"));
}

TEST(Ports, KnowWhatTheyContainAndWhatTheyTouch) {
    EXPECT_TRUE(ports("80-90").contains(ports("80-90")));
    EXPECT_TRUE(ports("80-90").contains(std::uint16_t{80}));
    EXPECT_TRUE(ports("80-90").contains(std::uint16_t{90}));
    EXPECT_FALSE(ports("80-90").contains(std::uint16_t{91}));
    EXPECT_FALSE(ports("80-90").contains(ports("85-91")));
    EXPECT_TRUE(ports("80-90").touches(ports("90-91")));
    EXPECT_FALSE(ports("80-90").touches(ports("91-92")));
    EXPECT_TRUE(ports("any").contains(ports("1-65535")));
    EXPECT_EQ(ports("80-90").width(), 11);
}

TEST(Port, IsFrom1To65535WithoutLeadingZeros) {
    EXPECT_EQ(must(parse_port("1")), 1);
    EXPECT_EQ(must(parse_port("65535")), 65535);
    for (const auto* text : {"", "0", "01", "65536", "any", "80-81", "8 0", "4294967297"})
        EXPECT_THAT(why(parse_port(text)), HasSubstr("is not a port")) << text;
}

TEST(Endpoint, IsAnAddressAndAPortWithBracketsAroundIpv6) {
    for (const auto* text : {"192.0.2.1:443", "[2001:db8::7]:443", "[::]:1"})
        EXPECT_EQ(to_string(endpoint(text)), text);
    EXPECT_EQ(endpoint("192.0.2.1:443").port, 443);
}

TEST(Endpoint, RefusesWhatCouldBeReadInTwoWays) {
    for (const auto* text :
         {"", "192.0.2.1", "192.0.2.1:", "192.0.2.1:0", ":443", "2001:db8::7:443", "[2001:db8::7]",
          "[2001:db8::7]443", "[192.0.2.1]:443", "[]:443", "[:1", "]:1", "[::1]:443:1", "[::1:443",
          "192.0.2.1:443 ", "::1]:5"}) {
        const auto parsed = Endpoint::parse(text);
        ASSERT_FALSE(parsed) << text << " was read as " << to_string(*parsed);
        EXPECT_EQ(parsed.error().failure(), Failure::invalid) << text;
    }
}

}  // namespace
}  // namespace sluice

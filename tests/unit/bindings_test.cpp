// SPDX-License-Identifier: Apache-2.0
// Bindings: their order, the rules of precedence, what a table refuses, and two owners in one
// table.
#include "core/bindings.h"

#include <random>

#include "words.h"

namespace sluice {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

// ---- names and words ---------------------------------------------------------------------------

TEST(ServiceName, Is1To100OfTheAllowedCharacters) {
    EXPECT_EQ(must(parse_service_name("cdn")), "cdn");
    EXPECT_EQ(must(parse_service_name("A-Z_a.z-09")), "A-Z_a.z-09");
    EXPECT_TRUE(parse_service_name(std::string(100, 'x')));
    for (const auto& text : {std::string(), std::string(101, 'x'), std::string("a b"),
                             std::string("a/b"), std::string("käse"), std::string("a\0b", 3),
                             std::string("*"), std::string("a\n"), std::string("a@b")}) {
        const auto name = parse_service_name(text);
        ASSERT_FALSE(name) << text;
        EXPECT_EQ(name.error().failure(), Failure::invalid);
        EXPECT_THAT(why(name), HasSubstr("A-Z a-z 0-9 . _ -"));
    }
    EXPECT_EQ(why(parse_service_name("a\x1b[31m")).find('\x1b'), std::string::npos);
}

TEST(Binding, IsPrintedInTheWordsOfTheCommandLine) {
    for (const auto* text : {"tcp 192.0.2.0/24 443 -> cdn", "udp 2001:db8::/32 any -> (pass)",
                             "tcp 192.0.2.1/32 8000-8999 -> (reject)"})
        EXPECT_EQ(to_string(binding(text)), text);
    EXPECT_EQ(to_string(Owner::config), "config");
    EXPECT_EQ(to_string(Owner::runtime), "runtime");
}

TEST(Binding, HasTheSameMeaningWhateverFileLineNoteAndTimeSay) {
    Binding other = binding_at("tcp 192.0.2.0/24 443 -> cdn", "conf.d/cdn.yaml", 9);
    other.since = 12;
    other.note = SharedText("why");
    const Binding one = binding("tcp 192.0.2.0/24 443 -> cdn");
    EXPECT_TRUE(one.same_meaning(other));
    EXPECT_FALSE(one.same_meaning(binding("tcp 192.0.2.0/24 443 -> www")));
    EXPECT_FALSE(one.same_meaning(binding("tcp 192.0.2.0/24 443 -> (pass)")));
    EXPECT_FALSE(one.same_meaning(binding("tcp 192.0.2.0/24 444 -> cdn")));
    EXPECT_FALSE(one.same_meaning(binding("tcp 192.0.2.0/24 443 -> cdn", Owner::runtime)));
}

TEST(Match, OrdersFamilyThenProtocolThenPrefixThenPortsWiderFirst) {
    const std::vector<std::string> sorted = {
        "tcp 0.0.0.0/0 any -> a",      "tcp 192.0.2.0/24 any -> a", "tcp 192.0.2.0/24 1-65535 -> a",
        "tcp 192.0.2.0/24 80-90 -> a", "tcp 192.0.2.0/24 80 -> a",  "tcp 192.0.2.0/24 81 -> a",
        "tcp 192.0.2.0/25 any -> a",   "udp 0.0.0.0/0 any -> a",    "tcp ::/0 any -> a",
        "udp 2001:db8::/32 443 -> a"};
    std::vector<Binding> shuffled;
    for (const auto& text : sorted) shuffled.push_back(binding(text));
    std::ranges::reverse(shuffled);
    EXPECT_EQ(texts_of(must(Bindings::make(shuffled))), sorted);
}

// ---- precedence --------------------------------------------------------------------------------

std::string winner(const Bindings& bindings, std::string_view protocol, std::string_view at,
                   std::uint16_t port) {
    const Binding* won = bindings.lookup(must(parse_protocol(protocol)), address(at), port);
    return won == nullptr ? "-" : to_string(won->target);
}

TEST(Lookup, TheLongestPrefixWinsWhateverThePortsSay) {
    const Bindings bindings = table({"tcp 0.0.0.0/0 443 -> exact-on-all",
                                     "tcp 192.0.2.0/24 any -> net", "tcp 192.0.2.7 any -> host"});
    EXPECT_EQ(winner(bindings, "tcp", "192.0.2.7", 443), "host");
    EXPECT_EQ(winner(bindings, "tcp", "192.0.2.8", 443), "net");
    EXPECT_EQ(winner(bindings, "tcp", "198.51.100.1", 443), "exact-on-all");
    EXPECT_EQ(winner(bindings, "tcp", "198.51.100.1", 80), "-");
}

TEST(Lookup, OnOnePrefixTheNarrowerPortsWin) {
    const Bindings bindings =
        table({"tcp 192.0.2.0/24 any -> any", "tcp 192.0.2.0/24 1-65535 -> wide",
               "tcp 192.0.2.0/24 8000-8999 -> range", "tcp 192.0.2.0/24 8000-8099 -> narrow",
               "tcp 192.0.2.0/24 8080 -> exact"});
    EXPECT_EQ(winner(bindings, "tcp", "192.0.2.1", 8080), "exact");
    EXPECT_EQ(winner(bindings, "tcp", "192.0.2.1", 8081), "narrow");
    EXPECT_EQ(winner(bindings, "tcp", "192.0.2.1", 8000), "narrow");
    EXPECT_EQ(winner(bindings, "tcp", "192.0.2.1", 8100), "range");
    EXPECT_EQ(winner(bindings, "tcp", "192.0.2.1", 9000), "wide");
    EXPECT_EQ(winner(bindings, "tcp", "192.0.2.1", 0), "any");
}

TEST(Lookup, GoesOnToAShorterPrefixWhenThePortIsNotThere) {
    const Bindings bindings = table({"tcp 192.0.2.0/24 any -> net", "tcp 192.0.2.7 80 -> host"});
    EXPECT_EQ(winner(bindings, "tcp", "192.0.2.7", 80), "host");
    EXPECT_EQ(winner(bindings, "tcp", "192.0.2.7", 81), "net");
}

TEST(Lookup, APassStopsTheSearchAsARejectDoes) {
    const Bindings bindings = table({"tcp 192.0.2.0/24 any -> net", "tcp 192.0.2.7 22 -> (pass)",
                                     "tcp 192.0.2.7 23 -> (reject)"});
    EXPECT_EQ(winner(bindings, "tcp", "192.0.2.7", 22), "(pass)") << "never the shorter binding";
    EXPECT_EQ(winner(bindings, "tcp", "192.0.2.7", 23), "(reject)");
}

TEST(Lookup, KeepsProtocolsAndFamiliesApart) {
    const Bindings bindings = table({"tcp ::/0 any -> six", "udp 0.0.0.0/0 any -> udp"});
    EXPECT_EQ(winner(bindings, "tcp", "192.0.2.1", 80), "-") << "::/0 never matches IPv4";
    EXPECT_EQ(winner(bindings, "tcp", "2001:db8::1", 80), "six");
    EXPECT_EQ(winner(bindings, "udp", "192.0.2.1", 80), "udp");
    EXPECT_EQ(winner(bindings, "udp", "2001:db8::1", 80), "-");
    EXPECT_EQ(winner(Bindings(), "tcp", "192.0.2.1", 80), "-");
}

TEST(Consider, ListsAllThatCoverTheAddressTheWinnerFirstEachWithWhyItLost) {
    const Bindings bindings =
        table({"tcp 0.0.0.0/0 any -> world", "tcp 192.0.2.0/24 any -> net",
               "tcp 192.0.2.0/24 80 -> web", "tcp 192.0.2.7 22 -> (pass)",
               "udp 192.0.2.0/24 any -> other-protocol", "tcp 198.51.100.0/24 any -> elsewhere"});
    std::vector<std::string> lines;
    for (const auto& [one, lost] : bindings.consider(Protocol::tcp, address("192.0.2.7"), 80))
        lines.push_back(to_string(one->target) + ": " + std::string(to_string(lost)));
    EXPECT_THAT(lines, ElementsAre("web: ", "(pass): other port", "net: wider port range",
                                   "world: shorter prefix"));
}

TEST(Consider, WithoutAWinnerSaysThatNoPortFits) {
    const Bindings bindings = table({"tcp 192.0.2.0/24 80 -> web"});
    const auto considered = bindings.consider(Protocol::tcp, address("192.0.2.7"), 81);
    ASSERT_EQ(considered.size(), 1u);
    EXPECT_EQ(considered[0].lost, Lost::other_port);
    EXPECT_THAT(bindings.consider(Protocol::udp, address("192.0.2.7"), 80), IsEmpty());
}

// The rule, said once more in the contract's own words.
const Binding* by_the_contract(const Bindings& bindings, Protocol protocol, const Address& at,
                               std::uint16_t port) {
    for (int length = at.bits(); length >= 0; --length) {
        const Binding* best = nullptr;
        for (const Binding& one : bindings.on(protocol, Prefix::of(at, length)))
            if (one.match.ports.contains(port) &&
                (best == nullptr || one.match.ports.width() < best->match.ports.width()))
                best = &one;
        if (best != nullptr) return best;
    }
    return nullptr;
}

TEST(Lookup, AgreesWithASearchByLengthOnRandomTables) {
    const unsigned seed = 20240607;
    std::mt19937 random(seed);
    SCOPED_TRACE("seed " + std::to_string(seed));
    const auto below = [&](unsigned n) { return static_cast<unsigned>(random() % n); };
    const auto any_address = [&] {
        Address made{below(2) == 0 ? Family::ipv4 : Family::ipv6, {}};
        made.bytes[0] = static_cast<std::uint8_t>(below(2));
        made.bytes[static_cast<std::size_t>(made.bits() / 8 - 1)] =
            static_cast<std::uint8_t>(below(4));
        return made;
    };
    const Ports choices[] = {Ports::any(),   Ports{1, 65535}, Ports{80, 99},  Ports{80, 89},
                             Ports::one(80), Ports::one(81),  Ports::one(443)};
    for (int round = 0; round < 50; ++round) {
        std::map<std::string, Binding> unique;
        for (unsigned i = 0; i < 40; ++i) {
            const Address at = any_address();
            Binding one;
            one.match = {
                below(2) == 0 ? Protocol::tcp : Protocol::udp,
                Prefix::of(at, static_cast<int>(below(static_cast<unsigned>(at.bits()) + 1))),
                choices[below(std::size(choices))]};
            one.target =
                below(5) == 0 ? Target::reject() : Target::service("s" + std::to_string(i));
            unique.emplace(to_string(one.match), one);
        }
        std::vector<Binding> list;
        for (const auto& [text, one] : unique) list.push_back(one);
        const Bindings bindings = must(Bindings::make(list));
        for (int i = 0; i < 200; ++i) {
            const auto protocol = below(2) == 0 ? Protocol::tcp : Protocol::udp;
            const Address at = any_address();
            const std::uint16_t asked[] = {0, 1, 80, 81, 85, 95, 443, 65535};
            const auto port = asked[below(std::size(asked))];
            ASSERT_EQ(bindings.lookup(protocol, at, port),
                      by_the_contract(bindings, protocol, at, port))
                << to_string(protocol) << " " << to_string(at) << " " << port;
        }
    }
}

// ---- the table ---------------------------------------------------------------------------------

TEST(Bindings, FindExactlyTheMatchThatWasAskedFor) {
    const Bindings bindings = table(
        {"tcp 192.0.2.0/24 80 -> a", "tcp 192.0.2.0/24 80-90 -> b", "udp 192.0.2.0/24 80 -> c"});
    EXPECT_EQ(bindings.size(), 3u);
    EXPECT_FALSE(bindings.empty());
    EXPECT_EQ(to_string(bindings.find(match("tcp 192.0.2.0/24 80-90"))->target), "b");
    EXPECT_EQ(to_string(bindings.find(match("udp 192.0.2.0/24 80"))->target), "c");
    EXPECT_EQ(bindings.find(match("tcp 192.0.2.0/24 80-91")), nullptr);
    EXPECT_EQ(bindings.find(match("tcp 192.0.2.0/25 80")), nullptr);
    EXPECT_EQ(bindings.find(match("udp ::/0 any")), nullptr);
}

TEST(Bindings, OnGivesThePolicyOfOneProtocolAndPrefix) {
    const Bindings bindings = table({"tcp 192.0.2.0/24 80 -> a", "tcp 192.0.2.0/24 any -> b",
                                     "udp 192.0.2.0/24 80 -> c", "tcp 192.0.2.0/25 80 -> d"});
    EXPECT_THAT(texts_of(bindings.on(Protocol::tcp, prefix("192.0.2.0/24"))),
                ElementsAre("tcp 192.0.2.0/24 any -> b", "tcp 192.0.2.0/24 80 -> a"));
    EXPECT_THAT(bindings.on(Protocol::tcp, prefix("192.0.2.128/25")), IsEmpty());
}

TEST(Bindings, RefuseTheSameMatchTwiceAndNameBothPlaces) {
    const auto made =
        Bindings::make({binding_at("tcp 192.0.2.0/24 443 -> cdn", "sluice.yaml", 7),
                        binding_at("tcp 192.0.2.0/24 443 -> www", "conf.d/w.yaml", 3)});
    EXPECT_THAT(why(made),
                AllOf(HasSubstr("bound twice"), HasSubstr("sluice.yaml:7"),
                      HasSubstr("conf.d/w.yaml:3"), HasSubstr("-> cdn"), HasSubstr("-> www")));
    ASSERT_EQ(made.error().where().size(), 2u);
    EXPECT_EQ(made.error().failure(), Failure::invalid);
    EXPECT_FALSE(Bindings::make(
        {binding("tcp 192.0.2.0/24 443 -> cdn"), binding("tcp 192.0.2.0/24 443 -> cdn")}))
        << "not even when both say the same";
}

TEST(Bindings, RefuseRangesThatOverlapInPartAndNameBoth) {
    const auto made = Bindings::make({binding_at("tcp 192.0.2.0/24 80-90 -> a", "sluice.yaml", 7),
                                      binding_at("tcp 192.0.2.0/24 85-95 -> b", "sluice.yaml", 8)});
    EXPECT_THAT(why(made), AllOf(HasSubstr("overlap"), HasSubstr("80-90"), HasSubstr("85-95"),
                                 HasSubstr("sluice.yaml:7"), HasSubstr("sluice.yaml:8")));
    EXPECT_FALSE(
        Bindings::make({binding("tcp 192.0.2.0/24 1-10 -> a"), binding("tcp 192.0.2.0/24 2-4 -> b"),
                        binding("tcp 192.0.2.0/24 5-11 -> c")}))
        << "with a whole range between them";
    EXPECT_FALSE(Bindings::make(
        {binding("tcp 192.0.2.0/24 80-90 -> a"), binding("tcp 192.0.2.0/24 90-95 -> b")}))
        << "in a single port";
}

TEST(Bindings, AcceptRangesThatNestOrDoNotTouch) {
    EXPECT_TRUE(Bindings::make(
        {binding("tcp 192.0.2.0/24 80-90 -> a"), binding("tcp 192.0.2.0/24 91-95 -> b"),
         binding("tcp 192.0.2.0/24 80-85 -> c"), binding("tcp 192.0.2.0/24 86-90 -> d"),
         binding("tcp 192.0.2.0/24 90 -> e"), binding("tcp 192.0.2.0/24 any -> f")}));
    EXPECT_TRUE(Bindings::make({binding("tcp 192.0.2.0/24 80-90 -> a"),
                                binding("udp 192.0.2.0/24 85-95 -> b"),
                                binding("tcp 192.0.2.0/25 85-95 -> c")}))
        << "on one prefix and protocol only";
}

std::vector<Binding> nested(int depth) {
    std::vector<Binding> list;
    for (int i = 0; i < depth; ++i) {
        const auto step = static_cast<std::uint16_t>(i);
        Binding one = binding("tcp 192.0.2.0/24 any -> a");
        one.match.ports = {static_cast<std::uint16_t>(100 + step),
                           static_cast<std::uint16_t>(1000 - step)};
        list.push_back(one);
    }
    return list;
}

TEST(Bindings, NestRanges16DeepAndNoDeeper) {
    EXPECT_TRUE(Bindings::make(nested(16)));
    std::vector<Binding> with_any = nested(16);
    with_any.push_back(binding("tcp 192.0.2.0/24 any -> a"));
    EXPECT_TRUE(Bindings::make(with_any)) << "any is not one of them";
    const auto deep = Bindings::make(nested(17));
    EXPECT_THAT(why(deep), AllOf(HasSubstr("16 deep"), HasSubstr("116-984")));
}

TEST(Bindings, HoldEveryPortOfAPrefixButNotOneEntryMore) {
    std::vector<Binding> list;
    const Binding any = binding("tcp 192.0.2.0/24 any -> a");
    for (unsigned port = 1; port <= 65535; ++port) {
        list.push_back(any);
        list.back().match.ports = Ports::one(static_cast<std::uint16_t>(port));
    }
    EXPECT_TRUE(Bindings::make(list));
    list.push_back(any);
    list.back().match.ports = {1, 65535};
    EXPECT_THAT(why(Bindings::make(list)), HasSubstr("more than 65,535 ports and ranges on tcp"));
}

// ---- what answers otherwise --------------------------------------------------------------------

TEST(Covering, IsTheNextWiderBindingThatAnswersTheWholeMatch) {
    const Bindings bindings =
        table({"tcp 0.0.0.0/0 any -> world", "tcp 192.0.2.0/24 1-1000 -> low",
               "tcp 192.0.2.0/24 80-90 -> range", "tcp 192.0.2.0/25 443 -> https"});
    const auto covering = [&](std::string_view text) {
        const Binding* found = Coverings(bindings).of(match(text));
        return found == nullptr ? "-" : to_string(found->target);
    };
    EXPECT_EQ(covering("tcp 192.0.2.0/24 80"), "range");
    EXPECT_EQ(covering("tcp 192.0.2.0/24 80-90"), "low") << "itself left out";
    EXPECT_EQ(covering("tcp 192.0.2.0/24 80-91"), "low");
    EXPECT_EQ(covering("tcp 192.0.2.0/24 1-1000"), "world");
    EXPECT_EQ(covering("tcp 192.0.2.0/24 any"), "world") << "low answers a part of it only";
    EXPECT_EQ(covering("tcp 192.0.2.7 443"), "https");
    EXPECT_EQ(covering("tcp 192.0.2.200 443"), "low");
    EXPECT_EQ(covering("tcp 0.0.0.0/0 any"), "-");
    EXPECT_EQ(covering("udp 192.0.2.7 443"), "-");
    EXPECT_EQ(covering("tcp 2001:db8::1 443"), "-");
}

// What Coverings finds in one walk, the slow and plain way.
const Binding* covering(const Bindings& table, const Match& match) {
    const Binding* best = nullptr;
    for (const Binding& one : table) {
        const bool covers = one.match.protocol == match.protocol &&
                            one.match.prefix.contains(match.prefix) &&
                            one.match.ports.contains(match.ports) && one.match != match;
        if (!covers) continue;
        const auto length = [](const Binding& of) { return of.match.prefix.length; };
        if (best == nullptr || length(one) > length(*best) ||
            (length(one) == length(*best) && best->match.ports.contains(one.match.ports)))
            best = &one;
    }
    return best;
}

// Few bits and few ports, so that most prefixes nest and most ranges do.
Bindings crowded(std::mt19937& random) {
    std::map<Match, Binding> made;
    const std::vector<std::string> port_lists = {"any", "1-999", "80-90", "80", "443"};
    for (int i = 0; i < 60; ++i) {
        const bool six = random() % 2 == 1;
        const int bits = six ? 128 : 32;
        Address address;
        address.family = six ? Family::ipv6 : Family::ipv4;
        address.bytes[0] = static_cast<std::uint8_t>(random() % 4 << 6U);
        address.bytes[3] = static_cast<std::uint8_t>(random() % 4);
        const int length = random() % 4 == 0 ? bits : static_cast<int>(random() % 8);
        const Match match{random() % 2 == 0 ? Protocol::tcp : Protocol::udp,
                          Prefix::of(address, length),
                          ports(port_lists[random() % port_lists.size()])};
        made[match] = {match, target("a"), Owner::config, 0, 0, nullptr, nullptr};
    }
    std::vector<Binding> list;
    for (const auto& [match, one] : made) list.push_back(one);
    return must(Bindings::make(std::move(list)));
}

TEST(Covering, OfAllMatchesInOneWalkIsThatOfEachAlone) {
    std::mt19937 random(5);
    std::size_t found = 0;
    for (int round = 0; round < 200; ++round) {
        const Bindings table = crowded(random), asked = crowded(random);
        Coverings walk(table);
        for (const Binding& one : asked) {
            const Binding* expected = covering(table, one.match);
            ASSERT_EQ(walk.of(one.match), expected)
                << "round " << round << ", " << to_string(one.match);
            if (expected != nullptr) ++found;
        }
    }
    EXPECT_GT(found, 5000u);
}

TEST(InheritSince, KeepsTheTimeOfWhatMeansTheSameAndStampsTheRest) {
    Bindings before;
    {
        std::vector<Binding> list = {
            binding("tcp 192.0.2.0/24 80 -> same"), binding("tcp 192.0.2.0/24 81 -> moves"),
            binding("tcp 192.0.2.0/24 82 -> goes"), binding("tcp 192.0.2.0/24 83 -> unknown")};
        for (Binding& one : list) one.since = 100;
        list.back().since = 0;
        before = must(Bindings::make(std::move(list)));
    }
    Bindings now = table({"tcp 192.0.2.0/24 79 -> new", "tcp 192.0.2.0/24 80 -> same",
                          "tcp 192.0.2.0/24 81 -> moved", "tcp 192.0.2.0/24 83 -> unknown"});
    now.inherit_since(before, 200);
    std::vector<std::int64_t> since;
    for (const Binding& one : now) since.push_back(one.since);
    EXPECT_THAT(since, ElementsAre(200, 100, 200, 200));
    now.inherit_since(Bindings(), 300);
    EXPECT_EQ(now.begin()->since, 300);
}

// ---- two owners --------------------------------------------------------------------------------

TEST(Overlay, WithoutRuntimeBindingsIsTheConfig) {
    const auto both = must(overlay(table({"tcp 192.0.2.0/24 80 -> a"}), Bindings()));
    EXPECT_THAT(texts_of(both.effective), ElementsAre("tcp 192.0.2.0/24 80 -> a"));
    EXPECT_THAT(both.shadowed, IsEmpty());
}

TEST(Overlay, ARuntimeBindingAnswersAndTheConfigsWithTheSameMatchWaits) {
    const auto both =
        must(overlay(table({"tcp 192.0.2.0/24 80 -> config", "tcp 192.0.2.0/24 81 -> config"}),
                     table({"tcp 192.0.2.0/24 80 -> runtime", "udp 192.0.2.0/24 80 -> runtime"},
                           Owner::runtime)));
    EXPECT_THAT(texts_of(both.effective),
                ElementsAre("tcp 192.0.2.0/24 80 -> runtime", "tcp 192.0.2.0/24 81 -> config",
                            "udp 192.0.2.0/24 80 -> runtime"));
    EXPECT_THAT(texts_of(both.shadowed), ElementsAre("tcp 192.0.2.0/24 80 -> config"));
    EXPECT_EQ(both.effective.begin()->owner, Owner::runtime);
    EXPECT_EQ(both.shadowed.front().owner, Owner::config);
}

TEST(Overlay, AConfigsRangeThatOverlapsARuntimeOneInPartWaitsToo) {
    const auto both = must(
        overlay(table({"tcp 192.0.2.0/24 80-90 -> overlaps", "tcp 192.0.2.0/24 81-82 -> inside",
                       "tcp 192.0.2.0/24 any -> around", "tcp 192.0.2.0/25 80-90 -> elsewhere"}),
                table({"tcp 192.0.2.0/24 81-95 -> runtime"}, Owner::runtime)));
    EXPECT_THAT(texts_of(both.shadowed), ElementsAre("tcp 192.0.2.0/24 80-90 -> overlaps"));
    EXPECT_EQ(both.effective.size(), 4u);
}

TEST(Overlay, SaysSoWhenBothOwnersTogetherNestTooDeep) {
    const auto both = overlay(must(Bindings::make(nested(16))),
                              table({"tcp 192.0.2.0/24 500-501 -> r"}, Owner::runtime));
    EXPECT_THAT(why(both), HasSubstr("16 deep"));
}

}  // namespace
}  // namespace sluice

// SPDX-License-Identifier: Apache-2.0
// What a change must not do unless it is asked for by name.
#include "core/guards.h"

#include "words.h"

namespace sluice {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

// A change between two tables, and what the guards say of it.
struct Guarded {
    Bindings before, after;
    Guards running, coming;
    std::set<std::string> served;
    std::vector<Address> hosts;
    Allowed allowed;

    Guarded(Bindings from, Bindings to) : before(std::move(from)), after(std::move(to)) {}

    std::vector<RefusedBy> refusals() const {
        Generation from, to;
        from.config = before;
        to.config = after;
        const Plan plan = make_plan(from, before, to, after);
        const GuardFacts facts{
            [this](const std::string& name, Protocol, Family) { return served.contains(name); },
            hosts};
        return judge_guards({&plan, &before, &after, &running, &coming}, facts, allowed);
    }
    // "max_removed removals 9", one a guard that refuses.
    std::vector<std::string> refused() const {
        std::vector<std::string> list;
        for (const RefusedBy& one : refusals())
            list.push_back(one.guard + " " + one.allow + " " + std::to_string(one.count));
        return list;
    }
};

// So many /32 of one service.
Bindings many(int count, const char* service = "a") {
    std::vector<Binding> list;
    for (int i = 0; i < count; ++i)
        list.push_back(binding("tcp 10.0." + std::to_string(i / 256) + "." +
                               std::to_string(i % 256) + "/32 80 -> " + service));
    return must(Bindings::make(std::move(list)));
}

TEST(MaxRemoved, RefusesMoreThanBothOfItsNumbers) {
    EXPECT_THAT(Guarded(many(100), many(80)).refused(), IsEmpty()) << "20 % is not more";
    EXPECT_THAT(Guarded(many(100), many(79)).refused(), ElementsAre("max_removed removals 21"));
    EXPECT_THAT(Guarded(many(10), many(7)).refused(), IsEmpty()) << "30 %, but only 3";
    EXPECT_THAT(Guarded(many(10), many(6)).refused(), ElementsAre("max_removed removals 4"));
    EXPECT_THAT(Guarded(many(6), many(100)).refused(), IsEmpty());
}

TEST(MaxRemoved, SaysTheNumbersAndTheFirstBindings) {
    const Guarded change(many(12'480), many(3'360));
    const auto refusals = change.refusals();
    ASSERT_EQ(refusals.size(), 1u);
    EXPECT_EQ(refusals[0].message,
              "it removes 9,120 of 12,480 bindings (73 %), more than guards.max_removed allows "
              "(20 %)");
    ASSERT_EQ(refusals[0].first.size(), 3u);
    EXPECT_EQ(to_string(refusals[0].first[0].change.binding->match), "tcp 10.0.13.32/32 80");
}

TEST(MaxRemoved, AMoveIsNoRemoval) {
    EXPECT_THAT(Guarded(many(100), many(100, "b")).refused(), IsEmpty());
}

TEST(MaxRemoved, TheStricterOfTheRunningAndTheComingGuardsJudges) {
    Guarded change(many(100), many(50));
    change.running.max_removed_percent = 60;
    EXPECT_THAT(change.refused(), ElementsAre("max_removed removals 50")) << "of the change";
    change.coming.max_removed_percent = 60;
    EXPECT_THAT(change.refused(), IsEmpty());
    change.running.max_removed_percent = 40;
    EXPECT_THAT(change.refused(), ElementsAre("max_removed removals 50")) << "of what runs";
    change.running.max_removed_at_least = 50;
    EXPECT_THAT(change.refused(), IsEmpty());
}

TEST(MaxRemoved, IsAllowedByItsWordAndByNoOther) {
    Guarded change(many(100), many(1));
    change.allowed = {Allow::protected_, Allow::empty, Allow::unserved, Allow::hosts};
    EXPECT_THAT(change.refused(), ElementsAre("max_removed removals 99"));
    change.allowed = {Allow::removals};
    EXPECT_THAT(change.refused(), IsEmpty());
}

TEST(Protected, BindingsInsideAreNeitherRemovedNorMoved) {
    Guarded removed(table({"tcp 192.0.2.0/25 80 -> a", "tcp 198.51.100.0/24 80 -> a"}),
                    table({"tcp 198.51.100.0/24 80 -> a"}));
    EXPECT_THAT(removed.refused(), IsEmpty());
    removed.coming.protected_prefixes = {prefix("192.0.2.0/24")};
    EXPECT_THAT(removed.refused(), ElementsAre("protected protected 1"));
    EXPECT_EQ(removed.refusals()[0].message,
              "it removes or moves 1 binding inside 192.0.2.0/24, which guards.protected protects");
    removed.coming.protected_prefixes = {};
    removed.running.protected_prefixes = {prefix("192.0.2.0/24")};
    EXPECT_THAT(removed.refused(), ElementsAre("protected protected 1")) << "until it has gone";
    removed.allowed = {Allow::protected_};
    EXPECT_THAT(removed.refused(), IsEmpty());

    Guarded moved(table({"tcp 192.0.2.0/24 80 -> a"}), table({"tcp 192.0.2.0/24 80 -> (reject)"}));
    moved.running.protected_prefixes = {prefix("192.0.2.0/24"), prefix("2001:db8::/32")};
    EXPECT_THAT(moved.refused(), ElementsAre("protected protected 1"));
    moved.running.protected_prefixes = {prefix("192.0.2.0/25"), prefix("::/0")};
    EXPECT_THAT(moved.refused(), IsEmpty()) << "it is not inside";
}

TEST(AllowEmpty, FromSomeBindingsToNoneIsAskedForByName) {
    Guarded change(table({"tcp 192.0.2.0/24 80 -> a"}), {});
    EXPECT_THAT(change.refused(), ElementsAre("allow_empty empty 1"));
    change.running.allow_empty = true;
    EXPECT_THAT(change.refused(), ElementsAre("allow_empty empty 1"));
    change.coming.allow_empty = true;
    EXPECT_THAT(change.refused(), IsEmpty());
    EXPECT_THAT(Guarded({}, {}).refused(), IsEmpty());
    change.coming.allow_empty = false;
    change.allowed = {Allow::empty};
    EXPECT_THAT(change.refused(), IsEmpty());
}

TEST(Unserved, AMoveFromAServedServiceToOneWithoutASocketIsRefused) {
    Guarded change(table({"tcp 192.0.2.0/24 80 -> a", "tcp 192.0.2.0/24 81 -> b"}),
                   table({"tcp 192.0.2.0/24 80 -> c", "tcp 192.0.2.0/24 81 -> c"}));
    EXPECT_THAT(change.refused(), IsEmpty()) << "nobody served them before";
    change.served = {"a"};
    EXPECT_THAT(change.refused(), ElementsAre("unserved unserved 1"));
    EXPECT_THAT(change.refusals()[0].message, HasSubstr("('c')"));
    change.served = {"a", "b", "c"};
    EXPECT_THAT(change.refused(), IsEmpty());
    change.served = {"a"};
    change.running.refuse_unserved = false;
    EXPECT_THAT(change.refused(), ElementsAre("unserved unserved 1"));
    change.coming.refuse_unserved = false;
    EXPECT_THAT(change.refused(), IsEmpty());
    change.coming.refuse_unserved = true;
    change.allowed = {Allow::unserved};
    EXPECT_THAT(change.refused(), IsEmpty());
    Guarded closed(table({"tcp 192.0.2.0/24 80 -> a"}), table({"tcp 192.0.2.0/24 80 -> (reject)"}));
    closed.served = {"a"};
    EXPECT_THAT(closed.refused(), IsEmpty()) << "a reject is meant";
}

TEST(Hosts, EveryPortOfAnAddressOfThisHostIsAskedForByName) {
    Guarded change({}, table({"tcp 192.0.2.0/24 any -> a", "udp 192.0.2.0/24 any -> a"}));
    EXPECT_THAT(change.refused(), IsEmpty());
    change.hosts = {address("192.0.2.10"), address("2001:db8::1")};
    EXPECT_THAT(change.refused(), ElementsAre("host_addresses hosts 2"));
    EXPECT_THAT(change.refusals()[0].message, HasSubstr("every port of 192.0.2.10,"));
    change.coming.host_addresses = {address("192.0.2.10")};
    EXPECT_THAT(change.refused(), ElementsAre("host_addresses hosts 2")) << "both must say so";
    change.running.host_addresses = {address("192.0.2.10")};
    EXPECT_THAT(change.refused(), IsEmpty());
    change.running.host_addresses = {};
    change.allowed = {Allow::hosts};
    EXPECT_THAT(change.refused(), IsEmpty());
}

TEST(Hosts, WhatIsSoAlreadyOrLeftToTheHostIsFine) {
    Guarded same(table({"tcp 192.0.2.0/24 any -> a"}),
                 table({"tcp 192.0.2.0/24 any -> b", "tcp 192.0.2.0/25 80 -> a"}));
    same.hosts = {address("192.0.2.10")};
    EXPECT_THAT(same.refused(), IsEmpty());
    Guarded passed({}, table({"tcp 192.0.2.0/24 any -> a", "tcp 192.0.2.10 any -> (pass)",
                              "udp 192.0.2.0/24 53 -> a"}));
    passed.hosts = {address("192.0.2.10")};
    EXPECT_THAT(passed.refused(), IsEmpty());
    Guarded ranges({}, table({"tcp 192.0.2.0/24 1-65535 -> (reject)"}));
    ranges.hosts = {address("192.0.2.10")};
    EXPECT_THAT(ranges.refused(), ElementsAre("host_addresses hosts 1")) << "as good as any";
}

TEST(Guards, AllThatRefuseAreNamedAtOnce) {
    Guarded change(many(10), {});
    change.running.protected_prefixes = {prefix("10.0.0.0/8")};
    EXPECT_THAT(change.refused(), ElementsAre("max_removed removals 10", "protected protected 10",
                                              "allow_empty empty 10"));
}

TEST(AllowWords, AreThoseOfTheCommandLine) {
    for (const char* word : {"removals", "protected", "empty", "unserved", "hosts"})
        EXPECT_EQ(to_string(must(parse_allow_word(word))), word);
    EXPECT_THAT(why(parse_allow_word("all")), HasSubstr("'all' is nothing to allow"));
    EXPECT_THAT(why(parse_allow_word("")), HasSubstr("known are: removals"));
}

}  // namespace
}  // namespace sluice

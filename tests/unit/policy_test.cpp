// SPDX-License-Identifier: Apache-2.0
// Policies: what one (protocol, prefix) says about ports, as the words that the BPF program reads.
#include "core/policy.h"

#include <bit>
#include <map>
#include <random>
#include <set>

#include "words.h"

namespace sluice {
namespace {

using ::testing::SizeIs;

ServiceId id_of(const std::string& name) {
    static const std::map<std::string, ServiceId> ids = {{"a", 0}, {"b", 7}, {"last", 4095}};
    return ids.at(name);
}

PolicyWords compiled(std::initializer_list<std::string_view> texts) {
    const Bindings bindings = table(texts);
    return compile_policy(bindings.all(), id_of);
}

sluice_policy_head head_of(const PolicyWords& words) {
    return std::bit_cast<sluice_policy_head>(words.at(0));
}
sluice_policy_entry entry_of(const PolicyWords& words, std::size_t position) {
    return std::bit_cast<sluice_policy_entry>(words.at(1 + position));
}

TEST(Policy, OfOnlyAnyIsAHeadInOneBlock) {
    const PolicyWords words = compiled({"tcp 192.0.2.0/24 any -> b"});
    ASSERT_THAT(words, SizeIs(8));
    EXPECT_EQ(head_of(words).count, 0u);
    EXPECT_EQ(head_of(words).fallback, 7);
    EXPECT_EQ(head_of(words).blocks, 1);
    EXPECT_EQ(blocks_of(words), 1u);
}

TEST(Policy, SortsEntriesAndGivesEachTheOneThatEnclosesIt) {
    const PolicyWords words =
        compiled({"tcp 192.0.2.0/24 1-1000 -> a", "tcp 192.0.2.0/24 80-90 -> b",
                  "tcp 192.0.2.0/24 85 -> (reject)", "tcp 192.0.2.0/24 443 -> (pass)",
                  "tcp 192.0.2.0/24 2000 -> last"});
    EXPECT_EQ(head_of(words).count, 5u);
    EXPECT_EQ(head_of(words).fallback, SLUICE_TARGET_NONE);
    struct Expected {
        unsigned first, last, target, parent;
    };
    const Expected expected[] = {{1, 1000, 0, SLUICE_NO_PARENT},
                                 {80, 90, 7, 0},
                                 {85, 85, SLUICE_TARGET_REJECT, 1},
                                 {443, 443, SLUICE_TARGET_PASS, 0},
                                 {2000, 2000, 4095, SLUICE_NO_PARENT}};
    for (std::size_t i = 0; i < std::size(expected); ++i) {
        const auto entry = entry_of(words, i);
        EXPECT_EQ(entry.first, expected[i].first) << i;
        EXPECT_EQ(entry.last, expected[i].last) << i;
        EXPECT_EQ(entry.target, expected[i].target) << i;
        EXPECT_EQ(entry.parent, expected[i].parent) << i;
    }
    for (std::size_t free = 5; free < words.size() - 1; ++free) {
        EXPECT_EQ(entry_of(words, free).first, 0xffff) << "free words sort behind every port";
        EXPECT_EQ(entry_of(words, free).target, SLUICE_TARGET_NONE);
    }
}

TEST(Policy, MarksRuntimeBindings) {
    const Bindings bindings =
        table({"tcp 192.0.2.0/24 any -> (pass)", "tcp 192.0.2.0/24 80 -> b"}, Owner::runtime);
    const PolicyWords words = compile_policy(bindings.all(), id_of);
    EXPECT_EQ(head_of(words).fallback, SLUICE_TARGET_PASS | SLUICE_RUNTIME);
    EXPECT_EQ(entry_of(words, 0).target, 7 | SLUICE_RUNTIME);
}

TEST(Policy, IsEqualForEqualPortsWhateverThePrefix) {
    EXPECT_EQ(compiled({"tcp 192.0.2.0/24 80 -> a", "tcp 192.0.2.0/24 any -> b"}),
              compiled({"udp 2001:db8::/32 80 -> a", "udp 2001:db8::/32 any -> b"}));
    EXPECT_NE(compiled({"tcp 192.0.2.0/24 80 -> a"}), compiled({"tcp 192.0.2.0/24 80 -> b"}));
}

TEST(Policy, TakesTheBlocksThatItsHeadSays) {
    for (const unsigned count : {1U, 7U, 8U, 15U, 16U, 100U, 65535U}) {
        std::vector<Binding> list;
        for (unsigned port = 1; port <= count; ++port) {
            list.push_back(binding("tcp 192.0.2.0/24 any -> a"));
            list.back().match.ports = Ports::one(static_cast<std::uint16_t>(port));
        }
        const PolicyWords words = compile_policy(list, id_of);
        const std::size_t blocks = (count + 1 + 7) / 8;
        EXPECT_EQ(blocks_of(words), blocks);
        EXPECT_EQ(words.size(), blocks * SLUICE_BLOCK_WORDS);
        EXPECT_EQ(policy_blocks(words.front()), blocks);
        EXPECT_EQ(head_of(words).blocks, blocks);
        EXPECT_EQ(head_of(words).count, count);
    }
}

TEST(Policy, RefusesWordsThatNoCompilerWrites) {
    const PolicyWords good = compiled({"tcp 192.0.2.0/24 80-90 -> a", "tcp 192.0.2.0/24 any -> b"});
    ASSERT_TRUE(decode_policy(good));
    EXPECT_FALSE(decode_policy({})) << "nothing";
    EXPECT_FALSE(decode_policy(std::span(good).first(1))) << "fewer words than the head says";
    const auto with_head = [&](sluice_policy_head head) {
        PolicyWords words = good;
        words[0] = std::bit_cast<PolicyWord>(head);
        return decode_policy(words).has_value();
    };
    EXPECT_FALSE(with_head({8, SLUICE_TARGET_NONE, 1})) << "more entries than words";
    EXPECT_FALSE(with_head({65536, SLUICE_TARGET_NONE, 1})) << "more entries than ports";
    EXPECT_FALSE(with_head({1, SLUICE_TARGET_NONE + 1, 1})) << "an unknown target";
    EXPECT_FALSE(with_head({2, SLUICE_TARGET_NONE, 1})) << "a free word as an entry";
    const auto with_entry = [&](sluice_policy_entry entry) {
        PolicyWords words = good;
        words[1] = std::bit_cast<PolicyWord>(entry);
        return decode_policy(words).has_value();
    };
    EXPECT_TRUE(with_entry({80, 80, 7, SLUICE_NO_PARENT}));
    EXPECT_FALSE(with_entry({0, 80, 7, SLUICE_NO_PARENT})) << "port 0";
    EXPECT_FALSE(with_entry({80, 79, 7, SLUICE_NO_PARENT})) << "ends before it starts";
    EXPECT_FALSE(with_entry({80, 80, SLUICE_TARGET_NONE, SLUICE_NO_PARENT})) << "no target";
    EXPECT_FALSE(with_entry({80, 80, SLUICE_TARGETS, SLUICE_NO_PARENT})) << "an unknown target";
}

// A laminar family of ranges: every one inside an earlier one, or apart from it.
void add_ranges(std::mt19937& random, unsigned first, unsigned last, int depth,
                std::set<std::pair<unsigned, unsigned>>& ranges) {
    if (depth == 0 || first > last) return;
    const auto between = [&](unsigned low, unsigned high) {
        return low + static_cast<unsigned>(random() % (high - low + 1));
    };
    const unsigned from = between(first, last), to = between(from, std::min(last, from + 2000));
    ranges.emplace(from, to);
    add_ranges(random, from, to, depth - 1, ranges);
    if (from > first) add_ranges(random, first, from - 1, depth - 1, ranges);
    if (to < last) add_ranges(random, to + 1, last, depth - 1, ranges);
}

TEST(Policy, DecodesToTheBindingsItWasCompiledFrom) {
    const unsigned seed = 4711;
    SCOPED_TRACE("seed " + std::to_string(seed));
    std::mt19937 random(seed);
    const char* names[] = {"a", "b", "last"};
    for (int round = 0; round < 200; ++round) {
        std::set<std::pair<unsigned, unsigned>> ranges;
        add_ranges(random, 1, 65535, static_cast<int>(1 + random() % 7), ranges);
        std::vector<Binding> list;
        const auto add = [&](Ports which) {
            Binding one = binding("tcp 192.0.2.0/24 any -> a",
                                  random() % 2 == 0 ? Owner::config : Owner::runtime);
            one.match.ports = which;
            const auto kind = random() % 4;
            one.target = kind == 0   ? Target::reject()
                         : kind == 1 ? Target::pass()
                                     : Target::service(std::string(names[random() % 3]));
            list.push_back(std::move(one));
        };
        if (random() % 2 == 0) add(Ports::any());
        for (const auto& [first, last] : ranges)
            add({static_cast<std::uint16_t>(first), static_cast<std::uint16_t>(last)});
        const Bindings bindings = must(Bindings::make(list));

        const auto lines = decode_policy(compile_policy(bindings.all(), id_of));
        ASSERT_TRUE(lines);
        ASSERT_EQ(lines->size(), bindings.size());
        for (std::size_t i = 0; i < lines->size(); ++i) {
            const Binding& one = bindings.all()[i];
            const PolicyLine& line = (*lines)[i];
            ASSERT_EQ(line.ports, one.match.ports);
            ASSERT_EQ(line.owner, one.owner);
            const unsigned expected = one.target.is_service() ? id_of(*one.target.name)
                                      : one.target.kind == Target::Kind::reject
                                          ? unsigned{SLUICE_TARGET_REJECT}
                                          : unsigned{SLUICE_TARGET_PASS};
            ASSERT_EQ(line.target, expected);
        }
    }
}

}  // namespace
}  // namespace sluice

// SPDX-License-Identifier: Apache-2.0
// The index beside the tries: growth while serving, switching it off and on, restarts, and a
// million lookups in a large table.
#include <cstdlib>
#include <random>
#include <thread>

#include <gmock/gmock.h>

#include "kernel/dataplane.h"
#include "kernel/one_way_lookup.h"
#include "support/dataplane.h"
#include "support/sockets.h"
#include "support/world.h"

namespace sluice::kernel {
namespace {

using namespace sluice::testing;  // NOLINT: claims read better without prefixes

constexpr DataplaneConfig off{.index = false};

class IndexTest : public FreshWorld {
  protected:
    static bool answers(const TestPlane& plane) {
        return plane.table->answering() == Answering::index;
    }
    // `count` hosts from 10.0.0.0 on, and as many of IPv6.
    static Bindings hosts(std::uint32_t count, const std::string& service = "www") {
        const auto name = SharedText(service);
        std::vector<Binding> all;
        for (std::uint32_t i = 0; i < count; ++i)
            for (const Family family : {Family::ipv4, Family::ipv6}) {
                Address address;
                address.family = family;
                const std::size_t end = family == Family::ipv4 ? 4 : 16;
                address.bytes[0] = family == Family::ipv4 ? 10 : 0x20;
                for (std::size_t byte = 1; byte <= 3; ++byte)
                    address.bytes.at(end - byte) = static_cast<std::uint8_t>(i >> (8 * (byte - 1)));
                Binding binding;
                binding.match = {Protocol::tcp, Prefix::of(address, address.bits()), Ports::any()};
                binding.target = Target::service(name);
                all.push_back(std::move(binding));
            }
        return must(Bindings::make(std::move(all)));
    }
};

TEST_F(IndexTest, AnswersOnceAGracePeriodHasPassed) {
    TestPlane plane(bpffs());
    EXPECT_EQ(plane.table->answering(), Answering::rebuilding);
    plane.apply({"tcp 127.7.0.0/16 80 www"});
    EXPECT_TRUE(answers(plane));
    const Fd www = listen_tcp("127.0.0.1:1001");
    plane.add("www", {&www});
    EXPECT_TRUE(reaches("127.7.7.7:80", www));
    plane.settle();
    EXPECT_TRUE(reaches("127.7.7.7:80", www));
}

TEST_F(IndexTest, OffTheTriesAnswerAndOnItIsMadeFromThem) {
    TestPlane plane(bpffs());
    plane.apply({"tcp 127.7.0.0/16 80 www", "tcp 127.7.7.0/24 any (reject)"});
    const Fd www = listen_tcp("127.0.0.1:1001");
    plane.add("www", {&www});
    must(plane.table->configure(off));
    EXPECT_EQ(plane.table->answering(), Answering::off);
    EXPECT_FALSE(plane.dispatcher->maps().by_index());
    EXPECT_TRUE(reaches("127.7.8.7:80", www));
    plane.apply({"tcp 127.7.0.0/16 80 www", "tcp 127.7.8.0/24 any (reject)"});
    plane.settle();
    const auto small = IndexTable::sizes(plane.dispatcher->maps().index);
    EXPECT_LT(IndexTable::bytes(small), 4096U) << "its memory is given back";
    EXPECT_TRUE(reaches("127.7.7.7:80", www));
    must(plane.table->configure({}));
    EXPECT_EQ(plane.table->answering(), Answering::rebuilding);
    EXPECT_TRUE(reaches("127.7.7.7:80", www));
    plane.settle();
    EXPECT_TRUE(answers(plane));
    EXPECT_TRUE(reaches("127.7.7.7:80", www));
    EXPECT_EQ(dial("127.7.8.7:80"), "refused");
}

TEST_F(IndexTest, GrowsWhileServingAndKeepsCountersAndSockets) {
    TestPlane plane(bpffs());
    const Fd www = listen_tcp("127.0.0.1:1001"), first = listen_tcp("127.0.0.1:1002");
    plane.apply({"tcp 10.0.0.0/8 80 www", "tcp 127.7.0.0/16 80 first"});
    plane.add("www", {&www});
    plane.add("first", {&first});
    plane.settle();
    ASSERT_TRUE(reaches("127.7.7.7:80", first));
    const auto before = IndexTable::sizes(plane.dispatcher->maps().index);
    const std::uint32_t program = plane.dispatcher->program_id();

    std::vector<Binding> more;
    for (const Binding& each : hosts(60'000)) more.push_back(each);
    for (const Binding& each : bindings({"tcp 127.7.0.0/16 80 first"})) more.push_back(each);
    must(plane.try_apply(must(Bindings::make(std::move(more)))));
    EXPECT_EQ(plane.table->answering(), Answering::rebuilding) << "too many for the maps";
    EXPECT_TRUE(reaches("127.7.7.7:80", first)) << "by the tries";

    std::atomic<bool> stop = false;
    std::atomic<int> failures = 0, served = 0;
    std::thread client([&] {
        while (!stop) reaches("127.7.7.7:80", first) ? ++served : ++failures;
    });
    plane.settle();
    stop = true;
    client.join();
    EXPECT_EQ(failures, 0);
    EXPECT_GT(served, 0);

    EXPECT_TRUE(answers(plane));
    const auto after = IndexTable::sizes(plane.dispatcher->maps().index);
    EXPECT_GT(after.v4, before.v4);
    EXPECT_GT(after.v6, before.v6);
    EXPECT_NE(plane.dispatcher->program_id(), program);
    EXPECT_TRUE(reaches("127.7.7.7:80", first));
    const auto id = plane.services_table->id("first");
    const auto counted = must(read_counters(plane.dispatcher->maps(), id, SLUICE_TCP_V4));
    EXPECT_EQ(counted.assigned, 3U + static_cast<std::uint64_t>(served));
}

TEST_F(IndexTest, OneBindingAmongManyIsADelta) {
    TestPlane plane(bpffs());
    must(plane.try_apply(hosts(20'000)));
    plane.settle();
    ASSERT_TRUE(answers(plane));
    std::vector<Binding> more;
    for (const Binding& each : plane.running) more.push_back(each);
    for (const Binding& each : bindings({"tcp 192.0.2.1 80 other"})) more.push_back(each);
    const auto stats = must(plane.try_apply(must(Bindings::make(std::move(more)))));
    EXPECT_TRUE(answers(plane));
    EXPECT_EQ(stats.prefixes, 1U);
    EXPECT_LE(stats.map_operations, 1U);
    EXPECT_LE(stats.index_buckets, 20U);
}

TEST_F(IndexTest, TooLargeForItsMemoryTheTriesAnswer) {
    TestPlane plane(bpffs());
    must(plane.table->configure({.memory = std::uint64_t{2} << 20U}));
    must(plane.try_apply(hosts(50'000)));
    plane.settle();
    EXPECT_EQ(plane.table->answering(), Answering::too_large);
    EXPECT_LT(IndexTable::bytes(IndexTable::sizes(plane.dispatcher->maps().index)),
              std::uint64_t{2} << 20U);
    must(plane.try_apply(hosts(500)));
    plane.settle();
    EXPECT_EQ(plane.table->answering(), Answering::index) << "it has become small enough";
    must(plane.try_apply(hosts(50'000)));
    plane.settle();
    must(plane.table->configure({}));
    plane.settle();
    EXPECT_EQ(plane.table->answering(), Answering::index) << "it may be larger now";
}

TEST_F(IndexTest, TheSecondHalfIsWrittenInTurns) {
    TestPlane plane(bpffs());
    plane.apply({"tcp 127.7.0.0/16 80 www", "tcp 10.0.0.0/8 80 gone"});
    plane.settle();
    must(plane.try_apply(hosts(500)));
    must(plane.dispatcher->grace_period());
    int turns = 0;
    for (; !plane.table->settled(); ++turns) {
        EXPECT_NE(plane.dispatcher->maps().state().target, 0U) << "a crash now would be noticed";
        must(plane.table->settle(100));
    }
    EXPECT_GT(turns, 10);
    EXPECT_EQ(plane.dispatcher->maps().state().target, 0U);
    EXPECT_TRUE(answers(plane));
    const Bindings before = plane.running;
    plane.reopen();
    const auto same = [](const Binding& a, const Binding& b) { return a.same_meaning(b); };
    EXPECT_TRUE(std::ranges::equal(before, plane.running, same));
    EXPECT_EQ(plane.running.size(), 1000U);
}

// The self-check of an agent, which must find what is wrong with either.
TEST_F(IndexTest, TheSelfCheckComparesIndexAndTries) {
    Site site;
    site.directory = bpffs();
    const auto plane = must(Dataplane::open(site));
    const Bindings none, table = hosts(1000);
    const std::map<std::string, ServiceConfig> services{{"www", {}}};
    must(plane->apply({1, 0, &none, &table, &services}));
    const auto finish = [&] {
        while (plane->wants_grace()) {
            auto ticket = plane->begin_grace();
            must(plane->wait(ticket));
            must(plane->finish_grace(ticket, {"www"}));
        }
    };
    finish();
    const SelfCheck good = must(plane->self_check(table, 5000, 1));
    EXPECT_EQ(good.questions, 5000U);
    EXPECT_EQ(good.differences, 0U) << good.first;

    // One entry that only the tries have.
    auto& maps = plane->dispatcher().maps();
    sluice_key_v4 key{SLUICE_KEY_HEAD_BITS + 8, 6, {}, {10, 0, 0, 0}};
    must(maps.prefixes_v4.update(key,
                                 {{8U << SLUICE_LENGTH_SHIFT | 1, 8U << SLUICE_LENGTH_SHIFT | 1}}));
    const SelfCheck bad = must(plane->self_check(table, 5000, 1));
    EXPECT_GT(bad.differences, 0U);
    EXPECT_THAT(bad.first,
                ::testing::MatchesRegex("tcp 10.*: the index says nothing, the tries say .*"));
    must(maps.prefixes_v4.erase(key));

    must(plane->configure(off));
    EXPECT_EQ(must(plane->self_check(table, 5000, 1)).questions, 0U) << "nothing to compare";
}

// As after a kill at any point: the index is made from the tries again, at the size it had.
TEST_F(IndexTest, ARestartMakesItAgainWhateverItHeld) {
    TestPlane plane(bpffs());
    must(plane.try_apply(hosts(30'000)));
    plane.settle();
    ASSERT_TRUE(answers(plane));
    const auto sizes = IndexTable::sizes(plane.dispatcher->maps().index);
    for (sluice_index_v4& bucket : std::span(plane.dispatcher->maps().index.v4.data(), 100))
        bucket = {};
    plane.reopen();
    EXPECT_EQ(plane.table->answering(), Answering::rebuilding);
    plane.settle();
    EXPECT_TRUE(answers(plane));
    EXPECT_EQ(IndexTable::sizes(plane.dispatcher->maps().index), sizes);
    const auto index = must(OneWayLookup::load(*plane.dispatcher, Way::index));
    for (std::uint32_t i = 0; i < 30'000; ++i) {
        const Endpoint to{must(Address::parse("10.0." + std::to_string(i / 256 % 256) + "." +
                                              std::to_string(i % 256))),
                          80};
        ASSERT_EQ(must(index.target(Protocol::tcp, to, at("192.0.2.1:9"))) & SLUICE_TARGET_MASK,
                  plane.services_table->id("www"));
    }
}

// An upgrade from pins of a version that had no index.
TEST_F(IndexTest, PinsWithoutAnIndexGetOne) {
    TestPlane plane(bpffs());
    plane.apply({"tcp 127.7.0.0/16 80 www"});
    const Fd www = listen_tcp("127.0.0.1:1001");
    plane.add("www", {&www});
    must(plane.table->configure(off));
    plane.settle();
    for (const char* name : {pin::index_v4, pin::index_v6, pin::index_heads})
        ASSERT_EQ(::unlink((plane.dispatcher->directory() + "/" + name).c_str()), 0);
    plane.dispatcher->maps().state().image = 1;  // another version's
    plane.reopen();
    EXPECT_TRUE(plane.dispatcher->upgraded());
    EXPECT_TRUE(reaches("127.7.7.7:80", www));
    plane.settle();
    EXPECT_TRUE(answers(plane));
    EXPECT_TRUE(reaches("127.7.7.7:80", www));
}

}  // namespace
}  // namespace sluice::kernel

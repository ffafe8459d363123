// SPDX-License-Identifier: Apache-2.0
// While tables change, every lookup gets the answer of one whole generation.
#include <atomic>
#include <chrono>
#include <thread>

#include "kernel/lookup.h"
#include "support/dataplane.h"
#include "support/sockets.h"
#include "support/world.h"

namespace sluice::kernel {
namespace {

using namespace sluice::testing;  // NOLINT: claims read better without prefixes
using Clock = std::chrono::steady_clock;

// Two generations that a mixture of can be told from. Between the address and 10.0.0.0/9 lie
// prefixes that have no port 80, so that a lookup takes its time between the first entry and the
// last:
//
//   even    10.0.0.1/32 port 80 -> host    10.0.0.0/9 -> never: the /32 wins
//   odd     10.0.0.1/32 has no port 80     10.0.0.0/9 -> wide
//
// Who finds the odd /32 and the even /9 is handed to `never`.
std::vector<std::string> table_of(std::uint64_t generation) {
    const bool even = generation % 2 == 0;
    std::vector<std::string> lines{"tcp 10.0.0.1/32 1 (reject)"};
    for (int length = 10; length < 32; ++length)
        lines.push_back("tcp 10.0.0.0/" + std::to_string(length) + " 1 (reject)");
    lines.push_back(even ? "tcp 10.0.0.0/9 any never" : "tcp 10.0.0.0/9 any wide");
    if (even) lines.push_back("tcp 10.0.0.1/32 80 host");
    return lines;
}

// Both ways of answering: true is the index.
class RaceTest : public FreshWorld, public ::testing::WithParamInterface<bool> {
  protected:
    void SetUp() override {
        FreshWorld::SetUp();
        for (Fd* socket : {&host_, &wide_, &never_}) *socket = listen_tcp("127.0.0.1:0");
        plane_.emplace(bpffs());
        must(plane_->table->configure({.index = GetParam()}));
        plane_->apply(table_of(1));
        plane_->apply(table_of(2));
        plane_->settle();
        ASSERT_EQ(plane_->dispatcher->maps().by_index(), GetParam());
        plane_->add("host", {&host_});
        plane_->add("wide", {&wide_});
        plane_->add("never", {&never_});
        readers_stop_ = false;
        for (auto& reader : readers_) reader = std::thread([this] { read(); });
    }

    void TearDown() override {
        readers_stop_ = true;
        for (auto& reader : readers_)
            if (reader.joinable()) reader.join();
        plane_.reset();
        for (Fd* socket : {&host_, &wide_, &never_}) socket->reset();
        FreshWorld::TearDown();
    }

    void read() {
        const auto lookup = must(Lookup::open(plane_->dispatcher->directory()));
        const auto never = cookie_of(never_), host = cookie_of(host_), wide = cookie_of(wide_);
        while (!readers_stop_) {
            const auto verdict =
                must(lookup.verdict(Protocol::tcp, at("10.0.0.1:80"), at("192.0.2.1:1000")));
            ++lookups_;
            if (verdict.cookie == host) ++even_;
            if (verdict.cookie == wide) ++odd_;
            if (verdict.cookie == never || verdict.cookie == 0) ++torn_;
        }
    }

    Fd host_, wide_, never_;
    std::optional<TestPlane> plane_;
    std::array<std::thread, 2> readers_;
    std::atomic<bool> readers_stop_ = true;
    std::atomic<std::uint64_t> lookups_ = 0, even_ = 0, odd_ = 0, torn_ = 0;
};

TEST_P(RaceTest, NoLookupSeesAMixtureOfTwoGenerations) {
    const auto end = Clock::now() + std::chrono::seconds(8);
    while (Clock::now() < end || lookups_ < 200'000)
        plane_->apply(table_of(plane_->generation + 1));
    EXPECT_EQ(torn_, 0U) << "of " << lookups_;
    EXPECT_GT(even_, 0U);
    EXPECT_GT(odd_, 0U);
    EXPECT_GT(plane_->generation, 100U);
    std::cout << lookups_ << " lookups, " << plane_->generation << " generations, " << torn_
              << " mixtures\n";
}

// The control: the same without the grace period between a flip and the writing of the retired
// half.
TEST_P(RaceTest, WithoutTheGracePeriodSomeDo) {
    const auto end = Clock::now() + std::chrono::seconds(60);
    while (torn_ < 10 && Clock::now() < end) {
        const Bindings to = bindings(table_of(plane_->generation + 1));
        must(plane_->table->apply(
            {plane_->generation + 1, 0, &plane_->running, &to, &plane_->services}));
        plane_->running = to;
        ++plane_->generation;
        must(plane_->table->settle());
    }
    EXPECT_GE(torn_, 10U) << "so the test above would not notice";
    std::cout << lookups_ << " lookups, " << plane_->generation << " generations, " << torn_
              << " mixtures\n";
}

INSTANTIATE_TEST_SUITE_P(Way, RaceTest, ::testing::Bool(), [](const auto& each) {
    return each.param ? std::string("index") : std::string("tries");
});

}  // namespace
}  // namespace sluice::kernel

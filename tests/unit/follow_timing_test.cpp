// SPDX-License-Identifier: Apache-2.0
#include "core/follow_timing.h"

#include <gtest/gtest.h>

namespace sluice {
namespace {

using Cookies = std::set<std::uint64_t>;
using Pids = std::vector<std::int32_t>;

const Pids nginx{812, 813};

// The first moment from `now` on, in steps, at which a search is due.
Milliseconds due_at(const SearchSchedule& schedule, const Cookies& wanted, const Pids& pids,
                    Milliseconds now) {
    while (!schedule.due(wanted, pids, now)) now += 100;
    return now;
}

TEST(SearchSchedule, WhatIsNewIsSearchedForAtOnce) {
    SearchSchedule schedule;
    EXPECT_TRUE(schedule.due({1}, nginx, 5));
    schedule.searched({1}, nginx, 5, 0);
    EXPECT_FALSE(schedule.due({1}, nginx, 205));
    EXPECT_TRUE(schedule.due({1, 2}, nginx, 205));
    EXPECT_TRUE(schedule.due({2}, nginx, 205));
}

TEST(SearchSchedule, NothingWantedAndNobodyToSearchNeedNoSearch) {
    const SearchSchedule schedule;
    EXPECT_FALSE(schedule.due({}, nginx, 5));
    EXPECT_FALSE(schedule.due({1}, {}, 5));
}

TEST(SearchSchedule, NewProcessesMayHaveBeenHandedOldSockets) {
    SearchSchedule schedule;
    schedule.searched({1}, nginx, 0, 0);
    EXPECT_EQ(due_at(schedule, {1}, {812, 813, 814}, 0), 500);
    EXPECT_EQ(due_at(schedule, {1}, {812}, 0), 500);
}

TEST(SearchSchedule, TheSameIsSearchedForEverMoreRarelyAndNeverGivenUp) {
    SearchSchedule schedule;
    Milliseconds now = 0;
    std::vector<Milliseconds> waits;
    for (int i = 0; i < 8; ++i) {
        schedule.searched({1}, nginx, now, 0);
        const Milliseconds next = due_at(schedule, {1}, nginx, now);
        waits.push_back(next - now);
        now = next;
    }
    EXPECT_EQ(waits,
              (std::vector<Milliseconds>{1000, 2000, 4000, 8000, 16000, 32000, 32000, 32000}));
    schedule.searched({1}, {900}, now, 0);
    EXPECT_EQ(due_at(schedule, {1}, {900}, now), now + 1000) << "a change starts over";
}

TEST(SearchSchedule, ALongSearchIsFollowedByALongerRest) {
    SearchSchedule schedule;
    schedule.searched({1}, nginx, 0, 100);
    EXPECT_EQ(due_at(schedule, {1, 2}, nginx, 0), 900) << "whatever is new";
}

TEST(Refusals, EachIsToldOnceAndNotTriedWhileNothingChanges) {
    Refusals refusals;
    EXPECT_FALSE(refusals.is_waiting({"www", 1}, 0));
    EXPECT_TRUE(refusals.add({"www", 1}, "MPTCP", 0, 1000));
    EXPECT_TRUE(refusals.is_waiting({"www", 1}, 999));
    EXPECT_FALSE(refusals.is_waiting({"www", 1}, 1000));
    EXPECT_FALSE(refusals.is_waiting({"dns", 1}, 0));
    EXPECT_FALSE(refusals.add({"www", 1}, "MPTCP", 1000, 1000)) << "told already";
    EXPECT_TRUE(refusals.add({"www", 1}, "another reason", 2000, 1000));
}

TEST(Refusals, AChangeLetsThemBeTriedAgainAndNotToldAgain) {
    Refusals refusals;
    (void)refusals.add({"www", 1}, "MPTCP", 0, 1000);
    (void)refusals.add({"dns", 1}, "MPTCP", 0, 1000);
    refusals.reconsider("www");
    EXPECT_FALSE(refusals.is_waiting({"www", 1}, 1));
    EXPECT_TRUE(refusals.is_waiting({"dns", 1}, 1));
    EXPECT_FALSE(refusals.add({"www", 1}, "MPTCP", 1, 1000));
    refusals.reconsider_all();
    EXPECT_FALSE(refusals.is_waiting({"dns", 1}, 1));
}

TEST(Refusals, OfSocketsThatAreGoneAreForgotten) {
    Refusals refusals;
    for (std::uint64_t cookie = 1; cookie <= 100; ++cookie)
        (void)refusals.add({"www", cookie}, "MPTCP", 0, 1000);
    refusals.keep_only({7});
    EXPECT_EQ(refusals.size(), 1U);
    EXPECT_TRUE(refusals.contains({"www", 7}));
}

TEST(Told, EachStateIsToldOnce) {
    Told told;
    EXPECT_FALSE(told.is_news("agent", "")) << "well from the start";
    EXPECT_TRUE(told.is_news("agent", "not running"));
    EXPECT_FALSE(told.is_news("agent", "not running"));
    EXPECT_FALSE(told.is_news("list", "")) << "another subject";
    EXPECT_TRUE(told.is_news("agent", "silent"));
    EXPECT_TRUE(told.is_news("agent", "")) << "well again";
    EXPECT_FALSE(told.is_news("agent", ""));
}

}  // namespace
}  // namespace sluice

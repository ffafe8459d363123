// SPDX-License-Identifier: Apache-2.0
#include "core/event_budget.h"

#include <gtest/gtest.h>

namespace sluice {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr EventLimits limits{1000, seconds(10)};
constexpr EventBudget::Time start{};

TEST(EventBudget, ListensWhileThereAreNotTooMany) {
    EventBudget budget(limits, start);
    for (int i = 1; i <= 40; ++i) {
        budget.count(250);
        EXPECT_TRUE(budget.judge(start + milliseconds(250 * i)));
    }
}

TEST(EventBudget, RestsWhenThereAreTooManyAndTriesAgain) {
    EventBudget budget(limits, start);
    budget.count(251);
    EXPECT_FALSE(budget.judge(start + milliseconds(250)));
    EXPECT_FALSE(budget.listening());
    EXPECT_FALSE(budget.judge(start + milliseconds(10'249)));
    EXPECT_TRUE(budget.judge(start + milliseconds(10'250)));
    budget.count(251);
    EXPECT_FALSE(budget.judge(start + milliseconds(10'500))) << "still too many";
    EXPECT_TRUE(budget.judge(start + milliseconds(20'500)));
    budget.count(250);
    EXPECT_TRUE(budget.judge(start + milliseconds(20'750)));
}

TEST(EventBudget, JudgesByTheTimeThatHasPassed) {
    EventBudget budget(limits, start);
    budget.count(1000);
    EXPECT_TRUE(budget.judge(start + seconds(1)));
    budget.count(1000);
    EXPECT_FALSE(budget.judge(start + milliseconds(1500)));
}

TEST(EventBudget, RestsAtOnceWhenEventsWereLost) {
    EventBudget budget(limits, start);
    budget.overrun(start + seconds(1));
    EXPECT_FALSE(budget.listening());
    EXPECT_FALSE(budget.judge(start + seconds(2)));
    EXPECT_TRUE(budget.judge(start + seconds(11)));
}

TEST(EventBudget, WithoutALimitAboveNothingNeverListensForLong) {
    EventBudget budget({0, seconds(10)}, start);
    budget.count(1);
    EXPECT_FALSE(budget.judge(start + seconds(1)));
}

}  // namespace
}  // namespace sluice

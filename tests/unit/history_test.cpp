// SPDX-License-Identifier: Apache-2.0
// What became of generations, and where a rollback goes.
#include "core/history.h"

#include "words.h"

namespace sluice {
namespace {

using ::testing::ElementsAre;

// A history as it is made: each line a change.
struct History {
    std::vector<Record> records;

    void add(Owner owner, std::uint64_t restores = 0) {
        Record record;
        record.number = records.empty() ? 1 : records.back().number + 1;
        record.base = record.number - 1;
        record.owner = owner;
        record.restores = restores;
        records.push_back(record);
    }
    void config() { add(Owner::config); }
    void bind() { add(Owner::runtime); }
    void rollback(std::uint64_t to) { add(Owner::config, to); }
    void rollback() { rollback(rollback_target(records).value()); }

    std::vector<std::string> standings() const {
        std::vector<std::string> list;
        for (const Standing one : judge_history(records)) list.emplace_back(to_string(one));
        return list;
    }
};

TEST(History, OfChangesIsOneCurrentAndTheOthersSuperseded) {
    History history;
    history.config();
    history.config();
    history.bind();
    EXPECT_THAT(history.standings(), ElementsAre("superseded", "superseded", "current"));
    EXPECT_TRUE(judge_history({}).empty());
}

TEST(History, KnowsWhatWasRolledBackFrom) {
    History history;
    history.config();
    history.config();
    history.rollback();
    EXPECT_EQ(history.records.back().restores, 1u);
    EXPECT_THAT(history.standings(), ElementsAre("superseded", "rolled-back", "current"));
    history.config();
    EXPECT_THAT(history.standings(),
                ElementsAre("superseded", "rolled-back", "superseded", "current"));
}

TEST(History, RollingBackTwiceGoesBackTwo) {
    History history;
    for (int i = 0; i < 4; ++i) history.config();
    history.rollback();
    EXPECT_EQ(history.records.back().restores, 3u);
    history.rollback();
    EXPECT_EQ(history.records.back().restores, 2u);
    history.rollback();
    EXPECT_EQ(history.records.back().restores, 1u);
    EXPECT_EQ(rollback_target(history.records), std::nullopt) << "there is nothing before it";
    EXPECT_THAT(history.standings(),
                ElementsAre("superseded", "rolled-back", "rolled-back", "rolled-back",
                            "rolled-back", "rolled-back", "current"));
}

TEST(History, AChangeAfterARollbackIsUndoneToWhatThatBroughtBack) {
    History history;
    history.config();    // 1
    history.config();    // 2
    history.rollback();  // 3, as 1
    history.config();    // 4
    EXPECT_EQ(rollback_target(history.records), 3u) << "the newest generation of that state";
    history.rollback();  // 5, as 3, as 1
    EXPECT_EQ(rollback_target(history.records), std::nullopt);
}

TEST(History, WhatWasRolledBackFromMayBeBroughtBack) {
    History history;
    history.config();     // 1
    history.config();     // 2
    history.rollback();   // 3, as 1
    history.rollback(2);  // 4, as 2
    EXPECT_THAT(history.standings(),
                ElementsAre("superseded", "superseded", "superseded", "current"));
    EXPECT_EQ(rollback_target(history.records), 3u);
}

TEST(History, RuntimeBindingsAreNoStateToGoBackTo) {
    History history;
    history.config();  // 1
    history.bind();    // 2
    history.config();  // 3
    history.bind();    // 4
    history.bind();    // 5
    EXPECT_EQ(rollback_target(history.records), 2u) << "which has the config of 1";
    history.rollback();  // 6, the config of 1
    EXPECT_THAT(history.standings(), ElementsAre("superseded", "superseded", "rolled-back",
                                                 "superseded", "superseded", "current"));
    EXPECT_EQ(rollback_target(history.records), std::nullopt);
}

TEST(History, GoesOnFromWhatIsKept) {
    History history;
    for (int i = 0; i < 5; ++i) history.config();
    history.rollback(2);
    history.records.erase(history.records.begin(), history.records.begin() + 3);  // 4, 5, 6
    EXPECT_THAT(history.standings(), ElementsAre("superseded", "superseded", "current"))
        << "what 6 brought back is not known any more";
    History bound;
    bound.config();
    bound.bind();
    bound.config();
    bound.records.erase(bound.records.begin());
    EXPECT_EQ(rollback_target(bound.records), 2u) << "it has the config that came before it";
}

TEST(History, APendingGenerationIsTheLastOne) {
    History history;
    history.config();
    history.config();
    history.records.back().pending = true;
    history.records.back().return_to = 1;
    EXPECT_THAT(history.standings(), ElementsAre("superseded", "pending"));
}

TEST(History, SumsUpWhatChanged) {
    Record record;
    EXPECT_EQ(summary_of(record), "no binding changed");
    record.added = 9120;
    record.removed = 1;
    EXPECT_EQ(summary_of(record), "9,120 added, 1 removed");
    record.services_changed = 1;
    EXPECT_EQ(summary_of(record), "9,120 added, 1 removed, 1 service changed");
}

}  // namespace
}  // namespace sluice

// SPDX-License-Identifier: Apache-2.0
// Tables and paragraphs on a screen that is too narrow for what is in them.
#include "cli/text.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace sluice::cli {
namespace {

using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

Look screen(int width) {
    Look look;
    look.width = width;
    return look;
}

Table table(const std::vector<std::vector<std::string>>& rows) {
    Table made({{"PREFIX", false, 0, true}, {"PORT", true}, {"WHERE"}});
    for (const auto& row : rows) made.row({{row[0]}, {row[1]}, {row[2]}});
    return made;
}

TEST(Table, IsAsWideAsWhatIsInItWhenTheScreenIs) {
    EXPECT_THAT(table({{"10.0.0.0/8", "80", "a.yaml:1"}, {"2001:db8:1:2:3:4:5:6/128", "8080", "b"}})
                    .lines(screen(200)),
                ElementsAre("PREFIX                    PORT  WHERE",
                            "10.0.0.0/8                  80  a.yaml:1",
                            "2001:db8:1:2:3:4:5:6/128  8080  b"));
}

TEST(Table, ALongCellBreaksItsOwnRowAndNoOther) {
    EXPECT_THAT(table({{"10.0.0.0/8", "80", "a.yaml:1"},
                       {"2001:db8:1:2:3:4:5:6/128", "8080", "b.yaml:2"},
                       {"10.1.0.0/16", "443", "a.yaml:3"}})
                    .lines(screen(30)),
                ElementsAre("PREFIX       PORT  WHERE", "10.0.0.0/8     80  a.yaml:1",
                            "2001:db8:1:2:3:4:5:6/128", "             8080  b.yaml:2",
                            "10.1.0.0/16   443  a.yaml:3"));
}

TEST(Table, ALongLastCellGoesOnBelowAndIsBrokenAtSpaces) {
    EXPECT_THAT(table({{"10.0.0.0/8", "80", "a.yaml:1"},
                       {"10.1.0.0/16", "443", "\"moved on a Monday by us\""}})
                    .lines(screen(30)),
                ElementsAre("PREFIX       PORT  WHERE", "10.0.0.0/8     80  a.yaml:1",
                            "10.1.0.0/16   443", "        \"moved on a Monday by", "        us\""));
}

TEST(Table, CutsNothing) {
    const std::string name(100, 'n');
    const Lines lines = table({{name, "80", "a.yaml:1"}}).lines(screen(80));
    EXPECT_THAT(lines, ElementsAre("PREFIX    PORT  WHERE", name, "            80  a.yaml:1"));
    EXPECT_THAT(lines, Each(Not(HasSubstr("…"))));
}

TEST(Wrapped, KeepsAWordThatNoLineHoldsWhereItIs) {
    const std::string name(40, 'n');
    EXPECT_THAT(wrapped("service  " + name + ", a policy", 30, 9),
                ElementsAre("service  " + name + ",", "         a policy"));
}

}  // namespace
}  // namespace sluice::cli

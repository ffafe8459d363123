// SPDX-License-Identifier: Apache-2.0
// Runs of cells: first fit, held against a bitmap.
#include "core/range_allocator.h"

#include <algorithm>
#include <random>

#include "words.h"

namespace sluice {
namespace {

TEST(RangeAllocator, TakesTheFirstRunThatIsLongEnough) {
    RangeAllocator cells(1, 11);
    EXPECT_EQ(cells.available(), 10u);
    EXPECT_EQ(cells.take(4), 1u);
    EXPECT_EQ(cells.take(4), 5u);
    EXPECT_EQ(cells.take(3), std::nullopt) << "two cells are left";
    EXPECT_EQ(cells.take(2), 9u);
    EXPECT_EQ(cells.available(), 0u);
    EXPECT_EQ(cells.take(1), std::nullopt);
}

TEST(RangeAllocator, NeighbouringFreeRunsBecomeOne) {
    RangeAllocator cells(0, 9);
    for (std::uint32_t first = 0; first < 9; first += 3) ASSERT_EQ(cells.take(3), first);
    cells.give_back(0, 3);
    cells.give_back(6, 3);
    EXPECT_EQ(cells.take(4), std::nullopt);
    cells.give_back(3, 3);
    EXPECT_EQ(cells.take(9), 0u);
}

TEST(RangeAllocator, ClaimsExactlyWhatIsFree) {
    RangeAllocator cells(10, 20);
    EXPECT_FALSE(cells.claim(9, 2)) << "before the first";
    EXPECT_FALSE(cells.claim(19, 2)) << "behind the last";
    EXPECT_FALSE(cells.claim(0, 5));
    EXPECT_TRUE(cells.claim(13, 4));
    EXPECT_FALSE(cells.claim(13, 4)) << "twice";
    EXPECT_FALSE(cells.claim(16, 1));
    EXPECT_FALSE(cells.claim(12, 2));
    EXPECT_EQ(cells.available(), 6u);
    EXPECT_EQ(cells.take(3), 10u);
    EXPECT_EQ(cells.take(3), 17u);
}

TEST(RangeAllocator, ClaimsNothingBeyondTheLastNumber) {
    RangeAllocator cells(0, 100);
    EXPECT_FALSE(cells.claim(50, 0xffffffff)) << "their sum wraps around";
    EXPECT_EQ(cells.available(), 100u);
}

TEST(RangeAllocator, OfNothingHasNothing) {
    RangeAllocator cells(5, 5);
    EXPECT_EQ(cells.available(), 0u);
    EXPECT_EQ(cells.take(1), std::nullopt);
    EXPECT_FALSE(cells.claim(5, 1));
}

class Bitmap {
  public:
    Bitmap(std::size_t first, std::size_t end) : taken_(end, false) {
        std::fill_n(taken_.begin(), first, true);
    }
    std::optional<std::uint32_t> take(std::uint32_t count) {
        for (std::uint32_t first = 0; first + count <= taken_.size(); ++first)
            if (claim(first, count)) return first;
        return std::nullopt;
    }
    bool claim(std::uint32_t first, std::uint32_t count) {
        if (first + count > taken_.size()) return false;
        const auto begin = taken_.begin() + first;
        if (std::find(begin, begin + count, true) != begin + count) return false;
        std::fill_n(begin, count, true);
        return true;
    }
    void give_back(std::uint32_t first, std::uint32_t count) {
        std::fill_n(taken_.begin() + first, count, false);
    }
    std::uint64_t available() const {
        return static_cast<std::uint64_t>(std::count(taken_.begin(), taken_.end(), false));
    }

  private:
    std::vector<bool> taken_;
};

TEST(RangeAllocator, AgreesWithABitmapWhateverIsDone) {
    const unsigned seed = 99;
    SCOPED_TRACE("seed " + std::to_string(seed));
    std::mt19937 random(seed);
    for (int round = 0; round < 20; ++round) {
        RangeAllocator cells(3, 200);
        Bitmap bitmap(3, 200);
        std::vector<std::pair<std::uint32_t, std::uint32_t>> runs;
        for (int step = 0; step < 500; ++step) {
            const auto count = static_cast<std::uint32_t>(1 + random() % 12);
            const auto what = random() % 5;
            if (what < 2) {
                const auto first = cells.take(count);
                ASSERT_EQ(first, bitmap.take(count));
                if (first) runs.emplace_back(*first, count);
            } else if (what == 2) {
                const auto first = static_cast<std::uint32_t>(random() % 205);
                const bool got = cells.claim(first, count);
                ASSERT_EQ(got, bitmap.claim(first, count)) << first << " " << count;
                if (got) runs.emplace_back(first, count);
            } else if (!runs.empty()) {
                std::swap(runs[random() % runs.size()], runs.back());
                cells.give_back(runs.back().first, runs.back().second);
                bitmap.give_back(runs.back().first, runs.back().second);
                runs.pop_back();
            }
            ASSERT_EQ(cells.available(), bitmap.available());
        }
    }
}

}  // namespace
}  // namespace sluice

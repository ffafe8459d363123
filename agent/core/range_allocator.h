// SPDX-License-Identifier: Apache-2.0
// Runs of cells in an array of fixed size: first fit, coalescing. Policies and member lists live
// so.
#pragma once

#include <cstdint>
#include <map>
#include <optional>

namespace sluice {

class RangeAllocator {
  public:
    // Cells first .. end-1 are free.
    RangeAllocator(std::uint32_t first, std::uint32_t end) {
        if (first < end) free_[first] = end;
    }

    // The first cell of a run of `count` > 0 free cells, now taken; nothing when no run is long
    // enough.
    std::optional<std::uint32_t> take(std::uint32_t count) {
        for (auto run = free_.begin(); run != free_.end(); ++run) {
            const auto [first, end] = *run;
            if (end - first < count) continue;
            free_.erase(run);
            if (first + count < end) free_[first + count] = end;
            return first;
        }
        return std::nullopt;
    }

    // Takes exactly these cells, as a restarted agent finds them in use; false if any is taken.
    bool claim(std::uint32_t first, std::uint32_t count) {
        auto run = free_.upper_bound(first);
        if (run == free_.begin()) return false;
        const auto [from, end] = *--run;
        if (first >= end || end - first < count) return false;
        free_.erase(run);
        if (from < first) free_[from] = first;
        if (first + count < end) free_[first + count] = end;
        return true;
    }

    // Cells that were taken. Neighbouring free runs become one.
    void give_back(std::uint32_t first, std::uint32_t count) {
        std::uint32_t end = first + count;
        auto next = free_.lower_bound(first);
        if (next != free_.end() && next->first == end) {
            end = next->second;
            next = free_.erase(next);
        }
        if (next != free_.begin() && std::prev(next)->second == first)
            std::prev(next)->second = end;
        else
            free_[first] = end;
    }

    std::uint64_t available() const {
        std::uint64_t cells = 0;
        for (const auto& [first, end] : free_) cells += end - first;
        return cells;
    }

  private:
    std::map<std::uint32_t, std::uint32_t> free_;  // first -> end, no two touching
};

}  // namespace sluice

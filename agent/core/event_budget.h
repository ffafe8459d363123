// SPDX-License-Identifier: Apache-2.0
// How long to listen to events that cost whoever makes them: not while there are too many.
#pragma once

#include <chrono>
#include <cstddef>

namespace sluice {

struct EventLimits {
    double per_second = 4000;       // more than these, and nobody listens for a while
    std::chrono::seconds rest{10};  // so long
};

class EventBudget {
  public:
    using Time = std::chrono::steady_clock::time_point;

    EventBudget(EventLimits limits, Time now) : limits_(limits), since_(now) {}

    void count(std::size_t events) { events_ += static_cast<double>(events); }
    // Judges the time since the last call; call it a few times a second. Whether to listen now.
    bool judge(Time now) {
        if (!listening_) {
            if (now < resume_) return false;
            listening_ = true;  // for a while, to see how many there are
        } else if (events_ > limits_.per_second * seconds(now - since_)) {
            listening_ = false;
            resume_ = now + limits_.rest;
        }
        since_ = now;
        events_ = 0;
        return listening_;
    }
    bool listening() const { return listening_; }
    // What came could not be counted: as good as too many.
    void overrun(Time now) {
        listening_ = false;
        resume_ = now + limits_.rest;
        events_ = 0;
    }

  private:
    static double seconds(std::chrono::steady_clock::duration time) {
        return std::chrono::duration<double>(time).count();
    }
    EventLimits limits_;
    Time since_;
    Time resume_{};
    double events_ = 0;
    bool listening_ = true;
};

}  // namespace sluice

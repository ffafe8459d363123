// SPDX-License-Identifier: Apache-2.0
// When a follower does what costs something, or says something, again. Time is passed in.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace sluice {

using Milliseconds = std::int64_t;  // since some moment that stays the same

// When to search the descriptors of a unit's processes for sockets that are wanted. At once when
// something new is wanted; soon when the unit has other processes, which may have been handed old
// sockets; otherwise ever more rarely, since the sockets are somebody else's, most likely. Never
// more than a tenth of the time: a search takes as long as the unit has descriptors.
class SearchSchedule {
  public:
    bool due(const std::set<std::uint64_t>& wanted, const std::vector<std::int32_t>& processes,
             Milliseconds now) const;
    // `took`: the time from the beginning of the search to `now`.
    void searched(std::set<std::uint64_t> wanted, std::vector<std::int32_t> processes,
                  Milliseconds now, Milliseconds took);

  private:
    std::set<std::uint64_t> wanted_;  // the last search's
    std::vector<std::int32_t> processes_;
    Milliseconds at_ = 0;
    Milliseconds rest_ = 0;  // until anything is searched for again
    Milliseconds wait_ = 0;  // until the same is
};

// Registrations that failed, so that each is told once, and not tried again while nothing changes.
class Refusals {
  public:
    using Key = std::pair<std::string, std::uint64_t>;  // service, cookie

    bool contains(const Key& key) const { return all_.contains(key); }
    bool is_waiting(const Key& key, Milliseconds now) const;
    // True when it is to be told: another reason than the last time.
    bool add(const Key& key, const std::string& reason, Milliseconds now, Milliseconds wait);
    // Something changed that may let them succeed: for one service, or for all.
    void reconsider(const std::string& service);
    void reconsider_all();
    void forget(const Key& key) { all_.erase(key); }
    // Sockets that are gone are not told about again.
    void keep_only(const std::set<std::uint64_t>& cookies);
    std::size_t size() const { return all_.size(); }

  private:
    struct Refusal {
        std::string reason;
        Milliseconds until = 0;
    };
    std::map<Key, Refusal> all_;
};

// Tells each state of a subject once.
class Told {
  public:
    // True when it is another text than the last about this subject; "" is the state of nothing to
    // tell.
    bool is_news(const std::string& subject, const std::string& text);

  private:
    std::map<std::string, std::string> last_;
};

}  // namespace sluice

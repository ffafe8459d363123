// SPDX-License-Identifier: Apache-2.0
#include "core/follow_timing.h"

#include <algorithm>

namespace sluice {
namespace {

constexpr Milliseconds other_processes = 500;  // a unit may fork all the time
constexpr Milliseconds rest_for_work = 9;      // times as long
constexpr Milliseconds first_wait = 1'000;
constexpr Milliseconds longest_wait = 32'000;

}  // namespace

bool SearchSchedule::due(const std::set<std::uint64_t>& wanted,
                         const std::vector<std::int32_t>& processes, Milliseconds now) const {
    if (wanted.empty() || processes.empty() || now - at_ < rest_) return false;
    if (!std::ranges::includes(wanted_, wanted)) return true;
    if (processes != processes_) return now - at_ >= other_processes;
    return now - at_ >= wait_;
}

void SearchSchedule::searched(std::set<std::uint64_t> wanted, std::vector<std::int32_t> processes,
                              Milliseconds now, Milliseconds took) {
    const bool same = std::ranges::includes(wanted_, wanted) && processes == processes_;
    wait_ = same ? std::min(2 * wait_, longest_wait) : first_wait;
    wanted_ = std::move(wanted);
    processes_ = std::move(processes);
    at_ = now;
    rest_ = rest_for_work * took;
}

bool Refusals::is_waiting(const Key& key, Milliseconds now) const {
    const auto at = all_.find(key);
    return at != all_.end() && now < at->second.until;
}

bool Refusals::add(const Key& key, const std::string& reason, Milliseconds now, Milliseconds wait) {
    Refusal& refusal = all_[key];
    refusal.until = now + wait;
    if (refusal.reason == reason) return false;
    refusal.reason = reason;
    return true;
}

void Refusals::reconsider(const std::string& service) {
    for (auto& [key, refusal] : all_)
        if (key.first == service) refusal.until = 0;
}

void Refusals::reconsider_all() {
    for (auto& [key, refusal] : all_) refusal.until = 0;
}

void Refusals::keep_only(const std::set<std::uint64_t>& cookies) {
    std::erase_if(all_, [&](const auto& each) { return !cookies.contains(each.first.second); });
}

bool Told::is_news(const std::string& subject, const std::string& text) {
    const auto at = last_.find(subject);
    if ((at == last_.end() ? "" : at->second) == text) return false;
    if (text.empty())
        last_.erase(at);
    else
        last_[subject] = text;
    return true;
}

}  // namespace sluice

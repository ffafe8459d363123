// SPDX-License-Identifier: Apache-2.0
#include "follow/follower.h"

#include <algorithm>
#include <iterator>

#include <spdlog/spdlog.h>

#include "core/registered_socket.h"
#include "sys/process.h"

namespace sluice {
namespace {

constexpr Milliseconds question_period = 1'000;
constexpr Milliseconds refused_wait = 600'000;  // what refused it seldom changes unseen
constexpr Milliseconds failed_wait = 5'000;
constexpr Milliseconds starting = 5'000;  // a unit has not made its sockets yet
constexpr std::size_t in_one_call = 200;  // descriptors; SCM_MAX_FD is 253
constexpr std::size_t most_told = 8;      // sockets in one line of the log

constexpr std::array all_kinds = {
    std::pair(Protocol::tcp, Family::ipv4), std::pair(Protocol::tcp, Family::ipv6),
    std::pair(Protocol::udp, Family::ipv4), std::pair(Protocol::udp, Family::ipv6)};

// "nginx.service: tcp 0.0.0.0 443, tcp :: 443"
std::string rule_words(const FollowedService& service) {
    std::string text;
    for (const FollowRule& rule : service.rules)
        text += (text.empty() ? "" : "; ") + rule.unit + ": " + to_string(rule.listen);
    return text;
}

bool same_state(const FollowedService& a, const FollowedService& b) {
    return a.rules == b.rules &&
           std::ranges::equal(
               a.sockets, b.sockets, {}, [](const auto& each) { return each.first; },
               [](const auto& each) { return each.first; });
}

// "tcp 0.0.0.0 443 (1f4, nginx[812])"
std::string socket_words(const Taking& taking) {
    const std::int32_t pid = taking.holder.pid;
    return to_string(taking.wanted.socket.local) + " (" + cookie_text(taking.wanted.socket.cookie) +
           ", " + command_of(pid).value_or("?") + "[" + std::to_string(pid) + "])";
}

}  // namespace

Follower::Follower(std::string control, std::string cgroup_root)
    : agent_(std::move(control)), cgroup_root_(std::move(cgroup_root)) {}

void Follower::tick(Milliseconds now) {
    const bool asking = now >= next_question_;
    if (asking) {
        next_question_ = now + question_period;
        if (!ask_agent()) services_.clear();
    }
    if (services_.empty()) return;
    const auto all = list(kinds_of(services_));
    if (!all) return;
    const Listed listed = keep_named(*all, services_);
    if (asking) note_closed(listed);
    note_followed(listed);
    const UnitProcessIds processes = asking ? processes_of_units() : UnitProcessIds();
    bring_in_step(listed, processes, now);
    if (asking) tell_unmatched(listed, processes, now);
}

bool Follower::ask_agent() {
    auto reply = agent_.call("Following", Json::object());
    auto services = reply ? parse_following(*reply) : std::unexpected(reply.error());
    const std::string problem = services ? "" : services.error().message();
    if (told_.is_news("agent", problem)) {
        if (problem.empty())
            spdlog::info("the agent answers again");
        else
            spdlog::warn("{}; what is registered goes on, new sockets wait", problem);
    }
    if (!services) return false;
    take_over(std::move(*services));
    return true;
}

// The agent's word, in place of what we thought.
void Follower::take_over(std::vector<FollowedService> services) {
    const bool other_agent = std::exchange(connection_, agent_.connections()) != connection_;
    if (other_agent) refusals_.reconsider_all();
    for (const FollowedService& service : services) {
        const auto old = std::ranges::find(services_, service.name, &FollowedService::name);
        if (old == services_.end() || !same_state(*old, service))
            refusals_.reconsider(service.name);
        if (!told_.is_news("rules of " + service.name, rule_words(service))) continue;
        spdlog::info("'{}' follows {}", service.name, rule_words(service));
        followed_.try_emplace(service.name);
    }
    std::erase_if(followed_, [&](const auto& each) {
        const std::string& name = each.first;
        if (std::ranges::find(services, name, &FollowedService::name) != services.end())
            return false;
        told_.is_news("rules of " + name, "");
        spdlog::info("'{}' follows no unit any more; the sockets it has go on", name);
        return true;
    });
    services_ = std::move(services);
}

std::optional<Follower::Listed> Follower::list(const std::set<std::pair<Protocol, Family>>& kinds) {
    Listed all;
    for (const auto& [protocol, family] : kinds) {
        auto opened = sockets_ ? Result<>() : [&]() -> Result<> {
            auto fresh = SocketList::open();
            if (!fresh) return pass_on(fresh);
            sockets_ = std::move(*fresh);
            return {};
        }();
        auto some = opened ? sockets_->list(protocol, family) : std::unexpected(opened.error());
        if (told_.is_news("list", some ? "" : some.error().message()) && !some)
            spdlog::error("{}", some.error().message());
        if (!some) {
            sockets_.reset();  // half an answer may still be in it
            return std::nullopt;
        }
        std::ranges::move(*some, std::back_inserter(all));
    }
    return all;
}

// "" while the unit does not run.
std::string Follower::group_of(const std::string& unit) {
    auto group = find_unit(cgroup_root_, unit);
    if (told_.is_news("group of " + unit, group ? "" : group.error().message()) && !group)
        spdlog::error("{}: {}", unit, group.error().message());
    return group ? group->value_or("") : "";
}

UnitProcessIds Follower::processes_of_units() {
    UnitProcessIds processes;
    for (const FollowedService& service : services_)
        for (const FollowRule& rule : service.rules) {
            if (processes.contains(rule.unit)) continue;
            const std::string group = group_of(rule.unit);
            processes[rule.unit] =
                group.empty() ? std::vector<std::int32_t>() : processes_of(group);
        }
    return processes;
}

void Follower::search(const std::vector<Wanted>& wanted, Milliseconds now) {
    searches_.clear();
    std::map<std::string, std::vector<const Wanted*>> by_unit;
    for (const Wanted& each : wanted) by_unit[each.unit].push_back(&each);
    std::erase_if(schedules_, [&](const auto& each) { return !by_unit.contains(each.first); });
    for (const auto& [unit, its] : by_unit) {
        const std::string group = group_of(unit);
        if (group.empty()) continue;
        std::set<std::uint64_t> cookies, inodes;
        for (const Wanted* each : its) {
            cookies.insert(each->socket.cookie);
            inodes.insert(each->socket.inode);
        }
        auto processes = processes_of(group);
        SearchSchedule& schedule = schedules_[unit];
        if (!schedule.due(cookies, processes, now)) continue;
        const auto begun = std::chrono::steady_clock::now();
        const auto looked = searches_[unit].look_into(group, std::move(inodes));
        const auto took = std::chrono::duration_cast<std::chrono::milliseconds>(
            std::chrono::steady_clock::now() - begun);
        schedule.searched(std::move(cookies), std::move(processes), now + took.count(),
                          took.count());
        if (told_.is_news("search of " + unit, looked ? "" : looked.error().message()) && !looked)
            spdlog::error("{}: {}", unit, looked.error().message());
    }
}

void Follower::bring_in_step(const Listed& listed, const UnitProcessIds& processes,
                             Milliseconds now) {
    Gaps gaps = find_gaps(services_, listed, processes);
    for (const Overlap& each : gaps.overlaps)
        if (refusals_.add({each.service, each.socket.cookie}, "serves '" + each.serves + "'", now,
                          failed_wait))
            spdlog::warn("'{}' goes without {} ({}): it serves '{}', and a socket serves one",
                         each.service, to_string(each.socket.local),
                         cookie_text(each.socket.cookie), each.serves);
    std::erase_if(gaps.wanted, [&](const Wanted& each) {
        return refusals_.is_waiting({each.service, each.socket.cookie}, now);
    });
    search(gaps.wanted, now);
    std::map<std::string, Holders> holders;
    for (const auto& [unit, search] : searches_) holders[unit] = search.found();
    const auto takings = find_takings(gaps.wanted, holders);
    for (FollowedService& service : services_) {
        std::vector<Taking> its;
        std::ranges::copy_if(takings, std::back_inserter(its), [&](const Taking& taking) {
            return taking.wanted.service == service.name;
        });
        serve(service, take(its), now);
    }
    searches_.clear();  // nothing of other processes is kept open
    std::set<std::uint64_t> cookies;
    for (const ListedSocket& socket : listed) cookies.insert(socket.cookie);
    refusals_.keep_only(cookies);
}

std::vector<Follower::Offered> Follower::take(const std::vector<Taking>& takings) {
    std::vector<Offered> offered;
    for (const Taking& taking : takings) {
        auto fd = searches_.at(taking.wanted.unit).take(taking);
        if (told_.is_news("taking from " + taking.wanted.unit, fd ? "" : fd.error().message()) &&
            !fd)
            spdlog::error("{}: {}", taking.wanted.unit, fd.error().message());
        if (fd && *fd) offered.push_back({taking, std::move(*fd)});
    }
    return offered;
}

void Follower::serve(FollowedService& service, std::vector<Offered> offered, Milliseconds now) {
    const bool coming = std::ranges::any_of(
        offered, [](const Offered& each) { return !each.taking.wanted.registered; });
    const Leaving leaving = find_leaving(service, followed_[service.name], coming);
    if (!leaving.cookies.empty())
        spdlog::info("{} socket(s) of '{}' leave: no rule names them any more",
                     leaving.cookies.size(), service.name);
    if (!leaving.replace)
        for (const std::uint64_t cookie : leaving.cookies) {
            // One that has closed meanwhile is out as well.
            (void)agent_.call("Unregister",
                              {{"service", service.name}, {"cookie", cookie_text(cookie)}});
            service.sockets.erase(cookie);
            followed_[service.name].erase(cookie);
        }
    bool replace = leaving.replace;
    for (std::span<const Offered> rest = offered; !rest.empty();) {
        const auto some = rest.first(std::min(rest.size(), in_one_call));
        rest = rest.subspan(some.size());
        if (enlist(service, some, replace, now)) {
            replace = false;
            continue;
        }
        if (some.size() == 1) continue;
        for (const Offered& one : some)  // one that is refused stands in no other's way
            if (enlist(service, {&one, 1}, replace, now)) replace = false;
    }
}

bool Follower::enlist(FollowedService& service, std::span<const Offered> offered, bool replace,
                      Milliseconds now) {
    std::vector<int> fds;
    Json indexes = Json::array(), pids = Json::array();
    for (const Offered& each : offered) {
        indexes.push_back(fds.size());
        fds.push_back(each.fd.get());
        pids.push_back(each.taking.holder.pid);
    }
    auto reply = agent_.call("Register",
                             {{"service", service.name},
                              {"sockets", std::move(indexes)},
                              {"mode", replace ? "replace" : "add"},
                              {"pids", std::move(pids)}},
                             fds);
    if (reply) {
        if (replace) {
            service.sockets.clear();
            followed_[service.name].clear();
        }
        enlisted(service, offered);
        return true;
    }
    const Error& error = reply.error();
    // Told when the agent is asked next, and tried again when it answers.
    if (error.failure() == Failure::unreachable || offered.size() > 1) return false;
    const Taking& taking = offered.front().taking;
    const bool refused = error.failure() == Failure::refused;
    if (refusals_.add({service.name, taking.wanted.socket.cookie}, error.message(), now,
                      refused ? refused_wait : failed_wait))
        spdlog::warn("'{}' goes without {} of {}: {}{}", service.name, socket_words(taking),
                     taking.wanted.unit, error.message(),
                     error.hint().empty() ? "" : "; " + error.hint());
    return false;
}

void Follower::enlisted(FollowedService& service, std::span<const Offered> offered) {
    // By unit, and whether they are new or only another process's now.
    std::map<std::pair<std::string, bool>, std::vector<const Taking*>> groups;
    for (const auto& [taking, fd] : offered) {
        const ListedSocket& socket = taking.wanted.socket;
        service.sockets[socket.cookie] = taking.holder.pid;
        followed_[service.name][socket.cookie] = socket.local;
        refusals_.forget({service.name, socket.cookie});
        groups[{taking.wanted.unit, taking.wanted.registered}].push_back(&taking);
    }
    for (const auto& [group, takings] : groups) {
        std::string words;
        for (std::size_t i = 0; i < std::min(takings.size(), most_told); ++i)
            words += (i == 0 ? "" : ", ") + socket_words(*takings[i]);
        if (takings.size() > most_told) words += ", …";
        spdlog::info("'{}' {} {} socket(s) of {}: {}", service.name, group.second ? "keeps" : "got",
                     takings.size(), group.first, words);
    }
}

// What is registered and what a rule names came by that rule, whoever registered it.
void Follower::note_followed(const Listed& listed) {
    for (const FollowedService& service : services_)
        for (const ListedSocket& socket : listed)
            if (service.sockets.contains(socket.cookie) && names(service, socket.local))
                followed_[service.name][socket.cookie] = socket.local;
}

// Sockets that left a service because their owner closed them.
void Follower::note_closed(const Listed& listed) {
    for (const FollowedService& service : services_) {
        std::size_t closed = 0;
        std::erase_if(followed_[service.name], [&](const auto& each) {
            if (service.sockets.contains(each.first)) return false;
            if (std::ranges::find(listed, each.first, &ListedSocket::cookie) == listed.end())
                ++closed;
            return true;
        });
        if (closed != 0) spdlog::info("{} socket(s) of '{}' were closed", closed, service.name);
    }
}

void Follower::tell_unmatched(const Listed& listed, const UnitProcessIds& processes,
                              Milliseconds now) {
    for (const FollowedService& service : services_)
        for (const FollowRule& rule : service.rules) {
            auto missing = unmatched(service, rule, listed);
            // What was refused has been told.
            for (const ListedSocket& socket : listed)
                if (refusals_.contains({service.name, socket.cookie}))
                    std::erase(missing, socket.local);
            const std::string subject = service.name + " and " + rule.unit;
            if (missing.empty()) {
                unmatched_since_.erase(subject);
                told_.is_news(subject, "");
                continue;
            }
            const auto since = unmatched_since_.try_emplace(subject, now).first->second;
            const bool runs = !processes.at(rule.unit).empty();
            if (runs && now - since < starting) continue;
            if (!told_.is_news(subject, to_string(missing) + (runs ? " of it" : ""))) continue;
            spdlog::info("'{}' waits for {}: {}", service.name, to_string(missing),
                         why_unmatched(rule.unit, runs));
        }
}

std::string Follower::why_unmatched(const std::string& unit, bool runs) {
    if (!runs) return unit + " is not running";
    const auto all = list({all_kinds.begin(), all_kinds.end()});
    const auto has = listening_in(group_of(unit), all ? *all : Listed(), most_told);
    return unit + " runs, and " +
           (has.empty() ? "listens on nothing here" : "listens on " + to_string(has));
}

}  // namespace sluice

// SPDX-License-Identifier: Apache-2.0
// Keeps the sockets of services in step with units: asks the agent for the rules, the kernel for
// the sockets, and registers those that a rule names and a unit holds.
//
// Nothing announces a new listener, so the kernel's list of them is read every tick; that costs
// microseconds, however many connections there are. Only when it has a socket that a rule names and
// no service has are processes looked into. The agent is asked once a second: what it has
// registered is compared with what there is, so nothing has to be remembered or replayed after a
// restart of either.
#pragma once

#include <chrono>
#include <map>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "core/follow.h"
#include "core/follow_timing.h"
#include "follow/agent_link.h"
#include "follow/unit_search.h"
#include "sys/socket_list.h"

namespace sluice {

class Follower {
  public:
    // `control`: the agent's socket. `cgroup_root`: where units are looked for (sys/cgroup.h).
    Follower(std::string control, std::string cgroup_root);

    static constexpr std::chrono::milliseconds period{200};
    // Brings everything in step, as far as it can. Call it every `period`.
    void tick(Milliseconds now);

  private:
    using Listed = std::vector<ListedSocket>;
    struct Offered {  // taken, and not yet registered
        Taking taking;
        Fd fd;
    };

    // The agent.
    bool ask_agent();
    void take_over(std::vector<FollowedService> services);

    // The kernel.
    std::optional<Listed> list(const std::set<std::pair<Protocol, Family>>& kinds);
    std::string group_of(const std::string& unit);
    UnitProcessIds processes_of_units();
    void search(const std::vector<Wanted>& wanted, Milliseconds now);
    std::vector<Offered> take(const std::vector<Taking>& takings);

    // What follows.
    void bring_in_step(const Listed& listed, const UnitProcessIds& processes, Milliseconds now);
    void serve(FollowedService& service, std::vector<Offered> offered, Milliseconds now);
    bool enlist(FollowedService& service, std::span<const Offered> offered, bool replace,
                Milliseconds now);
    void enlisted(FollowedService& service, std::span<const Offered> offered);
    void note_followed(const Listed& listed);
    void note_closed(const Listed& listed);
    void tell_unmatched(const Listed& listed, const UnitProcessIds& processes, Milliseconds now);
    std::string why_unmatched(const std::string& unit, bool runs);

    AgentLink agent_;
    std::size_t connection_ = 0;  // the one that services_ came by
    std::string cgroup_root_;
    std::optional<SocketList> sockets_;
    Milliseconds next_question_ = 0;

    std::vector<FollowedService> services_;  // as the agent said last, by name
    // What was registered by a rule, of each service: cookie -> what it is bound to.
    std::map<std::string, std::map<std::uint64_t, ListenTriple>> followed_;

    std::map<std::string, SearchSchedule> schedules_;  // by unit
    std::map<std::string, UnitSearch> searches_;       // by unit; of this tick
    Refusals refusals_;
    std::map<std::string, Milliseconds> unmatched_since_;  // by service and unit
    Told told_;
};

}  // namespace sluice

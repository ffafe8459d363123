// SPDX-License-Identifier: Apache-2.0
// Services whose sockets are kept in step with systemd units: which sockets the rules name, which
// of them a service lacks, and whose they are. Lists in, decisions out; nothing here asks the
// kernel.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include "core/config.h"
#include "core/listen.h"

namespace sluice {

using Json = nlohmann::json;

// A TCP listener or an unconnected UDP socket of the host, as sock_diag(7) lists it.
struct ListedSocket {
    ListenTriple local;
    std::uint64_t cookie = 0;  // SO_COOKIE
    std::uint64_t inode = 0;   // as in /proc/PID/fd
    bool operator==(const ListedSocket&) const = default;
};

// A service with `sockets:` rules, and what is registered for it.
struct FollowedService {
    std::string name;
    std::vector<FollowRule> rules;
    std::map<std::uint64_t, std::int32_t> sockets{};  // cookie -> pid of the owner, 0 if unknown
    bool operator==(const FollowedService&) const = default;
};

// The reply of the method Following, both ways.
Json to_json(const FollowedService& service);
Result<std::vector<FollowedService>> parse_following(const Json& reply);

// The lists of sockets that have to be looked at.
std::set<std::pair<Protocol, Family>> kinds_of(const std::vector<FollowedService>& services);

// Protocol, address and port must all be equal: a rule never takes its neighbour.
bool names(const FollowRule& rule, const ListenTriple& local);
bool names(const FollowedService& service, const ListenTriple& local);
// Of many sockets, those that any rule names.
std::vector<ListedSocket> keep_named(std::vector<ListedSocket> listed,
                                     const std::vector<FollowedService>& services);

// A socket that a rule names, and that its service has not got; or has got from a process that is
// not the unit's (any more).
struct Wanted {
    std::string service;
    std::string unit;
    ListedSocket socket;
    bool registered = false;
    bool operator==(const Wanted&) const = default;
};
// A socket that two followed services ask for: it can serve one.
struct Overlap {
    std::string service;
    std::string serves;  // the service that has it
    ListedSocket socket;
};
struct Gaps {
    std::vector<Wanted> wanted;  // by service; whose they are is not known yet
    std::vector<Overlap> overlaps;
};
// `processes`: of each unit, those that run; a unit that is not named is not judged.
using UnitProcessIds = std::map<std::string, std::vector<std::int32_t>>;
Gaps find_gaps(const std::vector<FollowedService>& services,
               const std::vector<ListedSocket>& listed, const UnitProcessIds& processes);

// Where a socket was found in a unit: the process that has it longest.
struct Holder {
    std::int32_t pid = 0;
    int descriptor = -1;  // its number in that process
    bool operator==(const Holder&) const = default;
};
using Holders = std::map<std::uint64_t, Holder>;  // by inode

struct Taking {
    Wanted wanted;
    Holder holder;
};
// Of what is wanted, the part that the units hold. Each socket once: for the first that wants it.
// What is registered already is taken only to say whose it is now.
std::vector<Taking> find_takings(const std::vector<Wanted>& wanted,
                                 const std::map<std::string, Holders>& by_unit);

// Sockets of the service that came by a rule, and that no rule names any more. They leave when
// there are others to serve in their place: a config that is quicker than the unit empties no
// service.
struct Leaving {
    std::vector<std::uint64_t> cookies;
    // They are all there is, so those that come can replace them in one step.
    bool replace = false;
};
// `followed`: what came by rules, and what it is bound to. `coming`: whether new ones are at hand.
Leaving find_leaving(const FollowedService& service,
                     const std::map<std::uint64_t, ListenTriple>& followed, bool coming);

// Triples of the rule that no socket of the service is at.
std::vector<ListenTriple> unmatched(const FollowedService& service, const FollowRule& rule,
                                    const std::vector<ListedSocket>& listed);

}  // namespace sluice

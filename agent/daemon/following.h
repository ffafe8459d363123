// SPDX-License-Identifier: Apache-2.0
// What the follower is told, and whether there is one: services whose sockets follow units.
#pragma once

#include <string>
#include <vector>

#include "core/follow.h"
#include "daemon/agent.h"

namespace sluice {

// Services with `sockets:` rules, by name, with what is registered for them now.
std::vector<FollowedService> followed_services(const Agent& agent);

// What status says when there are such services and nobody has asked for them lately; "" otherwise.
std::string following_problem(const Agent& agent);

}  // namespace sluice

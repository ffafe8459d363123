// SPDX-License-Identifier: Apache-2.0
// What the agent knows, as the control API tells it. Reads only.
#pragma once

#include <optional>
#include <string>

#include "core/views.h"
#include "daemon/agent.h"

namespace sluice {

struct Reason {
    std::string code;     // "no-usable-socket", "config-invalid", "detached", …
    std::string subject;  // a service, a prefix, a file
    std::string message;
    std::int64_t since = 0;  // seconds since 1970; 0: unknown
};

// Everything that is not as it should be, worst first.
std::vector<Reason> find_reasons(const Agent& agent);

// The `Status` reply; `service` leaves only that one in the list of services. Fails for an unknown
// one.
Result<Json> status_json(const Agent& agent, const std::optional<std::string>& service);
Json services_json(const Agent& agent);
// All sockets, or one service's. Fails for an unknown service.
Result<Json> sockets_json(const Agent& agent, const std::optional<std::string>& service);

// What each service's traffic falls to without the dispatcher.
Json detach_json(const Agent& agent);

}  // namespace sluice

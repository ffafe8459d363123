// SPDX-License-Identifier: Apache-2.0
// The agent as sluicectl sees it: methods of internal.sluice.Agent
// (config/internal.sluice.Agent.varlink).
#pragma once

#include <functional>
#include <span>
#include <string_view>

#include "cli/fields.h"
#include "core/result.h"

namespace sluice::cli {

class Agent {
  public:
    virtual ~Agent() = default;
    // `method` without the interface's name. Descriptors in `fds` stay the caller's. An error that
    // the agent answers comes back with its exit code, step, reason, hint and places.
    virtual Result<Json> call(std::string_view method, const Json& parameters,
                              std::span<const int> fds) = 0;
    // A reply in parts (`more`): `part` is called with each, in order.
    virtual Result<> stream(std::string_view method, const Json& parameters,
                            std::span<const int> fds,
                            const std::function<void(const Json&)>& part) = 0;
};

}  // namespace sluice::cli

// SPDX-License-Identifier: Apache-2.0
// The agent, which may be away: a connection that is made again when it is needed.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "control/varlink_client.h"

namespace sluice {

class AgentLink {
  public:
    explicit AgentLink(std::string control) : control_(std::move(control)) {}

    // One call. Failure::unreachable when there is no agent, or it went in the middle.
    Result<Json> call(std::string_view method, const Json& parameters,
                      std::span<const int> fds = {});
    // How often a connection was made: another number, perhaps another agent.
    std::size_t connections() const { return connections_; }

  private:
    Result<Json> call_once(std::string_view method, const Json& parameters,
                           std::span<const int> fds);

    std::string control_;
    std::optional<VarlinkClient> client_;
    std::size_t connections_ = 0;
};

}  // namespace sluice

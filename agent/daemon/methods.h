// SPDX-License-Identifier: Apache-2.0
// The methods of internal.sluice.Agent: parameters in, who asks judged, the agent called, a reply
// out.
#pragma once

#include <optional>
#include <span>
#include <string_view>

#include "core/access.h"
#include "core/views.h"
#include "daemon/agent.h"
#include "daemon/register_server.h"
#include "daemon/varlink_server.h"
#include "sys/fd.h"

namespace sluice {

class Methods : public CallHandler, public RegistrationHandler {
  public:
    explicit Methods(Agent& agent) : agent_(&agent) {}

    bool may_pass_descriptors(const Peer& peer) const override;
    Result<VarlinkAnswer> call(const VarlinkCall& call, std::span<const Fd> descriptors,
                               const Peer& peer) override;
    // The register socket's: adds to the service that the label names.
    Result<> register_sockets(const std::string& label, std::span<const Fd> descriptors,
                              const Peer& peer) override;

  private:
    Result<> allow(std::string_view method, const Json& parameters, const Peer& peer) const;
    Result<Json> answer(std::string_view method, const Json& parameters,
                        std::span<const Fd> descriptors, const Peer& peer);
    Result<VarlinkAnswer> bindings(const Json& parameters, bool more);
    Result<Json> status(const Json& parameters);
    Result<Json> services();
    Result<Json> sockets(const Json& parameters);
    Result<Json> following(const Peer& peer);
    Result<Json> config(const Json& parameters);
    Result<Json> explain(const Json& parameters);
    Result<Json> confirm(const Peer& peer);
    Result<Json> history(const Json& parameters);
    // Those that answer with a plan. Nothing when the method is none of them.
    std::optional<Result<Plan>> change(std::string_view method, const Json& parameters,
                                       std::span<const Fd> descriptors, const Peer& peer);
    Result<Plan> bind(const Json& parameters, const Peer& peer);
    Result<Plan> unbind(const Json& parameters, const Peer& peer);
    Result<Plan> reload(const Json& parameters, const Peer& peer);
    Result<Plan> rollback(const Json& parameters, const Peer& peer);
    Result<Plan> apply(const Json& parameters, std::span<const Fd> descriptors, const Peer& peer,
                       bool dry_run);
    VarlinkAnswer planned(Plan plan, const Json& parameters, bool dry_run, bool more) const;
    Result<Json> enlist(const Json& parameters, std::span<const Fd> descriptors, const Peer& peer);
    Result<Json> enlist_all(const Json& parameters, std::span<const Fd> descriptors,
                            const Peer& peer);
    Result<Json> enlist_offers(const Json& offers, const Json& parameters,
                               std::span<const Fd> descriptors, const Peer& peer);
    Result<Json> unregister(const Json& parameters, const Peer& peer);
    Result<Json> switch_sets(const Json& parameters, const Peer& peer, bool forward);
    Result<Json> detach(const Json& parameters, const Peer& peer);
    Result<Json> attach(const Peer& peer);

    Agent* agent_;
};

// Who a change is remembered by.
Author author_of(const Peer& peer);

}  // namespace sluice

// SPDX-License-Identifier: Apache-2.0
// The agent: the running generation, the changes made to it, and the sockets that serve it.
//
// Single-threaded: everything is called from the event loop's thread.
#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "core/access.h"
#include "core/config.h"
#include "core/explain.h"
#include "core/generation.h"
#include "core/guards.h"
#include "core/health.h"
#include "core/history.h"
#include "core/plan.h"
#include "daemon/config_watch.h"
#include "daemon/options.h"
#include "daemon/rates.h"
#include "daemon/state_store.h"
#include "kernel/dataplane.h"
#include "sys/fd.h"

namespace sluice {

// What answers now, and what is known about it.
struct Running {
    Generation generation;
    std::shared_ptr<const Overlay> table =
        std::make_shared<const Overlay>();  // shared with long answers
    TableUse use;
};

// How the default config file stands to what runs.
enum class ConfigState : std::uint8_t { applied, changed, set_aside, other_file, invalid };

struct ConfigStatus {
    ConfigState state = ConfigState::applied;
    std::string problem;     // why it is not applied, as far as there is a reason
    bool failed = false;     // the last attempt to apply it was refused, or it is invalid
    std::int64_t since = 0;  // of the problem, seconds since 1970
};

struct BindRequest {
    Target target;
    std::vector<Match> matches;
    bool override_config = false;
    std::string note;
    Allowed allowed;
};

struct ApplyRequest {
    std::string path;  // of the main file, absolute: whose config it is
    std::optional<std::chrono::seconds> confirm_within;
    std::optional<std::uint64_t> if_generation;
    std::string note;
    Allowed allowed;
};

struct Registered {
    std::size_t added = 0, present = 0;
    std::vector<RegisteredSocket> sockets;  // of this registration
    std::vector<Warning> warnings;
};

// Sockets for one service: descriptors of ours or of a caller.
struct SocketOffer {
    std::string service;
    std::vector<int> descriptors;
    // The process each is of, where they are not all the author's.
    std::vector<std::int32_t> owners{};
};

// Beside the sockets that serve, in place of them, or ready to take their place (`promote`).
enum class RegisterMode : std::uint8_t { add, replace, staged };

// What `promote` and `demote` did.
struct SwitchedSets {
    kernel::Switched counts;
    std::vector<RegisteredSocket> sockets;  // of the service, all of them
    std::vector<Warning> warnings;
};

class Agent {
  public:
    // Adopts or makes the dispatcher, brings the last generation back where nothing is pinned, and
    // then looks at the config. A config that is invalid is no failure: what runs goes on.
    static Result<std::unique_ptr<Agent>> start(const Options& options);

    // Changes. Each is judged by the guards; what one of them refuses comes back as a plan with
    // `refused_by`, and nothing was changed. On failure what runs goes on. While a generation waits
    // to be confirmed, all but confirm() and rollback() are refused.
    //
    // Reads the default config and makes it so.
    Result<Plan> reload(const Author& by, const std::string& cause, const Allowed& allowed = {});
    // What `apply` would do. Nothing is changed.
    Result<Plan> plan(ConfigFiles& files, const ApplyRequest& request);
    Result<Plan> apply(ConfigFiles& files, const ApplyRequest& request, const Author& by);
    Result<Plan> bind(const BindRequest& request, const Author& by);
    Result<Plan> unbind(const std::vector<Match>& matches, const Author& by);
    // Brings the config of a kept generation back, without guards; without a number, that of the
    // newest state before this one that was not itself rolled back from. The default config's
    // present content is set aside.
    Result<Plan> rollback(std::optional<std::uint64_t> number, const std::string& note,
                          const Author& by);
    // Keeps the generation that waits for it; its number.
    Result<std::uint64_t> confirm(const Author& by);

    // The kept generations, by number.
    std::vector<Record> history() const;
    // One of them, whole.
    Result<Generation> kept(std::uint64_t number);

    // One registration: all of the descriptors, for all services, or none. They are the caller's,
    // who closes them at once. `owner`: the process whose sockets they are, 0 for the author. One
    // result for each offer.
    Result<std::vector<Registered>> register_sockets(std::span<const SocketOffer> offers,
                                                     RegisterMode mode, const Author& by,
                                                     std::int32_t owner = 0);
    // All sockets of the service, or the one with this cookie.
    Result<std::size_t> unregister(const std::string& service, std::optional<std::uint64_t> cookie,
                                   const Author& by);

    // The staged sockets of the service serve in place of those that do, and back. Refused when
    // there is nothing to switch to.
    Result<SwitchedSets> promote(const std::string& service, const Author& by);
    Result<SwitchedSets> demote(const std::string& service, const Author& by);

    Result<bool> detach(const Author& by);  // true if it changed anything
    Result<bool> attach(const Author& by);

    Result<Json> explain(const Question& question) const;

    // Somebody asked which services follow units, and may register for them.
    void note_follower() { follower_seen_ = std::chrono::steady_clock::now(); }
    std::chrono::steady_clock::time_point follower_seen() const { return follower_seen_; }

    // Looks for sockets that have closed, and at the counters. Call it once a second.
    void tick();
    // Looks whether sockets have closed: so many, those that were looked at longest ago.
    void look_for_closed(std::size_t most);
    // Sockets that the kernel has destroyed, ours among them or not.
    void forget_destroyed(std::span<const std::uint64_t> cookies);
    // Called when a socket has come or gone.
    std::function<void()> on_sockets_changed;
    // The second half of changes: called when there may be something to wait for, on the thread of
    // the loop. The function starts the wait elsewhere and sees that finish_grace() is called
    // afterwards.
    std::function<void()> on_grace_wanted;
    bool wants_grace() const { return plane_->wants_grace(); }
    kernel::Dataplane::Ticket begin_grace() { return plane_->begin_grace(); }
    // False when the second half could not be written; tick() asks for another try.
    bool finish_grace(const kernel::Dataplane::Ticket& ticket);
    // Instead, when waiting failed; tick() asks for another try.
    void put_off_grace(kernel::Dataplane::Ticket ticket, const Error& why);

    const Options& options() const { return options_; }
    const Running& running() const { return running_; }
    const kernel::Dataplane& plane() const { return *plane_; }
    const Rates& rates() const { return rates_; }
    const AccessRules& access() const { return access_; }
    ConfigStatus config_status() const;
    std::int64_t started() const { return started_; }
    // Why a reboot would not bring back what answers now; "" when it would.
    const std::string& not_stored() const { return not_stored_; }
    // Why a generation that nobody confirmed still answers; "" when there is none.
    const std::string& not_returned() const { return not_returned_; }
    // Since when a service has been without something it needs; 0 when it is well.
    std::int64_t troubled_since(const std::string& service) const;
    ServiceHealth health(const std::string& service) const;
    ServiceSockets sockets_of(const std::string& service) const;
    // Services of the generation, and those that only hold sockets (parked), by name.
    std::set<std::string> service_names() const;

  private:
    Agent(Options options, StateStore store, std::string boot)
        : options_(std::move(options)),
          boot_(std::move(boot)),
          store_(std::move(store)),
          watch_(options_.config) {}
    Result<> recover();
    Result<> bring_back();
    Result<> bring_back(Generation last);
    Result<Generation> as_the_kernel_says(std::uint64_t number, const Bindings& bindings);
    Generation from_kernel(const Bindings& bindings) const;
    Result<> restore(Generation last);
    Result<> make_current(Generation generation);
    void make_current(Generation generation, Overlay table);
    void remember();
    Result<> remember_attached();

    // agent_changes.cpp
    struct Proposed {
        Generation to;
        std::vector<Warning> warnings;
        std::optional<Allowed> judged;  // by the guards, but for these; nothing: by none
        std::vector<std::pair<std::string, double>> times;  // of its steps so far, milliseconds
    };
    Result<> nothing_pending() const;
    Generation next(const Author& by, std::string cause, Owner owner) const;
    Result<Plan> look_at(Proposed& proposed, Overlay& table) const;
    Result<Plan> commit(Proposed proposed);
    Result<> keep_places(Generation to, Overlay table);
    std::vector<RefusedBy> judge(const Generation& to, const Plan& plan, const Overlay& table,
                                 const Allowed& allowed) const;
    void add_warnings(Plan& plan, const Generation& to, const TableUse& use) const;
    Result<> take_config(Proposed& proposed, const Generation& config,
                         std::vector<Binding> runtime) const;
    Result<Proposed> propose(CheckedConfig checked, const std::string& path, const Author& by,
                             const std::string& cause) const;
    Result<Proposed> propose_applied(ConfigFiles& files, const ApplyRequest& request,
                                     const Author& by) const;
    Result<Proposed> going_back(std::uint64_t number, const Author& by, const std::string& cause,
                                const std::string& why);
    Result<Plan> reload(CheckedConfig checked, const Author& by, const std::string& cause,
                        const Allowed& allowed);
    const SetAside* set_aside(std::uint64_t content) const;
    bool is_default(const std::string& path) const;
    void return_when_due();
    void look_at_config();

    struct Prepared {
        std::vector<kernel::NewSocket> sockets;
        std::vector<Warning> warnings;
        bool owners_named = false;
    };
    Result<Prepared> prepare(const SocketOffer& offer, RegisterMode mode,
                             const Author& owner) const;
    Result<Registered> enlist(const std::string& service, const Prepared& prepared,
                              kernel::Placement placement, std::vector<std::uint64_t>& fresh);
    void describe(Registered& done, Prepared& prepared, const std::string& service,
                  RegisterMode mode) const;
    Result<> check_ports(const std::string& service, const std::vector<kernel::NewSocket>& fresh,
                         RegisterMode mode) const;
    Result<> check_switch(const std::string& service, SocketRole rising);
    SwitchedSets switched(const std::string& service, kernel::Switched counts,
                          const std::string& way_back);
    // Of one service, where it is named.
    void forget_closed(const std::optional<std::string>& service);
    void sockets_changed();
    ClassMask probe(const RegisteredSocket& socket) const;
    void probe_some();
    void count_sockets();
    static bool just_booted();  // services may still be starting
    void note_health();
    void want_grace() const;

    Options options_;
    std::string boot_;  // the kernel's id of this boot
    StateStore store_;
    std::unique_ptr<kernel::Dataplane> plane_;
    Running running_;
    AccessRules access_;
    Rates rates_;
    mutable ConfigWatch watch_;
    // The last attempt to apply the default config that did not succeed.
    struct Attempt {
        std::uint64_t content = 0;
        bool invalid = false;  // else it was refused
        std::string problem;
        std::int64_t time = 0;
    };
    std::optional<Attempt> attempt_;
    std::string not_returned_;  // why an unconfirmed generation could not be left
    std::map<std::string, ServiceSockets> socket_counts_;  // as of the last tick or change
    std::map<std::uint64_t, ClassMask> usable_;  // by cookie: what it could serve when last probed
    std::uint64_t probed_ = 0;                   // the cookie that was probed last
    std::map<std::string, std::int64_t> troubled_;    // service -> since when
    std::map<std::string, std::string> last_health_;  // service -> message, to log changes only
    std::int64_t started_ = 0;
    std::chrono::steady_clock::time_point follower_seen_ = std::chrono::steady_clock::now();
    std::string not_stored_;
};

}  // namespace sluice

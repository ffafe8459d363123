// SPDX-License-Identifier: Apache-2.0
// The agent's side of changes: what is proposed, judged, stored and made active, and the way back.
#include <algorithm>
#include <cmath>
#include <filesystem>
#include <iterator>
#include <map>
#include <utility>

#include <spdlog/spdlog.h>

#include "core/by_name.h"
#include "core/replies.h"
#include "core/text.h"
#include "daemon/agent.h"
#include "sys/clock.h"
#include "sys/host_addresses.h"
#include "sys/routes.h"

namespace sluice {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t routes_checked = 64;  // of one change: each is two questions to the kernel

const Author ourselves{0, -1, 0, "sluiced"};

// How long each step of a change took.
class Steps {
  public:
    explicit Steps(std::vector<std::pair<std::string, double>>& times) : times_(times) {}
    void done(const char* step) {
        const auto now = Clock::now();
        times_.emplace_back(step, std::chrono::duration<double, std::milli>(now - last_).count());
        last_ = now;
    }

  private:
    using Clock = std::chrono::steady_clock;
    std::vector<std::pair<std::string, double>>& times_;
    Clock::time_point last_ = Clock::now();
};

std::string times_text(const std::vector<std::pair<std::string, double>>& times) {
    std::string text;
    for (const auto& [step, milliseconds] : times)
        text += (text.empty() ? "" : ", ") + step + " " +
                std::to_string(std::lround(milliseconds)) + " ms";
    return text;
}

// Of the number alone: 0 s is now.
std::string duration_text(std::int64_t seconds) {
    if (seconds < 60) return std::to_string(seconds) + " s";
    return std::to_string(seconds / 60) + " min " + std::to_string(seconds % 60) + " s";
}

std::string count_words(const Plan& plan) {
    return std::to_string(plan.added.size()) + " added, " + std::to_string(plan.moved.size()) +
           " moved, " + std::to_string(plan.removed.size()) + " removed";
}

// One line of a failure that may be about many places.
std::string summary(const Error& error) {
    std::string text = error.message();
    text.resize(std::min(text.find('\n'), text.size()));
    if (const std::size_t places = error.where().size(); places > 1)
        text += " (and " + std::to_string(places - 1) + " more)";
    return text;
}

// " (sluice.yaml:4)"; "" where only the kernel's table says it, which has no places.
std::string place_of(const Binding& binding) {
    if (binding.file == nullptr) return "";
    return " (" + to_string(Place{*binding.file, binding.line, 0}) + ")";
}

// The config's bindings that one with this match silences: the same match, or a range that overlaps
// its own in part (core's overlay()).
std::vector<const Binding*> silenced_by(const Match& match, const Bindings& config) {
    std::vector<const Binding*> silenced;
    for (const Binding& binding : config.on(match.protocol, match.prefix)) {
        const Ports &mine = match.ports, &its = binding.match.ports;
        if (mine == its || (mine.touches(its) && !mine.contains(its) && !its.contains(mine)))
            silenced.push_back(&binding);
    }
    return silenced;
}

// A runtime binding that the config now says too is the config's, from the generation that says so
// on; one that it contradicts stays, and the config's waits behind it.
std::vector<Binding> still_runtime(std::vector<Binding> runtime, Generation& made,
                                   std::vector<Warning>& warnings) {
    std::vector<Binding> kept;
    for (Binding& binding : runtime) {
        const Binding* same = made.config.find(binding.match);
        if (same != nullptr && same->target == binding.target) {
            made.folded.push_back({std::move(binding), made.number});
            continue;
        }
        for (const Binding* said : silenced_by(binding.match, made.config))
            warnings.push_back({"waits-behind-runtime",
                                to_string(*said) + place_of(*said) +
                                    " waits behind a runtime binding to " +
                                    to_string(binding.target),
                                "sluicectl unbind " + to_string(binding.match)});
        kept.push_back(std::move(binding));
    }
    return kept;
}

// With the services that it falls back to: a policy must not name one that is gone.
void keep_service(std::map<std::string, ServiceConfig>& services,
                  const std::map<std::string, ServiceConfig>& before, std::string name) {
    while (!services.contains(name)) {
        const auto kept = before.find(name);
        if (kept == before.end()) return;
        services.insert(*kept);
        if (kept->second.unavailable.kind != Unavailable::Kind::fallback) return;
        name = kept->second.unavailable.fallback;
    }
}

std::string refusal_text(const Plan& plan) {
    std::string text;
    for (const RefusedBy& refused : plan.refused_by)
        text += (text.empty() ? "" : ", and ") + refused.message;
    return text;
}

// The config's part of what was read.
Generation generation_of(Config config, const std::string& path, std::uint64_t content) {
    Generation made;
    made.services = std::move(config.services);
    made.admins = std::move(config.admins);
    made.guards = std::move(config.guards);
    made.dataplane = config.dataplane;
    made.config = std::move(config.bindings);
    made.config_path = path;
    made.config_files = config.files.size();
    made.config_content = content;
    return made;
}

// Those that a config took over after `back`, where they were runtime bindings; they are taken out
// of `folded`.
std::vector<Binding> unfolded(const Generation& back, const Bindings& runtime,
                              std::vector<Folded>& folded) {
    std::vector<Binding> found;
    std::erase_if(folded, [&](Folded& one) {
        const Binding* then = back.runtime.find(one.binding.match);
        if (one.by <= back.number || then == nullptr || !(then->target == one.binding.target) ||
            runtime.find(one.binding.match) != nullptr)
            return false;
        found.push_back(one.binding);
        return true;
    });
    return found;
}

const SetAside* set_aside_in(const Generation& generation, std::uint64_t content) {
    const auto at = std::ranges::find(generation.set_aside, content, &SetAside::content);
    return at == generation.set_aside.end() ? nullptr : &*at;
}

}  // namespace

Result<> Agent::nothing_pending() const {
    const Generation& running = running_.generation;
    if (!running.pending) return {};
    const std::int64_t left =
        std::max<std::int64_t>(running.pending->deadline - uptime_seconds(), 0);
    return fail(Error(Failure::refused, "generation " + std::to_string(running.number) + " (" +
                                            running.cause + " by " + to_string(running.by) +
                                            ") waits to be confirmed for another " +
                                            duration_text(left))
                    .hint("keep it: sluicectl confirm; go back now: sluicectl rollback"));
}

Generation Agent::next(const Author& by, std::string cause, Owner owner) const {
    Generation next = running_.generation;
    next.number = std::max(running_.generation.number, store_.highest()) + 1;
    next.base = running_.generation.number;
    next.time = unix_time();
    next.by = by;
    next.cause = std::move(cause);
    next.owner = owner;
    next.note.clear();
    next.restores = 0;
    next.pending.reset();
    // Of no use to a rollback once all that it may go back to are younger.
    const std::vector<Record> kept = history();
    const std::uint64_t oldest = kept.empty() ? next.base : kept.front().number;
    std::erase_if(next.folded, [&](const Folded& one) { return one.by <= oldest; });
    return next;
}

// What the guards say of a change; of the first one of all, only its own.
std::vector<RefusedBy> Agent::judge(const Generation& to, const Plan& plan, const Overlay& table,
                                    const Allowed& allowed) const {
    const Generation& running = running_.generation;
    GuardFacts facts;
    facts.served = [&](const std::string& name, Protocol protocol, Family family) {
        const ClassMask wanted = class_bit(protocol, family);
        std::string service = name;
        for (int depth = 0; depth <= SLUICE_MAX_FALLBACKS; ++depth) {
            if ((sockets_of(service).usable & wanted) != 0) return true;
            const auto at = to.services.find(service);
            if (at == to.services.end() ||
                at->second.unavailable.kind != Unavailable::Kind::fallback)
                return false;
            service = at->second.unavailable.fallback;
        }
        return false;
    };
    if (auto addresses = host_addresses())
        facts.host_addresses = std::move(*addresses);
    else
        spdlog::warn("{}: guards.host_addresses is not judged", addresses.error().message());
    GuardedChange change;
    change.plan = &plan;
    change.before = &running_.table->effective;
    change.after = &table.effective;
    change.running = running.number == 0 ? &to.guards : &running.guards;
    change.coming = &to.guards;
    return judge_guards(change, facts, allowed);
}

// What the operator should know about what is made to answer.
void Agent::add_warnings(Plan& plan, const Generation& to, const TableUse& use) const {
    ByName<std::size_t> services;
    std::set<Prefix> prefixes;
    for (const auto* changes : {&plan.added, &plan.moved})
        for (const Change& change : *changes) {
            const Binding& binding = *change.binding;
            if (binding.target.is_service()) ++services[binding.target.name];
            if (binding.target.kind != Target::Kind::pass && prefixes.size() < routes_checked)
                prefixes.insert(binding.match.prefix);
        }
    for (const auto& [name, changes] : services.take()) {
        const auto config = to.services.find(name);
        const auto used = use.services.find(name);
        if (config == to.services.end() || used == use.services.end()) continue;
        const ServiceHealth judged = judge_service(true, just_booted(), used->second,
                                                   sockets_of(name), config->second.unavailable);
        if (judged.state != ServiceState::ok)
            plan.warnings.push_back({"service-without-sockets", name + ": " + judged.message,
                                     "sluicectl register " + name + " …"});
        std::ranges::move(judge_replies(name, plane_->sockets().of(name, SocketRole::serving),
                                        used->second.udp_samples),
                          std::back_inserter(plan.warnings));
    }
    for (const Prefix& prefix : prefixes) {
        const auto local = is_local(prefix);
        if (local && !*local)
            plan.warnings.push_back({"no-local-route",
                                     to_string(prefix) + ": no local route, nothing will arrive",
                                     "ip route add local " + to_string(prefix) + " dev lo"});
    }
}

// Nothing is changed. `table` becomes what would answer.
Result<Plan> Agent::look_at(Proposed& proposed, Overlay& table) const {
    Steps steps(proposed.times);
    auto made = overlay(proposed.to.config, proposed.to.runtime);
    if (!made) return pass_on(made);
    table = std::move(*made);
    Plan plan =
        make_plan(running_.generation, running_.table->effective, proposed.to, table.effective);
    plan.warnings = proposed.warnings;
    if (plan.changes()) {
        add_warnings(plan, proposed.to, count_use(table.effective));
        if (proposed.judged) plan.refused_by = judge(proposed.to, plan, table, *proposed.judged);
    }
    steps.done("plan");
    plan.times = proposed.times;
    return plan;
}

// Stored, then active by one flip, then remembered. Until the flip everything is as it was.
Result<Plan> Agent::commit(Proposed proposed) {
    Overlay table;
    auto plan = look_at(proposed, table);
    if (!plan) return plan;
    Generation& to = proposed.to;
    if (!plan->refused_by.empty()) {
        spdlog::warn("{} refused: {} (by {})", to.cause, refusal_text(*plan), to_string(to.by));
        return plan;
    }
    if (!plan->changes()) {
        if (auto ok = keep_places(std::move(to), std::move(table)); !ok) return pass_on(ok);
        return plan;
    }
    to.added = plan->added.size();
    to.moved = plan->moved.size();
    to.removed = plan->removed.size();
    to.services_changed = plan->services.size();
    Steps steps(plan->times);
    if (auto ok = store_.save(to); !ok) return pass_on(ok, "store the new generation");
    steps.done("store");
    auto stats = plane_->apply(
        {to.number, to.time, &running_.table->effective, &table.effective, &to.services});
    if (!stats) {
        store_.drop(to.number);
        return pass_on(stats);
    }
    steps.done("kernel");
    plan->times.emplace_back("flip", stats->flip);
    spdlog::info("generation {} answers: {}, {} bindings ({} by {}; {}; {} map operations)",
                 to.number, count_words(*plan), table.effective.size(), to.cause, to_string(to.by),
                 times_text(plan->times), stats->map_operations);
    make_current(std::move(to), std::move(table));
    want_grace();
    return plan;
}

// The same answers, perhaps from other lines of other files: no new generation.
Result<> Agent::keep_places(Generation to, Overlay table) {
    const Generation& running = running_.generation;
    const bool same_places =
        to.config.shares(running.config) ||
        (to.config_content == running.config_content && to.config_path == running.config_path);
    if (same_places && !running.pending && to.other_file == running.other_file &&
        to.set_aside == running.set_aside)
        return {};
    Generation same = running;
    same.pending.reset();  // nobody changes anything while one waits, but by going back
    same.config = std::move(to.config);
    same.folded = std::move(to.folded);
    same.config_path = std::move(to.config_path);
    same.config_files = to.config_files;
    same.config_content = to.config_content;
    same.other_file = to.other_file;
    same.set_aside = std::move(to.set_aside);
    if (same.number != 0)
        if (auto ok = store_.save(same); !ok) return ok;
    make_current(std::move(same), std::move(table));
    return {};
}

// The config's part of `config` over these runtime bindings, of which it may take some over.
Result<> Agent::take_config(Proposed& proposed, const Generation& config,
                            std::vector<Binding> runtime) const {
    Generation& made = proposed.to;
    made.services = config.services;
    made.admins = config.admins;
    made.guards = config.guards;
    made.dataplane = config.dataplane;
    made.config = config.config;
    made.config_path = config.config_path;
    made.config_files = config.config_files;
    made.config_content = config.config_content;
    made.other_file = config.other_file;
    auto kept = Bindings::make(still_runtime(std::move(runtime), made, proposed.warnings));
    if (!kept) return pass_on(kept);
    made.runtime = std::move(*kept);
    for (const Binding& binding : made.runtime) {
        if (!binding.target.is_service() || made.services.contains(*binding.target.name)) continue;
        // A runtime binding keeps its service, and never makes a reload fail.
        const std::string& name = *binding.target.name;
        keep_service(made.services, running_.generation.services, name);
        proposed.warnings.push_back(
            {"service-kept-by-runtime",
             "service '" + name + "' left the config, but a runtime binding needs it",
             "sluicectl unbind " + to_string(binding.match)});
    }
    return {};
}

bool Agent::is_default(const std::string& path) const {
    std::error_code ignored;
    return path == options_.config ||
           fs::weakly_canonical(path, ignored) == fs::weakly_canonical(options_.config, ignored);
}

const SetAside* Agent::set_aside(std::uint64_t content) const {
    return set_aside_in(running_.generation, content);
}

Result<Agent::Proposed> Agent::propose(CheckedConfig checked, const std::string& path,
                                       const Author& by, const std::string& cause) const {
    if (!checked.valid()) return fail(to_error(checked));
    Proposed proposed{next(by, cause, Owner::config), {}, std::nullopt, {}};
    for (const Problem& warning : checked.warnings)
        proposed.warnings.push_back(
            {"config", to_string(warning.place) + ": " + warning.message, warning.hint});
    Generation config = generation_of(std::move(*checked.config), path, checked.content);
    config.other_file = !is_default(path);
    if (!config.other_file) config.config_path = options_.config;
    config.config.inherit_since(running_.generation.config, proposed.to.time);
    const Bindings& runtime = running_.generation.runtime;
    if (auto ok = take_config(proposed, config, {runtime.begin(), runtime.end()}); !ok)
        return pass_on(ok);
    // Somebody decided anew.
    if (!config.other_file) proposed.to.set_aside.clear();
    return proposed;
}

Result<Plan> Agent::reload(const Author& by, const std::string& cause, const Allowed& allowed) {
    if (auto ok = nothing_pending(); !ok) {
        spdlog::warn("{} refused: {}", cause, ok.error().message());
        return pass_on(ok);
    }
    return reload(watch_.read(), by, cause, allowed);
}

Result<Plan> Agent::reload(CheckedConfig checked, const Author& by, const std::string& cause,
                           const Allowed& allowed) {
    const std::uint64_t content = checked.content;
    const auto failed = [&](const Error& error) {
        const bool invalid = error.failure() != Failure::refused;
        attempt_ = {content, invalid, summary(error), unix_time()};
        spdlog::error("{}: {}; generation {} goes on as it was", cause, attempt_->problem,
                      running_.generation.number);
        return fail(error);
    };
    const SetAside* aside = set_aside(content);
    if (aside != nullptr && content != running_.generation.config_content) {
        spdlog::warn("{} refused: {}; its content stays set aside", cause, aside->why);
        return fail(
            Error(Failure::refused, options_.config + " is set aside as it is: " + aside->why)
                .hint("change it, or if it is meant: sluicectl apply"));
    }
    auto proposed = propose(std::move(checked), options_.config, by, cause);
    if (!proposed) return failed(proposed.error());
    proposed->judged = allowed;
    auto plan = commit(std::move(*proposed));
    if (!plan) return failed(plan.error());
    attempt_.reset();
    if (!plan->refused_by.empty()) attempt_ = {content, false, refusal_text(*plan), unix_time()};
    return plan;
}

Result<Agent::Proposed> Agent::propose_applied(ConfigFiles& files, const ApplyRequest& request,
                                               const Author& by) const {
    std::vector<std::pair<std::string, double>> times;
    Steps steps(times);
    CheckedConfig checked = check_config(files, request.path);
    auto proposed = propose(std::move(checked), request.path, by, "apply");
    if (!proposed) return proposed;
    steps.done("read");
    proposed->times = std::move(times);
    proposed->judged = request.allowed;
    proposed->to.note = request.note;
    if (request.confirm_within)
        proposed->to.pending = {running_.generation.number,
                                uptime_seconds() + request.confirm_within->count(), boot_};
    return proposed;
}

Result<Plan> Agent::plan(ConfigFiles& files, const ApplyRequest& request) {
    auto proposed = propose_applied(files, request, ourselves);
    if (!proposed) return pass_on(proposed);
    Overlay table;
    return look_at(*proposed, table);
}

Result<Plan> Agent::apply(ConfigFiles& files, const ApplyRequest& request, const Author& by) {
    if (auto ok = nothing_pending(); !ok) return pass_on(ok);
    const std::uint64_t running = running_.generation.number;
    if (request.if_generation && *request.if_generation != running)
        return fail(Error(Failure::refused, "generation " + std::to_string(running) +
                                                " answers by now, not " +
                                                std::to_string(*request.if_generation))
                        .hint("look again: sluicectl plan"));
    if (request.confirm_within && running == 0)
        return fail(Error(Failure::refused, "there is no generation to return to")
                        .hint("the first one of all: sluicectl apply"));
    auto proposed = propose_applied(files, request, by);
    if (!proposed) return pass_on(proposed);
    auto plan = commit(std::move(*proposed));
    if (plan && plan->refused_by.empty()) attempt_.reset();
    return plan;
}

Result<Plan> Agent::bind(const BindRequest& request, const Author& by) {
    if (auto ok = nothing_pending(); !ok) return pass_on(ok);
    if (request.target.is_service() && !running_.generation.services.contains(*request.target.name))
        return fail(Error(Failure::invalid, "there is no service '" + *request.target.name + "'")
                        .hint("services are defined in " + options_.config));
    Generation made = next(by, "bind", Owner::runtime);
    made.note = request.note;
    std::vector<Binding> runtime(made.runtime.begin(), made.runtime.end());
    const SharedText note = request.note.empty() ? nullptr : SharedText(request.note);
    for (const Match& match : request.matches) {
        const Binding* config = made.config.find(match);
        if (config != nullptr && config->target == request.target &&
            made.runtime.find(match) == nullptr)
            continue;  // it is so already
        const auto silenced = silenced_by(match, made.config);
        if (!silenced.empty() && !request.override_config && made.runtime.find(match) == nullptr)
            return fail(Error(Failure::refused, to_string(*silenced.front()) +
                                                    " is bound by the config" +
                                                    place_of(*silenced.front()))
                            .hint("to answer over it until unbound: --override"));
        std::erase_if(runtime, [&](const Binding& old) {
            return old.match == match && !(old.target == request.target);
        });
        if (std::ranges::any_of(runtime, [&](const Binding& old) { return old.match == match; }))
            continue;
        Binding binding{match, request.target, Owner::runtime, 0, made.time, nullptr, note};
        runtime.push_back(std::move(binding));
    }
    auto bound = Bindings::make(std::move(runtime));
    if (!bound) return pass_on(bound);
    made.runtime = std::move(*bound);
    return commit({std::move(made), {}, request.allowed, {}});
}

Result<Plan> Agent::unbind(const std::vector<Match>& matches, const Author& by) {
    if (auto ok = nothing_pending(); !ok) return pass_on(ok);
    Generation made = next(by, "unbind", Owner::runtime);
    for (const Match& match : matches) {
        if (made.runtime.find(match) != nullptr) continue;
        const Binding* config = made.config.find(match);
        if (config == nullptr)
            return fail(Failure::invalid, "there is no binding " + to_string(match));
        return fail(Error(Failure::refused,
                          to_string(*config) + " belongs to the config" + place_of(*config))
                        .hint("remove it there, and: sluicectl reload"));
    }
    std::vector<Binding> runtime;
    for (const Binding& binding : made.runtime)
        if (std::ranges::find(matches, binding.match) == matches.end()) runtime.push_back(binding);
    made.runtime = Bindings::make(std::move(runtime)).value_or(Bindings());  // a subset is valid
    return commit({std::move(made), {}, std::nullopt, {}});
}

// The config of a kept generation over the runtime bindings of now.
Result<Agent::Proposed> Agent::going_back(std::uint64_t number, const Author& by,
                                          const std::string& cause, const std::string& why) {
    const Generation& running = running_.generation;
    auto back = kept(number);
    if (!back) return pass_on(back);
    Proposed proposed{next(by, cause, Owner::config), {}, std::nullopt, {}};
    proposed.to.restores = number;
    std::vector<Binding> runtime(running.runtime.begin(), running.runtime.end());
    std::ranges::move(unfolded(*back, running.runtime, proposed.to.folded),
                      std::back_inserter(runtime));
    if (auto ok = take_config(proposed, *back, std::move(runtime)); !ok) return pass_on(ok);
    // What was left must not come back by itself, nor what the file says meanwhile.
    auto& aside = proposed.to.set_aside;
    for (const std::uint64_t content :
         {running.other_file ? 0 : running.config_content, watch_.content()})
        if (content != 0 && set_aside_in(proposed.to, content) == nullptr)
            aside.push_back({content, why});
    std::erase_if(aside, [&](const SetAside& one) { return one.content == back->config_content; });
    return proposed;
}

Result<Plan> Agent::rollback(std::optional<std::uint64_t> number, const std::string& note,
                             const Author& by) {
    const std::uint64_t running = running_.generation.number;
    if (!number && running_.generation.pending) number = running_.generation.pending->return_to;
    if (!number) number = rollback_target(history());
    if (!number)
        return fail(Error(Failure::invalid, "there is no state before generation " +
                                                std::to_string(running) + " to go back to")
                        .hint("sluicectl history lists what is kept"));
    auto proposed = going_back(
        *number, by, "rollback",
        "generation " + std::to_string(running) + " was rolled back by " + to_string(by));
    if (!proposed) return pass_on(proposed);
    proposed->to.note = note;
    if (set_aside_in(proposed->to, watch_.content()))
        proposed->warnings.push_back(
            {"config-set-aside",
             options_.config + " is set aside as it is now: it is not applied until it changes",
             "sluicectl apply"});
    auto plan = commit(std::move(*proposed));
    if (plan) attempt_.reset();
    return plan;
}

Result<std::uint64_t> Agent::confirm(const Author& by) {
    return_when_due();
    Generation confirmed = running_.generation;
    if (!confirmed.pending)
        return fail(Failure::refused, "nothing waits to be confirmed: generation " +
                                          std::to_string(confirmed.number) + " answers (" +
                                          confirmed.cause + " by " + to_string(confirmed.by) + ")");
    confirmed.pending.reset();
    if (auto ok = store_.save(confirmed); !ok) return pass_on(ok, "store that it is confirmed");
    running_.generation = std::move(confirmed);
    not_returned_.clear();
    spdlog::info("generation {} is confirmed (by {})", running_.generation.number, to_string(by));
    return running_.generation.number;
}

// The way back of a generation that nobody confirmed in time, or since the machine was booted.
void Agent::return_when_due() {
    const auto& pending = running_.generation.pending;
    if (!pending || (pending->boot == boot_ && uptime_seconds() < pending->deadline)) return;
    const std::string which = "generation " + std::to_string(running_.generation.number);
    auto proposed = going_back(pending->return_to, ourselves, "not confirmed",
                               which + " was not confirmed in time");
    auto plan = proposed ? commit(std::move(*proposed)) : Result<Plan>(pass_on(proposed));
    const std::string problem = plan ? "" : plan.error().message();
    if (plan)
        spdlog::warn("{} was not confirmed in time: the one before it answers again", which);
    else if (problem != not_returned_)
        spdlog::error("{} was not confirmed in time, and cannot be left: {}", which, problem);
    not_returned_ = problem;
}

std::vector<Record> Agent::history() const { return store_.history(running_.generation.number); }

Result<Generation> Agent::kept(std::uint64_t number) {
    if (number == running_.generation.number) return running_.generation;
    const std::vector<Record> records = history();
    if (std::ranges::find(records, number, &Record::number) == records.end())
        return fail(Error(Failure::invalid, "there is no generation " + std::to_string(number))
                        .hint("sluicectl history lists those that are kept"));
    return store_.load(number);
}

ConfigStatus Agent::config_status() const {
    const Generation& running = running_.generation;
    const std::uint64_t content = watch_.content();
    if (attempt_ && attempt_->content == content)
        return {attempt_->invalid ? ConfigState::invalid : ConfigState::changed, attempt_->problem,
                true, attempt_->time};
    if (running.other_file)
        return {ConfigState::other_file, running.config_path + " was applied", false, running.time};
    if (content == running.config_content) return {};
    if (const SetAside* aside = set_aside(content))
        return {ConfigState::set_aside, aside->why, false, running.time};
    return {ConfigState::changed, "", false, 0};
}

// At the start: content that nobody has decided about yet is applied.
void Agent::look_at_config() {
    const Generation& running = running_.generation;
    if (running.pending) return;
    CheckedConfig checked = watch_.read();
    if (running.other_file) {
        spdlog::info("{} was applied last: {} is left alone until somebody reloads",
                     running.config_path, options_.config);
        return;
    }
    if (running.number != 0 && checked.content == running.config_content) return;
    if (const SetAside* aside = set_aside(checked.content)) {
        spdlog::info("{} stays set aside as it is: {}", options_.config, aside->why);
        return;
    }
    // Logged once, by reload(); the agent goes on with what runs.
    (void)reload(std::move(checked), ourselves, "start", {});
}

}  // namespace sluice

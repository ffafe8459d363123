// SPDX-License-Identifier: Apache-2.0
#include "daemon/agent.h"

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <utility>

#include <spdlog/spdlog.h>

#include "sys/clock.h"
#include "sys/files.h"
#include "sys/routes.h"

namespace sluice {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t routes_checked = 64;  // of one change: each is two questions to the kernel

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

// A runtime binding that the config now says too is the config's; one that it contradicts stays,
// and the config's waits behind it.
std::vector<Binding> still_runtime(const Bindings& runtime, const Bindings& config,
                                   std::vector<Warning>& warnings) {
    std::vector<Binding> kept;
    for (const Binding& binding : runtime) {
        const Binding* same = config.find(binding.match);
        if (same != nullptr && same->target == binding.target) continue;
        for (const Binding* said : silenced_by(binding.match, config))
            warnings.push_back({"waits-behind-runtime",
                                to_string(*said) + place_of(*said) +
                                    " waits behind a runtime binding to " +
                                    to_string(binding.target),
                                "sluicectl unbind " + to_string(binding.match)});
        kept.push_back(binding);
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

}  // namespace

Result<std::unique_ptr<Agent>> Agent::start(const Options& options) {
    auto store = StateStore::open(options.state_dir);
    if (!store) return pass_on(store, "open the state directory");
    std::unique_ptr<Agent> agent(new Agent(options, std::move(*store)));
    agent->started_ = unix_time();
    kernel::Site site;
    site.directory = options.bpffs;
    site.attach = !agent->store_.detached();
    auto plane = kernel::Dataplane::open(site);
    if (!plane) return pass_on(plane);
    agent->plane_ = std::move(*plane);
    // They differ after a kill in the middle of detach or attach; a reboot must not decide it.
    if (auto ok = agent->remember_attached(); !ok) spdlog::error("{}", ok.error().message());
    if (auto ok = agent->recover(); !ok) return pass_on(ok);
    agent->tick();
    auto reloaded = agent->reload(Author{0, -1, 0, "sluiced"}, "start");
    // Logged once, by reload(); the agent goes on with what runs.
    (void)reloaded;
    return agent;
}

// The running generation: the kernel's, with the names and places that the state directory knows.
Result<> Agent::recover() {
    const auto& dispatcher = plane_->dispatcher();
    const std::uint64_t number = plane_->table().generation();
    if (dispatcher.upgraded()) spdlog::info("put the new program in the old one's place");
    if (dispatcher.relinked()) spdlog::warn("the link was gone: attached the program again");
    // Nothing was pinned, or whoever pinned it was killed before the last generation was back.
    if (number == 0) return bring_back();
    auto bindings = kernel::read_bindings(dispatcher.maps());
    if (!bindings) return pass_on(bindings, "read the running bindings");
    Generation generation = from_kernel(*bindings);
    if (number != 0) {
        auto stored = store_.load(number);
        auto table = stored ? overlay(stored->config, stored->runtime) : Result<Overlay>(Overlay{});
        const auto same = [](const Binding& a, const Binding& b) { return a.same_meaning(b); };
        if (stored && table && std::ranges::equal(table->effective, *bindings, same)) {
            generation = std::move(*stored);
        } else {
            spdlog::warn(
                "generation {} in the state directory is not what the kernel answers from{}; "
                "going on from the kernel's table",
                number, stored ? "" : " (" + stored.error().message() + ")");
            // Over one that is missing, damaged or another; not over one that could not be read.
            const int problem = stored ? 0 : stored.error().code();
            if (problem == 0 || problem == ENOENT)
                if (auto ok = store_.save(generation); !ok)
                    spdlog::error("a reboot would not bring it back: {}", ok.error().message());
        }
    }
    spdlog::info("adopted generation {}: {} bindings, {} sockets", number, bindings->size(),
                 plane_->sockets().all().size());
    return make_current(std::move(generation));
}

// After a reboot: the last generation answers again, before the config is looked at.
Result<> Agent::bring_back() {
    auto last = store_.current();
    if (!last) {
        last = store_.newest();
        if (!last) return {};  // the first start of all
        spdlog::warn("the number of the last generation is lost: taking the newest, {}", *last);
    }
    auto generation = store_.load(*last);
    if (generation) return restore(std::move(*generation));
    spdlog::error("the last generation cannot be brought back: {}", generation.error().message());
    return {};
}

Generation Agent::from_kernel(const Bindings& bindings) const {
    Generation generation;
    const auto& maps = plane_->dispatcher().maps();
    generation.number = plane_->table().generation();
    generation.time = plane_->table().changed();
    std::vector<Binding> config, runtime;
    for (const Binding& binding : bindings)
        (binding.owner == Owner::config ? config : runtime).push_back(binding);
    // Subsets of a valid table are valid.
    generation.config = Bindings::make(std::move(config)).value_or(Bindings());
    generation.runtime = Bindings::make(std::move(runtime)).value_or(Bindings());
    for (const auto& [name, id] : plane_->services().all())
        generation.services[name].unavailable = plane_->services().unavailable(maps.active(), id);
    return generation;
}

Result<> Agent::restore(Generation last) {
    auto table = overlay(last.config, last.runtime);
    if (!table) return pass_on(table);
    const Bindings nothing;
    auto stats =
        plane_->apply({last.number, last.time, &nothing, &table->effective, &last.services});
    if (!stats) return pass_on(stats, "bring generation " + std::to_string(last.number) + " back");
    spdlog::info("generation {} is back: {} bindings", last.number, table->effective.size());
    return make_current(std::move(last));
}

Result<> Agent::make_current(Generation generation) {
    auto table = overlay(generation.config, generation.runtime);
    if (!table) return pass_on(table);
    access_ = AccessRules{generation.admins, generation.services};
    running_ = {std::move(generation), std::make_shared<const Overlay>(std::move(*table)), {}};
    running_.use = count_use(running_.table->effective);
    remember();
    note_health();
    return {};
}

// What a reboot is to bring back. Also for what an agent that was killed had no time to remember.
void Agent::remember() {
    const std::uint64_t number = running_.generation.number;
    const std::string before = std::exchange(not_stored_, "");
    if (number == 0) return;
    const bool stored = store_.holds(number);
    if (stored && store_.current() == number) return;
    auto ok =
        stored ? store_.set_current(number)
               : fail(Failure::failed, "generation " + std::to_string(number) + " is not stored");
    if (ok) return;
    not_stored_ = ok.error().message();
    if (not_stored_ != before)
        spdlog::error("generation {} answers, but after a reboot an older one would: {}", number,
                      not_stored_);
}

Generation Agent::next(const Author& by, std::string cause, Owner owner) const {
    Generation next = running_.generation;
    next.number = std::max(running_.generation.number, store_.highest()) + 1;
    next.time = unix_time();
    next.by = by;
    next.cause = std::move(cause);
    next.owner = owner;
    next.note.clear();
    return next;
}

// Stored, then active by one flip, then remembered. Until the flip everything is as it was.
Result<Plan> Agent::commit(Generation next, std::vector<Warning> warnings) {
    auto table = overlay(next.config, next.runtime);
    if (!table) return pass_on(table);
    Plan plan = make_plan(running_.generation, running_.table->effective, next, table->effective);
    plan.warnings.insert(plan.warnings.end(), warnings.begin(), warnings.end());
    if (!plan.changes()) {
        // The same answers, perhaps from other lines of other files.
        next.number = running_.generation.number;
        next.time = running_.generation.time;
        next.by = running_.generation.by;
        next.cause = running_.generation.cause;
        next.owner = running_.generation.owner;
        next.note = running_.generation.note;
        if (next.number != 0)
            if (auto ok = store_.save(next); !ok) return pass_on(ok);
        if (auto ok = make_current(std::move(next)); !ok) return pass_on(ok);
        return plan;
    }
    if (auto ok = store_.save(next); !ok) return pass_on(ok, "store the new generation");
    auto stats = plane_->apply(
        {next.number, next.time, &running_.table->effective, &table->effective, &next.services});
    if (!stats) {
        store_.drop(next.number);
        return pass_on(stats);
    }
    spdlog::info("generation {} answers: {}, {} bindings ({} by {})", next.number,
                 count_words(plan), table->effective.size(), next.cause, to_string(next.by));
    if (auto ok = make_current(std::move(next)); !ok) return pass_on(ok);
    add_warnings(plan);
    want_grace();
    return plan;
}

Result<Generation> Agent::with_config(Config config, const Author& by, const std::string& cause,
                                      std::vector<Warning>& warnings) const {
    Generation made = next(by, cause, Owner::config);
    made.admins = std::move(config.admins);
    made.guards = std::move(config.guards);
    made.config = std::move(config.bindings);
    made.config.inherit_since(running_.generation.config, made.time);
    made.config_path = options_.config;
    made.config_files = config.files.size();
    made.config_content = config.content;
    auto runtime =
        Bindings::make(still_runtime(running_.generation.runtime, made.config, warnings));
    if (!runtime) return pass_on(runtime);
    made.runtime = std::move(*runtime);
    for (const Binding& binding : made.runtime) {
        if (!binding.target.is_service() || config.services.contains(*binding.target.name))
            continue;
        // A runtime binding keeps its service, and never makes a reload fail.
        const std::string& name = *binding.target.name;
        keep_service(config.services, running_.generation.services, name);
        warnings.push_back(
            {"service-kept-by-runtime",
             "service '" + name + "' left the config, but a runtime binding needs it",
             "sluicectl unbind " + to_string(binding.match)});
    }
    made.services = std::move(config.services);
    return made;
}

Result<Plan> Agent::reload(const Author& by, const std::string& cause) {
    RealConfigFiles files(options_.config);
    const std::int64_t now = unix_time();
    CheckedConfig checked = check_config(files, options_.config);
    config_times_.clear();
    const auto refuse = [&](const Error& error) {
        config_status_ = {ConfigState::invalid, summary(error), now};
        spdlog::error("{}: {}; generation {} goes on as it was", cause, config_status_.problem,
                      running_.generation.number);
        return fail(error);
    };
    if (!checked.valid()) return refuse(to_error(checked));
    const auto directory = fs::path(options_.config).parent_path();
    for (const std::string& file : checked.config->files) {
        std::error_code ignored;  // a file that went away meanwhile counts as changed
        // The main file is named as the user did, the others from its directory.
        const auto path =
            &file == &checked.config->files.front() ? fs::path(options_.config) : directory / file;
        config_times_[path.string()] = fs::last_write_time(path, ignored);
    }
    std::vector<Warning> warnings;
    for (const Problem& warning : checked.warnings)
        warnings.push_back(
            {"config", to_string(warning.place) + ": " + warning.message, warning.hint});
    auto made = with_config(std::move(*checked.config), by, cause, warnings);
    if (!made) return refuse(made.error());
    auto plan = commit(std::move(*made), std::move(warnings));
    if (!plan) return refuse(plan.error());
    config_status_ = {};
    return plan;
}

ConfigStatus Agent::config_status() const {
    ConfigStatus status = config_status_;
    if (status.state == ConfigState::invalid) return status;
    for (const auto& [file, time] : config_times_) {
        std::error_code error;
        if (fs::last_write_time(file, error) != time || error) status.state = ConfigState::changed;
    }
    return status;
}

Result<Plan> Agent::bind(const BindRequest& request, const Author& by) {
    if (request.target.is_service() && !running_.generation.services.contains(*request.target.name))
        return fail(Error(Failure::invalid, "there is no service '" + *request.target.name + "'")
                        .hint("services are defined in " + options_.config));
    Generation made = next(by, "bind", Owner::runtime);
    made.note = request.note;
    std::vector<Binding> runtime(made.runtime.begin(), made.runtime.end());
    const SharedText note =
        request.note.empty() ? nullptr : std::make_shared<const std::string>(request.note);
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
    return commit(std::move(made), {});
}

Result<Plan> Agent::unbind(const std::vector<Match>& matches, const Author& by) {
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
    return commit(std::move(made), {});
}

// What the operator should know about what was just made to answer.
void Agent::add_warnings(Plan& plan) const {
    std::set<std::string> services;
    std::set<Prefix> prefixes;
    for (const auto* changes : {&plan.added, &plan.moved})
        for (const Change& change : *changes) {
            if (change.binding.target.is_service()) services.insert(*change.binding.target.name);
            if (change.binding.target.kind != Target::Kind::pass &&
                prefixes.size() < routes_checked)
                prefixes.insert(change.binding.match.prefix);
        }
    for (const std::string& name : services)
        if (const ServiceHealth judged = health(name); judged.state != ServiceState::ok)
            plan.warnings.push_back({"service-without-sockets", name + ": " + judged.message,
                                     "sluicectl register " + name + " …"});
    for (const Prefix& prefix : prefixes) {
        const auto local = is_local(prefix);
        if (local && !*local)
            plan.warnings.push_back({"no-local-route",
                                     to_string(prefix) + ": no local route, nothing will arrive",
                                     "ip route add local " + to_string(prefix) + " dev lo"});
    }
}

Result<bool> Agent::detach(const Author& by) {
    if (!plane_->dispatcher().attached()) return false;
    // Remembered first: a reboot in between must not attach what somebody wanted gone.
    if (auto ok = store_.set_detached(true); !ok) return pass_on(ok);
    if (auto ok = plane_->dispatcher().detach(); !ok) return pass_on(ok);
    spdlog::warn("detached (by {}): traffic is left to the kernel's ordinary lookup",
                 to_string(by));
    return true;
}

// For the time after a reboot: what is so now.
Result<> Agent::remember_attached() {
    const bool detached = !plane_->dispatcher().attached();
    if (store_.detached() == detached) return {};
    return store_.set_detached(detached);
}

Result<bool> Agent::attach(const Author& by) {
    if (plane_->dispatcher().attached() && !store_.detached()) return false;
    if (auto ok = plane_->dispatcher().attach(); !ok) return pass_on(ok);
    if (auto ok = remember_attached(); !ok) return pass_on(ok);
    spdlog::info("attached (by {})", to_string(by));
    return true;
}

Result<Json> Agent::explain(const Question& question) const {
    World world;
    world.bindings = &running_.table->effective;
    for (const auto& [name, service] : running_.generation.services)
        world.policies[name] = service.unavailable;
    world.generation = running_.generation.number;
    world.since = running_.generation.time;
    std::vector<Warning> warnings;
    world.change = change_json(running_.generation);
    const auto local = is_local(Prefix::of(question.to.address, question.to.address.bits()));
    if (local) world.arrives = *local;
    if (local && !*local)
        warnings.push_back(
            {"no-local-route",
             to_string(question.to.address) + ": no local route, nothing will arrive",
             "ip route add local " + to_string(question.to.address) + " dev lo"});
    if (!plane_->dispatcher().attached())
        warnings.push_back({"detached", "the dispatcher is detached: this is what it would answer",
                            "sluicectl attach"});
    // A socket may close between the two verdicts: only a lasting difference is one.
    for (int attempt = 0;; ++attempt) {
        world.sockets = plane_->candidates(question.protocol, question.to.address.family);
        auto kernel = kernel::ask(plane_->dispatcher().maps(), plane_->lookup(), question,
                                  plane_->dispatcher().program_id());
        if (!kernel) return pass_on(kernel);
        if (auto foreign = plane_->dispatcher().foreign_programs())
            kernel->foreign_programs = std::move(*foreign);
        const Answer model = answer(world, question);
        if (model.service) world.unavailable_since = troubled_since(*model.service);
        if (agree(model, *kernel) || attempt == 2)
            return explain_json(world, question, model, *kernel, warnings);
    }
}

void Agent::want_grace() const {
    if (plane_->wants_grace() && on_grace_wanted) on_grace_wanted();
}

bool Agent::finish_grace(const kernel::Dataplane::Ticket& ticket) {
    std::set<std::string> keep;
    for (const auto& [name, service] : running_.generation.services) keep.insert(name);
    auto ok = plane_->finish_grace(ticket, keep);
    if (!ok) spdlog::error("{}", ok.error().message());
    return ok.has_value();
}

void Agent::put_off_grace(kernel::Dataplane::Ticket ticket, const Error& why) {
    spdlog::error("{}", why.message());
    plane_->put_off_grace(std::move(ticket));
}

}  // namespace sluice

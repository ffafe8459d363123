// SPDX-License-Identifier: Apache-2.0
#include "daemon/agent.h"

#include <algorithm>
#include <cerrno>
#include <ranges>
#include <utility>

#include <spdlog/spdlog.h>

#include "sys/clock.h"
#include "sys/routes.h"

namespace sluice {

Result<std::unique_ptr<Agent>> Agent::start(const Options& options) {
    auto store = StateStore::open(options.state_dir);
    if (!store) return pass_on(store, "open the state directory");
    auto boot = boot_id();
    if (!boot) return pass_on(boot);
    std::unique_ptr<Agent> agent(new Agent(options, std::move(*store), std::move(*boot)));
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
    agent->look_at_config();
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
    auto generation = as_the_kernel_says(number, *bindings);
    if (!generation) return pass_on(generation);
    spdlog::info("adopted generation {}: {} bindings, {} sockets", number, bindings->size(),
                 plane_->sockets().all().size());
    return make_current(std::move(*generation));
}

// The stored generation of that number, where it is what the kernel answers from. Where it is not,
// the kernel's bindings, and of the stored one what the kernel does not know. One that cannot be
// read at the moment ends the start: it may say that it is to be confirmed, and what is set aside.
Result<Generation> Agent::as_the_kernel_says(std::uint64_t number, const Bindings& bindings) {
    auto stored = store_.load(number);
    if (!stored && !StateStore::is_lost(stored.error()))
        return fail(std::move(stored).error().hint(
            "traffic goes on as it is; where it stays so, move that file away: "
            "sluiced then goes on from the kernel's table"));
    auto table = stored ? overlay(stored->config, stored->runtime) : Result<Overlay>(Overlay{});
    const auto same = [](const Binding& a, const Binding& b) { return a.same_meaning(b); };
    if (stored && table && std::ranges::equal(table->effective, bindings, same))
        return std::move(*stored);
    spdlog::warn(
        "generation {} in the state directory is not what the kernel answers from{}; "
        "going on from the kernel's table",
        number, stored ? "" : " (" + stored.error().message() + ")");
    Generation generation = from_kernel(bindings);
    if (stored) {
        std::swap(stored->config, generation.config);
        std::swap(stored->runtime, generation.runtime);
        for (auto& [name, service] : generation.services)
            stored->services.try_emplace(name, service);
        generation = std::move(*stored);
        generation.config_content = 0;  // so that the config is looked at again
    }
    if (auto ok = store_.save(generation); !ok)
        spdlog::error("a reboot would not bring it back: {}", ok.error().message());
    return generation;
}

// After a reboot: the last generation answers again, before the config is looked at.
Result<> Agent::bring_back() {
    auto last = store_.current();
    if (!last) {
        last = store_.newest();
        if (!last) return {};  // the first start of all
        spdlog::warn("the number of the last generation is lost: taking the newest, {}", *last);
    }
    // An older one is better than none at all.
    std::vector<std::uint64_t> numbers{*last};
    for (const Record& record : store_.history(*last) | std::views::reverse)
        if (record.number < *last) numbers.push_back(record.number);
    for (const std::uint64_t number : numbers) {
        auto generation = store_.load(number);
        if (generation) return bring_back(std::move(*generation));
        spdlog::error("generation {} cannot be brought back: {}", number,
                      generation.error().message());
    }
    return {};
}

// One that was not confirmed before the machine was booted is not brought back: the one before is.
Result<> Agent::bring_back(Generation last) {
    if (!last.pending || last.pending->boot == boot_) return restore(std::move(last));
    const std::string which = "generation " + std::to_string(last.number);
    running_.generation = std::move(last);
    auto proposed = going_back(running_.generation.pending->return_to, Author{0, -1, 0, "sluiced"},
                               "not confirmed", which + " was not confirmed before a reboot");
    auto stored = proposed ? store_.save(proposed->to) : Result<>(pass_on(proposed));
    if (stored) {
        spdlog::warn("{} was not confirmed before a reboot: the one before it answers", which);
        return restore(std::move(proposed->to));
    }
    spdlog::error("{} was not confirmed before a reboot, and cannot be left: {}", which,
                  stored.error().message());
    return restore(std::move(running_.generation));
}

Generation Agent::from_kernel(const Bindings& bindings) const {
    Generation generation;
    const auto& maps = plane_->dispatcher().maps();
    generation.number = plane_->table().generation();
    generation.base = generation.number - 1;
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
    make_current(std::move(generation), std::move(*table));
    return {};
}

void Agent::make_current(Generation generation, Overlay table) {
    access_ = AccessRules{generation.admins, generation.services};
    running_ = {std::move(generation), std::make_shared<const Overlay>(std::move(table)), {}};
    running_.use = count_use(running_.table->effective);
    if (auto ok = plane_->configure(running_.generation.dataplane); !ok)
        spdlog::error("the index is off: {}", ok.error().message());
    remember();
    note_health();
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

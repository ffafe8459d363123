// SPDX-License-Identifier: Apache-2.0
#include "kernel/dataplane.h"

#include "kernel/one_way_lookup.h"

namespace sluice::kernel {
namespace {

constexpr std::size_t settled_at_once =
    20'000;  // prefixes: some 50 ms, and then others have their turn

}  // namespace

Result<std::unique_ptr<Dataplane>> Dataplane::open(const Site& site) {
    auto dispatcher = Dispatcher::open(site);
    if (!dispatcher) return pass_on(dispatcher);
    auto lookup = Lookup::open(dispatcher->directory());
    if (!lookup) return pass_on(lookup);
    // The tables point at the dispatcher, so it must not move any more.
    std::unique_ptr<Dataplane> plane(new Dataplane(std::move(*dispatcher), std::move(*lookup)));
    auto table = BindingTable::adopt(plane->dispatcher_, plane->services_);
    if (!table) return pass_on(table);
    plane->table_.emplace(std::move(*table));
    auto sockets = SocketTable::adopt(plane->dispatcher_, plane->services_);
    if (!sockets) return pass_on(sockets);
    plane->sockets_.emplace(std::move(*sockets));
    return plane;
}

Result<ApplyStats> Dataplane::apply(const TableChange& change) {
    // An index that only waits to answer needs no grace period now: the tries answer from this
    // change on.
    if (dispatcher_.maps().state().target != 0) {
        if (auto ok = dispatcher_.grace_period(); !ok) return pass_on(ok);
        if (auto ok = table_->settle(); !ok) return pass_on(ok, "write the second half");
    }
    auto stats = table_->apply(change);
    if (stats) ++changes_;
    return stats;
}

Result<> Dataplane::configure(const DataplaneConfig& config) {
    if (config == table_->config()) return {};
    ++changes_;  // a wait that began before is not one for what this starts
    return table_->configure(config);
}

bool Dataplane::wants_grace() const {
    return !table_->settled() || sockets_->has_retired() || table_->wants_index();
}

Dataplane::Ticket Dataplane::begin_grace() {
    return {changes_, sockets_->retired(), table_->wants_index(), std::string()};
}

Result<> Dataplane::wait(Ticket& ticket) const {
    if (ticket.index) ticket.prepared = dispatcher_.prepare_index(*ticket.index);
    return dispatcher_.grace_period();
}

void Dataplane::put_off_grace(Ticket ticket) { sockets_->retire_again(std::move(ticket.retired)); }

Result<> Dataplane::finish_grace(const Ticket& ticket, const std::set<std::string>& keep) {
    sockets_->reclaim(ticket.retired);
    if (ticket.change == changes_) {  // else a later change took care of itself, or will
        if (auto ok = table_->settle(settled_at_once); !ok)
            return pass_on(ok, "write the second half");
        if (table_->settled()) forget_services(keep);
    }
    return ticket.index ? adopt_index(ticket) : Result<>();
}

Result<> Dataplane::adopt_index(const Ticket& ticket) {
    ++changes_;  // a wait that began before is not one for what this starts
    if (auto ok = table_->adopt_index(ticket.prepared, *ticket.index); !ok)
        return pass_on(ok, "give the index another size");
    auto lookup = Lookup::open(dispatcher_.directory());
    if (!lookup) return pass_on(lookup);
    lookup_ = std::move(*lookup);
    return {};
}

void Dataplane::forget_services(const std::set<std::string>& keep) {
    std::vector<ServiceId> unused;
    for (const auto& [name, id] : services_.all())
        if (!keep.contains(name) && !sockets_->any_of(name)) unused.push_back(id);
    for (const ServiceId id : unused) {
        // The next service of this number is another; figures are the least of what it needs.
        (void)clear_counters(dispatcher_.maps(), id);
        services_.remove(id);
    }
}

namespace {

// In words that a person can compare with the bindings.
std::string target_text(const ServiceTable& services, std::uint32_t target) {
    const std::uint32_t which = target & SLUICE_TARGET_MASK;
    if (which == SLUICE_TARGET_REJECT) return "(reject)";
    if (which == SLUICE_TARGET_PASS) return "(pass)";
    if (which == SLUICE_TARGET_NONE) return "nothing";
    return services.name(static_cast<ServiceId>(which));
}

}  // namespace

Result<SelfCheck> Dataplane::self_check(const Bindings& bindings, std::size_t questions,
                                        std::uint64_t seed) const {
    SelfCheck check;
    if (table_->answering() != Answering::index) return check;
    auto tries = OneWayLookup::load(dispatcher_, Way::tries);
    if (!tries) return pass_on(tries);
    auto index = OneWayLookup::load(dispatcher_, Way::index);
    if (!index) return pass_on(index);
    for (const CheckQuestion& each : check_questions(bindings, questions, seed)) {
        Endpoint from;
        from.address.family = each.to.address.family;
        auto by_tries = tries->target(each.protocol, each.to, from);
        if (!by_tries) return pass_on(by_tries);
        auto by_index = index->target(each.protocol, each.to, from);
        if (!by_index) return pass_on(by_index);
        ++check.questions;
        if (*by_tries == *by_index) continue;
        if (check.differences++ == 0)
            check.first = std::string(to_string(each.protocol)) + " " + to_string(each.to) +
                          ": the index says " + target_text(services_, *by_index) +
                          ", the tries say " + target_text(services_, *by_tries);
    }
    return check;
}

bool Dataplane::usable(const RegisteredSocket& socket, Family family) const {
    const auto verdict = lookup_.usable(socket.slot, socket.protocol, family);
    return verdict && *verdict;
}

std::vector<Candidate> judge(const Lookup& lookup, const std::vector<RegisteredSocket>& sockets,
                             Protocol protocol, Family family) {
    std::vector<Candidate> judged;
    for (const RegisteredSocket& socket : sockets) {
        // One that cannot serve the question is judged for what it can serve.
        const bool fits = socket.serves(protocol, family);
        const auto usable =
            lookup.usable(socket.slot, socket.protocol, fits ? family : socket.family);
        judged.push_back({socket, socket.role == SocketRole::serving && usable && *usable});
    }
    return judged;
}

std::vector<Candidate> Dataplane::candidates(Protocol protocol, Family family) const {
    std::vector<RegisteredSocket> sockets;
    for (const auto& [cookie, socket] : sockets_->all()) sockets.push_back(socket);
    return judge(lookup_, sockets, protocol, family);
}

Result<KernelAnswer> ask(const Maps& maps, const Lookup& lookup, const Question& question,
                         std::uint32_t program_id) {
    Endpoint from;  // the unspecified address and port 0: a flow that no client has
    from.address.family = question.to.address.family;
    auto verdict = lookup.verdict(question.protocol, question.to, question.from.value_or(from));
    if (!verdict) return pass_on(verdict);
    KernelAnswer answer;
    answer.drop = verdict->drop;
    answer.cookie = verdict->cookie;
    answer.program_id = program_id;
    answer.same_program = lookup.same_program();
    answer.attached = maps.state().detached == 0;
    return answer;
}

}  // namespace sluice::kernel

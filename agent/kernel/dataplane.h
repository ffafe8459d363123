// SPDX-License-Identifier: Apache-2.0
// The kernel side of one agent, put together: dispatcher, services, bindings, sockets and lookups.
#pragma once

#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "core/explain.h"
#include "core/self_check.h"
#include "kernel/binding_table.h"
#include "kernel/dispatcher.h"
#include "kernel/lookup.h"
#include "kernel/socket_table.h"

namespace sluice::kernel {

class Dataplane {
  public:
    static Result<std::unique_ptr<Dataplane>> open(const Site& site);

    Dispatcher& dispatcher() { return dispatcher_; }
    const Dispatcher& dispatcher() const { return dispatcher_; }
    const BindingTable& table() const { return *table_; }
    const ServiceTable& services() const { return services_; }
    SocketTable& sockets() { return *sockets_; }
    const SocketTable& sockets() const { return *sockets_; }
    const Lookup& lookup() const { return lookup_; }

    // Makes the change; the retired half of the change before is written first, which blocks for a
    // grace period when finish_grace() has not done so yet.
    Result<ApplyStats> apply(const TableChange& change);

    // The second half of changes, off the caller's thread: while wants_grace(), take begin_grace(),
    // call wait() anywhere, and give the ticket to finish_grace(). Services
    // that are neither in `keep` nor hold sockets are forgotten then.
    //
    // A ticket may also wish for an index of another size; wait() does all that takes its time.
    struct Ticket {
        std::uint64_t change = 0;
        SocketTable::Retired retired;
        std::optional<IndexSizes> index;
        Result<std::string> prepared;  // where that index is pinned, if there is one
    };
    bool wants_grace() const;
    Ticket begin_grace();
    // On any thread, for one ticket at a time.
    Result<> wait(Ticket& ticket) const;
    // A change of very many prefixes takes several turns: ask wants_grace() again.
    Result<> finish_grace(const Ticket& ticket, const std::set<std::string>& keep);
    // Instead of finish_grace(), when waiting failed: everything stays as it was.
    void put_off_grace(Ticket ticket);

    // Of the config: is there an index, and how large may it be?
    Result<> configure(const DataplaneConfig& config);

    // Do index and tries give the same answers? Asked in the kernel, of two copies of the program
    // that are bound to one way each; takes some 100 ms to load them and 5 us a question.
    // `bindings`: what answers now, whose boundaries are asked for.
    Result<SelfCheck> self_check(const Bindings& bindings, std::size_t questions,
                                 std::uint64_t seed) const;

    // Would the kernel accept this socket for lookups of that family, now?
    bool usable(const RegisteredSocket& socket, Family family) const;
    // For explain: every socket, judged for one protocol and family.
    std::vector<Candidate> candidates(Protocol protocol, Family family) const;

  private:
    Dataplane(Dispatcher dispatcher, Lookup lookup)
        : dispatcher_(std::move(dispatcher)),
          services_(dispatcher_.maps().services),
          lookup_(std::move(lookup)) {}

    Result<> adopt_index(const Ticket& ticket);
    void forget_services(const std::set<std::string>& keep);

    Dispatcher dispatcher_;
    ServiceTable services_;
    std::optional<BindingTable> table_;
    std::optional<SocketTable> sockets_;
    Lookup lookup_;
    std::uint64_t changes_ = 0;  // so far: says whether a ticket is of the latest
};

// Judges sockets by the probe; those that wait are not usable. Shared with readers that have only
// the pins.
std::vector<Candidate> judge(const Lookup& lookup, const std::vector<RegisteredSocket>& sockets,
                             Protocol protocol, Family family);

// What the attached program answers, as `explain` wants it.
Result<KernelAnswer> ask(const Maps& maps, const Lookup& lookup, const Question& question,
                         std::uint32_t program_id);

}  // namespace sluice::kernel

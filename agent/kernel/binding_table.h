// SPDX-License-Identifier: Apache-2.0
// Makes the kernel's table equal to a set of bindings, in one step that no lookup sees half of.
//
// Left-right: a change is written to the half that does not answer, one store flips, and after a
// grace period the same change is written to the other half. A crash at any point leaves a whole
// generation answering; `control.target` says which half was being written.
#pragma once

#include <cstdint>
#include <limits>
#include <map>
#include <string>
#include <vector>

#include "core/bindings.h"
#include "core/config.h"
#include "kernel/dispatcher.h"
#include "kernel/index_table.h"
#include "kernel/policy_store.h"
#include "kernel/service_table.h"

namespace sluice::kernel {

struct TableChange {
    std::uint64_t generation = 0;
    std::int64_t time = 0;  // seconds since 1970
    const Bindings* from =
        nullptr;  // what answers now: both owners, as the last apply was given it
    const Bindings* to = nullptr;
    const std::map<std::string, ServiceConfig>* services = nullptr;  // of the new generation
};

struct ApplyStats {
    std::size_t prefixes = 0;        // (protocol, prefix) pairs that changed
    std::size_t map_operations = 0;  // system calls on the tries, up to the flip
    double flip = 0;                 // what the flip took, in milliseconds
    std::size_t index_buckets = 0;   // of 64 bytes, written up to the flip
};

// What lookups are answered from, and why not from the index when they are not.
enum class Answering : std::uint8_t { index, off, too_large, rebuilding };

class BindingTable {
  public:
    // Adopts the half that answers; when a change was under way, the other half is made equal to it
    // first, which takes a grace period and a scan.
    static Result<BindingTable> adopt(Dispatcher& dispatcher, ServiceTable& services);

    std::uint64_t generation() const;
    std::int64_t changed() const;  // when it was made active

    // On failure the old generation answers as before. Needs `settled()`.
    Result<ApplyStats> apply(const TableChange& change);
    // False between a flip and settle(): the retired half is still the old generation's, or the
    // index could answer and does not yet.
    bool settled() const { return !pending_ && !index_pending_ && !index_idle(); }
    // Writes the change to the retired half too, or so many prefixes of it: call it again while it
    // is not settled(). The first time a grace period after apply() returned.
    Result<> settle(std::size_t limit = std::numeric_limits<std::size_t>::max());

    // Off: the tries answer at once, and the index is forgotten. On again, it is made from the
    // tries, which takes a scan of them.
    Result<> configure(const DataplaneConfig& config);
    const DataplaneConfig& config() const { return config_; }
    Answering answering() const;
    const std::optional<IndexTable>& index() const { return index_; }
    // The index needs maps of another size (Dispatcher::prepare_index); nothing when it does not.
    std::optional<IndexSizes> wants_index() const;
    // On the thread of apply(), with what was prepared for that wish, or why it could not be.
    Result<> adopt_index(Result<std::string> prepared, const IndexSizes& wish);

    // How many distinct (protocol, prefix) pairs a set of bindings takes of the capacity.
    static std::size_t prefixes_in(const Bindings& bindings);

  private:
    template <class Key>
    struct Cell {
        Key key;
        PolicyId before = 0, after = 0;  // 0: no policy
    };
    struct Cells {
        std::vector<Cell<sluice_key_v4>> v4;
        std::vector<Cell<sluice_key_v6>> v6;
        std::size_t size() const { return v4.size() + v6.size(); }
    };

    BindingTable(Dispatcher& dispatcher, ServiceTable& services)
        : dispatcher_(&dispatcher),
          services_(&services),
          store_(dispatcher.maps().policies),
          index_(dispatcher.maps().index) {}
    sluice_control& control() const { return dispatcher_->maps().state(); }
    Result<> repair();
    Result<> adopt_policies();
    Result<> settle_tries(std::size_t limit);
    Result<std::size_t> settle_some(std::size_t limit);
    template <class Each>
    Result<> each_answering(Each&& each) const;
    void put_in_index(const Cells& cells);
    // The index holds what answers, and its maps are those of the program.
    bool index_ready() const { return index_ && !index_pending_ && index_->fits(); }
    bool index_idle() const { return index_ready() && !dispatcher_->maps().by_index(); }
    void tries_answer() const;
    Result<Cells> compile(const TableChange& change);
    Result<> compile_prefix(Cells& cells, std::span<const Binding> before,
                            std::span<const Binding> after);
    Result<std::size_t> write(const Cells& cells, std::uint32_t half);
    void undo(const Cells& cells);
    Result<std::vector<ServiceId>> add_services(
        const std::map<std::string, ServiceConfig>& services);
    void remove_services(const std::vector<ServiceId>& fresh);

    Dispatcher* dispatcher_;
    ServiceTable* services_;
    PolicyStore store_;
    std::optional<IndexTable> index_;  // none: it is off
    DataplaneConfig config_;
    std::optional<IndexSizes> refused_;  // a wish that could not be fulfilled
    Cells cells_;                        // of the change that is not settled
    std::size_t settled_ = 0;            // how far settle() came
    bool pending_ = false;
    // Lookups that began before may still read the index that is about to be written: that of
    // another program, or from before the tries took over.
    bool index_pending_ = true;
    bool damaged_ = false;  // an undo failed: repair before the next change
};

}  // namespace sluice::kernel

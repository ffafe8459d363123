// SPDX-License-Identifier: Apache-2.0
#include "kernel/binding_table.h"

#include <algorithm>
#include <chrono>
#include <cstring>

#include "kernel/snapshot.h"

namespace sluice::kernel {
namespace {

constexpr std::size_t batch_size = 4096;

std::uint32_t column(std::uint32_t length, PolicyId policy) {
    return length << SLUICE_LENGTH_SHIFT | policy;
}

template <class Key>
Key make_key(const Match& match) {
    Key key{};
    key.prefixlen = SLUICE_KEY_HEAD_BITS + match.prefix.length;
    key.protocol = static_cast<std::uint8_t>(match.protocol);
    std::memcpy(key.address, match.prefix.address.bytes.data(), sizeof key.address);
    return key;
}

template <class Key>
std::uint32_t length_of(const Key& key) {
    return key.prefixlen - SLUICE_KEY_HEAD_BITS;
}

// Both columns of one entry, with one of them as asked.
template <class Key>
sluice_prefix value_of(const Key& key, PolicyId in_half, PolicyId in_other, std::uint32_t half) {
    sluice_prefix value{};
    value.column[half] = column(length_of(key), in_half);
    value.column[1 - half] = column(length_of(key), in_other);
    return value;
}

// Many updates in few system calls; one by one where the kernel has no batches for tries
// (before 5.13).
template <class Key>
class TrieWriter {
  public:
    explicit TrieWriter(const Map<Key, sluice_prefix>& trie) : trie_(trie) {
        keys_.reserve(batch_size);
        values_.reserve(batch_size);
    }

    Result<> put(const Key& key, const sluice_prefix& value) {
        keys_.push_back(key);
        values_.push_back(value);
        return keys_.size() < batch_size ? Result<>() : flush();
    }

    Result<> flush() {
        std::size_t done = 0;
        if (keys_.size() > 1 && batches_) {
            auto count = static_cast<std::uint32_t>(keys_.size());
            const int error = raw::update_batch(trie_.fd(), keys_.data(), values_.data(), count);
            ++operations_;
            if (error == 0) done = keys_.size();
            // The kernel says how far it came; what is left goes one by one, and names the real
            // error.
            else if (count < keys_.size())
                done = count;
            batches_ = error == 0;
        }
        for (; done < keys_.size(); ++done, ++operations_)
            if (auto ok = trie_.update(keys_[done], values_[done]); !ok) return ok;
        keys_.clear();
        values_.clear();
        return {};
    }

    std::size_t operations() const { return operations_; }

  private:
    const Map<Key, sluice_prefix>& trie_;
    std::vector<Key> keys_;
    std::vector<sluice_prefix> values_;
    bool batches_ = true;
    std::size_t operations_ = 0;
};

template <class Key, class Cells>
Result<std::size_t> write_half(const Map<Key, sluice_prefix>& trie, const Cells& cells,
                               std::uint32_t half) {
    TrieWriter<Key> writer(trie);
    for (const auto& cell : cells)
        if (auto ok = writer.put(cell.key, value_of(cell.key, cell.after, cell.before, half)); !ok)
            return pass_on(ok);
    if (auto ok = writer.flush(); !ok) return pass_on(ok);
    return writer.operations();
}

// Both halves get the same policy; an entry without one in either goes, and goes first: on 5.10 a
// full trie refuses even to overwrite.
template <class Key, class Cells, class Choose>
Result<> erase_both(const Map<Key, sluice_prefix>& trie, const Cells& cells, Choose policy_of) {
    for (const auto& cell : cells)
        if (policy_of(cell) == 0)
            if (auto ok = trie.erase(cell.key); !ok) return ok;
    return {};
}

template <class Key, class Cells, class Choose>
Result<> put_both(const Map<Key, sluice_prefix>& trie, const Cells& cells, Choose policy_of) {
    TrieWriter<Key> writer(trie);
    for (const auto& cell : cells)
        if (const PolicyId policy = policy_of(cell); policy != 0)
            if (auto ok = writer.put(cell.key, value_of(cell.key, policy, policy, 0)); !ok)
                return ok;
    return writer.flush();
}

template <class Key, class Cells, class Choose>
Result<> write_both(const Map<Key, sluice_prefix>& trie, const Cells& cells, Choose policy_of) {
    if (auto ok = erase_both(trie, cells, policy_of); !ok) return ok;
    return put_both(trie, cells, policy_of);
}

// Makes the column that does not answer equal to the one that does, wherever they differ.
template <class Key>
Result<> repair_trie(const Map<Key, sluice_prefix>& trie, std::uint32_t active) {
    struct Fix {
        Key key;
        PolicyId policy;
    };
    std::vector<Fix> fixes;
    auto ok = trie.each_key([&](const Key& key) -> Result<> {
        auto value = trie.lookup(key);
        if (!value) return pass_on(value);
        if (*value && (*value)->column[0] != (*value)->column[1])
            fixes.push_back({key, (*value)->column[active] & SLUICE_POLICY_MASK});
        else if (*value && ((*value)->column[0] & SLUICE_POLICY_MASK) == 0)
            fixes.push_back({key, 0});
        return {};
    });
    if (!ok) return ok;
    return write_both(trie, fixes, [](const Fix& fix) { return fix.policy; });
}

// The end of the group that starts at `i`: all bindings of one (protocol, prefix).
std::size_t group_end(std::span<const Binding> bindings, std::size_t i) {
    std::size_t end = i + 1;
    while (end < bindings.size() && same_prefix(bindings[i].match, bindings[end].match)) ++end;
    return end;
}

std::strong_ordering compare_prefixes(const Match& a, const Match& b) {
    return Match{a.protocol, a.prefix, Ports::any()} <=> Match{b.protocol, b.prefix, Ports::any()};
}

bool same_group(std::span<const Binding> a, std::span<const Binding> b) {
    return std::ranges::equal(a, b,
                              [](const Binding& x, const Binding& y) { return x.same_meaning(y); });
}

// Calls each(before, after) for every (protocol, prefix) whose bindings differ.
template <class Each>
Result<> each_difference(std::span<const Binding> from, std::span<const Binding> to, Each&& each) {
    if (from.data() == to.data() && from.size() == to.size()) return {};  // copies share
    std::size_t i = 0, k = 0;
    while (i < from.size() || k < to.size()) {
        auto order = std::strong_ordering::equal;
        if (i == from.size())
            order = std::strong_ordering::greater;
        else if (k == to.size())
            order = std::strong_ordering::less;
        else
            order = compare_prefixes(from[i].match, to[k].match);
        const std::size_t i_end = order <= 0 ? group_end(from, i) : i;
        const std::size_t k_end = order >= 0 ? group_end(to, k) : k;
        const auto before = from.subspan(i, i_end - i), after = to.subspan(k, k_end - k);
        if (!same_group(before, after))
            if (auto ok = each(before, after); !ok) return ok;
        i = i_end;
        k = k_end;
    }
    return {};
}

}  // namespace

std::uint64_t BindingTable::generation() const {
    return control().generation[dispatcher_->maps().active()];
}
std::int64_t BindingTable::changed() const { return control().changed; }

std::size_t BindingTable::prefixes_in(const Bindings& bindings) {
    std::size_t count = 0;
    for (std::size_t i = 0; i < bindings.size(); i = group_end(bindings.all(), i)) ++count;
    return count;
}

Result<BindingTable> BindingTable::adopt(Dispatcher& dispatcher, ServiceTable& services) {
    BindingTable table(dispatcher, services);
    if (table.control().target != 0)
        if (auto ok = table.repair(); !ok)
            return pass_on(ok, "repair the half that was being written");
    if (auto ok = table.adopt_policies(); !ok) return pass_on(ok, "read the running table");
    table.tries_answer();  // until the index has been made from what was just read
    return table;
}

Result<> BindingTable::repair() {
    const Maps& maps = dispatcher_->maps();
    const std::uint32_t active = maps.active();
    if (auto ok = dispatcher_->grace_period(); !ok) return ok;
    if (auto ok = repair_trie(maps.prefixes_v4, active); !ok) return ok;
    if (auto ok = repair_trie(maps.prefixes_v6, active); !ok) return ok;
    services_->copy_half(active, 1 - active);
    control().generation[1 - active] = control().generation[active];
    store_release(control().target, 0U);
    damaged_ = false;
    return {};
}

// Calls each(key, policy) for every prefix of the half that answers.
template <class Each>
Result<> BindingTable::each_answering(Each&& each) const {
    const Maps& maps = dispatcher_->maps();
    const std::uint32_t active = maps.active();
    const auto walk = [&](const auto& trie) {
        return trie.each_key([&](const auto& key) -> Result<> {
            auto value = trie.lookup(key);
            if (!value) return pass_on(value);
            const PolicyId policy = *value ? (*value)->column[active] & SLUICE_POLICY_MASK : 0;
            return policy == 0 ? Result<>() : each(key, policy);
        });
    };
    if (auto ok = walk(maps.prefixes_v4); !ok) return ok;
    return walk(maps.prefixes_v6);
}

Result<> BindingTable::adopt_policies() {
    return each_answering([&](const auto& key, PolicyId policy) -> Result<> {
        if (!store_.adopt(policy))
            return fail(Failure::failed, "the kernel's table is damaged: policy " +
                                             std::to_string(policy) + " makes no sense");
        index_->put(key, policy);
        return {};
    });
}

void BindingTable::tries_answer() const {
    store_release(control().active, dispatcher_->maps().active());
}

Result<> BindingTable::configure(const DataplaneConfig& config) {
    if (config == config_) return {};
    config_ = config;
    refused_.reset();
    if (config.index == index_.has_value()) return {};
    tries_answer();
    index_pending_ = true;
    if (!config.index) {
        index_.reset();
        return {};
    }
    index_.emplace(dispatcher_->maps().index);
    auto ok = each_answering([&](const auto& key, PolicyId policy) -> Result<> {
        index_->put(key, policy);
        return {};
    });
    if (ok) return ok;
    index_.reset();
    config_.index = false;
    return pass_on(ok, "make the index from the tries");
}

Answering BindingTable::answering() const {
    if (!index_) return Answering::off;
    if (dispatcher_->maps().by_index()) return Answering::index;
    return index_->wanted(config_.memory) ? Answering::rebuilding : Answering::too_large;
}

std::optional<IndexSizes> BindingTable::wants_index() const {
    constexpr IndexSizes nothing{2, 2};
    const IndexSizes wish = index_ ? index_->wanted(config_.memory).value_or(nothing) : nothing;
    if (wish == IndexTable::sizes(dispatcher_->maps().index) || wish == refused_)
        return std::nullopt;
    return wish;
}

Result<> BindingTable::adopt_index(Result<std::string> prepared, const IndexSizes& wish) {
    refused_ = wish;  // until it is fulfilled
    if (!prepared) return pass_on(prepared);
    auto ok = dispatcher_->adopt_index(*prepared, [this] {
        if (index_) index_->maps_changed();
        if (index_ && index_->fits())
            for (std::uint32_t half = 0; half < SLUICE_HALVES; ++half) index_->write(half);
        else
            tries_answer();  // both programs, before the new one begins
    });
    if (ok) refused_.reset();
    if (index_ && !ok) index_->maps_changed();
    // A run of the old program may still read what `active` says, and then the old maps.
    index_pending_ = true;
    return ok;
}

void BindingTable::put_in_index(const Cells& cells) {
    const auto added = [](const auto& list) {
        return static_cast<std::size_t>(std::ranges::count_if(
            list, [](const auto& cell) { return cell.before == 0 && cell.after != 0; }));
    };
    index_->reserve(added(cells.v4), added(cells.v6));
    for (const auto& cell : cells.v4) index_->put(cell.key, cell.after);
    for (const auto& cell : cells.v6) index_->put(cell.key, cell.after);
    if (!index_->fits()) index_->shrink();
}

Result<> BindingTable::compile_prefix(Cells& cells, std::span<const Binding> before,
                                      std::span<const Binding> after) {
    const auto ids = [this](const std::string& name) { return services_->id(name); };
    const Match& match = after.empty() ? before.front().match : after.front().match;
    PolicyId old_policy = 0, new_policy = 0;
    if (!before.empty()) {
        old_policy = store_.find(compile_policy(before, ids));
        // Written back as what answers, it would be an empty column.
        if (old_policy == 0)
            return fail(
                Error(Failure::failed, "the kernel's table is not what it was read as, at " +
                                           to_string(before.front()))
                    .hint("restart sluiced: it reads the table again"));
    }
    if (!after.empty()) {
        auto acquired = store_.acquire(compile_policy(after, ids));
        if (!acquired) return pass_on(acquired, "bind " + to_string(after.front()));
        new_policy = *acquired;
    }
    if (match.prefix.address.family == Family::ipv4)
        cells.v4.push_back({make_key<sluice_key_v4>(match), old_policy, new_policy});
    else
        cells.v6.push_back({make_key<sluice_key_v6>(match), old_policy, new_policy});
    return {};
}

Result<BindingTable::Cells> BindingTable::compile(const TableChange& change) {
    Cells cells;
    auto ok = each_difference(change.from->all(), change.to->all(),
                              [&](std::span<const Binding> before, std::span<const Binding> after) {
                                  return compile_prefix(cells, before, after);
                              });
    if (ok) return cells;
    const auto give_back = [this](const auto& list) {
        for (const auto& cell : list)
            if (cell.after != 0) store_.release(cell.after);
    };
    give_back(cells.v4);
    give_back(cells.v6);
    return pass_on(ok);
}

Result<std::size_t> BindingTable::write(const Cells& cells, std::uint32_t half) {
    const Maps& maps = dispatcher_->maps();
    auto v4 = write_half(maps.prefixes_v4, cells.v4, half);
    if (!v4) return v4;
    auto v6 = write_half(maps.prefixes_v6, cells.v6, half);
    if (!v6) return v6;
    return *v4 + *v6;
}

// Nothing was flipped: the answering column was never touched, and the other goes back to it.
void BindingTable::undo(const Cells& cells) {
    const Maps& maps = dispatcher_->maps();
    const auto before = [](const auto& cell) { return cell.before; };
    damaged_ = !write_both(maps.prefixes_v4, cells.v4, before) ||
               !write_both(maps.prefixes_v6, cells.v6, before);
    const std::uint32_t active = maps.active();
    services_->copy_half(active, 1 - active);
    if (!damaged_) store_release(control().target, 0U);
    for (const auto& cell : cells.v4)
        if (cell.after != 0) store_.release(cell.after);
    for (const auto& cell : cells.v6)
        if (cell.after != 0) store_.release(cell.after);
}

// Those that had no record before; all of them or none.
Result<std::vector<ServiceId>> BindingTable::add_services(
    const std::map<std::string, ServiceConfig>& services) {
    std::vector<ServiceId> fresh;
    for (const auto& [name, service] : services) {
        if (services_->find(name)) continue;
        auto id = services_->add(name);
        if (!id) {
            remove_services(fresh);
            return pass_on(id);
        }
        fresh.push_back(*id);
    }
    return fresh;
}

// Of a change that was not made: nothing that answers ever named them.
void BindingTable::remove_services(const std::vector<ServiceId>& fresh) {
    for (const ServiceId id : fresh) services_->remove(id);
}

Result<ApplyStats> BindingTable::apply(const TableChange& change) {
    if (damaged_)
        if (auto ok = repair(); !ok) return pass_on(ok, "repair the table");
    const std::size_t wanted = prefixes_in(*change.to);
    if (wanted > dispatcher_->capacity())
        return fail(
            Error(Failure::failed, "the table holds " + std::to_string(dispatcher_->capacity()) +
                                       " prefixes; " + std::to_string(wanted) + " were asked for"));
    auto fresh = add_services(*change.services);
    if (!fresh) return pass_on(fresh);
    auto cells = compile(change);
    if (!cells) {
        remove_services(*fresh);
        return pass_on(cells);
    }

    const std::uint32_t active = dispatcher_->maps().active(), half = 1 - active;
    store_release(control().target, half + 1);
    auto operations = write(*cells, half);
    if (!operations) {
        undo(*cells);
        if (!damaged_) remove_services(*fresh);
        return pass_on(operations);
    }
    services_->set_unavailable(half, *change.services);
    control().generation[half] = change.generation;
    control().changed = change.time;
    ApplyStats stats{cells->size(), *operations, 0, 0};
    if (index_) put_in_index(*cells);
    const bool by_index = index_ready();
    if (by_index) stats.index_buckets = index_->write(half);
    const std::uint32_t answers = half | (by_index ? unsigned{SLUICE_INDEX_ANSWERS} : 0U);
    const auto before_flip = std::chrono::steady_clock::now();
    store_release(control().active, answers);  // the flip
    const std::chrono::duration<double, std::milli> flip =
        std::chrono::steady_clock::now() - before_flip;
    stats.flip = flip.count();
    store_release(control().target, active + 1);
    cells_ = std::move(*cells);
    pending_ = true;
    refused_.reset();
    return stats;
}

Result<> BindingTable::settle(std::size_t limit) {
    if (pending_)
        if (auto ok = settle_tries(limit); !ok) return ok;
    if (pending_) return {};
    index_pending_ = false;
    if (!index_ready()) return {};
    const Maps& maps = dispatcher_->maps();
    const std::uint32_t active = maps.active();
    index_->write(1 - active);
    if (maps.by_index()) return {};
    index_->write(active);
    store_release(control().active, active | SLUICE_INDEX_ANSWERS);
    return {};
}

// From place `settled_` of what is to be done on: all that goes, then all that comes.
Result<std::size_t> BindingTable::settle_some(std::size_t limit) {
    const Maps& maps = dispatcher_->maps();
    const auto after = [](const auto& cell) { return cell.after; };
    const bool erase = settled_ < cells_.size();
    const std::size_t at = erase ? settled_ : settled_ - cells_.size();
    const auto part = [&](const auto& trie, const auto& list, std::size_t from) {
        const auto some = std::span(list).subspan(from, std::min(limit, list.size() - from));
        auto ok = erase ? erase_both(trie, some, after) : put_both(trie, some, after);
        return ok ? Result<std::size_t>(some.size()) : pass_on(ok);
    };
    return at < cells_.v4.size() ? part(maps.prefixes_v4, cells_.v4, at)
                                 : part(maps.prefixes_v6, cells_.v6, at - cells_.v4.size());
}

Result<> BindingTable::settle_tries(std::size_t limit) {
    while (settled_ < 2 * cells_.size() && limit > 0) {
        auto done = settle_some(limit);
        if (!done) return pass_on(done);
        settled_ += *done;
        limit -= *done;
    }
    if (settled_ < 2 * cells_.size()) return {};
    const std::uint32_t active = dispatcher_->maps().active();
    services_->copy_half(active, 1 - active);
    control().generation[1 - active] = control().generation[active];
    store_release(control().target, 0U);
    for (const auto& cell : cells_.v4)
        if (cell.before != 0) store_.release(cell.before);
    for (const auto& cell : cells_.v6)
        if (cell.before != 0) store_.release(cell.before);
    cells_ = {};
    settled_ = 0;
    pending_ = false;
    return {};
}

}  // namespace sluice::kernel

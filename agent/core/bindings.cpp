// SPDX-License-Identifier: Apache-2.0
#include "core/bindings.h"

#include <algorithm>
#include <compare>
#include <iterator>

#include "sluice/abi.h"

namespace sluice {
namespace {

std::string place_of(const Binding& binding) {
    if (binding.file == nullptr) return binding.owner == Owner::runtime ? " (runtime)" : "";
    return " (" + to_string(Place{*binding.file, binding.line, 0}) + ")";
}

std::string with_place(const Binding& binding) { return to_string(binding) + place_of(binding); }

Error located(Error error, const Binding& binding) {
    if (binding.file == nullptr) return error;
    return std::move(error).at(Place{*binding.file, binding.line, 0});
}

// One (protocol, prefix): sorted by first port, wider first, so an enclosing range comes before
// what it encloses and a stack of open ranges is enough.
Result<> check_group(std::span<const Binding> group) {
    std::vector<const Binding*> open;
    std::size_t ports = 0;
    for (const Binding& binding : group) {
        if (binding.match.ports.is_any()) continue;
        if (++ports > SLUICE_MAX_PORTS)
            return fail(Failure::invalid, "more than 65,535 ports and ranges on " +
                                              std::string(to_string(binding.match.protocol)) + " " +
                                              to_string(binding.match.prefix));
        while (!open.empty() && !open.back()->match.ports.touches(binding.match.ports))
            open.pop_back();
        if (!open.empty() && !open.back()->match.ports.contains(binding.match.ports))
            return fail(
                located(located(Error(Failure::invalid,
                                      "port ranges overlap without one being inside the other: " +
                                          with_place(*open.back()) + " and " + with_place(binding)),
                                binding),
                        *open.back()));
        open.push_back(&binding);
        if (open.size() > SLUICE_MAX_RANGE_DEPTH)
            return fail(located(Error(Failure::invalid, "port ranges nest more than 16 deep at " +
                                                            with_place(binding)),
                                binding));
    }
    return {};
}

Result<> check_all(std::span<const Binding> bindings) {
    for (std::size_t i = 0; i < bindings.size();) {
        std::size_t end = i + 1;
        while (end < bindings.size() && same_prefix(bindings[i].match, bindings[end].match)) ++end;
        for (std::size_t k = i + 1; k < end; ++k) {
            if (bindings[k - 1].match != bindings[k].match) continue;
            return fail(
                located(located(Error(Failure::invalid, "bound twice: " + with_place(bindings[k]) +
                                                            " and " + with_place(bindings[k - 1])),
                                bindings[k]),
                        bindings[k - 1]));
        }
        if (auto ok = check_group(bindings.subspan(i, end - i)); !ok) return ok;
        i = end;
    }
    return {};
}

// Most specific first: longer prefix, then narrower ports.
bool more_specific(const Match& a, const Match& b) {
    if (a.prefix.length != b.prefix.length) return a.prefix.length > b.prefix.length;
    return a.ports.width() < b.ports.width();
}

}  // namespace

std::string_view to_string(Lost lost) {
    switch (lost) {
        case Lost::no:
            return "";
        case Lost::shorter_prefix:
            return "shorter prefix";
        case Lost::wider_ports:
            return "wider port range";
        case Lost::other_port:
            return "other port";
    }
    return "";
}

Result<Bindings> Bindings::make(std::vector<Binding> bindings) {
    if (!std::ranges::is_sorted(bindings, std::less{}, &Binding::match))
        std::ranges::stable_sort(bindings, std::less{}, &Binding::match);
    return check_sorted(std::move(bindings));
}

Result<Bindings> Bindings::check_sorted(std::vector<Binding> bindings) {
    if (auto ok = check_all(bindings); !ok) return pass_on(ok);
    return Bindings(std::move(bindings));
}

const Binding* Bindings::find(const Match& match) const {
    const auto at = std::ranges::lower_bound(all(), match, std::less{}, &Binding::match);
    return at != end() && at->match == match ? &*at : nullptr;
}

void Bindings::inherit_since(const Bindings& before, std::int64_t now) {
    if (empty()) return;
    if (bindings_.use_count() > 1) bindings_ = std::make_shared<std::vector<Binding>>(*bindings_);
    auto old = before.begin();
    for (Binding& binding : *bindings_) {
        while (old != before.end() && old->match < binding.match) ++old;
        const bool same = old != before.end() && old->same_meaning(binding);
        binding.since = same && old->since != 0 ? old->since : now;
    }
}

std::span<const Binding> Bindings::on(Protocol protocol, const Prefix& prefix) const {
    const Match lowest{protocol, prefix,
                       Ports::any()};  // sorts before every other range on the prefix
    const auto first = std::ranges::lower_bound(all(), lowest, std::less{}, &Binding::match);
    auto last = first;
    while (last != end() && same_prefix(last->match, lowest)) ++last;
    return {first, last};
}

const Binding* Bindings::lookup(Protocol protocol, const Address& address,
                                std::uint16_t port) const {
    const Binding* best = nullptr;
    for (const Binding& binding : all()) {
        const Match& match = binding.match;
        if (match.protocol != protocol || !match.prefix.contains(address) ||
            !match.ports.contains(port))
            continue;
        if (best == nullptr || more_specific(match, best->match)) best = &binding;
    }
    return best;
}

std::vector<Considered> Bindings::consider(Protocol protocol, const Address& address,
                                           std::uint16_t port) const {
    const Binding* winner = lookup(protocol, address, port);
    std::vector<Considered> considered;
    for (const Binding& binding : all()) {
        if (binding.match.protocol != protocol || !binding.match.prefix.contains(address)) continue;
        Lost lost = Lost::no;
        if (!binding.match.ports.contains(port))
            lost = Lost::other_port;
        else if (&binding != winner)
            lost = binding.match.prefix.length < winner->match.prefix.length ? Lost::shorter_prefix
                                                                             : Lost::wider_ports;
        considered.push_back({&binding, lost});
    }
    std::ranges::stable_sort(considered, [](const Considered& a, const Considered& b) {
        if ((a.lost == Lost::no) != (b.lost == Lost::no)) return a.lost == Lost::no;
        return more_specific(a.binding->match, b.binding->match);
    });
    return considered;
}

namespace {

// The end of what is bound on the (protocol, prefix) of element `start`.
std::size_t end_of_prefix(std::span<const Binding> table, std::size_t start) {
    std::size_t end = start + 1;
    while (end < table.size() && same_prefix(table[start].match, table[end].match)) ++end;
    return end;
}

bool encloses(const Match& outer, const Match& inner) {
    return outer.protocol == inner.protocol && outer.prefix.contains(inner.prefix);
}

// The narrowest of one prefix that answers all of `match`, and is not itself. Ranges nest and are
// sorted by first port, wider first: from the back, the first that does is the narrowest.
const Binding* narrowest(std::span<const Binding> on_prefix, const Match& match) {
    for (auto at = on_prefix.rbegin(); at != on_prefix.rend(); ++at)
        if (at->match.ports.contains(match.ports) && at->match != match) return &*at;
    return nullptr;
}

}  // namespace

const Binding* Coverings::of(const Match& match) {
    // Whatever encloses the match sorts before it, or is on its own prefix.
    while (next_ < table_.size() &&
           (table_[next_].match < match || same_prefix(table_[next_].match, match))) {
        const std::size_t end = end_of_prefix(table_, next_);
        while (!open_.empty() && !encloses(open_.back().front().match, table_[next_].match))
            open_.pop_back();
        open_.push_back(table_.subspan(next_, end - next_));
        next_ = end;
    }
    while (!open_.empty() && !encloses(open_.back().front().match, match)) open_.pop_back();
    for (auto each = open_.rbegin(); each != open_.rend(); ++each)
        if (const Binding* found = narrowest(*each, match); found != nullptr) return found;
    return nullptr;
}

namespace {

// A runtime binding never makes a reload fail: what it contradicts waits behind it.
bool waits_behind(const Binding& binding, const Bindings& runtime) {
    return std::ranges::any_of(
        runtime.on(binding.match.protocol, binding.match.prefix), [&](const Binding& other) {
            const Ports& mine = binding.match.ports;
            const Ports& its = other.match.ports;
            return mine == its || (mine.touches(its) && !mine.contains(its) && !its.contains(mine));
        });
}

}  // namespace

Result<Overlay> Overlay::make(const Bindings& config, const Bindings& runtime) {
    if (runtime.empty()) return Overlay{config, {}};
    std::vector<Binding> answering, shadowed, merged;
    answering.reserve(config.size());
    for (const Binding& binding : config)
        (waits_behind(binding, runtime) ? shadowed : answering).push_back(binding);
    merged.reserve(answering.size() + runtime.size());
    std::ranges::merge(answering, runtime, std::back_inserter(merged), std::less{}, &Binding::match,
                       &Binding::match);
    auto effective = Bindings::check_sorted(std::move(merged));
    if (!effective) return pass_on(effective);
    return Overlay{std::move(*effective), std::move(shadowed)};
}

}  // namespace sluice

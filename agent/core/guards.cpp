// SPDX-License-Identifier: Apache-2.0
#include "core/guards.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <optional>

#include "core/text.h"

namespace sluice {
namespace {

constexpr std::size_t shown = 3;  // bindings of a refusal

constexpr std::array<std::pair<Allow, std::string_view>, 5> words{{{Allow::removals, "removals"},
                                                                   {Allow::protected_, "protected"},
                                                                   {Allow::empty, "empty"},
                                                                   {Allow::unserved, "unserved"},
                                                                   {Allow::hosts, "hosts"}}};

RefusedBy refusal(std::string guard, Allow allow, std::string message) {
    return {std::move(guard), std::move(message), std::string(to_string(allow)), 0, {}};
}

void concern(RefusedBy& refused, const Change& change, ChangeKind kind) {
    ++refused.count;
    if (refused.first.size() < shown) refused.first.push_back({kind, change});
}

std::string percent_text(double percent) { return std::to_string(std::lround(percent)) + " %"; }

bool too_many(const Guards& guards, std::size_t removed, std::size_t before) {
    return removed > guards.max_removed_at_least &&
           static_cast<double>(removed) * 100 >
               guards.max_removed_percent * static_cast<double>(before);
}

void judge_removals(std::vector<RefusedBy>& refusals, const GuardedChange& change) {
    const std::size_t removed = change.plan->removed.size(), before = change.before->size();
    for (const Guards* guards : {change.running, change.coming}) {
        if (!too_many(*guards, removed, before)) continue;
        RefusedBy refused = refusal(
            "max_removed", Allow::removals,
            "it removes " + with_commas(removed) + " of " + with_commas(before) + " bindings (" +
                percent_text(static_cast<double>(removed) * 100 / static_cast<double>(before)) +
                "), more than guards.max_removed allows (" +
                percent_text(guards->max_removed_percent) + ")");
        for (const Change& one : change.plan->removed) concern(refused, one, ChangeKind::removed);
        return refusals.push_back(std::move(refused));
    }
}

void judge_protected(std::vector<RefusedBy>& refusals, const GuardedChange& change) {
    std::set<Prefix> prefixes(change.running->protected_prefixes.begin(),
                              change.running->protected_prefixes.end());
    prefixes.insert(change.coming->protected_prefixes.begin(),
                    change.coming->protected_prefixes.end());
    if (prefixes.empty()) return;
    RefusedBy refused = refusal("protected", Allow::protected_, "");
    std::set<Prefix> touched;
    const auto look = [&](const std::vector<Change>& changes, ChangeKind kind) {
        for (const Change& one : changes)
            for (const Prefix& prefix : prefixes)
                if (prefix.contains(one.binding->match.prefix)) {
                    touched.insert(prefix);
                    concern(refused, one, kind);
                    break;
                }
    };
    look(change.plan->removed, ChangeKind::removed);
    look(change.plan->moved, ChangeKind::moved);
    if (refused.count == 0) return;
    refused.message =
        "it removes or moves " + with_commas(refused.count) +
        (refused.count == 1 ? " binding" : " bindings") + " inside " + to_string(*touched.begin()) +
        (touched.size() > 1 ? " and " + with_commas(touched.size() - 1) + " more prefixes" : "") +
        ", which guards.protected protects";
    refusals.push_back(std::move(refused));
}

void judge_empty(std::vector<RefusedBy>& refusals, const GuardedChange& change) {
    if (change.before->empty() || !change.after->empty()) return;
    if (change.running->allow_empty && change.coming->allow_empty) return;
    RefusedBy refused = refusal("allow_empty", Allow::empty,
                                "it leaves no binding of " + with_commas(change.before->size()) +
                                    ", which guards.allow_empty does not allow");
    for (const Change& one : change.plan->removed) concern(refused, one, ChangeKind::removed);
    refusals.push_back(std::move(refused));
}

void judge_unserved(std::vector<RefusedBy>& refusals, const GuardedChange& change,
                    const GuardFacts& facts) {
    if (!change.running->refuse_unserved && !change.coming->refuse_unserved) return;
    RefusedBy refused = refusal("unserved", Allow::unserved, "");
    std::set<std::string> names;
    for (const Change& one : change.plan->moved) {
        const Target &from = one.other, &to = one.binding->target;
        if (!from.is_service() || !to.is_service()) continue;
        const Protocol protocol = one.binding->match.protocol;
        const Family family = one.binding->match.prefix.address.family;
        if (!facts.served(*from.name, protocol, family) || facts.served(*to.name, protocol, family))
            continue;
        names.insert(*to.name);
        concern(refused, one, ChangeKind::moved);
    }
    if (refused.count == 0) return;
    std::string list;
    for (const std::string& name : names) list += (list.empty() ? "'" : ", '") + name + "'";
    refused.message = "it moves " + with_commas(refused.count) +
                      (refused.count == 1 ? " binding" : " bindings") +
                      " from a served service to one without a usable socket (" + list +
                      "), which guards.unserved refuses";
    refusals.push_back(std::move(refused));
}

// Of all bindings that cover the address and take every port, the one of the longest prefix.
const Binding* takes_all_ports(const Bindings& table, Protocol protocol, const Address& address) {
    for (int length = address.bits(); length >= 0; --length)
        for (const Binding& binding : table.on(protocol, Prefix::of(address, length))) {
            const Ports& ports = binding.match.ports;
            if (ports.is_any() || (ports.first <= 1 && ports.last == 65535)) return &binding;
        }
    return nullptr;
}

void judge_hosts(std::vector<RefusedBy>& refusals, const GuardedChange& change,
                 const GuardFacts& facts) {
    std::vector<Address> allowed;  // by both
    for (const Address& address : change.coming->host_addresses)
        if (std::ranges::find(change.running->host_addresses, address) !=
            change.running->host_addresses.end())
            allowed.push_back(address);
    std::vector<Address> taken_already;
    for (const HostTaken& taken : hosts_taken(*change.before, facts.host_addresses, {}))
        taken_already.push_back(taken.address);
    RefusedBy refused = refusal("host_addresses", Allow::hosts, "");
    std::string list;
    std::set<Match> matches;
    for (const HostTaken& taken : hosts_taken(*change.after, facts.host_addresses, allowed)) {
        if (std::ranges::find(taken_already, taken.address) != taken_already.end()) continue;
        if (list.find(to_string(taken.address)) == std::string::npos)
            list += (list.empty() ? "" : ", ") + to_string(taken.address);
        if (matches.insert(taken.binding->match).second)
            concern(refused, {taken.binding, Target::pass()}, ChangeKind::added);
    }
    if (refused.count == 0) return;
    refused.message = "it takes every port of " + list +
                      ", an address of this host: its ssh, and the answers to its own UDP clients "
                      "(guards.host_addresses)";
    refusals.push_back(std::move(refused));
}

}  // namespace

std::string_view to_string(Allow allow) {
    const auto at = std::ranges::find(words, allow, &std::pair<Allow, std::string_view>::first);
    return at == words.end() ? "" : at->second;
}

Result<Allow> parse_allow_word(std::string_view word) {
    const auto at = std::ranges::find(words, word, &std::pair<Allow, std::string_view>::second);
    if (at != words.end()) return at->first;
    std::string known;
    for (const auto& [allow, name] : words)
        known += (known.empty() ? "" : ", ") + std::string(name);
    return fail(Failure::invalid,
                "'" + std::string(word) + "' is nothing to allow; known are: " + known);
}

Result<Allowed> parse_allowed(std::span<const std::string> list) {
    Allowed allowed;
    for (const std::string& word : list) {
        auto allow = parse_allow_word(word);
        if (!allow) return pass_on(allow);
        allowed.insert(*allow);
    }
    return allowed;
}

std::vector<HostTaken> hosts_taken(const Bindings& table, std::span<const Address> host_addresses,
                                   std::span<const Address> allowed) {
    std::vector<HostTaken> taken;
    for (const Address& address : host_addresses) {
        if (std::ranges::find(allowed, address) != allowed.end()) continue;
        for (const Protocol protocol : {Protocol::tcp, Protocol::udp}) {
            const Binding* binding = takes_all_ports(table, protocol, address);
            if (binding == nullptr || binding->target.kind == Target::Kind::pass) continue;
            taken.push_back({address, binding});
        }
    }
    return taken;
}

std::vector<RefusedBy> judge_guards(const GuardedChange& change, const GuardFacts& facts,
                                    const Allowed& allowed) {
    std::vector<RefusedBy> refusals;
    if (!allowed.contains(Allow::removals)) judge_removals(refusals, change);
    if (!allowed.contains(Allow::protected_)) judge_protected(refusals, change);
    if (!allowed.contains(Allow::empty)) judge_empty(refusals, change);
    if (!allowed.contains(Allow::unserved)) judge_unserved(refusals, change, facts);
    if (!allowed.contains(Allow::hosts)) judge_hosts(refusals, change, facts);
    return refusals;
}

}  // namespace sluice

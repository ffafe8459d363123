// SPDX-License-Identifier: Apache-2.0
#include "core/lint.h"

#include <algorithm>
#include <span>

namespace sluice {
namespace {

__extension__ using Number = unsigned __int128;

constexpr std::size_t deepest = 512;  // bindings of one address that are compared with each other

Number number_of(const Address& address) {
    Number number = 0;
    for (int i = 0; i < address.bits() / 8; ++i)
        number = number << 8U | address.bytes[static_cast<std::size_t>(i)];
    return number;
}

// A binding whose prefix the one that is looked at is inside of.
struct Open {
    const Binding* binding;
    std::size_t index;
    Number first, last;        // addresses of its prefix
    Number covered = 0;        // how many of them are taken, modulo 2^128
    Number covered_up_to = 0;  // the last of them
    bool any_covered = false;

    Number size() const { return last - first + 1; }  // of ::/0: 0, modulo 2^128
    bool holds(const Open& other) const { return first <= other.first && other.last <= last; }
    // Another binding inside takes these addresses; one inside that one adds nothing.
    void cover(const Open& other) {
        if (any_covered && other.first <= covered_up_to) return;
        any_covered = true;
        covered += other.size();
        covered_up_to = other.last;
    }
    bool is_covered() const { return any_covered && covered == size(); }
};

Open open(const Binding& binding, std::size_t index) {
    const Prefix& prefix = binding.match.prefix;
    const int free_bits = prefix.address.bits() - prefix.length;
    const Number first = number_of(prefix.address);
    const Number rest = free_bits == 0 ? 0 : ~Number{0} >> static_cast<unsigned>(128 - free_bits);
    return {&binding, index, first, first | rest};
}

// The narrower ranges of its own prefix take all ports of binding `at`. They follow it, sorted by
// first port, wider first, and nest.
bool covered_by_ranges(std::span<const Binding> all, std::size_t at) {
    const Ports& wide = all[at].match.ports;
    int next = wide.first;
    for (std::size_t i = at + 1; i < all.size() && next <= wide.last; ++i) {
        const Match& inner = all[i].match;
        if (!same_prefix(inner, all[at].match) || inner.ports.first > next) break;
        next = std::max(next, inner.ports.last + 1);
    }
    return next > wide.last;
}

bool same_kind(const Binding& a, const Binding& b) {
    return a.match.protocol == b.match.protocol &&
           a.match.prefix.address.family == b.match.prefix.address.family;
}

}  // namespace

std::vector<const Binding*> covered_bindings(const Bindings& table, std::size_t most) {
    const auto all = table.all();
    std::vector<bool> covered(all.size());
    std::vector<Open> stack;
    const auto close_down_to = [&](std::size_t size) {
        for (; stack.size() > size; stack.pop_back())
            if (stack.back().is_covered()) covered[stack.back().index] = true;
    };
    for (std::size_t i = 0; i < all.size(); ++i) {
        if (i > 0 && !same_kind(all[i - 1], all[i])) close_down_to(0);
        const Open now = open(all[i], i);
        while (!stack.empty() && !stack.back().holds(now)) close_down_to(stack.size() - 1);
        for (Open& outer : stack)
            if (outer.binding->match.prefix.length < all[i].match.prefix.length &&
                all[i].match.ports.contains(outer.binding->match.ports))
                outer.cover(now);
        if (covered_by_ranges(all, i)) covered[i] = true;
        if (stack.size() < deepest) stack.push_back(now);
    }
    close_down_to(0);
    std::vector<const Binding*> found;
    for (std::size_t i = 0; i < all.size() && found.size() < most; ++i)
        if (covered[i]) found.push_back(&all[i]);
    return found;
}

}  // namespace sluice

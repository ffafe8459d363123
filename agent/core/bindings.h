// SPDX-License-Identifier: Apache-2.0
// A table of bindings, and the lookup that the BPF program must agree with.
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "core/binding.h"

namespace sluice {

// Why one of the bindings that were looked at did not win.
enum class Lost : std::uint8_t { no, shorter_prefix, wider_ports, other_port };
struct Considered {
    const Binding* binding;
    Lost lost;
};
std::string_view to_string(Lost lost);  // "shorter prefix", "wider port range", …; "" for no

// Sorted by match, no match twice, ranges on one prefix nested and at most 16 deep. Copies share
// the bindings: a generation of a million costs its successor nothing that it does not change.
class Bindings {
  public:
    Bindings() = default;

    // Sorts. Errors name both bindings and both places: the same match twice, a partial overlap of
    // ranges, ranges nested deeper than 16, more than 65,535 ports or ranges on one prefix.
    static Result<Bindings> make(std::vector<Binding> bindings);

    std::span<const Binding> all() const {
        return bindings_ ? std::span<const Binding>(*bindings_) : std::span<const Binding>();
    }
    std::size_t size() const { return all().size(); }
    bool empty() const { return all().empty(); }
    auto begin() const { return all().begin(); }
    auto end() const { return all().end(); }
    // One is a copy of the other: equal in everything, places and times too, at no cost.
    bool shares(const Bindings& other) const { return bindings_ == other.bindings_; }

    const Binding* find(const Match& match) const;

    // Since when each has answered so: what `before` says of a binding that means the same, `now`
    // (seconds since 1970) for the others. Linear in both.
    void inherit_since(const Bindings& before, std::int64_t now);
    // The bindings of one (protocol, prefix), in policy order. O(log n).
    std::span<const Binding> on(Protocol protocol, const Prefix& prefix) const;

    // THE MODEL, written for clarity: of all bindings that match, the longest prefix, then the
    // narrowest ports. Null when none matches. O(n).
    const Binding* lookup(Protocol protocol, const Address& address, std::uint16_t port) const;
    // Every binding whose (protocol, prefix) covers the address, the winner first, then most
    // specific first, each with why it lost.
    std::vector<Considered> consider(Protocol protocol, const Address& address,
                                     std::uint16_t port) const;

  private:
    friend struct Overlay;
    explicit Bindings(std::vector<Binding> bindings)
        : bindings_(std::make_shared<std::vector<Binding>>(std::move(bindings))) {}
    static Result<Bindings> check_sorted(std::vector<Binding> bindings);
    std::shared_ptr<std::vector<Binding>> bindings_;  // null: none
};

// What answers the whole of a match when the binding with exactly that match is left out: the next
// wider one. For many matches, asked in the order of tables: all of them together cost one walk
// through the table, which must outlive this.
class Coverings {
  public:
    explicit Coverings(const Bindings& table) : table_(table.all()) {}
    // Null when nothing does. No match before one that was asked for already.
    const Binding* of(const Match& match);

  private:
    std::span<const Binding> table_;
    std::size_t next_ = 0;                        // the first that is not in `open_` and was not
    std::vector<std::span<const Binding>> open_;  // of one prefix each, that encloses the next one
};

// Several owners, one table: a runtime binding answers over the config's with the same match, or
// with a range that overlaps its own in part. Fails only when the merged ranges of one prefix nest
// too deep or are too many.
struct Overlay {
    Bindings effective;
    std::vector<Binding> shadowed;  // the config's bindings that wait behind a runtime one
    static Result<Overlay> make(const Bindings& config, const Bindings& runtime);
};
inline Result<Overlay> overlay(const Bindings& config, const Bindings& runtime) {
    return Overlay::make(config, runtime);
}

}  // namespace sluice

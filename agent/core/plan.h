// SPDX-License-Identifier: Apache-2.0
// What a change would do, as product terms: added, moved and removed bindings, and whose traffic it
// is.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "core/bindings.h"
#include "core/config.h"
#include "core/generation.h"

namespace sluice {

struct Change {
    const Binding* binding;  // added and moved: as it will be; removed: as it was. In the plan's
                             // tables: a million changes are not a million copies
    Target other;  // added: what it takes the traffic from; moved: who had it; removed: who gets
                   // it. Target::pass() stands for "the kernel's ordinary lookup" too.
};

enum class ChangeKind : std::uint8_t { added, moved, removed };

// A guard that a change runs against, and what to say to insist.
struct RefusedBy {
    std::string guard;    // "max_removed", as the config calls it
    std::string message;  // the numbers, and the guard
    std::string allow;    // the word of --allow
    std::size_t count = 0;
    struct First {
        ChangeKind kind = ChangeKind::removed;
        Change change;
    };
    std::vector<First> first;  // the first bindings concerned
};

struct ServiceChange {
    enum class Kind : std::uint8_t { added, changed, removed };
    std::string name;
    Kind kind = Kind::changed;
    struct Field {
        std::string key;  // "unavailable", "description", "register.users", …
        std::string from;
        std::string to;  // as the config would write them
    };
    std::vector<Field> fields;
};

struct Warning {
    std::string code;  // "service-without-sockets", "no-local-route", "waits-behind-runtime", …
    std::string message;
    std::string fix;  // what to type; may be empty
};

struct Plan {
    std::uint64_t base = 0;                     // the generation it was made against
    Bindings from, to;                          // what its changes point into
    std::vector<Change> added, moved, removed;  // in the order of tables
    std::size_t bindings = 0;                   // how many answer afterwards
    std::vector<ServiceChange> services;
    std::vector<Warning> warnings;
    std::vector<RefusedBy> refused_by;  // not empty: nothing was changed
    // What making it took, step by step, in milliseconds.
    std::vector<std::pair<std::string, double>> times;
    bool other_changes =
        false;  // admins, guards or owners differ though no binding or service does
    bool changes() const {
        return !added.empty() || !moved.empty() || !removed.empty() || !services.empty() ||
               other_changes;
    }
};

// Compares what answers: `from` and `to` are overlays of both owners. Linear in both tables.
Plan make_plan(const Generation& from_generation, const Bindings& from,
               const Generation& to_generation, const Bindings& to);

}  // namespace sluice

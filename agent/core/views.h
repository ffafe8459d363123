// SPDX-License-Identifier: Apache-2.0
// The JSON shapes of the control API and of `sluicectl -o json`: fields are added, never changed.
#pragma once

#include <optional>
#include <span>

#include <nlohmann/json.hpp>

#include "core/bindings.h"
#include "core/config.h"
#include "core/history.h"
#include "core/plan.h"
#include "core/registered_socket.h"

namespace sluice {

using Json = nlohmann::json;

Json binding_json(const Binding& binding, bool shadowed);
// A service's name, "reject" or "pass".
std::string target_word(const Target& target);
Json register_json(const RegisterRule& rule);
// "serving", "staged", "failing" or "parked". `configured`: its service is in the config. `usable`:
// the kernel would take it for a lookup, now.
std::string_view socket_state(const RegisteredSocket& socket, bool configured, bool usable);
// `state`: one of those.
Json socket_json(const RegisteredSocket& socket, std::string_view state);
Json warnings_json(const std::vector<Warning>& warnings);
// Who made a generation, when, and why: {time, cause, by, note}.
Json change_json(const Generation& generation);
// The keys of `plan`, which apply, reload, bind, unbind and rollback share: all but the three lists
// of bindings. `counts` says how long those are, `per_service` what is in them by service.
Json plan_head_json(const Plan& plan);
// The lists, in parts, because those of a million bindings would take a gigabyte at once.
class ChangesView {
  public:
    // At most so many of each list. The plan must outlive it.
    ChangesView(const Plan& plan, std::size_t most_of_each);
    std::size_t size() const;
    // {"added": […], "moved": […], "removed": […]} of elements from .. from+count-1
    Json part(std::size_t from, std::size_t count) const;

  private:
    // Those of one kind: the first of the plan's.
    struct List {
        ChangeKind kind;
        std::span<const Change> changes;
    };
    std::vector<List> lists_;
};

// One generation of `history`.
Json record_json(const Record& record, Standing standing);

// What `bindings` selects; every filter that is set must hold.
struct BindingFilter {
    std::optional<std::string> service;
    std::optional<Protocol> protocol;
    std::optional<Address> covering;
    std::optional<Prefix> within;
    std::optional<std::uint16_t> port;
    std::optional<Owner> owner;
    bool matches(const Binding& binding) const;
};

// Running bindings, most specific first, those that wait behind a runtime one after the one they
// wait for. Made into JSON in parts, because a million of them at once would take a gigabyte. The
// tables must outlive it.
class BindingsView {
  public:
    BindingsView(const Bindings& effective, const std::vector<Binding>& shadowed,
                 const BindingFilter& filter);
    std::size_t size() const { return shown_.size(); }
    // Elements from .. from+count-1, or as far as there are any.
    Json part(std::size_t from, std::size_t count) const;

  private:
    struct Shown {
        const Binding* binding;
        bool shadowed;
    };
    static bool before(const Shown& a, const Shown& b);
    std::vector<Shown> shown_;
};

}  // namespace sluice

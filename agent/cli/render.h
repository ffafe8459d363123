// SPDX-License-Identifier: Apache-2.0
// Screens: the JSON that the agent answers (product shapes), as lines of text. Pure. Worst first;
// nothing that is fine takes a line; what is missing in the JSON is left out.
#pragma once

#include <vector>

#include "cli/fields.h"
#include "core/config.h"
#include "core/result.h"

namespace sluice::cli {

// One service only when `service` is not empty.
Lines render_status(const Json& status, const std::string& service, const Look& look);

// What a line of `bindings` needs: a million of them must fit, JSON objects of that many would not.
struct BindingRow {
    std::string protocol, prefix, port, target, owner, where;
    bool shadowed = false;
};
BindingRow binding_row(const Json& binding, const Look& look);
// `total`: all that run. The config's binding that waits behind a runtime one is shown below it.
Lines render_bindings(const std::vector<BindingRow>& rows, std::int64_t total, const Look& look);

Lines render_services(const Json& services, const Look& look);
Lines render_sockets(const Json& sockets, const Look& look);

// What a change did or would do: the first of each list, changed services, what it is to each
// service when it is much, the summary, warnings.
Lines render_changes(const Json& changes, const Look& look);
// The same in two pieces, where all changes are shown, in parts: the lists, and what comes after.
Lines render_change_lists(const Json& part, const Look& look);
Lines render_change_summary(const Json& changes, const Look& look);
// Which generation answers after a change.
Lines render_outcome(const Json& reply, const Look& look);
// The same after `apply`; `within`: the seconds in which it is to be confirmed.
Lines render_applied(const Json& reply, std::optional<std::int64_t> within, const Look& look);
Lines render_times(const Json& reply);
// Why guards refuse: "refused: …", and what to type to insist.
Error refusal(const Json& reply, std::string_view command);
// The first of what a guard would not let happen, indented.
Lines render_refused(const Json& reply, const Look& look);
Lines render_history(const Json& generations, const Look& look);
Lines render_warnings(const Json& warnings, const Look& look);

Lines render_explain(const Json& explanation, const Look& look);

// Each problem with its line and a caret under what is wrong.
Lines render_problems(const CheckedConfig& checked, const Look& look);
Json check_document(const CheckedConfig& checked);

Lines render_registered(const Json& reply, bool staged, const Look& look);
// `forward`: of promote, not of demote.
Lines render_switched(const Json& reply, bool forward, const Look& look);
Lines render_detach(const Json& reply, const Look& look);

// sluicectl: <doing>: <why>, then `hint: …`
Lines render_error(const Error& error, const Look& look);
Json error_document(const Error& error);

}  // namespace sluice::cli

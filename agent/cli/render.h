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

// What a change did: added, moved, removed, services, the summary, warnings.
Lines render_changes(const Json& changes, const Look& look);
// The reply of reload, bind and unbind: the changes, and which generation answers now.
Lines render_outcome(const Json& reply, const Look& look);
// Why a guard refuses, without the "sluicectl: reload: refused: " of the first line.
Error refusal(const Json& reply, std::string_view command);
// Some of what a guard would not let happen, indented.
Lines render_refused(const Json& reply, const Look& look);
Lines render_warnings(const Json& warnings, const Look& look);

Lines render_explain(const Json& explanation, const Look& look);

// Each problem with its line and a caret under what is wrong.
Lines render_problems(const CheckedConfig& checked, const Look& look);
Json check_document(const CheckedConfig& checked);

Lines render_registered(const Json& reply, const Look& look);
Lines render_detach(const Json& reply, const Look& look);

// sluicectl: <doing>: <why>, then `hint: …`
Lines render_error(const Error& error, const Look& look);
Json error_document(const Error& error);

}  // namespace sluice::cli

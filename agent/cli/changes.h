// SPDX-License-Identifier: Apache-2.0
// The methods that answer with a plan: called, shown as text or as one JSON document, and what a
// guard refused said.
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "cli/session.h"

namespace sluice::cli {

constexpr int found_something = 10;  // exit code of `plan --exit-code` and `doctor`

struct ChangeCall {
    std::string_view method;
    Json parameters = Json::object();
    int descriptor = -1;       // goes with the call; -1: none
    std::string_view command;  // as it was typed
    bool all = false;          // every change is shown, not the first ones
    // Lines around the changes, made from the reply.
    std::function<Lines(const Json&)> before{};
    std::function<Lines(const Json&)> after{};
    std::function<void(const Json&)> seen{};  // the reply, without the lists of changes
};

// An exit code: 4 where a guard refuses.
Result<int> run_change(Session& session, ChangeCall& call);

// --allow's words as the parameter.
Result<> add_allow(Json& parameters, const std::string& allow);

}  // namespace sluice::cli

// SPDX-License-Identifier: Apache-2.0
// A config judged with the caller's own rights: no agent, no privileges.
#include <ostream>

#include "cli/commands.h"
#include "cli/render.h"
#include "core/guards.h"

namespace sluice::cli::command {

namespace {

void say_problems(Session& session, const CheckedConfig& checked) {
    Look look = session.look();
    look.width = session.world().err_width;
    for (const std::string& line : render_problems(checked, look))
        session.world().err << line << '\n';
}

// With -o json the answer is the list of problems; "error" goes beside it, as on every failure.
int invalid(Session& session, const CheckedConfig& checked) {
    say_problems(session, checked);
    const Error error = to_error(checked).during("check").as(Failure::invalid);
    if (session.json()) {
        Json document = check_document(checked);
        document.update(error_document(error));
        session.answer(document, {});
    }
    const auto count = static_cast<std::int64_t>(checked.errors.size() + checked.more_errors);
    session.say("check: " + counted(count, "error"));
    return error.exit_code();
}

// Of this host, which need not be the one that the config is for: a warning only.
void warn_of_hosts(CheckedConfig& checked, const std::vector<Address>& host_addresses) {
    const Config& config = *checked.config;
    for (const HostTaken& taken :
         hosts_taken(config.bindings, host_addresses, config.guards.host_addresses))
        checked.warnings.push_back(
            {{taken.binding->file ? *taken.binding->file : "", taken.binding->line, 0},
             to_string(*taken.binding) + " takes every port of " + to_string(taken.address) +
                 ", an address of this host: its ssh, and the answers to its own UDP clients",
             "leave it to this host: {pass: true, protocol: " +
                 std::string(to_string(taken.binding->match.protocol)) +
                 ", prefix: " + to_string(taken.address) + ", port: any}",
             "",
             0});
}

}  // namespace

Result<int> check(Session& session, const Arguments& arguments) {
    const std::string file =
        arguments.words.empty() ? session.globals().config : arguments.words.front();
    CheckedConfig checked = session.world().check(file);
    if (!checked.valid()) return invalid(session, checked);
    warn_of_hosts(checked, session.world().host_addresses());
    const auto services = static_cast<std::int64_t>(checked.config->services.size());
    const auto bindings = static_cast<std::int64_t>(checked.config->bindings.size());
    session.answer(check_document(checked), {file + ": valid, " + counted(services, "service") +
                                             ", " + counted(bindings, "binding")});
    session.world().out.flush();
    say_problems(session, checked);
    return 0;
}

}  // namespace sluice::cli::command

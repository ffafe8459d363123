// SPDX-License-Identifier: Apache-2.0
// The one table of commands: parsing, help and completion all read it, so that they cannot drift
// apart.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "cli/session.h"

namespace CLI {
class App;
}

namespace sluice::cli {

// What any command may be given besides global flags; empty or false when it was not.
struct Arguments {
    std::vector<std::string> words;  // what is no option, in order
    std::string service, protocol, covering, within, port, owner;
    std::string note, from, cookie, pid, unit, cgroup_root;
    std::vector<std::string> fds;
    std::string allow, confirm_within, if_generation;
    bool all = false;
    bool verbose = false;
    bool exit_code = false;
    bool override_config = false;
    bool reject = false;
    bool pass = false;
    bool replace = false;
    bool staged = false;
    bool yes = false;
};

struct Command {
    std::string_view name;
    std::string_view usage;    // what follows the name
    std::string_view help;     // one line
    std::string_view details;  // further text for its --help; may be empty
    std::string_view example;
    std::size_t least_words;
    std::size_t most_words;
    void (*options)(CLI::App&, Arguments&);  // null: none of its own
    // An exit code; an error is shown by the caller.
    Result<int> (*run)(Session&, const Arguments&);
};

std::span<const Command> commands();

// Product terms of a later version: unknown here, and said so.
std::span<const std::string_view> later_commands();

// `why` as a usage error of the command: exit 2, with its usage as the hint.
Error usage_error(const Command& command, const std::string& why);

// `sluicectl ARGUMENTS…` without the program's name. Returns the exit code.
int run(const std::vector<std::string>& arguments, World& world);

namespace command {
Result<int> status(Session&, const Arguments&);
Result<int> bindings(Session&, const Arguments&);
Result<int> services(Session&, const Arguments&);
Result<int> sockets(Session&, const Arguments&);
Result<int> config(Session&, const Arguments&);
Result<int> explain(Session&, const Arguments&);
Result<int> bind(Session&, const Arguments&);
Result<int> unbind(Session&, const Arguments&);
Result<int> plan(Session&, const Arguments&);
Result<int> apply(Session&, const Arguments&);
Result<int> confirm(Session&, const Arguments&);
Result<int> rollback(Session&, const Arguments&);
Result<int> history(Session&, const Arguments&);
Result<int> reload(Session&, const Arguments&);
Result<int> detach(Session&, const Arguments&);
Result<int> attach(Session&, const Arguments&);
Result<int> enlist(Session&, const Arguments&);  // `register`, a keyword
Result<int> unregister(Session&, const Arguments&);
Result<int> promote(Session&, const Arguments&);
Result<int> demote(Session&, const Arguments&);
Result<int> check(Session&, const Arguments&);
Result<int> version(Session&, const Arguments&);
}  // namespace command

}  // namespace sluice::cli

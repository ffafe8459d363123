// SPDX-License-Identifier: Apache-2.0
#include "cli/commands.h"

#include <array>

#include <CLI/CLI.hpp>

namespace sluice::cli {

namespace {

constexpr const char* allow_help = "let guards pass: removals,protected,empty,unserved,hosts";

void bindings_options(CLI::App& app, Arguments& a) {
    app.add_option("--service", a.service, "only those of this service");
    app.add_option("--protocol", a.protocol, "only tcp or udp");
    app.add_option("--covering", a.covering, "only those whose prefix covers this address");
    app.add_option("--within", a.within, "only those whose prefix is inside this one");
    app.add_option("--port", a.port, "only those that match this port");
    app.add_option("--owner", a.owner, "only those of config or runtime");
}

void sockets_options(CLI::App& app, Arguments& a) {
    app.add_option("--service", a.service, "only those of this service");
}

void explain_options(CLI::App& app, Arguments& a) {
    app.add_option("--from", a.from, "the client, ADDR:PORT: which socket this flow gets");
}

void bind_options(CLI::App& app, Arguments& a) {
    app.add_flag("--reject", a.reject, "refuse the traffic, in place of SERVICE");
    app.add_flag("--pass", a.pass, "leave the traffic to the kernel, in place of SERVICE");
    app.add_flag("--override", a.override_config, "answer over a binding of the config");
    app.add_option("--note", a.note, "why, for those who come after");
    app.add_option("--allow", a.allow, allow_help);
    app.add_flag("--all", a.all, "every change, not the first 20 of each kind");
}

constexpr const char* all_help = "every change, not the first 20 of each kind";

void unbind_options(CLI::App& app, Arguments& a) { app.add_flag("--all", a.all, all_help); }

void reload_options(CLI::App& app, Arguments& a) {
    app.add_option("--allow", a.allow, allow_help);
    app.add_flag("--all", a.all, all_help);
}

void plan_options(CLI::App& app, Arguments& a) {
    app.add_option("--allow", a.allow, allow_help);
    app.add_flag("--all", a.all, all_help);
    app.add_flag("--exit-code", a.exit_code, "exit with 10 if anything would change");
}

void apply_options(CLI::App& app, Arguments& a) {
    app.add_option("--confirm-within", a.confirm_within,
                   "it returns by itself unless `confirm` comes: 30s, 5m, 1h");
    app.add_option("--if-generation", a.if_generation,
                   "only if this one still answers: the one that `plan` named");
    app.add_option("--allow", a.allow, allow_help);
    app.add_option("--note", a.note, "why, for those who come after");
    app.add_flag("--all", a.all, all_help);
    app.add_flag("-v,--verbose", a.verbose, "how long each step took");
}

void rollback_options(CLI::App& app, Arguments& a) {
    app.add_option("--note", a.note, "why, for those who come after");
    app.add_flag("--all", a.all, all_help);
}

void register_options(CLI::App& app, Arguments& a) {
    app.add_option("--fd", a.fds, "hand over this inherited descriptor; repeatable, or 3,4,5")
        ->delimiter(',')
        ->allow_extra_args(false);
    app.add_option("--pid", a.pid, "take the sockets from this running process");
    app.add_option("--unit", a.unit, "take them from the processes of this systemd unit");
    app.add_option("--cgroup-root", a.cgroup_root, "where units' slices are: /sys/fs/cgroup");
    app.add_flag("--replace", a.replace, "in place of the sockets that serve now");
    app.add_flag("--staged", a.staged, "ready to serve, for `promote` to switch to");
}

void unregister_options(CLI::App& app, Arguments& a) {
    app.add_option("--cookie", a.cookie, "only this socket, as `sluicectl sockets` prints it");
}

void detach_options(CLI::App& app, Arguments& a) { app.add_flag("--yes", a.yes, "do not ask"); }

constexpr std::size_t any = 1000;

constexpr std::array table = {
    Command{"status", "[SERVICE]", "one screen: what is wrong and why, and what runs, worst first",
            "With the agent dead, as root: what the pins say, and exit 3.", "sluicectl status", 0,
            1, nullptr, command::status},
    Command{
        "bindings",
        "[--service S] [--protocol P] [--covering ADDR] [--within PREFIX] [--port N] [--owner O]",
        "the running bindings, most specific first",
        "All filters must hold. With the agent dead, as root: what the pins say, and exit 3.",
        "sluicectl bindings --covering 192.0.2.200 --port 443", 0, 0, bindings_options,
        command::bindings},
    Command{"services", "", "services with policy and health", "", "sluicectl services", 0, 0,
            nullptr, command::services},
    Command{
        "sockets", "[--service SERVICE]", "sockets with owner, address, cookie, age and share",
        "SHARE is the part of the service's lookups a socket gets; of a dual-stack one for IPv4 "
        "and IPv6 when they differ.",
        "sluicectl sockets --service cdn", 0, 0, sockets_options, command::sockets},
    Command{"bind", "[--override] [--note TEXT] SERVICE|--reject|--pass PROTOCOL PREFIX PORT",
            "add runtime bindings: they last until they are unbound",
            "Lists with commas are one change. What is so already is no error. On a match that the "
            "config has, --override is needed: the config's binding then waits behind this one.",
            "sluicectl bind cdn tcp,udp 192.0.2.200,2001:db8::/64 443", 3, 4, bind_options,
            command::bind},
    Command{"unbind", "PROTOCOL PREFIX PORT", "remove runtime bindings",
            "Lists with commas are one change.", "sluicectl unbind tcp,udp 192.0.2.200 443", 3, 3,
            unbind_options, command::unbind},
    Command{
        "register",
        "[SERVICE] [--fd N… | --pid PID | --unit UNIT] [--replace | --staged] [PROTOCOL ADDRESS "
        "PORT …]",
        "hand sockets to the agent for a service, all or none",
        "Without --fd, --pid or --unit: the sockets of LISTEN_FDS (systemd). Without SERVICE "
        "as well: "
        "each under its FileDescriptorName in LISTEN_FDNAMES, one registration a name. "
        "With --pid and --unit: every triple names one kind of socket, all its members are taken; "
        "no "
        "match is an error. With --replace the sockets that served get nothing new and drain; "
        "those that are staged, or wait for `demote`, stay. With --staged the sockets get "
        "nothing until `promote`, beside others that are staged; one that closes meanwhile is "
        "forgotten, and none serves by itself when those that serve are gone. The same socket "
        "again changes nothing, but that --replace has one that waits serve.",
        "sluicectl register cdn --unit nginx.service tcp 0.0.0.0 443 tcp :: 443", 0, any,
        register_options, command::enlist},
    Command{"unregister", "SERVICE [--cookie COOKIE]", "take a service's sockets out", "",
            "sluicectl unregister cdn --cookie 1f4", 1, 1, unregister_options, command::unregister},
    Command{"promote", "SERVICE", "switch to the sockets that are staged, in one step",
            "Those that served before get nothing new, and wait: `demote` goes back to them. Those "
            "that waited so before them are let go. Exit 4 when none is staged, or none of them "
            "can serve.",
            "sluicectl promote cdn", 1, 1, nullptr, command::promote},
    Command{"demote", "SERVICE", "go back to the sockets from before `promote`, in one step",
            "Those that served are staged again, unless others have been staged meanwhile: then "
            "they are let go. Exit 4 when there are none to go back to.",
            "sluicectl demote cdn", 1, 1, nullptr, command::demote},
    Command{"check", "[FILE]", "validate a config; needs no agent and no privileges",
            "FILE is the instance's config unless it is given.",
            "sluicectl check /etc/sluice/sluice.yaml", 0, 1, nullptr, command::check},
    Command{
        "plan", "[FILE] [--allow WORDS] [--exit-code] [--all]",
        "what a config would change, and whose traffic that is",
        "FILE is the instance's config unless it is given; it and what it includes are read with "
        "your rights. Nothing is changed. Exit 4 if a guard would refuse it.",
        "sluicectl plan --exit-code", 0, 1, plan_options, command::plan},
    Command{"apply",
            "[FILE] [--confirm-within DURATION] [--if-generation N] [--allow WORDS] [--note TEXT]",
            "make a config so, in one step",
            "With --confirm-within it is made at once and returns by itself to the generation "
            "before, unless `confirm` comes in time; meanwhile other changes are refused. After "
            "a FILE that is not the instance's config, restarts leave that alone until `reload`.",
            "sluicectl apply --confirm-within 5m --note \"move /25 to cdn\"", 0, 1, apply_options,
            command::apply},
    Command{"confirm", "", "keep what `apply --confirm-within` made", "", "sluicectl confirm", 0, 0,
            nullptr, command::confirm},
    Command{
        "rollback", "[GENERATION] [--note TEXT]",
        "bring the config of a kept generation back, at once",
        "No guard judges it. Without a number: the newest state before this one that was not "
        "rolled back "
        "from, so twice goes back two. Runtime bindings stay. The config file's present content "
        "is set aside: it is not applied again until it changes or you type `apply`.",
        "sluicectl rollback", 0, 1, rollback_options, command::rollback},
    Command{"history", "[GENERATION]", "the generations that are kept, the newest first", "",
            "sluicectl history", 0, 1, nullptr, command::history},
    Command{"reload", "[--allow WORDS]", "have the agent read its config again, with the result",
            "An invalid or refused config changes nothing.", "sluicectl reload", 0, 0,
            reload_options, command::reload},
    Command{"config", "[GENERATION]", "the running config, or a kept one, as a file for `apply`",
            "", "sluicectl config 42 > before.yaml", 0, 1, nullptr, command::config},
    Command{"explain", "PROTOCOL ADDRESS PORT [--from ADDR:PORT]",
            "who gets this traffic, and why: the attached program's own verdict",
            "It leaves no trace: no counter moves. Exit 1 if program and model differ. With the "
            "agent dead, as root: what the pins say, and exit 3.",
            "sluicectl explain tcp 192.0.2.200 443", 3, 3, explain_options, command::explain},
    Command{"detach", "[--yes]", "remove the dispatcher: traffic falls to ordinary listeners",
            "Says first what each service's traffic falls to, then asks for the host's name. The "
            "agent stays detached, through restart and reboot, until `sluicectl attach`.",
            "sluicectl detach", 0, 0, detach_options, command::detach},
    Command{"attach", "", "undo `detach`", "", "sluicectl attach", 0, 0, nullptr, command::attach},
    Command{"version", "", "print the version of sluicectl", "", "sluicectl version", 0, 0, nullptr,
            command::version},
};

}  // namespace

std::span<const Command> commands() { return table; }

std::span<const std::string_view> later_commands() {
    static constexpr std::array<std::string_view, 3> names = {"trace", "metrics", "doctor"};
    return names;
}

Error usage_error(const Command& command, const std::string& why) {
    const std::string usage(command.usage);
    return Error(Failure::invalid, why)
        .during(command.name)
        .hint("usage: sluicectl " + std::string(command.name) + (usage.empty() ? "" : " " + usage));
}

}  // namespace sluice::cli

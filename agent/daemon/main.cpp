// SPDX-License-Identifier: Apache-2.0
// sluiced: reads its options, wires the parts together, and runs the loop.
#include <csignal>
#include <cstdlib>
#include <iostream>

#include <CLI/CLI.hpp>
#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/spdlog.h>

#include "daemon/agent.h"
#include "daemon/grace_waiter.h"
#include "daemon/methods.h"
#include "daemon/register_server.h"
#include "daemon/socket_watch.h"
#include "daemon/varlink_server.h"
#include "sys/event_loop.h"
#include "sys/files.h"
#include "sys/netns.h"
#include "sys/systemd.h"
#include "sys/unix_socket.h"

namespace sluice {
namespace {

constexpr int wrong_usage = 2;
constexpr std::chrono::seconds tick_period{1};

// An instance has directories of its own; those that are named win.
void apply_instance(Options& options, const CLI::App& app) {
    if (options.instance.empty()) return;
    const auto unless_named = [&](const char* flag, std::string& value, std::string by_instance) {
        if (app.count(flag) == 0) value = std::move(by_instance);
    };
    const std::string& name = options.instance;
    unless_named("--config", options.config, "/etc/sluice/" + name + ".yaml");
    unless_named("--run-dir", options.run_dir, "/run/sluice-" + name);
    unless_named("--state-dir", options.state_dir, "/var/lib/sluice-" + name);
    unless_named("--bpffs", options.bpffs, "/sys/fs/bpf/sluice-" + name);
}

void start_log(const std::string& level) {
    auto log = spdlog::stderr_color_mt("sluiced");
    // The journal has the time already.
    log->set_pattern(std::getenv("JOURNAL_STREAM") != nullptr ? "%l: %v"
                                                              : "%Y-%m-%d %H:%M:%S.%e %l: %v");
    log->set_level(spdlog::level::from_str(level));
    spdlog::set_default_logger(std::move(log));
}

// What systemd passed: our own sockets by type and name, everything else by the service's name.
struct Passed {
    Fd control, registering;
    std::vector<NamedFd> services;
};

Result<Passed> take_passed() {
    auto all = passed_descriptors();
    if (!all) return pass_on(all);
    Passed passed;
    for (NamedFd& one : *all) {
        if (one.name == "control")
            passed.control = std::move(one.fd);
        else if (one.name == "register")
            passed.registering = std::move(one.fd);
        else
            passed.services.push_back(std::move(one));
    }
    return passed;
}

void register_passed(Agent& agent, const std::vector<NamedFd>& services) {
    std::map<std::string, std::vector<int>> by_service;
    for (const NamedFd& one : services) by_service[one.name].push_back(one.fd.get());
    for (const auto& [name, descriptors] : by_service) {
        const SocketOffer offer{name, descriptors};
        auto done =
            agent.register_sockets({&offer, 1}, RegisterMode::add, Author{0, -1, 1, "systemd"});
        if (!done) spdlog::error("sockets passed for '{}': {}", name, done.error().message());
    }
}

std::string status_line(const Agent& agent) {
    return "STATUS=generation " + std::to_string(agent.running().generation.number);
}

Result<Fd> own_socket(Fd passed, const std::string& path, UnixKind kind) {
    if (passed) return passed;
    return listen_unix(path, kind);
}

Result<int> run(const Options& options) {
    if (!options.netns.empty())
        if (auto ok = enter_netns(options.netns); !ok) return pass_on(ok);
    auto passed = take_passed();
    if (!passed) return pass_on(passed);
    auto loop = EventLoop::create();
    if (!loop) return pass_on(loop);
    std::unique_ptr<Agent> agent;
    // Blocked before the first thread starts, so that every one waits for the loop; and before the
    // agent does, which may take seconds: what is sent meanwhile waits too.
    const auto stop = [&] { loop->exit(EXIT_SUCCESS); };
    auto terminate = loop->signal(SIGTERM, stop);
    auto interrupt = loop->signal(SIGINT, stop);
    auto hangup = loop->signal(SIGHUP, [&] {
        notify_reloading();
        (void)agent->reload(Author{0, -1, 0, "SIGHUP"}, "reload");  // logged there
        notify("READY=1");
    });
    for (auto* source : {&terminate, &interrupt, &hangup})
        if (!*source) return pass_on(*source);

    if (auto ok = make_directory(options.run_dir, 0755); !ok) return pass_on(ok);
    auto started = Agent::start(options);
    if (!started) return pass_on(started);
    agent = std::move(*started);
    register_passed(*agent, passed->services);
    passed->services.clear();  // the agent keeps no duplicate of a service's socket
    std::string told;
    auto tick = loop->every(tick_period, [&] {
        agent->tick();
        if (told != status_line(*agent)) notify(told = status_line(*agent));
    });
    if (!tick) return pass_on(tick);
    auto waiter = GraceWaiter::start(*loop, *agent);
    if (!waiter) return pass_on(waiter);
    auto watch = SocketWatch::start(*loop, *agent);
    if (!watch) return pass_on(watch);

    Methods methods(*agent);
    auto control =
        own_socket(std::move(passed->control), options.run_dir + "/control", UnixKind::stream);
    if (!control) return pass_on(control);
    auto control_server = VarlinkServer::start(*loop, std::move(*control), methods);
    if (!control_server) return pass_on(control_server);
    auto registering = own_socket(std::move(passed->registering), options.run_dir + "/register",
                                  UnixKind::seqpacket);
    if (!registering) return pass_on(registering);
    auto register_server = RegisterServer::start(*loop, std::move(*registering), methods);
    if (!register_server) return pass_on(register_server);

    if (auto ok = loop->watchdog(); !ok) spdlog::warn("{}", ok.error().message());
    told = status_line(*agent);
    notify("READY=1\n" + told);
    auto code = loop->run();
    notify("STOPPING=1");
    return code;
}

}  // namespace
}  // namespace sluice

int main(int argc, char** argv) {
    // Whoever reads our log may end before we do.
    std::signal(SIGPIPE, SIG_IGN);
    sluice::Options options;
    CLI::App app{"The agent of Sluice: keeps the socket dispatcher equal to a declarative config.",
                 "sluiced"};
    app.add_option("--instance", options.instance, "another instance, with directories of its own")
        ->envname("SLUICE_INSTANCE");
    app.add_option("--config", options.config, "the config file")->capture_default_str();
    app.add_option("--run-dir", options.run_dir, "where the sockets are made")
        ->capture_default_str();
    app.add_option("--state-dir", options.state_dir, "where generations are kept")
        ->capture_default_str();
    app.add_option("--bpffs", options.bpffs, "our own directory in a mounted bpffs")
        ->capture_default_str();
    app.add_option("--netns", options.netns,
                   "the network namespace to dispatch in (default: our own)");
    app.add_option("--log-level", options.log_level, "what to log")
        ->check(CLI::IsMember({"trace", "debug", "info", "warning", "error"}))
        ->capture_default_str();
    app.set_version_flag("--version", std::string("sluiced ") + SLUICE_VERSION);
    try {
        app.parse(argc, argv);
    } catch (const CLI::ParseError& error) {
        return app.exit(error) == 0 ? 0 : sluice::wrong_usage;
    }
    sluice::apply_instance(options, app);
    sluice::start_log(options.log_level);
    auto code = sluice::run(options);
    if (code) return *code;
    spdlog::critical("{}", code.error().message());
    if (!code.error().hint().empty()) spdlog::critical("hint: {}", code.error().hint());
    return code.error().exit_code();
}

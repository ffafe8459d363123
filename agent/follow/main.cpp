// SPDX-License-Identifier: Apache-2.0
// sluice-follow: reads its options, gives up what it does not need, and runs the loop.
#include <csignal>
#include <cstdlib>
#include <iostream>

#include <CLI/CLI.hpp>
#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/spdlog.h>

#include "follow/follower.h"
#include "sys/capabilities.h"
#include "sys/event_loop.h"
#include "sys/netns.h"
#include "sys/systemd.h"

namespace sluice {
namespace {

constexpr int wrong_usage = 2;

struct FollowOptions {
    std::string instance;
    std::string run_dir = "/run/sluice";
    std::string cgroup_root = default_cgroup_root();
    std::string netns;
    std::string log_level = "info";
};

void start_log(const std::string& level) {
    auto log = spdlog::stderr_color_mt("sluice-follow");
    // The journal has the time already.
    log->set_pattern(std::getenv("JOURNAL_STREAM") != nullptr ? "%l: %v"
                                                              : "%Y-%m-%d %H:%M:%S.%e %l: %v");
    log->set_level(spdlog::level::from_str(level));
    spdlog::set_default_logger(std::move(log));
}

Milliseconds milliseconds_now() {
    return std::chrono::duration_cast<std::chrono::milliseconds>(
               std::chrono::steady_clock::now().time_since_epoch())
        .count();
}

Result<int> run(const FollowOptions& options) {
    if (!is_cgroup(options.cgroup_root))
        return fail(Error(Failure::invalid,
                          options.cgroup_root + " is not in a version 2 cgroup file system")
                        .hint("name the directory of the units' slices: --cgroup-root"));
    if (!options.netns.empty())
        if (auto ok = enter_netns(options.netns); !ok) return pass_on(ok);
    if (auto ok = keep_only(capabilities_to_take_sockets()); !ok)
        return fail(std::move(ok)
                        .error()
                        .during("take sockets from other processes")
                        .hint("run it as root, or in a unit with AmbientCapabilities="
                              "CAP_SYS_PTRACE CAP_DAC_READ_SEARCH"));
    auto loop = EventLoop::create();
    if (!loop) return pass_on(loop);
    const auto stop = [&] { loop->exit(EXIT_SUCCESS); };
    auto terminate = loop->signal(SIGTERM, stop);
    auto interrupt = loop->signal(SIGINT, stop);
    for (auto* source : {&terminate, &interrupt})
        if (!*source) return pass_on(*source);
    Follower follower(options.run_dir + "/control", options.cgroup_root);
    auto tick = loop->every(Follower::period, [&] { follower.tick(milliseconds_now()); });
    if (!tick) return pass_on(tick);
    if (auto ok = loop->watchdog(); !ok) spdlog::warn("{}", ok.error().message());
    notify("READY=1");
    auto code = loop->run();
    notify("STOPPING=1");
    return code;
}

}  // namespace
}  // namespace sluice

int main(int argc, char** argv) {
    // Whoever reads our log may end before we do.
    std::signal(SIGPIPE, SIG_IGN);
    sluice::FollowOptions options;
    CLI::App app{"Keeps the sockets of Sluice's services in step with systemd units.",
                 "sluice-follow"};
    app.add_option("--instance", options.instance, "the agent's instance")
        ->envname("SLUICE_INSTANCE");
    app.add_option("--run-dir", options.run_dir, "where the agent's sockets are")
        ->capture_default_str();
    app.add_option("--cgroup-root", options.cgroup_root, "where the units' slices are")
        ->capture_default_str();
    app.add_option("--netns", options.netns,
                   "the network namespace of the agent and of the units (default: our own)");
    app.add_option("--log-level", options.log_level, "what to log")
        ->check(CLI::IsMember({"trace", "debug", "info", "warning", "error"}))
        ->capture_default_str();
    app.set_version_flag("--version", std::string("sluice-follow ") + SLUICE_VERSION);
    try {
        app.parse(argc, argv);
    } catch (const CLI::ParseError& error) {
        return app.exit(error) == 0 ? 0 : sluice::wrong_usage;
    }
    if (!options.instance.empty() && app.count("--run-dir") == 0)
        options.run_dir = "/run/sluice-" + options.instance;
    sluice::start_log(options.log_level);
    auto code = sluice::run(options);
    if (code) return *code;
    spdlog::critical("{}", code.error().message());
    if (!code.error().hint().empty()) spdlog::critical("hint: {}", code.error().hint());
    return code.error().exit_code();
}

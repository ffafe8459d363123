// SPDX-License-Identifier: Apache-2.0
// A world for sluicectl: an agent that answers what it was told to, streams that are kept.
#pragma once

#include <cstdlib>
#include <ctime>
#include <map>
#include <sstream>
#include <unistd.h>

#include "cli/commands.h"
#include "cli/render.h"

namespace sluice::cli {

// 2026-03-11 14:31:40 UTC, a Wednesday
constexpr std::int64_t now = 1773239500;
constexpr std::int64_t at(int hour, int minute, int second) {
    constexpr std::int64_t midnight = now - (14 * 3600 + 31 * 60 + 40);
    return midnight + hour * 3600 + minute * 60 + second;
}

inline Look screen() {
    setenv("TZ", "UTC", 1);
    tzset();
    Look look;
    look.now = now;
    look.user = [](std::uint32_t uid) -> std::string {
        if (uid == 0) return "root";
        return uid == 1001 ? "ops1" : "";
    };
    return look;
}

struct Call {
    std::string method;
    Json parameters;
    std::vector<int> fds;
};

// What the agent was asked, and what it answers; both outlive the connection.
struct Script {
    std::map<std::string, std::vector<Json>> parts;  // by method; several are a stream
    std::map<std::string, Error> errors;
    std::vector<Call> calls;
};

class FakeAgent : public Agent {
  public:
    explicit FakeAgent(Script& script) : script_(script) {}

    Result<Json> call(std::string_view method, const Json& parameters,
                      std::span<const int> fds) override {
        const std::string name(method);
        script_.calls.push_back({name, parameters, {fds.begin(), fds.end()}});
        if (const auto error = script_.errors.find(name); error != script_.errors.end())
            return fail(error->second);
        return script_.parts.at(name).front();
    }

    Result<> stream(std::string_view method, const Json& parameters, std::span<const int> fds,
                    const std::function<void(const Json&)>& part) override {
        const std::string name(method);
        script_.calls.push_back({name, parameters, {fds.begin(), fds.end()}});
        if (const auto error = script_.errors.find(name); error != script_.errors.end())
            return fail(error->second);
        for (const Json& one : script_.parts.at(name)) part(one);
        return {};
    }

  private:
    Script& script_;
};

struct Outcome {
    int exit = 0;
    std::string out;
    std::string err;
};

// Runs sluicectl in a world of its own.
struct Sluicectl {
    Script agent;
    bool agent_runs = true;
    bool terminal = false;
    std::uint32_t uid = 1000;
    std::string typed;
    std::map<std::string, std::string> environment;
    Pins pins;
    CheckedConfig checked;
    std::string checked_path;
    ConfigBundle bundle;
    std::string sealed;  // what was handed over
    std::vector<Address> host_addresses;
    std::vector<std::string> passed_names;  // of LISTEN_FDS: descriptors that are none, 1000 and on
    std::map<std::string, std::vector<std::int32_t>> units;  // a socket of each of these processes
    std::vector<ListenTriple> asked_of_unit;
    std::string connected_to;
    std::chrono::milliseconds timeout{0};

    Outcome operator()(const std::vector<std::string>& words) {
        const Look look = screen();
        std::istringstream in(typed);
        std::ostringstream out;
        std::ostringstream err;
        World world{.in = in, .out = out, .err = err};
        world.in_is_terminal = world.out_is_terminal = terminal;
        world.out_width = world.err_width = terminal ? 80 : 10000;
        world.now = now;
        world.uid = uid;
        world.host_name = "edge7";
        world.user = look.user;
        world.pins = pins;
        world.environment = [this](const char* name) -> std::optional<std::string> {
            const auto found = environment.find(name);
            if (found == environment.end()) return std::nullopt;
            return found->second;
        };
        world.connect = [this](const std::string& path,
                               std::chrono::milliseconds wait) -> Result<std::unique_ptr<Agent>> {
            connected_to = path;
            timeout = wait;
            if (!agent_runs)
                return fail(Error(Failure::unreachable, "No such file or directory")
                                .during("connect to " + path));
            return std::make_unique<FakeAgent>(agent);
        };
        world.check = [this](const std::string& path) {
            checked_path = path;
            return checked;
        };
        world.gather = [this](const std::string& path) {
            checked_path = path;
            return Gathered{checked, bundle, "/abs/" + path};
        };
        world.seal = [this](std::string_view content) -> Result<Fd> {
            sealed = content;
            return Fd(::dup(0));
        };
        world.host_addresses = [this] { return host_addresses; };
        world.passed = [this]() -> Result<std::vector<NamedFd>> {
            std::vector<NamedFd> passed;
            for (const std::string& name : passed_names)
                passed.push_back({name, Fd(1000 + static_cast<int>(passed.size()))});
            return passed;
        };
        world.take_unit =
            [this](const std::string&, const std::string& unit,
                   const std::vector<ListenTriple>& triples) -> Result<std::vector<TakenSocket>> {
            asked_of_unit = triples;
            std::vector<TakenSocket> taken;
            for (const std::int32_t pid : units.at(unit))
                taken.push_back({Fd(1000 + static_cast<int>(taken.size())), pid});
            return taken;
        };
        Outcome outcome;
        outcome.exit = run(words, world);
        outcome.out = out.str();
        outcome.err = err.str();
        return outcome;
    }
};

}  // namespace sluice::cli

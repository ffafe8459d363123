// SPDX-License-Identifier: Apache-2.0
// One run of one command: where things are, how to answer, and the agent.
#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <thread>

#include "cli/text.h"
#include "cli/world.h"

namespace sluice::cli {

// The global flags, and what follows from them.
struct Globals {
    std::string instance;
    std::string run_dir = "/run/sluice";
    std::string state_dir = "/var/lib/sluice";
    std::string bpffs = "/sys/fs/bpf/sluice";
    std::string config = "/etc/sluice/sluice.yaml";
    std::chrono::milliseconds timeout{30000};
    bool json = false;
    bool no_color = false;
};

// The directories of an instance; "" is the default one.
Result<Globals> globals_of_instance(const std::string& instance);
// 30s, 5m, 1h
Result<std::chrono::milliseconds> parse_duration(const std::string& text);

class Session {
  public:
    Session(World& world, Globals globals);

    World& world() const { return world_; }
    const Globals& globals() const { return globals_; }
    const Look& look() const { return look_; }
    bool json() const { return globals_.json; }

    // Connects on first use.
    Result<Agent*> agent();
    // One call of one method, without descriptors.
    Result<Json> call(std::string_view method, const Json& parameters);

    // The answer: the document with -o json, the lines without.
    void answer(const Json& document, const Lines& lines);
    void print(const Lines& lines);         // text, on stdout
    void print(const std::string& text);    // verbatim, on stdout
    void say(const std::string& sentence);  // "sluicectl: sentence", on stderr

    // Shows the error as people and as programs read it; returns the exit code. `between` comes
    // before the hint, `more` are further keys beside "error".
    int fail(const Error& error, const Lines& between = {}, const Json& more = Json::object());
    // The part of it for people.
    int explain_failure(const Error& error, const Lines& between = {});

  private:
    World& world_;
    Globals globals_;
    Look look_;
    std::unique_ptr<Agent> agent_;
};

// While it lives, a terminal is told how long something takes that takes long.
class Waiting {
  public:
    Waiting(const Session& session, std::string_view command);
    ~Waiting();
    Waiting(const Waiting&) = delete;
    Waiting& operator=(const Waiting&) = delete;

  private:
    std::ostream* err_;
    std::jthread thread_;
};

}  // namespace sluice::cli

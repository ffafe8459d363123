// SPDX-License-Identifier: Apache-2.0
// A world of the test's own with the real sluiced in it, and sluicectl to talk to it.
#pragma once

#include <initializer_list>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "core/varlink.h"
#include "support/sockets.h"
#include "support/world.h"
#include "system/process.h"

namespace sluice::testing {

// What a sluicectl printed and how it ended.
struct Answer : Finished {
    Json json() const;  // of stdout; throws what it was when it is none
};

class AgentWorld : public FreshWorld {
  protected:
    void SetUp() override;
    // Ends the agent, and fails the test if it kept a descriptor or did not end well.
    void TearDown() override;

    std::string config_path() const { return scratch() + "/sluice.yaml"; }
    std::string run_dir() const { return scratch() + "/run"; }
    std::string state_dir() const { return scratch() + "/state"; }
    std::string control() const { return run_dir() + "/control"; }
    void write_config(const std::string& yaml) const { write(config_path(), yaml); }
    static void write(const std::string& path, const std::string& text);

    // sluiced with this world's directories, or others where `flags` says so.
    Command sluiced(const std::map<std::string, std::string>& flags = {}) const;
    // Runs it until it says READY; throws with its log when it does not.
    void start() { start(sluiced()); }
    void start(const std::string& yaml);
    void start(Command command);
    // Runs a sluiced that must end by itself.
    static Finished refused(const Command& command) { return run(command); }
    void stop();  // SIGTERM, and exit 0
    void kill();  // SIGKILL
    void restart();
    Process& agent() { return *agent_; }
    std::string log() const { return agent_ ? agent_->err() : ""; }
    // The next notification that starts with this, as sd_notify(3) sends them.
    std::string notified(const std::string& start);
    // Whether the agent has as many descriptors open as when it was ready; waits for it.
    bool no_more_descriptors();

    Command sluicectl(const std::vector<std::string>& words) const;
    Answer ctl(const std::string& text) const;  // "bind www tcp 10.0.0.0/8 80"
    Answer ctl(const Command& command) const;
    Json ask(const std::string& text) const;  // with -o json, and it must exit with 0
    // Registers sockets of this process.
    Answer enlist(const std::string& service, std::initializer_list<const Fd*> sockets,
                  const std::string& more = "") const;

  private:
    std::size_t descriptors_of_agent() const;

    std::optional<Process> agent_;
    Fd notifications_;
    std::size_t baseline_ = 0;
};

// The binding as `sluicectl -o json bindings` lists it, one line: "tcp 10.0.0.0/8 80 www config".
std::string brief(const Json& binding);
std::vector<std::string> brief_all(const Json& bindings);

}  // namespace sluice::testing

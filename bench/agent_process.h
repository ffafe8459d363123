// SPDX-License-Identifier: Apache-2.0
// The real programs, timed: sluiced in the background, sluicectl to its end, and how long the agent
// answers nobody meanwhile.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <string>
#include <sys/types.h>
#include <thread>
#include <vector>

#include "core/result.h"
#include "sys/fd.h"

namespace sluice::bench {

using Clock = std::chrono::steady_clock;
double milliseconds_since(Clock::time_point start);

struct Programs {
    std::string sluiced, sluicectl;
    std::string directory;  // config, run and state directory; bpffs is /sys/fs/bpf/sluice
    std::string bpffs() const { return "/sys/fs/bpf/sluice"; }
    std::string state() const { return directory + "/state"; }
    std::string control() const { return directory + "/run/control"; }
};

// One sluicectl that ran to its end.
struct Ran {
    double milliseconds = 0;
    double cpu_milliseconds = 0;
    std::int64_t peak_kib = 0;  // resident
    int exit = -1;
    std::string out, err;  // files
};

// `out`: a file for its output. Listening sockets go along as LISTEN_FDS, one name each.
struct Passed {
    int descriptor;
    std::string service;
};
Result<Ran> run_sluicectl(const Programs& programs, const std::vector<std::string>& words,
                          const std::string& out, const std::vector<Passed>& passed = {});

// Asks the agent the least question there is, over and over.
class Prober {
  public:
    static Result<std::unique_ptr<Prober>> start(const std::string& control);
    ~Prober();
    Prober(const Prober&) = delete;
    Prober& operator=(const Prober&) = delete;

    // The longest it took to answer since the last call, in milliseconds.
    double worst();
    // Until it has answered at once for half a second: nothing is being done any more.
    void wait_until_quiet() const;

  private:
    explicit Prober(Fd fd) : fd_(std::move(fd)) {}
    void probe(const std::stop_token& stop);
    Fd fd_;
    std::atomic<std::int64_t> worst_{0};  // nanoseconds
    std::atomic<std::int64_t> asked_{0};  // when the question under way was asked; 0: none is
    std::atomic<std::int64_t> busy_{0};   // when it last took long to answer
    std::jthread thread_;
};

class AgentProcess {
  public:
    // Until READY; how long that took is in ready_milliseconds().
    static Result<AgentProcess> start(const Programs& programs);
    AgentProcess(AgentProcess&& other) noexcept;
    AgentProcess& operator=(AgentProcess&&) = delete;
    ~AgentProcess();  // SIGKILL, if it still runs

    double ready_milliseconds() const { return ready_; }
    Result<> stop();
    // What its loop's thread has used of the processor so far.
    double cpu_milliseconds() const;
    // Of /proc/PID/status, in KiB: VmRSS, VmHWM, …
    std::int64_t memory(const std::string& key) const;
    // VmHWM begins anew.
    void reset_peak() const;

  private:
    AgentProcess(pid_t pid, double ready) : pid_(pid), ready_(ready) {}
    pid_t pid_ = -1;
    double ready_ = 0;
};

}  // namespace sluice::bench

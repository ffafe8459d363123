// SPDX-License-Identifier: Apache-2.0
// Child processes: started with exactly the descriptors they are given, watched by pidfd, ended by
// pid.
#pragma once

#include <chrono>
#include <map>
#include <optional>
#include <string>
#include <sys/types.h>
#include <vector>

#include "support/patience.h"
#include "sys/fd.h"

namespace sluice::testing {

struct Command {
    std::vector<std::string> words;                  // the program and its arguments
    std::map<std::string, std::string> environment;  // beside our own
    std::vector<int> descriptors;                    // the child has them as 3, 4, …
};

class Process {
  public:
    // What it prints is kept in memory.
    explicit Process(const Command& command);
    Process(Process&&) = default;
    Process(const Process&) = delete;
    Process& operator=(const Process&) = delete;
    Process& operator=(Process&&) = delete;
    ~Process();  // SIGKILL, if it still runs

    pid_t pid() const { return pid_; }
    int pidfd() const { return pidfd_.get(); }
    void signal(int number) const;
    // Its exit status, or 128 and the signal's number; nothing when it goes on running.
    std::optional<int> wait(std::chrono::milliseconds at_most = patience);
    bool running() { return !wait(std::chrono::milliseconds(0)); }
    std::string out() const;
    std::string err() const;

  private:
    Fd out_, err_, pidfd_;
    pid_t pid_ = -1;
    std::optional<int> status_;
};

struct Finished {
    int exit = -1;
    std::string out, err;
};
// Runs it to its end; throws when that does not come.
Finished run(const Command& command);

// "a 'b c' d": words apart at spaces, except inside single quotes.
std::vector<std::string> words(const std::string& text);

}  // namespace sluice::testing

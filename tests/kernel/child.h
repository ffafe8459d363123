// SPDX-License-Identifier: Apache-2.0
// A process of the test's own, ended and reaped with it.
#pragma once

#include <array>
#include <csignal>
#include <exception>
#include <functional>
#include <stdexcept>
#include <string>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sys/fd.h"

namespace sluice::testing {

class Child {
  public:
    // Forks and runs `body` there; returns when it has. The child then stays until it is ended.
    explicit Child(const std::function<std::string()>& body) {
        std::array<int, 2> ends{};
        if (::pipe(ends.data()) != 0) throw std::runtime_error("pipe");
        const Fd reading(ends[0]);
        Fd writing(ends[1]);
        pid_ = ::fork();
        if (pid_ < 0) throw std::runtime_error("fork");
        if (pid_ == 0) live(body, writing);
        writing.reset();
        std::array<char, 4096> buffer{};
        for (ssize_t got = 0; (got = ::read(reading.get(), buffer.data(), buffer.size())) > 0;)
            said_.append(buffer.data(), static_cast<std::size_t>(got));
    }
    ~Child() { end(); }
    Child(const Child&) = delete;
    Child& operator=(const Child&) = delete;

    pid_t pid() const { return pid_; }
    // What `body` returned, or the message of what it threw.
    const std::string& said() const { return said_; }

    // Ends it and leaves the zombie: its pid stays taken.
    void die() const {
        ::kill(pid_, SIGKILL);
        siginfo_t ignored{};
        ::waitid(P_PID, static_cast<id_t>(pid_), &ignored, WEXITED | WNOWAIT);
    }
    void end() {
        if (pid_ <= 0) return;
        ::kill(pid_, SIGKILL);
        ::waitpid(pid_, nullptr, 0);
        pid_ = -1;
    }

  private:
    [[noreturn]] static void live(const std::function<std::string()>& body, Fd& writing) {
        ::prctl(PR_SET_PDEATHSIG, SIGKILL);
        std::string text;
        try {
            text = body();
        } catch (const std::exception& error) {
            text = error.what();
        }
        const ssize_t written = ::write(writing.get(), text.data(), text.size());
        if (written < 0) ::_exit(1);
        writing.reset();
        for (;;) ::pause();
    }

    pid_t pid_ = -1;
    std::string said_;
};

}  // namespace sluice::testing

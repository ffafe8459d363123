// SPDX-License-Identifier: Apache-2.0
#include "system/process.h"

#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <fcntl.h>
#include <poll.h>
#include <stdexcept>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>

namespace sluice::testing {
namespace {

constexpr int first_passed = 3;  // as SD_LISTEN_FDS_START
constexpr int out_of_the_way = 1000;

std::runtime_error failure(const std::string& what) {
    return std::runtime_error(what + ": " + std::strerror(errno));
}

Fd memory() {
    Fd fd(::memfd_create("output", MFD_CLOEXEC));
    if (!fd) throw failure("memfd_create");
    return fd;
}

std::string contents(const Fd& file) {
    std::string text;
    std::array<char, 4096> buffer{};
    for (;;) {
        const ssize_t got =
            ::pread(file.get(), buffer.data(), buffer.size(), static_cast<off_t>(text.size()));
        if (got <= 0) return text;
        text.append(buffer.data(), static_cast<std::size_t>(got));
    }
}

std::vector<char*> pointers(std::vector<std::string>& texts) {
    std::vector<char*> list;
    for (std::string& text : texts) list.push_back(text.data());
    list.push_back(nullptr);
    return list;
}

// In the child, so async-signal-safe: standard descriptors, then those that are passed, and no
// others.
void arrange(int out, int err, std::vector<int>& passed) {
    const int null = ::open("/dev/null", O_RDONLY);
    ::dup2(null, STDIN_FILENO);
    ::dup2(out, STDOUT_FILENO);
    ::dup2(err, STDERR_FILENO);
    for (int& fd : passed) fd = ::fcntl(fd, F_DUPFD, out_of_the_way);
    int next = first_passed;
    for (const int fd : passed) ::dup2(fd, next++);
    ::close_range(static_cast<unsigned>(next), ~0U, 0);
}

}  // namespace

Process::Process(const Command& command) : out_(memory()), err_(memory()) {
    std::vector<std::string> words = command.words;
    std::vector<std::string> environment;
    for (char** at = environ; *at != nullptr; ++at) {
        const std::string entry = *at;
        if (!command.environment.contains(entry.substr(0, entry.find('='))))
            environment.push_back(entry);
    }
    for (const auto& [name, value] : command.environment) environment.push_back(name + "=" + value);
    std::vector<int> passed = command.descriptors;
    const auto arguments = pointers(words), variables = pointers(environment);
    pid_ = ::fork();
    if (pid_ < 0) throw failure("fork");
    if (pid_ == 0) {
        arrange(out_.get(), err_.get(), passed);
        ::execvpe(arguments.front(), arguments.data(), variables.data());
        ::_exit(127);
    }
    pidfd_ = Fd(static_cast<int>(::syscall(SYS_pidfd_open, pid_, 0)));
    if (!pidfd_) throw failure("pidfd_open");
}

Process::~Process() {
    if (!pidfd_) return;  // moved from
    if (!status_) {
        signal(SIGKILL);
        wait();
    }
}

void Process::signal(int number) const {
    ::syscall(SYS_pidfd_send_signal, pidfd_.get(), number, nullptr, 0);
}

std::optional<int> Process::wait(std::chrono::milliseconds at_most) {
    if (status_) return status_;
    pollfd ended{pidfd_.get(), POLLIN, 0};
    if (::poll(&ended, 1, static_cast<int>(at_most.count())) != 1) return std::nullopt;
    int status = 0;
    if (::waitpid(pid_, &status, 0) != pid_) throw failure("waitpid");
    status_ = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    return status_;
}

std::string Process::out() const { return contents(out_); }
std::string Process::err() const { return contents(err_); }

Finished run(const Command& command) {
    Process process(command);
    const auto status = process.wait();
    if (!status)
        throw std::runtime_error(command.words.front() +
                                 " does not end; it said: " + process.out() + process.err());
    return {*status, process.out(), process.err()};
}

std::vector<std::string> words(const std::string& text) {
    std::vector<std::string> found;
    bool quoted = false, inside = false;
    for (const char c : text) {
        if (c == '\'') quoted = !quoted;
        if (c == ' ' && !quoted) inside = false;
        if (c == ' ' && !quoted) continue;
        if (!inside) found.emplace_back();
        inside = true;
        if (c != '\'') found.back() += c;
    }
    return found;
}

}  // namespace sluice::testing

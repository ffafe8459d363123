// SPDX-License-Identifier: Apache-2.0
#include "agent_process.h"

#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <fcntl.h>
#include <fstream>
#include <poll.h>
#include <sstream>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>
#include <utility>

#include "sys/unix_socket.h"

namespace sluice::bench {
namespace {

constexpr std::chrono::seconds patience{300};
constexpr std::chrono::milliseconds at_once{20};
constexpr std::chrono::milliseconds quiet{500};
constexpr int first_passed = 3;  // as SD_LISTEN_FDS_START
constexpr int out_of_the_way = 1000;

std::int64_t now() { return Clock::now().time_since_epoch().count(); }

double milliseconds(const timeval& time) {
    return static_cast<double>(time.tv_sec) * 1e3 + static_cast<double>(time.tv_usec) / 1e3;
}

std::vector<char*> pointers(std::vector<std::string>& texts) {
    std::vector<char*> list;
    for (std::string& text : texts) list.push_back(text.data());
    list.push_back(nullptr);
    return list;
}

// In the child, which only goes on to exec().
void redirect(const std::string& out, const std::string& err) {
    const int output = ::open(out.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
    const int errors = ::open(err.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
    ::dup2(output, STDOUT_FILENO);
    ::dup2(errors, STDERR_FILENO);
}

void pass(const std::vector<Passed>& passed) {
    std::string names;
    std::vector<int> aside;
    for (const Passed& one : passed) {
        aside.push_back(::fcntl(one.descriptor, F_DUPFD, out_of_the_way));
        names += (names.empty() ? "" : ":") + one.service;
    }
    int next = first_passed;
    for (const int fd : aside) ::dup2(fd, next++);
    ::setenv("LISTEN_PID", std::to_string(::getpid()).c_str(), 1);
    ::setenv("LISTEN_FDS", std::to_string(passed.size()).c_str(), 1);
    ::setenv("LISTEN_FDNAMES", names.c_str(), 1);
}

std::vector<std::string> directories(const Programs& programs) {
    return {"--config",    programs.directory + "/sluice.yaml",
            "--run-dir",   programs.directory + "/run",
            "--state-dir", programs.state(),
            "--bpffs",     programs.bpffs()};
}

Result<Fd> listen_to_notifications(const std::string& path) {
    Fd fd(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::strncpy(address.sun_path, path.c_str(), sizeof address.sun_path - 1);
    ::unlink(path.c_str());
    if (::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
        return fail_errno(errno, "bind " + path);
    return fd;
}

// False when the agent ended, or took too long.
bool wait_for_ready(const Fd& notifications) {
    const auto until = Clock::now() + patience;
    while (Clock::now() < until) {
        pollfd wait{notifications.get(), POLLIN, 0};
        if (::poll(&wait, 1, 1000) < 0) return false;
        std::array<char, 4096> buffer{};
        const ssize_t got = ::recv(notifications.get(), buffer.data(), buffer.size(), MSG_DONTWAIT);
        if (got > 0 &&
            std::string_view(buffer.data(), static_cast<std::size_t>(got)).find("READY=1") !=
                std::string_view::npos)
            return true;
    }
    return false;
}

}  // namespace

double milliseconds_since(Clock::time_point start) {
    return std::chrono::duration<double, std::milli>(Clock::now() - start).count();
}

Result<Ran> run_sluicectl(const Programs& programs, const std::vector<std::string>& words,
                          const std::string& out, const std::vector<Passed>& passed) {
    std::vector<std::string> all{programs.sluicectl, "--timeout", "5m"};
    for (const auto& list : {directories(programs), words})
        all.insert(all.end(), list.begin(), list.end());
    Ran ran;
    ran.out = out;
    ran.err = out + ".err";
    const auto arguments = pointers(all);
    const auto start = Clock::now();
    const pid_t pid = ::fork();
    if (pid < 0) return fail_errno(errno, "fork");
    if (pid == 0) {
        redirect(ran.out, ran.err);
        if (!passed.empty()) pass(passed);
        ::execv(arguments.front(), arguments.data());
        ::_exit(127);
    }
    int status = 0;
    rusage usage{};
    if (::wait4(pid, &status, 0, &usage) != pid) return fail_errno(errno, "wait");
    ran.milliseconds = milliseconds_since(start);
    ran.cpu_milliseconds = milliseconds(usage.ru_utime) + milliseconds(usage.ru_stime);
    ran.peak_kib = usage.ru_maxrss;
    ran.exit = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    return ran;
}

Result<std::unique_ptr<Prober>> Prober::start(const std::string& control) {
    auto fd = connect_unix(control, UnixKind::stream, patience);
    if (!fd) return pass_on(fd);
    std::unique_ptr<Prober> prober(new Prober(std::move(*fd)));
    prober->thread_ =
        std::jthread([self = prober.get()](const std::stop_token& stop) { self->probe(stop); });
    return prober;
}

Prober::~Prober() = default;

void Prober::probe(const std::stop_token& stop) {
    const std::string question = std::string(R"({"method":"org.varlink.service.GetInfo"})") + '\0';
    while (!stop.stop_requested()) {
        const std::int64_t asked = now();
        asked_ = asked;
        if (!send(fd_.get(), question, {})) return;
        for (;;) {
            auto received = receive(fd_.get(), 4096, false);
            if (!received || received->end) return;
            if (received->bytes.ends_with('\0')) break;
        }
        const std::int64_t answered = now();
        asked_ = 0;
        if (answered - asked > std::chrono::nanoseconds(at_once).count()) busy_ = answered;
        for (std::int64_t old = worst_; old < answered - asked;)
            if (worst_.compare_exchange_weak(old, answered - asked)) break;
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
}

double Prober::worst() { return static_cast<double>(worst_.exchange(0)) / 1e6; }

void Prober::wait_until_quiet() const {
    const std::int64_t start = now();
    for (;;) {
        std::this_thread::sleep_for(std::chrono::milliseconds(10));
        const std::int64_t asked = asked_;
        const std::int64_t busy = std::max(start, busy_.load());
        const bool waiting =
            asked != 0 && now() - asked > std::chrono::nanoseconds(at_once).count();
        if (!waiting && now() - busy > std::chrono::nanoseconds(quiet).count()) return;
    }
}

Result<AgentProcess> AgentProcess::start(const Programs& programs) {
    const std::string notify = programs.directory + "/notify";
    auto notifications = listen_to_notifications(notify);
    if (!notifications) return pass_on(notifications);
    std::vector<std::string> words{programs.sluiced};
    const auto more = directories(programs);
    words.insert(words.end(), more.begin(), more.end());
    const auto arguments = pointers(words);
    const auto start = Clock::now();
    const pid_t pid = ::fork();
    if (pid < 0) return fail_errno(errno, "fork");
    if (pid == 0) {
        redirect("/dev/null", programs.directory + "/log");
        ::setenv("NOTIFY_SOCKET", notify.c_str(), 1);
        ::execv(arguments.front(), arguments.data());
        ::_exit(127);
    }
    AgentProcess agent(pid, 0);
    if (!wait_for_ready(*notifications))
        return fail(Failure::failed,
                    "sluiced does not become ready; its log: " + programs.directory + "/log");
    agent.ready_ = milliseconds_since(start);
    return agent;
}

AgentProcess::AgentProcess(AgentProcess&& other) noexcept
    : pid_(std::exchange(other.pid_, -1)), ready_(other.ready_) {}

AgentProcess::~AgentProcess() {
    if (pid_ < 0) return;
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
}

Result<> AgentProcess::stop() {
    ::kill(pid_, SIGTERM);
    int status = 0;
    if (::waitpid(std::exchange(pid_, -1), &status, 0) < 0) return fail_errno(errno, "wait");
    if (status != 0) return fail(Failure::failed, "sluiced ended with " + std::to_string(status));
    return {};
}

double AgentProcess::cpu_milliseconds() const {
    double nanoseconds = 0;
    std::ifstream("/proc/" + std::to_string(pid_) + "/schedstat") >> nanoseconds;
    return nanoseconds / 1e6;
}

std::int64_t AgentProcess::memory(const std::string& key) const {
    std::ifstream file("/proc/" + std::to_string(pid_) + "/status");
    for (std::string line; std::getline(file, line);)
        if (line.starts_with(key + ":")) {
            std::istringstream rest(line.substr(key.size() + 1));
            std::int64_t value = 0;
            rest >> value;
            return value;
        }
    return 0;
}

void AgentProcess::reset_peak() const {
    std::ofstream("/proc/" + std::to_string(pid_) + "/clear_refs") << "5";
}

}  // namespace sluice::bench

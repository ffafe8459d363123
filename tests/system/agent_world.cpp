// SPDX-License-Identifier: Apache-2.0
#include "system/agent_world.h"

#include <array>
#include <csignal>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "system/clients.h"

namespace sluice::testing {
namespace {

namespace fs = std::filesystem;

// Where the agent says how it is: the socket of sd_notify(3).
Fd listen_to_notifications(const std::string& path) {
    Fd fd(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::strncpy(address.sun_path, path.c_str(), sizeof address.sun_path - 1);
    if (::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
        throw std::runtime_error("bind " + path + ": " + std::strerror(errno));
    return fd;
}

}  // namespace

Json Answer::json() const {
    try {
        return Json::parse(out);
    } catch (const Json::exception&) {
        throw std::runtime_error("no JSON on stdout: '" + out + "', stderr: '" + err + "'");
    }
}

void AgentWorld::SetUp() {
    FreshWorld::SetUp();
    if (HasFatalFailure()) return;
    ip("route add local 2001:db8::/32 dev lo");
    // Peers of other users reach the agent's sockets in here.
    ASSERT_EQ(::chmod(scratch().c_str(), 0755), 0);
    notifications_ = listen_to_notifications(scratch() + "/notify");
}

void AgentWorld::TearDown() {
    if (agent_ && agent_->running()) {
        EXPECT_TRUE(no_more_descriptors()) << "the agent keeps descriptors";
        stop();
    }
    if (HasFailure()) std::cerr << "the agent's log:\n" << log();
    agent_.reset();
    notifications_.reset();
    FreshWorld::TearDown();
}

void AgentWorld::write(const std::string& path, const std::string& text) {
    std::ofstream file(path, std::ios::trunc);
    file << text;
    if (!file.flush()) throw std::runtime_error("cannot write " + path);
}

Command AgentWorld::sluiced(const std::map<std::string, std::string>& flags) const {
    std::map<std::string, std::string> all = flags;
    all.insert({{"--config", config_path()},
                {"--run-dir", run_dir()},
                {"--state-dir", state_dir()},
                {"--bpffs", bpffs()}});
    Command command{{SLUICED}, {{"NOTIFY_SOCKET", scratch() + "/notify"}}, {}};
    for (const auto& [flag, value] : all) command.words.insert(command.words.end(), {flag, value});
    return command;
}

void AgentWorld::start(const std::string& yaml) {
    write_config(yaml);
    start();
}

void AgentWorld::start(Command command) {
    if (agent_ && agent_->running()) throw std::logic_error("an agent is running");
    agent_.reset();
    // What an earlier agent said, nobody waits for any more.
    std::array<char, 4096> old{};
    while (::recv(notifications_.get(), old.data(), old.size(), MSG_DONTWAIT) > 0) continue;
    agent_.emplace(command);
    notified("READY=1");
    // Its answer to a question shows it idle, with one descriptor for us.
    RawPeer peer(control(), SOCK_STREAM);
    peer.send(std::string(R"({"method":"org.varlink.service.GetInfo"})") + '\0');
    if (peer.receive_to_nul().empty()) throw std::runtime_error("the agent does not answer");
    baseline_ = descriptors_of_agent() - 1;
}

std::string AgentWorld::notified(const std::string& start) {
    for (;;) {
        std::array<pollfd, 2> wait{pollfd{notifications_.get(), POLLIN, 0},
                                   pollfd{agent_->pidfd(), POLLIN, 0}};
        const auto milliseconds = std::chrono::milliseconds(patience).count();
        if (::poll(wait.data(), wait.size(), static_cast<int>(milliseconds)) <= 0)
            throw std::runtime_error("the agent does not say " + start + "; its log: " + log());
        if ((wait[0].revents & POLLIN) == 0)
            throw std::runtime_error("the agent ended; its log: " + log());
        std::array<char, 4096> buffer{};
        const ssize_t got = ::recv(notifications_.get(), buffer.data(), buffer.size(), 0);
        const std::string text(buffer.data(), got > 0 ? static_cast<std::size_t>(got) : 0);
        if (text.starts_with(start)) return text;
    }
}

void AgentWorld::stop() {
    agent_->signal(SIGTERM);
    EXPECT_EQ(agent_->wait(), 0) << "the agent's log: " << log();
}

void AgentWorld::kill() {
    agent_->signal(SIGKILL);
    EXPECT_EQ(agent_->wait(), 128 + SIGKILL);
}

void AgentWorld::restart() {
    stop();
    start();
}

std::size_t AgentWorld::descriptors_of_agent() const {
    std::size_t count = 0;
    std::error_code gone;
    const auto directory = "/proc/" + std::to_string(agent_->pid()) + "/fd";
    for ([[maybe_unused]] const auto& entry : fs::directory_iterator(directory, gone)) ++count;
    return count;
}

bool AgentWorld::no_more_descriptors() {
    return eventually([&] { return descriptors_of_agent() <= baseline_; });
}

Command AgentWorld::sluicectl(const std::vector<std::string>& words) const {
    Command command{{SLUICECTL, "--run-dir", run_dir(), "--bpffs", bpffs(), "--config",
                     config_path(), "--state-dir", state_dir()},
                    {},
                    {}};
    command.words.insert(command.words.end(), words.begin(), words.end());
    return command;
}

Answer AgentWorld::ctl(const Command& command) const { return {run(command)}; }
Answer AgentWorld::ctl(const std::string& text) const { return ctl(sluicectl(words(text))); }

Json AgentWorld::ask(const std::string& text) const {
    const Answer answer = ctl("-o json " + text);
    EXPECT_EQ(answer.exit, 0) << text << ": " << answer.err;
    return answer.json();
}

Answer AgentWorld::enlist(const std::string& service, std::initializer_list<const Fd*> sockets,
                          const std::string& more) const {
    Command command = sluicectl(words("register " + service + " " + more));
    int number = 3;
    for (const Fd* socket : sockets) {
        command.descriptors.push_back(socket->get());
        command.words.insert(command.words.end(), {"--fd", std::to_string(number++)});
    }
    return ctl(command);
}

std::string brief(const Json& binding) {
    const auto text = [&](const char* key) { return binding.at(key).get<std::string>(); };
    const std::string target = binding.at("reject") == true ? "(reject)"
                               : binding.at("pass") == true ? "(pass)"
                                                            : text("service");
    return text("protocol") + " " + text("prefix") + " " + text("port") + " " + target + " " +
           text("owner") + (binding.at("shadowed") == true ? " shadowed" : "");
}

std::vector<std::string> brief_all(const Json& bindings) {
    std::vector<std::string> all;
    for (const Json& binding : bindings) all.push_back(brief(binding));
    return all;
}

}  // namespace sluice::testing

// SPDX-License-Identifier: Apache-2.0
// An agent without its sockets, on a real dispatcher in a world of the test's own.
#pragma once

#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include "daemon/agent.h"
#include "support/sockets.h"
#include "support/world.h"
#include "sys/files.h"

namespace sluice::testing {

inline const Author somebody{0, -1, 812, "sluicectl"};

inline Match match(std::string_view text) { return binding(std::string(text) + " (pass)").match; }

inline BindRequest to_service(const std::string& service, std::string_view what) {
    BindRequest request;
    request.target = Target::service(service);
    request.matches = {match(what)};
    return request;
}

class AgentTest : public FreshWorld {
  protected:
    void SetUp() override {
        FreshWorld::SetUp();
        options_.config = scratch() + "/sluice.yaml";
        options_.state_dir = scratch() + "/state";
        options_.bpffs = bpffs();
        write_config(R"(
services: {www: {}, dns: {}, mixed: {mixed_ports: true}}
bindings:
  - {service: www, protocol: tcp, prefix: 127.7.0.0/16, port: 80}
)");
    }
    void TearDown() override {
        agent_.reset();
        FreshWorld::TearDown();
    }

    void write_config(const std::string& text) const {
        std::ofstream(options_.config, std::ios::trunc) << "version: 1\n" << text;
    }
    void start() { must(try_to_start()); }
    Result<> try_to_start() {
        auto started = Agent::start(options_);
        if (!started) return pass_on(started);
        agent_ = std::move(*started);
        return {};
    }
    void stop() { agent_.reset(); }
    void restart() {
        stop();
        start();
    }
    // What a reboot takes away: everything in the kernel.
    void reboot() {
        stop();
        std::filesystem::remove_all(bpffs());
        start();
    }
    Agent& agent() const { return *agent_; }
    const Options& options() const { return options_; }
    void set_state_dir(const std::string& path) { options_.state_dir = path; }
    std::uint64_t generation() const { return agent().running().generation.number; }
    std::string generation_file(std::uint64_t number) const {
        return options_.state_dir + "/generations/" + std::to_string(number);
    }

    static SocketOffer offer(const std::string& service, const std::vector<const Fd*>& sockets) {
        SocketOffer made{service, {}};
        for (const Fd* socket : sockets) made.descriptors.push_back(socket->get());
        return made;
    }
    Result<Registered> enlist(const std::string& service, const std::vector<const Fd*>& sockets,
                              RegisterMode mode = RegisterMode::add) const {
        const std::vector<SocketOffer> offers{offer(service, sockets)};
        auto done = agent().register_sockets(offers, mode, somebody);
        if (!done) return pass_on(done);
        return std::move(done->front());
    }
    std::size_t sockets_of(const std::string& service) const {
        return agent().plane().sockets().of(service).size();
    }
    Result<Plan> bind(const std::string& service, std::string_view what) const {
        return unless_refused(agent().bind(to_service(service, what), somebody));
    }
    // A change that a guard refuses is a failure here.
    static Result<Plan> unless_refused(Result<Plan> plan) {
        if (!plan || plan->refused_by.empty()) return plan;
        return fail(Failure::refused, plan->refused_by.front().message);
    }
    Result<Plan> reload(const Allowed& allowed = {}) const {
        return unless_refused(agent().reload(somebody, "reload", allowed));
    }
    // "tcp 127.7.0.0/16 80 -> www (config)", …
    std::vector<std::string> table() const {
        std::vector<std::string> lines;
        for (const Binding& each : agent().running().table->effective)
            lines.push_back(to_string(each) + " (" + std::string(to_string(each.owner)) + ")");
        return lines;
    }
    static void damage(const std::string& path) {
        std::string text = must(read_file(path, 1'000'000));
        text[text.size() / 2] = static_cast<char>(text[text.size() / 2] ^ 1);
        std::ofstream(path, std::ios::trunc) << text;
    }
    // Asked of the program itself and of the model, which agree.
    std::string explained(std::string_view to) const {
        const Json answer = must(agent().explain({Protocol::tcp, at(to), std::nullopt}));
        EXPECT_EQ(answer.at("agree"), true) << answer.dump(2);
        return answer.at("verdict").get<std::string>();
    }

  private:
    Options options_;
    std::unique_ptr<Agent> agent_;
};

}  // namespace sluice::testing

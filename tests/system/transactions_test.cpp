// SPDX-License-Identifier: Apache-2.0
// Changes under traffic, and an agent that is killed at any instant of them: one whole generation
// answers, always.
#include <array>
#include <atomic>
#include <filesystem>
#include <poll.h>
#include <random>
#include <set>
#include <sys/socket.h>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "system/agent_world.h"
#include "system/clients.h"

namespace sluice::testing {
namespace {

using ::testing::IsEmpty;

constexpr const char* head = "version: 1\nservices: {old: {}, new: {}}\nbindings:\n";

std::string binding_line(const std::string& service, const std::string& protocol,
                         const std::string& prefix, const std::string& port) {
    return "  - {service: " + service + ", protocol: " + protocol + ", prefix: " + prefix +
           ", port: " + port + "}\n";
}

struct Transactions : AgentWorld {
    Fd old_one, new_one, old_udp, new_udp;
    void SetUp() override {
        AgentWorld::SetUp();
        old_one = listen_tcp("127.0.0.1:9001", {.backlog = 4096});
        new_one = listen_tcp("127.0.0.1:9002", {.backlog = 4096});
        old_udp = bind_udp("127.0.0.1:9001");
        new_udp = bind_udp("127.0.0.1:9002");
    }
    void TearDown() override {
        for (Fd* socket : {&old_one, &new_one, &old_udp, &new_udp}) socket->reset();
        AgentWorld::TearDown();
    }
    void start_serving() {
        start();
        ASSERT_EQ(enlist("old", {&old_one, &old_udp}).exit, 0);
        ASSERT_EQ(enlist("new", {&new_one, &new_udp}).exit, 0);
    }
};

// Whose socket has something to take: 0, 1, or -1 for none within the time.
int who_is_asked(const Fd& zero, const Fd& one) {
    std::array<pollfd, 2> wait{pollfd{zero.get(), POLLIN, 0}, pollfd{one.get(), POLLIN, 0}};
    if (::poll(wait.data(), wait.size(), 5000) <= 0) return -1;
    return (wait[0].revents & POLLIN) != 0 ? 0 : 1;
}

// The config of one generation: many bindings, all of one service, or of the other.
std::string whole(const std::string& service, int bindings) {
    std::string text = head + binding_line(service, "tcp, udp", "127.8.0.0/16", "80");
    const auto tcp_udp = text.find("tcp, udp");
    text.replace(tcp_udp, 8, "[tcp, udp]");
    text += "  - service: " + service + "\n    protocol: tcp\n    port: 80\n    prefix:\n";
    for (int i = 0; i < bindings; ++i)
        text += "      - 127.9." + std::to_string(i / 256) + "." + std::to_string(i % 256) + "\n";
    return text;
}

TEST_F(Transactions, AnAgentThatIsKilledAtAnyInstantLeavesOneWholeGeneration) {
    constexpr int bindings = 2000, kills = 500;
    write_config(whole("old", bindings));
    const std::string other = scratch() + "/other.yaml";
    start_serving();
    const Accepting accepting({&old_one, &new_one});
    KeepsConnecting client("127.8.0.1:80"), far("127.9.7.207:80");
    std::mt19937 random(20260220);  // NOLINT: the same instants, as far as a machine repeats itself
    std::set<std::string> seen;
    std::int64_t last = 0;
    for (int i = 0; i < kills; ++i) {
        write(i % 2 == 0 ? other : config_path(), whole(i % 4 < 2 ? "new" : "old", bindings));
        Process changing(
            sluicectl({"--timeout", "20s", "apply", i % 2 == 0 ? other : config_path()}));
        // An apply of this size takes some 20 to 60 ms from here on.
        std::this_thread::sleep_for(std::chrono::microseconds(random() % 70'000));
        kill();
        changing.wait();
        start();
        const Json status = ask("status");
        const std::int64_t generation = status.at("generation");
        ASSERT_GE(generation, last) << "numbers never go back";
        last = generation;
        if (i % 20 != 0) continue;
        const Json table = ask("bindings");
        ASSERT_EQ(table.size(), static_cast<std::size_t>(bindings) + 2);
        const std::string service = table.at(0).at("service");
        seen.insert(service);
        for (const Json& binding : table) ASSERT_EQ(binding.at("service"), service) << "a mixture";
        const Json explained = ask("explain tcp 127.9.3.4 80");
        ASSERT_EQ(explained.at("service"), service);
        ASSERT_EQ(explained.at("agree"), true);
        ASSERT_EQ(ask("history").at(0).at("generation"), generation);
    }
    EXPECT_THAT(client.stop(), IsEmpty());
    EXPECT_THAT(far.stop(), IsEmpty());
    EXPECT_EQ(seen.size(), 2U) << "both generations were seen, so changes were made";
    EXPECT_GT(last, 50);
}

TEST_F(Transactions, TwentyThousandBindingsMoveInOneInstant) {
    std::string prefixes;
    for (int i = 0; i < 20'000; ++i)
        prefixes += "10." + std::to_string(i / 65536) + "." + std::to_string(i / 256 % 256) + "." +
                    std::to_string(i % 256) + "\n";
    write(scratch() + "/many.txt", prefixes + "127.3.0.0/16\n127.250.0.0/16\n");
    const auto all_of = [&](const std::string& service) {
        return head + std::string("  - {service: ") + service +
               ", protocol: [tcp, udp], prefixes_from: many.txt, port: 80}\n";
    };
    write_config(all_of("old"));
    start_serving();
    std::atomic<bool> stop = false;
    std::atomic<int> pairs = 0, mixed = 0, refused = 0;
    // Two lookups, one after the other: once the first was answered by the service that is moved
    // to, the second is. Which of the two that is changes with each apply.
    std::atomic<int> moving_to = 1;
    std::atomic<bool> moving = false;
    std::thread clients([&] {
        const SocketAddress one = sockaddr_of("127.3.0.1:80"), two = sockaddr_of("127.250.0.1:80");
        const Fd udp(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
        for (int round = 0; !stop; ++round) {
            const bool tcp = round % 2 == 0;
            const int to = moving_to;
            const bool was_moving = moving;
            std::array<int, 2> got{};
            for (int k = 0; k < 2; ++k) {
                const SocketAddress& address = (k == 0) == (round % 4 < 2) ? one : two;
                if (tcp) {
                    const Fd client(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
                    if (::connect(client.get(), address.get(), address.size) != 0) ++refused;
                    got.at(static_cast<std::size_t>(k)) = who_is_asked(old_one, new_one);
                    waiting(old_one);
                    waiting(new_one);
                } else {
                    char byte = 'x';
                    if (::sendto(udp.get(), &byte, 1, 0, address.get(), address.size) != 1)
                        ++refused;
                    const int who = who_is_asked(old_udp, new_udp);
                    got.at(static_cast<std::size_t>(k)) = who;
                    if (who >= 0)
                        ::recv((who == 0 ? old_udp : new_udp).get(), &byte, 1, MSG_DONTWAIT);
                }
            }
            if (got[0] < 0 || got[1] < 0) ++refused;
            // While one move is under way from before to after the pair, only one order is right.
            if (was_moving && moving && to == moving_to && got[0] == to && got[1] != to) ++mixed;
            ++pairs;
        }
    });
    for (int i = 0; i < 12; ++i) {
        write_config(all_of(i % 2 == 0 ? "new" : "old"));
        moving_to = i % 2 == 0 ? 1 : 0;
        moving = true;
        const Answer answer = ctl("apply");
        EXPECT_EQ(answer.exit, 0) << answer.err;
        // The next pair that begins is answered by the new one whole.
        const int before = pairs;
        EXPECT_TRUE(eventually([&] { return pairs > before + 4; }));
        moving = false;
        EXPECT_TRUE(eventually([&] { return pairs > before + 8; }));
    }
    stop = true;
    clients.join();
    EXPECT_EQ(refused, 0);
    EXPECT_EQ(mixed, 0);
    EXPECT_GT(pairs, 200);
    EXPECT_EQ(ask("status").at("generation"), 13);
}

TEST_F(Transactions, AChangeThatComesWhileOneIsAppliedWaitsItsTurn) {
    write_config(whole("old", 10));
    start_serving();
    write_config(whole("new", 40'000));
    Process large(sluicectl({"apply", "--allow", "removals"}));
    std::vector<Process> others;
    for (int i = 0; i < 5; ++i)
        others.emplace_back(
            sluicectl({"bind", "new", "tcp", "10." + std::to_string(i) + ".0.0/16", "80"}));
    EXPECT_EQ(large.wait(), 0) << large.err();
    for (Process& other : others) EXPECT_EQ(other.wait(), 0) << other.err();
    EXPECT_EQ(ask("status").at("bindings"), 40'007);
    EXPECT_EQ(ask("status").at("generation"), 7);
}

}  // namespace
}  // namespace sluice::testing

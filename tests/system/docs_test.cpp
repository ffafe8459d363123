// SPDX-License-Identifier: Apache-2.0
// Pages for operators show what happens: their blocks are run, and the output compared.
//
// In a ```console block a line that begins with `$ ` is run by bash, with sluicectl of this world;
// what follows is its output, in which … stands for anything within a line. A ```yaml or ```text
// block whose first line is `# NAME` is that file.
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <netinet/in.h>
#include <regex>
#include <sstream>
#include <sys/socket.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "sys/files.h"
#include "system/agent_world.h"

namespace sluice::testing {
namespace {

struct Block {
    std::string kind;
    std::vector<std::string> lines;
    int line = 0;
};

std::vector<std::string> lines_of(const std::string& text) {
    std::vector<std::string> lines;
    std::istringstream in(text);
    for (std::string line; std::getline(in, line);) lines.push_back(line);
    return lines;
}

std::vector<Block> blocks_of(const std::string& path) {
    std::vector<Block> blocks;
    bool inside = false;
    int number = 0;
    for (const std::string& line : lines_of(must(read_file(path, 1'000'000)))) {
        ++number;
        if (line.starts_with("```")) {
            inside = !inside;
            if (inside) blocks.push_back({line.substr(3), {}, number});
        } else if (inside) {
            blocks.back().lines.push_back(line);
        }
    }
    return blocks;
}

// Every byte as it is, but that … stands for anything.
bool matches(const std::string& shown, const std::string& printed) {
    std::string pattern;
    constexpr std::string_view anything = "…";
    for (std::size_t i = 0; i < shown.size();) {
        if (shown.compare(i, anything.size(), anything) == 0) {
            pattern += ".*";
            i += anything.size();
            continue;
        }
        if (std::string_view(R"(\^$.|?*+()[]{})").find(shown[i]) != std::string_view::npos)
            pattern += '\\';
        pattern += shown[i++];
    }
    return std::regex_match(printed, std::regex(pattern));
}

struct Page : AgentWorld {
    void SetUp() override {
        AgentWorld::SetUp();
        for (const char* prefix : {"192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24"})
            ip(std::string("route add local ") + prefix + " dev lo");
        // sluicectl as the page calls it.
        std::string words;
        for (const std::string& word : sluicectl({}).words) words += "'" + word + "' ";
        write(scratch() + "/sluicectl", "#!/bin/sh\nexec " + words + "\"$@\"\n");
        std::filesystem::permissions(scratch() + "/sluicectl", std::filesystem::perms::owner_all);
    }
    std::vector<std::string> run_line(const std::string& line) const {
        Command command{{"/bin/bash", "-c", "cd \"$0\" && { " + line + "\n} 2>&1", scratch()},
                        {{"PATH", scratch() + ":" + std::getenv("PATH")}, {"TZ", "UTC"}},
                        {}};
        return lines_of(run(command).out);
    }
    void play(const Block& block) const {
        for (std::size_t i = 0; i < block.lines.size();) {
            ASSERT_TRUE(block.lines[i].starts_with("$ ")) << block.lines[i];
            const std::string command = block.lines[i++].substr(2);
            std::vector<std::string> shown;
            while (i < block.lines.size() && !block.lines[i].starts_with("$ "))
                shown.push_back(block.lines[i++]);
            expect_same(command, shown, run_line(command));
        }
    }
    static void expect_same(const std::string& command, const std::vector<std::string>& shown,
                            const std::vector<std::string>& printed) {
        bool same = shown.size() == printed.size();
        for (std::size_t i = 0; same && i < shown.size(); ++i) same = matches(shown[i], printed[i]);
        std::string text;
        for (const std::string& line : printed) text += line + "\n";
        EXPECT_TRUE(same) << "the page does not say what this prints:\n$ " << command << "\n"
                          << text;
    }
};

TEST_F(Page, ChangingBindingsShowsWhatHappens) {
    const Fd cdn = listen_tcp("127.0.0.1:8443"), spectrum = listen_tcp("127.0.0.1:9000");
    const Fd dns = bind_udp("127.0.0.1:5353");
    const int on = 1;  // it answers from where it was asked, and is not warned of
    ASSERT_EQ(::setsockopt(dns.get(), IPPROTO_IP, IP_RECVORIGDSTADDR, &on, sizeof on), 0);
    bool started = false;
    std::size_t run = 0;
    for (const Block& block : blocks_of(std::string(DOCS) + "/changing-bindings.md")) {
        if (block.kind != "console") {
            ASSERT_FALSE(block.lines.empty());
            ASSERT_TRUE(block.lines.front().starts_with("# ")) << "line " << block.line;
            std::string name = block.lines.front().substr(2);
            name.resize(std::min(name.find(':'), name.size()));
            std::string text;
            for (const std::string& line : block.lines) text += line + "\n";
            write(scratch() + "/" + name, text);
            continue;
        }
        if (!started) {
            start();
            ASSERT_EQ(enlist("cdn", {&cdn}).exit, 0);
            ASSERT_EQ(enlist("spectrum", {&spectrum}).exit, 0);
            ASSERT_EQ(enlist("dns", {&dns}).exit, 0);
            started = true;
        }
        play(block);
        ++run;
    }
    EXPECT_GT(run, 8U);
}

}  // namespace
}  // namespace sluice::testing

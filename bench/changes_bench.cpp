// SPDX-License-Identifier: Apache-2.0
// What changing bindings costs, by size: the real sluiced and sluicectl in a namespace of their
// own, each step of an operator's day timed. README.md says how to read what it prints.
#include <algorithm>
#include <cinttypes>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <netinet/in.h>
#include <sstream>
#include <sys/socket.h>

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include "agent_process.h"
#include "config_files.h"
#include "namespaces.h"

namespace sluice::bench {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;

constexpr unsigned most_services = 100;  // with two sockets each: what one message can carry
constexpr int statuses_a_round = 5;

struct Options {
    std::vector<std::size_t> sizes{10, 1000, 100000, 1000000};
    std::vector<std::size_t> written_out{100000};
    std::size_t rounds = 3;
    std::uint64_t seed = 1;
    std::string sluiced, sluicectl;
    bool cpu = false;  // of both programs, instead of elapsed time
    bool keep = false;
};

// One column of the table: a size, and what was measured at it.
struct Column {
    std::string title;
    ConfigRequest request;
    std::map<std::string, std::vector<double>> figures;  // by row
};

enum class Unit : std::uint8_t { time, kib };
struct Row {
    const char* name;
    Unit unit;
    const char* tubular = "";  // of 100,000 bindings, on a similar machine
};
// In the order in which they are printed.
constexpr Row rows[] = {
    {"plan, all new", Unit::time},
    {"cold apply", Unit::time, "4.6–6.6 s"},
    {"no change", Unit::time},
    {"plan, one changed", Unit::time},
    {"one changed", Unit::time, "0.9–1.6 s"},
    {"one changed, by reload", Unit::time},
    {"rollback", Unit::time},
    {"bind one", Unit::time},
    {"status", Unit::time, "5–7.5 s"},
    {"bindings, one address", Unit::time},
    {"bindings, all", Unit::time},
    {"config, all", Unit::time},
    {"plan of that config", Unit::time},
    {"restart, until READY", Unit::time},
    {"agent blocked: cold apply", Unit::time},
    {"agent blocked: cold, second half", Unit::time},
    {"agent blocked: one changed", Unit::time},
    {"agent blocked: status", Unit::time},
    {"agent blocked: bindings, all", Unit::time},
    {"agent memory", Unit::kib},
    {"agent memory, peak of cold apply", Unit::kib},
    {"agent memory, peak of one changed", Unit::kib},
    {"sluicectl memory: apply", Unit::kib},
    {"sluicectl memory: plan -o json", Unit::kib},
    {"sluicectl memory: bindings", Unit::kib},
    {"sluicectl memory: config", Unit::kib},
    {"history, first generation", Unit::kib},
    {"history, after one changed", Unit::kib},
};

std::string human(double value, Unit unit) {
    std::array<char, 32> text{};
    const auto print = [&](const char* format, double number) {
        std::snprintf(text.data(), text.size(), format, number);
        return std::string(text.data());
    };
    if (unit == Unit::kib)
        return value < 10240 ? print("%.1f MB", value / 1024) : print("%.0f MB", value / 1024);
    if (value < 1000) return print(value < 10 ? "%.1f ms" : "%.0f ms", value);
    return print("%.2f s", value / 1000);
}

// "412 ms (398–440)"
std::string cell(std::vector<double> values, Unit unit) {
    if (values.empty()) return "";
    std::ranges::sort(values);
    const std::string median = human(values[values.size() / 2], unit);
    const std::string least = human(values.front(), unit), most = human(values.back(), unit);
    if (least == most) return median;
    return median + " (" + least.substr(0, least.find(' ')) + "–" + most.substr(0, most.find(' ')) +
           (least.substr(least.find(' ')) == most.substr(most.find(' '))
                ? ""
                : most.substr(most.find(' '))) +
           ")";
}

void print_table(const std::vector<Column>& columns) {
    std::printf("\n| |");
    for (const Column& column : columns) std::printf(" %s |", column.title.c_str());
    std::printf(" tubular, 100,000 |\n|---|");
    for (std::size_t i = 0; i <= columns.size(); ++i) std::printf("---|");
    std::printf("\n");
    for (const Row& row : rows) {
        std::printf("| %s |", row.name);
        for (const Column& column : columns) {
            const auto at = column.figures.find(row.name);
            std::printf(" %s |",
                        at == column.figures.end() ? "" : cell(at->second, row.unit).c_str());
        }
        std::printf(" %s |\n", row.tubular);
    }
}

std::string content(const std::string& path) {
    std::ostringstream text;
    text << std::ifstream(path).rdbuf();
    return text.str();
}

double kib_in(const std::string& directory) {
    std::uintmax_t bytes = 0;
    for (const auto& entry : fs::recursive_directory_iterator(directory))
        if (entry.is_regular_file()) bytes += entry.file_size();
    return static_cast<double>(bytes) / 1024;
}

// A socket of both families, on a port of its own.
Result<Fd> open_socket(int type) {
    Fd fd(::socket(AF_INET6, type | SOCK_CLOEXEC, 0));
    const int off = 0;
    ::setsockopt(fd.get(), IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
    sockaddr_in6 any{};
    any.sin6_family = AF_INET6;
    if (::bind(fd.get(), reinterpret_cast<const sockaddr*>(&any), sizeof any) != 0)
        return fail_errno(errno, "bind a socket");
    if (type == SOCK_STREAM && ::listen(fd.get(), 16) != 0) return fail_errno(errno, "listen");
    return fd;
}

// One fresh agent, from nothing to a full table, and through everything that is measured.
class Round {
  public:
    Round(Programs programs, bool cpu, const ConfigFiles& files, Column& column)
        : programs_(std::move(programs)), cpu_(cpu), files_(files), column_(column) {}

    Result<> run() {
        for (const auto& step : {&Round::begin, &Round::fill, &Round::change, &Round::look,
                                 &Round::take_config_again, &Round::restart})
            if (auto ok = (this->*step)(); !ok) return ok;
        return {};
    }

  private:
    void note(const char* row, double value) { column_.figures[row].push_back(value); }

    // Timed from typing it to its end; the agent's own work may go on after that.
    Result<Ran> ctl(const std::vector<std::string>& words, const std::vector<Passed>& passed = {}) {
        if (prober_) prober_->worst();
        auto ran = run_sluicectl(programs_, words, programs_.directory + "/out", passed);
        if (!ran) return ran;
        if (ran->exit != 0)
            return fail(Failure::failed, words.front() + " exits with " +
                                             std::to_string(ran->exit) + ": " + content(ran->err));
        return ran;
    }
    Result<Ran> timed(const char* row, const std::vector<std::string>& words) {
        const double before = agent_->cpu_milliseconds();
        auto ran = ctl(words);
        if (ran)
            note(row, cpu_ ? ran->cpu_milliseconds + agent_->cpu_milliseconds() - before
                           : ran->milliseconds);
        return ran;
    }
    // A plan, whole, without keeping it in memory: it may be some 300 MB.
    Result<> says(const Ran& ran, const std::string& what) {
        const std::string command = "grep -q -F '" + what + "' " + ran.out;
        if (std::system(command.c_str()) == 0) return {};  // NOLINT: text of our own
        return fail(Failure::failed, "the answer has no '" + what + "'");
    }

    Result<> begin() {
        if (auto ok = files_.write_empty(); !ok) return ok;
        if (auto ok = start(); !ok) return ok;
        std::vector<Passed> passed;
        for (unsigned i = 0; i < column_.request.services; ++i)
            for (const int type : {SOCK_STREAM, SOCK_DGRAM}) {
                auto fd = open_socket(type);
                if (!fd) return pass_on(fd);
                passed.push_back({fd->get(), service_name(i)});
                sockets_.push_back(std::move(*fd));
            }
        auto registered = ctl({"register"}, passed);
        if (!registered) return pass_on(registered);
        return files_.write_full();
    }

    Result<> start() {
        auto agent = AgentProcess::start(programs_);
        if (!agent) return pass_on(agent);
        agent_.emplace(std::move(*agent));
        auto prober = Prober::start(programs_.control());
        if (!prober) return pass_on(prober);
        prober_ = std::move(*prober);
        prober_->wait_until_quiet();
        return {};
    }

    Result<> fill() {
        auto plan = timed("plan, all new", {"plan"});
        if (!plan) return pass_on(plan);
        auto json = ctl({"-o", "json", "plan"});
        if (!json) return pass_on(json);
        note("sluicectl memory: plan -o json", static_cast<double>(json->peak_kib));
        if (auto ok = says(*json, R"("changed":true)"); !ok) return ok;
        prober_->wait_until_quiet();
        agent_->reset_peak();
        auto apply = timed("cold apply", {"apply", "-v"});
        if (!apply) return pass_on(apply);
        steps_ = content(apply->out);
        note("agent blocked: cold apply", prober_->worst());
        note("sluicectl memory: apply", static_cast<double>(apply->peak_kib));
        prober_->wait_until_quiet();
        note("agent blocked: cold, second half", prober_->worst());
        note("agent memory, peak of cold apply", static_cast<double>(agent_->memory("VmHWM")));
        note("agent memory", static_cast<double>(agent_->memory("VmRSS")));
        note("history, first generation", kib_in(programs_.state()));
        return {};
    }

    Result<> change() {
        auto same = timed("no change", {"apply"});
        if (!same) return pass_on(same);
        if (auto ok = says(*same, "nothing to change"); !ok) return ok;
        prober_->wait_until_quiet();
        agent_->reset_peak();
        if (auto ok = files_.write_changed(1); !ok) return ok;
        if (auto ok = timed("plan, one changed", {"plan"}); !ok) return pass_on(ok);
        auto changed = timed("one changed", {"apply"});
        if (!changed) return pass_on(changed);
        note("agent blocked: one changed", prober_->worst());
        note("agent memory, peak of one changed", static_cast<double>(agent_->memory("VmHWM")));
        prober_->wait_until_quiet();
        note("history, after one changed", kib_in(programs_.state()));
        if (auto ok = files_.write_changed(2); !ok) return ok;
        if (auto ok = timed("one changed, by reload", {"reload"}); !ok) return pass_on(ok);
        prober_->wait_until_quiet();
        if (auto ok = timed("rollback", {"rollback"}); !ok) return pass_on(ok);
        prober_->wait_until_quiet();
        if (auto ok = timed("bind one", {"bind", "s0", "tcp", "192.0.2.1", "25"}); !ok)
            return pass_on(ok);
        prober_->wait_until_quiet();
        auto unbound = ctl({"unbind", "tcp", "192.0.2.1", "25"});
        if (!unbound) return pass_on(unbound);
        prober_->wait_until_quiet();
        return {};
    }

    Result<> look() {
        for (int i = 0; i < statuses_a_round; ++i)
            if (auto ok = timed("status", {"status"}); !ok) return pass_on(ok);
        note("agent blocked: status", prober_->worst());
        auto covering = timed("bindings, one address", {"bindings", "--covering", "192.0.2.1"});
        if (!covering) return pass_on(covering);
        auto all = timed("bindings, all", {"bindings"});
        if (!all) return pass_on(all);
        note("agent blocked: bindings, all", prober_->worst());
        auto json = ctl({"-o", "json", "bindings"});
        if (!json) return pass_on(json);
        note("sluicectl memory: bindings",
             static_cast<double>(std::max(all->peak_kib, json->peak_kib)));
        return {};
    }

    // What `config` prints is what runs.
    Result<> take_config_again() {
        auto config = timed("config, all", {"config"});
        if (!config) return pass_on(config);
        note("sluicectl memory: config", static_cast<double>(config->peak_kib));
        const std::string copy = programs_.directory + "/copy.yaml";
        fs::rename(config->out, copy);
        auto plan = timed("plan of that config", {"plan", copy});
        if (!plan) return pass_on(plan);
        return says(*plan, "nothing to change");
    }

    Result<> restart() {
        prober_.reset();
        if (auto ok = agent_->stop(); !ok) return ok;
        agent_.reset();
        if (auto ok = start(); !ok) return ok;
        note("restart, until READY",
             cpu_ ? agent_->cpu_milliseconds() : agent_->ready_milliseconds());
        prober_.reset();
        std::fprintf(stderr, "%s\n", steps_.substr(steps_.rfind("\nread") + 1).c_str());
        return agent_->stop();
    }

    Programs programs_;
    bool cpu_;
    const ConfigFiles& files_;
    Column& column_;
    std::vector<Fd> sockets_;
    std::optional<AgentProcess> agent_;
    std::unique_ptr<Prober> prober_;
    std::string steps_;
};

std::string grouped(std::size_t number) {
    std::string text = std::to_string(number);
    for (std::size_t at = text.size(); at > 3; at -= 3) text.insert(at - 3, ",");
    return text;
}

Result<> measure(const Options& options, const std::string& directory, Column& column) {
    const auto files = ConfigFiles::write(directory, column.request);
    if (!files) return fail(files.error());
    Programs programs{options.sluiced, options.sluicectl, directory};
    for (std::size_t i = 0; i < options.rounds; ++i) {
        std::fprintf(stderr, "%s, round %zu of %zu\n", column.title.c_str(), i + 1, options.rounds);
        fs::remove_all(programs.state());
        fs::remove_all(programs.bpffs());
        if (auto ok = Round(programs, options.cpu, *files, column).run(); !ok)
            return pass_on(ok, column.title);
    }
    fs::remove_all(programs.bpffs());
    return {};
}

Result<> run_all(const Options& options) {
    if (auto ok = own_namespaces(); !ok) return ok;
    // Every address is this host's, as it is where such bindings are used.
    for (const char* command :
         {"ip route add local default dev lo", "ip -6 route add local default dev lo"})
        if (std::system(command) != 0)  // NOLINT: text of our own
            return fail(Failure::failed, command);
    std::vector<Column> columns;
    const auto add = [&](std::size_t size, bool written_out) {
        const auto services =
            static_cast<unsigned>(std::clamp<std::size_t>(size / 8, 2, most_services));
        columns.push_back({grouped(size) + (written_out ? " in YAML" : ""),
                           {size, services, written_out, options.seed},
                           {}});
    };
    for (const std::size_t size : options.sizes) add(size, false);
    for (const std::size_t size : options.written_out) add(size, true);
    std::string name = (fs::temp_directory_path() / "sluice-bench-XXXXXX").string();
    if (::mkdtemp(name.data()) == nullptr) return fail_errno(errno, "make a directory");
    Result<> ok;
    for (std::size_t i = 0; ok && i < columns.size(); ++i) {
        const std::string directory = name + "/" + std::to_string(i);
        fs::create_directories(directory);
        ok = measure(options, directory, columns[i]);
        if (!options.keep && ok) fs::remove_all(directory);
    }
    print_table(columns);
    if (!ok) return fail(Error(ok.error()).hint("what it made is in " + name));
    if (!options.keep) fs::remove_all(name);
    return {};
}

int main_with(int argc, char** argv) {
    Options options;
    const fs::path build = fs::canonical("/proc/self/exe").parent_path().parent_path();
    options.sluiced = build / "agent/daemon/sluiced";
    options.sluicectl = build / "agent/cli/sluicectl";
    CLI::App app("Measures what changing bindings costs, by size (bench/README.md)");
    app.add_option("--sizes", options.sizes, "how many bindings, with commas; up to 1000000")
        ->delimiter(',')
        ->check(CLI::Range(10, 1000000));
    app.add_option("--written-out", options.written_out, "the same, as entries of the YAML file")
        ->delimiter(',')
        ->check(CLI::Range(10, 1000000));
    app.add_option("--rounds", options.rounds, "fresh agents of each size")
        ->check(CLI::Range(1, 100));
    app.add_option("--seed", options.seed, "of the random prefixes");
    app.add_option("--sluiced", options.sluiced, "another build");
    app.add_option("--sluicectl", options.sluicectl, "another build");
    app.add_flag("--cpu", options.cpu, "processor time of both programs instead of elapsed time");
    app.add_flag("--keep", options.keep, "leave the files and logs");
    CLI11_PARSE(app, argc, argv);
    if (auto ok = run_all(options); !ok) {
        std::fprintf(stderr, "changes_bench: %s\n", ok.error().message().c_str());
        if (!ok.error().hint().empty())
            std::fprintf(stderr, "hint: %s\n", ok.error().hint().c_str());
        return 1;
    }
    return 0;
}

}  // namespace
}  // namespace sluice::bench

int main(int argc, char** argv) { return sluice::bench::main_with(argc, argv); }

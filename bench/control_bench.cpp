// SPDX-License-Identifier: Apache-2.0
// The control path at size: a cold start, one binding that changes among many, growth of the index,
// and what all of it takes of memory. README.md says how to read what it prints.
#include <chrono>
#include <cstdio>
#include <ctime>
#include <dirent.h>
#include <fstream>
#include <set>

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include "kernel/dataplane.h"
#include "namespaces.h"
#include "tables.h"

namespace sluice::bench {
namespace {

using Clock = std::chrono::steady_clock;

struct Options {
    std::size_t size = 1'000'000;
    std::string json;
};

class Report {
  public:
    explicit Report(std::string json) : json_(std::move(json)) {}
    void line(const std::string& what, const std::string& value) const {
        std::printf("  %-58s %s\n", what.c_str(), value.c_str());
        std::fflush(stdout);
        if (!json_.empty())
            std::ofstream(json_, std::ios::app)
                << nlohmann::json{{"control", what}, {"value", value}} << "\n";
    }

  private:
    std::string json_;
};

double cpu_seconds() {
    timespec now{};
    ::clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) / 1e9;
}

class Timer {
  public:
    std::string text() const {
        std::array<char, 64> out{};
        const std::chrono::duration<double> wall = Clock::now() - began_;
        std::snprintf(out.data(), out.size(), "%.3f s, of which %.3f s of CPU", wall.count(),
                      cpu_seconds() - cpu_);
        return out.data();
    }

  private:
    Clock::time_point began_ = Clock::now();
    double cpu_ = cpu_seconds();
};

std::string megabytes(std::uint64_t bytes) {
    std::array<char, 32> out{};
    std::snprintf(out.data(), out.size(), "%.1f MB", static_cast<double>(bytes) / 1e6);
    return out.data();
}

std::uint64_t resident() {
    std::ifstream status("/proc/self/statm");
    std::uint64_t pages = 0, kept = 0;
    status >> pages >> kept;
    return kept * 4096;
}

// What the kernel says that one map takes; exact for arrays, and for tries since 6.4 or so.
std::uint64_t memory_of(int fd) {
    std::ifstream info("/proc/self/fdinfo/" + std::to_string(fd));
    for (std::string word; info >> word;)
        if (word == "memlock:") {
            std::uint64_t bytes = 0;
            info >> bytes;
            return bytes;
        }
    return 0;
}

std::uint64_t slab_bytes() {
    std::ifstream info("/proc/meminfo");
    for (std::string word; info >> word;)
        if (word == "Slab:") {
            std::uint64_t kilobytes = 0;
            info >> kilobytes;
            return kilobytes * 1024;
        }
    return 0;
}

Result<Bindings> bindings_of(const Table& table, std::uint32_t services) {
    std::vector<SharedText> names;
    for (std::uint32_t i = 0; i < services; ++i)
        names.push_back(SharedText("service-" + std::to_string(i)));
    std::vector<Binding> all;
    for (const Entry& entry : table.entries) {
        Binding binding;
        binding.match = {Protocol::tcp, entry.prefix,
                         entry.port == 0 ? Ports::any() : Ports::one(entry.port)};
        binding.target = Target::service(names[entry.service]);
        all.push_back(std::move(binding));
    }
    return Bindings::make(std::move(all));
}

Result<Bindings> with_one_more(const Bindings& table, std::uint16_t port) {
    std::vector<Binding> all(table.begin(), table.end());
    Binding more = all.front();
    more.match.prefix = Prefix::of(more.match.prefix.address, 12);
    more.match.ports = Ports::one(port);
    all.push_back(std::move(more));
    return Bindings::make(std::move(all));
}

Result<> finish(kernel::Dataplane& plane, const std::set<std::string>& keep) {
    while (plane.wants_grace()) {
        auto ticket = plane.begin_grace();
        if (auto ok = plane.wait(ticket); !ok) return ok;
        if (auto ok = plane.finish_grace(ticket, keep); !ok) return ok;
    }
    return {};
}

Result<> run_family(const Options& options, Family family, const Report& report) {
    constexpr std::uint32_t services = 300;
    const Table table = edge_mix({family, options.size, services, 1, 1});
    auto bindings = bindings_of(table, services);
    if (!bindings) return pass_on(bindings);
    std::map<std::string, ServiceConfig> configured;
    std::set<std::string> keep;
    for (std::uint32_t i = 0; i < services; ++i) {
        configured.try_emplace("service-" + std::to_string(i));
        keep.insert("service-" + std::to_string(i));
    }
    const std::string title = std::string(to_string(family)) + ", " + std::to_string(options.size);
    const std::string directory = "/sys/fs/bpf/" + std::string(to_string(family));
    const std::uint64_t before = resident(), slab = slab_bytes();
    const Bindings none;

    Timer cold;
    const kernel::Site site{.directory = directory,
                            .capacity = static_cast<std::uint32_t>(options.size + 1)};
    auto plane = kernel::Dataplane::open(site);
    if (!plane) return pass_on(plane);
    auto stats = (*plane)->apply(
        {.generation = 1, .from = &none, .to = &*bindings, .services = &configured});
    if (!stats) return pass_on(stats);
    report.line(title + ": cold start until the tries answer", cold.text());
    if (auto ok = finish(**plane, keep); !ok) return ok;
    report.line(title + ": … until both halves are written and the index answers", cold.text());
    if (!(*plane)->dispatcher().maps().by_index())
        return fail(Failure::failed, "the index does not answer");

    const Bindings* running = &*bindings;
    auto changed = with_one_more(*bindings, 8443);
    if (!changed) return pass_on(changed);
    Timer one;
    stats = (*plane)->apply(
        {.generation = 2, .from = running, .to = &*changed, .services = &configured});
    if (!stats) return pass_on(stats);
    report.line(title + ": one binding more", one.text());
    report.line(title + ": … writes", std::to_string(stats->map_operations) + " trie entry, " +
                                          std::to_string(stats->index_buckets) +
                                          " index buckets of 64 bytes");
    Timer second;
    if (auto ok = finish(**plane, keep); !ok) return ok;
    report.line(title + ": … the grace period and the second half", second.text());

    const auto& maps = (*plane)->dispatcher().maps();
    const auto tries = memory_of(maps.prefixes_v4.fd()) + memory_of(maps.prefixes_v6.fd());
    report.line(title + ": memory of the tries, as the kernel states it", megabytes(tries));
    report.line(title + ": … and by how much the slab grew", megabytes(slab_bytes() - slab));
    report.line(title + ": memory of the index, both halves",
                megabytes(memory_of(maps.index.v4.fd()) + memory_of(maps.index.v6.fd())));
    report.line(title + ": its image in the agent",
                megabytes((*plane)->table().index()->image_bytes()));
    report.line(title + ": this process grew by (mapped index included)",
                megabytes(resident() - before));

    Timer check;
    auto compared = (*plane)->self_check(*changed, 20'000, 1);
    if (!compared) return pass_on(compared);
    if (compared->differences != 0) return fail(Failure::failed, compared->first);
    report.line(title + ": self-check, 20,000 questions", check.text());

    plane->reset();
    Timer restart;
    auto again = kernel::Dataplane::open(site);
    if (!again) return pass_on(again);
    report.line(title + ": restart, until adopted", restart.text());
    if (auto ok = finish(**again, keep); !ok) return ok;
    report.line(title + ": … until the index answers again", restart.text());
    return {};
}

Result<> run_all(const Options& options) {
    if (auto ok = own_namespaces(); !ok) return ok;
    const Report report(options.json);
    for (const Family family : {Family::ipv4, Family::ipv6}) {
        if (auto ok = run_family(options, family, report); !ok)
            return pass_on(ok, to_string(family));
        if (auto ok = new_network(); !ok) return ok;
    }
    return {};
}

int main_with(int argc, char** argv) {
    Options options;
    CLI::App app("Measures changes of large tables (bench/README.md)");
    app.add_option("--size", options.size, "bindings")->check(CLI::Range(10, 1000000));
    app.add_option("--json", options.json, "a file that the figures are added to");
    CLI11_PARSE(app, argc, argv);
    auto ok = run_all(options);
    if (!ok) std::fprintf(stderr, "control_bench: %s\n", ok.error().message().c_str());
    return ok ? 0 : 1;
}

}  // namespace
}  // namespace sluice::bench

int main(int argc, char** argv) { return sluice::bench::main_with(argc, argv); }

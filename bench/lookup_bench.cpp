// SPDX-License-Identifier: Apache-2.0
// The driver: the same bindings in every candidate, equal answers first, then nanoseconds a lookup
// in interleaved rounds. README.md says how to read what it prints.
#include <algorithm>
#include <cinttypes>
#include <cmath>
#include <cstdio>
#include <fstream>
#include <numeric>
#include <random>

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include "candidates.h"
#include "namespaces.h"
#include "replay.h"

namespace sluice::bench {
namespace {

// Keys are in the order of the random generator: any run of them is a sample.
constexpr std::uint32_t runs_a_round = 16384;
constexpr std::uint32_t cold_runs_a_round = 256;
constexpr std::size_t sample = 2000;
constexpr std::size_t displaced = std::size_t{4} << 20U;  // bytes: more than a second-level cache
static_assert(REPLAY_KEYS % runs_a_round == 0 && REPLAY_KEYS % cold_runs_a_round == 0);

struct Options {
    std::vector<std::size_t> sizes{10, 1000, 100000};
    std::size_t rounds = 32;
    std::uint32_t services = 300;
    std::uint64_t seed = 1;
    std::vector<OtherBuild> others;
    std::string json;       // a file for the figures, one object a line; "" for none
    bool check = false;     // compare answers, measure nothing
    bool misplace = false;  // bind one entry of the baseline wrongly: the comparison must fail
};

std::string text(const Run& answer) {
    if (answer.drop) return "drop";
    if (answer.cookie == 0) return "pass";
    std::array<char, 32> hex{};
    std::snprintf(hex.data(), hex.size(), "socket %" PRIx64, answer.cookie);
    return hex.data();
}

Result<> differ(std::string_view what, const Key& key, const Run& expected, const Run& got) {
    return fail(Failure::failed, "tcp " + to_string(key.local) + " from " + to_string(key.remote) +
                                     ": the baseline answers " + text(expected) + ", " +
                                     std::string(what) + " " + text(got));
}

// Ours by the agent's own test run too; and what replay.h made of every program. `lookups`: the
// baseline and every build of ours.
Result<> same_answers(const Workload& workload, const kernel::Lookup& agent,
                      std::span<Candidate> lookups) {
    const Candidate& baseline = lookups.front();
    for (Candidate& each : lookups)
        if (auto ok = each.replay.load(workload.keys); !ok) return ok;
    for (const Key& key : std::span(workload.keys).first(sample)) {
        const auto expected = run(baseline.program, key);
        if (!expected) return fail(expected.error());
        if ((expected->cookie != 0) != workload.bound)
            return fail(Failure::failed, "tcp " + to_string(key.local) + ": not a key of '" +
                                             std::string(workload.name) + "'");
        const auto verdict = agent.verdict(Protocol::tcp, key.local, key.remote);
        if (!verdict) return fail(verdict.error());
        const Run answer{verdict->drop, verdict->cookie};
        if (!expected->same_answer(answer)) return differ("ours", key, *expected, answer);
        for (const Candidate& each : lookups) {
            const auto plain = run(each.program, key), replayed = each.replay.run(1);
            if (!plain) return fail(plain.error());
            if (!replayed) return fail(replayed.error());
            if (!expected->same_answer(*plain)) return differ(each.name, key, *expected, *plain);
            if (!expected->same_answer(*replayed))
                return differ(each.name + " replayed", key, *expected, *replayed);
        }
    }
    return {};
}

// By round. Ratios are to the baseline's same round: of whole programs as they are, of lookups
// alone without what the empty program takes.
struct Timings {
    std::vector<double> nanoseconds, ratios;
};

double quantile(std::vector<double> values, double part) {
    std::ranges::sort(values);
    const double place = part * static_cast<double>(values.size() - 1);
    const auto below = static_cast<std::size_t>(place);
    const std::size_t above = std::min(below + 1, values.size() - 1);
    return std::lerp(values[below], values[above], place - static_cast<double>(below));
}

class Contest {
  public:
    Contest(std::vector<Candidate> candidates, std::uint64_t seed)
        : candidates_(std::move(candidates)), order_(candidates_.size()), random_(seed) {
        std::iota(order_.begin(), order_.end(), std::size_t{0});
    }

    // The first round warms up and is thrown away.
    Result<> measure(const Workload& workload, std::size_t rounds) {
        timings_.assign(candidates_.size(), {});
        Fd counting;
        if (workload.manner == Manner::cold) {
            auto started = count_run_times();
            if (!started) return pass_on(started);
            counting = std::move(*started);
        }
        for (Candidate& each : candidates_)
            if (auto ok = each.replay.load(workload.keys); !ok) return ok;
        for (std::size_t round = 0; round <= rounds; ++round) {
            auto results = run_round(workload, round);
            if (!results) return pass_on(results);
            for (std::size_t i = 0; i < candidates_.size() && round > 0; ++i) {
                timings_[i].nanoseconds.push_back((*results)[i]);
                timings_[i].ratios.push_back(ratio(*results, i));
            }
        }
        return {};
    }

    nlohmann::json figures() const {
        nlohmann::json list = nlohmann::json::array();
        for (std::size_t i = 0; i < candidates_.size(); ++i) {
            const auto parts = [](const std::vector<double>& values) {
                nlohmann::json five = nlohmann::json::array();
                for (const double part : {0.0, 0.25, 0.5, 0.75, 1.0})
                    five.push_back(quantile(values, part));
                return five;
            };
            list.push_back({{"candidate", candidates_[i].name},
                            {"nanoseconds", parts(timings_[i].nanoseconds)},
                            {"ratio", parts(timings_[i].ratios)}});
        }
        return list;
    }

    void print(std::string_view workload) const {
        for (std::size_t i = 0; i < candidates_.size(); ++i) {
            const auto& [nanoseconds, ratios] = timings_[i];
            std::printf("  %-20.*s %-13.*s %6.0f %5.0f-%-5.0f", i == 0 ? int(workload.size()) : 0,
                        workload.data(), int(candidates_[i].name.size()),
                        candidates_[i].name.data(), quantile(nanoseconds, 0.5),
                        quantile(nanoseconds, 0.25), quantile(nanoseconds, 0.75));
            if (i == 0 || candidates_[i].name == "baseline find")
                std::printf("   1\n");
            else
                std::printf("   %.2f  %.2f-%.2f  %.2f-%.2f\n", quantile(ratios, 0.5),
                            quantile(ratios, 0.25), quantile(ratios, 0.75), quantile(ratios, 0),
                            quantile(ratios, 1));
        }
        std::fflush(stdout);
    }

    std::vector<Candidate>& candidates() { return candidates_; }  // the baseline, ours, …

  private:
    std::size_t place_of(std::string_view name) const {
        return static_cast<std::size_t>(std::ranges::find(candidates_, name, &Candidate::name) -
                                        candidates_.begin());
    }

    double ratio(const std::vector<double>& results, std::size_t i) const {
        if (!candidates_[i].find_only) return results[i] / results.front();
        const double nothing = results[place_of("empty")];
        return (results[i] - nothing) / (results[place_of("baseline find")] - nothing);
    }

    // Nanoseconds by candidate. They are asked in another order each round: none always profits
    // from what the one before it left in the caches.
    Result<std::vector<double>> run_round(const Workload& workload, std::size_t round) {
        std::vector<double> results(candidates_.size());
        std::ranges::shuffle(order_, random_);
        for (const std::size_t i : order_) {
            auto result = ask(candidates_[i], workload, round);
            if (!result) return pass_on(result);
            results[i] = *result;
        }
        return results;
    }

    Result<double> ask(const Candidate& candidate, const Workload& workload, std::size_t round) {
        if (workload.manner == Manner::cold) {
            const std::size_t first = round * cold_runs_a_round % REPLAY_KEYS;
            return run_apart(candidate.program,
                             std::span(workload.keys).subspan(first, cold_runs_a_round),
                             [this] { displace_caches(); });
        }
        auto result = workload.manner == Manner::one_key
                          ? run(candidate.program, workload.keys[round], runs_a_round)
                          : candidate.replay.run(runs_a_round);
        if (!result) return pass_on(result);
        return result->nanoseconds;
    }

    void displace_caches() {
        constexpr std::size_t line = 64;
        for (std::size_t at = 0; at < other_work_.size(); at += line) ++other_work_[at];
    }

    std::vector<unsigned char> other_work_ = std::vector<unsigned char>(displaced);
    std::vector<Candidate> candidates_;
    std::vector<std::size_t> order_;
    std::mt19937_64 random_;
    std::vector<Timings> timings_;
};

Result<> run_table(const Options& options, const Table& table, const Listeners& listeners) {
    auto ours = Ours::open("/sys/fs/bpf/sluice", table, listeners, options.others);
    if (!ours) return pass_on(ours);
    std::vector<Candidate> candidates;
    auto add = [&](Result<Candidate> made) -> Result<> {
        if (!made) return pass_on(made);
        candidates.push_back(std::move(*made));
        return {};
    };
    auto other = baseline(table, listeners, options.misplace);
    if (!other) return pass_on(other);
    candidates.push_back(std::move(other->first));
    std::ranges::move(ours->take_candidates(), std::back_inserter(candidates));
    const std::size_t lookups = candidates.size();
    if (auto ok = add(floor(listeners)); !ok) return ok;
    if (auto ok = add(empty()); !ok) return ok;
    candidates.push_back(std::move(other->second));
    std::ranges::move(ours->take_finds(), std::back_inserter(candidates));

    Contest contest(std::move(candidates), options.seed);
    const std::span looking_up = std::span(contest.candidates()).first(lookups);
    for (const Workload& workload : table.workloads) {
        if (auto ok = same_answers(workload, ours->lookup(), looking_up); !ok)
            return pass_on(ok, workload.name);
        if (options.check) continue;
        if (auto ok = contest.measure(workload, options.rounds); !ok) return ok;
        contest.print(workload.name);
        if (!options.json.empty())
            std::ofstream(options.json, std::ios::app)
                << nlohmann::json{{"family", to_string(listeners.family)},
                                  {"size", table.entries.size()},
                                  {"table", table.name},
                                  {"workload", workload.name},
                                  {"figures", contest.figures()}}
                << "\n";
    }
    return {};
}

Result<> run_size(const Options& options, Family family, std::size_t size) {
    const auto services = static_cast<std::uint32_t>(std::min<std::size_t>(options.services, size));
    auto listeners = Listeners::open(family, services);
    if (!listeners) return pass_on(listeners);
    const TableRequest request{family, size, services, REPLAY_KEYS, options.seed};
    for (auto* make : {edge_mix, nested_mix, routes, all_lengths}) {
        const Table table = make(request);
        const std::string title = std::string(to_string(family)) + ", " + std::to_string(size) +
                                  " bindings, " + std::string(table.name);
        if (!options.check)
            std::printf("\n%s\n  %-20s %-13s %6s %-11s   %s\n", title.c_str(), "", "", "ns",
                        "quartiles", "ratio quartiles  min-max");
        if (auto ok = run_table(options, table, *listeners); !ok) return pass_on(ok, title);
        if (options.check)
            std::printf("%s: %zu answers are equal\n", title.c_str(),
                        table.workloads.size() * sample);
    }
    return {};
}

Result<> print_programs(const Options& options) {
    std::printf("%-18s %12s %10s %12s\n", "program", "instructions", "verified", "verifier ms");
    for (const NamedProgram& each : programs()) {
        auto seen = verify(each.elf, each.name);
        if (!seen) return pass_on(seen, each.title);
        std::printf("%-18s %12u %10u %12.1f\n", std::string(each.title).c_str(), seen->instructions,
                    seen->verified, seen->milliseconds);
        if (!options.json.empty())
            std::ofstream(options.json, std::ios::app)
                << nlohmann::json{{"program", each.title},
                                  {"instructions", seen->instructions},
                                  {"verified", seen->verified},
                                  {"milliseconds", seen->milliseconds}}
                << "\n";
    }
    return {};
}

Result<> run_all(const Options& options) {
    if (auto ok = own_namespaces(); !ok) return ok;
    if (!options.check) {
        std::printf("seed %" PRIu64 ", %zu rounds of %u lookups\n\n", options.seed, options.rounds,
                    runs_a_round);
        if (auto ok = print_programs(options); !ok) return ok;
    }
    for (const std::size_t size : options.sizes)
        for (const Family family : {Family::ipv4, Family::ipv6})
            if (auto ok = run_size(options, family, size); !ok) return ok;
    return {};
}

int failed(const Error& error) {
    std::fprintf(stderr, "lookup_bench: %s\n", error.message().c_str());
    if (!error.hint().empty()) std::fprintf(stderr, "hint: %s\n", error.hint().c_str());
    return 1;
}

int main_with(int argc, char** argv) {
    Options options;
    CLI::App app("Measures lookups of the dispatcher against tubular's layout (bench/README.md)");
    app.add_option("--sizes", options.sizes, "how many bindings, with commas; up to 1000000")
        ->delimiter(',')
        ->check(CLI::Range(10, 1000000));
    app.add_option("--rounds", options.rounds, "rounds of each measurement")
        ->check(CLI::Range(4, REPLAY_KEYS - 1));
    app.add_option("--services", options.services, "services, with one socket each")
        ->check(CLI::Range(2, 300));
    app.add_option("--seed", options.seed, "of the random tables and keys");
    std::vector<std::pair<std::string, std::string>> others;
    app.add_option("--also", others,
                   "another build of the dispatcher: its object file, and that with replay.h");
    app.add_option("--json", options.json,
                   "a file that the figures are added to, an object a line");
    app.add_flag("--check", options.check, "only compare the answers; tells nothing of time");
    app.add_flag("--misplace", options.misplace,
                 "give the baseline one wrong binding: the comparison must fail");
    CLI11_PARSE(app, argc, argv);
    for (const auto& [plain, replay] : others) {
        auto other = OtherBuild::read(plain, replay);
        if (!other) return failed(other.error());
        options.others.push_back(std::move(*other));
    }
    if (auto ok = run_all(options); !ok) return failed(ok.error());
    return 0;
}

}  // namespace
}  // namespace sluice::bench

int main(int argc, char** argv) { return sluice::bench::main_with(argc, argv); }

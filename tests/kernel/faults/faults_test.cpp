// SPDX-License-Identifier: Apache-2.0
// A fault at every step of every change: each file operation and each operation on a map fails
// once, or from then on, with each of four errors. Whatever step it is, one whole generation
// answers, the state directory is sound, and the same change succeeds when the fault is gone.
#include <array>
#include <cerrno>
#include <cstring>
#include <functional>
#include <iomanip>
#include <iostream>
#include <optional>

#include <spdlog/spdlog.h>

#include "daemon/state_store.h"
#include "faults/changing_agent.h"

namespace sluice {
namespace {

using namespace sluice::testing;  // NOLINT: claims read better without prefixes
namespace fs = std::filesystem;

constexpr std::array errors{ENOSPC, EIO, EPERM, ENOMEM};

// One step of a change that fails, and what fails after it.
struct Case {
    std::size_t step = 1;
    int error = 0;
    bool lasting = false;   // so do all later ones of its kind: the disk's, or the kernel's
    bool restarts = false;  // the agent does, before the change is tried again
};

//
// Figures that are read are no step of a change.
class FailsAt : public Witness {
  public:
    FailsAt(const Case& at, std::string root) : at_(at), root_(std::move(root)) {}

    Fault before(const Operation& operation) override {
        if (operation.subject == "counters" && operation.call == "map lookup") return {};
        ++steps_;
        if (steps_ == at_.step) {
            kernel_ = operation.kind == Operation::Kind::kernel;
            hit_ = operation.call + " " + nameless(operation.subject);
            return {at_.error, at_.lasting};
        }
        return {steps_ > at_.step && at_.lasting && fails_too(operation) ? at_.error : 0, false};
    }
    // What failed: "rename generations/N"; "" when the change was over before.
    const std::string& hit() const { return hit_; }

  private:
    bool fails_too(const Operation& operation) const {
        if ((operation.kind == Operation::Kind::kernel) != kernel_) return false;
        // A full disk can be read, and emptied.
        return at_.error != ENOSPC || kernel_ || operation.kind == Operation::Kind::writes;
    }
    // Within our world, and with N for numbers.
    std::string nameless(std::string path) const {
        if (!path.starts_with(root_)) return path;
        path.erase(0, root_.size() + 1);
        std::string name;
        for (const char c : path)
            if (!std::isdigit(static_cast<unsigned char>(c)))
                name += c;
            else if (!name.ends_with('N'))
                name += 'N';
        return name;
    }

    Case at_;
    std::string root_, hit_;
    std::size_t steps_ = 0;
    bool kernel_ = false;
};

// What became of each fault at each step; printed whole.
class Outcomes {
  public:
    void add(const Case& at, const std::string& step, const std::string& outcome) {
        if (rows_.size() < at.step) rows_.resize(at.step);
        Row& row = rows_[at.step - 1];
        row.step = step;
        row.cells[{at.error, at.lasting}] = outcome;
    }
    std::size_t faults() const {
        std::size_t count = 0;
        for (const Row& row : rows_) count += row.cells.size();
        return count;
    }
    std::size_t steps() const { return rows_.size(); }
    bool has(const std::string& step) const {
        return std::ranges::any_of(rows_,
                                   [&](const Row& row) { return row.step.starts_with(step); });
    }
    void print(const std::string& change) const {
        std::cout << change << " after a fault, once / from then on\n"
                  << std::left << std::setw(50) << "";
        for (const int error : errors) std::cout << std::setw(10) << ::strerrorname_np(error);
        std::cout << '\n';
        for (std::size_t i = 0; i < rows_.size(); ++i) {
            std::cout << std::right << std::setw(4) << i + 1 << "  " << std::left << std::setw(44)
                      << rows_[i].step;
            for (const int error : errors)
                std::cout << std::setw(10)
                          << cell(rows_[i], {error, false}) + "/" + cell(rows_[i], {error, true});
            std::cout << '\n';
        }
    }

  private:
    using Column = std::pair<int, bool>;
    struct Row {
        std::string step;
        std::map<Column, std::string> cells;
    };
    static std::string cell(const Row& row, const Column& column) {
        const auto at = row.cells.find(column);
        return at == row.cells.end() ? "-" : at->second;
    }
    std::vector<Row> rows_;
};

// A change, and the way to where it can be made again.
struct Tried {
    std::string name;
    std::function<void()> prepare;     // without faults
    std::function<Result<>()> change;  // with
    bool start_does_it = false;        // what is due, a start does first thing
};

class Faults : public ChangingAgent {
  protected:
    void SetUp() override {
        ChangingAgent::SetUp();
        spdlog::set_level(spdlog::level::off);
    }
    static Result<> done(const Result<Plan>& plan) {
        if (!plan) return fail(plan.error());
        return {};
    }
    void go_to(const char* config) const {
        write_config(config);
        must(reload(anything));
        EXPECT_TRUE(finish_grace());
    }

    // Every step, until none is hit any more.
    Outcomes at_every_step(const Tried& tried) {
        tried.prepare();
        must(tried.change());
        expected_ = answers();
        Outcomes outcomes;
        for (std::size_t step = 1;; ++step) {
            bool hit = false;
            for (std::size_t i = 0; i < 2 * errors.size() && !HasFatalFailure(); ++i) {
                const bool lasting = i >= errors.size();
                const int error = errors.at(i % errors.size());
                hit = at_step({step, error, lasting, (i + (lasting ? 1 : 0)) % 2 == 0}, tried,
                              outcomes);
                if (HasFailure()) {
                    outcomes.print(tried.name + ": which generation answers");
                    return outcomes;
                }
                if (!hit) break;
            }
            if (!hit) break;
        }
        outcomes.print(tried.name + ": which generation answers");
        std::cout << outcomes.steps() << " steps, " << outcomes.faults() << " faults\n";
        return outcomes;
    }

    bool at_step(const Case& at, const Tried& tried, Outcomes& outcomes) {
        tried.prepare();
        const Answers before = answers();
        FailsAt fault(at, scratch());
        const Result<> result = [&] {
            const Witnessed witnessed(fault);
            return tried.change();
        }();
        if (fault.hit().empty()) {
            EXPECT_TRUE(result) << tried.name << ": " << result.error().message();
            return false;
        }
        bool changed = result.has_value();
        outcomes.add(at, fault.hit(), changed ? "new" : "old");
        SCOPED_TRACE(words_for(at) + " at step " + std::to_string(at.step) + ", " + fault.hit() +
                     ": " + (changed ? "done" : result.error().message()));
        one_whole_generation(before, changed, at);
        if (at.restarts) {
            restart_as_it_was();
            changed = changed || tried.start_does_it;
            one_whole_generation(before, changed, at);
        }
        if (!changed) {
            const Result<> again = tried.change();
            EXPECT_TRUE(again) << "the fault is gone, but: " << again.error().message();
        }
        agent().tick();
        EXPECT_TRUE(finish_grace());
        EXPECT_TRUE(halves_are_equal());
        one_whole_generation(before, true, at);
        if (!at.restarts) restart_as_it_was();
        one_whole_generation(before, true, at);
        return true;
    }
    static std::string words_for(const Case& at) {
        return std::string(::strerrorname_np(at.error)) + (at.lasting ? " from then on" : " once") +
               (at.restarts ? " and then a restart," : "");
    }

    // A start looks at the config: it finds what it has decided about.
    void restart_as_it_was() {
        fs::rename(options().config, options().config + ".away");
        restart();
        fs::rename(options().config + ".away", options().config);
    }

    // The old one, or the new one; and the state directory says the same of it.
    void one_whole_generation(const Answers& before, bool changed, const Case& at) {
        const Answers now = answers();
        if (changed)
            EXPECT_TRUE(now.same(expected_)) << "not what was asked for";
        else
            EXPECT_TRUE(now == before) << "not what was there before";
        EXPECT_EQ(now.generation, generation()) << "the agent does not know what answers";
        EXPECT_EQ(now.bindings, table());
        state_is_sound(at);
    }

    // Read by another, as after a reboot.
    void state_is_sound(const Case& at) {
        StateStore store = must(StateStore::open(options().state_dir));
        auto stored = store.load(generation());
        ASSERT_TRUE(stored) << stored.error().message();
        const Generation& running = agent().running().generation;
        EXPECT_EQ(overlay(stored->config, stored->runtime)->effective.size(), table().size());
        // Of what was to replace it nobody knows whether it did, where the disk went for good.
        if (!at.lasting) {
            EXPECT_EQ(stored_form(*stored), stored_form(running));
        }
        const auto records = store.history(generation());
        ASSERT_FALSE(records.empty());
        EXPECT_EQ(records.back().number, generation());
        std::vector<std::uint64_t> numbers, known;
        for (const Record& record : records) {
            numbers.push_back(record.number);
            EXPECT_TRUE(store.load(record.number)) << record.number;
        }
        for (const Record& record : agent().history()) known.push_back(record.number);
        EXPECT_EQ(numbers, known);
        for (const auto& entry : fs::recursive_directory_iterator(options().state_dir))
            EXPECT_NE(entry.path().extension(), ".damaged") << entry.path();
        if (agent().not_stored().empty()) {
            EXPECT_EQ(store.current(), generation());
        }
    }

  private:
    Answers expected_;
};

TEST_F(Faults, OfAReload) {
    start_serving();
    const Outcomes outcomes = at_every_step({"reload",
                                             [&] {
                                                 go_to(one_config);
                                                 write_config(other_config);
                                             },
                                             [&] { return done(reload(anything)); }});
    // As a change is described (state_store.h, binding_table.h): none of it is forgotten here.
    for (const char* step :
         {"write state/tables/N.tmp", "fsync state/tables/N.tmp", "rename state/tables/N",
          "fsync state/tables", "write state/generations/N.tmp", "fsync state/generations/N.tmp",
          "rename state/generations/N", "fsync state/generations", "map update batch prefixes_v4",
          "map update batch prefixes_v6", "write state/current.tmp", "fsync state/current.tmp",
          "rename state/current", "fsync state", "remove state/generations/N",
          "remove state/tables/N"})
        EXPECT_TRUE(outcomes.has(step)) << step;
}

TEST_F(Faults, OfAnApply) {
    start_serving();
    at_every_step({"apply", [&] { go_to(one_config); },
                   [&] { return done(apply("other.yaml", other_config)); }});
}

TEST_F(Faults, OfAChangeThatFindsTheOneBeforeUnsettled) {
    start_serving();
    at_every_step({"reload after a bind",
                   [&] {
                       (void)agent().unbind({match("tcp 127.8.0.0/16 any")}, somebody);
                       go_to(one_config);
                       write_config(other_config);
                       must(bind("www", "tcp 127.8.0.0/16 any"));
                   },
                   [&] { return done(reload(anything)); }});
}

TEST_F(Faults, OfTheSecondHalf) {
    start_serving();
    const Outcomes outcomes = at_every_step(
        {"the second half",
         [&] {
             go_to(one_config);
             write_config(other_config);
             must(reload(anything));
         },
         [&] { return finish_grace() ? Result<>() : fail(Failure::failed, "put off"); }});
    for (const char* step :
         {"map update sluice_grace", "map delete prefixes_v4", "map delete prefixes_v6",
          "map update batch prefixes_v4", "map update batch prefixes_v6"})
        EXPECT_TRUE(outcomes.has(step)) << step;
}

TEST_F(Faults, OfABindAndAnUnbind) {
    start_serving();
    BindRequest request = to_service("www", "tcp 127.8.0.0/16 any");
    request.matches.push_back(match("tcp 2001:db8:a::/48 443"));
    request.note = "INC-4711";
    const auto set = [&](bool bound) {
        if (bound)
            must(agent().bind(request, somebody));
        else
            (void)agent().unbind(request.matches, somebody);
        EXPECT_TRUE(finish_grace());
    };
    at_every_step(
        {"bind", [&] { set(false); }, [&] { return done(agent().bind(request, somebody)); }});
    at_every_step({"unbind", [&] { set(true); },
                   [&] { return done(agent().unbind(request.matches, somebody)); }});
}

TEST_F(Faults, OfARollback) {
    start_serving();
    at_every_step({"rollback",
                   [&] {
                       go_to(one_config);
                       go_to(other_config);
                       restart();  // so that what it goes back to is on the disk alone
                   },
                   [&] { return done(agent().rollback({}, "", somebody)); }});
}

TEST_F(Faults, OfAReloadThatChangesOnlyWhereBindingsAreWritten) {
    start_serving();
    at_every_step({"other lines",
                   [&] {
                       go_to(one_config);
                       write_config(std::string("\n\n") + one_config);
                   },
                   [&] { return done(reload(anything)); }});
}

TEST_F(Faults, OfAConfirm) {
    start_serving();
    at_every_step({"confirm",
                   [&] {
                       go_to(one_config);
                       must(apply("other.yaml", other_config, std::chrono::hours(1)));
                       EXPECT_TRUE(finish_grace());
                   },
                   [&]() -> Result<> {
                       // It may be stored though storing it failed; a restart finds it then.
                       if (!agent().running().generation.pending) return {};
                       if (auto number = agent().confirm(somebody); !number) return pass_on(number);
                       return {};
                   }});
}

TEST_F(Faults, OfTheReturnOfWhatNobodyConfirmed) {
    start_serving();
    at_every_step({"return",
                   [&] {
                       go_to(one_config);
                       must(apply("other.yaml", other_config, std::chrono::hours(1)));
                       EXPECT_TRUE(finish_grace());
                       move_clock(3601);
                   },
                   [&]() -> Result<> {
                       agent().tick();
                       if (!agent().running().generation.pending) return {};
                       return fail(Failure::failed, agent().not_returned());
                   },
                   true});
}

// Memory that ends in the middle of a change and does not come back: not even for taking it back.
class NoMoreMemory : public Witness {
  public:
    Fault before(const Operation& operation) override {
        if (!operation.call.starts_with("map update")) return {};
        return {ENOMEM, std::exchange(first_, false)};
    }

  private:
    bool first_ = true;
};

// The kernel goes on as it was, and so does what is stored, whether the start succeeds or not.
class FaultsOfAStart : public Faults {
  protected:
    // Leaves a half that was being written to whoever starts next.
    void cut_a_change_off() {
        write_config(other_config);
        NoMoreMemory none;
        const bool changed = [&] {
            const Witnessed witnessed(none);
            return reload(anything).has_value();
        }();
        ASSERT_FALSE(changed);
        write_config(one_config);
        stop();
        ASSERT_FALSE(halves_are_equal());
    }
    bool at_step(const Case& at, Outcomes& outcomes) {
        cut_a_change_off();
        const Answers before = answers();
        FailsAt fault(at, scratch());
        const Result<> started = [&] {
            const Witnessed witnessed(fault);
            return try_to_start();
        }();
        const bool hit = !fault.hit().empty();
        if (hit) outcomes.add(at, fault.hit(), started ? "yes" : "no");
        SCOPED_TRACE(words_for(at) + " at step " + std::to_string(at.step) + ", " + fault.hit() +
                     ": " + (started ? "started" : started.error().message()));
        EXPECT_TRUE(started || hit);
        EXPECT_EQ(answers(), before);
        stop();
        start();
        one_whole_generation(before, false, {});
        EXPECT_EQ(stored_form(agent().running().generation), stored_);
        EXPECT_EQ(numbers(), numbers_);
        EXPECT_TRUE(finish_grace());
        EXPECT_TRUE(halves_are_equal());
        return hit;
    }
    std::vector<std::uint64_t> numbers() const {
        std::vector<std::uint64_t> list;
        for (const Record& record : agent().history()) list.push_back(record.number);
        return list;
    }
    std::string stored_;
    std::vector<std::uint64_t> numbers_;
};

TEST_F(FaultsOfAStart, CostNothingThatIsStoredAndNothingThatAnswers) {
    start_serving();
    go_to(other_config);
    go_to(one_config);
    must(bind("www", "tcp 127.8.0.0/16 any"));
    EXPECT_TRUE(finish_grace());
    stored_ = stored_form(agent().running().generation);
    numbers_ = numbers();
    Outcomes outcomes;
    bool hit = true;
    for (std::size_t step = 1; hit && !HasFailure(); ++step)
        for (const Case& at : {Case{step, EIO, false, false}, Case{step, ENOMEM, true, false}})
            hit = at_step(at, outcomes) && hit;
    outcomes.print("start: does it");
    std::cout << outcomes.steps() << " steps, " << outcomes.faults() << " faults\n";
    EXPECT_TRUE(outcomes.has("open state/generations/N"));
    EXPECT_TRUE(outcomes.has("open state/current"));
    EXPECT_TRUE(outcomes.has("map next key prefixes_v4"));
}

}  // namespace
}  // namespace sluice

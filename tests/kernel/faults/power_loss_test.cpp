// SPDX-License-Identifier: Apache-2.0
// Power that is lost between any two file operations of any change: whatever the disk has of them,
// the next boot finds one whole generation, and never less than what somebody was told.
//
// Between two operations a disk may have any part of what was not synced. Three are looked at:
// all of it; none of it; and the names without the contents.
#include <functional>
#include <iostream>
#include <map>
#include <set>
#include <sys/mount.h>
#include <sys/stat.h>

#include <gmock/gmock.h>
#include <spdlog/spdlog.h>

#include "faults/changing_agent.h"

namespace sluice {
namespace {

using namespace sluice::testing;  // NOLINT: claims read better without prefixes
using ::testing::IsEmpty;
using ::testing::Not;
namespace fs = std::filesystem;

// A directory: paths in it, and what is in the files; nothing for directories.
using Tree = std::map<std::string, std::optional<std::string>>;

// Files and directories under one directory, and what of them is surely on the disk.
class Disk : public Witness {
  public:
    // What the disk only says it did.
    enum class Lies : std::uint8_t { never, of_files, of_directories };
    using Point = std::function<void(const std::vector<Tree>&)>;

    Disk(std::string root, Lies lies, Point point)
        : root_(std::move(root)), lies_(lies), point_(std::move(point)) {
        note_synced(root_);
    }

    Fault before(const Operation& operation) override {
        if (operation.subject.starts_with(root_) && operation.kind != Operation::Kind::reads)
            point_(states());
        return {};
    }
    void after(const Operation& operation) override {
        if (operation.call != "fsync" || !operation.subject.starts_with(root_)) return;
        const bool directory = fs::is_directory(operation.subject);
        if (lies_ == (directory ? Lies::of_directories : Lies::of_files)) return;
        if (directory)
            list(operation.subject, entries_[operation.subject] = {});
        else
            synced_[inode(operation.subject)] = must(read_file(operation.subject, 1'000'000));
    }
    std::vector<Tree> states() const {
        Tree all, none, names;
        for (const auto& entry : fs::recursive_directory_iterator(root_)) {
            const std::string path = entry.path();
            const std::string name = path.substr(root_.size() + 1);
            if (entry.is_directory()) {
                all[name] = names[name] = std::nullopt;
                continue;
            }
            const std::string content = must(read_file(path, 1'000'000));
            all[name] = content;
            const auto synced = synced_.find(inode(path));
            names[name] =
                synced != synced_.end() ? synced->second : content.substr(0, content.size() / 2);
        }
        add_synced(none, root_);
        return {all, none, names};
    }

  private:
    static ino_t inode(const std::string& path) {
        struct stat info{};
        return ::stat(path.c_str(), &info) == 0 ? info.st_ino : 0;
    }
    using Entries = std::map<std::string, ino_t>;
    static void list(const std::string& directory, Entries& entries) {
        for (const auto& entry : fs::directory_iterator(directory))
            entries[entry.path().filename()] = inode(entry.path());
    }
    // What is there already has been there for long.
    void note_synced(const std::string& directory) {
        list(directory, entries_[directory]);
        for (const auto& entry : fs::directory_iterator(directory))
            if (entry.is_directory())
                note_synced(entry.path());
            else
                synced_[inode(entry.path())] = must(read_file(entry.path(), 1'000'000));
    }
    void add_synced(Tree& tree, const std::string& directory) const {
        const auto known = entries_.find(directory);
        if (known == entries_.end()) return;
        for (const auto& [entry, number] : known->second) {
            const std::string path = directory + "/" + entry, name = path.substr(root_.size() + 1);
            const auto content = synced_.find(number);
            if (content != synced_.end()) {
                tree[name] = content->second;
            } else if (fs::is_directory(path)) {
                tree[name] = std::nullopt;
                add_synced(tree, path);
            } else {
                tree[name] = "";
            }
        }
    }

    std::string root_;
    Lies lies_;
    Point point_;
    std::map<ino_t, std::string> synced_;     // contents
    std::map<std::string, Entries> entries_;  // of directories
};

// What may answer after the next boot, and what must not be given to another.
struct Expected {
    std::set<std::vector<std::string>> tables;
    std::uint64_t highest = 0;
    std::set<std::string> when;
};

class PowerLoss : public ChangingAgent {
  protected:
    void SetUp() override {
        ChangingAgent::SetUp();
        spdlog::set_level(spdlog::level::off);
        // One directory further up, so that the state directory too has to be remembered.
        set_state_dir(disk() + "/sluice");
    }
    void TearDown() override {
        ::umount2(boot_file, MNT_DETACH);
        ChangingAgent::TearDown();
    }
    std::string disk() const { return scratch() + "/state"; }

    // Makes the change, and notes what may be left of it when power is lost meanwhile. `kept`: what
    // answers after a boot once it is made.
    void watch(const std::string& name, Disk::Lies lies, const std::function<void()>& change,
               const std::function<std::vector<std::string>()>& kept) {
        const auto before = kept_;
        if (!disk_) disk_.emplace(disk(), lies, [this](const auto& states) { note(states); });
        during_.clear();
        {
            const Witnessed witnessed(*disk_);
            change();
        }
        kept_ = kept();
        for (const Tree& tree : during_)
            expect(tree, {{before, kept_}, highest_, {"during " + name}});
        highest_ = generation();
        for (const Tree& tree : disk_->states())
            expect(tree, {{kept_}, highest_, {"after " + name}});
        points_ += during_.size() + 1;
    }
    void watch(const std::string& name, const std::function<void()>& change) {
        watch(name, Disk::Lies::never, change, [this] { return table(); });
    }

    // What answers now is on the disk.
    void begin_here() {
        kept_ = table();
        highest_ = generation();
    }

    // Boots from each, with nothing in the kernel; how many did not go well, with reasons.
    std::vector<std::string> boot_from_each(bool stop_at_first = false) {
        stop();
        another_boot();
        std::vector<std::string> problems;
        for (const auto& [tree, expected] : expected_) {
            for (const std::string& problem : boot_from(tree, expected))
                problems.push_back(*expected.when.begin() + ": " + problem);
            if (stop_at_first && !problems.empty()) break;
        }
        return problems;
    }
    std::size_t states() const { return expected_.size(); }
    std::size_t points() const { return points_; }

  private:
    static constexpr const char* boot_file = "/proc/sys/kernel/random/boot_id";

    void note(const std::vector<Tree>& states) {
        during_.insert(during_.end(), states.begin(), states.end());
    }
    // A state that is met more than once must satisfy all.
    void expect(const Tree& tree, const Expected& expected) {
        const auto [at, added] = expected_.emplace(tree, expected);
        if (added) return;
        std::erase_if(at->second.tables,
                      [&](const auto& table) { return !expected.tables.contains(table); });
        at->second.highest = std::max(at->second.highest, expected.highest);
        at->second.when.insert(expected.when.begin(), expected.when.end());
    }
    void another_boot() const {
        const std::string id = scratch() + "/boot_id";
        std::ofstream(id) << "11111111-2222-3333-4444-555555555555\n";
        ASSERT_EQ(::mount(id.c_str(), boot_file, nullptr, MS_BIND, nullptr), 0);
    }
    static void write(const Tree& tree, const std::string& root) {
        fs::create_directory(root);
        for (const auto& [name, content] : tree) {
            if (!content)
                fs::create_directory(fs::path(root) / name);
            else
                std::ofstream(fs::path(root) / name) << *content;
        }
    }

    std::vector<std::string> boot_from(const Tree& tree, const Expected& expected) const {
        const std::string lost = scratch() + "/lost";
        write(tree, lost);
        Options booted = options();
        booted.state_dir = lost + "/sluice";
        booted.bpffs = bpffs() + "-lost";
        booted.config = scratch() + "/none.yaml";  // what answers is the state directory's alone
        auto problems = judge(booted, expected);
        fs::remove_all(booted.bpffs);
        fs::remove_all(lost);
        return problems;
    }
    static std::vector<std::string> judge(const Options& booted, const Expected& expected) {
        auto started = Agent::start(booted);
        if (!started) return {"it does not start: " + started.error().message()};
        Agent& agent = **started;
        std::vector<std::string> problems, table;
        for (const Binding& each : agent.running().table->effective)
            table.push_back(to_string(each) + " (" + std::string(to_string(each.owner)) + ")");
        if (!expected.tables.contains(table))
            problems.push_back("what answers is neither the one nor the other, of " +
                               std::to_string(table.size()) + " bindings");
        const std::uint64_t number = agent.running().generation.number;
        const auto records = agent.history();
        if (number != 0 && (records.empty() || records.back().number != number))
            problems.push_back("history does not know " + std::to_string(number));
        for (const Record& record : records)
            if (auto kept = agent.kept(record.number); !kept)
                problems.push_back("history lists one that is lost: " + kept.error().message());
        if (number == 0) return problems;
        BindRequest request;
        request.target = Target::reject();
        request.matches = {match("tcp 127.99.0.0/16 any")};
        auto next = agent.bind(request, somebody);
        if (!next)
            problems.push_back("no change is possible: " + next.error().message());
        else if (agent.running().generation.number <= expected.highest)
            problems.push_back("a number is used twice");
        return problems;
    }

    std::optional<Disk> disk_;
    std::map<Tree, Expected> expected_;
    std::vector<Tree> during_;
    std::vector<std::string> kept_;
    std::uint64_t highest_ = 0;
    std::size_t points_ = 0;
};

TEST_F(PowerLoss, AtAnyPointOfAnyChangeLeavesOneWholeGeneration) {
    const Match match_of_bind = match("tcp 127.8.0.0/16 any");
    watch("the first start", [&] { start_serving(); });
    watch("a bind", [&] { must(bind("www", "tcp 127.8.0.0/16 any")); });
    watch("an apply", [&] { must(apply("other.yaml", other_config)); });
    watch("an apply of other lines",
          [&] { must(apply("other.yaml", std::string("\n\n") + other_config)); });
    watch("a rollback", [&] { must(agent().rollback({}, "", somebody)); });
    watch("an unbind", [&] { must(agent().unbind({match_of_bind}, somebody)); });
    const auto confirmed = table();
    watch(
        "an apply to be confirmed", Disk::Lies::never,
        [&] { must(apply("other.yaml", other_config, std::chrono::hours(1))); },
        [&] { return confirmed; });
    watch("the confirmation", [&] { must(agent().confirm(somebody)); });
    const auto other = table();
    watch(
        "another apply to be confirmed", Disk::Lies::never,
        [&] { must(apply("one.yaml", one_config, std::chrono::hours(1))); }, [&] { return other; });
    watch("its return", [&] {
        move_clock(3601);
        agent().tick();
    });
    const auto problems = boot_from_each();
    for (const std::string& problem : problems) ADD_FAILURE() << problem;
    std::cout << points() << " points, " << states() << " different states of the disk\n";
}

TEST_F(PowerLoss, WhileOldGenerationsAreDroppedTakesNoneThatHistoryLists) {
    start_serving();
    for (int i = 0; i < 60; ++i) must(apply("x.yaml", i % 2 == 0 ? other_config : one_config));
    begin_here();
    for (int i = 0; i < 3; ++i)
        watch("apply " + std::to_string(i),
              [&] { must(apply("x.yaml", i % 2 == 0 ? other_config : one_config)); });
    const auto problems = boot_from_each();
    for (const std::string& problem : problems) ADD_FAILURE() << problem;
    std::cout << points() << " points, " << states() << " different states of the disk\n";
}

// The control: on a disk that only says that it wrote, something is lost, and this test sees it.
class OnADiskThatLies : public PowerLoss {
  protected:
    void lose(Disk::Lies lies) {
        watch("the first start", lies, [&] { start_serving(); }, [this] { return table(); });
        watch(
            "an apply", lies, [&] { must(apply("other.yaml", other_config)); },
            [this] { return table(); });
        EXPECT_THAT(boot_from_each(true), Not(IsEmpty()));
    }
};

TEST_F(OnADiskThatLies, OfFilesSomethingIsLost) { lose(Disk::Lies::of_files); }
TEST_F(OnADiskThatLies, OfDirectoriesSomethingIsLost) { lose(Disk::Lies::of_directories); }

}  // namespace
}  // namespace sluice

// SPDX-License-Identifier: Apache-2.0
// Generations on disk: written whole and durably before they are made active.
//
//   STATE/generations/43   one accepted state without the config's bindings (core/generation.h)
//   STATE/tables/17        the config's bindings of one or more generations
//   STATE/current          the number that was last made active, for the time after a reboot; while
//                          the pins live, the number in the kernel's control block decides
//   STATE/detached         exists while the dispatcher is detached by command
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "core/generation.h"
#include "core/history.h"

namespace sluice {

struct StoreLimits {
    std::size_t of_config = 50;                 // generations that the config made
    std::size_t of_runtime = 50;                // and those that bind and unbind made
    std::size_t bytes = std::size_t{1} << 30U;  // of all files; the oldest go first
};

class StateStore {
  public:
    // Makes the directories where they are missing (0700). Files that are damaged are set aside as
    // NUMBER.damaged, with a line in the log.
    static Result<StateStore> open(const std::string& directory, StoreLimits limits = {});

    // Durable when it returns. On failure nothing of it is left.
    Result<> save(const Generation& generation);
    bool holds(std::uint64_t number) const { return files_.contains(number); }
    // Forgets one that was saved and then not made active.
    void drop(std::uint64_t number);
    // Remembers that `number` was made active, and drops generations that are no longer needed.
    Result<> set_current(std::uint64_t number);
    // The generation of that number. A file that is damaged is set aside as NUMBER.damaged, and is
    // an error like a missing one.
    Result<Generation> load(std::uint64_t number);
    // Of load(): its content is of no use, or it is gone. Any other error may pass.
    static bool is_lost(const Error& error);
    // The number that set_current() was last given; nothing if never.
    std::optional<std::uint64_t> current() const;
    // The highest number of a generation that is stored; nothing where none is.
    std::optional<std::uint64_t> newest() const;
    // The highest number that was ever saved, so that numbers are never used twice.
    std::uint64_t highest() const;
    // The kept generations up to `current`, by number. Without those that were stored and then
    // never made active, because the agent was killed in between.
    std::vector<Record> history(std::uint64_t current) const;

    bool detached() const;
    Result<> set_detached(bool detached);

  private:
    struct File {
        Record record;
        TableRef table;
        std::size_t bytes = 0;
    };
    StateStore(std::string directory, StoreLimits limits)
        : directory_(std::move(directory)), limits_(limits) {}
    std::string path_of(std::uint64_t number) const;
    std::string table_path(std::uint64_t number) const;
    Result<TableRef> store_table(const Bindings& bindings);
    Result<Bindings> load_table(const TableRef& table);
    void remember_table(const Bindings& bindings, const TableRef& table);
    Result<> read_all();
    Result<File> read_record(std::uint64_t number) const;
    void prune(std::uint64_t current);
    std::set<std::uint64_t> wanted(std::uint64_t current) const;
    void drop_unused_tables();
    void take_back(std::uint64_t number, const TableRef& table, const Result<std::string>& before);

    std::string directory_;
    StoreLimits limits_;
    std::map<std::uint64_t, File> files_;
    std::map<std::uint64_t, std::size_t> tables_;  // number -> bytes
    std::set<std::uint64_t> spared_;  // tables that a generation may need, though none says so
    // Where bindings in memory are stored: what runs, and what was last looked at.
    std::deque<std::pair<Bindings, TableRef>> known_;
};

}  // namespace sluice

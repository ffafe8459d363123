// SPDX-License-Identifier: Apache-2.0
// Generations on disk: written whole and durably before they are made active.
//
//   STATE/generations/43   one accepted state (core/generation.h)
//   STATE/current          the number that was last made active, for the time after a reboot; while
//   the
//                          pins live, the number in the kernel's control block decides
//   STATE/detached         exists while the dispatcher is detached by command
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "core/generation.h"

namespace sluice {

class StateStore {
  public:
    // Makes the directories where they are missing (0700).
    static Result<StateStore> open(const std::string& directory);

    // Durable when it returns.
    Result<> save(const Generation& generation);
    bool holds(std::uint64_t number) const;
    // Forgets one that was saved and then not made active.
    void drop(std::uint64_t number) const;
    // Remembers that `number` was made active, and drops generations that are no longer needed.
    Result<> set_current(std::uint64_t number);
    // The generation of that number. A file that is damaged is set aside as NUMBER.damaged, and is
    // an error like a missing one.
    Result<Generation> load(std::uint64_t number);
    // The number that set_current() was last given; nothing if never.
    std::optional<std::uint64_t> current() const;
    // The highest number of a generation that is stored; nothing where none is.
    std::optional<std::uint64_t> newest() const;
    // The highest number that was ever saved, so that numbers are never used twice.
    std::uint64_t highest() const;

    bool detached() const;
    Result<> set_detached(bool detached);

  private:
    explicit StateStore(std::string directory) : directory_(std::move(directory)) {}
    std::string path_of(std::uint64_t number) const;
    void prune(std::uint64_t current) const;
    std::string directory_;
};

}  // namespace sluice

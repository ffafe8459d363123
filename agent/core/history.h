// SPDX-License-Identifier: Apache-2.0
// What became of generations: which one answers, which were rolled back from, and where a rollback
// goes. Pure: judged from what each of them says of itself.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "core/generation.h"

namespace sluice {

// A generation without its bindings and services.
struct Record {
    std::uint64_t number = 0;
    std::uint64_t base = 0;
    std::int64_t time = 0;
    Owner owner = Owner::config;
    std::string cause, note;
    Author by;
    std::uint64_t restores = 0;
    std::size_t added = 0, moved = 0, removed = 0, services_changed = 0;
    bool pending = false;
    std::uint64_t return_to = 0;  // of a pending one
};
Record record_of(const Generation& generation);
std::string summary_of(const Record& record);  // "1 added, 2 moved; 1 service changes"

enum class Standing : std::uint8_t { pending, current, superseded, rolled_back };
std::string_view to_string(Standing standing);  // "rolled-back", …

// `records`: by number, the newest last; the last one is what answers. One element each.
//
// Undo goes back along a line of states of the config. A change puts a new state at its end; a
// rollback to a state on the line takes off what came after it, and to one that was taken off puts
// it on again. Runtime bindings are on no line: a rollback leaves them as they are.
std::vector<Standing> judge_history(std::span<const Record> records);

// Where `rollback` without a number goes: the newest state before this one that was not itself
// rolled back from, as the newest generation that has it; nothing when there is none.
std::optional<std::uint64_t> rollback_target(std::span<const Record> records);

}  // namespace sluice

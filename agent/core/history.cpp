// SPDX-License-Identifier: Apache-2.0
#include "core/history.h"

#include <algorithm>
#include <map>

#include "core/text.h"

namespace sluice {
namespace {

// A state of the config is known by the generation that made it first.
using State = std::uint64_t;

struct Line {
    std::vector<State> states;          // the last one answers
    std::map<std::uint64_t, State> of;  // generation -> the state it has
};

Line follow(std::span<const Record> records) {
    Line line;
    for (const Record& record : records) {
        if (record.owner == Owner::runtime) {
            // The first one that is kept stands for a config that no longer is.
            if (line.states.empty()) line.states.push_back(record.number);
            line.of[record.number] = line.states.back();
            continue;
        }
        State state = record.number;
        if (record.restores != 0) {
            const auto known = line.of.find(record.restores);
            state = known == line.of.end() ? record.restores : known->second;
        }
        line.of[record.number] = state;
        if (record.restores != 0) line.of.try_emplace(record.restores, state);
        const auto at = std::ranges::find(line.states, state);
        if (at != line.states.end())
            line.states.erase(at + 1, line.states.end());
        else
            line.states.push_back(state);
    }
    return line;
}

void count(std::string& text, std::size_t number, std::string_view what) {
    if (number == 0) return;
    text += (text.empty() ? "" : ", ") + with_commas(number) + " " + std::string(what);
}

}  // namespace

Record record_of(const Generation& generation) {
    return {generation.number,
            generation.base,
            generation.time,
            generation.owner,
            generation.cause,
            generation.note,
            generation.by,
            generation.restores,
            generation.added,
            generation.moved,
            generation.removed,
            generation.services_changed,
            generation.pending.has_value(),
            generation.pending ? generation.pending->return_to : 0};
}

std::string summary_of(const Record& record) {
    std::string text;
    count(text, record.added, "added");
    count(text, record.moved, "moved");
    count(text, record.removed, "removed");
    count(text, record.services_changed,
          record.services_changed == 1 ? "service changed" : "services changed");
    return text.empty() ? "no binding changed" : text;
}

std::string_view to_string(Standing standing) {
    switch (standing) {
        case Standing::pending:
            return "pending";
        case Standing::current:
            return "current";
        case Standing::superseded:
            return "superseded";
        case Standing::rolled_back:
            return "rolled-back";
    }
    return "";
}

std::vector<Standing> judge_history(std::span<const Record> records) {
    const Line line = follow(records);
    std::vector<Standing> standings;
    for (const Record& record : records) {
        const bool on_line =
            std::ranges::find(line.states, line.of.at(record.number)) != line.states.end();
        if (&record == &records.back())
            standings.push_back(record.pending ? Standing::pending : Standing::current);
        else if (record.owner == Owner::config && !on_line)
            standings.push_back(Standing::rolled_back);
        else
            standings.push_back(Standing::superseded);
    }
    return standings;
}

std::optional<std::uint64_t> rollback_target(std::span<const Record> records) {
    const Line line = follow(records);
    for (std::size_t back = line.states.size(); back-- > 1;) {
        const State wanted = line.states[back - 1];
        const auto newest = std::ranges::find_if(
            records.rbegin(), records.rend(),
            [&](const Record& record) { return line.of.at(record.number) == wanted; });
        if (newest != records.rend()) return newest->number;
    }
    return std::nullopt;
}

}  // namespace sluice

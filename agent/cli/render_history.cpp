// SPDX-License-Identifier: Apache-2.0
#include "cli/render.h"

namespace sluice::cli {

namespace {

// "today 14:02:11", "Mon   17:40:02": the day and the time below each other.
std::string when(std::int64_t time, std::int64_t now) {
    const std::string text = clock_time(time, now);
    const auto space = text.find(' ');
    if (space == std::string::npos) return "today " + text;
    return padded(text.substr(0, space), 6) + text.substr(space + 1);
}

// A command line, or what else made it: the agent at its start, a signal.
std::string made_by(const Json& generation, const Look& look) {
    const std::string cause = text_of(generation, "cause");
    const std::string command = text_of(field(generation, "by"), "command");
    if (command == "SIGHUP" || command == "sluiced") return cause;
    return author_of(field(generation, "by"), look);
}

// What became of it, where that is not "another one came", and why it was made.
std::string remark(const Json& generation) {
    std::string state = text_of(generation, "state");
    if (state == "rolled-back") state = "rolled back";
    if (state == "pending")
        if (const auto left = number_of(generation, "seconds_left"))
            state += " " + minutes_text(*left);
    if (const auto restores = number_of(generation, "restores"))
        state += ", brought " + std::to_string(*restores) + " back";
    const std::string note = text_of(generation, "note");
    if (note.empty()) return state;
    return state == "superseded" ? quoted(note) : state + ", " + quoted(note);
}

}  // namespace

Lines render_history(const Json& generations, const Look& look) {
    if (!generations.is_array() || generations.empty()) return {"no config was ever accepted"};
    Table table({{"GEN", true, 3},
                 {"WHEN", false, 15},
                 {"OWNER"},
                 {"BY", false, 11},
                 {"ADD", true, 5},
                 {"MOVE", true, 4},
                 {"REMOVE", true},
                 {""}});
    for (const Json& generation : generations) {
        const std::string state = text_of(generation, "state");
        const Paint colour = state == "pending"       ? Paint::warn
                             : state == "rolled-back" ? Paint::dim
                                                      : Paint::none;
        table.row({{std::to_string(count_of(generation, "generation"))},
                   {when(count_of(generation, "time"), look.now)},
                   {text_of(generation, "owner")},
                   {made_by(generation, look)},
                   {grouped(count_of(generation, "added"))},
                   {grouped(count_of(generation, "moved"))},
                   {grouped(count_of(generation, "removed"))},
                   {remark(generation), colour}});
    }
    return table.lines(look);
}

}  // namespace sluice::cli

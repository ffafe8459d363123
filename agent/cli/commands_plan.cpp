// SPDX-License-Identifier: Apache-2.0
// Commands about generations: what a config would change, making it so, and the way back.
#include <filesystem>
#include <ostream>

#include "cli/changes.h"
#include "cli/commands.h"
#include "cli/input.h"
#include "cli/render.h"
#include "core/config_bundle.h"

namespace sluice::cli::command {

namespace {

// The config's files in one descriptor, one after the other, as the parameters name them.
Result<Fd> add_config(Session& session, const std::string& file, Json& parameters) {
    auto read = [&] {
        const Waiting waiting(session, "reading " + file);
        return session.world().gather(file);
    }();
    if (!read.checked.valid()) return fail(to_error(read.checked));
    std::string all;
    Json files = Json::array(), patterns = Json::array();
    for (const auto& [name, text] : read.bundle.files) {
        files.push_back(
            {{"name", name}, {"descriptor", 0}, {"offset", all.size()}, {"size", text.size()}});
        all += text;
    }
    for (const auto& [pattern, paths] : read.bundle.patterns)
        patterns.push_back({{"pattern", pattern}, {"paths", paths}});
    parameters["path"] = read.path;
    parameters["files"] = std::move(files);
    parameters["patterns"] = std::move(patterns);
    return session.world().seal(all);
}

std::string file_of(const Session& session, const Arguments& a) {
    return a.words.empty() ? session.globals().config : a.words.front();
}

// "/etc/sluice/sluice.yaml + 100 files"
std::string source_text(const std::string& file, const Json& parameters) {
    const auto others = static_cast<std::int64_t>(list_of(parameters, "files").size()) - 1;
    return file + (others > 0 ? " + " + counted(others, "file") : "");
}

// What insists on this very plan.
std::string apply_line(const Arguments& a, const Json& reply) {
    return "sluicectl apply " + (a.words.empty() ? "" : a.words.front() + " ") +
           "--if-generation " + std::to_string(count_of(reply, "base_generation"));
}

Result<> add_generation(const Arguments& a, Json& parameters) {
    if (a.words.empty()) return {};
    const auto number = parse_generation(a.words.front());
    if (!number) return fail(number.error());
    parameters["generation"] = *number;
    return {};
}

Result<> add_apply_options(const Arguments& a, Json& parameters) {
    if (!a.confirm_within.empty()) {
        const auto within = parse_duration(a.confirm_within);
        if (!within) return fail(Error(within.error()).during("--confirm-within"));
        parameters["confirm_within"] =
            std::chrono::duration_cast<std::chrono::seconds>(*within).count();
    }
    if (!a.if_generation.empty()) {
        // The first change of all is made against generation 0.
        const auto number =
            a.if_generation == "0" ? Result<std::int64_t>(0) : parse_generation(a.if_generation);
        if (!number) return fail(Error(number.error()).during("--if-generation"));
        parameters["if_generation"] = *number;
    }
    if (!a.note.empty()) parameters["note"] = a.note;
    return {};
}

}  // namespace

Result<int> plan(Session& session, const Arguments& a) {
    Json parameters = Json::object();
    if (auto ok = add_allow(parameters, a.allow); !ok) return pass_on(ok);
    const std::string file = file_of(session, a);
    const auto config = add_config(session, file, parameters);
    if (!config) return fail(config.error());
    ChangeCall call{"Plan", std::move(parameters), config->get(), "plan", a.all};
    call.before = [&](const Json& reply) {
        return Lines{"against generation " + std::to_string(count_of(reply, "base_generation")) +
                         ", from " + source_text(file, call.parameters),
                     ""};
    };
    call.after = [&](const Json& reply) {
        if (!flag_of(reply, "changed"))
            return Lines{"nothing to change: generation " +
                         std::to_string(count_of(reply, "base_generation")) + " says the same"};
        return Lines{"nothing was changed; to do it: " + apply_line(a, reply)};
    };
    bool changes = false;
    call.seen = [&](const Json& reply) { changes = flag_of(reply, "changed"); };
    auto code = run_change(session, call);
    if (code && *code == 0 && a.exit_code && changes) return found_something;
    return code;
}

Result<int> apply(Session& session, const Arguments& a) {
    Json parameters = Json::object();
    if (auto ok = add_allow(parameters, a.allow); !ok) return pass_on(ok);
    if (auto ok = add_apply_options(a, parameters); !ok) return pass_on(ok);
    const std::string file = file_of(session, a);
    const auto config = add_config(session, file, parameters);
    if (!config) return fail(config.error());
    const auto within = number_of(parameters, "confirm_within");
    ChangeCall call{"Apply", std::move(parameters), config->get(), "apply", a.all};
    call.after = [&](const Json& reply) {
        Lines lines;
        if (a.verbose) lines = render_times(reply);
        const Lines outcome = render_applied(reply, within, session.look());
        lines.insert(lines.end(), outcome.begin(), outcome.end());
        return lines;
    };
    return run_change(session, call);
}

Result<int> rollback(Session& session, const Arguments& a) {
    Json parameters = Json::object();
    if (auto ok = add_generation(a, parameters); !ok) return pass_on(ok);
    if (!a.note.empty()) parameters["note"] = a.note;
    ChangeCall call{"Rollback", std::move(parameters), -1, "rollback", a.all};
    call.after = [&](const Json& reply) { return render_outcome(reply, session.look()); };
    return run_change(session, call);
}

Result<int> confirm(Session& session, const Arguments&) {
    auto reply = session.call("Confirm", Json::object());
    if (!reply) return pass_on(reply);
    session.answer(*reply, {"generation " + std::to_string(count_of(*reply, "generation")) +
                            " is confirmed: it stays"});
    return 0;
}

Result<int> history(Session& session, const Arguments& a) {
    Json parameters = Json::object();
    if (auto ok = add_generation(a, parameters); !ok) return pass_on(ok);
    auto reply = session.call("History", parameters);
    if (!reply) return pass_on(reply);
    const Json& list = list_of(*reply, "generations");
    session.answer(list, session.json() ? Lines{} : render_history(list, session.look()));
    return 0;
}

}  // namespace sluice::cli::command

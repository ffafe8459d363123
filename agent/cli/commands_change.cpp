// SPDX-License-Identifier: Apache-2.0
// Commands that change what runs.
#include <istream>
#include <ostream>

#include "cli/changes.h"
#include "cli/commands.h"
#include "cli/input.h"
#include "cli/render.h"

namespace sluice::cli::command {

namespace {

Result<int> change(Session& session, std::string_view method, Json parameters,
                   std::string_view name, bool all) {
    ChangeCall call{method, std::move(parameters), -1, name, all};
    call.after = [&](const Json& reply) { return render_outcome(reply, session.look()); };
    return run_change(session, call);
}

// SERVICE, or --reject, or --pass: exactly one.
Result<> add_target(Json& parameters, const Arguments& a) {
    if (a.reject && a.pass) return fail(Failure::invalid, "--reject and --pass exclude each other");
    const bool named = a.words.size() == 4;
    if (named && (a.reject || a.pass))
        return fail(Failure::invalid,
                    std::string(a.reject ? "--reject" : "--pass") + " stands in place of SERVICE");
    if (!named && !a.reject && !a.pass) {
        const bool service = !parse_protocol(a.words[0].substr(0, a.words[0].find(',')));
        return fail(Error(Failure::invalid,
                          service ? "PORT is missing" : "SERVICE, --reject or --pass is missing")
                        .hint("usage: sluicectl bind SERVICE PROTOCOL PREFIX PORT"));
    }
    if (a.reject) parameters["reject"] = true;
    if (a.pass) parameters["pass"] = true;
    if (!named) return {};
    auto service = parse_service_name(a.words.front());
    if (!service) return pass_on(service);
    parameters["service"] = *service;
    return {};
}

void say_what_goes_on(Session& session, const std::string& before, std::int64_t running) {
    session.say("reload: " + before + "generation " + std::to_string(running) +
                " goes on as it was");
}

// The host's name, typed: nobody detaches the wrong machine.
Result<> confirmed(Session& session) {
    World& world = session.world();
    world.out.flush();
    std::ostream& prompt = session.json() ? world.err : world.out;
    prompt << "Type the host's name to detach: " << std::flush;
    std::string typed;
    std::getline(world.in, typed);
    if (typed == world.host_name) return {};
    return fail(Error(Failure::invalid, "that is not this host's name; nothing was detached")
                    .hint("it is " + world.host_name));
}

}  // namespace

Result<int> bind(Session& session, const Arguments& a) {
    Json parameters = Json::object();
    if (auto good = add_target(parameters, a); !good) return pass_on(good);
    const std::size_t first = a.words.size() - 3;
    auto matches = parse_matches(a.words[first], a.words[first + 1], a.words[first + 2]);
    if (!matches) return pass_on(matches);
    parameters["matches"] = to_json(*matches);
    if (a.override_config) parameters["override"] = true;
    if (!a.note.empty()) parameters["note"] = a.note;
    if (auto good = add_allow(parameters, a.allow); !good) return pass_on(good);
    return change(session, "Bind", std::move(parameters), "bind", a.all);
}

Result<int> unbind(Session& session, const Arguments& a) {
    auto matches = parse_matches(a.words[0], a.words[1], a.words[2]);
    if (!matches) return pass_on(matches);
    return change(session, "Unbind", {{"matches", to_json(*matches)}}, "unbind", a.all);
}

Result<int> reload(Session& session, const Arguments& a) {
    Json parameters = Json::object();
    if (auto good = add_allow(parameters, a.allow); !good) return pass_on(good);
    ChangeCall call{"Reload", std::move(parameters), -1, "reload", a.all};
    call.after = [&](const Json& changed) { return render_outcome(changed, session.look()); };
    std::int64_t running = 0;
    call.seen = [&](const Json& changed) { running = count_of(changed, "generation"); };
    auto reply = run_change(session, call);
    if (reply) {
        if (*reply != 0) say_what_goes_on(session, "", running);
        return reply;
    }
    const Error error = std::move(reply).error();
    if (error.failure() == Failure::unreachable) return fail(error);
    const int code =
        session.fail(error.doing().starts_with("reload") ? error : Error(error).during("reload"));
    const auto status = session.call("Status", Json::object());
    if (!status) return code;
    const auto errors = static_cast<std::int64_t>(error.where().size());
    say_what_goes_on(session, errors > 0 ? counted(errors, "error") + "; " : "",
                     count_of(*status, "generation"));
    return code;
}

Result<int> detach(Session& session, const Arguments& a) {
    if (!a.yes && !session.world().in_is_terminal)
        return fail(Error(Failure::invalid, "there is no terminal to ask on")
                        .hint("if it is meant: sluicectl detach --yes"));
    auto preview = session.call("Detach", {{"dry_run", true}});
    if (!preview) return pass_on(preview);
    if (!flag_of(*preview, "changed")) {
        session.answer(*preview, {"nothing to change: it is detached already"});
        return 0;
    }
    if (!session.json()) session.print(render_detach(*preview, session.look()));
    if (!a.yes) {
        if (session.json())
            for (const std::string& line : render_detach(*preview, session.look()))
                session.world().err << line << '\n';
        if (auto good = confirmed(session); !good) return pass_on(good);
    }
    auto reply = session.call("Detach", {{"dry_run", false}});
    if (!reply) return pass_on(reply);
    session.answer(*reply,
                   {flag_of(*reply, "changed") ? "detached; it stays so until: sluicectl attach"
                                               : "nothing to change: somebody else detached it"});
    return 0;
}

Result<int> attach(Session& session, const Arguments&) {
    auto reply = session.call("Attach", Json::object());
    if (!reply) return pass_on(reply);
    session.answer(*reply,
                   {flag_of(*reply, "changed") ? "attached" : "nothing to change: it is attached"});
    return 0;
}

}  // namespace sluice::cli::command

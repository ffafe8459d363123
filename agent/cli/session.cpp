// SPDX-License-Identifier: Apache-2.0
#include "cli/session.h"

#include <condition_variable>
#include <mutex>
#include <ostream>
#include <stop_token>

#include "cli/render.h"
#include "core/binding.h"

namespace sluice::cli {

Result<Globals> globals_of_instance(const std::string& instance) {
    Globals globals;
    if (instance.empty()) return globals;
    // A name becomes part of paths: no slash, and none that hides.
    if (auto name = parse_service_name(instance); !name || instance.front() == '.')
        return fail(Failure::invalid,
                    "'" + instance + "' is no name of an instance: A-Z a-z 0-9 . _ - are allowed");
    globals.instance = instance;
    globals.run_dir += "-" + instance;
    globals.state_dir += "-" + instance;
    globals.bpffs += "-" + instance;
    globals.config = "/etc/sluice/" + instance + ".yaml";
    return globals;
}

Result<std::chrono::milliseconds> parse_duration(const std::string& text) {
    const auto wrong = [&] {
        return fail(Failure::invalid, "'" + text + "' is no duration: 30s, 5m and 1h are");
    };
    if (text.size() < 2 || text.size() > 8) return wrong();
    std::int64_t number = 0;
    for (const char digit : text.substr(0, text.size() - 1)) {
        if (digit < '0' || digit > '9') return wrong();
        number = number * 10 + (digit - '0');
    }
    if (number == 0 || text.front() == '0') return wrong();
    switch (text.back()) {
        case 's':
            return std::chrono::seconds(number);
        case 'm':
            return std::chrono::minutes(number);
        case 'h':
            return std::chrono::hours(number);
        default:
            return wrong();
    }
}

Session::Session(World& world, Globals globals) : world_(world), globals_(std::move(globals)) {
    const auto set = [&](const char* name) {
        return world.environment && !world.environment(name).value_or("").empty();
    };
    look_.colour = world.out_is_terminal && !globals_.no_color && !set("NO_COLOR");
    look_.width = world.out_width;
    look_.now = world.now;
    look_.user = world.user;
}

Result<Agent*> Session::agent() {
    if (!agent_) {
        auto connected = world_.connect(globals_.run_dir + "/control", globals_.timeout);
        if (!connected) return pass_on(connected);
        agent_ = std::move(*connected);
    }
    return agent_.get();
}

Result<Json> Session::call(std::string_view method, const Json& parameters) {
    auto connected = agent();
    if (!connected) return pass_on(connected);
    return (*connected)->call(method, parameters, {});
}

void Session::answer(const Json& document, const Lines& lines) {
    if (json())
        world_.out << one_line(document) << '\n';
    else
        print(lines);
}

void Session::print(const Lines& lines) {
    for (const std::string& line : lines) world_.out << line << '\n';
}

void Session::print(const std::string& text) {
    world_.out << text;
    if (!text.empty() && text.back() != '\n') world_.out << '\n';
}

void Session::say(const std::string& sentence) {
    world_.out.flush();  // both may go to one place: in the order they were said
    world_.err << "sluicectl: " << sentence << '\n';
}

int Session::fail(const Error& error, const Lines& between, const Json& more) {
    if (json()) {
        Json document = error_document(error);
        if (more.is_object()) document.update(more);
        world_.out << one_line(document) << '\n';
    }
    return explain_failure(error, between);
}

int Session::explain_failure(const Error& error, const Lines& between) {
    world_.out.flush();
    Look look = look_;
    look.width = world_.err_width;
    Lines lines = render_error(error, look);
    std::size_t hint = lines.size();
    while (hint > 0 && !lines[hint - 1].starts_with("hint: ")) --hint;
    const std::size_t at = hint == 0 ? lines.size() : hint - 1;
    lines.insert(lines.begin() + static_cast<std::ptrdiff_t>(at), between.begin(), between.end());
    for (const std::string& line : lines) world_.err << line << '\n';
    return error.exit_code();
}

namespace {

constexpr std::chrono::seconds long_time{2};

// Written over and over on one line, which is empty again in the end.
void tell_the_time(const std::stop_token& stop, std::ostream& err, const std::string& command) {
    std::mutex mutex;
    std::condition_variable_any woken;
    std::unique_lock lock(mutex);
    const auto start = std::chrono::steady_clock::now();
    auto pause = long_time;
    while (!woken.wait_for(lock, stop, pause, [&] { return stop.stop_requested(); })) {
        if (stop.stop_requested()) break;
        const auto passed = std::chrono::duration_cast<std::chrono::seconds>(
            std::chrono::steady_clock::now() - start);
        err << "\r\033[K" << command << ": " << passed.count() << " s …" << std::flush;
        pause = std::chrono::seconds(1);
    }
    if (pause != long_time) err << "\r\033[K" << std::flush;
}

}  // namespace

Waiting::Waiting(const Session& session, std::string_view command)
    : err_(session.world().err_is_terminal ? &session.world().err : nullptr) {
    if (err_ == nullptr) return;
    thread_ = std::jthread([this, name = std::string(command)](const std::stop_token& stop) {
        tell_the_time(stop, *err_, name);
    });
}

Waiting::~Waiting() = default;

}  // namespace sluice::cli

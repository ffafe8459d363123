// SPDX-License-Identifier: Apache-2.0
// From words to a command: global flags anywhere, help out of the table, errors as everywhere.
#include <algorithm>
#include <array>
#include <ostream>
#include <sstream>

#include <CLI/CLI.hpp>

#include "cli/commands.h"
#include "cli/render.h"

namespace sluice::cli {

namespace {

// Global flags as typed; "" means not given.
struct Flags {
    std::string instance, run_dir, bpffs, state_dir, config, output, timeout;
    bool no_color = false;
    bool version = false;
};

struct Parser {
    CLI::App app;
    Flags flags;
    Arguments arguments;
    const Command* chosen = nullptr;
};

void add_globals(CLI::App& app, Flags& flags) {
    app.add_option("--instance", flags.instance, "which agent of this host (or SLUICE_INSTANCE)");
    app.add_option("--run-dir", flags.run_dir, "where the agent's sockets are: /run/sluice");
    app.add_option("--bpffs", flags.bpffs, "where the pins are: /sys/fs/bpf/sluice");
    app.add_option("--state-dir", flags.state_dir, "where generations are: /var/lib/sluice");
    app.add_option("--config", flags.config, "the config: /etc/sluice/sluice.yaml");
    app.add_option("-o,--output", flags.output, "text or json");
    app.add_flag("--no-color", flags.no_color, "no colours (also: NO_COLOR)");
    app.add_option("--timeout", flags.timeout, "how long to wait for the agent: 30s, 5m, 1h");
    app.add_flag("--version", flags.version, "print the version");
}

void set_up(Parser& parser) {
    CLI::App& app = parser.app;
    app.require_subcommand(0, 1);  // the word after a command is an argument, whatever it says
    app.allow_extras();            // they are reported in our own words
    app.set_help_flag("-h,--help", "this text");
    add_globals(app, parser.flags);
    for (const Command& command : commands()) {
        CLI::App* sub = app.add_subcommand(std::string(command.name), std::string(command.help));
        sub->fallthrough();
        if (command.most_words > 0) sub->add_option("words", parser.arguments.words)->expected(-1);
        if (command.options != nullptr) command.options(*sub, parser.arguments);
        sub->callback([&parser, &command] { parser.chosen = &command; });
    }
}

void option_lines(Lines& lines, const CLI::App& app) {
    Table table({{"", false, 16}, {""}});
    for (const CLI::Option* option : app.get_options()) {
        if (option->get_positional()) continue;
        const bool takes_value = option->get_items_expected_max() > 0;
        std::string name = option->get_name(false, true);
        std::replace(name.begin(), name.end(), ',', ' ');
        table.row({{"  " + name + (takes_value ? " …" : "")}, {option->get_description()}});
    }
    const Lines rows = table.lines(Look{.width = 10000, .user = {}});
    lines.insert(lines.end(), rows.begin(), rows.end());
}

Lines overview(const CLI::App& app) {
    Lines lines{"usage: sluicectl [global flags] COMMAND …", "",
                "Bindings decide which process gets the traffic of an address. Nouns read, verbs",
                "change. `sluicectl COMMAND --help` tells more and gives an example.", ""};
    Table table({{"", false, 12}, {""}});
    for (const Command& command : commands())
        table.row({{"  " + std::string(command.name)}, {std::string(command.help)}});
    const Lines rows = table.lines(Look{.width = 10000, .user = {}});
    lines.insert(lines.end(), rows.begin(), rows.end());
    lines.insert(lines.end(), {"", "global flags, anywhere:"});
    option_lines(lines, app);
    lines.insert(
        lines.end(),
        {"", "exit codes: 0 done, 1 failed, 2 wrong usage or input, 3 agent not reachable,",
         "4 refused (a guard, a permission, another owner)"});
    return lines;
}

Lines help_of(const CLI::App& sub, const Command& command) {
    const std::string usage(command.usage);
    Lines lines = wrapped("usage: sluicectl " + std::string(command.name) + " " + usage, 80, 17);
    lines.insert(lines.end(), {"", std::string(command.help)});
    if (!command.details.empty()) {
        const Lines details = wrapped(std::string(command.details), 80, 0);
        lines.insert(lines.end(), details.begin(), details.end());
    }
    lines.emplace_back();
    option_lines(lines, sub);
    lines.insert(lines.end(), {"", "example: " + std::string(command.example)});
    return lines;
}

const Command* command_named(const std::string& name) {
    const auto all = commands();
    const auto found =
        std::find_if(all.begin(), all.end(), [&](const Command& one) { return one.name == name; });
    return found == all.end() ? nullptr : &*found;
}

Lines help(const Parser& parser) {
    for (const CLI::App* sub : parser.app.get_subcommands()) {
        if (const Command* command = command_named(sub->get_name())) return help_of(*sub, *command);
    }
    return overview(parser.app);
}

// An error in the words must be shown as JSON too when that was asked for, before anything is
// parsed.
bool wants_json(const std::vector<std::string>& words) {
    for (std::size_t at = 0; at < words.size(); ++at) {
        const std::string& word = words[at];
        if (word == "-ojson" || word == "-o=json" || word == "--output=json") return true;
        const bool next = at + 1 < words.size() && words[at + 1] == "json";
        if ((word == "-o" || word == "--output") && next) return true;
    }
    return false;
}

Error unknown_command(const std::string& word) {
    const auto later = later_commands();
    if (std::find(later.begin(), later.end(), word) != later.end())
        return Error(Failure::invalid, "unknown command '" + word + "'")
            .hint("this version does not have it yet; sluicectl --help lists what there is");
    std::vector<std::string_view> names;
    for (const Command& command : commands()) names.emplace_back(command.name);
    const std::string near(nearest(word, names));
    return Error(Failure::invalid, "unknown command '" + word + "'")
        .hint(near.empty() ? "sluicectl --help lists the commands"
                           : "did you mean '" + near + "'?");
}

// The command's, or the program's when there is none.
const CLI::App& app_of(const Parser& parser) {
    const auto parsed = parser.app.get_subcommands();
    return parsed.empty() ? parser.app : *parsed.front();
}

Error with_command(const Parser& parser, Error error) {
    const CLI::App& app = app_of(parser);
    return &app == &parser.app ? error : std::move(error).during(app.get_name());
}

// With the options of the command, and those that may stand anywhere.
Error unknown_option(const Parser& parser, const std::string& word) {
    std::vector<std::string> names;
    for (const CLI::App* app : {&app_of(parser), &parser.app})
        for (const CLI::Option* option : app->get_options())
            for (const std::string& name : option->get_lnames()) names.push_back("--" + name);
    const std::string near(nearest(word, {names.begin(), names.end()}));
    const std::string why = "unknown option '" + word + "'";
    if (!near.empty())
        return with_command(parser,
                            Error(Failure::invalid, why).hint("did you mean '" + near + "'?"));
    if (parser.chosen != nullptr) return usage_error(*parser.chosen, why);
    return Error(Failure::invalid, why).hint("sluicectl --help lists the options");
}

// What the command's usage names and was not typed: "PREFIX and PORT are missing".
std::string missing(const Command& command, const Arguments& arguments) {
    std::vector<std::string> names;
    const bool optional_target = arguments.reject || arguments.pass;
    std::istringstream usage{std::string(command.usage)};
    for (std::string word; usage >> word;) {
        const bool target = word.starts_with("SERVICE|");
        if (target && optional_target) continue;
        if (target) word = "SERVICE";
        if (std::all_of(word.begin(), word.end(), [](char c) { return c >= 'A' && c <= 'Z'; }))
            names.push_back(word);
    }
    const std::size_t typed = arguments.words.size();
    std::string text;
    for (std::size_t at = typed; at < names.size(); ++at)
        text += (at == typed ? "" : at + 1 == names.size() ? " and " : ", ") + names[at];
    return text + (names.size() - typed == 1 ? " is missing" : " are missing");
}

// An empty value is a variable that was not set: no filter, and no path.
Result<> judge_values(const Parser& parser) {
    static constexpr std::array<std::string_view, 2> may_be_empty = {"--instance", "--note"};
    for (const CLI::App* app : {&parser.app, &app_of(parser)}) {
        for (const CLI::Option* option : app->get_options()) {
            const std::string name = option->get_name();
            if (option->get_positional() || option->get_items_expected_max() == 0) continue;
            if (std::find(may_be_empty.begin(), may_be_empty.end(), name) != may_be_empty.end())
                continue;
            const auto& values = option->results();
            if (std::find(values.begin(), values.end(), "") != values.end())
                return fail(with_command(parser, Error(Failure::invalid, name + " is empty")));
        }
    }
    return {};
}

Result<> judge_words(const Parser& parser) {
    const std::vector<std::string> extra = parser.app.remaining(true);
    const auto is_option = [](const std::string& word) {
        return word.starts_with("-") && word != "-";
    };
    if (parser.chosen == nullptr) {
        if (extra.empty())
            return fail(Error(Failure::invalid, "a command is needed")
                            .hint("sluicectl --help lists the commands"));
        if (is_option(extra.front())) return fail(unknown_option(parser, extra.front()));
        return fail(unknown_command(extra.front()));
    }
    const Command& command = *parser.chosen;
    if (!extra.empty()) {
        if (is_option(extra.front())) return fail(unknown_option(parser, extra.front()));
        return fail(usage_error(command, "unexpected argument '" + extra.front() + "'"));
    }
    const std::size_t words = parser.arguments.words.size();
    if (words < command.least_words)
        return fail(usage_error(command, missing(command, parser.arguments)));
    if (words > command.most_words)
        return fail(usage_error(
            command, "unexpected argument '" + parser.arguments.words[command.most_words] + "'"));
    return judge_values(parser);
}

// CLI11's errors of parsing, in our words.
Error parse_error(const Parser& parser, const CLI::ParseError& error) {
    const std::string text = error.what();
    const std::string name = text.substr(0, text.find(':'));
    std::string why = text;
    if (dynamic_cast<const CLI::ArgumentMismatch*>(&error) != nullptr && name.starts_with("--")) {
        const bool twice = text.find("but received") != std::string::npos;
        why = name + (twice ? " is given more than once" : " needs a value");
    }
    const CLI::App& app = app_of(parser);
    return with_command(
        parser,
        Error(Failure::invalid, why)
            .hint("sluicectl " + (&app == &parser.app ? "" : app.get_name() + " ") + "--help"));
}

Result<Globals> judge_flags(const Flags& flags, const World& world) {
    std::string instance = flags.instance;
    if (instance.empty() && world.environment)
        instance = world.environment("SLUICE_INSTANCE").value_or("");
    auto globals = globals_of_instance(instance);
    if (!globals) return pass_on(globals, "--instance");
    const auto take = [](std::string& to, const std::string& from) {
        if (!from.empty()) to = from;
    };
    take(globals->run_dir, flags.run_dir);
    take(globals->bpffs, flags.bpffs);
    take(globals->state_dir, flags.state_dir);
    take(globals->config, flags.config);
    globals->no_color = flags.no_color;
    globals->json = flags.output == "json";
    if (!flags.output.empty() && flags.output != "json" && flags.output != "text")
        return fail(Error(Failure::invalid, "'" + flags.output + "' is neither text nor json")
                        .during("--output"));
    if (flags.timeout.empty()) return globals;
    const auto timeout = parse_duration(flags.timeout);
    if (!timeout) return fail(Error(timeout.error()).during("--timeout"));
    globals->timeout = *timeout;
    return globals;
}

// The agent's own step often begins with the command's name already: once is enough.
Error during_command(Error error, std::string_view name) {
    const std::string& doing = error.doing();
    const bool said =
        doing.starts_with(name) && (doing.size() == name.size() ||
                                    !std::isalnum(static_cast<unsigned char>(doing[name.size()])));
    return said ? error : std::move(error).during(name);
}

int run_command(const Command& command, Session& session, const Arguments& arguments) {
    try {
        auto done = command.run(session, arguments);
        if (done) return *done;
        return session.fail(during_command(std::move(done).error(), command.name));
    } catch (const nlohmann::json::exception& e) {
        return session.fail(
            Error(Failure::failed, std::string("the answer makes no sense: ") + e.what())
                .during(command.name));
    }
}

}  // namespace

int run(const std::vector<std::string>& words, World& world) {
    Globals early;
    early.json = wants_json(words);
    Session plain(world, early);
    Parser parser;
    set_up(parser);
    try {
        parser.app.parse(std::vector<std::string>(words.rbegin(), words.rend()));
    } catch (const CLI::CallForHelp&) {
        const Lines text = help(parser);
        Json document = Json::object();
        document["help"] = joined(text);
        plain.answer(document, text);
        return 0;
    } catch (const CLI::ParseError& e) {
        return plain.fail(parse_error(parser, e));
    }
    auto globals = judge_flags(parser.flags, world);
    if (!globals) return plain.fail(globals.error());
    Session session(world, std::move(*globals));
    if (parser.flags.version) parser.chosen = command_named("version");
    if (const auto good = judge_words(parser); !good) return session.fail(good.error());
    return run_command(*parser.chosen, session, parser.arguments);
}

}  // namespace sluice::cli

// SPDX-License-Identifier: Apache-2.0
// What people type, what the agent is asked for it, and how it ends.
#include <set>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "fakes.h"

namespace sluice::cli {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

Json unchanged() { return {{"changed", false}, {"generation", 7}}; }

TEST(CommandTable, GivesEveryCommandAHelpAndAnExampleThatUsesIt) {
    std::set<std::string_view> names;
    for (const Command& command : commands()) {
        EXPECT_TRUE(names.insert(command.name).second) << command.name;
        EXPECT_FALSE(command.help.empty()) << command.name;
        EXPECT_THAT(std::string(command.example),
                    StartsWith("sluicectl " + std::string(command.name)));
        EXPECT_LE(command.least_words, command.most_words);
        Sluicectl sluicectl;
        const Outcome help = sluicectl({std::string(command.name), "--help"});
        EXPECT_EQ(help.exit, 0);
        EXPECT_THAT(help.out, StartsWith("usage: sluicectl " + std::string(command.name)));
        EXPECT_THAT(help.out, HasSubstr(std::string(command.help)));
        EXPECT_THAT(help.out, HasSubstr("example: " + std::string(command.example)));
    }
}

TEST(CommandTable, IsWhatTheOverviewLists) {
    Sluicectl sluicectl;
    const Outcome help = sluicectl({"--help"});
    EXPECT_EQ(help.exit, 0);
    for (const Command& command : commands())
        EXPECT_THAT(help.out, HasSubstr("\n  " + std::string(command.name) + " "));
    for (const char* flag : {"--instance", "--run-dir", "--bpffs", "--state-dir", "--config",
                             "--output", "--no-color", "--timeout"})
        EXPECT_THAT(help.out, HasSubstr(flag));
}

TEST(CommandTable, HelpFitsAScreenOf80Columns) {
    std::vector<std::vector<std::string>> calls = {{"--help"}};
    for (const Command& command : commands())
        calls.push_back({std::string(command.name), "--help"});
    for (const auto& words : calls) {
        Sluicectl sluicectl;
        std::istringstream lines(sluicectl(words).out);
        for (std::string line; std::getline(lines, line);) EXPECT_LE(columns(line), 80u) << line;
    }
}

struct Wrong {
    std::vector<std::string> words;
    std::string err;
};

class WrongUsage : public testing::TestWithParam<Wrong> {};

TEST_P(WrongUsage, IsExit2AndSaysWhy) {
    Sluicectl sluicectl;
    const Outcome outcome = sluicectl(GetParam().words);
    EXPECT_EQ(outcome.exit, 2);
    EXPECT_THAT(outcome.err, HasSubstr(GetParam().err));
    EXPECT_THAT(outcome.err, StartsWith("sluicectl: "));
    EXPECT_EQ(outcome.out, "");
    EXPECT_TRUE(sluicectl.agent.calls.empty()) << "judged before anybody is asked";

    std::vector<std::string> words = GetParam().words;
    words.insert(words.begin(), {"-o", "json"});
    const Outcome json = sluicectl(words);
    EXPECT_EQ(json.exit, 2);
    const Json document = Json::parse(json.out);
    EXPECT_EQ(document["error"]["exit"], 2);
    EXPECT_TRUE(document["error"]["why"].is_string());
    EXPECT_TRUE(document["error"]["where"].is_array());
    EXPECT_THAT(json.err, HasSubstr(GetParam().err)) << "the text is on stderr all the same";
}

INSTANTIATE_TEST_SUITE_P(
    Words, WrongUsage,
    testing::Values(
        Wrong{{}, "a command is needed"}, Wrong{{"pln"}, "did you mean 'plan'?"},
        Wrong{{"apply", "--confirm-within", "5"}, "'5' is no duration"},
        Wrong{{"apply", "--if-generation", "x"}, "'x' is no generation's number"},
        Wrong{{"apply", "--allow", "all"}, "'all' is nothing to allow"},
        Wrong{{"rollback", "0"}, "'0' is no generation's number"},
        Wrong{{"history", "1", "2"}, "unexpected argument '2'"},
        Wrong{{"staus"}, "hint: did you mean 'status'?"},
        Wrong{{"--frob"}, "unknown option '--frob'"},
        Wrong{{"status", "--watch"}, "status: unknown option '--watch'"},
        Wrong{{"status", "a", "b"}, "status: unexpected argument 'b'"},
        Wrong{{"services", "x"}, "services: unexpected argument 'x'"},
        Wrong{{"bind", "cdn", "tcp"}, "bind: PREFIX and PORT are missing"},
        Wrong{{"bind", "--reject", "tcp", "192.0.2.0/24"}, "bind: PORT is missing"},
        Wrong{{"bind", "cdn", "tcp", "192.0.2.0/24"}, "bind: PORT is missing"},
        Wrong{{"unbind"}, "unbind: PROTOCOL, PREFIX and PORT are missing"},
        Wrong{{"explain", "tcp"}, "explain: ADDRESS and PORT are missing"},
        Wrong{{"unregister"}, "unregister: SERVICE is missing"},
        Wrong{{"bind", "cdn", "sctp", "192.0.2.0/24", "80"}, "sctp"},
        Wrong{{"bind", "cdn", "tcp", "192.0.2.1/24", "80"}, "192.0.2.0/24"},
        Wrong{{"bind", "cdn", "tcp", "192.0.2.0/24", "080"}, "080"},
        Wrong{{"bind", "cdn", "tcp", "192.0.2.0/24", "0"}, "bind: "},
        Wrong{{"bind", "cdn", "tcp,", "192.0.2.0/24", "80"}, "an item of the list is empty"},
        Wrong{{"bind", "cdn", "tcp", "192.0.2.1,192.0.2.1/32", "80"}, "is there twice"},
        Wrong{{"bind", "a/b", "tcp", "192.0.2.0/24", "80"}, "a/b"},
        Wrong{{"bind", "--reject", "cdn", "tcp", "192.0.2.0/24", "80"}, "in place of SERVICE"},
        Wrong{{"bind", "--reject", "--pass", "tcp", "192.0.2.0/24", "80"}, "exclude each other"},
        Wrong{{"bind", "tcp", "192.0.2.0/24", "80"}, "SERVICE, --reject or --pass is missing"},
        Wrong{{"bind", "--note"}, "bind: --note needs a value"},
        Wrong{{"bind", "--note", "a", "--note", "b", "cdn", "tcp", "::", "80"},
              "bind: --note is given more than once"},
        Wrong{{"--timeout", "1s", "status", "--timeout", "2s"},
              "--timeout is given more than once"},
        Wrong{{"--run-dir"}, "sluicectl: --run-dir needs a value"},
        Wrong{{"bind", "--overide", "cdn", "tcp", "::", "80"}, "hint: did you mean '--override'?"},
        Wrong{{"status", "--tiemout", "2s"}, "hint: did you mean '--timeout'?"},
        Wrong{{"bindings", "--service", ""}, "bindings: --service is empty"},
        Wrong{{"--run-dir", "", "status"}, "--run-dir is empty"},
        Wrong{{"bind", "--allow", "all", "cdn", "tcp", "192.0.2.0/24", "80"},
              "'all' is nothing to allow"},
        Wrong{{"bindings", "--covering", "192.0.2"}, "--covering"},
        Wrong{{"bindings", "--owner", "me"}, "neither config nor runtime"},
        Wrong{{"bindings", "--port", "any"}, "--port"},
        Wrong{{"explain", "tcp", "192.0.2.1", "80", "--from", "[::1]:5"}, "not of one family"},
        Wrong{{"explain", "tcp", "192.0.2.1", "any"}, "explain: "},
        Wrong{{"register"}, "LISTEN_FDS passes none"},
        Wrong{{"register", "cdn", "--fd", "3", "--pid", "1"}, "exclude each other"},
        Wrong{{"register", "--fd", "3"}, "SERVICE is missing"},
        Wrong{{"register", "cdn", "--fd", "3", "--replace", "--staged"}, "exclude each other"},
        Wrong{{"promote"}, "promote: SERVICE is missing"}, Wrong{{"promote", "a/b"}, "promote: "},
        Wrong{{"demote", "cdn", "web"}, "demote: unexpected argument 'web'"},
        Wrong{{"register", "cdn", "--fd", "x"}, "'x' is no descriptor"},
        Wrong{{"register", "cdn", "--pid", "7"}, "PROTOCOL ADDRESS PORT is missing"},
        Wrong{{"register", "cdn", "--pid", "0", "tcp", "::", "443"}, "'0' is no process id"},
        Wrong{{"register", "cdn", "--pid", "7", "tcp", "::"}, "three words each"},
        Wrong{{"register", "cdn", "--unit", "nginx", "tcp", "::", "443"},
              "did you mean 'nginx.service'?"},
        Wrong{{"register", "cdn", "--unit", "a.service"}, "PROTOCOL ADDRESS PORT is missing"},
        Wrong{{"register", "--unit", "a.service", "tcp", "::", "443"}, "SERVICE is missing"},
        Wrong{{"register", "cdn", "--unit", "a.service", "--pid", "7", "tcp", "::", "443"},
              "exclude each other"},
        Wrong{{"register", "cdn", "tcp", "::", "443"}, "goes with --pid or --unit only"},
        Wrong{{"unregister", "cdn", "--cookie", "xyz"}, "'xyz' is no socket's cookie"},
        Wrong{{"detach"}, "hint: if it is meant: sluicectl detach --yes"},
        Wrong{{"--instance", "../x", "status"}, "is no name of an instance"},
        Wrong{{"--timeout", "5", "status"}, "'5' is no duration"}));

class LaterCommand : public testing::TestWithParam<const char*> {};

TEST_P(LaterCommand, IsUnknownAndSaidToBeMissingRatherThanTakenForASlip) {
    Sluicectl sluicectl;
    const Outcome outcome = sluicectl({GetParam(), "--exit-code"});
    EXPECT_EQ(outcome.exit, 2);
    EXPECT_EQ(outcome.err, "sluicectl: unknown command '" + std::string(GetParam()) + "'\n" +
                               "hint: this version does not have it yet; sluicectl --help lists "
                               "what there is\n");
    EXPECT_THAT(sluicectl({"--help"}).out, Not(HasSubstr("  " + std::string(GetParam()) + " ")));
}

INSTANTIATE_TEST_SUITE_P(Words, LaterCommand, testing::Values("trace", "metrics", "doctor"));

TEST(UsageHint, FitsTheTerminal) {
    Sluicectl sluicectl;
    sluicectl.terminal = true;
    std::istringstream lines(sluicectl({"bind"}).err);
    for (std::string line; std::getline(lines, line);) EXPECT_LE(columns(line), 80u) << line;
}

TEST(Help, IsOneDocumentWhenJsonIsAskedFor) {
    Sluicectl sluicectl;
    const std::string text = sluicectl({"bind", "--help"}).out;
    const Json document = Json::parse(sluicectl({"-o", "json", "bind", "--help"}).out);
    EXPECT_EQ(document["help"], text);
}

TEST(WrongOutput, IsAnErrorToo) {
    Sluicectl sluicectl;
    EXPECT_EQ(sluicectl({"-o", "xml", "status"}).exit, 2);
}

TEST(GlobalFlags, StandAnywhere) {
    Sluicectl sluicectl;
    sluicectl.agent.parts["Services"] = {{{"services", Json::array()}}};
    const std::vector<std::vector<std::string>> ways = {
        {"-o", "json", "--run-dir", "/tmp/x", "services"},
        {"services", "--run-dir", "/tmp/x", "-o", "json"},
        {"--run-dir=/tmp/x", "services", "--output=json"}};
    for (const auto& words : ways) {
        const Outcome outcome = sluicectl(words);
        EXPECT_EQ(outcome.exit, 0) << outcome.err;
        EXPECT_EQ(outcome.out, "[]\n") << "one document, also when it is empty";
        EXPECT_EQ(sluicectl.connected_to, "/tmp/x/control");
    }
}

TEST(GlobalFlags, AnInstanceHasItsOwnDirectories) {
    Sluicectl sluicectl;
    sluicectl.agent.parts["Services"] = {{{"services", Json::array()}}};
    sluicectl({"services"});
    EXPECT_EQ(sluicectl.connected_to, "/run/sluice/control");
    EXPECT_EQ(sluicectl.timeout, std::chrono::seconds(30));
    sluicectl({"services", "--instance", "edge", "--timeout", "5m"});
    EXPECT_EQ(sluicectl.connected_to, "/run/sluice-edge/control");
    EXPECT_EQ(sluicectl.timeout, std::chrono::minutes(5));
    sluicectl.environment["SLUICE_INSTANCE"] = "blue";
    sluicectl({"services"});
    EXPECT_EQ(sluicectl.connected_to, "/run/sluice-blue/control");
}

TEST(GlobalFlags, ColourIsForTerminalsThatWantIt) {
    Sluicectl sluicectl;
    sluicectl.agent.parts["Status"] = {{{"version", "1"}, {"state", "ok"}}};
    EXPECT_THAT(sluicectl({"status"}).out, testing::Not(HasSubstr("\033")));
    sluicectl.terminal = true;
    EXPECT_THAT(sluicectl({"status"}).out, HasSubstr("\033"));
    EXPECT_THAT(sluicectl({"status", "--no-color"}).out, testing::Not(HasSubstr("\033")));
    sluicectl.environment["NO_COLOR"] = "1";
    EXPECT_THAT(sluicectl({"status"}).out, testing::Not(HasSubstr("\033")));
}

TEST(Bind, SendsTheProductOfListsAsOneChange) {
    Sluicectl sluicectl;
    sluicectl.agent.parts["Bind"] = {unchanged()};
    const Outcome outcome =
        sluicectl({"bind", "cdn", "tcp,udp", "192.0.2.200,2001:db8::/64", "443", "--note", "INC-1",
                   "--override", "--allow", "protected,hosts"});
    EXPECT_EQ(outcome.exit, 0) << outcome.err;
    ASSERT_EQ(sluicectl.agent.calls.size(), 1u);
    const Json& p = sluicectl.agent.calls[0].parameters;
    EXPECT_EQ(p["service"], "cdn");
    EXPECT_EQ(p["note"], "INC-1");
    EXPECT_EQ(p["override"], true);
    EXPECT_EQ(p["allow"], Json({"protected", "hosts"}));
    ASSERT_EQ(p["matches"].size(), 4u);
    EXPECT_EQ(p["matches"][0],
              Json({{"protocol", "tcp"}, {"prefix", "192.0.2.200/32"}, {"port", "443"}}));
    EXPECT_EQ(outcome.out, "nothing to change: generation 7 goes on as it was\n");
}

TEST(Bind, AServiceMayHaveTheNameOfACommandOrAProtocol) {
    Sluicectl sluicectl;
    sluicectl.agent.parts["Bind"] = {unchanged()};
    sluicectl.agent.parts["Status"] = {{{"state", "ok"}}};
    EXPECT_EQ(sluicectl({"bind", "status", "tcp", "192.0.2.0/24", "any"}).exit, 0);
    EXPECT_EQ(sluicectl.agent.calls.back().parameters["service"], "status");
    EXPECT_EQ(sluicectl({"bind", "--reject", "tcp,udp", "192.0.2.0/24", "any"}).exit, 0);
    EXPECT_EQ(sluicectl.agent.calls.back().parameters["reject"], true);
    EXPECT_FALSE(sluicectl.agent.calls.back().parameters.contains("service"));
    EXPECT_EQ(sluicectl({"status", "status"}).exit, 0);
    EXPECT_EQ(sluicectl.agent.calls.back().parameters["service"], "status");
}

TEST(Unbind, NamesMatches) {
    Sluicectl sluicectl;
    sluicectl.agent.parts["Unbind"] = {unchanged()};
    EXPECT_EQ(sluicectl({"unbind", "tcp", "192.0.2.0/24", "80,8000-8999"}).exit, 0);
    EXPECT_EQ(sluicectl.agent.calls[0].parameters["matches"].size(), 2u);
}

TEST(Reload, ThatAGuardRefusesIsExit4WithTheWordThatAllowsIt) {
    Sluicectl sluicectl;
    const Json first = {{"protocol", "tcp"},
                        {"prefix", "198.51.100.0/24"},
                        {"port", "any"},
                        {"service", "spectrum"},
                        {"falls_to", "pass"},
                        {"change", "removed"},
                        {"source", {{"file", "conf.d/spectrum.yaml"}, {"line", 9}}}};
    const Json reply = {{"changed", false},
                        {"generation", 42},
                        {"added", Json::array()},
                        {"moved", Json::array()},
                        {"removed", {first}},
                        {"refused_by",
                         {{{"guard", "max_removed"},
                           {"message", "it removes 9,120 of 12,480 bindings"},
                           {"allow", "removals"},
                           {"count", 9120},
                           {"first", {first}}}}}};
    sluicectl.agent.parts["Reload"] = {reply};
    const Outcome outcome = sluicectl({"reload"});
    EXPECT_EQ(outcome.exit, 4);
    EXPECT_EQ(outcome.out, "");
    EXPECT_EQ(outcome.err,
              "sluicectl: reload: refused: it removes 9,120 of 12,480 bindings\n"
              "  - tcp 198.51.100.0/24 any  spectrum    was conf.d/spectrum.yaml:9\n"
              "  … 9,119 more: sluicectl plan\n"
              "hint: if it is meant: sluicectl apply --allow removals\n"
              "sluicectl: reload: generation 42 goes on as it was\n");
    const Json document = Json::parse(sluicectl({"reload", "-o", "json"}).out);
    EXPECT_EQ(document["error"]["exit"], 4);
    EXPECT_EQ(document["refused_by"], reply["refused_by"]);
    EXPECT_EQ(document["removed"], reply["removed"]);
}

TEST(Reload, OfABadConfigShowsWhereAndThatNothingChanged) {
    Sluicectl sluicectl;
    sluicectl.agent.errors.emplace("Reload",
                                   Error(Failure::invalid,
                                         "conf.d/cdn.yaml:9:15: unknown key 'prefx' in a binding\n"
                                         "  9 |   - {protocol: tcp, prefx: 192.0.2.200/32}\n"
                                         "    |                     ^^^^^")
                                       .at({"conf.d/cdn.yaml", 9, 15})
                                       .hint("did you mean 'prefix'?"));
    sluicectl.agent.parts["Status"] = {{{"generation", 43}}};
    const Outcome outcome = sluicectl({"reload"});
    EXPECT_EQ(outcome.exit, 2);
    EXPECT_EQ(outcome.err,
              "sluicectl: reload: conf.d/cdn.yaml:9:15: unknown key 'prefx' in a binding\n"
              "  9 |   - {protocol: tcp, prefx: 192.0.2.200/32}\n"
              "    |                     ^^^^^\n"
              "hint: did you mean 'prefix'?\n"
              "sluicectl: reload: 1 error; generation 43 goes on as it was\n");
}

TEST(AnAgentError, KeepsItsStepAndItsExitCode) {
    Sluicectl sluicectl;
    sluicectl.agent.errors.emplace("Bind", Error(Failure::failed, "No space left on device")
                                               .during("bind tcp 192.0.2.0/24 any to 'cdn'"));
    EXPECT_EQ(sluicectl({"bind", "cdn", "tcp", "192.0.2.0/24", "any"}).err,
              "sluicectl: bind tcp 192.0.2.0/24 any to 'cdn': No space left on device\n")
        << "the command's name is said once";
    sluicectl.agent.errors.emplace("Services", Error(Failure::refused, "only for root"));
    const Outcome refused = sluicectl({"services"});
    EXPECT_EQ(refused.exit, 4);
    EXPECT_EQ(refused.err, "sluicectl: services: only for root\n");
}

TEST(Bindings, ThatComeInPartsAreOneAnswer) {
    Sluicectl sluicectl;
    const auto part = [](const char* prefix) {
        return Json{{"bindings",
                     {{{"protocol", "tcp"},
                       {"prefix", prefix},
                       {"port", "any"},
                       {"service", "cdn"},
                       {"owner", "config"}}}},
                    {"total", 9}};
    };
    sluicectl.agent.parts["Bindings"] = {part("192.0.2.1/32"), part("192.0.2.2/32")};
    EXPECT_EQ(Json::parse(sluicectl({"bindings", "-o", "json"}).out).size(), 2u);
    EXPECT_THAT(sluicectl({"bindings", "--port", "80", "--covering", "192.0.2.1"}).out,
                HasSubstr("2 of 9 bindings\n"));
    EXPECT_EQ(sluicectl.agent.calls.back().parameters,
              Json({{"port", 80}, {"covering", "192.0.2.1"}}));
}

TEST(Explain, ExitsWith1WhenProgramAndModelDiffer) {
    Sluicectl sluicectl;
    Json reply = {{"protocol", "tcp"}, {"address", "192.0.2.1"}, {"port", 80},
                  {"verdict", "pass"}, {"effect", "pass"},       {"agree", true}};
    sluicectl.agent.parts["Explain"] = {reply};
    EXPECT_EQ(sluicectl({"explain", "tcp", "192.0.2.1", "80", "--from", "198.51.100.1:5000"}).exit,
              0);
    EXPECT_EQ(sluicectl.agent.calls[0].parameters["from"], "198.51.100.1:5000");
    reply["agree"] = false;
    sluicectl.agent.parts["Explain"] = {reply};
    const Outcome outcome = sluicectl({"explain", "tcp", "192.0.2.1", "80"});
    EXPECT_EQ(outcome.exit, 1);
    EXPECT_THAT(outcome.err, HasSubstr("differ"));
}

TEST(Register, SendsInheritedDescriptors) {
    Sluicectl sluicectl;
    sluicectl.agent.parts["Register"] = {{{"service", "cdn"}, {"added", 3}, {"present", 0}}};
    const Outcome outcome = sluicectl({"register", "--fd", "3,4", "--fd", "7", "cdn", "--replace"});
    EXPECT_EQ(outcome.exit, 0) << outcome.err;
    EXPECT_EQ(sluicectl.agent.calls[0].fds, (std::vector<int>{3, 4, 7}));
    EXPECT_EQ(sluicectl.agent.calls[0].parameters,
              Json({{"service", "cdn"}, {"sockets", {0, 1, 2}}, {"mode", "replace"}}));
    EXPECT_EQ(outcome.out, "cdn: 3 sockets registered\n");
}

TEST(Register, GoesByTheNamesSystemdGaveInOneCall) {
    Sluicectl sluicectl;
    sluicectl.agent.parts["Register"] = {{{"service", "x"}, {"added", 1}}};
    sluicectl.agent.parts["RegisterAll"] = {
        {{"registered", {{{"service", "dns"}, {"added", 1}}, {{"service", "web"}, {"added", 2}}}}}};
    sluicectl.passed_names = {"web", "dns", "web"};
    const Outcome outcome = sluicectl({"register"});
    EXPECT_EQ(outcome.exit, 0) << outcome.err;
    EXPECT_EQ(outcome.out, "dns: 1 socket registered\nweb: 2 sockets registered\n");
    ASSERT_EQ(sluicectl.agent.calls.size(), 1u);
    EXPECT_EQ(sluicectl.agent.calls[0].fds, (std::vector<int>{1001, 1000, 1002}));
    EXPECT_EQ(
        sluicectl.agent.calls[0].parameters["offers"],
        Json({{{"service", "dns"}, {"sockets", {0}}}, {{"service", "web"}, {"sockets", {1, 2}}}}));
    sluicectl.agent.calls.clear();
    EXPECT_EQ(sluicectl({"register", "all"}).exit, 0);
    ASSERT_EQ(sluicectl.agent.calls.size(), 1u);
    EXPECT_EQ(sluicectl.agent.calls[0].fds.size(), 3u);
}

TEST(Register, StagesAndSaysWhatSwitches) {
    Sluicectl sluicectl;
    sluicectl.agent.parts["Register"] = {{{"service", "cdn"}, {"added", 2}, {"present", 1}}};
    const Outcome outcome = sluicectl({"register", "cdn", "--staged", "--fd", "3,4,5"});
    EXPECT_EQ(outcome.exit, 0);
    EXPECT_EQ(sluicectl.agent.calls.front().parameters["mode"], "staged");
    EXPECT_EQ(outcome.out,
              "cdn: 2 sockets staged, 1 already there; to switch to them: sluicectl promote cdn\n");
}

TEST(Promote, SaysWhatServesAndHowToGoBack) {
    Sluicectl sluicectl;
    sluicectl.agent.parts["Promote"] = {
        {{"service", "cdn"}, {"serving", 4}, {"waiting", 2}, {"let_go", 1}}};
    const Outcome outcome = sluicectl({"promote", "cdn"});
    EXPECT_EQ(outcome.exit, 0);
    EXPECT_EQ(sluicectl.agent.calls.front().parameters, (Json{{"service", "cdn"}}));
    EXPECT_EQ(outcome.out,
              "cdn: 4 sockets promoted\n"
              "  2 sockets before, to go back: sluicectl demote cdn\n"
              "  1 socket let go: nothing new comes to it\n");
    EXPECT_EQ(Json::parse(sluicectl({"-o", "json", "promote", "cdn"}).out).at("serving"), 4);
}

TEST(Demote, SaysWhatServesAndHowToReturn) {
    Sluicectl sluicectl;
    sluicectl.agent.parts["Demote"] = {
        {{"service", "cdn"},
         {"serving", 1},
         {"waiting", 2},
         {"let_go", 0},
         {"warnings", {{{"code", "x"}, {"message", "cdn: no tcp ipv6"}, {"fix", nullptr}}}}}};
    const Outcome outcome = sluicectl({"demote", "cdn"});
    EXPECT_EQ(outcome.exit, 0);
    EXPECT_EQ(outcome.out,
              "cdn: 1 socket back from before\n"
              "  2 sockets staged again, to return: sluicectl promote cdn\n"
              "warning: cdn: no tcp ipv6\n");
}

TEST(Promote, OfNothingIsRefused) {
    Sluicectl sluicectl;
    sluicectl.agent.errors.emplace("Promote",
                                   Error(Failure::refused, "no socket of 'cdn' is staged"));
    const Outcome outcome = sluicectl({"promote", "cdn"});
    EXPECT_EQ(outcome.exit, 4);
    EXPECT_EQ(outcome.err, "sluicectl: promote: no socket of 'cdn' is staged\n");
}

TEST(Register, OfAUnitSaysOfEachSocketWhoseItIs) {
    Sluicectl sluicectl;
    sluicectl.agent.parts["Register"] = {{{"service", "cdn"}, {"added", 3}}};
    sluicectl.units["nginx.service"] = {812, 812, 814};
    const Outcome outcome =
        sluicectl({"register", "cdn", "--unit", "nginx.service", "tcp", "::", "443"});
    EXPECT_EQ(outcome.exit, 0) << outcome.err;
    ASSERT_EQ(sluicectl.agent.calls.size(), 1u) << "one registration, all or none";
    const Call& call = sluicectl.agent.calls[0];
    EXPECT_EQ(call.parameters["sockets"], Json({0, 1, 2}));
    EXPECT_EQ(call.parameters["pids"], Json({812, 812, 814}));
    EXPECT_EQ(call.fds, (std::vector<int>{1000, 1001, 1002}));
    EXPECT_EQ(sluicectl.asked_of_unit,
              (std::vector{ListenTriple{Protocol::tcp, *Address::parse("::"), 443}}));
}

TEST(Unregister, TakesACookieAsSsPrintsIt) {
    Sluicectl sluicectl;
    sluicectl.agent.parts["Unregister"] = {{{"service", "cdn"}, {"removed", 1}}};
    EXPECT_EQ(sluicectl({"unregister", "cdn", "--cookie", "sk:1f4"}).out,
              "cdn: 1 socket taken out\n");
    EXPECT_EQ(sluicectl.agent.calls[0].parameters["cookie"], "1f4");
}

TEST(Detach, AsksForTheHostsNameOnATerminal) {
    Sluicectl sluicectl;
    sluicectl.terminal = true;
    sluicectl.agent.parts["Detach"] = {{{"changed", true},
                                        {"services",
                                         {{{"name", "cdn"},
                                           {"bindings", 4211},
                                           {"lookups_per_second", 8214},
                                           {"falls_to", "nginx on 0.0.0.0:443: served"}}}}}};
    sluicectl.typed = "edge8\n";
    const Outcome wrong = sluicectl({"detach", "--no-color"});
    EXPECT_EQ(wrong.exit, 2);
    EXPECT_EQ(wrong.out,
              "Traffic will fall to this host's ordinary listeners:\n"
              "  cdn  4,211 bindings, 8,214/s   nginx on 0.0.0.0:443: served\n"
              "Type the host's name to detach: ");
    ASSERT_EQ(sluicectl.agent.calls.size(), 1u);
    EXPECT_EQ(sluicectl.agent.calls[0].parameters["dry_run"], true);

    sluicectl.typed = "edge7\n";
    EXPECT_EQ(sluicectl({"detach"}).exit, 0);
    EXPECT_EQ(sluicectl.agent.calls.back().parameters["dry_run"], false);
}

TEST(Detach, DoesNotAskAboutADispatcherThatIsDetachedAlready) {
    Sluicectl sluicectl;
    sluicectl.terminal = true;
    sluicectl.agent.parts["Detach"] = {
        {{"changed", false}, {"services", {{{"name", "cdn"}, {"bindings", 1}}}}}};
    const Outcome outcome = sluicectl({"detach"});
    EXPECT_EQ(outcome.exit, 0);
    EXPECT_EQ(outcome.out, "nothing to change: it is detached already\n");
    EXPECT_EQ(sluicectl.agent.calls.size(), 1u);
}

TEST(Detach, DoesNotAskWhenToldYes) {
    Sluicectl sluicectl;
    sluicectl.agent.parts["Detach"] = {{{"changed", true}, {"services", Json::array()}}};
    EXPECT_EQ(sluicectl({"detach", "--yes"}).exit, 0);
    const Outcome json = sluicectl({"detach", "--yes", "-o", "json"});
    EXPECT_EQ(Json::parse(json.out)["changed"], true) << "one document";
}

TEST(ADeadAgent, IsExit3AndRootIsToldWhatThePinsSay) {
    Sluicectl sluicectl;
    sluicectl.agent_runs = false;
    sluicectl.pins.bindings = [](const std::string& bpffs) -> Result<Json> {
        EXPECT_EQ(bpffs, "/sys/fs/bpf/sluice-edge");
        const auto one = [](const char* prefix) {
            return Json{{"protocol", "tcp"},
                        {"prefix", prefix},
                        {"port", "any"},
                        {"service", "cdn"},
                        {"owner", "config"}};
        };
        return Json{{"bindings", {one("192.0.2.0/24"), one("198.51.100.0/24")}}, {"total", 2}};
    };
    const std::vector<std::string> words = {"--instance", "edge", "bindings", "--covering",
                                            "192.0.2.9"};
    const Outcome nobody = sluicectl(words);
    EXPECT_EQ(nobody.exit, 3);
    EXPECT_EQ(nobody.out, "");
    EXPECT_EQ(
        nobody.err,
        "sluicectl: bindings: connect to /run/sluice-edge/control: No such file or directory\n"
        "hint: is sluiced running? root can read the pins\n");
    sluicectl.uid = 0;
    const Outcome root = sluicectl(words);
    EXPECT_EQ(root.exit, 3);
    EXPECT_THAT(root.out, HasSubstr("1 of 2 bindings\n"));
    EXPECT_EQ(root.err, "sluicectl: the agent is not running: this is what the pins say\n");
}

TEST(ADeadAgent, WithoutPinsIsSaidBoth) {
    Sluicectl sluicectl;
    sluicectl.agent_runs = false;
    sluicectl.uid = 0;
    sluicectl.pins.status = [](const std::string&) -> Result<Json> {
        return fail(Failure::failed, "no pins");
    };
    const Outcome outcome = sluicectl({"status", "-o", "json"});
    EXPECT_EQ(outcome.exit, 3);
    EXPECT_EQ(Json::parse(outcome.out)["error"]["exit"], 3);
    EXPECT_THAT(outcome.err, HasSubstr("hint: nor do the pins help: no pins\n"));
    EXPECT_EQ(sluicectl({"reload"}).exit, 3);
}

TEST(Version, NeedsNobody) {
    Sluicectl sluicectl;
    sluicectl.agent_runs = false;
    EXPECT_THAT(sluicectl({"version"}).out, StartsWith("sluicectl "));
    EXPECT_EQ(sluicectl({"--version"}).out, sluicectl({"version"}).out);
    EXPECT_TRUE(Json::parse(sluicectl({"--version", "-o", "json"}).out).contains("version"));
}

TEST(Config, IsPrintedAsItIs) {
    Sluicectl sluicectl;
    sluicectl.agent.parts["Config"] = {{{"yaml", "version: 1\nservices: {}\n"}, {"generation", 4}}};
    EXPECT_EQ(sluicectl({"config"}).out, "version: 1\nservices: {}\n");
    EXPECT_EQ(Json::parse(sluicectl({"config", "-o", "json"}).out)["generation"], 4);
}

}  // namespace
}  // namespace sluice::cli

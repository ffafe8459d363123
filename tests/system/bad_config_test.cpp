// SPDX-License-Identifier: Apache-2.0
// A config that is not one changes nothing, and is told where and why.
#include <filesystem>
#include <sys/stat.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "system/agent_world.h"

namespace sluice::testing {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr const char* good = R"(version: 1
services: {www: {}}
bindings:
  - {service: www, protocol: tcp, prefix: 127.7.0.0/16, port: 80}
)";
constexpr const char* with_typo = R"(version: 1
services: {www: {}}
bindings:
  - {service: www, protocol: tcp, prefx: 127.8.0.0/16, port: 80}
)";

struct BadConfig : AgentWorld {
    std::vector<std::string> reason_codes() const {
        std::vector<std::string> codes;
        const Json status = ask("status");
        for (const Json& reason : status.at("reasons"))
            codes.push_back(reason.at("code").get<std::string>());
        return codes;
    }
};

TEST_F(BadConfig, CheckNamesFileLineAndColumnAndShowsTheLine) {
    write_config(with_typo);
    const Answer answer = ctl("check " + config_path());
    EXPECT_EQ(answer.exit, 2);
    EXPECT_THAT(answer.out + answer.err, HasSubstr("sluice.yaml:4:35: unknown key 'prefx'"));
    EXPECT_THAT(answer.out + answer.err, HasSubstr("prefx: 127.8.0.0/16, port: 80}"));
    EXPECT_THAT(answer.out + answer.err, HasSubstr("did you mean 'prefix'?"));
}

TEST_F(BadConfig, AReloadOfItIsInvalidAndWhatRunsGoesOnAsItWas) {
    start(good);
    const Fd www = listen_tcp("127.0.0.1:9999");
    ASSERT_EQ(enlist("www", {&www}).exit, 0);
    const Json before = ask("bindings");
    write_config(with_typo);
    const Answer answer = ctl("reload");
    EXPECT_EQ(answer.exit, 2);
    EXPECT_THAT(answer.err, HasSubstr("sluice.yaml:4:35: unknown key 'prefx'"));
    EXPECT_THAT(answer.err, HasSubstr("generation 1 goes on as it was"));
    EXPECT_EQ(ask("bindings"), before);
    EXPECT_TRUE(reaches("127.7.0.1:80", www));
    EXPECT_EQ(dial("127.8.0.1:80"), "refused");
}

TEST_F(BadConfig, AReloadOfItTellsThePlaceInJsonToo) {
    start(good);
    write_config(with_typo);
    const Answer answer = ctl("-o json reload");
    EXPECT_EQ(answer.exit, 2);
    const Json error = answer.json().at("error");
    EXPECT_EQ(error.at("exit"), 2);
    const Json where = error.at("where").at(0);
    EXPECT_THAT(where.at("file").get<std::string>(), HasSubstr("sluice.yaml"));
    EXPECT_EQ(where.at("line"), 4);
    EXPECT_EQ(where.at("column"), 35);
}

TEST_F(BadConfig, AReloadOfItMakesTheAgentDegradedUntilAGoodOneComes) {
    start(good);
    write_config(with_typo);
    ASSERT_EQ(ctl("reload").exit, 2);
    EXPECT_EQ(ask("status").at("state"), "degraded");
    EXPECT_EQ(ask("status").at("config").at("state"), "invalid");
    EXPECT_THAT(reason_codes(), Contains("config-invalid"));
    write_config(good);
    ASSERT_EQ(ctl("reload").exit, 0);
    EXPECT_EQ(ask("status").at("config").at("state"), "applied");
    EXPECT_THAT(reason_codes(), Not(Contains("config-invalid")));
}

TEST_F(BadConfig, AllErrorsAreReportedAtOnce) {
    write_config(R"(version: 1
services: {www: {unavailable: maybe}}
bindings:
  - {service: www, protocol: sctp, prefix: 127.7.0.0/16, port: 80}
  - {service: www, protocol: tcp, prefix: 127.7.0.1/16, port: 80}
  - {service: wwww, protocol: tcp, prefix: 127.7.0.0/16, port: 0}
)");
    const Answer answer = ctl("-o json check " + config_path());
    EXPECT_EQ(answer.exit, 2);
    std::vector<int> lines;
    const Json document = answer.json();
    for (const Json& error : document.at("errors")) lines.push_back(error.at("line"));
    EXPECT_EQ(document.at("valid"), false);
    for (const int line : {2, 4, 5, 6}) EXPECT_THAT(lines, Contains(line));
}

TEST_F(BadConfig, AStartOnItKeepsWhatIsPinned) {
    start(good);
    const Fd www = listen_tcp("127.0.0.1:9999");
    ASSERT_EQ(enlist("www", {&www}).exit, 0);
    stop();
    write_config(with_typo);
    start();
    EXPECT_TRUE(reaches("127.7.0.1:80", www));
    EXPECT_EQ(ask("bindings").size(), 1U);
    EXPECT_THAT(reason_codes(), Contains("config-invalid"));
}

TEST_F(BadConfig, AFirstStartOnItRunsWithNothingAndIsDegraded) {
    start(with_typo);
    EXPECT_EQ(ask("bindings").size(), 0U);
    EXPECT_EQ(ask("status").at("state"), "degraded");
    EXPECT_THAT(log(), HasSubstr("sluice.yaml:4:35"));
}

TEST_F(BadConfig, EveryKindOfItIsRefusedWholeByCheckAndByReload) {
    start(good);
    const std::string head = "version: 1\nservices: {www: {}}\nbindings:\n";
    const auto entry = [&](const std::string& fields) {
        return head + "  - {service: www, " + fields + "}\n";
    };
    std::string aliases = "version: 1\na: &a [x, x]\n";
    for (char name = 'b'; name <= 'z'; ++name)
        aliases += std::string(1, name) + ": &" + name + " [*" + static_cast<char>(name - 1) +
                   ", *" + static_cast<char>(name - 1) + "]\n";
    const std::vector<std::pair<std::string, std::string>> cases = {
        {"empty", ""},
        {"no mapping", "- version\n"},
        {"no YAML", "version: [1\n"},
        {"binary", std::string("\0\x01\x02\xff\xfe", 5)},
        {"no version", "services: {www: {}}\n"},
        {"another version", "version: 2\n"},
        {"unknown key", "version: 1\nservics: {}\n"},
        {"duplicate key", "version: 1\nversion: 1\n"},
        {"second document", "version: 1\n---\nversion: 1\n"},
        {"merge key", "version: 1\nservices: {a: &a {}, b: {<<: *a}}\n"},
        {"missing include", "version: 1\ninclude: [missing.yaml]\n"},
        {"missing prefix list", entry("protocol: tcp, prefixes_from: missing.txt, port: 80")},
        {"host bits", entry("protocol: tcp, prefix: 192.0.2.1/24, port: 80")},
        {"mapped prefix", entry("protocol: tcp, prefix: '::ffff:192.0.2.0/120', port: 80")},
        {"zone", entry("protocol: tcp, prefix: 'fe80::1%lo', port: 80")},
        {"octet with a zero", entry("protocol: tcp, prefix: 192.0.02.0/24, port: 80")},
        {"port zero", entry("protocol: tcp, prefix: 192.0.2.0/24, port: 0")},
        {"port with a zero", entry("protocol: tcp, prefix: 192.0.2.0/24, port: 080")},
        {"port in hex", entry("protocol: tcp, prefix: 192.0.2.0/24, port: 0x50")},
        {"port too large", entry("protocol: tcp, prefix: 192.0.2.0/24, port: 65536")},
        {"range backwards", entry("protocol: tcp, prefix: 192.0.2.0/24, port: 90-80")},
        {"capital protocol", entry("protocol: TCP, prefix: 192.0.2.0/24, port: 80")},
        {"no port", entry("protocol: tcp, prefix: 192.0.2.0/24")},
        {"two targets", entry("reject: true, protocol: tcp, prefix: 192.0.2.0/24, port: 80")},
        {"unknown service",
         "version: 1\nbindings: [{service: www, protocol: tcp, prefix: "
         "192.0.2.0/24, port: 80}]\n"},
        {"twice the same", entry("protocol: [tcp, tcp], prefix: 192.0.2.0/24, port: 80")},
        {"partial overlap", entry("protocol: tcp, prefix: 192.0.2.0/24, port: [1-10, 5-15]")},
        {"cycle",
         "version: 1\nservices: {a: {unavailable: {fallback: b}}, b: {unavailable: "
         "{fallback: a}}}\n"},
        {"five fallbacks",
         "version: 1\nservices: {a: {unavailable: {fallback: b}}, b: {unavailable: {fallback: "
         "c}}, c: {unavailable: {fallback: d}}, d: {unavailable: {fallback: e}}, e: {unavailable: "
         "{fallback: f}}, f: {}}\n"},
        {"bad service name", "version: 1\nservices: {'a b': {}}\n"},
        {"deep", "version: " + std::string(2000, '[') + "\n"},
        {"alias bomb", aliases},
    };
    for (const auto& [name, text] : cases) {
        write_config(text);
        EXPECT_EQ(ctl("check " + config_path()).exit, 2) << name;
        const Answer answer = ctl("reload");
        EXPECT_EQ(answer.exit, 2) << name;
        EXPECT_THAT(answer.err, HasSubstr("sluice.yaml")) << name;
        EXPECT_EQ(ask("status").at("generation"), 1) << name;
    }
    EXPECT_THAT(brief_all(ask("bindings")),
                ::testing::ElementsAre("tcp 127.7.0.0/16 80 www config"));
}

TEST_F(BadConfig, OneThatCannotBeReadChangesNothing) {
    start(good);
    std::filesystem::remove(config_path());
    const Answer missing = ctl("reload");
    EXPECT_EQ(missing.exit, 2);
    EXPECT_THAT(missing.err, HasSubstr("No such file"));
    ASSERT_EQ(::mkdir(config_path().c_str(), 0755), 0);
    EXPECT_EQ(ctl("reload").exit, 2);
    std::filesystem::remove(config_path());
    ASSERT_EQ(::mkfifo(config_path().c_str(), 0644), 0);
    EXPECT_EQ(ctl("reload").exit, 2) << "nobody writes into it";
    EXPECT_EQ(ask("bindings").size(), 1U);
}

TEST_F(BadConfig, TheConfigThatRunsIsOneThatCheckAccepts) {
    start(R"(version: 1
defaults: {unavailable: pass}
admins: {users: [root]}
services:
  a:
    description: "quotes: ' and \" and \\ and : #"
    unavailable: {fallback: b}
    register: {users: [nobody], groups: [nogroup], units: ["a@*.service"]}
    mixed_ports: true
    bindings: ["tcp,udp 127.7.0.0/16 any"]
  b: {unavailable: reject}
bindings:
  - {service: b, protocol: tcp, prefix: ["127.8.0.0/16", "2001:db8::/32"], port: [80, 8000-8999]}
  - {reject: true, protocol: udp, prefix: 127.8.0.1, port: 53}
  - {pass: true, protocol: udp, prefix: 127.8.0.2, port: 53}
guards: {max_removed: {percent: 10, at_least: 5}, protected: [192.0.2.0/24]}
)");
    const Answer printed = ctl("config");
    ASSERT_EQ(printed.exit, 0) << printed.err;
    const std::string copy = scratch() + "/copy.yaml";
    write(copy, printed.out);
    const Answer checked = ctl("check " + copy);
    EXPECT_EQ(checked.exit, 0) << checked.err << printed.out;
    write_config(printed.out);
    EXPECT_EQ(ask("reload").at("changed"), false) << printed.out;
}

}  // namespace
}  // namespace sluice::testing

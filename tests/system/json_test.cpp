// SPDX-License-Identifier: Apache-2.0
// `-o json`: the documents that programs read, with their keys and types, and errors as documents.
#include <map>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "system/agent_world.h"
#include "system/clients.h"
#include "system/shapes.h"

namespace sluice::testing {
namespace {

using ::testing::HasSubstr;

Json shape(const char* text) { return Json::parse(text); }

Json with(Json shape, const Json& more) {
    shape.update(more);
    return shape;
}

Json binding_shape() {
    return shape(R"({"service": "string|null", "reject": "bool", "pass": "bool",
        "protocol": "=tcp|=udp", "prefix": "string", "port": "string", "owner": "=config|=runtime",
        "source": "object|null", "note": "string|null", "since": "int|null", "shadowed": "bool"})");
}

Json warning_shape() {
    return shape(R"({"code": "string", "message": "string", "fix": "string|null"})");
}

Json plan_shape() {
    return {
        {"changed", "bool"},
        {"base_generation", "int"},
        {"added", Json::array({with(binding_shape(), {{"takes_from", "string"}})})},
        {"moved", Json::array({with(binding_shape(), {{"from", "string"}})})},
        {"removed", Json::array({with(binding_shape(), {{"falls_to", "string"}})})},
        {"services",
         Json::array(
             {{{"name", "string"}, {"change", "=added|=changed|=removed"}, {"fields", "object"}}})},
        {"refused_by", Json::array({{{"guard", "string"},
                                     {"message", "string"},
                                     {"allow", "string"},
                                     {"count", "int"}}})},
        {"warnings", Json::array({warning_shape()})}};
}

Json change_shape() { return with(plan_shape(), {{"generation", "int"}}); }

Json socket_shape() {
    return shape(R"({"service": "string", "protocol": "=tcp|=udp", "family": "=ipv4|=ipv6|=dual",
        "local": "string", "cookie": "string", "pid": "int", "command": "string",
        "state": "=serving|=staged|=parked|=failing"})");
}

Json error_shape() {
    return {{"error",
             {{"exit", "int"},
              {"doing", "string"},
              {"why", "string"},
              {"hint", "string"},
              {"where", Json::array({{{"file", "string"}, {"line", "int"}, {"column", "int"}}})}}}};
}

struct JsonOutput : AgentWorld {
    Fd tcp, six, udp;
    void SetUp() override {
        AgentWorld::SetUp();
        start(R"(version: 1
services:
  www: {description: "the web", unavailable: {fallback: spare}, register: {users: [nobody]}}
  spare: {}
  dns: {unavailable: pass}
bindings:
  - {service: www, protocol: tcp, prefix: [127.7.0.0/16, "2001:db8::/32"], port: 80}
  - {service: dns, protocol: udp, prefix: 127.7.0.0/16, port: 53}
  - {service: spare, protocol: tcp, prefix: 192.0.2.0/24, port: 8000-8999}
  - {reject: true, protocol: tcp, prefix: 127.7.9.0/24, port: any}
  - {pass: true, protocol: tcp, prefix: 127.7.9.9, port: any}
)");
        tcp = listen_tcp("127.0.0.1:9999");
        six = listen_tcp("[::1]:9999");
        udp = bind_udp("127.0.0.1:9953");
        ASSERT_EQ(enlist("www", {&tcp, &six}).exit, 0);
        ASSERT_EQ(enlist("dns", {&udp}).exit, 0);
        ASSERT_EQ(ctl("bind --note why --override --allow unserved www udp 127.7.0.0/16 53").exit,
                  0);
    }
    void TearDown() override {
        for (Fd* socket : {&tcp, &six, &udp}) socket->reset();
        AgentWorld::TearDown();
    }
    // The document of a command that succeeds; it is the only thing on stdout, on one line.
    Json document(const std::string& command) const {
        const Answer answer = ctl("-o json " + command);
        EXPECT_EQ(answer.exit, 0) << command << ": " << answer.err;
        EXPECT_EQ(answer.err, "") << command;
        EXPECT_EQ(answer.out.find('\n'), answer.out.size() - 1) << command;
        return answer.json();
    }
};

TEST_F(JsonOutput, Bindings) {
    const Json list = document("bindings");
    EXPECT_EQ(mismatch(list, Json::array({binding_shape()})), "");
    EXPECT_EQ(list.size(), 7U);
    const Json from_file = document("bindings --covering 127.7.9.9 --port 81").at(0);
    EXPECT_EQ(mismatch(from_file.at("source"), shape(R"({"file": "string", "line": "int"})")), "");
    EXPECT_THAT(from_file.at("source").at("file").get<std::string>(), HasSubstr("sluice.yaml"));
    EXPECT_EQ(from_file.at("source").at("line"), 11);
    EXPECT_EQ(from_file.at("service"), nullptr);
    EXPECT_EQ(from_file.at("pass"), true);
    const Json runtime = document("bindings --owner runtime").at(0);
    EXPECT_EQ(runtime.at("source"), nullptr);
    EXPECT_EQ(runtime.at("note"), "why");
    EXPECT_EQ(document("bindings --covering 10.0.0.1"), Json::array());
}

TEST_F(JsonOutput, Services) {
    const Json list = document("services");
    const Json form = shape(R"([{"name": "string", "description": "string|null",
        "state": "=ok|=waiting|=degraded|=parked", "unavailable": "string",
        "bindings": "int", "sockets": "int", "register": "object", "since": "int|null"}])");
    EXPECT_EQ(mismatch(list, form), "");
    ASSERT_EQ(list.size(), 3U);
    for (const Json& service : list)
        if (service.at("name") == "www") {
            EXPECT_EQ(service.at("description"), "the web");
            EXPECT_EQ(service.at("unavailable"), "fallback spare");
            EXPECT_EQ(service.at("register").at("users"), Json::array({"nobody"}));
            EXPECT_EQ(service.at("sockets"), 2);
        }
}

TEST_F(JsonOutput, Sockets) {
    const Json list = document("sockets");
    EXPECT_EQ(mismatch(list, Json::array({socket_shape()})), "");
    EXPECT_EQ(list.size(), 3U);
    const Json dns = document("sockets --service dns").at(0);
    EXPECT_EQ(dns.at("local"), "127.0.0.1:9953");
    EXPECT_EQ(std::stoull(dns.at("cookie").get<std::string>(), nullptr, 16), cookie_of(udp));
    EXPECT_EQ(document("sockets --service spare"), Json::array());
}

TEST_F(JsonOutput, Status) {
    const Json status = document("status");
    const Json form = shape(R"({"version": "string", "instance": "string|null", "generation": "int",
        "state": "=ok|=degraded|=detached",
        "reasons": [{"code": "string", "subject": "string", "message": "string",
                     "since": "int|null"}],
        "netns": "object", "program_id": "int",
        "config": {"path": "string",
                   "state": "=applied|=changed|=set-aside|=other-file|=invalid"},
        "bindings": "int", "sockets": "int", "overrides": "int", "pending_confirm": "null|object",
        "table": "=index|=tries",
        "services": [{"name": "string", "state": "string", "bindings": "int", "sockets": "int",
                      "lookups": "int", "assigned": "int", "rejected": "int",
                      "unavailable": "int", "errors": "int"}]})");
    EXPECT_EQ(mismatch(status, form), "");
    EXPECT_EQ(status.at("bindings"), 6);
    EXPECT_EQ(status.at("overrides"), 1);
    EXPECT_EQ(status.at("config").at("path"), config_path());
    EXPECT_EQ(document("status www").at("services").size(), 1U);
}

TEST_F(JsonOutput, Explain) {
    const Json explained = document("explain tcp 127.7.0.1 80 --from 10.0.0.1:4711");
    Json form = shape(R"({"protocol": "string", "address": "string", "port": "int",
        "from": "string|null", "verdict": "=assign|=reject|=unavailable|=pass",
        "effect": "=assign|=reject|=pass", "service": "string|null", "served_by": "string|null",
        "socket": "null|object", "sockets": "array", "generation": "int", "since": "int|null",
        "warnings": "array"})");
    form["binding"] = binding_shape();
    form["considered"] =
        Json::array({with(binding_shape(), {{"wins", "bool"}, {"why", "string"}})});
    form["warnings"] = Json::array({warning_shape()});
    form["sockets"] = Json::array({socket_shape()});
    EXPECT_EQ(mismatch(explained, form), "");
    EXPECT_EQ(mismatch(explained.at("socket"), shape(R"({"cookie": "string", "local": "string",
        "pid": "int", "command": "string"})")),
              "");
    EXPECT_EQ(explained.at("from"), "10.0.0.1:4711");
    const Json unbound = document("explain tcp 10.0.0.1 80");
    EXPECT_EQ(unbound.at("binding"), nullptr);
    EXPECT_EQ(unbound.at("socket"), nullptr);
    EXPECT_EQ(unbound.at("verdict"), "pass");
}

TEST_F(JsonOutput, BindUnbindAndReload) {
    const Json bound = document("bind spare tcp 127.7.0.0/24,192.0.2.0/25 80");
    EXPECT_EQ(mismatch(bound, change_shape()), "");
    EXPECT_EQ(bound.at("added").at(0).at("takes_from"), "www");
    EXPECT_EQ(bound.at("added").at(1).at("takes_from"), "pass");
    const Json moved = document("bind --reject tcp 127.7.0.0/24 80");
    EXPECT_EQ(mismatch(moved, change_shape()), "");
    EXPECT_EQ(moved.at("moved").at(0).at("from"), "spare");
    const Json unbound = document("unbind tcp 127.7.0.0/24,192.0.2.0/25 80");
    EXPECT_EQ(mismatch(unbound, change_shape()), "");
    EXPECT_EQ(unbound.at("removed").at(0).at("falls_to"), "www");
    write_config(
        "version: 1\nservices:\n  www: {}\n  dns: {unavailable: reject}\n  new: "
        "{}\nbindings:\n  - {service: new, protocol: tcp, prefix: [127.7.0.0/16, "
        "\"2001:db8::/32\"], port: 80}\n  - {service: dns, protocol: udp, prefix: "
        "127.7.0.0/16, port: 53}\n");
    const Json reloaded = document("reload --allow removals,unserved");
    EXPECT_EQ(mismatch(reloaded, change_shape()), "");
    EXPECT_EQ(reloaded.at("moved").size(), 2U);
    EXPECT_EQ(reloaded.at("removed").size(), 3U);
    std::map<std::string, std::string> changes;
    for (const Json& service : reloaded.at("services"))
        changes[service.at("name")] = service.at("change");
    EXPECT_EQ(changes.at("new"), "added");
    EXPECT_EQ(changes.at("spare"), "removed");
    EXPECT_EQ(changes.at("dns"), "changed");
}

TEST_F(JsonOutput, RegisterAndUnregister) {
    const Fd more = listen_tcp("127.0.0.2:9999");
    const Json form = {
        {"registered", Json::array({{{"service", "string"},
                                     {"added", "int"},
                                     {"present", "int"},
                                     {"sockets", Json::array({socket_shape()})},
                                     {"warnings", Json::array({warning_shape()})}}})}};
    EXPECT_EQ(mismatch(enlist("www", {&more}, "-o json").json(), form), "");
    EXPECT_EQ(
        mismatch(document("unregister www"), shape(R"({"service": "string", "removed": "int"})")),
        "");
}

TEST_F(JsonOutput, DetachAndAttach) {
    EXPECT_EQ(mismatch(document("detach --yes"), shape(R"({"changed": "bool"})")), "");
    EXPECT_EQ(mismatch(document("attach"), shape(R"({"changed": "bool"})")), "");
}

TEST_F(JsonOutput, Check) {
    const Json form = shape(R"({"valid": "bool",
        "errors": [{"file": "string", "line": "int", "column": "int", "message": "string",
                    "hint": "string|null"}],
        "warnings": "array"})");
    const Json valid = document("check " + config_path());
    EXPECT_EQ(mismatch(valid, form), "");
    EXPECT_EQ(valid.at("valid"), true);
    write_config("version: 1\nbindngs: []\n");
    const Answer invalid = ctl("-o json check " + config_path());
    EXPECT_EQ(invalid.exit, 2);
    EXPECT_EQ(mismatch(invalid.json(), form), "");
    EXPECT_EQ(invalid.json().at("valid"), false);
    EXPECT_EQ(invalid.json().at("errors").size(), 1U);
}

TEST_F(JsonOutput, EveryErrorIsADocumentWithItsExitCodeBesideTheText) {
    const std::vector<std::pair<std::string, int>> cases = {
        {"bind none tcp 127.8.0.0/16 80", 2},
        {"bind www tcp 127.8.0.1/16 80", 2},
        {"bind spare tcp 127.7.0.0/16 80", 4},
        {"unbind tcp 127.7.0.0/16 80", 4},
        {"unbind tcp 10.0.0.0/8 80", 2},
        {"unregister none", 2},
        {"unregister www --cookie ffffffffffffff", 2},
        {"register www", 2},
        {"register www --pid 1 tcp 127.0.0.1 1", 2},
        {"status none", 2},
        {"explain tcp 127.0.0.1 0", 2},
        {"explain tcp nowhere 80", 2},
        {"explain tcp", 2},
        {"bindings --owner nobody", 2},
        {"detach", 2},
        {"nonsense", 2},
        {"status --nonsense", 2},
        {"--timeout 7 status", 2},
    };
    for (const auto& [command, exit] : cases) {
        const Answer answer = ctl("-o json " + command);
        EXPECT_EQ(answer.exit, exit) << command << ": " << answer.err;
        const Json error = answer.json();
        EXPECT_EQ(mismatch(error, error_shape()), "") << command;
        EXPECT_EQ(error.at("error").at("exit"), exit) << command;
        EXPECT_THAT(answer.err, ::testing::StartsWith("sluicectl: ")) << command;
        EXPECT_THAT(answer.err, HasSubstr(error.at("error").at("why").get<std::string>()));
    }
}

TEST_F(JsonOutput, AnAgentThatIsNotThereIsAnErrorDocumentToo) {
    for (const char* command : {"status", "sockets"}) {
        const Answer answer = ctl(Command{
            {SLUICECTL, "--run-dir", "/nowhere", "--bpffs", "/nowhere", "-o", "json", command},
            {},
            {}});
        EXPECT_EQ(answer.exit, 3) << command;
        EXPECT_EQ(mismatch(answer.json(), error_shape()), "") << command;
        EXPECT_EQ(answer.json().at("error").at("exit"), 3) << command;
    }
}

TEST_F(JsonOutput, GlobalFlagsMayStandAnywhere) {
    const Answer before = ctl("-o json bindings --port 80");
    EXPECT_EQ(ctl("bindings -o json --port 80").out, before.out);
    EXPECT_EQ(ctl("bindings --port 80 --output json --no-color").out, before.out);
    EXPECT_EQ(ctl("bindings --port 80 --timeout 5s -o json").out, before.out);
}

}  // namespace
}  // namespace sluice::testing

// SPDX-License-Identifier: Apache-2.0
// The JSON shapes that people's scripts rely on.
#include "core/views.h"

#include "words.h"

namespace sluice {
namespace {

using ::testing::ElementsAre;

TEST(BindingJson, HasTheShapeThatIsPromised) {
    Binding one = binding_at("tcp 192.0.2.0/24 8000-8999 -> cdn", "conf.d/cdn.yaml", 9);
    one.since = 1700000000;
    EXPECT_EQ(binding_json(one, false), Json::parse(R"({
        "service":"cdn","reject":false,"pass":false,"protocol":"tcp","prefix":"192.0.2.0/24","port":"8000-8999",
        "owner":"config","source":{"file":"conf.d/cdn.yaml","line":9},"note":null,"since":1700000000,
        "shadowed":false})"));
    Binding two = binding("udp 2001:db8::/32 any -> (reject)", Owner::runtime);
    two.note = SharedText("attack");
    EXPECT_EQ(binding_json(two, true), Json::parse(R"({
        "service":null,"reject":true,"pass":false,"protocol":"udp","prefix":"2001:db8::/32","port":"any",
        "owner":"runtime","source":null,"note":"attack","since":null,"shadowed":true})"));
    const Json three = binding_json(binding("tcp 192.0.2.1 443 -> (pass)"), false);
    EXPECT_EQ(three["pass"], true);
    EXPECT_EQ(three["reject"], false);
    EXPECT_EQ(three["prefix"], "192.0.2.1/32");
    EXPECT_EQ(three["port"], "443");
}

TEST(SocketJson, HasTheShapeThatIsPromised) {
    RegisteredSocket socket{.slot = 3,
                            .cookie = 0xdeadbeefcafe,
                            .service = "cdn",
                            .protocol = Protocol::tcp,
                            .family = Family::ipv6,
                            .dual = true,
                            .local = endpoint("[::]:443"),
                            .pid = 812,
                            .command = "nginx",
                            .since = 1700000000};
    EXPECT_EQ(socket_json(socket, "serving"), Json::parse(R"({
        "service":"cdn","protocol":"tcp","family":"dual","local":"[::]:443","cookie":"deadbeefcafe","pid":812,
        "command":"nginx","state":"serving","waits_for":null,"since":1700000000})"));
    socket.dual = false;
    socket.pid = 0;
    socket.command.clear();
    socket.since = 0;
    const Json unknown = socket_json(socket, "parked");
    EXPECT_EQ(unknown["family"], "ipv6");
    for (const auto* key : {"pid", "command", "since"}) EXPECT_TRUE(unknown[key].is_null()) << key;
}

TEST(SocketJson, SaysWhatASocketThatWaitsIsWaitingFor) {
    RegisteredSocket socket;
    EXPECT_TRUE(socket_json(socket, "serving")["waits_for"].is_null());
    socket.role = SocketRole::staged;
    EXPECT_EQ(socket_json(socket, "staged")["waits_for"], "promote");
    socket.role = SocketRole::former;
    EXPECT_EQ(socket_json(socket, "staged")["waits_for"], "demote");
}

TEST(SocketState, IsTheFirstThatKeepsASocketFromServing) {
    RegisteredSocket socket;
    EXPECT_EQ(socket_state(socket, true, true), "serving");
    EXPECT_EQ(socket_state(socket, true, false), "failing");
    EXPECT_EQ(socket_state(socket, false, false), "parked");
    for (const SocketRole role : {SocketRole::staged, SocketRole::former}) {
        socket.role = role;
        EXPECT_EQ(socket_state(socket, true, true), "staged");
        EXPECT_EQ(socket_state(socket, true, false), "failing");
        EXPECT_EQ(socket_state(socket, false, true), "parked");
    }
}

TEST(CookieText, IsHexadecimalWithoutAPrefix) {
    EXPECT_EQ(cookie_text(0), "0");
    EXPECT_EQ(cookie_text(0x2a), "2a");
    EXPECT_EQ(cookie_text(0xffffffffffffffff), "ffffffffffffffff");
}

TEST(RegisterJson, HasAllThreeKindsOfRules) {
    EXPECT_EQ(register_json({{"nginx"}, {}, {"web@*.service"}}),
              Json::parse(R"({"users":["nginx"],"groups":[],"units":["web@*.service"]})"));
    EXPECT_EQ(target_word(target("cdn")), "cdn");
    EXPECT_EQ(target_word(target("(reject)")), "reject");
    EXPECT_EQ(target_word(target("(pass)")), "pass");
}

Json plan_json(const Plan& plan) {
    Json whole = plan_head_json(plan);
    whole.update(ChangesView(plan, 1000).part(0, 1000));
    return whole;
}

TEST(PlanJson, ComesInPartsOfWhichNoneIsLarge) {
    Plan plan;
    const Binding one = binding("tcp 192.0.2.1 80 -> a"), other = binding("tcp 192.0.2.3 80 -> b");
    for (int i = 0; i < 10; ++i) {
        plan.added.push_back({&one, target("(pass)")});
        plan.removed.push_back({&other, target("a")});
        plan.moved.push_back({&other, target("a")});
    }
    const ChangesView all(plan, 1000), some(plan, 3);
    EXPECT_EQ(all.size(), 30u);
    EXPECT_EQ(some.size(), 9u) << "3 of each";
    const Json part = all.part(8, 4);
    EXPECT_EQ(part["added"].size(), 2u);
    EXPECT_EQ(part["moved"].size(), 2u);
    EXPECT_EQ(part["removed"].size(), 0u);
    EXPECT_EQ(all.part(29, 100)["removed"].size(), 1u);
    const Json head = plan_head_json(plan);
    EXPECT_EQ(head["counts"], Json::parse(R"({"added":10,"moved":10,"removed":10})"));
    EXPECT_EQ(head["per_service"], Json::parse(R"([
        {"name":"a","added":10,"moved_to":0,"moved_from":10,"removed":0},
        {"name":"b","added":0,"moved_to":10,"moved_from":0,"removed":10}])"));
}

TEST(PlanJson, HasTheShapeThatIsPromised) {
    const Json nothing = plan_json({});
    EXPECT_EQ(nothing["changed"], false);
    EXPECT_EQ(nothing["base_generation"], 0);
    for (const auto* key : {"added", "moved", "removed", "services", "refused_by", "warnings"})
        EXPECT_EQ(nothing[key], Json::array()) << key << " is there also when it is empty";
    Plan plan;
    plan.base = 7;
    const Bindings bound =
        table({"tcp 192.0.2.1 80 -> a", "tcp 192.0.2.2 80 -> a", "tcp 192.0.2.3 80 -> a"});
    const auto all = bound.all();
    plan.added = {{&all[0], target("(pass)")}};
    plan.moved = {{&all[1], target("b")}};
    plan.removed = {{&all[2], target("(reject)")}};
    plan.services = {{"new", ServiceChange::Kind::added, {}},
                     {"a", ServiceChange::Kind::changed, {{"unavailable", "reject", "pass"}}},
                     {"old", ServiceChange::Kind::removed, {}}};
    plan.warnings = {{"no-local-route", "no route", "ip route add local 192.0.2.1 dev lo"},
                     {"x", "y", ""}};
    const Json json = plan_json(plan);
    EXPECT_EQ(json["changed"], true);
    EXPECT_EQ(json["base_generation"], 7);
    EXPECT_EQ(json["added"][0]["takes_from"], "pass");
    EXPECT_EQ(json["added"][0]["prefix"], "192.0.2.1/32");
    EXPECT_EQ(json["moved"][0]["from"], "b");
    EXPECT_EQ(json["removed"][0]["falls_to"], "reject");
    EXPECT_EQ(json["services"], Json::parse(R"([{"name":"new","change":"added","fields":{}},
        {"name":"a","change":"changed","fields":{"unavailable":["reject","pass"]}},
        {"name":"old","change":"removed","fields":{}}])"));
    EXPECT_EQ(json["warnings"], Json::parse(R"([{"code":"no-local-route","message":"no route",
        "fix":"ip route add local 192.0.2.1 dev lo"},{"code":"x","message":"y","fix":null}])"));
}

// ---- which bindings, in which order ------------------------------------------------------------

Bindings some() {
    return table({"tcp 192.0.2.0/24 any -> spectrum", "tcp 192.0.2.0/24 443 -> cdn",
                  "tcp 192.0.2.0/24 8000-8999 -> cdn", "tcp 192.0.2.200 443 -> cdn",
                  "udp 192.0.2.200 443 -> cdn", "tcp 192.0.2.10 22 -> (pass)",
                  "tcp 2001:db8::/32 443 -> cdn", "tcp 0.0.0.0/0 25 -> (reject)"});
}

std::vector<std::string> shown(const Bindings& effective, const std::vector<Binding>& shadowed,
                               const BindingFilter& filter) {
    const BindingsView view(effective, shadowed, filter);
    std::vector<std::string> lines;
    for (const Json& one : view.part(0, view.size()))
        lines.push_back(one["protocol"].get<std::string>() + " " +
                        one["prefix"].get<std::string>() + " " + one["port"].get<std::string>() +
                        (one["shadowed"] == true ? " (waits)" : ""));
    return lines;
}

TEST(BindingsView, ShowsTheMostSpecificFirst) {
    EXPECT_THAT(
        shown(some(), {}, {}),
        ElementsAre("tcp 192.0.2.10/32 22", "udp 192.0.2.200/32 443", "tcp 192.0.2.200/32 443",
                    "tcp 2001:db8::/32 443", "tcp 192.0.2.0/24 443", "tcp 192.0.2.0/24 8000-8999",
                    "tcp 192.0.2.0/24 any", "tcp 0.0.0.0/0 25"));
}

TEST(BindingsView, ShowsWhatWaitsBehindWhatAnswers) {
    const Bindings effective = table({"tcp 192.0.2.0/24 443 -> now"}, Owner::runtime);
    EXPECT_THAT(shown(effective, {binding("tcp 192.0.2.0/24 443 -> cdn")}, {}),
                ElementsAre("tcp 192.0.2.0/24 443", "tcp 192.0.2.0/24 443 (waits)"));
}

TEST(BindingsView, ComesInParts) {
    const Bindings bindings = some();
    const BindingsView view(bindings, {}, {});
    EXPECT_EQ(view.size(), 8u);
    EXPECT_EQ(view.part(0, 3).size(), 3u);
    EXPECT_EQ(view.part(6, 3).size(), 2u);
    EXPECT_EQ(view.part(8, 3), Json::array());
    EXPECT_EQ(view.part(7, 1)[0]["reject"], true);
}

TEST(BindingFilter, SelectsWhatEveryFilterHoldsFor) {
    struct Case {
        const char* name;
        BindingFilter filter;
        std::size_t count;
    };
    BindingFilter both;
    both.service = "cdn";
    both.protocol = Protocol::udp;
    BindingFilter none = both;
    none.port = 80;
    const auto one = [](auto member, auto value) {
        BindingFilter filter;
        filter.*member = value;
        return filter;
    };
    const Case cases[] = {
        {"all", {}, 8},
        {"service", one(&BindingFilter::service, "cdn"), 5},
        {"another service", one(&BindingFilter::service, "pass"), 0},
        {"protocol", one(&BindingFilter::protocol, Protocol::udp), 1},
        {"covering", one(&BindingFilter::covering, address("192.0.2.200")), 6},
        {"covering, IPv6", one(&BindingFilter::covering, address("2001:db8::1")), 1},
        {"within", one(&BindingFilter::within, prefix("192.0.2.0/24")), 6},
        {"within a smaller one", one(&BindingFilter::within, prefix("192.0.2.128/25")), 2},
        {"port", one(&BindingFilter::port, 8080), 2},
        {"owner", one(&BindingFilter::owner, Owner::runtime), 0},
        {"two", both, 1},
        {"three", none, 0},
    };
    for (const auto& [name, filter, count] : cases) {
        const Bindings bindings = some();
        EXPECT_EQ(BindingsView(bindings, {}, filter).size(), count) << name;
    }
}

}  // namespace
}  // namespace sluice

// SPDX-License-Identifier: Apache-2.0
// Whole screens, from answers of the product's shape.
#include <algorithm>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "fakes.h"

namespace sluice::cli {
namespace {

using ::testing::Contains;
using ::testing::Not;

Json service(const char* name, const char* state, int bindings, int sockets, Json lookups,
             Json refused) {
    return {{"name", name},
            {"state", state},
            {"bindings", bindings},
            {"sockets", sockets},
            {"errors", 0},
            {"lookups_per_second", std::move(lookups)},
            {"refused_per_second", std::move(refused)}};
}

Json degraded_status() {
    Json dns = service("dns", "degraded", 4, 2, 410.2, 118.0);
    dns["brief"] = "no udp ipv6";
    return {{"version", "1.0.0"},
            {"state", "degraded"},
            {"since", now - 12 * 86400},
            {"generation", 43},
            {"changed", at(14, 2, 11)},
            {"change",
             {{"cause", "reload"},
              {"by", {{"uid", 0}, {"login_uid", 1001}}},
              {"note", "move /25 to cdn"}}},
            {"reasons",
             {{{"code", "no-socket"},
               {"subject", "dns"},
               {"message", "no usable udp ipv6 socket; 2 bindings refuse"},
               {"since", at(14, 31, 7)}},
              {{"code", "route"},
               {"subject", "198.51.100.0/24"},
               {"message", "no local route, nothing arrives; 1 binding"}}}},
            {"config", {{"path", "/etc/sluice/sluice.yaml"}, {"state", "applied"}, {"files", 101}}},
            {"overrides", 1},
            {"program_id", 318},
            {"table", "tries"},
            {"foreign_programs", Json::array()},
            {"bindings", 12480},
            {"capacity", 1000000},
            {"owners", {{"config", 12476}, {"runtime", 4}}},
            {"sockets", 38},
            {"socket_states", {{"serving", 36}, {"failing", 1}, {"parked", 1}}},
            {"verdicts",
             {{{"name", "(reject)"},
               {"bindings", 4},
               {"lookups_per_second", 57.0},
               {"refused_per_second", 57.0}}}},
            {"services",
             {service("games", "ok", 20, 4, 3.0, 0.0), service("cdn", "ok", 4211, 16, 8214.0, 0.0),
              dns, service("idle", "ok", 1, 1, nullptr, nullptr)}}};
}

TEST(StatusScreen, SaysWhatIsWrongFirstAndListsTheWorstServiceFirst) {
    EXPECT_EQ(joined(render_status(degraded_status(), "", screen())),
              R"(sluiced 1.0.0, up 12 days                                    DEGRADED, 2 reasons
  ! dns: no usable udp ipv6 socket since 14:31:07; 2 bindings refuse
  ! 198.51.100.0/24: no local route, nothing arrives; 1 binding

generation  43, 14:02:11 today, reload by root (ops1): "move /25 to cdn"
config      /etc/sluice/sluice.yaml + 100 files, applied
overrides   1 runtime over the config: sluicectl bindings --owner runtime
dispatcher  program 318, tries, no foreign programs
bindings    12,480 of 1,000,000   12,476 config  4 runtime
sockets     38   36 serving  1 failing  1 parked

SERVICE        BINDINGS  SOCKETS  LOOKUP/s  REFUSED/s  ERRORS  STATE
dns                   4        2       410        118       0  no udp ipv6
cdn               4,211       16     8,214          0       0  ok
games                20        4         3          0       0  ok
idle                  1        1         -          -       0  ok
(reject)              4        -        57         57       -  -
)");
}

TEST(StatusScreen, OfAnOfflineHostLeavesOutWhatOnlyTheAgentKnows) {
    const Json pins = {
        {"version", "1.0.0"},
        {"state", "ok"},
        {"bindings", 1},
        {"services", {{{"name", "cdn"}, {"state", "ok"}, {"bindings", 1}, {"sockets", 1}}}}};
    EXPECT_EQ(joined(render_status(pins, "", screen())),
              R"(sluiced 1.0.0                                                                 ok

bindings    1

SERVICE        BINDINGS  SOCKETS  LOOKUP/s  REFUSED/s  ERRORS  STATE
cdn                   1        1         -          -       0  ok
)");
}

TEST(StatusScreen, NeverFailsOnAnAnswerOfAnotherShape) {
    EXPECT_NO_THROW(render_status(Json::array(), "", screen()));
    EXPECT_NO_THROW(
        render_status({{"services", 7}, {"config", "x"}, {"reasons", {1, 2}}}, "x", screen()));
    EXPECT_NO_THROW(render_explain({{"considered", {1}}, {"socket", 4}}, screen()));
    EXPECT_NO_THROW(render_changes({{"added", {1}}, {"services", {2}}}, screen()));
    EXPECT_NO_THROW(render_refused({{"refused_by", {1, {{"first", {2}}}}}}, screen()));
    EXPECT_NO_THROW(render_history({1, {{"by", 2}}}, screen()));
    EXPECT_NO_THROW(render_sockets({1, 2}, screen()));
}

TEST(StatusScreen, CountsWhatItDoesNotShow) {
    Json status = {{"version", "1"}, {"state", "ok"}, {"services", Json::array()}};
    for (int n = 0; n < 500; ++n)
        status["services"].push_back(
            service(("s" + std::to_string(n)).c_str(), "ok", 1, 1, 1.0, 0.0));
    EXPECT_EQ(render_status(status, "", screen()).back(), "… 485 more, all ok");
}

TEST(StatusScreen, ShowsAFewReasonsOfAKindSoThatTheOthersAreSeen) {
    Json status = {{"version", "1.0.0"}, {"state", "degraded"}, {"reasons", Json::array()}};
    for (int i = 0; i < 60; ++i)
        status["reasons"].push_back({{"code", "no-local-route"},
                                     {"subject", "192.0.2." + std::to_string(i) + "/32"},
                                     {"message", "no local route"}});
    status["reasons"].push_back(
        {{"code", "foreign-program"}, {"subject", "dispatcher"}, {"message", "another"}});
    const Lines lines = render_status(status, "", screen());
    EXPECT_THAT(lines, Contains("  ! 192.0.2.3/32: no local route"));
    EXPECT_THAT(lines, Not(Contains("  ! 192.0.2.4/32: no local route")));
    EXPECT_THAT(lines, Contains("  ! dispatcher: another"));
    EXPECT_THAT(lines, Contains("  … 56 more of 'no-local-route': sluicectl -o json status"));
}

TEST(StatusScreen, ShowsALongNameWholeAndItsNumbersInTheirColumns) {
    const std::string name(60, 'n');
    const Json status = {
        {"state", "ok"},
        {"services",
         {service(name.c_str(), "ok", 1, 1, 1.0, 0.0), service("cdn", "ok", 2, 2, 0.0, 0.0)}}};
    const Lines lines = render_status(status, "", screen());
    const auto at = std::find(lines.begin(), lines.end(), name);
    ASSERT_NE(at, lines.end());
    EXPECT_EQ(at[-1], "SERVICE        BINDINGS  SOCKETS  LOOKUP/s  REFUSED/s  ERRORS  STATE");
    EXPECT_EQ(at[1], "                      1        1         1          0       0  ok");
    EXPECT_EQ(at[2], "cdn                   2        2         0          0       0  ok");
}

TEST(StatusScreen, IsTheSameWordsWithAndWithoutColour) {
    Look colours = screen();
    colours.colour = true;
    std::string painted = joined(render_status(degraded_status(), "", colours));
    EXPECT_NE(painted.find("\033["), std::string::npos);
    for (std::size_t start = 0; (start = painted.find("\033[")) != std::string::npos;)
        painted.erase(start, painted.find('m', start) - start + 1);
    EXPECT_EQ(painted, joined(render_status(degraded_status(), "", screen())));
}

Json binding(const char* protocol, const char* prefix, const char* port, const char* to) {
    Json b = {{"protocol", protocol}, {"prefix", prefix}, {"port", port},  {"owner", "config"},
              {"reject", false},      {"pass", false},    {"service", to}, {"shadowed", false}};
    return b;
}

Json from_file(Json b, const char* file, int line) {
    b["source"] = {{"file", file}, {"line", line}};
    return b;
}

TEST(BindingsScreen, ShowsTheOneThatWaitsBelowTheOneThatAnswers) {
    Json reject = from_file(binding("tcp", "192.0.2.0/24", "80", ""), "sluice.yaml", 31);
    reject["reject"] = true;
    Json runtime = binding("tcp", "192.0.2.0/24", "8000-8999", "games");
    runtime.update({{"owner", "runtime"}, {"note", "INC-4711"}, {"since", now - 3 * 86400}});
    Json waits = from_file(binding("tcp", "192.0.2.0/24", "8000-8999", "spectrum"),
                           "conf.d/spectrum.yaml", 9);
    waits["shadowed"] = true;
    std::vector<BindingRow> rows;
    for (const Json& b :
         {from_file(binding("udp", "192.0.2.200/32", "443", "cdn"), "conf.d/cdn.yaml", 7), reject,
          runtime, waits})
        rows.push_back(binding_row(b, screen()));
    EXPECT_EQ(joined(render_bindings(rows, 12480, screen())),
              R"(PROTO  PREFIX            PORT       SERVICE   OWNER    WHERE
udp    192.0.2.200/32    443        cdn       config   conf.d/cdn.yaml:7
tcp    192.0.2.0/24      80         (reject)  config   sluice.yaml:31
tcp    192.0.2.0/24      8000-8999  games     runtime  3d, "INC-4711"
                                    over spectrum      conf.d/spectrum.yaml:9
3 of 12,480 bindings
)");
    EXPECT_EQ(joined(render_bindings({}, 0, screen())), "no bindings\n");
}

Json change(Json b, const char* key, const char* other) {
    b[key] = other;
    return b;
}

TEST(ChangeScreen, SaysWhoseTrafficItIs) {
    const Json reply = {
        {"changed", true},
        {"generation", 43},
        {"bindings", 12480},
        {"added",
         {change(from_file(binding("tcp", "192.0.2.0/25", "443", "cdn"), "conf.d/cdn.yaml", 12),
                 "takes_from", "spectrum")}},
        {"moved",
         {change(from_file(binding("tcp", "203.0.113.9/32", "25", "mail"), "conf.d/mail.yaml", 6),
                 "from", "spectrum")}},
        {"removed",
         {change(from_file(binding("udp", "198.51.100.9/32", "53", "dns"), "conf.d/dns.yaml", 9),
                 "falls_to", "pass")}},
        {"services",
         {{{"name", "cdn"},
           {"change", "changed"},
           {"fields", {{"unavailable", {"reject", "fallback spectrum"}}}}},
          {{"name", "new"}, {"change", "added"}, {"fields", Json::object()}}}},
        {"warnings",
         {{{"code", "no-local-route"},
           {"message", "192.0.2.0/25: no local route, nothing will arrive"},
           {"fix", "ip route add local 192.0.2.0/25 dev lo"}}}}};
    EXPECT_EQ(joined(render_changes(reply, screen())),
              R"(+ tcp 192.0.2.0/25 443    cdn       takes from spectrum  conf.d/cdn.yaml:12
~ tcp 203.0.113.9/32 25   mail      was spectrum         conf.d/mail.yaml:6
- udp 198.51.100.9/32 53  dns       falls to the kernel  conf.d/dns.yaml:9
~ service cdn             unavailable: reject -> fallback spectrum
+ service new

1 added, 1 moved, 1 removed, 12,478 as they are; 2 services change
warning: 192.0.2.0/25: no local route, nothing will arrive
         ip route add local 192.0.2.0/25 dev lo
)");
    EXPECT_EQ(joined(render_outcome(reply, screen())), "generation 43 answers\n");
}

TEST(ChangeScreen, OfNoChangeSaysSo) {
    EXPECT_EQ(joined(render_outcome({{"changed", false}, {"generation", 7}}, screen())),
              "nothing to change: generation 7 goes on as it was\n");
}

Json explained() {
    Json won = from_file(binding("tcp", "2001:db8::/48", "443", "cdn"), "conf.d/cdn.yaml", 14);
    won["wins"] = true;
    Json lost = binding("tcp", "2001:db8::/32", "any", "spectrum");
    lost.update({{"wins", false}, {"why", "shorter prefix"}});
    return {{"protocol", "tcp"},
            {"address", "2001:db8::7"},
            {"port", 443},
            {"from", nullptr},
            {"verdict", "unavailable"},
            {"effect", "reject"},
            {"service", "cdn"},
            {"served_by", nullptr},
            {"binding", won},
            {"considered", {won, lost}},
            {"socket", nullptr},
            {"unavailable", "reject"},
            {"unavailable_since", now - 14 * 60},
            {"sockets",
             {{{"cookie", "1f4"},
               {"protocol", "tcp"},
               {"local", "[::]:443"},
               {"pid", 812},
               {"command", "nginx"},
               {"state", "failing"},
               {"why", "closed at 14:31:07"}},
              {{"cookie", "1f5"},
               {"protocol", "tcp"},
               {"local", "0.0.0.0:443"},
               {"pid", 812},
               {"command", "nginx"},
               {"state", "serving"},
               {"family", "ipv4"}}}},
            {"generation", 43},
            {"since", at(14, 2, 11)},
            {"change", {{"by", {{"uid", 0}, {"login_uid", 1001}}}, {"note", "move /25 to cdn"}}},
            {"kernel",
             {{"program_id", 318}, {"verdict", "reject"}, {"foreign_programs", Json::array()}}},
            {"model", {{"effect", "reject"}}},
            {"agree", true},
            {"hint", "start what listens on [::]:443"}};
}

TEST(ExplainScreen, SaysTheAnswerThenTheReasons) {
    EXPECT_EQ(joined(render_explain(explained(), screen())),
              R"(tcp [2001:db8::7]:443 -> REFUSED: 'cdn' has no usable IPv6 socket (14 min)

won      tcp 2001:db8::/48 443 -> cdn          conf.d/cdn.yaml:14
lost     tcp 2001:db8::/32 any -> spectrum     shorter prefix
service  cdn, unavailable: reject
           sk:1f4  tcp [::]:443     nginx[812]  closed at 14:31:07
           sk:1f5  tcp 0.0.0.0:443  nginx[812]  serves IPv4 only
kernel   program 318 refuses; model agrees; no foreign programs
since    generation 43, 14:02:11, root (ops1): "move /25 to cdn"

hint: start what listens on [::]:443
)");
}

TEST(ExplainScreen, NamesTheProcessThatServes) {
    Json e = {{"protocol", "tcp"},
              {"address", "192.0.2.200"},
              {"port", 443},
              {"verdict", "assign"},
              {"effect", "assign"},
              {"service", "cdn"},
              {"served_by", "cdn"},
              {"binding", Json::object()},
              {"socket", {{"cookie", "a"}, {"pid", 812}, {"command", "nginx"}}},
              {"sockets",
               {{{"cookie", "a"}, {"state", "serving"}}, {{"cookie", "b"}, {"state", "serving"}}}}};
    EXPECT_EQ(render_explain(e, screen()).front(),
              "tcp 192.0.2.200:443 -> cdn, nginx[812] (one of 2 sockets, by the flow)");
    e.update({{"verdict", "unavailable"}, {"served_by", "spectrum"}});
    EXPECT_EQ(joined(render_explain(e, screen())).substr(0, 46),
              "tcp 192.0.2.200:443 -> spectrum, nginx[812] (o");
    e.update({{"verdict", "pass"},
              {"effect", "pass"},
              {"binding", nullptr},
              {"served_by", nullptr},
              {"service", nullptr}});
    EXPECT_EQ(render_explain(e, screen()).front(),
              "tcp 192.0.2.200:443 -> the kernel's ordinary lookup: no binding matches");
}

TEST(SocketsScreen, TellsWhatShareEachGets) {
    const auto socket = [](const char* cookie, const char* family, const char* state) {
        return Json{{"service", "cdn"},       {"protocol", "tcp"}, {"family", family},
                    {"local", "0.0.0.0:443"}, {"cookie", cookie},  {"pid", 812},
                    {"command", "nginx"},     {"state", state},    {"since", now - 7200}};
    };
    const Json sockets = {socket("1", "ipv4", "serving"), socket("2", "dual", "serving"),
                          socket("3", "ipv4", "failing")};
    EXPECT_EQ(joined(render_sockets(sockets, screen())),
              R"(SERVICE  PROTOCOL  LOCAL        PROCESS     COOKIE  AGE    SHARE  STATE
cdn      tcp ipv4  0.0.0.0:443  nginx[812]  3        2h        -  failing
cdn      tcp ipv4  0.0.0.0:443  nginx[812]  1        2h      1/2  serving
cdn      tcp dual  0.0.0.0:443  nginx[812]  2        2h  1/2 1/1  serving
)");
}

TEST(SocketsScreen, TellsWhatWouldBringASocketThatWaitsIntoService) {
    const auto socket = [](const char* cookie, const char* state, Json waits_for) {
        return Json{{"service", "cdn"},      {"protocol", "tcp"}, {"family", "ipv4"},
                    {"local", "[::]:443"},   {"cookie", cookie},  {"pid", 812},
                    {"command", "nginx"},    {"state", state},    {"since", now - 60},
                    {"waits_for", waits_for}};
    };
    const Json sockets = {socket("1", "serving", nullptr), socket("2", "staged", "promote"),
                          socket("3", "staged", "demote"), socket("4", "failing", "promote")};
    EXPECT_EQ(joined(render_sockets(sockets, screen())),
              R"(SERVICE  PROTOCOL  LOCAL     PROCESS     COOKIE  AGE  SHARE  STATE
cdn      tcp ipv4  [::]:443  nginx[812]  4        1m      -  failing, promote
cdn      tcp ipv4  [::]:443  nginx[812]  2        1m      -  staged, promote
cdn      tcp ipv4  [::]:443  nginx[812]  3        1m      -  staged, demote
cdn      tcp ipv4  [::]:443  nginx[812]  1        1m    1/1  serving
)");
}

TEST(ErrorScreen, SaysWhereWhyAndWhatToDo) {
    const Error error = Error(Failure::invalid, "unknown key 'prefx' in a binding")
                            .at({"conf.d/cdn.yaml", 9, 15})
                            .during("reload")
                            .hint("did you mean 'prefix'?");
    EXPECT_EQ(joined(render_error(error, screen())),
              "sluicectl: reload: conf.d/cdn.yaml:9:15: unknown key 'prefx' in a binding\n"
              "hint: did you mean 'prefix'?\n");
    EXPECT_EQ(error_document(error).dump(),
              R"({"error":{"doing":"reload","exit":2,"hint":"did you mean 'prefix'?",)"
              R"("where":[{"column":15,"file":"conf.d/cdn.yaml","line":9}],)"
              R"("why":"unknown key 'prefx' in a binding"}})");
}

TEST(Screens, SendNoControlCharacterOfOthersToTheTerminal) {
    Json b = binding("tcp", "192.0.2.0/24", "80", "cdn");
    b.update({{"owner", "runtime"}, {"note", "\033]0;gone\007"}});
    EXPECT_EQ(joined(render_bindings({binding_row(b, screen())}, 1, screen())).find('\033'),
              std::string::npos);
    const Error error(Failure::failed, "a\033[2Jb");
    EXPECT_EQ(joined(render_error(error, screen())), "sluicectl: a\\x1b[2Jb\n");
}

TEST(Numbers, AreReadable) {
    EXPECT_EQ(grouped(0), "0");
    EXPECT_EQ(grouped(999), "999");
    EXPECT_EQ(grouped(1000), "1,000");
    EXPECT_EQ(grouped(-1234567), "-1,234,567");
    EXPECT_EQ(rate(0.04), "0");
    EXPECT_EQ(rate(0.4), "0.4");
    EXPECT_EQ(rate(8214.4), "8,214");
    EXPECT_EQ(long_age(14 * 60), "14 min");
    EXPECT_EQ(short_age(3 * 86400), "3d");
    EXPECT_EQ(moment(at(14, 2, 11), now), "14:02:11 today");
    const Look utc = screen();
    EXPECT_EQ(moment(at(14, 2, 11) - 2 * 86400, utc.now), "Mon 14:02:11");
    EXPECT_EQ(moment(at(14, 2, 11) - 200 * 86400, utc.now), "2025-08-23 14:02:11");
}

}  // namespace
}  // namespace sluice::cli

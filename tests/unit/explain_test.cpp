// SPDX-License-Identifier: Apache-2.0
// Explain: the model's answer with its reasons, and whether the kernel's agrees.
#include "core/explain.h"

#include "words.h"

namespace sluice {
namespace {

using ::testing::ElementsAre;
using ::testing::SizeIs;

Candidate socket(const char* service, const char* local, std::uint64_t cookie, bool usable = true) {
    Candidate candidate;
    candidate.socket.service = service;
    candidate.socket.local = endpoint(local);
    candidate.socket.family = candidate.socket.local.address.family;
    candidate.socket.cookie = cookie;
    candidate.socket.pid = 812;
    candidate.socket.command = "nginx";
    candidate.usable = usable;
    return candidate;
}

Unavailable fallback(const char* service) { return {Unavailable::Kind::fallback, service}; }
constexpr const char* reject = "reject";

Question asks(const char* protocol, const char* to) {
    return {must(parse_protocol(protocol)), endpoint(to), {}};
}

KernelAnswer dropped() {
    KernelAnswer kernel;
    kernel.drop = true;
    return kernel;
}
KernelAnswer chose(std::uint64_t cookie) {
    KernelAnswer kernel;
    kernel.cookie = cookie;
    return kernel;
}

// The table lives as long as the world.
struct Node {
    Bindings bindings;
    World world;
    Node(std::initializer_list<std::string_view> texts) : bindings(table(texts)) {
        world.bindings = &bindings;
        world.generation = 7;
        world.since = 1700000000;
    }
    Answer explain(const char* protocol, const char* to) const {
        return answer(world, asks(protocol, to));
    }
};

TEST(Explain, WithoutABindingIsAPass) {
    const Node node({"tcp 192.0.2.0/24 443 -> cdn"});
    for (const char* to : {"198.51.100.1:443", "192.0.2.1:80"}) {
        const Answer found = node.explain("tcp", to);
        EXPECT_EQ(found.outcome, Outcome::pass) << to;
        EXPECT_EQ(found.effect, Effect::pass) << to;
        EXPECT_FALSE(found.service) << to;
        EXPECT_FALSE(found.served_by) << to;
    }
    EXPECT_THAT(node.explain("tcp", "192.0.2.1:80").considered, SizeIs(1))
        << "and it shows what nearly matched";
}

TEST(Explain, OfAPassOrRejectBindingIsThat) {
    const Node node({"tcp 192.0.2.1 22 -> (pass)", "tcp 192.0.2.1 25 -> (reject)",
                     "tcp 192.0.2.0/24 any -> cdn"});
    const Answer pass = node.explain("tcp", "192.0.2.1:22");
    EXPECT_EQ(pass.outcome, Outcome::pass);
    EXPECT_EQ(pass.effect, Effect::pass);
    EXPECT_FALSE(pass.service) << "never the next shorter binding";
    const Answer rejected = node.explain("tcp", "192.0.2.1:25");
    EXPECT_EQ(rejected.outcome, Outcome::reject);
    EXPECT_EQ(rejected.effect, Effect::reject);
}

TEST(Explain, AssignsToTheServiceWithTheSocketsThatFit) {
    Node node({"tcp 192.0.2.0/24 443 -> cdn"});
    node.world.sockets = {socket("cdn", "192.0.2.1:443", 1), socket("cdn", "[::]:443", 2),
                          socket("other", "192.0.2.1:443", 3),
                          socket("cdn", "0.0.0.0:443", 4, false), socket("cdn", "[::]:443", 5)};
    node.world.sockets[4].socket.dual = true;
    Candidate udp = socket("cdn", "192.0.2.1:443", 6);
    udp.socket.protocol = Protocol::udp;
    node.world.sockets.push_back(udp);
    const Answer found = node.explain("tcp", "192.0.2.9:443");
    EXPECT_EQ(found.outcome, Outcome::assign);
    EXPECT_EQ(found.effect, Effect::assign);
    EXPECT_EQ(found.service, "cdn");
    EXPECT_EQ(found.served_by, "cdn");
    std::vector<std::uint64_t> cookies;
    for (const Candidate& one : found.candidates) cookies.push_back(one.socket.cookie);
    EXPECT_THAT(cookies, ElementsAre(1, 4, 5)) << "of its protocol and family, dual-stack ones too";
}

TEST(Explain, WithoutAUsableSocketIsUnavailableByThePolicy) {
    for (const bool a_dead_socket : {false, true}) {
        Node node({"tcp 192.0.2.0/24 443 -> cdn"});
        if (a_dead_socket) node.world.sockets = {socket("cdn", "192.0.2.1:443", 1, false)};
        Answer found = node.explain("tcp", "192.0.2.1:443");
        EXPECT_EQ(found.outcome, Outcome::unavailable);
        EXPECT_EQ(found.effect, Effect::reject) << "reject is the default";
        EXPECT_EQ(found.service, "cdn");
        EXPECT_FALSE(found.served_by);
        EXPECT_THAT(found.candidates, SizeIs(a_dead_socket ? 1 : 0));
        node.world.policies["cdn"] = {Unavailable::Kind::pass, ""};
        found = node.explain("tcp", "192.0.2.1:443");
        EXPECT_EQ(found.outcome, Outcome::unavailable);
        EXPECT_EQ(found.effect, Effect::pass);
    }
}

TEST(Explain, FollowsFallbacksToTheFirstWithAUsableSocket) {
    Node node({"tcp 192.0.2.0/24 443 -> cdn"});
    node.world.policies = {
        {"cdn", fallback("b")}, {"b", fallback("c")}, {"c", {Unavailable::Kind::pass, ""}}};
    EXPECT_EQ(node.explain("tcp", "192.0.2.1:443").effect, Effect::pass)
        << "the last one's own policy applies";
    EXPECT_EQ(node.explain("tcp", "192.0.2.1:443").outcome, Outcome::unavailable);
    node.world.sockets = {socket("b", "192.0.2.1:443", 1, false), socket("c", "192.0.2.1:80", 2),
                          socket("b", "[::]:443", 3)};
    const Answer found = node.explain("tcp", "192.0.2.1:443");
    EXPECT_EQ(found.outcome, Outcome::assign);
    EXPECT_EQ(found.service, "cdn");
    EXPECT_EQ(found.served_by, "c");
    ASSERT_THAT(found.candidates, SizeIs(1));
    EXPECT_EQ(found.candidates[0].socket.cookie, 2u);
    node.world.sockets[0].usable = true;
    EXPECT_EQ(node.explain("tcp", "192.0.2.1:443").served_by, "b");
}

TEST(Explain, FollowsFourFallbacksAndNoMore) {
    Node node({"tcp 192.0.2.0/24 443 -> s0"});
    for (int i = 0; i < 6; ++i)
        node.world.policies["s" + std::to_string(i)] =
            fallback(("s" + std::to_string(i + 1)).c_str());
    node.world.sockets = {socket("s4", "192.0.2.1:443", 1)};
    EXPECT_EQ(node.explain("tcp", "192.0.2.1:443").served_by, "s4");
    node.world.sockets = {socket("s5", "192.0.2.1:443", 1)};
    EXPECT_EQ(node.explain("tcp", "192.0.2.1:443").outcome, Outcome::unavailable);
    EXPECT_EQ(node.explain("tcp", "192.0.2.1:443").effect, Effect::reject);
}

// ---- held against the kernel's -----------------------------------------------------------------

TEST(Agree, OnlyWhenTheKernelDoesWhatTheModelSays) {
    Node node({"tcp 192.0.2.0/24 443 -> cdn", "tcp 192.0.2.0/24 22 -> (pass)",
               "tcp 192.0.2.0/24 25 -> (reject)"});
    node.world.sockets = {socket("cdn", "192.0.2.1:443", 1),
                          socket("cdn", "192.0.2.1:443", 2, false)};
    struct Case {
        const char* to;
        KernelAnswer kernel;
        bool agree;
    };
    const KernelAnswer drop = dropped(), pass, first = chose(1), dead = chose(2),
                       stranger = chose(9);
    const Case cases[] = {{"192.0.2.1:443", first, true},     {"192.0.2.1:443", dead, false},
                          {"192.0.2.1:443", stranger, false}, {"192.0.2.1:443", pass, false},
                          {"192.0.2.1:443", drop, false},     {"192.0.2.1:22", pass, true},
                          {"192.0.2.1:22", drop, false},      {"192.0.2.1:22", first, false},
                          {"192.0.2.1:25", drop, true},       {"192.0.2.1:25", pass, false},
                          {"192.0.2.1:25", first, false},     {"198.51.100.1:1", pass, true},
                          {"198.51.100.1:1", first, false}};
    for (const auto& [to, kernel, expected] : cases)
        EXPECT_EQ(agree(node.explain("tcp", to), kernel), expected)
            << to << " drop " << kernel.drop << " cookie " << kernel.cookie;
}

// ---- the document ------------------------------------------------------------------------------

Json document(const Node& node, const Question& question, const KernelAnswer& kernel,
              const std::vector<Warning>& warnings = {}) {
    return explain_json(node.world, question, answer(node.world, question), kernel, warnings);
}

TEST(ExplainJson, OfAnAssignedLookupHasEveryFieldThatIsPromised) {
    Node node({"tcp 0.0.0.0/0 any -> world", "tcp 192.0.2.0/24 any -> spectrum",
               "tcp 192.0.2.200 80 -> cdn-http", "tcp 192.0.2.200 443 -> cdn",
               "tcp 192.0.2.200 any -> wide"});
    node.world.policies["cdn"] = fallback("spectrum");
    node.world.sockets = {socket("cdn", "0.0.0.0:443", 0x2a),
                          socket("cdn", "[2001:db8::1]:443", 0x2b)};
    Question question = asks("tcp", "192.0.2.200:443");
    question.from = endpoint("198.51.100.7:5000");
    KernelAnswer kernel = chose(0x2a);
    kernel.program_id = 17;
    const Json json = document(node, question, kernel, {{"code", "message", ""}});
    EXPECT_EQ(json["protocol"], "tcp");
    EXPECT_EQ(json["address"], "192.0.2.200");
    EXPECT_EQ(json["port"], 443);
    EXPECT_EQ(json["from"], "198.51.100.7:5000");
    EXPECT_EQ(json["verdict"], "assign");
    EXPECT_EQ(json["effect"], "assign");
    EXPECT_EQ(json["service"], "cdn");
    EXPECT_EQ(json["served_by"], "cdn");
    EXPECT_EQ(json["binding"]["port"], "443");
    EXPECT_EQ(json["socket"]["cookie"], "2a");
    EXPECT_EQ(json["socket"]["local"], "0.0.0.0:443");
    EXPECT_EQ(json["socket"]["pid"], 812);
    EXPECT_EQ(json["socket"]["command"], "nginx");
    EXPECT_THAT(json["sockets"], SizeIs(1));
    EXPECT_THAT(json["other_sockets"], SizeIs(1)) << "of the service, but never for IPv4";
    EXPECT_EQ(json["generation"], 7);
    EXPECT_EQ(json["since"], 1700000000);
    EXPECT_EQ(json["warnings"][0]["code"], "code");
    EXPECT_EQ(json["unavailable"], "fallback spectrum");
    EXPECT_EQ(json["kernel"]["program_id"], 17);
    EXPECT_EQ(json["kernel"]["cookie"], "2a");
    EXPECT_EQ(json["agree"], true);
    std::vector<std::string> reasons;
    for (const Json& one : json["considered"])
        reasons.push_back(target_word(target(one["service"].get<std::string>())) + ": " +
                          one["why"].get<std::string>() + (one["wins"] == true ? "!" : ""));
    EXPECT_THAT(reasons, ElementsAre("cdn: longest prefix, narrowest port!", "cdn-http: other port",
                                     "wide: wider port range", "spectrum: shorter prefix",
                                     "world: shorter prefix"));
}

TEST(ExplainJson, OfALookupThatNothingMatchesIsFullOfNulls) {
    const Node node({});
    const Json json = document(node, asks("udp", "[2001:db8::1]:53"), {});
    EXPECT_EQ(json["verdict"], "pass");
    EXPECT_EQ(json["effect"], "pass");
    for (const auto* key : {"from", "service", "served_by", "binding", "socket", "unavailable"})
        EXPECT_TRUE(json[key].is_null()) << key;
    for (const auto* key : {"considered", "sockets", "other_sockets", "warnings"})
        EXPECT_EQ(json[key], Json::array()) << key;
    EXPECT_EQ(json["agree"], true);
    EXPECT_TRUE(json["kernel"]["cookie"].is_null());
}

TEST(ExplainJson, OfARejectOrAnUnavailableServiceTellsTheTwoApart) {
    const Node node({"tcp 192.0.2.1 25 -> (reject)", "tcp 192.0.2.1 443 -> cdn"});
    const Json rejected = document(node, asks("tcp", "192.0.2.1:25"), dropped());
    EXPECT_EQ(rejected["verdict"], "reject");
    EXPECT_EQ(rejected["effect"], reject);
    EXPECT_EQ(rejected["binding"]["reject"], true);
    EXPECT_TRUE(rejected["service"].is_null());
    const Json unavailable = document(node, asks("tcp", "192.0.2.1:443"), dropped());
    EXPECT_EQ(unavailable["verdict"], "unavailable");
    EXPECT_EQ(unavailable["effect"], reject);
    EXPECT_EQ(unavailable["service"], "cdn");
    EXPECT_EQ(unavailable["unavailable"], reject);
    EXPECT_EQ(unavailable["model"]["verdict"], "unavailable");
}

TEST(ExplainJson, TheEffectIsTheKernelsOwnAndADifferenceIsSaid) {
    Node node({"tcp 192.0.2.1 443 -> cdn"});
    node.world.sockets = {socket("cdn", "192.0.2.1:443", 1)};
    Json json = document(node, asks("tcp", "192.0.2.1:443"), dropped());
    EXPECT_EQ(json["effect"], "reject");
    EXPECT_EQ(json["model"]["effect"], "assign");
    EXPECT_EQ(json["agree"], false);
    json = document(node, asks("tcp", "192.0.2.1:443"), chose(0x99));
    EXPECT_EQ(json["socket"]["cookie"], "99");
    EXPECT_TRUE(json["socket"]["local"].is_null()) << "a socket that nobody registered";
    EXPECT_EQ(json["agree"], false);
}

}  // namespace
}  // namespace sluice

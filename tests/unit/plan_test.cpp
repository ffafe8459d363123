// SPDX-License-Identifier: Apache-2.0
// Plans: what a change adds, moves and removes, and whose traffic that is.
#include "core/plan.h"

#include "words.h"

namespace sluice {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

// A generation without runtime bindings: what the config says is what answers.
Generation generation(std::initializer_list<std::string_view> texts) {
    Generation made;
    made.number = 7;
    made.config = table(texts);
    return made;
}

Plan plan(const Generation& from, const Generation& to) {
    return make_plan(from, must(overlay(from.config, from.runtime)).effective, to,
                     must(overlay(to.config, to.runtime)).effective);
}

// "tcp 192.0.2.0/24 80 -> cdn | other"
std::vector<std::string> texts(const std::vector<Change>& changes) {
    std::vector<std::string> list;
    for (const Change& change : changes)
        list.push_back(to_string(*change.binding) + " | " + to_string(change.other));
    return list;
}

TEST(Plan, BetweenEqualGenerationsChangesNothing) {
    const Generation same = generation({"tcp 192.0.2.0/24 80 -> cdn", "tcp ::/0 any -> (reject)"});
    const Plan made = plan(same, same);
    EXPECT_FALSE(made.changes());
    EXPECT_EQ(made.base, 7u);
    EXPECT_THAT(made.added, IsEmpty());
    EXPECT_THAT(made.moved, IsEmpty());
    EXPECT_THAT(made.removed, IsEmpty());
    EXPECT_FALSE(plan(Generation(), Generation()).changes());
}

TEST(Plan, SaysWhomAnAddedBindingTakesItsTrafficFrom) {
    const Plan made = plan(
        generation({"tcp 192.0.2.0/24 any -> spectrum", "tcp 198.51.100.0/24 any -> (reject)"}),
        generation({"tcp 192.0.2.0/24 any -> spectrum", "tcp 192.0.2.7 443 -> cdn",
                    "tcp 198.51.100.0/24 any -> (reject)", "tcp 198.51.100.1 80 -> www",
                    "udp 192.0.2.7 443 -> cdn"}));
    EXPECT_THAT(texts(made.added), ElementsAre("tcp 192.0.2.7/32 443 -> cdn | spectrum",
                                               "tcp 198.51.100.1/32 80 -> www | (reject)",
                                               "udp 192.0.2.7/32 443 -> cdn | (pass)"));
    EXPECT_THAT(made.moved, IsEmpty());
    EXPECT_THAT(made.removed, IsEmpty());
    EXPECT_TRUE(made.changes());
}

TEST(Plan, SaysToWhomTheTrafficOfARemovedBindingFalls) {
    const Plan made =
        plan(generation({"tcp 192.0.2.0/24 any -> spectrum", "tcp 192.0.2.0/24 80-90 -> range",
                         "tcp 192.0.2.0/24 80 -> cdn", "tcp 203.0.113.1 80 -> alone"}),
             generation({"tcp 192.0.2.0/24 any -> spectrum", "tcp 192.0.2.0/24 80-90 -> range"}));
    EXPECT_THAT(texts(made.removed), ElementsAre("tcp 192.0.2.0/24 80 -> cdn | range",
                                                 "tcp 203.0.113.1/32 80 -> alone | (pass)"));
}

TEST(Plan, OfBothGoingFallsThroughToWhatIsLeft) {
    const Plan made = plan(generation({"tcp 192.0.2.0/24 any -> net", "tcp 192.0.2.7 any -> host"}),
                           generation({}));
    EXPECT_THAT(texts(made.removed), ElementsAre("tcp 192.0.2.0/24 any -> net | (pass)",
                                                 "tcp 192.0.2.7/32 any -> host | (pass)"))
        << "not to a binding that goes as well";
}

TEST(Plan, SaysWhoHadTheTrafficOfAMovedBinding) {
    const Plan made =
        plan(generation({"tcp 192.0.2.0/24 80 -> a", "tcp 192.0.2.0/24 81 -> (pass)"}),
             generation({"tcp 192.0.2.0/24 80 -> b", "tcp 192.0.2.0/24 81 -> (reject)"}));
    EXPECT_THAT(texts(made.moved), ElementsAre("tcp 192.0.2.0/24 80 -> b | a",
                                               "tcp 192.0.2.0/24 81 -> (reject) | (pass)"));
    EXPECT_THAT(made.added, IsEmpty());
    EXPECT_THAT(made.removed, IsEmpty()) << "a move is no removal";
}

TEST(Plan, AnotherPlaceInTheFilesIsNoChange) {
    Generation from = generation({}), to = generation({});
    from.config = must(Bindings::make({binding_at("tcp 192.0.2.0/24 80 -> a", "a.yaml", 1)}));
    to.config = must(Bindings::make({binding_at("tcp 192.0.2.0/24 80 -> a", "b.yaml", 2)}));
    EXPECT_FALSE(plan(from, to).changes());
}

TEST(Plan, ListsServicesAddedChangedAndRemovedWithTheirFields) {
    Generation from, to;
    from.services["gone"] = {};
    from.services["same"].description = "same";
    to.services["same"].description = "same";
    to.services["new"] = {};
    from.services["cdn"].registration.users = {"nginx"};
    ServiceConfig& cdn = to.services["cdn"];
    cdn.description = "TLS";
    cdn.unavailable = {Unavailable::Kind::fallback, "new"};
    cdn.registration = {{"nginx", "www"}, {"edge"}, {"web@*.service"}};
    cdn.mixed_ports = true;
    cdn.sockets = {{"nginx.service", {{Protocol::tcp, address("::"), 443}}}};
    const Plan made = plan(from, to);
    ASSERT_THAT(made.services, SizeIs(3));
    EXPECT_EQ(made.services[0].name, "cdn");
    EXPECT_EQ(made.services[0].kind, ServiceChange::Kind::changed);
    std::vector<std::string> fields;
    for (const auto& field : made.services[0].fields)
        fields.push_back(field.key + ": " + field.from + " -> " + field.to);
    EXPECT_THAT(
        fields,
        ElementsAre("description:  -> TLS", "unavailable: reject -> fallback new",
                    "register.users: [nginx] -> [nginx, www]", "register.groups: [] -> [edge]",
                    "register.units: [] -> [web@*.service]", "mixed_ports: false -> true",
                    "sockets: [] -> [nginx.service: tcp :: 443]"));
    EXPECT_EQ(made.services[1].name, "new");
    EXPECT_EQ(made.services[1].kind, ServiceChange::Kind::added);
    EXPECT_EQ(made.services[2].name, "gone");
    EXPECT_EQ(made.services[2].kind, ServiceChange::Kind::removed);
    EXPECT_TRUE(made.changes());
}

TEST(Plan, SeesThatOnlyAdminsOrGuardsChange) {
    Generation from = generation({"tcp 192.0.2.0/24 80 -> a"}), to = from;
    to.admins.users = {"ann"};
    EXPECT_TRUE(plan(from, to).changes());
    to = from;
    to.guards.allow_empty = true;
    EXPECT_TRUE(plan(from, to).changes());
    EXPECT_THAT(plan(from, to).added, IsEmpty());
}

Generation with_runtime(std::initializer_list<std::string_view> config,
                        std::initializer_list<std::string_view> runtime) {
    Generation made = generation(config);
    made.runtime = table(runtime, Owner::runtime);
    return made;
}

TEST(Plan, SeesThatTheConfigTakesARuntimeBindingOver) {
    const Plan made = plan(with_runtime({}, {"tcp 192.0.2.0/24 80 -> a"}),
                           with_runtime({"tcp 192.0.2.0/24 80 -> a"}, {}));
    EXPECT_TRUE(made.changes());
    EXPECT_THAT(made.added, IsEmpty());
    EXPECT_THAT(made.moved, IsEmpty());
    EXPECT_THAT(made.removed, IsEmpty());
}

TEST(Plan, SeesWhatWaitsBehindARuntimeBindingComeGoAndChange) {
    const Generation alone = with_runtime({}, {"tcp 192.0.2.0/24 80 -> a"});
    const Generation waiting =
        with_runtime({"tcp 192.0.2.0/24 80 -> b"}, {"tcp 192.0.2.0/24 80 -> a"});
    const Generation other =
        with_runtime({"tcp 192.0.2.0/24 80 -> c"}, {"tcp 192.0.2.0/24 80 -> a"});
    EXPECT_TRUE(plan(alone, waiting).changes());
    EXPECT_TRUE(plan(waiting, alone).changes());
    EXPECT_TRUE(plan(waiting, other).changes()) << "after an unbind it is what answers";
    EXPECT_FALSE(plan(waiting, waiting).changes());
    EXPECT_THAT(plan(waiting, other).moved, IsEmpty()) << "and moves nobody's traffic now";
}

TEST(Plan, ItsChangesOutliveTheGenerationsThatItWasMadeFrom) {
    Plan made;
    {
        const Generation from = generation({"tcp 192.0.2.1 80 -> a", "tcp 192.0.2.2 80 -> a"});
        const Generation to = generation({"tcp 192.0.2.2 80 -> b", "tcp 192.0.2.3 80 -> b"});
        made = plan(from, to);
    }
    EXPECT_THAT(texts(made.added), ElementsAre("tcp 192.0.2.3/32 80 -> b | (pass)"));
    EXPECT_THAT(texts(made.moved), ElementsAre("tcp 192.0.2.2/32 80 -> b | a"));
    EXPECT_THAT(texts(made.removed), ElementsAre("tcp 192.0.2.1/32 80 -> a | (pass)"));
}

}  // namespace
}  // namespace sluice

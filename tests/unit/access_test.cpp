// SPDX-License-Identifier: Apache-2.0
// Who may do what, by the kernel's word about the peer.
#include "core/access.h"

#include "words.h"

namespace sluice {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

Peer peer(std::uint32_t uid, const std::string& user, std::vector<std::string> groups = {},
          const std::string& unit = "") {
    return {.uid = uid,
            .gid = 100,
            .pid = 812,
            .user = user,
            .gids = {100},
            .groups = std::move(groups),
            .unit = unit};
}

AccessRules rules() {
    AccessRules made;
    made.admins = {{"ann", "1007"}, {"edge-oncall", "500"}};
    made.services["cdn"].registration = {
        {"nginx", "1042"}, {"edge"}, {"nginx.service", "web@*.service"}};
    made.services["dns"].registration.users = {"bind"};
    made.services["closed"] = {};
    return made;
}

// What a peer may do, as "read change register:cdn …".
std::string may(const Peer& who) {
    std::string list;
    const auto add = [&](const std::string& word, Action action, std::string_view service) {
        if (authorize(rules(), who, action, service)) list += (list.empty() ? "" : " ") + word;
    };
    add("read", Action::read, "");
    add("change", Action::change, "");
    for (const char* service : {"cdn", "dns", "closed", "unknown"})
        add(std::string("register:") + service, Action::register_, service);
    return list;
}

constexpr const char* everything =
    "read change register:cdn register:dns register:closed register:unknown";

TEST(Access, IsWhatTheRulesSayOfEachPeer) {
    struct Case {
        const char* why;
        Peer who;
        const char* may;
    };
    const Case cases[] = {
        {"root", peer(0, "root"), everything},
        {"root without a name", peer(0, ""), everything},
        {"an admin by user", peer(1, "ann"), everything},
        {"an admin by uid", peer(1007, ""), everything},
        {"an admin by group", peer(1, "bob", {"users", "edge-oncall"}), everything},
        {"the readers' group", peer(1, "bob", {"users", "sluice"}), "read"},
        {"a user called sluice is not in the group", peer(1, "sluice"), ""},
        {"a service's user", peer(1, "nginx"), "register:cdn"},
        {"a service's user by uid", peer(1042, "somebody"), "register:cdn"},
        {"another service's user", peer(1, "bind"), "register:dns"},
        {"a service's supplementary group", peer(1, "bob", {"users", "edge"}), "register:cdn"},
        {"a service's unit", peer(1, "bob", {}, "nginx.service"), "register:cdn"},
        {"an instance of its template", peer(1, "bob", {}, "web@7.service"), "register:cdn"},
        {"the template's start alone", peer(1, "bob", {}, "web@7.scope"), ""},
        {"a unit whose name contains the rule's", peer(1, "bob", {}, "my-nginx.service"), ""},
        {"a user called as the unit", peer(1, "nginx.service"), ""},
        {"a group called as the user", peer(1, "bob", {"nginx"}), ""},
        {"a user called as the group", peer(1, "edge"), ""},
        {"an unknown user with an empty name", peer(99, ""), ""},
        {"another uid", peer(1043, "x"), ""},
        {"nobody", peer(65534, "nobody", {"nogroup"}), ""},
    };
    for (const auto& [why, who, expected] : cases) EXPECT_EQ(may(who), expected) << why;
}

TEST(Access, NumbersNameGroupsToo) {
    Peer who = peer(1, "bob");
    who.gids = {100, 500};
    EXPECT_EQ(may(who), everything);
}

TEST(Access, DescriptorsAreTakenFromWhomSomeRuleNames) {
    EXPECT_TRUE(may_pass_descriptors(rules(), peer(0, "root")));
    EXPECT_TRUE(may_pass_descriptors(rules(), peer(1, "ann")));
    EXPECT_TRUE(may_pass_descriptors(rules(), peer(1, "bind")));
    EXPECT_TRUE(may_pass_descriptors(rules(), peer(1, "bob", {}, "web@1.service")));
    EXPECT_TRUE(may_pass_descriptors(rules(), peer(1, "bob", {"sluice"})))
        << "the config that a plan is about travels in one";
    EXPECT_FALSE(may_pass_descriptors(rules(), peer(1, "bob")));
    EXPECT_FALSE(may_pass_descriptors({}, peer(1, "bob")));
}

TEST(Access, ARuleWithAnEmptyUnitMatchesNobodyWithoutAUnit) {
    AccessRules all;
    all.services["cdn"].registration.units = {"*"};
    EXPECT_FALSE(authorize(all, peer(1, "bob"), Action::register_, "cdn"));
    EXPECT_TRUE(authorize(all, peer(1, "bob", {}, "x.service"), Action::register_, "cdn"));
}

TEST(Access, RefusalsSayWhoWhatAndWhoMay) {
    const auto read = authorize(rules(), peer(33, "www-data"), Action::read, "");
    ASSERT_FALSE(read);
    EXPECT_EQ(read.error().failure(), Failure::refused);
    EXPECT_THAT(why(read), AllOf(HasSubstr("www-data (uid 33)"), HasSubstr("may not read")));
    EXPECT_THAT(hint(read), HasSubstr("group sluice"));
    const auto registering =
        authorize(rules(), peer(33, "", {}, "x.service"), Action::register_, "cdn");
    EXPECT_THAT(why(registering),
                AllOf(HasSubstr("uid 33"), HasSubstr("x.service"), HasSubstr("'cdn'")));
    EXPECT_THAT(hint(registering), HasSubstr("register:"));
    const auto change = authorize(rules(), peer(33, "www-data"), Action::change, "");
    EXPECT_THAT(why(change), HasSubstr("may not change"));
    EXPECT_THAT(hint(change), HasSubstr("admins:"));
}

TEST(OutermostUnit, IsTheFirstUnitOfTheCgroupsPath) {
    const std::pair<const char*, const char*> cases[] = {
        {"0::/system.slice/nginx.service", "nginx.service"},
        {"0::/system.slice/nginx.service/worker", "nginx.service"},
        {"0::/system.slice/system-web.slice/web@7.service", "web@7.service"},
        {"0::/system.slice/docker.service/nginx.service", "docker.service"},
        {"0::/user.slice/user-1000.slice/user@1000.service/app.slice/nginx.service",
         "user@1000.service"},
        {"0::/user.slice/user-1000.slice/session-3.scope", "session-3.scope"},
        {"0::/machine.slice/machine-x.scope/payload/system.slice/nginx.service", "machine-x.scope"},
        {"0::/init.scope", "init.scope"},
        {"1:name=systemd:/system.slice/nginx.service", "nginx.service"},
        {"0::/", ""},
        {"0::/user.slice", ""},
        {"0::/nginx.services/x", ""},
        {"", ""},
    };
    for (const auto& [path, unit] : cases) EXPECT_EQ(outermost_unit(path), unit) << path;
}

}  // namespace
}  // namespace sluice

// SPDX-License-Identifier: Apache-2.0
#include "core/unit_name.h"

#include <gtest/gtest.h>

namespace sluice {
namespace {

TEST(UnitName, IsAServiceOrAScope) {
    for (const char* name : {"nginx.service", "web@1.service", "web@a-b\\x2dc.service",
                             "session-3.scope", "a.b.service", "cpu.service"})
        EXPECT_EQ(parse_unit_name(name), name) << name;
}

TEST(UnitName, WithoutItsTypeIsRefusedWithTheNameThatIsMeant) {
    const auto refused = parse_unit_name("nginx");
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().failure(), Failure::invalid);
    EXPECT_EQ(refused.error().hint(), "did you mean 'nginx.service'?");
}

TEST(UnitName, ATemplateIsRefusedSinceOnlyInstancesRun) {
    const auto refused = parse_unit_name("web@.service");
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().hint(), "name the instance: web@1.service");
}

TEST(UnitName, ASocketUnitHasNoProcesses) {
    const auto refused = parse_unit_name("www.socket");
    ASSERT_FALSE(refused);
    EXPECT_NE(refused.error().hint().find("sluicectl register"), std::string::npos);
}

TEST(UnitName, NeverBecomesAPath) {
    for (const char* name :
         {"", "../nginx.service", "a/b.service", "/nginx.service", "..", "nginx*.service",
          "a b.service", ".service", "@.service", "@a.service", "nginx.service\n", "edge.slice"})
        EXPECT_FALSE(parse_unit_name(name)) << name;
    EXPECT_FALSE(parse_unit_name(std::string(250, 'a') + ".service"));
}

TEST(UnitName, ItsCgroupIsItsNameOrTheEscapedName) {
    EXPECT_TRUE(is_cgroup_of_unit("nginx.service", "nginx.service"));
    EXPECT_TRUE(is_cgroup_of_unit("_cpu.service", "cpu.service"));
    EXPECT_FALSE(is_cgroup_of_unit("xnginx.service", "nginx.service"));
    EXPECT_FALSE(is_cgroup_of_unit("nginx.service.d", "nginx.service"));
    EXPECT_FALSE(is_cgroup_of_unit("_", "nginx.service"));
}

}  // namespace
}  // namespace sluice

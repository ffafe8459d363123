// SPDX-License-Identifier: Apache-2.0
// `sluicectl check`, from what the config's parser found.
#include <gtest/gtest.h>

#include "fakes.h"

namespace sluice::cli {
namespace {

Problem typo() {
    return {.place = {"conf.d/cdn.yaml", 9, 21},
            .message = "unknown key 'prefx' in a binding",
            .hint = "did you mean 'prefix'?",
            .line = "  - {protocol: tcp, prefx: 192.0.2.200/32, port: 443}",
            .width = 5};
}

TEST(Check, PointsAtWhatIsWrong) {
    Sluicectl sluicectl;
    sluicectl.checked.errors = {typo()};
    const Outcome outcome = sluicectl({"check", "x.yaml"});
    EXPECT_EQ(sluicectl.checked_path, "x.yaml");
    EXPECT_EQ(outcome.exit, 2);
    EXPECT_EQ(outcome.out, "");
    EXPECT_EQ(outcome.err,
              R"(sluicectl: check: conf.d/cdn.yaml:9:21: unknown key 'prefx' in a binding
  9 |   - {protocol: tcp, prefx: 192.0.2.200/32, port: 443}
    |                     ^^^^^
hint: did you mean 'prefix'?
sluicectl: check: 1 error
)");
    const Json document = Json::parse(sluicectl({"check", "-o", "json"}).out);
    EXPECT_EQ(document["valid"], false);
    EXPECT_EQ(document["errors"][0]["column"], 21);
    EXPECT_EQ(document["error"]["exit"], 2);
}

TEST(Check, OfAValidConfigSaysHowMuchIsInItAndWarns) {
    Sluicectl sluicectl;
    sluicectl.checked.config.emplace();
    sluicectl.checked.config->services["cdn"] = {};
    Problem warning;
    warning.place = {"a.yaml", 3, 1};
    warning.message = "unknown user 'ngnx'";
    sluicectl.checked.warnings = {warning};
    const Outcome outcome = sluicectl({"check"});
    EXPECT_EQ(outcome.exit, 0);
    EXPECT_EQ(sluicectl.checked_path, "/etc/sluice/sluice.yaml") << "the instance's config";
    EXPECT_EQ(outcome.out, "/etc/sluice/sluice.yaml: valid, 1 service, 0 bindings\n");
    EXPECT_EQ(outcome.err, "warning: a.yaml:3:1: unknown user 'ngnx'\n");
    const Json document = Json::parse(sluicectl({"check", "-o", "json"}).out);
    EXPECT_EQ(document["valid"], true);
    EXPECT_EQ(document["warnings"].size(), 1u);
}

}  // namespace
}  // namespace sluice::cli

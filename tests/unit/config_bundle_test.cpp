// SPDX-License-Identifier: Apache-2.0
// A config that is handed over says what it said to whoever read it.
#include "core/config_bundle.h"

#include "memory_files.h"
#include "words.h"

namespace sluice {
namespace {

using ::testing::HasSubstr;

constexpr const char* text = R"(version: 1
include: [conf.d/*.yaml, other.d/*.yaml]
services: {www: {}}
bindings:
  - {service: www, protocol: tcp, prefixes_from: lists/all.txt, port: 80}
)";

MemoryFiles files() {
    return MemoryFiles({{main_config, text},
                        {"conf.d/a.yaml", "services: {a: {bindings: [tcp 192.0.2.1 81]}}\n"},
                        {"lists/all.txt", "192.0.2.0/24\n2001:db8::/32\n"}});
}

TEST(ConfigBundle, ReadsTheSameAsTheFilesDid) {
    MemoryFiles real = files();
    RecordedFiles recorded(real);
    const CheckedConfig before = check_config(recorded, main_config);
    ASSERT_TRUE(before.valid());
    BundledFiles bundled(recorded.bundle());
    const CheckedConfig after = check_config(bundled, main_config);
    ASSERT_TRUE(after.valid());
    EXPECT_EQ(texts_of(after.config->bindings), texts_of(before.config->bindings));
    EXPECT_EQ(after.config->services, before.config->services);
    EXPECT_EQ(after.content, before.content);
    EXPECT_EQ(after.config->files, before.config->files);
}

TEST(ConfigBundle, WithoutAFileThatTheConfigNamesIsInvalid) {
    MemoryFiles real = files();
    RecordedFiles recorded(real);
    (void)check_config(recorded, main_config);
    ConfigBundle bundle = recorded.bundle();
    bundle.files.erase("lists/all.txt");
    BundledFiles bundled(std::move(bundle));
    const CheckedConfig checked = check_config(bundled, main_config);
    EXPECT_FALSE(checked.valid());
    EXPECT_THAT(errors_of(checked), HasSubstr("was not handed over"));
}

TEST(ConfigContent, IsOfBytesAndNamesButNotOfTheMainFilesPath) {
    const auto content = [](const std::string& path, const std::string& main,
                            const std::string& list) {
        MemoryFiles memory({{path, main}, {"lists/all.txt", list}});
        return check_config(memory, path).content;
    };
    const std::uint64_t one = content("/etc/sluice.yaml", text, "192.0.2.0/24\n");
    EXPECT_EQ(content("/home/ann/x.yaml", text, "192.0.2.0/24\n"), one);
    EXPECT_NE(content("/etc/sluice.yaml", text, "192.0.3.0/24\n"), one);
    EXPECT_NE(content("/etc/sluice.yaml", std::string(text) + "\n", "192.0.2.0/24\n"), one);
    EXPECT_NE(content("/etc/sluice.yaml", "version: 2\n", "192.0.2.0/24\n"), 0u)
        << "of an invalid one too";
}

}  // namespace
}  // namespace sluice

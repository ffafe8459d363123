// SPDX-License-Identifier: Apache-2.0
// What the config's parser accepts and makes of it; and a config printed as a file again.
#include "core/config.h"

#include <fstream>
#include <iterator>
#include <random>

#include "memory_files.h"
#include "words.h"

namespace sluice {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

Config accepted(const CheckedConfig& checked) {
    if (!checked.valid()) throw std::runtime_error(errors_of(checked));
    return *checked.config;
}
Config accepted(std::string text, std::map<std::string, std::string> others = {}) {
    return accepted(check(std::move(text), std::move(others)));
}

// The example of the documentation, with every key there is.
constexpr const char* everything = R"(version: 1
include: [conf.d/*.yaml]            # relative to this file, sorted, one level
defaults:
  unavailable: reject
admins: {groups: [edge-oncall]}

services:
  spectrum: {}
  cdn:
    description: TLS front end
    unavailable: {fallback: spectrum}
    register:
      users: [nginx]
      groups: [edge]
      units: [nginx.service, "web@*.service"]
    sockets:
      - {unit: nginx.service, listen: [tcp 0.0.0.0 443, "tcp :: 443"]}
    bindings:
      - tcp,udp 192.0.2.200 443
      - {protocol: tcp, port: 443, prefixes_from: lists/byoip.txt}
  cdn-http: {}

bindings:
  - {service: spectrum, protocol: tcp, prefix: 192.0.2.0/24, port: any}
  - {service: spectrum, protocol: tcp, prefix: [198.51.100.0/24, "2001:db8::/32"], port: 8000-8999}
  - {service: cdn-http, protocol: tcp, prefix: 192.0.2.200, port: 80}
  - {reject: true, protocol: [tcp, udp], prefix: 192.0.2.0/25, port: 80}
  - {pass: true, protocol: tcp, prefix: 192.0.2.10, port: any}

guards:
  max_removed: {percent: 20, at_least: 3}
  protected: [192.0.2.0/24]
  allow_empty: false
  unserved: refuse
  host_addresses: []
)";
const std::map<std::string, std::string> its_list = {
    {"lists/byoip.txt", "# ours\n203.0.113.0/24\n2001:db8:1::/48 # and this\n"}};

TEST(Config, TakesEveryKeyThatItsDocumentationShows) {
    const Config config = accepted(everything, its_list);
    EXPECT_THAT(config.admins.groups, ElementsAre("edge-oncall"));
    EXPECT_THAT(config.services, SizeIs(3));
    const ServiceConfig& cdn = config.services.at("cdn");
    EXPECT_EQ(cdn.description, "TLS front end");
    EXPECT_EQ(to_string(cdn.unavailable), "fallback spectrum");
    EXPECT_THAT(cdn.registration.users, ElementsAre("nginx"));
    EXPECT_THAT(cdn.registration.groups, ElementsAre("edge"));
    EXPECT_THAT(cdn.registration.units, ElementsAre("nginx.service", "web@*.service"));
    EXPECT_FALSE(cdn.mixed_ports);
    ASSERT_THAT(cdn.sockets, SizeIs(1));
    EXPECT_EQ(cdn.sockets[0].unit, "nginx.service");
    EXPECT_THAT(cdn.sockets[0].listen,
                ElementsAre(ListenTriple{Protocol::tcp, address("0.0.0.0"), 443},
                            ListenTriple{Protocol::tcp, address("::"), 443}));
    EXPECT_EQ(config.services.at("spectrum"), ServiceConfig());
    EXPECT_THAT(
        texts_of(config.bindings),
        ElementsAre("tcp 192.0.2.0/24 any -> spectrum", "tcp 192.0.2.0/25 80 -> (reject)",
                    "tcp 192.0.2.10/32 any -> (pass)", "tcp 192.0.2.200/32 80 -> cdn-http",
                    "tcp 192.0.2.200/32 443 -> cdn", "tcp 198.51.100.0/24 8000-8999 -> spectrum",
                    "tcp 203.0.113.0/24 443 -> cdn", "udp 192.0.2.0/25 80 -> (reject)",
                    "udp 192.0.2.200/32 443 -> cdn", "tcp 2001:db8::/32 8000-8999 -> spectrum",
                    "tcp 2001:db8:1::/48 443 -> cdn"));
    EXPECT_THAT(config.guards.protected_prefixes, ElementsAre(prefix("192.0.2.0/24")));
    EXPECT_THAT(config.files, ElementsAre("sluice.yaml", "lists/byoip.txt"));
}

TEST(Config, RemembersTheFileAndLineOfEachBinding) {
    const Config config = accepted(everything, its_list);
    const auto place = [&](std::string_view text) {
        const Binding* one = config.bindings.find(match(text));
        return to_string(Place{*one->file, one->line, 0});
    };
    EXPECT_EQ(place("udp 192.0.2.200 443"), "sluice.yaml:19");
    EXPECT_EQ(place("tcp 203.0.113.0/24 443"), "lists/byoip.txt:2");
    EXPECT_EQ(place("tcp 192.0.2.10 any"), "sluice.yaml:28");
    for (const Binding& one : config.bindings) EXPECT_EQ(one.owner, Owner::config);
}

TEST(Config, OfTheShippedExampleIsValidWithoutWarnings) {
    std::ifstream file(SLUICE_EXAMPLE_CONFIG);
    const std::string text((std::istreambuf_iterator<char>(file)), {});
    ASSERT_THAT(text, HasSubstr("version: 1"));
    const CheckedConfig checked = check(text);
    EXPECT_TRUE(checked.valid()) << errors_of(checked);
    EXPECT_THAT(checked.warnings, IsEmpty());
}

TEST(Config, NeedsNoMoreThanAVersionAndHasTheDefaults) {
    const Config config = accepted("version: 1");
    EXPECT_TRUE(config.bindings.empty());
    EXPECT_THAT(config.services, IsEmpty());
    EXPECT_EQ(config.admins, Admins());
    EXPECT_EQ(config.guards.max_removed_percent, 20);
    EXPECT_EQ(config.guards.max_removed_at_least, 3u);
    EXPECT_FALSE(config.guards.allow_empty);
    EXPECT_TRUE(config.guards.refuse_unserved);
    EXPECT_THAT(config.guards.protected_prefixes, IsEmpty());
    EXPECT_THAT(config.guards.host_addresses, IsEmpty());
}

TEST(Config, TakesTheGuardsAsTheyAreSaid) {
    const Guards guards = accepted(
                              "version: 1\n"
                              "admins: {users: [ann, \"1001\"]}\n"
                              "guards:\n"
                              "  max_removed: {percent: 5, at_least: 0}\n"
                              "  protected: [192.0.2.0/24, \"2001:db8::/32\"]\n"
                              "  allow_empty: true\n"
                              "  unserved: allow\n"
                              "  host_addresses: [198.51.100.7, \"2001:db8::7\"]\n")
                              .guards;
    EXPECT_EQ(guards.max_removed_percent, 5);
    EXPECT_EQ(guards.max_removed_at_least, 0u);
    EXPECT_THAT(guards.protected_prefixes,
                ElementsAre(prefix("192.0.2.0/24"), prefix("2001:db8::/32")));
    EXPECT_TRUE(guards.allow_empty);
    EXPECT_FALSE(guards.refuse_unserved);
    EXPECT_THAT(guards.host_addresses,
                ElementsAre(address("198.51.100.7"), address("2001:db8::7")));
}

TEST(Config, TakesTheSettingsOfTheDataplane) {
    const DataplaneConfig defaults{.index = true, .memory = std::uint64_t{256} << 20U};
    EXPECT_EQ(accepted("version: 1\n").dataplane, defaults);
    EXPECT_EQ(accepted("version: 1\ndataplane: {}\n").dataplane, defaults);
    const Config config = accepted("version: 1\ndataplane: {index: off, memory: 1G}\n");
    EXPECT_EQ(config.dataplane, (DataplaneConfig{false, std::uint64_t{1} << 30U}));
    EXPECT_THAT(to_yaml(config), HasSubstr("dataplane: {index: off, memory: 1G}\n"));
    EXPECT_EQ(accepted("version: 1\ndataplane: {memory: 100000}\n").dataplane.memory, 100000U);
}

TEST(Config, AServiceWithAnEmptyValueHasTheDefaults) {
    const Config config = accepted(
        "version: 1\nservices:\n  a:\n  b: {}\n  c: ~\n  d: null\n  e: {mixed_ports: true}\n");
    for (const auto* name : {"a", "b", "c", "d"})
        EXPECT_EQ(config.services.at(name), ServiceConfig()) << name;
    EXPECT_TRUE(config.services.at("e").mixed_ports);
}

TEST(Config, AppliesTheDefaultToServicesThatDoNotSayOtherwise) {
    const Config config = accepted(
        "version: 1\nservices: {a: {}, b: {unavailable: reject}, last: {}}\n"
        "defaults: {unavailable: {fallback: last}}\n");
    EXPECT_EQ(to_string(config.services.at("a").unavailable), "fallback last");
    EXPECT_EQ(to_string(config.services.at("b").unavailable), "reject");
    EXPECT_EQ(to_string(config.services.at("last").unavailable), "reject") << "not to itself";
    EXPECT_EQ(to_string(accepted("version: 1\nservices: {a: }\ndefaults: {unavailable: pass}\n")
                            .services.at("a")
                            .unavailable),
              "pass");
}

TEST(Config, AnEntryStandsForTheProductOfItsLists) {
    const Config config = accepted(
        "version: 1\nservices:\n  a:\n    bindings:\n      - tcp,udp 192.0.2.1,2001:db8::1 "
        "80,443,8000-8999\n"
        "bindings:\n"
        "  - reject: true\n    protocol: [tcp, udp]\n    prefix: [198.51.100.0/24, "
        "203.0.113.0/24]\n"
        "    port: [any, 53]\n");
    EXPECT_EQ(config.bindings.size(), 2u * 2 * 3 + 2 * 2 * 2);
    EXPECT_NE(config.bindings.find(match("udp 2001:db8::1 8000-8999")), nullptr);
    EXPECT_NE(config.bindings.find(match("udp 203.0.113.0/24 53")), nullptr);
}

TEST(Config, TakesQuotedKeysAnchorsAndBlockStyle) {
    const Config config = accepted(
        "version: 1\n"
        "\"services\": {a: &defaults {description: 'it''s', mixed_ports: true}, b: *defaults}\n"
        "'bindings':\n"
        "  - service: a\n"
        "    protocol: \"tcp\"\n"
        "    prefix: !  \"2001:db8::/32\"\n"
        "    port: \"443\"\n"
        "  - {service: b, protocol: tcp, prefix: ::/0, port: 443}\n");
    EXPECT_EQ(config.services.at("b").description, "it's");
    EXPECT_TRUE(config.services.at("b").mixed_ports);
    EXPECT_EQ(config.bindings.size(), 2u);
}

TEST(Config, TakesWindowsLineEndsAndAnExplicitDocument) {
    EXPECT_EQ(
        accepted("---\r\nversion: 1\r\nservices:\r\n  a: {bindings: [tcp 192.0.2.1 80]}\r\n...\r\n")
            .bindings.size(),
        1u);
}

TEST(Config, WarnsOfServicesThatNothingIsBoundTo) {
    const CheckedConfig checked = check(
        "version: 1\nservices:\n  used: {unavailable: {fallback: spare}}\n  spare: {}\n  idle: {}\n"
        "bindings: [{service: used, protocol: tcp, prefix: 192.0.2.1, port: 80}]\n");
    ASSERT_TRUE(checked.valid());
    ASSERT_THAT(checked.warnings, SizeIs(1)) << "a fallback is used";
    EXPECT_EQ(to_string(checked.warnings[0].place), "sluice.yaml:5:3");
    EXPECT_THAT(checked.warnings[0].message,
                HasSubstr("'idle' is defined, but nothing is bound to it"));
}

// ---- several files -----------------------------------------------------------------------------

TEST(ConfigInclude, TakesServicesAndBindingsOfFilesInTheOrderOfTheirNames) {
    const Config config = accepted(
        "version: 1\ninclude: [conf.d/*.yaml, extra.yaml]\nservices: {a: {}}\n",
        {{"conf.d/2.yaml", "bindings: [{service: b, protocol: tcp, prefix: ::1, port: 1}]\n"},
         {"conf.d/1.yaml", "services: {b: {}}\n"},
         {"conf.d/note.txt", "not included"},
         {"extra.yaml", "bindings: [{service: a, protocol: tcp, prefix: ::2, port: 1}]\n"}});
    EXPECT_THAT(config.files,
                ElementsAre("sluice.yaml", "conf.d/1.yaml", "conf.d/2.yaml", "extra.yaml"));
    EXPECT_THAT(texts_of(config.bindings), ElementsAre("tcp ::1/128 1 -> b", "tcp ::2/128 1 -> a"));
}

TEST(ConfigInclude, APatternMayMatchNothingAndAFileMayBeEmpty) {
    EXPECT_TRUE(check("version: 1\ninclude: [conf.d/*.yaml]\n").valid());
    EXPECT_TRUE(check("version: 1\ninclude: [a.yaml]\n", {{"a.yaml", "# nothing yet\n"}}).valid());
}

TEST(ConfigInclude, ReadsAFileOnceHoweverOftenItIsNamed) {
    const Config config =
        accepted("version: 1\ninclude: [a.yaml, \"a.y*ml\", a.yaml]\nservices: {}\n",
                 {{"a.yaml", "services: {a: {}}\n"}});
    EXPECT_THAT(config.files, ElementsAre("sluice.yaml", "a.yaml"));
}

TEST(PrefixFile, IsRelativeToTheFileThatNamesIt) {
    const std::string list = "prefixes_from: list.txt}]\n";
    const std::string entry = "bindings: [{pass: true, protocol: tcp, ";
    const Config config =
        accepted("version: 1\ninclude: [conf.d/a.yaml]\n" + entry + "port: 1, " + list,
                 {{"conf.d/a.yaml", entry + "port: 2, " + list},
                  {"list.txt", "192.0.2.1"},
                  {"conf.d/list.txt", "192.0.2.2\n"}});
    EXPECT_THAT(texts_of(config.bindings),
                ElementsAre("tcp 192.0.2.1/32 1 -> (pass)", "tcp 192.0.2.2/32 2 -> (pass)"));
    EXPECT_TRUE(check("version: 1\ninclude: [conf.d/a.yaml]\n",
                      {{"conf.d/a.yaml", entry + "port: 2, prefixes_from: /lists/x.txt}]\n"},
                       {"/lists/x.txt", "::1\n"}})
                    .valid())
        << "or absolute";
}

TEST(PrefixFile, IsNamedWithoutDetours) {
    const Config config = accepted(
        "version: 1\ninclude: [conf.d/a.yaml]\n",
        {{"conf.d/a.yaml",
          "bindings: [{pass: true, protocol: tcp, port: 1, prefixes_from: ../lists/x.txt}]\n"},
         {"conf.d/../lists/x.txt", "192.0.2.1\n"}});
    ASSERT_THAT(config.bindings, SizeIs(1));
    EXPECT_EQ(*config.bindings.begin()->file, "lists/x.txt");
}

TEST(PrefixFile, Of200000LinesLoads) {
    std::string list;
    for (unsigned i = 0; i < 200'000; ++i)
        list += "10." + std::to_string(i >> 16U) + "." + std::to_string(i >> 8U & 255U) + "." +
                std::to_string(i & 255U) + "/32\n";
    const Config config = accepted(
        "version: 1\nservices: {a: {}}\nbindings: [{service: a, protocol: tcp, port: any, "
        "prefixes_from: l}]\n",
        {{"l", list}});
    EXPECT_EQ(config.bindings.size(), 200'000u);
    EXPECT_EQ(config.bindings.all().back().line, 200'000);
    EXPECT_TRUE(config.bindings.all().front().file.same(config.bindings.all().back().file))
        << "shared";
}

TEST(ConfigContent, ChangesWithEveryByteOfEveryFileAndWithNothingElse) {
    const std::string main = "version: 1\ninclude: [conf.d/*.yaml]\n";
    const auto content = [&](const std::string& text,
                             std::map<std::string, std::string> others = {}) {
        return accepted(text, std::move(others)).content;
    };
    EXPECT_EQ(content(main), content(main));
    EXPECT_NE(content(main), content(main + "\n"));
    EXPECT_NE(content(main), content(main, {{"conf.d/a.yaml", ""}}));
    EXPECT_NE(content(main, {{"conf.d/a.yaml", ""}}), content(main, {{"conf.d/b.yaml", ""}}));
    EXPECT_NE(content(main, {{"conf.d/a.yaml", "#1\n"}}),
              content(main, {{"conf.d/a.yaml", "#2\n"}}));
    EXPECT_EQ(content(main), content(main, {{"other.yaml", "#\n"}}));
}

// ---- printed -----------------------------------------------------------------------------------

void expect_equal(const Config& a, const Config& b) {
    EXPECT_EQ(a.services, b.services);
    EXPECT_EQ(a.admins, b.admins);
    EXPECT_EQ(a.guards, b.guards);
    EXPECT_EQ(texts_of(a.bindings), texts_of(b.bindings));
}

TEST(ConfigYaml, IsReadBackAsTheSameConfig) {
    const std::string texts[] = {
        "version: 1\n", everything,
        "version: 1\ndefaults: {unavailable: pass}\nservices: {a: {}, b: {unavailable: reject}}\n",
        "version: 1\nadmins: {users: [\"#1\", \"a: b\", \"\\\"quoted\\\"\"], groups: "
        "[\"\\u00e4\"]}\n"
        "services: {\"1\": {description: \"{[*&!|>%@` \\\\ '\"}, \"null\": {}, \"-\": {}, "
        "\"true\": {mixed_ports: true}}\n"
        "guards: {max_removed: {percent: 100, at_least: 0}, allow_empty: true, unserved: allow,\n"
        "         protected: [::/0, 0.0.0.0/0], host_addresses: [\"2001:db8::7\"]}\n"
        "bindings: [{service: \"1\", protocol: tcp, prefix: ::1, port: any},\n"
        "           {service: \"null\", protocol: tcp, prefix: ::2, port: 1-65535},\n"
        "           {service: \"-\", protocol: [tcp, udp], prefix: [::3, 192.0.2.0/31], port: [1, "
        "2]}]\n"};
    for (const std::string& text : texts) {
        SCOPED_TRACE(text);
        const Config config = accepted(text, its_list);
        const CheckedConfig again = check(to_yaml(config));
        ASSERT_TRUE(again.valid()) << errors_of(again) << to_yaml(config);
        expect_equal(config, *again.config);
        EXPECT_EQ(to_yaml(*again.config), to_yaml(config)) << "printing is stable";
    }
}

TEST(ConfigYaml, OfRandomConfigsIsReadBackToo) {
    const unsigned seed = 31337;
    SCOPED_TRACE("seed " + std::to_string(seed));
    std::mt19937 random(seed);
    const auto pick = [&](std::initializer_list<const char*> words) {
        return std::string(words.begin()[random() % words.size()]);
    };
    for (int round = 0; round < 50; ++round) {
        std::string text = "version: 1\nservices:\n";
        for (const std::string name : {"a", "b", "c.d"}) {
            text += "  " + name +
                    ":\n    unavailable: " + pick({"reject", "pass", "{fallback: zz}"}) +
                    "\n    mixed_ports: " + pick({"true", "false"}) + "\n";
            if (random() % 2 == 0) text += "    register: {units: [\"x@*.service\"], users: [u]}\n";
            if (random() % 2 == 0)
                text += "    sockets: [{unit: u.service, listen: [udp 0.0.0.0 53]}]\n";
        }
        text += "  zz: {}\nbindings:\n";
        for (int i = 0; i < 20; ++i)
            text +=
                "  - {" +
                pick({"service: a", "service: b", "service: c.d", "reject: true", "pass: true"}) +
                ", protocol: " + pick({"tcp", "udp", "[tcp, udp]"}) + ", prefix: 10." +
                std::to_string(i) + "." + pick({"0.0/16", "0.0/24", "7.1"}) +
                ", port: " + pick({"any", "443", "8000-8999", "[1, 2-3]"}) + "}\n";
        const Config config = accepted(text);
        const CheckedConfig again = check(to_yaml(config));
        ASSERT_TRUE(again.valid()) << errors_of(again) << to_yaml(config);
        expect_equal(config, *again.config);
    }
}

}  // namespace
}  // namespace sluice

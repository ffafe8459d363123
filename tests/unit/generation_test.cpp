// SPDX-License-Identifier: Apache-2.0
// The stored form of a generation: nothing is lost in it, and nothing damaged is read.
#include "core/generation.h"

#include <array>
#include <cstdio>
#include <tuple>
#include <zlib.h>

#include "words.h"

namespace sluice {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

Generation small() {
    Generation generation;
    generation.number = 1;
    generation.cause = "start";
    generation.runtime =
        must(Bindings::make({binding("tcp 192.0.2.0/24 443 -> cdn", Owner::runtime)}));
    generation.services["cdn"] = {};
    return generation;
}

std::string stored(const Generation& generation) {
    return serialize(generation, generation.config.empty() ? TableRef{} : TableRef{17, 0xfedcba98});
}

// A generation and its table, put together again.
Generation read_back(const Generation& generation) {
    StoredGeneration read = must(parse_generation(stored(generation)));
    EXPECT_EQ(read.config.number, generation.config.empty() ? 0 : 17);
    read.generation.config = must(parse_table(serialize_table(generation.config)));
    return std::move(read.generation);
}

Generation full() {
    Generation generation;
    generation.number = 18'000'000'000'000'000'000ULL;
    generation.base = 41;
    generation.restores = 40;
    generation.added = 1;
    generation.moved = 2;
    generation.removed = 3;
    generation.services_changed = 4;
    generation.pending = {41, 12'345, "0b7c4f8e-boot"};
    generation.other_file = true;
    generation.set_aside = {{0xffffffffffffffff, "generation 43 was \"rolled back\""}, {1, ""}};
    generation.time = 1'700'000'000;
    generation.owner = Owner::runtime;
    generation.cause = "bind";
    generation.note = "a \"note\"\twith\n€ and \\";
    generation.by = {1001, 1000, 4242, "sluicectl"};
    ServiceConfig cdn;
    cdn.description = "TLS front end";
    cdn.unavailable = {Unavailable::Kind::fallback, "spectrum"};
    cdn.registration = {{"nginx"}, {"edge", "ops"}, {"nginx.service", "web@*.service"}};
    cdn.mixed_ports = true;
    cdn.sockets = {
        {"nginx.service",
         {{Protocol::tcp, address("0.0.0.0"), 443}, {Protocol::udp, address("::"), 65535}}}};
    generation.services["cdn"] = cdn;
    generation.services["spectrum"].unavailable.kind = Unavailable::Kind::pass;
    generation.admins = {{"ann"}, {"edge-oncall"}};
    generation.dataplane = {.index = false, .memory = 12345};
    generation.guards = {.max_removed_percent = 5,
                         .max_removed_at_least = 7,
                         .protected_prefixes = {prefix("192.0.2.0/24"), prefix("2001:db8::/32")},
                         .allow_empty = true,
                         .refuse_unserved = false,
                         .host_addresses = {address("198.51.100.7")}};
    Binding one = binding_at("tcp 192.0.2.0/24 443 -> cdn", "conf.d/\tc\"dn.yaml", 9);
    one.since = 1'600'000'000;
    generation.config = must(Bindings::make({one, binding("udp 2001:db8::/32 any -> (reject)"),
                                             binding("tcp 192.0.2.0/24 8000-8999 -> (pass)")}));
    Binding noted = binding("tcp 192.0.2.0/24 443 -> spectrum", Owner::runtime);
    noted.note = SharedText("for ann\nuntil\tmonday €");
    generation.runtime = must(Bindings::make({noted}));
    Binding folded = binding("udp 2001:db8::/32 any -> (reject)", Owner::runtime);
    folded.since = 1'500'000'000;
    folded.note = SharedText("once\truntime");
    generation.folded = {{folded, 39}};
    generation.config_path = "/etc/sluice/sluice.yaml";
    generation.config_files = 3;
    generation.config_content = 0xfedcba9876543210;
    return generation;
}

std::string text_or_none(const SharedText& text) { return text == nullptr ? "(none)" : *text; }

void expect_equal(const Bindings& a, const Bindings& b) {
    ASSERT_EQ(a.size(), b.size());
    for (std::size_t i = 0; i < a.size(); ++i) {
        const Binding &x = a.all()[i], &y = b.all()[i];
        EXPECT_TRUE(x.same_meaning(y)) << to_string(x) << " " << to_string(y);
        EXPECT_EQ(x.line, y.line);
        EXPECT_EQ(x.since, y.since);
        EXPECT_EQ(text_or_none(x.file), text_or_none(y.file));
        EXPECT_EQ(text_or_none(x.note), text_or_none(y.note));
    }
}

void expect_equal(const Generation& a, const Generation& b) {
    EXPECT_EQ(a.number, b.number);
    EXPECT_EQ(a.base, b.base);
    EXPECT_EQ(a.restores, b.restores);
    EXPECT_EQ(std::tie(a.added, a.moved, a.removed, a.services_changed),
              std::tie(b.added, b.moved, b.removed, b.services_changed));
    EXPECT_EQ(a.pending, b.pending);
    EXPECT_EQ(a.other_file, b.other_file);
    EXPECT_EQ(a.set_aside, b.set_aside);
    ASSERT_EQ(a.folded.size(), b.folded.size());
    for (std::size_t i = 0; i < a.folded.size(); ++i) {
        EXPECT_EQ(a.folded[i].by, b.folded[i].by);
        expect_equal(must(Bindings::make({a.folded[i].binding})),
                     must(Bindings::make({b.folded[i].binding})));
    }
    EXPECT_EQ(a.time, b.time);
    EXPECT_EQ(a.owner, b.owner);
    EXPECT_EQ(a.cause, b.cause);
    EXPECT_EQ(a.note, b.note);
    EXPECT_EQ(a.by, b.by);
    EXPECT_EQ(a.services, b.services);
    EXPECT_EQ(a.admins, b.admins);
    EXPECT_EQ(a.guards, b.guards);
    EXPECT_EQ(a.dataplane, b.dataplane);
    EXPECT_EQ(a.config_path, b.config_path);
    EXPECT_EQ(a.config_files, b.config_files);
    EXPECT_EQ(a.config_content, b.config_content);
    expect_equal(a.config, b.config);
    expect_equal(a.runtime, b.runtime);
}

TEST(Generation, IsReadBackAsItWasStored) {
    for (const Generation& generation : {Generation(), small(), full()})
        expect_equal(read_back(generation), generation);
}

TEST(Generation, IsStoredTheSameWayEveryTime) {
    const std::string text = stored(full());
    const StoredGeneration read = must(parse_generation(text));
    EXPECT_EQ(serialize(read.generation, read.config), text);
    EXPECT_THAT(text, StartsWith("sluice-generation 2 "));
    const std::string table = serialize_table(full().config);
    EXPECT_EQ(serialize_table(must(parse_table(table))), table);
    EXPECT_THAT(table, StartsWith("sluice-table 2 "));
}

TEST(Generation, SharesTheTextsThatManyBindingsHave) {
    std::vector<Binding> list;
    for (int port = 1; port < 100; ++port) {
        list.push_back(binding_at("tcp 192.0.2.0/24 any -> cdn", "a.yaml", port));
        list.back().match.ports = Ports::one(static_cast<std::uint16_t>(port));
    }
    const Bindings read = must(parse_table(serialize_table(must(Bindings::make(std::move(list))))));
    EXPECT_TRUE(read.all().front().file.same(read.all().back().file));
    EXPECT_TRUE(read.all().front().target.name.same(read.all().back().target.name));
}

TEST(Generation, KeepsBytesThatAreNoUtf8FromBreakingTheFile) {
    Generation generation = small();
    generation.note = "\xff";
    generation.by.command = "\xc3";
    EXPECT_TRUE(parse_generation(stored(generation)));
}

TEST(Generation, CutShortAnywhereIsRefused) {
    const std::string text = stored(small());
    for (std::size_t size = 0; size < text.size(); ++size) {
        const auto read = parse_generation(std::string_view(text).substr(0, size));
        ASSERT_FALSE(read) << size << " of " << text.size() << " bytes";
        ASSERT_EQ(read.error().failure(), Failure::failed);
    }
    EXPECT_FALSE(parse_generation(text + "\n")) << "or with more behind it";
}

TEST(Generation, ATableThatIsDamagedOrOfTheOtherOwnerIsRefused) {
    const Bindings bindings = table({"tcp 192.0.2.0/24 443 -> cdn", "udp ::/0 any -> (pass)"});
    const std::string text = serialize_table(bindings);
    EXPECT_NE(checksum_of(text), 0u);
    EXPECT_TRUE(parse_table(text));
    for (std::size_t size = 0; size < text.size(); ++size)
        ASSERT_FALSE(parse_table(std::string_view(text).substr(0, size))) << size;
    for (std::size_t i = 0; i < text.size(); ++i) {
        std::string flipped = text;
        flipped[i] = static_cast<char>(flipped[i] ^ 4);
        ASSERT_FALSE(parse_table(flipped)) << "byte " << i;
    }
    EXPECT_FALSE(parse_table(stored(small())));
    EXPECT_FALSE(parse_generation(text));
    EXPECT_FALSE(parse_table(serialize_table(small().runtime))) << "runtime bindings";
}

TEST(Generation, WithAnyOneBitFlippedIsRefused) {
    std::string text = stored(small());
    for (std::size_t i = 0; i < text.size(); ++i)
        for (unsigned bit = 0; bit < 8; ++bit) {
            const char good = text[i];
            text[i] = static_cast<char>(static_cast<unsigned char>(good) ^ (1U << bit));
            ASSERT_FALSE(parse_generation(text)) << "bit " << bit << " of byte " << i;
            text[i] = good;
        }
    EXPECT_TRUE(parse_generation(text));
}

// A file whose checksum is right, as of somebody who means harm or of another version.
std::string with_body(const std::string& body) {
    std::array<char, 64> head{};
    const auto sum =
        crc32(0, reinterpret_cast<const Bytef*>(body.data()), static_cast<uInt>(body.size()));
    std::snprintf(head.data(), head.size(), "sluice-generation 2 %08lx %zu\n", sum, body.size());
    return head.data() + body;
}

std::string body_of(const Generation& generation) {
    const std::string text = stored(generation);
    return text.substr(text.find('\n') + 1);
}

std::string replaced(std::string text, const std::string& from, const std::string& to) {
    const auto at = text.find(from);
    if (at == std::string::npos) throw std::runtime_error("no '" + from + "' in " + text);
    return text.replace(at, from.size(), to);
}

TEST(Generation, ThatMakesNoSenseIsRefusedThoughItsChecksumIsRight) {
    const std::string body = body_of(small());
    ASSERT_TRUE(parse_generation(with_body(body)));
    const std::pair<const char*, const char*> changes[] = {
        {"\"number\":1", "\"number\":\"1\""},
        {"\"number\":1", "\"nummer\":1"},
        {"\"owner\":\"config\"", "\"owner\":\"nobody\""},
        {"\"unavailable\":0", "\"unavailable\":3"},
        {"\"unavailable\":0", "\"unavailable\":-1"},
        {"\"cdn\":{", "\"c d n\":{"},
        {"\"users\":[]", "\"users\":[1]"},
        {"\"protected\":[]", "\"protected\":[\"192.0.2.1/24\"]"},
        {"\"host_addresses\":[]", "\"host_addresses\":[\"nowhere\"]"},
        {"\"sockets\":[]", "\"sockets\":[{\"unit\":\"x\",\"listen\":[[\"sctp\",\"::\",1]]}]"},
        {"tcp\t", "sctp\t"},
        {"192.0.2.0/24", "192.0.2.1/24"},
        {"\t443\t", "\t0\t"},
        {"\tcdn\t", "\tc d n\t"},
        {"\tcdn\t", "\t***\t"},
        {"\tr\t", "\tx\t"},
        {"\tr\t", "\tc\t"},
        {"\tr\t0\t", "\tr\tnine\t"},
        {"\tr\t0\t0\t", "\tr\t0\t0"},
        {"\t0\t0\t\t\n", "\t0\t0\t\t\t\n"},
        {"\t0\t0\t\t\n", "\t0\t0\tnot-json\t\n"},
        {"\t0\t0\t\t\n", "\t0\t0\t\t"},
        {"\t0\t0\t\t\n", "\t0\t0\t\t\n\n"},
        {"\"pending\":null", "\"pending\":{}"},
        {"\"folded\":[]", "\"folded\":[{\"binding\":\"tcp\",\"by\":1}]"},
        {"\"set_aside\":[]", "\"set_aside\":[1]"},
        {"\"changes\":[0", "\"changes\":[\"a\""},
        {"\"table\":{", "\"tabel\":{"},
        {"{", "["},
    };
    for (const auto& [from, to] : changes) {
        const auto read = parse_generation(with_body(replaced(body, from, to)));
        ASSERT_FALSE(read) << from << " -> " << to;
        EXPECT_THAT(why(read), HasSubstr("it makes no sense")) << from << " -> " << to;
    }
    const std::string line = body.substr(body.find('\n') + 1);
    EXPECT_FALSE(parse_generation(with_body(body + line))) << "the same binding twice";
    EXPECT_FALSE(parse_generation(with_body(""))) << "no header";
    EXPECT_FALSE(parse_generation(with_body("{}"))) << "no end of the header";
}

TEST(Generation, OfAVersionThatIsNotKnownIsRefusedAsSuch) {
    const std::string text = stored(small());
    EXPECT_THAT(why(parse_generation(replaced(text, "generation 2 ", "generation 3 "))),
                HasSubstr("version"));
    EXPECT_THAT(why(parse_generation("")), HasSubstr("nothing of ours"));
    EXPECT_THAT(why(parse_generation(replaced(text, "\"number\":1", "\"number\":2"))),
                HasSubstr("damaged"));
}

}  // namespace
}  // namespace sluice

// SPDX-License-Identifier: Apache-2.0
// libsluice's reader of JSON against another one: they must agree on what is JSON, and on what it
// says.
#include <array>
#include <cstdlib>
#include <optional>
#include <random>
#include <string>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

extern "C" {
#include "client/json_reader.h"
}

namespace sluice {
namespace {

using Json = nlohmann::json;

struct Bytes {
    std::string_view rest;
    static int next(void* self) {
        auto& bytes = *static_cast<Bytes*>(self);
        if (bytes.rest.empty()) return json_end;
        const int byte = static_cast<unsigned char>(bytes.rest.front());
        bytes.rest.remove_prefix(1);
        return byte;
    }
};

bool is_json(std::string_view text) {
    Bytes bytes{text};
    json_reader reader = json_read(Bytes::next, &bytes);
    return json_skip(&reader) && json_finish(&reader);
}

// What is read of a document that is one string.
std::string string_of(std::string_view text, std::size_t room = 4096) {
    Bytes bytes{text};
    json_reader reader = json_read(Bytes::next, &bytes);
    std::string buffer(room, 'x');
    struct text into = text_in(buffer.data(), buffer.size());
    if (!json_string(&reader, &into) || !json_finish(&reader)) return "(not JSON)";
    return buffer.c_str();
}

std::int64_t integer_of(std::string_view text) {
    Bytes bytes{text};
    json_reader reader = json_read(Bytes::next, &bytes);
    std::int64_t value = -42;
    EXPECT_TRUE(json_integer(&reader, &value) && json_finish(&reader)) << text;
    return value;
}

TEST(JsonReader, TakesWhatIsJsonAndNothingElse) {
    for (const char* text :
         {"{}", "[]", " [ 1 , 2 ] ", "null", "true", "false", "0", "-0", "-1.5e+10", "1E5", "\"\"",
          R"({"a":{"b":[{},[],""]}})", "\t\r\n 3", R"("\u0000\ud83d\ude00\/")", "\"\xc3\xa4\""})
        EXPECT_TRUE(is_json(text)) << text;
    for (const char* text : {"",
                             " ",
                             "{",
                             "}",
                             "[1,]",
                             "[,1]",
                             "{\"a\"}",
                             "{\"a\":}",
                             "{\"a\":1,}",
                             "{1:2}",
                             "01",
                             "-",
                             "1.",
                             ".5",
                             "1e",
                             "+1",
                             "nul",
                             "nulll",
                             "True",
                             "\"",
                             "\"\\x\"",
                             "\"\\u12\"",
                             R"("\ud800")",
                             R"("\udc00")",
                             R"("\ud800\u0041")",
                             "\"\n\"",
                             "\"\xc3\"",
                             "\"\xc0\x80\"",
                             "\"\xed\xa0\x80\"",
                             "\"\xf4\x90\x80\x80\"",
                             "\"\xff\"",
                             "[1}",
                             "1 2",
                             "{} x",
                             "'a'"})
        EXPECT_FALSE(is_json(text)) << text;
}

TEST(JsonReader, NestsOnlySoDeep) {
    const auto nested = [](int depth) {
        return std::string(static_cast<std::size_t>(depth), '[') +
               std::string(static_cast<std::size_t>(depth), ']');
    };
    EXPECT_TRUE(is_json(nested(json_max_depth)));
    EXPECT_FALSE(is_json(nested(json_max_depth + 1)));
    EXPECT_FALSE(is_json(std::string(1'000'000, '[')));
    std::string objects;
    for (int i = 0; i < 100'000; ++i) objects += "{\"a\":";
    EXPECT_FALSE(is_json(objects));
}

TEST(JsonReader, ReadsIntegersAndNothingElseAsIntegers) {
    EXPECT_EQ(integer_of("0"), 0);
    EXPECT_EQ(integer_of("-17"), -17);
    EXPECT_EQ(integer_of("9223372036854775807"), INT64_MAX);
    EXPECT_EQ(integer_of("99999999999999999999999999"), INT64_MAX);
    for (const char* other : {"1.5", "1e3", "\"7\"", "null", "[7]", "{\"a\":7}", "true"})
        EXPECT_EQ(integer_of(other), -42) << other;
}

TEST(JsonReader, MakesStringsSafeToPrint) {
    EXPECT_EQ(string_of(R"("a\u001b[31m\u0007\n\u009b\u0000b")"), "a [31m    b");
    EXPECT_EQ(string_of("\"\xc2\x9b\x7f\""), "  ");
}

TEST(JsonReader, CutsStringsBetweenCharacters) {
    EXPECT_EQ(string_of(R"("0123456789ab")", 16), "0123456789ab");
    EXPECT_EQ(string_of(R"("0123456789abc")", 16), "0123456789ab…");
    EXPECT_EQ(string_of("\"0123456789a\xf0\x9f\x98\x80z\"", 16), "0123456789a…");
    EXPECT_EQ(string_of('"' + std::string(100'000, 'x') + '"', 16), "xxxxxxxxxxxx…");
}

class Random {
  public:
    explicit Random(unsigned seed) : engine_(seed) {}
    unsigned below(unsigned limit) { return std::uniform_int_distribution(0U, limit - 1)(engine_); }

    Json document(int depth) {
        switch (below(depth > 0 ? 8U : 6U)) {
            case 0:
                return nullptr;
            case 1:
                return below(2) == 0;
            case 2:
                return static_cast<std::int64_t>(below(1000)) - 500;
            case 3:
                return below(1000) / 8.0;
            case 6: {
                Json array = Json::array();
                for (unsigned i = below(4); i > 0; --i) array.push_back(document(depth - 1));
                return array;
            }
            case 7: {
                Json object = Json::object();
                for (unsigned i = below(4); i > 0; --i) object[text()] = document(depth - 1);
                return object;
            }
            default:
                return text();
        }
    }

    // Printable characters of every length in UTF-8, and those that must be escaped.
    std::string text() {
        static constexpr std::array<const char*, 10> pieces{"a", "Z", " ", "\"", "\\",
                                                            "/", "ä", "…", "😀", "𐍈"};
        std::string made;
        for (unsigned i = below(12); i > 0; --i) made += pieces.at(below(pieces.size()));
        return made;
    }

    // Bytes that are likely to matter, put in, taken out, or in the place of another.
    void damage(std::string& text) {
        static constexpr std::string_view bytes("{}[]\",:\\u0e-+.1tfn \n\x80\xc3\xed\xf4\xff\x1f");
        const std::size_t at = below(static_cast<unsigned>(text.size() + 1));
        const char byte = bytes.at(below(static_cast<unsigned>(bytes.size())));
        if (below(3) == 0)
            text.insert(at, 1, byte);
        else if (at < text.size() && below(2) == 0)
            text.erase(at, 1);
        else if (at < text.size())
            text[at] = byte;
    }

  private:
    std::mt19937 engine_;
};

// Nothing where the other reader will not say: it does not take numbers beyond a double.
std::optional<bool> other_takes(const std::string& text) {
    try {
        return !Json::parse(text).is_discarded();
    } catch (const Json::out_of_range&) {
        return std::nullopt;
    } catch (const Json::parse_error&) {
        return false;
    }
}

unsigned seed() {
    const char* given = std::getenv("SLUICE_SEED");
    return given == nullptr ? 1U : static_cast<unsigned>(std::strtoul(given, nullptr, 10));
}

TEST(JsonReader, AgreesWithAnotherReaderOnWhatIsJson) {
    Random random(seed());
    std::size_t good = 0, bad = 0;
    for (int i = 0; i < 100'000; ++i) {
        std::string text = random.document(4).dump(static_cast<int>(random.below(2)) - 1, ' ',
                                                   random.below(2) == 0);
        for (unsigned damages = random.below(3); damages > 0; --damages) random.damage(text);
        const auto expected = other_takes(text);
        if (!expected) continue;
        ASSERT_EQ(is_json(text), *expected) << "seed " << seed() << ": " << text;
        ++(*expected ? good : bad);
    }
    EXPECT_GT(good, 10'000U);
    EXPECT_GT(bad, 10'000U);
}

TEST(JsonReader, AgreesWithAnotherReaderOnWhatStringsSay) {
    Random random(seed());
    for (int i = 0; i < 20'000; ++i) {
        const std::string text = random.text();
        ASSERT_EQ(string_of(Json(text).dump(-1, ' ', random.below(2) == 0)), text)
            << "seed " << seed();
    }
}

}  // namespace
}  // namespace sluice

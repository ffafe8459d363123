// SPDX-License-Identifier: Apache-2.0
// Text that people typed, shown safely; and failures as values.
#include "core/text.h"

#include <cerrno>

#include "core/result.h"
#include "words.h"

namespace sluice {
namespace {

using ::testing::SizeIs;

TEST(Printable, ShowsControlsAndBrokenUtf8AsHexAndLeavesTheRest) {
    const std::pair<std::string, const char*> cases[] = {
        {"plain", "plain"},
        {"käse €1 😀", "käse €1 😀"},
        {"a\nb\tc", "a\\x0ab\\x09c"},
        {"\x1b[31m", "\\x1b[31m"},
        {"\x7f", "\\x7f"},
        {std::string("a\0b", 3), "a\\x00b"},
        {"\xc2\x9b", "\\xc2\\x9b"},  // CSI as one code point
        {"\xff", "\\xff"},
        {"\xc0\xaf", "\\xc0\\xaf"},           // overlong '/'
        {"\xe0\x80\xaf", "\\xe0\\x80\\xaf"},  // overlong, three bytes
        {"\xf0\x80\x80\xaf", "\\xf0\\x80\\x80\\xaf"},
        {"\xed\xa0\x80", "\\xed\\xa0\\x80"},           // a surrogate
        {"\xf4\x90\x80\x80", "\\xf4\\x90\\x80\\x80"},  // above U+10FFFF
        {"\xe2\x82", "\\xe2\\x82"},                    // cut short
        {"\xe2\x82z", "\\xe2\\x82z"},
    };
    for (const auto& [text, shown] : cases) EXPECT_EQ(printable(text), shown);
}

TEST(Utf8, IsWhatRfc3629Allows) {
    for (const auto* text : {"", "a", "12345678", "käse", "123456789012345€", "\xf4\x8f\xbf\xbf",
                             "\xed\x9f\xbf", "\n"})
        EXPECT_TRUE(is_utf8(text)) << text;
    for (const auto* text :
         {"\x80", "\xc1\xbf", "\xe0\x9f\xbf", "\xed\xa0\x80", "\xf0\x8f\xbf\xbf",
          "\xf4\x90\x80\x80", "\xf5\x80\x80\x80", "12345678\xff", "1234567\xe2\x82"})
        EXPECT_FALSE(is_utf8(text)) << printable(text);
}

TEST(PlainText, HasNoControlCharacters) {
    EXPECT_TRUE(is_plain_text("TLS front end, käse €"));
    EXPECT_TRUE(is_plain_text(""));
    for (const auto* text : {"a\nb", "\x1b[0m", "\x7f", "\xc2\x80", "\xff"})
        EXPECT_FALSE(is_plain_text(text)) << printable(text);
}

TEST(Quoted, CutsLongTextsAtTheStartOfACharacter) {
    EXPECT_EQ(sluice::quoted("cdn"), "'cdn'");
    EXPECT_EQ(sluice::quoted("a\nb"), "'a\\x0ab'");
    EXPECT_EQ(sluice::quoted(std::string(100, 'x')), "'" + std::string(100, 'x') + "'");
    EXPECT_EQ(sluice::quoted(std::string(101, 'x')), "'" + std::string(100, 'x') + "…'");
    EXPECT_EQ(sluice::quoted(std::string(99, 'x') + "€€"), "'" + std::string(99, 'x') + "…'");
    EXPECT_EQ(sluice::quoted(std::string(97, 'x') + "😀😀"), "'" + std::string(97, 'x') + "…'");
}

TEST(Columns, CountCodePoints) {
    EXPECT_EQ(columns(""), 0);
    EXPECT_EQ(columns("abc"), 3);
    EXPECT_EQ(columns("kä€😀"), 4);
}

TEST(Nearest, IsWhatASlipOfTheFingersExplains) {
    const std::vector<std::string_view> keys = {"protocol", "prefix", "prefixes_from", "port",
                                                "pass"};
    const std::pair<std::string_view, std::string_view> cases[] = {
        {"prefx", "prefix"}, {"perfix", "prefix"},   {"protcol", "protocol"},
        {"prot", "port"},    {"ports", "port"},      {"Port", "port"},
        {"pas", "pass"},     {"zone", ""},           {"", ""},
        {"x", ""},           {"prefixes", "prefix"}, {"xyz", ""},
    };
    for (const auto& [text, meant] : cases) EXPECT_EQ(nearest(text, keys), meant) << text;
    EXPECT_EQ(nearest(std::string(101, 'a'), {std::string_view("a")}), "");
    EXPECT_EQ(nearest("ab", {}), "");
    EXPECT_EQ(nearest("x", {std::string_view("y")}), "") << "another letter is no slip";
}

TEST(WithCommas, GroupsThousands) {
    EXPECT_EQ(with_commas(0), "0");
    EXPECT_EQ(with_commas(999), "999");
    EXPECT_EQ(with_commas(1000), "1,000");
    EXPECT_EQ(with_commas(1071204), "1,071,204");
}

TEST(Error, CarriesEachCallersStepInFrontOfTheOneBefore) {
    const Error error = Error::from_errno(ENOSPC, "update map 'prefixes_v4'")
                            .during("bind tcp 192.0.2.0/24 any")
                            .during("apply");
    EXPECT_EQ(
        error.message(),
        "apply: bind tcp 192.0.2.0/24 any: update map 'prefixes_v4': No space left on device");
    EXPECT_EQ(error.code(), ENOSPC);
    EXPECT_EQ(error.failure(), Failure::failed);
    EXPECT_EQ(error.exit_code(), 1);
    EXPECT_EQ(error.hint(), "");
}

TEST(Error, KeepsHintPlacesAndTheFailureThatItWasGivenLast) {
    const Error error = Error(Failure::failed, "why")
                            .hint("do this")
                            .at({"a.yaml", 1, 2})
                            .at({"b.yaml", 3, 0})
                            .as(Failure::refused);
    EXPECT_EQ(error.message(), "why");
    EXPECT_EQ(error.doing(), "");
    EXPECT_EQ(error.why(), "why");
    EXPECT_EQ(error.hint(), "do this");
    EXPECT_EQ(error.exit_code(), 4);
    ASSERT_THAT(error.where(), SizeIs(2));
    EXPECT_EQ(to_string(error.where()[0]), "a.yaml:1:2");
    EXPECT_EQ(to_string(error.where()[1]), "b.yaml:3");
    EXPECT_EQ(to_string(Place{"c.yaml", 0, 5}), "c.yaml");
}

TEST(Error, IsPassedOnWithOrWithoutAStep) {
    Result<int> failed = fail(Failure::invalid, "why");
    const Result<> plain = pass_on(failed);
    EXPECT_EQ(plain.error().message(), "why");
    Result<int> again = fail(Error(Failure::invalid, "why"));
    const Result<std::string> stepped = pass_on(again, "open x");
    EXPECT_EQ(stepped.error().message(), "open x: why");
    const Result<> from_errno = fail_errno(ENOENT, "open y");
    EXPECT_EQ(from_errno.error().message(), "open y: No such file or directory");
}

}  // namespace
}  // namespace sluice

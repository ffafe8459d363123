// SPDX-License-Identifier: Apache-2.0
// The one-line dialect: `LABEL#` with descriptors, in one message or several; `OK` or `ERR reason`.
#include "core/register_dialect.h"

#include "core/text.h"
#include "words.h"

namespace sluice {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

TEST(RegisterDialect, TakesALabelAndItsDescriptorsInOneMessage) {
    RegistrationReader reader;
    const auto registration = must(reader.feed("cdn#", 2));
    ASSERT_TRUE(registration);
    EXPECT_EQ(registration->label, "cdn");
    EXPECT_EQ(registration->descriptors, 2u);
    EXPECT_FALSE(reader.unfinished());
}

TEST(RegisterDialect, ContinuesUntilTheClosingMark) {
    RegistrationReader reader;
    EXPECT_FALSE(reader.unfinished());
    EXPECT_FALSE(must(reader.feed("c", 100)));
    EXPECT_TRUE(reader.unfinished());
    EXPECT_FALSE(must(reader.feed("d", 100)));
    const auto registration = must(reader.feed("n#", 53));
    ASSERT_TRUE(registration);
    EXPECT_EQ(registration->label, "cdn");
    EXPECT_EQ(registration->descriptors, 253u);
    EXPECT_TRUE(must(reader.feed("next#", 1))) << "and starts again";
}

TEST(RegisterDialect, TheLastMessageMayBeTheMarkAlone) {
    RegistrationReader reader;
    EXPECT_FALSE(must(reader.feed("cdn", 1)));
    EXPECT_EQ(must(reader.feed("#", 0))->descriptors, 1u);
}

TEST(RegisterDialect, TakesALabelOf100BytesAndNotOneMore) {
    RegistrationReader reader;
    EXPECT_TRUE(must(reader.feed(std::string(100, 'x') + "#", 1)));
    EXPECT_FALSE(reader.feed(std::string(101, 'x') + "#", 1));
}

TEST(RegisterDialect, RefusesWhatIsNoRegistrationAndForgetsIt) {
    struct Message {
        std::string text;
        std::size_t descriptors;
    };
    struct Case {
        std::vector<Message> messages;  // the last one is refused
        const char* reason;
    };
    const Case cases[] = {
        {{{"", 1}}, "an empty message"},
        {{{"cdn", 1}, {"", 0}}, "an empty message"},
        {{{"#", 1}}, "not a service name"},
        {{{"c d n#", 1}}, "not a service name"},
        {{{std::string("c\0n#", 4), 1}}, "not a service name"},
        {{{"cdn#", 0}}, "no descriptors"},
        {{{"cdn#x", 1}}, "last character"},
        {{{"cdn##", 1}}, "last character"},
        {{{"cdn#", 254}}, "254 descriptors in one registration; at most 253"},
        {{{"cdn", 253}, {"#", 1}}, "at most 253"},
        {{{std::string(101, 'x'), 1}}, "longer than 100"},
        {{{std::string(60, 'x'), 1}, {std::string(60, 'x') + "#", 1}}, "longer than 100"},
    };
    for (const auto& [messages, reason] : cases) {
        SCOPED_TRACE(reason);
        RegistrationReader reader;
        for (std::size_t i = 0; i + 1 < messages.size(); ++i)
            ASSERT_FALSE(must(reader.feed(messages[i].text, messages[i].descriptors)));
        const auto refused = reader.feed(messages.back().text, messages.back().descriptors);
        ASSERT_FALSE(refused);
        EXPECT_EQ(refused.error().failure(), Failure::invalid);
        EXPECT_THAT(why(refused), HasSubstr(reason));
        EXPECT_FALSE(reader.unfinished());
        const auto next = must(reader.feed("next#", 1));
        ASSERT_TRUE(next) << "ready for another one";
        EXPECT_EQ(next->label, "next");
        EXPECT_EQ(next->descriptors, 1u);
    }
}

TEST(RegisterAnswer, IsExactlyOkOrOneLineWithTheReason) {
    EXPECT_EQ(register_answer({}), "OK");
    EXPECT_EQ(register_answer(fail(Failure::refused, "it does not listen")),
              "ERR it does not listen");
    EXPECT_EQ(register_answer(fail(Error(Failure::refused, "why").during("register"))),
              "ERR register: why");
    EXPECT_EQ(register_answer(fail(Failure::refused, "two\nlines\r\tand \x1b[31m")),
              "ERR two lines  and  [31m");
}

TEST(RegisterAnswer, IsCutAt500BytesBetweenCharacters) {
    const std::string answer = register_answer(fail(Failure::failed, std::string(1000, 'x')));
    EXPECT_EQ(answer.size(), 500u);
    const std::string euros = register_answer(fail(
        Failure::failed, "a" + [] {
            std::string text;
            for (int i = 0; i < 300; ++i) text += "€";
            return text;
        }()));
    EXPECT_LE(euros.size(), 500u);
    EXPECT_GT(euros.size(), 496u);
    EXPECT_TRUE(is_utf8(euros));
    EXPECT_THAT(euros, StartsWith("ERR a€"));
}

}  // namespace
}  // namespace sluice

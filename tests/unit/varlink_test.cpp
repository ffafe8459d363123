// SPDX-License-Identifier: Apache-2.0
// The Varlink wire protocol: messages out of bytes, calls and replies out of messages, errors both
// ways.
#include "core/varlink.h"

#include <random>

#include "words.h"

namespace sluice {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using namespace std::string_view_literals;

// ---- messages ----------------------------------------------------------------------------------

std::vector<std::string> all(MessageSplitter& splitter) {
    std::vector<std::string> messages;
    while (auto message = splitter.next()) messages.push_back(std::move(*message));
    return messages;
}

TEST(MessageSplitter, CutsAtEachNulAndKeepsTheUnfinishedRest) {
    MessageSplitter splitter(100);
    EXPECT_FALSE(splitter.unfinished());
    must(splitter.feed("one\0two\0thr"sv));
    EXPECT_THAT(all(splitter), ElementsAre("one", "two"));
    EXPECT_TRUE(splitter.unfinished());
    must(splitter.feed("ee\0"sv));
    EXPECT_THAT(all(splitter), ElementsAre("three"));
    EXPECT_FALSE(splitter.unfinished());
    must(splitter.feed("\0\0"sv));
    EXPECT_THAT(all(splitter), ElementsAre("", ""));
}

TEST(MessageSplitter, GivesTheSameMessagesHoweverTheBytesArrive) {
    const unsigned seed = 7;
    SCOPED_TRACE("seed " + std::to_string(seed));
    std::mt19937 random(seed);
    for (int round = 0; round < 100; ++round) {
        std::string stream;
        std::vector<std::string> sent;
        for (unsigned i = 0; i < 20; ++i) {
            sent.emplace_back(random() % 30, static_cast<char>('a' + i));
            stream += sent.back() + '\0';
        }
        MessageSplitter splitter(30);
        std::vector<std::string> received;
        for (std::string_view rest = stream; !rest.empty();) {
            const std::size_t size = std::min<std::size_t>(1 + random() % 50, rest.size());
            must(splitter.feed(rest.substr(0, size)));
            rest.remove_prefix(size);
            if (random() % 2 == 0) continue;
            for (auto& message : all(splitter)) received.push_back(std::move(message));
        }
        for (auto& message : all(splitter)) received.push_back(std::move(message));
        ASSERT_EQ(received, sent);
    }
}

TEST(MessageSplitter, RefusesAMessageLongerThanTheLimitAndEverythingAfterIt) {
    MessageSplitter exact(4);
    EXPECT_TRUE(exact.feed("1234\0"sv));
    EXPECT_THAT(all(exact), ElementsAre("1234"));
    for (const auto bytes : {"12345\0"sv, "12345"sv, "1\0002345\0"sv}) {
        MessageSplitter splitter(bytes.starts_with("1\0"sv) ? 3 : 4);
        const auto fed = splitter.feed(bytes);
        ASSERT_FALSE(fed);
        EXPECT_EQ(fed.error().failure(), Failure::invalid);
        EXPECT_FALSE(splitter.unfinished()) << "holds nothing";
        EXPECT_THAT(all(splitter), IsEmpty());
        EXPECT_FALSE(splitter.feed("ok\0"sv));
    }
}

TEST(MessageSplitter, CountsTheLimitOverAllPiecesOfAMessage) {
    MessageSplitter splitter(4);
    must(splitter.feed("12"));
    must(splitter.feed("34"));
    EXPECT_FALSE(splitter.feed("5"));
}

// ---- JSON --------------------------------------------------------------------------------------

TEST(ParseJson, RefusesWhatIsNoJsonAndWhatIsTooDeep) {
    EXPECT_TRUE(parse_json("{}"));
    EXPECT_TRUE(parse_json(" [1, \"[[[[\"] ", 1)) << "brackets in strings are text";
    EXPECT_TRUE(parse_json("[\"\\\"[[\"]", 1));
    EXPECT_TRUE(parse_json("[[],[]]", 2));
    for (const auto* text :
         {"", "{", "{}x", "{'a':1}", "[1,]", "nul", "{\"a\":}", "\"\xff\"", "01", "NaN"})
        EXPECT_THAT(why(parse_json(text)), HasSubstr("not valid JSON")) << text;
    EXPECT_THAT(why(parse_json("[[[]]]", 2)), HasSubstr("deeper than 2"));
    EXPECT_THAT(why(parse_json(std::string(1000000, '['))), HasSubstr("deeper than 32"));
}

TEST(ToText, IsOneLineWhateverIsInIt) {
    EXPECT_EQ(to_text({{"a", "line\nline"}}), R"({"a":"line\nline"})");
    EXPECT_TRUE(parse_json(to_text({{"a", "\xff"}}))) << "bytes that are no UTF-8 are replaced";
}

// ---- calls -------------------------------------------------------------------------------------

TEST(ParseCall, TakesTheMembersOfTheProtocol) {
    const VarlinkCall call = must(parse_call(
        R"({"method":"internal.sluice.Agent.Status","parameters":{"service":"cdn"},"more":true})"));
    EXPECT_EQ(call.method, "internal.sluice.Agent.Status");
    EXPECT_EQ(call.interface_name(), "internal.sluice.Agent");
    EXPECT_EQ(call.method_name(), "Status");
    EXPECT_EQ(call.parameters["service"], "cdn");
    EXPECT_TRUE(call.more);
    EXPECT_FALSE(call.oneway);
    EXPECT_FALSE(call.upgrade);
    const VarlinkCall bare = must(parse_call(R"({"method":"a.B"})"));
    EXPECT_TRUE(bare.parameters.is_object());
    EXPECT_THAT(bare.parameters, IsEmpty());
    EXPECT_TRUE(parse_call(R"({"method":"a.B","parameters":null,"more":null})"));
}

TEST(ParseCall, RefusesEverythingElseAndSaysWhat) {
    const std::pair<std::string_view, const char*> cases[] = {
        {"", "not valid JSON"},
        {"[]", "must be a JSON object"},
        {"\"a.B\"", "must be a JSON object"},
        {"null", "must be a JSON object"},
        {"{}", "'method' must be"},
        {R"({"method":null})", "'method' must be"},
        {R"({"method":""})", "'method' must be"},
        {R"({"method":"Status"})", "an interface, a dot and a name"},
        {R"({"method":".Status"})", "an interface, a dot and a name"},
        {R"({"method":"a.b."})", "an interface, a dot and a name"},
        {R"({"method":1})", "'method' must be a string"},
        {R"({"method":["a.B"]})", "'method' must be a string"},
        {R"({"method":"a.B","parameters":[]})", "'parameters' must be an object"},
        {R"({"method":"a.B","parameters":"x"})", "'parameters' must be an object"},
        {R"({"method":"a.B","more":1})", "'more' must be true or false"},
        {R"({"method":"a.B","oneway":"true"})", "'oneway' must be true or false"},
        {R"({"method":"a.B","upgrade":{}})", "'upgrade' must be true or false"},
        {R"({"method":"a.B","mroe":true})", "unknown member 'mroe'"},
        {R"({"method":"a.B","error":"x"})", "unknown member 'error'"},
        {R"({"method":"a.B","more":true,"oneway":true})", "exclude each other"},
    };
    for (const auto& [text, reason] : cases) {
        const auto call = parse_call(text);
        ASSERT_FALSE(call) << text;
        EXPECT_EQ(call.error().failure(), Failure::invalid) << text;
        EXPECT_THAT(why(call), HasSubstr(reason)) << text;
    }
}

TEST(EncodeCall, IsReadBackAsTheSameCall) {
    for (const VarlinkCall& call : {VarlinkCall{"a.B", Json::object(), false, false, false},
                                    VarlinkCall{"a.B", {{"x", {1, 2}}}, true, false, false},
                                    VarlinkCall{"a.b.C", Json::object(), false, true, true}}) {
        std::string text = encode_call(call);
        ASSERT_EQ(text.back(), '\0');
        text.pop_back();
        EXPECT_EQ(text.find('\0'), std::string::npos);
        const auto again = parse_call(text);
        ASSERT_TRUE(again) << text;
        EXPECT_EQ(again->method, call.method);
        EXPECT_EQ(again->parameters, call.parameters);
        EXPECT_EQ(again->more, call.more);
        EXPECT_EQ(again->oneway, call.oneway);
        EXPECT_EQ(again->upgrade, call.upgrade);
    }
}

TEST(VarlinkCall, WithoutADotHasNoInterface) {
    VarlinkCall call;
    call.method = "Status";
    EXPECT_EQ(call.interface_name(), "");
    EXPECT_EQ(call.method_name(), "Status");
}

// ---- replies -----------------------------------------------------------------------------------

VarlinkReply decoded(std::string message) {
    EXPECT_EQ(message.back(), '\0');
    message.pop_back();
    return must(parse_reply(message));
}

TEST(Reply, IsReadBackAsTheSameReply) {
    VarlinkReply reply;
    reply.parameters = {{"generation", 7}};
    reply.continues = true;
    const VarlinkReply again = decoded(encode_reply(reply));
    EXPECT_EQ(again.parameters, reply.parameters);
    EXPECT_TRUE(again.continues);
    EXPECT_EQ(again.error, "");
    reply.error = "a.B";
    EXPECT_EQ(decoded(encode_reply(reply)).error, "a.B");
}

TEST(ParseReply, RefusesWhatIsNoReply) {
    for (const auto* text : {"", "[]", R"({"parameters":[]})", R"({"continues":1})",
                             R"({"error":1})", R"({"method":"a.B"})"})
        EXPECT_FALSE(parse_reply(text)) << text;
    EXPECT_TRUE(parse_reply("{}"));
}

// ---- errors ------------------------------------------------------------------------------------

TEST(ErrorReply, CarriesAFailureWholeToTheOtherSide) {
    for (const auto failure :
         {Failure::failed, Failure::invalid, Failure::unreachable, Failure::refused}) {
        const Error sent = Error(failure, "why")
                               .during("bind tcp 192.0.2.0/24 443")
                               .during("apply")
                               .hint("do this")
                               .at({"conf.d/cdn.yaml", 9, 21})
                               .at({"sluice.yaml", 3, 0});
        const Error got = reply_error(decoded(encode_reply(error_reply(sent))));
        EXPECT_EQ(got.failure(), failure);
        EXPECT_EQ(got.message(), sent.message());
        EXPECT_EQ(got.why(), sent.why());
        EXPECT_EQ(got.hint(), sent.hint());
        EXPECT_EQ(got.where(), sent.where());
    }
}

TEST(ErrorReply, NamesTheKindOfFailure) {
    EXPECT_EQ(error_reply({Failure::failed, "x"}).error, "internal.sluice.Agent.Failed");
    EXPECT_EQ(error_reply({Failure::invalid, "x"}).error, "internal.sluice.Agent.Invalid");
    EXPECT_EQ(error_reply({Failure::refused, "x"}).error, "internal.sluice.Agent.Refused");
    const Json parameters = error_reply({Failure::refused, "x"}).parameters;
    EXPECT_EQ(parameters["exit"], 4);
    EXPECT_TRUE(parameters["hint"].is_null()) << "a hint that is not there is null";
    EXPECT_EQ(parameters["where"], Json::array());
}

TEST(ReplyError, MakesSenseOfErrorsNobodyToldUsAbout) {
    const auto of = [](const std::string& name, Json parameters = Json::object()) {
        VarlinkReply reply;
        reply.error = name;
        reply.parameters = std::move(parameters);
        return reply_error(reply);
    };
    EXPECT_THAT(of("com.example.Oops").message(), HasSubstr("'com.example.Oops'"));
    EXPECT_EQ(of("com.example.Oops").failure(), Failure::failed);
    EXPECT_THAT(of("org.varlink.service.Novel").message(), HasSubstr("'Novel'"));
    EXPECT_THAT(of("internal.sluice.Agent.Failed").message(), HasSubstr("without a reason"));
    EXPECT_THAT(of("internal.sluice.Agent").message(), HasSubstr("internal.sluice.Agent"));
    EXPECT_EQ(of("internal.sluice.Agent.Novel", {{"exit", 4}, {"why", "x"}}).failure(),
              Failure::refused);
    EXPECT_EQ(of("internal.sluice.Agent.Novel", {{"exit", "4"}, {"why", 1}}).failure(),
              Failure::failed);
    EXPECT_THAT(of("internal.sluice.Agent.Failed",
                   {{"why", "x"}, {"where", {1, {{"file", "a"}, {"line", "3"}}}}})
                    .where(),
                ElementsAre(Place{"a", 0, 0}));
    EXPECT_THAT(of("internal.sluice.Agent.Failed", {{"why", "x"}, {"where", "here"}}).where(),
                IsEmpty());
}

TEST(ServiceErrors, NameTheirSubjectAndBecomeFailuresOfOurs) {
    struct Case {
        ServiceError error;
        const char* name;
        const char* parameter;
        Failure failure;
        const char* message;
    };
    const Case cases[] = {
        {ServiceError::interface_not_found, "InterfaceNotFound", "interface", Failure::failed,
         "interface 'x.Y'"},
        {ServiceError::method_not_found, "MethodNotFound", "method", Failure::failed,
         "method 'x.Y'"},
        {ServiceError::method_not_implemented, "MethodNotImplemented", "method", Failure::failed,
         "method 'x.Y'"},
        {ServiceError::invalid_parameter, "InvalidParameter", "parameter", Failure::invalid,
         "parameter 'x.Y'"},
        {ServiceError::permission_denied, "PermissionDenied", "", Failure::refused, "does not let"},
        {ServiceError::expected_more, "ExpectedMore", "", Failure::failed, "in parts only"},
    };
    for (const Case& one : cases) {
        const VarlinkReply reply = service_error(one.error, "x.Y");
        EXPECT_EQ(reply.error, std::string("org.varlink.service.") + one.name);
        if (*one.parameter != '\0')
            EXPECT_EQ(reply.parameters, (Json{{one.parameter, "x.Y"}}));
        else
            EXPECT_THAT(reply.parameters, IsEmpty());
        const Error error = reply_error(decoded(encode_reply(reply)));
        EXPECT_EQ(error.failure(), one.failure) << one.name;
        EXPECT_THAT(error.message(), HasSubstr(one.message)) << one.name;
    }
}

}  // namespace
}  // namespace sluice

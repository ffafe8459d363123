// SPDX-License-Identifier: Apache-2.0
// Varlink interface definitions: read, refused at line:column, and held against parameters.
#include "core/varlink_interface.h"

#include <fstream>
#include <iterator>

#include "words.h"

namespace sluice {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::SizeIs;

VarlinkInterface agent() { return must(VarlinkInterface::parse(agent_interface_text())); }

TEST(AgentInterface, IsTheFileThatIsShipped) {
    std::ifstream file(SLUICE_INTERFACE_FILE);
    const std::string text((std::istreambuf_iterator<char>(file)), {});
    EXPECT_EQ(agent_interface_text(), text);
    EXPECT_EQ(agent().name(), agent_interface);
}

TEST(AgentInterface, HasAMethodForEachCommandThatNeedsTheAgent) {
    const VarlinkInterface interface = agent();
    for (const auto* name :
         {"Status", "Bindings", "Services", "Sockets", "Bind", "Unbind", "Reload", "Register",
          "Unregister", "Config", "Explain", "Detach", "Attach"})
        EXPECT_NE(interface.method(name), nullptr) << name;
    EXPECT_EQ(interface.method("Stauts"), nullptr);
    for (const auto* name : {"Failed", "Invalid", "Refused"})
        EXPECT_TRUE(interface.errors().contains(name)) << name;
}

TEST(AgentInterface, DescribesTheErrorsThatAreSent) {
    const Error error = Error(Failure::refused, "why").hint("hint").at({"a.yaml", 1, 2});
    const VarlinkInterface interface = agent();
    for (const Error& one : {error, Error(Failure::refused, "why")})
        EXPECT_EQ(
            interface.first_mismatch(interface.errors().at("Refused"), error_reply(one).parameters),
            "");
}

TEST(AgentInterface, ChecksTheParametersOfRegister) {
    const VarlinkInterface interface = agent();
    const VarlinkType& in = interface.method("Register")->in;
    const auto mismatch = [&](const char* text) {
        return interface.first_mismatch(in, Json::parse(text));
    };
    EXPECT_EQ(mismatch(R"({"service":"cdn","sockets":[0,1],"mode":"add"})"), "");
    EXPECT_EQ(mismatch(R"({"service":"cdn","sockets":[0,"1"],"mode":"add"})"), "sockets[1]");
    EXPECT_EQ(mismatch(R"({"service":"cdn","sockets":0,"mode":"add"})"), "sockets");
    EXPECT_EQ(mismatch(R"({"sockets":[],"mode":"add"})"), "service");
    EXPECT_EQ(mismatch(R"({"service":"cdn","sockets":[],"mode":"add","extra":1})"), "extra");
}

constexpr const char* every_kind = R"(# A comment.
interface com.example.all-kinds

type Color (red, green)
type Point (x: int, y: float)
type Tree (value: int, left: ?Tree, children: []Tree)

method Draw(
  color: Color, points: []Point, names: [string]string, any: object, on: bool,
  text: ?string, inline: ?(a: int, kind: (one, two)), lists: ?[][]int, dark: ?[]?bool
) -> ()
method Walk(tree: Tree) -> (count: int)   # and another
error Broken (why: string)
error Empty ()
)";

TEST(VarlinkInterface, ReadsEveryKindOfType) {
    const VarlinkInterface interface = must(VarlinkInterface::parse(every_kind));
    EXPECT_EQ(interface.name(), "com.example.all-kinds");
    EXPECT_THAT(interface.types(), SizeIs(3));
    EXPECT_THAT(interface.errors(), SizeIs(2));
    EXPECT_THAT(interface.types().at("Color").choices, ElementsAre("red", "green"));
    const VarlinkType& in = interface.method("Draw")->in;
    using Kind = VarlinkType::Kind;
    std::vector<Kind> kinds;
    std::vector<bool> maybe;
    for (const auto& [name, type] : in.fields) {
        kinds.push_back(type.kind);
        maybe.push_back(type.maybe);
    }
    EXPECT_THAT(kinds, ElementsAre(Kind::named, Kind::array, Kind::map, Kind::object, Kind::boolean,
                                   Kind::string, Kind::structure, Kind::array, Kind::array));
    EXPECT_THAT(maybe, ElementsAre(false, false, false, false, false, true, true, true, true));
    EXPECT_THAT(interface.method("Draw")->out.fields, SizeIs(0));
}

TEST(VarlinkInterface, FindsTheFirstParameterThatDoesNotFit) {
    const VarlinkInterface interface = must(VarlinkInterface::parse(every_kind));
    const Json good = Json::parse(R"({"color":"red","points":[{"x":1,"y":1.5},{"x":2,"y":2}],
        "names":{"a":"b"},"any":{"z":[1]},"on":true})");
    struct Case {
        const char* patch;  // a merge patch (RFC 7396): null removes
        const char* mismatch;
    };
    const Case cases[] = {
        {R"({})", ""},
        {R"({"text":"x","inline":{"a":1,"kind":"two"},"lists":[[1],[]],"dark":[null,true]})", ""},
        {R"({"color":null})", "color"},
        {R"({"color":"blue"})", "color"},
        {R"({"color":1})", "color"},
        {R"({"points":{}})", "points"},
        {R"({"points":[{"x":1,"y":1},{"x":1}]})", "points[1].y"},
        {R"({"points":[{"x":1.5,"y":1}]})", "points[0].x"},
        {R"({"points":[{"x":true,"y":1}]})", "points[0].x"},
        {R"({"points":[{"x":9223372036854775807,"y":1}]})", ""},
        {R"({"points":[{"x":9223372036854775808,"y":1}]})", "points[0].x"},
        {R"({"points":[{"x":1,"y":"1"}]})", "points[0].y"},
        {R"({"points":[{"x":1,"y":1,"z":1}]})", "points[0].z"},
        {R"({"points":[null]})", "points[0]"},
        {R"({"points":[3]})", "points[0]"},
        {R"({"names":{"a":1}})", "names.a"},
        {R"({"names":[]})", "names"},
        {R"({"any":[]})", "any"},
        {R"({"on":"true"})", "on"},
        {R"({"on":0})", "on"},
        {R"({"text":1})", "text"},
        {R"({"inline":{"a":1}})", "inline.kind"},
        {R"({"inline":{"a":1,"kind":"three"}})", "inline.kind"},
        {R"({"lists":[[1],["2"]]})", "lists[1][0]"},
        {R"({"dark":[1]})", "dark[0]"},
        {R"({"novel":1})", "novel"},
    };
    for (const auto& [patch, mismatch] : cases) {
        Json parameters = good;
        parameters.merge_patch(Json::parse(patch));
        EXPECT_EQ(interface.first_mismatch(interface.method("Draw")->in, parameters), mismatch)
            << patch;
    }
    Json with_null = good;
    with_null["text"] = nullptr;
    EXPECT_EQ(interface.first_mismatch(interface.method("Draw")->in, with_null), "");
    with_null["on"] = nullptr;
    EXPECT_EQ(interface.first_mismatch(interface.method("Draw")->in, with_null), "on");
    EXPECT_EQ(interface.first_mismatch(interface.method("Draw")->in, Json::array()), "parameters");
}

TEST(VarlinkInterface, StopsAtValuesNestedWithoutEnd) {
    const VarlinkInterface interface = must(VarlinkInterface::parse(every_kind));
    Json tree = {{"value", 1}, {"children", Json::array()}};
    EXPECT_EQ(interface.first_mismatch(interface.method("Walk")->in, {{"tree", tree}}), "");
    for (int i = 0; i < 100; ++i)
        tree = {{"value", 1}, {"left", tree}, {"children", Json::array()}};
    EXPECT_NE(interface.first_mismatch(interface.method("Walk")->in, {{"tree", tree}}), "");
}

TEST(VarlinkInterface, RefusesWhatIsNoDefinitionAtItsPlace) {
    struct Case {
        std::string text;
        const char* at;
        const char* message;
    };
    const std::string head = "interface a.b\n";
    const Case cases[] = {
        {"", "1:1", "expected 'interface'"},
        {"# only a comment", "1:17", "expected 'interface'"},
        {"interfaces a.b", "1:1", "expected 'interface'"},
        {"interface", "1:10", "interface's name"},
        {"interface one\ntype A ()", "1:11", "interface's name"},
        {"interface a..b\ntype A ()", "1:11", "interface's name"},
        {"interface a.b.\ntype A ()", "1:11", "interface's name"},
        {"interface a.-b\ntype A ()", "1:11", "interface's name"},
        {"interface a-.b\ntype A ()", "1:11", "interface's name"},
        {"interface 1.b\ntype A ()", "1:11", "interface's name"},
        {"interface a.b", "1:11", "needs a member"},
        {head + "typ A ()", "2:1", "'type', 'method' or 'error'"},
        {head + "type a ()", "2:6", "starts with a capital"},
        {head + "type A_b ()", "2:6", "starts with a capital"},
        {head + "type A ()\nmethod A() -> ()", "3:8", "'A' is defined twice"},
        {head + "type A", "2:7", "expected '('"},
        {head + "type A (", "2:9", "a field's name"},
        {head + "type A (x: int", "2:15", "expected ',' or ')'"},
        {head + "type A (x: int,)", "2:16", "a field's name"},
        {head + "type A (x: int y: int)", "2:16", "expected ',' or ')'"},
        {head + "type A (1x: int)", "2:9", "a field's name"},
        {head + "type A (x_: int)", "2:9", "a field's name"},
        {head + "type A (x__y: int)", "2:9", "a field's name"},
        {head + "type A (x: )", "2:12", "expected a type"},
        {head + "type A (x: integer)", "2:12", "expected a type"},
        {head + "type A (x: ??int)", "2:12", "'?' twice"},
        {head + "type A (x: int, x: bool)", "2:18", "'x' is there twice"},
        {head + "type A (x, x)", "2:13", "'x' is there twice"},
        {head + "type A (x, y: int)", "2:13", "every field has a type, or none"},
        {head + "type A (x: int, y)", "2:18", "every field has a type, or none"},
        {head + "type A (x: B)", "2:12", "nobody defines the type 'B'"},
        {head + "method A()", "2:11", "expected '->'"},
        {head + "method A() ->", "2:14", "expected '('"},
        {head + "method A(x, y) -> ()", "2:20", "a method has named fields"},
        {head + "error A (x, y)", "2:14", "an error has named fields"},
    };
    for (const auto& [text, at, message] : cases) {
        const auto parsed = VarlinkInterface::parse(text);
        ASSERT_FALSE(parsed) << text;
        EXPECT_EQ(parsed.error().failure(), Failure::invalid);
        EXPECT_THAT(why(parsed), HasSubstr(message)) << text;
        ASSERT_THAT(parsed.error().where(), SizeIs(1));
        Place place = parsed.error().where()[0];
        EXPECT_EQ(std::to_string(place.line) + ":" + std::to_string(place.column), at) << text;
    }
}

TEST(VarlinkInterface, RefusesTypesNestedWithoutEnd) {
    std::string deep = "interface a.b\ntype A (x: ", arrays = deep;
    for (int i = 0; i < 100000; ++i) {
        deep += "(x: ";
        arrays += "[]";
    }
    EXPECT_THAT(why(VarlinkInterface::parse(deep)), HasSubstr("too deep"));
    EXPECT_THAT(why(VarlinkInterface::parse(arrays)), HasSubstr("too deep"));
}

}  // namespace
}  // namespace sluice

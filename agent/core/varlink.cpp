// SPDX-License-Identifier: Apache-2.0
#include "core/varlink.h"

#include <array>
#include <utility>

namespace sluice {
namespace {

constexpr std::string_view service_prefix = "org.varlink.service.";

struct ServiceErrorName {
    ServiceError error;
    std::string_view name;
    std::string_view parameter;  // what its one parameter is called; empty: it has none
};
constexpr std::array<ServiceErrorName, 6> service_errors{{
    {ServiceError::interface_not_found, "InterfaceNotFound", "interface"},
    {ServiceError::method_not_found, "MethodNotFound", "method"},
    {ServiceError::method_not_implemented, "MethodNotImplemented", "method"},
    {ServiceError::invalid_parameter, "InvalidParameter", "parameter"},
    {ServiceError::permission_denied, "PermissionDenied", ""},
    {ServiceError::expected_more, "ExpectedMore", ""},
}};

std::string in_quotes(std::string_view text) { return "'" + std::string(text) + "'"; }

// Found before the parser builds anything, so that a bomb of brackets costs one pass over its
// bytes.
bool deeper_than(std::string_view text, int limit) {
    int depth = 0;
    bool in_string = false;
    for (std::size_t i = 0; i < text.size(); ++i) {
        const char c = text[i];
        if (in_string) {
            if (c == '\\') ++i;
            if (c == '"') in_string = false;
            continue;
        }
        if (c == '"') in_string = true;
        if ((c == '{' || c == '[') && ++depth > limit) return true;
        if (c == '}' || c == ']') --depth;
    }
    return false;
}

Result<Json> parse_message(std::string_view message) {
    auto json = parse_json(message);
    if (!json) return pass_on(json);
    if (!json->is_object()) return fail(Failure::invalid, "a message must be a JSON object");
    return json;
}

// Takes the member `key` if it is there; a wrong type is an error that names it.
Result<> take_bool(const Json& message, const char* key, bool& value) {
    const auto member = message.find(key);
    if (member == message.end() || member->is_null()) return {};
    if (!member->is_boolean())
        return fail(Failure::invalid, in_quotes(key) + " must be true or false");
    value = member->get<bool>();
    return {};
}

Result<> take_string(const Json& message, const char* key, std::string& value) {
    const auto member = message.find(key);
    if (member == message.end() || member->is_null()) return {};
    if (!member->is_string()) return fail(Failure::invalid, in_quotes(key) + " must be a string");
    value = member->get_ref<const std::string&>();
    return {};
}

Result<> take_parameters(const Json& message, Json& value) {
    const auto member = message.find("parameters");
    if (member == message.end() || member->is_null()) return {};
    if (!member->is_object()) return fail(Failure::invalid, "'parameters' must be an object");
    value = *member;
    return {};
}

Result<> only_members(const Json& message, std::initializer_list<std::string_view> known) {
    for (const auto& [key, value] : message.items()) {
        bool found = false;
        for (const auto name : known) found = found || key == name;
        if (!found)
            return fail(Failure::invalid, "unknown member " + in_quotes(key) + " in a message");
    }
    return {};
}

std::string with_nul(const Json& json) {
    std::string text = to_text(json);
    text.push_back('\0');
    return text;
}

std::string text_of(const Json& object, const char* key) {
    const auto member = object.find(key);
    if (member == object.end() || !member->is_string()) return {};
    return member->get<std::string>();
}

int int_of(const Json& object, const char* key, int otherwise) {
    const auto member = object.find(key);
    if (member == object.end() || !member->is_number_integer()) return otherwise;
    return member->get<int>();
}

Failure failure_named(std::string_view name, int exit) {
    if (name == "Invalid") return Failure::invalid;
    if (name == "Refused") return Failure::refused;
    switch (exit) {
        case 2:
            return Failure::invalid;
        case 3:
            return Failure::unreachable;
        case 4:
            return Failure::refused;
        default:
            return Failure::failed;
    }
}

Error agent_error(std::string_view name, const Json& parameters) {
    std::string why = text_of(parameters, "why");
    if (why.empty()) why = "the agent answered " + in_quotes(name) + " without a reason";
    Error error(failure_named(name, int_of(parameters, "exit", 1)), std::move(why));
    if (const auto doing = text_of(parameters, "doing"); !doing.empty())
        error = std::move(error).during(doing);
    if (auto hint = text_of(parameters, "hint"); !hint.empty())
        error = std::move(error).hint(std::move(hint));
    const auto where = parameters.find("where");
    if (where == parameters.end() || !where->is_array()) return error;
    for (const auto& place : *where) {
        if (!place.is_object()) continue;
        error = std::move(error).at(
            {text_of(place, "file"), int_of(place, "line", 0), int_of(place, "column", 0)});
    }
    return error;
}

Error service_failure(std::string_view name, const Json& parameters) {
    if (name == "PermissionDenied")
        return {Failure::refused, "the agent does not let this user do that"};
    if (name == "InvalidParameter")
        return {Failure::invalid, "the agent does not accept the parameter " +
                                      in_quotes(text_of(parameters, "parameter"))};
    if (name == "InterfaceNotFound")
        return Error(Failure::failed, "the agent does not speak the interface " +
                                          in_quotes(text_of(parameters, "interface")))
            .hint("is another program, or an older sluiced, behind this socket?");
    if (name == "MethodNotFound" || name == "MethodNotImplemented")
        return Error(Failure::failed, "the agent does not know the method " +
                                          in_quotes(text_of(parameters, "method")))
            .hint("is sluiced older than this program?");
    if (name == "ExpectedMore")
        return {Failure::failed, "the agent answers this method in parts only"};
    return {Failure::failed, "the agent answered with the error " + in_quotes(name)};
}

}  // namespace

Result<> MessageSplitter::feed(std::string_view bytes) {
    if (broken_) return fail(Failure::invalid, "an earlier message was too long");
    while (!bytes.empty()) {
        const auto nul = bytes.find('\0');
        const auto piece = bytes.substr(0, nul);
        if (buffer_.size() - last_start_ + piece.size() > limit_) {
            broken_ = true;
            std::string().swap(buffer_);
            begin_ = last_start_ = 0;
            return fail(Failure::invalid,
                        "a message is longer than " + std::to_string(limit_) + " bytes");
        }
        buffer_.append(piece);
        if (nul == std::string_view::npos) return {};
        buffer_.push_back('\0');
        last_start_ = buffer_.size();
        bytes.remove_prefix(nul + 1);
    }
    return {};
}

std::optional<std::string> MessageSplitter::next() {
    if (begin_ == last_start_) return std::nullopt;
    const auto nul = buffer_.find('\0', begin_);
    std::string message = buffer_.substr(begin_, nul - begin_);
    begin_ = nul + 1;
    if (begin_ == last_start_) compact();
    return message;
}

// Only when no whole message is left, so that many small messages are not moved many times.
void MessageSplitter::compact() {
    buffer_.erase(0, begin_);
    begin_ = last_start_ = 0;
    if (buffer_.empty()) buffer_.shrink_to_fit();
}

Result<Json> parse_json(std::string_view text, int max_depth) {
    if (deeper_than(text, max_depth))
        return fail(Failure::invalid,
                    "JSON nested deeper than " + std::to_string(max_depth) + " levels");
    auto json = Json::parse(text.begin(), text.end(), nullptr, false);
    if (json.is_discarded()) return fail(Failure::invalid, "not valid JSON");
    return json;
}

std::string to_text(const Json& json) {
    return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::string_view VarlinkCall::interface_name() const {
    const auto dot = method.rfind('.');
    return dot == std::string::npos ? std::string_view{} : std::string_view(method).substr(0, dot);
}

std::string_view VarlinkCall::method_name() const {
    const auto dot = method.rfind('.');
    return std::string_view(method).substr(dot == std::string::npos ? 0 : dot + 1);
}

Result<VarlinkCall> parse_call(std::string_view message) {
    auto json = parse_message(message);
    if (!json) return pass_on(json);
    VarlinkCall call;
    if (auto ok = only_members(*json, {"method", "parameters", "more", "oneway", "upgrade"}); !ok)
        return pass_on(ok);
    if (auto ok = take_string(*json, "method", call.method); !ok) return pass_on(ok);
    if (auto ok = take_parameters(*json, call.parameters); !ok) return pass_on(ok);
    if (auto ok = take_bool(*json, "more", call.more); !ok) return pass_on(ok);
    if (auto ok = take_bool(*json, "oneway", call.oneway); !ok) return pass_on(ok);
    if (auto ok = take_bool(*json, "upgrade", call.upgrade); !ok) return pass_on(ok);
    if (call.interface_name().empty() || call.method_name().empty())
        return fail(Failure::invalid, "'method' must be an interface, a dot and a name");
    if (call.more && call.oneway)
        return fail(Failure::invalid, "'more' and 'oneway' exclude each other");
    return call;
}

std::string encode_call(const VarlinkCall& call) {
    Json json{{"method", call.method}, {"parameters", call.parameters}};
    if (call.more) json["more"] = true;
    if (call.oneway) json["oneway"] = true;
    if (call.upgrade) json["upgrade"] = true;
    return with_nul(json);
}

Result<VarlinkReply> parse_reply(std::string_view message) {
    auto json = parse_message(message);
    if (!json) return pass_on(json);
    VarlinkReply reply;
    if (auto ok = only_members(*json, {"parameters", "continues", "error"}); !ok)
        return pass_on(ok);
    if (auto ok = take_parameters(*json, reply.parameters); !ok) return pass_on(ok);
    if (auto ok = take_bool(*json, "continues", reply.continues); !ok) return pass_on(ok);
    if (auto ok = take_string(*json, "error", reply.error); !ok) return pass_on(ok);
    return reply;
}

std::string encode_reply(const VarlinkReply& reply) {
    Json json{{"parameters", reply.parameters}};
    if (reply.continues) json["continues"] = true;
    if (!reply.error.empty()) json["error"] = reply.error;
    return with_nul(json);
}

VarlinkReply service_error(ServiceError error, std::string_view subject) {
    VarlinkReply reply;
    for (const auto& known : service_errors) {
        if (known.error != error) continue;
        reply.error = std::string(service_prefix) + std::string(known.name);
        if (!known.parameter.empty()) reply.parameters[std::string(known.parameter)] = subject;
    }
    return reply;
}

VarlinkReply error_reply(const Error& error) {
    VarlinkReply reply;
    const std::string_view name = error.failure() == Failure::invalid   ? ".Invalid"
                                  : error.failure() == Failure::refused ? ".Refused"
                                                                        : ".Failed";
    reply.error = std::string(agent_interface) + std::string(name);
    Json where = Json::array();
    for (const auto& place : error.where())
        where.push_back({{"file", place.file}, {"line", place.line}, {"column", place.column}});
    reply.parameters = {{"exit", error.exit_code()},
                        {"doing", error.doing()},
                        {"why", error.why()},
                        {"hint", nullptr},
                        {"where", std::move(where)}};
    if (!error.hint().empty()) reply.parameters["hint"] = error.hint();
    return reply;
}

Error reply_error(const VarlinkReply& reply) {
    const std::string_view name = reply.error;
    if (name.starts_with(service_prefix))
        return service_failure(name.substr(service_prefix.size()), reply.parameters);
    if (name.starts_with(agent_interface) && name.size() > agent_interface.size() + 1)
        return agent_error(name.substr(agent_interface.size() + 1), reply.parameters);
    return {Failure::failed, "the agent answered with the error " + in_quotes(name)};
}

}  // namespace sluice

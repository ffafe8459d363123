// SPDX-License-Identifier: Apache-2.0
#include "cli/fields.h"

namespace sluice::cli {

const Json& field(const Json& object, const char* key) {
    static const Json null;
    if (!object.is_object()) return null;
    const auto found = object.find(key);
    return found == object.end() ? null : *found;
}

std::string text_of(const Json& object, const char* key) {
    const Json& value = field(object, key);
    return value.is_string() ? printable(value.get_ref<const std::string&>()) : std::string();
}

std::optional<std::int64_t> number_of(const Json& object, const char* key) {
    const Json& value = field(object, key);
    if (!value.is_number()) return std::nullopt;
    return value.get<std::int64_t>();
}

std::int64_t count_of(const Json& object, const char* key) {
    return number_of(object, key).value_or(0);
}

std::optional<double> real_of(const Json& object, const char* key) {
    const Json& value = field(object, key);
    if (!value.is_number()) return std::nullopt;
    return value.get<double>();
}

bool flag_of(const Json& object, const char* key) {
    const Json& value = field(object, key);
    return value.is_boolean() && value.get<bool>();
}

const Json& list_of(const Json& object, const char* key) {
    static const Json none = Json::array();
    const Json& value = field(object, key);
    return value.is_array() ? value : none;
}

std::string one_line(const Json& document) {
    return document.dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::string target_of(const Json& binding) {
    if (flag_of(binding, "reject")) return "(reject)";
    if (flag_of(binding, "pass")) return "(pass)";
    return text_of(binding, "service");
}

std::string source_of(const Json& binding) {
    const Json& source = field(binding, "source");
    std::string file = text_of(source, "file");
    if (file.empty()) return file;
    // Only the main file has an absolute name, and status shows that.
    if (file.front() == '/') file.erase(0, file.rfind('/') + 1);
    const std::int64_t line = count_of(source, "line");
    return line > 0 ? file + ":" + std::to_string(line) : file;
}

std::string process_of(const Json& socket) {
    const std::string command = text_of(socket, "command");
    const auto pid = number_of(socket, "pid");
    if (!pid || *pid == 0) return command;
    return command + "[" + std::to_string(*pid) + "]";
}

std::string author_of(const Json& by, const Look& look) {
    const auto name = [&](std::int64_t uid) {
        std::string known = look.user ? look.user(static_cast<std::uint32_t>(uid)) : "";
        return known.empty() ? "uid " + std::to_string(uid) : known;
    };
    const auto uid = number_of(by, "uid");
    if (!uid) return "";
    const auto login = number_of(by, "login_uid");
    const bool other = login && *login >= 0 && *login != *uid;
    return other ? name(*uid) + " (" + name(*login) + ")" : name(*uid);
}

std::string quoted(const std::string& text) { return '"' + text + '"'; }

}  // namespace sluice::cli

// SPDX-License-Identifier: Apache-2.0
#include "system/shapes.h"

#include <sstream>

namespace sluice::testing {
namespace {

bool is(const Json& value, const std::string& type) {
    if (type.starts_with('=')) return value.is_string() && value == type.substr(1);
    if (type == "int") return value.is_number_integer();
    if (type == "number") return value.is_number();
    if (type == "string") return value.is_string();
    if (type == "bool") return value.is_boolean();
    if (type == "null") return value.is_null();
    if (type == "object") return value.is_object();
    if (type == "array") return value.is_array();
    throw std::logic_error("no type of shapes: " + type);
}

std::string wrong(const Json& value, const std::string& expected, const std::string& at) {
    return at + " is " + value.dump().substr(0, 80) + ", not " + expected;
}

std::string of_types(const Json& value, const std::string& types, const std::string& at) {
    std::istringstream words(types);
    for (std::string type; std::getline(words, type, '|');)
        if (is(value, type)) return "";
    return wrong(value, types, at);
}

}  // namespace

std::string mismatch(const Json& value, const Json& shape, const std::string& at) {
    if (shape.is_string()) return of_types(value, shape.get<std::string>(), at);
    if (shape.is_array()) {
        if (!value.is_array()) return wrong(value, "an array", at);
        for (std::size_t i = 0; i < value.size(); ++i)
            if (auto why = mismatch(value[i], shape.at(0), at + "[" + std::to_string(i) + "]");
                !why.empty())
                return why;
        return "";
    }
    if (!value.is_object()) return wrong(value, "an object", at);
    for (const auto& [key, inner] : shape.items()) {
        if (!value.contains(key)) return at + " has no '" + key + "': " + value.dump();
        if (auto why = mismatch(value[key], inner, at + "." + key); !why.empty()) return why;
    }
    return "";
}

}  // namespace sluice::testing

// SPDX-License-Identifier: Apache-2.0
// The words that unit tests build their worlds from: "tcp 192.0.2.0/24 443 -> cdn".
#pragma once

#include <initializer_list>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/bindings.h"

namespace sluice {

template <class T>
T must(Result<T> result) {
    if (!result) throw std::runtime_error(result.error().message());
    return std::move(*result);
}
inline void must(const Result<>& result) {
    if (!result) throw std::runtime_error(result.error().message());
}

inline Address address(std::string_view text) { return must(Address::parse(text)); }
inline Prefix prefix(std::string_view text) { return must(Prefix::parse(text)); }
inline Ports ports(std::string_view text) { return must(Ports::parse(text)); }
inline Endpoint endpoint(std::string_view text) { return must(Endpoint::parse(text)); }

// "tcp 192.0.2.0/24 443"
inline Match match(std::string_view text) {
    const auto first = text.find(' ');
    const auto second = text.find(' ', first + 1);
    return {must(parse_protocol(text.substr(0, first))),
            prefix(text.substr(first + 1, second - first - 1)), ports(text.substr(second + 1))};
}

// "cdn", "(reject)", "(pass)"
inline Target target(std::string_view text) {
    if (text == "(reject)") return Target::reject();
    if (text == "(pass)") return Target::pass();
    return Target::service(std::string(text));
}

// "tcp 192.0.2.0/24 443 -> cdn"
inline Binding binding(std::string_view text, Owner owner = Owner::config) {
    const auto arrow = text.find(" -> ");
    return {.match = match(text.substr(0, arrow)),
            .target = target(text.substr(arrow + 4)),
            .owner = owner,
            .line = 0,
            .since = 0,
            .file = nullptr,
            .note = nullptr};
}

inline Binding binding_at(std::string_view text, const std::string& file, int line) {
    Binding one = binding(text);
    one.file = SharedText(file);
    one.line = line;
    return one;
}

inline Bindings table(std::initializer_list<std::string_view> texts, Owner owner = Owner::config) {
    std::vector<Binding> list;
    for (const auto text : texts) list.push_back(binding(text, owner));
    return must(Bindings::make(std::move(list)));
}

inline std::vector<std::string> texts_of(const auto& bindings) {
    std::vector<std::string> texts;
    for (const Binding& one : bindings) texts.push_back(to_string(one));
    return texts;
}

// "" for a success, so that a test shows what went wrong.
template <class T>
std::string why(const Result<T>& result) {
    return result ? "" : result.error().message();
}
template <class T>
std::string hint(const Result<T>& result) {
    return result ? "" : result.error().hint();
}

}  // namespace sluice

// SPDX-License-Identifier: Apache-2.0
#include "core/config_reader.h"

#include <algorithm>
#include <charconv>

#include "core/text.h"

namespace sluice {
namespace {

constexpr std::size_t most_errors = 20;
constexpr std::size_t longest_line_shown = 200;

std::string line_of(std::string_view text, std::uint32_t line) {
    for (; line > 0; --line) {
        const auto end = text.find('\n');
        if (end == std::string_view::npos) return {};
        text.remove_prefix(end + 1);
    }
    text = text.substr(0, text.find('\n'));
    if (text.ends_with('\r')) text.remove_suffix(1);
    return std::string(text.substr(0, longest_line_shown));
}

std::string kind_of(const YamlNode& node) {
    if (node.is_map()) return "a map";
    if (node.is_sequence()) return "a list";
    if (node.is_empty() || node.is_null) return "nothing";
    return quoted(node.text);
}

std::string names_of(const std::vector<ConfigReader::Key>& keys) {
    std::string names;
    for (const auto& key : keys) names += (names.empty() ? "" : ", ") + std::string(key.name);
    return names;
}

std::string meant(std::string_view text, const std::vector<ConfigReader::Key>& keys) {
    std::vector<std::string_view> names;
    for (const auto& key : keys) names.push_back(key.name);
    const auto near = nearest(text, names);
    return near.empty() ? "" : "did you mean '" + std::string(near) + "'?";
}

}  // namespace

std::vector<std::string_view> split(std::string_view text, char separator) {
    std::vector<std::string_view> parts;
    while (!text.empty()) {
        const auto end = text.find(separator);
        const auto part = text.substr(0, end);
        if (!part.empty() || separator != ' ') parts.push_back(part);
        if (end == std::string_view::npos) break;
        text.remove_prefix(end + 1);
        if (text.empty() && separator != ' ') parts.emplace_back();
    }
    return parts;
}

void ConfigReader::add(Problem problem) {
    if (out_.errors.size() >= most_errors)
        ++out_.more_errors;
    else
        out_.errors.push_back(std::move(problem));
}

void ConfigReader::error_of_file(const ConfigFile& file, std::string message) {
    add({{*file.name, 0, 0}, std::move(message), "", "", 1});
}

void ConfigReader::error_at(const ConfigFile& file, std::uint32_t line, std::uint32_t column,
                            std::uint32_t width, std::string message, std::string hint) {
    add({{*file.name, static_cast<int>(line) + 1, static_cast<int>(column) + 1},
         std::move(message),
         std::move(hint),
         line_of(file.text, line),
         static_cast<int>(width)});
}

void ConfigReader::error(const ConfigFile& file, const YamlNode& node, std::string message,
                         std::string hint) {
    error_at(file, node.line, node.column, node.width, std::move(message), std::move(hint));
}

void ConfigReader::error(const ConfigFile& file, const YamlNode& node, const Error& problem) {
    error(file, node, problem.message(), problem.hint());
}

void ConfigReader::warning_at(const ConfigFile& file, std::uint32_t line, std::string message) {
    if (out_.warnings.size() >= most_errors) return;
    out_.warnings.push_back({{*file.name, static_cast<int>(line) + 1, 0},
                             std::move(message),
                             "",
                             line_of(file.text, line),
                             0});
}

void ConfigReader::warning(const ConfigFile& file, const YamlNode& node, std::string message,
                           std::string hint) {
    if (out_.warnings.size() >= most_errors) return;
    out_.warnings.push_back(
        {{*file.name, static_cast<int>(node.line) + 1, static_cast<int>(node.column) + 1},
         std::move(message),
         std::move(hint),
         line_of(file.text, node.line),
         static_cast<int>(node.width)});
}

bool ConfigReader::each_pair(const ConfigFile& file, const YamlNode& node, std::string_view what,
                             const std::function<void(const YamlNode&, const YamlNode&)>& take) {
    if (!node.is_map()) {
        error(file, node, std::string(what) + " is a map (key: value), not " + kind_of(node));
        return false;
    }
    std::vector<const YamlNode*> seen;
    for (const YamlNode* key = node.first; key != nullptr && key->next != nullptr;
         key = key->next->next) {
        if (!key->is_scalar()) {
            error(file, *key, "a key of " + std::string(what) + " is a word, not " + kind_of(*key));
            continue;
        }
        if (key->plain && key->text == "<<") {
            error(file, *key, "merge keys (<<) are not allowed", "write the values out");
            continue;
        }
        seen.push_back(key);
        take(*key, *key->next);
    }
    // Sorted, so that a map of many keys costs no more than reading it.
    std::ranges::stable_sort(seen, std::less{}, [](const YamlNode* key) { return key->text; });
    for (std::size_t i = 1; i < seen.size(); ++i)
        if (seen[i]->text == seen[i - 1]->text)
            error(file, *seen[i],
                  "key " + quoted(seen[i]->text) + " stands twice in " + std::string(what) +
                      ", first in line " + std::to_string(seen[i - 1]->line + 1));
    return true;
}

bool ConfigReader::take_map(const ConfigFile& file, const YamlNode& node, std::string_view what,
                            const std::vector<Key>& keys) {
    return each_pair(file, node, what, [&](const YamlNode& key, const YamlNode& value) {
        const auto at = std::ranges::find(keys, key.text, &Key::name);
        if (at != keys.end()) return at->take(key, value);
        std::string hint = meant(key.text, keys);
        error(file, key, "unknown key " + quoted(key.text) + " in " + std::string(what),
              hint.empty() ? "known are: " + names_of(keys) : std::move(hint));
    });
}

bool ConfigReader::each_item(const ConfigFile& file, const YamlNode& node, std::string_view what,
                             const std::function<void(const YamlNode&)>& take) {
    if (!node.is_sequence()) {
        error(file, node, std::string(what) + " is a list, not " + kind_of(node));
        return false;
    }
    if (node.first == nullptr) {
        error(file, node, std::string(what) + " is an empty list",
              "leave the key out, or say what belongs in it");
        return false;
    }
    for (const YamlNode* item = node.first; item != nullptr; item = item->next) take(*item);
    return true;
}

bool ConfigReader::each_value(const ConfigFile& file, const YamlNode& node, std::string_view what,
                              const std::function<void(const YamlNode&)>& take) {
    if (node.is_sequence()) return each_item(file, node, what, take);
    take(node);
    return true;
}

std::optional<std::string_view> ConfigReader::text(const ConfigFile& file, const YamlNode& node,
                                                   std::string_view what) {
    if (node.is_scalar() && !node.is_null) return node.text;
    error(file, node, std::string(what) + " is missing: found " + kind_of(node));
    return std::nullopt;
}

std::optional<bool> ConfigReader::boolean(const ConfigFile& file, const YamlNode& node,
                                          std::string_view what) {
    if (node.is_scalar() && node.plain && (node.text == "true" || node.text == "false"))
        return node.text == "true";
    error(file, node, std::string(what) + " is true or false, not " + kind_of(node));
    return std::nullopt;
}

std::optional<std::uint64_t> ConfigReader::number(const ConfigFile& file, const YamlNode& node,
                                                  std::string_view what, std::uint64_t most) {
    std::uint64_t value = 0;
    const std::string_view digits = node.text;
    if (node.is_scalar() && node.plain && !(digits.size() > 1 && digits.front() == '0')) {
        const auto [end, problem] =
            std::from_chars(digits.data(), digits.data() + digits.size(), value);
        if (problem == std::errc{} && end == digits.data() + digits.size() && value <= most)
            return value;
    }
    error(file, node,
          std::string(what) + " is a number from 0 to " + std::to_string(most) +
              ", without leading zeros, not " + kind_of(node));
    return std::nullopt;
}

std::vector<std::string> ConfigReader::texts(const ConfigFile& file, const YamlNode& node,
                                             std::string_view what) {
    std::vector<std::string> list;
    each_item(file, node, what, [&](const YamlNode& item) {
        const auto one = text(file, item, what);
        if (!one) return;
        if (one->empty() || !is_plain_text(*one))
            error(file, item, std::string(what) + ": " + quoted(*one) + " is no name");
        else
            list.emplace_back(*one);
    });
    return list;
}

}  // namespace sluice

// SPDX-License-Identifier: Apache-2.0
// What every part of the config's grammar needs: located problems, keys taken one by one, lists.
#pragma once

#include <deque>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/config.h"
#include "core/yaml_reader.h"

namespace sluice {

// One file of the config. Nodes point into its text.
struct ConfigFile {
    SharedText name;  // as people know it: relative to the main file
    std::string text;
    std::optional<YamlDocument> document;
};

class ConfigReader {
  public:
    explicit ConfigReader(CheckedConfig& out) : out_(out) {}

    void error(const ConfigFile& file, const YamlNode& node, std::string message,
               std::string hint = "");
    void error(const ConfigFile& file, const YamlNode& node, const Error& error);
    void warning(const ConfigFile& file, const YamlNode& node, std::string message,
                 std::string hint = "");
    // Of a line, from 0.
    void warning_at(const ConfigFile& file, std::uint32_t line, std::string message);
    // What is wrong with a file, and with no line of it.
    void error_of_file(const ConfigFile& file, std::string message);
    // What is wrong with a line of a text file, from 0.
    void error_at(const ConfigFile& file, std::uint32_t line, std::uint32_t column,
                  std::uint32_t width, std::string message, std::string hint = "");
    bool failed() const { return !out_.errors.empty(); }

    // What may stand in a map, and what to do with each value.
    struct Key {
        std::string_view name;
        std::function<void(const YamlNode& key, const YamlNode& value)> take;
    };
    // Takes every key of the map; unknown and duplicate ones, merge keys, and what is no map, are
    // errors. `what` names the map in messages: "a binding". False when it was no map.
    bool take_map(const ConfigFile& file, const YamlNode& node, std::string_view what,
                  const std::vector<Key>& keys);
    // Every (key, value) of a map whose keys people choose.
    bool each_pair(const ConfigFile& file, const YamlNode& node, std::string_view what,
                   const std::function<void(const YamlNode& key, const YamlNode& value)>& take);
    // Every element of a list that is not empty.
    bool each_item(const ConfigFile& file, const YamlNode& node, std::string_view what,
                   const std::function<void(const YamlNode& item)>& take);
    // The value alone, or every element of a list that is not empty.
    bool each_value(const ConfigFile& file, const YamlNode& node, std::string_view what,
                    const std::function<void(const YamlNode& item)>& take);
    // Text; nothing (and an error) for lists, maps and empty values.
    std::optional<std::string_view> text(const ConfigFile& file, const YamlNode& node,
                                         std::string_view what);
    std::optional<bool> boolean(const ConfigFile& file, const YamlNode& node,
                                std::string_view what);
    // A whole number, written plainly.
    std::optional<std::uint64_t> number(const ConfigFile& file, const YamlNode& node,
                                        std::string_view what, std::uint64_t most);
    std::vector<std::string> texts(const ConfigFile& file, const YamlNode& node,
                                   std::string_view what);

  private:
    void add(Problem problem);

    CheckedConfig& out_;
};

// The words of a line, split at spaces; "a,b" split at commas.
std::vector<std::string_view> split(std::string_view text, char separator);

}  // namespace sluice

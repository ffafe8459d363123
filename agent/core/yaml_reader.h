// SPDX-License-Identifier: Apache-2.0
// YAML as a tree of located nodes, with scalars kept as they were typed. Limits hold while the text
// is read, before anything is expanded, so that a hostile file costs no more than its size.
#pragma once

#include <cstdint>
#include <deque>
#include <expected>
#include <string>
#include <string_view>

namespace sluice {

constexpr int max_yaml_depth = 16;
constexpr int max_yaml_aliases = 64;
constexpr std::size_t max_yaml_nodes = 12'000'000;

struct YamlNode {
    enum class Kind : std::uint8_t { empty, scalar, sequence, map };

    std::string_view text;            // of a scalar, without its quotes
    const YamlNode* first = nullptr;  // the first child; in a map: key, value, key, value, …
    const YamlNode* next = nullptr;   // the next child of the same parent
    std::uint32_t line = 0;           // from 0
    std::uint32_t column = 0;         // in bytes, from 0
    std::uint32_t width = 1;          // bytes in the file that an error should mark
    std::uint32_t children = 0;       // both keys and values of a map
    Kind kind = Kind::empty;
    bool plain = false;    // an unquoted scalar
    bool is_null = false;  // unquoted ~ or null: a scalar with that text, or an empty value

    bool is_scalar() const { return kind == Kind::scalar; }
    bool is_sequence() const { return kind == Kind::sequence; }
    bool is_map() const { return kind == Kind::map; }
    bool is_empty() const { return kind == Kind::empty; }
};

// Why a text is no YAML that we read. line and column as in YamlNode.
struct YamlProblem {
    std::uint32_t line = 0;
    std::uint32_t column = 0;
    std::string message;
    std::string hint;
};

class YamlDocument {
  public:
    // `text` must outlive the document. Refuses syntax errors, a second document, tags, aliases of
    // what is still open, and more depth, aliases or nodes than the limits above.
    static std::expected<YamlDocument, YamlProblem> read(std::string_view text);

    const YamlNode* root() const { return root_; }  // null for a text without any content

  private:
    friend class YamlBuilder;
    std::deque<YamlNode> nodes_;
    std::deque<std::string> texts_;  // of scalars that differ from their source: quoted, folded
    const YamlNode* root_ = nullptr;
};

}  // namespace sluice

// SPDX-License-Identifier: Apache-2.0
#include "core/yaml_reader.h"

#include <algorithm>
#include <istream>
#include <streambuf>
#include <utility>
#include <vector>

#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/mark.h>
#include <yaml-cpp/parser.h>

namespace sluice {
namespace {

// yaml-cpp reads from a stream; this one reads the text where it lies.
class TextBuffer : public std::streambuf {
  public:
    explicit TextBuffer(std::string_view text) {
        char* begin = const_cast<char*>(text.data());  // a get area is never written
        setg(begin, begin, begin + text.size());
    }
};

constexpr std::string_view blanks = " \t\r\n";

// The text of a value, behind its anchor and tag if it has any.
std::string_view value_at(std::string_view source, std::size_t at) {
    std::string_view rest = source.substr(std::min(at, source.size()));
    while (rest.starts_with('&') || rest.starts_with('!')) {
        rest.remove_prefix(std::min(rest.find_first_of(blanks), rest.size()));
        rest.remove_prefix(std::min(rest.find_first_not_of(blanks), rest.size()));
    }
    return rest;
}

// yaml-cpp takes a quoted text that the file ends in the middle of as whole.
bool is_never_closed(std::string_view value) {
    if (!value.starts_with('"') && !value.starts_with('\'')) return false;
    const char quote = value.front();
    for (std::size_t i = 1; i < value.size(); ++i) {
        if (quote == '"' && value[i] == '\\')
            ++i;
        else if (value[i] == quote && value.substr(i + 1).starts_with(quote) && quote == '\'')
            ++i;
        else if (value[i] == quote)
            return false;
    }
    return true;
}

// What stands at `at` when it is one of YAML's words for null.
std::string_view null_word_at(std::string_view source, std::size_t at) {
    const std::string_view rest = value_at(source, at);
    for (const std::string_view word : {"~", "null", "Null", "NULL"}) {
        if (!rest.starts_with(word)) continue;
        if (rest.size() == word.size() || (blanks.find(rest[word.size()]) != blanks.npos) ||
            std::string_view(",]}:").find(rest[word.size()]) != std::string_view::npos)
            return rest.substr(0, word.size());
    }
    return {};
}

}  // namespace

// Builds the tree from yaml-cpp's events: its own tree would drop duplicate keys and the places of
// aliases, and turns `null` into nothing.
class YamlBuilder : public YAML::EventHandler {
  public:
    YamlBuilder(std::string_view source, YamlDocument& document)
        : source_(source), document_(document) {}

    void OnDocumentStart(const YAML::Mark& mark) override {
        if (seen_document_) refuse(mark, "a second document: a config is one document", "");
        seen_document_ = true;
    }
    void OnDocumentEnd() override {}

    // yaml-cpp says the same for `~`, for `null` and for nothing at all. For nothing, the mark is
    // that of whatever comes next, which may itself be a `null`: then the next event has the same
    // mark.
    void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override {
        YamlNode& node = add(mark, YamlNode::Kind::empty);
        const std::string_view word = null_word_at(source_, offset(mark));
        node.is_null = true;
        node.plain = true;
        if (!word.empty()) {
            node.kind = YamlNode::Kind::scalar;
            node.text = word;
            node.width = static_cast<std::uint32_t>(word.size());
            last_null_ = &node;
            last_null_at_ = mark.pos;
        } else {
            move_to_key(node);
        }
        complete(anchor, &node);
    }

    void OnAlias(const YAML::Mark& mark, YAML::anchor_t anchor) override {
        if (++aliases_ > max_yaml_aliases)
            refuse(mark, "more than " + std::to_string(max_yaml_aliases) + " aliases", "");
        const YamlNode* target = anchor < anchors_.size() ? anchors_[anchor] : nullptr;
        if (target == nullptr) refuse(mark, "an alias of something that contains it", "");
        YamlNode& node = add(mark, target->kind);
        node.text = target->text;
        node.first = target->first;
        node.children = target->children;
        node.plain = target->plain;
        node.is_null = target->is_null;
    }

    void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                  const std::string& value) override {
        refuse_tag(mark, tag);
        YamlNode& node = add(mark, YamlNode::Kind::scalar);
        const std::size_t at = offset(mark);
        node.plain = tag == "?";
        node.width = static_cast<std::uint32_t>(value.size());
        if (!node.plain && is_never_closed(value_at(source_, at)))
            refuse(mark, "not valid YAML: a quote that is never closed", "");
        if (source_.substr(at, value.size()) == value) {
            node.text = source_.substr(at, value.size());
        } else {
            node.text = document_.texts_.emplace_back(value);
            if (!node.plain) node.width += 2;
        }
        complete(anchor, &node);
    }

    void OnSequenceStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                         YAML::EmitterStyle::value) override {
        open(mark, tag, anchor, YamlNode::Kind::sequence);
    }
    void OnSequenceEnd() override { close(); }
    void OnMapStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                    YAML::EmitterStyle::value) override {
        open(mark, tag, anchor, YamlNode::Kind::map);
    }
    void OnMapEnd() override { close(); }

  private:
    struct Open {
        YamlNode* node;
        YamlNode* last;  // child
        YAML::anchor_t anchor;
    };

    [[noreturn]] static void refuse(const YAML::Mark& mark, std::string message, std::string hint) {
        throw YamlProblem{static_cast<std::uint32_t>(std::max(mark.line, 0)),
                          static_cast<std::uint32_t>(std::max(mark.column, 0)), std::move(message),
                          std::move(hint)};
    }

    static void refuse_tag(const YAML::Mark& mark, const std::string& tag) {
        if (!tag.empty() && tag != "?" && tag != "!")
            refuse(mark, "a tag: values are taken as they are written", "leave the !tag out");
    }

    std::size_t offset(const YAML::Mark& mark) const {
        return std::min(static_cast<std::size_t>(std::max(mark.pos, 0)), source_.size());
    }

    YamlNode& add(const YAML::Mark& mark, YamlNode::Kind kind) {
        if (last_null_ != nullptr && last_null_at_ == mark.pos) {
            last_null_->kind = YamlNode::Kind::empty;
            last_null_->text = {};
            move_to_key(*last_null_);
        }
        last_null_ = nullptr;
        if (document_.nodes_.size() >= max_yaml_nodes)
            refuse(mark, "more than " + std::to_string(max_yaml_nodes) + " values", "");
        YamlNode& node = document_.nodes_.emplace_back();
        node.kind = kind;
        node.line = static_cast<std::uint32_t>(std::max(mark.line, 0));
        node.column = static_cast<std::uint32_t>(std::max(mark.column, 0));
        if (open_.empty()) {
            document_.root_ = &node;
            return node;
        }
        Open& parent = open_.back();
        key_ = parent.node->kind == YamlNode::Kind::map && parent.node->children % 2 == 1
                   ? parent.last
                   : nullptr;
        if (parent.last == nullptr)
            parent.node->first = &node;
        else
            parent.last->next = &node;
        parent.last = &node;
        ++parent.node->children;
        return node;
    }

    // yaml-cpp puts an empty value where the next thing starts, maybe lines below.
    void move_to_key(YamlNode& empty) const {
        if (key_ == nullptr) return;
        empty.line = key_->line;
        empty.column = key_->column;
        empty.width = key_->width;
    }

    void open(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
              YamlNode::Kind kind) {
        refuse_tag(mark, tag);
        if (open_.size() >= static_cast<std::size_t>(max_yaml_depth))
            refuse(mark, "nested more than " + std::to_string(max_yaml_depth) + " deep", "");
        YamlNode& node = add(mark, kind);
        open_.push_back({&node, nullptr, anchor});
    }

    void close() {
        complete(open_.back().anchor, open_.back().node);
        open_.pop_back();
    }

    void complete(YAML::anchor_t anchor, const YamlNode* node) {
        if (anchor == YAML::NullAnchor) return;
        if (anchors_.size() <= anchor) anchors_.resize(anchor + 1);
        anchors_[anchor] = node;
    }

    std::string_view source_;
    YamlDocument& document_;
    std::vector<Open> open_;
    std::vector<const YamlNode*> anchors_;  // by number; null while the node is open
    const YamlNode* key_ = nullptr;         // of the latest node, when that is a map's value
    YamlNode* last_null_ = nullptr;         // a null word that may turn out to be the next node's
    int last_null_at_ = -1;
    int aliases_ = 0;
    bool seen_document_ = false;
};

namespace {

std::string hint_for(std::string_view text, int line) {
    std::size_t begin = 0;
    for (int i = 0; i < line && begin != std::string_view::npos; ++i) {
        begin = text.find('\n', begin);
        if (begin != std::string_view::npos) ++begin;
    }
    if (begin == std::string_view::npos) return "";
    const std::string_view indent =
        text.substr(begin, text.find_first_not_of(" \t", begin) - begin);
    return indent.find('\t') == std::string_view::npos ? "" : "indent with spaces, not tabs";
}

}  // namespace

std::expected<YamlDocument, YamlProblem> YamlDocument::read(std::string_view text) {
    YamlDocument document;
    YamlBuilder builder(text, document);
    try {
        TextBuffer buffer(text);
        std::istream stream(&buffer);
        YAML::Parser parser(stream);
        while (parser.HandleNextDocument(builder)) {
        }
    } catch (const YamlProblem& problem) {
        return std::unexpected(problem);
    } catch (const YAML::Exception& e) {
        const int line = std::max(e.mark.line, 0);
        return std::unexpected(YamlProblem{static_cast<std::uint32_t>(line),
                                           static_cast<std::uint32_t>(std::max(e.mark.column, 0)),
                                           "not valid YAML: " + e.msg, hint_for(text, line)});
    }
    return document;
}

}  // namespace sluice

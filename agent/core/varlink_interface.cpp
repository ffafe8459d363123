// SPDX-License-Identifier: Apache-2.0
#include "core/varlink_interface.h"

#include <algorithm>
#include <optional>

namespace sluice {
namespace {

constexpr int max_nesting = 32;  // of types in each other, and of a value checked by them

bool letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
bool capital(char c) { return c >= 'A' && c <= 'Z'; }
bool digit(char c) { return c >= '0' && c <= '9'; }

// [A-Za-z](_?[A-Za-z0-9])*
bool is_field_name(std::string_view word) {
    if (word.empty() || !letter(word.front()) || word.back() == '_') return false;
    return word.find("__") == std::string_view::npos &&
           std::all_of(word.begin(), word.end(),
                       [](char c) { return letter(c) || digit(c) || c == '_'; });
}

// [A-Z][A-Za-z0-9]*
bool is_type_name(std::string_view word) {
    return !word.empty() && capital(word.front()) &&
           std::all_of(word.begin(), word.end(), [](char c) { return letter(c) || digit(c); });
}

// Two or more parts with dots between; the first starts with a letter; no part begins or ends with
// '-'.
bool is_interface_name(std::string_view word) {
    if (word.empty() || !letter(word.front())) return false;
    if (word.find('.') == std::string_view::npos) return false;
    char before = '.';
    for (const char c : word) {
        if (!letter(c) && !digit(c) && c != '.' && c != '-') return false;
        if (c == '.' && (before == '.' || before == '-')) return false;
        if (c == '-' && before == '.') return false;
        before = c;
    }
    return before != '.' && before != '-';
}

std::optional<VarlinkType::Kind> builtin(std::string_view word) {
    using Kind = VarlinkType::Kind;
    if (word == "bool") return Kind::boolean;
    if (word == "int") return Kind::integer;
    if (word == "float") return Kind::real;
    if (word == "string") return Kind::string;
    if (word == "object") return Kind::object;
    return std::nullopt;
}

}  // namespace

class InterfaceParser {
  public:
    explicit InterfaceParser(std::string_view text) : text_(text) {}

    Result<VarlinkInterface> interface() {
        if (word() != "interface") return error("expected 'interface'");
        parsed_.name_ = word("-.");
        if (!is_interface_name(parsed_.name_)) return error("expected the interface's name");
        while (skip(), at_ < text_.size())
            if (auto ok = member(); !ok) return pass_on(ok);
        if (parsed_.methods_.empty() && parsed_.types_.empty() && parsed_.errors_.empty())
            return error("an interface needs a member");
        if (auto ok = all_names_known(); !ok) return pass_on(ok);
        return std::move(parsed_);
    }

  private:
    Result<> member() {
        const auto keyword = word();
        if (keyword != "type" && keyword != "method" && keyword != "error")
            return error("expected 'type', 'method' or 'error'");
        const std::string name(word());
        if (!is_type_name(name)) return error("expected a name that starts with a capital");
        if (parsed_.types_.contains(name) || parsed_.methods_.contains(name) ||
            parsed_.errors_.contains(name))
            return error("'" + name + "' is defined twice");
        if (keyword == "method") return method(name);
        auto type = keyword == "type" || peek() == '(' ? group(0) : VarlinkType{};
        if (!type) return pass_on(type);
        if (keyword == "error" && type->kind != VarlinkType::Kind::structure)
            return error("an error has named fields");
        (keyword == "type" ? parsed_.types_ : parsed_.errors_)[name] = std::move(*type);
        return {};
    }

    Result<> method(const std::string& name) {
        auto in = group(0);
        if (!in) return pass_on(in);
        if (!take("->")) return error("expected '->'");
        auto out = group(0);
        if (!out) return pass_on(out);
        if (in->kind != VarlinkType::Kind::structure || out->kind != VarlinkType::Kind::structure)
            return error("a method has named fields");
        parsed_.methods_[name] = {std::move(*in), std::move(*out)};
        return {};
    }

    // `(a: T, b: T)`, a structure, or `(a, b)`, a choice. `()` is a structure without fields.
    Result<VarlinkType> group(int depth) {
        if (depth > max_nesting) return error("types nested too deep");
        if (!take("(")) return error("expected '('");
        VarlinkType type;
        type.kind = VarlinkType::Kind::structure;
        if (take(")")) return type;
        do {
            if (auto ok = field(type, depth); !ok) return pass_on(ok);
        } while (take(","));
        if (!take(")")) return error("expected ',' or ')'");
        return type;
    }

    Result<> field(VarlinkType& type, int depth) {
        const std::string name(word());
        if (!is_field_name(name)) return error("expected a field's name");
        const bool first = type.fields.empty() && type.choices.empty();
        const bool typed = take(":");
        if (!first && typed != type.choices.empty())
            return error("either every field has a type, or none");
        if (!typed) {
            if (std::ranges::find(type.choices, name) != type.choices.end())
                return error("'" + name + "' is there twice");
            type.kind = VarlinkType::Kind::choice;
            type.choices.push_back(name);
            return {};
        }
        for (const auto& other : type.fields)
            if (other.name == name) return error("the field '" + name + "' is there twice");
        auto inner = this->type(depth + 1);
        if (!inner) return pass_on(inner);
        type.fields.push_back({name, std::move(*inner)});
        return {};
    }

    Result<VarlinkType> type(int depth) {
        if (depth > max_nesting) return error("types nested too deep");
        const bool maybe = take("?");
        if (maybe && peek() == '?') return error("'?' twice");
        auto found = plain_type(depth);
        if (found) found->maybe = maybe;
        return found;
    }

    Result<VarlinkType> plain_type(int depth) {
        if (take("[]")) return container(VarlinkType::Kind::array, depth);
        if (take("[string]")) return container(VarlinkType::Kind::map, depth);
        if (peek() == '(') return group(depth + 1);
        VarlinkType type;
        const auto name = word();
        if (const auto kind = builtin(name)) {
            type.kind = *kind;
        } else if (is_type_name(name)) {
            type.kind = VarlinkType::Kind::named;
            type.name = name;
            used_.emplace_back(name, start_);
        } else {
            return error("expected a type");
        }
        return type;
    }

    Result<VarlinkType> container(VarlinkType::Kind kind, int depth) {
        auto element = type(depth + 1);
        if (!element) return element;
        VarlinkType type;
        type.kind = kind;
        type.element = std::make_shared<const VarlinkType>(std::move(*element));
        return type;
    }

    Result<> all_names_known() {
        for (const auto& [name, at] : used_) {
            start_ = at;
            if (!parsed_.types_.contains(name))
                return error("nobody defines the type '" + name + "'");
        }
        return {};
    }

    // White space and comments, which run from `#` to the end of the line.
    void skip() {
        while (at_ < text_.size()) {
            if (text_[at_] == '#')
                at_ = std::min(text_.find('\n', at_), text_.size());
            else if (std::string_view(" \t\r\n").find(text_[at_]) != std::string_view::npos)
                ++at_;
            else
                return;
        }
    }

    char peek() {
        skip();
        return at_ < text_.size() ? text_[at_] : '\0';
    }

    bool take(std::string_view token) {
        skip();
        start_ = at_;
        if (!text_.substr(at_).starts_with(token)) return false;
        at_ += token.size();
        return true;
    }

    std::string_view word(std::string_view extra = "_") {
        skip();
        start_ = at_;
        while (at_ < text_.size() && (letter(text_[at_]) || digit(text_[at_]) ||
                                      extra.find(text_[at_]) != std::string_view::npos))
            ++at_;
        return text_.substr(start_, at_ - start_);
    }

    std::unexpected<Error> error(std::string why) const {
        const auto before = text_.substr(0, start_);
        const auto lines = std::ranges::count(before, '\n');
        const auto line_start = before.rfind('\n');
        const auto column =
            start_ - (line_start == std::string_view::npos ? 0 : line_start + 1) + 1;
        Place place{parsed_.name_, static_cast<int>(lines) + 1, static_cast<int>(column)};
        return fail(Error(Failure::invalid, std::move(why)).at(std::move(place)));
    }

    std::string_view text_;
    std::size_t at_ = 0;     // the next character
    std::size_t start_ = 0;  // of the latest token, for messages
    std::vector<std::pair<std::string, std::size_t>> used_;
    VarlinkInterface parsed_;
};

namespace {

// Checks one value; the path to the first that does not fit, or nothing.
class TypeChecker {
  public:
    explicit TypeChecker(const VarlinkInterface& interface) : interface_(interface) {}

    std::optional<std::string> check(const VarlinkType& type, const Json& value, std::string path,
                                     int depth) const {
        using Kind = VarlinkType::Kind;
        if (type.maybe && value.is_null()) return std::nullopt;
        if (depth > max_nesting) return path;
        switch (type.kind) {
            case Kind::boolean:
                return unless(value.is_boolean(), std::move(path));
            case Kind::integer:
                return unless(is_int64(value), std::move(path));
            case Kind::real:
                return unless(value.is_number(), std::move(path));
            case Kind::string:
                return unless(value.is_string(), std::move(path));
            case Kind::object:
                return unless(value.is_object(), std::move(path));
            case Kind::choice:
                return unless(chosen(type, value), std::move(path));
            case Kind::array:
                return elements(type, value, path, depth);
            case Kind::map:
                return entries(type, value, path, depth);
            case Kind::structure:
                return structure(type, value, path, depth);
            case Kind::named:
                return check(interface_.types().at(type.name), value, std::move(path), depth + 1);
        }
        return path;
    }

  private:
    static std::optional<std::string> unless(bool fits, std::string path) {
        if (fits) return std::nullopt;
        return path;
    }

    // Varlink's int is a signed 64-bit number.
    static bool is_int64(const Json& value) {
        if (!value.is_number_integer()) return false;
        return !value.is_number_unsigned() || value.get<std::uint64_t>() <= INT64_MAX;
    }

    static bool chosen(const VarlinkType& type, const Json& value) {
        return value.is_string() &&
               std::ranges::find(type.choices, value.get_ref<const std::string&>()) !=
                   type.choices.end();
    }

    static std::string join(const std::string& path, const std::string& name) {
        return path.empty() ? name : path + "." + name;
    }

    std::optional<std::string> elements(const VarlinkType& type, const Json& value,
                                        const std::string& path, int depth) const {
        if (!value.is_array()) return path;
        for (std::size_t i = 0; i < value.size(); ++i)
            if (auto bad =
                    check(*type.element, value[i], path + "[" + std::to_string(i) + "]", depth + 1))
                return bad;
        return std::nullopt;
    }

    std::optional<std::string> entries(const VarlinkType& type, const Json& value,
                                       const std::string& path, int depth) const {
        if (!value.is_object()) return path;
        for (const auto& [key, entry] : value.items())
            if (auto bad = check(*type.element, entry, join(path, key), depth + 1)) return bad;
        return std::nullopt;
    }

    std::optional<std::string> structure(const VarlinkType& type, const Json& value,
                                         const std::string& path, int depth) const {
        if (!value.is_object()) return path;
        for (const auto& [key, member] : value.items())
            if (std::ranges::none_of(type.fields, [&wanted = key](const auto& field) {
                    return field.name == wanted;
                }))
                return join(path, key);
        for (const auto& [name, inner] : type.fields) {
            const auto member = value.find(name);
            if (member == value.end() && inner.maybe) continue;
            if (member == value.end()) return join(path, name);
            if (auto bad = check(inner, *member, join(path, name), depth + 1)) return bad;
        }
        return std::nullopt;
    }

    const VarlinkInterface& interface_;
};

}  // namespace

Result<VarlinkInterface> VarlinkInterface::parse(std::string_view text) {
    return InterfaceParser(text).interface();
}

const VarlinkMethod* VarlinkInterface::method(std::string_view name) const {
    const auto found = methods_.find(std::string(name));
    return found == methods_.end() ? nullptr : &found->second;
}

std::string VarlinkInterface::first_mismatch(const VarlinkType& type,
                                             const Json& parameters) const {
    if (!parameters.is_object()) return "parameters";
    return TypeChecker(*this).check(type, parameters, {}, 0).value_or("");
}

}  // namespace sluice

// SPDX-License-Identifier: Apache-2.0
// Varlink interface definitions (varlink.org, "Interface Definition"): read, and used to check the
// parameters of calls.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/varlink.h"

namespace sluice {

struct VarlinkField;

struct VarlinkType {
    enum class Kind {
        boolean,
        integer,
        real,
        string,
        object,
        array,
        map,
        structure,
        choice,
        named
    };
    Kind kind = Kind::object;
    bool maybe = false;                          // `?T`: null or missing is fine
    std::string name;                            // of Kind::named
    std::shared_ptr<const VarlinkType> element;  // of Kind::array and Kind::map
    std::vector<VarlinkField> fields;            // of Kind::structure, as written
    std::vector<std::string> choices;            // of Kind::choice
};

struct VarlinkField {
    std::string name;
    VarlinkType type;
};

struct VarlinkMethod {
    VarlinkType in;   // Kind::structure
    VarlinkType out;  // Kind::structure
};

class VarlinkInterface {
  public:
    // Failure::invalid with line and column. Names used twice and types nobody defines are errors.
    static Result<VarlinkInterface> parse(std::string_view text);

    const std::string& name() const { return name_; }
    const std::map<std::string, VarlinkType>& types() const { return types_; }
    const std::map<std::string, VarlinkMethod>& methods() const { return methods_; }
    const std::map<std::string, VarlinkType>& errors() const { return errors_; }
    const VarlinkMethod* method(std::string_view name) const;  // "Bind"; null: there is none

    // The first parameter that is unknown, missing or of another type, as "matches[1].prefix";
    // empty when `parameters` is what `type` says.
    std::string first_mismatch(const VarlinkType& type, const Json& parameters) const;

  private:
    friend class InterfaceParser;
    VarlinkInterface() = default;
    std::string name_;
    std::map<std::string, VarlinkType> types_;
    std::map<std::string, VarlinkMethod> methods_;
    std::map<std::string, VarlinkType> errors_;
};

// config/internal.sluice.Agent.varlink, byte for byte, as it was when the program was built.
std::string_view agent_interface_text();

}  // namespace sluice

// SPDX-License-Identifier: Apache-2.0
// What a JSON document must look like: keys and types, as a document of the same form.
#pragma once

#include <string>

#include "core/varlink.h"

namespace sluice::testing {

// "" if `value` has the form of `shape`, else the first place where it does not, and why. In a
// shape an object lists keys that must be there (others may be), an array has the shape of its
// elements, and a string is a type: "int", "number", "string", "bool", "null", "object", "array",
// "=word" for that word alone, or several with | between.
std::string mismatch(const Json& value, const Json& shape, const std::string& at = "$");

}  // namespace sluice::testing

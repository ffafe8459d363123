// SPDX-License-Identifier: Apache-2.0
// Reading JSON that an older or newer agent may have made: what is missing or of another type is
// empty.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include <nlohmann/json.hpp>

#include "cli/text.h"

namespace sluice::cli {

using Json = nlohmann::json;

const Json& field(const Json& object, const char* key);    // null when it is not there
std::string text_of(const Json& object, const char* key);  // printable(); "" when it is no string
std::optional<std::int64_t> number_of(const Json& object, const char* key);
std::int64_t count_of(const Json& object, const char* key);  // 0 when it is no number
std::optional<double> real_of(const Json& object, const char* key);
bool flag_of(const Json& object, const char* key);
const Json& list_of(const Json& object, const char* key);  // an empty list when it is none

std::string one_line(const Json& document);  // invalid UTF-8 is replaced

// "cdn", "(reject)" or "(pass)": where a binding in JSON sends traffic.
std::string target_of(const Json& binding);
// "conf.d/cdn.yaml:7"; "" without a source
std::string source_of(const Json& binding);
// "nginx[812]"; "" when the process is not known
std::string process_of(const Json& socket);
// "root (ops1)"; "" when nobody is known
std::string author_of(const Json& by, const Look& look);
// `3d, "INC-4711"`
std::string quoted(const std::string& text);

}  // namespace sluice::cli

// SPDX-License-Identifier: Apache-2.0
#include "core/config_bundle.h"

namespace sluice {

Result<std::string> RecordedFiles::read(const std::string& path) {
    auto text = files_.read(path);
    if (text) bundle_.files[path] = *text;
    return text;
}

std::vector<std::string> RecordedFiles::glob(const std::string& pattern) {
    return bundle_.patterns[pattern] = files_.glob(pattern);
}

Result<std::string> BundledFiles::read(const std::string& path) {
    const auto at = bundle_.files.find(path);
    if (at == bundle_.files.end()) return fail(Failure::invalid, "it was not handed over");
    return at->second;
}

std::vector<std::string> BundledFiles::glob(const std::string& pattern) {
    const auto at = bundle_.patterns.find(pattern);
    return at == bundle_.patterns.end() ? std::vector<std::string>() : at->second;
}

}  // namespace sluice

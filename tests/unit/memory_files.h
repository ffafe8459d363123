// SPDX-License-Identifier: Apache-2.0
// The one fake that core needs: config files in memory.
#pragma once

#include <cerrno>
#include <fnmatch.h>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "core/config.h"

namespace sluice {

class MemoryFiles : public ConfigFiles {
  public:
    explicit MemoryFiles(std::map<std::string, std::string> files) : files_(std::move(files)) {}

    Result<std::string> read(const std::string& path) override {
        const auto at = files_.find(path);
        if (at == files_.end()) return fail_errno(ENOENT, "open " + path);
        return at->second;
    }
    std::vector<std::string> glob(const std::string& pattern) override {
        std::vector<std::string> found;
        for (const auto& [path, text] : files_)
            if (::fnmatch(pattern.c_str(), path.c_str(), FNM_PATHNAME) == 0) found.push_back(path);
        return found;
    }

  private:
    std::map<std::string, std::string> files_;
};

constexpr const char* main_config = "sluice.yaml";

// `others`: what the main file includes and lists.
inline CheckedConfig check(std::string text, std::map<std::string, std::string> others = {}) {
    others[main_config] = std::move(text);
    MemoryFiles files(std::move(others));
    return check_config(files, main_config);
}

// Every error on a line of its own: "sluice.yaml:3:5: unknown key 'x' in a binding".
inline std::string errors_of(const CheckedConfig& checked) {
    std::string text;
    for (const Problem& problem : checked.errors)
        text += to_string(problem.place) + ": " + problem.message + "\n";
    return text;
}

}  // namespace sluice

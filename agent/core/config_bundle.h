// SPDX-License-Identifier: Apache-2.0
// A config as somebody read it: what was in each file, and what each pattern matched, by the names
// that the parser asks for. So a config can be judged by whoever may not read the files.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "core/config.h"

namespace sluice {

struct ConfigBundle {
    std::map<std::string, std::string> files;
    std::map<std::string, std::vector<std::string>> patterns;
};

// Passes on to other files, and keeps what they answer.
class RecordedFiles : public ConfigFiles {
  public:
    explicit RecordedFiles(ConfigFiles& files) : files_(files) {}
    Result<std::string> read(const std::string& path) override;
    std::vector<std::string> glob(const std::string& pattern) override;
    const ConfigBundle& bundle() const { return bundle_; }

  private:
    ConfigFiles& files_;
    ConfigBundle bundle_;
};

// Answers from a bundle. What is not in it cannot be read.
class BundledFiles : public ConfigFiles {
  public:
    explicit BundledFiles(ConfigBundle bundle) : bundle_(std::move(bundle)) {}
    Result<std::string> read(const std::string& path) override;
    std::vector<std::string> glob(const std::string& pattern) override;

  private:
    ConfigBundle bundle_;
};

}  // namespace sluice

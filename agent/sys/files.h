// SPDX-License-Identifier: Apache-2.0
// Files: read whole, written durably, and the config's door to them.
#pragma once

#include <string>
#include <string_view>
#include <sys/types.h>
#include <vector>

#include "core/config.h"
#include "core/result.h"

namespace sluice {

// A regular file, whole. Larger than `most` bytes is an error, as is anything that is not a file.
Result<std::string> read_file(const std::string& path, std::size_t most);

// The new content or the old one, whatever happens: a temporary file beside it, fsync, rename,
// fsync of the directory. Durable when it returns.
Result<> write_file_durably(const std::string& path, std::string_view content, mode_t mode);

// Gone for good when it returns. A file that is not there is no failure.
Result<> remove_file_durably(const std::string& path);

// Makes the directory, and those above it, where they are missing; one that exists is left as it
// is.
Result<> make_directory(const std::string& path, mode_t mode);

// The files of a config, relative to the directory of its main file.
class RealConfigFiles : public ConfigFiles {
  public:
    explicit RealConfigFiles(const std::string& main_file);
    Result<std::string> read(const std::string& path) override;
    std::vector<std::string> glob(const std::string& pattern) override;

  private:
    std::string absolute(const std::string& path) const;
    std::string main_file_;
    std::string directory_;  // of the main file
};

}  // namespace sluice

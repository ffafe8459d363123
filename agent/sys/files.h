// SPDX-License-Identifier: Apache-2.0
// Files: read whole, written durably, and the config's door to them.
#pragma once

#include <string>
#include <string_view>
#include <sys/types.h>
#include <vector>

#include "core/config.h"
#include "core/result.h"
#include "sys/fd.h"

namespace sluice {

// A regular file, whole. Larger than `most` bytes is an error, as is anything that is not a file.
Result<std::string> read_file(const std::string& path, std::size_t most);

// So many bytes of an open regular file, from there. Fewer are an error.
Result<std::string> read_range(int fd, std::int64_t offset, std::size_t size);

// A file of no directory with this content, which nobody can change any more.
Result<Fd> sealed_file(const std::string& name, std::string_view content);

// The new content or the old one, whatever happens: a temporary file beside it, fsync, rename,
// fsync of the directory. Durable when it returns.
Result<> write_file_durably(const std::string& path, std::string_view content, mode_t mode);

// Gone for good when it returns. A file that is not there is no failure.
Result<> remove_file_durably(const std::string& path);

// Makes the directory, and those above it, where they are missing, for good; one that exists is
// left as it is.
Result<> make_directory(const std::string& path, mode_t mode);

// The files of a config, relative to the directory of its main file.
class RealConfigFiles : public ConfigFiles {
  public:
    explicit RealConfigFiles(const std::string& main_file);
    Result<std::string> read(const std::string& path) override;
    std::vector<std::string> glob(const std::string& pattern) override;
    // Where the file is that the config calls so.
    std::string path_of(const std::string& name) const;

  private:
    std::string main_file_;
    std::string directory_;  // of the main file
};

}  // namespace sluice

// SPDX-License-Identifier: Apache-2.0
// The default config file as it is on the disk now.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <sys/stat.h>

#include "core/config.h"

namespace sluice {

class ConfigWatch {
  public:
    explicit ConfigWatch(std::string path) : path_(std::move(path)) {}

    const std::string& path() const { return path_; }
    // Reads and judges all of it.
    CheckedConfig read();
    // Config::content as it is now. Reads it again only when a file or a directory that it consists
    // of looks different from when it was last read, or had just been written then.
    std::uint64_t content();

  private:
    struct Stamp {
        bool there = false;
        std::int64_t device = 0, inode = 0, size = 0;
        std::int64_t modified = 0, changed = 0;  // nanoseconds since 1970
        bool operator==(const Stamp&) const = default;
    };
    static Stamp stamp_of(const std::string& path);
    bool looks_the_same() const;

    std::string path_;
    std::uint64_t content_ = 0;
    std::map<std::string, Stamp> stamps_;
    bool fresh_ = false;  // something was written so shortly before that a stamp may not tell
    bool read_ = false;
};

}  // namespace sluice

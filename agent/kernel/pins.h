// SPDX-License-Identifier: Apache-2.0
// Sluice's own directory in a bpffs: numbered directories of pins, built aside and renamed into
// place.
//
//   DIR/3/            the dispatcher: every map, the programs, the link
//   DIR/4-new/        one that was being built; a leftover of a crash is removed by the next
//                     writer (a dot is not allowed in names on a bpffs)
#pragma once

#include <string>
#include <vector>

#include "core/result.h"
#include "sys/fd.h"

namespace sluice::kernel {

// One clear line when `directory`'s parent is not in a mounted bpffs.
Result<> check_bpffs(const std::string& directory);

// Finds the numbered directory that holds the attached dispatcher (or, detached, the newest one).
// Empty when there is none. For readers too: takes no lock and changes nothing.
Result<std::string> find_current(const std::string& directory);

// The one writer. Holds an exclusive lock on the directory (mode 0700) for its lifetime.
class PinDirectory {
  public:
    // Makes the directory where it is missing. A second writer is refused by name of the directory.
    static Result<PinDirectory> lock(const std::string& directory);

    const std::string& path() const { return path_; }
    // The pin directory in use, "" when there is none.
    const std::string& current() const { return current_; }

    // DIR/N-new, empty, where N is one more than any that exists.
    Result<std::string> begin() const;
    // DIR/N-new becomes DIR/N, whole; returns its path.
    static Result<std::string> commit(const std::string& aside);
    // Makes `path` the current one and removes every other directory of ours.
    Result<> keep_only(const std::string& path);

  private:
    PinDirectory(std::string path, Fd lock) : path_(std::move(path)), lock_(std::move(lock)) {}
    std::string path_;
    Fd lock_;
    std::string current_;
};

}  // namespace sluice::kernel

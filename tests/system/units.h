// SPDX-License-Identifier: Apache-2.0
// Control groups of the test's own that look like systemd's units, and processes in them.
#pragma once

#include <string>

#include "sys/fd.h"
#include "system/process.h"

namespace sluice::testing {

class Units {
  public:
    // Mounts the hierarchy below `scratch`, in the mount namespace of the test.
    explicit Units(const std::string& scratch);
    // Ends everything that runs in them, and removes them; a test that dies has that done for it.
    ~Units();
    Units(const Units&) = delete;
    Units& operator=(const Units&) = delete;

    const std::string& root() const { return root_; }  // what holds the slices
    // The unit's group, made where it is missing: "system.slice/nginx.service".
    std::string group(const std::string& path) const;
    // The command, to be run in a group.
    Command in(const std::string& path, Command command) const;
    void end(const std::string& path) const;     // kills what is in it, and waits until it is empty
    void remove(const std::string& path) const;  // an empty one, as systemd does

  private:
    std::string mount_, root_;
    Fd alive_;  // the other end of it is the janitor's
    pid_t janitor_ = -1;
};

}  // namespace sluice::testing

// SPDX-License-Identifier: Apache-2.0
// What sluiced was started with: directories and names, after defaults.
#pragma once

#include <string>

namespace sluice {

struct Options {
    std::string instance;  // empty: the default one
    std::string config = "/etc/sluice/sluice.yaml";
    std::string run_dir = "/run/sluice";
    std::string state_dir = "/var/lib/sluice";
    std::string bpffs = "/sys/fs/bpf/sluice";
    std::string netns;  // empty: our own
    std::string log_level = "info";
};

}  // namespace sluice

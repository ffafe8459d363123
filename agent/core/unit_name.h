// SPDX-License-Identifier: Apache-2.0
// Names of systemd units that have processes: systemd.unit(5).
#pragma once

#include <string>
#include <string_view>

#include "core/result.h"

namespace sluice {

// A service or a scope, with its instance where it is of a template. Failure::invalid says what is
// wrong, and hints at the name that may have been meant.
Result<std::string> parse_unit_name(std::string_view text);

// Is this directory of the cgroup tree the unit's? systemd puts `_` before a name that would clash
// with a file of the cgroup file system (`cpu.service`).
bool is_cgroup_of_unit(std::string_view directory, std::string_view unit);

// Does systemd keep units inside this directory: is it a slice?
bool is_slice(std::string_view directory);

}  // namespace sluice

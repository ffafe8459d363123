// SPDX-License-Identifier: Apache-2.0
// What the pins say, read only, for when the agent is not running. Needs root: pins are 0600. The
// JSON is what the agent would have answered, without what only the agent knows.
#pragma once

#include <cstdint>
#include <string>

#include "cli/fields.h"
#include "core/result.h"

namespace sluice::cli {

// `bpffs_dir`: Sluice's own directory in a mounted bpffs (--bpffs).
Result<Json> offline_status(const std::string& bpffs_dir);
// {"bindings": […], "total": N}, unfiltered
Result<Json> offline_bindings(const std::string& bpffs_dir);
// `from`: "ADDR:PORT", or empty
Result<Json> offline_explain(const std::string& bpffs_dir, const std::string& protocol,
                             const std::string& address, std::uint16_t port,
                             const std::string& from);

}  // namespace sluice::cli

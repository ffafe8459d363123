// SPDX-License-Identifier: Apache-2.0
// The time, for records and for people; nothing that must not jump uses it.
#pragma once

#include <cstdint>
#include <string>

#include "core/result.h"

namespace sluice {

std::int64_t unix_time();       // seconds since 1970-01-01 UTC
std::int64_t uptime_seconds();  // since boot, suspended time included
Result<std::string> boot_id();  // another one after every boot

}  // namespace sluice

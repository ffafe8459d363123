// SPDX-License-Identifier: Apache-2.0
#include "sys/clock.h"

#include <ctime>

#include "sys/files.h"

namespace sluice {

std::int64_t unix_time() {
    timespec now{};
    ::clock_gettime(CLOCK_REALTIME, &now);
    return now.tv_sec;
}

std::int64_t uptime_seconds() {
    timespec now{};
    ::clock_gettime(CLOCK_BOOTTIME, &now);
    return now.tv_sec;
}

Result<std::string> boot_id() {
    auto id = read_file("/proc/sys/kernel/random/boot_id", 64);
    if (!id) return pass_on(id);
    return id->substr(0, id->find('\n'));
}

}  // namespace sluice

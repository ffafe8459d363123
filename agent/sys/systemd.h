// SPDX-License-Identifier: Apache-2.0
// What systemd passes to a service and hears from it: sd_listen_fds(3), sd_notify(3).
#pragma once

#include <string>
#include <vector>

#include "core/result.h"
#include "sys/fd.h"

namespace sluice {

struct NamedFd {
    std::string name;  // FileDescriptorName=; "unknown" without one
    Fd fd;
};

// Takes the descriptors over, and their variables out of the environment. Empty when there are
// none.
Result<std::vector<NamedFd>> passed_descriptors();

// "READY=1", "STATUS=…"; nothing happens where nobody listens.
void notify(const std::string& state);
// "RELOADING=1", and since when: Type=notify-reload takes it for an answer only with that.
void notify_reloading();

}  // namespace sluice

// SPDX-License-Identifier: Apache-2.0
#include "sys/systemd.h"

#include <cstdint>
#include <cstdlib>
#include <ctime>
#include <fcntl.h>
#include <memory>

#include <systemd/sd-daemon.h>

namespace sluice {

Result<std::vector<NamedFd>> passed_descriptors() {
    char** names = nullptr;
    const int count = sd_listen_fds_with_names(1, &names);
    if (count < 0) return fail_errno(-count, "take the descriptors that were passed");
    std::vector<NamedFd> passed;
    for (int i = 0; i < count; ++i) {
        const std::unique_ptr<char, decltype(&std::free)> name(names[i], &std::free);
        Fd fd(SD_LISTEN_FDS_START + i);
        ::fcntl(fd.get(), F_SETFD, FD_CLOEXEC);
        passed.push_back({name.get(), std::move(fd)});
    }
    std::free(names);  // NOLINT: sd_listen_fds_with_names(3) allocates
    return passed;
}

void notify_reloading() {
    timespec now{};
    ::clock_gettime(CLOCK_MONOTONIC, &now);
    notify("RELOADING=1\nMONOTONIC_USEC=" +
           std::to_string(std::int64_t{now.tv_sec} * 1'000'000 + now.tv_nsec / 1000));
}

void notify(const std::string& state) { sd_notify(0, state.c_str()); }

}  // namespace sluice

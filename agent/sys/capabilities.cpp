// SPDX-License-Identifier: Apache-2.0
#include "sys/capabilities.h"

#include <array>
#include <linux/capability.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace sluice {
namespace {

using Sets = std::array<__user_cap_data_struct, _LINUX_CAPABILITY_U32S_3>;

bool has(const Sets& sets, unsigned capability) {
    return (sets.at(capability / 32).effective >> (capability % 32) & 1U) != 0;
}

}  // namespace

std::string missing_capabilities() {
    __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
    Sets sets{};
    if (::syscall(SYS_capget, &header, sets.data()) != 0) return "";
    std::string missing;
    if (!has(sets, CAP_BPF) && !has(sets, CAP_SYS_ADMIN)) missing = "CAP_BPF";
    if (!has(sets, CAP_NET_ADMIN))
        missing += (missing.empty() ? "" : " and ") + std::string("CAP_NET_ADMIN");
    return missing;
}

}  // namespace sluice

// SPDX-License-Identifier: Apache-2.0
#include "sys/capabilities.h"

#include <array>
#include <cerrno>
#include <cstdint>
#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace sluice {
namespace {

using Sets = std::array<__user_cap_data_struct, _LINUX_CAPABILITY_U32S_3>;

constexpr std::array to_take_sockets = {Capability{CAP_SYS_PTRACE, "CAP_SYS_PTRACE"},
                                        Capability{CAP_DAC_READ_SEARCH, "CAP_DAC_READ_SEARCH"}};

bool has(const Sets& sets, unsigned capability) {
    return (sets.at(capability / 32).effective >> (capability % 32) & 1U) != 0;
}

Result<std::uint64_t> permitted() {
    __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
    Sets sets{};
    if (::syscall(SYS_capget, &header, sets.data()) != 0)
        return fail_errno(errno, "ask for this process's capabilities");
    return std::uint64_t{sets[1].permitted} << 32U | sets[0].permitted;
}

// The bounding set, which limits what a program executed by us could get. Only who has CAP_SETPCAP
// can give from it; without, the kernel has been asked to give nothing to such a program.
void lower_bounding_set(std::uint64_t kept) {
    for (unsigned capability = 0; ::prctl(PR_CAPBSET_READ, capability, 0, 0, 0) >= 0; ++capability)
        if ((kept >> capability & 1U) == 0) ::prctl(PR_CAPBSET_DROP, capability, 0, 0, 0);
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

std::span<const Capability> capabilities_to_take_sockets() { return to_take_sockets; }

Result<> keep_only(std::span<const Capability> kept) {
    auto has_now = permitted();
    if (!has_now) return pass_on(has_now);
    std::uint64_t mask = 0;
    std::string missing;
    for (const Capability& each : kept) {
        mask |= std::uint64_t{1} << each.number;
        if ((*has_now >> each.number & 1U) == 0)
            missing += (missing.empty() ? "" : " and ") + std::string(each.name);
    }
    if (!missing.empty()) return fail(Failure::refused, "without " + missing);
    if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
        return fail_errno(errno, "give up new privileges");
    ::prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
    lower_bounding_set(mask);
    __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
    Sets sets{};
    for (std::size_t i = 0; i < sets.size(); ++i)
        sets.at(i).effective = sets.at(i).permitted = static_cast<__u32>(mask >> (32 * i));
    if (::syscall(SYS_capset, &header, sets.data()) != 0)
        return fail_errno(errno, "give up capabilities");
    return {};
}

}  // namespace sluice

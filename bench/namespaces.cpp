// SPDX-License-Identifier: Apache-2.0
#include "namespaces.h"

#include <cerrno>
#include <cstring>
#include <net/if.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>

#include "sys/fd.h"

namespace sluice::bench {

Result<> new_network() {
    if (::unshare(CLONE_NEWNET) != 0) return fail_errno(errno, "make a network namespace");
    const Fd any(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    ifreq request{};
    std::strcpy(request.ifr_name, "lo");
    request.ifr_flags = IFF_UP | IFF_RUNNING;
    if (::ioctl(any.get(), SIOCSIFFLAGS, &request) != 0) return fail_errno(errno, "bring lo up");
    return {};
}

Result<> own_namespaces() {
    if (::unshare(CLONE_NEWNS) != 0)
        return fail(Error::from_errno(errno, "make namespaces").hint("it needs root"));
    if (::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0)
        return fail_errno(errno, "make mounts private");
    if (::mount("bpf", "/sys/fs/bpf", "bpf", 0, "mode=0700") != 0)
        return fail_errno(errno, "mount a bpffs at /sys/fs/bpf");
    return new_network();
}

}  // namespace sluice::bench

// SPDX-License-Identifier: Apache-2.0
#include "sys/netns.h"

#include <cerrno>
#include <fcntl.h>
#include <sched.h>

#include "sys/fd.h"

namespace sluice {

Result<> enter_netns(const std::string& path) {
    const Fd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    if (!fd) return fail_errno(errno, "open the network namespace " + path);
    if (::setns(fd.get(), CLONE_NEWNET) != 0)
        return fail_errno(errno, "enter the network namespace " + path);
    return {};
}

}  // namespace sluice

// SPDX-License-Identifier: Apache-2.0
// Who is at the other end of a Unix socket, by the kernel's word (unix(7), SO_PEERCRED and
// friends).
#pragma once

#include "core/access.h"
#include "core/result.h"

namespace sluice {

Result<Peer> peer_of(int fd);

}  // namespace sluice

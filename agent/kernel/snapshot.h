// SPDX-License-Identifier: Apache-2.0
// What the pins alone tell: the bindings, services and sockets that answer now. Reads only.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "core/bindings.h"
#include "core/config.h"
#include "core/policy.h"
#include "core/registered_socket.h"
#include "kernel/maps.h"

namespace sluice::kernel {

// The bindings in the half that answers. Owners come back; places and notes are not in the kernel.
Result<Bindings> read_bindings(const Maps& maps);

using sluice::RegisteredSocket;

// The sockets that serve a service, or wait to. Those that have closed are left out.
Result<std::vector<RegisteredSocket>> read_sockets(const Maps& maps);

// Slots of one (service, class), in the order of the set.
std::vector<std::uint32_t> members_of(const Maps& maps, ServiceId service, std::uint32_t cls);

}  // namespace sluice::kernel

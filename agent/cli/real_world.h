// SPDX-License-Identifier: Apache-2.0
// The facts about this process, its terminal and its user.
#pragma once

#include "cli/world.h"

namespace sluice::cli {

// A World on standard input, output and error, with the clock, the environment and the users of
// this host. The agent, the pins and the sources of sockets are still to be filled in.
World real_world();

}  // namespace sluice::cli

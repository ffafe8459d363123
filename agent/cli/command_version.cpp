// SPDX-License-Identifier: Apache-2.0
#include "cli/commands.h"

namespace sluice::cli::command {

Result<int> version(Session& session, const Arguments&) {
    const std::string version = SLUICE_VERSION;  // the project's, by CMake
    session.answer({{"version", version}}, {"sluicectl " + version});
    return 0;
}

}  // namespace sluice::cli::command

// SPDX-License-Identifier: Apache-2.0
// The same program, bound to answer from the tries or from the index, whatever `active` says.
#pragma once

#include "kernel/dispatcher.h"
#include "kernel/lookup.h"

namespace sluice::kernel {

enum class Way : std::uint8_t { tries, index };

// Counts nothing. Keeps the index that was in use when it was made.
class OneWayLookup {
  public:
    // Takes as long as the verifier does: some 50 ms.
    static Result<OneWayLookup> load(const Dispatcher& dispatcher, Way way);

    Result<Verdict> verdict(Protocol protocol, const Endpoint& local,
                            const Endpoint& remote) const {
        return test_run(program_, protocol, local, remote);
    }
    // What the table says, before any socket is looked at: a target with its owner's bit (abi.h).
    // One caller at a time.
    Result<std::uint32_t> target(Protocol protocol, const Endpoint& local,
                                 const Endpoint& remote) const;

  private:
    OneWayLookup(Fd program, MappedArray<sluice_told> told)
        : program_(std::move(program)), told_(std::move(told)) {}
    Fd program_;
    MappedArray<sluice_told> told_;
};

}  // namespace sluice::kernel

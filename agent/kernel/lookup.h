// SPDX-License-Identifier: Apache-2.0
// Asks the kernel's own program, by BPF_PROG_TEST_RUN: no counter moves, no event is left.
#pragma once

#include <cstdint>
#include <string>

#include "core/address.h"
#include "core/result.h"
#include "sys/fd.h"

namespace sluice::kernel {

struct Verdict {
    bool drop = false;         // refused
    std::uint64_t cookie = 0;  // SO_COOKIE of the chosen socket, 0: none
    bool assigned() const { return !drop && cookie != 0; }
    bool operator==(const Verdict&) const = default;
};

// Runs a program once, without a packet. `local` is the destination, `remote` the sender; both of
// one family.
Result<Verdict> test_run(const Fd& program, Protocol protocol, const Endpoint& local,
                         const Endpoint& remote);

class Lookup {
  public:
    // `directory`: a numbered pin directory. Needs CAP_BPF + CAP_NET_ADMIN, and 5.13 or newer to
    // run.
    static Result<Lookup> open(const std::string& directory);

    // What the attached program answers.
    Result<Verdict> verdict(Protocol protocol, const Endpoint& local, const Endpoint& remote) const;
    // Would the kernel accept the socket in this slot for such a lookup, now? Before 5.13 nobody
    // can tell, and the answer is yes.
    Result<bool> usable(std::uint32_t slot, Protocol protocol, Family family) const;
    // Are the shadow's instructions those of the attached program?
    bool same_program() const { return same_program_; }

  private:
    Fd shadow_, probe_;
    bool same_program_ = false;
};

}  // namespace sluice::kernel

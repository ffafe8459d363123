// SPDX-License-Identifier: Apache-2.0
// Every file operation and every bpf(2) call of this process, before and after it is made. The
// executable defines the C library's symbols itself (witness.cpp), so that what the agent, libbpf
// and std::filesystem call comes through here.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

namespace sluice::testing {

struct Operation {
    enum class Kind : std::uint8_t { reads, writes, removes, kernel };
    Kind kind = Kind::reads;
    std::string call;          // "fsync", "map update"
    std::string subject;       // a path, or a map's name
    int fd = -1;               // where there is one
    std::size_t elements = 0;  // of a map that it is about
};

struct Fault {
    int error = 0;      // errno of the call; 0: none
    bool half = false;  // of what was to be written, half is: then the error, or a short count
};

class Witness {
  public:
    Witness() = default;
    virtual ~Witness() = default;
    Witness(const Witness&) = delete;
    Witness& operator=(const Witness&) = delete;
    // What becomes of it. Operations of these two functions themselves are not witnessed.
    virtual Fault before(const Operation& operation) = 0;
    virtual void after(const Operation& /*operation*/) {}  // that succeeded
};

// Sees what this thread does, to the end of the scope.
class Witnessed {
  public:
    explicit Witnessed(Witness& witness);
    ~Witnessed();
    Witnessed(const Witnessed&) = delete;
    Witnessed& operator=(const Witnessed&) = delete;
};

// Moves the clock that counts from boot, as this process sees it.
void move_clock(std::int64_t seconds);

}  // namespace sluice::testing

// SPDX-License-Identifier: Apache-2.0
// What is compared: our dispatcher, loaded and filled as the agent does it, and the other programs,
// each with the same bindings and sockets.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "kernel/dataplane.h"
#include "programs.h"
#include "tables.h"

namespace sluice::bench {

// One listener a service, of one family, on whatever ports are free.
struct Listeners {
    static Result<Listeners> open(Family family, std::uint32_t count);
    Family family = Family::ipv4;
    std::vector<Fd> sockets;             // by service
    std::vector<std::uint64_t> cookies;  // by service
};

// A program as it is, and the same text compiled with replay.h over the same maps.
struct Candidate {
    std::string name;
    Fd program;
    Replay replay;
    bool find_only = false;  // ends when it knows the target: no socket, no counter
};

// Object files of another build of the dispatcher, compiled without and with replay.h.
struct OtherBuild {
    static Result<OtherBuild> read(const std::string& plain, const std::string& replay);
    std::string name;
    std::vector<std::byte> plain, replay;
};

// The dispatcher in a directory of its own, which goes with the object.
class Ours {
  public:
    // `directory`: does not exist yet, in a mounted bpffs.
    // `others` are loaded beside it, over the same maps.
    static Result<Ours> open(const std::string& directory, const Table& table,
                             const Listeners& listeners, const std::vector<OtherBuild>& others);
    ~Ours();
    Ours(Ours&&) = default;
    Ours& operator=(Ours&&) = delete;
    const kernel::Lookup& lookup() const { return plane_->lookup(); }
    // By the index, by the tries, then the others; and the lookups of the first two alone. Once;
    // they stay good as long as this lives.
    std::vector<Candidate> take_candidates() { return std::move(candidates_); }
    std::vector<Candidate> take_finds() { return std::move(finds_); }
    const kernel::Dataplane& plane() const { return *plane_; }

  private:
    explicit Ours(std::string directory) : directory_(std::move(directory)) {}
    Result<> fill(const Table& table, const Listeners& listeners);
    Result<> settle(std::uint32_t services);
    std::string directory_;
    std::unique_ptr<kernel::Dataplane> plane_;
    std::vector<Candidate> candidates_, finds_;
};

// `misplace`: bind the first entry to another service, which the comparison must find.
// The whole program, and its lookup alone.
Result<std::pair<Candidate, Candidate>> baseline(const Table& table, const Listeners& listeners,
                                                 bool misplace);
Result<Candidate> floor(const Listeners& listeners);
Result<Candidate> empty();

struct NamedProgram {
    std::string_view title;
    const char* name;
    Elf elf;
};
std::array<NamedProgram, 5> programs();

}  // namespace sluice::bench

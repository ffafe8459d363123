// SPDX-License-Identifier: Apache-2.0
// BPF programs under test: loading their objects, running them, and what the verifier says of them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>

#include "core/result.h"
#include "sys/fd.h"
#include "tables.h"

struct bpf_object;

namespace sluice::bench {

struct Run {
    bool drop = false;
    std::uint64_t cookie = 0;       // of the chosen socket, 0: none
    std::uint32_t nanoseconds = 0;  // mean of all repetitions, without the time of being preempted
    bool same_answer(const Run& other) const {
        return drop == other.drop && cookie == other.cookie;
    }
};

// BPF_PROG_TEST_RUN of an sk_lookup program for a TCP lookup.
Result<Run> run(const Fd& program, const Key& key, std::uint32_t repeat = 1);

// The kernel's own count of the time that programs take, while this lives. It adds some 90 ns to a
// run.
Result<Fd> count_run_times();

// Every key in a test run of its own, after `between()`; the mean of nanoseconds by that count.
Result<double> run_apart(const Fd& program, std::span<const Key> keys,
                         const std::function<void()>& between);

// A program that was compiled with replay.h: every run takes the next key.
class Replay {
  public:
    static Result<Replay> open(Fd program);
    // REPLAY_KEYS of them. The next run takes the first.
    Result<> load(std::span<const Key> keys);
    Result<Run> run(std::uint32_t repeat) const;

  private:
    Replay(Fd program, Fd keys) : program_(std::move(program)), keys_(std::move(keys)) {}
    Fd program_, keys_;
    Key packet_;  // the context itself: an assignment compares its family and protocol
    mutable std::size_t next_ = 0;
};

using Elf = std::span<const std::byte>;

struct CloseObject {
    void operator()(bpf_object* object) const;
};

// An object that is loaded by libbpf alone.
class Object {
  public:
    // `shared`: an object whose maps are used in place of this one's of the same name, but the
    // keys.
    // `find_only`: the constant of that name in the object.
    static Result<Object> load(Elf elf, const char* name, const Object* shared = nullptr,
                               bool find_only = false);
    Result<Fd> program(const char* name) const;  // a descriptor of the caller's own
    Result<int> map(const char* name) const;

  private:
    explicit Object(bpf_object* object) : object_(object) {}
    std::unique_ptr<bpf_object, CloseObject> object_;
};

struct Verification {
    std::uint32_t instructions = 0;  // as the kernel has it after verification
    std::uint32_t verified = 0;      // instructions that the verifier looked at
    double milliseconds = 0;         // in the verifier
};
// Loads `program` of the object alone, with maps of its own, and forgets it.
Result<Verification> verify(Elf elf, const char* program);

}  // namespace sluice::bench

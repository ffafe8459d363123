// SPDX-License-Identifier: Apache-2.0
// All maps of one dispatcher, opened from their pins.
#pragma once

#include <string>

#include "kernel/map.h"
#include "sluice/abi.h"
#include "sluice/index.h"

namespace sluice::kernel {

enum class Access { read_only, read_write };

// Names of pins, which are the names of the maps in bpf/dispatch.bpf.c too (but `control`).
namespace pin {
inline constexpr const char* prefixes_v4 = "prefixes_v4";
inline constexpr const char* prefixes_v6 = "prefixes_v6";
inline constexpr const char* index_v4 = "index_v4";
inline constexpr const char* index_v6 = "index_v6";
inline constexpr const char* index_heads = "index_heads";
inline constexpr const char* policies = "policies";
inline constexpr const char* services = "services";
inline constexpr const char* members = "members";
inline constexpr const char* slots = "slots";
inline constexpr const char* sockets = "sockets";
inline constexpr const char* counters = "counters";
inline constexpr const char* control = "control";
inline constexpr const char* dispatch = "dispatch";  // the attached program
inline constexpr const char* shadow = "shadow";      // the same program, with counters of its own
inline constexpr const char* probe = "probe";        // can the socket in a slot take a lookup?
inline constexpr const char* link = "link";
}  // namespace pin

// The index of both halves. Empty in pins of a version that had none, and for readers.
struct IndexMaps {
    MappedArray<sluice_index_v4> v4;
    MappedArray<sluice_index_v6> v6;
    MappedArray<sluice_index_head> heads;
    static Result<IndexMaps> open(const std::string& directory);
};

struct Maps {
    Map<sluice_key_v4, sluice_prefix> prefixes_v4;
    Map<sluice_key_v6, sluice_prefix> prefixes_v6;
    Map<std::uint32_t, std::uint64_t> sockets;  // slot -> cookie when read
    Fd counters;                                // per-CPU rows of sluice_counters
    MappedArray<sluice_policy_block> policies;
    MappedArray<sluice_service> services;
    MappedArray<sluice_member> members;
    MappedArray<sluice_slot> slots;
    MappedArray<sluice_control> control;
    IndexMaps index;

    // `directory`: a numbered pin directory (kernel/pins.h).
    static Result<Maps> open(const std::string& directory, Access access);

    sluice_control& state() const { return control[0]; }
    std::uint32_t active() const { return load_acquire(state().active) & SLUICE_HALF_MASK; }
    bool by_index() const { return (load_acquire(state().active) & SLUICE_INDEX_ANSWERS) != 0; }
};

// The counters of one row, summed over CPUs.
Result<sluice_counters> read_counters(const Maps& maps, std::uint32_t target, std::uint32_t cls);
// All rows of a target begin at 0 again. Lookups that count meanwhile may be lost.
Result<> clear_counters(const Maps& maps, std::uint32_t target);

// SLUICE_TCP_V4 …
constexpr std::uint32_t class_of(bool udp, bool six) { return (udp ? 2U : 0U) + (six ? 1U : 0U); }

}  // namespace sluice::kernel

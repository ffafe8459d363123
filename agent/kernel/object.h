// SPDX-License-Identifier: Apache-2.0
// Loads the BPF object: fresh maps or adopted ones, the program, its shadow and the probe.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>

#include "core/result.h"
#include "sluice/abi.h"
#include "sys/fd.h"

namespace sluice::kernel {

// The bytes of a BPF object file.
struct ProgramImage {
    std::span<const std::byte> elf;
    std::uint64_t hash() const;        // FNV-1a of the bytes: has the program changed?
    static ProgramImage dispatcher();  // bpf/dispatch.bpf.c, embedded at build
};

// Buckets of the index, in each half.
struct IndexSizes {
    std::uint32_t v4 = 4096, v6 = 4096;
    bool operator==(const IndexSizes&) const = default;
};

struct LoadRequest {
    ProgramImage image;
    std::uint32_t capacity = 1'000'000;  // prefixes; a trie gets twice that (a full one refuses
                                         // even overwrites on 5.10)
    std::string adopt_from;              // a numbered pin directory, empty for fresh maps
    std::optional<IndexSizes> index;     // a new index of this size; without: the one that is there
};

// Loads, and pins every map and program into `directory`; the link is not touched. Maps of
// `adopt_from` are shared where type, key, flags and size allow; tries that do not fit are re-made
// and filled from the old ones. Sockets and counters are always shared; an index that is not is
// empty. On failure the directory may hold some pins.
Result<> load_and_pin(const LoadRequest& request, const std::string& directory);

// A copy of the program over the maps that are pinned in `directory`, attached and pinned nowhere.
struct ProgramCopy {
    Fd program;
    Fd told;  // the map of its section .data.told
};
enum class Counting { shared, none };
Result<ProgramCopy> load_copy(const ProgramImage& image, const std::string& directory,
                              const sluice_constants& constants, Counting counting);

}  // namespace sluice::kernel

// SPDX-License-Identifier: Apache-2.0
// The index of both families: images in memory, and the copies of them in the two halves of the
// kernel's maps. Derived from what the tries hold; whoever changes those tells it.
#pragma once

#include <optional>

#include "core/config.h"
#include "core/prefix_index.h"
#include "kernel/object.h"
#include "kernel/policy_store.h"

namespace sluice::kernel {

class IndexTable {
  public:
    explicit IndexTable(const IndexMaps& maps);

    // `policy` 0: the prefix has none. No map is written.
    void put(const sluice_key_v4& key, PolicyId policy);
    void put(const sluice_key_v6& key, PolicyId policy);
    void reserve(std::size_t more_v4, std::size_t more_v6);

    // Where there are too few entries for what the images have become.
    void shrink();

    // Does the whole image fit into the maps?
    bool fits() const;
    // Makes one half of the maps equal to the image, by what has changed since it last was. Needs
    // fits(), and no lookup may be reading that half. Returns how many buckets were written.
    std::size_t write(std::uint32_t half);
    // The maps are others: both halves are to be written whole.
    void maps_changed();

    static IndexSizes sizes(const IndexMaps& maps);
    // What the maps should be for this image within so many bytes; nothing when that is too little.
    std::optional<IndexSizes> wanted(std::uint64_t memory) const;
    // Of the kernel's memory, both halves.
    static std::uint64_t bytes(const IndexSizes& sizes);
    std::size_t entries() const { return v4_.size() + v6_.size(); }
    std::uint64_t image_bytes() const;  // of this process's memory

  private:
    const IndexMaps* maps_;
    PrefixIndex<sluice_index_v4> v4_;
    PrefixIndex<sluice_index_v6> v6_;
};

}  // namespace sluice::kernel

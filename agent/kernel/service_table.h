// SPDX-License-Identifier: Apache-2.0
// Services by id in the kernel's array: names, and what a lookup gets when no socket is usable.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "core/config.h"
#include "core/policy.h"
#include "kernel/maps.h"

namespace sluice::kernel {

class ServiceTable {
  public:
    // Reads the records that are in use.
    explicit ServiceTable(const MappedArray<sluice_service>& records);

    std::optional<ServiceId> find(const std::string& name) const;
    // The id of a known name; call it for names that have one.
    ServiceId id(const std::string& name) const { return ids_.at(name); }
    const std::string& name(ServiceId id) const { return names_.at(id); }  // "" when free
    // Finds or makes the record. A new one refuses in both halves until told otherwise.
    Result<ServiceId> add(const std::string& name);
    // Frees the record. No lookup may still reach it: no binding, no fallback, no sockets.
    void remove(ServiceId id);
    // Every service's policy in one half; services that are not named refuse, as do those that
    // fall back to one that is not known.
    void set_unavailable(std::uint32_t half, const std::map<std::string, ServiceConfig>& services);
    void copy_half(std::uint32_t from, std::uint32_t to);
    Unavailable unavailable(std::uint32_t half, ServiceId id) const;

    const std::map<std::string, ServiceId>& all() const { return ids_; }

  private:
    const MappedArray<sluice_service>* records_;
    std::map<std::string, ServiceId> ids_;
    std::vector<std::string> names_;  // by id
};

}  // namespace sluice::kernel

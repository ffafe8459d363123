// SPDX-License-Identifier: Apache-2.0
#include "kernel/service_table.h"

#include <algorithm>
#include <cstring>

namespace sluice::kernel {

namespace {

// Refuses: 0 would be a fallback to the first service.
sluice_service no_service() {
    sluice_service record{};
    record.unavailable[0] = record.unavailable[1] = SLUICE_TARGET_REJECT;
    return record;
}

}  // namespace

ServiceTable::ServiceTable(const MappedArray<sluice_service>& records)
    : records_(&records), names_(records.size()) {
    for (std::size_t id = 0; id < records.size(); ++id) {
        const sluice_service& record = records[id];
        if (record.used == 0) continue;
        names_[id].assign(record.name, ::strnlen(record.name, sizeof record.name));
        ids_[names_[id]] = static_cast<ServiceId>(id);
    }
}

std::optional<ServiceId> ServiceTable::find(const std::string& name) const {
    const auto at = ids_.find(name);
    if (at == ids_.end()) return std::nullopt;
    return at->second;
}

Result<ServiceId> ServiceTable::add(const std::string& name) {
    if (const auto known = find(name)) return *known;
    const auto place = std::ranges::find_if(names_, &std::string::empty);
    if (place == names_.end())
        return fail(Error(Failure::failed, "no room for service '" + name + "': there can be " +
                                               std::to_string(SLUICE_MAX_SERVICES))
                        .hint("those that leave keep their place until the change is made, and "
                              "while they hold sockets: make the change in two steps"));
    const auto id = static_cast<ServiceId>(place - names_.begin());
    sluice_service record = no_service();
    std::memcpy(record.name, name.data(), std::min(name.size(), sizeof record.name - 1));
    (*records_)[id] = record;
    store_release((*records_)[id].used, std::uint8_t{1});
    *place = name;
    ids_[name] = id;
    return id;
}

void ServiceTable::remove(ServiceId id) {
    store_release((*records_)[id].used, std::uint8_t{0});
    (*records_)[id] = no_service();
    ids_.erase(names_[id]);
    names_[id].clear();
}

void ServiceTable::set_unavailable(std::uint32_t half,
                                   const std::map<std::string, ServiceConfig>& services) {
    for (const auto& [name, id] : ids_) {
        std::uint16_t target = SLUICE_TARGET_REJECT;
        if (const auto at = services.find(name); at != services.end()) {
            const Unavailable& policy = at->second.unavailable;
            if (policy.kind == Unavailable::Kind::pass) target = SLUICE_TARGET_PASS;
            if (policy.kind == Unavailable::Kind::fallback)
                target = find(policy.fallback).value_or(target);
        }
        (*records_)[id].unavailable[half] = target;
    }
}

void ServiceTable::copy_half(std::uint32_t from, std::uint32_t to) {
    for (const auto& [name, id] : ids_)
        (*records_)[id].unavailable[to] = (*records_)[id].unavailable[from];
}

Unavailable ServiceTable::unavailable(std::uint32_t half, ServiceId id) const {
    const std::uint16_t target = (*records_)[id].unavailable[half];
    if (target == SLUICE_TARGET_PASS) return {Unavailable::Kind::pass, ""};
    if (target < SLUICE_MAX_SERVICES) return {Unavailable::Kind::fallback, names_[target]};
    return {};
}

}  // namespace sluice::kernel

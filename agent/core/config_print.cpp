// SPDX-License-Identifier: Apache-2.0
// A config as the file that it could have been read from.
#include <map>

#include <nlohmann/json.hpp>

#include "core/config.h"
#include "core/config_dataplane.h"

namespace sluice {
namespace {

// A JSON string is a double-quoted YAML scalar.
std::string text(const std::string& value) {
    return nlohmann::json(value).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

std::string texts(const std::vector<std::string>& values) {
    std::string list;
    for (const std::string& value : values) list += (list.empty() ? "" : ", ") + text(value);
    return "[" + list + "]";
}

template <class T>
std::string quoted_list(const std::vector<T>& values) {
    std::string list;
    for (const T& value : values) list += (list.empty() ? "\"" : ", \"") + to_string(value) + "\"";
    return "[" + list + "]";
}

// "" when both are empty.
std::string users_and_groups(const std::vector<std::string>& users,
                             const std::vector<std::string>& groups,
                             const std::vector<std::string>& units) {
    std::string map;
    const auto add = [&](const char* key, const std::vector<std::string>& values) {
        if (!values.empty())
            map += (map.empty() ? "" : ", ") + std::string(key) + ": " + texts(values);
    };
    add("users", users);
    add("groups", groups);
    add("units", units);
    return map.empty() ? "" : "{" + map + "}";
}

std::string follow_yaml(const FollowRule& rule) {
    std::string listen;
    for (const ListenTriple& triple : rule.listen)
        listen += (listen.empty() ? "\"" : ", \"") + std::string(to_string(triple.protocol)) + " " +
                  to_string(triple.address) + " " + std::to_string(triple.port) + "\"";
    return "      - {unit: " + text(rule.unit) + ", listen: [" + listen + "]}\n";
}

std::string service_yaml(const std::string& name, const ServiceConfig& service) {
    std::string yaml;
    if (!service.description.empty())
        yaml += "    description: " + text(service.description) + "\n";
    if (service.unavailable.kind == Unavailable::Kind::pass) yaml += "    unavailable: pass\n";
    if (service.unavailable.kind == Unavailable::Kind::fallback)
        yaml += "    unavailable: {fallback: " + text(service.unavailable.fallback) + "}\n";
    const auto& rule = service.registration;
    if (!rule.empty())
        yaml += "    register: " + users_and_groups(rule.users, rule.groups, rule.units) + "\n";
    if (service.mixed_ports) yaml += "    mixed_ports: true\n";
    if (!service.sockets.empty()) yaml += "    sockets:\n";
    for (const FollowRule& follow : service.sockets) yaml += follow_yaml(follow);
    return "  " + text(name) + (yaml.empty() ? ": {}\n" : ":\n" + yaml);
}

std::string target_yaml(const Target& target) {
    switch (target.kind) {
        case Target::Kind::reject:
            return "reject: true";
        case Target::Kind::pass:
            return "pass: true";
        case Target::Kind::service:
            break;
    }
    return "service: " + text(*target.name);
}

// Bindings that differ in their prefix only are one entry.
std::string bindings_yaml(const Bindings& bindings) {
    std::map<std::string, std::vector<Prefix>> entries;
    for (const Binding& binding : bindings)
        entries[target_yaml(binding.target) +
                "\n    protocol: " + std::string(to_string(binding.match.protocol)) +
                "\n    port: " + to_string(binding.match.ports)]
            .push_back(binding.match.prefix);
    std::string yaml;
    for (const auto& [entry, prefixes] : entries) {
        yaml += "  - " + entry + "\n    prefix:\n";
        for (const Prefix& prefix : prefixes) yaml += "      - \"" + to_string(prefix) + "\"\n";
    }
    return yaml;
}

std::string guards_yaml(const Guards& guards) {
    std::string yaml = "guards:\n  max_removed: {percent: " +
                       std::to_string(static_cast<int>(guards.max_removed_percent)) +
                       ", at_least: " + std::to_string(guards.max_removed_at_least) + "}\n";
    if (!guards.protected_prefixes.empty())
        yaml += "  protected: " + quoted_list(guards.protected_prefixes) + "\n";
    yaml += std::string("  allow_empty: ") + (guards.allow_empty ? "true" : "false") + "\n";
    yaml += std::string("  unserved: ") + (guards.refuse_unserved ? "refuse" : "allow") + "\n";
    if (!guards.host_addresses.empty())
        yaml += "  host_addresses: " + quoted_list(guards.host_addresses) + "\n";
    return yaml;
}

}  // namespace

std::string to_yaml(const Config& config) {
    std::string yaml = "version: 1\n";
    const std::string admins = users_and_groups(config.admins.users, config.admins.groups, {});
    if (!admins.empty()) yaml += "admins: " + admins + "\n";
    if (!config.services.empty()) yaml += "services:\n";
    for (const auto& [name, service] : config.services) yaml += service_yaml(name, service);
    if (!config.bindings.empty()) yaml += "bindings:\n" + bindings_yaml(config.bindings);
    return yaml + guards_yaml(config.guards) + dataplane_yaml(config.dataplane);
}

}  // namespace sluice

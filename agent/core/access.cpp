// SPDX-License-Identifier: Apache-2.0
#include "core/access.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <fnmatch.h>

namespace sluice {
namespace {

constexpr std::string_view readers = "sluice";  // the group that may read

// A rule in digits is an id and never a name: a user called "0" must not become root, nor "33"
// nginx.
bool names_id(const std::string& rule, std::uint32_t id, const std::string& name) {
    if (rule.empty()) return false;
    const bool digits =
        std::all_of(rule.begin(), rule.end(), [](char c) { return '0' <= c && c <= '9'; });
    if (!digits) return rule == name;
    std::uint32_t wanted = 0;
    auto [end, problem] = std::from_chars(rule.data(), rule.data() + rule.size(), wanted);
    return problem == std::errc{} && end == rule.data() + rule.size() && wanted == id;
}

bool any_user(const std::vector<std::string>& rules, const Peer& peer) {
    return std::any_of(rules.begin(), rules.end(),
                       [&](auto& rule) { return names_user(rule, peer); });
}

bool any_group(const std::vector<std::string>& rules, const Peer& peer) {
    return std::any_of(rules.begin(), rules.end(),
                       [&](auto& rule) { return names_group(rule, peer); });
}

bool any_unit(const std::vector<std::string>& rules, const Peer& peer) {
    if (!peer.unit || peer.unit->empty()) return false;
    return std::any_of(rules.begin(), rules.end(), [&](auto& rule) {
        return ::fnmatch(rule.c_str(), peer.unit->c_str(), 0) == 0;
    });
}

bool is_admin(const Peer& peer, const Admins& admins) {
    return peer.uid == 0 || any_user(admins.users, peer) || any_group(admins.groups, peer);
}

bool matches(const RegisterRule& rule, const Peer& peer) {
    return any_user(rule.users, peer) || any_group(rule.groups, peer) || any_unit(rule.units, peer);
}

std::unexpected<Error> refuse(const Peer& peer, const std::string& what, std::string hint) {
    return fail(
        Error(Failure::refused, to_string(peer) + " may not " + what).hint(std::move(hint)));
}

struct Hierarchy {
    std::string_view controllers;
    std::string_view path;
};

// "0::/system.slice/a.service", "1:name=systemd:/system.slice/a.service"
std::optional<Hierarchy> parse_hierarchy(std::string_view line) {
    const auto first = line.find(':');
    if (first == std::string_view::npos) return std::nullopt;
    const auto second = line.find(':', first + 1);
    if (second == std::string_view::npos) return std::nullopt;
    return Hierarchy{line.substr(first + 1, second - first - 1), line.substr(second + 1)};
}

// systemd's own hierarchy where cgroups are of version 1 or mixed, else the one of version 2.
std::string_view path_of(std::string_view proc_cgroup) {
    std::string_view unified;
    while (!proc_cgroup.empty()) {
        const auto end = std::min(proc_cgroup.find('\n'), proc_cgroup.size());
        const auto hierarchy = parse_hierarchy(proc_cgroup.substr(0, end));
        proc_cgroup.remove_prefix(std::min(end + 1, proc_cgroup.size()));
        if (!hierarchy) continue;
        if (hierarchy->controllers == "name=systemd") return hierarchy->path;
        if (hierarchy->controllers.empty()) unified = hierarchy->path;
    }
    return unified;
}

// systemd.unit(5): the characters of unit names, and the types that have a cgroup.
bool is_unit_name(std::string_view name) {
    constexpr std::string_view symbols = ":-_.\\@";
    constexpr std::array<std::string_view, 5> types = {".service", ".scope", ".socket", ".mount",
                                                       ".swap"};
    const bool spelt = std::all_of(name.begin(), name.end(), [&](char c) {
        return ('a' <= c && c <= 'z') || ('A' <= c && c <= 'Z') || ('0' <= c && c <= '9') ||
               symbols.find(c) != std::string_view::npos;
    });
    return spelt && name.size() <= 255 && std::any_of(types.begin(), types.end(), [&](auto type) {
               return name.size() > type.size() && name.ends_with(type);
           });
}

}  // namespace

std::string to_string(const Peer& peer) {
    const std::string uid = std::to_string(peer.uid);
    std::string text =
        peer.user.empty() ? "uid " + uid : "user " + peer.user + " (uid " + uid + ")";
    if (peer.pid > 0) text += ", pid " + std::to_string(peer.pid);
    if (peer.unit) text += ", unit " + *peer.unit;
    return text;
}

bool names_user(const std::string& rule, const Peer& peer) {
    return names_id(rule, peer.uid, peer.user);
}

bool names_group(const std::string& rule, const Peer& peer) {
    const auto meant = [&](const PeerGroup& group) { return names_id(rule, group.id, group.name); };
    return meant(peer.group) || std::any_of(peer.groups.begin(), peer.groups.end(), meant);
}

Result<> may_read(const Peer& peer, const Admins& admins) {
    if (is_admin(peer, admins) || names_group(std::string(readers), peer)) return {};
    return refuse(peer, "read", "run it as root, or become a member of the group 'sluice'");
}

Result<> may_change(const Peer& peer, const Admins& admins) {
    if (is_admin(peer, admins)) return {};
    return refuse(peer, "change anything",
                  "run it as root, or let 'admins:' in the config name you");
}

Result<> may_register(const Peer& peer, const Admins& admins, std::string_view service,
                      const RegisterRule* rule) {
    if (is_admin(peer, admins) || (rule != nullptr && matches(*rule, peer))) return {};
    const std::string name(service);
    const std::string why = rule == nullptr || rule->empty()
                                ? ": nobody but root and admins may"
                                : ": its 'register:' does not name them";
    return refuse(peer, "register for the service '" + name + "'" + why,
                  "in the config, under services: " + name +
                      ": register:, name the user, a group or the unit");
}

bool may_register_something(const Peer& peer, const Config& config) {
    if (is_admin(peer, config.admins)) return true;
    return std::any_of(config.services.begin(), config.services.end(), [&](const auto& service) {
        return matches(service.second.registration, peer);
    });
}

std::optional<std::string> outermost_system_unit(std::string_view proc_cgroup) {
    std::string_view path = path_of(proc_cgroup);
    while (!path.empty() && path.front() == '/') {
        path.remove_prefix(1);
        const auto end = std::min(path.find('/'), path.size());
        std::string_view component = path.substr(0, end);
        path.remove_prefix(end);
        // systemd puts an underscore before names that the kernel would take for files of its own.
        if (component.starts_with('_')) component.remove_prefix(1);
        if (component.ends_with(".slice")) continue;
        if (!is_unit_name(component)) return std::nullopt;
        return std::string(component);
    }
    return std::nullopt;
}

}  // namespace sluice

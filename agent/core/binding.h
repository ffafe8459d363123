// SPDX-License-Identifier: Apache-2.0
// A binding: (protocol, prefix, ports) -> a service, reject, or pass.
#pragma once

#include <cstdint>
#include <string>

#include "core/address.h"
#include "core/shared_text.h"

namespace sluice {

// What a binding matches; also its identity. Two bindings of one owner never have the same match.
struct Match {
    Protocol protocol = Protocol::tcp;
    Prefix prefix;
    Ports ports;
    bool operator==(const Match&) const = default;
};

// The order of tables: family, protocol, address, length; on one prefix by first port, wider first.
std::strong_ordering operator<=>(const Match& a, const Match& b);

// The same (protocol, prefix): what one policy holds.
inline bool same_prefix(const Match& a, const Match& b) {
    return a.protocol == b.protocol && a.prefix == b.prefix;
}

std::string to_string(const Match& match);  // "tcp 192.0.2.0/24 443"

// Service names are 1 to 100 of A-Z a-z 0-9 . _ -
Result<std::string> parse_service_name(std::string_view text);

// Where matched traffic goes.
struct Target {
    enum class Kind : std::uint8_t { service, reject, pass };

    static Target service(SharedText name) { return {std::move(name), Kind::service}; }
    static Target service(std::string name) { return service(SharedText(std::move(name))); }
    static Target reject() { return {nullptr, Kind::reject}; }
    static Target pass() { return {nullptr, Kind::pass}; }

    bool is_service() const { return kind == Kind::service; }
    bool is_service(std::string_view wanted) const { return is_service() && *name == wanted; }
    bool operator==(const Target& other) const {
        return kind == other.kind && (kind != Kind::service || name.equal(other.name));
    }

    SharedText name;  // of the service; null for reject and pass
    Kind kind = Kind::pass;
};
std::string to_string(const Target& target);  // "cdn", "(reject)", "(pass)"

enum class Owner : std::uint8_t { config, runtime };
std::string_view to_string(Owner owner);

struct Binding {
    Match match;
    [[no_unique_address]] Target target;  // what follows fits behind its kind
    Owner owner = Owner::config;
    std::int32_t line = 0;   // in `file`; 0: none
    std::int64_t since = 0;  // seconds since 1970; 0: unknown
    SharedText file;         // the file that says so; null for runtime bindings
    SharedText note;         // `bind --note`, null without

    // The same answer for the same traffic by the same owner: a reload changes nothing.
    bool same_meaning(const Binding& other) const {
        return match == other.match && target == other.target && owner == other.owner;
    }
};
static_assert(sizeof(Binding) == 64, "a million of them are 64 MB");
std::string to_string(const Binding& binding);  // "tcp 192.0.2.0/24 443 -> cdn"

}  // namespace sluice

// SPDX-License-Identifier: Apache-2.0
// Protocols, addresses, prefixes and ports: what a binding matches, parsed strictly and printed one
// way.
#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <string>
#include <string_view>

#include "core/result.h"

namespace sluice {

enum class Protocol : std::uint8_t { tcp = 6, udp = 17 };  // IANA protocol numbers
enum class Family : std::uint8_t { ipv4 = 4, ipv6 = 6 };   // IP versions

Result<Protocol> parse_protocol(std::string_view text);  // "tcp" or "udp", lower case
std::string_view to_string(Protocol protocol);
std::string_view to_string(Family family);  // "ipv4", "ipv6"

struct Address {
    Family family = Family::ipv4;
    std::array<std::uint8_t, 16> bytes{};  // network byte order; IPv4 in the first 4, the rest zero

    // Refuses what people get wrong: leading zeros, zone ids, IPv4-mapped IPv6 (RFC 4291, 2.5.5.2).
    static Result<Address> parse(std::string_view text);
    int bits() const { return family == Family::ipv4 ? 32 : 128; }
    auto operator<=>(const Address&) const = default;
};
std::string to_string(const Address& address);  // RFC 5952 for IPv6

struct Prefix {
    Address address;          // bits below the mask are zero
    std::uint8_t length = 0;  // 0 .. 32 or 128

    // "192.0.2.0/24", "2001:db8::/32", or an address alone, which is that one address. Bits below
    // the mask are an error that names the prefix they may have meant.
    static Result<Prefix> parse(std::string_view text);
    static Prefix of(const Address& address, int length);  // clears the bits below the mask
    bool contains(const Address& other) const;
    bool contains(const Prefix& other) const;
    bool is_host() const { return length == address.bits(); }
    auto operator<=>(const Prefix&) const = default;
};
std::string to_string(const Prefix& prefix);  // always with its length: "192.0.2.1/32"

// A port, a range of ports, or any. `any` also matches port 0, and is wider than 1-65535.
struct Ports {
    std::uint16_t first = 0;
    std::uint16_t last = 65535;

    static constexpr Ports any() { return {0, 65535}; }
    static constexpr Ports one(std::uint16_t port) { return {port, port}; }
    static Result<Ports> parse(std::string_view text);  // "any", "443", "8000-8999"; never 0
    bool is_any() const { return first == 0 && last == 65535; }
    bool is_one() const { return first == last; }
    bool contains(std::uint16_t port) const { return first <= port && port <= last; }
    bool contains(const Ports& other) const { return first <= other.first && other.last <= last; }
    bool touches(const Ports& other) const { return first <= other.last && other.first <= last; }
    int width() const { return last - first + 1; }
    bool operator==(const Ports&) const = default;
};
std::string to_string(const Ports& ports);

// One port as people type it: 1 to 65535, no leading zero.
Result<std::uint16_t> parse_port(std::string_view text);

// "192.0.2.1:443", "[2001:db8::7]:443"
struct Endpoint {
    Address address;
    std::uint16_t port = 0;
    static Result<Endpoint> parse(std::string_view text);
    bool operator==(const Endpoint&) const = default;
};
std::string to_string(const Endpoint& endpoint);

}  // namespace sluice

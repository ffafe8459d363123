// SPDX-License-Identifier: Apache-2.0
#include "core/address.h"

#include <algorithm>
#include <arpa/inet.h>
#include <charconv>
#include <cstring>
#include <optional>

#include "core/text.h"

namespace sluice {
namespace {

// A decimal number without sign, leading zero or trailing text; nothing else is a number here.
std::optional<unsigned> parse_number(std::string_view text, unsigned most) {
    if (text.empty() || (text.size() > 1 && text.front() == '0')) return std::nullopt;
    unsigned value = 0;
    auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (problem != std::errc{} || end != text.data() + text.size() || value > most)
        return std::nullopt;
    return value;
}

bool is_v4_mapped(const std::array<std::uint8_t, 16>& bytes) {
    return std::all_of(bytes.begin(), bytes.begin() + 10, [](auto b) { return b == 0; }) &&
           bytes[10] == 0xff && bytes[11] == 0xff;
}

}  // namespace

Result<Protocol> parse_protocol(std::string_view text) {
    if (text == "tcp") return Protocol::tcp;
    if (text == "udp") return Protocol::udp;
    return fail(Failure::invalid,
                "unknown protocol " + quoted(text) + ": tcp or udp, in lower case");
}

std::string_view to_string(Protocol protocol) { return protocol == Protocol::tcp ? "tcp" : "udp"; }
std::string_view to_string(Family family) { return family == Family::ipv4 ? "ipv4" : "ipv6"; }

Result<Address> Address::parse(std::string_view text) {
    const std::string copy(text);
    Address address;
    if (copy.find('\0') != std::string::npos || copy.size() > INET6_ADDRSTRLEN)
        return fail(Failure::invalid, quoted(text) + " is not an IP address");
    if (copy.find('%') != std::string::npos)
        return fail(
            Failure::invalid,
            quoted(text) + " has a zone id: bindings are for addresses that every link shares");
    if (copy.find(':') == std::string::npos) {
        address.family = Family::ipv4;
        if (inet_pton(AF_INET, copy.c_str(), address.bytes.data()) == 1) return address;
        return fail(
            Failure::invalid,
            quoted(text) +
                " is not an IPv4 address (four numbers from 0 to 255, without leading zeros)");
    }
    address.family = Family::ipv6;
    if (inet_pton(AF_INET6, copy.c_str(), address.bytes.data()) != 1)
        return fail(Failure::invalid, quoted(text) + " is not an IPv6 address");
    if (is_v4_mapped(address.bytes))
        return fail(
            Failure::invalid,
            quoted(text) +
                " is an IPv4-mapped address: IPv4 traffic is matched by IPv4 prefixes only");
    return address;
}

std::string to_string(const Address& address) {
    char text[INET6_ADDRSTRLEN];
    const int family = address.family == Family::ipv4 ? AF_INET : AF_INET6;
    return inet_ntop(family, address.bytes.data(), text, sizeof text);
}

Prefix Prefix::of(const Address& address, int length) {
    Prefix prefix{address, static_cast<std::uint8_t>(length)};
    for (int byte = 0; byte < 16; ++byte) {
        const int kept = std::clamp(length - byte * 8, 0, 8);
        prefix.address.bytes[static_cast<std::size_t>(byte)] &=
            static_cast<std::uint8_t>(0xff00U >> static_cast<unsigned>(kept));
    }
    return prefix;
}

Result<Prefix> Prefix::parse(std::string_view text) {
    const auto slash = text.find('/');
    auto address = Address::parse(text.substr(0, slash));
    if (!address) return pass_on(address);
    if (slash == std::string_view::npos) return Prefix::of(*address, address->bits());
    const auto length =
        parse_number(text.substr(slash + 1), static_cast<unsigned>(address->bits()));
    if (!length)
        return fail(Failure::invalid, quoted(text) + " has no prefix length from 0 to " +
                                          std::to_string(address->bits()) + " after the slash");
    const Prefix prefix = Prefix::of(*address, static_cast<int>(*length));
    if (prefix.address != *address)
        return fail(Error(Failure::invalid, quoted(text) + " has bits set below its mask")
                        .hint("did you mean " + to_string(prefix) + ", or " + to_string(*address) +
                              "/" + std::to_string(address->bits()) + "?"));
    return prefix;
}

bool Prefix::contains(const Address& other) const {
    if (other.family != address.family) return false;
    const auto whole = static_cast<std::size_t>(length / 8);
    if (std::memcmp(address.bytes.data(), other.bytes.data(), whole) != 0) return false;
    if (length % 8 == 0) return true;
    const auto mask = static_cast<std::uint8_t>(0xff00U >> (length % 8U));
    return (other.bytes[whole] & mask) == address.bytes[whole];
}

bool Prefix::contains(const Prefix& other) const {
    return other.length >= length && contains(other.address);
}

std::string to_string(const Prefix& prefix) {
    return to_string(prefix.address) + "/" + std::to_string(prefix.length);
}

Result<std::uint16_t> parse_port(std::string_view text) {
    const auto port = parse_number(text, 65535);
    if (!port || *port == 0)
        return fail(
            Failure::invalid,
            quoted(text) + " is not a port: a number from 1 to 65535, without leading zeros");
    return static_cast<std::uint16_t>(*port);
}

Result<Ports> Ports::parse(std::string_view text) {
    if (text == "any") return any();
    const auto dash = text.find('-');
    auto first = parse_port(text.substr(0, dash));
    if (first && dash == std::string_view::npos) return one(*first);
    auto last = dash == std::string_view::npos ? first : parse_port(text.substr(dash + 1));
    if (!first || !last)
        return fail(
            Failure::invalid,
            quoted(text) +
                " is not a port, a range or 'any': ports are 1 to 65535, without leading zeros");
    if (*first > *last)
        return fail(Failure::invalid, quoted(text) + " is a range that ends before it starts");
    return Ports{*first, *last};
}

std::string to_string(const Ports& ports) {
    if (ports.is_any()) return "any";
    if (ports.is_one()) return std::to_string(ports.first);
    return std::to_string(ports.first) + "-" + std::to_string(ports.last);
}

Result<Endpoint> Endpoint::parse(std::string_view text) {
    const auto colon = text.rfind(':');
    const bool bracketed = text.starts_with('[');
    if (colon == std::string_view::npos || (bracketed && (colon < 2 || text[colon - 1] != ']')))
        return fail(Failure::invalid,
                    quoted(text) + " is not ADDRESS:PORT (IPv6 as [ADDRESS]:PORT)");
    auto address = Address::parse(bracketed ? text.substr(1, colon - 2) : text.substr(0, colon));
    if (!address) return pass_on(address);
    if (bracketed != (address->family == Family::ipv6))
        return fail(Failure::invalid,
                    quoted(text) + ": an IPv6 address with a port is written [ADDRESS]:PORT");
    auto port = parse_port(text.substr(colon + 1));
    if (!port) return pass_on(port);
    return Endpoint{*address, *port};
}

std::string to_string(const Endpoint& endpoint) {
    const std::string address = to_string(endpoint.address);
    const std::string host =
        endpoint.address.family == Family::ipv6 ? "[" + address + "]" : address;
    return host + ":" + std::to_string(endpoint.port);
}

}  // namespace sluice

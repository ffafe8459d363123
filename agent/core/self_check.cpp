// SPDX-License-Identifier: Apache-2.0
#include "core/self_check.h"

#include <random>

namespace sluice {
namespace {

using Random = std::mt19937_64;

Address anywhere(Random& random, Family family) {
    Address address;
    address.family = family;
    for (std::size_t i = 0; i < static_cast<std::size_t>(address.bits()) / 8; ++i)
        address.bytes.at(i) = static_cast<std::uint8_t>(random());
    return address;
}

// One more or one less, as a number; round at the ends.
Address neighbour(Address address, bool above) {
    for (std::size_t i = static_cast<std::size_t>(address.bits()) / 8; i-- > 0;) {
        std::uint8_t& byte = address.bytes.at(i);
        byte = static_cast<std::uint8_t>(above ? byte + 1 : byte - 1);
        if (byte != (above ? 0 : 255)) break;
    }
    return address;
}

Address last_of(const Prefix& prefix) {
    Address address = prefix.address;
    for (int bit = prefix.length; bit < address.bits(); ++bit)
        address.bytes.at(static_cast<std::size_t>(bit / 8)) |=
            static_cast<std::uint8_t>(0x80U >> static_cast<unsigned>(bit % 8));
    return address;
}

Address address_near(Random& random, const Prefix& prefix) {
    switch (random() % 5) {
        case 0:
            return prefix.address;
        case 1:
            return last_of(prefix);
        case 2:
            return neighbour(prefix.address, false);
        case 3:
            return neighbour(last_of(prefix), true);
        default:
            break;
    }
    Address inside = anywhere(random, prefix.address.family);
    const Address last = last_of(prefix);
    for (std::size_t i = 0; i < inside.bytes.size(); ++i) {
        const std::uint8_t host = prefix.address.bytes.at(i) ^ last.bytes.at(i);
        inside.bytes.at(i) =
            static_cast<std::uint8_t>(prefix.address.bytes.at(i) | (inside.bytes.at(i) & host));
    }
    return inside;
}

std::uint16_t port_near(Random& random, const Ports& ports) {
    const auto one = [](int port) { return static_cast<std::uint16_t>(port); };
    switch (random() % 5) {
        case 0:
            return ports.first;
        case 1:
            return ports.last;
        case 2:
            return one(ports.first - 1);
        case 3:
            return one(ports.last + 1);
        default:
            return one(static_cast<int>(random() & 0xffffU));
    }
}

}  // namespace

std::vector<CheckQuestion> check_questions(const Bindings& bindings, std::size_t count,
                                           std::uint64_t seed) {
    Random random(seed);
    std::vector<CheckQuestion> questions;
    questions.reserve(count);
    while (questions.size() < count) {
        const Protocol protocol = random() % 2 == 0 ? Protocol::tcp : Protocol::udp;
        if (bindings.empty() || random() % 8 == 0) {
            const Family family = random() % 2 == 0 ? Family::ipv4 : Family::ipv6;
            const Address address = anywhere(random, family);
            questions.push_back({protocol, {address, static_cast<std::uint16_t>(random())}});
            continue;
        }
        const Match& match = bindings.all()[random() % bindings.size()].match;
        const Address address = address_near(random, match.prefix);
        questions.push_back({random() % 8 == 0 ? protocol : match.protocol,
                             {address, port_near(random, match.ports)}});
    }
    return questions;
}

}  // namespace sluice

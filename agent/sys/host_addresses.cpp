// SPDX-License-Identifier: Apache-2.0
#include "sys/host_addresses.h"

#include <cerrno>
#include <cstring>
#include <ifaddrs.h>
#include <memory>
#include <net/if.h>
#include <netinet/in.h>
#include <set>

namespace sluice {
namespace {

std::set<Address> addresses_in(const ifaddrs* list) {
    std::set<Address> found;
    for (const ifaddrs* one = list; one != nullptr; one = one->ifa_next) {
        if (one->ifa_addr == nullptr || (one->ifa_flags & IFF_LOOPBACK) != 0) continue;
        Address address;
        if (one->ifa_addr->sa_family == AF_INET) {
            const auto* ipv4 = reinterpret_cast<const sockaddr_in*>(one->ifa_addr);
            address.family = Family::ipv4;
            std::memcpy(address.bytes.data(), &ipv4->sin_addr, sizeof ipv4->sin_addr);
        } else if (one->ifa_addr->sa_family == AF_INET6) {
            const auto* ipv6 = reinterpret_cast<const sockaddr_in6*>(one->ifa_addr);
            address.family = Family::ipv6;
            std::memcpy(address.bytes.data(), &ipv6->sin6_addr, sizeof ipv6->sin6_addr);
        } else {
            continue;
        }
        found.insert(address);
    }
    return found;
}

}  // namespace

Result<std::vector<Address>> host_addresses() {
    ifaddrs* list = nullptr;
    if (::getifaddrs(&list) != 0) return fail_errno(errno, "list this host's addresses");
    const std::unique_ptr<ifaddrs, decltype(&::freeifaddrs)> owner(list, &::freeifaddrs);
    const auto found = addresses_in(list);
    return std::vector<Address>(found.begin(), found.end());
}

}  // namespace sluice

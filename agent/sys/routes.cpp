// SPDX-License-Identifier: Apache-2.0
#include "sys/routes.h"

#include <array>
#include <cerrno>
#include <cstring>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>
#include <sys/time.h>

#include "sys/fd.h"

namespace sluice {
namespace {

struct Request {
    nlmsghdr header;
    rtmsg route;
    rtattr attribute;
    std::array<std::uint8_t, 16> address;
};

Result<Fd> open_netlink() {
    Fd fd(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE));
    if (!fd) return fail_errno(errno, "open a netlink socket");
    const timeval patience{1, 0};  // the kernel answers at once; never wait for ever
    ::setsockopt(fd.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    return fd;
}

// The route type (RTN_LOCAL, …) of one address; RTN_UNREACHABLE when there is no route.
Result<unsigned char> route_type(const Fd& netlink, const Address& address) {
    Request request{};
    const std::size_t bytes = address.family == Family::ipv4 ? 4 : 16;
    request.header.nlmsg_len = static_cast<__u32>(NLMSG_LENGTH(sizeof(rtmsg)) + RTA_LENGTH(bytes));
    request.header.nlmsg_type = RTM_GETROUTE;
    request.header.nlmsg_flags = NLM_F_REQUEST;
    request.route.rtm_family = address.family == Family::ipv4 ? AF_INET : AF_INET6;
    request.route.rtm_dst_len = static_cast<unsigned char>(bytes * 8);
    request.attribute.rta_type = RTA_DST;
    request.attribute.rta_len = static_cast<unsigned short>(RTA_LENGTH(bytes));
    request.address = address.bytes;
    if (::send(netlink.get(), &request, request.header.nlmsg_len, 0) < 0)
        return fail_errno(errno, "ask for the route to " + to_string(address));
    alignas(nlmsghdr) std::array<char, 4096> reply{};
    const ssize_t got = ::recv(netlink.get(), reply.data(), reply.size(), 0);
    if (got < 0) return fail_errno(errno, "ask for the route to " + to_string(address));
    nlmsghdr header{};
    if (static_cast<std::size_t>(got) < sizeof header)
        return fail(Failure::failed, "the kernel's answer about a route is cut short");
    std::memcpy(&header, reply.data(), sizeof header);
    if (header.nlmsg_type != RTM_NEWROUTE) return static_cast<unsigned char>(RTN_UNREACHABLE);
    rtmsg route{};
    std::memcpy(&route, reply.data() + NLMSG_HDRLEN, sizeof route);
    return route.rtm_type;
}

Address last_of(const Prefix& prefix) {
    Address last = prefix.address;
    for (int bit = prefix.length; bit < last.bits(); ++bit) {
        auto& byte = last.bytes[static_cast<std::size_t>(bit / 8)];
        byte = static_cast<std::uint8_t>(byte | 0x80U >> static_cast<unsigned>(bit % 8));
    }
    return last;
}

}  // namespace

Result<bool> is_local(const Prefix& prefix) {
    auto netlink = open_netlink();
    if (!netlink) return pass_on(netlink);
    Address first = prefix.address, last = last_of(prefix);
    // The ends of an IPv4 network may be broadcast addresses, which say nothing about the rest.
    if (first.family == Family::ipv4 && prefix.length < 31) {
        first.bytes[3] = static_cast<std::uint8_t>(first.bytes[3] | 1U);
        last.bytes[3] = static_cast<std::uint8_t>(last.bytes[3] & 0xfeU);
    }
    for (const Address& address : {first, last}) {
        auto type = route_type(*netlink, address);
        if (!type) return pass_on(type);
        if (*type != RTN_LOCAL) return false;
    }
    return true;
}

}  // namespace sluice

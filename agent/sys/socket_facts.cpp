// SPDX-License-Identifier: Apache-2.0
#include "sys/socket_facts.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <linux/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include "sys/fd.h"

namespace sluice {
namespace {

constexpr int so_netns_cookie = 71;  // newer than Debian 12's headers' guarantee

// An option of fixed size; nothing when the socket has no such option.
template <class T>
std::optional<T> option(int fd, int level, int name) {
    T value{};
    socklen_t size = sizeof value;
    if (::getsockopt(fd, level, name, &value, &size) != 0) return std::nullopt;
    return value;
}

bool flag(int fd, int level, int name) { return option<int>(fd, level, name).value_or(0) != 0; }

std::optional<Endpoint> endpoint_of(const sockaddr_storage& storage) {
    Endpoint endpoint;
    if (storage.ss_family == AF_INET) {
        sockaddr_in in{};
        std::memcpy(&in, &storage, sizeof in);
        std::memcpy(endpoint.address.bytes.data(), &in.sin_addr, 4);
        endpoint.port = ntohs(in.sin_port);
        return endpoint;
    }
    if (storage.ss_family == AF_INET6) {
        sockaddr_in6 in{};
        std::memcpy(&in, &storage, sizeof in);
        endpoint.address.family = Family::ipv6;
        std::memcpy(endpoint.address.bytes.data(), &in.sin6_addr, 16);
        endpoint.port = ntohs(in.sin6_port);
        return endpoint;
    }
    return std::nullopt;
}

bool has_peer(int fd) {
    sockaddr_storage storage{};
    socklen_t size = sizeof storage;
    return ::getpeername(fd, reinterpret_cast<sockaddr*>(&storage), &size) == 0;
}

void add_address(int fd, SocketFacts& facts) {
    sockaddr_storage storage{};
    socklen_t size = sizeof storage;
    if (::getsockname(fd, reinterpret_cast<sockaddr*>(&storage), &size) != 0) return;
    facts.local = endpoint_of(storage);
    if (!facts.local || facts.local->address.family != Family::ipv6) return;
    const auto& bytes = facts.local->address.bytes;
    facts.mapped = std::all_of(bytes.begin(), bytes.begin() + 10, [](auto b) { return b == 0; }) &&
                   bytes[10] == 0xff && bytes[11] == 0xff;
}

std::string device_of(int fd) {
    std::array<char, IFNAMSIZ> name{};
    socklen_t size = name.size();
    if (::getsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, name.data(), &size) != 0) return {};
    return {name.data(), ::strnlen(name.data(), size)};
}

void add_tcp(int fd, SocketFacts& facts) {
    tcp_info info{};
    socklen_t size = sizeof info;
    // Of a listener, tcpi_sacked is the backlog (tcp_get_info() in the kernel).
    if (facts.listening && ::getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &size) == 0)
        facts.backlog = info.tcpi_sacked;
}

void add_udp(int fd, SocketFacts& facts) {
    constexpr int ip_recvorigdstaddr = 20, ipv6_recvorigdstaddr = 74;
    if (facts.domain == AF_INET6) {
        facts.original_destination = flag(fd, IPPROTO_IPV6, ipv6_recvorigdstaddr);
        facts.packet_info = flag(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO);
    } else {
        facts.original_destination = flag(fd, IPPROTO_IP, ip_recvorigdstaddr);
        facts.packet_info = flag(fd, IPPROTO_IP, IP_PKTINFO);
    }
}

// What drops packets before the socket sees them (sk_get_filter() in the kernel).
void add_filter(int fd, SocketFacts& facts) {
    socklen_t instructions = 0;
    const int result = ::getsockopt(fd, SOL_SOCKET, SO_GET_FILTER, nullptr, &instructions);
    facts.filter_length = result == 0 ? instructions : 0;
    // An eBPF program has no classic instructions to show.
    facts.filter = facts.filter_length != 0 || (result != 0 && errno == EACCES);
}

}  // namespace

Result<SocketFacts> socket_facts(int fd) {
    SocketFacts facts;
    // Not fstat(2): of a file on a network or in user space that may wait for its server.
    socklen_t size = sizeof facts.domain;
    if (::getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &facts.domain, &size) != 0) {
        const int error = errno;
        // A descriptor that only stands for a path (O_PATH) is open, and good for nothing.
        const bool open = error == EBADF && ::fcntl(fd, F_GETFD) >= 0;
        if (error == ENOTSOCK || open) return facts;
        return fail_errno(error, "look at descriptor " + std::to_string(fd));
    }
    facts.is_socket = true;
    facts.type = option<int>(fd, SOL_SOCKET, SO_TYPE).value_or(0);
    facts.protocol = option<int>(fd, SOL_SOCKET, SO_PROTOCOL).value_or(0);
    if (facts.domain != AF_INET && facts.domain != AF_INET6) return facts;
    facts.listening = flag(fd, SOL_SOCKET, SO_ACCEPTCONN);
    facts.connected = has_peer(fd);
    facts.v6only = facts.domain == AF_INET6 && flag(fd, IPPROTO_IPV6, IPV6_V6ONLY);
    const auto cookie = option<std::uint64_t>(fd, SOL_SOCKET, SO_COOKIE);
    if (!cookie) return fail_errno(errno, "ask for the socket's cookie");
    facts.cookie = *cookie;
    facts.netns_cookie = option<std::uint64_t>(fd, SOL_SOCKET, so_netns_cookie);
    facts.device = device_of(fd);
    add_address(fd, facts);
    add_filter(fd, facts);
    facts.transparent = flag(fd, IPPROTO_IP, IP_TRANSPARENT);  // one flag for both families
    facts.freebind = flag(fd, IPPROTO_IP, IP_FREEBIND);
    if (facts.protocol == IPPROTO_TCP) add_tcp(fd, facts);
    if (facts.protocol == IPPROTO_UDP) add_udp(fd, facts);
    return facts;
}

std::uint64_t own_netns_cookie() {
    const Fd socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    return option<std::uint64_t>(socket.get(), SOL_SOCKET, so_netns_cookie).value_or(0);
}

}  // namespace sluice

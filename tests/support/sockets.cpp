// SPDX-License-Identifier: Apache-2.0
#include "support/sockets.h"

#include <array>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdexcept>
#include <sys/socket.h>

#include "support/world.h"

namespace sluice::testing {
namespace {

constexpr int patience_ms = 2000;  // for what must happen
constexpr int silence_ms = 200;    // for what must not

struct SockAddr {
    sockaddr_storage storage{};
    socklen_t size = 0;
    sockaddr* get() { return reinterpret_cast<sockaddr*>(&storage); }
};

SockAddr sockaddr_of(const Endpoint& endpoint) {
    SockAddr result;
    if (endpoint.address.family == Family::ipv4) {
        sockaddr_in in{};
        in.sin_family = AF_INET;
        in.sin_port = htons(endpoint.port);
        std::memcpy(&in.sin_addr, endpoint.address.bytes.data(), 4);
        std::memcpy(&result.storage, &in, sizeof in);
        result.size = sizeof in;
    } else {
        sockaddr_in6 in{};
        in.sin6_family = AF_INET6;
        in.sin6_port = htons(endpoint.port);
        std::memcpy(&in.sin6_addr, endpoint.address.bytes.data(), 16);
        std::memcpy(&result.storage, &in, sizeof in);
        result.size = sizeof in;
    }
    return result;
}

[[noreturn]] void throw_errno(const std::string& what) {
    throw std::runtime_error(what + ": " + std::strerror(errno));
}

bool readable(const Fd& fd, int milliseconds) {
    pollfd wait{fd.get(), POLLIN, 0};
    return ::poll(&wait, 1, milliseconds) == 1;
}

Fd open_socket(Protocol protocol, Family family, int flags) {
    Fd fd(::socket(family == Family::ipv4 ? AF_INET : AF_INET6,
                   (protocol == Protocol::tcp ? SOCK_STREAM : SOCK_DGRAM) | SOCK_CLOEXEC | flags,
                   0));
    if (!fd) throw_errno("socket");
    return fd;
}

// A connection under way, and how it ended.
struct Dialled {
    Fd fd;
    std::string result;
};

Dialled dial_for(std::string_view to, int milliseconds) {
    const Endpoint endpoint = at(to);
    Fd fd = open_socket(Protocol::tcp, endpoint.address.family, SOCK_NONBLOCK);
    SockAddr address = sockaddr_of(endpoint);
    int error = 0;
    if (::connect(fd.get(), address.get(), address.size) != 0) error = errno;
    if (error == EINPROGRESS) {
        pollfd wait{fd.get(), POLLOUT, 0};
        if (::poll(&wait, 1, milliseconds) != 1) return {std::move(fd), "timeout"};
        socklen_t size = sizeof error;
        ::getsockopt(fd.get(), SOL_SOCKET, SO_ERROR, &error, &size);
    }
    if (error == ECONNREFUSED) return {std::move(fd), "refused"};
    return {std::move(fd), error == 0 ? "connected" : std::strerror(error)};
}

}  // namespace

Endpoint at(std::string_view text) {
    if (!text.ends_with(":0")) return must(Endpoint::parse(text));
    Endpoint any = must(Endpoint::parse(std::string(text.substr(0, text.size() - 1)) + "1"));
    any.port = 0;
    return any;
}

Fd serve(Protocol protocol, std::string_view text, SocketOptions options) {
    const Endpoint endpoint = at(text);
    Fd fd = open_socket(protocol, endpoint.address.family, 0);
    const int on = 1, off = 0;
    if (endpoint.address.family == Family::ipv6)
        ::setsockopt(fd.get(), IPPROTO_IPV6, IPV6_V6ONLY, options.v6only ? &on : &off, sizeof on);
    if (options.reuseport) ::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEPORT, &on, sizeof on);
    SockAddr address = sockaddr_of(endpoint);
    if (::bind(fd.get(), address.get(), address.size) != 0)
        throw_errno("bind " + std::string(text));
    if (protocol == Protocol::tcp && ::listen(fd.get(), options.backlog) != 0)
        throw_errno("listen");
    return fd;
}

std::uint64_t cookie_of(const Fd& socket) {
    std::uint64_t cookie = 0;
    socklen_t size = sizeof cookie;
    if (::getsockopt(socket.get(), SOL_SOCKET, SO_COOKIE, &cookie, &size) != 0)
        throw_errno("SO_COOKIE");
    return cookie;
}

std::string dial(std::string_view to) { return dial_for(to, patience_ms).result; }

bool reaches(std::string_view to, const Fd& listener) {
    const Dialled dialled = dial_for(to, patience_ms);
    if (dialled.result != "connected" || !readable(listener, patience_ms)) return false;
    const Fd accepted(::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
    return static_cast<bool>(accepted);
}

bool datagram_reaches(std::string_view to, const Fd& server) {
    static unsigned sent = 0;
    const std::string text = "datagram " + std::to_string(++sent);
    const Endpoint endpoint = at(to);
    const Fd client = open_socket(Protocol::udp, endpoint.address.family, 0);
    SockAddr address = sockaddr_of(endpoint);
    ::sendto(client.get(), text.data(), text.size(), 0, address.get(), address.size);
    if (!readable(server, silence_ms)) return false;
    std::array<char, 64> buffer{};
    const ssize_t got = ::recv(server.get(), buffer.data(), buffer.size(), 0);
    return got == static_cast<ssize_t>(text.size()) &&
           std::memcmp(buffer.data(), text.data(), text.size()) == 0;
}

}  // namespace sluice::testing

// SPDX-License-Identifier: Apache-2.0
#include "sys/socket_list.h"

#include <array>
#include <cerrno>
#include <cstring>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/time.h>

namespace sluice {
namespace {

struct Request {
    nlmsghdr header;
    inet_diag_req_v2 body;
};

Result<> ask(const Fd& netlink, Protocol protocol, Family family) {
    Request request{};
    request.header.nlmsg_len = sizeof request;
    request.header.nlmsg_type = SOCK_DIAG_BY_FAMILY;
    request.header.nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
    request.body.sdiag_family = family == Family::ipv4 ? AF_INET : AF_INET6;
    request.body.sdiag_protocol = protocol == Protocol::tcp ? IPPROTO_TCP : IPPROTO_UDP;
    // An unconnected UDP socket is in the state "closed".
    request.body.idiag_states = 1U << (protocol == Protocol::tcp ? TCP_LISTEN : TCP_CLOSE);
    if (::send(netlink.get(), &request, sizeof request, 0) < 0)
        return fail_errno(errno, "ask for the list of sockets");
    return {};
}

ListedSocket listed(const inet_diag_msg& message, Protocol protocol, Family family) {
    ListedSocket socket;
    socket.local.protocol = protocol;
    socket.local.address.family = family;
    std::memcpy(socket.local.address.bytes.data(), message.id.idiag_src,
                family == Family::ipv4 ? 4 : 16);
    socket.local.port = ntohs(message.id.idiag_sport);
    socket.cookie = std::uint64_t{message.id.idiag_cookie[1]} << 32U | message.id.idiag_cookie[0];
    socket.inode = message.idiag_inode;
    return socket;
}

// One datagram of the answer. True when it was the last.
Result<bool> read_part(const char* part, std::size_t size, Protocol protocol, Family family,
                       std::vector<ListedSocket>& sockets) {
    while (size >= sizeof(nlmsghdr)) {
        nlmsghdr header{};
        std::memcpy(&header, part, sizeof header);
        if (header.nlmsg_len < sizeof header || header.nlmsg_len > size) break;
        if (header.nlmsg_type == NLMSG_DONE) return true;
        if (header.nlmsg_type == NLMSG_ERROR) {
            nlmsgerr error{};
            std::memcpy(&error, part + NLMSG_HDRLEN,
                        std::min(sizeof error, size - std::size_t{NLMSG_HDRLEN}));
            return fail_errno(-error.error, "list the sockets");
        }
        if (header.nlmsg_len >= NLMSG_LENGTH(sizeof(inet_diag_msg))) {
            inet_diag_msg message{};
            std::memcpy(&message, part + NLMSG_HDRLEN, sizeof message);
            if (message.id.idiag_sport != 0) sockets.push_back(listed(message, protocol, family));
        }
        const std::size_t whole = NLMSG_ALIGN(header.nlmsg_len);
        if (whole >= size) return false;
        part += whole;
        size -= whole;
    }
    return fail(Failure::failed, "the kernel's list of sockets is cut short");
}

}  // namespace

Result<SocketList> SocketList::open() {
    Fd fd(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG));
    if (!fd) return fail_errno(errno, "open a netlink socket for sock_diag");
    const timeval patience{1, 0};  // the kernel answers at once; never wait for ever
    ::setsockopt(fd.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    return SocketList(std::move(fd));
}

Result<std::vector<ListedSocket>> SocketList::list(Protocol protocol, Family family) const {
    if (auto ok = ask(netlink_, protocol, family); !ok) return pass_on(ok);
    std::vector<ListedSocket> sockets;
    alignas(nlmsghdr) std::array<char, std::size_t{32} << 10U> buffer{};
    for (;;) {
        const ssize_t got = ::recv(netlink_.get(), buffer.data(), buffer.size(), 0);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return fail_errno(errno, "list the sockets");
        auto last =
            read_part(buffer.data(), static_cast<std::size_t>(got), protocol, family, sockets);
        if (!last) return pass_on(last);
        if (*last) return sockets;
    }
}

}  // namespace sluice

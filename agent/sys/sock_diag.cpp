// SPDX-License-Identifier: Apache-2.0
#include "sys/sock_diag.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <linux/filter.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <sys/socket.h>

namespace sluice {
namespace {

constexpr int buffer_bytes = 1 << 20;
constexpr std::size_t most_messages = 256;  // of one batch
// Beyond, the filter lets all ports pass: a jump of classic BPF reaches 255 instructions.
constexpr std::size_t most_ports = 128;

// Of a message: the netlink header, then an inet_diag_msg.
constexpr std::uint32_t local_port_at =
    NLMSG_HDRLEN + offsetof(inet_diag_msg, id) + offsetof(inet_diag_sockid, idiag_sport);
constexpr std::uint32_t peer_port_at =
    NLMSG_HDRLEN + offsetof(inet_diag_msg, id) + offsetof(inet_diag_sockid, idiag_dport);

int group_of(Protocol protocol, Family family) {
    if (family == Family::ipv4)
        return protocol == Protocol::tcp ? SKNLGRP_INET_TCP_DESTROY : SKNLGRP_INET_UDP_DESTROY;
    return protocol == Protocol::tcp ? SKNLGRP_INET6_TCP_DESTROY : SKNLGRP_INET6_UDP_DESTROY;
}

sock_filter load_port(std::uint32_t at) { return BPF_STMT(BPF_LD | BPF_H | BPF_ABS, at); }

// One in `sampled`, by the kernel's random numbers.
void add_sample(std::vector<sock_filter>& program) {
    program.push_back(
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, static_cast<std::uint32_t>(SKF_AD_OFF + SKF_AD_RANDOM)));
    program.push_back(BPF_STMT(BPF_ALU | BPF_AND | BPF_K, DestroyedSockets::sampled - 1));
    program.push_back(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0, 1, 0));
    program.push_back(BPF_STMT(BPF_RET | BPF_K, 0));
    program.push_back(BPF_STMT(BPF_RET | BPF_K, ~0U));
}

std::vector<sock_filter> filter_for(std::span<const std::uint16_t> ports) {
    constexpr std::uint8_t sample = 3;  // instructions before the return that takes the message
    std::vector<sock_filter> program{load_port(peer_port_at)};
    if (ports.size() > most_ports) {
        program.push_back(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0, 0, 1));
        program.push_back(BPF_STMT(BPF_RET | BPF_K, ~0U));
    } else {
        const auto count = static_cast<std::uint8_t>(ports.size());
        program.push_back(
            BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0, 0, static_cast<std::uint8_t>(count + 1)));
        program.push_back(load_port(local_port_at));
        for (std::uint8_t i = 0; i < count; ++i)
            program.push_back(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ports[i],
                                       static_cast<std::uint8_t>(count - i + sample), 0));
    }
    add_sample(program);
    return program;
}

}  // namespace

Result<DestroyedSockets> DestroyedSockets::open() {
    Fd fd(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_SOCK_DIAG));
    if (!fd) return fail_errno(errno, "open a sock_diag socket");
    // As large as we may have it: what does not fit is found by looking.
    if (::setsockopt(fd.get(), SOL_SOCKET, SO_RCVBUFFORCE, &buffer_bytes, sizeof buffer_bytes) != 0)
        ::setsockopt(fd.get(), SOL_SOCKET, SO_RCVBUF, &buffer_bytes, sizeof buffer_bytes);
    const sockaddr_nl address{.nl_family = AF_NETLINK, .nl_pad = 0, .nl_pid = 0, .nl_groups = 0};
    if (::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
        return fail_errno(errno, "bind a sock_diag socket");
    DestroyedSockets sockets(std::move(fd));
    if (auto ok = sockets.watch_ports({}); !ok) return pass_on(ok);
    return sockets;
}

Result<> DestroyedSockets::hear(Protocol protocol, Family family, bool on) {
    const int group = group_of(protocol, family);
    if (::setsockopt(fd_.get(), SOL_NETLINK, on ? NETLINK_ADD_MEMBERSHIP : NETLINK_DROP_MEMBERSHIP,
                     &group, sizeof group) != 0)
        return fail_errno(errno, "hear of sockets that are destroyed");
    return {};
}

Result<> DestroyedSockets::watch_ports(std::span<const std::uint16_t> ports) {
    std::vector<sock_filter> program = filter_for(ports);
    const sock_fprog filter{static_cast<unsigned short>(program.size()), program.data()};
    if (::setsockopt(fd_.get(), SOL_SOCKET, SO_ATTACH_FILTER, &filter, sizeof filter) != 0)
        return fail_errno(errno, "filter a sock_diag socket");
    ports_.assign(ports.begin(), ports.end());
    return {};
}

Result<DestroyedSockets::Batch> DestroyedSockets::receive() {
    Batch batch;
    alignas(nlmsghdr) std::array<char, 4096> buffer{};
    for (std::size_t i = 0; i < most_messages; ++i) {
        const ssize_t got = ::recv(fd_.get(), buffer.data(), buffer.size(), 0);
        if (got < 0 && (errno == EAGAIN || errno == EINTR)) {
            batch.end = true;
            return batch;
        }
        if (got < 0 && errno == ENOBUFS) {
            batch.lost = true;
            continue;
        }
        if (got < 0) return fail_errno(errno, "hear of sockets that are destroyed");
        inet_diag_msg message{};
        if (static_cast<std::size_t>(got) < NLMSG_HDRLEN + sizeof message) continue;
        std::memcpy(&message, buffer.data() + NLMSG_HDRLEN, sizeof message);
        const auto& id = message.id;
        const bool wanted = id.idiag_dport == 0 &&
                            (ports_.size() > most_ports ||
                             std::ranges::find(ports_, ntohs(id.idiag_sport)) != ports_.end());
        batch.estimated += wanted ? 1 : sampled;
        if (!wanted) continue;
        batch.cookies.push_back(std::uint64_t{id.idiag_cookie[1]} << 32U | id.idiag_cookie[0]);
    }
    return batch;
}

}  // namespace sluice

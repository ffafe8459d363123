// SPDX-License-Identifier: Apache-2.0
// Sockets of every kind as the kernel describes them, and what core says of each.
#include "sys/socket_facts.h"

#include <array>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/filter.h>
#include <netinet/in.h>
#include <sched.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <thread>
#include <unistd.h>

#include "core/admit.h"
#include "support/sockets.h"
#include "support/world.h"
#include "sys/unix_socket.h"

namespace sluice {
namespace {

using namespace sluice::testing;  // NOLINT: claims read better without prefixes

constexpr int mptcp = 262, udplite = 136, transparent_v6 = 75, freebind_v6 = 78;

std::string family_name(SocketFamily family) {
    if (family == SocketFamily::dual) return "dual";
    return family == SocketFamily::ipv4 ? "ipv4" : "ipv6";
}

// "tcp ipv4 127.0.0.1:80", or "refused: why"; a refusal always names a way out.
std::string verdict(int fd) {
    const SocketFacts facts = must(socket_facts(fd));
    const auto admitted = admit(facts, own_netns_cookie());
    if (admitted)
        return std::string(to_string(admitted->protocol)) + " " + family_name(admitted->family) +
               " " + to_string(admitted->local);
    EXPECT_EQ(admitted.error().failure(), Failure::refused);
    EXPECT_FALSE(admitted.error().hint().empty()) << admitted.error().message();
    return "refused: " + admitted.error().message();
}
std::string verdict(const Fd& fd) { return verdict(fd.get()); }

Fd open_socket(int domain, int type, int protocol = 0) {
    Fd fd(::socket(domain, type | SOCK_CLOEXEC, protocol));
    if (!fd) throw std::runtime_error(std::string("socket: ") + std::strerror(errno));
    return fd;
}

void set(const Fd& fd, int level, int option) {
    const int on = 1;
    ASSERT_EQ(::setsockopt(fd.get(), level, option, &on, sizeof on), 0) << std::strerror(errno);
}

sockaddr_in address_v4(std::uint32_t address, std::uint16_t port) {
    sockaddr_in in{};
    in.sin_family = AF_INET;
    in.sin_addr.s_addr = htonl(address);
    in.sin_port = htons(port);
    return in;
}

sockaddr_in6 address_v6(const in6_addr& address, std::uint16_t port) {
    sockaddr_in6 in{};
    in.sin6_family = AF_INET6;
    in.sin6_addr = address;
    in.sin6_port = htons(port);
    return in;
}

template <class SockAddr>
void bind_to(const Fd& fd, const SockAddr& address) {
    ASSERT_EQ(::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address), 0)
        << std::strerror(errno);
}

template <class SockAddr>
void connect_to(const Fd& fd, const SockAddr& address) {
    ASSERT_EQ(::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address), 0)
        << std::strerror(errno);
}

// Made by a thread in a network namespace of its own; threads share descriptors.
Fd listener_of_another_namespace() {
    Fd made;
    std::thread([&] {
        if (::unshare(CLONE_NEWNET) != 0) return;
        made = listen_tcp("0.0.0.0:80");
    }).join();
    return made;
}

class SocketFactsTest : public FreshWorld {};

TEST_F(SocketFactsTest, TcpListenersAreAdmittedWithTheFamiliesTheyServe) {
    EXPECT_EQ(verdict(listen_tcp("127.0.0.1:8001")), "tcp ipv4 127.0.0.1:8001");
    EXPECT_EQ(verdict(listen_tcp("0.0.0.0:8002")), "tcp ipv4 0.0.0.0:8002");
    EXPECT_EQ(verdict(listen_tcp("[::]:8003")), "tcp dual [::]:8003");
    EXPECT_EQ(verdict(listen_tcp("[::]:8004", {.v6only = true})), "tcp ipv6 [::]:8004");
    EXPECT_EQ(verdict(listen_tcp("[::1]:8005")), "tcp ipv6 [::1]:8005")
        << "bound to one IPv6 address, it serves no IPv4";
}

TEST_F(SocketFactsTest, BoundUdpSocketsAreAdmittedWithTheFamiliesTheyServe) {
    EXPECT_EQ(verdict(bind_udp("127.0.0.1:5301")), "udp ipv4 127.0.0.1:5301");
    EXPECT_EQ(verdict(bind_udp("[::]:5302")), "udp dual [::]:5302");
    EXPECT_EQ(verdict(bind_udp("[::]:5303", {.v6only = true})), "udp ipv6 [::]:5303");
    EXPECT_EQ(verdict(bind_udp("[::1]:5304")), "udp ipv6 [::1]:5304");
}

TEST_F(SocketFactsTest, TheCookieIsTheKernelsAndEachMemberOfAReuseportGroupHasItsOwn) {
    const Fd one = listen_tcp("127.0.0.1:80", {.reuseport = true});
    const Fd two = listen_tcp("127.0.0.1:80", {.reuseport = true});
    EXPECT_EQ(must(socket_facts(one.get())).cookie, cookie_of(one));
    EXPECT_EQ(must(socket_facts(two.get())).cookie, cookie_of(two));
    EXPECT_NE(cookie_of(one), cookie_of(two));
    EXPECT_EQ(verdict(one), verdict(two));
}

TEST_F(SocketFactsTest, TcpThatDoesNotListenIsRefused) {
    EXPECT_EQ(verdict(open_socket(AF_INET, SOCK_STREAM)), "refused: it does not listen");
    const Fd bound = open_socket(AF_INET6, SOCK_STREAM);
    bind_to(bound, address_v6(in6addr_any, 8000));
    EXPECT_EQ(verdict(bound), "refused: it does not listen");
}

TEST_F(SocketFactsTest, AListenerThatWasShutDownIsRefused) {
    const Fd listener = listen_tcp("127.0.0.1:80");
    ASSERT_EQ(::shutdown(listener.get(), SHUT_RDWR), 0);
    EXPECT_EQ(verdict(listener), "refused: it does not listen");
}

TEST_F(SocketFactsTest, BothEndsOfAConnectionAreRefused) {
    const Fd listener = listen_tcp("127.0.0.1:80");
    const Fd client = open_socket(AF_INET, SOCK_STREAM);
    connect_to(client, address_v4(INADDR_LOOPBACK, 80));
    const Fd accepted(::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
    EXPECT_EQ(verdict(client), "refused: it is a connection, not a listener");
    EXPECT_EQ(verdict(accepted), "refused: it is a connection, not a listener");
    EXPECT_EQ(verdict(listener), "tcp ipv4 127.0.0.1:80") << "its listener is none";
}

TEST_F(SocketFactsTest, UdpThatIsNotBoundOrIsConnectedIsRefused) {
    EXPECT_EQ(verdict(open_socket(AF_INET, SOCK_DGRAM)), "refused: it is not bound");
    EXPECT_EQ(verdict(open_socket(AF_INET6, SOCK_DGRAM)), "refused: it is not bound");
    const Fd connected = bind_udp("127.0.0.1:53");
    connect_to(connected, address_v4(INADDR_LOOPBACK, 5300));
    EXPECT_EQ(verdict(connected),
              "refused: it is connected: it would take datagrams of its one peer only");
}

TEST_F(SocketFactsTest, UdpThatWasConnectedAndIsNoMoreIsAdmitted) {
    const Fd socket = bind_udp("127.0.0.1:53");
    connect_to(socket, address_v4(INADDR_LOOPBACK, 5300));
    connect_to(socket, sockaddr{.sa_family = AF_UNSPEC, .sa_data = {}});
    EXPECT_EQ(verdict(socket), "udp ipv4 127.0.0.1:53");
}

TEST_F(SocketFactsTest, WhatUdpServersNeedToAnswerIsAmongTheFacts) {
    const Fd plain = bind_udp("0.0.0.0:53"), plain_v6 = bind_udp("[::]:54");
    for (const Fd* fd : {&plain, &plain_v6}) {
        EXPECT_FALSE(must(socket_facts(fd->get())).packet_info);
        EXPECT_FALSE(must(socket_facts(fd->get())).original_destination);
    }
    set(plain, IPPROTO_IP, IP_PKTINFO);
    set(plain_v6, IPPROTO_IPV6, IPV6_RECVPKTINFO);
    for (const Fd* fd : {&plain, &plain_v6}) {
        EXPECT_TRUE(must(socket_facts(fd->get())).packet_info);
        EXPECT_FALSE(must(socket_facts(fd->get())).original_destination);
    }
    set(plain, IPPROTO_IP, IP_RECVORIGDSTADDR);
    set(plain_v6, IPPROTO_IPV6, IPV6_RECVORIGDSTADDR);
    for (const Fd* fd : {&plain, &plain_v6})
        EXPECT_TRUE(must(socket_facts(fd->get())).original_destination);
}

TEST_F(SocketFactsTest, AnMptcpListenerIsRefusedWithTheWayOutForGo) {
    for (const int domain : {AF_INET, AF_INET6}) {
        const Fd listener = open_socket(domain, SOCK_STREAM, mptcp);
        if (domain == AF_INET)
            bind_to(listener, address_v4(INADDR_ANY, 443));
        else
            bind_to(listener, address_v6(in6addr_loopback, 443));
        ASSERT_EQ(::listen(listener.get(), 64), 0) << std::strerror(errno);
        const auto refused = admit(must(socket_facts(listener.get())), own_netns_cookie());
        ASSERT_FALSE(refused);
        EXPECT_NE(refused.error().message().find("MPTCP"), std::string::npos);
        EXPECT_NE(refused.error().hint().find("GODEBUG=multipathtcp=0"), std::string::npos);
    }
}

TEST_F(SocketFactsTest, OtherProtocolsOverIpAreRefusedByTheirNumbers) {
    const Fd lite = open_socket(AF_INET, SOCK_DGRAM, udplite);
    bind_to(lite, address_v4(INADDR_LOOPBACK, 53));
    EXPECT_EQ(verdict(lite), "refused: it is neither TCP nor UDP (type 2, protocol 136)");
    EXPECT_EQ(verdict(open_socket(AF_INET, SOCK_RAW, IPPROTO_UDP)),
              "refused: it is neither TCP nor UDP (type 3, protocol 17)");
    EXPECT_EQ(verdict(open_socket(AF_INET, SOCK_RAW, IPPROTO_TCP)),
              "refused: it is neither TCP nor UDP (type 3, protocol 6)");
    EXPECT_EQ(verdict(open_socket(AF_INET6, SOCK_RAW, IPPROTO_ICMPV6)),
              "refused: it is neither TCP nor UDP (type 3, protocol 58)");
}

TEST_F(SocketFactsTest, UnixSocketsAreRefusedWhateverTheirKind) {
    for (const int type : {SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET})
        EXPECT_EQ(verdict(open_socket(AF_UNIX, type)), "refused: it is a Unix socket");
    EXPECT_EQ(verdict(must(listen_unix(scratch() + "/listener", UnixKind::stream))),
              "refused: it is a Unix socket");
    std::array<int, 2> ends{};
    ASSERT_EQ(::socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, ends.data()), 0);
    const Fd one(ends[0]), other(ends[1]);
    EXPECT_EQ(verdict(one), "refused: it is a Unix socket");
}

TEST_F(SocketFactsTest, SocketsOfOtherFamiliesAreRefused) {
    EXPECT_EQ(verdict(open_socket(AF_NETLINK, SOCK_RAW)), "refused: it is not an IP socket");
    EXPECT_EQ(verdict(open_socket(AF_PACKET, SOCK_DGRAM)), "refused: it is not an IP socket");
}

TEST_F(SocketFactsTest, ASocketBoundToADeviceIsRefusedByTheDevicesName) {
    const Fd tcp = listen_tcp("0.0.0.0:80"), udp = bind_udp("[::]:53");
    for (const Fd* fd : {&tcp, &udp}) {
        ASSERT_EQ(::setsockopt(fd->get(), SOL_SOCKET, SO_BINDTODEVICE, "lo", 2), 0);
        EXPECT_EQ(verdict(*fd),
                  "refused: it is bound to the device lo: lookups on every other one would fail");
    }
}

TEST_F(SocketFactsTest, AListenerOfAnotherNamespaceIsRefusedByTheCookiesOfBoth) {
    const std::uint64_t own = own_netns_cookie();
    ASSERT_NE(own, 0U) << "the kernel has had namespace cookies since 5.14";
    const Fd foreign = listener_of_another_namespace();
    ASSERT_TRUE(foreign);
    const SocketFacts facts = must(socket_facts(foreign.get()));
    ASSERT_TRUE(facts.netns_cookie);
    EXPECT_NE(*facts.netns_cookie, own);
    EXPECT_EQ(verdict(foreign), "refused: it belongs to another network namespace (cookie " +
                                    std::to_string(*facts.netns_cookie) + ", the dispatcher's is " +
                                    std::to_string(own) + ")");
    const auto there = admit(facts, *facts.netns_cookie);
    EXPECT_TRUE(there) << "a dispatcher of that namespace takes it";
}

TEST_F(SocketFactsTest, TransparentAndFreebindSocketsOnForeignAddressesAreAdmitted) {
    const Fd transparent = open_socket(AF_INET, SOCK_STREAM);
    set(transparent, IPPROTO_IP, IP_TRANSPARENT);
    bind_to(transparent, address_v4(0xc0000201, 443));
    ASSERT_EQ(::listen(transparent.get(), 64), 0);
    EXPECT_EQ(verdict(transparent), "tcp ipv4 192.0.2.1:443");

    const Fd freebind = open_socket(AF_INET, SOCK_DGRAM);
    set(freebind, IPPROTO_IP, IP_FREEBIND);
    bind_to(freebind, address_v4(0xc0000202, 53));
    EXPECT_EQ(verdict(freebind), "udp ipv4 192.0.2.2:53");

    const in6_addr documentation{{{0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7}}};
    const Fd freebind_tcp = open_socket(AF_INET6, SOCK_STREAM);
    set(freebind_tcp, IPPROTO_IPV6, freebind_v6);
    bind_to(freebind_tcp, address_v6(documentation, 443));
    ASSERT_EQ(::listen(freebind_tcp.get(), 64), 0);
    EXPECT_EQ(verdict(freebind_tcp), "tcp ipv6 [2001:db8::7]:443");

    const Fd transparent_udp = open_socket(AF_INET6, SOCK_DGRAM);
    set(transparent_udp, IPPROTO_IPV6, transparent_v6);
    bind_to(transparent_udp, address_v6(documentation, 53));
    EXPECT_EQ(verdict(transparent_udp), "udp ipv6 [2001:db8::7]:53");
}

TEST_F(SocketFactsTest, ThatASocketMaySendFromAnyAddressIsAmongTheFacts) {
    struct Case {
        const char* local;
        int level, option;
        bool transparent;
    };
    for (const Case& one : {Case{"0.0.0.0:53", IPPROTO_IP, IP_FREEBIND, false},
                            Case{"0.0.0.0:53", IPPROTO_IP, IP_TRANSPARENT, true},
                            Case{"[::]:53", IPPROTO_IPV6, freebind_v6, false},
                            Case{"[::]:53", IPPROTO_IPV6, transparent_v6, true}}) {
        const Fd socket = bind_udp(one.local);
        EXPECT_FALSE(must(admit(must(socket_facts(socket.get())), 0)).replies.nonlocal);
        set(socket, one.level, one.option);
        const SocketFacts facts = must(socket_facts(socket.get()));
        EXPECT_EQ(facts.transparent, one.transparent) << one.local;
        EXPECT_EQ(facts.freebind, !one.transparent) << one.local;
        EXPECT_TRUE(must(admit(facts, 0)).replies.nonlocal);
    }
}

// Takes every packet, and is a filter all the same.
TEST_F(SocketFactsTest, AFilterIsAmongTheFactsWithItsLengthAndIsWarnedOf) {
    const Fd socket = bind_udp("127.0.0.1:53");
    EXPECT_FALSE(must(socket_facts(socket.get())).filter);
    sock_filter take_all[] = {{BPF_LD | BPF_IMM, 0, 0, 0}, {BPF_RET | BPF_K, 0, 0, ~0U}};
    const sock_fprog program{2, take_all};
    ASSERT_EQ(::setsockopt(socket.get(), SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program),
              0);
    EXPECT_TRUE(must(socket_facts(socket.get())).filter);
    EXPECT_EQ(must(socket_facts(socket.get())).filter_length, 2U);
    const Admitted admitted = must(admit(must(socket_facts(socket.get())), 0));
    ASSERT_EQ(admitted.warnings.size(), 1U);
    EXPECT_EQ(admitted.warnings[0].code, "filter-attached");
    EXPECT_NE(admitted.warnings[0].message.find("of 2 instruction"), std::string::npos);
}

TEST_F(SocketFactsTest, AnEbpfFilterIsAmongTheFacts) {
    const Fd listener = listen_tcp("127.0.0.1:80");
    const bpf_insn take_all[] = {{BPF_ALU64 | BPF_MOV | BPF_K, BPF_REG_0, 0, 0, 0x7fffffff},
                                 {BPF_JMP | BPF_EXIT, 0, 0, 0, 0}};
    bpf_attr load{};
    load.prog_type = BPF_PROG_TYPE_SOCKET_FILTER;
    load.insn_cnt = 2;
    load.insns = reinterpret_cast<std::uintptr_t>(&take_all);
    load.license = reinterpret_cast<std::uintptr_t>("GPL");
    const Fd program(static_cast<int>(::syscall(SYS_bpf, BPF_PROG_LOAD, &load, sizeof load)));
    ASSERT_TRUE(program) << std::strerror(errno);
    const int number = program.get();
    ASSERT_EQ(::setsockopt(listener.get(), SOL_SOCKET, SO_ATTACH_BPF, &number, sizeof number), 0);
    const SocketFacts facts = must(socket_facts(listener.get()));
    EXPECT_TRUE(facts.filter);
    EXPECT_EQ(facts.filter_length, 0U);
    const Admitted admitted = must(admit(facts, 0));
    ASSERT_EQ(admitted.warnings.size(), 1U);
    EXPECT_NE(admitted.warnings[0].message.find("eBPF"), std::string::npos);
}

TEST_F(SocketFactsTest, AnIpv6SocketOnAMappedAddressIsRefused) {
    in6_addr mapped{};
    mapped.s6_addr[10] = mapped.s6_addr[11] = 0xff;
    mapped.s6_addr[12] = 127;
    mapped.s6_addr[15] = 1;
    const Fd listener = open_socket(AF_INET6, SOCK_STREAM);
    bind_to(listener, address_v6(mapped, 80));
    ASSERT_EQ(::listen(listener.get(), 64), 0);
    EXPECT_TRUE(must(socket_facts(listener.get())).mapped);
    EXPECT_EQ(verdict(listener), "refused: it is an IPv6 socket bound to an IPv4-mapped address");
}

TEST_F(SocketFactsTest, WhatIsNoSocketIsRefused) {
    std::array<int, 2> ends{};
    ASSERT_EQ(::pipe2(ends.data(), O_CLOEXEC), 0);
    const Fd reading(ends[0]), writing(ends[1]);
    const Fd file(::open((scratch() + "/file").c_str(), O_CREAT | O_RDWR | O_CLOEXEC, 0600));
    const Fd directory(::open(scratch().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    const Fd event(::eventfd(0, EFD_CLOEXEC));
    for (const Fd* fd : {&reading, &writing, &file, &directory, &event})
        EXPECT_EQ(verdict(*fd), "refused: the descriptor is not a socket");
}

TEST_F(SocketFactsTest, APathToASocketIsNotTheSocket) {
    const std::string path = scratch() + "/listener";
    const Fd listener = must(listen_unix(path, UnixKind::stream));
    const Fd only_path(::open(path.c_str(), O_PATH | O_CLOEXEC));
    ASSERT_TRUE(only_path);
    EXPECT_EQ(verdict(only_path), "refused: the descriptor is not a socket");
}

TEST_F(SocketFactsTest, AClosedDescriptorIsAFailureAndNoVerdict) {
    const int number = bind_udp("127.0.0.1:53").get();  // closed by now
    const auto facts = socket_facts(number);
    ASSERT_FALSE(facts);
    EXPECT_EQ(facts.error().code(), EBADF);
    EXPECT_FALSE(socket_facts(-1));
}

TEST_F(SocketFactsTest, TheBacklogOfAListenerIsKnownAndASmallOneIsWarnedOf) {
    const Fd small = listen_tcp("127.0.0.1:80", {.backlog = 5});
    EXPECT_EQ(must(socket_facts(small.get())).backlog, 5U);
    const Admitted admitted = must(admit(must(socket_facts(small.get())), own_netns_cookie()));
    ASSERT_EQ(admitted.warnings.size(), 1U);
    EXPECT_EQ(admitted.warnings[0].code, "small-backlog");

    const Fd large = listen_tcp("127.0.0.1:81", {.backlog = 128});
    EXPECT_EQ(must(socket_facts(large.get())).backlog, 128U);
    EXPECT_TRUE(must(admit(must(socket_facts(large.get())), own_netns_cookie())).warnings.empty());
    EXPECT_FALSE(must(socket_facts(bind_udp("127.0.0.1:53").get())).backlog);
}

}  // namespace
}  // namespace sluice

// SPDX-License-Identifier: Apache-2.0
// The kernel's list of listeners, against the sockets themselves.
#include "sys/socket_list.h"

#include <algorithm>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <gmock/gmock.h>

#include "support/sockets.h"
#include "support/world.h"

namespace sluice {
namespace {

using namespace sluice::testing;  // NOLINT: claims read better without prefixes
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;

std::uint64_t inode_of(const Fd& socket) {
    struct stat info{};
    ::fstat(socket.get(), &info);
    return info.st_ino;
}

ListedSocket as_listed(const std::string& local, const Fd& socket) {
    return {must(parse_listen_triple(local)), cookie_of(socket), inode_of(socket)};
}

class SocketListTest : public FreshWorld {
  protected:
    static std::vector<ListedSocket> list(Protocol protocol, Family family) {
        return must(must(SocketList::open()).list(protocol, family));
    }
};

TEST_F(SocketListTest, HasEachListenerWithItsCookieAndInode) {
    EXPECT_THAT(list(Protocol::tcp, Family::ipv4), IsEmpty()) << "a namespace of our own";
    const Fd one = listen_tcp("127.0.0.1:80"), any = listen_tcp("0.0.0.0:443"),
             six = listen_tcp("[::1]:80"), dual = listen_tcp("[::]:443", {.v6only = true}),
             dns = bind_udp("0.0.0.0:53"), dns6 = bind_udp("[::]:53", {.v6only = true});
    EXPECT_THAT(list(Protocol::tcp, Family::ipv4),
                UnorderedElementsAre(as_listed("tcp 127.0.0.1 80", one),
                                     as_listed("tcp 0.0.0.0 443", any)));
    EXPECT_THAT(list(Protocol::tcp, Family::ipv6),
                UnorderedElementsAre(as_listed("tcp ::1 80", six), as_listed("tcp :: 443", dual)));
    EXPECT_THAT(list(Protocol::udp, Family::ipv4), ElementsAre(as_listed("udp 0.0.0.0 53", dns)));
    EXPECT_THAT(list(Protocol::udp, Family::ipv6), ElementsAre(as_listed("udp :: 53", dns6)));
}

TEST_F(SocketListTest, AnsweredConnectionsAndConnectedUdpAreNotInIt) {
    const Fd listener = listen_tcp("127.0.0.1:80");
    EXPECT_TRUE(reaches("127.0.0.1:80", listener));
    const Fd client = bind_udp("127.0.0.1:5300");
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_port = htons(53);
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    ASSERT_EQ(::connect(client.get(), reinterpret_cast<const sockaddr*>(&to), sizeof to), 0);
    const Fd bound(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    to.sin_port = htons(81);
    ASSERT_EQ(::bind(bound.get(), reinterpret_cast<const sockaddr*>(&to), sizeof to), 0);
    EXPECT_THAT(list(Protocol::tcp, Family::ipv4),
                ElementsAre(as_listed("tcp 127.0.0.1 80", listener)));
    EXPECT_THAT(list(Protocol::udp, Family::ipv4), IsEmpty());
}

TEST_F(SocketListTest, HasEveryMemberOfAGroupAndAsManyAsThereAre) {
    constexpr std::size_t many = 2000;  // more than one datagram of the answer
    std::vector<Fd> sockets;
    std::vector<ListedSocket> expected;
    const SocketList open = must(SocketList::open());
    for (std::size_t i = 0; i < many; ++i) {
        const bool grouped = i < 100;
        const std::string port = std::to_string(grouped ? 80 : 10000 + i);
        sockets.push_back(listen_tcp("127.0.0.1:" + port, {.reuseport = true, .backlog = 1}));
        expected.push_back(as_listed("tcp 127.0.0.1 " + port, sockets.back()));
    }
    const auto by_cookie = [](std::vector<ListedSocket> all) {
        std::ranges::sort(all, {}, &ListedSocket::cookie);
        return all;
    };
    for (int again = 0; again < 2; ++again)
        EXPECT_EQ(by_cookie(must(open.list(Protocol::tcp, Family::ipv4))), by_cookie(expected));
}

}  // namespace
}  // namespace sluice

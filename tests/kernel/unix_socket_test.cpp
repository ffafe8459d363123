// SPDX-License-Identifier: Apache-2.0
// Unix sockets: where they may be made, and what becomes of the descriptors that travel over them.
#include "sys/unix_socket.h"

#include <array>
#include <cerrno>
#include <fcntl.h>
#include <filesystem>
#include <fstream>
#include <sys/socket.h>
#include <sys/stat.h>

#include "support/patience.h"
#include "support/sockets.h"
#include "support/world.h"

namespace sluice {
namespace {

using namespace sluice::testing;  // NOLINT: claims read better without prefixes
namespace fs = std::filesystem;

struct Pair {
    Fd one, other;
};
Pair pair(int type = SOCK_STREAM) {
    std::array<int, 2> ends{};
    EXPECT_EQ(::socketpair(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends.data()), 0);
    return {Fd(ends[0]), Fd(ends[1])};
}

class UnixSocketTest : public FreshWorld {
  protected:
    std::string path() const { return scratch() + "/socket"; }
};

TEST_F(UnixSocketTest, AnybodyMayConnectWhateverTheUmask) {
    ::umask(077);
    const Fd listener = must(listen_unix(path(), UnixKind::stream));
    struct stat info{};
    ASSERT_EQ(::stat(path().c_str(), &info), 0);
    EXPECT_EQ(info.st_mode & 07777U, 0666U);
}

TEST_F(UnixSocketTest, ASocketFileThatNobodyListensOnIsReplaced) {
    for (const UnixKind kind : {UnixKind::stream, UnixKind::seqpacket}) {
        must(listen_unix(path(), kind)).reset();
        ASSERT_TRUE(fs::exists(path()));
        const Fd listener = must(listen_unix(path(), kind));
        EXPECT_TRUE(connect_unix(path(), kind, patience));
    }
}

TEST_F(UnixSocketTest, ASocketThatSomebodyListensOnIsLeftAlone) {
    const Fd listener = must(listen_unix(path(), UnixKind::stream));
    for (const UnixKind kind : {UnixKind::stream, UnixKind::seqpacket}) {
        const auto refused = listen_unix(path(), kind);
        ASSERT_FALSE(refused);
        EXPECT_EQ(refused.error().message(), "somebody listens on " + path() + " already");
    }
    EXPECT_TRUE(connect_unix(path(), UnixKind::stream, patience));
}

TEST_F(UnixSocketTest, AFullBacklogIsSomebodyWhoListens) {
    const Fd listener = must(listen_unix(path(), UnixKind::stream));
    std::vector<Fd> waiting;
    for (;;) {
        Fd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
        sockaddr_storage address{};
        socklen_t size = sizeof address;
        ASSERT_EQ(::getsockname(listener.get(), reinterpret_cast<sockaddr*>(&address), &size), 0);
        if (::connect(fd.get(), reinterpret_cast<sockaddr*>(&address), size) != 0) break;
        waiting.push_back(std::move(fd));
        ASSERT_LT(waiting.size(), 1000U);
    }
    EXPECT_FALSE(listen_unix(path(), UnixKind::stream));
    EXPECT_TRUE(fs::exists(path()));
}

TEST_F(UnixSocketTest, AFileThatIsNoSocketIsNeverRemoved) {
    std::ofstream(path()) << "precious";
    const auto refused = listen_unix(path(), UnixKind::stream);
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().message(), path() + " is in the way, and no socket");
    ASSERT_TRUE(fs::is_regular_file(path()));
    EXPECT_EQ(fs::file_size(path()), 8U);
    const std::string link = scratch() + "/link";
    fs::create_symlink(path(), link);
    EXPECT_FALSE(listen_unix(link, UnixKind::stream));
    EXPECT_TRUE(fs::is_symlink(link));
}

TEST_F(UnixSocketTest, PathsThatDoNotFitAreErrorsThatSayWhatDoes) {
    const std::string long_path = "/" + std::string(107, 'x');
    for (const std::string& wrong : {std::string(), long_path}) {
        EXPECT_EQ(listen_unix(wrong, UnixKind::stream).error().failure(), Failure::invalid);
        EXPECT_EQ(connect_unix(wrong, UnixKind::stream, patience).error().failure(),
                  Failure::invalid);
    }
}

TEST_F(UnixSocketTest, NobodyWaitingIsNoConnectionAndNoError) {
    const Fd listener = must(listen_unix(path(), UnixKind::stream));
    EXPECT_FALSE(must(accept_unix(listener)));
    const Fd client = must(connect_unix(path(), UnixKind::stream, patience));
    const Fd accepted = must(accept_unix(listener));
    ASSERT_TRUE(accepted);
    EXPECT_NE(::fcntl(accepted.get(), F_GETFD) & FD_CLOEXEC, 0);
    EXPECT_NE(::fcntl(accepted.get(), F_GETFL) & O_NONBLOCK, 0);
    EXPECT_TRUE(must(receive(accepted.get(), 10, true)).again);
}

TEST_F(UnixSocketTest, AnErrorToConnectTellsWhy) {
    EXPECT_EQ(connect_unix(path(), UnixKind::stream, patience).error().code(), ENOENT);
    must(listen_unix(path(), UnixKind::stream)).reset();
    EXPECT_EQ(connect_unix(path(), UnixKind::stream, patience).error().code(), ECONNREFUSED);
}

TEST_F(UnixSocketTest, DescriptorsTravelAndAreTheSameSockets) {
    const Pair ends = pair();
    const Fd web = listen_tcp("127.0.0.1:80"), dns = bind_udp("127.0.0.1:53");
    const std::vector<int> numbers{web.get(), dns.get()};
    EXPECT_EQ(must(send(ends.one.get(), "call", numbers)), 4U);
    const Received got = must(receive(ends.other.get(), 100, true));
    EXPECT_EQ(got.bytes, "call");
    ASSERT_EQ(got.descriptors.size(), 2U);
    EXPECT_EQ(cookie_of(got.descriptors[0]), cookie_of(web));
    EXPECT_EQ(cookie_of(got.descriptors[1]), cookie_of(dns));
    for (const Fd& fd : got.descriptors) EXPECT_NE(::fcntl(fd.get(), F_GETFD) & FD_CLOEXEC, 0);
    EXPECT_FALSE(got.truncated);
}

TEST_F(UnixSocketTest, As253DescriptorsDoAndNotMore) {
    const Pair ends = pair();
    const Fd socket = bind_udp("127.0.0.1:53");
    const std::size_t before = open_descriptors();
    EXPECT_EQ(must(send(ends.one.get(), "x", std::vector<int>(253, socket.get()))), 1U);
    {
        const Received got = must(receive(ends.other.get(), 100, true));
        EXPECT_EQ(got.descriptors.size(), 253U);
        EXPECT_FALSE(got.truncated);
        EXPECT_EQ(open_descriptors(), before + 253);
    }
    EXPECT_EQ(open_descriptors(), before);
    const auto refused = send(ends.one.get(), "x", std::vector<int>(254, socket.get()));
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().failure(), Failure::invalid);
    EXPECT_TRUE(must(receive(ends.other.get(), 100, true)).again) << "nothing was sent";
}

TEST_F(UnixSocketTest, DescriptorsThatAreNotAskedForAreNeverReceived) {
    for (const int type : {SOCK_STREAM, SOCK_SEQPACKET}) {
        const Pair ends = pair(type);
        const Fd socket = bind_udp("127.0.0.1:53");
        const std::size_t before = open_descriptors();
        must(send(ends.one.get(), "call", std::vector<int>(100, socket.get())));
        const Received got = must(receive(ends.other.get(), 100, false));
        EXPECT_EQ(open_descriptors(), before);
        EXPECT_EQ(got.bytes, "call") << "what came with them is";
        EXPECT_TRUE(got.descriptors.empty());
        EXPECT_FALSE(got.truncated) << "their loss is what was asked for";
    }
}

TEST_F(UnixSocketTest, AMessageLongerThanAskedForIsTruncatedOnlyWhereItCannotBeReadOn) {
    const Pair packets = pair(SOCK_SEQPACKET), bytes = pair(SOCK_STREAM);
    must(send(packets.one.get(), "0123456789", {}));
    EXPECT_TRUE(must(receive(packets.other.get(), 4, true)).truncated);
    must(send(bytes.one.get(), "0123456789", {}));
    const Received part = must(receive(bytes.other.get(), 4, true));
    EXPECT_EQ(part.bytes, "0123");
    EXPECT_FALSE(part.truncated);
    EXPECT_EQ(must(receive(bytes.other.get(), 100, true)).bytes, "456789");
}

TEST_F(UnixSocketTest, TheEndTheSilenceAndTheFullSocketAreToldApart) {
    Pair ends = pair();
    EXPECT_TRUE(must(receive(ends.other.get(), 10, true)).again);
    const std::string much(std::size_t{1} << 20U, 'x');
    std::size_t sent = 0;
    for (std::size_t more = 1; more > 0; sent += more) more = must(send(ends.one.get(), much, {}));
    EXPECT_GT(sent, 0U) << "and then 0: the socket is full";
    ends.other.reset();
    EXPECT_EQ(send(ends.one.get(), "x", {}).error().code(), EPIPE) << "and no signal";

    Pair again = pair();
    must(send(again.one.get(), "last words", {}));
    again.one.reset();
    EXPECT_EQ(must(receive(again.other.get(), 100, true)).bytes, "last words");
    EXPECT_TRUE(must(receive(again.other.get(), 100, true)).end);
}

}  // namespace
}  // namespace sluice

// SPDX-License-Identifier: Apache-2.0
// Sockets taken from a running process, and what else the kernel tells of one.
#include "sys/process.h"

#include <algorithm>
#include <grp.h>
#include <netinet/in.h>
#include <sys/prctl.h>
#include <sys/socket.h>

#include "child.h"
#include "support/sockets.h"
#include "support/world.h"

namespace sluice {
namespace {

using namespace sluice::testing;  // NOLINT: claims read better without prefixes

ListenTriple triple(Protocol protocol, std::string_view endpoint) {
    const Endpoint local = at(endpoint);
    return {protocol, local.address, local.port};
}
ListenTriple tcp(std::string_view endpoint) { return triple(Protocol::tcp, endpoint); }
ListenTriple udp(std::string_view endpoint) { return triple(Protocol::udp, endpoint); }

std::vector<std::uint64_t> cookies(const std::vector<Fd>& sockets) {
    std::vector<std::uint64_t> found;
    found.reserve(sockets.size());
    for (const Fd& socket : sockets) found.push_back(cookie_of(socket));
    std::ranges::sort(found);
    return found;
}

std::vector<std::uint64_t> cookies(std::initializer_list<const Fd*> sockets) {
    std::vector<std::uint64_t> found;
    for (const Fd* socket : sockets) found.push_back(cookie_of(*socket));
    std::ranges::sort(found);
    return found;
}

// The child has what the test has open at the fork; what the test closes later is the child's own.
std::string nothing() { return "ready"; }

class ProcessTest : public FreshWorld {
  protected:
    // The refusal, which took nothing.
    static Error refusal(pid_t pid, const std::vector<ListenTriple>& wanted) {
        const std::size_t before = open_descriptors();
        auto taken = take_sockets(pid, wanted);
        EXPECT_EQ(open_descriptors(), before);
        if (taken) throw std::runtime_error("took " + std::to_string(taken->size()));
        return taken.error();
    }
};

TEST_F(ProcessTest, TakesTheSocketsThatWereNamedAndNoOthers) {
    Fd web = listen_tcp("127.0.0.1:80"), web6 = listen_tcp("[::]:443"),
       dns = bind_udp("0.0.0.0:53"), dns6 = bind_udp("[::1]:53", {.v6only = true}),
       other = listen_tcp("127.0.0.1:81");
    const Child child(nothing);
    const auto expected = cookies({&web, &web6, &dns, &dns6});
    for (Fd* fd : {&web, &web6, &dns, &dns6, &other}) fd->reset();

    const auto taken = must(take_sockets(
        child.pid(), {tcp("127.0.0.1:80"), tcp("[::]:443"), udp("0.0.0.0:53"), udp("[::1]:53")}));
    EXPECT_EQ(cookies(taken), expected);
}

TEST_F(ProcessTest, WhatIsTakenIsTheChildsSocketItselfAndOnlyADuplicate) {
    Fd listener = listen_tcp("127.0.0.1:80");
    Child child(nothing);
    listener.reset();
    auto taken = must(take_sockets(child.pid(), {tcp("127.0.0.1:80")}));
    ASSERT_EQ(taken.size(), 1U);
    EXPECT_TRUE(reaches("127.0.0.1:80", taken[0]));
    taken.clear();
    EXPECT_EQ(dial("127.0.0.1:80"), "connected") << "the child still listens";
    child.end();
    EXPECT_EQ(dial("127.0.0.1:80"), "refused") << "nobody else held it";
}

TEST_F(ProcessTest, TakesEveryMemberOfAReuseportGroup) {
    Fd one = listen_tcp("127.0.0.1:80", {.reuseport = true}),
       two = listen_tcp("127.0.0.1:80", {.reuseport = true}),
       three = listen_tcp("127.0.0.1:80", {.reuseport = true});
    const Child child(nothing);
    const auto expected = cookies({&one, &two, &three});
    for (Fd* fd : {&one, &two, &three}) fd->reset();
    EXPECT_EQ(cookies(must(take_sockets(child.pid(), {tcp("127.0.0.1:80")}))), expected);
}

TEST_F(ProcessTest, ASocketUnderSeveralDescriptorsIsTakenOnce) {
    const Fd listener = listen_tcp("127.0.0.1:80");
    const Fd again(::dup(listener.get())), third(::dup(listener.get()));
    const Child child(nothing);
    EXPECT_EQ(cookies(must(take_sockets(child.pid(), {tcp("127.0.0.1:80")}))),
              cookies({&listener}));
    EXPECT_EQ(must(take_sockets(child.pid(), {tcp("127.0.0.1:80"), tcp("127.0.0.1:80")})).size(),
              1U)
        << "nor by naming it twice";
}

TEST_F(ProcessTest, ATripleThatMatchesNothingIsAnErrorThatSaysWhatThereIs) {
    const Fd web = listen_tcp("127.0.0.1:80"), dns = bind_udp("[::]:53");
    const Child child(nothing);
    const Error error = refusal(child.pid(), {tcp("127.0.0.1:443")});
    EXPECT_EQ(error.failure(), Failure::invalid);
    EXPECT_EQ(error.message(), "process " + std::to_string(child.pid()) + " (" +
                                   *command_of(child.pid()) + ") has no socket tcp 127.0.0.1 443");
    EXPECT_EQ(error.hint(), "it has: tcp 127.0.0.1 80, udp :: 53");
}

TEST_F(ProcessTest, ProtocolAddressAndPortMustAllMatch) {
    const Fd web = listen_tcp("0.0.0.0:80");
    const Child child(nothing);
    for (const ListenTriple& wrong :
         {udp("0.0.0.0:80"), tcp("[::]:80"), tcp("127.0.0.1:80"), tcp("0.0.0.0:81")})
        EXPECT_EQ(refusal(child.pid(), {wrong}).failure(), Failure::invalid);
    EXPECT_EQ(must(take_sockets(child.pid(), {tcp("0.0.0.0:80")})).size(), 1U);
}

TEST_F(ProcessTest, OneTripleWithoutAMatchTakesNothingOfTheOthers) {
    const Fd web = listen_tcp("127.0.0.1:80");
    const Child child(nothing);
    const Error error = refusal(child.pid(), {tcp("127.0.0.1:80"), udp("127.0.0.1:53")});
    EXPECT_NE(error.message().find("has no socket udp 127.0.0.1 53"), std::string::npos)
        << error.message();
}

TEST_F(ProcessTest, AListOfManySocketsIsCut) {
    std::vector<Fd> listeners;
    for (int port = 9001; port <= 9009; ++port)
        listeners.push_back(listen_tcp("127.0.0.1:" + std::to_string(port)));
    const Child child(nothing);
    const std::string hint = refusal(child.pid(), {tcp("127.0.0.1:80")}).hint();
    EXPECT_TRUE(hint.ends_with("tcp 127.0.0.1 9008, …")) << hint;
}

TEST_F(ProcessTest, WhatCanNeverServeIsNotOffered) {
    const Fd listener = listen_tcp("127.0.0.1:80");
    const Fd client(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_port = htons(80);
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    ASSERT_EQ(::connect(client.get(), reinterpret_cast<const sockaddr*>(&to), sizeof to), 0);
    const Fd connected = bind_udp("127.0.0.1:53");
    ASSERT_EQ(::connect(connected.get(), reinterpret_cast<const sockaddr*>(&to), sizeof to), 0);
    const Fd unbound(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    ASSERT_EQ(::shutdown(listener.get(), SHUT_RDWR), 0);
    const Child child(nothing);
    EXPECT_EQ(refusal(child.pid(), {tcp("127.0.0.1:80")}).hint(),
              "it has no TCP listener and no unconnected UDP socket");
}

TEST_F(ProcessTest, AProcessThatIsGoneIsNamed) {
    Child child(nothing);
    const pid_t pid = child.pid();
    child.end();
    const Error error = refusal(pid, {tcp("127.0.0.1:80")});
    EXPECT_EQ(error.failure(), Failure::invalid);
    EXPECT_EQ(error.message(), "there is no process " + std::to_string(pid));
}

TEST_F(ProcessTest, AProcessThatHasEndedAndIsNotReapedHasNothing) {
    Fd listener = listen_tcp("127.0.0.1:80");
    const Child child(nothing);
    listener.reset();
    child.die();
    (void)refusal(child.pid(), {tcp("127.0.0.1:80")});
}

TEST_F(ProcessTest, NumbersThatAreNoProcessAreErrors) {
    for (const std::int32_t pid : {0, -1, 0x7fffffff}) (void)refusal(pid, {tcp("127.0.0.1:80")});
}

TEST_F(ProcessTest, WithoutTheRightToItNothingIsTakenAndTheRightIsNamed) {
    const Fd listener = listen_tcp("127.0.0.1:80");
    const Child owner(nothing);
    const Child nobody([&] {
        if (::setgroups(0, nullptr) != 0 || ::setresgid(65534, 65534, 65534) != 0 ||
            ::setresuid(65534, 65534, 65534) != 0)
            return std::string("could not drop");
        const auto taken = take_sockets(owner.pid(), {tcp("127.0.0.1:80")});
        return taken ? std::string("taken") : taken.error().hint();
    });
    EXPECT_EQ(nobody.said(), "this needs root, or CAP_SYS_PTRACE and CAP_DAC_READ_SEARCH");
}

TEST_F(ProcessTest, AnMptcpListenerIsTakenAsTcpSoThatItsRefusalSaysWhy) {
    constexpr int mptcp = 262;
    const Fd listener(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, mptcp));
    sockaddr_in local{};
    local.sin_family = AF_INET;
    local.sin_port = htons(80);
    ASSERT_EQ(::bind(listener.get(), reinterpret_cast<const sockaddr*>(&local), sizeof local), 0);
    ASSERT_EQ(::listen(listener.get(), 8), 0);
    const Child child(nothing);
    EXPECT_EQ(must(take_sockets(child.pid(), {tcp("0.0.0.0:80")})).size(), 1U);
}

TEST_F(ProcessTest, TheCommandIsTheNameTheProcessHasNow) {
    Child child([] {
        ::prctl(PR_SET_NAME, "web server 1");
        return std::string();
    });
    EXPECT_EQ(command_of(child.pid()), "web server 1");
    const pid_t pid = child.pid();
    child.end();
    EXPECT_EQ(command_of(pid), std::nullopt);
    EXPECT_EQ(cgroup_of(pid), std::nullopt);
    EXPECT_EQ(login_uid_of(pid), -1);
}

}  // namespace
}  // namespace sluice

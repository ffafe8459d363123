// SPDX-License-Identifier: Apache-2.0
// The register socket and the worst of its clients. After each, the server still answers a good
// one, and holds no descriptor that it did not hold before.
#include "daemon/register_server.h"

#include <algorithm>
#include <fcntl.h>
#include <mutex>
#include <sys/resource.h>

#include "core/register_dialect.h"
#include "served.h"
#include "support/sockets.h"
#include "support/world.h"

namespace sluice {
namespace {

using namespace sluice::testing;  // NOLINT: claims read better without prefixes

struct Seen {
    std::string label;
    std::vector<std::uint64_t> cookies;
    std::size_t open = 0;  // descriptors of the whole process at that time
    std::int32_t pid = 0;
};

// Remembers what was registered; knows the services cdn and dns.
class Registrar : public RegistrationHandler {
  public:
    bool may_pass_descriptors(const Peer&) const override { return trusting; }
    Result<> register_sockets(const std::string& label, std::span<const Fd> descriptors,
                              const Peer& peer) override {
        Seen now{label, {}, open_descriptors(), peer.pid};
        for (const Fd& fd : descriptors) now.cookies.push_back(cookie_of(fd));
        const std::scoped_lock lock(mutex_);
        seen_.push_back(std::move(now));
        if (label != "cdn" && label != "dns")
            return fail(Failure::invalid, "there is no service '" + label + "'\nnor\tany like it");
        return {};
    }
    std::vector<Seen> seen() const {
        const std::scoped_lock lock(mutex_);
        return seen_;
    }
    std::atomic<bool> trusting = true;

  private:
    mutable std::mutex mutex_;
    std::vector<Seen> seen_;
};

class RegisterServerTest : public FreshWorld {
  protected:
    void SetUp() override {
        FreshWorld::SetUp();
        path_ = scratch() + "/register";
        web_.emplace(listen_tcp("127.0.0.1:80"));
        dns_.emplace(bind_udp("127.0.0.1:53"));
        start(must(listen_unix(path_, UnixKind::seqpacket)));
    }
    void TearDown() override {
        registrar.trusting = true;
        EXPECT_TRUE(answers_a_good_client());
        EXPECT_TRUE(eventually([&] { return open_descriptors() == descriptors_; }))
            << open_descriptors() << " open, and " << descriptors_ << " before all clients";
        stop();
        web_.reset();
        dns_.reset();
        FreshWorld::TearDown();
    }

    void start(Fd listener) {
        loop_.emplace(must(EventLoop::create()));
        server_ = must(RegisterServer::start(*loop_, std::move(listener), registrar));
        // Counted while no other thread opens anything; turning has one of its own.
        descriptors_ = open_descriptors() + 1;
        turning_.emplace(*loop_);
    }
    void stop() {
        turning_.reset();
        server_.reset();
        loop_.reset();
    }

    Client client() const { return {path_, UnixKind::seqpacket}; }
    const std::string& path() const { return path_; }
    const Fd& web() const { return *web_; }
    const Fd& dns() const { return *dns_; }
    std::vector<int> both() const { return {web().get(), dns().get()}; }

    std::string ask(const Client& client, std::string_view message, std::size_t count = 1) const {
        if (!client.say(message, count, web())) return "(could not ask)";
        return client.hear_packet();
    }
    bool answers_a_good_client() const { return ask(client(), "cdn#") == "OK"; }

    Registrar registrar;

  private:
    std::string path_;
    std::optional<Fd> web_, dns_;
    std::optional<EventLoop> loop_;
    std::unique_ptr<RegisterServer> server_;
    std::optional<Turning> turning_;
    std::size_t descriptors_ = 0;
};

TEST_F(RegisterServerTest, ALabelWithDescriptorsIsOneRegistrationOfThoseSockets) {
    const Client good = client();
    ASSERT_TRUE(good.say("cdn#", both()));
    EXPECT_EQ(good.hear_packet(), "OK");
    const auto seen = registrar.seen();
    ASSERT_EQ(seen.size(), 1U);
    EXPECT_EQ(seen[0].label, "cdn");
    EXPECT_EQ(seen[0].cookies, (std::vector<std::uint64_t>{cookie_of(web()), cookie_of(dns())}));
    EXPECT_EQ(seen[0].pid, ::getpid());
}

TEST_F(RegisterServerTest, OneConnectionMayRegisterAgainAndAgain) {
    const Client good = client();
    for (int i = 0; i < 3; ++i) EXPECT_EQ(ask(good, "cdn#", 2), "OK");
    const auto seen = registrar.seen();
    EXPECT_EQ(seen[1].open, seen[0].open) << "those of the one before are closed";
    EXPECT_EQ(seen[2].open, seen[0].open);
}

TEST_F(RegisterServerTest, AnErrorIsOneLineWithTheReason) {
    const Client client_ = client();
    EXPECT_EQ(ask(client_, "mail#"), "ERR there is no service 'mail' nor any like it");
    EXPECT_EQ(ask(client_, "cdn#"), "OK") << "and the connection goes on";
}

TEST_F(RegisterServerTest, ALabelMayComeInPiecesEachWithDescriptors) {
    const Client good = client();
    ASSERT_TRUE(good.say("c", 1, web()));
    ASSERT_TRUE(good.say("d"));
    ASSERT_TRUE(good.say("n", 1, dns()));
    ASSERT_TRUE(good.say("#"));
    EXPECT_EQ(good.hear_packet(), "OK");
    const auto seen = registrar.seen();
    ASSERT_EQ(seen.size(), 1U) << "and it was one registration, with one answer";
    EXPECT_EQ(seen[0].label, "cdn");
    EXPECT_EQ(seen[0].cookies, (std::vector<std::uint64_t>{cookie_of(web()), cookie_of(dns())}));
    EXPECT_EQ(ask(good, "dns#"), "OK");
    EXPECT_EQ(registrar.seen().back().cookies.size(), 1U);
}

TEST_F(RegisterServerTest, RegistrationsThatWereSentTogetherAreAnsweredEachForItself) {
    const Client eager = client();
    ASSERT_TRUE(eager.say("cdn#", 1, web()));
    ASSERT_TRUE(eager.say("mail#", 1, web()));
    ASSERT_TRUE(eager.say("dns#", 1, dns()));
    EXPECT_EQ(eager.hear_packet(), "OK");
    EXPECT_TRUE(eager.hear_packet().starts_with("ERR "));
    EXPECT_EQ(eager.hear_packet(), "OK");
    EXPECT_EQ(registrar.seen().back().cookies, (std::vector<std::uint64_t>{cookie_of(dns())}));
}

TEST_F(RegisterServerTest, NonsenseIsAnErrorAndReachesNobody) {
    struct Case {
        std::string message;
        const char* why;
    };
    for (const Case& each :
         {Case{"#", "label"}, Case{"cdn#dns#", "'#' must be the last"},
          Case{"cdn#\n", "'#' must be the last"}, Case{"c d n#", "label"},
          Case{std::string("c\0n#", 4), "label"}, Case{"\xff\xfe#", "label"},
          Case{"../cdn#", "label"}, Case{std::string(101, 'x'), "longer than 100"},
          Case{std::string(101, 'x') + "#", "longer than 100"},
          Case{std::string(1024, 'x'), "longer than 100"}, Case{std::string(1025, 'x'), "too long"},
          Case{std::string(100'000, 'x'), "too long"}}) {
        const Client bad = client();
        const std::string answer = ask(bad, each.message, 3);
        EXPECT_TRUE(answer.starts_with("ERR ")) << answer;
        EXPECT_NE(answer.find(each.why), std::string::npos) << answer;
        EXPECT_LE(answer.size(), register_max_answer);
        EXPECT_EQ(ask(bad, "cdn#"), "OK") << "nothing of it is left over";
        EXPECT_EQ(registrar.seen().back().cookies.size(), 1U);
    }
    EXPECT_TRUE(std::ranges::all_of(registrar.seen(),
                                    [](const Seen& seen) { return seen.label == "cdn"; }));
}

TEST_F(RegisterServerTest, ALabelThatGrowsTooLongInPiecesIsAnError) {
    const Client bad = client();
    for (int i = 0; i < 10; ++i) ASSERT_TRUE(bad.say("0123456789", 5, web()));
    EXPECT_TRUE(ask(bad, "x").starts_with("ERR ")) << "100 are a label, and 101 are none";
    EXPECT_EQ(ask(bad, "cdn#"), "OK");
    EXPECT_EQ(registrar.seen().back().cookies.size(), 1U);
}

TEST_F(RegisterServerTest, WithoutDescriptorsThereIsNothingToRegister) {
    const Client bad = client();
    ASSERT_TRUE(bad.say("cdn#"));
    EXPECT_TRUE(bad.hear_packet().starts_with("ERR no descriptors"));
    EXPECT_TRUE(registrar.seen().empty());
}

TEST_F(RegisterServerTest, UpTo253DescriptorsAreOneRegistrationInOneMessageOrInSeveral) {
    const Client good = client();
    EXPECT_EQ(ask(good, "cdn#", 253), "OK");
    EXPECT_EQ(registrar.seen().back().cookies.size(), 253U);
    ASSERT_TRUE(good.say("cd", 200, web()));
    EXPECT_EQ(ask(good, "n#", 53), "OK");
    EXPECT_EQ(registrar.seen().back().cookies.size(), 253U);

    ASSERT_TRUE(good.say("cd", 253, web()));
    EXPECT_TRUE(ask(good, "n#", 1).starts_with("ERR 254 descriptors in one registration"));
    EXPECT_EQ(registrar.seen().size(), 2U);
    EXPECT_EQ(ask(good, "cdn#"), "OK");
    EXPECT_EQ(registrar.seen().back().cookies.size(), 1U);
}

TEST_F(RegisterServerTest, DescriptorsOfAPeerWhoMayNotRegisterAreNeverReceived) {
    const Client untrusted = client();
    ASSERT_EQ(ask(untrusted, "cdn#"), "OK");
    const std::size_t before = open_descriptors();
    registrar.trusting = false;
    const std::string answer = ask(untrusted, "cdn#", 253);
    EXPECT_TRUE(answer.starts_with("ERR ")) << answer;
    EXPECT_NE(answer.find("may not register sockets"), std::string::npos) << answer;
    ASSERT_TRUE(untrusted.say("cd", 200, web()));
    EXPECT_TRUE(untrusted.hear_packet().starts_with("ERR ")) << "nor pieces of a label";
    // With room for 64, receiving 253 would be another error.
    rlimit before_limit{};
    ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &before_limit), 0);
    rlimit low = before_limit;
    low.rlim_cur = 64;
    ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &low), 0);
    EXPECT_EQ(ask(untrusted, "cdn#", 253), answer);
    ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &before_limit), 0);
    EXPECT_EQ(open_descriptors(), before);
    EXPECT_EQ(registrar.seen().size(), 1U);
}

TEST_F(RegisterServerTest, AClientThatLeavesInTheMiddleLeavesNothing) {
    {
        const Client leaving = client();
        ASSERT_TRUE(leaving.say("cd", 200, web()));
        const Client unheard = client();
        ASSERT_TRUE(unheard.say("cdn#", 1, web()));
    }
    EXPECT_TRUE(eventually([&] { return registrar.seen().size() == 1; }))
        << "who left without its answer has registered all the same";
}

TEST_F(RegisterServerTest, HalfALabelAndSilenceIsHungUpOnAndSilenceAloneIsNot) {
    const Client idle = client();
    const Client half = client();
    ASSERT_TRUE(half.say("cd", 100, web()));
    EXPECT_TRUE(half.is_hung_up_on());
    EXPECT_EQ(ask(idle, "cdn#"), "OK");
}

TEST_F(RegisterServerTest, AClientThatNeverReadsItsAnswersIsHungUpOn) {
    const Client deaf = client();
    std::size_t said = 0;
    while (deaf.say("mail#", 1, web())) ASSERT_LT(++said, 1'000'000U);
    EXPECT_TRUE(deaf.is_hung_up_on());
}

TEST_F(RegisterServerTest, AnEmptyMessageIsAHangUp) {
    const Client empty = client();
    ASSERT_EQ(::send(empty.fd(), "", 0, 0), 0);
    EXPECT_TRUE(empty.is_hung_up_on());
}

TEST_F(RegisterServerTest, MoreConnectionsThanTheLimitMakeRoomByTheOneIdleLongest) {
    std::vector<Client> crowd;
    for (int i = 0; i < 300; ++i) {
        crowd.push_back(client());
        ASSERT_EQ(ask(crowd.back(), "cdn#"), "OK");
    }
    EXPECT_TRUE(crowd[0].is_hung_up_on());
    EXPECT_EQ(ask(crowd[299], "cdn#"), "OK");
    EXPECT_EQ(ask(crowd[100], "cdn#"), "OK");
}

TEST_F(RegisterServerTest, AListenerThatWouldBlockBlocksNobody) {
    stop();
    Fd listener = must(listen_unix(path(), UnixKind::seqpacket));
    ASSERT_EQ(::fcntl(listener.get(), F_SETFL, 0), 0);
    start(std::move(listener));
    const Client good = client();
    EXPECT_EQ(ask(good, "cdn#"), "OK");
    EXPECT_EQ(ask(good, "cdn#"), "OK");
}

}  // namespace
}  // namespace sluice

// SPDX-License-Identifier: Apache-2.0
// The control socket and the worst of its clients. After each, the server still answers a good one,
// and holds no descriptor that it did not hold before.
#include "daemon/varlink_server.h"

#include <array>
#include <fcntl.h>
#include <latch>
#include <malloc.h>
#include <mutex>
#include <set>
#include <sys/resource.h>

#include "served.h"
#include "support/sockets.h"
#include "support/world.h"

namespace sluice {
namespace {

using namespace sluice::testing;  // NOLINT: claims read better without prefixes
using namespace std::string_literals;

// Sockets say how many descriptors came; Bindings is answered in parts; Reload waits to be let go.
class Answerer : public CallHandler {
  public:
    bool may_pass_descriptors(const Peer&) const override { return trusting; }

    Result<VarlinkAnswer> call(const VarlinkCall& call, std::span<const Fd> descriptors,
                               const Peer& peer) override {
        ++calls;
        const std::string_view method = call.method_name();
        if (method == "Bindings") return in_parts();
        if (method == "Sockets") before_sockets = calls.load();
        if (method == "Detach")
            return fail(Error(Failure::refused, "not today").hint("ask tomorrow"));
        if (method == "Reload") {
            arrived.count_down();
            released.wait();
        }
        if (method == "Register") {
            std::set<int> open;
            for (const Fd& fd : descriptors)
                if (::fcntl(fd.get(), F_GETFD) >= 0) open.insert(fd.get());
            return VarlinkAnswer{{{"descriptors", open.size()}}, nullptr};
        }
        return VarlinkAnswer{{{"open", open_descriptors()}, {"pid", peer.pid}}, nullptr};
    }

    std::atomic<bool> trusting = true;
    std::atomic<int> calls = 0, produced = 0, before_sockets = 0;
    std::atomic<std::size_t> most_memory = 0;  // in large pieces, while parts were asked for
    std::atomic<int> parts = 10;
    std::atomic<std::size_t> part_size = 10;
    std::latch arrived{1}, released{1};

  private:
    VarlinkAnswer in_parts() {
        return {Json::object(), [this, at = 0]() mutable -> std::optional<Json> {
                    if (at == parts) return std::nullopt;
                    ++produced;
                    most_memory = std::max(most_memory.load(), ::mallinfo2().hblkhd);
                    return Json{{"part", at++}, {"text", std::string(part_size, 'x')}};
                }};
    }
};

std::string call(std::string_view method, std::string_view parameters = "{}",
                 std::string_view more = "") {
    return R"({"method":")" + std::string(method) + R"(","parameters":)" + std::string(parameters) +
           std::string(more) + "}" + '\0';
}
const std::string status = call("internal.sluice.Agent.Status");
const std::string reload = call("internal.sluice.Agent.Reload");
const std::string register_call =
    call("internal.sluice.Agent.Register", R"({"service":"cdn","sockets":[0],"mode":"add"})");
const std::string bindings_call = call("internal.sluice.Agent.Bindings", "{}", R"(,"more":true)");

class VarlinkServerTest : public FreshWorld {
  protected:
    void SetUp() override {
        FreshWorld::SetUp();
        path_ = scratch() + "/control";
        socket_.emplace(bind_udp("127.0.0.1:53"));
    }
    void TearDown() override {
        if (turning_) {
            EXPECT_TRUE(answers_a_good_client());
            EXPECT_TRUE(eventually([&] { return open_descriptors() == descriptors_; }))
                << open_descriptors() << " open, and " << descriptors_ << " before all clients";
        }
        turning_.reset();
        server_.reset();
        loop_.reset();
        socket_.reset();
        FreshWorld::TearDown();
    }

    void start(ServerLimits limits = {}) {
        start(must(listen_unix(path_, UnixKind::stream)), limits);
    }
    void start(Fd listener, ServerLimits limits = {}) {
        loop_.emplace(must(EventLoop::create()));
        server_ = must(VarlinkServer::start(*loop_, std::move(listener), answerer, limits));
        // Counted while no other thread opens anything; turning has one of its own.
        descriptors_ = open_descriptors() + 1;
        turning_.emplace(*loop_);
    }
    Client client() const { return {path_, UnixKind::stream}; }
    const std::string& path() const { return path_; }
    const Fd& socket() const { return *socket_; }

    // The parameters of the answer; the name of an error instead.
    static Json ask(Client& client, const std::string& text) {
        if (!client.say(text)) return "could not ask";
        return heard(client);
    }
    static Json heard(Client& client) {
        const auto answer = client.hear();
        if (!answer) return "no answer";
        const Json reply = Json::parse(*answer);
        return reply.contains("error") ? reply.at("error") : reply.at("parameters");
    }
    bool answers_a_good_client() const {
        Client good = client();
        return ask(good, status).contains("open");
    }

    Answerer answerer;

  private:
    std::string path_;
    std::optional<Fd> socket_;
    std::optional<EventLoop> loop_;
    std::unique_ptr<VarlinkServer> server_;
    std::optional<Turning> turning_;
    std::size_t descriptors_ = 0;
};

TEST_F(VarlinkServerTest, AnswersCallsOneAfterTheOther) {
    start();
    Client good = client();
    for (int i = 0; i < 3; ++i) EXPECT_EQ(ask(good, status).at("pid"), ::getpid());
    EXPECT_EQ(answerer.calls, 3);
}

TEST_F(VarlinkServerTest, DescribesItselfToAnybody) {
    start();
    answerer.trusting = false;
    Client curious = client();
    const Json info = ask(curious, call("org.varlink.service.GetInfo"));
    EXPECT_EQ(info.at("product"), "sluiced");
    for (const std::string name : info.at("interfaces")) {
        const Json described = ask(curious, call("org.varlink.service.GetInterfaceDescription",
                                                 R"({"interface":")" + name + R"("})"));
        EXPECT_NE(described.at("description").get<std::string>().find("interface " + name),
                  std::string::npos);
    }
    const std::string describe = "org.varlink.service.GetInterfaceDescription";
    EXPECT_EQ(ask(curious, call(describe, R"({"interface":"org.example"})")),
              "org.varlink.service.InterfaceNotFound");
    for (const char* wrong : {"{}", R"({"interface":1})", R"({"interface":null})"})
        EXPECT_EQ(ask(curious, call(describe, wrong)), "org.varlink.service.InvalidParameter");
    EXPECT_EQ(answerer.calls, 0);
}

TEST_F(VarlinkServerTest, WhatIsNoCallEndsTheConnectionAndReachesNoMethod) {
    start();
    const std::string deep(33, '['), bomb(100'000, '['), objects = [] {
        std::string text;
        for (int i = 0; i < 1000; ++i) text += R"({"a":)";
        return text;
    }();
    for (const std::string& nonsense : {"\0"s,
                                        std::string(200'000, '\0'),
                                        "x\0"s,
                                        "GET / HTTP/1.1\r\n\r\n\0"s,
                                        "{\0"s,
                                        "{}\0"s,
                                        "[]\0"s,
                                        "null\0"s,
                                        "\"text\"\0"s,
                                        "1e999\0"s,
                                        deep + '\0',
                                        bomb + '\0',
                                        objects + '\0',
                                        "{\"method\":1}\0"s,
                                        "{\"method\":\"Status\"}\0"s,
                                        "{\"method\":\".\"}\0"s,
                                        "{\"method\":\"a.\"}\0"s,
                                        "{\"method\":\"\xff\xfe.x\"}\0"s,
                                        call("a.B", "[]"),
                                        call("a.B", "1"),
                                        call("a.B", "{}", R"(,"more":1)"),
                                        call("a.B", "{}", R"(,"more":true,"oneway":true)"),
                                        call("a.B", "{}", R"(,"extra":1)"),
                                        status.substr(0, status.size() - 1) + "x\0"s,
                                        status.substr(0, status.size() - 1) + status}) {
        const Client bad = client();
        (void)bad.say(nonsense);  // it may be hung up on in the middle
        EXPECT_TRUE(bad.is_hung_up_on()) << nonsense.substr(0, 40);
    }
    EXPECT_EQ(answerer.calls, 0);
}

TEST_F(VarlinkServerTest, ACallOfOneMebibyteIsAnsweredAndOneByteMoreIsTooLong) {
    start();
    const std::string text = status.substr(0, status.size() - 1);
    const std::string padding(varlink_max_call - text.size(), ' ');
    Client good = client();
    EXPECT_TRUE(ask(good, text + padding + '\0').contains("open"));
    EXPECT_TRUE(ask(good, status).contains("open"));

    const Client bad = client();
    (void)bad.say(text + padding + " \0"s);
    EXPECT_TRUE(bad.is_hung_up_on());
    const Client endless = client();
    const std::string much(std::size_t{1} << 16U, 'x');
    std::size_t said = 0;
    while (endless.say(much)) {
        said += much.size();
        ASSERT_LT(said, 64 * varlink_max_call);
    }
    EXPECT_TRUE(endless.is_hung_up_on());
    EXPECT_EQ(answerer.calls, 2);
}

TEST_F(VarlinkServerTest, HalfAMessageAndSilenceIsHungUpOnAndSilenceAloneIsNot) {
    start({.unfinished = std::chrono::seconds(1)});
    Client idle = client();
    Client also_idle = client();
    EXPECT_TRUE(ask(also_idle, status).contains("open"));
    const Client half = client();
    ASSERT_TRUE(half.say(status.substr(0, 10)));
    EXPECT_TRUE(half.is_hung_up_on());
    EXPECT_TRUE(ask(idle, status).contains("open"));
    EXPECT_TRUE(ask(also_idle, status).contains("open"));
}

TEST_F(VarlinkServerTest, AByteNowAndThenDoesNotKeepAMessageAlive) {
    start({.unfinished = std::chrono::seconds(1)});
    const Client slow = client();
    std::size_t said = 0;
    EXPECT_TRUE(eventually([&] {
        std::this_thread::sleep_for(std::chrono::milliseconds(50));
        return !slow.say(" ") || ++said > 10'000;
    }));
    EXPECT_LT(said, 10'000U);
    EXPECT_TRUE(slow.is_hung_up_on());
}

TEST_F(VarlinkServerTest, HalfACallAfterAWholeOneIsTimedToo) {
    start({.unfinished = std::chrono::seconds(1)});
    Client half = client();
    EXPECT_TRUE(ask(half, status + status.substr(0, 10)).contains("open"));
    EXPECT_TRUE(half.is_hung_up_on());
}

TEST_F(VarlinkServerTest, ACallSplitAnywhereIsOneCall) {
    start();
    Client good = client();
    for (std::size_t at = 1; at < status.size(); ++at) {
        ASSERT_TRUE(good.say(status.substr(0, at)));
        EXPECT_TRUE(ask(good, status.substr(at)).contains("open"));
    }
}

TEST_F(VarlinkServerTest, UpTo253DescriptorsComeWithACallAndAreClosedAfterIt) {
    start();
    Client good = client();
    const Json before = ask(good, status).at("open");
    for (const std::size_t count : {1U, 2U, 253U}) {
        ASSERT_TRUE(good.say(register_call, count, socket()));
        EXPECT_EQ(heard(good).at("descriptors"), count);
    }
    EXPECT_EQ(ask(good, status).at("open"), before) << "all are closed by the next call";
    EXPECT_EQ(ask(good, register_call).at("descriptors"), 0) << "none is left over for it";
}

TEST_F(VarlinkServerTest, The254thDescriptorEndsTheConnection) {
    start();
    const Client bad = client();
    ASSERT_TRUE(bad.say(register_call.substr(0, 1), 253, socket()));
    ASSERT_TRUE(bad.say(register_call.substr(1, 1), 1, socket()));
    EXPECT_TRUE(bad.is_hung_up_on());
    EXPECT_EQ(answerer.calls, 0);
}

TEST_F(VarlinkServerTest, DescriptorsWithALaterByteOfTheCallAreTheCallsAndAreClosedAfterIt) {
    start();
    Client late = client();
    const Json before = ask(late, status).at("open");
    ASSERT_TRUE(late.say(register_call.substr(0, 20)));
    ASSERT_TRUE(late.say(register_call.substr(20), 3, socket()));
    EXPECT_EQ(heard(late).at("descriptors"), 3);
    EXPECT_EQ(ask(late, status).at("open"), before);
}

TEST_F(VarlinkServerTest, DescriptorsWithoutACallAreClosedWithTheConnection) {
    start({.unfinished = std::chrono::seconds(1)});
    const Client silent = client();
    ASSERT_TRUE(silent.say("{", 200, socket()));
    EXPECT_TRUE(silent.is_hung_up_on());
    const Client gone = client();
    ASSERT_TRUE(gone.say("{", 200, socket()));
}

TEST_F(VarlinkServerTest, DescriptorsWithACallThatHasNoUseForThemAreClosed) {
    start();
    Client odd = client();
    const Json before = ask(odd, status).at("open");
    ASSERT_TRUE(odd.say(status, 200, socket()));
    heard(odd);
    EXPECT_EQ(ask(odd, status).at("open"), before);
    for (const std::string& useless :
         {call("org.varlink.service.GetInfo"), call("org.example.Register"),
          call("internal.sluice.Agent.Nothing"),
          call("internal.sluice.Agent.Register", R"({"service":1})")}) {
        ASSERT_TRUE(odd.say(useless, 10, socket()));
        heard(odd);
        EXPECT_EQ(ask(odd, status).at("open"), before) << useless;
        EXPECT_EQ(ask(odd, register_call).at("descriptors"), 0) << useless;
    }
}

TEST_F(VarlinkServerTest, DescriptorsOfAPeerWhoMayNotPassThemAreNeverReceived) {
    start();
    answerer.trusting = false;
    Client untrusted = client();
    const std::size_t before = ask(untrusted, status).at("open");
    ASSERT_TRUE(untrusted.say(status, 253, socket()));
    EXPECT_EQ(heard(untrusted).at("open"), before) << "while the call is answered";
    ASSERT_TRUE(untrusted.say(register_call, 253, socket()));
    EXPECT_EQ(heard(untrusted).at("descriptors"), 0);
}

TEST_F(VarlinkServerTest, CallsInOneWriteAreAnsweredInTheirOrder) {
    start();
    answerer.parts = 3;
    Client eager = client();
    ASSERT_TRUE(
        eager.say(status + register_call + bindings_call + call("a.B") + status, 2, socket()));
    EXPECT_TRUE(heard(eager).contains("open"));
    EXPECT_TRUE(heard(eager).contains("descriptors"));
    for (int part = 0; part < 3; ++part) EXPECT_EQ(heard(eager).at("part"), part);
    EXPECT_EQ(heard(eager), "org.varlink.service.InterfaceNotFound");
    EXPECT_TRUE(heard(eager).contains("open"));
    std::string many;
    for (int i = 0; i < 5000; ++i) many += status;
    std::thread talking([&] { EXPECT_TRUE(eager.say(many)); });
    for (int i = 0; i < 5000; ++i) ASSERT_TRUE(heard(eager).contains("open")) << i;
    talking.join();
}

TEST_F(VarlinkServerTest, DescriptorsOfACallThatWaitedBehindAnotherAreStillItsOwn) {
    start();
    Client first = client(), pipelining = client();
    ASSERT_TRUE(first.say(reload));
    answerer.arrived.wait();  // the loop is busy: what is said now is read together
    ASSERT_TRUE(pipelining.say(status));
    ASSERT_TRUE(pipelining.say(register_call, 2, socket()));
    ASSERT_TRUE(pipelining.say(register_call, 3, socket()));
    answerer.released.count_down();
    EXPECT_TRUE(heard(first).contains("open"));
    EXPECT_TRUE(heard(pipelining).contains("open"));
    EXPECT_EQ(heard(pipelining).at("descriptors"), 2);
    EXPECT_EQ(heard(pipelining).at("descriptors"), 3);
}

TEST_F(VarlinkServerTest, OnewayIsDoneAndNotAnswered) {
    start();
    Client client_ = client();
    const std::string oneway = call("internal.sluice.Agent.Status", "{}", R"(,"oneway":true)");
    const std::string wrong = call("a.B", "{}", R"(,"oneway":true)");
    const std::string streamed = call("internal.sluice.Agent.Bindings", "{}", R"(,"oneway":true)");
    EXPECT_TRUE(ask(client_, oneway + wrong + streamed + register_call).contains("descriptors"))
        << "the first answer is to the last call";
    EXPECT_EQ(answerer.calls, 3);
}

TEST_F(VarlinkServerTest, ALongAnswerComesInPartsAndTheLastSaysSo) {
    start();
    answerer.parts = 4;
    Client good = client();
    ASSERT_TRUE(good.say(bindings_call));
    for (int part = 0; part < 4; ++part) {
        const Json reply = Json::parse(good.hear().value_or("null"));
        EXPECT_EQ(reply.at("parameters").at("part"), part);
        EXPECT_EQ(reply.value("continues", false), part < 3);
    }
    answerer.parts = 0;
    EXPECT_EQ(ask(good, bindings_call), Json::object()) << "nothing, in one part";
    EXPECT_TRUE(ask(good, status).contains("open"));
    EXPECT_EQ(ask(good, call("internal.sluice.Agent.Bindings")),
              "org.varlink.service.ExpectedMore");
    EXPECT_TRUE(
        ask(good, call("internal.sluice.Agent.Status", "{}", R"(,"more":true)")).contains("open"))
        << "who can take parts can take one";
}

TEST_F(VarlinkServerTest, AClientThatNeverReadsAnAnswerCostsBoundedMemoryAndIsHungUpOn) {
    start({.stalled = std::chrono::seconds(1), .output = 100'000});
    answerer.parts = 1'000'000;
    answerer.part_size = 1000;
    const Client stalled = client();
    int buffer = 0;
    socklen_t size = sizeof buffer;
    ::getsockopt(stalled.fd(), SOL_SOCKET, SO_SNDBUF, &buffer, &size);
    ASSERT_TRUE(stalled.say(bindings_call));
    ASSERT_TRUE(eventually([&] { return answerer.produced > 50; }));
    EXPECT_TRUE(answers_a_good_client()) << "meanwhile";
    EXPECT_TRUE(eventually([&] { return !stalled.say(" "); })) << "until it is hung up on";
    EXPECT_LT(answerer.produced, (100'000 + 4 * buffer) / 1000);
}

TEST_F(VarlinkServerTest, AClientThatReadsSlowlyGetsAllOfIt) {
    start({.stalled = std::chrono::seconds(2), .output = 10'000});
    answerer.parts = 2000;
    answerer.part_size = 1000;
    Client slow = client();
    ASSERT_TRUE(slow.say(bindings_call));
    for (int part = 0; part < 2000; ++part) {
        if (part % 400 == 0) {
            EXPECT_TRUE(answers_a_good_client());
        }
        ASSERT_EQ(heard(slow).at("part"), part);
    }
}

TEST_F(VarlinkServerTest, ALongAnswerIsNeverWholeInMemory) {
    answerer.parts = 1000;
    answerer.part_size = 200'000;
    start();
    Client steady = client();
    ASSERT_TRUE(steady.say(bindings_call));
    for (int part = 0; part < answerer.parts; ++part) ASSERT_TRUE(steady.hear()) << part;
    EXPECT_LT(answerer.most_memory, std::size_t{64} << 20U);
}

TEST_F(VarlinkServerTest, ManyCallsInOneWriteKeepNobodyWaiting) {
    start();
    Client greedy = client();
    std::string many = reload;  // stays in it until all the others are there
    for (int i = 0; i < 500; ++i) many += status;
    ASSERT_TRUE(greedy.say(many));
    answerer.arrived.wait();
    Client modest = client();
    ASSERT_TRUE(modest.say(call("internal.sluice.Agent.Sockets")));
    answerer.released.count_down();
    EXPECT_TRUE(modest.hear());
    EXPECT_LT(answerer.before_sockets, 100) << "of the calls that were there first";
    for (int i = 0; i < 501; ++i) ASSERT_TRUE(greedy.hear()) << i;
}

TEST_F(VarlinkServerTest, CallsOfAClientThatHasLeftAreDoneAllTheSame) {
    start();
    const std::string oneway = call("internal.sluice.Agent.Attach", "{}", R"(,"oneway":true)");
    {
        const Client hasty = client();
        ASSERT_TRUE(hasty.say(oneway + oneway + oneway));
    }
    EXPECT_TRUE(eventually([&] { return answerer.calls == 3; })) << answerer.calls;
}

TEST_F(VarlinkServerTest, AClientThatStopsTalkingStillHearsItsAnswer) {
    start();
    answerer.parts = 2000;
    answerer.part_size = 1000;
    Client polite = client();
    ASSERT_TRUE(polite.say(status + bindings_call));
    polite.stop_talking();
    EXPECT_TRUE(heard(polite).contains("open"));
    for (int part = 0; part < 2000; ++part) ASSERT_EQ(heard(polite).at("part"), part);
    EXPECT_TRUE(polite.is_hung_up_on()) << "then there is nothing more to say";
}

TEST_F(VarlinkServerTest, AClientThatLeavesInTheMiddleOfAnAnswerIsForgotten) {
    start();
    answerer.parts = 1'000'000;
    answerer.part_size = 1000;
    {
        const Client leaving = client();
        ASSERT_TRUE(leaving.say(bindings_call));
        ASSERT_TRUE(eventually([&] { return answerer.produced > 10; }));
    }
    EXPECT_TRUE(answers_a_good_client());
    EXPECT_LT(answerer.produced, 1'000'000);
}

TEST_F(VarlinkServerTest, MoreConnectionsThanTheLimitMakeRoomByTheOneIdleLongest) {
    start({.connections = 256});
    Client busy = client();
    answerer.parts = 100'000;
    answerer.part_size = 1000;
    ASSERT_TRUE(busy.say(bindings_call));
    ASSERT_TRUE(eventually([&] { return answerer.produced > 10; }));
    std::vector<Client> crowd;
    for (int i = 0; i < 300; ++i) {
        crowd.push_back(client());
        ASSERT_TRUE(ask(crowd.back(), call("org.varlink.service.GetInfo")).contains("product"));
    }
    EXPECT_TRUE(crowd[0].is_hung_up_on());
    EXPECT_TRUE(crowd[43].is_hung_up_on());
    EXPECT_TRUE(ask(crowd[299], status).contains("open"));
    EXPECT_TRUE(ask(crowd[200], status).contains("open"));
    for (int part = 0; part < 1000; ++part)
        ASSERT_EQ(heard(busy).at("part"), part) << "who is being answered is not idle";
}

TEST_F(VarlinkServerTest, WhatItDoesNotKnowIsAnErrorAndTheConnectionGoesOn) {
    start();
    Client client_ = client();
    struct Case {
        std::string call;
        std::string error;
    };
    const std::string agent = "internal.sluice.Agent.", service = "org.varlink.service.";
    for (const Case& each :
         {Case{call(agent + "Nothing"), service + "MethodNotFound"},
          Case{call(agent + "status"), service + "MethodNotFound"},
          Case{call(service + "Nothing"), service + "MethodNotFound"},
          Case{call("org.example.Status"), service + "InterfaceNotFound"},
          Case{call("a..b"), service + "InterfaceNotFound"},
          Case{call(agent + "Status", "{}", R"(,"upgrade":true)"),
               service + "MethodNotImplemented"},
          Case{call(agent + "Status", R"({"service":1})"), service + "InvalidParameter"},
          Case{call(agent + "Status", R"({"unknown":1})"), service + "InvalidParameter"},
          Case{call(agent + "Register"), service + "InvalidParameter"},
          Case{call(agent + "Register", R"({"service":"a","sockets":0,"mode":"add"})"),
               service + "InvalidParameter"},
          Case{call(agent + "Register", R"({"service":"a","sockets":["0"],"mode":"add"})"),
               service + "InvalidParameter"},
          Case{call(agent + "Register", R"({"service":"a","sockets":[1.5],"mode":"add"})"),
               service + "InvalidParameter"},
          Case{call(agent + "Bind", R"({"matches":[{"protocol":"tcp"}]})"),
               service + "InvalidParameter"},
          Case{call(agent + "Bind", R"({"matches":[null]})"), service + "InvalidParameter"},
          Case{call(agent + "Detach"), agent + "Refused"}})
        EXPECT_EQ(ask(client_, each.call), each.error) << each.call;
    EXPECT_EQ(answerer.calls, 1) << "Detach's";
}

TEST_F(VarlinkServerTest, ARefusalArrivesWithItsReasonAndItsHint) {
    start();
    Client client_ = client();
    ASSERT_TRUE(client_.say(call("internal.sluice.Agent.Detach")));
    const Json reply = Json::parse(client_.hear().value_or("null"));
    EXPECT_EQ(reply.at("parameters").at("why"), "not today");
    EXPECT_EQ(reply.at("parameters").at("hint"), "ask tomorrow");
    EXPECT_EQ(reply.at("parameters").at("exit"), 4);
}

TEST_F(VarlinkServerTest, AListenerThatWouldBlockBlocksNobody) {
    // As systemd passes one without NonBlocking=.
    Fd listener = must(listen_unix(path(), UnixKind::stream));
    ASSERT_EQ(::fcntl(listener.get(), F_SETFL, 0), 0);
    start(std::move(listener));
    Client one = client();
    EXPECT_TRUE(ask(one, status).contains("open"));
    EXPECT_TRUE(ask(one, status).contains("open"));
}

TEST_F(VarlinkServerTest, WithoutDescriptorsLeftItGoesOnWhenThereAreSomeAgain) {
    start();
    Client before = client();
    ASSERT_TRUE(ask(before, status).contains("open"));
    rlimit old{};
    ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &old), 0);
    Client waiting = client();
    ASSERT_TRUE(ask(waiting, status).contains("open"));
    std::vector<Fd> filling;
    rlimit low = old;
    low.rlim_cur = 64;
    ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &low), 0);
    for (;;) {
        Fd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
        if (!fd) break;
        filling.push_back(std::move(fd));
    }
    ASSERT_FALSE(filling.empty());
    filling.pop_back();
    Client refused_for_now = client();  // with the last descriptor there was
    EXPECT_TRUE(refused_for_now.say(status));
    const Json meanwhile = ask(before, call("org.varlink.service.GetInfo"));
    ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &old), 0);
    EXPECT_TRUE(meanwhile.contains("product")) << "who was there is served";
    EXPECT_TRUE(heard(refused_for_now).contains("open"));
}

}  // namespace
}  // namespace sluice

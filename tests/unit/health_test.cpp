// SPDX-License-Identifier: Apache-2.0
// Whether a service can serve what is bound to it, and how that is said.
#include "core/health.h"

#include "sluice/abi.h"
#include "words.h"

namespace sluice {
namespace {

using ::testing::ElementsAre;
using ::testing::SizeIs;

const ClassMask tcp4 = class_bit(Protocol::tcp, Family::ipv4),
                tcp6 = class_bit(Protocol::tcp, Family::ipv6),
                udp4 = class_bit(Protocol::udp, Family::ipv4),
                udp6 = class_bit(Protocol::udp, Family::ipv6);

TEST(ClassBit, IsThatOfTheTablesLayout) {
    EXPECT_EQ(tcp4, 1U << SLUICE_TCP_V4);
    EXPECT_EQ(tcp6, 1U << SLUICE_TCP_V6);
    EXPECT_EQ(udp4, 1U << SLUICE_UDP_V4);
    EXPECT_EQ(udp6, 1U << SLUICE_UDP_V6);
}

TEST(CountUse, CountsByServiceOwnerAndVerdict) {
    std::vector<Binding> list = {binding("tcp 192.0.2.0/24 443 -> cdn"),
                                 binding("udp 2001:db8::/32 any -> cdn"),
                                 binding("tcp 192.0.2.1 any -> www", Owner::runtime),
                                 binding("tcp 192.0.2.2 any -> (reject)"),
                                 binding("tcp 192.0.2.3 any -> (pass)", Owner::runtime)};
    const TableUse use = count_use(must(Bindings::make(list)));
    EXPECT_EQ(use.config, 3u);
    EXPECT_EQ(use.runtime, 2u);
    EXPECT_EQ(use.rejects, 1u);
    EXPECT_EQ(use.passes, 1u);
    ASSERT_THAT(use.services, SizeIs(2));
    EXPECT_EQ(use.services.at("cdn").bindings, 2u);
    EXPECT_EQ(use.services.at("cdn").needs, tcp4 | udp6);
    EXPECT_THAT(use.services.at("cdn").by_class, ElementsAre(1, 0, 0, 1));
    EXPECT_EQ(use.services.at("www").needs, tcp4);
}

TEST(Health, IsJudgedFromUseSocketsAndPolicy) {
    struct Case {
        const char* name;
        bool configured, early;
        ServiceUse use;
        ServiceSockets sockets;
        Unavailable policy;
        ServiceState state;
        const char* message;
        const char* brief;
    };
    const Unavailable reject, pass{Unavailable::Kind::pass, ""},
        fallback{Unavailable::Kind::fallback, "spectrum"};
    const auto mask = [](int bits) { return static_cast<ClassMask>(bits); };
    const Case cases[] = {
        {"all is served",
         true,
         false,
         {2, tcp4, {2}},
         {1, 0, tcp4},
         reject,
         ServiceState::ok,
         "",
         ""},
        {"more than is needed",
         true,
         true,
         {2, tcp4, {2}},
         {2, 0, mask(tcp4 | tcp6)},
         reject,
         ServiceState::ok,
         "",
         ""},
        {"nothing is bound to it", true, false, {}, {}, reject, ServiceState::ok, "", ""},
        {"it is not in the config",
         false,
         false,
         {2, tcp4, {2}},
         {1, 0, tcp4},
         reject,
         ServiceState::parked,
         "not in the config",
         "parked"},
        {"the machine has just booted",
         true,
         true,
         {2, tcp4, {2}},
         {},
         reject,
         ServiceState::waiting,
         "waiting for sockets",
         "waiting"},
        {"just booted, but its socket is dead",
         true,
         true,
         {1, tcp4, {1}},
         {1, 1, 0},
         reject,
         ServiceState::degraded,
         "no usable tcp ipv4 socket; 1 binding refuses",
         "no tcp ipv4"},
        {"no sockets at all",
         true,
         false,
         {2, tcp4, {2}},
         {},
         reject,
         ServiceState::degraded,
         "no usable tcp ipv4 socket; 2 bindings refuse",
         "no sockets"},
        {"one binding passes",
         true,
         false,
         {1, udp6, {0, 0, 0, 1}},
         {},
         pass,
         ServiceState::degraded,
         "no usable udp ipv6 socket; 1 binding passes to the kernel",
         "no sockets"},
        {"many pass",
         true,
         false,
         {3000, udp6, {0, 0, 0, 3000}},
         {},
         pass,
         ServiceState::degraded,
         "no usable udp ipv6 socket; 3,000 bindings pass to the kernel",
         "no sockets"},
        {"one falls back",
         true,
         false,
         {1, tcp6, {0, 1}},
         {},
         fallback,
         ServiceState::degraded,
         "no usable tcp ipv6 socket; 1 binding falls back to spectrum",
         "no sockets"},
        {"many fall back",
         true,
         false,
         {2, tcp6, {0, 2}},
         {},
         fallback,
         ServiceState::degraded,
         "no usable tcp ipv6 socket; 2 bindings fall back to spectrum",
         "no sockets"},
        {"two kinds are missing, and the third is served",
         true,
         false,
         {4, mask(tcp4 | tcp6 | udp4), {1, 1, 2}},
         {1, 0, tcp4},
         reject,
         ServiceState::degraded,
         "no usable tcp ipv6, udp ipv4 socket; 3 bindings refuse",
         "no tcp ipv6, udp ipv4"},
    };
    for (const Case& one : cases) {
        const ServiceHealth health =
            judge_service(one.configured, one.early, one.use, one.sockets, one.policy);
        EXPECT_EQ(health.state, one.state) << one.name;
        EXPECT_EQ(health.message, one.message) << one.name;
        EXPECT_EQ(health.brief, one.brief) << one.name;
    }
}

TEST(Health, OfAServiceWithoutSocketsNamesThoseThatAreReady) {
    ServiceSockets sockets;
    sockets.waiting = 2;
    EXPECT_EQ(judge_service(true, false, {1, 1, {1}}, sockets, {}).message,
              "no usable tcp ipv4 socket; 1 binding refuses; 2 staged could be promoted");
}

TEST(ServiceState, HasTheWordsThatArePromised) {
    EXPECT_EQ(to_string(ServiceState::ok), "ok");
    EXPECT_EQ(to_string(ServiceState::waiting), "waiting");
    EXPECT_EQ(to_string(ServiceState::degraded), "degraded");
    EXPECT_EQ(to_string(ServiceState::parked), "parked");
}

}  // namespace
}  // namespace sluice

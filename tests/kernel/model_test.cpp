// SPDX-License-Identifier: Apache-2.0
// The BPF program against the model of core, on random tables; and that a broken program is caught.
//
// SLUICE_SEED and SLUICE_LOOKUPS choose other tables and more of them; the defaults are what CI
// runs.
#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <set>
#include <sys/socket.h>

#include "kernel/one_way_lookup.h"
#include "kernel/snapshot.h"
#include "support/dataplane.h"
#include "support/random_tables.h"
#include "support/sockets.h"
#include "support/world.h"

namespace sluice::kernel {
namespace {

using namespace sluice::testing;  // NOLINT: claims read better without prefixes

std::uint64_t from_environment(const char* name, std::uint64_t otherwise) {
    const char* text = std::getenv(name);  // NOLINT: no other thread
    return text == nullptr ? otherwise : std::strtoull(text, nullptr, 10);
}

// One socket of the stage, registered or not.
struct Extra {
    std::string service;
    Fd fd;
    bool dual = false;
    bool live = true;  // can take a lookup
    bool registered = false;
};

// Services with no, one and several sockets, some of which fill their slot and take nothing.
class Stage {
  public:
    static constexpr int services = 12;

    explicit Stage(const std::string& bpffs, Site site = {}) : plane(bpffs, site) {
        for (int i = 0; i < services; ++i) {
            names.push_back("s" + std::to_string(i));
            plane.services[names.back()] = {};
        }
        plane.apply({"tcp 192.0.2.1 1 s0"});
        for (int i = 0; i < services; ++i) cast(i);
    }

    // Registers a socket or takes it out; the kernel takes none that is dead already.
    void toggle(Random& random) {
        Extra& extra = extras[random.below(static_cast<std::uint32_t>(extras.size()))];
        if (!extra.live) return;
        if (extra.registered)
            must(plane.sockets->remove({cookie_of(extra.fd)}));
        else
            must(plane.sockets->add(extra.service, {plane.describe(extra.fd, extra.dual)},
                                    kernel::Placement::add, 0));
        extra.registered = !extra.registered;
    }

    // Cookies that could answer for this service.
    std::set<std::uint64_t> live(const std::string& service, Protocol protocol,
                                 Family family) const {
        std::set<std::uint64_t> cookies;
        for (const Extra& extra : extras) {
            if (!extra.registered || !extra.live || extra.service != service) continue;
            const NewSocket socket = TestPlane::describe(extra.fd, extra.dual);
            if (socket.protocol == protocol && (socket.family == family || extra.dual))
                cookies.insert(socket.cookie);
        }
        return cookies;
    }

    TestPlane plane;
    std::vector<std::string> names;
    std::vector<Extra> extras;

  private:
    // Service 0 has no socket, and the higher the number the more it has, of every class.
    void cast(int number) {
        for (int i = 0; i < number / 3; ++i) {
            add(number, listen_tcp("127.0.0.1:0"), false, i % 3 != 2);
            if (number % 2 == 0) add(number, listen_tcp("[::1]:0", {.v6only = true}), false, true);
            if (number % 4 == 1) add(number, listen_tcp("[::]:0"), true, i % 2 == 0);
            add(number, bind_udp("127.0.0.1:0"), false, i % 3 != 1);
            if (number % 2 == 1) add(number, bind_udp("[::1]:0"), false, true);
            if (number % 4 == 2) add(number, bind_udp("[::]:0"), true, true);
        }
    }

    void add(int number, Fd fd, bool dual, bool live) {
        const NewSocket described = TestPlane::describe(fd, dual);
        Extra extra{names[static_cast<std::size_t>(number)], std::move(fd), dual, live, true};
        must(plane.sockets->add(extra.service, {plane.describe(extra.fd, dual)},
                                kernel::Placement::add, 0));
        if (!live && described.protocol == Protocol::tcp) ::shutdown(extra.fd.get(), SHUT_RDWR);
        if (!live && described.protocol == Protocol::udp) connect_to_itself(extra.fd);
        extras.push_back(std::move(extra));
    }

    static void connect_to_itself(const Fd& fd) {
        sockaddr_storage address{};
        socklen_t size = sizeof address;
        auto* generic = reinterpret_cast<sockaddr*>(&address);
        ASSERT_EQ(::getsockname(fd.get(), generic, &size), 0);
        ASSERT_EQ(::connect(fd.get(), generic, size), 0);
    }
};

struct Expected {
    bool drop = false;
    std::set<std::uint64_t> cookies;  // any of them; none: the kernel's ordinary lookup
};

Expected expected(const Bindings& table, const Stage& stage, const LookupKey& key) {
    const Binding* winner = table.lookup(key.protocol, key.local.address, key.local.port);
    if (winner == nullptr || winner->target.kind == Target::Kind::pass) return {};
    if (winner->target.kind == Target::Kind::reject) return {true, {}};
    std::string service = *winner->target.name;
    for (;;) {  // policies() makes no cycle
        auto cookies = stage.live(service, key.protocol, key.local.address.family);
        if (!cookies.empty()) return {false, std::move(cookies)};
        const Unavailable& policy = stage.plane.services.at(service).unavailable;
        if (policy.kind != Unavailable::Kind::fallback)
            return {policy.kind == Unavailable::Kind::reject, {}};
        service = policy.fallback;
    }
}

bool as_expected(const Verdict& verdict, const Expected& wanted) {
    if (verdict.drop != wanted.drop) return false;
    if (wanted.cookies.empty()) return verdict.cookie == 0;
    return wanted.cookies.contains(verdict.cookie);
}

// Random tables, each a change of the one before, and random lookups in each.
class Comparison {
  public:
    Comparison(Stage& stage, std::uint64_t seed)
        : stage_(stage),
          random_(seed),
          tables_(random_, stage.names),
          lookup_(must(Lookup::open(stage.plane.dispatcher->directory()))),
          tries_(must(OneWayLookup::load(*stage.plane.dispatcher, Way::tries))),
          index_(must(OneWayLookup::load(*stage.plane.dispatcher, Way::index))) {}

    // The first difference in one more table; "" when there is none.
    std::string one_table(int lookups) {
        TestPlane& plane = stage_.plane;
        plane.services = tables_.policies();
        for (std::uint32_t i = 0; i < random_.below(4); ++i) stage_.toggle(random_);
        must(plane.try_apply(tables_.next(plane.running)));
        if (random_.one_in(4)) plane.settle();
        for (int i = 0; i < lookups; ++i) {
            const LookupKey key = tables_.question(plane.running);
            const Expected wanted = expected(plane.running, stage_, key);
            // Whichever answers, and each of the two: the same socket, since they choose by the
            // flow.
            const Verdict verdict = must(lookup_.verdict(key.protocol, key.local, key.remote));
            const Verdict by_tries = must(tries_.verdict(key.protocol, key.local, key.remote));
            const Verdict by_index = must(index_.verdict(key.protocol, key.local, key.remote));
            ++lookups_;
            if (!as_expected(verdict, wanted)) return describe(key, verdict, wanted);
            if (by_tries != verdict) return "by the tries: " + describe(key, by_tries, wanted);
            if (by_index != verdict) return "by the index: " + describe(key, by_index, wanted);
            seen(verdict);
        }
        return stage_.plane.table->answering() == Answering::index ? "" : "the index is idle";
    }

    std::uint64_t lookups() const { return lookups_; }
    std::uint64_t assigned() const { return assigned_; }
    std::uint64_t dropped() const { return dropped_; }

  private:
    void seen(const Verdict& verdict) {
        if (verdict.assigned()) ++assigned_;
        if (verdict.drop) ++dropped_;
    }

    std::string describe(const LookupKey& key, const Verdict& verdict,
                         const Expected& wanted) const {
        const Bindings& table = stage_.plane.running;
        const Binding* winner = table.lookup(key.protocol, key.local.address, key.local.port);
        return to_string(key) + " in " + std::to_string(table.size()) + " bindings: the program " +
               (verdict.drop ? "refuses" : "answers " + std::to_string(verdict.cookie)) +
               ", the model " + (wanted.drop ? "refuses" : "has ") +
               std::to_string(wanted.cookies.size()) + " sockets by " +
               (winner == nullptr ? "no binding" : to_string(*winner));
    }

    Stage& stage_;
    Random random_;
    RandomTables tables_;
    Lookup lookup_;
    OneWayLookup tries_, index_;
    std::uint64_t lookups_ = 0, assigned_ = 0, dropped_ = 0;
};

constexpr int lookups_per_table = 1500;

class ModelTest : public FreshWorld {};

TEST_F(ModelTest, TheProgramAnswersAsTheModelDoesInAMillionRandomLookups) {
    const std::uint64_t seed = from_environment("SLUICE_SEED", 20261124);
    const std::uint64_t wanted = from_environment("SLUICE_LOOKUPS", 1'000'000);
    RecordProperty("seed", std::to_string(seed));
    Stage stage(bpffs());
    Comparison comparison(stage, seed);
    while (comparison.lookups() < wanted) {
        const std::string difference = comparison.one_table(lookups_per_table);
        ASSERT_EQ(difference, "") << "SLUICE_SEED=" << seed << ", lookup " << comparison.lookups();
        // The kernel's tables alone tell the bindings, without loss.
        const Bindings read = must(read_bindings(stage.plane.dispatcher->maps()));
        const auto same = [](const Binding& a, const Binding& b) { return a.same_meaning(b); };
        ASSERT_TRUE(std::ranges::equal(read, stage.plane.running, same)) << "SLUICE_SEED=" << seed;
    }
    // Not a comparison of nothing with nothing.
    EXPECT_GT(comparison.assigned(), comparison.lookups() / 8);
    EXPECT_GT(comparison.dropped(), comparison.lookups() / 16);
    std::cout << comparison.lookups() << " lookups, " << comparison.assigned() << " assigned, "
              << comparison.dropped() << " refused, 0 differences\n";
}

TEST_F(ModelTest, AnAdoptedTableAnswersAsBefore) {
    const std::uint64_t seed = from_environment("SLUICE_SEED", 7);
    Random random(seed);
    std::optional<Stage> stage(std::in_place, bpffs());
    RandomTables tables(random, stage->names);
    for (int round = 0; round < 20; ++round) {
        stage->plane.services = tables.policies();
        must(stage->plane.try_apply(tables.next(stage->plane.running)));
        // As after a kill: sometimes before the second half was written.
        if (random.one_in(2)) stage->plane.settle();
        const auto services = stage->plane.services;
        const Bindings running = stage->plane.running;
        stage->plane.reopen();
        const auto same = [](const Binding& a, const Binding& b) { return a.same_meaning(b); };
        ASSERT_TRUE(std::ranges::equal(running, stage->plane.running, same)) << "seed " << seed;
        const auto lookup = must(Lookup::open(stage->plane.dispatcher->directory()));
        for (int i = 0; i < 500; ++i) {
            const LookupKey key = tables.question(running);
            const Verdict verdict = must(lookup.verdict(key.protocol, key.local, key.remote));
            ASSERT_TRUE(as_expected(verdict, expected(running, *stage, key)))
                << to_string(key) << ", seed " << seed;
        }
    }
}

TEST_F(ModelTest, AFlowKeepsItsSocketAndAllSocketsGetAShare) {
    TestPlane plane(bpffs());
    plane.apply({"udp 127.7.0.0/16 53 dns"});
    std::vector<Fd> sockets;
    for (int i = 0; i < 8; ++i) sockets.push_back(bind_udp("127.0.0.1:0"));
    for (const Fd& socket : sockets) plane.add("dns", {&socket});
    const auto lookup = must(Lookup::open(plane.dispatcher->directory()));
    std::map<std::uint64_t, int> shares;
    constexpr int flows = 8000;
    for (std::uint16_t flow = 0; flow < flows; ++flow) {
        const Endpoint from{must(Address::parse("192.0.2.7")),
                            static_cast<std::uint16_t>(1024 + flow)};
        const auto ask = [&] {
            return must(lookup.verdict(Protocol::udp, at("127.7.7.7:53"), from)).cookie;
        };
        const std::uint64_t chosen = ask();
        ASSERT_EQ(ask(), chosen);
        ++shares[chosen];
    }
    ASSERT_EQ(shares.size(), sockets.size());
    for (const auto& [cookie, share] : shares) {
        EXPECT_GT(share, flows / 8 * 3 / 4);
        EXPECT_LT(share, flows / 8 * 5 / 4);
    }
}

// Each breaks one rule of bpf/dispatch.bpf.c (CMakeLists.txt says which text).
class MutantTest : public FreshWorld, public ::testing::WithParamInterface<const char*> {};

TEST_P(MutantTest, IsCaughtByTheComparison) {
    std::ifstream file(std::string(MUTANT_DIR) + "/mutant_" + GetParam() + ".bpf.o",
                       std::ios::binary);
    const std::vector<char> bytes{std::istreambuf_iterator<char>(file), {}};
    ASSERT_FALSE(bytes.empty());
    Site site;
    site.image.elf = std::as_bytes(std::span(bytes));
    Stage stage(bpffs(), site);
    Comparison comparison(stage, 20261124);
    std::string difference;
    for (int table = 0; table < 60 && difference.empty(); ++table)
        difference = comparison.one_table(lookups_per_table);
    EXPECT_NE(difference, "") << "nobody noticed in " << comparison.lookups() << " lookups";
}

INSTANTIATE_TEST_SUITE_P(
    EachRule, MutantTest,
    ::testing::Values("shorter_prefix_never_tried", "only_two_prefixes_tried", "any_beats_ports",
                      "outer_range_never_tried", "last_port_of_a_range_missed", "wrong_half",
                      "protocols_share_a_table", "reject_passes", "fallback_never_tried",
                      "dead_first_socket_ends_it", "index_ends_at_the_first_prefix",
                      "index_ends_at_the_first_prefix_v6", "index_never_looks_further",
                      "index_ends_at_the_first_word_v6", "index_skips_one_length",
                      "index_displaced_never_found", "index_last_slot_never_read",
                      "index_low_bits_of_an_address_ignored", "index_host_bits_stay",
                      "index_protocols_are_one", "index_of_the_wrong_half"),
    [](const auto& each) { return std::string(each.param); });

}  // namespace
}  // namespace sluice::kernel

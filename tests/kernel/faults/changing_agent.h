// SPDX-License-Identifier: Apache-2.0
// An agent that goes back and forth between two configs, on a disk of its own, and what a stranger
// sees of it: the kernel's table by the pins, verdicts of the program, and the state directory.
#pragma once

#include <algorithm>
#include <filesystem>
#include <map>
#include <string>
#include <sys/mount.h>
#include <vector>

#include "agent_fixture.h"
#include "core/generation.h"
#include "faults/witness.h"
#include "kernel/lookup.h"
#include "kernel/pins.h"
#include "kernel/service_table.h"
#include "kernel/snapshot.h"

namespace sluice::testing {

// Between the two, bindings of both families move, come and go, and so do services and policies.
inline constexpr const char* one_config = R"(
services: {www: {unavailable: {fallback: spare}}, dns: {}, spare: {}, old: {}}
bindings:
  - {service: www, protocol: tcp, prefix: 127.7.0.0/16, port: 80}
  - {service: www, protocol: tcp, prefix: "2001:db8:7::/48", port: any}
  - {service: dns, protocol: udp, prefix: 127.7.0.53, port: 53}
  - {service: old, protocol: tcp, prefix: [127.6.1.0/24, 127.6.2.0/24, "2001:db8:6::/48"], port: 80}
  - {reject: true, protocol: tcp, prefix: 127.9.0.0/16, port: 1-1000}
)";
inline constexpr const char* other_config = R"(
services: {www: {unavailable: pass}, dns: {unavailable: {fallback: spare}}, spare: {}, fresh: {}}
bindings:
  - {service: dns, protocol: tcp, prefix: 127.7.0.0/16, port: 80}
  - {service: www, protocol: tcp, prefix: "2001:db8:7::/48", port: 8000-8999}
  - {service: dns, protocol: udp, prefix: 127.7.0.53, port: 53}
  - {service: fresh, protocol: tcp, prefix: [127.5.1.0/24, 127.5.2.0/24], port: any}
  - {service: fresh, protocol: tcp, prefix: ["2001:db8:5::/48", "2001:db8:4::/48"], port: any}
  - {reject: true, protocol: tcp, prefix: 127.9.0.0/16, port: 1-1000}
)";

inline const Allowed anything{Allow::removals, Allow::protected_, Allow::empty, Allow::unserved,
                              Allow::hosts};

// What answers, as the pins tell it.
struct Answers {
    std::uint64_t generation = 0;
    std::vector<std::string> bindings;               // with owners
    std::map<std::string, std::string> unavailable;  // of the services that any binding names
    std::vector<std::string> verdicts;               // of the program itself
    bool same(const Answers& other) const {
        return bindings == other.bindings && unavailable == other.unavailable &&
               verdicts == other.verdicts;
    }
    bool operator==(const Answers&) const = default;
};

class ChangingAgent : public AgentTest {
  protected:
    void SetUp() override {
        AgentTest::SetUp();
        // Its own disk: quick, and nothing else is on it.
        std::filesystem::create_directory(options().state_dir);
        ASSERT_EQ(::mount("state", options().state_dir.c_str(), "tmpfs", 0, "mode=0700"), 0);
        ip("route add local 2001:db8::/32 dev lo");
        www_ = listen_tcp("127.0.0.1:8080");
        www6_ = listen_tcp("[::1]:8080", {.v6only = true});
        dns_ = listen_tcp("127.0.0.1:5353");
        dns_udp_ = bind_udp("127.0.0.1:5353");
        write_config(one_config);
    }
    void TearDown() override {
        stop();
        stranger_.reset();
        ::umount2(options().state_dir.c_str(), MNT_DETACH);
        for (Fd* socket : {&www_, &www6_, &dns_, &dns_udp_}) socket->reset();
        AgentTest::TearDown();
    }

    void start_serving() {
        start();
        must(enlist("www", {&www_, &www6_}));
        must(enlist("dns", {&dns_, &dns_udp_}));
        finish_grace();
    }
    // What the thread beside the loop does. False when the second half could not be written.
    bool finish_grace() const {
        while (agent().wants_grace()) {
            auto ticket = agent().begin_grace();
            if (auto waited = agent().plane().wait(ticket); !waited) {
                agent().put_off_grace(ticket, waited.error());
                return false;
            }
            if (!agent().finish_grace(ticket)) return false;
        }
        return true;
    }
    Result<Plan> apply(const std::string& name, const std::string& yaml,
                       std::optional<std::chrono::seconds> confirm_within = {}) const {
        const std::string path = scratch() + "/" + name;
        std::ofstream(path, std::ios::trunc) << "version: 1\n" << yaml;
        return apply(path, confirm_within);
    }
    Result<Plan> apply(const std::string& path,
                       std::optional<std::chrono::seconds> confirm_within = {}) const {
        RealConfigFiles files(path);
        ApplyRequest request;
        request.path = path;
        request.confirm_within = confirm_within;
        request.allowed = anything;
        return unless_refused(agent().apply(files, request, somebody));
    }

    // By the pins alone.
    Answers answers() {
        using namespace kernel;  // NOLINT: nothing else here
        const Maps& maps = stranger().maps;
        const ServiceTable services(maps.services);
        Answers seen;
        seen.generation = maps.state().generation[maps.active()];
        for (const Binding& each : must(read_bindings(maps))) {
            seen.bindings.push_back(to_string(each) + " (" + std::string(to_string(each.owner)) +
                                    ")");
            if (each.target.is_service()) {
                const std::string& name = *each.target.name;
                seen.unavailable[name] =
                    to_string(services.unavailable(maps.active(), services.id(name)));
            }
        }
        const auto ask = [&](Protocol protocol, const char* to) {
            const auto from = at(*to == '[' ? "[2001:db8::1]:9" : "192.0.2.1:9");
            const auto verdict = must(stranger().lookup.verdict(protocol, at(to), from));
            seen.verdicts.push_back(std::string(to) + (verdict.drop ? " drop " : " ") +
                                    std::to_string(verdict.cookie));
        };
        for (const char* to : {"127.7.0.1:80", "127.6.1.1:80", "127.5.1.1:7", "127.9.0.1:22",
                               "[2001:db8:7::1]:8080", "[2001:db8:7::1]:80", "[2001:db8:5::1]:80"})
            ask(Protocol::tcp, to);
        ask(Protocol::udp, "127.7.0.53:53");
        return seen;
    }

    // By the pins alone: nothing is left of a change that was cut off.
    bool halves_are_equal() {
        const kernel::Maps& maps = stranger().maps;
        bool equal =
            maps.state().target == 0 && maps.state().generation[0] == maps.state().generation[1];
        const auto look = [&](const auto& trie) {
            must(trie.each_key([&](const auto& key) -> Result<> {
                const auto value = must(trie.lookup(key));
                equal = equal && value && value->column[0] == value->column[1] &&
                        (value->column[0] & SLUICE_POLICY_MASK) != 0;
                return {};
            }));
        };
        look(maps.prefixes_v4);
        look(maps.prefixes_v6);
        return equal;
    }

    // Everything that is stored of a generation, as text.
    static std::string stored_form(const Generation& generation) {
        return serialize(generation, {}) + serialize_table(generation.config);
    }

  private:
    // Who looks at the pins while the agent comes and goes.
    struct Stranger {
        kernel::Maps maps;
        kernel::Lookup lookup;
        static Stranger look(const std::string& pins) {
            return {must(kernel::Maps::open(pins, kernel::Access::read_only)),
                    must(kernel::Lookup::open(pins))};
        }
    };
    Stranger& stranger() {
        if (!stranger_) stranger_ = Stranger::look(must(kernel::find_current(bpffs())));
        return *stranger_;
    }
    std::optional<Stranger> stranger_;
    Fd www_, www6_, dns_, dns_udp_;
};

}  // namespace sluice::testing

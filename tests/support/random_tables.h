// SPDX-License-Identifier: Apache-2.0
// Random tables of bindings and questions that lie on their edges, from a seed.
#pragma once

#include <cstdint>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "core/bindings.h"
#include "core/config.h"

namespace sluice::testing {

class Random {
  public:
    explicit Random(std::uint64_t seed) : engine_(seed) {}
    std::uint64_t bits() { return engine_(); }
    // 0 .. end-1
    std::uint32_t below(std::uint32_t end) { return static_cast<std::uint32_t>(bits() % end); }
    bool one_in(std::uint32_t n) { return below(n) == 0; }
    template <class T>
    const T& of(const std::vector<T>& things) {
        return things[below(static_cast<std::uint32_t>(things.size()))];
    }

  private:
    std::mt19937_64 engine_;
};

struct LookupKey {
    Protocol protocol = Protocol::tcp;
    Endpoint local, remote;
};
std::string to_string(const LookupKey& key);

class RandomTables {
  public:
    RandomTables(Random& random, std::vector<std::string> services)
        : random_(random), services_(std::move(services)) {}

    // Nested prefixes of every length, both protocols and families, ports, nested ranges, `any`,
    // rejects, passes. Some of `before` is in it too, so that a change is partly a delta.
    Bindings next(const Bindings& before);
    // For each service, a policy without a cycle and with at most 4 fallbacks in a row.
    std::map<std::string, ServiceConfig> policies();
    // Near the edges of some binding of the table, or anywhere.
    LookupKey question(const Bindings& table);

  private:
    Address anywhere(Family family);
    Prefix nested_prefix();
    void fill(std::vector<Binding>& bindings, Protocol protocol, const Prefix& prefix);
    Ports some_ports();
    Target some_target();

    Random& random_;
    std::vector<std::string> services_;
    std::vector<Address> anchors_;  // what prefixes nest around
};

}  // namespace sluice::testing

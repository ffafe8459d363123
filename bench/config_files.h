// SPDX-License-Identifier: Apache-2.0
// Random configs of any size, as operators have them: services, lists of prefixes, and a few
// bindings of their own in the main file.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "core/result.h"

namespace sluice::bench {

struct ConfigRequest {
    std::size_t bindings = 0;  // 10 or more
    unsigned services = 1;
    bool written_out = false;  // every binding is an entry of the YAML file, no lists
    std::uint64_t seed = 1;
};

class ConfigFiles {
  public:
    // Half of the bindings are IPv4 and half IPv6; of each 70% hosts, 20% /24 (/64), 10% /20 (/48),
    // in the lists sorted by address. TCP and UDP, exact ports, ranges and any. Every binding has a
    // prefix of its own. Written into the directory, which exists.
    static Result<ConfigFiles> write(const std::string& directory, const ConfigRequest& request);

    const std::string& main() const { return main_; }
    // The services, and no binding.
    Result<> write_empty() const;
    Result<> write_full() const { return write_full(0); }
    // The same, but that one binding is another service's: number 1, 2, …
    Result<> write_changed(unsigned number) const { return write_full(number); }

  private:
    Result<> write_full(unsigned changed) const;

    unsigned services_ = 1;
    std::string main_, head_, body_;
};

// s0, s1, …
std::string service_name(unsigned number);

}  // namespace sluice::bench

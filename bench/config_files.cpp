// SPDX-License-Identifier: Apache-2.0
#include "config_files.h"

#include <algorithm>
#include <array>
#include <filesystem>
#include <fstream>
#include <random>
#include <set>
#include <vector>

#include "core/address.h"

namespace sluice::bench {
namespace {

constexpr const char* own_binding = "192.0.2.1";  // the one that changes; in no list

// What one list is bound to. Each service has one of each kind.
struct Kind {
    const char *name, *protocol, *port;
};
constexpr std::array<Kind, 4> kinds{{{"tls", "tcp", "443"},
                                     {"quic", "udp", "443"},
                                     {"all", "tcp", "any"},
                                     {"games", "udp", "8000-8999"}}};

class Prefixes {
  public:
    explicit Prefixes(std::uint64_t seed) : random_(seed) {}

    // None twice, since one that is tcp and udp would be two prefixes of the table's.
    std::vector<Prefix> make(std::size_t count) {
        std::set<Prefix> taken;
        while (taken.size() < count) {
            const auto draw = random_();
            const unsigned size = static_cast<unsigned>(draw % 10);
            const bool six = (draw >> 8U) % 2 == 1;
            const int length = size < 7   ? (six ? 128 : 32)
                               : size < 9 ? (six ? 64 : 24)
                                          : (six ? 48 : 20);
            taken.insert(Prefix::of(address(six), length));
        }
        std::vector<Prefix> all(taken.begin(), taken.end());
        std::ranges::shuffle(all, random_);
        return all;
    }

  private:
    Address address(bool six) {
        Address address;
        address.family = six ? Family::ipv6 : Family::ipv4;
        for (int i = 0; i < address.bits() / 8; ++i)
            address.bytes[static_cast<std::size_t>(i)] = static_cast<std::uint8_t>(random_());
        // 2000::/3, and nothing of this host's own.
        address.bytes[0] = six ? static_cast<std::uint8_t>(0x20U | (address.bytes[0] & 0x1fU))
                               : static_cast<std::uint8_t>(11U + address.bytes[0] % 100U);
        return address;
    }
    std::mt19937_64 random_;
};

Result<> write_file(const std::string& path, const std::string& text) {
    std::ofstream file(path, std::ios::trunc);
    file << text;
    if (!file.flush()) return fail(Failure::failed, "cannot write " + path);
    return {};
}

}  // namespace

std::string service_name(unsigned number) { return "s" + std::to_string(number); }

Result<ConfigFiles> ConfigFiles::write(const std::string& directory, const ConfigRequest& request) {
    ConfigFiles files;
    files.services_ = request.services;
    files.main_ = directory + "/sluice.yaml";
    files.head_ = "version: 1\nservices:\n";
    for (unsigned i = 0; i < request.services; ++i)
        files.head_ += "  " + service_name(i) + ": {}\n";
    std::filesystem::create_directories(directory + "/lists");
    const auto prefixes = Prefixes(request.seed).make(request.bindings - 1);
    const std::size_t lists = std::min(prefixes.size(), request.services * kinds.size());
    for (std::size_t i = 0; i < lists; ++i) {
        const Kind& kind = kinds.at(i % kinds.size());
        const std::string service = service_name(static_cast<unsigned>(i / kinds.size()));
        const std::string path = "lists/" + service + "-" + kind.name + ".txt";
        std::vector<Prefix> mine(
            prefixes.begin() + static_cast<std::ptrdiff_t>(prefixes.size() * i / lists),
            prefixes.begin() + static_cast<std::ptrdiff_t>(prefixes.size() * (i + 1) / lists));
        std::ranges::sort(mine);
        const std::string start = "  - {service: " + service + ", protocol: " + kind.protocol +
                                  ", port: " + kind.port + ", ";
        if (request.written_out) {
            for (const Prefix& prefix : mine)
                files.body_ += start + "prefix: \"" + to_string(prefix) + "\"}\n";
            continue;
        }
        std::string text;
        for (const Prefix& prefix : mine) text += to_string(prefix) + "\n";
        if (auto ok = write_file(directory + "/" + path, text); !ok) return pass_on(ok);
        files.body_ += start + "prefixes_from: " + path + "}\n";
    }
    return files;
}

Result<> ConfigFiles::write_empty() const { return write_file(main_, head_); }

Result<> ConfigFiles::write_full(unsigned changed) const {
    return write_file(main_,
                      head_ + "bindings:\n  - {service: " + service_name(changed % services_) +
                          ", protocol: tcp, port: 443, prefix: " + own_binding + "}\n" + body_);
}

}  // namespace sluice::bench

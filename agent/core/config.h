// SPDX-License-Identifier: Apache-2.0
// The declarative config: YAML text -> checked values. Every node is either taken or an error at
// line:column. The grammar is in docs/man/sluice.yaml.5 and config/sluice.example.yaml.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "core/bindings.h"

namespace sluice {

// What a lookup gets when the service has no usable socket.
struct Unavailable {
    enum class Kind : std::uint8_t { reject, pass, fallback };
    Kind kind = Kind::reject;
    std::string fallback;  // a service's name, for Kind::fallback only
    bool operator==(const Unavailable&) const = default;
};
std::string to_string(const Unavailable& policy);  // "reject", "pass", "fallback spectrum"

// Besides root: who may register a service's sockets; any one of these is enough.
struct RegisterRule {
    std::vector<std::string> users;
    std::vector<std::string> groups;
    std::vector<std::string> units;  // system units; shell patterns as fnmatch(3) reads them
    bool operator==(const RegisterRule&) const = default;
    bool empty() const { return users.empty() && groups.empty() && units.empty(); }
};

// `tcp 0.0.0.0 443`: one kind of socket, by what it is bound to.
struct ListenTriple {
    Protocol protocol = Protocol::tcp;
    Address address;
    std::uint16_t port = 0;
    auto operator<=>(const ListenTriple&) const = default;
};

struct FollowRule {
    std::string unit;
    std::vector<ListenTriple> listen;
    bool operator==(const FollowRule&) const = default;
};

struct ServiceConfig {
    std::string description;
    Unavailable unavailable;
    RegisterRule registration;  // `register:`
    bool mixed_ports = false;
    std::vector<FollowRule> sockets;
    bool operator==(const ServiceConfig&) const = default;
};

struct Admins {
    std::vector<std::string> users;
    std::vector<std::string> groups;
    bool operator==(const Admins&) const = default;
};

struct Guards {
    double max_removed_percent = 20;
    std::size_t max_removed_at_least = 3;
    std::vector<Prefix> protected_prefixes;
    bool allow_empty = false;
    bool refuse_unserved = true;
    std::vector<Address> host_addresses;
    bool operator==(const Guards&) const = default;
};

// The accelerator of lookups beside the tries.
struct DataplaneConfig {
    bool index = true;
    std::uint64_t memory = std::uint64_t{256} << 20U;  // bytes of the kernel's that it may take
    bool operator==(const DataplaneConfig&) const = default;
};

struct Config {
    std::map<std::string, ServiceConfig> services;  // by name
    Bindings bindings;                              // all owned by config, each with file and line
    Admins admins;
    Guards guards;
    DataplaneConfig dataplane;
    std::vector<std::string> files;  // the main file first, then all it includes and lists, as read
    std::uint64_t content = 0;       // FNV-1a over bytes and names (but the main file's) of `files`
};

// One thing wrong (or suspicious) in a file. The line itself goes with it, for the caret.
struct Problem {
    Place place;
    std::string message;  // what was found, and what is allowed
    std::string hint;     // "did you mean 'prefix'?"; may be empty
    std::string line;     // the text of the line; empty when there is none to show
    int width = 0;        // how many columns the caret marks
};

struct CheckedConfig {
    std::optional<Config> config;  // set when there are no errors
    std::vector<Problem> errors;   // the first 20
    std::size_t more_errors = 0;   // found beyond those
    std::vector<Problem> warnings;
    std::uint64_t content =
        0;  // of what could be read, valid or not: "has it changed?"; 0: nothing
    bool valid() const { return config.has_value(); }
};

// The one door to the file system, so that parsing stays pure; agent/sys implements it, and tests
// do.
class ConfigFiles {
  public:
    virtual ~ConfigFiles() = default;
    // The whole file. `path` is relative to the directory of the main file, or absolute.
    virtual Result<std::string> read(const std::string& path) = 0;
    // Paths that match a shell pattern, sorted. A pattern may match nothing.
    virtual std::vector<std::string> glob(const std::string& pattern) = 0;
};

// Reads `path` and everything it includes. Never throws, whatever the text is.
CheckedConfig check_config(ConfigFiles& files, const std::string& path);

// The config as a file that check_config() accepts and finds equal: `sluicectl config`. One file:
// what was included or listed is written out.
std::string to_yaml(const Config& config);

// Place and message, then the line itself and a mark under what is meant, as far as they are known.
std::vector<std::string> problem_lines(const Problem& problem);

// All problems as one Error with all places. Its reason has many lines, the first of them the first
// problem's place and message; the hint is the first problem's.
Error to_error(const CheckedConfig& checked);

}  // namespace sluice

// SPDX-License-Identifier: Apache-2.0
// All that sluicectl has from outside: streams, terminal, clock, environment, the agent, sockets to
// hand over. main() fills in the real ones, tests fill in theirs.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <iosfwd>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "cli/agent.h"
#include "core/config.h"
#include "core/config_bundle.h"
#include "core/result.h"
#include "sys/fd.h"
#include "sys/process.h"
#include "sys/systemd.h"

namespace sluice::cli {

// What works with the agent dead (cli/offline.h).
struct Pins {
    std::function<Result<Json>(const std::string& bpffs)> status{};
    std::function<Result<Json>(const std::string& bpffs)> bindings{};
    std::function<Result<Json>(const std::string& bpffs, const std::string& protocol,
                               const std::string& address, std::uint16_t port,
                               const std::string& from)>
        explain{};
};

// A config that was read with the caller's rights, to be handed over.
struct Gathered {
    CheckedConfig checked;
    ConfigBundle bundle;
    std::string path;  // absolute
};

struct World {
    std::istream& in;
    std::ostream& out;
    std::ostream& err;
    bool in_is_terminal = false;
    bool out_is_terminal = false;
    bool err_is_terminal = false;
    int out_width = 80;  // columns; very many when it is no terminal: then nothing is cut
    int err_width = 80;
    std::int64_t now = 0;     // seconds since 1970
    std::uint32_t uid = 0;    // effective
    std::int32_t parent = 0;  // who started us
    std::string host_name{};
    std::function<std::optional<std::string>(const char* name)> environment{};
    std::function<std::string(std::uint32_t uid)> user{};  // "" for an unknown one

    using Connect = std::function<Result<std::unique_ptr<Agent>>(
        const std::string& control_path, std::chrono::milliseconds timeout)>;
    Connect connect{};
    Pins pins{};
    std::function<CheckedConfig(const std::string& path)> check{};  // with the caller's rights
    std::function<Gathered(const std::string& path)> gather{};
    std::function<Result<Fd>(std::string_view content)> seal{};  // nobody can change it any more
    std::function<std::vector<Address>()> host_addresses{};
    std::function<Result<std::vector<NamedFd>>()> passed{};  // LISTEN_FDS
    // Sockets of a running process that listen at one of the triples: no match of one is an error.
    std::function<Result<std::vector<Fd>>(std::int32_t pid, const std::vector<ListenTriple>&)>
        take{};
    // The same from all processes of a systemd unit, looked for below `cgroup_root` ("": the
    // host's).
    std::function<Result<std::vector<TakenSocket>>(
        const std::string& cgroup_root, const std::string& unit, const std::vector<ListenTriple>&)>
        take_unit{};
};

}  // namespace sluice::cli

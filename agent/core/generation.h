// SPDX-License-Identifier: Apache-2.0
// A generation: one accepted state of bindings, services and guards, numbered; and its stored form.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "core/bindings.h"
#include "core/config.h"

namespace sluice {

// Who made a change, by the kernel's word (SO_PEERCRED, /proc/PID/loginuid, /proc/PID/comm).
struct Author {
    std::uint32_t uid = 0;
    std::int64_t login_uid = -1;  // -1: none
    std::int32_t pid = 0;
    std::string command;
    bool operator==(const Author&) const = default;
};
std::string to_string(const Author& author);  // "nginx[812], uid 33", for the log

struct Generation {
    std::uint64_t number = 0;     // 0: nothing was ever accepted
    std::int64_t time = 0;        // seconds since 1970
    Owner owner = Owner::config;  // whose bindings the change concerned
    std::string cause;            // "start", "reload", "bind", "unbind", …
    std::string note;
    Author by;

    std::map<std::string, ServiceConfig> services;
    Admins admins;
    Guards guards;
    Bindings config;   // owned by config; some may wait behind runtime ones
    Bindings runtime;  // owned by runtime

    std::string config_path;           // the file it was made from; empty if none was ever read
    std::size_t config_files = 0;      // how many files it and its includes were
    std::uint64_t config_content = 0;  // Config::content of that; 0 if none
};

// The stored form: a first line `sluice-generation 1 CRC32 BYTES` (CRC-32 of ISO-HDLC as zlib has
// it, in 8 hex digits, over the BYTES that follow), then one line of JSON with everything but
// bindings, then one line a binding. Versioned; readers refuse versions they do not know.
std::string serialize(const Generation& generation);
// Refuses anything damaged, truncated or of another version, with the reason. Never throws.
Result<Generation> parse_generation(std::string_view text);

}  // namespace sluice

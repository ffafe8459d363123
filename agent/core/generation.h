// SPDX-License-Identifier: Apache-2.0
// A generation: one accepted state of bindings, services and guards, numbered; and its stored form.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
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

// A generation that returns to the one before it unless somebody confirms it. Its clock is the
// machine's own (CLOCK_BOOTTIME), which no change of the time of day moves, and no restart of the
// agent; another boot means that nobody confirmed.
struct Pending {
    std::uint64_t return_to = 0;
    std::int64_t deadline = 0;  // seconds since boot
    std::string boot;           // the kernel's id of that boot
    bool operator==(const Pending&) const = default;
};

// A runtime binding that the config came to say too, so that a rollback to before finds it again.
struct Folded {
    Binding binding;
    std::uint64_t by = 0;  // the generation in which the config took it over
};

// A config's content that was rolled back or not confirmed: it is not applied unless it changes or
// somebody types `apply`.
struct SetAside {
    std::uint64_t content = 0;  // Config::content
    std::string why;            // "generation 43 was rolled back"
    bool operator==(const SetAside&) const = default;
};

struct Generation {
    std::uint64_t number = 0;     // 0: nothing was ever accepted
    std::uint64_t base = 0;       // the generation that answered before it
    std::int64_t time = 0;        // seconds since 1970
    Owner owner = Owner::config;  // whose bindings the change concerned
    std::string cause;            // "start", "reload", "apply", "bind", "unbind", "rollback", …
    std::string note;
    Author by;
    std::uint64_t restores = 0;  // a rollback: the generation whose config it brought back
    std::size_t added = 0, moved = 0, removed = 0;  // bindings, against the one before
    std::size_t services_changed = 0;
    std::optional<Pending> pending;

    std::map<std::string, ServiceConfig> services;
    Admins admins;
    Guards guards;
    DataplaneConfig dataplane;
    Bindings config;   // owned by config; some may wait behind runtime ones
    Bindings runtime;  // owned by runtime
    std::vector<Folded> folded;

    std::string config_path;           // the file it was made from; empty if none was ever read
    std::size_t config_files = 0;      // how many files it and its includes were
    std::uint64_t config_content = 0;  // Config::content of that; 0 if none
    bool other_file = false;           // not the default config: restarts leave that alone
    std::vector<SetAside> set_aside;   // contents of the default config
};

// The config's bindings are stored apart, since most generations share them with the one before.
struct TableRef {
    std::uint64_t number = 0;    // of its file; 0: there are no bindings
    std::uint32_t checksum = 0;  // of its content
    bool operator==(const TableRef&) const = default;
};

// The stored forms: a first line `sluice-generation 2 CRC32 BYTES` or `sluice-table 2 CRC32 BYTES`
// (CRC-32 of ISO-HDLC as zlib has it, in 8 hex digits, over the BYTES that follow). A generation
// goes on with one line of JSON with everything but bindings, then one line a runtime binding; a
// table has one line a binding. Versioned; readers refuse versions they do not know.
std::string serialize(const Generation& generation, const TableRef& config);
std::string serialize_table(const Bindings& config);
std::uint32_t checksum_of(std::string_view stored);  // of the content, by its first line; 0: none

// All refuse anything damaged, truncated or of another version, with the reason. They never throw.
struct StoredGeneration {
    Generation generation;  // without the config's bindings
    TableRef config;
};
Result<StoredGeneration> parse_generation(std::string_view text);
Result<Bindings> parse_table(std::string_view text);

}  // namespace sluice

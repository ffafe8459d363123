// SPDX-License-Identifier: Apache-2.0
// The kernel side put together for tests, without an agent: apply text, register descriptors.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "kernel/binding_table.h"
#include "kernel/dispatcher.h"
#include "kernel/socket_table.h"
#include "sys/fd.h"

namespace sluice::testing {

class TestPlane {
  public:
    explicit TestPlane(const std::string& bpffs, kernel::Site site = {});
    // The new table is these lines (support/world.h); services that are named appear by themselves.
    void apply(const std::vector<std::string>& lines);
    Result<kernel::ApplyStats> try_apply(const Bindings& to);
    void settle();  // grace period, second half, retired slots
    // As an agent that was killed and started again: from what is pinned.
    void reopen();
    // For the next reopen().
    void set_image(kernel::ProgramImage image) { site_.image = image; }
    void set_capacity(std::uint32_t capacity) { site_.capacity = capacity; }
    void add(const std::string& service, const std::vector<const Fd*>& sockets, bool dual = false);
    static kernel::NewSocket describe(const Fd& socket, bool dual = false);

    std::optional<kernel::Dispatcher> dispatcher;
    std::optional<kernel::ServiceTable> services_table;
    std::optional<kernel::BindingTable> table;
    std::optional<kernel::SocketTable> sockets;
    std::map<std::string, ServiceConfig> services;
    Bindings running;
    std::uint64_t generation = 0;

  private:
    void adopt();
    kernel::Site site_;
};

}  // namespace sluice::testing

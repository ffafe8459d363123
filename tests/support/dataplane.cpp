// SPDX-License-Identifier: Apache-2.0
#include "support/dataplane.h"

#include <cstring>
#include <netinet/in.h>
#include <sys/socket.h>

#include "support/sockets.h"
#include "support/world.h"

namespace sluice::testing {

TestPlane::TestPlane(const std::string& bpffs, kernel::Site site) : site_(site) {
    site_.directory = bpffs;
    adopt();
}

void TestPlane::adopt() {
    dispatcher.emplace(must(kernel::Dispatcher::open(site_)));
    services_table.emplace(dispatcher->maps().services);
    table.emplace(must(kernel::BindingTable::adopt(*dispatcher, *services_table)));
    sockets.emplace(must(kernel::SocketTable::adopt(*dispatcher, *services_table)));
    running = must(kernel::read_bindings(dispatcher->maps()));
    generation = table->generation();
    for (const auto& [name, id] : services_table->all())
        services[name].unavailable = services_table->unavailable(dispatcher->maps().active(), id);
}

void TestPlane::reopen() {
    sockets.reset();
    table.reset();
    services_table.reset();
    dispatcher.reset();
    adopt();
}

void TestPlane::settle() {
    while (!table->settled() || sockets->has_retired() || table->wants_index()) {
        const auto retired = sockets->retired();
        must(dispatcher->grace_period());
        must(table->settle());
        sockets->reclaim(retired);
        if (const auto wish = table->wants_index())
            must(table->adopt_index(dispatcher->prepare_index(*wish), *wish));
    }
}

Result<kernel::ApplyStats> TestPlane::try_apply(const Bindings& to) {
    settle();
    for (const Binding& each : to)
        if (each.target.is_service()) services.try_emplace(*each.target.name);
    auto stats = table->apply({generation + 1, 0, &running, &to, &services});
    if (stats) {
        running = to;
        ++generation;
    }
    return stats;
}

void TestPlane::apply(const std::vector<std::string>& lines) { must(try_apply(bindings(lines))); }

void TestPlane::add(const std::string& service, const std::vector<const Fd*>& fds, bool dual) {
    std::vector<kernel::NewSocket> fresh;
    for (const Fd* fd : fds) fresh.push_back(describe(*fd, dual));
    must(sockets->add(service, fresh, kernel::Placement::add, 0));
}

kernel::NewSocket TestPlane::describe(const Fd& socket, bool dual) {
    kernel::NewSocket described;
    described.fd = socket.get();
    described.cookie = cookie_of(socket);
    int domain = 0, type = 0;
    socklen_t size = sizeof domain;
    ::getsockopt(socket.get(), SOL_SOCKET, SO_DOMAIN, &domain, &size);
    ::getsockopt(socket.get(), SOL_SOCKET, SO_TYPE, &type, &size);
    described.family = domain == AF_INET6 ? Family::ipv6 : Family::ipv4;
    described.protocol = type == SOCK_STREAM ? Protocol::tcp : Protocol::udp;
    described.dual = dual;
    described.local.address.family = described.family;
    return described;
}

}  // namespace sluice::testing

// SPDX-License-Identifier: Apache-2.0
// Whole connections and datagrams, in one thread over loopback: a listener that is bound where the
// client goes, in a network of its own, against one that the dispatcher steers to among many
// bindings.
#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <fcntl.h>
#include <fstream>
#include <netinet/in.h>
#include <sched.h>
#include <set>
#include <sys/socket.h>

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include "kernel/dataplane.h"
#include "namespaces.h"
#include "tables.h"

namespace sluice::bench {
namespace {

using Clock = std::chrono::steady_clock;

struct Options {
    std::size_t size = 100'000, rounds = 60, loops = 500;
    std::string json;
};

sockaddr_in address_of(const char* text, std::uint16_t port) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    const Address parsed = Address::parse(text).value_or(Address());
    std::copy_n(parsed.bytes.begin(), 4, reinterpret_cast<std::uint8_t*>(&address.sin_addr));
    address.sin_port = htons(port);
    return address;
}

Result<Fd> bound(int type, const char* address, std::uint16_t port) {
    Fd fd(::socket(AF_INET, type | SOCK_CLOEXEC, 0));
    if (!fd) return fail_errno(errno, "make a socket");
    const sockaddr_in to = address_of(address, port);
    if (::bind(fd.get(), reinterpret_cast<const sockaddr*>(&to), sizeof to) != 0)
        return fail_errno(errno, "bind");
    if (type == SOCK_STREAM && ::listen(fd.get(), 128) != 0) return fail_errno(errno, "listen");
    return fd;
}

// A network, its two servers, and where a client goes to reach them.
struct Side {
    Fd network, listener, receiver;
    sockaddr_in tcp{}, udp{};
};

Result<Fd> this_network() {
    Fd fd(::open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC));
    if (!fd) return fail_errno(errno, "open the network namespace");
    return fd;
}

Result<Side> open_side(const char* bind_to, const char* go_to) {
    Side side;
    auto network = this_network();
    if (!network) return pass_on(network);
    auto listener = bound(SOCK_STREAM, bind_to, 8080), receiver = bound(SOCK_DGRAM, bind_to, 8053);
    if (!listener) return pass_on(listener);
    if (!receiver) return pass_on(receiver);
    const bool steered = std::string_view(bind_to) != go_to;
    side.network = std::move(*network);
    side.listener = std::move(*listener);
    side.receiver = std::move(*receiver);
    side.tcp = address_of(go_to, steered ? 80 : 8080);
    side.udp = address_of(go_to, steered ? 53 : 8053);
    return side;
}

// Microseconds a connection: connect, accept, and reset, so that none waits in TIME_WAIT.
Result<double> connections(const Side& side, std::size_t loops) {
    const auto began = Clock::now();
    const linger reset{1, 0};
    for (std::size_t i = 0; i < loops; ++i) {
        const Fd client(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
        if (::connect(client.get(), reinterpret_cast<const sockaddr*>(&side.tcp),
                      sizeof side.tcp) != 0)
            return fail_errno(errno, "connect");
        const Fd server(::accept4(side.listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
        if (!server) return fail_errno(errno, "accept");
        ::setsockopt(client.get(), SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
    }
    const std::chrono::duration<double, std::micro> took = Clock::now() - began;
    return took.count() / static_cast<double>(loops);
}

// Microseconds a datagram, from one socket that is not connected.
Result<double> datagrams(const Side& side, std::size_t loops) {
    const Fd client(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    std::array<char, 64> text{};
    const auto began = Clock::now();
    for (std::size_t i = 0; i < loops; ++i) {
        if (::sendto(client.get(), text.data(), text.size(), 0,
                     reinterpret_cast<const sockaddr*>(&side.udp), sizeof side.udp) < 0)
            return fail_errno(errno, "send");
        if (::recv(side.receiver.get(), text.data(), text.size(), 0) < 0)
            return fail_errno(errno, "receive");
    }
    const std::chrono::duration<double, std::micro> took = Clock::now() - began;
    return took.count() / static_cast<double>(loops);
}

std::array<double, 5> five(std::vector<double> values) {
    std::ranges::sort(values);
    std::array<double, 5> parts{};
    for (std::size_t i = 0; i < parts.size(); ++i)
        parts.at(i) = values[(values.size() - 1) * i / (parts.size() - 1)];
    return parts;
}

using Measure = Result<double> (*)(const Side&, std::size_t);

Result<> compare(const Options& options, const std::string& what, Measure measure,
                 std::size_t loops, const Side& plain, const Side& steered) {
    std::vector<double> times[2], ratios;
    for (std::size_t round = 0; round <= options.rounds; ++round) {
        std::array<double, 2> took{};
        for (std::size_t turn = 0; turn < 2; ++turn) {
            const std::size_t which = (turn + round) % 2;  // none is always first
            const Side& side = which == 0 ? plain : steered;
            if (::setns(side.network.get(), CLONE_NEWNET) != 0)
                return fail_errno(errno, "enter a network");
            auto result = measure(side, loops);
            if (!result) return pass_on(result, which == 0 ? "plain" : "steered");
            took.at(which) = *result;
        }
        if (round == 0) continue;  // warms up
        times[0].push_back(took[0]);
        times[1].push_back(took[1]);
        ratios.push_back(took[1] / took[0]);
    }
    const auto a = five(times[0]), b = five(times[1]), ratio = five(ratios);
    std::printf("  %-40s plain %6.2f us  steered %6.2f us  ratio %.3f  %.3f-%.3f\n", what.c_str(),
                a[2], b[2], ratio[2], ratio[1], ratio[3]);
    std::fflush(stdout);
    if (!options.json.empty())
        std::ofstream(options.json, std::ios::app) << nlohmann::json{{"system", what},
                                                                     {"unit", "µs"},
                                                                     {"plain", a},
                                                                     {"steered", b},
                                                                     {"ratio", ratio}}
                                                   << "\n";
    return {};
}

kernel::NewSocket describe(const Fd& fd, Protocol protocol) {
    kernel::NewSocket socket;
    socket.fd = fd.get();
    socket.protocol = protocol;
    socklen_t size = sizeof socket.cookie;
    ::getsockopt(fd.get(), SOL_SOCKET, SO_COOKIE, &socket.cookie, &size);
    return socket;
}

Result<Bindings> bindings_of(std::size_t size) {
    const Table table = edge_mix({Family::ipv4, size, 1, 1, 1});
    const auto other = SharedText("other");
    std::vector<Binding> all;
    for (const Entry& entry : table.entries) {
        if (entry.prefix.address.bytes[0] == 127) continue;
        Binding binding;
        binding.match = {Protocol::tcp, entry.prefix, Ports::any()};
        binding.target = Target::service(other);
        all.push_back(binding);
        binding.match.protocol = Protocol::udp;
        all.push_back(std::move(binding));
    }
    for (const auto& [protocol, port] : {std::pair{Protocol::tcp, 80}, {Protocol::udp, 53}}) {
        Binding binding;
        binding.match = {protocol, Prefix::parse("127.7.0.0/16").value_or(Prefix()),
                         Ports::one(static_cast<std::uint16_t>(port))};
        binding.target = Target::service("steered");
        all.push_back(std::move(binding));
    }
    return Bindings::make(std::move(all));
}

Result<std::unique_ptr<kernel::Dataplane>> open_plane(std::size_t size, const Side& side) {
    auto plane = kernel::Dataplane::open({.directory = "/sys/fs/bpf/sluice"});
    if (!plane) return plane;
    auto bindings = bindings_of(size);
    if (!bindings) return pass_on(bindings);
    const Bindings none;
    const std::map<std::string, ServiceConfig> services{{"steered", {}}, {"other", {}}};
    auto stats =
        (*plane)->apply({.generation = 1, .from = &none, .to = &*bindings, .services = &services});
    if (!stats) return pass_on(stats);
    while ((*plane)->wants_grace()) {
        auto ticket = (*plane)->begin_grace();
        if (auto ok = (*plane)->wait(ticket); !ok) return pass_on(ok);
        if (auto ok = (*plane)->finish_grace(ticket, {"steered", "other"}); !ok) return pass_on(ok);
    }
    auto added = (*plane)->sockets().add(
        "steered", {describe(side.listener, Protocol::tcp), describe(side.receiver, Protocol::udp)},
        kernel::Placement::add, 0);
    if (!added) return pass_on(added);
    return plane;
}

Result<> run_all(const Options& options) {
    if (auto ok = own_namespaces(); !ok) return ok;
    auto plain = open_side("127.0.0.1", "127.0.0.1");
    if (!plain) return pass_on(plain);
    if (auto ok = new_network(); !ok) return ok;
    auto steered = open_side("127.0.0.1", "127.7.7.7");
    if (!steered) return pass_on(steered);
    auto plane = open_plane(options.size, *steered);
    if (!plane) return pass_on(plane);
    for (const bool index : {true, false}) {
        if (auto ok = (*plane)->configure({.index = index}); !ok) return ok;
        while (index && (*plane)->wants_grace()) {
            auto ticket = (*plane)->begin_grace();
            if (auto ok = (*plane)->wait(ticket); !ok) return ok;
            if (auto ok = (*plane)->finish_grace(ticket, {"steered", "other"}); !ok) return ok;
        }
        const std::string way = index ? ", by the index" : ", by the tries";
        if (auto ok = compare(options, "TCP connect and accept" + way, connections, options.loops,
                              *plain, *steered);
            !ok)
            return ok;
        if (auto ok = compare(options, "UDP datagram, not connected" + way, datagrams,
                              options.loops * 10, *plain, *steered);
            !ok)
            return ok;
    }
    return {};
}

int main_with(int argc, char** argv) {
    Options options;
    CLI::App app("Measures connections and datagrams, plain and steered (bench/README.md)");
    app.add_option("--size", options.size, "bindings, for each protocol")
        ->check(CLI::Range(10, 500000));
    app.add_option("--rounds", options.rounds, "of each measurement")->check(CLI::Range(4, 10000));
    app.add_option("--json", options.json, "a file that the figures are added to");
    CLI11_PARSE(app, argc, argv);
    auto ok = run_all(options);
    if (!ok) std::fprintf(stderr, "system_bench: %s\n", ok.error().message().c_str());
    return ok ? 0 : 1;
}

}  // namespace
}  // namespace sluice::bench

int main(int argc, char** argv) { return sluice::bench::main_with(argc, argv); }

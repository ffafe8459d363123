// SPDX-License-Identifier: Apache-2.0
#include "daemon/socket_watch.h"

#include <set>
#include <sys/epoll.h>

#include <spdlog/spdlog.h>

namespace sluice {
namespace {

// How often events are counted, and how often the agent looks while it hears none.
constexpr std::chrono::milliseconds period{200};
constexpr std::size_t looked_at = 2000;  // sockets a time: a millisecond

}  // namespace

SocketWatch::SocketWatch(EventLoop& loop, Agent& agent, EventLimits limits)
    : loop_(loop), agent_(agent), budget_(limits, std::chrono::steady_clock::now()) {}

SocketWatch::~SocketWatch() { agent_.on_sockets_changed = nullptr; }

Result<std::unique_ptr<SocketWatch>> SocketWatch::start(EventLoop& loop, Agent& agent,
                                                        EventLimits limits) {
    std::unique_ptr<SocketWatch> watch(new SocketWatch(loop, agent, limits));
    if (auto ok = watch->open(); !ok) watch->give_up(ok.error());
    auto turning = loop.every(period, [self = watch.get()] { self->turn(); });
    if (!turning) return pass_on(turning);
    watch->turning_ = std::move(*turning);
    agent.on_sockets_changed = [self = watch.get()] { self->follow(); };
    watch->follow();
    return watch;
}

Result<> SocketWatch::open() {
    auto events = DestroyedSockets::open();
    if (!events) return pass_on(events);
    events_ = std::move(*events);
    auto reading = loop_.io(events_->fd(), EPOLLIN, [this](std::uint32_t) { read(); });
    if (!reading) return pass_on(reading);
    reading_ = std::move(*reading);
    return {};
}

// Without events the agent looks.
void SocketWatch::give_up(const Error& why) {
    spdlog::warn("closed sockets are looked for, not heard of: {}", why.message());
    reading_.reset();
    events_.reset();
    heard_ = {};
}

// What there is to hear of has changed.
void SocketWatch::follow() {
    std::set<std::uint16_t> ports;
    std::array<bool, SLUICE_CLASSES> wanted{};
    for (const auto& [cookie, socket] : agent_.plane().sockets().all()) {
        ports.insert(socket.local.port);
        wanted.at(kernel::class_of(socket.protocol == Protocol::udp,
                                   socket.family == Family::ipv6)) = true;
    }
    wanted_ = wanted;
    std::vector<std::uint16_t> list(ports.begin(), ports.end());
    if (events_ && list != ports_) {
        ports_ = std::move(list);
        if (auto ok = events_->watch_ports(ports_); !ok) give_up(ok.error());
    }
    hear();
}

// Every kind that is heard of costs whoever closes such a socket: only what is of use, and only
// while there are few.
void SocketWatch::hear() {
    for (std::uint32_t cls = 0; cls < SLUICE_CLASSES && events_; ++cls) {
        const bool on = wanted_.at(cls) && budget_.listening();
        if (on == heard_.at(cls)) continue;
        const bool udp = cls == SLUICE_UDP_V4 || cls == SLUICE_UDP_V6;
        const bool six = cls == SLUICE_TCP_V6 || cls == SLUICE_UDP_V6;
        auto ok = events_->hear(udp ? Protocol::udp : Protocol::tcp,
                                six ? Family::ipv6 : Family::ipv4, on);
        if (!ok) return give_up(ok.error());
        heard_.at(cls) = on;
    }
}

void SocketWatch::read() {
    auto batch = events_->receive();
    if (!batch) return give_up(batch.error());
    budget_.count(batch->estimated);
    if (batch->lost) {
        budget_.overrun(std::chrono::steady_clock::now());
        hear();
        agent_.look_for_closed(agent_.plane().sockets().all().size());
    }
    agent_.forget_destroyed(batch->cookies);
}

void SocketWatch::turn() {
    const bool before = budget_.listening();
    if (budget_.judge(std::chrono::steady_clock::now()) != before) {
        spdlog::debug("closed sockets are {}", before ? "too many to hear of" : "heard of again");
        hear();
        // Those that closed while nobody listened.
        if (!before) agent_.look_for_closed(agent_.plane().sockets().all().size());
    }
    if (!listening()) agent_.look_for_closed(looked_at);
}

}  // namespace sluice

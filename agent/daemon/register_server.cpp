// SPDX-License-Identifier: Apache-2.0
#include "daemon/register_server.h"

#include <algorithm>
#include <sys/epoll.h>

#include <spdlog/spdlog.h>

#include "core/register_dialect.h"
#include "sys/peer.h"
#include "sys/unix_socket.h"

namespace sluice {
namespace {

constexpr std::size_t read_size = 1024;  // labels are short; a longer message is refused
constexpr std::size_t most_connections = 256;
constexpr std::chrono::seconds to_finish{5};

}  // namespace

class RegisterServer::Connection {
  public:
    Connection(RegisterServer& server, Fd fd, Peer peer)
        : server_(server), fd_(std::move(fd)), peer_(std::move(peer)), active_(Clock::now()) {}

    Result<> start() {
        auto source = server_.loop_.io(fd_.get(), EPOLLIN, [this](std::uint32_t) {
            if (!read()) server_.remove(this);  // destroys this
        });
        if (!source) return pass_on(source);
        source_ = std::move(*source);
        return {};
    }

    Clock::time_point active() const { return active_; }
    bool overdue(Clock::time_point now) const {
        return reader_.unfinished() && now - active_ > to_finish;
    }

  private:
    // One message. False when the connection is over.
    bool read() {
        const bool trusted = server_.handler_.may_pass_descriptors(peer_);
        auto received = receive(fd_.get(), read_size, trusted);
        if (!received || received->end) return false;
        if (received->again) return true;
        if (!reader_.unfinished()) active_ = Clock::now();
        if (received->truncated) {
            forget();
            return answer(fail(Failure::invalid, "the message is too long, or carries too much"));
        }
        const std::size_t count = received->descriptors.size();
        for (Fd& fd : received->descriptors) descriptors_.push_back(std::move(fd));
        if (!trusted) {
            // Its descriptors were never received, so there is nothing else to say about the
            // message.
            forget();
            return answer(fail(Failure::refused, to_string(peer_) + " may not register sockets"));
        }
        auto registration = reader_.feed(received->bytes, count);
        if (!registration) {
            forget();
            return answer(pass_on(registration));
        }
        if (!*registration) return true;
        auto done = server_.handler_.register_sockets((*registration)->label, descriptors_, peer_);
        forget();
        return answer(done);
    }

    void forget() {
        descriptors_.clear();
        reader_ = {};
    }

    bool answer(const Result<>& result) {
        if (!result) spdlog::warn("register: {}: {}", to_string(peer_), result.error().message());
        const auto sent = send(fd_.get(), register_answer(result), {});
        return sent && *sent > 0;  // who does not read its answers is not served further
    }

    RegisterServer& server_;
    Fd fd_;
    Peer peer_;
    RegistrationReader reader_;
    std::vector<Fd> descriptors_;
    Clock::time_point active_;
    EventSource source_;
};

RegisterServer::RegisterServer(EventLoop& loop, Fd listener, RegistrationHandler& handler)
    : loop_(loop), listener_(std::move(listener)), handler_(handler) {}

RegisterServer::~RegisterServer() = default;

Result<std::unique_ptr<RegisterServer>> RegisterServer::start(EventLoop& loop, Fd listener,
                                                              RegistrationHandler& handler) {
    std::unique_ptr<RegisterServer> server(new RegisterServer(loop, std::move(listener), handler));
    if (auto ok = make_nonblocking(server->listener_); !ok) return pass_on(ok);
    auto accepting = loop.io(server->listener_.get(), EPOLLIN,
                             [self = server.get()](std::uint32_t) { self->accept_all(); });
    if (!accepting) return pass_on(accepting);
    server->accepting_ = std::move(*accepting);
    auto sweeping = loop.every(std::chrono::seconds(1), [self = server.get()] { self->sweep(); });
    if (!sweeping) return pass_on(sweeping);
    server->sweeping_ = std::move(*sweeping);
    return server;
}

void RegisterServer::accept_all() {
    for (;;) {
        auto fd = accept_unix(listener_);
        if (!fd) {
            // Out of descriptors, most likely: try again a second later, not in a busy loop.
            spdlog::error("register: {}", fd.error().message());
            accepting_.watch(0);
            return;
        }
        if (!*fd) return;
        auto peer = peer_of(fd->get());
        if (!peer) continue;  // gone already
        if (connections_.size() >= most_connections)
            connections_.erase(std::ranges::min_element(
                connections_, std::less{}, [](const auto& other) { return other->active(); }));
        auto connection = std::make_unique<Connection>(*this, std::move(*fd), std::move(*peer));
        if (auto ok = connection->start(); !ok)
            spdlog::error("register: {}", ok.error().message());
        else
            connections_.push_back(std::move(connection));
    }
}

void RegisterServer::sweep() {
    const auto now = Clock::now();
    accepting_.watch(EPOLLIN);
    std::erase_if(connections_, [&](const auto& connection) { return connection->overdue(now); });
}

void RegisterServer::remove(Connection* connection) {
    std::erase_if(connections_, [&](const auto& other) { return other.get() == connection; });
}

}  // namespace sluice

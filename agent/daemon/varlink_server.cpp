// SPDX-License-Identifier: Apache-2.0
#include "daemon/varlink_server.h"

#include <algorithm>
#include <sys/epoll.h>

#include <spdlog/spdlog.h>

#include "sys/peer.h"
#include "sys/unix_socket.h"

namespace sluice {
namespace {

constexpr std::size_t read_size = std::size_t{64} << 10U;
constexpr std::string_view service_interface = "org.varlink.service";

constexpr std::string_view service_interface_text =
    R"(# The Varlink Service Interface is provided by every varlink service. It
# describes the service and the interfaces it implements.
interface org.varlink.service

# Get a list of all the interfaces a service provides and information
# about the implementation.
method GetInfo() -> (
  vendor: string,
  product: string,
  version: string,
  url: string,
  interfaces: []string
)

# Get the description of an interface that is implemented by this service.
method GetInterfaceDescription(interface: string) -> (description: string)

error InterfaceNotFound (interface: string)
error MethodNotFound (method: string)
error MethodNotImplemented (method: string)
error InvalidParameter (parameter: string)
error PermissionDenied ()
error ExpectedMore ()
)";

VarlinkReply info() {
    return {{{"vendor", "Sluice"},
             {"product", "sluiced"},
             {"version", SLUICE_VERSION},
             {"url", ""},
             {"interfaces", {service_interface, agent_interface}}},
            false,
            ""};
}

// Register has `sockets`, RegisterAll has them in its `offers`, Plan and Apply have `files`.
bool names_descriptors(const Json& parameters) {
    for (const char* key : {"sockets", "offers", "files"})
        if (const auto at = parameters.find(key); at != parameters.end() && !at->empty())
            return true;
    return false;
}

VarlinkReply describe(const Json& parameters) {
    const auto at = parameters.find("interface");
    if (at == parameters.end() || !at->is_string())
        return service_error(ServiceError::invalid_parameter, "interface");
    const auto name = at->get<std::string>();
    if (name == agent_interface) return {{{"description", agent_interface_text()}}, false, ""};
    if (name == service_interface) return {{{"description", service_interface_text}}, false, ""};
    return service_error(ServiceError::interface_not_found, name);
}

}  // namespace

class VarlinkServer::Connection {
  public:
    Connection(VarlinkServer& server, Fd fd, Peer peer)
        : server_(server),
          fd_(std::move(fd)),
          peer_(std::move(peer)),
          splitter_(varlink_max_call),
          active_(Clock::now()) {}

    Result<> start() {
        auto source = server_.loop_.io(fd_.get(), EPOLLIN,
                                       [this](std::uint32_t events) { on_events(events); });
        if (!source) return pass_on(source);
        source_ = std::move(*source);
        return {};
    }

    bool idle() const { return !call_ && !stream_ && output_.empty() && !splitter_.unfinished(); }
    Clock::time_point active() const { return active_; }
    // Too slow to finish what it says, or to read what it asked for.
    bool overdue(Clock::time_point now) const {
        if (!output_.empty() || stream_) return now - active_ > server_.limits_.stalled;
        return splitter_.unfinished() && now - active_ > server_.limits_.unfinished;
    }

  private:
    void on_events(std::uint32_t events) {
        bool alive = true;
        if ((events & EPOLLOUT) != 0) alive = flush();
        // Who has left is read to the end only when all calls are done that came before.
        if (alive && !call_ && (events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0) alive = read();
        if (alive) alive = work();
        if (!alive) server_.remove(this);  // destroys this
    }

    // False when the connection is over.
    bool read() {
        auto received = receive(fd_.get(), read_size, server_.handler_.may_pass_descriptors(peer_));
        if (!received || received->end) return false;
        if (received->again) return true;
        for (Fd& fd : received->descriptors) descriptors_.push_back(std::move(fd));
        const bool flood = received->truncated || descriptors_.size() > max_descriptors;
        if (!splitter_.unfinished())
            active_ = Clock::now();  // the clock of a message starts with it
        if (!flood && splitter_.feed(received->bytes)) return true;
        spdlog::warn("control: {} sent too {}: disconnected", to_string(peer_),
                     flood ? "many descriptors" : "long a message");
        return false;
    }

    // Answers one call, as far as the client reads; the next waits until others had their turn.
    // False when the connection is over.
    bool work() {
        if (!call_) call_ = splitter_.next();
        if (call_ && !stream_ && output_.empty()) {
            if (!handle(*call_)) return false;
            active_ = Clock::now();
            call_ = splitter_.next();
        }
        if (stream_) produce();
        if (!flush()) return false;
        // Nothing more is read from a client that does not read.
        const bool busy = call_ || stream_ || !output_.empty();
        source_.watch(busy ? std::uint32_t{EPOLLOUT} : std::uint32_t{EPOLLIN});
        if (!busy && !splitter_.unfinished()) descriptors_.clear();
        return true;
    }

    bool handle(const std::string& message) {
        auto call = parse_call(message);
        if (!call) {
            spdlog::warn("control: {} sent no call: {}", to_string(peer_), call.error().message());
            return false;
        }
        oneway_ = call->oneway;
        more_ = call->more;
        if (call->upgrade) {
            reply(service_error(ServiceError::method_not_implemented, call->method));
            return true;
        }
        if (call->interface_name() == service_interface) {
            reply(answer_service(*call));
            return true;
        }
        answer_agent(*call);
        return true;
    }

    static VarlinkReply answer_service(const VarlinkCall& call) {
        if (call.method_name() == "GetInfo") return info();
        if (call.method_name() == "GetInterfaceDescription") return describe(call.parameters);
        return service_error(ServiceError::method_not_found, call.method);
    }

    void answer_agent(const VarlinkCall& call) {
        const auto& interface = server_.interface_;
        if (call.interface_name() != interface.name())
            return reply(service_error(ServiceError::interface_not_found, call.interface_name()));
        const VarlinkMethod* method = interface.method(call.method_name());
        if (method == nullptr)
            return reply(service_error(ServiceError::method_not_found, call.method));
        if (const auto wrong = interface.first_mismatch(method->in, call.parameters);
            !wrong.empty())
            return reply(service_error(ServiceError::invalid_parameter, wrong));
        // Descriptors belong to the first call that can use them: one that came before it may have
        // been read together with it. work() closes what is left over.
        std::vector<Fd> descriptors;
        if (names_descriptors(call.parameters)) descriptors.swap(descriptors_);
        auto answer = server_.handler_.call(call, descriptors, peer_);
        if (!answer) {
            if (answer.error().failure() == Failure::refused)
                spdlog::warn("control: {}: {}", call.method_name(), answer.error().message());
            return reply(error_reply(answer.error()));
        }
        if (!answer->next) return reply({std::move(answer->parameters), false, ""});
        if (!call.more) return reply(service_error(ServiceError::expected_more));
        stream_ = std::move(answer->next);
        held_ = stream_();
    }

    // More of a long answer, while the client keeps up.
    void produce() {
        while (stream_ && output_.size() - sent_ < server_.limits_.output) {
            auto following = held_ ? stream_() : std::nullopt;
            reply({held_ ? std::move(*held_) : Json::object(), following.has_value(), ""});
            held_ = std::move(following);
            if (!held_) stream_ = nullptr;
        }
    }

    void reply(const VarlinkReply& reply) {
        if (!oneway_) output_ += encode_reply(reply);
    }

    bool flush() {
        while (sent_ < output_.size()) {
            auto count = send(fd_.get(), std::string_view(output_).substr(sent_), {});
            if (!count) return false;
            if (*count == 0) break;
            sent_ += *count;
            active_ = Clock::now();
        }
        output_.erase(0, sent_);  // a long answer may never be sent up to its end before more comes
        sent_ = 0;
        return true;
    }

    VarlinkServer& server_;
    Fd fd_;
    Peer peer_;
    MessageSplitter splitter_;
    std::optional<std::string> call_;  // the next one
    std::vector<Fd> descriptors_;      // came, and no call has used them yet
    std::string output_;
    std::size_t sent_ = 0;
    std::function<std::optional<Json>()> stream_;
    std::optional<Json> held_;  // the part that goes next, when it is known whether it is the last
    bool oneway_ = false, more_ = false;
    Clock::time_point active_;
    EventSource source_;
};

VarlinkServer::VarlinkServer(EventLoop& loop, Fd listener, CallHandler& handler,
                             ServerLimits limits, VarlinkInterface interface)
    : loop_(loop),
      listener_(std::move(listener)),
      handler_(handler),
      limits_(limits),
      interface_(std::move(interface)) {}

VarlinkServer::~VarlinkServer() = default;

Result<std::unique_ptr<VarlinkServer>> VarlinkServer::start(EventLoop& loop, Fd listener,
                                                            CallHandler& handler,
                                                            ServerLimits limits) {
    auto interface = VarlinkInterface::parse(agent_interface_text());
    if (!interface) return pass_on(interface, "read the interface");
    std::unique_ptr<VarlinkServer> server(
        new VarlinkServer(loop, std::move(listener), handler, limits, std::move(*interface)));
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

void VarlinkServer::accept_all() {
    for (;;) {
        auto fd = accept_unix(listener_);
        if (!fd) {
            // Out of descriptors, most likely: try again a second later, not in a busy loop.
            spdlog::error("control: {}", fd.error().message());
            accepting_.watch(0);
            return;
        }
        if (!*fd) return;
        auto peer = peer_of(fd->get());
        if (!peer) continue;  // gone already
        if (connections_.size() >= limits_.connections) make_room();
        auto connection = std::make_unique<Connection>(*this, std::move(*fd), std::move(*peer));
        if (auto ok = connection->start(); !ok)
            spdlog::error("control: {}", ok.error().message());
        else
            connections_.push_back(std::move(connection));
    }
}

// An idle one where there is one, else whoever has been quiet longest.
void VarlinkServer::make_room() {
    const auto oldest = std::ranges::min_element(connections_, [](const auto& a, const auto& b) {
        if (a->idle() != b->idle()) return a->idle();
        return a->active() < b->active();
    });
    if (oldest != connections_.end()) connections_.erase(oldest);
}

void VarlinkServer::sweep() {
    const auto now = Clock::now();
    accepting_.watch(EPOLLIN);
    std::erase_if(connections_, [&](const auto& connection) { return connection->overdue(now); });
}

void VarlinkServer::remove(Connection* connection) {
    std::erase_if(connections_, [&](const auto& other) { return other.get() == connection; });
}

}  // namespace sluice

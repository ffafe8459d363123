// SPDX-License-Identifier: Apache-2.0
#include "system/clients.h"

#include <arpa/inet.h>
#include <array>
#include <cerrno>
#include <cstring>
#include <netinet/in.h>
#include <numeric>
#include <poll.h>
#include <stdexcept>
#include <sys/socket.h>
#include <sys/un.h>

#include "system/process.h"

namespace sluice::testing {
namespace {

constexpr int patience_ms = static_cast<int>(std::chrono::milliseconds(patience).count());
constexpr int silence_ms = 500;  // for what must not come
constexpr int slice_ms = 20;     // how often a thread looks whether it is to stop

std::runtime_error failure(const std::string& what) {
    return std::runtime_error(what + ": " + std::strerror(errno));
}

bool readable(const Fd& fd, int milliseconds) {
    pollfd wait{fd.get(), POLLIN, 0};
    return ::poll(&wait, 1, milliseconds) == 1;
}

}  // namespace

SocketAddress sockaddr_of(std::string_view text) {
    const Endpoint endpoint = at(text);
    SocketAddress made;
    if (endpoint.address.family == Family::ipv4) {
        sockaddr_in in{};
        in.sin_family = AF_INET;
        in.sin_port = htons(endpoint.port);
        std::memcpy(&in.sin_addr, endpoint.address.bytes.data(), sizeof in.sin_addr);
        std::memcpy(&made.storage, &in, sizeof in);
        made.size = sizeof in;
    } else {
        sockaddr_in6 in6{};
        in6.sin6_family = AF_INET6;
        in6.sin6_port = htons(endpoint.port);
        std::memcpy(&in6.sin6_addr, endpoint.address.bytes.data(), sizeof in6.sin6_addr);
        std::memcpy(&made.storage, &in6, sizeof in6);
        made.size = sizeof in6;
    }
    return made;
}

std::string local_of(const Fd& socket) {
    sockaddr_in in{};
    socklen_t size = sizeof in;
    if (::getsockname(socket.get(), reinterpret_cast<sockaddr*>(&in), &size) != 0)
        throw failure("getsockname");
    std::array<char, INET_ADDRSTRLEN> text{};
    ::inet_ntop(AF_INET, &in.sin_addr, text.data(), text.size());
    return std::string(text.data()) + ":" + std::to_string(ntohs(in.sin_port));
}

int waiting(const Fd& listener) {
    int count = 0;
    while (readable(listener, 0) && Fd(::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC)))
        ++count;
    return count;
}

std::string ask_udp(std::string_view to) {
    const SocketAddress address = sockaddr_of(to);
    const Fd fd(::socket(address.storage.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    // A connected sender is told of unreachable ports.
    if (::connect(fd.get(), address.get(), address.size) != 0)
        throw failure("connect to " + std::string(to));
    ::send(fd.get(), "?", 1, 0);
    if (!readable(fd, silence_ms)) return "silence";
    char byte = 0;
    if (::recv(fd.get(), &byte, 1, 0) >= 0) return "answered";
    return errno == ECONNREFUSED ? "refused" : std::strerror(errno);
}

Accepting::Accepting(std::vector<const Fd*> listeners)
    : thread_([this, listeners = std::move(listeners)] {
          std::vector<pollfd> wait;
          for (const Fd* listener : listeners) wait.push_back({listener->get(), POLLIN, 0});
          while (!stop_) {
              if (::poll(wait.data(), wait.size(), slice_ms) <= 0) continue;
              for (const pollfd& one : wait)
                  if (one.revents == POLLIN)
                      const Fd accepted(::accept4(one.fd, nullptr, nullptr, SOCK_CLOEXEC));
          }
      }) {}

Accepting::~Accepting() {
    stop_ = true;
    thread_.join();
}

KeepsConnecting::KeepsConnecting(std::string to)
    : thread_([this, to = std::move(to)] {
          while (!stop_) {
              const std::string result = dial(to);
              if (result != "connected") failures_.push_back(result);
              ++done_;
          }
      }) {}

KeepsConnecting::~KeepsConnecting() { stop(); }

void KeepsConnecting::wait_for(unsigned more) const {
    const unsigned goal = done_ + more;
    if (!eventually([&] { return done_ >= goal; }))
        throw std::runtime_error("the client makes no progress");
}

std::vector<std::string> KeepsConnecting::stop() {
    stop_ = true;
    if (thread_.joinable()) thread_.join();
    return failures_;
}

namespace {

// "" when the answer came.
std::string fetch(const SocketAddress& from) {
    const Fd fd(::socket(from.storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0));
    // Closed by a reset: so many connections would leave too many behind that wait.
    const linger at_once{1, 0};
    ::setsockopt(fd.get(), SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    if (::connect(fd.get(), from.get(), from.size) != 0)
        return std::string("connect: ") + std::strerror(errno);
    constexpr std::string_view question = "GET / HTTP/1.1\r\nHost: test\r\n\r\n";
    if (::send(fd.get(), question.data(), question.size(), MSG_NOSIGNAL) < 0)
        return std::string("ask: ") + std::strerror(errno);
    std::string answer;
    while (!answer.ends_with("done\n")) {
        if (!readable(fd, patience_ms)) return "no answer";
        std::array<char, 4096> buffer{};
        const ssize_t got = ::recv(fd.get(), buffer.data(), buffer.size(), 0);
        if (got < 0) return std::string("hear: ") + std::strerror(errno);
        if (got == 0) return "closed after " + std::to_string(answer.size()) + " bytes";
        answer.append(buffer.data(), static_cast<std::size_t>(got));
    }
    return answer.starts_with("HTTP/1.1 200") ? "" : answer.substr(0, answer.find('\r'));
}

}  // namespace

KeepsFetching::KeepsFetching(const std::string& from, std::size_t clients) : done_(clients) {
    for (std::size_t i = 0; i < clients; ++i)
        threads_.emplace_back([this, i, address = sockaddr_of(from)] {
            while (!stop_) {
                const std::string failure = fetch(address);
                if (!failure.empty()) {
                    const std::lock_guard lock(mutex_);
                    ++failures_[failure];
                    ++failed_;
                }
                ++done_[i];
            }
        });
}

KeepsFetching::~KeepsFetching() { stop(); }

void KeepsFetching::wait_for(unsigned more) const {
    const auto all = [&] { return std::accumulate(done_.begin(), done_.end(), 0U); };
    const unsigned goal = all() + more;
    if (!eventually([&] { return all() >= goal; }))
        throw std::runtime_error("the clients make no progress");
}

void KeepsFetching::settle() const {
    for (const auto& done : done_) {
        const unsigned before = done;
        if (!eventually([&] { return done > before; }))
            throw std::runtime_error("a client makes no progress");
    }
}

std::map<std::string, unsigned> KeepsFetching::stop() {
    stop_ = true;
    for (std::thread& thread : threads_)
        if (thread.joinable()) thread.join();
    return failures_;
}

RawPeer::RawPeer(const std::string& path, int type)
    : fd_(::socket(AF_UNIX, type | SOCK_CLOEXEC, 0)) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::strncpy(address.sun_path, path.c_str(), sizeof address.sun_path - 1);
    if (::connect(fd_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
        throw failure("connect to " + path);
}

bool RawPeer::send(std::string_view bytes, const std::vector<int>& descriptors) const {
    iovec data{const_cast<char*>(bytes.data()), bytes.size()};
    msghdr message{};
    message.msg_iov = &data;
    message.msg_iovlen = 1;
    const std::size_t length = descriptors.size() * sizeof(int);
    std::vector<char> control(descriptors.empty() ? 0 : CMSG_SPACE(length));
    if (!descriptors.empty()) {
        message.msg_control = control.data();
        message.msg_controllen = control.size();
        cmsghdr* header = CMSG_FIRSTHDR(&message);
        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = SCM_RIGHTS;
        header->cmsg_len = CMSG_LEN(length);
        std::memcpy(CMSG_DATA(header), descriptors.data(), length);
    }
    std::size_t sent = 0;
    while (sent < bytes.size() || (sent == 0 && bytes.empty())) {
        const ssize_t count = ::sendmsg(fd_.get(), &message, MSG_NOSIGNAL);
        if (count < 0 && (errno == EPIPE || errno == ECONNRESET)) return false;
        if (count < 0) throw failure("send");
        sent += static_cast<std::size_t>(count);
        data = {const_cast<char*>(bytes.data()) + sent, bytes.size() - sent};
        message.msg_control = nullptr;
        message.msg_controllen = 0;
        if (bytes.empty()) break;
    }
    return true;
}

std::string RawPeer::receive_packet() const {
    if (!readable(fd_, patience_ms)) throw std::runtime_error("no answer");
    std::array<char, 4096> buffer{};
    const ssize_t got = ::recv(fd_.get(), buffer.data(), buffer.size(), 0);
    return {buffer.data(), got > 0 ? static_cast<std::size_t>(got) : 0};
}

std::string RawPeer::receive_to_nul() {
    for (;;) {
        if (const auto nul = buffer_.find('\0'); nul != std::string::npos) {
            std::string message = buffer_.substr(0, nul);
            buffer_.erase(0, nul + 1);
            return message;
        }
        const std::string more = receive_packet();
        if (more.empty()) return "";
        buffer_ += more;
    }
}

bool RawPeer::closed_by_peer() {
    buffer_.clear();
    while (readable(fd_, patience_ms))
        if (receive_packet().empty()) return true;
    return false;
}

}  // namespace sluice::testing

// SPDX-License-Identifier: Apache-2.0
// Clients beyond those of tests/support: of UDP, of many connections, and of the agent's own
// sockets.
#pragma once

#include <atomic>
#include <map>
#include <mutex>
#include <string>
#include <sys/socket.h>
#include <thread>
#include <vector>

#include "core/varlink.h"
#include "support/sockets.h"

namespace sluice::testing {

struct SocketAddress {
    sockaddr_storage storage{};
    socklen_t size = 0;
    const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&storage); }
};
SocketAddress sockaddr_of(std::string_view endpoint);

std::string local_of(const Fd& socket);  // "127.0.0.1:80"
int waiting(const Fd& listener);         // accepts and closes what waits, and says how many

// What a sender to `to` gets told: "refused" (port unreachable), or "silence".
std::string ask_udp(std::string_view to);

// Accepts and closes whatever comes to these sockets, until it goes out of scope.
class Accepting {
  public:
    explicit Accepting(std::vector<const Fd*> listeners);
    ~Accepting();
    Accepting(const Accepting&) = delete;
    Accepting& operator=(const Accepting&) = delete;

  private:
    std::atomic<bool> stop_ = false;
    std::thread thread_;
};

// Connects again and again, until stopped.
class KeepsConnecting {
  public:
    explicit KeepsConnecting(std::string to);
    ~KeepsConnecting();
    KeepsConnecting(const KeepsConnecting&) = delete;
    KeepsConnecting& operator=(const KeepsConnecting&) = delete;

    void wait_for(unsigned more) const;  // until that many more attempts have ended
    std::vector<std::string> stop();     // how the failed ones failed

  private:
    std::atomic<bool> stop_ = false;
    std::atomic<unsigned> done_ = 0;
    std::vector<std::string> failures_;
    std::thread thread_;
};

// Fetches `/` by HTTP again and again, each time over a new connection, until stopped. A fetch is
// done when its answer is there: a connection that is accepted and then reset has failed.
class KeepsFetching {
  public:
    explicit KeepsFetching(const std::string& from, std::size_t clients = 2);
    ~KeepsFetching();
    KeepsFetching(const KeepsFetching&) = delete;
    KeepsFetching& operator=(const KeepsFetching&) = delete;

    void wait_for(unsigned more) const;  // until that many more have ended
    void settle() const;                 // until all that are under way have ended
    unsigned failed() const { return failed_; }
    std::map<std::string, unsigned> stop();  // how the failed ones failed, and how many

  private:
    std::atomic<bool> stop_ = false;
    std::atomic<unsigned> failed_ = 0;
    std::vector<std::atomic<unsigned>> done_;  // by client
    std::mutex mutex_;
    std::map<std::string, unsigned> failures_;
    std::vector<std::thread> threads_;
};

// A connection to one of the agent's Unix sockets that says exactly what it is told to.
class RawPeer {
  public:
    RawPeer(const std::string& path, int type);  // SOCK_STREAM, SOCK_SEQPACKET
    // False when the other end has closed.
    bool send(std::string_view bytes, const std::vector<int>& descriptors = {}) const;
    std::string receive_packet() const;  // one message of a seqpacket socket; "" at the end
    std::string receive_to_nul();        // one message of the control socket; "" at the end
    bool closed_by_peer();               // waits for the end

  private:
    Fd fd_;
    std::string buffer_;
};

}  // namespace sluice::testing

// SPDX-License-Identifier: Apache-2.0
// Whoever listens where an agent should: takes one call, and does whatever it likes.
#pragma once

#include <functional>
#include <sluice/sluice.h>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

namespace sluice::testing {

std::size_t descriptors_open();  // of this process

// What came in one call.
struct Heard {
    std::string message;           // without its NUL
    std::vector<int> descriptors;  // that came with the first byte; closed by ~Peer
    bool late_descriptors = false;
};

class Peer {
  public:
    // Does `act` with the connection once the whole call is there. The connection is closed after.
    explicit Peer(std::function<void(int)> act);
    ~Peer();
    Peer(const Peer&) = delete;
    Peer& operator=(const Peer&) = delete;

    // To talk to it, within 200 ms unless said otherwise.
    sluice_options options(int timeout_ms = 200) const;
    const Heard& heard();  // waits for its end

  private:
    void serve();
    std::function<void(int)> act_;
    std::string directory_;
    int listener_ = -1;
    Heard heard_;
    std::thread thread_;
};

// All of it, as far as somebody reads; with a descriptor in SCM_RIGHTS when one is given.
void tell(int connection, std::string_view bytes, int descriptor = -1);
// Answers with this message and its NUL.
std::function<void(int)> answering(std::string message);

}  // namespace sluice::testing

// SPDX-License-Identifier: Apache-2.0
// Unix sockets and the descriptors that travel over them: unix(7), SCM_RIGHTS.
#pragma once

#include <chrono>
#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/result.h"
#include "sys/fd.h"

namespace sluice {

enum class UnixKind { stream, seqpacket };

// Listens at `path`, mode 0666: who may do what is decided by credentials. A socket file that
// nobody listens on is replaced; one that somebody does is an error.
Result<Fd> listen_unix(const std::string& path, UnixKind kind);

// For a listener that somebody else made: systemd passes blocking ones by default.
Result<> make_nonblocking(const Fd& listener);

// Non-blocking, close-on-exec. An Fd that is not open when nobody is waiting any more.
Result<Fd> accept_unix(const Fd& listener);

// Blocking socket, with `timeout` on each later send and receive.
Result<Fd> connect_unix(const std::string& path, UnixKind kind, std::chrono::milliseconds timeout);

struct Received {
    std::string bytes;
    std::vector<Fd> descriptors;
    bool end = false;        // the peer has closed
    bool again = false;      // nothing there yet
    bool truncated = false;  // descriptors or bytes were lost: more came than was asked for
};
// One recvmsg(2) of at most `most` bytes. Without `with_descriptors` the kernel drops what was
// passed: it is never received.
Result<Received> receive(int fd, std::size_t most, bool with_descriptors);

// One sendmsg(2), with descriptors beside the first byte. How many bytes went; 0 when the socket is
// full.
Result<std::size_t> send(int fd, std::string_view bytes, std::span<const int> descriptors);

}  // namespace sluice

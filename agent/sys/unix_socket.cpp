// SPDX-License-Identifier: Apache-2.0
#include "sys/unix_socket.h"

#include <array>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>

namespace sluice {
namespace {

constexpr int backlog = 128;
constexpr std::size_t most_descriptors = 253;  // SCM_MAX_FD

int type_of(UnixKind kind) { return kind == UnixKind::stream ? SOCK_STREAM : SOCK_SEQPACKET; }

Result<sockaddr_un> address_of(const std::string& path) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (path.empty() || path.size() >= sizeof address.sun_path)
        return fail(Failure::invalid, "the path of a socket has 1 to 107 bytes: " + path);
    std::memcpy(address.sun_path, path.data(), path.size());
    return address;
}

int bind_to(const Fd& fd, const sockaddr_un& address) {
    return ::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address);
}

int connect_to(const Fd& fd, const sockaddr_un& address) {
    return ::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address);
}

bool is_socket_file(const std::string& path) {
    struct stat info{};
    return ::lstat(path.c_str(), &info) == 0 && S_ISSOCK(info.st_mode);
}

// A socket file outlives its server; only a connection tells whether anybody is there.
bool is_stale(const sockaddr_un& address, UnixKind kind) {
    const Fd fd(::socket(AF_UNIX, type_of(kind) | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    return fd && connect_to(fd, address) != 0 && errno == ECONNREFUSED;
}

void take_descriptors(const msghdr& message, std::vector<Fd>& descriptors) {
    for (const cmsghdr* header = CMSG_FIRSTHDR(&message); header != nullptr;
         header = CMSG_NXTHDR(const_cast<msghdr*>(&message), const_cast<cmsghdr*>(header))) {
        if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) continue;
        const std::size_t count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (std::size_t i = 0; i < count; ++i) {
            int fd = -1;
            std::memcpy(&fd, CMSG_DATA(header) + i * sizeof fd, sizeof fd);
            descriptors.emplace_back(fd);
        }
    }
}

}  // namespace

Result<Fd> listen_unix(const std::string& path, UnixKind kind) {
    auto address = address_of(path);
    if (!address) return pass_on(address);
    Fd fd(::socket(AF_UNIX, type_of(kind) | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (!fd) return fail_errno(errno, "make a Unix socket");
    int result = bind_to(fd, *address);
    if (result != 0 && errno == EADDRINUSE) {
        // To a connection it looks like a stale one, but it is not ours to remove.
        if (!is_socket_file(path))
            return fail(Failure::failed, path + " is in the way, and no socket");
        if (!is_stale(*address, kind))
            return fail(Failure::failed, "somebody listens on " + path + " already");
        if (::unlink(path.c_str()) != 0 && errno != ENOENT)
            return fail_errno(errno, "remove " + path);
        result = bind_to(fd, *address);
    }
    if (result != 0) return fail_errno(errno, "bind " + path);
    if (::chmod(path.c_str(), 0666) != 0) return fail_errno(errno, "set the mode of " + path);
    if (::listen(fd.get(), backlog) != 0) return fail_errno(errno, "listen on " + path);
    return fd;
}

Result<> make_nonblocking(const Fd& listener) {
    const int flags = ::fcntl(listener.get(), F_GETFL);
    if (flags < 0 || ::fcntl(listener.get(), F_SETFL, flags | O_NONBLOCK) != 0)
        return fail_errno(errno, "make a socket non-blocking");
    return {};
}

Result<Fd> accept_unix(const Fd& listener) {
    Fd fd(::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (!fd && errno != EAGAIN && errno != ECONNABORTED && errno != EINTR)
        return fail_errno(errno, "accept a connection");
    return fd;
}

Result<Fd> connect_unix(const std::string& path, UnixKind kind, std::chrono::milliseconds timeout) {
    auto address = address_of(path);
    if (!address) return pass_on(address);
    Fd fd(::socket(AF_UNIX, type_of(kind) | SOCK_CLOEXEC, 0));
    if (!fd) return fail_errno(errno, "make a Unix socket");
    const timeval patience{timeout.count() / 1000, (timeout.count() % 1000) * 1000};
    ::setsockopt(fd.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    ::setsockopt(fd.get(), SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    if (connect_to(fd, *address) != 0) return fail_errno(errno, "connect to " + path);
    return fd;
}

Result<Received> receive(int fd, std::size_t most, bool with_descriptors) {
    Received received;
    received.bytes.resize(most);
    alignas(cmsghdr) std::array<char, CMSG_SPACE(most_descriptors * sizeof(int))> control{};
    iovec vector{received.bytes.data(), received.bytes.size()};
    msghdr message{};
    message.msg_iov = &vector;
    message.msg_iovlen = 1;
    if (with_descriptors) {
        message.msg_control = control.data();
        message.msg_controllen = control.size();
    }
    const ssize_t got = ::recvmsg(fd, &message, MSG_CMSG_CLOEXEC);
    const int error = errno;
    received.bytes.resize(got > 0 ? static_cast<std::size_t>(got) : 0);
    if (got < 0 && (error == EAGAIN || error == EINTR)) {
        received.again = true;
        return received;
    }
    if (got < 0) return fail_errno(error, "receive");
    take_descriptors(message, received.descriptors);
    received.end = got == 0;
    // Without room for descriptors, their loss is what we asked for.
    const int lost = MSG_TRUNC | (with_descriptors ? MSG_CTRUNC : 0);
    received.truncated = (message.msg_flags & lost) != 0;
    return received;
}

Result<std::size_t> send(int fd, std::string_view bytes, std::span<const int> descriptors) {
    alignas(cmsghdr) std::array<char, CMSG_SPACE(most_descriptors * sizeof(int))> control{};
    iovec vector{const_cast<char*>(bytes.data()), bytes.size()};
    msghdr message{};
    message.msg_iov = &vector;
    message.msg_iovlen = 1;
    if (!descriptors.empty()) {
        if (descriptors.size() > most_descriptors)
            return fail(Failure::invalid, "at most 253 descriptors can be passed at once");
        message.msg_control = control.data();
        message.msg_controllen = CMSG_SPACE(descriptors.size_bytes());
        cmsghdr* header = CMSG_FIRSTHDR(&message);
        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = SCM_RIGHTS;
        header->cmsg_len = CMSG_LEN(descriptors.size_bytes());
        std::memcpy(CMSG_DATA(header), descriptors.data(), descriptors.size_bytes());
    }
    const ssize_t sent = ::sendmsg(fd, &message, MSG_NOSIGNAL);
    if (sent >= 0) return static_cast<std::size_t>(sent);
    if (errno == EAGAIN || errno == EINTR) return std::size_t{0};
    if (errno == EBADF && !descriptors.empty())
        return fail(Failure::invalid, "a descriptor to be passed is not open");
    return fail_errno(errno, "send");
}

}  // namespace sluice

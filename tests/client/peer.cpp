// SPDX-License-Identifier: Apache-2.0
#include "client/peer.h"

#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <stdexcept>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

namespace sluice::testing {
namespace {

namespace fs = std::filesystem;

std::runtime_error failure(const std::string& what) {
    return std::runtime_error(what + ": " + std::strerror(errno));
}

void keep_descriptors(const msghdr& message, std::vector<int>& kept) {
    const cmsghdr* header = CMSG_FIRSTHDR(&message);
    if (header == nullptr || header->cmsg_type != SCM_RIGHTS) return;
    kept.resize((header->cmsg_len - CMSG_LEN(0)) / sizeof(int));
    std::memcpy(kept.data(), CMSG_DATA(header), kept.size() * sizeof(int));
}

// One call to its NUL.
Heard listen_to(int connection) {
    Heard heard;
    for (bool first = true;; first = false) {
        std::array<char, 4096> buffer{};
        alignas(cmsghdr) std::array<char, CMSG_SPACE(SLUICE_MAX_PASSED * sizeof(int))> control{};
        iovec data{buffer.data(), buffer.size()};
        msghdr message{};
        message.msg_iov = &data;
        message.msg_iovlen = 1;
        message.msg_control = control.data();
        message.msg_controllen = control.size();
        const ssize_t got = ::recvmsg(connection, &message, MSG_CMSG_CLOEXEC);
        if (got <= 0) return heard;
        if (first)
            keep_descriptors(message, heard.descriptors);
        else
            heard.late_descriptors |= message.msg_controllen > 0;
        heard.message.append(buffer.data(), static_cast<std::size_t>(got));
        if (heard.message.back() != '\0') continue;
        heard.message.pop_back();
        return heard;
    }
}

}  // namespace

std::size_t descriptors_open() {
    std::size_t count = 0;
    for ([[maybe_unused]] const auto& entry : fs::directory_iterator("/proc/self/fd")) ++count;
    return count;
}

Peer::Peer(std::function<void(int)> act) : act_(std::move(act)) {
    std::string name = (fs::temp_directory_path() / "sluice-peer-XXXXXX").string();
    if (::mkdtemp(name.data()) == nullptr) throw failure("mkdtemp");
    directory_ = name;
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    (directory_ + "/control").copy(address.sun_path, sizeof address.sun_path - 1);
    listener_ = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (::bind(listener_, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 ||
        ::listen(listener_, 1) != 0)
        throw failure("listen");
    thread_ = std::thread([this] { serve(); });
}

Peer::~Peer() {
    heard();
    ::close(listener_);
    for (const int descriptor : heard_.descriptors) ::close(descriptor);
    std::error_code ignored;
    fs::remove_all(directory_, ignored);
}

void Peer::serve() {
    const int connection = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
    if (connection < 0) return;
    heard_ = listen_to(connection);
    act_(connection);
    ::close(connection);
}

sluice_options Peer::options(int timeout_ms) const {
    sluice_options options{};
    options.run_dir = directory_.c_str();
    options.timeout_ms = timeout_ms;
    return options;
}

const Heard& Peer::heard() {
    if (thread_.joinable()) {
        ::shutdown(listener_, SHUT_RDWR);  // in case nobody came
        thread_.join();
    }
    return heard_;
}

void tell(int connection, std::string_view bytes, int descriptor) {
    iovec data{const_cast<char*>(bytes.data()), bytes.size()};
    msghdr message{};
    message.msg_iov = &data;
    message.msg_iovlen = 1;
    alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> control{};
    if (descriptor >= 0) {
        message.msg_control = control.data();
        message.msg_controllen = control.size();
        cmsghdr* header = CMSG_FIRSTHDR(&message);
        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = SCM_RIGHTS;
        header->cmsg_len = CMSG_LEN(sizeof(int));
        std::memcpy(CMSG_DATA(header), &descriptor, sizeof descriptor);
    }
    while (data.iov_len > 0) {
        const ssize_t sent = ::sendmsg(connection, &message, MSG_NOSIGNAL);
        if (sent < 0) return;
        data.iov_base = static_cast<char*>(data.iov_base) + sent;
        data.iov_len -= static_cast<std::size_t>(sent);
        message.msg_control = nullptr;
        message.msg_controllen = 0;
    }
}

std::function<void(int)> answering(std::string message) {
    return [message = std::move(message) + '\0'](int connection) { tell(connection, message); };
}

}  // namespace sluice::testing

// SPDX-License-Identifier: Apache-2.0
#include "control/varlink_client.h"

#include <cerrno>

#include "sys/unix_socket.h"

namespace sluice {
namespace {

constexpr std::size_t read_size = std::size_t{256} << 10U;

std::string full_name(std::string_view method) {
    return std::string(agent_interface) + "." + std::string(method);
}

Error unreachable(const Error& error, const std::string& path) {
    const bool absent = error.code() == ENOENT || error.code() == ECONNREFUSED;
    Error told(
        Failure::unreachable,
        absent ? "the agent is not running (nobody listens on " + path + ")" : error.message());
    return std::move(told).hint(absent ? "systemctl start sluiced" : "");
}

}  // namespace

Result<VarlinkClient> VarlinkClient::connect(const std::string& path,
                                             std::chrono::milliseconds timeout) {
    auto fd = connect_unix(path, UnixKind::stream, timeout);
    if (!fd) return fail(unreachable(std::move(fd).error(), path));
    return VarlinkClient(std::move(*fd), path, timeout);
}

Result<> VarlinkClient::send_call(const VarlinkCall& call, std::span<const int> fds) {
    const std::string message = encode_call(call);
    std::string_view rest = message;
    while (!rest.empty()) {
        auto sent = send(fd_.get(), rest, fds);
        if (!sent) return pass_on(sent, "ask the agent");
        if (*sent == 0)
            return fail(Failure::unreachable, "the agent does not read what it is asked");
        rest.remove_prefix(*sent);
        fds = {};  // they went with the first byte
    }
    return {};
}

Result<VarlinkReply> VarlinkClient::next_reply() {
    for (;;) {
        if (const auto message = splitter_.next()) return parse_reply(*message);
        auto received = receive(fd_.get(), read_size, false);
        if (!received) return pass_on(received, "hear the agent's answer");
        if (received->again)
            return fail(Error(Failure::unreachable,
                              "no answer within " + std::to_string(timeout_.count()) + " ms")
                            .hint("wait longer: --timeout 2m"));
        if (received->end)
            return fail(Failure::unreachable, "the agent closed the connection without an answer");
        if (auto ok = splitter_.feed(received->bytes); !ok) return pass_on(ok);
    }
}

Result<Json> VarlinkClient::call(std::string_view method, const Json& parameters,
                                 std::span<const int> fds) {
    if (auto ok = send_call({full_name(method), parameters, false, false, false}, fds); !ok)
        return pass_on(ok);
    auto reply = next_reply();
    if (!reply) return pass_on(reply);
    if (!reply->error.empty()) return fail(reply_error(*reply));
    return std::move(reply->parameters);
}

Result<> VarlinkClient::call_more(std::string_view method, const Json& parameters,
                                  std::span<const int> fds,
                                  const std::function<void(const Json&)>& part) {
    if (auto ok = send_call({full_name(method), parameters, true, false, false}, fds); !ok)
        return ok;
    for (;;) {
        auto reply = next_reply();
        if (!reply) return pass_on(reply);
        if (!reply->error.empty()) return fail(reply_error(*reply));
        part(reply->parameters);
        if (!reply->continues) return {};
    }
}

}  // namespace sluice

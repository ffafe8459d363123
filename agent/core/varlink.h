// SPDX-License-Identifier: Apache-2.0
// The Varlink wire protocol (varlink.org, "Protocol"): JSON objects, each ended by one NUL byte.
// Text in, values out; nothing here reads or writes a socket.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <variant>

#include <nlohmann/json.hpp>

#include "core/result.h"

namespace sluice {

using Json = nlohmann::json;

inline constexpr std::size_t varlink_max_call = std::size_t{1} << 20;    // bytes, without the NUL
inline constexpr std::size_t varlink_max_reply = std::size_t{64} << 20;  // bytes, without the NUL
inline constexpr int varlink_max_depth = 32;         // arrays and objects inside each other
inline constexpr std::size_t max_descriptors = 253;  // SCM_MAX_FD of the kernel
inline constexpr std::string_view agent_interface = "internal.sluice.Agent";

// Cuts a byte stream into messages. Holds at most `limit` bytes of an unfinished message, whatever
// comes; after a failure it holds nothing and refuses everything.
class MessageSplitter {
  public:
    explicit MessageSplitter(std::size_t limit) : limit_(limit) {}

    // Failure::invalid when a message is longer than the limit.
    Result<> feed(std::string_view bytes);
    std::optional<std::string> next();  // the oldest whole message, without its NUL
    bool unfinished() const { return !buffer_.empty(); }  // bytes wait, of whole messages or a half

  private:
    void compact();
    std::size_t limit_;
    std::string buffer_;
    std::size_t begin_ = 0;       // of the oldest message in buffer_
    std::size_t last_start_ = 0;  // of the unfinished message in buffer_
    bool broken_ = false;
};

// Any JSON document, at most `max_depth` deep. Failure::invalid says where the text stops making
// sense.
Result<Json> parse_json(std::string_view text, int max_depth = varlink_max_depth);

// UTF-8, one line; bytes that are not UTF-8 are replaced, so that it never fails.
std::string to_text(const Json& json);

struct VarlinkCall {
    std::string method;  // "internal.sluice.Agent.Status"
    Json parameters = Json::object();
    bool more = false;     // answer in parts
    bool oneway = false;   // do not answer
    bool upgrade = false;  // never accepted by our server

    std::string_view interface_name() const;  // "internal.sluice.Agent"
    std::string_view method_name() const;     // "Status"
};

// Strict: a JSON object with the members of the protocol and no others, each of its type.
Result<VarlinkCall> parse_call(std::string_view message);
std::string encode_call(const VarlinkCall& call);  // with its NUL

struct VarlinkReply {
    Json parameters = Json::object();
    bool continues = false;  // more replies follow
    std::string error;       // its full name; empty for an answer
};
Result<VarlinkReply> parse_reply(std::string_view message);
std::string encode_reply(const VarlinkReply& reply);  // with its NUL

// The errors of org.varlink.service. `subject` is the interface, method or parameter.
enum class ServiceError {
    interface_not_found,
    method_not_found,
    method_not_implemented,
    invalid_parameter,
    permission_denied,
    expected_more,
};
VarlinkReply service_error(ServiceError error, std::string_view subject = {});

// Error <-> internal.sluice.Agent.{Failed,Invalid,Refused} (exit, doing, why, hint, where).
VarlinkReply error_reply(const Error& error);
// What an error reply says, as a failure of ours; also for the errors of org.varlink.service and
// for errors nobody told us about.
Error reply_error(const VarlinkReply& reply);

}  // namespace sluice

// SPDX-License-Identifier: Apache-2.0
// The one-line dialect of the `register` socket: `LABEL#` with 1 to 253 descriptors, in one message
// or in several of which the last ends with `#`; answered by exactly `OK` or by `ERR reason`.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

#include "core/result.h"

namespace sluice {

inline constexpr std::size_t register_max_descriptors = 253;  // in one registration
inline constexpr std::size_t register_max_label = 100;        // bytes, without the `#`
inline constexpr std::size_t register_max_answer = 500;       // bytes, of `ERR reason`

struct Registration {
    std::string label;            // a valid service name
    std::size_t descriptors = 0;  // how many came with it, over all its messages
};

// Collects the messages of one registration after the other. Holds at most a label.
class RegistrationReader {
  public:
    // One message and how many descriptors came with it. A registration when it is whole, nothing
    // when more must come. After a failure (Failure::invalid) it is ready for a new registration;
    // what came before is forgotten.
    Result<std::optional<Registration>> feed(std::string_view message, std::size_t descriptors);
    bool unfinished() const { return started_; }

  private:
    Result<std::optional<Registration>> judge(std::string_view message);
    std::string label_;
    std::size_t descriptors_ = 0;
    bool started_ = false;
};

// `OK`, or `ERR reason`: one line of printable text, cut at register_max_answer bytes.
std::string register_answer(const Result<>& result);

}  // namespace sluice

// SPDX-License-Identifier: Apache-2.0
// Failures are values: what was being attempted, why it failed, what to do about it.
#pragma once

#include <expected>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace sluice {

// The numbers are sluicectl's exit codes (docs/man, sluicectl(1)).
enum class Failure : int {
    failed = 1,       // the system said no
    invalid = 2,      // wrong usage, invalid input, or a name that does not exist
    unreachable = 3,  // the agent is not there
    refused = 4,      // a guard, a permission, a conflict with another owner
};

// A place in a file that a person wrote. Lines and columns start at 1; 0 means unknown.
struct Place {
    std::string file;
    int line = 0;
    int column = 0;
    bool operator==(const Place&) const = default;
};

std::string to_string(const Place& place);  // "conf.d/cdn.yaml:9:15"

class Error {
  public:
    Error(Failure failure, std::string why) : failure_(failure), why_(std::move(why)) {}

    // `err` is an errno value; `doing` names the step that failed, as in "update map
    // 'prefixes_v4'".
    static Error from_errno(int err, std::string_view doing);

    // Each caller adds only its own step: "apply" + "bind tcp …" reads "apply: bind tcp …".
    Error during(std::string_view step) &&;
    Error hint(std::string text) &&;
    Error at(Place place) &&;
    Error as(Failure failure) &&;

    Failure failure() const { return failure_; }
    int exit_code() const { return static_cast<int>(failure_); }
    int code() const { return errno_; }                  // errno, 0 if the failure had none
    const std::string& doing() const { return doing_; }  // may be empty
    const std::string& why() const { return why_; }
    const std::string& hint() const { return hint_; }  // may be empty
    const std::vector<Place>& where() const { return where_; }
    std::string message() const;  // "doing: why", one line, without the hint

  private:
    Failure failure_;
    int errno_ = 0;
    std::string doing_;
    std::string why_;
    std::string hint_;
    std::vector<Place> where_;
};

template <class T = void>
using Result = std::expected<T, Error>;

// return fail(Failure::invalid, "…");   return fail(error.during("…"));
inline std::unexpected<Error> fail(Failure failure, std::string why) {
    return std::unexpected(Error(failure, std::move(why)));
}
inline std::unexpected<Error> fail(Error error) { return std::unexpected(std::move(error)); }
inline std::unexpected<Error> fail_errno(int err, std::string_view doing) {
    return std::unexpected(Error::from_errno(err, doing));
}

// Passes a failure on, adding the caller's step: if (auto ok = f(); !ok) return pass_on(ok, "open
// x");
template <class T>
std::unexpected<Error> pass_on(Result<T>& result) {
    return std::unexpected(std::move(result).error());
}
template <class T>
std::unexpected<Error> pass_on(Result<T>& result, std::string_view step) {
    return std::unexpected(std::move(result).error().during(step));
}

}  // namespace sluice

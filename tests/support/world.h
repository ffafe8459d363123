// SPDX-License-Identifier: Apache-2.0
// A network namespace and a bpffs of the test's own. ctest runs a process per test, so nothing has
// to be undone by hand: both go with the process.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include <gtest/gtest.h>

#include "core/bindings.h"
#include "core/result.h"

namespace sluice::testing {

class FreshWorld : public ::testing::Test {
  protected:
    void SetUp() override;
    void TearDown() override;

    // A directory for Sluice in this test's bpffs; it does not exist yet.
    std::string bpffs() const { return bpffs_ + "/sluice"; }
    // An empty directory in the file system, removed at the end.
    const std::string& scratch() const { return scratch_; }
    // `ip …` in the test's namespace; fails the test unless it succeeds.
    static void ip(const std::string& arguments);

  private:
    std::string scratch_, bpffs_;
    std::size_t descriptors_ = 0;
};

// How many descriptors this process has open.
std::size_t open_descriptors();

// The value, or a failed test with the error's message.
template <class T>
T must(Result<T> result) {
    if (!result) {
        ADD_FAILURE() << result.error().message() << " | hint: " << result.error().hint();
        throw std::runtime_error(result.error().message());
    }
    if constexpr (!std::is_void_v<T>) return std::move(*result);
}

// "tcp 127.7.0.0/16 80 www", "udp ::1 any (reject)", "tcp 10.0.0.0/8 1-5 (pass) runtime"
Binding binding(std::string_view text);
Bindings bindings(const std::vector<std::string>& lines);

}  // namespace sluice::testing

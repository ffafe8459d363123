// SPDX-License-Identifier: Apache-2.0
// Text that many bindings share: service names, file names, notes.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>

namespace sluice {

// A counted pointer to text that never changes; null is no text. One word where std::shared_ptr has
// two: a binding has three of them, and there may be a million bindings.
class SharedText {
  public:
    SharedText() = default;
    SharedText(std::nullptr_t) {}  // NOLINT(google-explicit-constructor): as a pointer
    explicit SharedText(std::string text) : block_(new Block{std::move(text)}) {}
    SharedText(const SharedText& other) : block_(other.block_) { take(); }
    SharedText(SharedText&& other) noexcept : block_(std::exchange(other.block_, nullptr)) {}
    SharedText& operator=(SharedText other) noexcept {
        std::swap(block_, other.block_);
        return *this;
    }
    ~SharedText() { drop(); }

    const std::string& operator*() const { return block_->text; }
    const std::string* operator->() const { return &block_->text; }
    explicit operator bool() const { return block_ != nullptr; }
    bool operator==(std::nullptr_t) const { return block_ == nullptr; }
    // One is a copy of the other. Equal texts may be different ones.
    bool same(const SharedText& other) const { return block_ == other.block_; }
    // Equal, and cheaply so for copies. Neither is null.
    bool equal(const SharedText& other) const { return same(other) || **this == *other; }

  private:
    struct Block {
        std::string text;
        std::atomic<std::uint32_t> owners{1};
    };
    void take() const {
        if (block_ != nullptr) block_->owners.fetch_add(1, std::memory_order_relaxed);
    }
    void drop() const {
        if (block_ != nullptr && block_->owners.fetch_sub(1, std::memory_order_acq_rel) == 1)
            delete block_;
    }
    Block* block_ = nullptr;
};

}  // namespace sluice

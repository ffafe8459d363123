// SPDX-License-Identifier: Apache-2.0
// One BPF map: system calls with typed keys and values, and arrays mapped into memory.
#pragma once

#include <cerrno>
#include <cstddef>
#include <optional>
#include <string>
#include <sys/mman.h>
#include <utility>

#include "core/result.h"
#include "sys/fd.h"

namespace sluice::kernel {

namespace raw {
// Thin over bpf(2): 0 or a negative errno.
int update(int fd, const void* key, const void* value);
int lookup(int fd, const void* key, void* value);
int erase(int fd, const void* key);
int next_key(int fd, const void* key, void* next);
int update_batch(int fd, const void* keys, const void* values, std::uint32_t& count);
}  // namespace raw

template <class Key, class Value>
class Map {
  public:
    Map() = default;
    Map(Fd fd, std::string name) : fd_(std::move(fd)), name_(std::move(name)) {}

    Result<> update(const Key& key, const Value& value) const {
        if (const int error = raw::update(fd_.get(), &key, &value); error != 0)
            return fail_errno(-error, "update map '" + name_ + "'");
        return {};
    }
    // Nothing when the key is not there.
    Result<std::optional<Value>> lookup(const Key& key) const {
        Value value{};
        const int error = raw::lookup(fd_.get(), &key, &value);
        if (error == -ENOENT) return std::optional<Value>();
        if (error != 0) return fail_errno(-error, "look up in map '" + name_ + "'");
        return std::optional<Value>(value);
    }
    // A key that is not there is no failure.
    Result<> erase(const Key& key) const {
        const int error = raw::erase(fd_.get(), &key);
        if (error != 0 && error != -ENOENT)
            return fail_errno(-error, "delete from map '" + name_ + "'");
        return {};
    }
    // Calls each(key) for every key; the map must not be deleted from meanwhile (LPM tries
    // before 6.13 may skip keys then).
    template <class Each>
    Result<> each_key(Each&& each) const {
        Key key{}, next{};
        bool first = true;
        for (;;) {
            const int error = raw::next_key(fd_.get(), first ? nullptr : &key, &next);
            if (error == -ENOENT) return {};
            if (error != 0) return fail_errno(-error, "walk map '" + name_ + "'");
            key = next;
            first = false;
            if (auto ok = each(std::as_const(key)); !ok) return ok;
        }
    }

    int fd() const { return fd_.get(); }
    const std::string& name() const { return name_; }

  private:
    Fd fd_;
    std::string name_;
};

// An mmaped array map (or data section): element i is at data()[i]. T's size is a multiple of 8.
template <class T>
class MappedArray {
    static_assert(sizeof(T) % 8 == 0, "the kernel strides array values by 8 bytes");

  public:
    MappedArray() = default;
    static Result<MappedArray> map(Fd fd, std::size_t count, bool writable,
                                   const std::string& name) {
        const std::size_t bytes = count * sizeof(T);
        void* memory = ::mmap(nullptr, bytes, writable ? PROT_READ | PROT_WRITE : PROT_READ,
                              MAP_SHARED, fd.get(), 0);
        if (memory == MAP_FAILED) return fail_errno(errno, "map '" + name + "' into memory");
        MappedArray array;
        array.fd_ = std::move(fd);
        array.data_ = static_cast<T*>(memory);
        array.count_ = count;
        return array;
    }
    MappedArray(MappedArray&& other) noexcept
        : fd_(std::move(other.fd_)),
          data_(std::exchange(other.data_, nullptr)),
          count_(std::exchange(other.count_, 0)) {}
    MappedArray& operator=(MappedArray&& other) noexcept {
        if (this != &other) {
            unmap();
            fd_ = std::move(other.fd_);
            data_ = std::exchange(other.data_, nullptr);
            count_ = std::exchange(other.count_, 0);
        }
        return *this;
    }
    ~MappedArray() { unmap(); }

    T* data() const { return data_; }
    T& operator[](std::size_t i) const { return data_[i]; }
    std::size_t size() const { return count_; }
    int fd() const { return fd_.get(); }

  private:
    void unmap() {
        if (data_ != nullptr) ::munmap(data_, count_ * sizeof(T));
        data_ = nullptr;
    }
    Fd fd_;
    T* data_ = nullptr;
    std::size_t count_ = 0;
};

// Publishes `value` to programs that read it once: everything written before is seen first.
template <class T>
void store_release(T& cell, T value) {
    __atomic_store_n(&cell, value, __ATOMIC_RELEASE);
}
template <class T>
T load_acquire(const T& cell) {
    return __atomic_load_n(&cell, __ATOMIC_ACQUIRE);
}

}  // namespace sluice::kernel

// SPDX-License-Identifier: Apache-2.0
// One thread waits for everything: sd-event(3) with callbacks that own themselves.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>

#include "core/result.h"

struct sd_event;
struct sd_event_source;

namespace sluice {

// Something the loop waits for, while this lives. May be destroyed from within its own callback.
class EventSource {
  public:
    EventSource() = default;
    EventSource(EventSource&&) noexcept = default;
    EventSource& operator=(EventSource&& other) noexcept;
    ~EventSource() { reset(); }
    void reset();
    explicit operator bool() const { return source_ != nullptr; }

    // For descriptors: what to wait for from now on (EPOLLIN, EPOLLOUT).
    void watch(std::uint32_t events);

  private:
    friend class EventLoop;
    struct Unref {
        void operator()(sd_event_source* source) const;
    };
    struct Callback;
    std::unique_ptr<sd_event_source, Unref> source_;
    std::shared_ptr<Callback> callback_;  // shared with the call under way
};

class EventLoop {
  public:
    static Result<EventLoop> create();

    Result<EventSource> io(int fd, std::uint32_t events,
                           std::function<void(std::uint32_t)> callback);
    // Again and again, with this time between ends and beginnings.
    Result<EventSource> every(std::chrono::microseconds period, std::function<void()> callback);
    // Once, in the next turn of the loop.
    Result<EventSource> soon(std::function<void()> callback);
    // Blocks the signal and waits for it. Before any other thread is started.
    Result<EventSource> signal(int number, std::function<void()> callback);
    // Answers systemd's watchdog where the unit has one.
    Result<> watchdog();

    // Until exit(); the code that was given to it.
    Result<int> run();
    void exit(int code);

  private:
    struct Unref {
        void operator()(sd_event* event) const;
    };
    std::unique_ptr<sd_event, Unref> event_;
};

}  // namespace sluice

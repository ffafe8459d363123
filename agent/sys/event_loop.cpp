// SPDX-License-Identifier: Apache-2.0
#include "sys/event_loop.h"

#include <csignal>
#include <utility>

#include <systemd/sd-event.h>

namespace sluice {

struct EventSource::Callback {
    std::function<void(std::uint32_t)> run;
    std::uint64_t period = 0;  // microseconds; of timers that repeat
    std::weak_ptr<Callback> self;
};

namespace {

constexpr std::uint64_t lateness = 10;  // a timer may be late by this part of its period

// A callback may destroy its own source, and with it itself: hold it for the call.
template <class Callback>
void call(void* userdata, std::uint32_t events) {
    const auto held = static_cast<Callback*>(userdata)->self.lock();
    if (held) held->run(events);
}

}  // namespace

void EventSource::Unref::operator()(sd_event_source* source) const {
    sd_event_source_disable_unref(source);
}
void EventLoop::Unref::operator()(sd_event* event) const { sd_event_unref(event); }

EventSource& EventSource::operator=(EventSource&& other) noexcept {
    if (this != &other) {
        reset();
        source_ = std::move(other.source_);
        callback_ = std::move(other.callback_);
    }
    return *this;
}

void EventSource::reset() {
    source_.reset();  // first: no call can begin any more
    callback_.reset();
}

void EventSource::watch(std::uint32_t events) {
    if (source_) sd_event_source_set_io_events(source_.get(), events);
}

Result<EventLoop> EventLoop::create() {
    EventLoop loop;
    sd_event* event = nullptr;
    if (const int error = sd_event_new(&event); error < 0)
        return fail_errno(-error, "make the event loop");
    loop.event_.reset(event);
    return loop;
}

Result<EventSource> EventLoop::io(int fd, std::uint32_t events,
                                  std::function<void(std::uint32_t)> callback) {
    EventSource source;
    source.callback_ = std::make_shared<EventSource::Callback>(std::move(callback));
    source.callback_->self = source.callback_;
    sd_event_source* made = nullptr;
    const int error = sd_event_add_io(
        event_.get(), &made, fd, events,
        [](sd_event_source*, int, std::uint32_t got, void* userdata) {
            call<EventSource::Callback>(userdata, got);
            return 0;
        },
        source.callback_.get());
    if (error < 0) return fail_errno(-error, "wait for a descriptor");
    source.source_.reset(made);
    return source;
}

Result<EventSource> EventLoop::every(std::chrono::microseconds period,
                                     std::function<void()> callback) {
    EventSource source;
    source.callback_ = std::make_shared<EventSource::Callback>(
        [callback = std::move(callback)](std::uint32_t) { callback(); });
    source.callback_->self = source.callback_;
    source.callback_->period = static_cast<std::uint64_t>(period.count());
    sd_event_source* made = nullptr;
    // Without an accuracy of its own, a timer may be a quarter of a second late.
    const int error = sd_event_add_time_relative(
        event_.get(), &made, CLOCK_MONOTONIC, source.callback_->period,
        source.callback_->period / lateness,
        [](sd_event_source* timer, std::uint64_t, void* userdata) {
            const auto again = static_cast<EventSource::Callback*>(userdata)->period;
            sd_event_source_ref(timer);
            call<EventSource::Callback>(userdata, 0);
            // Nothing to re-arm when the callback destroyed the timer: it is disabled then.
            sd_event_source_set_time_relative(timer, again);
            sd_event_source_unref(timer);
            return 0;
        },
        source.callback_.get());
    if (error < 0) return fail_errno(-error, "set a timer");
    sd_event_source_set_enabled(made, SD_EVENT_ON);
    source.source_.reset(made);
    return source;
}

Result<EventSource> EventLoop::soon(std::function<void()> callback) {
    EventSource source;
    source.callback_ = std::make_shared<EventSource::Callback>(
        [callback = std::move(callback)](std::uint32_t) { callback(); });
    source.callback_->self = source.callback_;
    sd_event_source* made = nullptr;
    const int error = sd_event_add_defer(
        event_.get(), &made,
        [](sd_event_source*, void* userdata) {
            call<EventSource::Callback>(userdata, 0);
            return 0;
        },
        source.callback_.get());
    if (error < 0) return fail_errno(-error, "put something off");
    source.source_.reset(made);
    return source;
}

Result<EventSource> EventLoop::signal(int number, std::function<void()> callback) {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, number);
    ::sigprocmask(SIG_BLOCK, &set, nullptr);
    EventSource source;
    source.callback_ = std::make_shared<EventSource::Callback>(
        [callback = std::move(callback)](std::uint32_t) { callback(); });
    source.callback_->self = source.callback_;
    sd_event_source* made = nullptr;
    const int error = sd_event_add_signal(
        event_.get(), &made, number,
        [](sd_event_source*, const signalfd_siginfo*, void* userdata) {
            call<EventSource::Callback>(userdata, 0);
            return 0;
        },
        source.callback_.get());
    if (error < 0) return fail_errno(-error, "wait for a signal");
    source.source_.reset(made);
    return source;
}

Result<> EventLoop::watchdog() {
    if (const int error = sd_event_set_watchdog(event_.get(), 1); error < 0)
        return fail_errno(-error, "answer the watchdog");
    return {};
}

Result<int> EventLoop::run() {
    const int code = sd_event_loop(event_.get());
    if (code < 0) return fail_errno(-code, "run the event loop");
    return code;
}

void EventLoop::exit(int code) { sd_event_exit(event_.get(), code); }

}  // namespace sluice

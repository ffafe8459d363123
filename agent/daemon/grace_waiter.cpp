// SPDX-License-Identifier: Apache-2.0
#include "daemon/grace_waiter.h"

#include <cerrno>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <system_error>

namespace sluice {

Result<std::unique_ptr<GraceWaiter>> GraceWaiter::start(EventLoop& loop, Agent& agent) {
    Fd wakeup(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    if (!wakeup) return fail_errno(errno, "make an eventfd");
    std::unique_ptr<GraceWaiter> waiter(new GraceWaiter(agent, std::move(wakeup)));
    auto source = loop.io(waiter->wakeup_.get(), EPOLLIN,
                          [self = waiter.get()](std::uint32_t) { self->done(); });
    if (!source) return pass_on(source);
    waiter->source_ = std::move(*source);
    agent.on_grace_wanted = [self = waiter.get()] { self->begin(); };
    waiter->begin();  // what start() left to be done
    return waiter;
}

GraceWaiter::~GraceWaiter() { agent_.on_grace_wanted = nullptr; }

void GraceWaiter::begin() {
    if (ticket_ || !agent_.wants_grace()) return;  // one at a time; done() looks for more
    ticket_ = agent_.begin_grace();
    try {
        thread_ = std::jthread([this] {
            waited_ = agent_.plane().wait(*ticket_);
            eventfd_write(wakeup_.get(), 1);
        });
    } catch (const std::system_error& problem) {
        put_off(Error::from_errno(problem.code().value(), "start a thread"));
    }
}

// Nothing may be used again before lookups that are under way have ended.
void GraceWaiter::put_off(const Error& why) {
    agent_.put_off_grace(std::move(*ticket_), why);
    ticket_.reset();
}

void GraceWaiter::done() {
    eventfd_t ignored = 0;
    eventfd_read(wakeup_.get(), &ignored);
    thread_.join();
    if (!waited_) return put_off(waited_.error());
    const bool finished = agent_.finish_grace(*ticket_);
    ticket_.reset();
    if (finished) begin();  // else not at once: what is missing is memory, most likely
}

}  // namespace sluice

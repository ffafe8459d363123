// SPDX-License-Identifier: Apache-2.0
#include "daemon/grace_waiter.h"

#include <cerrno>
#include <sys/epoll.h>
#include <sys/eventfd.h>

#include <spdlog/spdlog.h>

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
    thread_ = std::jthread([this] {
        if (auto ok = agent_.plane().dispatcher().grace_period(); !ok)
            spdlog::error("{}", ok.error().message());
        eventfd_write(wakeup_.get(), 1);
    });
}

void GraceWaiter::done() {
    eventfd_t ignored = 0;
    eventfd_read(wakeup_.get(), &ignored);
    thread_.join();
    agent_.finish_grace(*ticket_);
    ticket_.reset();
    begin();
}

}  // namespace sluice

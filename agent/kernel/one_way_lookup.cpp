// SPDX-License-Identifier: Apache-2.0
#include "kernel/one_way_lookup.h"

#include <bpf/bpf.h>

namespace sluice::kernel {

Result<OneWayLookup> OneWayLookup::load(const Dispatcher& dispatcher, Way way) {
    const std::uint32_t by = way == Way::tries ? SLUICE_BY_TRIES : SLUICE_BY_INDEX;
    auto copy =
        dispatcher.load_copy({BPF_SK_LOOKUP_F_NO_REUSEPORT, by, SLUICE_TELL}, Counting::none);
    if (!copy) return pass_on(copy);
    auto told = MappedArray<sluice_told>::map(std::move(copy->told), 1, false, ".data.told");
    if (!told) return pass_on(told);
    return OneWayLookup(std::move(copy->program), std::move(*told));
}

Result<std::uint32_t> OneWayLookup::target(Protocol protocol, const Endpoint& local,
                                           const Endpoint& remote) const {
    auto ran = verdict(protocol, local, remote);
    if (!ran) return pass_on(ran);
    return load_acquire(told_[0].target);
}

}  // namespace sluice::kernel

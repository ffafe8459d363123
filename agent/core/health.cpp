// SPDX-License-Identifier: Apache-2.0
#include "core/health.h"

#include "core/by_name.h"
#include "core/replies.h"
#include "core/text.h"

namespace sluice {
namespace {

constexpr std::array<const char*, SLUICE_CLASSES> class_words{"tcp ipv4", "tcp ipv6", "udp ipv4",
                                                              "udp ipv6"};

unsigned class_of(Protocol protocol, Family family) {
    return (protocol == Protocol::udp ? 2U : 0U) + (family == Family::ipv6 ? 1U : 0U);
}

// "tcp ipv4", "tcp ipv4 and udp ipv6"; just "" for all that are needed.
std::string words_of(ClassMask classes) {
    std::string words;
    for (unsigned cls = 0; cls < SLUICE_CLASSES; ++cls) {
        if ((unsigned{classes} >> cls & 1U) == 0) continue;
        if (!words.empty()) words += ", ";
        words += class_words.at(cls);
    }
    return words;
}

// What becomes of the bindings of these classes; those of the others are served.
std::string effect_words(const ServiceUse& use, ClassMask missing, const Unavailable& policy) {
    std::size_t bindings = 0;
    for (unsigned cls = 0; cls < SLUICE_CLASSES; ++cls)
        if ((unsigned{missing} >> cls & 1U) != 0) bindings += use.by_class.at(cls);
    const bool one = bindings == 1;
    const std::string count = with_commas(bindings) + (one ? " binding" : " bindings");
    switch (policy.kind) {
        case Unavailable::Kind::reject:
            return count + (one ? " refuses" : " refuse");
        case Unavailable::Kind::pass:
            return count + (one ? " passes" : " pass") + " to the kernel";
        case Unavailable::Kind::fallback:
            break;
    }
    return count + (one ? " falls" : " fall") + " back to " + policy.fallback;
}

}  // namespace

ClassMask class_bit(Protocol protocol, Family family) {
    return static_cast<ClassMask>(1U << class_of(protocol, family));
}

TableUse count_use(const Bindings& effective) {
    TableUse use;
    ByName<ServiceUse> services;
    for (const Binding& binding : effective) {
        ++(binding.owner == Owner::config ? use.config : use.runtime);
        if (binding.target.kind == Target::Kind::reject) ++use.rejects;
        if (binding.target.kind == Target::Kind::pass) ++use.passes;
        if (!binding.target.is_service()) continue;
        ServiceUse& service = services[binding.target.name];
        ++service.bindings;
        const unsigned cls = class_of(binding.match.protocol, binding.match.prefix.address.family);
        service.needs |= static_cast<ClassMask>(1U << cls);
        ++service.by_class.at(cls);
        add_udp_sample(service.udp_samples, binding.match);
    }
    use.services = services.take();
    return use;
}

std::string_view to_string(ServiceState state) {
    switch (state) {
        case ServiceState::ok:
            return "ok";
        case ServiceState::waiting:
            return "waiting";
        case ServiceState::degraded:
            return "degraded";
        case ServiceState::parked:
            return "parked";
    }
    return "";
}

ServiceHealth judge_service(bool configured, bool early, const ServiceUse& use,
                            const ServiceSockets& sockets, const Unavailable& policy) {
    if (!configured) return {ServiceState::parked, "not in the config", "parked"};
    const auto missing = static_cast<ClassMask>(use.needs & ~sockets.usable);
    if (missing == 0) return {};
    if (early && sockets.total == 0)
        return {ServiceState::waiting, "waiting for sockets", "waiting"};
    const std::string words = words_of(missing);
    const std::string what =
        sockets.usable == 0 && sockets.total == 0 ? "no sockets" : "no " + words;
    std::string message = "no usable " + words + " socket; " + effect_words(use, missing, policy);
    if (sockets.waiting != 0)
        message += "; " + with_commas(sockets.waiting) + " staged could be promoted";
    return {ServiceState::degraded, std::move(message), what};
}

}  // namespace sluice

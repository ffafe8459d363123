// SPDX-License-Identifier: Apache-2.0
#include "core/binding.h"

#include <algorithm>

#include "core/text.h"

namespace sluice {

std::strong_ordering operator<=>(const Match& a, const Match& b) {
    if (auto c = a.prefix.address.family <=> b.prefix.address.family; c != 0) return c;
    if (auto c = a.protocol <=> b.protocol; c != 0) return c;
    if (auto c = a.prefix <=> b.prefix; c != 0) return c;
    if (auto c = a.ports.first <=> b.ports.first; c != 0) return c;
    return b.ports.last <=> a.ports.last;
}

std::string to_string(const Match& match) {
    return std::string(to_string(match.protocol)) + " " + to_string(match.prefix) + " " +
           to_string(match.ports);
}

Result<std::string> parse_service_name(std::string_view text) {
    const auto allowed = [](unsigned char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
               c == '.' || c == '_' || c == '-';
    };
    if (text.empty() || text.size() > 100 || !std::ranges::all_of(text, allowed))
        return fail(Failure::invalid,
                    quoted(text) + " is not a service name: 1 to 100 of A-Z a-z 0-9 . _ -");
    return std::string(text);
}

std::string to_string(const Target& target) {
    switch (target.kind) {
        case Target::Kind::reject:
            return "(reject)";
        case Target::Kind::pass:
            return "(pass)";
        case Target::Kind::service:
            break;
    }
    return *target.name;
}

std::string_view to_string(Owner owner) { return owner == Owner::config ? "config" : "runtime"; }

std::string to_string(const Binding& binding) {
    return to_string(binding.match) + " -> " + to_string(binding.target);
}

}  // namespace sluice

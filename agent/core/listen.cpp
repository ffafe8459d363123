// SPDX-License-Identifier: Apache-2.0
#include "core/listen.h"

#include "core/text.h"

namespace sluice {

std::string to_string(const ListenTriple& triple) {
    return std::string(to_string(triple.protocol)) + " " + to_string(triple.address) + " " +
           std::to_string(triple.port);
}

std::string to_string(const std::vector<ListenTriple>& triples) {
    std::string text;
    for (const ListenTriple& triple : triples)
        text += (text.empty() ? "" : ", ") + to_string(triple);
    return text;
}

Result<ListenTriple> parse_listen_triple(std::string_view text) {
    const auto first = text.find(' '), second = text.find(' ', first + 1);
    if (first == std::string_view::npos || second == std::string_view::npos)
        return fail(Failure::invalid, quoted(text) + " is not PROTOCOL ADDRESS PORT");
    auto protocol = parse_protocol(text.substr(0, first));
    if (!protocol) return pass_on(protocol);
    auto address = Address::parse(text.substr(first + 1, second - first - 1));
    if (!address) return pass_on(address);
    auto port = parse_port(text.substr(second + 1));
    if (!port) return pass_on(port);
    return ListenTriple{*protocol, *address, *port};
}

}  // namespace sluice

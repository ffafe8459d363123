// SPDX-License-Identifier: Apache-2.0
#include "cli/input.h"

#include <algorithm>
#include <limits>

#include "core/guards.h"

namespace sluice::cli {

Result<std::vector<std::string>> split_list(const std::string& text) {
    std::vector<std::string> items{""};
    for (const char byte : text) {
        if (byte == ',')
            items.emplace_back();
        else
            items.back() += byte;
    }
    if (std::any_of(items.begin(), items.end(), [](const auto& item) { return item.empty(); }))
        return fail(Failure::invalid, "'" + text + "': an item of the list is empty");
    return items;
}

namespace {

// Every item of a list with commas, by the parser of one.
template <class T, class Parse>
Result<std::vector<T>> parse_list(const std::string& text, Parse parse) {
    const auto items = split_list(text);
    if (!items) return fail(items.error());
    std::vector<T> parsed;
    for (const std::string& item : *items) {
        auto one = parse(item);
        if (!one) return pass_on(one);
        parsed.push_back(*one);
    }
    return parsed;
}

}  // namespace

Result<std::vector<Match>> parse_matches(const std::string& protocols, const std::string& prefixes,
                                         const std::string& ports) {
    auto protocol_list = parse_list<Protocol>(protocols, parse_protocol);
    if (!protocol_list) return pass_on(protocol_list);
    auto prefix_list = parse_list<Prefix>(prefixes, Prefix::parse);
    if (!prefix_list) return pass_on(prefix_list);
    auto port_list = parse_list<Ports>(ports, Ports::parse);
    if (!port_list) return pass_on(port_list);
    std::vector<Match> matches;
    for (const Protocol protocol : *protocol_list) {
        for (const Prefix& prefix : *prefix_list) {
            for (const Ports& port : *port_list) matches.push_back({protocol, prefix, port});
        }
    }
    std::vector<Match> sorted = matches;
    std::sort(sorted.begin(), sorted.end());
    const auto twice = std::adjacent_find(sorted.begin(), sorted.end());
    if (twice != sorted.end()) return fail(Failure::invalid, to_string(*twice) + " is there twice");
    return matches;
}

Json to_json(const std::vector<Match>& matches) {
    Json list = Json::array();
    for (const Match& match : matches)
        list.push_back({{"protocol", to_string(match.protocol)},
                        {"prefix", to_string(match.prefix)},
                        {"port", to_string(match.ports)}});
    return list;
}

Result<std::vector<ListenTriple>> parse_triples(const std::vector<std::string>& words) {
    if (words.size() % 3 != 0)
        return fail(Failure::invalid,
                    "sockets are named by three words each: PROTOCOL ADDRESS PORT");
    std::vector<ListenTriple> triples;
    for (std::size_t at = 0; at < words.size(); at += 3) {
        auto protocol = parse_protocol(words[at]);
        if (!protocol) return pass_on(protocol);
        auto address = Address::parse(words[at + 1]);
        if (!address) return pass_on(address);
        auto port = parse_port(words[at + 2]);
        if (!port) return pass_on(port);
        triples.push_back({*protocol, *address, *port});
    }
    return triples;
}

Result<std::vector<std::string>> parse_allow(const std::string& text) {
    auto asked = split_list(text);
    if (!asked) return pass_on(asked, "--allow");
    if (auto ok = parse_allowed(*asked); !ok) return pass_on(ok, "--allow");
    return asked;
}

Result<std::int64_t> parse_generation(const std::string& text) {
    auto number = parse_number(text, 1, std::numeric_limits<std::int32_t>::max(),
                               "generation's number: sluicectl history lists them");
    if (!number) return pass_on(number);
    return *number;
}

Result<std::int32_t> parse_number(const std::string& text, std::int32_t least, std::int32_t most,
                                  const std::string& what) {
    std::int64_t number = 0;
    bool good = !text.empty() && text.size() <= 10 && (text == "0" || text.front() != '0');
    for (const char digit : text) {
        if (digit < '0' || digit > '9') good = false;
        if (good) number = number * 10 + (digit - '0');
    }
    if (!good || number < least || number > most)
        return fail(Failure::invalid, "'" + text + "' is no " + what);
    return static_cast<std::int32_t>(number);
}

Json BindingFilter::parameters() const {
    Json parameters = Json::object();
    if (!service.empty()) parameters["service"] = service;
    if (protocol) parameters["protocol"] = to_string(*protocol);
    if (covering) parameters["covering"] = to_string(*covering);
    if (within) parameters["within"] = to_string(*within);
    if (port) parameters["port"] = *port;
    if (!owner.empty()) parameters["owner"] = owner;
    return parameters;
}

bool BindingFilter::lets_pass(const Json& binding) const {
    if (!service.empty() && text_of(binding, "service") != service) return false;
    if (!owner.empty() && text_of(binding, "owner") != owner) return false;
    if (protocol && text_of(binding, "protocol") != to_string(*protocol)) return false;
    const auto prefix = Prefix::parse(text_of(binding, "prefix"));
    if (covering && (!prefix || !prefix->contains(*covering))) return false;
    if (within && (!prefix || !within->contains(*prefix))) return false;
    if (!port) return true;
    const auto ports = Ports::parse(text_of(binding, "port"));
    return ports && ports->contains(*port);
}

}  // namespace sluice::cli

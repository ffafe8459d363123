// SPDX-License-Identifier: Apache-2.0
#include "daemon/methods.h"

#include <algorithm>
#include <array>
#include <charconv>

#include "daemon/status.h"
#include "sys/process.h"

namespace sluice {
namespace {

constexpr std::size_t bindings_in_a_part = 500;
constexpr std::size_t most_in_one_reply = 20'000;  // beyond, a client has to ask for `more`

// Missing and null are the same: the types were checked against the interface.
template <class T>
std::optional<T> optional_of(const Json& parameters, const char* key) {
    const auto at = parameters.find(key);
    if (at == parameters.end() || at->is_null()) return std::nullopt;
    return at->get<T>();
}

bool flag(const Json& parameters, const char* key) {
    return optional_of<bool>(parameters, key).value_or(false);
}

Result<Match> parse_match(const Json& item) {
    auto protocol = parse_protocol(item.at("protocol").get<std::string>());
    if (!protocol) return pass_on(protocol);
    auto prefix = Prefix::parse(item.at("prefix").get<std::string>());
    if (!prefix) return pass_on(prefix);
    auto ports = Ports::parse(item.at("port").get<std::string>());
    if (!ports) return pass_on(ports);
    return Match{*protocol, *prefix, *ports};
}

Result<std::vector<Match>> parse_matches(const Json& parameters) {
    std::vector<Match> matches;
    for (const Json& item : parameters.at("matches")) {
        auto match = parse_match(item);
        if (!match) return pass_on(match);
        if (std::ranges::find(matches, *match) == matches.end()) matches.push_back(*match);
    }
    if (matches.empty()) return fail(Failure::invalid, "no bindings were named");
    return matches;
}

Result<std::uint16_t> parse_port_number(std::int64_t port) {
    if (port < 1 || port > 65535)
        return fail(Failure::invalid,
                    std::to_string(port) + " is not a port: a number from 1 to 65535");
    return static_cast<std::uint16_t>(port);
}

Result<std::uint64_t> parse_cookie(const std::string& text) {
    std::uint64_t cookie = 0;
    constexpr std::string_view prefix = "sk:";  // as `ss -e` writes it
    const std::string_view digits =
        text.starts_with(prefix) ? std::string_view(text).substr(prefix.size()) : text;
    const auto [end, problem] =
        std::from_chars(digits.data(), digits.data() + digits.size(), cookie, 16);
    if (problem != std::errc{} || end != digits.data() + digits.size() || cookie == 0)
        return fail(Failure::invalid, "'" + text +
                                          "' is not a socket's cookie: hexadecimal, as `ss -e` "
                                          "prints it");
    return cookie;
}

Result<BindingFilter> parse_filter(const Json& parameters) {
    BindingFilter filter;
    filter.service = optional_of<std::string>(parameters, "service");
    if (const auto text = optional_of<std::string>(parameters, "protocol")) {
        auto protocol = parse_protocol(*text);
        if (!protocol) return pass_on(protocol);
        filter.protocol = *protocol;
    }
    if (const auto text = optional_of<std::string>(parameters, "covering")) {
        auto address = Address::parse(*text);
        if (!address) return pass_on(address);
        filter.covering = *address;
    }
    if (const auto text = optional_of<std::string>(parameters, "within")) {
        auto prefix = Prefix::parse(*text);
        if (!prefix) return pass_on(prefix);
        filter.within = *prefix;
    }
    if (const auto number = optional_of<std::int64_t>(parameters, "port")) {
        auto port = parse_port_number(*number);
        if (!port) return pass_on(port);
        filter.port = *port;
    }
    if (const auto text = optional_of<std::string>(parameters, "owner")) {
        if (*text != "config" && *text != "runtime")
            return fail(Failure::invalid, "unknown owner '" + *text + "': config or runtime");
        filter.owner = *text == "config" ? Owner::config : Owner::runtime;
    }
    return filter;
}

Result<Question> parse_question(const Json& parameters) {
    Question question;
    auto protocol = parse_protocol(parameters.at("protocol").get<std::string>());
    if (!protocol) return pass_on(protocol);
    auto address = Address::parse(parameters.at("address").get<std::string>());
    if (!address) return pass_on(address);
    auto port = parse_port_number(parameters.at("port").get<std::int64_t>());
    if (!port) return pass_on(port);
    question.protocol = *protocol;
    question.to = {*address, *port};
    const auto from = optional_of<std::string>(parameters, "from");
    if (!from) return question;
    auto endpoint = Endpoint::parse(*from);
    if (!endpoint) return pass_on(endpoint);
    if (endpoint->address.family != address->family)
        return fail(Failure::invalid, "'" + *from + "' is not of the address's family");
    question.from = *endpoint;
    return question;
}

Result<Target> parse_target(const Json& parameters) {
    const auto service = optional_of<std::string>(parameters, "service");
    const bool reject = flag(parameters, "reject"), pass = flag(parameters, "pass");
    if ((service ? 1 : 0) + (reject ? 1 : 0) + (pass ? 1 : 0) != 1)
        return fail(Failure::invalid, "a binding has exactly one of a service, reject and pass");
    if (!service) return reject ? Target::reject() : Target::pass();
    auto name = parse_service_name(*service);
    if (!name) return pass_on(name);
    return Target::service(std::move(*name));
}

// Descriptors by index, each once: `sockets` names some of those that came with the call.
Result<std::vector<int>> pick(std::span<const Fd> descriptors, const Json& indexes) {
    std::vector<int> picked;
    for (const Json& item : indexes) {
        const auto index = item.get<std::int64_t>();
        if (index < 0 || static_cast<std::size_t>(index) >= descriptors.size())
            return fail(Failure::invalid, "no descriptor " + std::to_string(index) +
                                              " came with the call, only " +
                                              std::to_string(descriptors.size()));
        picked.push_back(descriptors[static_cast<std::size_t>(index)].get());
    }
    return picked;
}

Json registered_json(const std::string& service, const Registered& done) {
    Json sockets = Json::array();
    for (const RegisteredSocket& socket : done.sockets)
        sockets.push_back(socket_json(socket, "serving"));
    return {{"service", service},
            {"added", done.added},
            {"present", done.present},
            {"sockets", std::move(sockets)},
            {"warnings", warnings_json(done.warnings)}};
}

}  // namespace

Author author_of(const Peer& peer) {
    return {peer.uid, login_uid_of(peer.pid), peer.pid, command_of(peer.pid).value_or("")};
}

bool Methods::may_pass_descriptors(const Peer& peer) const {
    return sluice::may_pass_descriptors(agent_->access(), peer);
}

Result<VarlinkAnswer> Methods::call(const VarlinkCall& call, std::span<const Fd> descriptors,
                                    const Peer& peer) {
    const std::string_view method = call.method_name();
    const Json& parameters = call.parameters;
    const bool reads = method == "Status" || method == "Bindings" || method == "Services" ||
                       method == "Sockets" || method == "Config" || method == "Explain" ||
                       (method == "Detach" && flag(parameters, "dry_run"));
    // Registrations are judged where their services are read (enlist_offers).
    if (method == "Unregister") {
        const auto service = parameters.at("service").get<std::string>();
        auto ok = authorize(agent_->access(), peer, Action::register_, service);
        if (!ok) return pass_on(ok);
    } else if (method != "Register" && method != "RegisterAll") {
        auto ok = authorize(agent_->access(), peer, reads ? Action::read : Action::change, "");
        if (!ok) return pass_on(ok);
    }
    if (method == "Bindings") return bindings(parameters, call.more);
    auto reply = answer(method, parameters, descriptors, peer);
    if (!reply) return pass_on(reply);
    return VarlinkAnswer{std::move(*reply), nullptr};
}

Result<Json> Methods::answer(std::string_view method, const Json& parameters,
                             std::span<const Fd> descriptors, const Peer& peer) {
    if (method == "Status") return status(parameters);
    if (method == "Services") return services();
    if (method == "Sockets") return sockets(parameters);
    if (method == "Config") return config();
    if (method == "Explain") return explain(parameters);
    if (method == "Bind") return bind(parameters, peer);
    if (method == "Unbind") return unbind(parameters, peer);
    if (method == "Reload") return reload(peer);
    if (method == "Register") return enlist(parameters, descriptors, peer);
    if (method == "RegisterAll") return enlist_all(parameters, descriptors, peer);
    if (method == "Unregister") return unregister(parameters, peer);
    if (method == "Detach") return detach(parameters, peer);
    if (method == "Attach") return attach(peer);
    return fail(Failure::failed,
                "method " + std::string(method) + " is in the interface, but not built");
}

Result<> Methods::register_sockets(const std::string& label, std::span<const Fd> descriptors,
                                   const Peer& peer) {
    if (auto ok = authorize(agent_->access(), peer, Action::register_, label); !ok) return ok;
    std::vector<int> numbers;
    for (const Fd& fd : descriptors) numbers.push_back(fd.get());
    const SocketOffer offer{label, std::move(numbers)};
    auto done = agent_->register_sockets({&offer, 1}, RegisterMode::add, author_of(peer));
    if (!done) return pass_on(done);
    return {};
}

Result<Json> Methods::status(const Json& parameters) {
    return status_json(*agent_, optional_of<std::string>(parameters, "service"));
}

// In parts when the client can take them; in one when it is small enough for that.
Result<VarlinkAnswer> Methods::bindings(const Json& parameters, bool more) {
    auto filter = parse_filter(parameters);
    if (!filter) return pass_on(filter);
    if (filter->service && !agent_->service_names().contains(*filter->service))
        return fail(Failure::invalid, "there is no service '" + *filter->service + "'");
    // What answers may change while a long answer is read: it is about the moment of the call.
    const auto table = agent_->running().table;
    auto view = std::make_shared<const BindingsView>(table->effective, table->shadowed, *filter);
    const std::size_t total = table->effective.size();
    if (!more && view->size() <= most_in_one_reply)
        return VarlinkAnswer{{{"bindings", view->part(0, view->size())}, {"total", total}},
                             nullptr};
    std::size_t at = 0;
    return VarlinkAnswer{Json(), [table, view, total, at]() mutable -> std::optional<Json> {
                             if (at > 0 && at >= view->size())
                                 return std::nullopt;  // an empty list is one part
                             Json part = {{"bindings", view->part(at, bindings_in_a_part)},
                                          {"total", total}};
                             at += bindings_in_a_part;
                             return part;
                         }};
}

Result<Json> Methods::services() { return Json{{"services", services_json(*agent_)}}; }

Result<Json> Methods::sockets(const Json& parameters) {
    auto list = sockets_json(*agent_, optional_of<std::string>(parameters, "service"));
    if (!list) return pass_on(list);
    return Json{{"sockets", std::move(*list)}};
}

Result<Json> Methods::config() {
    const Generation& generation = agent_->running().generation;
    Config config;
    config.services = generation.services;
    config.bindings = generation.config;
    config.admins = generation.admins;
    config.guards = generation.guards;
    return Json{{"yaml", to_yaml(config)}, {"generation", generation.number}};
}

Result<Json> Methods::explain(const Json& parameters) {
    auto question = parse_question(parameters);
    if (!question) return pass_on(question);
    return agent_->explain(*question);
}

Json Methods::changed(const Plan& plan) const {
    Json reply = plan_json(plan);
    reply["generation"] = agent_->running().generation.number;
    return reply;
}

Result<Json> Methods::bind(const Json& parameters, const Peer& peer) {
    BindRequest request;
    auto target = parse_target(parameters);
    if (!target) return pass_on(target);
    auto matches = parse_matches(parameters);
    if (!matches) return pass_on(matches);
    request.target = std::move(*target);
    request.matches = std::move(*matches);
    request.override_config = flag(parameters, "override");
    request.note = optional_of<std::string>(parameters, "note").value_or("");
    auto plan = agent_->bind(request, author_of(peer));
    if (!plan) return pass_on(plan);
    return changed(*plan);
}

Result<Json> Methods::unbind(const Json& parameters, const Peer& peer) {
    auto matches = parse_matches(parameters);
    if (!matches) return pass_on(matches);
    auto plan = agent_->unbind(*matches, author_of(peer));
    if (!plan) return pass_on(plan);
    return changed(*plan);
}

Result<Json> Methods::reload(const Peer& peer) {
    auto plan = agent_->reload(author_of(peer), "reload");
    if (!plan) return pass_on(plan);
    return changed(*plan);
}

Result<Json> Methods::enlist(const Json& parameters, std::span<const Fd> descriptors,
                             const Peer& peer) {
    Json offers = Json::array();
    offers.push_back(
        {{"service", parameters.at("service")}, {"sockets", parameters.at("sockets")}});
    auto replies = enlist_offers(offers, parameters, descriptors, peer);
    if (!replies) return pass_on(replies);
    return std::move(replies->front());
}

Result<Json> Methods::enlist_all(const Json& parameters, std::span<const Fd> descriptors,
                                 const Peer& peer) {
    auto replies = enlist_offers(parameters.at("offers"), parameters, descriptors, peer);
    if (!replies) return pass_on(replies);
    return Json{{"registered", std::move(*replies)}};
}

// `offers`: elements of {service, sockets}. One element of the reply for each.
Result<Json> Methods::enlist_offers(const Json& offers, const Json& parameters,
                                    std::span<const Fd> descriptors, const Peer& peer) {
    const auto mode = parameters.at("mode").get<std::string>();
    if (mode != "add" && mode != "replace")
        return fail(Failure::invalid, "unknown mode '" + mode + "': add or replace");
    if (offers.empty()) return fail(Failure::invalid, "no sockets were offered");
    std::vector<SocketOffer> picked;
    for (const Json& offer : offers) {
        // First, since the descriptors of a peer whom no rule names were never received.
        auto service = offer.at("service").get<std::string>();
        auto ok = authorize(agent_->access(), peer, Action::register_, service);
        if (!ok) return pass_on(ok);
        auto sockets = pick(descriptors, offer.at("sockets"));
        if (!sockets) return pass_on(sockets);
        picked.push_back({std::move(service), std::move(*sockets)});
    }
    const auto owner =
        static_cast<std::int32_t>(optional_of<std::int64_t>(parameters, "pid").value_or(0));
    auto done = agent_->register_sockets(
        picked, mode == "replace" ? RegisterMode::replace : RegisterMode::add, author_of(peer),
        owner);
    if (!done) return pass_on(done);
    Json replies = Json::array();
    for (std::size_t i = 0; i < picked.size(); ++i)
        replies.push_back(registered_json(picked[i].service, (*done)[i]));
    return replies;
}

Result<Json> Methods::unregister(const Json& parameters, const Peer& peer) {
    const auto service = parameters.at("service").get<std::string>();
    std::optional<std::uint64_t> cookie;
    if (const auto text = optional_of<std::string>(parameters, "cookie")) {
        auto parsed = parse_cookie(*text);
        if (!parsed) return pass_on(parsed);
        cookie = *parsed;
    }
    auto removed = agent_->unregister(service, cookie, author_of(peer));
    if (!removed) return pass_on(removed);
    return Json{{"service", service}, {"removed", *removed}};
}

Result<Json> Methods::detach(const Json& parameters, const Peer& peer) {
    Json services = detach_json(*agent_);
    if (flag(parameters, "dry_run"))
        return Json{{"changed", agent_->plane().dispatcher().attached()},
                    {"services", std::move(services)}};
    auto changed = agent_->detach(author_of(peer));
    if (!changed) return pass_on(changed);
    return Json{{"changed", *changed}, {"services", std::move(services)}};
}

Result<Json> Methods::attach(const Peer& peer) {
    auto changed = agent_->attach(author_of(peer));
    if (!changed) return pass_on(changed);
    return Json{{"changed", *changed}};
}

}  // namespace sluice

// SPDX-License-Identifier: Apache-2.0
#include "daemon/methods.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <chrono>
#include <limits>
#include <memory>

#include "core/config_bundle.h"
#include "core/text.h"
#include "daemon/following.h"
#include "daemon/status.h"
#include "sys/clock.h"
#include "sys/files.h"
#include "sys/process.h"

namespace sluice {
namespace {

constexpr std::size_t bindings_in_a_part = 500;
constexpr std::size_t most_in_one_reply = 20'000;  // beyond, a client has to ask for `more`
constexpr std::size_t largest_bundle = std::size_t{1} << 30U;  // of all files of a config
constexpr std::int64_t longest_confirm = 7 * 24 * 3600;        // seconds

constexpr std::array<std::string_view, 9> reading_methods = {"Status",  "Bindings",  "Services",
                                                             "Sockets", "Following", "Config",
                                                             "Explain", "Plan",      "History"};

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

Result<std::uint64_t> parse_generation_number(std::int64_t number) {
    if (number < 1)
        return fail(Failure::invalid, "there is no generation " + std::to_string(number));
    return static_cast<std::uint64_t>(number);
}

Result<Allowed> parse_allow(const Json& parameters) {
    return parse_allowed(optional_of<std::vector<std::string>>(parameters, "allow")
                             .value_or(std::vector<std::string>()));
}

Result<ApplyRequest> parse_apply(const Json& parameters) {
    ApplyRequest request;
    request.path = parameters.at("path").get<std::string>();
    if (!request.path.starts_with('/') || !is_plain_text(request.path))
        return fail(Failure::invalid, "the config's path is not absolute");
    auto allowed = parse_allow(parameters);
    if (!allowed) return pass_on(allowed);
    request.allowed = std::move(*allowed);
    request.note = optional_of<std::string>(parameters, "note").value_or("");
    if (const auto seconds = optional_of<std::int64_t>(parameters, "confirm_within")) {
        if (*seconds < 1 || *seconds > longest_confirm)
            return fail(Failure::invalid, "to confirm there is between 1 second and 7 days");
        request.confirm_within = std::chrono::seconds(*seconds);
    }
    if (const auto number = optional_of<std::int64_t>(parameters, "if_generation"))
        request.if_generation = static_cast<std::uint64_t>(*number);
    return request;
}

// Files as ranges of the descriptors that came with the call.
Result<ConfigBundle> read_bundle(const Json& parameters, std::span<const Fd> descriptors) {
    ConfigBundle bundle;
    std::size_t total = 0;
    for (const Json& file : parameters.at("files")) {
        const auto name = file.at("name").get<std::string>();
        auto picked = pick(descriptors, Json::array({file.at("descriptor")}));
        if (!picked) return pass_on(picked);
        const auto offset = file.at("offset").get<std::int64_t>();
        const auto size = file.at("size").get<std::int64_t>();
        if (offset < 0 || size < 0 || static_cast<std::size_t>(size) > largest_bundle - total)
            return fail(Failure::invalid, "the config is too large, or its files are nowhere");
        total += static_cast<std::size_t>(size);
        auto text = read_range(picked->front(), offset, static_cast<std::size_t>(size));
        if (!text) return pass_on(text, "read " + name);
        bundle.files[name] = std::move(*text);
    }
    for (const Json& pattern : parameters.at("patterns"))
        bundle.patterns[pattern.at("pattern").get<std::string>()] =
            pattern.at("paths").get<std::vector<std::string>>();
    return bundle;
}

// Of sockets that were judged just now.
Json sockets_json(const std::vector<RegisteredSocket>& sockets) {
    Json list = Json::array();
    for (const RegisteredSocket& socket : sockets)
        list.push_back(socket_json(socket, socket_state(socket, true, true)));
    return list;
}

// `pids` beside `sockets`, one for each.
Result<std::vector<std::int32_t>> owners_of(const Json& offer, std::size_t sockets) {
    std::vector<std::int32_t> owners;
    const auto pids = offer.find("pids");
    if (pids == offer.end() || pids->is_null()) return owners;
    for (const Json& pid : *pids) owners.push_back(pid.get<std::int32_t>());
    if (owners.size() != sockets)
        return fail(Failure::invalid, std::to_string(owners.size()) + " pids for " +
                                          std::to_string(sockets) + " sockets");
    return owners;
}

Json registered_json(const std::string& service, const Registered& done) {
    return {{"service", service},
            {"added", done.added},
            {"present", done.present},
            {"sockets", sockets_json(done.sockets)},
            {"warnings", warnings_json(done.warnings)}};
}

Json switched_json(const std::string& service, const SwitchedSets& done) {
    return {{"service", service},
            {"serving", done.counts.serving},
            {"waiting", done.counts.waiting},
            {"let_go", done.counts.let_go},
            {"sockets", sockets_json(done.sockets)},
            {"warnings", warnings_json(done.warnings)}};
}

Result<RegisterMode> parse_mode(const std::string& word) {
    if (word == "add") return RegisterMode::add;
    if (word == "replace") return RegisterMode::replace;
    if (word == "staged") return RegisterMode::staged;
    return fail(Failure::invalid, "unknown mode '" + word + "': add, replace or staged");
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
    if (auto ok = allow(method, parameters, peer); !ok) return pass_on(ok);
    if (method == "Bindings") return bindings(parameters, call.more);
    if (auto plan = change(method, parameters, descriptors, peer)) {
        if (!*plan) return pass_on(*plan);
        return planned(std::move(**plan), parameters, method == "Plan", call.more);
    }
    auto reply = answer(method, parameters, descriptors, peer);
    if (!reply) return pass_on(reply);
    return VarlinkAnswer{std::move(*reply), nullptr};
}

Result<> Methods::allow(std::string_view method, const Json& parameters, const Peer& peer) const {
    // Registrations are judged where their services are read (enlist_offers).
    if (method == "Register" || method == "RegisterAll") return {};
    if (method == "Unregister" || method == "Promote" || method == "Demote")
        return authorize(agent_->access(), peer, Action::register_,
                         parameters.at("service").get<std::string>());
    const bool reads = std::ranges::find(reading_methods, method) != reading_methods.end() ||
                       (method == "Detach" && flag(parameters, "dry_run"));
    return authorize(agent_->access(), peer, reads ? Action::read : Action::change, "");
}

std::optional<Result<Plan>> Methods::change(std::string_view method, const Json& parameters,
                                            std::span<const Fd> descriptors, const Peer& peer) {
    if (method == "Bind") return bind(parameters, peer);
    if (method == "Unbind") return unbind(parameters, peer);
    if (method == "Reload") return reload(parameters, peer);
    if (method == "Rollback") return rollback(parameters, peer);
    if (method == "Apply") return apply(parameters, descriptors, peer, false);
    if (method == "Plan") return apply(parameters, descriptors, peer, true);
    return std::nullopt;
}

Result<Json> Methods::answer(std::string_view method, const Json& parameters,
                             std::span<const Fd> descriptors, const Peer& peer) {
    if (method == "Status") return status(parameters);
    if (method == "Services") return services();
    if (method == "Sockets") return sockets(parameters);
    if (method == "Following") return following(peer);
    if (method == "Config") return config(parameters);
    if (method == "History") return history(parameters);
    if (method == "Confirm") return confirm(peer);
    if (method == "Explain") return explain(parameters);
    if (method == "Register") return enlist(parameters, descriptors, peer);
    if (method == "RegisterAll") return enlist_all(parameters, descriptors, peer);
    if (method == "Unregister") return unregister(parameters, peer);
    if (method == "Promote" || method == "Demote")
        return switch_sets(parameters, peer, method == "Promote");
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

Result<Json> Methods::following(const Peer& peer) {
    if (authorize(agent_->access(), peer, Action::change, "")) agent_->note_follower();
    Json services = Json::array();
    for (const FollowedService& service : followed_services(*agent_))
        services.push_back(to_json(service));
    return Json{{"services", std::move(services)}};
}

Result<Json> Methods::config(const Json& parameters) {
    std::uint64_t number = agent_->running().generation.number;
    if (const auto asked = optional_of<std::int64_t>(parameters, "generation")) {
        auto named = parse_generation_number(*asked);
        if (!named) return pass_on(named);
        number = *named;
    }
    auto generation = agent_->kept(number);
    if (!generation) return pass_on(generation);
    Config config;
    config.services = std::move(generation->services);
    config.bindings = std::move(generation->config);
    config.admins = std::move(generation->admins);
    config.guards = std::move(generation->guards);
    config.dataplane = generation->dataplane;
    return Json{{"yaml", to_yaml(config)}, {"generation", number}};
}

Result<Json> Methods::history(const Json& parameters) {
    const auto asked = optional_of<std::int64_t>(parameters, "generation");
    const std::vector<Record> records = agent_->history();
    const std::vector<Standing> standings = judge_history(records);
    Json list = Json::array();
    for (std::size_t i = records.size(); i-- > 0;)
        if (!asked || records[i].number == static_cast<std::uint64_t>(*asked))
            list.push_back(record_json(records[i], standings[i]));
    if (const auto& pending = agent_->running().generation.pending; pending && !list.empty())
        if (list.front().at("state") == "pending")
            list.front()["seconds_left"] =
                std::max<std::int64_t>(pending->deadline - uptime_seconds(), 0);
    if (asked && list.empty())
        return fail(Error(Failure::invalid, "there is no generation " + std::to_string(*asked))
                        .hint("sluicectl history lists those that are kept"));
    return Json{{"generations", std::move(list)}};
}

Result<Json> Methods::confirm(const Peer& peer) {
    auto number = agent_->confirm(author_of(peer));
    if (!number) return pass_on(number);
    return Json{{"generation", *number}};
}

Result<Json> Methods::explain(const Json& parameters) {
    auto question = parse_question(parameters);
    if (!question) return pass_on(question);
    return agent_->explain(*question);
}

// In parts when the client can take them; in one when it cannot, then not all of a long list.
VarlinkAnswer Methods::planned(Plan plan, const Json& parameters, bool dry_run, bool more) const {
    const auto kept = std::make_shared<const Plan>(std::move(plan));
    Json head = plan_head_json(*kept);
    if (!dry_run) {
        head["generation"] = agent_->running().generation.number;
        head["changed"] = kept->changes() && kept->refused_by.empty();
    }
    const std::size_t most = more ? std::numeric_limits<std::size_t>::max() : most_in_one_reply;
    const auto asked = optional_of<std::int64_t>(parameters, "changes");
    const auto view = std::make_shared<const ChangesView>(
        *kept, asked && *asked >= 0 ? std::min(static_cast<std::size_t>(*asked), most) : most);
    if (!more) {
        head.update(view->part(0, view->size()));
        return {std::move(head), nullptr};
    }
    std::size_t at = 0;
    bool first = true;
    return {Json(), [kept, view, head, at, first]() mutable -> std::optional<Json> {
                if (!first && at >= view->size()) return std::nullopt;
                first = false;
                Json part = head;
                part.update(view->part(at, bindings_in_a_part));
                at += bindings_in_a_part;
                return part;
            }};
}

Result<Plan> Methods::bind(const Json& parameters, const Peer& peer) {
    BindRequest request;
    auto target = parse_target(parameters);
    if (!target) return pass_on(target);
    auto matches = parse_matches(parameters);
    if (!matches) return pass_on(matches);
    auto allowed = parse_allow(parameters);
    if (!allowed) return pass_on(allowed);
    request.target = std::move(*target);
    request.matches = std::move(*matches);
    request.override_config = flag(parameters, "override");
    request.note = optional_of<std::string>(parameters, "note").value_or("");
    request.allowed = std::move(*allowed);
    return agent_->bind(request, author_of(peer));
}

Result<Plan> Methods::unbind(const Json& parameters, const Peer& peer) {
    auto matches = parse_matches(parameters);
    if (!matches) return pass_on(matches);
    return agent_->unbind(*matches, author_of(peer));
}

Result<Plan> Methods::reload(const Json& parameters, const Peer& peer) {
    auto allowed = parse_allow(parameters);
    if (!allowed) return pass_on(allowed);
    return agent_->reload(author_of(peer), "reload", *allowed);
}

Result<Plan> Methods::rollback(const Json& parameters, const Peer& peer) {
    std::optional<std::uint64_t> number;
    if (const auto asked = optional_of<std::int64_t>(parameters, "generation")) {
        auto named = parse_generation_number(*asked);
        if (!named) return pass_on(named);
        number = *named;
    }
    return agent_->rollback(number, optional_of<std::string>(parameters, "note").value_or(""),
                            author_of(peer));
}

Result<Plan> Methods::apply(const Json& parameters, std::span<const Fd> descriptors,
                            const Peer& peer, bool dry_run) {
    auto request = parse_apply(parameters);
    if (!request) return pass_on(request);
    auto bundle = read_bundle(parameters, descriptors);
    if (!bundle) return pass_on(bundle);
    BundledFiles files(std::move(*bundle));
    if (dry_run) return agent_->plan(files, *request);
    return agent_->apply(files, *request, author_of(peer));
}

Result<Json> Methods::enlist(const Json& parameters, std::span<const Fd> descriptors,
                             const Peer& peer) {
    Json offers = Json::array();
    offers.push_back(
        {{"service", parameters.at("service")}, {"sockets", parameters.at("sockets")}});
    if (parameters.contains("pids")) offers[0]["pids"] = parameters["pids"];
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
    const auto mode = parse_mode(parameters.at("mode").get<std::string>());
    if (!mode) return std::unexpected(mode.error());
    if (offers.empty()) return fail(Failure::invalid, "no sockets were offered");
    std::vector<SocketOffer> picked;
    for (const Json& offer : offers) {
        // First, since the descriptors of a peer whom no rule names were never received.
        auto service = offer.at("service").get<std::string>();
        auto ok = authorize(agent_->access(), peer, Action::register_, service);
        if (!ok) return pass_on(ok);
        auto sockets = pick(descriptors, offer.at("sockets"));
        if (!sockets) return pass_on(sockets);
        auto owners = owners_of(offer, sockets->size());
        if (!owners) return pass_on(owners);
        picked.push_back({std::move(service), std::move(*sockets), std::move(*owners)});
    }
    const auto owner =
        static_cast<std::int32_t>(optional_of<std::int64_t>(parameters, "pid").value_or(0));
    auto done = agent_->register_sockets(picked, *mode, author_of(peer), owner);
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

Result<Json> Methods::switch_sets(const Json& parameters, const Peer& peer, bool forward) {
    const auto service = parameters.at("service").get<std::string>();
    auto done = forward ? agent_->promote(service, author_of(peer))
                        : agent_->demote(service, author_of(peer));
    if (!done) return pass_on(done);
    return switched_json(service, *done);
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

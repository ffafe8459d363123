// SPDX-License-Identifier: Apache-2.0
#include "core/generation.h"

#include <array>
#include <charconv>
#include <cstdio>
#include <optional>
#include <unordered_map>
#include <zlib.h>

#include <nlohmann/json.hpp>

namespace sluice {
namespace {

using Json = nlohmann::json;

constexpr std::string_view generation_magic = "sluice-generation 2 ";
constexpr std::string_view table_magic = "sluice-table 2 ";
constexpr std::size_t fields_of_a_binding = 9;

std::uint32_t checksum(std::string_view text) {
    uLong sum = crc32_z(0, nullptr, 0);
    sum = crc32_z(sum, reinterpret_cast<const Bytef*>(text.data()), text.size());
    return static_cast<std::uint32_t>(sum);
}

template <class T>
T take(const Result<T>& parsed) {
    if (!parsed) throw std::invalid_argument(parsed.error().why());
    return *parsed;
}

// ---- bindings: one line each, fields between tabs ----------------------------------------------

// protocol prefix ports target owner line since file note; target is a service's name, or
// * for reject, or ** for pass (no name has either); texts are JSON strings, empty for none.
void append_binding(std::string& out, const Binding& binding) {
    out += to_string(binding.match.protocol);
    out += '\t';
    out += to_string(binding.match.prefix);
    out += '\t';
    out += to_string(binding.match.ports);
    out += '\t';
    switch (binding.target.kind) {
        case Target::Kind::service:
            out += *binding.target.name;
            break;
        case Target::Kind::reject:
            out += '*';
            break;
        case Target::Kind::pass:
            out += "**";
            break;
    }
    out += binding.owner == Owner::config ? "\tc\t" : "\tr\t";
    out += std::to_string(binding.line);
    out += '\t';
    out += std::to_string(binding.since);
    for (const SharedText& text : {binding.file, binding.note}) {
        out += '\t';
        if (text != nullptr) out += Json(*text).dump(-1, ' ', true, Json::error_handler_t::replace);
    }
    out += '\n';
}

std::optional<std::int64_t> number(std::string_view text) {
    std::int64_t value = 0;
    const auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (problem != std::errc{} || end != text.data() + text.size()) return std::nullopt;
    return value;
}

// Equal texts are stored once in memory, as the config parser does.
class Texts {
  public:
    SharedText quoted(std::string_view text) {
        if (text.empty()) return nullptr;
        return plain(text, [&] { return Json::parse(text).get<std::string>(); });
    }
    SharedText name(std::string_view text) {
        return plain(text, [&] { return std::string(text); });
    }

  private:
    template <class Make>
    SharedText plain(std::string_view key, Make make) {
        auto& shared = texts_[std::string(key)];
        if (shared == nullptr) shared = SharedText(make());
        return shared;
    }
    std::unordered_map<std::string, SharedText> texts_;
};

Binding read_binding(std::string_view line, Texts& texts, Texts& names) {
    std::array<std::string_view, fields_of_a_binding> fields;
    for (std::string_view& field : fields) {
        const auto tab = line.find('\t');
        field = line.substr(0, tab);
        const bool last = &field == &fields.back();
        if (last != (tab == std::string_view::npos))
            throw std::invalid_argument("a binding's fields");
        if (!last) line.remove_prefix(tab + 1);
    }
    Binding binding;
    binding.match = {take(parse_protocol(fields[0])), take(Prefix::parse(fields[1])),
                     take(Ports::parse(fields[2]))};
    if (fields[3] == "*")
        binding.target = Target::reject();
    else if (fields[3] == "**")
        binding.target = Target::pass();
    else
        binding.target = Target::service(names.name(take(parse_service_name(fields[3]))));
    if (fields[4] != "c" && fields[4] != "r") throw std::invalid_argument("unknown owner");
    binding.owner = fields[4] == "c" ? Owner::config : Owner::runtime;
    const auto line_number = number(fields[5]), since = number(fields[6]);
    if (!line_number || !since) throw std::invalid_argument("a binding's numbers");
    binding.line = static_cast<std::int32_t>(*line_number);
    binding.since = *since;
    binding.file = texts.quoted(fields[7]);
    binding.note = texts.quoted(fields[8]);
    return binding;
}

// ---- the header: one line of JSON --------------------------------------------------------------

Json service_json(const ServiceConfig& service) {
    Json sockets = Json::array();
    for (const FollowRule& rule : service.sockets) {
        Json listen = Json::array();
        for (const ListenTriple& triple : rule.listen)
            listen.push_back({to_string(triple.protocol), to_string(triple.address), triple.port});
        sockets.push_back({{"unit", rule.unit}, {"listen", std::move(listen)}});
    }
    return {{"description", service.description},
            {"unavailable", static_cast<int>(service.unavailable.kind)},
            {"fallback", service.unavailable.fallback},
            {"users", service.registration.users},
            {"groups", service.registration.groups},
            {"units", service.registration.units},
            {"mixed_ports", service.mixed_ports},
            {"sockets", std::move(sockets)}};
}

Json guards_json(const Guards& guards) {
    Json prefixes = Json::array(), addresses = Json::array();
    for (const Prefix& prefix : guards.protected_prefixes) prefixes.push_back(to_string(prefix));
    for (const Address& address : guards.host_addresses) addresses.push_back(to_string(address));
    return {{"percent", guards.max_removed_percent},     {"at_least", guards.max_removed_at_least},
            {"protected", std::move(prefixes)},          {"allow_empty", guards.allow_empty},
            {"refuse_unserved", guards.refuse_unserved}, {"host_addresses", std::move(addresses)}};
}

Json pending_json(const std::optional<Pending>& pending) {
    if (!pending) return nullptr;
    return {{"return_to", pending->return_to},
            {"deadline", pending->deadline},
            {"boot", pending->boot}};
}

Json set_aside_json(const std::vector<SetAside>& set_aside) {
    Json list = Json::array();
    for (const SetAside& one : set_aside)
        list.push_back({{"content", one.content}, {"why", one.why}});
    return list;
}

Json folded_json(const std::vector<Folded>& folded) {
    Json list = Json::array();
    for (const Folded& one : folded) {
        std::string line;
        append_binding(line, one.binding);
        line.pop_back();
        list.push_back({{"binding", line}, {"by", one.by}});
    }
    return list;
}

Json header_json(const Generation& generation, const TableRef& config) {
    Json services = Json::object();
    for (const auto& [name, service] : generation.services) services[name] = service_json(service);
    return {{"number", generation.number},
            {"base", generation.base},
            {"table", {{"number", config.number}, {"checksum", config.checksum}}},
            {"restores", generation.restores},
            {"changes",
             {generation.added, generation.moved, generation.removed, generation.services_changed}},
            {"pending", pending_json(generation.pending)},
            {"folded", folded_json(generation.folded)},
            {"set_aside", set_aside_json(generation.set_aside)},
            {"time", generation.time},
            {"owner", to_string(generation.owner)},
            {"cause", generation.cause},
            {"note", generation.note},
            {"by",
             {{"uid", generation.by.uid},
              {"login_uid", generation.by.login_uid},
              {"pid", generation.by.pid},
              {"command", generation.by.command}}},
            {"services", std::move(services)},
            {"admins", {{"users", generation.admins.users}, {"groups", generation.admins.groups}}},
            {"guards", guards_json(generation.guards)},
            {"dataplane",
             {{"index", generation.dataplane.index}, {"memory", generation.dataplane.memory}}},
            {"config_path", generation.config_path},
            {"other_file", generation.other_file},
            {"config_files", generation.config_files},
            {"config_content", generation.config_content}};
}

ServiceConfig read_service(const Json& json) {
    ServiceConfig service;
    service.description = json.at("description");
    const int kind = json.at("unavailable");
    if (kind < 0 || kind > static_cast<int>(Unavailable::Kind::fallback))
        throw std::invalid_argument("unknown kind of policy");
    service.unavailable = {static_cast<Unavailable::Kind>(kind), json.at("fallback")};
    service.registration = {json.at("users"), json.at("groups"), json.at("units")};
    service.mixed_ports = json.at("mixed_ports");
    for (const Json& rule : json.at("sockets")) {
        FollowRule follow{rule.at("unit"), {}};
        for (const Json& triple : rule.at("listen"))
            follow.listen.push_back({take(parse_protocol(triple.at(0).get<std::string>())),
                                     take(Address::parse(triple.at(1).get<std::string>())),
                                     triple.at(2)});
        service.sockets.push_back(std::move(follow));
    }
    return service;
}

Guards read_guards(const Json& json) {
    Guards guards;
    guards.max_removed_percent = json.at("percent");
    guards.max_removed_at_least = json.at("at_least");
    for (const Json& text : json.at("protected"))
        guards.protected_prefixes.push_back(take(Prefix::parse(text.get<std::string>())));
    guards.allow_empty = json.at("allow_empty");
    guards.refuse_unserved = json.at("refuse_unserved");
    for (const Json& text : json.at("host_addresses"))
        guards.host_addresses.push_back(take(Address::parse(text.get<std::string>())));
    return guards;
}

Owner read_owner(std::string_view text) {
    if (text != "config" && text != "runtime") throw std::invalid_argument("unknown owner");
    return text == "config" ? Owner::config : Owner::runtime;
}

std::optional<Pending> read_pending(const Json& json) {
    if (json.is_null()) return std::nullopt;
    return Pending{json.at("return_to"), json.at("deadline"), json.at("boot")};
}

std::vector<Folded> read_folded(const Json& json) {
    std::vector<Folded> folded;
    Texts texts, names;
    for (const Json& one : json)
        folded.push_back(
            {read_binding(one.at("binding").get<std::string>(), texts, names), one.at("by")});
    return folded;
}

// Throws what nlohmann::json and the parsers above throw.
StoredGeneration read_header(std::string_view text) {
    const Json json = Json::parse(text);
    Generation generation;
    generation.number = json.at("number");
    generation.base = json.at("base");
    generation.time = json.at("time");
    generation.owner = read_owner(json.at("owner").get<std::string>());
    generation.cause = json.at("cause");
    generation.note = json.at("note");
    const Json& by = json.at("by");
    generation.by = {by.at("uid"), by.at("login_uid"), by.at("pid"), by.at("command")};
    generation.restores = json.at("restores");
    const Json& changes = json.at("changes");
    generation.added = changes.at(0);
    generation.moved = changes.at(1);
    generation.removed = changes.at(2);
    generation.services_changed = changes.at(3);
    generation.pending = read_pending(json.at("pending"));
    generation.folded = read_folded(json.at("folded"));
    for (const Json& one : json.at("set_aside"))
        generation.set_aside.push_back({one.at("content"), one.at("why")});
    for (const auto& [name, service] : json.at("services").items())
        generation.services[take(parse_service_name(name))] = read_service(service);
    generation.admins = {json.at("admins").at("users"), json.at("admins").at("groups")};
    generation.guards = read_guards(json.at("guards"));
    if (const auto at = json.find("dataplane"); at != json.end())  // since the index
        generation.dataplane = {at->at("index"), at->at("memory")};
    generation.config_path = json.at("config_path");
    generation.other_file = json.at("other_file");
    generation.config_files = json.at("config_files");
    generation.config_content = json.at("config_content");
    const Json& table = json.at("table");
    return {std::move(generation), {table.at("number"), table.at("checksum")}};
}

// Every line a binding of that owner.
Bindings read_bindings(std::string_view text, Owner owner) {
    std::vector<Binding> bindings;
    Texts texts, names;
    while (!text.empty()) {
        const auto end = text.find('\n');
        if (end == std::string_view::npos) throw std::invalid_argument("cut short");
        bindings.push_back(read_binding(text.substr(0, end), texts, names));
        if (bindings.back().owner != owner) throw std::invalid_argument("a binding's owner");
        text.remove_prefix(end + 1);
    }
    return take(Bindings::make(std::move(bindings)));
}

// What follows the first line, when that is right about it.
Result<std::string_view> checked_body(std::string_view text, std::string_view magic) {
    const auto line_end = text.find('\n');
    if (!text.starts_with(magic) || line_end == std::string_view::npos)
        return fail(Failure::failed, "it is nothing of ours, or of a version that is not known");
    const std::string_view body = text.substr(line_end + 1);
    std::array<char, 64> expected{};
    std::snprintf(expected.data(), expected.size(), "%08x %zu", checksum(body), body.size());
    if (text.substr(magic.size(), line_end - magic.size()) != expected.data())
        return fail(Failure::failed, "it is damaged: its checksum is not that of its content");
    return body;
}

std::string with_first_line(std::string_view magic, const std::string& body) {
    std::array<char, 64> numbers{};
    std::snprintf(numbers.data(), numbers.size(), "%08x %zu\n", checksum(body), body.size());
    std::string text;
    text.reserve(magic.size() + numbers.size() + body.size());
    return text.append(magic).append(numbers.data()).append(body);
}

// Whatever the text is, what reading it throws is an error.
template <class Read>
auto guarded(Read read) -> Result<decltype(read())> {
    try {
        return read();
    } catch (const std::exception& problem) {
        return fail(Failure::failed, std::string("it makes no sense: ") + problem.what());
    }
}

}  // namespace

std::string to_string(const Author& author) {
    return (author.command.empty() ? "?" : author.command) + "[" + std::to_string(author.pid) +
           "], uid " + std::to_string(author.uid);
}

std::string serialize(const Generation& generation, const TableRef& config) {
    std::string body =
        header_json(generation, config).dump(-1, ' ', true, Json::error_handler_t::replace) + "\n";
    for (const Binding& binding : generation.runtime) append_binding(body, binding);
    return with_first_line(generation_magic, body);
}

std::string serialize_table(const Bindings& config) {
    std::string body;
    for (const Binding& binding : config) append_binding(body, binding);
    return with_first_line(table_magic, body);
}

std::uint32_t checksum_of(std::string_view stored) {
    std::uint32_t sum = 0;
    for (const std::string_view magic : {generation_magic, table_magic})
        if (stored.starts_with(magic))
            std::from_chars(stored.data() + magic.size(), stored.data() + stored.size(), sum, 16);
    return sum;
}

Result<StoredGeneration> parse_generation(std::string_view text) {
    auto body = checked_body(text, generation_magic);
    if (!body) return pass_on(body);
    return guarded([&] {
        const auto line_end = body->find('\n');
        if (line_end == std::string_view::npos) throw std::invalid_argument("cut short");
        StoredGeneration stored = read_header(body->substr(0, line_end));
        stored.generation.runtime = read_bindings(body->substr(line_end + 1), Owner::runtime);
        return stored;
    });
}

Result<Bindings> parse_table(std::string_view text) {
    auto body = checked_body(text, table_magic);
    if (!body) return pass_on(body);
    return guarded([&] { return read_bindings(*body, Owner::config); });
}

}  // namespace sluice

// SPDX-License-Identifier: Apache-2.0
// Commands that only read. status, bindings and explain also work from the pins, with the agent
// dead.
#include <ostream>

#include "cli/commands.h"
#include "cli/input.h"
#include "cli/render.h"

namespace sluice::cli::command {

namespace {

constexpr int agent_dead = static_cast<int>(Failure::unreachable);

// What the pins say instead of the agent, when nobody answers and we may read them.
Result<Json> from_pins(Session& session, Error unreachable,
                       const std::function<Result<Json>()>& read) {
    if (unreachable.failure() != Failure::unreachable) return fail(std::move(unreachable));
    if (session.world().uid != 0) {
        if (unreachable.hint().empty())
            unreachable = std::move(unreachable).hint("is sluiced running? root can read the pins");
        return fail(std::move(unreachable));
    }
    auto said = read();
    if (!said)
        return fail(std::move(unreachable).hint("nor do the pins help: " + said.error().message()));
    return said;
}

int said_by_pins(Session& session) {
    session.say("the agent is not running: this is what the pins say");
    return agent_dead;
}

Lines explanation_lines(Session& session, const Json& explanation) {
    return session.json() ? Lines{} : render_explain(explanation, session.look());
}

Result<BindingFilter> parse_filter(const Arguments& a) {
    BindingFilter filter;
    filter.service = a.service;
    if (!a.protocol.empty()) {
        auto protocol = parse_protocol(a.protocol);
        if (!protocol) return pass_on(protocol, "--protocol");
        filter.protocol = *protocol;
    }
    if (!a.covering.empty()) {
        auto address = Address::parse(a.covering);
        if (!address) return pass_on(address, "--covering");
        filter.covering = *address;
    }
    if (!a.within.empty()) {
        auto prefix = Prefix::parse(a.within);
        if (!prefix) return pass_on(prefix, "--within");
        filter.within = *prefix;
    }
    if (!a.port.empty()) {
        auto port = parse_port(a.port);
        if (!port) return pass_on(port, "--port");
        filter.port = *port;
    }
    if (!a.owner.empty() && a.owner != "config" && a.owner != "runtime")
        return fail(Error(Failure::invalid, "'" + a.owner + "' is neither config nor runtime")
                        .during("--owner"));
    filter.owner = a.owner;
    return filter;
}

// Bindings come in parts; a million of them are kept as text, not as JSON.
class BindingsAnswer {
  public:
    explicit BindingsAnswer(Session& session) : session_(session) {}

    void add(const Json& binding) {
        if (!session_.json()) {
            rows_.push_back(binding_row(binding, session_.look()));
            return;
        }
        document_ += document_.empty() ? "[" : ",";
        document_ += one_line(binding);
    }
    void total(std::int64_t total) { total_ = total; }

    void print() {
        if (session_.json())
            session_.print((document_.empty() ? "[" : document_) + "]\n");
        else
            session_.print(render_bindings(rows_, total_, session_.look()));
    }

  private:
    Session& session_;
    std::vector<BindingRow> rows_;
    std::string document_;
    std::int64_t total_ = 0;
};

Result<int> bindings_from_pins(Session& session, const BindingFilter& filter, const Error& error) {
    auto reply = from_pins(session, error,
                           [&] { return session.world().pins.bindings(session.globals().bpffs); });
    if (!reply) return pass_on(reply);
    BindingsAnswer answer(session);
    for (const Json& binding : list_of(*reply, "bindings")) {
        if (filter.lets_pass(binding)) answer.add(binding);
    }
    answer.total(count_of(*reply, "total"));
    answer.print();
    return said_by_pins(session);
}

}  // namespace

Result<int> status(Session& session, const Arguments& arguments) {
    const std::string service = arguments.words.empty() ? "" : arguments.words.front();
    auto connected = session.agent();
    if (!connected) {
        auto reply = from_pins(session, connected.error(), [&] {
            return session.world().pins.status(session.globals().bpffs);
        });
        if (!reply) return pass_on(reply);
        session.answer(*reply, render_status(*reply, service, session.look()));
        return said_by_pins(session);
    }
    Json parameters = Json::object();
    if (!service.empty()) parameters["service"] = service;
    auto reply = session.call("Status", parameters);
    if (!reply) return pass_on(reply);
    session.answer(*reply, render_status(*reply, service, session.look()));
    return 0;
}

Result<int> bindings(Session& session, const Arguments& arguments) {
    auto filter = parse_filter(arguments);
    if (!filter) return pass_on(filter);
    auto connected = session.agent();
    if (!connected) return bindings_from_pins(session, *filter, connected.error());
    BindingsAnswer answer(session);
    const auto done =
        (*connected)->stream("Bindings", filter->parameters(), {}, [&](const Json& part) {
            for (const Json& binding : list_of(part, "bindings")) answer.add(binding);
            answer.total(count_of(part, "total"));
        });
    if (!done) return fail(done.error());
    answer.print();
    return 0;
}

Result<int> services(Session& session, const Arguments&) {
    auto reply = session.call("Services", Json::object());
    if (!reply) return pass_on(reply);
    const Json& list = list_of(*reply, "services");
    session.answer(list, render_services(list, session.look()));
    return 0;
}

Result<int> sockets(Session& session, const Arguments& arguments) {
    Json parameters = Json::object();
    if (!arguments.service.empty()) parameters["service"] = arguments.service;
    auto reply = session.call("Sockets", parameters);
    if (!reply) return pass_on(reply);
    const Json& list = list_of(*reply, "sockets");
    session.answer(list, render_sockets(list, session.look()));
    return 0;
}

Result<int> config(Session& session, const Arguments& a) {
    Json parameters = Json::object();
    if (!a.words.empty()) {
        const auto number = parse_generation(a.words.front());
        if (!number) return fail(number.error());
        parameters["generation"] = *number;
    }
    auto reply = session.call("Config", parameters);
    if (!reply) return pass_on(reply);
    if (session.json())
        session.answer(*reply, {});
    else
        session.print(reply->value("yaml", ""));
    return 0;
}

Result<int> explain(Session& session, const Arguments& a) {
    auto protocol = parse_protocol(a.words[0]);
    if (!protocol) return pass_on(protocol);
    auto address = Address::parse(a.words[1]);
    if (!address) return pass_on(address);
    auto port = parse_port(a.words[2]);
    if (!port) return pass_on(port);
    Json parameters = {
        {"protocol", to_string(*protocol)}, {"address", to_string(*address)}, {"port", *port}};
    std::string from;
    if (!a.from.empty()) {
        auto client = Endpoint::parse(a.from);
        if (!client) return pass_on(client, "--from");
        if (client->address.family != address->family)
            return fail(Failure::invalid, "--from and ADDRESS are not of one family");
        parameters["from"] = from = to_string(*client);
    }
    auto connected = session.agent();
    if (!connected) {
        auto reply = from_pins(session, connected.error(), [&] {
            return session.world().pins.explain(session.globals().bpffs,
                                                std::string(to_string(*protocol)),
                                                to_string(*address), *port, from);
        });
        if (!reply) return pass_on(reply);
        session.answer(*reply, explanation_lines(session, *reply));
        return said_by_pins(session);
    }
    auto reply = session.call("Explain", parameters);
    if (!reply) return pass_on(reply);
    session.answer(*reply, explanation_lines(session, *reply));
    const Json& agree = field(*reply, "agree");
    if (!agree.is_boolean() || agree.get<bool>()) return 0;
    session.say("explain: the program and the model differ: this is a defect of Sluice");
    return static_cast<int>(Failure::failed);
}

}  // namespace sluice::cli::command

// SPDX-License-Identifier: Apache-2.0
#include "core/explain.h"

#include <algorithm>

#include "sluice/abi.h"

namespace sluice {
namespace {

std::vector<Candidate> sockets_of(const World& world, const Question& question,
                                  const std::string& service) {
    std::vector<Candidate> found;
    for (const Candidate& candidate : world.sockets)
        if (candidate.socket.service == service &&
            candidate.socket.serves(question.protocol, question.to.address.family))
            found.push_back(candidate);
    return found;
}

bool any_usable(const std::vector<Candidate>& candidates) {
    return std::ranges::any_of(candidates, &Candidate::usable);
}

Unavailable policy_of(const World& world, const std::string& service) {
    const auto at = world.policies.find(service);
    return at == world.policies.end() ? Unavailable{} : at->second;
}

// From the service of the binding along its fallbacks to the first with a usable socket.
void serve(Answer& answer, const World& world, const Question& question) {
    std::string service = *answer.service;
    answer.candidates = sockets_of(world, question, service);
    for (int hop = 0; hop <= SLUICE_MAX_FALLBACKS; ++hop) {
        auto candidates = sockets_of(world, question, service);
        if (any_usable(candidates)) {
            answer.outcome = Outcome::assign;
            answer.effect = Effect::assign;
            answer.served_by = service;
            answer.candidates = std::move(candidates);
            return;
        }
        const Unavailable policy = policy_of(world, service);
        if (policy.kind != Unavailable::Kind::fallback) {
            answer.effect = policy.kind == Unavailable::Kind::pass ? Effect::pass : Effect::reject;
            break;
        }
        service = policy.fallback;
        answer.effect = Effect::reject;  // should the chain be too long
    }
    answer.outcome = Outcome::unavailable;
}

const char* word(Outcome outcome) {
    switch (outcome) {
        case Outcome::assign:
            return "assign";
        case Outcome::reject:
            return "reject";
        case Outcome::unavailable:
            return "unavailable";
        case Outcome::pass:
            return "pass";
    }
    return "";
}

const char* word(Effect effect) {
    switch (effect) {
        case Effect::assign:
            return "assign";
        case Effect::reject:
            return "reject";
        case Effect::pass:
            return "pass";
    }
    return "";
}

Json candidate_json(const Candidate& candidate) {
    const bool waits = candidate.socket.role != SocketRole::serving;
    return socket_json(candidate.socket,
                       socket_state(candidate.socket, true, candidate.usable || waits));
}

Json chosen_json(const World& world, std::uint64_t cookie) {
    const auto at = std::ranges::find_if(
        world.sockets, [&](const Candidate& c) { return c.socket.cookie == cookie; });
    if (cookie == 0) return nullptr;
    if (at == world.sockets.end())
        return {{"cookie", cookie_text(cookie)},
                {"local", nullptr},
                {"pid", nullptr},
                {"command", nullptr}};
    return candidate_json(*at);
}

Json considered_json(const std::vector<Considered>& considered) {
    Json list = Json::array();
    for (const auto& [binding, lost] : considered) {
        Json item = binding_json(*binding, false);
        item["wins"] = lost == Lost::no;
        item["why"] =
            lost == Lost::no ? "longest prefix, narrowest port" : std::string(to_string(lost));
        list.push_back(std::move(item));
    }
    return list;
}

const char* kernel_word(const KernelAnswer& kernel) {
    if (kernel.drop) return "reject";
    return kernel.cookie != 0 ? "assign" : "pass";
}

Json kernel_json(const KernelAnswer& kernel) {
    return {{"program_id", kernel.program_id},
            {"verdict", kernel_word(kernel)},
            {"cookie", kernel.cookie == 0 ? Json(nullptr) : Json(cookie_text(kernel.cookie))},
            {"attached", kernel.attached},
            {"same_program", kernel.same_program},
            {"foreign_programs",
             kernel.foreign_programs ? Json(*kernel.foreign_programs) : Json(nullptr)}};
}

Json route_json(const World& world, const Question& question) {
    if (!world.arrives) return nullptr;
    const std::string address = to_string(question.to.address);
    return {{"arrives", *world.arrives},
            {"text", *world.arrives ? "local " + address : "no local route for " + address}};
}

// What to type to change the answer, where that is plain.
Json hint_json(const Question& question, const Answer& model) {
    const std::string protocol(to_string(question.protocol));
    if (model.outcome == Outcome::unavailable)
        return "register a socket that serves " + protocol + " " +
               std::string(to_string(question.to.address.family)) + ", for example\n" +
               "sluicectl register " + *model.service + " --pid PID " + protocol + " ADDRESS PORT";
    if (model.outcome == Outcome::reject &&
        model.considered.front().binding->owner == Owner::runtime)
        return "to open it again: sluicectl unbind " +
               to_string(model.considered.front().binding->match);
    return nullptr;
}

}  // namespace

Answer answer(const World& world, const Question& question) {
    Answer answer;
    answer.considered =
        world.bindings->consider(question.protocol, question.to.address, question.to.port);
    if (answer.considered.empty() || answer.considered.front().lost != Lost::no) return answer;
    const Target& target = answer.considered.front().binding->target;
    switch (target.kind) {
        case Target::Kind::pass:
            break;
        case Target::Kind::reject:
            answer.outcome = Outcome::reject;
            answer.effect = Effect::reject;
            break;
        case Target::Kind::service:
            answer.service = *target.name;
            serve(answer, world, question);
            break;
    }
    return answer;
}

bool agree(const Answer& model, const KernelAnswer& kernel) {
    switch (model.effect) {
        case Effect::reject:
            return kernel.drop;
        case Effect::pass:
            return !kernel.drop && kernel.cookie == 0;
        case Effect::assign:
            break;
    }
    return !kernel.drop && std::ranges::any_of(model.candidates, [&](const Candidate& candidate) {
        return candidate.usable && candidate.socket.cookie == kernel.cookie;
    });
}

Json explain_json(const World& world, const Question& question, const Answer& model,
                  const KernelAnswer& kernel, const std::vector<Warning>& warnings) {
    const bool won = !model.considered.empty() && model.considered.front().lost == Lost::no;
    Json sockets = Json::array();
    for (const Candidate& candidate : model.candidates)
        sockets.push_back(candidate_json(candidate));
    // Sockets of the service that can never serve this lookup explain a refusal.
    Json others = Json::array();
    for (const Candidate& candidate : world.sockets)
        if (model.service && candidate.socket.service == *model.service &&
            !candidate.socket.serves(question.protocol, question.to.address.family))
            others.push_back(candidate_json(candidate));
    return {
        {"protocol", to_string(question.protocol)},
        {"address", to_string(question.to.address)},
        {"port", question.to.port},
        {"from", question.from ? Json(to_string(*question.from)) : Json(nullptr)},
        {"verdict", word(model.outcome)},
        {"effect", kernel_word(kernel)},
        {"service", model.service ? Json(*model.service) : Json(nullptr)},
        {"served_by", model.served_by ? Json(*model.served_by) : Json(nullptr)},
        {"binding", won ? binding_json(*model.considered.front().binding, false) : Json(nullptr)},
        {"considered", considered_json(model.considered)},
        {"unavailable",
         model.service ? Json(to_string(policy_of(world, *model.service))) : Json(nullptr)},
        {"socket", chosen_json(world, kernel.cookie)},
        {"sockets", std::move(sockets)},
        {"other_sockets", std::move(others)},
        {"generation", world.generation},
        {"since", world.since == 0 ? Json(nullptr) : Json(world.since)},
        {"unavailable_since",
         world.unavailable_since == 0 ? Json(nullptr) : Json(world.unavailable_since)},
        {"change", world.change},
        {"route", route_json(world, question)},
        {"warnings", warnings_json(warnings)},
        {"hint", hint_json(question, model)},
        {"kernel", kernel_json(kernel)},
        {"model", {{"verdict", word(model.outcome)}, {"effect", word(model.effect)}}},
        {"agree", agree(model, kernel)}};
}

}  // namespace sluice

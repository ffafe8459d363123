// SPDX-License-Identifier: Apache-2.0
// Why a lookup gets its answer: the model's verdict with its reasons, held against the kernel's.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "core/bindings.h"
#include "core/config.h"
#include "core/plan.h"
#include "core/registered_socket.h"
#include "core/views.h"

namespace sluice {

struct Question {
    Protocol protocol = Protocol::tcp;
    Endpoint to;
    std::optional<Endpoint> from;
};

struct Candidate {
    RegisteredSocket socket;
    bool usable = false;  // it serves, and the kernel would accept it for this protocol and family
};

// Everything that the model knows, about one moment.
struct World {
    const Bindings* bindings = nullptr;           // what answers, both owners
    std::map<std::string, Unavailable> policies;  // of the running generation
    std::vector<Candidate>
        sockets;  // of every service, of the question's protocol and family or not
    std::uint64_t generation = 0;
    std::int64_t since = 0;       // when it was made active, seconds since 1970
    Json change;                  // who made it and the note, as `status` shows them; null: unknown
    std::optional<bool> arrives;  // the kernel delivers the address to this host
    std::int64_t unavailable_since = 0;  // the winning service, seconds since 1970; 0: unknown
};

enum class Outcome : std::uint8_t { assign, reject, unavailable, pass };
enum class Effect : std::uint8_t { assign, reject, pass };

struct Answer {
    Outcome outcome = Outcome::pass;
    Effect effect = Effect::pass;
    std::optional<std::string> service;    // of the winning binding
    std::optional<std::string> served_by;  // whose sockets answer: the service or a fallback
    std::vector<Considered> considered;    // the winner first
    std::vector<Candidate>
        candidates;  // sockets of `served_by` that fit, or of `service` if none does
};

// The model's answer, from the same rules as bpf/dispatch.bpf.c, written for people.
Answer answer(const World& world, const Question& question);

// What the kernel's program said.
struct KernelAnswer {
    bool drop = false;
    std::uint64_t cookie = 0;  // of the chosen socket, 0: none
    std::uint32_t program_id = 0;
    bool same_program = true;  // the program that was run is the attached one
    bool attached = true;
    std::optional<std::vector<std::uint32_t>> foreign_programs;  // ids, when they are known
};

bool agree(const Answer& model, const KernelAnswer& kernel);

// The `explain` document (sluicectl(1)).
Json explain_json(const World& world, const Question& question, const Answer& model,
                  const KernelAnswer& kernel, const std::vector<Warning>& warnings);

}  // namespace sluice

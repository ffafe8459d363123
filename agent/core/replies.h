// SPDX-License-Identifier: Apache-2.0
// Can a service's UDP sockets answer from the address and port that was asked? A client takes no
// other answer. TCP needs nothing: the kernel does it.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "core/binding.h"
#include "core/plan.h"
#include "core/registered_socket.h"

namespace sluice {

// One warning for each way in which sockets of the service cannot, with a binding that asks for it:
// codes "udp-reply-port", "udp-reply-address", "udp-reply-nonlocal" (ip(7), ipv6(7)). `sockets` and
// `bindings` are the service's; samples of the bindings are enough.
std::vector<Warning> judge_replies(const std::string& service,
                                   std::span<const RegisteredSocket> sockets,
                                   std::span<const Match> bindings);

// Keeps the match if it says something new: of each family one with several ports and one with
// several addresses, two single ports that differ and two single addresses that differ. Whatever a
// socket is bound to, if any binding asks for another port or address, one of these does.
void add_udp_sample(std::vector<Match>& samples, const Match& match);

}  // namespace sluice

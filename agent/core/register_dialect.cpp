// SPDX-License-Identifier: Apache-2.0
#include "core/register_dialect.h"

#include <utility>

#include "core/binding.h"

namespace sluice {

Result<std::optional<Registration>> RegistrationReader::feed(std::string_view message,
                                                             std::size_t descriptors) {
    started_ = true;
    descriptors_ += descriptors;
    auto result = judge(message);
    if (result && !*result) return result;
    label_.clear();
    descriptors_ = 0;
    started_ = false;
    return result;
}

Result<std::optional<Registration>> RegistrationReader::judge(std::string_view message) {
    if (message.empty()) return fail(Failure::invalid, "an empty message");
    if (descriptors_ > register_max_descriptors)
        return fail(Failure::invalid, std::to_string(descriptors_) +
                                          " descriptors in one registration; at most " +
                                          std::to_string(register_max_descriptors));
    const auto end = message.find('#');
    if (end != std::string_view::npos && end + 1 != message.size())
        return fail(Failure::invalid, "'#' must be the last character of a message");
    const auto piece = message.substr(0, end);
    if (label_.size() + piece.size() > register_max_label)
        return fail(Failure::invalid,
                    "a label longer than " + std::to_string(register_max_label) + " characters");
    label_ += piece;
    if (end == std::string_view::npos) return std::optional<Registration>();

    auto name = parse_service_name(label_);
    if (!name) return pass_on(name, "label");
    if (descriptors_ == 0)
        return fail(Failure::invalid, "no descriptors came with '" + label_ + "#'");
    return Registration{std::move(*name), descriptors_};
}

std::string register_answer(const Result<>& result) {
    if (result) return "OK";
    std::string answer = "ERR " + result.error().message();
    for (char& c : answer)
        if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = ' ';
    if (answer.size() <= register_max_answer) return answer;
    std::size_t end = register_max_answer;
    while (end > 0 && (static_cast<unsigned char>(answer[end]) & 0xc0) == 0x80) --end;  // UTF-8
    answer.resize(end);
    return answer;
}

}  // namespace sluice

// SPDX-License-Identifier: Apache-2.0
#include "core/unit_name.h"

#include <algorithm>

#include "core/text.h"

namespace sluice {
namespace {

constexpr std::size_t longest_unit = 255;  // UNIT_NAME_MAX of systemd, without its NUL

bool may_be_in_a_unit_name(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           std::string_view(":-_.\\@").find(c) != std::string_view::npos;
}

bool has_processes(std::string_view name) {
    return name.ends_with(".service") || name.ends_with(".scope");
}

std::unexpected<Error> refuse(std::string_view text, const std::string& why,
                              const std::string& hint) {
    return fail(Error(Failure::invalid, quoted(text) + " " + why).hint(hint));
}

}  // namespace

Result<std::string> parse_unit_name(std::string_view text) {
    const bool plain = !text.empty() && text.size() <= longest_unit &&
                       std::ranges::all_of(text, may_be_in_a_unit_name);
    if (!plain)
        return refuse(text, "is not the name of a unit",
                      "one unit by its whole name: nginx.service, web@1.service");
    if (text.ends_with(".socket"))
        return refuse(text, "is a socket unit, which has no processes",
                      "sluicectl register takes what a unit with Sockets= is passed");
    if (!has_processes(text))
        return refuse(text, "is neither a .service nor a .scope",
                      "did you mean '" + std::string(text) + ".service'?");
    const auto suffix = text.rfind('.');
    if (suffix == 0 || text.front() == '@')
        return refuse(text, "is not the name of a unit", "for example: nginx.service");
    if (text[suffix - 1] == '@')
        return refuse(text, "is a template, and runs only as an instance",
                      "name the instance: " + std::string(text.substr(0, suffix)) + "1.service");
    return std::string(text);
}

bool is_cgroup_of_unit(std::string_view directory, std::string_view unit) {
    if (directory == unit) return true;
    return directory.starts_with("_") && directory.substr(1) == unit;
}

bool is_slice(std::string_view directory) { return directory.ends_with(".slice"); }

}  // namespace sluice

// SPDX-License-Identifier: Apache-2.0
#include "core/config_dataplane.h"

#include <charconv>

namespace sluice {
namespace {

constexpr std::string_view suffixes = "KMG";
constexpr std::uint64_t most = std::uint64_t{1} << 40U;

}  // namespace

Result<std::uint64_t> parse_size(std::string_view text) {
    const auto wrong = [&] {
        return fail(Error(Failure::invalid, "'" + std::string(text) + "' is not a size")
                        .hint("bytes, or a whole number of K, M or G: 256M"));
    };
    std::uint64_t number = 0;
    const char* end = text.data() + text.size();
    const auto [rest, problem] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (problem != std::errc{} || (text.front() == '0' && text.size() > 1) || end - rest > 1)
        return wrong();
    unsigned shift = 0;
    if (rest != end) {
        const std::size_t suffix = suffixes.find(*rest);
        if (suffix == std::string_view::npos) return wrong();
        shift = 10 * (static_cast<unsigned>(suffix) + 1);
    }
    if (number > most >> shift)
        return fail(Failure::invalid, "'" + std::string(text) + "' is more than 1024G");
    return number << shift;
}

std::string size_text(std::uint64_t bytes) {
    std::size_t suffix = 0;
    while (bytes != 0 && bytes % 1024 == 0 && suffix < suffixes.size()) {
        bytes /= 1024;
        ++suffix;
    }
    return std::to_string(bytes) + (suffix == 0 ? "" : std::string(1, suffixes[suffix - 1]));
}

void read_dataplane(ConfigReader& reader, const ConfigFile& file, const YamlNode& node,
                    DataplaneConfig& config) {
    reader.take_map(file, node, "dataplane",
                    {{"index",
                      [&](const YamlNode&, const YamlNode& v) {
                          if (v.is_scalar() && (v.text == "on" || v.text == "off"))
                              config.index = v.text == "on";
                          else
                              reader.error(file, v, "index is on or off");
                      }},
                     {"memory", [&](const YamlNode&, const YamlNode& v) {
                          const auto text = reader.text(file, v, "memory");
                          if (!text) return;
                          if (auto size = parse_size(*text))
                              config.memory = *size;
                          else
                              reader.error(file, v, size.error());
                      }}});
}

std::string dataplane_yaml(const DataplaneConfig& config) {
    if (config == DataplaneConfig{}) return "";
    return std::string("dataplane: {index: ") + (config.index ? "on" : "off") +
           ", memory: " + size_text(config.memory) + "}\n";
}

}  // namespace sluice

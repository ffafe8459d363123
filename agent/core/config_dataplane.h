// SPDX-License-Identifier: Apache-2.0
// `dataplane:` of the config: {index: on|off, memory: SIZE}.
#pragma once

#include "core/config.h"
#include "core/config_reader.h"

namespace sluice {

// Sizes are whole numbers of bytes, or of KiB, MiB or GiB with the suffix K, M or G.
Result<std::uint64_t> parse_size(std::string_view text);
std::string size_text(std::uint64_t bytes);  // as parse_size() takes it: "256M"

void read_dataplane(ConfigReader& reader, const ConfigFile& file, const YamlNode& node,
                    DataplaneConfig& config);
// "" when all is as it would be without.
std::string dataplane_yaml(const DataplaneConfig& config);

}  // namespace sluice

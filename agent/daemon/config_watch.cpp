// SPDX-License-Identifier: Apache-2.0
#include "daemon/config_watch.h"

#include <algorithm>

#include "core/config_bundle.h"
#include "sys/clock.h"
#include "sys/files.h"

namespace sluice {
namespace {

// Times of files may be this coarse: what was written later than this before it was read may be
// written again without a new time.
constexpr std::int64_t coarsest = 2;  // seconds

// The directory in which a pattern's matches come and go.
std::string directory_of_pattern(const std::string& pattern) {
    const std::string fixed = pattern.substr(0, pattern.find_first_of("*?["));
    const auto slash = fixed.rfind('/');
    return slash == std::string::npos ? "." : fixed.substr(0, slash);
}

std::int64_t nanoseconds(const timespec& time) {
    return static_cast<std::int64_t>(time.tv_sec) * 1'000'000'000 + time.tv_nsec;
}

}  // namespace

ConfigWatch::Stamp ConfigWatch::stamp_of(const std::string& path) {
    struct stat info{};
    if (::stat(path.c_str(), &info) != 0) return {};
    return {true,
            static_cast<std::int64_t>(info.st_dev),
            static_cast<std::int64_t>(info.st_ino),
            static_cast<std::int64_t>(info.st_size),
            nanoseconds(info.st_mtim),
            nanoseconds(info.st_ctim)};
}

CheckedConfig ConfigWatch::read() {
    RealConfigFiles files(path_);
    RecordedFiles recorded(files);
    CheckedConfig checked = check_config(recorded, path_);
    stamps_.clear();
    stamps_[path_] = stamp_of(path_);
    for (const auto& [name, text] : recorded.bundle().files)
        stamps_[files.path_of(name)] = stamp_of(files.path_of(name));
    for (const auto& [pattern, paths] : recorded.bundle().patterns) {
        const std::string directory = files.path_of(directory_of_pattern(pattern));
        stamps_[directory] = stamp_of(directory);
    }
    const std::int64_t safe = (unix_time() - coarsest) * 1'000'000'000;
    fresh_ = std::ranges::any_of(stamps_, [&](const auto& each) {
        return std::max(each.second.modified, each.second.changed) > safe;
    });
    content_ = checked.content;
    read_ = true;
    return checked;
}

bool ConfigWatch::looks_the_same() const {
    return std::ranges::all_of(
        stamps_, [](const auto& each) { return stamp_of(each.first) == each.second; });
}

std::uint64_t ConfigWatch::content() {
    if (!read_ || fresh_ || !looks_the_same()) (void)read();
    return content_;
}

}  // namespace sluice

// SPDX-License-Identifier: Apache-2.0
#include "daemon/state_store.h"

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <vector>

#include "sys/files.h"

namespace sluice {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t largest_file = std::size_t{1} << 30U;  // 1M bindings take some 60 MB
constexpr std::size_t kept = 10;

std::optional<std::uint64_t> number_in(std::string_view text) {
    while (text.ends_with('\n')) text.remove_suffix(1);
    std::uint64_t number = 0;
    const auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (problem != std::errc{} || end != text.data() + text.size()) return std::nullopt;
    return number;
}

// Numbers of the generations that are stored, highest first.
std::vector<std::uint64_t> stored(const std::string& directory) {
    std::vector<std::uint64_t> numbers;
    std::error_code error;
    for (const auto& entry : fs::directory_iterator(directory, error))
        if (const auto number = number_in(entry.path().filename().string()))
            numbers.push_back(*number);
    std::ranges::sort(numbers, std::greater{});
    return numbers;
}

}  // namespace

Result<StateStore> StateStore::open(const std::string& directory) {
    if (auto ok = make_directory(directory, 0700); !ok) return pass_on(ok);
    if (auto ok = make_directory(directory + "/generations", 0700); !ok) return pass_on(ok);
    return StateStore(directory);
}

std::string StateStore::path_of(std::uint64_t number) const {
    return directory_ + "/generations/" + std::to_string(number);
}

Result<> StateStore::save(const Generation& generation) {
    return write_file_durably(path_of(generation.number), serialize(generation), 0600);
}

bool StateStore::holds(std::uint64_t number) const {
    std::error_code ignored;
    return fs::exists(path_of(number), ignored);
}

void StateStore::drop(std::uint64_t number) const {
    std::error_code ignored;  // a file too many does no harm
    fs::remove(path_of(number), ignored);
}

Result<> StateStore::set_current(std::uint64_t number) {
    auto ok = write_file_durably(directory_ + "/current", std::to_string(number) + "\n", 0600);
    if (ok) prune(number);
    return ok;
}

void StateStore::prune(std::uint64_t current) const {
    const auto numbers = stored(directory_ + "/generations");
    std::error_code ignored;  // a file too many does no harm
    for (std::size_t i = kept; i < numbers.size(); ++i)
        if (numbers[i] != current) fs::remove(path_of(numbers[i]), ignored);
}

Result<Generation> StateStore::load(std::uint64_t number) {
    const std::string path = path_of(number);
    auto text = read_file(path, largest_file);
    if (!text) return pass_on(text);
    auto generation = parse_generation(*text);
    if (generation && generation->number == number) return generation;
    std::error_code ignored;  // it is not trusted either way
    fs::rename(path, path + ".damaged", ignored);
    Error error = generation ? Error(Failure::failed, "it says it is another generation")
                             : std::move(generation).error();
    return fail(std::move(error).during("read " + path + " (set aside as .damaged)"));
}

std::optional<std::uint64_t> StateStore::current() const {
    const auto text = read_file(directory_ + "/current", 64);
    if (!text) return std::nullopt;
    return number_in(*text);
}

std::optional<std::uint64_t> StateStore::newest() const {
    const auto numbers = stored(directory_ + "/generations");
    if (numbers.empty()) return std::nullopt;
    return numbers.front();
}

std::uint64_t StateStore::highest() const {
    return std::max(newest().value_or(0), current().value_or(0));
}

bool StateStore::detached() const {
    std::error_code ignored;
    return fs::exists(directory_ + "/detached", ignored);
}

Result<> StateStore::set_detached(bool detached) {
    const std::string path = directory_ + "/detached";
    if (detached) return write_file_durably(path, "", 0600);
    return remove_file_durably(path);
}

}  // namespace sluice

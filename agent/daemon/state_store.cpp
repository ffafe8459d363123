// SPDX-License-Identifier: Apache-2.0
#include "daemon/state_store.h"

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <filesystem>
#include <vector>

#include <spdlog/spdlog.h>

#include "sys/files.h"

namespace sluice {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t largest_file = std::size_t{1} << 30U;  // 1M bindings take some 60 MB
constexpr std::size_t tables_in_memory = 2;

std::optional<std::uint64_t> number_in(std::string_view text) {
    while (text.ends_with('\n')) text.remove_suffix(1);
    std::uint64_t number = 0;
    const auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (problem != std::errc{} || end != text.data() + text.size()) return std::nullopt;
    return number;
}

// Files whose name is a number.
Result<std::vector<std::uint64_t>> numbers_in(const std::string& directory) {
    std::vector<std::uint64_t> numbers;
    std::error_code error;
    for (fs::directory_iterator at(directory, error), end; !error && at != end; at.increment(error))
        if (const auto number = number_in(at->path().filename().string()))
            numbers.push_back(*number);
    if (error) return fail_errno(error.value(), "list " + directory);
    std::ranges::sort(numbers);
    return numbers;
}

// Of the damaged ones too: their numbers are in logs.
std::uint64_t highest_set_aside(const std::string& directory) {
    std::uint64_t highest = 0;
    std::error_code error;
    for (const auto& entry : fs::directory_iterator(directory, error))
        if (entry.path().extension() == ".damaged")
            highest = std::max(highest, number_in(entry.path().stem().string()).value_or(0));
    return highest;
}

// False when it is still there: it then stays known, so that nothing it needs goes before it does.
bool removed(const std::string& path) {
    std::error_code error;
    fs::remove(path, error);
    return !error;
}

// It is not trusted any more, and kept for whoever wants to know.
Error set_aside(const std::string& path, Error error) {
    std::error_code ignored;
    fs::rename(path, path + ".damaged", ignored);
    return std::move(error).during("read " + path + " (set aside as .damaged)");
}

Result<StoredGeneration> read_generation(const std::string& path, std::uint64_t number,
                                         std::size_t& bytes) {
    auto text = read_file(path, largest_file);
    if (!text) return pass_on(text);
    bytes = text->size();
    auto stored = parse_generation(*text);
    if (!stored) return fail(set_aside(path, std::move(stored).error()));
    if (stored->generation.number != number)
        return fail(set_aside(path, Error(Failure::failed, "it says it is another generation")));
    return stored;
}

}  // namespace

Result<StateStore> StateStore::open(const std::string& directory, StoreLimits limits) {
    for (const std::string& each : {directory, directory + "/generations", directory + "/tables"})
        if (auto ok = make_directory(each, 0700); !ok) return pass_on(ok);
    StateStore store(directory, limits);
    if (auto ok = store.read_all(); !ok) return pass_on(ok);
    return store;
}

Result<> StateStore::read_all() {
    auto tables = numbers_in(directory_ + "/tables");
    auto generations = numbers_in(directory_ + "/generations");
    for (auto* listed : {&tables, &generations})
        if (!*listed) return pass_on(*listed);
    for (const std::uint64_t number : *tables) {
        std::error_code unknown;
        const auto bytes = fs::file_size(table_path(number), unknown);
        tables_[number] = unknown ? 0 : bytes;
    }
    for (const std::uint64_t number : *generations) {
        auto file = read_record(number);
        if (file) {
            files_[number] = std::move(*file);
            continue;
        }
        spdlog::error("a kept generation is lost: {}", file.error().message());
        // One that is there, and could not be read, may need any of them.
        if (!is_lost(file.error())) spared_.insert(tables->begin(), tables->end());
    }
    return {};
}

Result<StateStore::File> StateStore::read_record(std::uint64_t number) const {
    File file;
    auto stored = read_generation(path_of(number), number, file.bytes);
    if (!stored) return pass_on(stored);
    // Dropping one may end between its file and its table, or be undone in part by a loss of power.
    if (stored->config.number != 0 && !tables_.contains(stored->config.number))
        return fail(set_aside(path_of(number), Error(Failure::failed, "its bindings are gone")));
    file.record = record_of(stored->generation);
    file.table = stored->config;
    return file;
}

std::string StateStore::path_of(std::uint64_t number) const {
    return directory_ + "/generations/" + std::to_string(number);
}

std::string StateStore::table_path(std::uint64_t number) const {
    return directory_ + "/tables/" + std::to_string(number);
}

void StateStore::remember_table(const Bindings& bindings, const TableRef& table) {
    known_.emplace_front(bindings, table);
    if (known_.size() > tables_in_memory) known_.pop_back();
}

Result<TableRef> StateStore::store_table(const Bindings& bindings) {
    if (bindings.empty()) return TableRef{};
    const auto known =
        std::ranges::find_if(known_, [&](const auto& each) { return each.first.shares(bindings); });
    if (known != known_.end() && tables_.contains(known->second.number)) return known->second;
    const std::string text = serialize_table(bindings);
    const TableRef table{tables_.empty() ? 1 : tables_.rbegin()->first + 1, checksum_of(text)};
    if (auto ok = write_file_durably(table_path(table.number), text, 0600); !ok) {
        (void)removed(table_path(table.number));  // the next one has its number
        return pass_on(ok);
    }
    tables_[table.number] = text.size();
    remember_table(bindings, table);
    return table;
}

Result<> StateStore::save(const Generation& generation) {
    auto table = store_table(generation.config);
    if (!table) return pass_on(table);
    const std::string path = path_of(generation.number);
    const std::string text = serialize(generation, *table);
    const bool replaces = holds(generation.number);
    const auto before = replaces ? read_file(path, largest_file) : Result<std::string>();
    const Result<> ok = before ? write_file_durably(path, text, 0600) : fail(before.error());
    if (ok)
        files_[generation.number] = {record_of(generation), *table, text.size()};
    else
        take_back(generation.number, *table, before);
    if (replaces || !ok) drop_unused_tables();
    return ok;
}

// What could not be stored may be in place all the same, only not surely so.
void StateStore::take_back(std::uint64_t number, const TableRef& table,
                           const Result<std::string>& before) {
    if (!holds(number))
        (void)removed(path_of(number));  // the next one has its number
    else if (!before || !write_file_durably(path_of(number), *before, 0600))
        spared_.insert(table.number);  // nobody knows which of the two is there
}

void StateStore::drop(std::uint64_t number) {
    if (removed(path_of(number))) files_.erase(number);
    drop_unused_tables();
}

void StateStore::drop_unused_tables() {
    std::set<std::uint64_t> used = spared_;
    for (const auto& [number, file] : files_) used.insert(file.table.number);
    std::erase_if(tables_, [&](const auto& table) {
        return !used.contains(table.first) && removed(table_path(table.first));
    });
}

Result<> StateStore::set_current(std::uint64_t number) {
    auto ok = write_file_durably(directory_ + "/current", std::to_string(number) + "\n", 0600);
    if (ok) prune(number);
    return ok;
}

// From the newest back: what was stored between a generation and the one it was made from never
// answered.
std::vector<Record> StateStore::history(std::uint64_t current) const {
    std::vector<Record> records;
    std::uint64_t up_to = current;
    for (auto at = files_.rbegin(); at != files_.rend(); ++at) {
        if (at->first > up_to) continue;
        records.push_back(at->second.record);
        up_to = at->second.record.base;
    }
    std::ranges::reverse(records);
    return records;
}

// What must be there whatever the limits are: what answers, what it returns to, where a rollback
// goes. And as many others as the limits allow.
std::set<std::uint64_t> StateStore::wanted(std::uint64_t current) const {
    const std::vector<Record> records = history(current);
    std::set<std::uint64_t> needed{current}, kept;
    if (const auto target = rollback_target(records)) needed.insert(*target);
    std::size_t config = 0, runtime = 0, bytes = 0;
    std::set<std::uint64_t> tables;
    const auto take = [&](std::uint64_t number) {
        const auto at = files_.find(number);
        if (at == files_.end()) return true;
        const TableRef& table = at->second.table;
        std::size_t more = at->second.bytes;
        if (!tables.contains(table.number) && tables_.contains(table.number))
            more += tables_.at(table.number);
        if (bytes + more > limits_.bytes && !needed.contains(number)) return false;
        bytes += more;
        tables.insert(table.number);
        kept.insert(number);
        return true;
    };
    for (const Record& record : records)
        if (record.number == current && record.pending) needed.insert(record.return_to);
    for (const std::uint64_t number : needed) take(number);
    for (auto record = records.rbegin(); record != records.rend(); ++record) {
        std::size_t& count = record->owner == Owner::config ? config : runtime;
        const std::size_t most =
            record->owner == Owner::config ? limits_.of_config : limits_.of_runtime;
        if (++count > most || kept.contains(record->number)) continue;
        if (!take(record->number)) break;
    }
    return kept;
}

void StateStore::prune(std::uint64_t current) {
    const std::set<std::uint64_t> kept = wanted(current);
    std::erase_if(files_, [&](const auto& file) {
        // Numbers above are of no history that answers; the next change may be made meanwhile.
        if (kept.contains(file.first) || file.first > current) return false;
        return removed(path_of(file.first));
    });
    drop_unused_tables();
}

Result<Bindings> StateStore::load_table(const TableRef& table) {
    if (table.number == 0) return Bindings();
    const auto known = std::ranges::find(known_, table, &std::pair<Bindings, TableRef>::second);
    if (known != known_.end()) return known->first;
    const std::string path = table_path(table.number);
    auto text = read_file(path, largest_file);
    if (!text) return pass_on(text);
    // The next change would be given the number of another generation's bindings.
    if (checksum_of(*text) != table.checksum)
        return fail(Failure::failed, "read " + path + ": it has another generation's bindings");
    auto bindings = parse_table(*text);
    if (!bindings) return fail(set_aside(path, std::move(bindings).error()));
    remember_table(*bindings, table);
    return bindings;
}

bool StateStore::is_lost(const Error& error) { return error.code() == 0 || error.code() == ENOENT; }

Result<Generation> StateStore::load(std::uint64_t number) {
    std::size_t bytes = 0;
    auto stored = read_generation(path_of(number), number, bytes);
    if (!stored) {
        if (is_lost(stored.error())) files_.erase(number);
        return pass_on(stored);
    }
    auto config = load_table(stored->config);
    if (!config) {
        if (is_lost(config.error())) files_.erase(number);
        return pass_on(config);
    }
    files_[number] = {record_of(stored->generation), stored->config, bytes};
    stored->generation.config = std::move(*config);
    return std::move(stored->generation);
}

std::optional<std::uint64_t> StateStore::current() const {
    const auto text = read_file(directory_ + "/current", 64);
    if (!text) return std::nullopt;
    return number_in(*text);
}

std::optional<std::uint64_t> StateStore::newest() const {
    if (files_.empty()) return std::nullopt;
    return files_.rbegin()->first;
}

std::uint64_t StateStore::highest() const {
    const std::uint64_t set_aside = highest_set_aside(directory_ + "/generations");
    return std::max({newest().value_or(0), set_aside, current().value_or(0)});
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

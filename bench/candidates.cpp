// SPDX-License-Identifier: Apache-2.0
#include "candidates.h"

#include <algorithm>
#include <baseline.skel.h>
#include <filesystem>
#include <floor.skel.h>
#include <fstream>
#include <iterator>
#include <map>
#include <netinet/in.h>
#include <replay_baseline.skel.h>
#include <replay_dispatch.skel.h>
#include <replay_floor.skel.h>
#include <set>
#include <sys/socket.h>

#include <bpf/bpf.h>

#include "baseline.h"

namespace sluice::bench {
namespace {

template <class ElfBytes>
Elf elf_of(ElfBytes embedded) {
    std::size_t size = 0;
    const void* data = embedded(&size);
    return {static_cast<const std::byte*>(data), size};
}

Result<Fd> listener(Family family) {
    const bool six = family == Family::ipv6;
    Fd fd(::socket(six ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, IPPROTO_TCP));
    if (!fd) return fail_errno(errno, "make a socket");
    const int on = 1;
    if (six) ::setsockopt(fd.get(), IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
    if (::listen(fd.get(), 1) != 0) return fail_errno(errno, "listen");
    return fd;
}

Result<std::uint64_t> cookie_of(const Fd& socket) {
    std::uint64_t cookie = 0;
    socklen_t size = sizeof cookie;
    if (::getsockopt(socket.get(), SOL_SOCKET, SO_COOKIE, &cookie, &size) != 0)
        return fail_errno(errno, "ask for a socket's cookie");
    return cookie;
}

std::string service_name(std::uint32_t service) { return "service-" + std::to_string(service); }

Result<Bindings> bindings_of(const Table& table, std::uint32_t services) {
    std::vector<SharedText> names;
    for (std::uint32_t i = 0; i < services; ++i) names.push_back(SharedText(service_name(i)));
    std::vector<Binding> all;
    for (const Entry& entry : table.entries) {
        Binding binding;
        binding.match = {Protocol::tcp, entry.prefix,
                         entry.port == 0 ? Ports::any() : Ports::one(entry.port)};
        binding.target = Target::service(names[entry.service]);
        all.push_back(std::move(binding));
    }
    return Bindings::make(std::move(all));
}

kernel::NewSocket describe(const Listeners& listeners, std::size_t service) {
    kernel::NewSocket socket;
    socket.fd = listeners.sockets[service].get();
    socket.cookie = listeners.cookies[service];
    socket.family = listeners.family;
    socket.local.address.family = listeners.family;
    return socket;
}

// One way of answering, as it is and with replay.h, over the dispatcher's maps and counters.
Result<Candidate> load_way(const kernel::Dispatcher& dispatcher, std::string name, Elf plain,
                           Elf replayed, std::uint32_t answer_by, std::uint32_t tell) {
    const sluice_constants constants{0, answer_by, tell};
    const std::string& directory = dispatcher.directory();
    auto program = kernel::load_copy({plain}, directory, constants, kernel::Counting::shared);
    if (!program) return pass_on(program, name);
    auto with_keys = kernel::load_copy({replayed}, directory, constants, kernel::Counting::shared);
    if (!with_keys) return pass_on(with_keys, name + " with replay.h");
    auto replay = Replay::open(std::move(with_keys->program));
    if (!replay) return pass_on(replay, name);
    return Candidate{std::move(name), std::move(program->program), std::move(*replay), tell != 0};
}

Result<std::vector<std::byte>> read_bytes(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    const std::string text{std::istreambuf_iterator<char>(file), {}};
    if (!file) return fail(Failure::invalid, "cannot read " + path);
    const auto all = std::as_bytes(std::span(text));
    return std::vector<std::byte>(all.begin(), all.end());
}

baseline_key key_of(const Entry& entry) {
    const bool four = entry.prefix.address.family == Family::ipv4;
    const auto& from = entry.prefix.address.bytes;
    baseline_key key{};
    key.prefixlen = BASELINE_HEAD_BITS + entry.prefix.length;
    if (four) key.prefixlen += BASELINE_MAPPED_BITS;
    key.protocol = IPPROTO_TCP;
    key.port = entry.port;
    if (four) {
        key.address[10] = key.address[11] = 0xff;
        std::copy_n(from.begin(), 4, key.address + 12);
    } else {
        std::ranges::copy(from, key.address);
    }
    return key;
}

Result<> fill_bindings(int map, const Table& table, std::uint32_t services, bool misplace) {
    std::vector<baseline_key> keys;
    std::vector<baseline_value> values;
    for (const Entry& entry : table.entries) {
        keys.push_back(key_of(entry));
        const bool wrong = misplace && values.empty();
        values.push_back({(entry.service + (wrong ? 1U : 0U)) % services, keys.back().prefixlen});
    }
    auto count = static_cast<__u32>(keys.size());
    if (bpf_map_update_batch(map, keys.data(), values.data(), &count, nullptr) != 0)
        return fail_errno(errno, "fill the baseline's trie");
    return {};
}

Result<> fill_sockets(int map, const Listeners& listeners, std::size_t count) {
    for (__u32 slot = 0; slot < count; ++slot) {
        const auto fd = static_cast<std::uint64_t>(listeners.sockets[slot].get());
        if (bpf_map_update_elem(map, &slot, &fd, BPF_ANY) != 0)
            return fail_errno(errno, "put a socket in a map");
    }
    return {};
}

Result<Candidate> make_candidate(std::string name, const char* program, const Object& plain,
                                 const Object& replayed) {
    auto as_it_is = plain.program(program);
    if (!as_it_is) return pass_on(as_it_is);
    auto with_keys = replayed.program(program);
    if (!with_keys) return pass_on(with_keys);
    auto replay = Replay::open(std::move(*with_keys));
    if (!replay) return pass_on(replay);
    return Candidate{std::move(name), std::move(*as_it_is), std::move(*replay), false};
}

}  // namespace

Result<Listeners> Listeners::open(Family family, std::uint32_t count) {
    Listeners listeners{.family = family, .sockets = {}, .cookies = {}};
    for (std::uint32_t i = 0; i < count; ++i) {
        auto socket = listener(family);
        if (!socket) return pass_on(socket);
        auto cookie = cookie_of(*socket);
        if (!cookie) return pass_on(cookie);
        listeners.sockets.push_back(std::move(*socket));
        listeners.cookies.push_back(*cookie);
    }
    return listeners;
}

Result<OtherBuild> OtherBuild::read(const std::string& plain, const std::string& replay) {
    auto as_it_is = read_bytes(plain), with_keys = read_bytes(replay);
    if (!as_it_is) return pass_on(as_it_is);
    if (!with_keys) return pass_on(with_keys);
    const std::string file = std::filesystem::path(plain).filename();
    return OtherBuild{file.substr(0, file.find('.')), *std::move(as_it_is), *std::move(with_keys)};
}

Result<Ours> Ours::open(const std::string& directory, const Table& table,
                        const Listeners& listeners, const std::vector<OtherBuild>& others) {
    Ours ours(directory);
    auto plane = kernel::Dataplane::open({.directory = directory});
    if (!plane) return pass_on(plane, "load the dispatcher");
    ours.plane_ = std::move(*plane);
    if (auto ok = ours.fill(table, listeners); !ok) return pass_on(ok, "fill the dispatcher");
    const kernel::Dispatcher& dispatcher = ours.plane_->dispatcher();
    if (!dispatcher.maps().by_index()) return fail(Failure::failed, "the index does not answer");
    const Elf own = kernel::ProgramImage::dispatcher().elf;
    const Elf replayed = elf_of(replay_dispatch__elf_bytes);
    const auto add = [&](std::vector<Candidate>& list, std::string name, std::uint32_t by,
                         std::uint32_t tell, Elf plain, Elf replay) -> Result<> {
        auto made = load_way(dispatcher, std::move(name), plain, replay, by, tell);
        if (!made) return pass_on(made);
        list.push_back(std::move(*made));
        return {};
    };
    const auto end = SLUICE_TELL_AND_END;
    if (auto ok = add(ours.candidates_, "index", SLUICE_BY_CONTROL, 0, own, replayed); !ok)
        return pass_on(ok);
    if (auto ok = add(ours.candidates_, "tries", SLUICE_BY_TRIES, 0, own, replayed); !ok)
        return pass_on(ok);
    for (const OtherBuild& other : others)
        if (auto ok =
                add(ours.candidates_, other.name, SLUICE_BY_CONTROL, 0, other.plain, other.replay);
            !ok)
            return pass_on(ok);
    if (auto ok = add(ours.finds_, "index find", SLUICE_BY_INDEX, end, own, replayed); !ok)
        return pass_on(ok);
    if (auto ok = add(ours.finds_, "tries find", SLUICE_BY_TRIES, end, own, replayed); !ok)
        return pass_on(ok);
    return ours;
}

Result<> Ours::fill(const Table& table, const Listeners& listeners) {
    const auto services = static_cast<std::uint32_t>(listeners.sockets.size());
    auto bindings = bindings_of(table, services);
    if (!bindings) return pass_on(bindings);
    std::map<std::string, ServiceConfig> configured;
    for (std::uint32_t i = 0; i < services; ++i) configured.try_emplace(service_name(i));
    const Bindings none;
    auto stats =
        plane_->apply({.generation = 1, .from = &none, .to = &*bindings, .services = &configured});
    if (!stats) return pass_on(stats);
    if (auto ok = settle(services); !ok) return ok;
    for (std::uint32_t i = 0; i < services; ++i) {
        auto added = plane_->sockets().add(service_name(i), {describe(listeners, i)},
                                           kernel::Placement::add, 0);
        if (!added) return pass_on(added);
    }
    return {};
}

// The second half, and the index at the size it needs.
Result<> Ours::settle(std::uint32_t services) {
    std::set<std::string> keep;
    for (std::uint32_t i = 0; i < services; ++i) keep.insert(service_name(i));
    while (plane_->wants_grace()) {
        auto ticket = plane_->begin_grace();
        if (auto ok = plane_->wait(ticket); !ok) return ok;
        if (auto ok = plane_->finish_grace(ticket, keep); !ok) return ok;
    }
    return {};
}

Ours::~Ours() {
    if (!plane_) return;
    plane_.reset();
    std::error_code ignored;
    std::filesystem::remove_all(directory_, ignored);
}

Result<std::pair<Candidate, Candidate>> baseline(const Table& table, const Listeners& listeners,
                                                 bool misplace) {
    const Elf elf = elf_of(baseline__elf_bytes), with_keys = elf_of(replay_baseline__elf_bytes);
    auto plain = Object::load(elf, "baseline");
    if (!plain) return pass_on(plain);
    auto replayed = Object::load(with_keys, "baseline", &*plain);
    if (!replayed) return pass_on(replayed);
    auto find = Object::load(elf, "baseline", &*plain, true);
    if (!find) return pass_on(find);
    auto find_replayed = Object::load(with_keys, "baseline", &*plain, true);
    if (!find_replayed) return pass_on(find_replayed);
    auto bindings = plain->map("bindings"), sockets = plain->map("baseline_sockets");
    if (!bindings) return pass_on(bindings);
    if (!sockets) return pass_on(sockets);
    const std::size_t services = listeners.sockets.size();
    if (auto ok = fill_bindings(*bindings, table, static_cast<std::uint32_t>(services), misplace);
        !ok)
        return pass_on(ok);
    if (auto ok = fill_sockets(*sockets, listeners, services); !ok) return pass_on(ok);
    auto whole = make_candidate("baseline", "baseline", *plain, *replayed);
    if (!whole) return pass_on(whole);
    auto alone = make_candidate("baseline find", "baseline", *find, *find_replayed);
    if (!alone) return pass_on(alone);
    alone->find_only = true;
    return std::pair(std::move(*whole), std::move(*alone));
}

Result<Candidate> floor(const Listeners& listeners) {
    auto plain = Object::load(elf_of(floor__elf_bytes), "floor");
    if (!plain) return pass_on(plain);
    auto replayed = Object::load(elf_of(replay_floor__elf_bytes), "floor", &*plain);
    if (!replayed) return pass_on(replayed);
    auto sockets = plain->map("floor_sockets");
    if (!sockets) return pass_on(sockets);
    if (auto ok = fill_sockets(*sockets, listeners, 1); !ok) return pass_on(ok);
    return make_candidate("floor", "constant", *plain, *replayed);
}

Result<Candidate> empty() {
    auto plain = Object::load(elf_of(floor__elf_bytes), "floor");
    if (!plain) return pass_on(plain);
    auto replayed = Object::load(elf_of(replay_floor__elf_bytes), "floor", &*plain);
    if (!replayed) return pass_on(replayed);
    return make_candidate("empty", "empty", *plain, *replayed);
}

std::array<NamedProgram, 5> programs() {
    const Elf dispatcher = kernel::ProgramImage::dispatcher().elf;
    const Elf floors = elf_of(floor__elf_bytes);
    return {{{"ours (dispatch)", "dispatch", dispatcher},
             {"ours (probe)", "probe", dispatcher},
             {"baseline", "baseline", elf_of(baseline__elf_bytes)},
             {"floor", "constant", floors},
             {"empty", "empty", floors}}};
}

}  // namespace sluice::bench

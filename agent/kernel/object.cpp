// SPDX-License-Identifier: Apache-2.0
#include "kernel/object.h"

#include <array>
#include <dispatch.skel.h>
#include <fcntl.h>
#include <memory>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "kernel/maps.h"
#include "sys/capabilities.h"

namespace sluice::kernel {
namespace {

struct CloseObject {
    void operator()(bpf_object* object) const { bpf_object__close(object); }
};
using Object = std::unique_ptr<bpf_object, CloseObject>;

struct MapName {
    const char* in_object;
    const char* pinned;
};
constexpr std::array map_names{
    MapName{"prefixes_v4", pin::prefixes_v4},
    MapName{"prefixes_v6", pin::prefixes_v6},
    MapName{"index_v4", pin::index_v4},
    MapName{"index_v6", pin::index_v6},
    MapName{"index_heads", pin::index_heads},
    MapName{"policies", pin::policies},
    MapName{"services", pin::services},
    MapName{"members", pin::members},
    MapName{"slots", pin::slots},
    MapName{"sockets", pin::sockets},
    MapName{"counters", pin::counters},
    MapName{".data.control", pin::control},
};

bool is_trie(const MapName& name) {
    return name.pinned == pin::prefixes_v4 || name.pinned == pin::prefixes_v6;
}

bool is_index(const MapName& name) {
    return name.pinned == pin::index_v4 || name.pinned == pin::index_v6 ||
           name.pinned == pin::index_heads;
}

// The verifier's and libbpf's words, kept for the error message.
thread_local std::string libbpf_says;  // NOLINT: libbpf's print callback takes no context

int remember(libbpf_print_level level, const char* format, va_list arguments) {
    if (level != LIBBPF_WARN) return 0;
    std::array<char, 512> line{};
    const int length = vsnprintf(line.data(), line.size(), format, arguments);
    if (libbpf_says.empty()) libbpf_says.assign(line.data());
    return length;
}

Error load_failure(int error) {
    if (const std::string missing = missing_capabilities();
        !missing.empty() && (error == EPERM || error == EACCES))
        return Error(Failure::failed,
                     missing +
                         (missing.find(' ') == std::string::npos ? " is missing" : " are missing"))
            .during("load the BPF program")
            .hint("sluiced needs CAP_BPF and CAP_NET_ADMIN (or root)");
    std::string why = libbpf_says.substr(0, libbpf_says.find('\n'));
    return Error::from_errno(error, "load the BPF program").hint(std::move(why));
}

Result<Object> open_object(const ProgramImage& image) {
    libbpf_set_print(remember);
    libbpf_says.clear();
    DECLARE_LIBBPF_OPTS(bpf_object_open_opts, options, .object_name = "sluice");
    Object object(bpf_object__open_mem(image.elf.data(), image.elf.size(), &options));
    if (!object) return fail_errno(errno, "open the BPF object");
    return object;
}

Result<bpf_map*> find_map(bpf_object* object, const MapName& name) {
    bpf_map* map = bpf_object__find_map_by_name(object, name.in_object);
    if (map == nullptr)
        return fail(Failure::failed, std::string("the BPF object has no map ") + name.in_object);
    return map;
}

// May the pinned map stand in for the one the object asks for?
bool fits(int fd, const bpf_map* wanted) {
    bpf_map_info info{};
    __u32 size = sizeof info;
    return bpf_obj_get_info_by_fd(fd, &info, &size) == 0 && info.type == bpf_map__type(wanted) &&
           info.key_size == bpf_map__key_size(wanted) &&
           info.value_size >= bpf_map__value_size(wanted) &&
           info.map_flags == bpf_map__map_flags(wanted) &&
           info.max_entries >= bpf_map__max_entries(wanted);
}

Result<> size_tries(bpf_object* object, std::uint32_t capacity) {
    for (const MapName& name : map_names) {
        if (!is_trie(name)) continue;
        auto map = find_map(object, name);
        if (!map) return pass_on(map);
        if (const int error = bpf_map__set_max_entries(*map, 2 * capacity); error != 0)
            return fail_errno(-error, std::string("size map ") + name.in_object);
    }
    return {};
}

Result<> size_index(bpf_object* object, const IndexSizes& sizes,
                    const std::array<bool, map_names.size()>& adopted) {
    for (std::size_t i = 0; i < map_names.size(); ++i) {
        const MapName& name = map_names[i];
        if (adopted[i] || !is_index(name) || name.pinned == pin::index_heads) continue;
        auto map = find_map(object, name);
        if (!map) return pass_on(map);
        const std::uint32_t buckets = name.pinned == pin::index_v4 ? sizes.v4 : sizes.v6;
        if (const int error = bpf_map__set_max_entries(*map, SLUICE_HALVES * buckets); error != 0)
            return fail_errno(-error, std::string("size map ") + name.in_object);
    }
    return {};
}

// Shares one pinned map with the object. False when it does not fit and may be re-made.
Result<bool> adopt(bpf_object* object, const MapName& name, const std::string& directory) {
    auto map = find_map(object, name);
    if (!map) return pass_on(map);
    const std::string path = directory + "/" + name.pinned;
    const Fd fd(bpf_obj_get(path.c_str()));
    if (!fd && errno == ENOENT && is_index(name)) return false;  // of a version that had none
    if (!fd) return fail_errno(errno, "open pin " + path);
    if (!fits(fd.get(), *map)) {
        if (is_trie(name) || is_index(name)) return false;
        return fail(Failure::failed, "the map pinned at " + path + " does not fit this version");
    }
    if (const int error = bpf_map__reuse_fd(*map, fd.get()); error != 0)
        return fail_errno(-error, "adopt the map pinned at " + path);
    return true;
}

Result<> load(bpf_object* object) {
    if (const int error = bpf_object__load(object); error != 0) return fail(load_failure(-error));
    return {};
}

Result<> pin_map(bpf_object* object, const MapName& name, const std::string& directory) {
    auto map = find_map(object, name);
    if (!map) return pass_on(map);
    const std::string path = directory + "/" + name.pinned;
    if (bpf_obj_pin(bpf_map__fd(*map), path.c_str()) != 0) return fail_errno(errno, "pin " + path);
    return {};
}

Result<> pin_program(bpf_object* object, const char* name, const std::string& directory,
                     const char* as) {
    const bpf_program* program = bpf_object__find_program_by_name(object, name);
    if (program == nullptr)
        return fail(Failure::failed, std::string("the BPF object has no program ") + name);
    const std::string path = directory + "/" + as;
    if (bpf_obj_pin(bpf_program__fd(program), path.c_str()) != 0)
        return fail_errno(errno, "pin " + path);
    return {};
}

template <class Key>
Result<> copy_trie(const std::string& from, const std::string& to, const char* name) {
    const Map<Key, sluice_prefix> old(Fd(bpf_obj_get((from + "/" + name).c_str())), name);
    const Map<Key, sluice_prefix> fresh(Fd(bpf_obj_get((to + "/" + name).c_str())), name);
    if (old.fd() < 0 || fresh.fd() < 0) return fail_errno(errno, std::string("open pin ") + name);
    return old.each_key([&](const Key& key) -> Result<> {
        auto value = old.lookup(key);
        if (!value) return pass_on(value);
        return *value ? fresh.update(key, **value) : Result<>();
    });
}

Result<> set_constants(bpf_object* object, const sluice_constants& constants) {
    bpf_map* map = bpf_object__find_map_by_name(object, ".rodata");
    if (map == nullptr) return fail(Failure::failed, "the BPF object has no constants");
    if (const int error = bpf_map__set_initial_value(map, &constants, sizeof constants); error != 0)
        return fail_errno(-error, "set the BPF program's constants");
    return {};
}

// The object with the program alone, over the maps pinned in `directory`. Without counting: with
// one row, every count misses.
Result<Object> open_copy(const ProgramImage& image, const std::string& directory,
                         const sluice_constants& constants, Counting counting) {
    auto object = open_object(image);
    if (!object) return object;
    if (bpf_program* probe = bpf_object__find_program_by_name(object->get(), "probe");
        probe != nullptr)
        bpf_program__set_autoload(probe, false);
    if (auto ok = set_constants(object->get(), constants); !ok) return pass_on(ok);
    for (const MapName& name : map_names) {
        auto map = find_map(object->get(), name);
        if (!map) return pass_on(map);
        if (name.pinned == pin::counters && counting == Counting::none) {
            bpf_map__set_max_entries(*map, 1);
            continue;
        }
        const std::string path = directory + "/" + name.pinned;
        const Fd fd(bpf_obj_get(path.c_str()));
        if (!fd) return fail_errno(errno, "open pin " + path);
        if (const int error = bpf_map__reuse_fd(*map, fd.get()); error != 0)
            return fail_errno(-error, "share " + path);
    }
    if (auto ok = load(object->get()); !ok) return pass_on(ok);
    return object;
}

// The same instructions over the same maps, but for counters: nothing that a test run does is
// counted. bpf/dispatch.bpf.c says why a test run must not look into SO_REUSEPORT groups.
Result<> load_shadow(const ProgramImage& image, const std::string& directory) {
    auto object = open_copy(image, directory, {BPF_SK_LOOKUP_F_NO_REUSEPORT, SLUICE_BY_CONTROL, 0},
                            Counting::none);
    if (!object) return pass_on(object);
    return pin_program(object->get(), "dispatch", directory, pin::shadow);
}

Result<Fd> duplicate(int fd, const char* what) {
    Fd copy(::fcntl(fd, F_DUPFD_CLOEXEC, 0));
    if (!copy) return fail_errno(errno, std::string("keep ") + what);
    return copy;
}

}  // namespace

std::uint64_t ProgramImage::hash() const {
    std::uint64_t hash = 0xcbf29ce484222325ULL;
    for (const std::byte byte : elf)
        hash = (hash ^ std::to_integer<std::uint64_t>(byte)) * 0x100000001b3ULL;
    return hash;
}

ProgramImage ProgramImage::dispatcher() {
    std::size_t size = 0;
    const void* bytes = dispatch__elf_bytes(&size);
    return {{static_cast<const std::byte*>(bytes), size}};
}

Result<> load_and_pin(const LoadRequest& request, const std::string& directory) {
    auto object = open_object(request.image);
    if (!object) return pass_on(object);
    if (auto ok = size_tries(object->get(), request.capacity); !ok) return ok;
    std::array<bool, map_names.size()> adopted{};
    if (!request.adopt_from.empty()) {
        for (std::size_t i = 0; i < map_names.size(); ++i) {
            if (request.index && is_index(map_names[i])) continue;
            auto shared = adopt(object->get(), map_names[i], request.adopt_from);
            if (!shared) return pass_on(shared);
            adopted[i] = *shared;
        }
    }
    if (auto ok = size_index(object->get(), request.index.value_or(IndexSizes{}), adopted); !ok)
        return ok;
    if (auto ok = load(object->get()); !ok) return ok;
    for (const MapName& name : map_names)
        if (auto ok = pin_map(object->get(), name, directory); !ok) return ok;
    if (auto ok = pin_program(object->get(), "dispatch", directory, pin::dispatch); !ok) return ok;
    if (auto ok = pin_program(object->get(), "probe", directory, pin::probe); !ok) return ok;
    for (std::size_t i = 0; i < map_names.size() && !request.adopt_from.empty(); ++i) {
        if (adopted[i] || !is_trie(map_names[i])) continue;
        auto ok = map_names[i].pinned == pin::prefixes_v4
                      ? copy_trie<sluice_key_v4>(request.adopt_from, directory, pin::prefixes_v4)
                      : copy_trie<sluice_key_v6>(request.adopt_from, directory, pin::prefixes_v6);
        if (!ok) return ok;
    }
    return load_shadow(request.image, directory);
}

Result<ProgramCopy> load_copy(const ProgramImage& image, const std::string& directory,
                              const sluice_constants& constants, Counting counting) {
    auto object = open_copy(image, directory, constants, counting);
    if (!object) return pass_on(object);
    const bpf_program* program = bpf_object__find_program_by_name(object->get(), "dispatch");
    const bpf_map* told = bpf_object__find_map_by_name(object->get(), ".data.told");
    if (program == nullptr || told == nullptr)
        return fail(Failure::failed, "the BPF object has no program that can tell");
    auto kept = duplicate(bpf_program__fd(program), "the program");
    if (!kept) return pass_on(kept);
    auto map = duplicate(bpf_map__fd(told), "the map .data.told");
    if (!map) return pass_on(map);
    return ProgramCopy{std::move(*kept), std::move(*map)};
}

}  // namespace sluice::kernel

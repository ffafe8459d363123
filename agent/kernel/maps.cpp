// SPDX-License-Identifier: Apache-2.0
#include "kernel/maps.h"

#include <vector>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

namespace sluice::kernel {
namespace {

Result<Fd> open_pin(const std::string& directory, const char* name, Access access) {
    DECLARE_LIBBPF_OPTS(bpf_obj_get_opts, options,
                        .file_flags = access == Access::read_only ? unsigned{BPF_F_RDONLY} : 0U);
    const std::string path = directory + "/" + name;
    Fd fd(bpf_obj_get_opts(path.c_str(), &options));
    if (!fd) return fail_errno(errno, "open pin " + path);
    return fd;
}

template <class T>
Result<> open_array(MappedArray<T>& array, const std::string& directory, const char* name,
                    std::size_t count, Access access) {
    // A shared mapping of a descriptor opened for reading only is EINVAL; that we do not write is
    // what the mapping's protection says.
    auto fd = open_pin(directory, name, Access::read_write);
    if (!fd) return pass_on(fd);
    auto mapped = MappedArray<T>::map(std::move(*fd), count, access == Access::read_write, name);
    if (!mapped) return pass_on(mapped);
    array = std::move(*mapped);
    return {};
}

// As many elements as the map has.
template <class T>
Result<> open_whole_array(MappedArray<T>& array, const std::string& directory, const char* name) {
    const Fd fd(bpf_obj_get((directory + "/" + name).c_str()));
    if (!fd)
        return errno == ENOENT ? Result<>() : fail_errno(errno, std::string("open pin ") + name);
    bpf_map_info info{};
    __u32 size = sizeof info;
    if (bpf_obj_get_info_by_fd(fd.get(), &info, &size) != 0)
        return fail_errno(errno, std::string("ask about map ") + name);
    return open_array(array, directory, name, info.max_entries, Access::read_write);
}

template <class Key, class Value>
Result<> open_map(Map<Key, Value>& map, const std::string& directory, const char* name,
                  Access access) {
    auto fd = open_pin(directory, name, access);
    if (!fd) return pass_on(fd);
    map = Map<Key, Value>(std::move(*fd), name);
    return {};
}

}  // namespace

Result<IndexMaps> IndexMaps::open(const std::string& directory) {
    IndexMaps maps;
    if (auto ok = open_whole_array(maps.v4, directory, pin::index_v4); !ok) return pass_on(ok);
    if (auto ok = open_whole_array(maps.v6, directory, pin::index_v6); !ok) return pass_on(ok);
    if (auto ok = open_whole_array(maps.heads, directory, pin::index_heads); !ok)
        return pass_on(ok);
    return maps;
}

Result<Maps> Maps::open(const std::string& directory, Access access) {
    Maps maps;
    // The control block first: an ABI that is not ours must be said before anything is misread.
    if (auto ok = open_array(maps.control, directory, pin::control, 1, access); !ok)
        return pass_on(ok);
    if (const auto abi = maps.state().abi; abi != SLUICE_ABI)
        return fail(
            Error(Failure::failed, "the pins in " + directory + " have layout " +
                                       std::to_string(abi) + ", this program knows " +
                                       std::to_string(SLUICE_ABI))
                .hint("use the version of sluice that made them, or remove them with: rm -r " +
                      directory));
    const auto all = [&]() -> Result<> {
        if (auto ok = open_map(maps.prefixes_v4, directory, pin::prefixes_v4, access); !ok)
            return ok;
        if (auto ok = open_map(maps.prefixes_v6, directory, pin::prefixes_v6, access); !ok)
            return ok;
        if (auto ok = open_map(maps.sockets, directory, pin::sockets, access); !ok) return ok;
        if (access == Access::read_write) {
            auto index = IndexMaps::open(directory);
            if (!index) return pass_on(index);
            maps.index = std::move(*index);
        }
        auto counters = open_pin(directory, pin::counters, access);
        if (!counters) return pass_on(counters);
        maps.counters = std::move(*counters);
        if (auto ok =
                open_array(maps.policies, directory, pin::policies, SLUICE_POLICY_BLOCKS, access);
            !ok)
            return ok;
        if (auto ok =
                open_array(maps.services, directory, pin::services, SLUICE_MAX_SERVICES, access);
            !ok)
            return ok;
        if (auto ok = open_array(maps.members, directory, pin::members, SLUICE_MAX_MEMBERS, access);
            !ok)
            return ok;
        return open_array(maps.slots, directory, pin::slots, SLUICE_MAX_SOCKETS, access);
    }();
    if (!all) return std::unexpected(all.error());
    return maps;
}

Result<sluice_counters> read_counters(const Maps& maps, std::uint32_t target, std::uint32_t cls) {
    const std::uint32_t key = target * SLUICE_CLASSES + cls;
    std::vector<sluice_counters> rows(static_cast<std::size_t>(libbpf_num_possible_cpus()));
    if (const int error = raw::lookup(maps.counters.get(), &key, rows.data()); error != 0)
        return fail_errno(-error, "look up in map 'counters'");
    sluice_counters sum{};
    for (const sluice_counters& row : rows) {
        sum.assigned += row.assigned;
        sum.unavailable += row.unavailable;
        sum.rejected += row.rejected;
        sum.passed += row.passed;
        sum.error_type += row.error_type;
        sum.error_protocol += row.error_protocol;
        sum.error_family += row.error_family;
        sum.error_other += row.error_other;
    }
    return sum;
}

Result<> clear_counters(const Maps& maps, std::uint32_t target) {
    const std::vector<sluice_counters> zeros(static_cast<std::size_t>(libbpf_num_possible_cpus()));
    for (std::uint32_t cls = 0; cls < SLUICE_CLASSES; ++cls) {
        const std::uint32_t key = target * SLUICE_CLASSES + cls;
        if (const int error = raw::update(maps.counters.get(), &key, zeros.data()); error != 0)
            return fail_errno(-error, "update map 'counters'");
    }
    return {};
}

}  // namespace sluice::kernel

// SPDX-License-Identifier: Apache-2.0
#include "kernel/dispatcher.h"

#include <array>
#include <cstdio>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/utsname.h>

#include <bpf/bpf.h>

#include "sys/socket_facts.h"

namespace sluice::kernel {
namespace {

Result<> check_kernel() {
    utsname name{};
    int major = 0, minor = 0;
    if (::uname(&name) == 0)
        std::sscanf(name.release, "%d.%d", &major, &minor);  // NOLINT: two ints
    if (major < 5 || (major == 5 && minor < 10))
        return fail(Failure::failed, std::string("Linux ") + name.release +
                                         " is too old: sluice needs 5.10 or newer");
    return {};
}

Result<Fd> own_netns() {
    Fd fd(::open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC));
    if (!fd) return fail_errno(errno, "open the network namespace");
    return fd;
}

std::uint64_t own_netns_inode() {
    const Fd fd(::open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC));
    struct stat info{};
    return ::fstat(fd.get(), &info) == 0 ? info.st_ino : 0;
}

std::string link_pin(const std::string& directory) { return directory + "/" + pin::link; }

Result<Fd> open_object_pin(const std::string& path) {
    Fd fd(bpf_obj_get(path.c_str()));
    if (!fd) return fail_errno(errno, "open pin " + path);
    return fd;
}

template <class Info>
Result<Info> info_of(const Fd& fd, const char* what) {
    Info info{};
    __u32 size = sizeof info;
    if (bpf_obj_get_info_by_fd(fd.get(), &info, &size) != 0)
        return fail_errno(errno, std::string("ask about ") + what);
    return info;
}

// The cookie decides; the kernel reuses a namespace's inode number at once.
Result<> check_namespace(const Maps& maps, const std::string& directory) {
    const std::uint64_t theirs = maps.state().netns_cookie, ours = own_netns_cookie();
    bool same = theirs == ours;
    if (ours == 0 || theirs == 0) {
        const Fd link(bpf_obj_get(link_pin(directory).c_str()));
        if (!link) return {};
        auto info = info_of<bpf_link_info>(link, "the link");
        if (!info) return pass_on(info);
        same = info->netns.netns_ino == own_netns_inode();
    }
    if (same) return {};
    return fail(
        Error(Failure::failed, "the pins in " + directory + " belong to another network namespace" +
                                   (ours == 0 ? std::string()
                                              : " (cookie " + std::to_string(theirs) +
                                                    ", this one is " + std::to_string(ours) + ")"))
            .hint("give each namespace a directory of its own (--bpffs, or --instance); if that "
                  "namespace is gone: rm -r " +
                  directory));
}

// Creates the link for the program pinned in `directory` and pins it there.
Result<> make_link(const std::string& directory) {
    auto program = open_object_pin(directory + "/" + pin::dispatch);
    if (!program) return pass_on(program);
    auto netns = own_netns();
    if (!netns) return pass_on(netns);
    const Fd link(bpf_link_create(program->get(), netns->get(), BPF_SK_LOOKUP, nullptr));
    if (!link) return fail_errno(errno, "attach the program to the network namespace");
    const std::string path = link_pin(directory);
    if (bpf_obj_pin(link.get(), path.c_str()) != 0) return fail_errno(errno, "pin " + path);
    return {};
}

// No failure where there is none.
Result<> remove_link(const std::string& directory) {
    const std::string path = link_pin(directory);
    const Fd link(bpf_obj_get(path.c_str()));
    if (::unlink(path.c_str()) != 0 && errno != ENOENT) return fail_errno(errno, "remove " + path);
    // The pin was the link's only owner, but the kernel lets go of it some time later.
    if (link && bpf_link_detach(link.get()) != 0) return fail_errno(errno, "detach the link");
    return {};
}

Result<std::string> make_fresh(PinDirectory& pins, const Site& site) {
    auto aside = pins.begin();
    if (!aside) return pass_on(aside);
    if (auto ok = load_and_pin({site.image, site.capacity, "", {}}, *aside); !ok)
        return pass_on(ok);
    {
        auto maps = Maps::open(*aside, Access::read_write);
        if (!maps) return pass_on(maps);
        maps->state().netns_cookie = own_netns_cookie();
        maps->state().image = site.image.hash();
        maps->state().detached = site.attach ? 0 : 1;
    }
    if (site.attach)
        if (auto ok = make_link(*aside); !ok) return pass_on(ok);
    return PinDirectory::commit(*aside);
}

// The new program takes the link over from exactly the one that we replace: a compare-and-swap.
Result<> swap_program(const std::string& from, const std::string& to) {
    auto link = open_object_pin(link_pin(to));
    auto fresh = open_object_pin(to + "/" + pin::dispatch);
    auto old = open_object_pin(from + "/" + pin::dispatch);
    for (auto* opened : {&link, &fresh, &old})
        if (!*opened) return pass_on(*opened);
    DECLARE_LIBBPF_OPTS(bpf_link_update_opts, options, .flags = BPF_F_REPLACE,
                        .old_prog_fd = static_cast<__u32>(old->get()));
    if (bpf_link_update(link->get(), fresh->get(), &options) != 0)
        return fail_errno(errno, "put the new program in the old one's place");
    return {};
}

// What was built aside takes the place of what is pinned at `from`, and its link.
Result<std::string> take_over(const std::string& aside, const std::string& from) {
    const Fd link(bpf_obj_get(link_pin(from).c_str()));
    if (link && bpf_obj_pin(link.get(), link_pin(aside).c_str()) != 0)
        return fail_errno(errno, "pin " + link_pin(aside));
    auto path = PinDirectory::commit(aside);
    if (!path) return path;
    if (link)
        if (auto ok = swap_program(from, *path); !ok) return pass_on(ok);
    return path;
}

// Another program (or tries of another size) over the same sockets, counters and, where they fit,
// maps.
Result<std::string> upgrade(PinDirectory& pins, const Site& site, const std::string& from) {
    auto aside = pins.begin();
    if (!aside) return pass_on(aside);
    if (auto ok = load_and_pin({site.image, site.capacity, from, {}}, *aside); !ok)
        return pass_on(ok);
    {
        // The new program's index may be another one, which is empty. Whoever is adopted makes it
        // answer again.
        auto maps = Maps::open(*aside, Access::read_write);
        if (!maps) return pass_on(maps);
        store_release(maps->state().active, maps->active());
    }
    return take_over(*aside, from);
}

std::uint32_t capacity_of(const Map<sluice_key_v4, sluice_prefix>& trie) {
    bpf_map_info info{};
    __u32 size = sizeof info;
    return bpf_obj_get_info_by_fd(trie.fd(), &info, &size) == 0 ? info.max_entries / 2 : 0;
}

}  // namespace

Result<Dispatcher> Dispatcher::open(const Site& site) {
    if (auto ok = check_kernel(); !ok) return pass_on(ok);
    auto pins = PinDirectory::lock(site.directory);
    if (!pins) return pass_on(pins);
    const bool adopted = !pins->current().empty();
    bool upgraded = false;
    std::string current = pins->current();
    if (!adopted) {
        auto made = make_fresh(*pins, site);
        if (!made) return pass_on(made, "make the dispatcher");
        current = *made;
    } else {
        auto maps = Maps::open(current, Access::read_write);
        if (!maps) return pass_on(maps, "adopt the dispatcher");
        if (auto ok = check_namespace(*maps, site.directory); !ok) return pass_on(ok);
        if (maps->state().image != site.image.hash() ||
            capacity_of(maps->prefixes_v4) < site.capacity) {
            auto path = upgrade(*pins, site, current);
            if (!path) return pass_on(path, "upgrade the dispatcher");
            current = *path;
            upgraded = true;
        }
    }
    if (auto ok = pins->keep_only(current); !ok) return pass_on(ok);
    auto maps = Maps::open(current, Access::read_write);
    if (!maps) return pass_on(maps, "adopt the dispatcher");
    maps->state().image = site.image.hash();
    Dispatcher dispatcher(site, std::move(*pins), std::move(*maps));
    dispatcher.adopted_ = adopted;
    dispatcher.upgraded_ = upgraded;
    dispatcher.capacity_ = capacity_of(dispatcher.maps_.prefixes_v4);
    if (auto ok = dispatcher.ensure_attached(); !ok) return pass_on(ok);
    if (auto ok = dispatcher.load_ids(); !ok) return pass_on(ok);
    if (auto ok = dispatcher.prepare_grace(); !ok) return pass_on(ok);
    return dispatcher;
}

// What is so and what is remembered differ after a kill in the middle of detach() or attach().
Result<> Dispatcher::ensure_attached() {
    if (!attached()) return remove_link(directory());
    const Fd link(bpf_obj_get(link_pin(directory()).c_str()));
    if (link) {
        auto info = info_of<bpf_link_info>(link, "the link");
        if (!info) return pass_on(info);
        if (info->netns.netns_ino != 0) return {};
        ::unlink(link_pin(directory()).c_str());  // defunct: detached by force
    }
    relinked_ = true;
    return make_link(directory());
}

Result<> Dispatcher::load_ids() {
    auto program = open_object_pin(directory() + "/" + pin::dispatch);
    if (!program) return pass_on(program);
    auto info = info_of<bpf_prog_info>(*program, "the program");
    if (!info) return pass_on(info);
    program_id_ = info->id;
    return {};
}

Result<std::string> Dispatcher::prepare_index(const IndexSizes& sizes) const {
    auto aside = pins_.begin();
    if (!aside) return aside;
    if (auto ok = load_and_pin({site_.image, capacity_, directory(), sizes}, *aside); !ok)
        return pass_on(ok, "load the program with another index");
    return aside;
}

Result<> Dispatcher::adopt_index(const std::string& prepared, const std::function<void()>& fill) {
    auto fresh = IndexMaps::open(prepared);
    if (!fresh) return pass_on(fresh);
    IndexMaps old = std::exchange(maps_.index, std::move(*fresh));
    fill();
    auto path = take_over(prepared, directory());
    if (!path) {
        maps_.index = std::move(old);
        (void)pins_.keep_only(directory());  // what stays is found by the next start
        return pass_on(path);
    }
    if (auto ok = pins_.keep_only(*path); !ok) return ok;
    return load_ids();
}

Result<> Dispatcher::detach() {
    if (!attached()) return {};
    maps_.state().detached = 1;
    auto ok = remove_link(directory());
    if (!ok) maps_.state().detached = 0;
    return ok;
}

Result<> Dispatcher::attach() {
    if (attached()) return {};
    if (auto ok = make_link(directory()); !ok) return ok;
    maps_.state().detached = 0;
    return {};
}

// Updating a map of maps blocks for a grace period of the programs that may be reading it; which
// map and who reads it does not matter. membarrier(2) is no substitute: it returns at once on one
// CPU.
Result<> Dispatcher::prepare_grace() {
    grace_inner_ = Fd(bpf_map_create(BPF_MAP_TYPE_ARRAY, "sluice_grace_in", 4, 4, 1, nullptr));
    if (!grace_inner_) return fail_errno(errno, "create map 'sluice_grace_in'");
    DECLARE_LIBBPF_OPTS(bpf_map_create_opts, options,
                        .inner_map_fd = static_cast<__u32>(grace_inner_.get()));
    grace_outer_ =
        Fd(bpf_map_create(BPF_MAP_TYPE_ARRAY_OF_MAPS, "sluice_grace", 4, 4, 1, &options));
    if (!grace_outer_) return fail_errno(errno, "create map 'sluice_grace'");
    return {};
}

Result<> Dispatcher::grace_period() const {
    const std::uint32_t key = 0;
    const auto inner = static_cast<std::uint32_t>(grace_inner_.get());
    if (const int error = raw::update(grace_outer_.get(), &key, &inner); error != 0)
        return fail_errno(-error, "wait for a grace period");
    return {};
}

Result<std::vector<std::uint32_t>> Dispatcher::foreign_programs() const {
    auto netns = own_netns();
    if (!netns) return pass_on(netns);
    std::array<std::uint32_t, 64> ids{};  // the kernel attaches at most 64
    std::uint32_t count = ids.size();
    std::uint32_t flags = 0;
    if (bpf_prog_query(netns->get(), BPF_SK_LOOKUP, 0, &flags, ids.data(), &count) != 0)
        return fail_errno(errno, "ask which programs are attached");
    std::vector<std::uint32_t> foreign;
    for (std::uint32_t i = 0; i < count; ++i)
        if (ids.at(i) != program_id_) foreign.push_back(ids.at(i));
    return foreign;
}

}  // namespace sluice::kernel

// SPDX-License-Identifier: Apache-2.0
#include "programs.h"

#include <array>
#include <cstring>
#include <netinet/in.h>
#include <vector>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "replay.h"

namespace sluice::bench {
namespace {

bpf_sk_lookup context(const Key& key) {
    bpf_sk_lookup ctx{};
    const bool six = key.local.address.family == Family::ipv6;
    ctx.family = six ? AF_INET6 : AF_INET;
    ctx.protocol = IPPROTO_TCP;
    ctx.local_port = key.local.port;
    ctx.remote_port = htons(key.remote.port);
    if (six) {
        std::memcpy(ctx.local_ip6, key.local.address.bytes.data(), sizeof ctx.local_ip6);
        std::memcpy(ctx.remote_ip6, key.remote.address.bytes.data(), sizeof ctx.remote_ip6);
    } else {
        std::memcpy(&ctx.local_ip4, key.local.address.bytes.data(), sizeof ctx.local_ip4);
        std::memcpy(&ctx.remote_ip4, key.remote.address.bytes.data(), sizeof ctx.remote_ip4);
    }
    return ctx;
}

Result<Run> run(const Fd& program, bpf_sk_lookup ctx, std::uint32_t repeat) {
    DECLARE_LIBBPF_OPTS(bpf_test_run_opts, options, .ctx_in = &ctx, .ctx_out = &ctx,
                        .ctx_size_in = sizeof ctx, .ctx_size_out = sizeof ctx,
                        .repeat = static_cast<int>(repeat));
    if (bpf_prog_test_run_opts(program.get(), &options) != 0)
        return fail_errno(errno, "run a program (BPF_PROG_TEST_RUN)");
    return Run{options.retval == SK_DROP, ctx.cookie, options.duration};
}

// `request`: arrays to be filled.
Result<bpf_prog_info> info_of(int program, const bpf_prog_info& request = {}) {
    bpf_prog_info info = request;
    __u32 size = sizeof info;
    if (bpf_obj_get_info_by_fd(program, &info, &size) != 0)
        return fail_errno(errno, "ask about a program");
    return info;
}

// The loader of the agent knows nothing of this map, so it is found among the program's.
Result<Fd> keys_of(const Fd& program) {
    std::array<__u32, 32> ids{};
    bpf_prog_info request{};
    request.nr_map_ids = ids.size();
    request.map_ids = reinterpret_cast<std::uintptr_t>(ids.data());
    const auto info = info_of(program.get(), request);
    if (!info) return fail(info.error());
    for (std::size_t i = 0; i < info->nr_map_ids && i < ids.size(); ++i) {
        Fd map(bpf_map_get_fd_by_id(ids[i]));
        bpf_map_info about{};
        __u32 size = sizeof about;
        if (map && bpf_obj_get_info_by_fd(map.get(), &about, &size) == 0 &&
            std::strcmp(about.name, "replay_keys") == 0)
            return map;
    }
    return fail(Failure::failed, "the program has no map 'replay_keys': built without replay.h?");
}

int print_warning(libbpf_print_level level, const char* format, va_list arguments) {
    return level == LIBBPF_WARN ? vfprintf(stderr, format, arguments) : 0;
}

Result<bpf_object*> open_object(Elf elf, const char* name) {
    libbpf_set_print(print_warning);
    DECLARE_LIBBPF_OPTS(bpf_object_open_opts, options, .object_name = name);
    bpf_object* object = bpf_object__open_mem(elf.data(), elf.size(), &options);
    if (object == nullptr) return fail_errno(errno, std::string("open object ") + name);
    return object;
}

}  // namespace

Result<Run> run(const Fd& program, const Key& key, std::uint32_t repeat) {
    return run(program, context(key), repeat);
}

Result<Fd> count_run_times() {
    Fd fd(bpf_enable_stats(BPF_STATS_RUN_TIME));
    if (!fd) return fail_errno(errno, "switch the counting of run times on");
    return fd;
}

Result<double> run_apart(const Fd& program, std::span<const Key> keys,
                         const std::function<void()>& between) {
    const auto before = info_of(program.get());
    if (!before) return fail(before.error());
    for (const Key& key : keys) {
        between();
        if (auto ok = run(program, key); !ok) return pass_on(ok);
    }
    const auto after = info_of(program.get());
    if (!after) return fail(after.error());
    if (after->run_cnt - before->run_cnt != keys.size())
        return fail(Failure::failed, "the kernel did not count the runs of a program");
    return static_cast<double>(after->run_time_ns - before->run_time_ns) /
           static_cast<double>(keys.size());
}

Result<Replay> Replay::open(Fd program) {
    auto keys = keys_of(program);
    if (!keys) return pass_on(keys);
    return Replay(std::move(program), std::move(*keys));
}

Result<> Replay::load(std::span<const Key> keys) {
    if (keys.size() != REPLAY_KEYS) return fail(Failure::invalid, "a replay needs all its keys");
    std::vector<__u32> places(REPLAY_KEYS);
    std::vector<bpf_sk_lookup> contexts(REPLAY_KEYS);
    for (__u32 i = 0; i < REPLAY_KEYS; ++i) {
        places[i] = static_cast<__u32>((next_ + i) % REPLAY_KEYS);
        contexts[i] = context(keys[i]);
    }
    __u32 count = REPLAY_KEYS;
    if (bpf_map_update_batch(keys_.get(), places.data(), contexts.data(), &count, nullptr) != 0)
        return fail_errno(errno, "load keys");
    packet_ = keys.front();
    return {};
}

Result<Run> Replay::run(std::uint32_t repeat) const {
    auto result = bench::run(program_, packet_, repeat);
    if (result) next_ += repeat;
    return result;
}

void CloseObject::operator()(bpf_object* object) const { bpf_object__close(object); }

Result<Object> Object::load(Elf elf, const char* name, const Object* shared, bool find_only) {
    auto opened = open_object(elf, name);
    if (!opened) return pass_on(opened);
    Object object(*opened);
    const __u32 yes = 1;
    if (find_only)
        if (const int error = bpf_map__set_initial_value(
                bpf_object__find_map_by_name(object.object_.get(), ".rodata"), &yes, sizeof yes);
            error != 0)
            return fail_errno(-error, std::string("set constants of ") + name);
    bpf_map* map = nullptr;
    bpf_object__for_each_map(map, object.object_.get()) {
        if (shared == nullptr) break;
        const bpf_map* theirs =
            bpf_object__find_map_by_name(shared->object_.get(), bpf_map__name(map));
        // Constants, and what a program tells, are its own.
        if (theirs == nullptr || bpf_map__is_internal(map)) continue;
        if (const int error = bpf_map__reuse_fd(map, bpf_map__fd(theirs)); error != 0)
            return fail_errno(-error, std::string("share map ") + bpf_map__name(map));
    }
    if (const int error = bpf_object__load(object.object_.get()); error != 0)
        return fail_errno(-error, std::string("load object ") + name);
    return object;
}

Result<Fd> Object::program(const char* name) const {
    const bpf_program* program = bpf_object__find_program_by_name(object_.get(), name);
    if (program == nullptr) return fail(Failure::failed, std::string("no program ") + name);
    Fd fd(::dup(bpf_program__fd(program)));
    if (!fd) return fail_errno(errno, std::string("keep program ") + name);
    return fd;
}

Result<int> Object::map(const char* name) const {
    const int fd = bpf_object__find_map_fd_by_name(object_.get(), name);
    if (fd < 0) return fail(Failure::failed, std::string("no map ") + name);
    return fd;
}

Result<Verification> verify(Elf elf, const char* name) {
    auto opened = open_object(elf, name);
    if (!opened) return pass_on(opened);
    const std::unique_ptr<bpf_object, CloseObject> object(*opened);
    constexpr __u32 statistics = 4;  // BPF_LOG_STATS of linux/bpf_verifier.h
    std::vector<char> log(std::size_t{64} << 10U);
    bpf_program* wanted = nullptr;
    bpf_program* each = nullptr;
    bpf_object__for_each_program(each, object.get()) {
        if (std::strcmp(bpf_program__name(each), name) == 0)
            wanted = each;
        else
            bpf_program__set_autoload(each, false);
    }
    if (wanted == nullptr) return fail(Failure::failed, std::string("no program ") + name);
    bpf_program__set_log_level(wanted, statistics);
    bpf_program__set_log_buf(wanted, log.data(), log.size());
    if (const int error = bpf_object__load(object.get()); error != 0)
        return fail_errno(-error, std::string("verify ") + name);

    const auto info = info_of(bpf_program__fd(wanted));
    if (!info) return fail(info.error());
    long microseconds = 0;
    if (const char* text = std::strstr(log.data(), "verification time "); text != nullptr)
        microseconds = std::strtol(text + std::strlen("verification time "), nullptr, 10);
    return Verification{info->xlated_prog_len / static_cast<__u32>(sizeof(bpf_insn)),
                        info->verified_insns, static_cast<double>(microseconds) / 1000};
}

}  // namespace sluice::bench

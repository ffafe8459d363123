// SPDX-License-Identifier: Apache-2.0
#include "kernel/lookup.h"

#include <cstring>
#include <sys/socket.h>

#include <bpf/bpf.h>

#include "kernel/maps.h"

namespace sluice::kernel {
namespace {

constexpr int kernel_enotsupp = 524;  // include/linux/errno.h; not for user space, yet it gets out

Result<Fd> open_program(const std::string& directory, const char* name) {
    const std::string path = directory + "/" + name;
    Fd fd(bpf_obj_get(path.c_str()));
    if (!fd) return fail_errno(errno, "open pin " + path);
    return fd;
}

// The tag is a digest of the instructions with map references left out, so the shadow's is the
// same.
bool same_tag(const Fd& a, const Fd& b) {
    bpf_prog_info left{}, right{};
    __u32 left_size = sizeof left, right_size = sizeof right;
    return bpf_obj_get_info_by_fd(a.get(), &left, &left_size) == 0 &&
           bpf_obj_get_info_by_fd(b.get(), &right, &right_size) == 0 &&
           std::memcmp(left.tag, right.tag, sizeof left.tag) == 0;
}

bpf_sk_lookup context(Protocol protocol, const Endpoint& local, const Endpoint& remote) {
    bpf_sk_lookup ctx{};
    const bool six = local.address.family == Family::ipv6;
    ctx.family = six ? AF_INET6 : AF_INET;
    ctx.protocol = static_cast<__u32>(protocol);
    ctx.local_port = local.port;                       // host byte order
    ctx.remote_port = __builtin_bswap16(remote.port);  // network byte order
    if (six) {
        std::memcpy(ctx.local_ip6, local.address.bytes.data(), 16);
        std::memcpy(ctx.remote_ip6, remote.address.bytes.data(), 16);
    } else {
        std::memcpy(&ctx.local_ip4, local.address.bytes.data(), 4);
        std::memcpy(&ctx.remote_ip4, remote.address.bytes.data(), 4);
    }
    return ctx;
}

Result<Verdict> run(const Fd& program, bpf_sk_lookup ctx) {
    DECLARE_LIBBPF_OPTS(bpf_test_run_opts, options, .ctx_in = &ctx, .ctx_out = &ctx,
                        .ctx_size_in = sizeof ctx, .ctx_size_out = sizeof ctx);
    if (bpf_prog_test_run_opts(program.get(), &options) != 0) {
        const int error = errno;
        if (error == kernel_enotsupp)
            return fail(Error::from_errno(EOPNOTSUPP, "run the program (BPF_PROG_TEST_RUN)")
                            .hint("sk_lookup programs can be asked since Linux 5.13"));
        return fail_errno(error, "run the program (BPF_PROG_TEST_RUN)");
    }
    return Verdict{options.retval == SK_DROP, ctx.cookie};
}

}  // namespace

Result<Verdict> test_run(const Fd& program, Protocol protocol, const Endpoint& local,
                         const Endpoint& remote) {
    return run(program, context(protocol, local, remote));
}

Result<Lookup> Lookup::open(const std::string& directory) {
    Lookup lookup;
    auto shadow = open_program(directory, pin::shadow);
    if (!shadow) return pass_on(shadow);
    auto probe = open_program(directory, pin::probe);
    if (!probe) return pass_on(probe);
    auto attached = open_program(directory, pin::dispatch);
    if (!attached) return pass_on(attached);
    lookup.same_program_ = same_tag(*shadow, *attached);
    lookup.shadow_ = std::move(*shadow);
    lookup.probe_ = std::move(*probe);
    return lookup;
}

Result<Verdict> Lookup::verdict(Protocol protocol, const Endpoint& local,
                                const Endpoint& remote) const {
    return test_run(shadow_, protocol, local, remote);
}

Result<bool> Lookup::usable(std::uint32_t slot, Protocol protocol, Family family) const {
    Endpoint any;
    any.address.family = family;
    bpf_sk_lookup ctx = context(protocol, any, any);
    ctx.remote_port = static_cast<__be16>(slot);  // the probe takes it as it is
    auto verdict = run(probe_, ctx);
    if (verdict) return !verdict->drop;
    if (verdict.error().code() == EOPNOTSUPP) return true;
    return pass_on(verdict);
}

}  // namespace sluice::kernel

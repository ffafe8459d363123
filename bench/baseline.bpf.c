// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * The baseline: the layout that tubular uses, written from a description of it. One LPM trie for
 * both families, whose keys begin with protocol and port. A lookup always asks twice, for the exact
 * port and for any; the second answer wins only with a strictly longer prefix.
 */
#include "baseline.h"

#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

#define AF_INET 2

/* A value the optimiser knows nothing about: keeps it from merging or duplicating loads of ctx. */
#define opaque(x) ({ asm volatile("" : "+r"(x)); })

/* clang-format off */
struct {
    __uint(type, BPF_MAP_TYPE_LPM_TRIE);
    __uint(map_flags, BPF_F_NO_PREALLOC);
    __uint(max_entries, 2000000);
    __type(key, struct baseline_key);
    __type(value, struct baseline_value);
} bindings SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_SOCKMAP);
    __uint(max_entries, BASELINE_MAX_SERVICES);
    __type(key, __u32);
    __type(value, __u64);
} baseline_sockets SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
    __uint(max_entries, BASELINE_MAX_SERVICES);
    __type(key, __u32);
    __type(value, struct baseline_counters);
} baseline_counts SEC(".maps");
/* clang-format on */

/* 1: the lookup alone; what it found is left where nobody looks, so that it is not optimised away.
 */
volatile const __u32 find_only SEC(".rodata") = 0;
volatile __u32 baseline_told SEC(".data.told") = 0;

SEC("sk_lookup")
int baseline(struct bpf_sk_lookup* ctx) {
    __u32 family = ctx->family, protocol = ctx->protocol, port = ctx->local_port;
    __u32 local4 = ctx->local_ip4;
    __u32 l0 = ctx->local_ip6[0], l1 = ctx->local_ip6[1];
    __u32 l2 = ctx->local_ip6[2], l3 = ctx->local_ip6[3];
    opaque(family), opaque(protocol), opaque(port), opaque(local4);
    opaque(l0), opaque(l1), opaque(l2), opaque(l3);
    if (family == AF_INET) {
        l0 = l1 = 0;
        l2 = __builtin_bswap32(0xffff);
        l3 = local4;
    }

    struct baseline_key key = {
        .prefixlen = BASELINE_HEAD_BITS + 128, .protocol = protocol, .port = port};
    __builtin_memcpy(key.address, &l0, sizeof(l0));
    __builtin_memcpy(key.address + 4, &l1, sizeof(l1));
    __builtin_memcpy(key.address + 8, &l2, sizeof(l2));
    __builtin_memcpy(key.address + 12, &l3, sizeof(l3));
    const struct baseline_value* found = bpf_map_lookup_elem(&bindings, &key);
    key.port = 0;
    const struct baseline_value* any = bpf_map_lookup_elem(&bindings, &key);
    if (!found || (any && any->length > found->length)) found = any;
    if (find_only) {
        baseline_told = found ? found->service : ~0U;
        return SK_PASS;
    }
    if (!found) return SK_PASS;

    const __u32 service = found->service;
    struct baseline_counters* counters = bpf_map_lookup_elem(&baseline_counts, &service);
    if (!counters) return SK_DROP;
    counters->lookups++;
    struct bpf_sock* sk = bpf_map_lookup_elem(&baseline_sockets, &service);
    if (!sk) {
        counters->unavailable++;
        return SK_DROP;
    }
    const long error = bpf_sk_assign(ctx, sk, 0);
    bpf_sk_release(sk);
    if (error) {
        counters->errors++;
        return SK_DROP;
    }
    return SK_PASS;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";

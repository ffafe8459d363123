// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * What no dispatcher can be faster than: a program that counts and assigns always the same socket,
 * and one that does nothing, which is the cost of being called.
 */
#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

/* clang-format off */
struct {
    __uint(type, BPF_MAP_TYPE_SOCKMAP);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, __u64);
} floor_sockets SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, __u64);
} floor_counts SEC(".maps");
/* clang-format on */

SEC("sk_lookup")
int constant(struct bpf_sk_lookup* ctx) {
    const __u32 zero = 0;
    __u64* count = bpf_map_lookup_elem(&floor_counts, &zero);
    if (count) ++*count;
    struct bpf_sock* sk = bpf_map_lookup_elem(&floor_sockets, &zero);
    if (!sk) return SK_DROP;
    const long error = bpf_sk_assign(ctx, sk, 0);
    bpf_sk_release(sk);
    return error ? SK_DROP : SK_PASS;
}

SEC("sk_lookup")
int empty(struct bpf_sk_lookup* ctx) {
    (void)ctx;
    return SK_PASS;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";

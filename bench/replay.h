/* SPDX-License-Identifier: (Apache-2.0 OR GPL-2.0-only OR BSD-2-Clause) */
/*
 * Force-included in front of a program under test (-include), so that every run takes its packet
 * from the next of REPLAY_KEYS keys in place of ctx. One test run can then repeat a program over
 * many keys, which the kernel times as one: without it each key is a system call of 2.5 us, whose
 * noise is greater than what is measured.
 *
 * The program's text is compiled as it is. Only the words that follow `int` in its definition are
 * replaced: the function that the kernel calls takes a key and calls the program's body with it,
 * and an assignment, which needs the context itself, gets that.
 */
#ifndef SLUICE_BENCH_REPLAY_H
#define SLUICE_BENCH_REPLAY_H

enum { REPLAY_KEYS = 65536 };

#ifdef __bpf__
#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

/* clang-format off */
struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, REPLAY_KEYS);
    __type(key, __u32);
    __type(value, struct bpf_sk_lookup);
} replay_keys SEC(".maps");
/* clang-format on */

__u32 replay_next; /* counts runs; one caller at a time */

static __always_inline struct bpf_sk_lookup* replay_key(void) {
    const __u32 at = replay_next++ % REPLAY_KEYS;
    return bpf_map_lookup_elem(&replay_keys, &at);
}

#define REPLAY_UNUSED __attribute__((unused))
#define REPLAY(name, parameter, key)                       \
    name(struct bpf_sk_lookup* packet) {                   \
        struct bpf_sk_lookup* from = key;                  \
        return from ? name##_body(packet, from) : SK_DROP; \
    }                                                      \
    static __always_inline int name##_body(struct bpf_sk_lookup* packet REPLAY_UNUSED, parameter)

#define DECLARE_BODY(name) \
    static __always_inline int name##_body(struct bpf_sk_lookup* packet, struct bpf_sk_lookup* ctx)
DECLARE_BODY(dispatch);
DECLARE_BODY(probe);
DECLARE_BODY(baseline);
DECLARE_BODY(constant);
DECLARE_BODY(empty);

#define dispatch(parameter) REPLAY(dispatch, parameter, replay_key())
#define baseline(parameter) REPLAY(baseline, parameter, replay_key())
#define constant(parameter) REPLAY(constant, parameter, replay_key())
#define empty(parameter) REPLAY(empty, parameter, replay_key())
#define probe(parameter) REPLAY(probe, parameter, packet) /* is not measured */
#define bpf_sk_assign(ctx, sk, flags) ((void)(ctx), bpf_sk_assign(packet, sk, flags))
#endif /* __bpf__ */

#endif /* SLUICE_BENCH_REPLAY_H */

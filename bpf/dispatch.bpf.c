// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * The dispatcher: who gets a new TCP connection or an unconnected UDP packet.
 *
 *   find_v4/v6      the longest prefix whose policy has the port, by one of two ways to the same:
 *     walk_v4/v6      the tries, one nesting level at a time (a lookup with one bit less than what
 *                     matched gives the next)
 *     probe_v4/v6     the index, one probe for each length of prefix that is there, longest first
 *   policy_target   within one policy: the innermost range that has the port, else its `any`
 *   next_live       within one set: the next socket that can still take a lookup
 *   dispatch        reads the packet, chooses half and way once, counts, assigns
 *
 * Functions that are not static are verified once, on their own, and take scalars only: 5.10
 * refuses ctx in them.
 */
#include <linux/bpf.h>
#include <linux/in.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "sluice/abi.h"
#include "sluice/index.h"

#define AF_INET 2
#define AF_INET6 10
#define TCP_LISTEN 10
#define TCP_CLOSE 7 /* the state of an unconnected UDP socket */
#define ESOCKTNOSUPPORT 94
#define EPROTOTYPE 91
#define EAFNOSUPPORT 97

#define WORDS SLUICE_BLOCK_WORDS
#define ATTEMPTS 4 /* at an assignment: the first choice, and three sockets that close just now */
#define V4_LENGTHS 33
#define V6_LENGTHS 129
#define SEARCH_STEPS 14 /* 2^14 * WORDS > SLUICE_MAX_PORTS */
#define PROBED_IN_PLACE                                                      \
    4 /* lengths of prefixes; the rest is asked for in a function of its own \
       */

/* A value the optimiser knows nothing about: keeps it from merging or duplicating loads of ctx. */
#define opaque(x) ({ asm volatile("" : "+r"(x)); })

/* clang-format off */
struct {
    __uint(type, BPF_MAP_TYPE_LPM_TRIE);
    __uint(map_flags, BPF_F_NO_PREALLOC);
    __uint(max_entries, 1); /* set by user space */
    __type(key, struct sluice_key_v4);
    __type(value, struct sluice_prefix);
} prefixes_v4 SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_LPM_TRIE);
    __uint(map_flags, BPF_F_NO_PREALLOC);
    __uint(max_entries, 1); /* set by user space */
    __type(key, struct sluice_key_v6);
    __type(value, struct sluice_prefix);
} prefixes_v6 SEC(".maps");

/* Both halves of the index, one behind the other; user space sets the size. */
struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(map_flags, BPF_F_MMAPABLE);
    __uint(max_entries, 2);
    __type(key, __u32);
    __type(value, struct sluice_index_v4);
} index_v4 SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(map_flags, BPF_F_MMAPABLE);
    __uint(max_entries, 2);
    __type(key, __u32);
    __type(value, struct sluice_index_v6);
} index_v6 SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(map_flags, BPF_F_MMAPABLE);
    __uint(max_entries, SLUICE_INDEX_HEADS);
    __type(key, __u32);
    __type(value, struct sluice_index_head);
} index_heads SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(map_flags, BPF_F_MMAPABLE);
    __uint(max_entries, SLUICE_POLICY_BLOCKS);
    __type(key, __u32);
    __type(value, struct sluice_policy_block);
} policies SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(map_flags, BPF_F_MMAPABLE);
    __uint(max_entries, SLUICE_MAX_SERVICES);
    __type(key, __u32);
    __type(value, struct sluice_service);
} services SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(map_flags, BPF_F_MMAPABLE);
    __uint(max_entries, SLUICE_MAX_MEMBERS);
    __type(key, __u32);
    __type(value, struct sluice_member);
} members SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(map_flags, BPF_F_MMAPABLE);
    __uint(max_entries, SLUICE_MAX_SOCKETS);
    __type(key, __u32);
    __type(value, struct sluice_slot);
} slots SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_SOCKMAP);
    __uint(max_entries, SLUICE_MAX_SOCKETS);
    __type(key, __u32);
    __type(value, __u64); /* 8 bytes: user space reads the cookie */
} sockets SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
    __uint(max_entries, SLUICE_TARGETS * SLUICE_CLASSES);
    __type(key, __u32);
    __type(value, struct sluice_counters);
} counters SEC(".maps");
/* clang-format on */

struct sluice_control control SEC(".data.control") = {.abi = SLUICE_ABI};

/*
 * All 0 in the program that is attached. A copy that is only test-run has in `assign_flags`
 * BPF_SK_LOOKUP_F_NO_REUSEPORT: the kernel refuses a test run (EOPNOTSUPP) whose answer is one of a
 * SO_REUSEPORT group.
 */
volatile const struct sluice_constants constants SEC(".rodata") = {};

/* For a copy that is to tell. Never shared between copies. */
volatile struct sluice_told told SEC(".data.told") = {.target = SLUICE_TARGET_NONE};

/*
 * Without a branch: the verifier walks every path through a search. And neither with an offset into
 * a map's value that is not a constant, nor with a loop that ends by its counter alone: for a
 * program that is loaded without CAP_PERFMON it also walks what a processor does that mispredicts
 * the end of the loop (Spectre), which has none.
 */

/* 1 if a <= b, else 0. */
static __always_inline __u64 at_most(__u32 a, __u32 b) {
    __u64 bit = 1 - (((__u64)b - a) >> 63);
    opaque(bit);
    return bit;
}

/* 1 if a == b, else 0. */
static __always_inline __u64 equal(__u32 a, __u32 b) {
    __u64 bit = ((__u64)(a ^ b) - 1) >> 63;
    opaque(bit);
    return bit;
}

/* By a multiplication: newer verifiers follow both outcomes of an AND with 0 or -1. */
static __always_inline __u64 choose(__u64 bit, __u64 yes, __u64 no) {
    return no + (yes - no) * bit;
}

static __always_inline __u32 smaller(__u32 a, __u32 b) { return choose(at_most(a, b), a, b); }

/* The fields of a struct sluice_policy_entry, as one word: clang would take a struct apart. */
#define WORD_LAST(word) ((__u32)(word) >> 16)
#define WORD_TARGET(word) ((__u32)((word) >> 32) & 0xffff)
#define WORD_PARENT(word) ((__u32)((word) >> 48))

/* Word `index` of a policy; 0, which no entry is, when there is no such block. */
static __always_inline __u64 policy_word(__u32 policy, __u32 index) {
    __u64 word = 0;
    const __u32 key = policy + index / WORDS;
    const struct sluice_policy_block* block = bpf_map_lookup_elem(&policies, &key);
    if (!block) return 0;
#pragma clang loop unroll(full)
    for (int i = 0; i < WORDS; i++) word += block->words[i].raw * equal(i, index % WORDS);
    return word;
}

/* How many of words 1 to 7 start at or below the port. */
static __always_inline __u32 rank_in_block(const struct sluice_policy_block* block, __u32 port) {
    __u32 rank = 0;
#pragma clang loop unroll(full)
    for (int i = 1; i < WORDS; i++) rank += at_most(block->words[i].entry.first, port);
    return rank;
}

/* The last block whose word 0 starts at or below the port; the first, whose word 0 is the head. */
static __always_inline __u32 find_block(__u32 policy, __u32 blocks, __u32 port) {
    __u32 rank = 0;
#pragma clang loop unroll(full)
    for (int i = 0; i < SEARCH_STEPS; i++) {
        const __u32 step = 1U << (SEARCH_STEPS - 1 - i);
        const __u32 probe = rank + step, key = policy + smaller(probe, blocks - 1);
        const struct sluice_policy_block* block = bpf_map_lookup_elem(&policies, &key);
        if (!block) return 0;
        rank += step * (at_most(probe, blocks - 1) & at_most(block->words[0].entry.first, port));
    }
    return rank;
}

/* The target (with its owner bit) that a policy gives a port, SLUICE_TARGET_NONE if none. */
__attribute__((noinline)) __u32 policy_target(__u32 policy, __u32 port) {
    const struct sluice_policy_block* block = bpf_map_lookup_elem(&policies, &policy);
    if (!block) return SLUICE_TARGET_NONE;
    const __u32 count = block->words[0].head.count;
    const __u32 fallback = block->words[0].head.fallback;
    if (count == 0) return fallback;

    /* 1-based position of the last entry that starts at or below the port; 0 if none does */
    const __u32 at_block = find_block(policy, block->words[0].head.blocks, port);
    const __u32 key = policy + at_block;
    block = bpf_map_lookup_elem(&policies, &key);
    if (!block) return fallback;
    __u32 at = smaller(at_block * WORDS + rank_in_block(block, port), count);
#pragma clang loop unroll(full)
    for (int depth = 0; depth < SLUICE_MAX_RANGE_DEPTH; depth++) {
        if (at == 0 || at > SLUICE_MAX_PORTS) return fallback;
        const __u64 word = policy_word(policy, at);
        if (word == 0) return fallback;
        if (port <= WORD_LAST(word)) return WORD_TARGET(word);
        at = (__u16)(WORD_PARENT(word) + 1); /* SLUICE_NO_PARENT becomes 0 */
    }
    return fallback;
}

/* The same, without a call for a few ports of which one is it. */
static __always_inline __u32 small_target(__u32 policy, __u32 port) {
    const struct sluice_policy_block* block = bpf_map_lookup_elem(&policies, &policy);
    if (!block) return SLUICE_TARGET_NONE;
    const __u32 count = block->words[0].head.count;
    if (count == 0) return block->words[0].head.fallback;
    if (count >= WORDS) return policy_target(policy, port);
    /* the last entry that starts at or below the port */
    const __u32 at = smaller(rank_in_block(block, port), count);
    __u64 word = 0;
#pragma clang loop unroll(full)
    for (int i = 1; i < WORDS; i++) word += block->words[i].raw * equal(i, at);
    if (word == 0) return block->words[0].head.fallback;
    if (port <= WORD_LAST(word)) return WORD_TARGET(word);
    return policy_target(policy, port); /* a range around it may have the port */
}

__attribute__((noinline)) __u32 called_small_target(__u32 policy, __u32 port) {
    return small_target(policy, port);
}

/* The same, without a call for what most policies are: `any` alone. */
static __always_inline __u32 simple_target(__u32 policy, __u32 port) {
    const struct sluice_policy_block* block = bpf_map_lookup_elem(&policies, &policy);
    if (!block) return SLUICE_TARGET_NONE;
    if (block->words[0].head.count == 0) return block->words[0].head.fallback;
    return called_small_target(policy, port);
}

/*
 * One step: the longest prefix of at most *length bits. Its target for the port, with its owner
 * bit, SLUICE_TARGET_NONE if it has none; and *length becomes its length, 0 when nothing shorter is
 * left. `key` is a sluice_key_v4 or _v6: both begin with the prefix length.
 */
static __always_inline __u32 step(void* trie, __u32* key, __u32 half, __u32 port, __u32* length,
                                  __u32 first) {
    *key = SLUICE_KEY_HEAD_BITS + *length;
    *length = 0;
    const struct sluice_prefix* prefix = bpf_map_lookup_elem(trie, key);
    if (!prefix) return SLUICE_TARGET_NONE;
    const __u32 column = choose(half & 1, prefix->column[1], prefix->column[0]);
    const __u32 policy = column & SLUICE_POLICY_MASK;
    *length = column >> SLUICE_LENGTH_SHIFT;
    if (policy == 0) return SLUICE_TARGET_NONE;
    return first ? small_target(policy, port) : simple_target(policy, port);
}

/* What *_on_* need beside address and port, in one argument: five are all there are. */
static __always_inline __u32 packed(__u32 half, __u32 protocol, __u32 length) {
    return length << 16 | protocol << 8 | half;
}

/* The longest prefix of at most `length` bits that has the port. */
__attribute__((noinline)) __u32 walk_on_v4(__u32 how, __u32 address, __u32 port) {
    struct sluice_key_v4 key = {.protocol = how >> 8 & 0xff};
    __builtin_memcpy(key.address, &address, sizeof(key.address));
    __u32 length = how >> 16;
    for (int i = 0; i < V4_LENGTHS; i++) {
        if (length >= V4_LENGTHS) break;
        const __u32 target = step(&prefixes_v4, &key.prefixlen, how, port, &length, 0);
        if (target != SLUICE_TARGET_NONE) return target;
        length--; /* below 0 it is too long: nothing is left */
    }
    return SLUICE_TARGET_NONE;
}

__attribute__((noinline)) __u32 walk_on_v6(__u32 how, __u64 high, __u64 low, __u32 port) {
    struct sluice_key_v6 key = {.protocol = how >> 8 & 0xff};
    __builtin_memcpy(key.address, &high, sizeof(high));
    __builtin_memcpy(key.address + sizeof(high), &low, sizeof(low));
    __u32 length = how >> 16;
    for (int i = 0; i < V6_LENGTHS; i++) {
        if (length >= V6_LENGTHS) break;
        const __u32 target = step(&prefixes_v6, &key.prefixlen, how, port, &length, 0);
        if (target != SLUICE_TARGET_NONE) return target;
        length--; /* below 0 it is too long: nothing is left */
    }
    return SLUICE_TARGET_NONE;
}

/*
 * The target of the longest prefix that has the port. The first step, which mostly is the last, is
 * taken in the caller: a call costs a tenth of a lookup.
 */
static __always_inline __u32 walk_v4(__u32 half, __u32 protocol, __u32 address, __u32 port) {
    struct sluice_key_v4 key = {.protocol = protocol};
    __builtin_memcpy(key.address, &address, sizeof(key.address));
    __u32 length = V4_LENGTHS - 1;
    const __u32 target = step(&prefixes_v4, &key.prefixlen, half, port, &length, 1);
    if (target != SLUICE_TARGET_NONE || length == 0) return target;
    return walk_on_v4(packed(half, protocol, length - 1), address, port);
}

/* The address comes as two 8-byte words in network byte order. */
static __always_inline __u32 walk_v6(__u32 half, __u32 protocol, __u64 high, __u64 low,
                                     __u32 port) {
    struct sluice_key_v6 key = {.protocol = protocol};
    __builtin_memcpy(key.address, &high, sizeof(high));
    __builtin_memcpy(key.address + sizeof(high), &low, sizeof(low));
    __u32 length = V6_LENGTHS - 1;
    const __u32 target = step(&prefixes_v6, &key.prefixlen, half, port, &length, 1);
    if (target != SLUICE_TARGET_NONE || length == 0) return target;
    return walk_on_v6(packed(half, protocol, length - 1), high, low, port);
}

/* What the index knows of one (half, family, protocol). */
static __always_inline const struct sluice_index_head* index_head(__u32 half, __u32 six,
                                                                  __u32 udp) {
    const __u32 key = (half & 1) << 2 | six << 1 | (udp & 1);
    return bpf_map_lookup_elem(&index_heads, &key);
}

/* The policy of an entry in one bucket, 0 if it is not there. */
static __always_inline __u32 scan_v4(const struct sluice_index_v4* bucket, __u64 key) {
#pragma clang loop unroll(full)
    for (int i = 0; i < SLUICE_INDEX_V4_SLOTS; i++) {
        const __u64 slot = bucket->slots[i];
        if (slot >> SLUICE_INDEX_POLICY_BITS == key) return slot & SLUICE_INDEX_POLICY_MASK;
    }
    return 0;
}

static __always_inline __u32 scan_v6(const struct sluice_index_v6* bucket, __u64 high, __u64 low,
                                     __u32 kind) {
#pragma clang loop unroll(full)
    for (int i = 0; i < SLUICE_INDEX_V6_SLOTS; i++) {
        const __u32 slot = bucket->slots[i];
        if (slot >> SLUICE_INDEX_POLICY_BITS == kind && bucket->address[i][1] == low &&
            bucket->address[i][0] == high)
            return slot & SLUICE_INDEX_POLICY_MASK;
    }
    return 0;
}

__attribute__((noinline)) __u32 displaced_v4(__u32 at, __u64 key) {
    const struct sluice_index_v4* bucket = bpf_map_lookup_elem(&index_v4, &at);
    return bucket ? scan_v4(bucket, key) : 0;
}

__attribute__((noinline)) __u32 displaced_v6(__u32 at, __u64 high, __u64 low, __u32 kind) {
    const struct sluice_index_v6* bucket = bpf_map_lookup_elem(&index_v6, &at);
    return bucket ? scan_v6(bucket, high, low, kind) : 0;
}

/* The policy of the prefix of `one_more` - 1 bits, 0 if there is none. `address` in host order. */
static __always_inline __u32 indexed_v4(const struct sluice_index_head* head, __u32 address,
                                        __u32 udp, __u32 one_more) {
    const __u32 spare = (V4_LENGTHS - one_more) & 63;
    const __u64 key =
        sluice_index_key_v4((__u64)address >> spare << spare, sluice_index_kind(udp, one_more));
    const __u64 hash = sluice_index_hash_v4(key, head->seed);
    const __u32 at = head->base + sluice_index_first(hash, head->buckets);
    const struct sluice_index_v4* bucket = bpf_map_lookup_elem(&index_v4, &at);
    if (!bucket) return 0;
    const __u32 policy = scan_v4(bucket, key);
    if (policy) return policy;
    if (!(bucket->displaced >> sluice_index_shift(hash, SLUICE_INDEX_V4_DISPLACED) & 15)) return 0;
    return displaced_v4(head->base + sluice_index_second(hash, head->buckets), key);
}

static __always_inline __u32 indexed_v6(const struct sluice_index_head* head, __u64 high, __u64 low,
                                        __u32 udp, __u32 one_more) {
    if (one_more > 65) {
        const __u32 spare = (V6_LENGTHS - one_more) & 63;
        low = low >> spare << spare;
    } else {
        const __u32 spare = (65 - one_more) & 63;
        high = one_more > 1 ? high >> spare << spare : 0;
        low = 0;
    }
    const __u32 kind = sluice_index_kind(udp, one_more);
    const __u64 hash = sluice_index_hash_v6(high, low, kind, head->seed);
    const __u32 at = head->base + sluice_index_first(hash, head->buckets);
    const struct sluice_index_v6* bucket = bpf_map_lookup_elem(&index_v6, &at);
    if (!bucket) return 0;
    const __u32 policy = scan_v6(bucket, high, low, kind);
    if (policy) return policy;
    if (!(bucket->displaced >> sluice_index_shift(hash, SLUICE_INDEX_V6_DISPLACED) & 15)) return 0;
    return displaced_v6(head->base + sluice_index_second(hash, head->buckets), high, low, kind);
}

/*
 * The target of the longest prefix that has the port, of those whose length is in `lengths`, one
 * word of a list. Apart from the loop over words: the verifier walks it once.
 */
__attribute__((noinline)) __u32 probe_word_v4(__u32 how, __u32 address, __u32 port, __u64 lengths) {
    const __u32 udp = how >> 8 & 1;
    const struct sluice_index_head* head = index_head(how, 0, udp);
    if (!head) return SLUICE_TARGET_NONE;
    for (int i = 0; i < 8; i++, lengths >>= 8) {
        const __u32 one_more = lengths & 0xff;
        if (one_more == 0) return SLUICE_TARGET_NONE;
        const __u32 policy = indexed_v4(head, address, udp, one_more);
        if (policy == 0) continue;
        const __u32 target = simple_target(policy, port);
        if (target != SLUICE_TARGET_NONE) return target;
    }
    return SLUICE_TARGET_NONE;
}

__attribute__((noinline)) __u32 probe_word_v6(__u32 how, __u64 high, __u64 low, __u32 port,
                                              __u64 lengths) {
    const __u32 udp = how >> 8 & 1;
    const struct sluice_index_head* head = index_head(how, 1, udp);
    if (!head) return SLUICE_TARGET_NONE;
    for (int i = 0; i < 8; i++, lengths >>= 8) {
        const __u32 one_more = lengths & 0xff;
        if (one_more == 0) return SLUICE_TARGET_NONE;
        const __u32 policy = indexed_v6(head, high, low, udp, one_more);
        if (policy == 0) continue;
        const __u32 target = simple_target(policy, port);
        if (target != SLUICE_TARGET_NONE) return target;
    }
    return SLUICE_TARGET_NONE;
}

/* The same for all of a list from place how >> 16 on, which is in its first word. */
__attribute__((noinline)) __u32 probe_on_v4(__u32 how, __u32 address, __u32 port) {
    const struct sluice_index_head* head = index_head(how, 0, how >> 8);
    if (!head) return SLUICE_TARGET_NONE;
    __u64 lengths = head->lengths[0] >> (how >> 16 & 7) * 8;
#pragma clang loop unroll(full)
    for (int w = 1; w <= V4_LENGTHS / 8 + 1; w++) {
        const __u32 target = probe_word_v4(how, address, port, lengths);
        if (target != SLUICE_TARGET_NONE) return target;
        lengths = head->lengths[w];
        if (lengths == 0) break;
    }
    return SLUICE_TARGET_NONE;
}

__attribute__((noinline)) __u32 probe_on_v6(__u32 how, __u64 high, __u64 low, __u32 port) {
    const struct sluice_index_head* head = index_head(how, 1, how >> 8);
    if (!head) return SLUICE_TARGET_NONE;
    __u64 lengths = head->lengths[0] >> (how >> 16 & 7) * 8;
#pragma clang loop unroll(full)
    for (int w = 1; w <= V6_LENGTHS / 8 + 1; w++) {
        const __u32 target = probe_word_v6(how, high, low, port, lengths);
        if (target != SLUICE_TARGET_NONE) return target;
        lengths = head->lengths[w];
        if (lengths == 0) break;
    }
    return SLUICE_TARGET_NONE;
}

/* As walk_v4, by the index. The first lengths, which mostly are all, are asked in the caller. */
static __always_inline __u32 probe_v4(__u32 half, __u32 protocol, __u32 address, __u32 port) {
    const struct sluice_index_head* head = index_head(half, 0, protocol);
    if (!head) return SLUICE_TARGET_NONE;
    const __u64 lengths = head->lengths[0];
    address = bpf_ntohl(address);
    __u32 policy = 0, place = 0;
#pragma clang loop unroll(full)
    for (int i = 0; i < PROBED_IN_PLACE; i++) {
        const __u32 one_more = lengths >> 8 * i & 0xff;
        if (one_more == 0) return SLUICE_TARGET_NONE;
        policy = indexed_v4(head, address, protocol & 1, one_more);
        place = i + 1;
        if (policy) break;
    }
    if (policy) {
        const __u32 target = small_target(policy, port);
        if (target != SLUICE_TARGET_NONE) return target;
    }
    return probe_on_v4(packed(half, protocol, place), address, port);
}

static __always_inline __u32 probe_v6(__u32 half, __u32 protocol, __u64 high, __u64 low,
                                      __u32 port) {
    const struct sluice_index_head* head = index_head(half, 1, protocol);
    if (!head) return SLUICE_TARGET_NONE;
    const __u64 lengths = head->lengths[0];
    high = bpf_be64_to_cpu(high);
    low = bpf_be64_to_cpu(low);
    __u32 policy = 0, place = 0;
#pragma clang loop unroll(full)
    for (int i = 0; i < PROBED_IN_PLACE; i++) {
        const __u32 one_more = lengths >> 8 * i & 0xff;
        if (one_more == 0) return SLUICE_TARGET_NONE;
        policy = indexed_v6(head, high, low, protocol & 1, one_more);
        place = i + 1;
        if (policy) break;
    }
    if (policy) {
        const __u32 target = small_target(policy, port);
        if (target != SLUICE_TARGET_NONE) return target;
    }
    return probe_on_v6(packed(half, protocol, place), high, low, port);
}

/* The target that half and way give, which are what one read of control.active said. */
static __always_inline __u32 find_v4(__u32 half, __u32 by_index, __u32 protocol, __u32 address,
                                     __u32 port) {
    return by_index ? probe_v4(half, protocol, address, port)
                    : walk_v4(half, protocol, address, port);
}

static __always_inline __u32 find_v6(__u32 half, __u32 by_index, __u32 protocol, __u64 high,
                                     __u64 low, __u32 port) {
    return by_index ? probe_v6(half, protocol, high, low, port)
                    : walk_v6(half, protocol, high, low, port);
}

static __always_inline struct bpf_sock* member_socket(__u32 cell) {
    const struct sluice_member* member = bpf_map_lookup_elem(&members, &cell);
    if (!member) return 0;
    const __u32 slot = member->slot;
    return bpf_map_lookup_elem(&sockets, &slot);
}

static __always_inline struct sluice_counters* row(__u32 target, __u32 class) {
    const __u32 key = target * SLUICE_CLASSES + class;
    return bpf_map_lookup_elem(&counters, &key);
}

#define COUNT(target, class, field)                           \
    do {                                                      \
        struct sluice_counters* counted = row(target, class); \
        if (counted) counted->field++;                        \
    } while (0)

/* The cell that is `turn` places after `start` in the ring of `count` cells from `first` on. */
static __always_inline __u32 cell_at(__u32 first, __u32 count, __u32 start, __u32 turn) {
    const __u32 place = start + turn;
    return first + (place < count ? place : place - count);
}

/* The first of the 16 turns from `turn` on that is live, as below; `turn` + 16 if none is. */
__attribute__((noinline)) __u32 next_live_of_16(__u32 first, __u32 start_and_count, __u32 turn,
                                                __u32 state) {
    const __u32 start = start_and_count >> 16, count = start_and_count & 0xffff;
    for (__u32 i = 0; i < 16; i++, turn++) {
        if (turn >= count) return turn;
        struct bpf_sock* sk = member_socket(cell_at(first, count, start, turn));
        if (!sk) continue;
        const __u32 live = sk->state == state;
        bpf_sk_release(sk);
        if (live) return turn;
    }
    return turn;
}

/*
 * The first turn >= `turn` whose socket is in `state`, at least `count` if there is none. A slot
 * that is filled is not yet healthy: a listener that was shut down and a UDP socket that was
 * connected stay in theirs.
 */
__attribute__((noinline)) __u32 next_live(__u32 first, __u32 start_and_count, __u32 turn,
                                          __u32 state) {
    const __u32 count = start_and_count & 0xffff;
#pragma clang loop unroll(full)
    for (__u32 i = 0; i < SLUICE_MAX_SET / 16; i++) {
        const __u32 found = next_live_of_16(first, start_and_count, turn, state);
        if (found >= count || found < turn + 16) return found;
        turn = found;
    }
    return count;
}

/*
 * A cursor over all sockets that a lookup may get: those of the service found, in the order of its
 * hash, then those of its fallback, and so on. One scalar, because that is all a function verified
 * on its own may take and give:  cell 0-17 | turn 18-26 | hop 27-29 | target 32-47 | by 48-63.
 * `turn` is the next one to try; `by` is the service whose policy named the target.
 */
#define CURSOR_CELL(c) ((__u32)(c) & (SLUICE_MAX_MEMBERS - 1))
#define CURSOR_TURN(c) ((__u32)(c) >> 18 & 0x1ff)
#define CURSOR_HOP(c) ((__u32)(c) >> 27 & 7)
#define CURSOR_TARGET(c) ((__u32)((c) >> 32) & 0xffff)
#define CURSOR_BY(c) ((__u32)((c) >> 48))

static __always_inline __u64 cursor(__u32 by, __u32 target, __u32 hop, __u32 turn, __u32 cell) {
    return (__u64)by << 48 | (__u64)(target & 0xffff) << 32 | hop << 27 | (turn & 0x1ff) << 18 |
           (cell & (SLUICE_MAX_MEMBERS - 1));
}

/* First cell << 32 | count, of the sockets that serve a class. */
static __always_inline __u64 set_of(const struct sluice_service* record, __u32 class) {
    __u64 set = 0;
#pragma clang loop unroll(full)
    for (int i = 0; i < SLUICE_CLASSES; i++)
        set += *(volatile const __u64*)&record->set[i] * equal(i, class);
    const __u32 count = (__u32)set;
    return count <= SLUICE_MAX_SET ? set : (set >> 32 << 32 | SLUICE_MAX_SET);
}

/*
 * Moves the cursor to the next socket that can take the lookup; its target is REJECT or PASS when
 * there is none left.
 */
__attribute__((noinline)) __u64 next_choice(__u64 at, __u32 class, __u32 half, __u32 hash) {
    __u32 target = CURSOR_TARGET(at), by = CURSOR_BY(at), turn = CURSOR_TURN(at);
    /* One turn more than there are services in the longest chain: what the last one falls to. */
#pragma clang loop unroll(full)
    for (__u32 hop = CURSOR_HOP(at), i = 0; i <= SLUICE_MAX_FALLBACKS + 1; i++, hop++) {
        if (target >= SLUICE_MAX_SERVICES) return cursor(by, target, hop, 0, 0);
        if (hop > SLUICE_MAX_FALLBACKS) break;
        const struct sluice_service* record = bpf_map_lookup_elem(&services, &target);
        if (!record) break;
        const __u64 set = set_of(record, class);
        const __u32 first = set >> 32, count = (__u32)set;
        const __u32 start = (__u64)hash * count >> 32;
        if (turn < count)
            turn = next_live(first, start << 16 | count, turn, class & 2 ? TCP_CLOSE : TCP_LISTEN);
        if (turn < count)
            return cursor(by, target, hop, turn + 1, cell_at(first, count, start, turn));
        COUNT(target, class, unavailable);
        by = target;
        target = choose(half & 1, *(volatile const __u16*)&record->unavailable[1],
                        *(volatile const __u16*)&record->unavailable[0]);
        turn = 0;
    }
    return cursor(by, SLUICE_TARGET_REJECT, 0, 0, 0); /* more fallbacks than a config may have */
}

/*
 * The same for a lookup that has tried none yet. In place and not by a call, for the service that
 * has a socket: then this is all.
 */
static __always_inline __u64 first_choice(__u32 found, __u32 class, __u32 half, __u32 hash) {
    if (found < SLUICE_MAX_SERVICES) {
        const struct sluice_service* record = bpf_map_lookup_elem(&services, &found);
        const __u64 set = record ? set_of(record, class) : 0;
        const __u32 first = set >> 32, count = (__u32)set;
        if (count) return cursor(found, found, 0, 1, first + ((__u64)hash * count >> 32));
    }
    return next_choice(cursor(found, found, 0, 0, 0), class, half, hash);
}

/* A function of its own, so that the verifier walks its branches once. */
__attribute__((noinline)) __u32 count_error(__u32 target, __u32 class, __s32 error) {
    if (error == -ESOCKTNOSUPPORT)
        COUNT(target, class, error_type);
    else if (error == -EPROTOTYPE)
        COUNT(target, class, error_protocol);
    else if (error == -EAFNOSUPPORT)
        COUNT(target, class, error_family);
    else
        COUNT(target, class, error_other);
    return 0; /* 5.10 has no functions without a value */
}

/* Spreads flows over sockets: the finaliser of MurmurHash3 over what names the flow. */
static __always_inline __u32 flow_hash(__u64 addresses, __u32 ports) {
    __u64 x = addresses ^ ((__u64)ports << 16) ^ ports;
    x ^= x >> 33;
    x *= 0xff51afd7ed558ccdULL;
    x ^= x >> 33;
    x *= 0xc4ceb9fe1a85ec53ULL;
    return x >> 32;
}

SEC("sk_lookup")
int dispatch(struct bpf_sk_lookup* ctx) {
    /* Every field once and unconditionally, and hidden from the optimiser, which would merge
     * conditional reads into a form that the verifier refuses. */
    __u32 family = ctx->family, protocol = ctx->protocol, port = ctx->local_port;
    __u32 local4 = ctx->local_ip4, remote4 = ctx->remote_ip4, remote_port = ctx->remote_port;
    __u32 l0 = ctx->local_ip6[0], l1 = ctx->local_ip6[1];
    __u32 l2 = ctx->local_ip6[2], l3 = ctx->local_ip6[3];
    __u32 r0 = ctx->remote_ip6[0], r1 = ctx->remote_ip6[1];
    __u32 r2 = ctx->remote_ip6[2], r3 = ctx->remote_ip6[3];
    opaque(family), opaque(protocol), opaque(port), opaque(local4), opaque(remote4);
    opaque(remote_port), opaque(l0), opaque(l1), opaque(l2), opaque(l3);
    opaque(r0), opaque(r1), opaque(r2), opaque(r3);

    /* Read once: this run answers from one half, whole, and by one way. */
    const __u32 active = *(volatile __u32*)&control.active;
    const __u32 half = active & SLUICE_HALF_MASK;
    __u32 by_index = active & SLUICE_INDEX_ANSWERS;
    if (constants.answer_by == SLUICE_BY_TRIES) by_index = 0;
    if (constants.answer_by == SLUICE_BY_INDEX) by_index = 1;
    const __u32 six = family == AF_INET6;
    __u32 class = (protocol & 1) << 1 | (family >> 3 & 1);
    opaque(class);
    const __u64 high = (__u64)l1 << 32 | l0, low = (__u64)l3 << 32 | l2;
    __u32 found = six ? find_v6(half, by_index, protocol, high, low, port)
                      : find_v4(half, by_index, protocol, local4, port);
    if (constants.tell) told.target = found;
    if (constants.tell == SLUICE_TELL_AND_END) return SK_PASS;
    found &= SLUICE_TARGET_MASK; /* without the owner's bit */
    const __u64 remote = six ? ((__u64)(r0 ^ r2) << 32 | (r1 ^ r3)) : remote4;
    const __u64 local = six ? high ^ low : local4;
    const __u32 hash = flow_hash(remote ^ local * 0x9e3779b97f4a7c15ULL, remote_port << 16 ^ port);

    __u64 at = first_choice(found, class, half, hash);

#pragma clang loop unroll(full)
    for (int i = 0; i < ATTEMPTS; i++, at = next_choice(at, class, half, hash)) {
        const __u32 service = CURSOR_TARGET(at);
        if (service >= SLUICE_MAX_SERVICES) break;
        struct bpf_sock* sk = member_socket(CURSOR_CELL(at));
        if (!sk) continue;
        const long error = bpf_sk_assign(ctx, sk, constants.assign_flags);
        bpf_sk_release(sk);
        if (error == 0) {
            COUNT(service, class, assigned);
            return SK_PASS;
        }
        count_error(service, class, error);
    }

    if (CURSOR_TARGET(at) >= SLUICE_TARGET_PASS) {
        COUNT(CURSOR_BY(at), class, passed);
        return SK_PASS;
    }
    COUNT(CURSOR_BY(at), class, rejected);
    return SK_DROP;
}

/*
 * Can the socket in a slot take a lookup? Never attached: user space test-runs it with the slot's
 * number in place of the remote port (host byte order), and the class of interest in family and
 * protocol.
 */
SEC("sk_lookup")
int probe(struct bpf_sk_lookup* ctx) {
    __u32 slot = ctx->remote_port, protocol = ctx->protocol;
    opaque(slot), opaque(protocol);
    struct bpf_sock* sk = bpf_map_lookup_elem(&sockets, &slot);
    if (!sk) return SK_DROP;
    const __u32 state = sk->state;
    long error = -ESOCKTNOSUPPORT;
    if (state == (protocol == IPPROTO_UDP ? TCP_CLOSE : TCP_LISTEN))
        error = bpf_sk_assign(ctx, sk, BPF_SK_LOOKUP_F_NO_REUSEPORT);
    bpf_sk_release(sk);
    return error ? SK_DROP : SK_PASS;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";

/* SPDX-License-Identifier: (Apache-2.0 OR GPL-2.0-only OR BSD-2-Clause) */
/*
 * The index: the prefixes of the tries as hash tables of 64-byte buckets, one a half and family.
 * Layouts, and the arithmetic that the writer and the BPF program must do alike.
 *
 * An entry is (protocol, prefix) -> policy. It lives in the first bucket that its hash names, or,
 * when that was full, in the second. A bucket counts, by 4 bits of the hash, the entries that it is
 * the first choice of but that live elsewhere: so a lookup reads one line for each length of prefix
 * that is there, and a second one only where something may be in it.
 *
 * Addresses are in host byte order here: a prefix is the high bits of a number.
 */
#ifndef SLUICE_INDEX_H
#define SLUICE_INDEX_H

#include "sluice/abi.h"

#ifdef __bpf__
#define SLUICE_INLINE static __attribute__((always_inline)) inline
#else
#define SLUICE_INLINE static inline
#endif
#ifdef __cplusplus
#define SLUICE_U32(x) static_cast<__u32>(x)
#else
#define SLUICE_U32(x) ((__u32)(x))
#endif

enum {
    SLUICE_INDEX_V4_SLOTS = 7,
    SLUICE_INDEX_V6_SLOTS = 3,
    SLUICE_INDEX_V4_DISPLACED = 16, /* counters of 4 bits a bucket; 15 is for ever */
    SLUICE_INDEX_V6_DISPLACED = 8,
    SLUICE_INDEX_POLICY_BITS = 22,
    SLUICE_INDEX_POLICY_MASK = (1 << SLUICE_INDEX_POLICY_BITS) - 1,
    SLUICE_INDEX_LENGTHS = 176, /* bytes for lists of lengths, of which 130 may be used */
    SLUICE_INDEX_HEADS = 8,     /* half * 4 + (IPv6) * 2 + (UDP) */
};
SLUICE_ASSERT(SLUICE_POLICY_BLOCKS <= 1 << SLUICE_INDEX_POLICY_BITS, "ids of policies fit");

/*
 * A slot's low 32 bits: policy (22) | UDP (1) | 1 + length of the prefix (8). 0: the slot is free.
 * What is above the policy is the `kind` of an entry.
 */
SLUICE_INLINE __u32 sluice_index_kind(__u32 udp, __u32 one_more_than_length) {
    return one_more_than_length << 1 | udp;
}

struct sluice_index_v4 {
    __u64 displaced;                    /* 16 counters of 4 bits */
    __u64 slots[SLUICE_INDEX_V4_SLOTS]; /* address << 32 | kind << 22 | policy */
};
SLUICE_ASSERT(sizeof(struct sluice_index_v4) == 64, "one cache line");

struct sluice_index_v6 {
    __u32 displaced;                         /* 8 counters of 4 bits */
    __u32 slots[SLUICE_INDEX_V6_SLOTS];      /* kind << 22 | policy */
    __u64 address[SLUICE_INDEX_V6_SLOTS][2]; /* high, low */
};
SLUICE_ASSERT(sizeof(struct sluice_index_v6) == 64, "one cache line");

/* index_heads: array by SLUICE_INDEX_HEADS. What a lookup of one (half, family, protocol) needs. */
struct sluice_index_head {
    __u64 seed;
    __u32 buckets; /* that are used, 2 or more; 0: there is nothing */
    __u32 base;    /* the first of the half's buckets in the map */
    /* 1 + each length that some entry has, once, longest first, 8 a word from the low byte on; then
     * zeros. */
    __u64 lengths[SLUICE_INDEX_LENGTHS / 8];
};
SLUICE_ASSERT(sizeof(struct sluice_index_head) == 192, "three cache lines; the first does mostly");

/* The multipliers are those of MurmurHash3's 64-bit finaliser. */
SLUICE_INLINE __u64 sluice_index_mix(__u64 x) {
    x *= 0xff51afd7ed558ccdULL;
    x ^= x >> 32;
    x *= 0xc4ceb9fe1a85ec53ULL;
    return x ^ x >> 29;
}

/* An IPv4 entry's address and kind in one word: what its slot is above the policy. */
SLUICE_INLINE __u64 sluice_index_key_v4(__u32 address, __u32 kind) {
    const __u64 bits = address;
    return bits << (32 - SLUICE_INDEX_POLICY_BITS) | kind;
}
SLUICE_INLINE __u64 sluice_index_hash_v4(__u64 key, __u64 seed) {
    return sluice_index_mix(key ^ seed);
}
SLUICE_INLINE __u64 sluice_index_hash_v6(__u64 high, __u64 low, __u32 kind, __u64 seed) {
    __u64 x = (high ^ seed) * 0x9e3779b97f4a7c15ULL;
    x ^= x >> 32;
    return sluice_index_mix((x + kind * 0xc2b2ae3d27d4eb4fULL) ^ low);
}

/* The two buckets of a hash; never the same one. */
SLUICE_INLINE __u32 sluice_index_first(__u64 hash, __u32 buckets) {
    return SLUICE_U32((hash >> 32) * buckets >> 32);
}
SLUICE_INLINE __u32 sluice_index_second(__u64 hash, __u32 buckets) {
    const __u32 other = SLUICE_U32((hash & 0xffffffff) * (buckets - 1) >> 32);
    return other + (other >= sluice_index_first(hash, buckets));
}
/* How far a word of counters is to be shifted for a hash's own to be the lowest 4 bits. */
SLUICE_INLINE __u32 sluice_index_shift(__u64 hash, __u32 counters) {
    return SLUICE_U32(hash & (counters - 1)) * 4;
}

#endif /* SLUICE_INDEX_H */

/* SPDX-License-Identifier: (Apache-2.0 OR GPL-2.0-only OR BSD-2-Clause) */
/*
 * What the BPF program and user space share: the layout of every pinned map.
 *
 * C, because both clang's BPF target and g++ read it. Every size is asserted. Numbers are in host
 * byte order unless a field says otherwise; addresses are in network byte order, as in a packet.
 *
 * A change that an older program would misread raises SLUICE_ABI. Records have reserved tail room,
 * so that a later version can give a reserved field a meaning without a new map.
 */
#ifndef SLUICE_ABI_H
#define SLUICE_ABI_H

#include <linux/types.h>

#ifdef __cplusplus
#define SLUICE_ASSERT(cond, why) static_assert(cond, why)
#else
#define SLUICE_ASSERT(cond, why) _Static_assert(cond, why)
#endif

enum {
    SLUICE_ABI = 1,

    SLUICE_HALVES = 2,          /* one answers, one is written (left-right) */
    SLUICE_MAX_SERVICES = 4096, /* ids 0 .. 4095 */
    SLUICE_MAX_SET = 256,       /* sockets of one (service, protocol, family) */
    SLUICE_MAX_SOCKETS =
        65536, /* slots of the sockets map; never changes: sockets cannot be copied */
    SLUICE_MAX_MEMBERS =
        262144,               /* cells of the members array: old and new lists live side by side */
    SLUICE_MAX_FALLBACKS = 4, /* services tried after the first */
    SLUICE_MAX_PORTS = 65535, /* port entries of one (protocol, prefix) */
    SLUICE_MAX_RANGE_DEPTH = 16,   /* ranges of one prefix nest at most this deep */
    SLUICE_POLICY_BLOCKS = 262144, /* 64-byte blocks of distinct policies; block 0 is never used */
    SLUICE_NAME_SIZE = 104,        /* a service name and its NUL; names have 1 to 100 bytes */
};

/* ---- prefixes_v4, prefixes_v6: LPM tries, (protocol, prefix) -> one column a half -------------
 */

/* prefixlen counts from the protocol on: SLUICE_KEY_HEAD_BITS + length of the prefix. */
enum { SLUICE_KEY_HEAD_BITS = 32 };

struct sluice_key_v4 {
    __u32 prefixlen; /* 32 .. 64 */
    __u8 protocol;   /* IPPROTO_TCP or IPPROTO_UDP */
    __u8 zero[3]; /* pads (protocol, address) to one 8-byte comparison in the kernel's trie walk */
    __u8 address[4]; /* network byte order, host bits zero */
};
SLUICE_ASSERT(sizeof(struct sluice_key_v4) == 12, "LPM keys have no padding");

struct sluice_key_v6 {
    __u32 prefixlen; /* 32 .. 160 */
    __u8 protocol;
    __u8 zero[3];
    __u8 address[16]; /* network byte order, host bits zero */
};
SLUICE_ASSERT(sizeof(struct sluice_key_v6) == 24, "LPM keys have no padding");

/*
 * column[h] = prefix length << 24 | first block of the policy in half h, 0 in the low bits when the
 * prefix has no bindings in that half: the lookup goes on with the next shorter prefix.
 */
struct sluice_prefix {
    __u32 column[SLUICE_HALVES];
};
SLUICE_ASSERT(sizeof(struct sluice_prefix) == 8, "LPM value");

enum { SLUICE_LENGTH_SHIFT = 24, SLUICE_POLICY_MASK = 0xffffff };

/* ---- policies: array of 64-byte blocks, mmaped ------------------------------------------------
 */

/*
 * A policy is what one (protocol, prefix) says about ports: a run of 8-byte words that starts at a
 * block boundary, immutable once a column names it. Word 0 is the head; words 1 .. count are port
 * entries, sorted by first port, wider first, each with the position of the entry that encloses it.
 */
struct sluice_policy_head {
    __u32 count;    /* port entries that follow */
    __u16 fallback; /* target of the `any` binding, SLUICE_TARGET_NONE without one */
    __u16 blocks;   /* 64-byte blocks of this policy */
};

struct sluice_policy_entry {
    __u16 first;  /* first port, inclusive */
    __u16 last;   /* last port, inclusive; == first for an exact port */
    __u16 target; /* see below */
    __u16 parent; /* position (0-based) of the entry that encloses this one; SLUICE_NO_PARENT */
};

enum { SLUICE_NO_PARENT = 0xffff, SLUICE_BLOCK_WORDS = 8 };

union sluice_policy_word {
    struct sluice_policy_head head;
    struct sluice_policy_entry entry;
    __u64 raw;
};
SLUICE_ASSERT(sizeof(union sluice_policy_word) == 8, "policy words are 8 bytes");

struct sluice_policy_block {
    union sluice_policy_word words[SLUICE_BLOCK_WORDS];
};
SLUICE_ASSERT(sizeof(struct sluice_policy_block) == 64, "one cache line");

/* A target is a service id (0 .. 4095) or one of these; SLUICE_RUNTIME marks a runtime binding. */
enum {
    SLUICE_TARGET_REJECT = 4096,
    SLUICE_TARGET_PASS = 4097,
    SLUICE_TARGET_NONE = 4098, /* no binding: go on with the next shorter prefix */
    SLUICE_TARGETS = 4099,
    SLUICE_TARGET_MASK = 0x1fff,
    SLUICE_RUNTIME = 0x8000,
};

/* ---- services: array, mmaped ------------------------------------------------------------------
 */

/* A class is a (protocol, family): the sockets of a service that one lookup may choose among. */
enum {
    SLUICE_TCP_V4 = 0,
    SLUICE_TCP_V6 = 1,
    SLUICE_UDP_V4 = 2,
    SLUICE_UDP_V6 = 3,
    SLUICE_CLASSES = 4,
};

struct sluice_service {
    /* By class: first cell in `members` << 32 | number of members. One store replaces a whole set.
     */
    __u64 set[SLUICE_CLASSES];
    __u16 unavailable[SLUICE_HALVES]; /* a target: REJECT, PASS, or the fallback service's id */
    __u8 used;                        /* 1: the record belongs to the service `name` */
    __u8 zero[27];                    /* the first 64 bytes are all a lookup reads */
    char name[SLUICE_NAME_SIZE];      /* NUL-terminated */
    __u8 roles;                       /* which of the two roles of its slots holds: 0 or 1 */
    __u8 reserved[87];
};
SLUICE_ASSERT(sizeof(struct sluice_service) == 256, "service record");

/* ---- members: array of slot numbers, mmaped; sockets: SOCKMAP by slot; slots: array, mmaped ---
 */

struct sluice_member {
    __u32 slot; /* index into sockets and slots */
    __u32 zero; /* arrays are strided by 8 bytes anyway */
};

/*
 * What a socket is to its service. Two columns, like prefixes: one store to `roles` of the service
 * makes the other column hold, for all of its sockets at once, and its sets are made to follow.
 * Whoever finds them apart after a crash makes the sets anew from the column that holds.
 */
enum {
    SLUICE_ROLE_LISTED = 0,  /* of an agent that knew no roles: serves where a set names it */
    SLUICE_ROLE_SERVING = 1, /* in the service's sets */
    SLUICE_ROLE_STAGED = 2,  /* in no set: waits for `promote` */
    SLUICE_ROLE_FORMER = 3,  /* in no set: served before the last `promote`, waits for `demote` */
    SLUICE_ROLE_NONE = 4,    /* not yet, or no more, the service's */
};

/* What a UDP socket can answer with; 0: not known. */
enum {
    SLUICE_REPLIES_KNOWN = 1,
    SLUICE_REPLIES_ORIGINAL_DESTINATION = 2, /* IP_RECVORIGDSTADDR */
    SLUICE_REPLIES_PACKET_INFO = 4,          /* IP_PKTINFO */
    SLUICE_REPLIES_NONLOCAL = 8,             /* IP_FREEBIND or IP_TRANSPARENT */
};

/* Who is in a slot. For people and for a restarted agent; no lookup reads it. */
struct sluice_slot {
    __u64 cookie;     /* SO_COOKIE; 0: the slot is free */
    __s64 since;      /* registration, seconds since 1970 */
    __u8 address[16]; /* bound address, network byte order; IPv4 in the first 4 bytes */
    __u16 port;       /* bound port, host byte order */
    __u16 service;    /* id of the service it is registered for */
    __u8 protocol;    /* IPPROTO_TCP or IPPROTO_UDP */
    __u8 family;      /* AF_INET or AF_INET6 */
    __u8 dual;        /* 1: an IPv6 socket that serves IPv4 too */
    __u8 zero;
    __s32 pid;        /* the registering (or owning) process, 0 if unknown */
    char command[16]; /* its /proc/PID/comm at registration, NUL-terminated */
    __u8 role[2];     /* SLUICE_ROLE_*, by column */
    __u8 replies;     /* SLUICE_REPLIES_*, or-ed */
    __u8 reserved[65];
};
SLUICE_ASSERT(sizeof(struct sluice_slot) == 128, "slot record");

/* ---- counters: per-CPU array, index = target * SLUICE_CLASSES + class -------------------------
 */

struct sluice_counters {
    __u64 assigned;    /* lookups handed to a socket of this service */
    __u64 unavailable; /* lookups that found no usable socket of this service */
    __u64 rejected;    /* refused: a reject binding (its row), or this service's `unavailable` */
    __u64 passed;      /* left to the kernel: a pass binding, no binding, or `unavailable: pass` */
    __u64 error_type;  /* assign failed: ESOCKTNOSUPPORT (shut down, connected, not a listener) */
    __u64 error_protocol; /* assign failed: EPROTOTYPE */
    __u64 error_family;   /* assign failed: EAFNOSUPPORT */
    __u64 error_other;    /* assign failed: any other errno */
};
SLUICE_ASSERT(sizeof(struct sluice_counters) == 64, "one cache line a row");

/* ---- control: the .data section of the object, mmaped -----------------------------------------
 */

struct sluice_control {
    __u32 abi;    /* SLUICE_ABI of who made the maps */
    __u32 active; /* the half that answers | SLUICE_INDEX_ANSWERS: one store-release flips it */
    __u64 generation[SLUICE_HALVES]; /* which generation each half holds */
    __u32 target;                    /* 1 + the half being written; 0: both halves are equal */
    __u32 detached;                  /* 1: the link was removed by `detach`, not by accident */
    __u64 netns_cookie; /* SO_NETNS_COOKIE of the namespace; 0 where the kernel has none */
    __u64 image;        /* hash of the object file the program was loaded from */
    __s64 changed;      /* when `generation[active]` was made active, seconds since 1970 */
    __u8 reserved[72];
};
SLUICE_ASSERT(sizeof(struct sluice_control) == 128, "control block");

/* In `active`: the half's index answers (sluice/index.h), and not the tries. */
enum { SLUICE_HALF_MASK = 1, SLUICE_INDEX_ANSWERS = 2 };

/* ---- constants: the .rodata section, set before the program is loaded -------------------------
 */

enum { SLUICE_BY_CONTROL = 0, SLUICE_BY_TRIES = 1, SLUICE_BY_INDEX = 2 };
enum { SLUICE_TELL = 1, SLUICE_TELL_AND_END = 2 }; /* the latter: no socket is chosen */

/* All 0 in the program that is attached. */
struct sluice_constants {
    __u64 assign_flags; /* for bpf_sk_assign */
    __u32 answer_by;    /* SLUICE_BY_…: in a copy that is only test-run, whatever `active` says */
    __u32 tell;         /* SLUICE_TELL…: such a copy leaves what it found in `told` */
};
SLUICE_ASSERT(sizeof(struct sluice_constants) == 16, "constants");

/* The .data.told section. */
struct sluice_told {
    __u32 target; /* with its owner's bit; of the last run */
    __u32 zero;
};
SLUICE_ASSERT(sizeof(struct sluice_told) == 8, "told");

#endif /* SLUICE_ABI_H */

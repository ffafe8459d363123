/* SPDX-License-Identifier: (Apache-2.0 OR GPL-2.0-only OR BSD-2-Clause) */
/* The layout of the baseline's table, for its program and for the driver that fills it. */
#ifndef SLUICE_BENCH_BASELINE_H
#define SLUICE_BENCH_BASELINE_H

#include <linux/types.h>

enum {
    BASELINE_HEAD_BITS = 24,   /* protocol and port, which a match always has in full */
    BASELINE_MAPPED_BITS = 96, /* of ::ffff:0:0/96, where IPv4 lives */
    BASELINE_MAX_SERVICES = 4096,
};

/* prefixlen, then 19 bytes of data. */
struct baseline_key {
    __u32 prefixlen; /* BASELINE_HEAD_BITS + length of the IPv6 or IPv4-mapped prefix */
    __u8 protocol;   /* IPPROTO_TCP or IPPROTO_UDP */
    __u16 port;      /* host byte order; 0: any */
    __u8 address[16];
} __attribute__((packed));

struct baseline_value {
    __u32 service; /* index into sockets and counters */
    __u32 length;  /* prefixlen of the key, to tell the longer of two matches */
};

struct baseline_counters {
    __u64 lookups;
    __u64 unavailable;
    __u64 errors;
};

#endif /* SLUICE_BENCH_BASELINE_H */

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The client's end of the control socket: one message out with descriptors, one message in, all
 * before one deadline and within one size. Nothing that the other end does keeps the caller longer,
 * or makes it hold more than one buffer.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

enum {
    connection_max_path = 107,            /* bytes: sun_path without its NUL */
    connection_max_message = 1024 * 1024, /* bytes of an answer; 253 sockets are some 100,000 */
};

enum connection_trouble {
    connection_fine,
    connection_errno,   /* `error` is why */
    connection_late,    /* the deadline has passed */
    connection_closed,  /* by the other end */
    connection_endless, /* more than connection_max_message */
};

struct connection {
    int fd;           /* -1: none */
    int64_t deadline; /* nanoseconds of CLOCK_MONOTONIC */
    enum connection_trouble trouble;
    int error;
    size_t received; /* in all */
    size_t have, at; /* in `buffer`: how much, and what comes next */
    unsigned char buffer[4096];
};

/* `path` has at most connection_max_path bytes. Close it whatever came of it. */
enum connection_trouble connection_open(struct connection* connection, const char* path,
                                        int timeout_ms);
/* The descriptors (1 to 253, or none) go with the first byte. */
enum connection_trouble connection_send(struct connection* connection, const char* bytes,
                                        size_t count, const int* descriptors,
                                        size_t descriptor_count);
/* The source of a json_reader: the answer's bytes up to its NUL. */
int connection_next(void* connection);
void connection_close(struct connection* connection);

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads one JSON document (RFC 8259) as it comes, a byte at a time, and keeps nothing of it but
 * what it is asked for. Memory is a few numbers, whatever the document; its nesting is bounded.
 * Strict: what is not JSON, or not UTF-8, is a failure.
 *
 * Each function takes exactly one value. One of another kind than it is asked for is skipped, as if
 * it were not there. All of them return false once anything was wrong, and `problem` says what.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "client/text.h"

enum {
    json_max_depth = 32, /* arrays and objects inside each other */
    json_end = -1,       /* there is nothing more */
    json_broken = -2,    /* nothing more can be had; the source knows why */
};

enum json_problem { json_fine, json_malformed, json_too_deep, json_source_broken };

struct json_reader {
    int (*next)(void* source); /* a byte, json_end or json_broken; not called again after those */
    void* source;
    int byte; /* the one that comes next, or json_end, json_broken */
    int depth;
    enum json_problem problem;
};

struct json_reader json_read(int (*next)(void* source), void* source);

/* Fails unless the next value begins with one of these: '{', '[', '"', 't', 'f', 'n', a digit or
 * '-'. */
bool json_expect(struct json_reader* reader, const char* beginnings);
/* `member` is called for each with its key (cut at 31 bytes), and takes the member's value. */
typedef bool json_member(struct json_reader* reader, const char* key, void* context);
bool json_object(struct json_reader* reader, json_member* member, void* context);
/* `element` is called for each, and takes it. */
typedef bool json_element(struct json_reader* reader, void* context);
bool json_array(struct json_reader* reader, json_element* element, void* context);
/* Adds it to `into`. */
bool json_string(struct json_reader* reader, struct text* into);
/* Whole numbers only; beyond 64 bits, the nearest. */
bool json_integer(struct json_reader* reader, int64_t* into);
bool json_skip(struct json_reader* reader);
/* Nothing but white space may follow. */
bool json_finish(struct json_reader* reader);

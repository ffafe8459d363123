/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One Varlink reply (varlink.org), as much of it as a registration is about. Members that are not
 * known are skipped; a reply says what it says by those that are.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "client/json_reader.h"
#include "client/text.h"

enum { reply_subject_size = 128, reply_why_size = 1024, reply_hint_size = 512 };

struct reply {
    /* Of an error: its full name, and who or what it names. "": it is an answer. */
    char error[reply_subject_size];
    char subject[reply_subject_size]; /* org.varlink.service: the interface, method or parameter */
    /* internal.sluice.Agent: as sluicectl prints them, and its exit code. */
    char doing[reply_why_size], why[reply_why_size], hint[reply_hint_size];
    int64_t exit;
    /* Of an answer. */
    int64_t added, present, removed;
    uint32_t warnings;
    struct text* warning_text; /* where a line for each goes, as far as there is room */
};

/* False when it is no reply; the reader knows why. */
bool reply_read(struct reply* reply, struct text* warning_text, struct json_reader* reader);

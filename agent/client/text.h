/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Text in a buffer of a fixed size: always ended by NUL, cut between characters and never inside
 * one, and safe to print: bytes and characters that a terminal would obey become spaces.
 */
#pragma once

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct text {
    char* bytes;
    size_t size; /* of the buffer, at least 8 */
    size_t used; /* without the NUL */
    bool cut;    /* something had no room; an ellipsis says so */
};

struct text text_in(char* buffer, size_t size);
void text_put(struct text* text, uint32_t code_point);
void text_add(struct text* text, const char* more);
void text_end_line(struct text* text);
/* At most 2,047 bytes at a time. %m is errno's text. */
__attribute__((format(printf, 2, 3))) void text_format(struct text* text, const char* format, ...);
__attribute__((format(printf, 2, 0))) void text_vformat(struct text* text, const char* format,
                                                        va_list arguments);

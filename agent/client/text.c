/* SPDX-License-Identifier: Apache-2.0 */
#include "client/text.h"

#include <stdio.h>
#include <string.h>

static const char ellipsis[] = "\xe2\x80\xa6"; /* U+2026 */

struct text text_in(char* buffer, size_t size) {
    buffer[0] = '\0';
    return (struct text){.bytes = buffer, .size = size, .used = 0, .cut = false};
}

/* All of it or nothing. Room for the ellipsis is kept to the end. */
static void append(struct text* text, const char* bytes, size_t count) {
    if (text->cut) return;
    if (text->used + count + sizeof ellipsis > text->size) {
        text->cut = true;
        bytes = ellipsis;
        count = sizeof ellipsis - 1;
    }
    memcpy(text->bytes + text->used, bytes, count);
    text->used += count;
    text->bytes[text->used] = '\0';
}

/* C0, DEL, and C1, which some terminals obey too. */
static bool is_control(uint32_t code_point) {
    return code_point < 0x20 || (code_point >= 0x7f && code_point < 0xa0);
}

void text_put(struct text* text, uint32_t code_point) {
    const uint32_t c = is_control(code_point) ? ' ' : code_point;
    char utf8[4];
    size_t count = 0;
    if (c < 0x80) {
        utf8[count++] = (char)c;
    } else {
        if (c >= 0x10000) {
            utf8[count++] = (char)(0xf0 | (c >> 18));
            utf8[count++] = (char)(0x80 | ((c >> 12) & 0x3f));
        } else if (c >= 0x800) {
            utf8[count++] = (char)(0xe0 | (c >> 12));
        }
        if (c >= 0x800)
            utf8[count++] = (char)(0x80 | ((c >> 6) & 0x3f));
        else
            utf8[count++] = (char)(0xc0 | (c >> 6));
        utf8[count++] = (char)(0x80 | (c & 0x3f));
    }
    append(text, utf8, count);
}

/* How many bytes the character here has. What is no UTF-8 counts byte by byte. */
static size_t character(const char* at) {
    const unsigned char first = (unsigned char)*at;
    const size_t length = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : first >= 0xc0 ? 2 : 1;
    for (size_t i = 1; i < length; ++i)
        if (((unsigned char)at[i] & 0xc0) != 0x80) return 1;
    return length;
}

void text_add(struct text* text, const char* more) {
    while (*more != '\0') {
        const size_t length = character(more);
        const unsigned char byte = (unsigned char)*more;
        const bool lone = length == 1 && byte >= 0x80; /* no UTF-8 */
        append(text, lone ? "?" : length == 1 && is_control(byte) ? " " : more, length);
        more += length;
    }
}

void text_end_line(struct text* text) { append(text, "\n", 1); }

void text_vformat(struct text* text, const char* format, va_list arguments) {
    char whole[2048];
    vsnprintf(whole, sizeof whole, format, arguments);
    text_add(text, whole);
}

void text_format(struct text* text, const char* format, ...) {
    va_list arguments;
    va_start(arguments, format);
    text_vformat(text, format, arguments);
    va_end(arguments);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "client/json_reader.h"

#include <stddef.h>
#include <string.h>

static bool fail(struct json_reader* reader, enum json_problem problem) {
    if (reader->problem == json_fine) reader->problem = problem;
    return false;
}

/* An unexpected end is the source's fault when it says so. */
static bool unexpected(struct json_reader* reader) {
    return fail(reader, reader->byte == json_broken ? json_source_broken : json_malformed);
}

static void advance(struct json_reader* reader) {
    if (reader->byte >= 0) reader->byte = reader->next(reader->source);
}

struct json_reader json_read(int (*next)(void* source), void* source) {
    struct json_reader reader = {.next = next, .source = source, .problem = json_fine};
    advance(&reader);
    return reader;
}

static void skip_space(struct json_reader* reader) {
    while (reader->byte == ' ' || reader->byte == '\t' || reader->byte == '\n' ||
           reader->byte == '\r')
        advance(reader);
}

static bool take(struct json_reader* reader, char wanted) {
    if (reader->byte != wanted) return unexpected(reader);
    advance(reader);
    return true;
}

static bool take_word(struct json_reader* reader, const char* word) {
    for (; *word != '\0'; ++word)
        if (!take(reader, *word)) return false;
    return true;
}

static bool hex4(struct json_reader* reader, uint32_t* value) {
    *value = 0;
    for (int i = 0; i < 4; ++i) {
        const int c = reader->byte;
        const int digit = c >= '0' && c <= '9'   ? c - '0'
                          : c >= 'a' && c <= 'f' ? c - 'a' + 10
                          : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                                 : -1;
        if (digit < 0) return unexpected(reader);
        *value = *value << 4 | (uint32_t)digit;
        advance(reader);
    }
    return true;
}

/* After "\u". A character beyond 16 bits is two of them, RFC 8259 section 7. */
static bool take_unicode_escape(struct json_reader* reader, uint32_t* code_point) {
    if (!hex4(reader, code_point)) return false;
    if (*code_point < 0xd800 || *code_point > 0xdfff) return true;
    uint32_t low = 0;
    if (*code_point > 0xdbff || !take(reader, '\\') || !take(reader, 'u') || !hex4(reader, &low) ||
        low < 0xdc00 || low > 0xdfff)
        return unexpected(reader);
    *code_point = 0x10000 + ((*code_point - 0xd800) << 10) + (low - 0xdc00);
    return true;
}

static bool take_escape(struct json_reader* reader, uint32_t* code_point) {
    const int c = reader->byte;
    advance(reader);
    switch (c) {
        case '"':
        case '\\':
        case '/':
            *code_point = (uint32_t)c;
            return true;
        case 'b':
        case 'f':
        case 'n':
        case 'r':
        case 't':
            *code_point = ' '; /* all are controls, and texts here are one line */
            return true;
        case 'u':
            return take_unicode_escape(reader, code_point);
        default:
            return fail(reader, c == json_broken ? json_source_broken : json_malformed);
    }
}

/* The rest of a character of several bytes. RFC 3629: none longer than it need be, no surrogates,
 * and nothing beyond U+10FFFF. */
static bool take_utf8(struct json_reader* reader, uint32_t first, uint32_t* code_point) {
    const int more = first >= 0xf0 ? 3 : first >= 0xe0 ? 2 : 1;
    static const uint32_t least[] = {0, 0x80, 0x800, 0x10000};
    if (first < 0xc2 || first > 0xf4) return fail(reader, json_malformed);
    uint32_t value = first & (0x3fU >> more);
    for (int i = 0; i < more; ++i) {
        if (reader->byte < 0x80 || reader->byte > 0xbf) return unexpected(reader);
        value = value << 6 | ((uint32_t)reader->byte & 0x3f);
        advance(reader);
    }
    if (value < least[more] || value > 0x10ffff || (value >= 0xd800 && value <= 0xdfff))
        return fail(reader, json_malformed);
    *code_point = value;
    return true;
}

static bool take_string(struct json_reader* reader, struct text* into) {
    if (!take(reader, '"')) return false;
    while (reader->byte != '"') {
        const int c = reader->byte;
        if (c < 0x20) return unexpected(reader); /* controls, and the end */
        advance(reader);
        uint32_t code_point = (uint32_t)c;
        if (c == '\\' && !take_escape(reader, &code_point)) return false;
        if (c >= 0x80 && !take_utf8(reader, (uint32_t)c, &code_point)) return false;
        if (into != NULL) text_put(into, code_point);
    }
    advance(reader);
    return true;
}

static bool is_digit(int byte) { return byte >= '0' && byte <= '9'; }

static bool take_digits(struct json_reader* reader, uint64_t* value) {
    if (!is_digit(reader->byte)) return unexpected(reader);
    for (; is_digit(reader->byte); advance(reader)) {
        const uint64_t digit = (uint64_t)(reader->byte - '0');
        *value = *value > (INT64_MAX - digit) / 10 ? INT64_MAX : *value * 10 + digit;
    }
    return true;
}

static bool take_number(struct json_reader* reader, int64_t* into) {
    uint64_t value = 0, ignored = 0;
    bool whole = true;
    const bool negative = reader->byte == '-';
    if (negative) advance(reader);
    if (reader->byte == '0')
        advance(reader); /* no more digits may follow */
    else if (!take_digits(reader, &value))
        return false;
    if (reader->byte == '.') {
        whole = false;
        advance(reader);
        if (!take_digits(reader, &ignored)) return false;
    }
    if (reader->byte == 'e' || reader->byte == 'E') {
        whole = false;
        advance(reader);
        if (reader->byte == '+' || reader->byte == '-') advance(reader);
        if (!take_digits(reader, &ignored)) return false;
    }
    if (whole && into != NULL) *into = negative ? -(int64_t)value : (int64_t)value;
    return true;
}

static bool enter(struct json_reader* reader) {
    advance(reader);
    if (++reader->depth > json_max_depth) return fail(reader, json_too_deep);
    skip_space(reader);
    return true;
}

static bool leave(struct json_reader* reader) {
    advance(reader);
    --reader->depth;
    return true;
}

/* After an element: whether one more follows. */
static bool another(struct json_reader* reader, char closing, bool* more) {
    skip_space(reader);
    *more = reader->byte == ',';
    if (!*more) return reader->byte == closing || unexpected(reader);
    advance(reader);
    skip_space(reader);
    return true;
}

static bool take_members(struct json_reader* reader, json_member* member, void* context) {
    if (!enter(reader)) return false;
    for (bool more = reader->byte != '}'; more;) {
        char key[32];
        struct text name = text_in(key, sizeof key);
        if (!take_string(reader, &name)) return false;
        skip_space(reader);
        if (!take(reader, ':') || !member(reader, key, context)) return false;
        if (!another(reader, '}', &more)) return false;
    }
    return leave(reader);
}

static bool take_elements(struct json_reader* reader, json_element* element, void* context) {
    if (!enter(reader)) return false;
    for (bool more = reader->byte != ']'; more;)
        if (!element(reader, context) || !another(reader, ']', &more)) return false;
    return leave(reader);
}

static bool skip_member(struct json_reader* reader, const char* key, void* context) {
    (void)key;
    (void)context;
    return json_skip(reader);
}

static bool skip_element(struct json_reader* reader, void* context) {
    (void)context;
    return json_skip(reader);
}

/* Calls itself through the two above, at most json_max_depth deep. */
bool json_skip(struct json_reader* reader) {  // NOLINT(misc-no-recursion)
    skip_space(reader);
    switch (reader->byte) {
        case '{':
            return take_members(reader, skip_member, NULL);
        case '[':
            return take_elements(reader, skip_element, NULL);
        case '"':
            return take_string(reader, NULL);
        case 't':
            return take_word(reader, "true");
        case 'f':
            return take_word(reader, "false");
        case 'n':
            return take_word(reader, "null");
        default:
            return take_number(reader, NULL);
    }
}

bool json_expect(struct json_reader* reader, const char* beginnings) {
    skip_space(reader);
    return (reader->byte > 0 && strchr(beginnings, reader->byte) != NULL) || unexpected(reader);
}

bool json_object(struct json_reader* reader, json_member* member, void* context) {
    skip_space(reader);
    return reader->byte == '{' ? take_members(reader, member, context) : json_skip(reader);
}

bool json_array(struct json_reader* reader, json_element* element, void* context) {
    skip_space(reader);
    return reader->byte == '[' ? take_elements(reader, element, context) : json_skip(reader);
}

bool json_string(struct json_reader* reader, struct text* into) {
    skip_space(reader);
    return reader->byte == '"' ? take_string(reader, into) : json_skip(reader);
}

bool json_integer(struct json_reader* reader, int64_t* into) {
    skip_space(reader);
    return reader->byte == '-' || is_digit(reader->byte) ? take_number(reader, into)
                                                         : json_skip(reader);
}

bool json_finish(struct json_reader* reader) {
    skip_space(reader);
    return reader->byte == json_end || unexpected(reader);
}

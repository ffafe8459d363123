/* SPDX-License-Identifier: Apache-2.0 */
#include "client/reply.h"

#include <string.h>

/* The last one counts when a member comes twice. */
static bool string_member(struct json_reader* reader, char* buffer, size_t size) {
    struct text text = text_in(buffer, size);
    return json_string(reader, &text);
}

struct warning {
    char code[64], message[reply_why_size], fix[reply_hint_size];
};

static bool take_warning_member(struct json_reader* reader, const char* key, void* context) {
    struct warning* warning = context;
    if (strcmp(key, "code") == 0) return string_member(reader, warning->code, sizeof warning->code);
    if (strcmp(key, "message") == 0)
        return string_member(reader, warning->message, sizeof warning->message);
    if (strcmp(key, "fix") == 0) return string_member(reader, warning->fix, sizeof warning->fix);
    return json_skip(reader);
}

static bool take_warning(struct json_reader* reader, void* context) {
    struct reply* reply = context;
    struct warning warning = {.code = "", .message = "", .fix = ""};
    if (!json_object(reader, take_warning_member, &warning)) return false;
    ++reply->warnings;
    struct text* text = reply->warning_text;
    const char* parts[] = {warning.code, ": ", warning.message, warning.fix[0] == '\0' ? "" : "; ",
                           warning.fix};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; ++i) text_add(text, parts[i]);
    text_end_line(text);
    return true;
}

static bool take_parameter(struct json_reader* reader, const char* key, void* context) {
    struct reply* reply = context;
    const struct {
        const char* key;
        int64_t* value;
    } numbers[] = {{"exit", &reply->exit},
                   {"added", &reply->added},
                   {"present", &reply->present},
                   {"removed", &reply->removed},
                   {"let_go", &reply->removed}};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; ++i)
        if (strcmp(key, numbers[i].key) == 0) return json_integer(reader, numbers[i].value);
    const struct {
        const char* key;
        char* buffer;
        size_t size;
    } texts[] = {{"doing", reply->doing, sizeof reply->doing},
                 {"why", reply->why, sizeof reply->why},
                 {"hint", reply->hint, sizeof reply->hint},
                 {"parameter", reply->subject, sizeof reply->subject},
                 {"method", reply->subject, sizeof reply->subject},
                 {"interface", reply->subject, sizeof reply->subject}};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; ++i)
        if (strcmp(key, texts[i].key) == 0)
            return string_member(reader, texts[i].buffer, texts[i].size);
    if (strcmp(key, "warnings") == 0) return json_array(reader, take_warning, reply);
    return json_skip(reader);
}

static bool take_member(struct json_reader* reader, const char* key, void* context) {
    struct reply* reply = context;
    if (strcmp(key, "error") == 0)
        return json_expect(reader, "\"n") &&
               string_member(reader, reply->error, sizeof reply->error);
    if (strcmp(key, "parameters") == 0)
        return json_expect(reader, "{n") && json_object(reader, take_parameter, reply);
    return json_skip(reader);
}

bool reply_read(struct reply* reply, struct text* warning_text, struct json_reader* reader) {
    memset(reply, 0, sizeof *reply);
    reply->warning_text = warning_text;
    return json_expect(reader, "{") && json_object(reader, take_member, reply) &&
           json_finish(reader);
}

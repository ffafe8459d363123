/* SPDX-License-Identifier: Apache-2.0 */
#include "sluice/sluice.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "client/connection.h"
#include "client/json_reader.h"
#include "client/reply.h"
#include "client/text.h"

#define AGENT "internal.sluice.Agent."
#define VARLINK "org.varlink.service."

enum { most_name = 100 }; /* bytes of a service's or an instance's name */

/* One call of the API: what it says, to whom, and where its outcome goes. */
struct task {
    const char* doing;
    struct text text, hint, warnings; /* in `report` */
    struct sluice_report* report;
    struct sluice_report unwanted; /* the report of a caller who wants none */

    char path[connection_max_path + 1];
    int timeout_ms, owner_pid;
    const char* service;
    const int* sockets;
    size_t count;
    char message[2048]; /* names are short, and 253 indices have 901 bytes */
    size_t message_size;
};

/* ---- what came of it ------------------------------------------------------------------------ */

__attribute__((format(printf, 3, 4))) static int fail(struct task* task, int code,
                                                      const char* format, ...) {
    char why[SLUICE_TEXT_SIZE];
    struct text text = text_in(why, sizeof why);
    va_list arguments;
    va_start(arguments, format);
    text_vformat(&text, format, arguments);
    va_end(arguments);
    text_add(&task->text, task->doing);
    if (task->service != NULL) text_format(&task->text, " '%s'", task->service);
    text_format(&task->text, ": %s", why);
    return code;
}

static int succeed(struct task* task, const struct reply* reply) {
    const struct {
        int64_t said;
        uint32_t* kept;
    } counts[] = {{reply->added, &task->report->added},
                  {reply->present, &task->report->present},
                  {reply->removed, &task->report->removed},
                  {reply->warnings, &task->report->warnings}};
    for (size_t i = 0; i < sizeof counts / sizeof *counts; ++i)
        if (counts[i].said > 0 && counts[i].said <= UINT32_MAX)
            *counts[i].kept = (uint32_t)counts[i].said;
    return SLUICE_DONE;
}

/* An error that the agent itself gives. */
static int pass_on(struct task* task, const char* name, const struct reply* reply) {
    int code = reply->exit == SLUICE_INVALID || reply->exit == SLUICE_REFUSED ? (int)reply->exit
                                                                              : SLUICE_FAILED;
    if (strcmp(name, "Invalid") == 0) code = SLUICE_INVALID;
    if (strcmp(name, "Refused") == 0) code = SLUICE_REFUSED;
    text_add(&task->hint, reply->hint);
    if (reply->why[0] == '\0')
        return fail(task, code, "the agent answered '%s' without a reason", name);
    return fail(task, code, "%s%s%s", reply->doing, reply->doing[0] == '\0' ? "" : ": ",
                reply->why);
}

/* An error of the protocol. */
static int judge_varlink_error(struct task* task, const char* name, const struct reply* reply) {
    if (strcmp(name, "PermissionDenied") == 0)
        return fail(task, SLUICE_REFUSED, "the agent does not let this user do that");
    text_add(&task->hint, "is another program, or an older sluiced, behind this socket?");
    if (strcmp(name, "InvalidParameter") == 0)
        return fail(task, SLUICE_INVALID, "the agent does not accept the parameter '%s'",
                    reply->subject);
    if (strcmp(name, "MethodNotFound") == 0 || strcmp(name, "MethodNotImplemented") == 0)
        return fail(task, SLUICE_FAILED, "the agent does not know the method '%s'", reply->subject);
    return fail(task, SLUICE_FAILED, "the agent answered with the error '%s'", reply->error);
}

static int judge(struct task* task, const struct reply* reply) {
    if (reply->error[0] == '\0') return succeed(task, reply);
    task->report->warnings = 0;
    if (strncmp(reply->error, AGENT, strlen(AGENT)) == 0)
        return pass_on(task, reply->error + strlen(AGENT), reply);
    if (strncmp(reply->error, VARLINK, strlen(VARLINK)) == 0)
        return judge_varlink_error(task, reply->error + strlen(VARLINK), reply);
    return fail(task, SLUICE_FAILED, "the agent answered with the error '%s'", reply->error);
}

/* ---- talking to the agent ------------------------------------------------------------------- */

/* A call that has no NUL yet is not carried out, so nothing has happened. */
static int tell_unsaid(struct task* task, const struct connection* connection, bool connected) {
    errno = connection->error;
    switch (connection->trouble) {
        case connection_late:
            text_add(&task->hint, "is sluiced stopped, or the machine very busy?");
            return fail(task, SLUICE_UNREACHABLE, "the agent did not take the call within %d ms",
                        task->timeout_ms);
        case connection_errno:
            if (connected) return fail(task, SLUICE_FAILED, "send the call: %m");
            if (errno != ENOENT && errno != ECONNREFUSED)
                return fail(task, SLUICE_UNREACHABLE, "connect to %s: %m", task->path);
            text_add(&task->hint, "systemctl start sluiced");
            return fail(task, SLUICE_UNREACHABLE, "the agent is not running (nobody listens on %s)",
                        task->path);
        default:
            return fail(task, SLUICE_UNREACHABLE, "the agent closed the connection");
    }
}

static int tell_unanswered(struct task* task, const struct connection* connection) {
    errno = connection->error;
    switch (connection->trouble) {
        case connection_late:
            text_add(&task->hint, "is sluiced stopped, or the machine very busy?");
            return fail(task, SLUICE_UNANSWERED, "no answer within %d ms", task->timeout_ms);
        case connection_closed:
            return fail(task, SLUICE_UNANSWERED,
                        "the agent closed the connection without an answer");
        case connection_endless:
            return fail(task, SLUICE_UNANSWERED, "the answer is longer than %d bytes",
                        connection_max_message);
        case connection_errno:
            return fail(task, SLUICE_UNANSWERED, "hear the answer: %m");
        case connection_fine:
            break;
    }
    text_format(&task->hint, "is another program behind %s?", task->path);
    return fail(task, SLUICE_UNANSWERED, "the answer is not what the protocol says");
}

static int converse(struct task* task, struct connection* connection) {
    if (connection_open(connection, task->path, task->timeout_ms) != connection_fine)
        return tell_unsaid(task, connection, false);
    if (connection_send(connection, task->message, task->message_size, task->sockets,
                        task->count) != connection_fine)
        return tell_unsaid(task, connection, true);
    struct json_reader reader = json_read(connection_next, connection);
    struct reply reply;
    if (!reply_read(&reply, &task->warnings, &reader)) return tell_unanswered(task, connection);
    return judge(task, &reply);
}

/* A thread that is cancelled in here would leave the connection open for ever. */
static int perform(struct task* task) {
    struct connection connection;
    int cancellation = 0;
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancellation);
    const int code = converse(task, &connection);
    connection_close(&connection);
    pthread_setcancelstate(cancellation, NULL);
    if (code != SLUICE_DONE) *task->warnings.bytes = '\0';
    return code;
}

/* ---- what is asked for ---------------------------------------------------------------------- */

/* They become parts of JSON and of paths, so what is checked here needs no quoting. */
static bool is_name(const char* name) {
    static const char allowed[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";
    const size_t length = strnlen(name, most_name + 1);
    return length >= 1 && length <= most_name && strspn(name, allowed) == length;
}

static int find_agent(struct task* task, const struct sluice_options* options) {
    const char* instance = options->instance;
    if (options->run_dir == NULL && instance == NULL) instance = secure_getenv("SLUICE_INSTANCE");
    const bool named = instance != NULL && instance[0] != '\0';
    int length = 0;
    if (options->run_dir != NULL) {
        if (options->run_dir[0] != '/')
            return fail(task, SLUICE_INVALID, "the run directory '%s' does not begin with /",
                        options->run_dir);
        length = snprintf(task->path, sizeof task->path, "%s/control", options->run_dir);
    } else if (!named) {
        length = snprintf(task->path, sizeof task->path, "/run/sluice/control");
    } else {
        if (!is_name(instance) || instance[0] == '.')
            return fail(task, SLUICE_INVALID,
                        "'%s' is no name of an instance: 1 to 100 of A-Z a-z 0-9 . _ -, and no "
                        "dot at the start",
                        instance);
        length = snprintf(task->path, sizeof task->path, "/run/sluice-%s/control", instance);
    }
    if (length <= connection_max_path) return SLUICE_DONE;
    return fail(task, SLUICE_INVALID, "the path of a socket has at most %d bytes: '%s/control'",
                connection_max_path, options->run_dir != NULL ? options->run_dir : instance);
}

static int take_options(struct task* task, const struct sluice_options* options) {
    static const struct sluice_options defaults;
    if (options == NULL) options = &defaults;
    for (size_t i = 0; i < sizeof options->reserved / sizeof *options->reserved; ++i)
        if (options->reserved[i] != 0)
            return fail(task, SLUICE_INVALID,
                        "an option is set that libsluice " SLUICE_VERSION " does not have");
    if (options->timeout_ms < 0 || options->owner_pid < 0)
        return fail(task, SLUICE_INVALID, "timeout_ms and owner_pid are not negative");
    task->timeout_ms = options->timeout_ms == 0 ? SLUICE_DEFAULT_TIMEOUT_MS : options->timeout_ms;
    task->owner_pid = options->owner_pid;
    return find_agent(task, options);
}

static int begin(struct task* task, const char* doing, const struct sluice_options* options,
                 const char* service, struct sluice_report* report) {
    memset(task, 0, sizeof *task);
    task->doing = doing;
    task->report = report != NULL ? report : &task->unwanted;
    memset(task->report, 0, sizeof *task->report);
    task->text = text_in(task->report->text, sizeof task->report->text);
    task->hint = text_in(task->report->hint, sizeof task->report->hint);
    task->warnings = text_in(task->report->warning_text, sizeof task->report->warning_text);
    if (service == NULL) return fail(task, SLUICE_INVALID, "no service is named");
    if (!is_name(service))
        return fail(task, SLUICE_INVALID,
                    "'%.200s' is no name of a service: 1 to 100 of A-Z a-z 0-9 . _ -", service);
    task->service = service;
    return take_options(task, options);
}

static int take_sockets(struct task* task, const int* sockets, size_t count) {
    if (sockets == NULL || count == 0) return fail(task, SLUICE_INVALID, "no sockets are passed");
    if (count > SLUICE_MAX_PASSED)
        return fail(task, SLUICE_INVALID, "%zu sockets in one call; at most %d", count,
                    SLUICE_MAX_PASSED);
    for (size_t i = 0; i < count; ++i)
        if (fcntl(sockets[i], F_GETFD) < 0)
            return fail(task, SLUICE_INVALID, "descriptor %d is not open", sockets[i]);
    task->sockets = sockets;
    task->count = count;
    return SLUICE_DONE;
}

/* `more`: members of the call's parameters beside the service, each with a comma before it. */
static int ask(struct task* task, const char* method, const char* more) {
    struct text message = text_in(task->message, sizeof task->message);
    text_format(&message, "{\"method\":\"" AGENT "%s\",\"parameters\":{\"service\":\"%s\"%s}}",
                method, task->service, more);
    task->message_size = message.used + 1; /* with its NUL */
    return perform(task);
}

static int enlist(const char* doing, const char* mode, const struct sluice_options* options,
                  const char* service, const int* sockets, size_t count,
                  struct sluice_report* report) {
    struct task task;
    int code = begin(&task, doing, options, service, report);
    if (code == SLUICE_DONE) code = take_sockets(&task, sockets, count);
    if (code != SLUICE_DONE) return code;
    char parameters[1200];
    struct text text = text_in(parameters, sizeof parameters);
    text_format(&text, ",\"mode\":\"%s\",\"sockets\":[0", mode);
    for (size_t i = 1; i < count; ++i) text_format(&text, ",%zu", i);
    text_add(&text, "]");
    if (task.owner_pid != 0) text_format(&text, ",\"pid\":%d", task.owner_pid);
    return ask(&task, "Register", parameters);
}

int sluice_register(const struct sluice_options* options, const char* service, const int* sockets,
                    size_t count, struct sluice_report* report) {
    return enlist("register for", "add", options, service, sockets, count, report);
}

int sluice_replace(const struct sluice_options* options, const char* service, const int* sockets,
                   size_t count, struct sluice_report* report) {
    return enlist("replace the sockets of", "replace", options, service, sockets, count, report);
}

int sluice_stage(const struct sluice_options* options, const char* service, const int* sockets,
                 size_t count, struct sluice_report* report) {
    return enlist("stage for", "staged", options, service, sockets, count, report);
}

static int simple(const char* doing, const char* method, const struct sluice_options* options,
                  const char* service, struct sluice_report* report) {
    struct task task;
    const int code = begin(&task, doing, options, service, report);
    return code == SLUICE_DONE ? ask(&task, method, "") : code;
}

int sluice_promote(const struct sluice_options* options, const char* service,
                   struct sluice_report* report) {
    return simple("promote", "Promote", options, service, report);
}

int sluice_demote(const struct sluice_options* options, const char* service,
                  struct sluice_report* report) {
    return simple("demote", "Demote", options, service, report);
}

int sluice_unregister_all(const struct sluice_options* options, const char* service,
                          struct sluice_report* report) {
    return simple("unregister all of", "Unregister", options, service, report);
}

int sluice_unregister(const struct sluice_options* options, const char* service, int socket,
                      struct sluice_report* report) {
    struct task task;
    const int code = begin(&task, "unregister a socket of", options, service, report);
    if (code != SLUICE_DONE) return code;
    uint64_t cookie = 0;
    socklen_t size = sizeof cookie;
    if (getsockopt(socket, SOL_SOCKET, SO_COOKIE, &cookie, &size) != 0)
        return fail(&task, SLUICE_INVALID, "descriptor %d: %m", socket);
    char parameter[48];
    struct text text = text_in(parameter, sizeof parameter);
    text_format(&text, ",\"cookie\":\"%" PRIx64 "\"", cookie);
    return ask(&task, "Unregister", parameter);
}

const char* sluice_version(void) { return SLUICE_VERSION; }

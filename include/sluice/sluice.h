/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libsluice: a service registers its own sockets at the agent, sluiced. libsluice(3) has it in
 * prose, docs/examples a whole program.
 *
 *     struct sluice_report report;
 *     if (sluice_register(NULL, "cdn", &listener, 1, &report) != SLUICE_DONE)
 *         errx(1, "%s", report.text);
 *
 * Each call connects to the agent's control socket, says one thing, waits for the answer and closes
 * the connection. Nothing is kept between calls: there is nothing to set up and nothing to free.
 *
 * Descriptors stay the caller's. The library neither closes nor keeps them, and the agent keeps no
 * duplicate: a socket serves for as long as somebody has it open, so keep it open, and close it (in
 * every process that inherited it) to be out. A registration outlives the agent: it is done once in
 * a socket's life, and not again when the agent restarts. A reboot ends it, as it ends the socket.
 *
 * Threads and forks: every function may be called from any thread at any time, also in a child of a
 * program with threads; no function allocates memory, raises SIGPIPE, is a cancellation point or
 * leaves a descriptor open. Unless options say otherwise the environment is read, so do not call
 * setenv(3) in another thread meanwhile. errno is whatever it happens to be afterwards.
 */
#ifndef SLUICE_SLUICE_H
#define SLUICE_SLUICE_H

#include <stddef.h>
#include <stdint.h>

#if defined(__GNUC__)
#define SLUICE_API __attribute__((visibility("default")))
#else
#define SLUICE_API
#endif

#ifdef __cplusplus
extern "C" {
#endif

/*
 * What every call returns. 0 to 4 are the exit codes of sluicectl. Only after SLUICE_UNANSWERED is
 * it open whether the agent has done what was asked; everywhere else but SLUICE_DONE nothing has
 * changed.
 */
enum {
    SLUICE_DONE = 0,
    SLUICE_FAILED = 1,      /* the system said no, here or at the agent */
    SLUICE_INVALID = 2,     /* an argument is wrong, or there is no such service or socket */
    SLUICE_UNREACHABLE = 3, /* there is no agent, or it did not hear the call out in time */
    SLUICE_REFUSED = 4,     /* a permission is missing, or the socket could not serve */
    SLUICE_UNANSWERED = 5 /* the agent got the call; no answer in time, or none that makes sense */
};

enum {
    SLUICE_MAX_PASSED = 253,           /* descriptors in one call: SCM_MAX_FD of the kernel */
    SLUICE_DEFAULT_TIMEOUT_MS = 30000, /* as sluicectl's --timeout */
    SLUICE_TEXT_SIZE = 1024,           /* bytes, with the NUL, of report.text */
    SLUICE_HINT_SIZE = 512,            /* … of report.hint */
    SLUICE_WARNINGS_SIZE = 2048        /* … of report.warning_text */
};

/*
 * Which agent, and how long to wait. Everything 0 is the default, so begin with `= {0}` (C++: `=
 * {}`); NULL in place of a pointer to it means the same.
 */
struct sluice_options {
    /*
     * Where the agent's sockets are. NULL: /run/sluice-INSTANCE, or /run/sluice without an
     * instance. At most 99 bytes, since a Unix socket's path has at most 107.
     */
    const char* run_dir;
    /*
     * Which of several agents of this host: 1 to 100 of A-Z a-z 0-9 . _ - and no dot at the start.
     * NULL: what SLUICE_INSTANCE in the environment says (not asked in set-user-ID programs). "":
     * the one without a name, whatever the environment says. Unused where run_dir is given.
     */
    const char* instance;
    /* Milliseconds for the whole call; 0: SLUICE_DEFAULT_TIMEOUT_MS. Signals do not end it earlier.
     */
    int timeout_ms;
    /*
     * Whose sockets these are, where it is not the caller: the process that `sluicectl sockets`
     * shows. 0: the caller. Register, replace and stage only.
     */
    int owner_pid;
    uint64_t reserved[4]; /* must be 0: a meaning that an older library does not know is
                             SLUICE_INVALID */
};

/*
 * What came of a call. Written whole by every call, whatever it was before; NULL in its place is
 * fine. Texts end with NUL, are UTF-8 without control characters (but for the ends of lines in
 * warning_text) and end with "…" where they were too long.
 */
struct sluice_report {
    uint32_t added;    /* sockets that were not registered before */
    uint32_t present;  /* sockets that were */
    uint32_t removed;  /* sockets taken out, or let go by sluice_promote and sluice_demote */
    uint32_t warnings; /* how many the agent gave; those that fit are in warning_text */
    char text[SLUICE_TEXT_SIZE]; /* what was being done and why it failed; "" after SLUICE_DONE */
    char hint[SLUICE_HINT_SIZE]; /* what to do about it; "" where nobody knows */
    char warning_text[SLUICE_WARNINGS_SIZE]; /* what may go wrong: "CODE: why; fix\n" each */
    uint64_t reserved[8];                    /* 0 */
};

/*
 * sluice_register adds `count` sockets (1 to SLUICE_MAX_PASSED) to those of `service`, all or none:
 * TCP ones that listen, UDP ones that are bound and not connected, of IPv4, IPv6 or both, of the
 * agent's network namespace. A socket that is registered for the service already changes nothing
 * (report.present), so after SLUICE_UNANSWERED just call again. Sockets of a service are
 * interchangeable, and bound to one local port unless the config says mixed_ports.
 *
 * sluice_replace makes them the service's only sockets, in one step. Those that were there get
 * nothing new and are closed by whoever has them, once they are drained. The kernel lets a
 * SO_REUSEPORT group choose among its own, so sockets of one group with the old ones do not replace
 * them: give the next version a port of its own, which clients do not see.
 *
 * sluice_stage holds them ready, without traffic, for sluice_promote. The same holds for groups.
 *
 * Who may: root, and whom the service's `register:` rules in the agent's config name.
 */
SLUICE_API int sluice_register(const struct sluice_options* options, const char* service,
                               const int* sockets, size_t count, struct sluice_report* report);
SLUICE_API int sluice_replace(const struct sluice_options* options, const char* service,
                              const int* sockets, size_t count, struct sluice_report* report);
SLUICE_API int sluice_stage(const struct sluice_options* options, const char* service,
                            const int* sockets, size_t count, struct sluice_report* report);

/*
 * sluice_promote makes the staged sockets of `service` serve in the place of those that do, in one
 * step. Those stay ready, and sluice_demote changes back to them: a release with an undo. Sockets
 * that waited for sluice_demote before are let go (report.removed). SLUICE_REFUSED when there is
 * nothing to change to.
 */
SLUICE_API int sluice_promote(const struct sluice_options* options, const char* service,
                              struct sluice_report* report);
SLUICE_API int sluice_demote(const struct sluice_options* options, const char* service,
                             struct sluice_report* report);

/*
 * Takes one socket out: new connections and datagrams go to its siblings, and what it holds already
 * stays with it. It is not closed. SLUICE_INVALID when it is not registered for the service.
 */
SLUICE_API int sluice_unregister(const struct sluice_options* options, const char* service,
                                 int socket, struct sluice_report* report);

/* Takes all sockets of the service out, also those of other processes. None is fine. */
SLUICE_API int sluice_unregister_all(const struct sluice_options* options, const char* service,
                                     struct sluice_report* report);

/* The library's own version, "0.1.0". */
SLUICE_API const char* sluice_version(void);

#ifdef __cplusplus
}
#endif

#endif /* SLUICE_SLUICE_H */

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * greeter SERVICE ADDRESS PORT [RUN_DIR [replace]]: a TCP service that makes its own socket one of
 * SERVICE's, greets whoever comes, whatever address was asked for, and leaves without losing a
 * connection that it has taken.
 *
 *     cc -o greeter greeter.c $(pkg-config --cflags --libs libsluice)
 *     ./greeter www 127.0.0.1 9000
 *
 * RUN_DIR is the agent's, - for the default. With `replace` its socket becomes the service's only
 * one: start the next version so, then end the last one.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <err.h>
#include <netdb.h>
#include <poll.h>
#include <signal.h>
#include <sluice/sluice.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

/* Close-on-exec: a child that inherits a listener keeps it alive after we are gone, and clients
 * hang. */
static int listen_on(const char* address, const char* port) {
    const struct addrinfo hints = {.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV | AI_PASSIVE,
                                   .ai_socktype = SOCK_STREAM};
    struct addrinfo* found = NULL;
    const int problem = getaddrinfo(address, port, &hints, &found);
    if (problem != 0) errx(2, "%s %s: %s", address, port, gai_strerror(problem));
    const int listener = socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const int on = 1;
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(listener, found->ai_addr, found->ai_addrlen) != 0 || listen(listener, SOMAXCONN) != 0)
        err(1, "listen on %s %s", address, port);
    freeaddrinfo(found);
    return listener;
}

/* To a TCP service its own address is the one that the client asked for: getsockname(2). */
static void greet(int listener, const char* service) {
    const int client = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    if (client < 0) return;
    struct sockaddr_storage asked;
    socklen_t size = sizeof asked;
    char host[NI_MAXHOST] = "?", port[NI_MAXSERV] = "?";
    if (getsockname(client, (struct sockaddr*)&asked, &size) == 0)
        getnameinfo((struct sockaddr*)&asked, size, host, sizeof host, port, sizeof port,
                    NI_NUMERICHOST | NI_NUMERICSERV);
    dprintf(client, "%s here, process %d; you asked for %s port %s\n", service, (int)getpid(), host,
            port);
    close(client);
}

/* A descriptor that tells of SIGTERM and SIGINT, so that one poll(2) waits for everything. */
static int end_signals(void) {
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    sigprocmask(SIG_BLOCK, &signals, NULL);
    return signalfd(-1, &signals, SFD_CLOEXEC);
}

int main(int argc, char** argv) {
    if (argc < 4) errx(2, "usage: %s SERVICE ADDRESS PORT [RUN_DIR [replace]]", argv[0]);
    const char* service = argv[1];
    const struct sluice_options options = {
        .run_dir = argc > 4 && strcmp(argv[4], "-") != 0 ? argv[4] : NULL, .timeout_ms = 5000};
    const bool replace = argc > 5 && strcmp(argv[5], "replace") == 0;

    signal(SIGPIPE, SIG_IGN);
    struct pollfd events[] = {{.fd = listen_on(argv[2], argv[3]), .events = POLLIN},
                              {.fd = end_signals(), .events = POLLIN}};
    const int listener = events[0].fd;

    struct sluice_report report;
    const int code =
        (replace ? sluice_replace : sluice_register)(&options, service, &listener, 1, &report);
    if (code != SLUICE_DONE)
        errx(code, "%s%s%s", report.text, report.hint[0] != '\0' ? "\nhint: " : "", report.hint);
    if (report.warnings > 0) fprintf(stderr, "%s", report.warning_text);
    printf("serving\n");
    fflush(stdout);

    while (poll(events, 2, -1) >= 0 && events[1].revents == 0)
        if (events[0].revents != 0) greet(listener, service);

    /* Out first, so that nobody new comes; then whoever waits; then the end. It is no failure when
     * the next version has taken our place already. */
    sluice_unregister(&options, service, listener, &report);
    while (poll(events, 1, 200) > 0) greet(listener, service);
    close(listener);
    return 0;
}

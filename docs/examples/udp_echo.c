/* SPDX-License-Identifier: Apache-2.0 */
/*
 * udp_echo SERVICE PORT [RUN_DIR]: a UDP service behind any binding, also of a whole prefix and any
 * port: every answer comes from the address and the port that was asked. A client takes no other.
 *
 *     cc -o udp_echo udp_echo.c $(pkg-config --cflags --libs libsluice)
 *     ./udp_echo echo 9007
 *
 * A UDP socket answers from its own address and port. With IP_PKTINFO it can choose the address,
 * but not the port. So: IP_RECVORIGDSTADDR tells what was asked, and another socket, bound to that,
 * sends the answer. It takes nothing: Sluice's lookup comes before the kernel's own. It lives for
 * one answer; a busy service would keep some. A port below 1024 takes CAP_NET_BIND_SERVICE, as
 * always.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <err.h>
#include <netinet/in.h>
#include <poll.h>
#include <sluice/sluice.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

union address {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
};

static socklen_t size_of(const union address* address) {
    return address->any.sa_family == AF_INET ? sizeof address->v4 : sizeof address->v6;
}

static int open_socket(int family) {
    const int made = socket(family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (made < 0) err(1, "socket");
    return made;
}

static void enable(int socket, int level, int option) {
    const int on = 1;
    if (setsockopt(socket, level, option, &on, sizeof on) != 0) err(1, "setsockopt %d", option);
}

/* One for each family: a socket for both would get IPv4 addresses in the clothes of IPv6. */
static int serve_on(const union address* address) {
    const int made = open_socket(address->any.sa_family);
    if (address->any.sa_family == AF_INET) {
        enable(made, IPPROTO_IP, IP_RECVORIGDSTADDR);
    } else {
        enable(made, IPPROTO_IPV6, IPV6_V6ONLY);
        enable(made, IPPROTO_IPV6, IPV6_RECVORIGDSTADDR);
        enable(made, IPPROTO_IPV6, IPV6_FREEBIND); /* or the agent warns: see answer_from() */
    }
    if (bind(made, &address->any, size_of(address)) != 0) err(1, "bind");
    return made;
}

/* What was asked for, by the control message that came with the datagram. */
static int find_asked(struct msghdr* message, union address* asked) {
    for (struct cmsghdr* one = CMSG_FIRSTHDR(message); one != NULL;
         one = CMSG_NXTHDR(message, one)) {
        if (one->cmsg_level == IPPROTO_IP && one->cmsg_type == IP_ORIGDSTADDR)
            memcpy(&asked->v4, CMSG_DATA(one), sizeof asked->v4);
        else if (one->cmsg_level == IPPROTO_IPV6 && one->cmsg_type == IPV6_ORIGDSTADDR)
            memcpy(&asked->v6, CMSG_DATA(one), sizeof asked->v6);
        else
            continue;
        return 0;
    }
    return -1;
}

/* The address need not be on an interface, only routed to this host: FREEBIND. Several processes
 * may answer from one address at a time: SO_REUSEADDR. Where no local route leads here but the
 * packets are brought by TPROXY, it takes IP_TRANSPARENT (and CAP_NET_ADMIN) in the place of
 * FREEBIND. */
static int answer_from(const union address* asked) {
    const int made = open_socket(asked->any.sa_family);
    enable(made, SOL_SOCKET, SO_REUSEADDR);
    if (asked->any.sa_family == AF_INET)
        enable(made, IPPROTO_IP, IP_FREEBIND);
    else
        enable(made, IPPROTO_IPV6, IPV6_FREEBIND);
    if (bind(made, &asked->any, size_of(asked)) == 0) return made;
    warn("bind to the address that was asked");
    close(made);
    return -1;
}

static void answer(int service_socket, const union address* own) {
    char data[65536];
    union address peer, asked;
    union {
        struct cmsghdr aligned;
        char bytes[256];
    } control;
    struct iovec iov = {.iov_base = data, .iov_len = sizeof data};
    struct msghdr message = {.msg_name = &peer,
                             .msg_namelen = sizeof peer,
                             .msg_iov = &iov,
                             .msg_iovlen = 1,
                             .msg_control = &control,
                             .msg_controllen = sizeof control};
    const ssize_t got = recvmsg(service_socket, &message, 0);
    if (got < 0 || find_asked(&message, &asked) != 0) return;
    /* Asked at our own address, without Sluice: that one is taken, by us. */
    const int direct = memcmp(&asked, own, size_of(own)) == 0;
    const int sender = direct ? service_socket : answer_from(&asked);
    if (sender < 0) return;
    if (sendto(sender, data, (size_t)got, 0, &peer.any, message.msg_namelen) < 0) warn("answer");
    if (!direct) close(sender);
}

int main(int argc, char** argv) {
    if (argc < 3) errx(2, "usage: %s SERVICE PORT [RUN_DIR]", argv[0]);
    const in_port_t port = htons((uint16_t)strtoul(argv[2], NULL, 10));
    union address own[2] = {
        {.v4 = {.sin_family = AF_INET, .sin_port = port, .sin_addr = {htonl(INADDR_LOOPBACK)}}},
        {.v6 = {.sin6_family = AF_INET6, .sin6_port = port, .sin6_addr = IN6ADDR_LOOPBACK_INIT}}};
    const int sockets[2] = {serve_on(&own[0]), serve_on(&own[1])};

    const struct sluice_options options = {.run_dir = argc > 3 ? argv[3] : NULL};
    struct sluice_report report;
    const int code = sluice_register(&options, argv[1], sockets, 2, &report);
    if (code != SLUICE_DONE)
        errx(code, "%s%s%s", report.text, report.hint[0] != '\0' ? "\nhint: " : "", report.hint);
    if (report.warnings > 0) fprintf(stderr, "%s", report.warning_text);
    printf("serving\n");
    fflush(stdout);

    struct pollfd events[2] = {{.fd = sockets[0], .events = POLLIN},
                               {.fd = sockets[1], .events = POLLIN}};
    while (poll(events, 2, -1) > 0)
        for (int i = 0; i < 2; ++i)
            if (events[i].revents != 0) answer(sockets[i], &own[i]);
    err(1, "poll");
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "client/connection.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "client/json_reader.h"

enum { most_descriptors = 253 }; /* SCM_MAX_FD */

static const int64_t second = 1000000000, millisecond = 1000000, microsecond = 1000;

static int64_t now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * second + time.tv_nsec;
}

static int64_t left(const struct connection* connection) { return connection->deadline - now(); }

static enum connection_trouble in_trouble(struct connection* connection,
                                          enum connection_trouble trouble, int error) {
    connection->trouble = trouble;
    connection->error = error;
    return trouble;
}

/* Not one of the three standard descriptors, where a program has closed them: what other threads
 * print there would go to the agent. */
static int make_socket(void) {
    const int made = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (made < 0 || made > STDERR_FILENO) return made;
    const int moved = fcntl(made, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
    const int error = errno;
    close(made);
    errno = error;
    return moved;
}

/* A full backlog makes connect(2) wait, and only SO_SNDTIMEO bounds that: there is nothing to poll
 * for. */
static enum connection_trouble connect_in_time(struct connection* connection,
                                               const struct sockaddr_un* address) {
    for (;;) {
        const int64_t wait = left(connection);
        if (wait <= 0) return in_trouble(connection, connection_late, 0);
        const int64_t rounded = wait + microsecond; /* up: 0 would be for ever */
        const struct timeval patience = {.tv_sec = rounded / second,
                                         .tv_usec = rounded % second / microsecond};
        if (setsockopt(connection->fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience) != 0)
            return in_trouble(connection, connection_errno, errno);
        if (connect(connection->fd, (const struct sockaddr*)address, sizeof *address) == 0)
            return connection_fine;
        if (errno != EINTR && errno != EAGAIN)
            return in_trouble(connection, connection_errno, errno);
    }
}

enum connection_trouble connection_open(struct connection* connection, const char* path,
                                        int timeout_ms) {
    connection->trouble = connection_fine;
    connection->error = 0;
    connection->received = connection->have = connection->at = 0;
    connection->deadline = now() + timeout_ms * millisecond;
    connection->fd = make_socket();
    if (connection->fd < 0) return in_trouble(connection, connection_errno, errno);
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    memcpy(address.sun_path, path, strlen(path));
    return connect_in_time(connection, &address);
}

/* Until the socket can be read or written, whatever signals come. */
static enum connection_trouble await(struct connection* connection, short events) {
    for (;;) {
        const int64_t wait = left(connection);
        if (wait <= 0) return in_trouble(connection, connection_late, 0);
        struct pollfd poller = {.fd = connection->fd, .events = events, .revents = 0};
        const int ready = poll(&poller, 1, (int)((wait + millisecond - 1) / millisecond));
        if (ready > 0) return connection_fine;
        if (ready < 0 && errno != EINTR) return in_trouble(connection, connection_errno, errno);
    }
}

union control {
    struct cmsghdr header; /* for its alignment */
    char bytes[CMSG_SPACE(most_descriptors * sizeof(int))];
};

static void attach(struct msghdr* message, union control* control, const int* descriptors,
                   size_t count) {
    const size_t size = count * sizeof *descriptors;
    memset(control, 0, sizeof *control);
    message->msg_control = control;
    message->msg_controllen = CMSG_SPACE(size);
    struct cmsghdr* header = CMSG_FIRSTHDR(message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(size);
    memcpy(CMSG_DATA(header), descriptors, size);
}

enum connection_trouble connection_send(struct connection* connection, const char* bytes,
                                        size_t count, const int* descriptors,
                                        size_t descriptor_count) {
    union control control;
    struct iovec rest = {.iov_base = (void*)bytes, .iov_len = count};
    struct msghdr message = {.msg_iov = &rest, .msg_iovlen = 1};
    if (descriptor_count > 0) attach(&message, &control, descriptors, descriptor_count);
    while (rest.iov_len > 0) {
        const ssize_t sent = sendmsg(connection->fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent >= 0) {
            rest.iov_base = (char*)rest.iov_base + sent;
            rest.iov_len -= (size_t)sent;
            message.msg_control = NULL; /* they went with the first byte */
            message.msg_controllen = 0;
        } else if (errno == EPIPE || errno == ECONNRESET) {
            return in_trouble(connection, connection_closed, 0);
        } else if (errno != EAGAIN && errno != EINTR) {
            return in_trouble(connection, connection_errno, errno);
        } else if (await(connection, POLLOUT) != connection_fine) {
            return connection->trouble;
        }
    }
    return connection_fine;
}

/* recv(2) has no room for descriptors, so those that a server might send are never received. */
static bool refill(struct connection* connection) {
    if (connection->received >= connection_max_message)
        return in_trouble(connection, connection_endless, 0) == connection_fine; /* false */
    for (;;) {
        const ssize_t got =
            recv(connection->fd, connection->buffer, sizeof connection->buffer, MSG_DONTWAIT);
        if (got > 0) {
            connection->have = (size_t)got;
            connection->at = 0;
            connection->received += (size_t)got;
            return true;
        }
        if (got == 0 || errno == ECONNRESET) {
            in_trouble(connection, connection_closed, 0);
            return false;
        }
        if (errno != EAGAIN && errno != EINTR) {
            in_trouble(connection, connection_errno, errno);
            return false;
        }
        if (await(connection, POLLIN) != connection_fine) return false;
    }
}

int connection_next(void* source) {
    struct connection* connection = source;
    if (connection->at == connection->have && !refill(connection)) return json_broken;
    const int byte = connection->buffer[connection->at++];
    return byte == 0 ? json_end : byte;
}

void connection_close(struct connection* connection) {
    if (connection->fd >= 0) close(connection->fd);
    connection->fd = -1;
}

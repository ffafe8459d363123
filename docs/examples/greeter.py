#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""greeter.py SERVICE ADDRESS PORT [RUN_DIR [replace]]: a TCP service that registers its own socket, with nothing but
the standard library.

RUN_DIR is the agent's, /run/sluice by default. With `replace` its socket becomes the service's only one: start the
next version so, on another port (clients do not see it), then end the last one.

The agent has two sockets there. `register` takes a line, `SERVICE#`, with the descriptors, and is enough to be one
more of the service's. `control` speaks Varlink (JSON with a NUL at the end), and can do everything. Both judge
the caller by what the kernel says of it.
"""
import json
import os
import selectors
import signal
import socket
import sys


class Refused(Exception):
    pass


def register(run_dir, service, sockets):
    """Adds the sockets to those of the service: all or none."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as agent:
        agent.settimeout(5)
        agent.connect(os.path.join(run_dir, "register"))
        socket.send_fds(agent, [service.encode() + b"#"], [one.fileno() for one in sockets])
        answer = agent.recv(1024).decode()  # one message: `OK`, or `ERR reason`
    if answer != "OK":
        raise Refused(answer.removeprefix("ERR ") or "the agent closed the connection")


def call(run_dir, method, parameters, sockets=()):
    """One call of the control API; config/internal.sluice.Agent.varlink has them all."""
    message = json.dumps({"method": f"internal.sluice.Agent.{method}", "parameters": parameters})
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as agent:
        agent.settimeout(5)
        agent.connect(os.path.join(run_dir, "control"))
        rest = message.encode() + b"\0"
        if sockets:  # descriptors go with the first byte; the call names them by index
            rest = rest[socket.send_fds(agent, [rest], [one.fileno() for one in sockets]):]
        agent.sendall(rest)
        answer = b""
        while not answer.endswith(b"\0"):
            more = agent.recv(65536)
            if not more:
                raise Refused("the agent closed the connection")
            answer += more
    reply = json.loads(answer[:-1])
    if "error" in reply:
        error = reply.get("parameters", {})
        raise Refused(error.get("why", reply["error"]), error.get("hint"))
    return reply["parameters"]


def replace(run_dir, service, sockets):
    """Makes the sockets the service's only ones, in one step."""
    return call(run_dir, "Register",
                {"service": service, "mode": "replace", "sockets": list(range(len(sockets)))}, sockets)


def cookie(sock):
    """What the kernel calls the socket, as the agent and `ss -e` print it."""
    so_cookie = 57
    return f"{int.from_bytes(sock.getsockopt(socket.SOL_SOCKET, so_cookie, 8), sys.byteorder):x}"


def listen(address, port):
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)  # close-on-exec, as always in Python
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((address, port))
    listener.listen(socket.SOMAXCONN)
    listener.setblocking(False)
    return listener


def greet(listener, service):
    try:
        client, _ = listener.accept()
    except OSError:
        return  # gone already
    with client:
        host, port = client.getsockname()[:2]  # what the client asked for
        client.sendall(f"{service} here, process {os.getpid()}; you asked for {host} port {port}\n".encode())


def main():
    if len(sys.argv) < 4:
        sys.exit(f"usage: {sys.argv[0]} SERVICE ADDRESS PORT [RUN_DIR [replace]]")
    service, address, port, run_dir, how = [*sys.argv[1:], *["/run/sluice", "add"][len(sys.argv) - 4:]][:5]
    listener = listen(address, int(port))
    (replace if how == "replace" else register)(run_dir, service, [listener])
    print("serving", flush=True)

    wakeup, ended = socket.socketpair()
    for end in (wakeup, ended):
        end.setblocking(False)
    signal.set_wakeup_fd(ended.fileno())
    signal.signal(signal.SIGTERM, lambda *_: None)
    selector = selectors.DefaultSelector()
    for source in (listener, wakeup):
        selector.register(source, selectors.EVENT_READ)
    while wakeup not in [key.fileobj for key, _ in selector.select()]:
        greet(listener, service)

    # Out first, so that nobody new comes; then whoever is still on the way, until it is quiet; then the end.
    try:
        call(run_dir, "Unregister", {"service": service, "cookie": cookie(listener)})
    except Refused:
        pass  # the next version has taken our place already
    selector.unregister(wakeup)
    while selector.select(0.2):
        greet(listener, service)


if __name__ == "__main__":
    try:
        main()
    except (Refused, OSError) as error:
        sys.exit(f"greeter.py: {': '.join(str(part) for part in error.args if part)}")

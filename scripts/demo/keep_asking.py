#!/usr/bin/env python3
"""keep_asking.py ADDRESS PORT SECONDS [STOP_FILE]: one new TCP connection after another, each asked once.

Ends after SECONDS, or as soon as STOP_FILE exists. Prints one line of JSON: how many requests, how many
failed (refused, reset, timed out, no answer), who answered how often, and in which order they took turns.
"""
import collections
import json
import os
import socket
import sys
import time

address, port, seconds = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
stop_file = sys.argv[4] if len(sys.argv) > 4 else None
REQUEST = f"GET / HTTP/1.0\r\nHost: {address}\r\n\r\n".encode()


def ask():
    """The first word of the answer's body: the name of the service."""
    with socket.create_connection((address, port), timeout=3) as connection:
        connection.sendall(REQUEST)
        data = b""
        while chunk := connection.recv(4096):
            data += chunk
    head, _, body = data.partition(b"\r\n\r\n")
    if b" 200 " not in head.split(b"\r\n")[0] or not body:
        raise OSError("no answer")
    return body.split()[0].decode()


answered, failures, order = collections.Counter(), collections.Counter(), []
end = time.monotonic() + seconds
while time.monotonic() < end and not (stop_file and os.path.exists(stop_file)):
    try:
        who = ask()
        answered[who] += 1
        if not order or order[-1] != who:
            order.append(who)
    except OSError as error:
        failures[type(error).__name__] += 1
    time.sleep(0.0005)  # no benchmark: leave the servers some of the processor

print(json.dumps({
    "requests": sum(answered.values()) + sum(failures.values()),
    "failed": sum(failures.values()),
    "answered": answered,
    "order": order,
    "failures": failures,
}))

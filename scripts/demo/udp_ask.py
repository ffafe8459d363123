#!/usr/bin/env python3
"""udp_ask.py ADDRESS PORT: sends a datagram from an ephemeral port and prints the answer.

The socket is connected, so an answer from any other address or port than the one asked is not taken.
"""
import socket
import sys

address, port = sys.argv[1], int(sys.argv[2])
family = socket.AF_INET6 if ":" in address else socket.AF_INET
with socket.socket(family, socket.SOCK_DGRAM) as sock:
    sock.connect((address, port))
    sock.settimeout(1)
    for _ in range(3):  # UDP: the first datagram may be lost to neighbour discovery
        sock.send(b"who is there?")
        try:
            print(sock.recv(2048).decode())
            sys.exit(0)
        except TimeoutError:
            continue
print("no answer")
sys.exit(1)

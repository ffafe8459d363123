#!/usr/bin/env python3
"""A UDP service for the quickstart: answers each datagram with who it is and what was asked for.

It is bound to one address on loopback and asked on many others, so it answers from the address that
was asked (IP_PKTINFO, IPV6_PKTINFO: ip(7), RFC 3542). For IPv6 the kernel also wants IPV6_FREEBIND,
since the address is on no interface.
"""
import selectors
import socket
import struct
import sys

IP_PKTINFO = 8  # <linux/in.h>; not in Python's socket module before 3.14
IPV6_FREEBIND = 78  # <linux/in6.h>


def open_v4(port):
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.setsockopt(socket.IPPROTO_IP, IP_PKTINFO, 1)
    sock.bind(("127.0.0.1", port))
    return sock


def open_v6(port):
    sock = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
    sock.setsockopt(socket.IPPROTO_IPV6, IPV6_FREEBIND, 1)
    sock.bind(("::1", port))
    return sock


def asked_and_reply_control(level, kind, data):
    """The address that was asked, and the control message that makes the answer come from it."""
    if (level, kind) == (socket.IPPROTO_IP, IP_PKTINFO):
        _, _, asked = struct.unpack("=I4s4s", data[:12])  # ifindex, spec_dst, addr
        return socket.inet_ntop(socket.AF_INET, asked), struct.pack("=I4s4s", 0, asked, bytes(4))
    asked = data[:16]
    return socket.inet_ntop(socket.AF_INET6, asked), asked + struct.pack("=I", 0)


def answer(sock):
    _, control, _, peer = sock.recvmsg(2048, 256)
    for level, kind, data in control:
        asked, pktinfo = asked_and_reply_control(level, kind, data)
        text = f"echo (python, UDP), asked for {asked}".encode()
        sock.sendmsg([text], [(level, kind, pktinfo)], 0, peer)


def main():
    port = int(sys.argv[1])
    selector = selectors.DefaultSelector()
    for sock in (open_v4(port), open_v6(port)):
        selector.register(sock, selectors.EVENT_READ)
    while True:
        for key, _ in selector.select():
            answer(key.fileobj)


main()

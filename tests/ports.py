# SPDX-License-Identifier: Apache-2.0
"""Ports of 127.0.0.1 for servers that must be told theirs."""

import socket

KEPT = []


def free_port():
    """A port that stays ours, so that no other process of the machine gets it between two of a server's lives or
    before its first: it is bound as long as this process lives, and listened on by nobody but the server, which
    sets SO_REUSEADDR as we do.  Until then connections are refused."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind(("127.0.0.1", 0))
    KEPT.append(sock)
    return sock.getsockname()[1]

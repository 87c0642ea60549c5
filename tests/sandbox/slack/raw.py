# SPDX-License-Identifier: Apache-2.0
"""Frames that a well-behaved server never sends, for the control call `inject`."""

import json
import uuid

from .frames import BINARY, CLOSE, PING, PONG, TEXT, encode
from .wire import dumps


def envelope(type_, payload, **more):
    return dumps({"envelope_id": str(uuid.uuid4()), "type": type_, "payload": payload,
                  "accepts_response_payload": False, **more})


def rate_limited():
    """The flat event that has no inner `event`."""
    return envelope("events_api", {"token": "x", "type": "app_rate_limited", "team_id": "T0OPS",
                                   "minute_rate_limited": 1790000000, "api_app_id": "A0OPSD"},
                    retry_attempt=0, retry_reason="")


TEXTS = {
    "not_json": "UNAUTHENTICATED: cache_error",
    "malformed": '{"envelope_id":"1","type":"slash_commands","payload":{"command":"/ops",',
    "empty_object": "{}",
    "array": "[1,2,3]",
    "number": "12",
    "null_type": '{"type":null,"envelope_id":"x"}',
    "deep": "[" * 5000 + "]" * 5000,
    "deep_object": '{"a":' * 3000 + "1" + "}" * 3000,
    "twice_hello": '{"type":"hello"}',
    "nul_escape": '{"type":"hello\\u0000","x":"\\ud800"}',
}


def inject(sock, kind, params):
    """Write one odd thing to a socket."""
    if kind in TEXTS:
        sock.send_frame(TEXT, TEXTS[kind].encode())
    elif kind == "text":
        sock.send_frame(TEXT, params["text"].encode())
    elif kind == "unknown_type":
        sock.send_frame(TEXT, envelope("brand_new_type", {"a": 1}).encode())
    elif kind == "no_event":
        sock.send_frame(TEXT, rate_limited().encode())
    elif kind == "payload_string":
        sock.send_frame(TEXT, envelope("slash_commands", "a string").encode())
    elif kind == "payload_array":
        sock.send_frame(TEXT, envelope("interactive", [1, 2]).encode())
    elif kind == "missing_fields":
        sock.send_frame(TEXT, envelope("slash_commands", {"command": "/ops"}).encode())
    elif kind == "binary":
        sock.send_frame(BINARY, bytes(range(256)))
    elif kind == "huge":
        size = params.get("size", 1 << 20)
        body = envelope("brand_new_type", {"filler": "x" * max(0, size - 200)})
        sock.send_frame(TEXT, body.encode())
    elif kind == "endless":
        sock.send_frame(TEXT, b'{"type":"', fin=False)
        for _ in range(params.get("frames", 100)):
            sock.send_frame(0, b"x" * (1 << 16), fin=False)
    elif kind == "huge_header":
        sock.write(bytes([0x81, 127]) + (1 << 62).to_bytes(8, "big"))
    elif kind == "fragments":
        fragments(sock, params)
    else:
        broken(sock, kind, params)


def fragments(sock, params):
    """One message in pieces, with pings (and empty pieces) between them."""
    data = params.get("text", json.dumps({"type": "hello", "in": "pieces"})).encode()
    size = params.get("size", 5)
    pieces = [data[i:i + size] for i in range(0, len(data), size)]
    for i, piece in enumerate(pieces):
        sock.send_frame(TEXT if i == 0 else 0, piece, fin=False)
        sock.send_frame(PING, b"in between %d" % i)
    sock.send_frame(0, b"", fin=True)


def broken(sock, kind, params):
    how = {
        "masked": lambda: sock.write(encode(TEXT, b'{"type":"hello"}', mask=b"\x01\x02\x03\x04")),
        "bad_utf8": lambda: sock.send_frame(TEXT, b'{"type":"\xff\xfe"}'),
        "reserved_bits": lambda: sock.send_frame(TEXT, b"{}", rsv=4),
        "reserved_opcode": lambda: sock.send_frame(5, b"{}"),
        "long_ping": lambda: sock.send_frame(PING, b"x" * 126),
        "fragmented_ping": lambda: sock.send_frame(PING, b"x", fin=False),
        "lone_continuation": lambda: sock.send_frame(0, b"{}"),
        "nested_start": lambda: (sock.send_frame(TEXT, b"{", fin=False), sock.send_frame(TEXT, b"}")),
        "lone_pong": lambda: sock.send_frame(PONG, b"nobody asked"),
        "close_1_byte": lambda: sock.send_frame(CLOSE, b"\x03"),
        "close_bad_code": lambda: sock.send_frame(CLOSE, (params.get("code", 1005)).to_bytes(2, "big")),
        "close_empty": lambda: sock.send_frame(CLOSE, b""),
        "half_frame": lambda: sock.write(b"\x81\x7e\x10\x00partial"),
        "http_again": lambda: sock.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
    }.get(kind)
    if how is None:
        raise ValueError(f"unknown thing to inject: {kind!r}")
    how()

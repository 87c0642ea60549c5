# SPDX-License-Identifier: Apache-2.0
"""The Slack stand-in against a raw client: what Slack documents, and each fault doing what it says."""

import json
import time
from urllib.parse import urlsplit

import pytest
from raw_app import FORM, JSON, http
from sandbox.slack.client import ControlError

PLAIN = {"type": "plain_text", "text": "Go"}
BUTTON = {"type": "button", "text": PLAIN, "action_id": "go", "value": "v1"}
CARD = [{"type": "section", "block_id": "s", "text": {"type": "mrkdwn", "text": "*Hi*"}},
        {"type": "actions", "block_id": "a", "elements": [BUTTON]}]
FORM_VIEW = {
    "type": "modal", "callback_id": "scale", "title": {"type": "plain_text", "text": "Scale"}, "submit": PLAIN,
    "notify_on_close": True,
    "blocks": [{"type": "input", "block_id": "n", "label": PLAIN, "element": {
        "type": "number_input", "action_id": "count", "is_decimal_allowed": False, "min_value": "0"}}]}


# Web API: the frame

def test_unknown_method_and_tokens(slack):
    app = slack.app
    assert app("no.such")["error"] == "unknown_method"
    assert json.loads(app.raw("auth.test", token=False)[2])["error"] == "not_authed"
    assert app("auth.test", _token="xoxb-other")["error"] == "invalid_auth"
    assert app("chat.postMessage", _token=app.app, channel="C0OPS", text="x")["error"] == "not_allowed_token_type"
    assert app("apps.connections.open")["error"] == "not_allowed_token_type"
    status, headers, body = app.raw("auth.test")
    assert status == 200 and json.loads(body)["user_id"] == "U0OPSD"
    assert "chat:write" in headers["x-oauth-scopes"].split(",") and headers["x-slack-req-id"]


def test_token_in_a_form_but_the_app_token_in_the_header_only(slack):
    status, _, body = http(slack.base_url, "POST", "/api/auth.test", "token=" + slack.bot_token, {"Content-Type": FORM})
    assert json.loads(body)["ok"]
    _, _, body = http(slack.base_url, "POST", "/api/apps.connections.open", "token=" + slack.app_token,
                      {"Content-Type": FORM})
    assert json.loads(body)["error"] == "not_authed"
    _, _, body = http(slack.base_url, "POST", "/api/auth.test", json.dumps({"token": slack.bot_token}),
                      {"Content-Type": JSON})
    assert json.loads(body)["error"] == "not_authed"


def test_connections_open_escapes_slashes_and_tickets_are_one_shot(slack):
    raw = slack.app.raw("apps.connections.open", token=slack.app_token)[2]
    assert rb'"url":"ws:\/\/127.0.0.1' in raw
    from raw_app import Socket
    url = json.loads(raw)["url"]
    first, second = Socket(url), Socket(url)
    assert first.status == 101 and first.message()["type"] == "hello"
    assert second.status == 403
    first.close()


def test_content_types(slack):
    app = slack.app
    assert app("users.info", user="U0ANA")["user"]["profile"]["email"] == "ana@example.com"
    assert app("users.info", user="U0ANA", _json=True)["error"] == "user_not_found"     # a form-only method
    out = json.loads(app.raw("auth.test", {}, as_json=True, ctype="application/json")[2])
    assert out["warning"] == "missing_charset" and out["response_metadata"]["warnings"] == ["missing_charset"]
    out = json.loads(app.raw("auth.test", {"a": "b"}, ctype=FORM + "; charset=utf-8")[2])
    assert out["warning"] == "superfluous_charset"
    assert json.loads(app.raw("auth.test", b"{", as_json=True)[2])["error"] == "invalid_json"
    assert json.loads(app.raw("auth.test", b"[]", as_json=True)[2])["error"] == "json_not_object"
    assert json.loads(app.raw("auth.test", {"a": "b"}, ctype="text/xml")[2])["error"] == "invalid_post_type"


def test_missing_scope_names_what_is_needed(slack):
    slack.ctl.token(remove_scopes=["users:read"])
    out = slack.app("users.info", user="U0ANA")
    assert out["error"] == "missing_scope" and out["needed"] == "users:read" and "chat:write" in out["provided"]
    slack.ctl.token(state="token_revoked")
    assert slack.app("auth.test")["error"] == "token_revoked"


def test_tier_limits_answer_429_with_retry_after(slack):
    slack.ctl.switch(tiers=True)
    codes = [slack.app.raw("users.list")[0] for _ in range(21)]
    assert codes == [200] * 20 + [429]
    status, headers, body = slack.app.raw("users.list")
    assert int(headers["retry-after"]) > 0 and json.loads(body)["error"] == "ratelimited"
    assert slack.app("users.info", user="U0ANA")["ok"]      # only that method is blocked
    slack.ctl.age(seconds=61)
    assert slack.app("users.list")["ok"]


# Messages

def test_post_update_delete_and_history(slack):
    app = slack.app
    out = app("chat.postMessage", channel="C0OPS", text="one", blocks=CARD,
              metadata={"event_type": "opsd", "event_payload": {"id": "7"}}, _json=True)
    assert out["ok"] and out["message"]["blocks"][0]["block_id"] == "s"
    ts = out["ts"]
    assert app("chat.update", channel="C0OPS", ts=ts, text="two")["ok"]
    row = app("conversations.history", channel="C0OPS", include_all_metadata="true")["messages"][0]
    assert row["text"] == "two" and "blocks" not in row and row["edited"]["user"] == "U0OPSD"
    assert row["metadata"]["event_payload"] == {"id": "7"}
    assert "metadata" not in app("conversations.history", channel="C0OPS")["messages"][0]
    assert app("chat.getPermalink", channel="C0OPS", message_ts=ts)["permalink"].endswith(ts.replace(".", ""))
    assert app("chat.delete", channel="C0OPS", ts=ts)["ok"]
    assert app("chat.update", channel="C0OPS", ts=ts, text="x")["error"] == "message_not_found"
    assert slack.ctl.messages(channel="C0OPS")["messages"][0]["deleted"]


@pytest.mark.parametrize("args,error", [
    ({"channel": "C0NONE", "text": "x"}, "channel_not_found"),
    ({"text": "x"}, "channel_not_found"),
    ({"channel": "C0RANDOM", "text": "x"}, "not_in_channel"),
    ({"channel": "C0OPS"}, "no_text"),
    ({"channel": "C0OPS", "blocks": "{"}, "invalid_blocks_format"),
    ({"channel": "C0OPS", "text": "x", "blocks": [{"type": "magic"}]}, "invalid_blocks"),
    ({"channel": "C0OPS", "text": "x", "metadata": {"a": 1}}, "invalid_metadata_format"),
])
def test_post_errors(slack, args, error):
    assert slack.app("chat.postMessage", **args)["error"] == error


def test_archived_private_and_foreign(slack):
    slack.ctl.channel(channel="C0OPS", is_archived=True)
    assert slack.app("chat.postMessage", channel="C0OPS", text="x")["error"] == "is_archived"
    slack.ctl.channel(channel="C0AUDIT", is_private=True, kick=["U0OPSD"])
    assert slack.app("chat.postMessage", channel="C0AUDIT", text="x")["error"] == "channel_not_found"
    ts = slack.ctl.say(user="U0ANA", channel="C0SHARED", text="mine")["ts"]
    assert slack.app("chat.update", channel="C0SHARED", ts=ts, text="x")["error"] == "cant_update_message"
    assert slack.app("chat.delete", channel="C0SHARED", ts=ts)["error"] == "cant_delete_message"


def test_text_lengths(slack):
    out = slack.app("chat.postMessage", channel="C0OPS", text="x" * 40001)
    assert out["warning"] == "message_truncated" and len(out["message"]["text"]) == 40000
    assert slack.app("chat.update", channel="C0OPS", ts=out["ts"], text="x" * 4001)["error"] == "msg_too_long"
    slack.ctl.switch(blocks_budget=1000)
    wide = [{"type": "section", "text": {"type": "plain_text", "text": "y" * 1200}}]
    assert slack.app("chat.postMessage", channel="C0OPS", text="x", blocks=wide)["error"] == "msg_blocks_too_long"


def test_block_limits_with_pointers_and_utf16(slack):
    def errors(blocks):
        out = slack.app("chat.postMessage", channel="C0OPS", text="x", blocks=blocks)
        return out.get("response_metadata", {}).get("messages")
    slack.ctl.switch(pacing=False)
    section = {"type": "section", "text": {"type": "plain_text", "text": "\U0001f600" * 1500}}
    assert errors([section]) is None                                    # 3000 UTF-16 units
    section["text"]["text"] += "x"
    assert errors([section]) == ["[ERROR] must be less than 3001 characters [json-pointer:/blocks/0/text/text]"]
    assert errors([{"type": "divider"}] * 51) == ["[ERROR] no more than 50 items allowed [json-pointer:/blocks]"]
    assert errors([{"type": "section"}]) == ["[ERROR] missing required field: text [json-pointer:/blocks/0]"]
    assert errors([{"type": "divider", "x": 1}]) == ["[ERROR] invalid additional property: x [json-pointer:/blocks/0]"]
    assert "already exists" in errors([{"type": "divider", "block_id": "a"}] * 2)[0]
    twice = [{"type": "actions", "elements": [BUTTON, BUTTON]}]
    assert "already exists" in errors(twice)[0]
    assert "1 items" in errors([{"type": "actions", "elements": []}])[0]
    assert "more than 0" in errors([{"type": "section", "text": {"type": "mrkdwn", "text": ""}}])[0]
    long = {**BUTTON, "text": {"type": "plain_text", "text": "x" * 76}}
    assert errors([{"type": "actions", "elements": [long]}])[0].endswith("/blocks/0/elements/0/text/text]")
    assert "unsupported" in errors([{"type": "alert", "text": PLAIN}])[0]
    table = {"type": "table", "rows": [[{"type": "raw_text", "text": "a"}]]}
    assert errors([table]) is None
    assert "only_one_table" in errors([table, table])[0]
    assert "raw_number" in errors([{"type": "table", "rows": [[{"type": "raw_number", "value": 1}]]}])[0]
    pre = {"type": "rich_text", "elements": [{"type": "rich_text_preformatted", "elements": [
        {"type": "text", "text": "ok"}]}]}
    assert errors([pre]) is None


def test_ephemeral_is_for_one_person(slack):
    out = slack.app("chat.postEphemeral", channel="C0OPS", user="U0ANA", text="psst")
    assert out["ok"]
    assert slack.app("chat.update", channel="C0OPS", ts=out["message_ts"], text="x")["error"] == "message_not_found"
    assert slack.app("chat.postEphemeral", channel="C0OPS", user="U0OUT", text="x")["error"] == "user_not_in_channel"

    def seen(user):
        return [m["text"] for m in slack.ctl.messages(channel="C0OPS", user=user)["messages"]]
    assert seen("U0ANA") == ["psst"] and seen("U0BEN") == []


def test_pacing_allows_a_burst_of_three(slack):
    codes = [slack.app.raw("chat.postMessage", {"channel": "C0OPS", "text": "x"})[0] for _ in range(4)]
    assert codes == [200, 200, 200, 429]
    assert slack.app("chat.postMessage", channel="C0AUDIT", text="x")["ok"]
    slack.ctl.age(seconds=1.1)
    assert slack.app("chat.postMessage", channel="C0OPS", text="x")["ok"]


def test_direct_messages(slack):
    dm = slack.app("conversations.open", users="U0ANA")["channel"]["id"]
    assert dm.startswith("D")
    assert slack.app("conversations.open", users="U0OLD")["error"] == "user_disabled"
    out = slack.app("chat.postMessage", channel="U0ANA", text="hi")
    assert out["channel"] == dm
    assert slack.app("chat.update", channel="U0ANA", ts=out["ts"], text="x")["error"] == "channel_not_found"
    assert slack.app("chat.update", channel=dm, ts=out["ts"], text="x")["ok"]


def test_people_and_paging(slack):
    app = slack.app
    rows, cursor, pages = [], "", 0
    while True:
        out = app("users.list", limit="4", cursor=cursor)
        rows += out["members"]
        cursor = out["response_metadata"]["next_cursor"]
        pages += 1
        if not cursor:
            break
    assert pages > 1 and "U0OUT" not in [u["id"] for u in rows]
    by = {u["id"]: u for u in rows}
    assert by["U0OLD"]["deleted"] and by["U0GUS"]["is_restricted"] and by["UBOT01"]["is_bot"]
    assert by["U0UNC"]["is_email_confirmed"] is False
    assert app("users.info", user="U0OUT")["user"]["team_id"] == "T0OTHER"
    assert "email" not in app("users.info", user="U0OUT")["user"]["profile"]
    assert app("users.list", cursor="bogus")["error"] == "invalid_cursor"
    assert app("users.lookupByEmail", email="dia@example.com")["user"]["id"] == "U0DIA"
    assert app("users.lookupByEmail", email="old@example.com")["error"] == "users_not_found"
    groups = {g["handle"]: g["users"] for g in app("usergroups.list", include_users="true")["usergroups"]}
    assert groups["data-platform"] == ["U0DIA", "U0EVE"]
    assert app("conversations.info", channel="C0SHARED")["channel"]["is_ext_shared"]
    assert "U0OUT" in app("conversations.members", channel="C0SHARED")["members"]
    slack.ctl.token(remove_scopes=["users:read.email"])
    assert "email" not in app("users.info", user="U0ANA")["user"]["profile"]


def test_files_in_three_steps(slack):
    assert slack.app("files.getUploadURLExternal", filename="a.csv", length="0")["error"] == "missing_argument"
    out = slack.app("files.getUploadURLExternal", filename="a.csv", length="3")
    path = urlsplit(out["upload_url"]).path
    files = [{"id": out["file_id"], "title": "A"}]
    assert slack.app("files.completeUploadExternal", files=files, channel_id="C0OPS")["error"] == "file_not_found"
    assert http(slack.base_url, "POST", path, b"abcd")[0] == 400
    assert http(slack.base_url, "POST", path, b"abc")[0] == 200
    assert slack.app("files.completeUploadExternal", files=files, channel_id="C0OPS")["ok"]
    assert slack.ctl.messages(channel="C0OPS")["messages"][0]["files"][0]["title"] == "A"
    assert http(slack.base_url, "GET", f"/_/file?id={out['file_id']}")[2] == b"abc"


# Faults of the Web API

def test_api_faults(slack):
    app, ctl = slack.app, slack.ctl
    ctl.fault(name="api", method="chat.postMessage", mode="http", status=429, retry_after=7, times=1)
    status, headers, _ = app.raw("chat.postMessage", {"channel": "C0OPS", "text": "x"})
    assert status == 429 and headers["retry-after"] == "7"
    ctl.fault(name="api", method="chat.postMessage", mode="http", status=503, times=1)
    assert app.raw("chat.postMessage", {"channel": "C0OPS", "text": "x"})[0] == 503
    ctl.fault(name="api", method="*", mode="error", code="fatal_error", times=2)
    assert [app("auth.test").get("error") for _ in range(3)] == ["fatal_error", "fatal_error", None]
    ctl.fault(name="api", method="chat.postMessage", mode="html", times=1)
    assert b"<html>" in app.raw("chat.postMessage", {"channel": "C0OPS", "text": "x"})[2]
    ctl.fault(name="open", mode="error", code="link_disabled", times=1)
    assert app("apps.connections.open", _token=app.app)["error"] == "link_disabled"
    ctl.fault(name="api", method="chat.postMessage", mode="lost", times=1)
    with pytest.raises(TimeoutError):
        app.raw("chat.postMessage", {"channel": "C0OPS", "text": "happened"}, timeout=0.3)
    ctl.wait("message", channel="C0OPS", contains="happened")
    assert [m["text"] for m in ctl.messages(channel="C0OPS")["messages"]] == ["happened"]
    ctl.fault(name="api", method="auth.test", mode="slow", ms=300, times=1)
    start = time.monotonic()
    assert app("auth.test")["ok"] and time.monotonic() - start > 0.29
    with pytest.raises(ControlError, match="unknown fault"):
        ctl.fault(name="mispelt")


# Socket Mode

def test_slash_ack_and_response_url(slack):
    k = slack.app.dial(on_envelope=lambda k, e: k.ack(e, {"text": "working"}) or True)
    hello = k.message()
    assert hello["num_connections"] == 1 and hello["debug_info"]["approximate_connection_time"] == 18060
    out = slack.ctl.slash(user="U0ANA", text="workers scale @ben #ops see.example.com a&b", wait=True)
    assert out["outcome"] == "acked" and out["elapsed_ms"] > 0
    row = slack.ctl.acks()["acks"][0]
    payload = row["payload"]
    assert payload["text"] == ("workers scale <@U0BEN|ben> <#C0OPS|ops> <http://see.example.com|see.example.com> "
                               "a&amp;b")
    assert payload["is_enterprise_install"] == "false" and row["ack"] == {"text": "working"}
    for i in range(5):
        assert slack.app.hook(payload["response_url"], text=f"r{i}")[2] == b"ok"
    assert slack.app.hook(payload["response_url"], text="r5")[::2] == (404, b"used_url")
    texts = [m["text"] for m in slack.ctl.messages(channel="C0OPS", user="U0ANA")["messages"]]
    assert texts == ["working", "r0", "r1", "r2", "r3", "r4"]
    assert slack.ctl.messages(channel="C0OPS", user="U0BEN")["messages"] == []


def test_response_url_expires(slack):
    k = slack.app.dial(on_envelope=lambda k, e: k.ack(e) or True)
    k.message()
    slack.ctl.slash(user="U0ANA", wait=True)
    url = slack.ctl.acks()["acks"][0]["payload"]["response_url"]
    slack.ctl.age(seconds=1801)
    assert slack.app.hook(url, text="late")[::2] == (404, b"expired_url")


def test_unacknowledged_slash_times_out_and_none_connected(slack):
    assert slack.ctl.slash(user="U0ANA", wait=True)["outcome"] == "dispatch_failed"
    slack.ctl.switch(ack_deadline=0.2)
    k = slack.app.dial()
    k.message()
    assert slack.ctl.slash(user="U0ANA", wait=True)["outcome"] == "operation_timeout"
    k.ack(k.message())
    texts = [m["text"] for m in slack.ctl.messages(channel="C0OPS", user="U0ANA")["messages"]]
    assert ["dispatch_failed" in texts[0], "operation_timeout" in texts[1]] == [True, True]
    slack.ctl.wait("ack", count=1)
    assert any("late" in v["what"] for v in slack.ctl.violations()["violations"])


def test_events_come_again_with_a_new_envelope(slack):
    slack.ctl.switch(ack_deadline=0.1, retry_scale=0.001)
    k = slack.app.dial()
    k.message()
    slack.ctl.home(user="U0ANA")
    seen = [k.message() for _ in range(4)]
    assert [e["retry_attempt"] for e in seen] == [0, 1, 2, 3]
    assert [e["retry_reason"] for e in seen] == ["", "timeout", "timeout", "timeout"]
    assert len({e["envelope_id"] for e in seen}) == 4 and len({e["payload"]["event_id"] for e in seen}) == 1
    assert "view" not in seen[0]["payload"]["event"]


def test_round_robin_and_too_many(slack):
    sockets = [slack.app.dial() for _ in range(10)]
    assert [k.message()["num_connections"] for k in sockets] == list(range(1, 11))
    extra = slack.app.dial()
    assert extra.message()["reason"] == "too_many_websockets"
    assert extra.frame()[0] == 8
    for _ in range(10):
        slack.ctl.slash(user="U0ANA")
    assert all(k.message()["type"] == "slash_commands" for k in sockets)


def test_oversized_ack_closes_1009_and_comes_again(slack):
    k = slack.app.dial()
    k.message()
    slack.ctl.slash(user="U0ANA")
    k.ack(k.message(), {"text": "x" * 20480})
    op, _, body = k.frame()
    assert op == 8 and int.from_bytes(body[:2], "big") == 1009 and b"20480" in body
    assert not k.eof.is_set()                   # TCP stays open after the close handshake
    again = slack.app.dial()
    again.message()
    assert again.message()["payload"]["command"] == "/ops"


def test_fragmented_ack_is_not_reassembled(slack):
    slack.ctl.switch(ack_deadline=0.3)
    k = slack.app.dial()
    k.message()
    slack.ctl.slash(user="U0ANA")
    text = json.dumps({"envelope_id": k.message()["envelope_id"]})
    k.send(1, text[:10], fin=False)
    k.send(0, text[10:])
    assert slack.ctl.wait("ack", outcome="operation_timeout")
    assert any("fragmented" in v["what"] for v in slack.ctl.violations()["violations"])


@pytest.mark.parametrize("send,code", [
    (lambda k: k.send(1, "{}", masked=False), 1002),
    (lambda k: k.send(1, b"\xff\xfe"), 1007),
    (lambda k: k.send(0, "{}"), 1002),
    (lambda k: k.send(9, "x" * 126), 1002),
    (lambda k: k.send(5, "x"), 1002),
])
def test_broken_client_frames_are_refused(slack, send, code):
    k = slack.app.dial()
    k.message()
    send(k)
    op, _, body = k.frame()
    assert (op, int.from_bytes(body[:2], "big")) == (8, code)


def test_pings_are_answered_both_ways(slack):
    slack.ctl.switch(ping_interval=0.05)
    k = slack.app.dial(auto_pong=False)
    k.message()
    op, _, body = k.frame(ops=(9,))
    assert body.startswith(b"Ping from applink-")
    k.send(10, body)
    k.send(9, b"hey")
    assert k.frame(ops=(10,))[2] == b"hey"


def test_ack_forms(slack):
    k = slack.app.dial()
    k.message()
    slack.ctl.slash(user="U0ANA")
    k.send(1, json.dumps({"envelope_id": k.message()["envelope_id"], "text": "beside"}))
    assert slack.ctl.wait("ack", outcome="acked")
    k.send(1, json.dumps({"envelope_id": "unknown"}))
    k.send(1, "not json")
    k.send(9, b"sync")
    k.frame(ops=(10,))
    what = " | ".join(v["what"] for v in slack.ctl.violations()["violations"])
    assert "beside envelope_id" in what and "unknown" in what and "not JSON" in what


def test_refresh_warning_keeps_delivering(slack):
    k = slack.app.dial()
    k.message()
    slack.ctl.refresh(kind="warning", close=False)
    assert k.message()["reason"] == "warning"
    slack.ctl.slash(user="U0ANA")
    assert k.message()["type"] == "slash_commands"
    slack.ctl.refresh(kind="warning", after=0.1)
    assert k.message()["reason"] == "warning"
    assert k.frame()[0] == 8
    slack.ctl.wait("sockets", count=0, at_most=0)


def test_handshake_and_hello_faults(slack):
    ctl, app = slack.ctl, slack.app
    for status in (409, 503, 403, 302):
        ctl.fault(name="handshake", mode="http", status=status, location="http://127.0.0.1:1/", times=1)
        assert app.dial().status == status
    ctl.fault(name="handshake", mode="bad_accept", times=1)
    assert app.dial().status == 101
    ctl.fault(name="handshake", mode="colons", times=1)
    assert "12:34:56:78" in app.dial().head
    ctl.fault(name="hello", mode="disconnect", reason="refresh_requested", times=1)
    assert app.dial().message()["type"] == "disconnect"
    ctl.fault(name="hello", mode="disconnect", times=1)
    assert "reason" not in app.dial().message()
    ctl.fault(name="hello", mode="none", times=1)
    k = app.dial()
    k.send(9, b"x")
    assert k.frame(ops=(1, 10))[0] == 10            # a pong and no hello
    ctl.fault(name="socket", mode="fragment", size=7, pings=True, times=1)
    k = app.dial()
    assert k.message()["type"] == "hello"
    assert k.head.startswith("HTTP/1.1 101")


def test_mute_socket_stays_silent(slack):
    k = slack.app.dial()
    k.message()
    slack.ctl.socket(mode="mute")
    k.send(9, b"x")
    slack.ctl.slash(user="U0ANA")
    with pytest.raises(Exception, match=""):
        k.frame(timeout=0.3, ops=(1, 10, 8, None))
    assert not k.eof.is_set()


@pytest.mark.parametrize("kind", [
    "not_json", "malformed", "unknown_type", "binary", "huge", "fragments", "masked", "bad_utf8", "no_event",
    "payload_string", "payload_array", "missing_fields", "reserved_bits", "deep", "twice_hello", "lone_continuation",
    "nested_start", "long_ping", "fragmented_ping", "lone_pong", "close_1_byte", "close_bad_code", "close_empty",
    "half_frame", "http_again", "huge_header", "null_type", "nul_escape", "array", "number", "reserved_opcode"])
def test_everything_odd_can_be_injected(slack, kind):
    k = slack.app.dial()
    k.message()
    assert slack.ctl.inject(kind=kind)["sockets"] == 1
    k.send(9, b"still there")
    if kind not in ("half_frame", "http_again", "huge_header"):
        assert k.frame(ops=(1, 2, 0, 8, 9, 10, 5))


def test_duplicates_reorder_and_swallow(slack):
    ctl = slack.ctl
    k = slack.app.dial()
    k.message()
    ctl.fault(name="duplicate", type="slash_commands", times=1)
    ctl.slash(user="U0ANA", text="one")
    a, b = k.message(), k.message()
    assert a["envelope_id"] == b["envelope_id"]
    ctl.fault(name="duplicate", same_id=False, times=1)
    ctl.slash(user="U0ANA", text="two")
    a, b = k.message(), k.message()
    assert a["envelope_id"] != b["envelope_id"] and a["payload"] == b["payload"]
    ctl.fault(name="reorder", times=1)
    ctl.slash(user="U0ANA", text="three")
    ctl.slash(user="U0ANA", text="four")
    assert [k.message()["payload"]["text"] for _ in range(2)] == ["four", "three"]
    ctl.switch(ack_deadline=0.1)
    ctl.fault(name="swallow", times=1)
    assert ctl.slash(user="U0ANA", wait=True)["outcome"] == "operation_timeout"


def test_ack_on_another_socket_is_switchable(slack):
    a, b = slack.app.dial(), slack.app.dial()
    a.message(), b.message()
    by_number = {1: a, 2: b}

    def other_acks():
        slack.ctl.slash(user="U0ANA")
        got = slack.ctl.acks()["acks"][-1]["socket"]
        by_number[3 - got].ack(by_number[got].message())
    other_acks()
    assert slack.ctl.wait("ack", outcome="acked")
    slack.ctl.switch(ack_other_socket=False, ack_deadline=0.2)
    other_acks()
    assert slack.ctl.wait("ack", outcome="operation_timeout")


def test_a_lost_socket_takes_its_command_along(slack):
    slack.ctl.switch(redeliver_slash=True)
    k = slack.app.dial()
    k.message()
    slack.ctl.slash(user="U0ANA", text="mine")
    k.message()
    slack.ctl.socket(mode="abort")
    assert k.frame()[0] is None
    slack.ctl.switch(ack_deadline=0.3)
    slack.ctl.wait("ack", outcome="operation_timeout")
    again = slack.app.dial()
    again.message()
    assert again.message()["payload"]["text"] == "mine"


def test_close_handshake_leaves_tcp_open(slack):
    slack.ctl.switch(linger_tcp=0.3)
    k = slack.app.dial()
    k.message()
    start = time.monotonic()
    k.send(8, (1000).to_bytes(2, "big"))
    assert k.frame()[0] == 8
    slack.ctl.wait("sockets", count=0, at_most=0)
    assert k.frame()[0] is None and time.monotonic() - start > 0.25
    k = slack.app.dial()
    k.message()
    slack.ctl.socket(mode="no_close_reply")
    k.send(8, (1000).to_bytes(2, "big"))
    with pytest.raises(Exception, match=""):
        k.frame(timeout=0.2, ops=(8,))


def test_response_url_faults(slack):
    k = slack.app.dial(on_envelope=lambda k, e: k.ack(e) or True)
    k.message()
    slack.ctl.slash(user="U0ANA", wait=True)
    url = slack.ctl.acks()["acks"][0]["payload"]["response_url"]
    for status in (404, 500, 429):
        slack.ctl.fault(name="hook", mode="http", status=status, times=1, retry_after=1)
        assert slack.app.hook(url, text="x")[0] == status
    slack.ctl.fault(name="hook", mode="lost", times=1)
    with pytest.raises(TimeoutError):
        http(slack.base_url, "POST", urlsplit(url).path, '{"text":"seen"}', {"Content-Type": JSON}, timeout=0.2)
    slack.ctl.wait("message", channel="C0OPS", contains="seen")
    assert slack.app.hook(url)[::2] == (400, b"no_text")
    assert slack.app.hook(url, text="x", blocks=[{"type": "magic"}])[::2] == (400, b"invalid_blocks")
    assert slack.app.hook(url.replace("commands", "actions"), text="x")[0] == 404


def test_open_faults(slack):
    def opened(**fault):
        slack.ctl.fault(name="open", times=1, **fault)
        return slack.app.raw("apps.connections.open", token=slack.app_token)
    assert opened(mode="http", status=429)[1].get("retry-after") is None
    assert opened(mode="http", status=429, retry_after=30)[1]["retry-after"] == "30"
    assert opened(mode="http", status=500)[0] == 500
    with pytest.raises(ValueError):
        json.loads(opened(mode="garbage")[2])
    assert json.loads(opened(mode="bad_url", url="ftp://x/")[2])["url"] == "ftp://x/"
    for code in ("invalid_auth", "too_many_websockets", "internal_error", "org_login_required"):
        assert json.loads(opened(mode="error", code=code)[2])["error"] == code
    start = time.monotonic()
    assert opened(mode="slow", ms=200)[0] == 200 and time.monotonic() - start > 0.19


def test_slash_redelivery_is_switchable(slack):
    slack.ctl.switch(ack_deadline=0.1, redeliver_slash=True)
    k = slack.app.dial()
    k.message()
    slack.ctl.slash(user="U0ANA", text="again")
    first, second = k.message(), k.message()
    assert first["payload"] == second["payload"] and first["envelope_id"] != second["envelope_id"]
    k.ack(second)


# Buttons, modals, Home

def answering(slack, answers):
    """A socket that acks each kind of payload with what `answers` says."""
    seen = []

    def on_envelope(k, e):
        seen.append(e)
        kind = e["payload"].get("type", e["type"])
        k.ack(e, answers.get(kind))
        return True
    k = slack.app.dial(on_envelope=on_envelope)
    k.message()
    return seen


def test_click_and_replace_original(slack):
    seen = answering(slack, {})
    out = slack.app("chat.postMessage", channel="C0APPROVE", text="card", blocks=CARD)
    done = slack.ctl.click(user="U0DIA", channel="C0APPROVE", ts=out["ts"], action_id="go", wait=True)
    assert done["outcome"] == "acked"
    p = seen[0]["payload"]
    assert p["container"] == {"type": "message", "message_ts": out["ts"], "channel_id": "C0APPROVE",
                              "is_ephemeral": False}
    assert p["actions"][0]["value"] == "v1" and p["message"]["bot_id"] and p["user"]["id"] == "U0DIA"
    assert slack.app.hook(p["response_url"], replace_original=True, text="done")[0] == 200
    row = slack.ctl.messages(channel="C0APPROVE")["messages"][0]
    assert row["text"] == "done" and "blocks" not in row and row["edits"]
    with pytest.raises(ControlError, match="no element"):
        slack.ctl.click(user="U0DIA", channel="C0APPROVE", ts=out["ts"], action_id="go")
    assert slack.app.hook(p["response_url"], delete_original=True)[0] == 200
    assert slack.ctl.messages(channel="C0APPROVE")["messages"][0]["deleted"]


def test_double_click_sends_two_envelopes(slack):
    seen = answering(slack, {})
    out = slack.app("chat.postMessage", channel="C0APPROVE", text="card", blocks=CARD)
    slack.ctl.click(user="U0DIA", channel="C0APPROVE", ts=out["ts"], action_id="go", times=2, wait=True)
    slack.ctl.wait("ack", count=2)
    assert len({e["payload"]["actions"][0]["action_ts"] for e in seen}) == 2


def test_trigger_is_short_and_single_use(slack):
    seen = answering(slack, {})
    slack.ctl.slash(user="U0ANA", wait=True)
    trigger = seen[0]["payload"]["trigger_id"]
    assert slack.app("views.open", trigger_id="1.2.3", view=FORM_VIEW)["error"] == "invalid_trigger_id"
    assert slack.app("views.open", trigger_id=trigger, view=FORM_VIEW)["ok"]
    assert slack.app("views.open", trigger_id=trigger, view=FORM_VIEW)["error"] == "exchanged_trigger_id"
    slack.ctl.slash(user="U0ANA", wait=True)
    slack.ctl.age(seconds=3.1)
    out = slack.app("views.open", trigger_id=seen[1]["payload"]["trigger_id"], view=FORM_VIEW)
    assert out["error"] == "expired_trigger_id"


def open_form(slack, seen, view=FORM_VIEW):
    slack.ctl.slash(user="U0ANA", wait=True)
    out = slack.app("views.open", trigger_id=seen[-1]["payload"]["trigger_id"], view=view, _json=True)
    assert out["ok"], out
    return out["view"]


def test_modal_submit_errors_update_and_close(slack):
    answers = {"view_submission": {"response_action": "errors", "errors": {"n": "too many"}}}
    seen = answering(slack, answers)
    view = open_form(slack, seen)
    out = slack.ctl.submit(user="U0ANA", values={})
    assert out["outcome"] == "client_errors" and "required" in out["errors"]["n"]
    assert "whole number" in slack.ctl.submit(user="U0ANA", values={"count": "1.5"})["errors"]["n"]
    out = slack.ctl.submit(user="U0ANA", values={"n": {"count": "500"}})
    assert out["errors"] == {"n": "too many"} and out["banner"] is None
    p = seen[-1]["payload"]
    assert p["view"]["id"] == view["id"] and p["view"]["hash"]
    assert p["view"]["state"]["values"] == {"n": {"count": {"type": "number_input", "value": "500"}}}
    answers["view_submission"] = {"response_action": "errors", "errors": {"nope": "x"}}
    assert slack.ctl.submit(user="U0ANA", values={"count": "5"})["banner"]
    answers["view_submission"] = {"response_action": "update", "view": {**FORM_VIEW, "callback_id": "two"}}
    slack.ctl.submit(user="U0ANA", values={"count": "5"})
    slack.ctl.wait("view", user="U0ANA", callback_id="two")
    slack.ctl.close(user="U0ANA", wait=True)
    assert seen[-1]["payload"]["type"] == "view_closed" and "trigger_id" not in seen[-1]["payload"]
    slack.ctl.wait("no_view", user="U0ANA")


def test_view_stack_hash_and_sizes(slack):
    seen = answering(slack, {})
    inside = {**FORM_VIEW, "blocks": [*FORM_VIEW["blocks"], {"type": "actions", "elements": [BUTTON]}]}
    view = open_form(slack, seen, inside)
    for wanted in (None, None, "push_limit_reached"):
        slack.ctl.click(user="U0ANA", view_id="top", action_id="go", wait=True)
        p = seen[-1]["payload"]
        assert p["container"] == {"type": "view", "view_id": p["view"]["id"]} and "response_url" not in p
        assert slack.app("views.push", trigger_id=p["trigger_id"], view=inside).get("error") == wanted
    assert slack.app("views.update", view_id=view["id"], hash="1.a", view=inside)["error"] == "hash_conflict"
    assert slack.app("views.update", view_id="V0NONE", view=inside)["error"] == "not_found"
    assert slack.app("views.update", view_id=view["id"], hash=view["hash"], view=inside)["ok"]
    big = {**FORM_VIEW, "private_metadata": "x" * (251 << 10)}
    assert slack.app("views.update", view_id=view["id"], view=big)["error"] == "view_too_large"
    bad = {**FORM_VIEW, "title": {"type": "plain_text", "text": "x" * 25}}
    out = slack.app("views.update", view_id=view["id"], view=bad)
    assert out["error"] == "invalid_arguments" and out["response_metadata"]["messages"][0].endswith("/view/title/text]")
    no_submit = {k: v for k, v in FORM_VIEW.items() if k != "submit"}
    assert "submit" in slack.app("views.update", view_id=view["id"], view=no_submit)["response_metadata"]["messages"][0]


def test_home_publish_and_clicks(slack):
    seen = answering(slack, {})
    home = {"type": "home", "blocks": CARD}
    out = slack.app("views.publish", user_id="U0ANA", view=home)
    assert out["ok"] and out["view"]["type"] == "home"
    assert slack.app("views.publish", user_id="U0ANA", view=home, hash="")["error"] == "invalid_arguments"
    assert slack.app("views.publish", user_id="U0ANA", view=home, hash="x")["error"] == "hash_conflict"
    slack.ctl.click(user="U0ANA", home=True, action_id="go", wait=True)
    assert seen[-1]["payload"]["view"]["type"] == "home"
    slack.ctl.home(user="U0ANA", wait=True)
    assert seen[-1]["payload"]["event"]["view"]["id"] == out["view"]["id"]
    slack.ctl.switch(home_enabled=False)
    assert slack.app("views.publish", user_id="U0ANA", view=home)["error"] == "not_enabled"


def test_suggestions(slack):
    option = {"text": PLAIN, "value": "x"}
    seen = answering(slack, {"block_suggestion": {"options": [option]}})
    view = {**FORM_VIEW, "blocks": [{"type": "input", "block_id": "d", "label": PLAIN, "element": {
        "type": "external_select", "action_id": "pick", "min_query_length": 1}}]}
    open_form(slack, seen, view)
    out = slack.ctl.suggest(user="U0ANA", view_id="top", action_id="pick", value="da")
    assert out["ack"]["options"] == [option] and seen[-1]["payload"]["value"] == "da"
    slack.ctl.submit(user="U0ANA", values={"pick": option})
    assert seen[-1]["payload"]["view"]["state"]["values"]["d"]["pick"]["selected_option"] == option


def test_outsiders_and_leavers(slack):
    answering(slack, {})
    with pytest.raises(ControlError, match="another workspace"):
        slack.ctl.slash(user="U0OUT", channel="C0SHARED")
    with pytest.raises(ControlError, match="deactivated"):
        slack.ctl.slash(user="U0OLD")
    out = slack.app("chat.postMessage", channel="C0SHARED", text="card", blocks=CARD)
    assert slack.ctl.click(user="U0OUT", channel="C0SHARED", ts=out["ts"], action_id="go", wait=True)["outcome"] == "acked"
    slack.ctl.person(user="U0ANA", deleted=True)
    assert slack.app("users.info", user="U0ANA")["user"]["deleted"]


def test_burst_measures_itself(slack):
    answering(slack, {})
    out = slack.ctl.burst(count=50, text="help {n}")
    assert out["done"] == 50 and out["outcomes"] == {"acked": 50} and out["ack_ms"]["p99"] > 0


def test_page_is_served_and_nothing_else(slack):
    assert http(slack.base_url, "GET", "/")[0] == 200
    assert http(slack.base_url, "GET", "/../slack/server.py")[0] == 404
    assert http(slack.base_url, "GET", "/_/page-config.json")[2] == b"{}"


def test_works_over_tls(loop_thread, tmp_path):
    import ssl
    from raw_app import Socket
    from sandbox.slack import SlackStandin
    from sandbox.slack.client import Control
    from tls_cert import make
    cert, key = make(tmp_path)
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    server.load_cert_chain(cert, key)

    async def start():
        return await SlackStandin().start(tls=server)
    standin = loop_thread.run(start())
    client = ssl.create_default_context(cafile=str(cert))
    control = Control(standin.base_url, cafile=str(cert))
    from urllib.request import Request, urlopen
    req = Request(standin.api_url + "apps.connections.open", b"", {"Authorization": "Bearer " + standin.app_token})
    url = json.load(urlopen(req, timeout=60, context=client))["url"]
    assert url.startswith("wss://")
    k = Socket(url, context=client)
    assert k.message()["type"] == "hello"
    control.wait("sockets", count=1)
    k.close()
    loop_thread.run(standin.stop())

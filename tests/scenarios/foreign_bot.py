# SPDX-License-Identifier: Apache-2.0
"""A small bot on the official Python client, run by test_foreign_client.py in a virtual environment.

usage: foreign_bot.py API_URL BOT_TOKEN APP_TOKEN; prints one JSON line for each thing that happened."""

import json
import sys

from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError
from slack_sdk.socket_mode import SocketModeClient
from slack_sdk.socket_mode.response import SocketModeResponse
from slack_sdk.webhook import WebhookClient

VIEW = {"type": "modal", "callback_id": "form", "title": {"type": "plain_text", "text": "Form"},
        "submit": {"type": "plain_text", "text": "Send"},
        "blocks": [{"type": "input", "block_id": "b", "label": {"type": "plain_text", "text": "Say"},
                    "element": {"type": "plain_text_input", "action_id": "t"}}]}
BUTTON = [{"type": "actions", "block_id": "x", "elements": [
    {"type": "button", "action_id": "go", "value": "7", "text": {"type": "plain_text", "text": "Go"}}]}]


def say(**what):
    print(json.dumps(what), flush=True)


def on_slash(client, req):
    payload = req.payload
    client.send_socket_mode_response(SocketModeResponse(req.envelope_id, {"text": "on it"}))
    web = client.web_client
    out = web.chat_postMessage(channel=payload["channel_id"], text="posted", blocks=BUTTON)
    hook = WebhookClient(payload["response_url"]).send(text="through the hook", response_type="ephemeral")
    view = web.views_open(trigger_id=payload["trigger_id"], view=VIEW)
    say(kind="slash", text=payload["text"], ts=out["ts"], hook=[hook.status_code, hook.body], view=view["view"]["id"])


def on_interactive(client, req):
    payload = req.payload
    if payload["type"] == "view_submission":
        client.send_socket_mode_response(SocketModeResponse(
            req.envelope_id, {"response_action": "errors", "errors": {"b": "not like this"}}))
        say(kind="submit", value=payload["view"]["state"]["values"]["b"]["t"]["value"])
    else:
        client.send_socket_mode_response(SocketModeResponse(req.envelope_id))
        say(kind="click", value=payload["actions"][0]["value"])
        client.web_client.chat_update(channel=payload["channel"]["id"], ts=payload["message"]["ts"], text="clicked")


def main():
    api, bot, app = sys.argv[1:4]
    web = WebClient(token=bot, base_url=api)
    say(kind="auth", user=web.auth_test()["user_id"],
        groups=[g["handle"] for g in web.usergroups_list(include_users=True)["usergroups"]],
        people=len([u for page in web.users_list(limit=5) for u in page["members"]]))
    try:
        web.chat_postMessage(channel="C0NONE", text="x")
    except SlackApiError as e:
        say(kind="refused", error=e.response["error"])

    client = SocketModeClient(app_token=app, web_client=web, ping_interval=0.5)

    def listener(client, req):
        {"slash_commands": on_slash, "interactive": on_interactive}.get(req.type, lambda c, r: say(
            kind="event", type=r.payload["event"]["type"]) or c.send_socket_mode_response(
                SocketModeResponse(r.envelope_id)))(client, req)
    client.socket_mode_request_listeners.append(listener)
    client.connect()
    say(kind="connected")
    sys.stdin.read()            # until the test closes it
    client.close()


main()

# SPDX-License-Identifier: Apache-2.0
"""A bot of a few fixed scenes, and the two JSON sources of the page's right-hand panels, for the page's own test."""

import copy
import json
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "sandbox" / "tests"))

from raw_app import App  # noqa: E402


def md(text):
    return {"type": "mrkdwn", "text": text}


def plain(text):
    return {"type": "plain_text", "text": text}


def section(text, **more):
    return {"type": "section", "text": md(text), **more}


def context(*texts):
    return {"type": "context", "elements": [md(t) for t in texts]}


def button(label, action, value="1", **more):
    return {"type": "button", "text": plain(label), "action_id": action, "value": value, **more}


def option(text, value):
    return {"text": plain(text), "value": value}


HELP = [
    {"type": "header", "text": plain("What you can do")},
    section("*workers* \u2014 worker fleets of the platform's tenants\n"
            "`/ops workers scale team=\u2026 role=\u2026 count=\u2026` change how many workers run\n"
            "`/ops workers status team=\u2026` what runs now"),
    section("*datasets* \u2014 what the platform stores\n`/ops datasets list owner=\u2026 status=\u2026`"),
    {"type": "divider"},
    context("You are in *team-ads-oncall*. Ask <!subteam^S0DATA> for more."),
]
PREVIEW = [
    section("*Scale workers* of `ads/workers-prod`"),
    {"type": "section", "fields": [md("*Replicas*\n6 \u2192 20"), md("*Ends*\n" + "<!date^1795600800^{date_short_pretty} at "
                                   "{time}|2026-11-25 18:00 UTC> (2 h)"), md("*Reason*\nbacklog"),
                                   md("*Needs*\none approval of <!subteam^S0DATA>")]},
    {"type": "rich_text", "elements": [{"type": "rich_text_section", "elements": [
        {"type": "text", "text": "Argo CD owns this field", "style": {"bold": True}},
        {"type": "text", "text": " in application "}, {"type": "text", "text": "ads-workers", "style": {"code": True}},
        {"type": "text", "text": ", with self-heal off."}]}]},
    {"type": "actions", "block_id": "ask", "elements": [
        button("Ask for approval", "ask", style="primary"), button("Cancel", "cancel")]},
]
CARD = [
    section("<@U0ANA> wants to *scale workers* of `ads/workers-prod` from 6 to *20* for 2 h\n&gt; backlog &amp; alarms"),
    context("request 01K9 \u00b7 plan `4f1c22` \u00b7 <!date^1795600800^{time}|18:00 UTC>"),
    {"type": "actions", "block_id": "decide", "elements": [
        button("Approve", "approve", style="primary"),
        button("Reject", "reject", style="danger", confirm={
            "title": plain("Reject this request?"), "text": plain("Ana Ruiz will be told that you rejected it."),
            "confirm": plain("Reject"), "deny": plain("Keep it"), "style": "danger"}),
        {"type": "overflow", "action_id": "more", "options": [option("Show the plan", "plan"),
                                                               option("Who can approve", "who")]}]},
]
TABLE = [
    section("4 of 61 datasets of *ads*"),
    {"type": "table", "column_settings": [{"align": "left"}, {"align": "left"}, {"align": "right"}],
     "rows": [[{"type": "raw_text", "text": t} for t in row] for row in (
         ("Name", "Status", "Rows"), ("ads_clicks", "fresh", "91 022 113"), ("ads_spend_daily", "late", "4 210"),
         ("ads_audience", "fresh", "18 003"), ("ads_conversions", "failed", "0"))]},
    {"type": "actions", "elements": [
        {"type": "static_select", "action_id": "status", "placeholder": plain("Status"),
         "options": [option("Fresh", "fresh"), option("Late", "late"), option("Failed", "failed")]},
        button("Next page", "next")]},
]
GALLERY = [
    section("*bold* _italic_ ~gone~ `code` :white_check_mark: <https://example.com|a link> <@U0BEN> <#C0AUDIT> "
            "<!here> &lt;b&gt; 2 &gt; 1"),
    section("```\nlevel=error msg=\"<script>alert(1)</script>\"\nnext line\n```"),
    {"type": "rich_text", "elements": [
        {"type": "rich_text_list", "style": "bullet", "elements": [
            {"type": "rich_text_section", "elements": [{"type": "text", "text": "first *not bold*"}]},
            {"type": "rich_text_section", "elements": [{"type": "user", "user_id": "U0DIA"}, {"type": "emoji",
                                                                                             "name": "eyes"}]}]},
        {"type": "rich_text_preformatted", "elements": [{"type": "text", "text": "kubectl get deploy\nNAME  READY"}]},
        {"type": "rich_text_quote", "elements": [{"type": "text", "text": "quoted <img src=x onerror=alert(1)>"}]}]},
    {"type": "image", "image_url": "https://example.com/x.png", "alt_text": "a graph of the queue"},
    {"type": "section", "text": plain("<b>plain</b> & *literal*"), "accessory": {
        "type": "image", "image_url": "https://example.com/x.png", "alt_text": "mark"}},
]
FORM = {
    "type": "modal", "callback_id": "scale", "title": plain("Scale workers"), "submit": plain("Preview"),
    "close": plain("Cancel"), "notify_on_close": True, "blocks": [
        section("Change how many workers a team's role runs."),
        {"type": "input", "block_id": "team", "label": plain("Team"), "element": {
            "type": "external_select", "action_id": "team", "min_query_length": 0, "placeholder": plain("Find a team")}},
        {"type": "input", "block_id": "role", "label": plain("Role"), "element": {
            "type": "radio_buttons", "action_id": "role", "options": [option("dev", "dev"), option("prod", "prod")],
            "initial_option": option("dev", "dev")}},
        {"type": "input", "block_id": "count", "label": plain("Workers"), "hint": plain("0 to 200"), "element": {
            "type": "number_input", "action_id": "count", "is_decimal_allowed": False, "min_value": "0"}},
        {"type": "input", "block_id": "until", "label": plain("Until"), "optional": True, "element": {
            "type": "datepicker", "action_id": "until"}},
        {"type": "input", "block_id": "reason", "label": plain("Reason"), "element": {
            "type": "plain_text_input", "action_id": "reason", "multiline": True, "max_length": 300,
            "placeholder": plain("What is going on?")}},
        {"type": "input", "block_id": "flags", "label": plain("Options"), "optional": True, "element": {
            "type": "checkboxes", "action_id": "flags", "options": [
                option("Tell the team's channel", "tell"), option("Only check, change nothing", "dry")]}},
    ]}
HOME = {"type": "home", "blocks": [
    {"type": "header", "text": plain("Your operations")},
    section("*workers scale* `ads/workers-prod` 6 \u2192 20\n_waits for one approval_", accessory=button("Open", "open")),
    {"type": "divider"}, {"type": "header", "text": plain("Start something")},
    {"type": "actions", "elements": [button("Scale workers", "form", style="primary"), button("List datasets", "list")]},
    context("Directory read 3 minutes ago \u00b7 policy 12")]}


class Bot:
    """Answers commands by their first word."""

    def __init__(self, standin, world):
        self.app = App(standin.base_url, standin.bot_token, standin.app_token)
        self.world = world
        self.socket = self.app.dial(on_envelope=self.on_envelope)

    def on_envelope(self, k, env):
        p = env["payload"]
        kind = p.get("type") or "slash"
        payload, then = getattr(self, "on_" + kind)(p)
        k.ack(env, payload)
        if then:
            threading.Thread(target=then, daemon=True).start()
        return True

    def reply(self, url, **message):
        self.app.hook(url, **message)

    def on_slash(self, p):
        word = p["text"].split(" ")[0]
        url = p["response_url"]
        if word == "workers":
            return {"text": "Checking\u2026"}, lambda: self.reply(url, text="Scale workers", blocks=PREVIEW)
        if word == "datasets":
            return None, lambda: self.reply(url, text="Datasets", blocks=TABLE)
        if word == "gallery":
            return None, lambda: self.app("chat.postMessage", channel=p["channel_id"], text="gallery", blocks=GALLERY)
        if word == "form":
            return None, lambda: self.app("views.open", trigger_id=p["trigger_id"], view=FORM)
        return {"text": "Help", "blocks": HELP}, None

    def on_block_actions(self, p):
        action, url = p["actions"][0]["action_id"], p.get("response_url")
        if action == "ask":
            def ask():
                self.reply(url, replace_original=True, text=":hourglass_flowing_sand: Waiting for one approval in <#C0APPROVE>")
                self.app("chat.postMessage", channel="C0APPROVE", text="Approval wanted", blocks=CARD)
                self.world.log("requested", "Ana Ruiz", "workers.scale", "ads/workers-prod 6 \u2192 20")
            return None, ask
        if action in ("approve", "reject"):
            return None, lambda: self.decide(p, action)
        if action == "form":
            return None, lambda: self.app("views.open", trigger_id=p["trigger_id"], view=FORM)
        return None, None

    def decide(self, p, action):
        word = "approved" if action == "approve" else "rejected"
        mark = ":white_check_mark:" if action == "approve" else ":x:"
        self.app("chat.update", channel=p["channel"]["id"], ts=p["message"]["ts"], text=word, blocks=[
            CARD[0], context(f"{mark} {word} by <@{p['user']['id']}>")])
        self.world.log(word, p["user"]["name"], "workers.scale", "plan 4f1c22")
        if action == "approve":
            self.world.scale("ads", "workers-prod", 20)
            self.world.log("succeeded", "opsd", "workers.scale", "20 of 20 ready")
            self.app("chat.postMessage", channel="C0AUDIT", text=f"{mark} *workers scale* `ads/workers-prod` 6 \u2192 20 "
                     f"asked by <@U0ANA>, approved by <@{p['user']['id']}>")

    def on_view_submission(self, p):
        values = p["view"]["state"]["values"]
        if int(values["count"]["count"]["value"]) > 200:
            return {"response_action": "errors", "errors": {"count": "At most 200 workers. Example: 20"}}, None
        view = {**FORM, "title": plain("Preview"), "submit": plain("Run"), "blocks": [
            section(f"`ads/workers-dev` 3 \u2192 {values['count']['count']['value']}")]}
        if p["view"]["title"]["text"] == "Preview":
            return {"response_action": "clear"}, None
        return {"response_action": "push", "view": view}, None

    def on_view_closed(self, p):
        return None, None

    def on_block_suggestion(self, p):
        teams = [option(t, t) for t in ("ads", "web", "core") if p["value"] in t]
        return {"options": teams}, None

    def on_event_callback(self, p):
        return None, lambda: self.app("views.publish", user_id=p["event"]["user"], view=HOME)


class World:
    """The JSON sources of the right-hand panels."""

    def __init__(self):
        self.lock = threading.Lock()
        self.objects = []
        for ns in ("ads", "web"):
            for name, n in (("workers-dev", 3), ("workers-prod", 6)):
                self.objects.append({"kind": "Deployment", "metadata": {"namespace": ns, "name": name},
                                     "spec": {"replicas": n}, "status": {"readyReplicas": n}})
            self.objects.append({"kind": "ConfigMap", "metadata": {"namespace": ns, "name": "settings"},
                                 "data": {"LOG_LEVEL": "info", "BATCH_SIZE": "500", "FEATURE_X": "off"}})
        self.rows = []
        world = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                with world.lock:
                    data = {"/_/objects": {"items": world.objects}, "/_/audit": {"entries": world.rows}}.get(self.path)
                    body = json.dumps(copy.deepcopy(data)).encode()
                self.send_response(200 if data else 404)
                self.send_header("Access-Control-Allow-Origin", "*")
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *args):
                pass
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def scale(self, ns, name, n, ready=None):
        with self.lock:
            for o in self.objects:
                if o["kind"] == "Deployment" and o["metadata"] == {"namespace": ns, "name": name}:
                    o["spec"]["replicas"] = n
                    o["status"]["readyReplicas"] = n if ready is None else ready

    def log(self, kind, who, action, text):
        with self.lock:
            when = time.strftime("%Y-%m-%dT%H:%M:%S.123456+00:00", time.gmtime())
            facts = {"who": {"name": who}, "target": "ads/workers-prod", "why": text, "request": "01K9",
                     "changes": [{"field": "spec.replicas", "from": 6, "to": 20}]}
            self.rows.append({"id": len(self.rows) + 1, "at": when, "event": "request." + kind, "outcome": "success",
                              "action": action, "slack_user": "U0ANA", "request_id": "01K9",
                              "body": json.dumps({"facts": facts})})

    def stop(self):
        self.server.shutdown()
        self.server.server_close()

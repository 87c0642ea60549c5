# SPDX-License-Identifier: Apache-2.0
"""What people do: slash commands, clicks, submitted and closed modals, menus, opening the Home tab.

Each function makes the payload that Slack would make, sends it and gives back its envelope."""

import copy
import time

from .blocks import check_blocks, check_options
from .envelopes import Envelope
from .people import APP, BOT, TEAM
from .values import action_of, find_element, typed_values

DOMAIN = "ops"
TEAM_OBJECT = {"id": TEAM, "domain": DOMAIN}
DEAD_TOKEN = "sandboxVerificationToken"


class NotPossible(Exception):
    """Slack's own client would not let the person do this."""


class People:
    def __init__(self, standin):
        self.s = standin
        self.events = 0

    def person(self, uid, insider=False):
        user = self.s.work.users.get(uid or "")
        if user is None:
            raise NotPossible(f"no such person: {uid}")
        if user.deleted:
            raise NotPossible(f"{uid} is deactivated")
        if insider and user.team_id != TEAM:
            raise NotPossible(f"{uid} is of another workspace and cannot run the commands of this one")
        return user

    def user_object(self, user):
        return {"id": user.id, "username": user.name, "name": user.name, "team_id": user.team_id}

    def frame(self, kind, user, **more):
        return {"type": kind, "user": self.user_object(user), "api_app_id": APP, "token": DEAD_TOKEN,
                "team": TEAM_OBJECT,
                "enterprise": None, "is_enterprise_install": False, **more}

    # Slash commands

    def slash(self, uid, channel, command, text, raw=False, quiet=False, force=False, trigger=None):
        user = self.person(uid, insider=not force)
        room = self.s.work.channel(channel)
        if room is None:
            raise NotPossible(f"no such channel: {channel}")
        if uid not in room.members and not force:
            raise NotPossible(f"{uid} is not in {channel}")
        if not raw and self.s.switch.escape_text:
            text = self.s.work.escape(text)
        name = "directmessage" if room.is_im else "privategroup" if room.is_private else room.name
        payload = {
            "token": DEAD_TOKEN, "team_id": TEAM, "team_domain": DOMAIN, "channel_id": room.id, "channel_name": name,
            "user_id": uid, "user_name": user.name, "command": command, "text": text, "api_app_id": APP,
            "is_enterprise_install": "false", "response_url": self.s.hooks.new("commands", room.id, uid),
            "trigger_id": trigger or self.s.triggers.new(uid)}
        env = Envelope("slash", "slash_commands", payload, uid, True, self.slash_acked, self.slash_missed)
        env.quiet = quiet
        return env

    def slash_acked(self, env, payload):
        p = env.payload
        if not payload:
            return
        public = payload.get("response_type") == "in_channel"
        if public:
            self.s.store.post(p["channel_id"], f"{p['command']} {p['text']}".strip(), user=p["user_id"], via="user")
        text, blocks = payload.get("text"), payload.get("blocks")
        if not text and not blocks and not payload.get("attachments"):
            if not public:
                self.s.violation("ack: slash payload holds no message")
            return
        errors = check_blocks(blocks) if blocks is not None else None
        if errors or (text is not None and type(text) is not str):
            self.s.violation(f"ack: slash message is not valid: {(errors or ['text'])[0]}")
            self.s.store.slackbot(p["user_id"], p["channel_id"],
                                  f"{p['command']} failed with the error \"invalid_blocks\"")
            return
        self.s.store.post(p["channel_id"], text or "", blocks, only_for=None if public else p["user_id"], via="ack")

    def slash_missed(self, env, why):
        p = env.payload
        self.s.store.slackbot(p["user_id"], p["channel_id"], f"{p['command']} failed with the error \"{why}\"")

    # Clicks

    def click(self, uid, channel=None, ts=None, view_id=None, home=False, action_id=None, block_id=None, value=None,
              values=None):
        """A click on a message, or in a view with what was `values` typed in it so far."""
        user = self.person(uid)
        if view_id or home:
            view = self.view_of(user.id, view_id)
            typed_values(view, values or {}, self.s)
            return self.click_view(user, view, action_id, block_id, value)
        room = self.s.work.channel(channel)
        m = self.s.store.get(room.id, ts) if room else None
        if m is None or m.deleted or (m.only_for and m.only_for != uid):
            raise NotPossible("the message is not there")
        if uid not in room.members:
            raise NotPossible(f"{uid} does not see {channel}")
        block, element = find_element(m.body.get("blocks") or [], action_id, block_id)
        action = action_of(block, element, value, self.s)
        container = {"type": "message", "message_ts": m.ts, "channel_id": room.id, "is_ephemeral": bool(m.only_for)}
        if m.body.get("thread_ts"):
            container["thread_ts"] = m.body["thread_ts"]
        name = "directmessage" if room.is_im else "privategroup" if room.is_private else room.name
        payload = self.frame(
            "block_actions", user, container=container, channel={"id": room.id, "name": name},
            trigger_id=self.s.triggers.new(uid), response_url=self.s.hooks.new("actions", room.id, uid, m.ts),
            state=self.message_state(m, uid, block, element, action), actions=[action])
        if not m.only_for:
            payload["message"] = m.payload()

        def missed(env, why):
            m.notice = {"user": uid, "action_id": element["action_id"], "text": why}
            self.s.store.shown(m)
        accepts = True
        return Envelope("click", "interactive", payload, uid, accepts, None, missed)

    @staticmethod
    def message_state(m, uid, block, element, action):
        """state.values: what this person has chosen in the message's menus so far."""
        if m.state is None:
            m.state = {}
        mine = m.state.setdefault(uid, {})
        member = next((k for k in action if k.startswith("selected_") or k == "rich_text_value"), None)
        if member and element["type"] != "overflow":
            mine.setdefault(block["block_id"], {})[element["action_id"]] = {"type": element["type"],
                                                                           member: action[member]}
        return {"values": copy.deepcopy(mine)}

    def click_view(self, user, view, action_id, block_id, value):
        block, element = find_element(view["blocks"], action_id, block_id)
        action = action_of(block, element, value, self.s)
        typed = view["state"]["values"].get(block["block_id"], {}).get(element["action_id"])
        if typed:
            for member in list(typed):
                if member != "type" and member in action:
                    typed[member] = action[member]
        payload = self.frame("block_actions", user, container={"type": "view", "view_id": view["id"]},
                             view=copy.deepcopy(view), trigger_id=self.s.triggers.new(user.id, view["id"]),
                             actions=[action])
        return Envelope("click", "interactive", payload, user.id, False)

    def view_of(self, uid, view_id):
        stack, home = self.s.views.stacks.get(uid, []), self.s.views.homes.get(uid)
        if view_id is None:
            view = home
        elif view_id == "top":
            view = stack[-1] if stack else None
        else:
            view = next((v for v in [*stack, *([home] if home else [])] if v["id"] == view_id), None)
        if view is None:
            raise NotPossible(f"{uid} has no such view open")
        return view

    # Modals

    def submit(self, uid, view_id="top", values=None):
        """The envelope, or the errors that the client itself finds."""
        user = self.person(uid)
        view = self.view_of(uid, view_id)
        if view["type"] != "modal":
            raise NotPossible("only a modal can be submitted")
        errors = typed_values(view, values or {}, self.s)
        if errors:
            return None, errors
        payload = self.frame("view_submission", user, trigger_id=self.s.triggers.new(uid, view["id"]),
                             view=copy.deepcopy(view), response_urls=self.response_urls(uid, view))
        env = Envelope("submit", "interactive", payload, uid, True, self.submit_acked, None)
        return env, None

    def response_urls(self, uid, view):
        out = []
        for block in view["blocks"]:
            e = block.get("element") or {}
            if e.get("response_url_enabled"):
                state = view["state"]["values"][block["block_id"]][e["action_id"]]
                chosen = state.get("selected_conversation") or state.get("selected_channel")
                room = self.s.work.channel(chosen)
                if room:
                    out.append({"block_id": block["block_id"], "action_id": e["action_id"], "channel_id": room.id,
                                "response_url": self.s.hooks.new("app", room.id, uid)})
        return out

    def submit_acked(self, env, payload):
        views, uid = self.s.views, env.who
        stack = views.stacks.get(uid, [])
        view = next((v for v in stack if v["id"] == env.payload["view"]["id"]), None)
        if view is None:
            return
        what = (payload or {}).get("response_action")
        problem = None
        if what is None:
            if payload:
                problem = "payload without response_action"
            views.drop(uid)
        elif what == "clear":
            views.drop(uid, all_=True)
        elif what == "errors":
            problem = self.bad_errors(view, payload.get("errors"))
        elif what in ("update", "push"):
            problem = self.shown_view(uid, view, what, payload)
        else:
            problem = f"response_action {what}"
        if problem:
            self.s.violation(f"ack: view answer is not valid: {problem}")
            env.ack = {**(payload or {}), "_banner": "We had some trouble connecting. Try again?"}

    def shown_view(self, uid, view, what, payload):
        problem = self.s.views.problem(payload.get("view"), "modal")
        if problem:
            return (problem.messages or [problem.error])[0]
        if what == "update":
            self.s.views.replace(uid, view, payload["view"])
        elif len(self.s.views.stacks[uid]) >= 3:
            return "push_limit_reached"
        else:
            self.s.views.push(uid, payload["view"])
        return None

    @staticmethod
    def bad_errors(view, errors):
        inputs = {b["block_id"] for b in view["blocks"] if b["type"] == "input"}
        if type(errors) is not dict or not errors:
            return "errors is empty"
        for key, text in errors.items():
            if key not in inputs:
                return f"errors names {key}, which is no input block"
            if type(text) is not str or not text:
                return f"errors of {key} is not a text"
        return None

    def close(self, uid, view_id="top", all_=False):
        user = self.person(uid)
        view = self.view_of(uid, view_id)
        gone = self.s.views.drop(uid, all_)
        shown = gone[0] if all_ else view
        if not shown["notify_on_close"]:
            return None
        payload = self.frame("view_closed", user, view=shown, is_cleared=all_)
        return Envelope("close", "interactive", payload, uid, False)

    def suggest(self, uid, action_id, block_id=None, value="", view_id=None, channel=None, ts=None):
        user = self.person(uid)
        more = {}
        if view_id:
            view = self.view_of(uid, view_id)
            blocks = view["blocks"]
            more.update(container={"type": "view", "view_id": view["id"]}, view=view)
        else:
            room = self.s.work.channel(channel)
            m = self.s.store.get(room.id, ts) if room else None
            if m is None:
                raise NotPossible("the message is not there")
            blocks = m.body.get("blocks") or []
            more.update(container={"type": "message", "message_ts": ts, "channel_id": room.id, "is_ephemeral":
                                   bool(m.only_for)}, channel={"id": room.id, "name": room.name}, message=m.payload())
        block, element = find_element(blocks, action_id, block_id)
        payload = self.frame("block_suggestion", user, block_id=block["block_id"], action_id=element["action_id"],
                             value=value, **more)
        return Envelope("suggest", "interactive", payload, uid, True, self.suggested)

    def suggested(self, env, payload):
        errors = check_options(payload)
        if errors:
            self.s.violation(f"ack: options are not valid: {errors[0]}")
            env.ack = {"options": []}

    # Events and shortcuts

    def event(self, event, event_id=None, **more):
        self.events += 1
        payload = {"token": DEAD_TOKEN, "team_id": TEAM, "api_app_id": APP, "type": "event_callback",
                   "event_id": event_id or f"Ev0{self.events:08X}", "event_time": int(time.time()),
                   "authorizations": [{"enterprise_id": None, "team_id": TEAM, "user_id": BOT, "is_bot": True,
                                       "is_enterprise_install": False}],
                   "is_ext_shared_channel": False, "event_context": "4-sandbox", "event": event, **more}
        return Envelope("event", "events_api", payload, event.get("user") if type(event.get("user")) is str else None,
                        False)

    def home(self, uid, tab="home"):
        self.person(uid, insider=True)
        event = {"type": "app_home_opened", "user": uid, "channel": self.s.work.im(uid).id, "tab": tab,
                 "event_ts": self.s.store.ts()}
        if uid in self.s.views.homes:
            event["view"] = self.s.views.homes[uid]
        return self.event(event)

    def shortcut(self, uid, callback_id):
        user = self.person(uid, insider=True)
        payload = self.frame("shortcut", user, callback_id=callback_id, trigger_id=self.s.triggers.new(uid),
                             action_ts=self.s.store.ts())
        return Envelope("shortcut", "interactive", payload, uid, False)

    def message_action(self, uid, callback_id, channel, ts):
        user = self.person(uid, insider=True)
        room = self.s.work.channel(channel)
        m = self.s.store.get(room.id, ts) if room else None
        if m is None:
            raise NotPossible("the message is not there")
        payload = self.frame("message_action", user, callback_id=callback_id, trigger_id=self.s.triggers.new(uid),
                             action_ts=self.s.store.ts(), message_ts=ts, message=m.payload(),
                             channel={"id": room.id, "name": room.name},
                             response_url=self.s.hooks.new("actions", room.id, uid, ts))
        return Envelope("message_action", "interactive", payload, uid, True)

    def say(self, uid, channel, text):
        user = self.person(uid)
        room = self.s.work.channel(channel)
        if room is None or uid not in room.members:
            raise NotPossible(f"{uid} is not in {channel}")
        return self.s.store.post(room.id, self.s.work.escape(text), user=user.id, via="user")

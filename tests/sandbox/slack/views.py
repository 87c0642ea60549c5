# SPDX-License-Identifier: Apache-2.0
"""Modals and Home tabs: the stack of each person, hashes and typed state; and the views.* methods."""

import secrets
import time
from collections import OrderedDict

from .blocks import check_view
from .people import APP, BOT_ID, TEAM
from .webapi import Method, Refused, structured
from .wire import dumps

MAX_VIEW = 250 << 10
MAX_STACK = 3
MAX_KEPT = 5000
EMPTY = {
    "static_select": ("selected_option", None), "external_select": ("selected_option", None),
    "radio_buttons": ("selected_option", None), "users_select": ("selected_user", None),
    "conversations_select": ("selected_conversation", None), "channels_select": ("selected_channel", None),
    "datepicker": ("selected_date", None), "timepicker": ("selected_time", None),
    "datetimepicker": ("selected_date_time", None), "checkboxes": ("selected_options", []),
    "multi_static_select": ("selected_options", []), "multi_external_select": ("selected_options", []),
    "multi_users_select": ("selected_users", []), "multi_conversations_select": ("selected_conversations", []),
    "multi_channels_select": ("selected_channels", []), "rich_text_input": ("rich_text_value", None),
    "file_input": ("files", []), "plain_text_input": ("value", None), "email_text_input": ("value", None),
    "url_text_input": ("value", None), "number_input": ("value", None),
}
INITIAL = {
    "selected_option": "initial_option", "selected_user": "initial_user", "selected_date": "initial_date",
    "selected_conversation": "initial_conversation", "selected_channel": "initial_channel",
    "selected_time": "initial_time", "selected_date_time": "initial_date_time", "value": "initial_value",
    "selected_options": "initial_options", "selected_users": "initial_users",
    "selected_conversations": "initial_conversations", "selected_channels": "initial_channels",
    "rich_text_value": "initial_value",
}


def stateful(blocks):
    """Every element that holds a value, as (block, element)."""
    for block in blocks:
        if block["type"] == "input":
            yield block, block["element"]
        elif block["type"] == "actions":
            yield from ((block, e) for e in block["elements"] if e["type"] in EMPTY)
        elif block["type"] == "section" and block.get("accessory", {}).get("type") in EMPTY:
            yield block, block["accessory"]


def initial_state(blocks, old=None):
    """state.values of fresh blocks; the same block_id and action_id keep what was typed."""
    values = {}
    for block, element in stateful(blocks):
        member, empty = EMPTY[element["type"]]
        value = element.get(INITIAL.get(member), empty)
        kept = (old or {}).get(block["block_id"], {}).get(element["action_id"])
        if kept and kept["type"] == element["type"]:
            value = kept.get(member, value)
        values.setdefault(block["block_id"], {})[element["action_id"]] = {"type": element["type"], member: value}
    return values


class Views:
    def __init__(self, standin):
        self.s = standin
        self.by_id = OrderedDict()
        self.stacks = {}            # person -> open modals, lowest first
        self.homes = {}

    def build(self, view, old=None):
        """A stored view made of what the app sent."""
        blocks = self.s.store.with_ids(view["blocks"])
        for block in blocks:
            for key in ("element", "accessory"):
                e = block.get(key)
                if e and e["type"] != "image" and not e.get("action_id"):
                    block[key] = {**e, "action_id": "a" + secrets.token_hex(3)}
        vid = old["id"] if old else "V0" + secrets.token_hex(5).upper()
        return {
            "id": vid, "team_id": TEAM, "type": view["type"], "blocks": blocks,
            "private_metadata": view.get("private_metadata") or "", "callback_id": view.get("callback_id") or "",
            "state": {"values": initial_state(blocks, old and old["state"]["values"])},
            "hash": f"{int(time.time())}.{secrets.token_hex(4)}", "title": view.get("title") or
            {"type": "plain_text", "text": "View Title", "emoji": True},
            "clear_on_close": bool(view.get("clear_on_close")), "notify_on_close": bool(view.get("notify_on_close")),
            "close": view.get("close"), "submit": view.get("submit"),
            "previous_view_id": old["previous_view_id"] if old else None,
            "root_view_id": old["root_view_id"] if old else vid, "app_id": APP,
            "external_id": view.get("external_id") or "", "app_installed_team_id": TEAM, "bot_id": BOT_ID}

    def keep(self, view):
        self.by_id[view["id"]] = view
        if len(self.by_id) > MAX_KEPT:
            self.by_id.popitem(last=False)

    def open_ids(self):
        return {v["id"] for stack in self.stacks.values() for v in stack}

    def owner(self, vid):
        for user, stack in self.stacks.items():
            if any(v["id"] == vid for v in stack):
                return user
        for user, home in self.homes.items():
            if home["id"] == vid:
                return user
        return None

    def duplicate(self, view, but=None):
        ext = view.get("external_id")
        return bool(ext) and any(v.get("external_id") == ext and v["id"] != but for v in self.live())

    def live(self):
        for stack in self.stacks.values():
            yield from stack
        yield from self.homes.values()

    def push(self, user, view, root=False):
        new = self.build(view)
        stack = self.stacks.setdefault(user, [])
        if root:
            stack.clear()
        if stack:
            new["previous_view_id"], new["root_view_id"] = stack[-1]["id"], stack[0]["id"]
        stack.append(new)
        self.keep(new)
        self.show(user)
        return new

    def replace(self, user, old, view):
        new = self.build(view, old)
        if self.homes.get(user) is old:
            self.homes[user] = new
        else:
            stack = self.stacks[user]
            stack[next(i for i, v in enumerate(stack) if v is old)] = new
        self.keep(new)
        self.show(user)
        return new

    def drop(self, user, all_=False):
        stack = self.stacks.get(user, [])
        gone = list(stack) if all_ else stack[-1:]
        del stack[-len(gone):]
        if not stack:
            self.stacks.pop(user, None)
        self.show(user)
        return gone

    def show(self, user):
        if self.s.feed.awake:
            self.s.feed.publish({"type": "views", "user": user, "stack": self.stacks.get(user, []),
                                 "home": self.homes.get(user)}, user)

    def problem(self, view, kind, ptr="/view"):
        """The error answer that a view deserves, or None."""
        if type(view) is not dict:
            return Refused("invalid_arguments", ["[ERROR] missing required field: view"])
        if len(dumps(view)) > MAX_VIEW:
            return Refused("view_too_large")
        errors = check_view(view, kind, ptr)
        if errors:
            self.s.violation(f"invalid view: {errors[0]}")
            return Refused("invalid_arguments", errors)
        return None


def sent_view(s, args, kind):
    view = structured(args, "view")
    problem = s.views.problem(view, kind)
    if problem:
        raise problem
    return view


def view_open(s, args):
    view = sent_view(s, args, "modal")
    who = s.triggers.use(args.get("trigger_id"))
    if s.views.duplicate(view):
        raise Refused("duplicate_external_id")
    return {"view": s.views.push(who["user"], view, root=True)}


def view_push(s, args):
    view = sent_view(s, args, "modal")
    who = s.triggers.use(args.get("trigger_id"))
    stack = s.views.stacks.get(who["user"], [])
    if not stack or who.get("view") not in [v["id"] for v in stack]:
        raise Refused("not_found")
    if len(stack) >= MAX_STACK:
        raise Refused("push_limit_reached")
    if s.views.duplicate(view):
        raise Refused("duplicate_external_id")
    return {"view": s.views.push(who["user"], view)}


def check_hash(s, args, old):
    given = args.get("hash")
    if given is None:
        return
    if given == "":
        s.violation("views: hash is an empty string; leave it out")
        raise Refused("invalid_arguments", ["[ERROR] must be more than 0 characters [json-pointer:/hash]"])
    if old and given != old["hash"]:
        raise Refused("hash_conflict")


def view_update(s, args):
    view = sent_view(s, args, None)
    vid, ext = args.get("view_id"), args.get("external_id")
    old = next((v for v in s.views.live() if (vid and v["id"] == vid) or (not vid and ext and
                v["external_id"] == ext)), None)
    if old is None:
        raise Refused("not_found")
    if view["type"] != old["type"]:
        raise Refused("invalid_arguments", ["[ERROR] type may not change [json-pointer:/view/type]"])
    check_hash(s, args, old)
    if s.views.duplicate(view, old["id"]):
        raise Refused("duplicate_external_id")
    return {"view": s.views.replace(s.views.owner(old["id"]), old, view)}


def view_publish(s, args):
    view = sent_view(s, args, "home")
    user = s.work.users.get(args.get("user_id") or "")
    if user is None or user.deleted:
        raise Refused("invalid_arguments", ["[ERROR] invalid `user_id`"])
    if not s.switch.home_enabled:
        raise Refused("not_enabled")
    old = s.views.homes.get(user.id)
    check_hash(s, args, old)
    if s.views.duplicate(view, old and old["id"]):
        raise Refused("duplicate_external_id")
    new = s.views.build(view, old)
    s.views.homes[user.id] = new
    s.views.keep(new)
    s.views.show(user.id)
    return {"view": new}


METHODS = {
    "views.open": Method(view_open, "trigger_id interactivity_pointer view", (), 4, json=True),
    "views.push": Method(view_push, "trigger_id interactivity_pointer view", (), 4, json=True),
    "views.update": Method(view_update, "view_id external_id view hash", (), 4, json=True),
    "views.publish": Method(view_publish, "user_id view hash", (), 4, json=True),
}

# SPDX-License-Identifier: Apache-2.0
"""The limits of Block Kit, checked the way Slack reports them: `[ERROR] what [json-pointer:/where]`.

Each object type is a table of field -> check; "!" marks a required field. A field that is not in the
table is an error, as it is at Slack. Text is counted in UTF-16 units of what was sent."""

import re

from .richtext import CELLS, RICH

MAX_ERRORS = 20
DATE = re.compile(r"\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])\Z")
TIME = re.compile(r"([01]\d|2[0-3]):[0-5]\d\Z")
NUMBER = re.compile(r"-?\d+(\.\d+)?\Z")


def units(text):
    return len(text) if text.isascii() else len(text.encode("utf-16-le", "surrogatepass")) // 2


class Checker:
    def __init__(self, surface):
        self.surface = surface      # message, modal or home
        self.errors = []
        self.block_ids = set()
        self.action_ids = set()
        self.focus = 0
        self.tables = 0
        self.markdown = 0

    def err(self, what, ptr):
        if len(self.errors) < MAX_ERRORS:
            self.errors.append(f"[ERROR] {what} [json-pointer:{ptr}]")

    def fields(self, obj, spec, ptr):
        """Check a JSON object against its table; false when it is no object."""
        if type(obj) is not dict:
            self.err("must be an object", ptr)
            return False
        known = SPLIT.get(id(spec))
        if known is None:
            known = SPLIT[id(spec)] = split(spec)
        checks, required = known
        for name in required:
            if obj.get(name) is None:
                self.err(f"missing required field: {name}", ptr)
        for name, value in obj.items():
            check = checks.get(name)
            if name == "type":
                continue
            if check is None:
                self.err(f"invalid additional property: {name}", ptr)
            elif value is not None:
                check(self, value, f"{ptr}/{name}")
        return True

    def string(self, value, ptr, high, low=1):
        if type(value) is not str:
            self.err("must provide a string", ptr)
        elif units(value) > high:
            self.err(f"must be less than {high + 1} characters", ptr)
        elif units(value) < low:
            self.err(f"must be more than {low - 1} characters", ptr)

    def items(self, value, ptr, low, high, each):
        if type(value) is not list:
            self.err("must provide an array", ptr)
            return
        if len(value) > high:
            self.err(f"no more than {high} items allowed", ptr)
        elif len(value) < low:
            self.err(f"no fewer than {low} items allowed", ptr)
        for i, item in enumerate(value[:high]):
            each(self, item, f"{ptr}/{i}")

    def typed(self, obj, ptr, table, what="type"):
        kind = obj.get("type") if type(obj) is dict else None
        spec = table.get(kind) if type(kind) is str else None
        if spec is None:
            if type(obj) is not dict:
                self.err("must be an object", ptr)
            elif kind is None:
                self.err("missing required field: type", ptr)
            else:
                self.err(f"unsupported {what}: {kind}", f"{ptr}/type")
            return None
        self.fields(obj, spec, ptr)
        return kind


SPLIT = {}


def split(spec):
    return ({name.rstrip("!"): check for name, check in spec.items()},
            [name[:-1] for name in spec if name.endswith("!")])


# Checks: functions of (checker, value, pointer)

def text(high, *kinds):
    kinds = kinds or ("plain_text",)

    def check(c, v, p):
        kind = v.get("type") if type(v) is dict else None
        if kind not in kinds:
            c.err("must be a text object of type " + " or ".join(kinds), p)
            return
        c.fields(v, PLAIN_ANY if kind == "plain_text" else MRKDWN_ANY, p)
        if v.get("text") is not None:
            c.string(v["text"], p + "/text", high)
    return check


def s(high, low=1):
    return lambda c, v, p: c.string(v, p, high, low)


def flag(c, v, p):
    if type(v) is not bool:
        c.err("must be a boolean", p)


def focus(c, v, p):
    flag(c, v, p)
    c.focus += v is True
    if c.focus == 2:
        c.err("only one element may have focus_on_load", p)


def one_of(*values):
    def check(c, v, p):
        if v not in values:
            c.err("must be one of: " + ", ".join(values), p)
    return check


def number(low, high):
    def check(c, v, p):
        if type(v) is not int:
            c.err("must be an integer", p)
        elif not low <= v <= high:
            c.err(f"must be between {low} and {high}", p)
    return check


def match(pattern, what):
    def check(c, v, p):
        if type(v) is not str or not pattern.match(v):
            c.err(f"must be {what}", p)
    return check


def some(low, high, each):
    return lambda c, v, p: c.items(v, p, low, high, each)


def obj(spec):
    return lambda c, v, p: c.fields(v, spec, p)


def anything(c, v, p):
    pass


def action_id(c, v, p):
    c.string(v, p, 255)
    if type(v) is str:
        if v in c.action_ids:
            c.err(f"`action_id`: {v} already exists in this block", p)
        c.action_ids.add(v)


def block_id(c, v, p):
    c.string(v, p, 255)
    if type(v) is str:
        if v in c.block_ids:
            c.err(f"`block_id` \"{v}\" already exists", p)
        c.block_ids.add(v)


any_text = ("plain_text", "mrkdwn")
PLAIN = {"text!": s(3000), "emoji": flag}
MRKDWN = {"text!": s(3000), "verbatim": flag}
PLAIN_ANY, MRKDWN_ANY = {**PLAIN, "text!": anything}, {**MRKDWN, "text!": anything}
CONFIRM = {"title!": text(100), "text!": text(300, *any_text), "confirm": text(30), "deny": text(30),
           "style": one_of("primary", "danger")}
OPTION = {"text!": text(75), "value!": s(150), "description": text(75)}
RICH_OPTION = {"text!": text(75, *any_text), "value!": s(150), "description": text(75, *any_text)}
OVERFLOW_OPTION = {**OPTION, "url": s(3000)}
GROUP = {"label!": text(75), "options!": some(1, 100, obj(OPTION))}
confirm = obj(CONFIRM)
option = obj(OPTION)
base = {"action_id": action_id}
pick = {**base, "confirm": confirm, "focus_on_load": focus, "placeholder": text(150)}
static = {**pick, "options": some(1, 100, option), "option_groups": some(1, 100, obj(GROUP))}
external = {**pick, "min_query_length": number(0, 150)}
multi = {"max_selected_items": number(1, 100)}
dispatch = {"dispatch_action_config": obj({"trigger_actions_on": some(1, 2, one_of(
    "on_enter_pressed", "on_character_entered"))})}
typed_in = {**base, **dispatch, "placeholder": text(150), "focus_on_load": focus,
            "initial_value": s(3000, 0)}
url_flag = {"response_url_enabled": flag}
many = some(0, 100, s(255))
ELEMENTS = {
    "button": {**base, "text!": text(75), "url": s(3000), "value": s(2000), "confirm": confirm,
               "style": one_of("primary", "danger"), "accessibility_label": s(75)},
    "static_select": {**static, "initial_option": option},
    "multi_static_select": {**static, **multi, "initial_options": some(1, 100, option)},
    "external_select": {**external, "initial_option": option},
    "multi_external_select": {**external, **multi, "initial_options": some(1, 100, option)},
    "users_select": {**pick, "initial_user": s(255)},
    "multi_users_select": {**pick, **multi, "initial_users": many},
    "conversations_select": {**pick, **url_flag, "initial_conversation": s(255), "filter": anything,
                             "default_to_current_conversation": flag},
    "multi_conversations_select": {**pick, **multi, "initial_conversations": many, "filter": anything,
                                   "default_to_current_conversation": flag},
    "channels_select": {**pick, **url_flag, "initial_channel": s(255)},
    "multi_channels_select": {**pick, **multi, "initial_channels": many},
    "overflow": {**base, "options!": some(1, 5, obj(OVERFLOW_OPTION)), "confirm": confirm},
    "datepicker": {**pick, "initial_date": match(DATE, "a date YYYY-MM-DD")},
    "timepicker": {**pick, "initial_time": match(TIME, "a time HH:mm"), "timezone": s(255)},
    "datetimepicker": {**base, "confirm": confirm, "focus_on_load": focus,
                       "initial_date_time": number(1000000000, 9999999999)},
    "checkboxes": {**base, "options!": some(1, 10, obj(RICH_OPTION)), "confirm": confirm,
                   "initial_options": some(1, 10, obj(RICH_OPTION)), "focus_on_load": focus},
    "radio_buttons": {**base, "options!": some(1, 10, obj(RICH_OPTION)), "confirm": confirm,
                      "initial_option": obj(RICH_OPTION), "focus_on_load": focus},
    "plain_text_input": {**typed_in, "multiline": flag, "min_length": number(0, 3000),
                         "max_length": number(1, 3000)},
    "email_text_input": typed_in,
    "url_text_input": typed_in,
    "number_input": {**typed_in, "is_decimal_allowed!": flag,
                     "initial_value": match(NUMBER, "a number as a string"),
                     "min_value": match(NUMBER, "a number as a string"),
                     "max_value": match(NUMBER, "a number as a string")},
    "rich_text_input": {**base, **dispatch, "placeholder": text(150), "focus_on_load": focus,
                        "initial_value": anything, "min_lines": number(1, 100), "max_lines": number(1, 100)},
    "file_input": {**base, "filetypes": some(1, 100, s(20)), "max_files": number(1, 10)},
    "image": {"image_url": s(3000), "slack_file": anything, "alt_text!": s(2000)},
    "feedback_buttons": {**base, "positive_button!": anything, "negative_button!": anything},
    "icon_button": {**base, "icon!": s(255), "text!": text(75), "value": s(2000), "confirm": confirm,
                    "accessibility_label": s(75), "visible_to_user_ids": many},
}
SELECTS = {k: v for k, v in ELEMENTS.items() if k.endswith("_select") or k.endswith("picker")
           or k in ("checkboxes", "radio_buttons")}
ACCESSORY = {**SELECTS, **{k: ELEMENTS[k] for k in ("button", "overflow", "image")}}
ACTION = {**SELECTS, **{k: ELEMENTS[k] for k in ("button", "overflow")}}
INPUT = {**SELECTS, **{k: v for k, v in ELEMENTS.items() if k.endswith("_input")}}
CONTEXT = {"image": ELEMENTS["image"], "plain_text": PLAIN, "mrkdwn": MRKDWN}
CONTEXT_ACTION = {k: ELEMENTS[k] for k in ("feedback_buttons", "icon_button")}


def element(table):
    def check(c, v, p):
        kind = c.typed(v, p, table, "type of element")
        if kind in ("static_select", "multi_static_select"):
            if (v.get("options") is None) == (v.get("option_groups") is None):
                c.err("must have exactly one of: options, option_groups", p)
        elif kind == "image" and not v.get("image_url") and not v.get("slack_file"):
            c.err("missing required field: image_url", p)
        elif kind == "file_input" and c.surface != "modal":
            c.err("unsupported element in this surface: file_input", p)
    return check


def cells(c, v, p):
    c.items(v, p, 1, 20, lambda c, cell, q: c.typed(cell, q, CELLS, "type of cell"))


def data_rows(c, v, p):
    c.items(v, p, 2, 101, cells)
    if type(v) is list and len({len(r) for r in v if type(r) is list}) > 1:
        c.err("rows must have equal width", p)


def children(c, v, p):
    saved = c.action_ids
    c.items(v, p, 1, 10, lambda c, b, q: block(c, b, q))
    c.action_ids = saved


COLUMN = {"align": one_of("left", "center", "right"), "is_wrapped": flag}
ident = {"block_id": block_id}
BLOCKS = {
    "section": {**ident, "text": text(3000, *any_text), "fields": some(1, 10, text(2000, *any_text)),
                "accessory": element(ACCESSORY), "expand": flag},
    "header": {**ident, "text!": text(150), "level": number(1, 4)},
    "divider": ident,
    "context": {**ident, "elements!": some(1, 10, element(CONTEXT))},
    "context_actions": {**ident, "elements!": some(1, 5, element(CONTEXT_ACTION))},
    "actions": {**ident, "elements!": some(1, 25, element(ACTION))},
    "image": {**ident, "image_url": s(3000), "slack_file": anything, "alt_text!": s(2000), "title": text(2000)},
    "input": {**ident, "label!": text(2000), "element!": element(INPUT), "hint": text(2000), "optional": flag,
              "dispatch_action": flag},
    "rich_text": {**ident, "elements!": some(1, 1000, lambda c, v, p: c.typed(v, p, RICH, "type of element"))},
    "markdown": {**ident, "text!": s(12000)},
    "video": {**ident, "video_url!": s(3000), "thumbnail_url!": s(3000), "alt_text!": s(2000), "title!": text(199),
              "title_url": s(3000), "author_name": s(49), "description": text(199), "provider_icon_url": s(3000),
              "provider_name": s(49)},
    "table": {**ident, "rows!": some(1, 100, cells), "column_settings": some(1, 20, obj(COLUMN))},
    "data_table": {**ident, "caption!": s(255), "rows!": data_rows, "page_size": number(1, 100),
                   "row_header_column_index": number(0, 19)},
    "container": {**ident, "title": text(150), "rich_text_title": anything, "subtitle": text(150),
                  "child_blocks!": children, "width": one_of("narrow", "standard", "wide", "full"),
                  "is_collapsible": flag, "has_header_divider": flag},
    "alert": {**ident, "text!": text(3000, *any_text),
              "level": one_of("default", "info", "warning", "error", "success")},
}
ONLY = {"markdown": ("message",), "table": ("message",), "data_table": ("message",), "alert": ("modal",)}


def block(c, v, p):
    c.action_ids = set()
    kind = c.typed(v, p, BLOCKS)
    if kind is None:
        return
    if c.surface not in ONLY.get(kind, (c.surface,)):
        c.err(f"unsupported type: {kind}", f"{p}/type")
    if kind == "section" and v.get("text") is None and v.get("fields") is None:
        c.err("missing required field: text", p)
    elif kind == "image" and not v.get("image_url") and not v.get("slack_file"):
        c.err("missing required field: image_url", p)
    elif kind == "table":
        c.tables += 1
        if c.tables == 2:
            c.err("only_one_table_allowed", p)
    elif kind == "markdown" and type(v.get("text")) is str:
        c.markdown += units(v["text"])
        if c.markdown > 12000:
            c.err("must be less than 12001 characters over all markdown blocks", p)


def check_blocks(blocks, surface="message", ptr="/blocks"):
    """The errors of a message's blocks, in Slack's words; an empty list when it is well."""
    c = Checker(surface)
    c.items(blocks, ptr, 0, 50 if surface == "message" else 100, block)
    return c.errors


VIEW = {"blocks!": anything, "private_metadata": s(3000, 0), "callback_id": s(255, 0),
        "external_id": s(255, 0)}
MODAL = {**VIEW, "title!": text(24), "submit": text(24), "close": text(24), "clear_on_close": flag,
         "notify_on_close": flag, "submit_disabled": flag}


def check_view(view, kind=None, ptr="/view"):
    c = Checker("modal")
    which = view.get("type") if type(view) is dict else None
    if which not in ("modal", "home") or (kind and which != kind):
        c.err(f"unsupported type: {which}", f"{ptr}/type")
        return c.errors
    c.surface = which
    c.fields(view, MODAL if which == "modal" else VIEW, ptr)
    blocks = view.get("blocks")
    if blocks is not None:
        c.items(blocks, f"{ptr}/blocks", 0, 100, block)
    if which == "modal" and type(blocks) is list and not view.get("submit"):
        if any(type(b) is dict and b.get("type") == "input" for b in blocks):
            c.err("`submit` must be defined when an input block is in `blocks`", f"{ptr}/submit")
    return c.errors


def check_options(payload):
    """The answer to a block_suggestion."""
    c = Checker("modal")
    if type(payload) is not dict or ("options" in payload) == ("option_groups" in payload):
        c.err("must have exactly one of: options, option_groups", "")
        return c.errors
    if "options" in payload:
        c.items(payload["options"], "/options", 0, 100, option)
    else:
        c.items(payload["option_groups"], "/option_groups", 0, 100, obj(GROUP))
    return c.errors

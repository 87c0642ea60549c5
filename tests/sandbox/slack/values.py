# SPDX-License-Identifier: Apache-2.0
"""Turns what a person picks or types into the members that Slack's payloads carry."""

import re

from .blocks import DATE, NUMBER, TIME, units
from .views import EMPTY, stateful


class NoSuchElement(Exception):
    pass


def elements(blocks):
    for block in blocks:
        if block["type"] in ("actions", "context_actions"):
            yield from ((block, e) for e in block["elements"])
        elif block["type"] == "input":
            yield block, block["element"]
        elif block.get("accessory"):
            yield block, block["accessory"]


def find_element(blocks, action_id, block_id=None):
    """The element a person means; a text in place of an action id also finds a button by its label."""
    every = [(b, e) for b, e in elements(blocks) if not block_id or b["block_id"] == block_id]
    for block, element in every:
        if element.get("action_id") == action_id:
            return block, element
    for block, element in every:
        if element["type"] == "button" and element["text"]["text"] == action_id:
            return block, element
    have = ", ".join(str(e.get("action_id")) for _, e in every)
    raise NoSuchElement(f"no element {action_id!r}; there are: {have or 'none'}")


def options_of(element):
    out = list(element.get("options") or [])
    for group in element.get("option_groups") or []:
        out += group["options"]
    return out


def option_named(element, value):
    """A whole option from its value (or the option itself, as an external menu gave it)."""
    if type(value) is dict:
        return value
    for option in options_of(element):
        if option["value"] == value:
            return option
    raise NoSuchElement(f"no option {value!r}")


def member_value(element, value):
    """(member name, its value) for an element and what was picked, or (None, None) for a button."""
    kind = element["type"]
    member, empty = ("selected_option", None) if kind == "overflow" else EMPTY.get(kind, (None, None))
    if member is None:
        return None, None
    if value is None or value == "" or value == []:
        return member, empty
    if member == "selected_option":
        return member, option_named(element, value)
    if member == "selected_options":
        values = value if type(value) is list else [value]
        return member, [option_named(element, v) for v in values]
    if member == "selected_date_time":
        return member, int(value)
    if member == "value":
        return member, str(value)
    if empty == [] and type(value) is not list:
        value = [value]
    if member == "rich_text_value" and type(value) is str:
        value = {"type": "rich_text", "elements": [{"type": "rich_text_section", "elements": [
            {"type": "text", "text": value}]}]}
    return member, value


def action_of(block, element, value, s):
    """One entry of block_actions' `actions`."""
    action = {"type": element["type"], "action_id": element["action_id"], "block_id": block["block_id"],
              "action_ts": s.store.ts()}
    member, picked = member_value(element, value)
    if member:
        action[member] = picked
        if element.get("placeholder"):
            action["placeholder"] = element["placeholder"]
    else:
        if element.get("text"):
            action["text"] = element["text"]
        if element.get("value") is not None:
            action["value"] = element["value"]
        if element.get("style"):
            action["style"] = element["style"]
    return action


def given(values, block, element):
    """What was typed for an element: {block: {action: v}}, {block: v} or {action: v}."""
    ids = block["block_id"], element["action_id"]
    inner = values.get(ids[0])
    if type(inner) is dict and ids[1] in inner:
        return True, inner[ids[1]]
    if ids[0] in values and type(inner) is not dict:
        return True, inner
    if ids[1] in values:
        return True, values[ids[1]]
    return False, None


def typed_values(view, values, s):
    """Put typed values into the view's state; the errors that Slack's client would show, by block."""
    errors, known = {}, set()
    for block, element in stateful(view["blocks"]):
        member = EMPTY[element["type"]][0]
        slot = view["state"]["values"][block["block_id"]][element["action_id"]]
        found, value = given(values, block, element)
        known.update((block["block_id"], element["action_id"]))
        if found:
            try:
                slot[member] = member_value(element, value)[1]
            except (NoSuchElement, ValueError) as e:
                errors[block["block_id"]] = str(e)
                continue
        if block["type"] == "input":
            problem = input_problem(block, element, slot[member])
            if problem:
                errors[block["block_id"]] = problem
    for name in values:
        if name not in known:
            raise NoSuchElement(f"the view has no input {name!r}; it has: {', '.join(sorted(known))}")
    return errors


def input_problem(block, element, value):
    kind = element["type"]
    if value is None or value == []:
        return None if block.get("optional") else "Please complete this required field."
    if kind == "plain_text_input":
        if units(value) < element.get("min_length", 0):
            return f"Please enter at least {element['min_length']} characters."
        if units(value) > element.get("max_length", 3000):
            return f"Please enter at most {element.get('max_length', 3000)} characters."
    elif kind == "number_input":
        return number_problem(element, str(value))
    elif kind == "email_text_input" and not re.match(r"[^@\s]+@[^@\s]+\.[^@\s]+\Z", value):
        return "Please enter a valid email address."
    elif kind == "url_text_input" and not re.match(r"https?://\S+\Z", value):
        return "Please enter a valid URL."
    elif (kind == "datepicker" and not DATE.match(value)) or (kind == "timepicker" and not TIME.match(value)):
        return "Please enter a valid value."
    return None


def number_problem(element, value):
    if not NUMBER.match(value) or ("." in value and not element["is_decimal_allowed"]):
        return "Please enter a number." if element["is_decimal_allowed"] else "Please enter a whole number."
    if element.get("min_value") and float(value) < float(element["min_value"]):
        return f"Please enter at least {element['min_value']}."
    if element.get("max_value") and float(value) > float(element["max_value"]):
        return f"Please enter at most {element['max_value']}."
    return None

# SPDX-License-Identifier: Apache-2.0
"""Tables of the rich_text block and of table cells; blocks.py does the checking."""

STYLE = ("bold", "italic", "strike", "code", "underline", "highlight", "client_highlight", "unlink")


def text(high, low=1):
    return lambda c, v, p: c.string(v, p, high, low)


def style(c, v, p):
    if type(v) is not dict or any(k not in STYLE or type(x) is not bool for k, x in v.items()):
        c.err("must be an object of style flags", p)


def integer(low, high):
    def check(c, v, p):
        if type(v) is not int or not low <= v <= high:
            c.err(f"must be an integer between {low} and {high}", p)
    return check


def flag(c, v, p):
    if type(v) is not bool:
        c.err("must be a boolean", p)


def among(*values):
    def check(c, v, p):
        if v not in values:
            c.err("must be one of: " + ", ".join(values), p)
    return check


def elements(table):
    def check(c, v, p):
        c.items(v, p, 0, 3000, lambda c, item, q: c.typed(item, q, table, "type of element"))
    return check


INLINE = {
    "text": {"text!": text(3000), "style": style},
    "link": {"url!": text(3000), "text": text(3000), "style": style, "unsafe": flag},
    "emoji": {"name!": text(255), "unicode": text(255), "skin_tone": integer(1, 6), "style": style},
    "user": {"user_id!": text(255), "style": style},
    "channel": {"channel_id!": text(255), "style": style},
    "usergroup": {"usergroup_id!": text(255), "style": style},
    "team": {"team_id!": text(255), "style": style},
    "broadcast": {"range!": among("here", "channel", "everyone"), "style": style},
    "date": {"timestamp!": integer(0, 1 << 40), "format!": text(255), "url": text(3000), "fallback": text(3000),
             "style": style},
    "color": {"value!": text(255), "style": style},
}
CODE = {"text": INLINE["text"], "link": INLINE["link"]}
SECTION = {"elements!": elements(INLINE)}
RICH = {
    "rich_text_section": SECTION,
    "rich_text_quote": {**SECTION, "border": integer(0, 1)},
    "rich_text_preformatted": {"elements!": elements(CODE), "border": integer(0, 1), "language": text(255)},
    "rich_text_list": {"elements!": elements({"rich_text_section": SECTION}),
                       "style!": among("bullet", "ordered"), "indent": integer(0, 8), "offset": integer(0, 100000),
                       "border": integer(0, 1)},
}
CELLS = {
    "raw_text": {"text!": text(3000, 0)},
    "rich_text": {"elements!": elements(RICH), "block_id": text(255)},
}

# SPDX-License-Identifier: Apache-2.0
"""Methods that look: auth, team, conversations, users and user groups; and the Socket Mode door."""

from .chatapi import room
from .people import APP, BOT, BOT_ID, BOT_NAME, SLACKBOT, TEAM
from .webapi import Method, Refused, count, page, truth

READ = {"channels": "channels:read", "groups": "groups:read", "im": "im:read", "mpim": "mpim:read"}
HISTORY = {k: v.replace("read", "history") for k, v in READ.items()}


def connections_open(s, args):
    return {"url": s.sockets.door.ticket()}


def auth_test(s, args):
    if args["_token"].kind == "app":
        return {"app_name": BOT_NAME, "app_id": APP}
    return {"url": "https://ops.slack.example/", "team": "Sandbox", "user": BOT_NAME, "team_id": TEAM, "user_id": BOT,
            "bot_id": BOT_ID, "is_enterprise_install": False}


def team_info(s, args):
    if args.get("team") not in (None, "", TEAM):
        raise Refused("team_not_found")
    return {"team": {"id": TEAM, "name": "Sandbox", "domain": "ops", "email_domain": "example.com",
                     "url": "https://ops.slack.example/", "is_verified": False,
                     "icon": {"image_default": True}}}


# Conversations

def seen_room(s, args, scopes=READ):
    channel = room(s, args, posting=False)
    s.api.need(args, scopes[channel.kind()])
    return channel


def conv_info(s, args):
    return {"channel": seen_room(s, args).api(truth(args, "include_num_members"))}


def conv_list(s, args):
    wanted = (args.get("types") or "public_channel").split(",")
    names = {"public_channel": "channels", "private_channel": "groups", "im": "im", "mpim": "mpim"}
    kinds = [names.get(w) for w in wanted]
    if None in kinds:
        raise Refused("invalid_types")
    for kind in kinds:
        s.api.need(args, READ[kind])
    skip = truth(args, "exclude_archived")
    rows = [c for c in s.work.channels.values() if c.kind() in kinds and not (skip and c.is_archived)
            and (BOT in c.members or not c.is_private)]
    rows, cursor = page(rows, args, 100)
    return {"channels": [c.api(True) for c in rows], "response_metadata": {"next_cursor": cursor}}


def conv_members(s, args):
    channel = seen_room(s, args)
    rows, cursor = page(list(channel.members), args, 100)
    return {"members": rows, "response_metadata": {"next_cursor": cursor}}


def conv_open(s, args):
    ref = args.get("channel")
    if ref:
        channel = room(s, args, posting=False)
        if channel.kind() not in ("im", "mpim"):
            raise Refused("channel_not_found")
    else:
        channel = open_with(s, args)
    full = truth(args, "return_im")
    return {"channel": channel.api() if full else {"id": channel.id}, "no_op": True, "already_open": True}


def open_with(s, args):
    users = args.get("users")
    if type(users) is list:
        users = ",".join(users)
    ids = [u.strip() for u in (users or "").split(",") if u.strip()]
    if not ids:
        raise Refused("users_list_not_supplied")
    if len(ids) > 8:
        raise Refused("too_many_users")
    for uid in ids:
        user = s.work.users.get(uid)
        if user is None or uid == SLACKBOT:
            raise Refused("user_not_found")
        if user.deleted:
            raise Refused("user_disabled")
        if user.is_stranger:
            raise Refused("user_not_visible")
        if user.is_bot:
            raise Refused("cannot_dm_bot")
    if len(ids) > 1:
        s.api.need(args, "mpim:write")
        return s.work.mpim(ids)
    s.api.need(args, "im:write")
    return s.work.im(ids[0])


def conv_join(s, args):
    channel = room(s, args, posting=False)
    if channel.is_private or channel.is_im:
        raise Refused("method_not_supported_for_channel_type")
    if channel.is_archived:
        raise Refused("is_archived")
    out = {"channel": channel.api()}
    if BOT in channel.members:
        out.update(warning="already_in_channel", response_metadata={"warnings": ["already_in_channel"]})
    channel.members[BOT] = None
    return out


def stamp(args, name, default):
    value = args.get(name) or default
    try:
        float(value)
    except (TypeError, ValueError):
        raise Refused(f"invalid_ts_{name}") from None
    sec, _, micro = str(value).partition(".")
    return int(sec), int((micro + "000000")[:6])


def rows_between(s, args, channel, thread=None):
    low, high = stamp(args, "oldest", "0"), stamp(args, "latest", "9999999999")
    inclusive = truth(args, "inclusive")
    meta = truth(args, "include_all_metadata")
    rows = []
    for m in s.store.of(channel.id).values():
        at = stamp({"t": m.ts}, "t", "0")
        root = m.body.get("thread_ts")
        if m.deleted or m.only_for or (root not in (thread, m.ts) and m.ts != thread if thread
                                       else root not in (None, m.ts)):
            continue
        if thread and m.ts != thread and root != thread:
            continue
        if low < at < high or (inclusive and at in (low, high)):
            rows.append(m.body if meta else {k: v for k, v in m.body.items() if k != "metadata"})
    return rows


def history(s, args):
    channel = seen_room(s, args, HISTORY)
    if BOT not in channel.members:
        raise Refused("not_in_channel")
    rows = rows_between(s, args, channel)
    rows.reverse()                  # newest first
    rows, cursor = page(rows, args, 100, 999)
    return {"messages": rows, "has_more": bool(cursor), "pin_count": 0, "response_metadata": {"next_cursor": cursor}}


def replies(s, args):
    channel = seen_room(s, args, HISTORY)
    ts = args.get("ts") or ""
    if s.store.get(channel.id, ts) is None:
        raise Refused("thread_not_found")
    rows, cursor = page(rows_between(s, args, channel, ts), args, 100, 1000)
    return {"messages": rows, "has_more": bool(cursor), "response_metadata": {"next_cursor": cursor}}


# People

def with_email(args):
    return "users:read.email" in args["_token"].scopes


def users_info(s, args):
    user = s.work.users.get(args.get("user") or "")
    if user is None:
        raise Refused("user_not_found")
    return {"user": user.api(with_email(args))}


def users_list(s, args):
    if s.switch.limit_required and not args.get("limit"):
        raise Refused("limit_required")
    rows = [u for u in s.work.users.values() if u.team_id == TEAM]      # outsiders are not listed
    rows, cursor = page(rows, args, 1000)
    return {"members": [u.api(with_email(args)) for u in rows], "cache_ts": 1, "response_metadata":
            {"next_cursor": cursor}}


def lookup_by_email(s, args):
    email = (args.get("email") or "").lower()
    for user in s.work.users.values():
        if email and user.email and user.email.lower() == email and not user.deleted and user.team_id == TEAM:
            return {"user": user.api(True)}
    raise Refused("users_not_found")


def usergroups_list(s, args):
    users, counted = truth(args, "include_users"), truth(args, "include_count")
    disabled = truth(args, "include_disabled")
    return {"usergroups": [s.work.group_api(g, users, counted) for g in s.work.groups.values()
                           if disabled or not g["date_delete"]]}


def usergroups_users(s, args):
    group = s.work.groups.get(args.get("usergroup") or "")
    if group is None:
        raise Refused("no_such_subteam")
    if group["date_delete"] and not truth(args, "include_disabled"):
        raise Refused("no_such_subteam")
    count(args, "limit", 1, 1000)
    return {"users": list(group["users"])}


ANY_READ = tuple(READ.values())
RANGE = "channel limit cursor latest oldest inclusive include_all_metadata"
METHODS = {
    "apps.connections.open": Method(connections_open, "", ("connections:write",), 3, json=True, token="app"),
    "auth.test": Method(auth_test, "", json=True, token="any"),
    "team.info": Method(team_info, "team domain", ("team:read",), 3, json=True),
    "conversations.info": Method(conv_info, "channel include_num_members include_locale", ANY_READ, 3),
    "conversations.list": Method(conv_list, "cursor limit exclude_archived types team_id", ANY_READ, 2),
    "conversations.members": Method(conv_members, "channel cursor limit", ANY_READ, 4),
    "conversations.open": Method(conv_open, "users channel return_im prevent_creation", ("im:write", "mpim:write"), 3,
                                 json=True),
    "conversations.join": Method(conv_join, "channel", ("channels:join",), 3, json=True),
    "conversations.history": Method(history, RANGE, tuple(HISTORY.values()), 3),
    "conversations.replies": Method(replies, RANGE + " ts", tuple(HISTORY.values()), 3),
    "users.info": Method(users_info, "user include_locale", ("users:read",), 4),
    "users.list": Method(users_list, "cursor limit include_locale team_id", ("users:read",), 2),
    "users.lookupByEmail": Method(lookup_by_email, "email", ("users:read.email",), 3),
    "usergroups.list": Method(usergroups_list, "include_users include_disabled include_count team_id",
                              ("usergroups:read",), 2),
    "usergroups.users.list": Method(usergroups_users, "usergroup include_disabled team_id limit",
                                    ("usergroups:read",), 2),
}

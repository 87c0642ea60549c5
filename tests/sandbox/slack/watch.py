# SPDX-License-Identifier: Apache-2.0
"""What the control API shows: state for the page, records and counters, and conditions to wait for."""

import json

from .people import BOT, SLACKBOT


def person(s, user):
    return {"id": user.id, "name": user.name, "real_name": user.real_name, "team_id": user.team_id,
            "deleted": user.deleted, "is_bot": user.is_bot, "is_restricted": user.is_restricted,
            "email": user.email, "is_email_confirmed": user.is_email_confirmed, "groups": s.work.groups_of(user.id)}


def state(s, user, limit, deleted):
    channels = {}
    for channel in s.work.channels.values():
        if user and user not in channel.members:
            continue
        channels[channel.id] = {
            "id": channel.id, "name": channel.name, "is_im": channel.is_im, "is_private": channel.is_private,
            "is_archived": channel.is_archived, "is_ext_shared": channel.is_ext_shared, "im_user": channel.im_user,
            "members": list(channel.members), "messages": s.store.listing(channel.id, user, limit, deleted)}
    stacks, homes = s.views.stacks, s.views.homes
    if user:
        stacks = {user: stacks[user]} if user in stacks else {}
        homes = {user: homes[user]} if user in homes else {}
    return {"people": [person(s, u) for u in s.work.users.values()], "bot": BOT, "slackbot": SLACKBOT,
            "groups": [{"id": g["id"], "handle": g["handle"], "name": g["name"]} for g in s.work.groups.values()],
            "channels": channels, "views": stacks, "homes": homes,
            "sockets": [k.record() for k in sorted(s.sockets.all, key=lambda k: k.number)],
            "open_sockets": len(s.sockets.open)}


def acks(s, limit, user=None):
    rows = [env.record() for env in s.sockets.records if not user or env.who == user]
    return rows[-limit:]


def calls(s, limit, method=None):
    rows = [c for c in s.api.calls if not method or c["method"] == method]
    return {"calls": rows[-limit:],
            "counts": {m: {"calls": n, "errors": errors} for m, (n, errors) in s.api.counts.items()}}


def percentiles(values):
    if not values:
        return None
    rows = sorted(values)
    at = {p: rows[min(len(rows) - 1, int(len(rows) * p / 100))] for p in (50, 90, 95, 99)}
    out = {f"p{p}": round(v * 1000, 3) for p, v in at.items()}
    out.update(count=len(rows), max=round(rows[-1] * 1000, 3), mean=round(sum(rows) / len(rows) * 1000, 3))
    return out


def stats(s):
    return {"sockets": len(s.sockets.open), "envelopes": dict(s.sockets.count), "ack_ms": percentiles(s.sockets.latencies),
            "hooks": dict(s.hooks.count), "violations": s.violation_count,
            "messages": {"posted": s.store.posted, "changed": s.store.changed, "deleted": s.store.removed},
            "calls": {m: n for m, (n, _) in s.api.counts.items()}, "faults": s.faults.struck}


def forget(s):
    sockets = s.sockets
    sockets.records.clear()
    sockets.latencies.clear()
    sockets.known.clear()
    sockets.queue.clear()
    sockets.held = None
    for name in sockets.count:
        sockets.count[name] = 0


def checker(s, what, rules):
    maker = {"message": message, "view": view, "home": home, "sockets": sockets, "call": call, "ack": ack,
             "no_view": no_view}.get(what)
    if maker is None:
        raise ValueError(f"cannot wait for {what!r}")
    return maker(s, **rules)


def message(s, channel=None, contains=None, user=None, since=None, ephemeral=None, changed=None, gone=None,
            missing=None):
    """A message (newest first) whose JSON holds a text or all of a list of texts."""
    room = s.work.channel(channel) if channel else None
    if channel and room is None:
        raise ValueError(f"no such channel: {channel}")
    texts = [contains] if isinstance(contains, str) else contains or []

    def check():
        for cid in ([room.id] if room else list(s.store.channels)):
            for m in reversed(s.store.of(cid).values()):
                if since and m.ts <= since:
                    break
                if (m.deleted != bool(gone) or (user and m.only_for != user)
                        or (ephemeral is not None and bool(m.only_for) != ephemeral)
                        or (changed and not m.edits)):
                    continue
                text = json.dumps(m.body, ensure_ascii=False)
                if all(t in text for t in texts) and not (missing and missing in text):
                    return m.seen()
        return None
    return check


def view(s, user, callback_id=None, contains=None):
    def check():
        for v in reversed(s.views.stacks.get(user, [])):
            if (not callback_id or v["callback_id"] == callback_id) and \
                    (not contains or contains in json.dumps(v, ensure_ascii=False)):
                return v
        return None
    return check


def no_view(s, user):
    return lambda: user not in s.views.stacks


def home(s, user, contains=None):
    def check():
        v = s.views.homes.get(user)
        return v if v and (not contains or contains in json.dumps(v, ensure_ascii=False)) else None
    return check


def sockets(s, count=1, at_most=None, hello=None):
    """At least `count` usable sockets (or exactly up to at_most), after at least `hello` greetings in all."""
    def check():
        n = len(s.sockets.open)
        if n < count or (at_most is not None and n > at_most) or (hello and s.sockets.count["hello"] < hello):
            return None
        return {"open": n, "hello": s.sockets.count["hello"]}
    return check


def call(s, method, count=1, error=None):
    def check():
        n, errors = s.api.counts.get(method, (0, {}))
        seen = errors.get(error, 0) if error else n
        return {"calls": seen} if seen >= count else None
    return check


def ack(s, count=1, outcome=None, user=None):
    def check():
        rows = [e for e in s.sockets.records if e.over and (not outcome or e.outcome == outcome)
                and (not user or e.who == user)]
        return {"acks": len(rows), "last": rows[-1].record()} if len(rows) >= count else None
    return check

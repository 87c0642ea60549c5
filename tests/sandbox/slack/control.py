# SPDX-License-Identifier: Apache-2.0
"""The control API under /_/: what people do, faults, switches, and everything that was seen.

JSON in and out; `{"ok": false, "error": …}` with status 400 when the wish makes no sense. README.md in
this folder lists the calls."""

import json

from . import watch
from .burst import Burst
from .interact import NotPossible
from .raw import inject
from .values import NoSuchElement
from .wire import answer, json_answer

WAIT = 60.0


class Control:
    def __init__(self, standin):
        self.s = standin
        self.calls = {name[3:].replace("__", "-"): getattr(self, name) for name in dir(self)
                      if name.startswith("do_")}
        self.burst = None

    def handle(self, req, name):
        if name == "page-config.json":
            return json_answer(self.s.page_config)
        if name == "stream":
            req.conn.busy = True
            self.s.feed.attach(req.conn, req.args().get("user"))
            return None
        call = self.calls.get(name)
        if call is None:
            return json_answer({"ok": False, "error": f"no such control call: {name}"}, 404)
        try:
            args = req.args() if req.method == "GET" else req.json()
            if type(args) is not dict:
                raise ValueError("the body must be a JSON object")
            out = call(**args)
        except (NotPossible, NoSuchElement, ValueError, TypeError, KeyError, json.JSONDecodeError) as e:
            return json_answer({"ok": False, "error": f"{type(e).__name__}: {e}"}, 400)
        if hasattr(out, "__await__"):
            return self.later(out)
        return out if type(out) is bytes else json_answer({"ok": True, **(out or {})})

    @staticmethod
    async def later(out):
        try:
            return json_answer({"ok": True, **(await out)})
        except (NotPossible, NoSuchElement, ValueError, TypeError, KeyError) as e:
            return json_answer({"ok": False, "error": f"{type(e).__name__}: {e}"}, 400)

    # Acting as a person

    def send(self, env, wait=False):
        """Send an envelope; with wait, answer when it has been acknowledged or given up."""
        if wait:
            env.future = self.s.loop_future()
        self.s.sockets.send(env)
        return self.outcome(env) if wait else {"envelope_id": env.id}

    async def outcome(self, env):
        what = await env.future
        ms = None if env.acked is None else round((env.acked - env.sent) * 1000, 3)
        banner = env.kind == "submit" and (what != "acked" or "_banner" in (env.ack or {}))
        out = {"envelope_id": env.id, "outcome": what, "elapsed_ms": ms, "ack": env.ack}
        if env.kind == "submit":
            out["banner"] = "We had some trouble connecting. Try again?" if banner else None
            out["errors"] = (env.ack or {}).get("errors") if not banner else None
        return out

    def do_slash(self, user, channel="C0OPS", command="/ops", text="", wait=False, quiet=False, raw=False,
                 force=False, trigger_id=None):
        return self.send(self.s.people.slash(user, channel, command, text, raw, quiet, force, trigger_id), wait)

    def do_click(self, user, times=1, wait=False, same=False, **where):
        """Several people (a list) click on what each of them sees now, before the first click can change it."""
        everyone = user if isinstance(user, list) else [user]
        envs = [self.s.people.click(one, **where) for one in everyone for _ in range(max(1, min(int(times), 100)))]
        if same:
            for env in envs[1:]:
                env.payload["actions"] = envs[0].payload["actions"]
        for env in envs[1:]:
            self.s.sockets.send(env)
        return self.send(envs[0], wait)

    def do_submit(self, user, view_id="top", values=None, wait=True, times=1):
        env, errors = self.s.people.submit(user, view_id, values)
        if env is None:
            return {"outcome": "client_errors", "errors": errors, "banner": None, "elapsed_ms": None}
        for _ in range(int(times) - 1):
            self.s.sockets.send(env.again())
        return self.send(env, wait)

    def do_close(self, user, view_id="top", all=False, wait=False):
        env = self.s.people.close(user, view_id, all)
        return self.send(env, wait) if env else {"outcome": "no_notice"}

    def do_suggest(self, user, wait=True, **where):
        return self.send(self.s.people.suggest(user, **where), wait)

    def do_home(self, user, tab="home", wait=False):
        return self.send(self.s.people.home(user, tab), wait)

    def do_event(self, event, wait=False, event_id=None, **more):
        return self.send(self.s.people.event(event, event_id, **more), wait)

    def do_shortcut(self, user, callback_id, wait=False):
        return self.send(self.s.people.shortcut(user, callback_id), wait)

    def do_message_action(self, user, callback_id, channel, ts, wait=False):
        return self.send(self.s.people.message_action(user, callback_id, channel, ts), wait)

    def do_say(self, user, channel, text):
        return {"ts": self.s.people.say(user, channel, text).ts}

    # Faults, switches, sockets

    def do_fault(self, name, times=None, match=None, **params):
        if name == "api" and "method" in params:
            match = {**(match or {}), "method": params.pop("method")}
            if match["method"] == "*":
                del match["method"]
        if name in ("duplicate", "reorder", "swallow") and "type" in params:
            match = {**(match or {}), "type": params.pop("type")}
        return {"fault": self.s.faults.add(name, times, match, **params)}

    def do_clear(self, name=None):
        self.s.faults.clear(name)
        return {}

    def do_faults(self):
        return self.s.faults.state()

    def do_switch(self, **changes):
        self.s.switch.change(changes)
        return {"switches": self.s.switch.all()}

    def do_age(self, seconds):
        """Make time pass for triggers, response URLs, tickets and rate limits."""
        self.s.age += float(seconds)
        return {"age": self.s.age}

    def sockets(self, which):
        if which in (None, "all"):
            return list(self.s.sockets.open)
        return [k for k in self.s.sockets.all if k.number == int(which)]

    def do_refresh(self, kind="warning", socket="all", after=None, close=True, full=False):
        """A disconnect message; `after` seconds later the socket is closed."""
        reason = None if kind == "none" else kind
        chosen = self.sockets(socket)
        for sock in chosen:
            self.s.sockets.disconnect(sock, reason, after if close else 1e6, full)
        return {"sockets": len(chosen)}

    def do_socket(self, mode, socket="all", **params):
        """Spoil sockets that are open: mute, no_pong, no_ping, no_close_reply, fragment, dribble; or end them:
        abort (TCP reset), eof, close (code, reason), ping."""
        chosen = self.sockets(socket)
        for sock in chosen:
            if mode == "abort":
                sock.abort()
            elif mode == "eof":
                sock.transport.close()
            elif mode == "close":
                sock.close(params.get("code", 1000), params.get("reason", ""))
                self.s.sockets.leave(sock)
            elif mode == "ping":
                sock.ping(params.get("payload", "Ping").encode())
            else:
                self.s.sockets.spoil(sock, {"mode": mode, **params})
        return {"sockets": len(chosen)}

    def do_inject(self, kind, socket="all", **params):
        chosen = self.sockets(socket)
        for sock in chosen:
            inject(sock, kind, params)
        return {"sockets": len(chosen)}

    # People, channels, tokens

    def do_person(self, user, **changes):
        self.s.work.users[user].edit(changes)
        self.s.feed.publish({"type": "reload"})
        return {"user": self.s.work.users[user].api(True)}

    def do_channel(self, channel, join=None, kick=None, **changes):
        room = self.s.work.channels[channel]
        room.edit(changes)
        for uid in join or []:
            room.members[uid] = None
        for uid in kick or []:
            room.members.pop(uid, None)
        self.s.feed.publish({"type": "reload"})
        return {"channel": room.api(True)}

    def do_group(self, group, **changes):
        found = self.s.work.groups[group]
        for name, value in changes.items():
            if name not in found or name == "id":
                raise ValueError(f"unknown group field {name!r}")
            found[name] = value
        self.s.feed.publish({"type": "reload"})
        return {"group": found}

    def do_token(self, which="bot", state=None, add_scopes=(), remove_scopes=()):
        """state: null, or the error the token gives (token_revoked, account_inactive, token_expired …)."""
        for token in self.s.api.tokens.values():
            if token.kind == which:
                token.state = state
                token.scopes = [x for x in token.scopes if x not in remove_scopes]
                token.scopes += [x for x in add_scopes if x not in token.scopes]
                out = {"state": token.state, "scopes": token.scopes}
        self.s.api.heads.clear()
        return out

    def do_reset(self, keep_faults=False):
        self.s.fill()
        if not keep_faults:
            self.s.faults.clear()
        watch.forget(self.s)
        self.s.feed.publish({"type": "reload"})
        return {}

    # Looking

    def do_state(self, user=None, limit=200, deleted=False):
        return watch.state(self.s, user, int(limit), deleted in (True, "1", "true"))

    def do_messages(self, channel, user=None, limit=200, deleted=True):
        room = self.s.work.channel(channel)
        if room is None:
            raise ValueError(f"no such channel: {channel}")
        return {"messages": self.s.store.listing(room.id, user, int(limit), deleted in (True, "1", "true"))}

    def do_acks(self, limit=500, user=None):
        return {"acks": watch.acks(self.s, int(limit), user)}

    def do_calls(self, limit=500, method=None):
        return watch.calls(self.s, int(limit), method)

    def do_stats(self):
        return watch.stats(self.s)

    def do_violations(self, clear=False):
        out = {"count": self.s.violation_count, "violations": list(self.s.violations)}
        if clear in (True, "1", "true"):
            self.s.violations.clear()
            self.s.violation_count = 0
        return out

    def do_file(self, id):
        data = self.s.files[id]["data"]
        return answer(200, data or b"", "application/octet-stream")

    async def wait(self, check, timeout):
        found = await self.s.feed.until(check, min(float(timeout), 120.0))
        return {"found": found}

    def do_wait(self, what, timeout=WAIT, **rules):
        """Wait for a message, view, home, sockets, call or ack; `found` is null at the time limit."""
        return self.wait(watch.checker(self.s, what, rules), timeout)

    def do_burst(self, wait=True, **plan):
        """Send many slash commands from inside; see burst.py."""
        self.burst = Burst(self.s, **plan)
        run = self.burst.run()
        if wait:
            return run
        self.s.background(run)
        return {}

    def do_burst_state(self):
        return self.burst.result() if self.burst else {}

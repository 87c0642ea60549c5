# SPDX-License-Identifier: Apache-2.0
"""A world for many rounds: one database and one set of stand-ins, services that come and go, scripts of people."""

import contextlib
import json
import os
import time
from datetime import datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

from sandbox.slack.client import ControlError
from sandbox.slack.interact import NotPossible
from sandbox.slack.values import NoSuchElement
from sandbox.world import World, eventually, request_id, words

HERE = Path(__file__).resolve().parent
ANA, BEN, CHO, DIA, EVE = "U0ANA", "U0BEN", "U0CHO", "U0DIA", "U0EVE"
APPROVERS = (BEN, DIA, EVE)         # of what ANA asks for
AT_WORK = """
select count(*) as n from ops.request where state in ('received', 'allowed', 'running')
    or (state = 'confirming' and claimed_by is not null) or (state = 'scheduled' and wake_at <= clock_timestamp())"""
OWED = "select count(*) as n from ops.message where due_at is not null"
PREVIEWS = OWED + " and kind <> 'audit'"


class Stuck(Exception):
    """The service does not come to rest."""


class Town(World):
    def __init__(self, loop, postgres, **how):
        super().__init__(loop, postgres, catalog=HERE / "catalog", kube={"workloads": "instant"},
                         config={"grants": str(HERE / "grants.yaml"), "slack": {"connections": 1}}, **how)
        self.arming = self.folder / "armed"
        self.points = self.folder / "points"
        self.arm("")
        self.points.touch()
        self.turn = 0
        self.forgetful = False      # a service that has told somebody that nothing was recorded is killed
        self.impatient = False      # runs that lost an answer are left by their own service, too
        self.hurt = None            # what is done when a service has died or stands still
        self.chaos = None           # what happens by itself, whenever somebody looks
        self.foreign = []           # (when, "namespace/name") of what somebody else has set in the cluster
        self.missed = []            # what did not come about, though nothing was armed

    def fill_database(self):
        self.command("migrate")
        self.command("sync")
        self.command("grants", "apply", HERE / "grants.yaml")

    # The services

    def arm(self, text):
        """What shall happen at which point; another text counts afresh."""
        part = self.folder / "armed.part"
        part.write_text(text, encoding="utf-8")
        part.rename(self.arming)

    def serve(self, armed=True):
        env = {"OPSD_FP": f"@{self.arming}", "OPSD_FP_LOG": str(self.points)} if armed else {}
        opsd = self.start(**env)
        self.running[-1].armed = armed
        return opsd

    def reached(self, since=0):
        """The names of the points since then, as name:times."""
        with open(self.points, encoding="utf-8") as f:
            f.seek(since)
            return f.read().splitlines()

    def mark(self):
        return self.points.stat().st_size

    @staticmethod
    def stopped(opsd):
        with contextlib.suppress(OSError):
            return Path(f"/proc/{opsd.pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[0] == "T"
        return False

    def look(self):
        """Bury the dead; then the harness's own deed."""
        if self.chaos:
            self.chaos.happen()
        if self.forgetful:
            self.forget()
        dead = [o for o in self.running if not o.alive()]
        for opsd in dead:
            opsd.expected = -9
            opsd.wait()
            self.gone(opsd)
        still = [o for o in self.running if self.stopped(o)]
        if self.hurt and (dead or still):
            self.hurt(dead, still)

    def forget(self):
        for opsd in self.running:
            if opsd.alive() and opsd.logs("not recorded"):
                time.sleep(0.05)        # its answer is on its way
                opsd.kill()

    def boots(self, *except_):
        return [o.logs("serving")[0]["boot"] for o in self.running if o not in except_ and o.logs("serving")]

    def leases_end(self, *except_):
        """Of those that are gone, or stand still: their time is up."""
        alive = "{" + ",".join(self.boots(*except_)) + "}"
        self.sql("update ops.request set wake_at = clock_timestamp() where wake_at > clock_timestamp() and state <> 'unknown' "
                 "and claimed_by is not null and not claimed_by = any ($1::uuid[])", alive)
        self.sql("update ops.message set due_at = clock_timestamp() where due_at > clock_timestamp() "
                 "and (claimed_by is null or not claimed_by = any ($1::uuid[]))", alive)

    def rest(self, seconds=90, owed=OWED):
        """Until nothing is under way any more and nothing of that kind is owed; what waits for people may wait."""
        begun, told, calm = time.monotonic(), time.monotonic(), 0
        while True:
            self.look()
            calm = calm + 1 if int(self.db.value(AT_WORK)) + int(self.db.value(owed)) == 0 else 0
            if calm >= 2 and not any(self.stopped(o) for o in self.running):
                return
            now = time.monotonic()
            if now - told > 0.6:        # a dead one's leases
                # a minute is longer than disown takes: it is the first to come back to the database
                late = self.impatient and now - begun > 2.5
                self.leases_end(*[o for o in self.running if late or self.stopped(o)])
                told = now
            if now - begun > seconds:
                open_ = self.sql("select id, state, text, claimed_by, attempts, wake_at from ops.request where state < 'unknown'")
                owed = self.sql("select id, kind, request_id, attempts, due_at, last_error from ops.message where due_at is not null")
                raise Stuck(f"not at rest after {seconds} s: {open_} {owed}")
            time.sleep(0.02)

    def give_up(self):
        """A minute has passed: Slack waits for no acknowledgement any more."""
        async def over():
            for env in list(self.standin.sockets.pending.values()):
                if not env.over:
                    env.finish("operation_timeout")
        self.loop.run(over())

    def late_answers(self):
        """How often people were told that nothing was recorded, which a service says by right when its machine stood still."""
        acks = [e.ack for e in list(self.standin.sockets.known.values()) if e.acked is not None and e.ack]
        posts = [m.body for m in list(self.standin.store.of("C0OPS").values())]
        return sum("othing was recorded" in words(said) for said in acks + posts)

    # People

    def send(self, call, **how):
        """An envelope; not waited for."""
        return self.slack.call(call, **how)["envelope_id"]

    def envelope(self, eid):
        sockets = self.standin.sockets
        return sockets.pending.get(eid) or sockets.known.get(eid)

    def heard(self, *eids, seconds=30):
        """Until each was acknowledged or given up, or its service is gone; which were acknowledged."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            envs = [self.envelope(e) for e in eids]
            if all(e is None or e.acked is not None or e.over for e in envs):
                break
            if self.down():
                time.sleep(0.02)
                break
            time.sleep(0.003)
        return [e for e in eids if self.envelope(e) is not None and self.envelope(e).acked is not None]

    def down(self):
        return any(not o.alive() or self.stopped(o) for o in self.running)

    def type(self, user, text):
        eid = self.send("slash", user=user, channel="C0OPS", text=text)
        self.sent.append(eid)
        return eid

    def row_of(self, step):
        rows = self.sql("select * from ops.request where text like '%reason=' || $1", f"{self.name}.{step}")
        return rows[0] if rows else None

    def shown(self, rid, action):
        """The newest message to ANA that speaks of the request and has this button."""
        for message in reversed(self.seen(ANA)):
            blob = json.dumps(message)
            if f'"action_id": "{action}"' in blob and rid in blob:
                return message
        return None

    def press(self, rid, action, times=1, tries=3):
        """As a person would: again, when Slack shows an error."""
        for _ in range(tries):
            self.look()
            message = self.shown(rid, action)
            row = self.request(rid)
            if message is None or row["state"] != "confirming":
                return
            if self.heard(self.send("click", user=ANA, channel=message["channel"], ts=message["ts"],
                                    action_id=action, times=times)):
                return
            self.rest()

    def card(self, rid, action):
        """The newest card of the request that has this button."""
        for message in reversed(self.slack.messages(channel="C0APPROVE")["messages"]):
            blob = json.dumps(message)
            if f'"action_id": "{action}"' in blob and rid in blob and not message.get("deleted") and not message.get("ephemeral_for"):
                return message
        return None

    def click_card(self, user, message, action, digest=None, times=1):
        """Clicks on a card as it is, or as one that showed the plan of that digest; the envelopes, not waited for."""
        async def click():
            out = []
            for _ in range(times):
                try:
                    env = self.standin.people.click(user, channel=message["channel"], ts=message["ts"], action_id=action)
                except (NotPossible, NoSuchElement):
                    break           # it was drawn anew meanwhile
                if digest:
                    button = env.payload["actions"][0]
                    button["value"] = button["value"].partition(" ")[0] + " " + digest
                self.standin.sockets.send(env)
                out.append(env.id)
            return out
        return self.loop.run(click())

    def vote(self, step, user, action="approve", digest=None, times=1, tries=3):
        """As a person would: again, when Slack shows an error.  Whether it was heard."""
        for _ in range(tries):
            self.look()
            row = self.row_of(step)
            message = row and row["state"] == "approving" and self.card(row["id"], "approve")
            if not message:
                return False
            if self.heard(*self.click_card(user, message, action, digest, times)):
                return True
            self.rest()
        return False

    def deny(self, step, user):
        if not self.vote(step, user, "deny"):
            return

        async def submit():
            try:
                env, _ = self.standin.people.submit(user, values={"reason": "not tonight"})
            except NotPossible:     # the form was not opened, or its answer has closed it
                return None
            self.standin.sockets.send(env)
            return env.id
        for _ in range(3):
            with contextlib.suppress(AssertionError):
                eventually(lambda: self.standin.views.stacks.get(user) or self.down(), 5, "the form")
            eid = self.loop.run(submit())
            if eid is None or self.heard(eid):
                return
            self.rest()

    def begin(self):
        self.turn += 1
        self.name = f"t{os.getpid()}x{self.turn}"
        self.sent = []
        self.foreign, self.missed = [], []
        return 2 + self.turn % 40

    def end(self, seconds=90):
        """Nobody presses any more; all comes to its end."""
        self.make_time_pass(requests=False, messages=False, offers=True)
        if self.sql("select 1 from ops.request where state = 'confirming'"):
            eventually(lambda: self.look() or not self.sql("select 1 from ops.request where state = 'confirming'"), 60,
                       "offers to expire")
        for row in self.sql("select id from ops.request where state = 'approving'"):
            self.approval_time(row["id"], 24)
        if self.sql("select 1 from ops.request where state = 'approving'"):
            eventually(lambda: self.look() or not self.sql("select 1 from ops.request where state = 'approving'"), 60,
                       "rounds to expire")
        # what is followed for minutes still may have something to say after the last look at what is owed
        self.sql("update ops.follow set ended = 'left', wake_at = null, claimed_by = null, fence = fence + 1 where wake_at is not null")
        self.rest(seconds)

    def approvals(self):
        """A round of requests that two people must approve: votes of all kinds, and plans that change meanwhile."""
        n = self.begin()
        where = {"yes": "ns=web name=workers-prod", "moved": "ns=ads name=workers-dev", "no": "ns=ads name=workers-prod",
                 "late": "ns=ads name=workers-prod", "back": "ns=ads name=workers-prod"}
        for steps in (("yes", "moved"), ("no", "late", "back")):
            self.heard(*[self.type(ANA, f"kill gate {where[s]} count={n} reason={self.name}.{s}") for s in steps])
            self.look()
        self.rest(owed=PREVIEWS)
        for user, times in ((ANA, 1), (CHO, 1), (DIA, 2), (EVE, 1), (BEN, 1)):
            self.vote("yes", user, times=times)
        self.vote("moved", DIA)
        seen = self.row_of("moved")
        self.kube.set(kind="Deployment", ns="ads", name="workers-dev", replicas=n + 3)
        self.vote("moved", EVE)
        self.deny_some()
        self.rest(owed=PREVIEWS)
        if seen:
            self.vote("moved", BEN, digest=seen["digest"])      # an old card
        self.vote("moved", EVE)
        self.vote("moved", BEN)
        late = self.row_of("late")
        if late and late["state"] == "approving":
            self.approval_time(late["id"], 2)           # more people are named
            self.rest(owed=PREVIEWS)
            self.sql("update ops.approval set expires_at = clock_timestamp() where request_id = $1", late["id"])
            self.vote("late", EVE)
        self.rest(owed=PREVIEWS)
        self.end()

    def deny_some(self):
        self.vote("no", BEN)
        self.deny("no", EVE)
        self.vote("back", DIA)
        self.vote("back", ANA, "withdraw")
        self.vote("late", DIA)

    # What is temporary, and what waits for its time

    def set_by_another(self, ns, name, replicas):
        self.kube.set(kind="Deployment", ns=ns, name=name, replicas=replicas)
        self.foreign.append((time.time(), f"{ns}/{name}"))

    def revert_of(self, row):
        rows = row and self.sql("select * from ops.request where undoes = $1 and kind = 'revert'", row["id"])
        return rows[0] if rows else None

    def its_time(self, *rows):
        """Of what waits in the state scheduled; done when it is at rest again."""
        for row in filter(None, rows):
            self.sql("update ops.request set starts_at = least(starts_at, clock_timestamp()), wake_at = clock_timestamp() "
                     "where id = $1 and state = 'scheduled'", row["id"])
        self.rest(owed=PREVIEWS)

    def direct(self):
        """Messages to ANA alone; none before the first."""
        try:
            return self.seen(ANA, "D00ANA")
        except ControlError:
            return []

    def steer(self, row, action, *while_, times=2):
        """Buttons of a temporary change, in the channel or in the question about its end; again after an error, as a person."""
        for _ in range(3):
            self.look()
            revert = self.revert_of(row)
            if not revert or revert["state"] not in while_ or revert["claimed_by"]:
                return
            message = next((m for m in reversed(self.direct() + self.seen(ANA)) if f'"action_id": "{action}"' in json.dumps(m)
                            and (revert if "confirming" in while_ else row)["id"] in json.dumps(m)), None)
            if message and self.heard(*self.click_card(ANA, message, action, times=times)):
                self.rest(owed=PREVIEWS)
                return
            self.rest()

    def frozen(self, what, deed):
        self.sql("select ops.freeze_by_login($1::jsonb, 'the harness', 3600)", json.dumps(what))
        deed()
        self.sql("select ops.unfreeze_by_login(null, 'the harness')")

    def call_off(self, row):
        """Cancel of what waits for its time, as a person would: again, when Slack shows an error."""
        for _ in range(3):
            self.look()
            message = row and self.request(row["id"])["state"] == "scheduled" and self.shown(row["id"], "stop")
            if not message or self.heard(*self.click_card(ANA, message, "stop", times=2)):
                break
            self.rest(owed=PREVIEWS)
        self.rest(owed=PREVIEWS)

    def later(self):
        """Temporary changes that are set back, put off by a freeze, kept and ended by hand; one that waits for its time, and
        its undo; then those of later_still."""
        n = self.begin()
        for ns, name in (("ads", "workers-dev"), ("web", "workers-dev"), ("web", "workers-prod")):
            self.set_by_another(ns, name, 50)
        at = (datetime.now(ZoneInfo("Europe/Amsterdam")) + timedelta(hours=2)).strftime("%Y-%m-%dT%H:%M")
        self.heard(self.type(ANA, f"kill nudge count={n} for=2h reason={self.name}.back"),
                   self.type(ANA, f"kill scale name=workers-dev count={n} for=2h reason={self.name}.other"),
                   self.type(ANA, f"kill set value=l{self.turn} for=2h reason={self.name}.now"),
                   self.type(ANA, f"kill scale name=workers-prod count={n} at={at} reason={self.name}.sched"))
        self.rest(owed=PREVIEWS)
        for step in ("other", "sched", "back", "now"):      # the last two: only a take-over asks
            row = self.row_of(step)
            if row:
                self.press(row["id"], "confirm", times=2)
        self.rest(owed=PREVIEWS)
        back, other, now, sched = map(self.row_of, ("back", "other", "now", "sched"))
        self.steer(back, "extend", "scheduled")
        self.frozen({"namespace": "ads"}, lambda: self.its_time(self.revert_of(back)))
        self.set_by_another("web", "workers-dev", 49)
        self.its_time(self.revert_of(back), self.revert_of(other), sched)
        self.steer(other, "keep", "confirming")
        self.steer(now, "back", "scheduled")
        if sched:
            self.undo(sched)
        forced, kept, stopped = self.later_still(n, at)
        self.leave_nothing_waiting()
        self.end()
        self.came(back, other, now, sched)
        self.came_still(forced, kept, stopped)

    def later_still(self, n, at):
        """One that is set back although somebody else has changed its value, one kept before its time, one cancelled."""
        self.heard(self.type(ANA, f"kill scale name=workers-dev count={n} for=2h reason={self.name}.forced"),
                   self.type(ANA, f"kill nudge count={n} for=2h reason={self.name}.kept"),
                   self.type(ANA, f"kill scale name=workers-prod count={n + 1} at={at} reason={self.name}.stopped"))
        self.rest(owed=PREVIEWS)
        for step in ("forced", "stopped", "kept"):          # the last: only a take-over asks
            row = self.row_of(step)
            if row:
                self.press(row["id"], "confirm", times=2)
        self.rest(owed=PREVIEWS)
        forced, kept, stopped = map(self.row_of, ("forced", "kept", "stopped"))
        self.steer(kept, "keep", "scheduled")
        self.call_off(stopped)
        self.set_by_another("web", "workers-dev", 48)
        self.its_time(self.revert_of(forced))
        self.steer(forced, "back", "confirming")
        return forced, kept, stopped

    def undo(self, row):
        """Said twice at once."""
        self.heard(*[self.send("slash", user=ANA, channel="C0OPS", text=f"undo {row['id']}") for _ in range(2)])
        self.rest(owed=PREVIEWS)
        for undo in self.sql("select id from ops.request where undoes = $1 and kind = 'undo'", row["id"]):
            self.press(undo["id"], "confirm", times=2)
        self.rest(owed=PREVIEWS)

    def leave_nothing_waiting(self):
        for _ in range(3):
            waiting = self.sql("select id from ops.request where state = 'scheduled'")
            if not waiting:
                break
            self.its_time(*waiting)

    def events(self, row):
        return [r["event"].removeprefix("request.") for r in self.audit_rows(request=row["id"])
                if r["event"].startswith("request.") and r["event"] != "request.received"] if row else None

    def came_still(self, forced, kept, stopped):
        want = {
            "set back all the same": (self.revert_of(forced), ["scheduled", "due", "offered", "confirmed", "started", "succeeded"]),
            "kept before its time": (self.revert_of(kept), ["scheduled", "cancelled"]),
            "cancelled": (stopped, ["allowed", "offered", "confirmed", "scheduled", "cancelled"])}
        self.missed += [f"{what}: {self.events(row)}" for what, (row, log) in want.items() if self.events(row) != log]

    def came(self, back, other, now, sched):
        """What must have come about when nobody disturbs it, as the audit log has it."""
        want = {
            "set back": (self.revert_of(back), ["scheduled", "extended", "due", "postponed", "due", "started", "succeeded"]),
            "kept": (self.revert_of(other), ["scheduled", "due", "offered", "cancelled"]),
            "set back now": (self.revert_of(now), ["scheduled", "due", "started", "succeeded"]),
            "scheduled": (sched, ["allowed", "offered", "confirmed", "scheduled", "due", "started", "succeeded"])}
        self.missed = [f"{what}: {self.events(row)}" for what, (row, log) in want.items() if self.events(row) != log]
        undone = self.sql("select state::text from ops.request where kind = 'undo' and undoes = $1 and exists ("
                          "select 1 from ops.step s where s.request_id = id)", sched["id"]) if sched else []
        if len(undone) != 1:
            self.missed.append(f"undo: {undone}")

    def commands(self):
        """A round of changes with and without a preview, reads and refusals."""
        n = self.begin()
        say = self.type
        eids = [say(ANA, f"kill once reason={self.name}.once")]
        self.slack.fault(name="duplicate", times=1, same_id=False, match={"type": "slash_commands"})
        eids.append(say(ANA, f"kill nudge count={n} reason={self.name}.nudge"))
        self.heard(*eids)
        self.look()
        self.slack.fault(name="duplicate", times=1, same_id=True, match={"type": "slash_commands"})
        eids = [say(ANA, f"kill keyed reason={self.name}.keyed"), say(ANA, f"kill safe reason={self.name}.safe")]
        self.heard(*eids)
        self.look()
        eids = [say(ANA, f"kill scale name=workers-dev count={n} reason={self.name}.yes"),
                say(ANA, f"kill scale name=workers-prod count={n} reason={self.name}.no"),
                say(ANA, f"kill scale name=workers-prod count={n + 1} reason={self.name}.late"),
                say(ANA, f"kill set value=v{self.turn} reason={self.name}.set")]
        self.heard(*eids)
        self.look()
        eids = [say(CHO, f"kill nudge count={n} reason={self.name}.denied"),
                say(ANA, f"kill nudge count=99 reason={self.name}.rejected"),
                say(ANA, f"kill list reason={self.name}.list")]
        self.heard(*eids)
        self.rest(owed=PREVIEWS)
        self.slack.clear()
        yes, no, listed = self.row_of("yes"), self.row_of("no"), self.row_of("list")
        if yes:
            self.press(yes["id"], "confirm", times=2)
        if no:
            self.press(no["id"], "cancel")
        # those that only a take-over asks about
        for step, action in (("once", "confirm"), ("nudge", "cancel"), ("keyed", "confirm")):
            row = self.row_of(step)
            if row and row["state"] == "confirming":
                self.press(row["id"], action)
        if listed:
            message = self.shown("", "page")
            if message:
                eid = self.send("click", user=ANA, channel=message["channel"], ts=message["ts"], action_id="page")
                self.sent.append(eid)
                self.heard(eid)
        self.rest(owed=PREVIEWS)
        self.end()

    def tidy(self):
        """Nothing of this round is left open for the next."""
        for row in self.sql("select id from ops.request where state = 'unknown'"):
            self.sql("select ops.resolve($1, 'failed', 'the harness looked')", row["id"])
        self.rest()
        self.slack.clear()
        self.kube.clear()


__all__ = ["Stuck", "Town", "request_id", "words"]

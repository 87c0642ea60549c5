# SPDX-License-Identifier: Apache-2.0
"""Slack at its most repetitive: thousands of deliveries that came before, and of clicks on buttons that were pressed.

OPSD_REDELIVERIES says how many, OPSD_TEST_SEED repeats a run. What must hold is what the kill harness looks at."""

import asyncio
import os
import random
import signal
from collections import Counter

import pytest

from kill import invariants
from kill.town import ANA, BEN, CHO, DIA, EVE, Town
from sandbox.slack.interact import NotPossible
from sandbox.slack.values import NoSuchElement
from sandbox.world import eventually, words

MANY = int(os.environ.get("OPSD_REDELIVERIES", "10000"))
SECONDS = max(300, MANY // 20)
UNDER_WAY = 60          # deliveries that nobody has acknowledged yet
KEPT_OUT_SECONDS = 5
ENDED = "('succeeded', 'failed', 'denied', 'rejected', 'expired', 'cancelled')"


class Storm:
    """What Slack sends: each intent once, and all of it again and again."""

    def __init__(self, town, rng):
        self.town, self.rng, self.slack = town, rng, town.standin
        self.sent, self.first, self.by_id, self.clicks = [], [], {}, 0

    def put(self, env, first=False):
        self.sent.append(env)
        if first:
            self.first.append(env)
        self.by_id[env.id] = env
        self.slack.sockets.send(env)

    def intents(self):
        n = 0
        for i in range(12):
            for what in ("nudge count={n}", "keyed", "once", "safe", "set value=v{n}", "scale name=workers-dev count={n}",
                         "gate ns=web name=workers-prod count={n}", "list", "nudge count=99"):
                n += 1
                text = f"kill {what.format(n=1 + n % 50)} reason=storm.{n}"
                yield lambda text=text: self.slack.people.slash(ANA, "C0OPS", "/ops", text)

    def buttons(self):
        """Everything that somebody could press now."""
        for channel, users in (("C0OPS", [ANA]), ("C0APPROVE", [ANA, BEN, CHO, DIA, EVE])):
            for m in list(self.slack.store.of(channel).values())[-200:]:
                if m.deleted:
                    continue
                for block in m.body.get("blocks") or []:
                    for element in block.get("elements") or []:
                        if element.get("action_id") in ("confirm", "cancel", "approve", "withdraw"):
                            yield m.only_for or self.rng.choice(users), channel, m.ts, element["action_id"]

    def press(self):
        """A click: on a button that is there, or once more what was pressed before, as from a copy of the message."""
        there = list(self.buttons())
        if there and self.rng.random() < 0.7:
            user, channel, ts, action = self.rng.choice(there)
            try:
                return self.slack.people.click(user, channel=channel, ts=ts, action_id=action)
            except (NotPossible, NoSuchElement):
                pass
        pressed = [e for e in self.sent if e.kind == "click"]
        if not pressed:
            return None
        self.clicks += 1
        env = self.rng.choice(pressed).again()
        action = dict(env.payload["actions"][0], action_ts=f"{1700000000 + self.clicks}.000001")
        env.payload = {**env.payload, "actions": [action]}
        return env

    async def run(self, many):
        waiting = list(self.intents())
        for i in range(many):
            while self.slack.sockets.count["sent"] - self.slack.sockets.count["acked"] > UNDER_WAY:
                await asyncio.sleep(0.002)
            chance = self.rng.random()
            if waiting and (i % 7 == 0 or not self.sent):
                self.put(waiting.pop()(), first=True)
            elif chance < 0.4:
                await self.same()
            elif chance < 0.75:
                self.put(self.old(self.sent).again())
            else:
                env = self.press()
                if env:
                    self.put(env)
        assert not waiting

    def old(self, envelopes):
        """One that was answered: Slack brings nothing again while it waits."""
        tries = (self.rng.choice(envelopes) for _ in range(20))
        return next((e for e in tries if self.over(e)), self.first[0])

    def over(self, env):
        """Answered; and what was answered with a refusal is kept out by now: see docs/invariants.md on the same delivery
        at two replicas."""
        return env.acked is not None and ("othing was recorded" not in words(env.ack)
                                          or self.slack.sockets.now() - env.acked > KEPT_OUT_SECONDS)

    def unanswered(self):
        return [(e.record(), e.sock and e.sock.record()) for e in self.sent if e.acked is None]

    async def same(self):
        """The same envelope, id and all, on any socket."""
        sock = self.slack.sockets.pick()
        if sock and self.first[0].acked is not None:
            sock.send_text(self.old(self.sent[-500:]).text())
        await asyncio.sleep(0)


@pytest.fixture
def long(time_limit):
    signal.alarm(2 * SECONDS)


def test_thousands_of_redeliveries_and_double_clicks(loop, postgres, long):
    seed = os.environ.get("OPSD_TEST_SEED") or str(random.SystemRandom().randrange(10 ** 6))
    print("seed", seed)
    with Town(loop, postgres, violations=True) as town:
        town.start(2)
        since, town.began = town.db.value("select clock_timestamp()"), 0
        storm = Storm(town, random.Random(seed))
        loop.run(storm.run(MANY), SECONDS)
        try:
            eventually(lambda: not storm.unanswered(), what="every delivery to be acknowledged")
        except AssertionError as e:
            tails = "\n-- \n".join(o.tail() for o in town.running)
            sockets = town.standin.sockets
            state = [storm.unanswered()[:5], dict(sockets.count), [k.record() for k in sockets.all], town.slack.violations()]
            raise AssertionError(f"{e}: {state}\n{tails}") from None
        town.end(120)           # one post a second and channel
        assert not town.sql(f"select id, state from ops.request where state not in {ENDED} and state <> 'unknown'")
        town.envelope = storm.by_id.get
        problems = invariants.check(town, since, [e.id for e in storm.first])
        assert not problems, "\n".join(problems[:20]) + f"\n{Counter(p.partition(':')[0] for p in problems)}"
        # a response_url that came again with its click was used before
        against = [v["what"] for v in town.slack.violations()["violations"]]
        assert set(against) <= {"response_url: used too often"}, against
        asked = town.db.value("select count(*) from ops.request where text like 'kill %'")
        effects = list(invariants.effects(town))
        # a database that is too busy takes one in too late, and its person knows: from the replica whose try that was,
        # or from the other one, which found it disowned
        refused = [e for e in storm.first if any(x in words(e.ack) for x in ("Nothing was recorded", "Nothing comes of this"))]
        assert int(asked) <= 108 <= int(asked) + len(refused) and len(effects) > 20
        assert len({(rid, what) for rid, what, _, _ in effects}) == len(effects)
        print(f"{len(storm.sent)} deliveries of {asked} intents, {len(effects)} effects, seed {seed}")

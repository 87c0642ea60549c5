# SPDX-License-Identifier: Apache-2.0
"""A company: people, groups, who is in which. Small ones by hand, large ones by a seed.

    company.py --people 100000 --groups 10000 --memberships 1000000 FILE.csv"""

import argparse
import hashlib
import random
import sys
from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class Person:
    id: str
    email: str
    name: str
    aliases: list = field(default_factory=list)
    state: str = "active"       # active, suspended, gone
    guest: bool = False
    logins: list = field(default_factory=list)      # sign-in names besides that of the address


@dataclass
class Group:
    id: str
    name: str
    members: list = field(default_factory=list)     # ids of people
    groups: list = field(default_factory=list)      # ids of groups inside
    outside: list = field(default_factory=list)     # ids of people that are not the company's
    posix: bool = False     # in LDAP: members by their sign-in names, no groups inside


class Company:
    def __init__(self):
        self.people, self.groups = {}, {}

    @classmethod
    def small(cls):
        """12 people, 4 groups, one inside another."""
        it = cls()
        for n, name in enumerate(("ana", "ben", "cho", "dia", "eve", "fay", "gus", "hal", "ivy", "jon", "kim", "lea")):
            it.hire(f"{100000000000000000001 + n}", f"{name}@example.com", name.title())
        ids = list(it.people)
        it.group("g-sre", "sre@example.com", ids[:6])
        it.group("g-ads", "ads@example.com", ids[4:8])
        it.group("g-web", "web@example.com", ids[8:], ["g-ads"])
        it.group("g-all", "all@example.com", ids)
        return it

    @classmethod
    def large(cls, people, groups, memberships, seed=7, circles=5):
        """Group sizes as companies have them: many small, few huge; a third of the groups nested, some in circles."""
        rng, it = random.Random(seed), cls()
        for n in range(people):
            it.hire(f"u{n:07d}", f"p{n:07d}@example.com", f"Person {n}")
        ids, left = list(it.people), memberships
        for n in range(groups):
            even = left / (groups - n)
            size = min(people, left, max(1, int(rng.expovariate(1 / even)))) if n < groups - 1 else min(people, left)
            left -= size
            it.group(f"g{n:06d}", f"team-{n:06d}", rng.sample(ids, size))
        names = list(it.groups)
        for n in range(groups * 3 // 10):
            # a group contains later ones only: no circle
            it.groups[names[n]].groups.append(names[rng.randrange(n + 1, groups)])
        for n in range(min(circles, groups // 4)):
            a, b = names[-1 - 2 * n], names[-2 - 2 * n]
            it.groups[a].groups.append(b)
            it.groups[b].groups.append(a)
        return it

    def hire(self, id_, email, name, **more):
        self.people[id_] = Person(id_, email, name, **more)
        return self.people[id_]

    def group(self, id_, name, members=(), groups=()):
        self.groups[id_] = Group(id_, name, list(members), list(groups))
        return self.groups[id_]

    def who(self, name):
        """By the part before the @."""
        return next(p for p in self.people.values() if p.email.partition("@")[0] == name)

    def leave(self, name):
        """Gone without a word: no longer listed, nor in any group."""
        person = self.who(name)
        del self.people[person.id]
        for group in self.groups.values():
            group.members = [m for m in group.members if m != person.id]
        return person

    @property
    def memberships(self):
        return sum(len(g.members) for g in self.groups.values())

    def csv(self, generated_at="2026-11-25T05:00:00Z"):
        """The snapshot as a file source reads it."""
        def quoted(text):
            return '"' + text.replace('"', '""') + '"' if set(text) & set('",\r\n') else text
        lines = [f"dirsnap/1,{generated_at},,,,"]
        lines += [f"person,{p.id},{quoted(p.email)},{quoted(p.name)},{p.state},{'guest' if p.guest else 'human'}"
                  for p in self.people.values()]
        lines += [f"alias,{p.id},{quoted(a)},,," for p in self.people.values() for a in p.aliases]
        lines += [f"group,{g.id},{g.name},,," for g in self.groups.values()]
        lines += [f"member,{g.id},{m},,," for g in self.groups.values() for m in g.members]
        lines += [f"nested,{g.id},{c},,," for g in self.groups.values() for c in g.groups]
        body = "\n".join(lines) + "\n"
        digest = hashlib.sha256(body.encode()).hexdigest()
        return f"{body}end,{len(self.people)},{len(self.groups)},{self.memberships},{digest},\n"

    def document(self, generated_at="2026-11-25T05:00:00Z"):
        """The same as an object, for JSON and YAML."""
        return {
            "format": "dirsnap/1", "generated_at": generated_at,
            "people": [{"id": p.id, "email": p.email, "name": p.name, "aliases": p.aliases, "state": p.state,
                        "kind": "guest" if p.guest else "human"} for p in self.people.values()],
            "groups": [{"id": g.id, "name": g.name, "members": g.members, "groups": g.groups}
                       for g in self.groups.values()],
            "counts": {"people": len(self.people), "groups": len(self.groups), "members": self.memberships}}


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--people", type=int, default=1000)
    parser.add_argument("--groups", type=int, default=100)
    parser.add_argument("--memberships", type=int, default=10000)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("file", type=Path)
    o = parser.parse_args()
    o.file.write_text(Company.large(o.people, o.groups, o.memberships, o.seed).csv(), encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())

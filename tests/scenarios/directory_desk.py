# SPDX-License-Identifier: Apache-2.0
"""`opsd sync` from a source into a database of its own, without the service."""

import json
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import yaml

from sandbox.world import LEAKS, binary

PEOPLE = """select p.external_id as id, p.state, p.kind, coalesce(string_agg(e.email_key || case when e.is_primary
    then '' else '*' end, ' ' order by not e.is_primary, e.email_key), '') as mail
    from dir.person p left join dir.person_email e using (person_id) group by p.person_id"""
MEMBERS = """select g.name_key || ' ' || p.external_id || case when m.direct then '' else '*' end as m
    from dir.membership m join dir.person p using (person_id) join dir.grp g using (group_id)"""


class Desk:
    """One source named `company`; `settings` are its own. Close it."""

    def __init__(self, postgres, settings, template=None):
        self.postgres = postgres
        self.folder = Path(tempfile.mkdtemp(prefix="opsd-desk-"))
        self.config = self.folder / "opsd.yaml"
        self.database = postgres.create(**({"template": template} if template else {}))
        self.db = postgres.session(self.database)
        self.write(settings)

    def write(self, settings=None, **changes):
        self.settings = {**(settings or self.settings), **changes}
        self.config.write_text(yaml.safe_dump({
            "slack": {"app_token": {"env": "TOKEN"}, "bot_token": {"env": "TOKEN"}, "audit_channel": "C0AUDIT"},
            "database": {"url": {"env": "DATABASE_URL"}, "owner_url": {"env": "DATABASE_OWNER_URL"},
                         "sync_url": {"env": "DATABASE_SYNC_URL"}, "grants_url": {"env": "DATABASE_GRANTS_URL"}},
            "directory": {"sources": {"company": self.settings}}}), encoding="utf-8")

    def close(self):
        self.db.close()
        self.postgres.drop(self.database)
        shutil.rmtree(self.folder, ignore_errors=True)

    def opsd(self, *args, status=0, timeout=120):
        env = {k: v for k, v in os.environ.items() if not k.startswith(("PG", "DATABASE_"))}
        env.setdefault("LSAN_OPTIONS", f"suppressions={LEAKS}:print_suppressions=0")
        env.update(TOKEN="xoxb-none", **{name: self.postgres.url(self.database, user) for name, user in (
            ("DATABASE_URL", "opsd_app"), ("DATABASE_OWNER_URL", "owner"), ("DATABASE_SYNC_URL", "opsd_cron"),
            ("DATABASE_GRANTS_URL", "opsd_review"))})
        done = subprocess.run([binary(), "--config", self.config, *map(str, args)], capture_output=True, text=True,
                              timeout=timeout, check=False, env=env, cwd=self.folder, stdin=subprocess.DEVNULL)
        done.said = done.stdout + done.stderr
        assert status is None or done.returncode == status, f"opsd {args} ended with {done.returncode}:\n{done.said}"
        return done

    def sync(self, *args, status=0):
        return self.opsd("sync", *args, status=status).said

    def plan(self, status=2):
        """`sync --plan` as JSON."""
        return json.loads(self.opsd("--json", "sync", "--plan", status=status).stdout)["plan"]

    # What is in the copy

    def people(self):
        return {r["id"]: (r["state"], r["kind"], r["mail"]) for r in self.db.rows(PEOPLE)}

    def members(self):
        return {r["m"] for r in self.db.rows(MEMBERS)}

    def copy(self):
        """All that a decision reads."""
        return self.people(), self.members(), self.db.rows("select external_id, name_key, state from dir.grp order by 1")

    def run(self):
        return self.db.rows("select * from dir.sync_run order by run_id desc limit 1")[0]

    def age_moved(self):
        """Does the copy count as fresh as the last run?"""
        return self.db.value("select s.fetch_started_at = r.fetch_started_at from dir.source s, dir.sync_run r "
                             "order by r.run_id desc limit 1") == "t"

    def told(self):
        return [r["event"] for r in self.db.rows("select body ->> 'event' as event from ops.message order by id")]

    # Grants make a group one in use

    def use(self, group):
        self.db.run(f"""insert into authz.action (name, risk) values ('workers.status', 0) on conflict do nothing;
            insert into authz.revision values (1, 'c', '{{x}}', 'x', now(), '\\x01') on conflict do nothing;
            insert into authz.permit (stable_key, capability, action_id, group_id, origin, revision)
            select 'k-' || g.name_key, 'request', a.action_id, g.group_id, 'file', 1 from authz.action a, dir.grp g
            where a.name = 'workers.status' and g.name_key = '{group}'""")

    def may(self, person):
        """The decision's code for somebody by the address in front of the @, as the service would find them."""
        return self.db.value("""select coalesce((authz.decide((select e.person_id from dir.person_email e
            left join dir.email_quarantine q on q.email_key = e.email_key and q.released_at is null
            where e.email_key = $1 and q.email_key is null), 'request', 'workers.status', '{}')).code, 'unknown_person')""",
                             f"{person}@example.com")

# SPDX-License-Identifier: Apache-2.0
"""Times of day in zones whose clocks jump, what arms a revert, and what moves it.

Run by with_postgres.py, as test_rules.py, whose session and seed it shares.  The jumps are those of the tz database:
Europe/Berlin 2027-03-28 02:00 → 03:00 and 2026-10-25 03:00 → 02:00; America/New_York 2027-03-14; Asia/Kolkata has none."""
import re

import pytest
from test_rules import ME, database, psql, pytestmark, receive  # noqa: F401

SERVICE = "opsd_service"
N = [0]


def wall(text, zone, after):
    """The instant in UTC, the problem and whether it is the next day."""
    return psql("select to_char((x).at at time zone 'UTC', 'YYYY-MM-DD HH24:MI') || ' ' || coalesce((x).problem, 'good') || ' '"
                " || (x).rolled from ops.wall_time('%s', '%s', '%s') x" % (text, zone, after))


@pytest.mark.parametrize("text, zone, after, is_", [
    ("18:00", "Europe/Berlin", "2026-11-30 10:00Z", "2026-11-30 17:00 good false"),
    ("18:00", "Europe/Berlin", "2026-11-30 17:00Z", "2026-12-01 17:00 good true"),      # just now is over
    ("00:30", "Europe/Berlin", "2026-11-30 22:00Z", "2026-11-30 23:30 good true"),      # after local midnight
    ("18:00", "America/New_York", "2026-11-30 10:00Z", "2026-11-30 23:00 good false"),
    ("09:15", "Asia/Kolkata", "2026-11-30 10:00Z", "2026-12-01 03:45 good true"),
    ("18:00", "UTC", "2026-12-31 19:00Z", "2027-01-01 18:00 good true"),
    ("2027-06-01T12:00", "Europe/Berlin", "2026-11-30 10:00Z", "2027-06-01 10:00 good false"),  # summer time of that day
    ("2026-11-30T10:59", "Europe/Berlin", "2026-11-30 10:00Z", "2026-11-30 09:59 past false"),
    # clocks go forward: the hour is not there
    ("2027-03-28T02:30", "Europe/Berlin", "2026-11-30 10:00Z", "2027-03-28 01:30 gap false"),
    ("02:30", "Europe/Berlin", "2027-03-27 20:00Z", "2027-03-28 01:30 gap true"),
    ("2027-03-14T02:30", "America/New_York", "2026-11-30 10:00Z", "2027-03-14 07:30 gap false"),
    # the day after is 23 hours away, not 24
    ("20:00", "Europe/Berlin", "2027-03-27 19:00Z", "2027-03-28 18:00 good true"),
    # clocks go back: of two the later, and the day after is 25 hours away
    ("2026-10-25T02:30", "Europe/Berlin", "2026-10-01 10:00Z", "2026-10-25 01:30 good false"),
    ("20:00", "Europe/Berlin", "2026-10-24 18:00Z", "2026-10-25 19:00 good true")])
def test_times_of_day(text, zone, after, is_):
    assert wall(text, zone, after) == is_


@pytest.mark.parametrize("zone, taken", [
    ("Europe/Amsterdam", "Europe/Amsterdam"), ("Nowhere/Land", "UTC"), ("", "UTC"), ("'; drop", "UTC"), ("<+05>-5", "UTC")])
def test_zones(zone, taken):
    assert psql("select ops.zone_of('%s')" % zone.replace("'", "''")) == taken


def test_ids_are_those_of_the_program():
    ids = psql("select string_agg(ops.new_id(), ' ') from generate_series(1, 200)").split()
    assert len(set(ids)) == 200 and all(re.fullmatch("R[0-9A-HJKMNP-TV-Z]{15}", x) for x in ids)
    assert psql("select ops.new_id() < (select ops.new_id() from pg_sleep(0.005))") == "t"      # they sort by time


def temporary(state="succeeded", step=True):
    """A change of Ana's until an hour from now, that ended as this; its id."""
    N[0] += 1
    rid = "RL%d" % N[0]
    assert psql(receive(rid, user="U-l", email="ana@example.com"), SERVICE) == "allowed allowed"
    if step:
        psql("insert into ops.step (request_id, attempt, kind, effect, fence) values ('%s', 1, 'kube.scale', 'conditional', 1)" % rid)
    psql("""update ops.request set state = 'running', ends_at = clock_timestamp() + interval '1 hour',
            times = '{"tz": "Europe/Berlin", "max_s": 7200}',
            plan = '{"target": {"name": "w"}, "changes": [{"field": "replicas", "from": 3, "to": 6}]}' where id = '%s'""" % rid)
    psql("select ops.settle(%s, '%s', 1, '%s', null, '{}', null, null, null, '{}', '{}', 'CAUDIT', 0)" % (ME, rid, state), SERVICE)
    return rid


def revert(rid, what="state"):
    return psql("select coalesce(string_agg((%s)::text, ' '), 'none') from ops.request where undoes = '%s' and kind = 'revert'"
                % (what, rid))


def steer(rid, kind, who="ana", token="-", user="U-l"):
    """Why not, or the state after it."""
    N[0] += 1
    return psql("select coalesce(code, state) from ops.steer(%s, '%s', 'l%d', 'l%d', '%s', 'T1', '%s', 'ok', '%s@example.com', '%s',"
                " 'CAUDIT', 0)" % (ME, rid, N[0], N[0], kind, user, who, token), SERVICE)


def token(rid):
    return revert(rid, "ops.ms(starts_at)")


def test_what_arms_a_revert():
    rid = temporary()
    assert revert(rid) == "scheduled" and revert(rid, "wake_at = starts_at") == "true"
    assert revert(rid, "plan -> 'changes' -> 0 ->> 'from'") == "6" and revert(rid, "claimed_by is null") == "true"
    assert revert(temporary(step=False)) == "none"      # it was so already
    assert revert(temporary("failed")) == "none"
    rid = temporary("unknown")
    assert revert(rid) == "scheduled"
    psql("select ops.resolve('%s', 'failed', 'looked')" % rid, "opsd_grants")
    assert revert(rid) == "cancelled"
    rid = temporary("unknown")
    psql("select ops.resolve('%s', 'succeeded', 'looked')" % rid, "opsd_grants")
    assert revert(rid) == "scheduled"                   # one, and the same


def test_extend_goes_so_far_and_once_a_button():
    rid = temporary()
    first = token(rid)
    assert steer(rid, "extend", token=first) == "scheduled"
    assert int(token(rid)) - int(first) == 3600_000
    assert steer(rid, "extend", token=first) == "stale_button"
    psql("update ops.request set finished_at = finished_at - interval '5 minutes' where id = '%s'" % rid)
    assert steer(rid, "extend", token=token(rid)) == "too_long"     # 2 h in all
    assert int(token(rid)) - int(first) == 3600_000


def test_keep_and_back_are_over_once():
    rid = temporary()
    assert steer(rid, "keep") == "cancelled"
    assert steer(rid, "back") == "too_late" and steer(rid, "keep") == "too_late"
    rid = temporary()
    assert steer(rid, "back") == "allowed"
    assert revert(rid, "fence") == "2" and revert(rid, "unheard") == "true"
    assert steer(rid, "keep") == "too_late" and steer(rid, "back") == "too_late"
    assert steer("R000000000000000", "stop") == "no_such_request"


def test_back_that_nobody_heard_is_taken_back():
    rid = temporary()
    assert steer(rid, "back") == "allowed"
    last = N[0]
    psql("select ops.disown(%s, '%s', 'l%d', 'l%d', 'back', true, true)" % (ME, rid, last, last), SERVICE)
    assert revert(rid) == "scheduled" and revert(rid, "wake_at = starts_at and claimed_by is null") == "true"
    # its replica died instead: it waits for its time again
    assert steer(rid, "back") == "allowed"
    psql("update ops.request set wake_at = clock_timestamp() where undoes = '%s'" % rid)
    psql("select ops.claim_due(%s, 100, 'CAUDIT')" % ME, SERVICE)
    assert revert(rid) == "scheduled" and revert(rid, "claimed_by is null") == "true"


def test_a_stranger_moves_nothing():
    rid = temporary()
    psql("delete from ops.link l using dir.person p where p.person_id = l.person_id and p.display_name <> 'Ana'")
    psql("""insert into dir.person (source_id, external_id, state, display_name, first_gen, last_gen)
            select source_id, 'u-vera', 'active', 'Vera', 1, 1 from dir.source;
        insert into dir.person_email select 'vera@example.com', person_id, true from dir.person where display_name = 'Vera'""")
    assert steer(rid, "keep", who="vera", user="U-vera") == "no_matching_grant"
    assert steer(rid, "keep", who="nobody", user="U-nobody") == "unknown_address"
    assert revert(rid) == "scheduled"
    assert steer(rid, "keep", who="ben", user="U-ben") == "cancelled"   # who may do it may end it

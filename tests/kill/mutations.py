# SPDX-License-Identifier: Apache-2.0
"""Ways to break opsd's promises in the database; the harness must see each.

A mutation is a list of changes. (function, text, instead of it) changes that text of the function as it is, so that it
stays the function that is called; a single text is run as it is. mutate() fails when there is nothing to change."""

MUTATIONS = {
    # start says yes and writes nothing: no intent before the effect
    "no-intent": [("ops.start", "begin\n", "begin\n\treturn (true, 'running', 'allowed', null, null, null, null, null, null, "
                   "null, null)::ops.written;\n")],
    # an outcome is marked as new at every claim: nobody looks whether it was posted before
    "no-mark": ["""
create or replace function ops.no_attempts() returns trigger language plpgsql as $$
    begin new.attempts := 0; return new; end $$;
create trigger no_attempts before update on ops.message for each row execute function ops.no_attempts()"""],
    # who takes a request over carries it on, whatever its requester was told
    "trusting": [("ops.row_json", "'unheard', r.unheard", "'unheard', false"),
                 ("ops.start", "and not (q.unheard and q.attempts > 0)", "")],
    # one approval counts twice
    "twice": [("ops.tally", "select count(distinct", "select 2 * count(distinct")],
    # a vote counts for whatever plan is asked about now
    "any-plan": [("ops.vote", "a.digest is distinct from p_digest", "false"),
                 ("ops.tally", "and v.digest = p_digest", "")],
    # a vote counts after the time of its round
    "late": [("ops.vote", "or a.expires_at <= now_", "")],
    # the requester counts as an approver
    "own": [("ops.vote", "when r.person_id = any (same) then 'own_request'", ""),
            ("ops.tally", "and v.person_id <> all (asker)", "")],
    # anybody is an approver
    "anybody": [("ops.may_approve", "begin\n", "begin\n\treturn true;\n"),
                ("ops.entitled", "begin\n", "begin\n\treturn '{}';\n")],
    # a revert does not wait for its time
    "early": [("ops.arm_revert", "v.wake_at := v.starts_at", "v.wake_at := now_")],
    # a revert takes what somebody else has set (see later() in town.py) for what its change has set
    "grabby": [("ops.row_json", "'plan', p.plan", "'plan', jsonb_set(p.plan::jsonb, '{precondition,to}', '49')")],
    # whoever asks for an undo gets one
    "undone-twice": [("ops.receive", "if p_undoes is not null and", "if false and")],
    # a freeze holds nothing back
    "frozen": [("ops.freeze_covers", "begin\n", "begin\n\treturn false;\n")],
}

# Those that a run shows which nobody disturbs, and the script of that run.
AT_ONCE = {"no-intent": "commands", "twice": "approvals", "any-plan": "approvals", "late": "approvals", "own": "approvals",
           "anybody": "approvals", "early": "later", "grabby": "later", "undone-twice": "later", "frozen": "later"}


def mutate(db, name):
    for change in MUTATIONS[name]:
        if isinstance(change, str):
            db.run(change)
            continue
        function, text, instead = change
        source = db.value("select pg_get_functiondef($1::regproc)", function)
        assert text in source, f"{function} has no {text!r} to break: look what keeps this promise now"
        db.run(source.replace(text, instead, 1))
        assert db.value("select pg_get_functiondef($1::regproc)", function) == source.replace(text, instead, 1)

# SPDX-License-Identifier: Apache-2.0
"""Ways to break opsd's promises in the database; the harness must see each."""

MUTATIONS = {
    # start says yes and writes nothing: no intent before the effect
    "no-intent": """
create or replace function ops.start(p_boot uuid, p_observer json, p_id text, p_fence bigint, p_kind text, p_effect text,
    p_params json, p_plan json, p_digest text, p_audit_channel text, p_room integer) returns ops.written
language sql security definer set search_path = pg_catalog, pg_temp as $$
    select (true, 'running', 'allowed', null, null, null, null, null, null, null, null)::ops.written
$$""",
    # an outcome is marked as new at every claim: nobody looks whether it was posted before
    "no-mark": """
create or replace function ops.no_attempts() returns trigger language plpgsql as $$
    begin new.attempts := 0; return new; end $$;
create trigger no_attempts before update on ops.message for each row execute function ops.no_attempts()""",
}

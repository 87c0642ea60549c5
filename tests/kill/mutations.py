# SPDX-License-Identifier: Apache-2.0
"""Ways to break opsd's promises in the database; the harness must see each."""

MUTATIONS = {
    # start says yes and writes nothing: no intent before the effect
    "no-intent": """
do $$
declare arguments text;     -- as they are: another signature would be another function, that nobody calls
begin
    select pg_get_function_arguments(oid) into strict arguments from pg_proc where oid = 'ops.start'::regproc;
    execute format('create or replace function ops.start(%s) returns ops.written language sql security definer '
        'set search_path = pg_catalog, pg_temp as %L', arguments,
        $f$select (true, 'running', 'allowed', null, null, null, null, null, null, null, null)::ops.written$f$);
end $$""",
    # an outcome is marked as new at every claim: nobody looks whether it was posted before
    "no-mark": """
create or replace function ops.no_attempts() returns trigger language plpgsql as $$
    begin new.attempts := 0; return new; end $$;
create trigger no_attempts before update on ops.message for each row execute function ops.no_attempts()""",
}

-- SPDX-License-Identifier: Apache-2.0
-- Following: what becomes of a change after it was made, until it is complete and has stayed for a while.
--
-- A row is claimed for one look and released by its mark with the time of the next: whichever replica is there takes
-- it, and one that stops in between loses nothing but that look.  A replica that hears of changes by a watch holds its
-- row on with each mark, and looks when it hears something; when it is gone the claim ends like any other.
set local role opsd_owner;

create table ops.follow (
	request_id text collate "C" primary key,
	target     text,          -- what was changed, as its lock is named
	fence      bigint not null default 0,
	claimed_by uuid,
	since      json not null, -- what the next look is given: the outcome, then what the last look said
	begun_at   timestamptz not null default clock_timestamp(),
	done_at    timestamptz,   -- complete for the first time
	wake_at    timestamptz,   -- the next look, or the end of the claim; null: it is over
	ended      text,          -- done, failed, superseded, undone or left
	constraint follow_ends check ((wake_at is null) = (ended is not null))
) with (fillfactor = 70, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000,
	autovacuum_vacuum_insert_scale_factor = 0, autovacuum_vacuum_insert_threshold = 50000);
comment on table ops.follow is 'What is looked at after its request succeeded';
create index follow_due on ops.follow (wake_at) where wake_at is not null;
create index follow_by_target on ops.follow (target) where wake_at is not null;
create index follow_by_age on ops.follow using brin (begun_at) with (pages_per_range = 32, autosummarize = on);

-- Called by settle.  What is changed again before anybody was told of the change before is followed once, from the
-- second change on: the first one is no news any more, and looks are requests to the cluster.
-- By its index, entry by entry: only such a scan forgets the entries of earlier changes of the object, else each change
-- of it would walk over all that were made since the last vacuum.
create function ops.follow_begin(p_id text, p_outcome json) returns void
language plpgsql set enable_seqscan = off set enable_bitmapscan = off as $$
declare
	target_ text;
begin
	select s.target into target_ from ops.step s where s.request_id = p_id order by s.attempt desc limit 1;
	-- One that is being written down just now goes on: ends and looks share transactions, so that one of each that waited for
	-- the other's rows would stand still until the server sees the deadlock.
	update ops.follow f set ended = 'superseded', wake_at = null, claimed_by = null, fence = f.fence + 1
		where f.request_id = any (array(select x.request_id from ops.follow x
			where x.target = target_ and x.wake_at is not null and x.since ->> 'told' is null
			for no key update skip locked));
	insert into ops.follow (request_id, target, since, wake_at)
		values (p_id, target_, p_outcome, clock_timestamp() + interval '1 second') on conflict do nothing;
end $$;

-- Looks that are due, claimed for the caller: JSON texts.  params: of the step; null when they hold a secret.
create function ops.follow_claim(p_boot uuid, p_limit integer) returns setof text
language plpgsql security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
	set enable_seqscan = off set jit = off as $$
declare
	now_ timestamptz := clock_timestamp();
	f ops.follow;
begin
	for f in
		with due as materialized (
			select x.request_id from ops.follow x where x.wake_at <= now_ order by x.wake_at limit p_limit
			for no key update skip locked)
		update ops.follow x set fence = x.fence + 1, claimed_by = p_boot, wake_at = now_ + interval '30 seconds'
			from due where x.request_id = due.request_id returning x.*
	loop
		return query select json_build_object('id', f.request_id, 'fence', f.fence, 'since', f.since,
				'age_ms', (extract(epoch from now_ - f.begun_at) * 1000)::bigint,
				'done_ms', (extract(epoch from now_ - f.done_at) * 1000)::bigint,
				'row', ops.row_json(r)::json, 'params', s.params, 'kind', s.kind)::text
			from ops.request r left join lateral (select t.kind, t.params from ops.step t where t.request_id = r.id
				order by t.attempt desc limit 1) s on true
			where r.id = f.request_id;
	end loop;
end $$;

-- What came of looks: a JSON array of { id, fence, since, done } with again_ms, hold_ms (it stays claimed for so long) or,
-- at the end, ended and says; tell: what the requester's message says from now on, if that is something new.
-- An end is on record; a bad one is owed to the audit channel.  Answers with those that were not ours any more: JSON.
create function ops.follow_mark(p_boot uuid, p_observer json, p_marks json, p_audit_channel text) returns text
language plpgsql security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
	set enable_seqscan = off set jit = off as $$
declare
	now_ timestamptz := clock_timestamp();
	m json;
	r ops.request;
	ending text;
	facts text;
	lost jsonb := '[]';
begin
	for m in select json_array_elements(p_marks) loop
		ending := m ->> 'ended';
		update ops.follow f set since = m -> 'since', ended = ending,
				claimed_by = case when ending is null and m -> 'hold_ms' is not null then p_boot end,
				done_at = case when (m ->> 'done')::boolean then coalesce(f.done_at, now_) else f.done_at end,
				wake_at = case when ending is null
					then now_ + coalesce(m ->> 'hold_ms', m ->> 'again_ms')::bigint * interval '1 millisecond' end
			where f.request_id = m ->> 'id' and f.fence = (m ->> 'fence')::bigint and f.claimed_by = p_boot;
		if not found then
			lost := lost || jsonb_build_object('id', m ->> 'id', 'fence', (m ->> 'fence')::bigint);
			continue;
		end if;
		continue when m -> 'tell' is null and ending is null;
		select * into r from ops.request q where q.id = m ->> 'id';
		if m -> 'tell' is not null then
			perform ops.progress(p_boot, r.id, r.fence, m -> 'tell');
		end if;
		if ending is not null then
			facts := ops.facts(r, ending, m ->> 'says');
			perform ops.audit_request(r, p_observer, 'followed',
				case ending when 'done' then 'success' when 'failed' then 'failure' when 'undone' then 'failure'
					else 'attempt' end, facts, (m -> 'since' -> 'evidence')::text);
			if ending in ('failed', 'undone') then
				perform ops.owe(r, null, p_audit_channel,
					ops.facts(r, case ending when 'failed' then 'stuck' else ending end, m ->> 'says'),
					true, false, null, 0);
			end if;
		end if;
	end loop;
	return lost::text;
end $$;

grant execute on function
	ops.follow_claim(uuid, integer),
	ops.follow_mark(uuid, json, json, text)
	to opsd_service;

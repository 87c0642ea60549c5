-- SPDX-License-Identifier: Apache-2.0
-- What holds a change back, freezes and locks of targets; and progress.
--
-- A freeze waits for the starts that are under way: ops.start shares a lock that ops.freeze_add takes alone.  So once a
-- freeze is committed nothing starts that it covers.
set local role opsd_owner;

-- Freezes

create function ops.glob(p_text text, p_pattern text) returns boolean
language sql immutable parallel safe as $$
	select p_text like replace(replace(replace(replace(p_pattern, '\', '\\'), '%', '\%'), '_', '\_'), '*', '%')
$$;

-- What opsd does to itself is never frozen: a freeze could not be lifted.  A name of the scope that the request does not
-- have fits: it may be meant.
create function ops.freeze_covers(f ops.freeze, p_action text, p_scope json, p_plan json) returns boolean
language plpgsql stable as $$
begin
	return coalesce(f.ends_at, 'infinity') > clock_timestamp() and p_plan #> '{target,own}' is null
		and not exists (select 1 from jsonb_each_text(f.what) w where not case
			when w.key = 'action' then ops.glob(p_action, w.value)
			when w.key in ('cluster', 'namespace', 'name') then coalesce(ops.glob(p_plan -> 'target' ->> w.key, w.value), false)
			else coalesce(ops.glob(p_scope ->> w.key, w.value), true) end);
end $$;

create function ops.freeze_json(f ops.freeze) returns json
language sql stable as $$
	select json_strip_nulls(json_build_object('id', f.id, 'what', f.what, 'reason', f.reason, 'by', f.by_name,
		'since_ms', ops.ms(f.since), 'until_ms', ops.ms(f.ends_at)))
$$;

-- The freezes that cover a request, oldest first; null: none.
create function ops.frozen(r ops.request, p_plan json) returns json
language sql stable as $$
	select json_agg(ops.freeze_json(f) order by f.since) from ops.freeze f
	where ops.freeze_covers(f, r.action, r.scope, p_plan)
$$;

create function ops.freezes() returns json
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
	select coalesce(json_agg(ops.freeze_json(f) order by f.since), '[]') from ops.freeze f
	where coalesce(f.ends_at, 'infinity') > clock_timestamp()
$$;

-- Those who are asked to approve see whether it could start.
create function ops.redraw_open() returns void
language plpgsql as $$
begin
	perform ops.redraw(q.id) from ops.request q where q.wake_at is not null and q.state = 'approving';
end $$;

-- p_outcome: how the audit channel is told of it; null: a request does so.
create function ops.freeze_tell(f ops.freeze, p_user text, p_observer json, p_event text, p_outcome text, p_reason text)
returns void
language plpgsql as $$
declare
	now_ timestamptz := clock_timestamp();
begin
	perform ops.audit_note(f.id, f.person_id, p_user, p_observer, p_event, 'success', ops.freeze_json(f)::text);
	perform ops.redraw_open();
	insert into ops.message (request_id, kind, prio, channel, body, created_at, due_at)
		select f.id, 'audit', 0, s.audit_channel, json_build_object('request', f.id, 'outcome', p_outcome,
				'command', case p_outcome when 'frozen' then 'freeze' else 'unfreeze' end, 'args', f.what, 'reason', p_reason,
				'who', json_build_object('name', coalesce(p_observer ->> 'login', 'opsd'))), now_, now_
			from ops.setting s where p_outcome is not null and s.audit_channel is not null;
end $$;

create function ops.freeze_add(p_id text, p_what jsonb, p_reason text, p_person bigint, p_by text, p_seconds integer)
returns ops.freeze
language plpgsql as $$
declare
	f ops.freeze;
begin
	if coalesce(p_reason, '') = '' or jsonb_typeof(p_what) is distinct from 'object' or p_seconds <= 0
			or exists (select 1 from jsonb_each(p_what) w where jsonb_typeof(w.value) <> 'string') then
		raise exception 'freeze: say what (names and patterns) and the reason' using errcode = 'OP011';
	end if;
	perform pg_advisory_xact_lock(hashtextextended('dirsync', 0)); -- waits for the starts that did not see it
	insert into ops.freeze (id, what, reason, person_id, by_name, ends_at)
		values (p_id, p_what, p_reason, p_person, p_by, clock_timestamp() + make_interval(secs => p_seconds))
		on conflict (id) do nothing
		returning * into f;
	return f; -- null: it is there
end $$;

-- What a replica with read_only in its configuration keeps in force for as long as it lives.
create function ops.read_only(p_observer json) returns void
language plpgsql as $$
declare
	f ops.freeze;
begin
	if not exists (select 1 from ops.freeze x where x.id = 'read_only') then
		f := ops.freeze_add('read_only', '{}', 'read_only is set in the configuration', null, 'the configuration', null);
		if f.id is not null then
			perform ops.freeze_tell(f, null, p_observer, 'freeze.set', 'frozen', f.reason);
		end if;
	end if;
end $$;

-- Removes what has ended.
create function ops.thaw(p_observer json) returns integer
language plpgsql as $$
declare
	f ops.freeze;
	n integer := 0;
begin
	for f in delete from ops.freeze x where x.ends_at <= clock_timestamp() or (x.id = 'read_only' and not exists (
			select 1 from ops.replica y where y.read_only and y.seen_at > clock_timestamp() - interval '1 minute'))
		returning *
	loop
		perform ops.freeze_tell(f, null, p_observer, 'freeze.ended', 'unfrozen', 'it has ended');
		n := n + 1;
	end loop;
	return n;
end $$;

-- By an operator, under a login of their own.
create function ops.freeze_by_login(p_what jsonb, p_reason text, p_seconds integer) returns json
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
	f ops.freeze;
begin
	f := ops.freeze_add('F' || upper(left(md5(gen_random_uuid()::text), 12)), p_what, p_reason, null, session_user, p_seconds);
	perform ops.freeze_tell(f, null, json_build_object('login', session_user), 'freeze.set', 'frozen', f.reason);
	return ops.freeze_json(f);
end $$;

-- p_id null: all but what the configuration keeps.
create function ops.unfreeze_by_login(p_id text, p_reason text) returns json
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
	f ops.freeze;
	gone json[] := '{}';
begin
	if coalesce(p_reason, '') = '' then
		raise exception 'unfreeze: say the reason' using errcode = 'OP011';
	end if;
	for f in delete from ops.freeze x where x.id <> 'read_only' and (p_id is null or x.id = p_id) returning * loop
		perform ops.freeze_tell(f, null, json_build_object('login', session_user, 'reason', p_reason), 'freeze.lifted',
			'unfrozen', p_reason);
		gone := gone || ops.freeze_json(f);
	end loop;
	return to_json(gone);
end $$;

-- Freezes as requests: what the kinds opsd.freeze and opsd.unfreeze ask for (src/action/own.c)

-- Before a freeze: what is under way and goes on; how many actions its pattern names.
create function ops.freeze_plan(p_what jsonb) returns json
language sql stable as $$
	select json_build_object(
		'running', (select coalesce(json_agg(json_build_object('request', q.id, 'name', q.person_name, 'command', q.command)
				order by q.id), '[]') from (
			select x.* from ops.request x where x.wake_at is not null and x.state = 'running' and x.risk > 0
				and x.plan #> '{target,own}' is null limit 20) q),
		'actions', (select count(*) from authz.action a where ops.glob(a.name, coalesce(p_what ->> 'action', '*'))),
		'same', (select ops.freeze_json(f) from ops.freeze f where f.what = p_what
			and coalesce(f.ends_at, 'infinity') > clock_timestamp() order by f.since limit 1))
$$;

-- What opsd does to itself, for a request whose intent is on record.
create function ops.own(p_observer json, p_do text, p_request text, p_args json) returns text
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
	r ops.request;
	f ops.freeze;
begin
	select q.* into r from ops.request q where q.id = p_request and (p_do not in ('freeze', 'unfreeze') or exists (
		select 1 from ops.step s where s.request_id = q.id and s.state = 'intent' and s.kind = 'opsd.' || p_do));
	case p_do
	when 'freeze.plan' then
		return ops.freeze_plan(p_args::jsonb -> 'what')::text;
	when 'freeze' then
		if r.id is null then
			raise exception 'freeze: % is not under way', p_request using errcode = 'OP011';
		end if;
		f := ops.freeze_add(r.id, p_args::jsonb -> 'what', p_args ->> 'reason', r.person_id, r.person_name,
			(p_args ->> 'seconds')::integer);
		if f.id is not null then
			perform ops.freeze_tell(f, r.slack_user, p_observer, 'freeze.set', null, null);
		end if;
		return (select ops.freeze_json(x)::text from ops.freeze x where x.id = r.id);
	when 'freeze.look' then -- it may have been lifted since
		return (select json_build_object('done', exists (select 1 from ops.audit a
			where a.request_id = p_request and a.event = 'freeze.set'))::text);
	when 'unfreeze.plan' then
		return ops.freezes()::text;
	when 'unfreeze' then
		if r.id is null then
			raise exception 'unfreeze: % is not under way', p_request using errcode = 'OP011';
		end if;
		delete from ops.freeze x where x.id = p_args ->> 'id' and x.id <> 'read_only' returning * into f;
		if f.id is not null then
			perform ops.freeze_tell(f, r.slack_user, p_observer, 'freeze.lifted', null, null);
		end if;
		return json_build_object('lifted', f.id is not null)::text;
	when 'unfreeze.look' then
		return (select json_build_object('done', not exists (select 1 from ops.freeze x where x.id = p_args ->> 'id'))::text);
	else
		return ops.access(p_observer, substr(p_do, 8), p_request, p_args::jsonb); -- access.…
	end case;
end $$;

-- Locks of targets

-- Who is changing a target, since when, until when at the earliest somebody looks after it; null: nobody.
create function ops.holder(p_target text) returns json
language sql stable as $$
	select json_strip_nulls(json_build_object('request', q.id, 'state', q.state, 'name', q.person_name, 'user', q.slack_user,
		'command', q.command, 'reason', coalesce(q.shown, q.args) ->> 'reason', 'since_ms', ops.ms(s.intent_at),
		'until_ms', case when q.state = 'running' then ops.ms(q.wake_at) end))
	from ops.step s join ops.request q on q.id = s.request_id
	where s.target = p_target and s.state in ('intent', 'unknown')
$$;

-- Tells the requester what a request waits for (p_holder), or that it goes on.
create function ops.waited(r ops.request, p_holder json) returns void
language plpgsql as $$
begin
	perform ops.progress(r.claimed_by, r.id, r.fence, (left(ops.facts(r, null, null), -1) || ',"progress":'
		|| case when p_holder is null then '{"over":true,"waited":true}' else '{"waits_for":' || p_holder::text || '}' end
		|| '}')::json);
end $$;

-- Why ops.start did not start: refused here and now, or (code 'busy', the state stays) to be tried again in a while.
-- One that waits holds nothing but its own claim, so that nobody waits in a circle; it is refused after so many tries
-- that the lease of a dead replica would have ended.
create function ops.not_started(p_boot uuid, p_observer json, p_id text, p_fence bigint, p_plan json,
	p_target text, p_waits integer, p_audit_channel text, p_room integer) returns ops.written
language plpgsql as $$
declare
	r ops.request;
	a ops.answer;
	w ops.written;
	frozen json;
	holder json;
begin
	select * into r from ops.request q where q.id = p_id for no key update;
	if r.fence is distinct from p_fence or r.claimed_by is distinct from p_boot
			or coalesce(r.wake_at, '-infinity') <= clock_timestamp() or r.state not in ('allowed', 'confirming')
			or (r.unheard and r.attempts > 0) then
		-- true: this was written, its answer was lost
		w.ok := r.state = 'running' and r.fence = p_fence and r.claimed_by = p_boot and r.wake_at > clock_timestamp()
			and exists (select 1 from ops.step s where s.request_id = p_id and s.fence = p_fence);
		w.ok := coalesce(w.ok, false);
		w.state := r.state;
		return w;
	end if;
	frozen := ops.frozen(r, p_plan);
	holder := ops.holder(p_target);
	r.plan := coalesce(p_plan, r.plan);
	if frozen is null and (holder is null or (holder ->> 'state' = 'running' and p_waits < ops.waits_max())) then
		if p_waits > 0 and holder is not null then
			perform ops.waited(r, holder);
		end if;
		return (true, r.state, 'busy', holder, null, null, null, null, null, null, null)::ops.written;
	end if;
	if p_waits > 0 then
		perform ops.waited(r, null);
	end if;
	a := ops.refuse(r, p_boot, p_observer, case when frozen is not null then 'frozen' else 'busy' end,
		json_strip_nulls(json_build_object('frozen', frozen, 'holder', holder))::text, p_audit_channel, true, p_room);
	return (true, a.state, a.code, a.detail, null, null, null, null, null, null, a.owed)::ops.written;
end $$;

-- Tries of a start, some four seconds apart: longer than ops.request_lease().
create function ops.waits_max() returns integer language sql immutable parallel safe as $$ select 25 $$;

-- Progress

-- What a request is doing now, to its requester: one message, edited.  The newest text takes the place of one that was
-- not sent yet.  false: somebody else has taken the request over since.
create function ops.progress(p_boot uuid, p_id text, p_fence bigint, p_facts json) returns boolean
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
	now_ timestamptz := clock_timestamp();
	who record;
begin
	-- locked: of two that write at once, the one with the older fence must be the earlier
	select q.slack_user into who from ops.request q where q.id = p_id and q.fence = p_fence for share;
	if not found then
		return false;
	end if;
	insert into ops.message (request_id, kind, prio, slack_user, body, created_at, due_at, rev)
		values (p_id, 'progress', 1, who.slack_user, p_facts, now_, now_, 1)
		on conflict (request_id, kind) where kind in ('doubt', 'progress') do update set
			rev = ops.message.rev % 32000 + 1, body = excluded.body, delivered_at = null, dead_at = null,
			attempts = case when ops.message.due_at is null then 0 else ops.message.attempts end,
			due_at = coalesce(ops.message.due_at, now_);
	return true;
end $$;

grant execute on function
	ops.own(json, text, text, json),
	ops.progress(uuid, text, bigint, json)
	to opsd_service;
grant execute on function
	ops.freeze_by_login(jsonb, text, integer),
	ops.unfreeze_by_login(text, text)
	to opsd_grants;
grant execute on function ops.freezes() to opsd_service, opsd_auditor, opsd_grants;

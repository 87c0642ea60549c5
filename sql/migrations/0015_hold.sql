-- SPDX-License-Identifier: Apache-2.0
-- What holds a change back, freezes and locks of targets; what is unknown; and progress.
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
	perform ops.audit_note(f.id, f.person_id, p_user, p_observer, p_event, 'success',
		ops.canonical(ops.freeze_json(f)::jsonb));
	perform ops.redraw_open();
	insert into ops.message (request_id, kind, channel, body, created_at, due_at)
		select f.id, 'audit', s.audit_channel, json_build_object('request', f.id, 'outcome', p_outcome,
				'command', case p_outcome when 'frozen' then 'freeze' else 'unfreeze' end, 'args', f.what, 'reason', p_reason,
				'who', json_build_object('name', coalesce(p_observer ->> 'login', 'opsd'))), now_, now_
			from ops.setting s where p_outcome is not null and s.audit_channel is not null;
	if p_observer ->> 'login' is not null then -- no replica knows of it
		perform pg_notify('opsd_wake', '');
	end if;
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

-- The observer of what an operator does, under a login of their own.
create function ops.by_login(p_reason text) returns json
language sql stable as $$
	select ops.canonical(jsonb_strip_nulls(jsonb_build_object('login', session_user, 'reason', p_reason)))::json
$$;

-- By an operator.
create function ops.freeze_by_login(p_what jsonb, p_reason text, p_seconds integer) returns json
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
	f ops.freeze;
begin
	f := ops.freeze_add('F' || upper(left(md5(gen_random_uuid()::text), 12)), p_what, p_reason, null, session_user, p_seconds);
	perform ops.freeze_tell(f, null, ops.by_login(null), 'freeze.set', 'frozen', f.reason);
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
		perform ops.freeze_tell(f, null, ops.by_login(p_reason), 'freeze.lifted',
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
	select q.* into r from ops.request q where q.id = p_request and (p_do not in ('freeze', 'unfreeze', 'resolve') or exists (
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
	when 'resolve.plan' then
		return (select json_build_object('state', q.state, 'command', q.command, 'name', q.person_name)::text
			from ops.request q where q.id = p_args ->> 'id');
	when 'resolve' then
		if r.id is null or p_args ->> 'state' not in ('succeeded', 'failed') then
			raise exception 'resolve: % is not under way', p_request using errcode = 'OP011';
		end if;
		return json_build_object('resolved', ops.resolve_for(r, p_args, p_observer))::text;
	when 'resolve.look' then
		return (select json_build_object('done', exists (select 1 from ops.audit a where a.request_id = p_args ->> 'id'
			and a.body::json #>> '{evidence,request}' = p_request))::text);
	else
		return ops.access(p_observer, substr(p_do, 8), p_request, p_args::jsonb); -- access.…
	end case;
end $$;

-- An effect did not happen, as a look says, and is about to be tried once more: null, or why not.  No row: fenced off.
create function ops.repeat(p_boot uuid, p_observer json, p_id text, p_fence bigint) returns setof text
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
	now_ timestamptz := clock_timestamp();
	r ops.request;
	why text;
begin
	perform pg_advisory_xact_lock_shared(hashtextextended('dirsync', 0)); -- as ops.start: a freeze waits for it
	update ops.request q set wake_at = now_ + ops.request_lease()
		where q.id = p_id and q.fence = p_fence and q.claimed_by = p_boot and q.state = 'running'
		  and coalesce(q.wake_at, '-infinity') > now_
		returning * into r;
	if not found then
		return;
	end if;
	select string_agg(f.by_name || ': ' || f.reason, '; ' order by f.since) into why from ops.freeze f
		where ops.freeze_covers(f, r.action, r.scope, r.plan);
	perform ops.audit_request(r, p_observer, 'repeated', case when why is null then 'attempt' else 'denied' end,
		ops.facts(r, null, why), null);
	return next why;
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
		update ops.request q set wake_at = clock_timestamp() + ops.request_lease()
			where q.id = p_id and q.wake_at < clock_timestamp() + interval '50 seconds';
		return (true, r.state, 'busy', holder, null, null, null, null, null, null, null)::ops.written;
	end if;
	if p_waits > 0 then
		perform ops.waited(r, null);
	end if;
	if r.state = 'allowed' and ops.postpone(r, p_observer, case when frozen is not null then 'it is frozen' else 'it is busy' end) then
		return (true, 'scheduled', null, null, null, null, null, null, null, null, null)::ops.written; -- a revert is owed
	end if;
	a := ops.refuse(r, p_boot, p_observer, case when frozen is not null then 'frozen' else 'busy' end,
		json_strip_nulls(json_build_object('frozen', frozen, 'holder', holder))::text, p_audit_channel, true, p_room);
	return (true, a.state, a.code, a.detail, null, null, null, null, null, null, a.owed)::ops.written;
end $$;

-- Tries of a start, some four seconds apart: longer than ops.request_lease().
create function ops.waits_max() returns integer language sql immutable parallel safe as $$ select 25 $$;

-- What is unknown

-- One message with buttons for those who may say what came of it.
create function ops.doubt(p_id text) returns void
language plpgsql as $$
declare
	now_ timestamptz := clock_timestamp();
begin
	insert into ops.message (request_id, kind, channel, body, created_at, due_at, rev)
		select p_id, 'doubt', coalesce(s.approval_channel, s.audit_channel), '{}', now_, now_, 1
			from ops.setting s where coalesce(s.approval_channel, s.audit_channel) is not null
		on conflict do nothing;
end $$;

create function ops.doubt_body(p_request text, p_reposted boolean) returns text
language plpgsql stable as $$
declare
	r ops.request;
begin
	select * into r from ops.request q where q.id = p_request;
	return coalesce(left(ops.facts(r, r.state::text, r.error), -1)
		|| ',"doubt":' || (select json_strip_nulls(json_build_object('began_ms', ops.ms(s.intent_at), 'kind', s.kind,
				'effect', s.effect, 'evidence', s.evidence))::text
			from ops.step s where s.request_id = r.id order by s.attempt desc limit 1)
		|| ',"asked":' || (select coalesce(json_agg(json_strip_nulls(json_build_object('name', x.name, 'user', x.slack_user))),
				'[]')::text
			from ops.approvers(r.id, jsonb_build_object('can_approve', r.action, 'need', 1), r.action, r.scope::jsonb, r.risk,
				ops.disguises(r.person_id), 3) x)
		|| ',"reposted":' || p_reposted::text || ',"state":"' || r.state::text || '"}', '{}');
end $$;

-- Those who can approve it, but not the one who asked; and whoever has the grant ops.resolve.
create function ops.may_resolve(p_person bigint, r ops.request) returns boolean
language plpgsql stable as $$
begin
	return (authz.decide(p_person, 'request', 'ops.resolve', '{}', r.risk)).allowed
		or (r.person_id <> all (ops.disguises(p_person)) and (
			(authz.decide(p_person, 'approve', r.action, r.scope::jsonb, r.risk)).allowed
			or exists (select 1 from jsonb_array_elements((ops.round_of(r.id)).rules) x
				where ops.may_approve(p_person, x, r.action, r.scope::jsonb, r.risk))));
end $$;

-- unknown -> succeeded | failed, as a person says.
create function ops.resolve_as(r ops.request, p_state text, p_why text, p_boot uuid, p_observer json, p_evidence text,
	p_audit_channel text, p_room integer) returns text
language plpgsql as $$
declare
	now_ timestamptz := clock_timestamp();
	facts text;
begin
	update ops.request q set state = p_state::ops.state, error = p_why, finished_at = now_, wake_at = null,
			fence = q.fence + 1
		where q.id = r.id and q.state = 'unknown' returning * into r;
	update ops.step s set state = (case p_state when 'succeeded' then 'applied' else 'not_applied' end)::ops.step_state
		where s.request_id = r.id and s.state = 'unknown';
	update ops.message m set rev = m.rev + 1, body = '{}', delivered_at = null, dead_at = null,
			due_at = coalesce(m.due_at, now_)
		where m.request_id = r.id and m.kind = 'doubt';
	facts := ops.facts(r, p_state, p_why);
	perform ops.audit_request(r, p_observer, p_state, ops.final_outcome(p_state), facts, p_evidence);
	return ops.owe(r, p_boot, p_audit_channel, facts, true, true, null, p_room);
end $$;

-- By a request of somebody with the grant ops.resolve.  false: somebody has said it before.
create function ops.resolve_for(p_by ops.request, p_args json, p_observer json) returns boolean
language plpgsql as $$
declare
	r ops.request;
begin
	select * into r from ops.request q where q.id = p_args ->> 'id' for no key update;
	if r.state is distinct from 'unknown' then
		return false;
	end if;
	perform ops.resolve_as(r, p_args ->> 'state', p_by.person_name || case p_args ->> 'state' when 'succeeded'
			then ' looked and says that it happened: ' else ' looked and says that it did not happen: ' end
			|| (p_args ->> 'reason'), null, p_observer, '{"name":' || ops.js(p_by.person_name) || ',"request":'
			|| ops.js(p_by.id) || ',"resolved_by":' || p_by.person_id || '}', (select s.audit_channel from ops.setting s), 0);
	return true;
end $$;

-- Run by an operator, under a login of their own:
--   select ops.resolve('R1KH2M8Q4ZT7WX0A', 'succeeded', 'five replicas are running; INC-1234');
create function ops.resolve(p_id text, p_state text, p_reason text) returns text
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
	r ops.request;
begin
	if p_state not in ('succeeded', 'failed') or coalesce(p_reason, '') = '' then
		raise exception 'resolve: say succeeded or failed, and the reason' using errcode = 'OP011';
	end if;
	select * into r from ops.request q where q.id = p_id for no key update;
	if r.state is distinct from 'unknown' then
		raise exception 'resolve: request % is not unknown', p_id using errcode = 'OP011';
	end if;
	perform ops.resolve_as(r, p_state, p_reason, null, ops.by_login(null),
		'{"resolved_by":' || ops.js(session_user) || '}', (select m.channel from ops.message m where m.request_id = p_id
			and m.kind = 'audit' order by m.id desc limit 1), 0);
	perform pg_notify('opsd_wake', '');
	return p_state;
end $$;

-- A click below an unknown outcome: happened, not_happened or again.  Who clicked is known afresh.
-- again: it counts as not done, and whoever clicked asks for the same under p_new; refused, all stays as it was.
-- row_json is that new request, which is the caller's.
create function ops.resolve_click(p_boot uuid, p_observer json, p_id text, p_envelope text, p_dedup text, p_kind text,
	p_team text, p_user text, p_channel text, p_response_url text, p_verdict text, p_email text, p_name text, p_new text,
	p_audit_channel text, p_room integer)
returns ops.answer
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
	r ops.request;
	i ops.identity;
	n ops.answer;
	answer ops.answer;
	evidence text;
begin
	insert into ops.delivery (dedup, envelope_id, request_id, kind, boot_id)
		values (p_dedup, p_envelope, p_id, p_kind, p_boot) on conflict do nothing;
	if not found then
		return ops.known(p_dedup, p_envelope);
	end if;
	select * into r from ops.request q where q.id = p_id for no key update;
	answer.state := coalesce(r.state, 'expired');
	answer.fence := coalesce(r.fence, 0);
	if r.state is distinct from 'unknown' then
		answer.code := 'resolved_already';
		answer.detail := json_build_object('why', r.error)::text;
		return answer;
	end if;
	i := ops.identify(p_team, p_user, p_verdict, p_email, r.risk, p_observer, null);
	answer.code := case when i.code <> 'ok' then i.code
		when ops.may_resolve(i.person_id, r) is not true then 'not_resolver'
		when p_kind = 'again' and r.shown is not null then 'had_secret' end;
	if answer.code is not null then
		perform ops.audit_note(p_id, i.person_id, p_user, p_observer, 'resolve.refused', 'denied', '{"code":'
			|| ops.js(answer.code) || ',"envelope":' || ops.js(p_envelope) || ',"says":' || ops.js(p_kind) || ',"team":'
			|| ops.js(p_team) || '}');
		return answer;
	end if;
	evidence := '{"envelope":' || ops.js(p_envelope) || ',"name":' || ops.js(i.person_name) || ',"resolved_by":' || i.person_id
		|| ',"says":' || ops.js(p_kind) || '}';
	if p_kind = 'again' then
		n := ops.receive(p_boot, p_observer, p_new, p_envelope || '+', p_dedup || '+', p_kind, p_team, p_user, p_channel,
			p_response_url, r.text, r.command, r.action, r.risk, r.args, null, r.scope, null, r.catalog_digest, null, true,
			p_verdict, p_email, p_name, false, p_audit_channel, p_room, r.undoes);
		if n.state not in ('allowed', 'received') then
			answer.code := n.code;
			answer.detail := n.detail;
			answer.owed := n.owed;
			return answer;
		end if;
		update ops.request q set unheard = false where q.id = p_new; -- the message with the buttons shows it
		answer.row_json := (select ops.row_json(q) from ops.request q where q.id = p_new);
		answer.fence := n.fence;
	end if;
	answer.owed := ops.resolve_as(r, case p_kind when 'happened' then 'succeeded' else 'failed' end, i.person_name
		|| case p_kind when 'happened' then ' looked and says that it happened.'
			when 'not_happened' then ' looked and says that it did not happen.'
			else ' says that it did not happen, and asks for it again: ' || p_new || '.' end,
		p_boot, p_observer, evidence, p_audit_channel, p_room);
	answer.state := case p_kind when 'happened' then 'succeeded' else 'failed' end;
	return answer;
end $$;

-- At the stop of a replica: what it did not start is due at once.  What it started keeps its lease: the effect may
-- still come.  A notification in a transaction holds a lock of the whole database to its commit: never in the hot path.
create function ops.hand_over(p_boot uuid) returns integer
language plpgsql security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
	set enable_seqscan = off set jit = off as $$
declare
	now_ timestamptz := clock_timestamp();
	n integer;
begin
	update ops.request q set wake_at = now_ where q.wake_at > now_ and q.claimed_by = p_boot
		and q.state in ('received', 'allowed', 'confirming');
	get diagnostics n = row_count;
	if n > 0 then
		perform pg_notify('opsd_wake', '');
	end if;
	return n;
end $$;

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
	insert into ops.message (request_id, kind, slack_user, body, created_at, due_at, rev)
		values (p_id, 'progress', who.slack_user, p_facts, now_, now_, 1)
		on conflict (request_id, kind) where kind in ('doubt', 'progress') do update set
			rev = ops.message.rev % 32000 + 1, body = excluded.body, delivered_at = null, dead_at = null,
			attempts = case when ops.message.due_at is null then 0 else ops.message.attempts end,
			due_at = coalesce(ops.message.due_at, now_);
	return true;
end $$;

grant execute on function
	ops.own(json, text, text, json),
	ops.hand_over(uuid),
	ops.repeat(uuid, json, text, bigint),
	ops.resolve_click(uuid, json, text, text, text, text, text, text, text, text, text, text, text, text, text, integer),
	ops.progress(uuid, text, bigint, json)
	to opsd_service;
grant execute on function
	ops.resolve(text, text, text),
	ops.freeze_by_login(jsonb, text, integer),
	ops.unfreeze_by_login(text, text)
	to opsd_grants;
grant execute on function ops.freezes() to opsd_service, opsd_auditor, opsd_grants;

-- SPDX-License-Identifier: Apache-2.0
-- The outbox, the readers, and who may call what.
set local role opsd_owner;

-- Is it one message that is edited when what it tells changes (owed_edited)?
create function ops.edited(p_kind ops.owed_kind) returns boolean
language sql immutable parallel safe as $$ select p_kind in ('card', 'doubt', 'progress') $$;

-- Does Slack show the newest of it, now that this replica has posted it?  Of what is edited only its holder can know.
create function ops.stands(m ops.message, p_boot uuid) returns boolean
language sql immutable parallel safe as $$
	select m.rev = m.shown and (m.claimed_by is not distinct from p_boot or not ops.edited(m.kind))
$$;

-- Claims what is due, oldest first, up to a limit for each lane (p_limits, from lane 0 on); people first.
-- attempts: earlier tries.  ts: of one that is edited, the message to edit; of a note, the card that it belongs to.
-- Of a limit that it does not know the planner takes a tenth of all messages for due, and would walk over them in a
-- merge: by key, one after the other, instead.
create function ops.outbox_claim(p_boot uuid, p_limits integer[])
returns table (id bigint, kind text, request_id text, channel text, slack_user text, response_url text, body text,
	attempts integer, created_ms bigint, ts text)
language plpgsql security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
	set enable_seqscan = off set enable_mergejoin = off set enable_hashjoin = off set jit = off as $$
declare
	now_ timestamptz := clock_timestamp();
	lane_ integer;
begin
	foreach lane_ in array array[1, 2, 0] loop
		continue when p_limits[lane_ + 1] = 0;
		return query
			with due as materialized (
				select m.id from ops.message m where m.lane = lane_ and m.due_at <= now_
				order by m.due_at limit p_limits[lane_ + 1]
				for no key update skip locked),
			u as (
				update ops.message m set due_at = now_ + ops.message_lease(), claimed_by = p_boot,
						attempts = least(m.attempts + 1, 1000), shown = m.rev
					from due where m.id = due.id
					returning m.*)
			select u.id, u.kind::text, u.request_id, u.channel, u.slack_user, u.response_url,
					case u.kind when 'card' then ops.card_body(u.id, u.request_id, u.reposted)
						when 'doubt' then ops.doubt_body(u.request_id, u.reposted) else u.body::text end,
					u.attempts - 1, (extract(epoch from u.created_at) * 1000)::bigint,
					case when ops.edited(u.kind) then u.ts when u.kind = 'ask' then (select c.ts from ops.message c
						where c.request_id = u.request_id and c.kind = 'card' order by c.id desc limit 1) end
				from u order by u.created_at, u.id;
	end loop;
end $$;

-- What came of a batch: 'delivered', 'later' or 'dead' for each.  A message that was posted is delivered, whoever
-- holds it now; the other two ends count for its holder only.  After 20 tries 'later' means dead.
-- One that changed meanwhile stays owed; so does one that was edited by somebody whose lease had ended: that edit may
-- have come after a newer one, so it is drawn once more as it is now.
-- p_channels: where it was posted, for one whose channel was not known.
-- Answers with those that somebody else posted before: the caller's post is a twin.
create function ops.outbox_mark(p_boot uuid, p_observer json, p_ids bigint[], p_ends text[], p_ts text[],
	p_later_ms bigint[], p_errors text[], p_channels text[]) returns setof bigint
-- generic: a plan for the very length of these arrays costs more to make than it saves; no seqscan: the plan
-- may have been made while the table was empty
language plpgsql security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
	set enable_seqscan = off set jit = off as $$
declare
	now_ timestamptz := clock_timestamp();
	dead record;
	gone bigint[];
	late bigint[];
begin
	with u as (
		update ops.message m set rev = m.rev % 32000 + 1, delivered_at = null, due_at = coalesce(m.due_at, now_),
				body = coalesce(m.body, '{}')
			from unnest(p_ids, p_ends, p_ts) as x(id, ending, ts)
			where m.id = x.id and ops.edited(m.kind) and m.ts is not null and m.dead_at is null
			  and m.claimed_by is distinct from p_boot and (x.ending = 'later' or x.ts <> '')
			returning m.id)
	select coalesce(array_agg(u.id), '{}') into late from u;
	with x as materialized (
		select * from unnest(p_ids, p_ends, p_ts, p_later_ms, p_errors, p_channels)
			as x(id, ending, ts, later_ms, error, channel)),
	u as (
		update ops.message m set
				delivered_at = case when x.ending = 'delivered' and ops.stands(m, p_boot) then now_ end,
				dead_at = case when x.ending = 'dead' or (x.ending = 'later' and m.attempts >= 20) then now_ end,
				due_at = case when x.ending = 'later' and m.attempts < 20
					then now_ + make_interval(secs => greatest(x.later_ms, 0) / 1000.0)
					when x.ending = 'delivered' and not ops.stands(m, p_boot) then now_ end,
				attempts = case when x.ending = 'delivered' then 0 else m.attempts end,
				reposted = m.reposted or (m.kind in ('card', 'doubt') and coalesce(m.ts <> nullif(x.ts, ''), false)),
				claimed_by = null,
				ts = coalesce(nullif(x.ts, ''), m.ts),
				channel = case when m.kind = 'progress' then coalesce(nullif(x.channel, ''), m.channel) else m.channel end,
				last_error = nullif(x.error, ''),
				-- a card and a doubt are drawn from their request
				body = case when x.ending <> 'delivered' or not ops.stands(m, p_boot) or m.kind = 'progress' then m.body end,
				response_url = case when x.ending = 'later' and m.attempts < 20 then m.response_url end
			from x
			where m.id = x.id and m.delivered_at is null and m.dead_at is null and m.id <> all (late)
			  and (x.ending = 'delivered' or m.claimed_by = p_boot)
			returning m.id, m.dead_at)
	select array_agg(u.id) filter (where u.dead_at is not null) into gone from u;
	if gone is not null then
		for dead in select * from ops.message m where m.id = any (gone) order by m.id loop
			perform ops.audit_note(dead.request_id, null, dead.slack_user, p_observer, 'message.dead', 'failure',
				'{"attempts":' || dead.attempts || ',"channel":' || ops.js(dead.channel) || ',"error":'
				|| ops.js(dead.last_error) || ',"kind":"' || dead.kind || '","message":' || dead.id || '}');
		end loop;
	end if;
	-- a statement of its own: it sees what another one wrote while this one waited for the row
	return query select m.id from unnest(p_ids, p_ends, p_ts) as x(id, ending, ts)
		join ops.message m on m.id = x.id
		where x.ending = 'delivered' and x.ts <> '' and m.ts <> x.ts and (m.delivered_at is not null or m.id = any (late));
end $$;

-- The log, newest first, as a JSON array.  Each filter is optional.  The statement is made of those that are given, so
-- that each finds its index however long the log is.  A person by Slack id: what that person did, and what the account
-- did while it was nobody's.
create function ops.audit_list(p_request text, p_person text, p_action text, p_since timestamptz, p_outcome text,
	p_limit integer) returns text
language plpgsql stable security definer set search_path = pg_catalog, pg_temp as $$
declare
	person bigint;
	filter text := case when p_request is not null then ' and a.request_id = $1' else '' end
		|| case when p_action is not null then ' and a.action = $4' else '' end
		|| case when p_since is not null then ' and a.at >= $5' else '' end
		|| case when p_outcome in ('attempt', 'success', 'failure', 'denied', 'unknown')
			then format(' and a.outcome = %L', p_outcome)
			when p_outcome is not null then format(' and a.event in (%L, %L)', 'request.' || p_outcome, p_outcome)
			else '' end;
	part text := '(select a.id, a.xid, a.at, a.slack_user, a.body from ops.audit a where true%s%s '
		'order by a.xid desc, a.id desc limit $6)';
	answer text;
begin
	if p_person is null then
		part := format(part, '', filter);
	else
		person := coalesce((select e.person_id from dir.person_email e where e.email_key = lower(p_person collate "C")),
			(select l.person_id from ops.link l where l.slack_user = p_person limit 1));
		if person is null and p_person ~ '^[0-9]{1,18}$' then
			person := p_person::bigint;
		end if;
		part := format(part, ' and a.person_id = $2', filter) || ' union all '
			|| format(part, ' and a.person_id is null and a.slack_user = $3', filter);
	end if;
	-- at and actor: for a list that is read by people; the rest is the entry as it was written
	execute format($q$
		select '[' || coalesce(string_agg('{"id":' || x.id || ',"at":"' || to_char(x.at at time zone 'UTC',
				'YYYY-MM-DD HH24:MI:SS"Z"') || '","actor":' || ops.js(coalesce(x.body::json #>> '{facts,who,email}',
				x.body::json #>> '{facts,who,name}', x.slack_user, 'opsd')) || ',' || substr(x.body, 2), ','
				order by x.xid desc, x.id desc), '') || ']'
			from (select * from (%s) y order by y.xid desc, y.id desc limit $6) x$q$, part)
		into answer using p_request, person, p_person, p_action, p_since, least(greatest(p_limit, 0), 10000);
	return answer;
end $$;

-- For people with a database client: the last entries as columns.
create view ops.audit_recent with (security_barrier) as
	select a.id, a.at, a.event, a.outcome, a.request_id, a.action, a.person_id, a.slack_user, a.body
	from ops.audit a where a.at > now() - interval '7 days' order by a.xid desc, a.id desc;

-- A person by e-mail address, Slack id, external id or number.
create function ops.find_person(p_who text) returns bigint
language sql stable set search_path = pg_catalog, pg_temp as $$
	select coalesce(
		(select e.person_id from dir.person_email e where e.email_key = lower(p_who collate "C")),
		(select l.person_id from ops.link l where l.slack_user = p_who and l.state = 'live' limit 1),
		(select min(p.person_id) from dir.person p where p.external_id = p_who having count(*) = 1),
		(select p.person_id from dir.person p where p_who ~ '^[0-9]{1,18}$'
			and p.person_id = case when p_who ~ '^[0-9]{1,18}$' then p_who::bigint end))
$$;

-- Why a person may or may not.
create function ops.explain_request(p_who text, p_action text, p_scope jsonb) returns text
language plpgsql stable security definer set search_path = pg_catalog, pg_temp as $$
declare
	who bigint := ops.find_person(p_who);
	why json := ops.why_json(who, p_action, p_scope, 0, null);
begin
	return (select json_build_object('allowed', why -> 'allowed', 'code', why -> 'code', 'detail', why -> 'detail',
		'approvals', why -> 'approvals', 'grants', why -> 'grants',
		'person', (select json_build_object('id', p.person_id, 'name', p.display_name, 'state', p.state, 'kind', p.kind,
			'email', (select e.email_key from dir.person_email e where e.person_id = who and e.is_primary),
			'groups', (select coalesce(json_agg(g.name_key order by g.name_key), '[]') from dir.membership m
				join dir.grp g using (group_id) where m.person_id = who and g.state = 'active'))
			from dir.person p where p.person_id = who)))::text;
end $$;

-- The actions that a Slack user may use in some scope; null: not known who that is.
create function ops.may(p_team text, p_user text) returns text
language plpgsql stable security definer set search_path = pg_catalog, pg_temp as $$
declare
	i ops.identity := ops.identify_by_link(p_team, p_user);
	groups bigint[];
begin
	if i.code <> 'ok' then
		return null;
	end if;
	if not exists (select 1 from dir.person p where p.person_id = i.person_id and p.state = 'active' and p.kind = 'human') then
		return '[]';
	end if;
	groups := array(select m.group_id from dir.membership m where m.person_id = i.person_id);
	return (select coalesce(json_agg(a.name order by a.name), '[]') from authz.action a
		where a.enabled
		  and exists (select 1 from authz.permit g where g.action_id = a.action_id and g.capability = 'request'
			and g.effect = 'allow' and g.valid @> clock_timestamp()
			and (g.person_id = i.person_id or g.group_id = any (groups)))
		  and not exists (select 1 from authz.permit g where g.action_id = a.action_id and g.effect = 'forbid'
			and g.valid @> clock_timestamp() and (g.person_id = i.person_id or g.group_id = any (groups)
				or exists (select 1 from dir.grp u where u.group_id = g.group_id and u.state = 'active' and dir.unread(u)))
			and not exists (select 1 from authz.permit_scope s where s.grant_id = g.grant_id)))::text;
end $$;

-- As whom a cluster takes what a person asks for: the address, the groups, the Slack user. null: nobody who may act.
create function ops.acting(p_person bigint, p_slack_user text) returns text
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
	select json_build_object('name', e.email_key, 'uid', p.person_id::text,
		'groups', (select coalesce(json_agg(g.name_key order by g.name_key), '[]') from dir.membership m
			join dir.grp g using (group_id) where m.person_id = p.person_id and g.state = 'active'),
		'extra', json_build_object('slack-user', json_build_array(p_slack_user)))::text
	from dir.person p join dir.person_email e on e.person_id = p.person_id and e.is_primary
	where p.person_id = p_person and p.state = 'active'
$$;

create function ops.health() returns text
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
	select json_build_object(
		'requests', (select json_object_agg(x.state, x.n) from (select q.state, count(*) n from ops.request q
			where q.wake_at is not null group by q.state) x),
		'overdue', (select count(*) from ops.request q where q.wake_at < clock_timestamp() - interval '2 minutes'),
		'owed', (select count(*) from ops.message m where m.due_at is not null),
		'owed_oldest_s', (select coalesce(extract(epoch from clock_timestamp() - min(m.created_at))::bigint, 0)
			from ops.message m where m.due_at is not null),
		'freezes', (select count(*) from ops.freeze f where coalesce(f.ends_at, 'infinity') > clock_timestamp()),
		'replicas', (select count(*) from ops.replica r where r.seen_at > clock_timestamp() - interval '1 minute'),
		'directory', (select json_build_object('sources', count(*), 'generation', max(s.generation),
			'age_s', extract(epoch from clock_timestamp() - min(coalesce(s.fetch_started_at, 'epoch')))::bigint)
			from dir.source s),
		'sources', (select coalesce(json_agg(json_build_object('name', s.name,
				'age_s', extract(epoch from clock_timestamp() - coalesce(s.fetch_started_at, 'epoch'))::bigint,
				'failing', coalesce((select r.state in ('failed', 'refused') from dir.sync_run r
					where r.source_id = s.source_id and r.finished_at is not null order by r.run_id desc limit 1), false))
			order by s.name), '[]') from dir.source s),
		'grants_revision', (select max(v.revision) from authz.revision v),
		'migration', (select max(m.number) from ops.migration m))::text
$$;

-- Makes the plans of the hot functions in a new session, so that the first person does not wait for them: runs
-- them once with nobody's data and takes all of it back.
create function ops.warm() returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
	boot uuid := gen_random_uuid();
	id text := left('warm' || boot, 32);
	i ops.identity;
begin
	perform authz.scope_ok(0, 'allow', 0, '{}');
	perform authz.decide(0, 'request', 'none', '{}', 0);
	i := ops.identify('', '', 'ok', 'nobody@localhost', 0, '{}', null);
	perform ops.receive(boot, '{}', id, id, id, 'warm', '', '', null, null, '', 'warm', 'warm', 1::smallint, '{}', null,
		'{}', null, null, null, false, 'ok', null, null, true, null, 0, null);
	perform ops.decide_request(boot, '{}', id, 0, 'ok', null, null, null, 0);
	perform ops.start(boot, '{}', id, 0, 'warm', 'read', null, null, null, null, null, 0, null, 0);
	perform ops.settle(boot, '{}', id, 1, 'failed', null, null, null, null, null, '{}', '{}', null, 1);
	perform ops.outbox_mark(boot, '{}', array[0], array['later'], array[''], array[0], array[''], array['']);
	raise exception 'all of it is taken back' using errcode = 'OP000';
exception
	when sqlstate 'OP000' then
		return;
end $$;

-- What is not granted here cannot be done.
grant execute on function
	ops.hello(uuid, json, text, text, boolean),
	ops.receive(uuid, json, text, text, text, text, text, text, text, text, text, text, text, smallint, json, json,
		json, text, text, text, boolean, text, text, text, boolean, text, integer, text),
	ops.decide_request(uuid, json, text, bigint, text, text, text, text, integer),
	ops.confirm(uuid, json, text, text, text, text, text, text, text, boolean, text, text, boolean, text, text, integer),
	ops.disown(uuid, json, text, text, text, text, boolean, boolean),
	ops.offer(uuid, json, text, bigint, json, text, json, integer),
	ops.start(uuid, json, text, bigint, text, text, json, json, text, jsonb, text, integer, text, integer),
	ops.settle(uuid, json, text, bigint, text, text, json, text, json, text, json, json, text, integer),
	ops.claim_due(uuid, json, integer, text),
	ops.renew(uuid, json, text[], bigint[]),
	ops.sweep(json, integer),
	ops.warm(),
	ops.outbox_claim(uuid, integer[]),
	ops.outbox_mark(uuid, json, bigint[], text[], text[], bigint[], text[], text[]),
	ops.may(text, text),
	ops.acting(bigint, text)
	to opsd_service;
grant execute on function
	ops.audit_list(text, text, text, timestamptz, text, integer),
	ops.explain_request(text, text, jsonb),
	ops.health()
	to opsd_service, opsd_auditor, opsd_grants;
grant select on ops.audit_recent to opsd_auditor;

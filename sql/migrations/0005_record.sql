-- SPDX-License-Identifier: Apache-2.0
-- Writing the audit log and what is owed: helpers of the functions that follow; nobody else may call them,
-- and they run with the search_path of their callers (setting it again costs as much as a small query).
--
-- JSON is concatenated, keys in sorted order: that is several times cheaper than building jsonb and gives
-- the canonical form at once.
set local role opsd_owner;

create function ops.js(p_text text) returns text
language sql stable parallel safe as $$ select coalesce(to_json(p_text)::text, 'null') $$;

create function ops.iso(p_at timestamptz) returns text
language sql stable parallel safe as $$ select to_char(p_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') $$;

create function ops.ms(p_at timestamptz) returns bigint
language sql stable as $$ select (extract(epoch from p_at) * 1000)::bigint $$;

-- Keys sorted, nothing between: the form that an entry has which was not concatenated in it.
create function ops.canonical(p_value jsonb) returns text
language plpgsql immutable parallel safe as $$
begin
	return case jsonb_typeof(p_value)
		when 'object' then '{' || coalesce((select string_agg(to_json(o.key)::text || ':' || ops.canonical(o.value), ','
			order by o.key collate "C") from jsonb_each(p_value) o), '') || '}'
		when 'array' then '[' || coalesce((select string_agg(ops.canonical(a.value), ',' order by a.n)
			from jsonb_array_elements(p_value) with ordinality a(value, n)), '') || ']'
		else p_value::text end;
end $$;

-- ["…","…"], or null when there is nothing to list
create function ops.js_list(p_texts text[]) returns text
language sql immutable parallel safe as $$
	select '[' || string_agg(to_json(t)::text, ',' order by n) || ']' from unnest(p_texts) with ordinality x(t, n)
$$;

-- The facts of a request, in the shape of include/core/facts.h.  A single expression: the planner puts it
-- straight into the statement of the caller.
create function ops.facts(r ops.request, p_outcome text, p_why text) returns text
language sql stable as $$
	select '{' || coalesce('"args":' || coalesce(r.shown, r.args)::text || ',', '')
		|| coalesce('"changes":' || (r.plan -> 'changes')::text || ',', '')
		|| coalesce('"channel":' || to_json(r.channel)::text || ',', '')
		|| coalesce('"code":' || to_json(r.code)::text || ',', '')
		|| coalesce('"command":' || to_json(r.command)::text || ',', '')
		|| case when p_outcome = 'denied' then coalesce('"detail":' || r.detail::text || ',', '') else '' end
		|| coalesce('"foreign":' || (r.plan -> 'foreign')::text || ',', '')
		|| coalesce('"outcome":' || to_json(p_outcome)::text || ',', '')
		|| coalesce('"owners":' || (r.plan -> 'owners')::text || ',', '')
		|| coalesce('"reason":' || to_json(coalesce(r.shown, r.args) ->> 'reason')::text || ',', '')
		|| '"request":"' || r.id || '"'
		|| case when r.kind = 'revert' then ',"revert":true' else '' end
		|| case when r.command is not null then ',"risk":' || r.risk::text else '' end
		|| coalesce(',"target":' || (r.plan -> 'target')::text, '')
		|| case when r.command is null then coalesce(',"text":' || to_json(r.text)::text, '') else '' end
		|| coalesce(',"undoes":"' || r.undoes || '"', '')
		|| coalesce(',"warnings":' || (r.plan -> 'warnings')::text, '')
		|| coalesce(',"when":' || (r.plan -> 'when')::text, '')
		|| ',"who":{' || coalesce('"email":' || to_json(r.person_email)::text || ',', '')
		|| coalesce('"name":' || to_json(r.person_name)::text || ',', '')
		|| '"team":' || to_json(r.team)::text || ',"user":' || to_json(r.slack_user)::text || '}'
		|| coalesce(',"why":' || to_json(p_why)::text, '') || '}'
$$;

-- The body of an entry about a request.  p_facts and p_evidence: JSON text; p_evidence may be null.
create function ops.entry(r ops.request, p_at timestamptz, p_observer json, p_event text, p_outcome text,
	p_facts text, p_evidence text) returns text
language sql stable as $$
	select '{' || coalesce('"action":' || to_json(r.action)::text || ',', '')
		|| '"code":' || coalesce(to_json(r.code)::text, 'null')
		|| coalesce(',"decision":' || r.detail::text, '')
		|| ',"event":"request.' || p_event || '"'
		|| coalesce(',"evidence":' || p_evidence, '')
		|| ',"facts":' || p_facts
		|| ',"fence":' || r.fence::text
		|| ',"observer":' || p_observer::text
		|| ',"outcome":"' || p_outcome || '"'
		|| coalesce(',"person":' || r.person_id::text, '')
		|| ',"policy":' || coalesce(to_json(r.catalog_digest)::text, 'null')
		|| ',"request":"' || r.id || '"'
		|| coalesce(',"scope":' || r.scope::text, '')
		|| ',"source":{"channel":' || coalesce(to_json(r.channel)::text, 'null')
		|| ',"envelope":' || to_json(r.envelope_id)::text || ',"kind":' || to_json(r.kind)::text
		|| ',"team":' || to_json(r.team)::text || ',"user":' || to_json(r.slack_user)::text || '}'
		|| ',"state":"' || r.state::text || '","time":"' || to_char(p_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')
		|| '","v":1}'
$$;

create function ops.audit_request(r ops.request, p_observer json, p_event text, p_outcome text, p_facts text,
	p_evidence text) returns void
language plpgsql as $$
declare
	now_ timestamptz := clock_timestamp();
begin
	insert into ops.audit (at, request_id, person_id, slack_user, event, action, outcome, body)
	values (now_, r.id, r.person_id, r.slack_user, 'request.' || p_event, r.action, p_outcome::ops.outcome,
		ops.entry(r, now_, p_observer, p_event, p_outcome, p_facts, p_evidence));
end $$;

-- One entry about something else: a link, a message.  p_facts: JSON text.
create function ops.audit_note(p_request text, p_person bigint, p_user text, p_observer json, p_event text,
	p_outcome text, p_facts text) returns void
language plpgsql as $$
declare
	now_ timestamptz := clock_timestamp();
begin
	insert into ops.audit (at, request_id, person_id, slack_user, event, outcome, body)
	values (now_, p_request, p_person, p_user, p_event, p_outcome::ops.outcome,
		'{"event":' || to_json(p_event)::text || ',"facts":' || p_facts || ',"observer":' || p_observer::text
		|| ',"outcome":"' || p_outcome || '"' || coalesce(',"person":' || p_person::text, '')
		|| coalesce(',"request":' || to_json(p_request)::text, '')
		|| ',"time":"' || to_char(now_ at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')
		|| '"' || coalesce(',"user":' || to_json(p_user)::text, '') || ',"v":1}');
end $$;

-- How long a claimed message belongs to its claimer, and a claimed request to its.
create function ops.message_lease() returns interval language sql immutable parallel safe as $$ select interval '30 seconds' $$;
create function ops.request_lease() returns interval language sql immutable parallel safe as $$ select interval '60 seconds' $$;

create function ops.final_outcome(p_state text) returns text
language sql immutable parallel safe as $$
	select case p_state when 'succeeded' then 'success' when 'denied' then 'denied' when 'unknown' then 'unknown'
		else 'failure' end
$$;

-- Owes facts about a request to the audit channel, to the requester or to both.  When claimed, answers with
-- the rows as a JSON array, for the caller's own sender; else null.
create function ops.owe(r ops.request, p_boot uuid, p_channel text, p_facts text, p_audit boolean, p_reply boolean,
	p_response_url text, p_room integer) returns text
language plpgsql as $$
declare
	now_ timestamptz := clock_timestamp();
	answer text;
begin
	with m as (
		insert into ops.message (request_id, kind, channel, slack_user, response_url, body, created_at, due_at,
			claimed_by, attempts)
		select r.id, x.kind, x.channel, x.slack_user, x.url, p_facts::json, now_,
			case when x.mine then now_ + ops.message_lease() else now_ end,
			case when x.mine then p_boot end, x.mine::integer
		-- the reply first: the person waits, the channel has its pace
		from (values ('audit'::ops.owed_kind, p_channel, null::text, null::text, p_audit, p_room > p_reply::integer),
			('reply', r.channel, r.slack_user, p_response_url, p_reply, p_room > 0))
			x(kind, channel, slack_user, url, wanted, mine)
		where x.wanted and (x.kind <> 'audit' or x.channel is not null)
		returning id, request_id, kind, channel, slack_user, response_url, body, created_at, claimed_by)
	select json_agg(json_build_object('id', m.id, 'request', m.request_id, 'kind', m.kind, 'channel', m.channel,
			'user', m.slack_user, 'response_url', m.response_url, 'body', m.body,
			'created_ms', (extract(epoch from m.created_at) * 1000)::bigint) order by m.id)::text
		into answer from m where m.claimed_by is not null;
	return answer;
end $$;

-- Something that the audit channel must hear of beside outcomes.  p_body: { "alarm": what, … }, or { "event": what, … }.
create function ops.alarm(p_body json, p_request text) returns void
language plpgsql as $$
begin
	insert into ops.message (request_id, kind, channel, body, due_at)
		select coalesce(p_request, ''), 'audit', s.audit_channel, p_body, clock_timestamp()
		from ops.setting s where s.audit_channel is not null;
end $$;

create function ops.round_of(p_id text) returns ops.approval
language sql stable as $$
	select a from ops.approval a where a.request_id = p_id order by a.round desc limit 1
$$;

-- Everything of a row that is needed to carry on with it.  approved: the digest that enough people approved.
create function ops.row_json(r ops.request) returns text
language sql stable as $$
	select json_build_object('id', r.id, 'state', r.state, 'team', r.team, 'slack_user', r.slack_user, 'channel', r.channel,
		'response_url', r.response_url, 'kind', r.kind, 'person_id', r.person_id, 'person_name', r.person_name,
		'person_email', r.person_email, 'command', r.command, 'action', r.action, 'risk', r.risk, 'args', r.args,
		'scope', r.scope, 'text', r.text, 'cursor', r.cursor, 'catalog_digest', r.catalog_digest, 'code', r.code,
		'detail', r.detail, 'plan', r.plan, 'digest', r.digest, 'fence', r.fence, 'attempts', r.attempts, 'unheard', r.unheard,
		'approved', case when r.state = 'allowed' then (ops.round_of(r.id)).digest end,
		'approved_by', (select json_agg(p.display_name order by v.voted_at) from ops.vote v join dir.person p using (person_id)
			where v.request_id = r.id and v.round = (ops.round_of(r.id)).round and v.decision = 'approve'),
		'times', r.times, 'starts_ms', ops.ms(r.starts_at), 'undoes', r.undoes,
		'undone', case when r.undoes is not null then (select json_build_object('plan', p.plan, 'state', p.state)
			from ops.request p where p.id = r.undoes) end,
		'step', (select json_build_object('attempt', s.attempt, 'kind', s.kind, 'effect', s.effect, 'state', s.state)
			from ops.step s where s.request_id = r.id order by s.attempt desc limit 1))::text
$$;

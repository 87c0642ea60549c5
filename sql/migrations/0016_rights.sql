-- SPDX-License-Identifier: Apache-2.0
-- Rights in chat: who am I, why may I not, who could help; and rights for a time, which need two people or are
-- looked at by a second one afterwards.  What is permanent is in the reviewed file.
set local role opsd_owner;

-- What the database must know of the configuration: where this deployment speaks, and which proof it asks for.
create function ops.configure(p_audit text, p_approval text, p_can_step_up boolean, p_proof_from smallint, p_step_up_from smallint)
returns void
language sql security definer set search_path = pg_catalog, pg_temp as $$
	update ops.setting set audit_channel = p_audit, approval_channel = p_approval, can_step_up = p_can_step_up,
			proof_from_risk = p_proof_from, step_up_from_risk = p_step_up_from
		where (audit_channel, approval_channel, can_step_up, proof_from_risk, step_up_from_risk)
			is distinct from (p_audit, p_approval, p_can_step_up, p_proof_from, p_step_up_from)
$$;

-- Everything that speaks for or against one use of an action by one person.
create function ops.why_json(p_person bigint, p_action text, p_scope jsonb, p_risk integer, p_rules jsonb) returns json
language plpgsql stable as $$
declare
	scope jsonb := coalesce(p_scope, '{}');
	d authz.decision := authz.decide(p_person, 'request', p_action, scope, p_risk);
	seed text := p_action || coalesce(p_person, 0);
begin
	return json_build_object('allowed', d.allowed, 'code', d.code,
		'detail', ops.decision_json(d, p_person, p_action, scope)::json,
		'grants', (select coalesce(json_agg(json_build_object('key', x.grant_key, 'effect', x.effect, 'via', x.via,
			'verdict', x.verdict, 'mine', x.mine)), '[]') from authz.explain(p_person, 'request', p_action, scope) x),
		'approvals', (select coalesce(json_agg(x.rule || jsonb_build_object('people', (
				select coalesce(jsonb_agg(a.name), '[]') from ops.approvers(seed, x.rule, p_action, scope, p_risk,
					ops.disguises(p_person), 5) a))
				|| jsonb_strip_nulls(jsonb_build_object('unread', ops.rule_unread(x.rule, p_action, scope))) order by x.n), '[]')
			from jsonb_array_elements(ops.with_floor(p_action, p_rules)) with ordinality x(rule, n)));
end $$;

-- Who this Slack user is to us.  A stranger is told the code, and nothing else.
create function ops.whoami(p_team text, p_user text, p_verdict text, p_email text, p_observer json) returns json
language plpgsql as $$
declare
	i ops.identity := ops.identify(p_team, p_user, p_verdict, p_email, 0, p_observer, null);
begin
	if i.code <> 'ok' then
		return json_build_object('code', i.code);
	end if;
	return (select json_build_object('code', i.code, 'name', p.display_name, 'email', e.email_key, 'state', p.state,
			'link', json_build_object('how', l.how, 'since_ms', ops.ms(l.bound_at), 'proved_ms', ops.ms(l.proved_at),
				'enough_to', case when l.how = 'idp' and l.proved_at > clock_timestamp() - x.proof_max_age then 3
					else x.proof_from_risk - 1 end, 'can_step_up', x.can_step_up),
			'groups', (select coalesce(json_agg(y.name_key), '[]') from (select g.name_key from dir.membership m
				join dir.grp g using (group_id) where m.person_id = i.person_id and g.state = 'active'
				order by g.name_key limit 30) y),
			'n_groups', (select count(*) from dir.membership m join dir.grp g using (group_id)
				where m.person_id = i.person_id and g.state = 'active'),
			'directory', json_build_object('source', s.name, 'generation', s.generation,
				'age_s', extract(epoch from clock_timestamp() - s.fetch_started_at)::bigint),
			'timed', (select coalesce(json_agg(json_build_object('key', t.stable_key, 'effect', t.effect, 'action', a.name,
					'until_ms', ops.ms(upper(t.valid))) order by upper(t.valid)), '[]')
				from authz.permit t join authz.action a using (action_id)
				where t.person_id = i.person_id and t.valid @> clock_timestamp()))
		from ops.setting x
		join dir.person p on p.person_id = i.person_id
		join dir.source s using (source_id)
		left join dir.person_email e on e.person_id = p.person_id and e.is_primary
		left join ops.link l on l.slack_team = p_team and l.slack_user = p_user);
end $$;

-- What people ask about rights, and the word of a reviewer; p_question: { "what": "whoami" | "why" | "why_request" | "review", "team",
-- "user", "verdict", "email", "action", "scope", "risk", "rules", "request" }.
create function ops.tell(p_question jsonb, p_observer json) returns text
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
	what text := p_question ->> 'what';
	i ops.identity;
	r ops.request;
begin
	if what = 'whoami' then
		return ops.whoami(p_question ->> 'team', p_question ->> 'user', p_question ->> 'verdict', p_question ->> 'email',
			p_observer)::text;
	end if;
	i := ops.identify(p_question ->> 'team', p_question ->> 'user', p_question ->> 'verdict', p_question ->> 'email', 0,
		p_observer, null);
	if i.code <> 'ok' then
		return json_build_object('allowed', false, 'code', i.code)::text;
	elsif what = 'why' then
		return ops.why_json(i.person_id, p_question ->> 'action', p_question -> 'scope', (p_question ->> 'risk')::integer,
			p_question -> 'rules')::text;
	end if;
	if what = 'review' then
		return ops.review_done(p_question ->> 'request', i.person_id, p_question ->> 'user', p_observer)::text;
	end if;
	select * into r from ops.request q where q.id = p_question ->> 'request';
	if r.person_id is distinct from i.person_id or r.action is null then
		return '{"allowed":false,"code":"not_yours"}';
	end if;
	return ops.why_json(i.person_id, r.action, r.scope::jsonb, r.risk, null)::text;
end $$;

-- Rights for a time

create table ops.review (
	request_id  text collate "C" primary key,
	person_id   bigint not null,
	grant_key   text collate "C" not null,
	reason      text,
	ends_at     timestamptz not null,
	remind_at   timestamptz,
	reminders   smallint not null default 0,
	reviewed_at timestamptz,
	reviewed_by bigint,
	constraint review_open_has_timer check ((reviewed_at is null) = (remind_at is not null)
		and (reviewed_at is null) = (reviewed_by is null))
);
create index review_due on ops.review (remind_at) where remind_at is not null;
comment on table ops.review is 'A break-glass that somebody else must look at; it is brought up until they have';
grant select on ops.review to opsd_auditor;

create function ops.refused(p_sentence text) returns json
language sql immutable as $$ select json_build_object('refused', p_sentence) $$;

create function ops.person_text(p_person bigint) returns text
language sql stable as $$
	select p.display_name || coalesce(' (' || e.email_key || ')', '') from dir.person p
	left join dir.person_email e on e.person_id = p.person_id and e.is_primary where p.person_id = p_person
$$;

create function ops.seconds_text(p_seconds bigint) returns text
language sql immutable as $$
	select case when p_seconds % 3600 = 0 then p_seconds / 3600 || ' h' when p_seconds % 60 = 0 then p_seconds / 60 || ' min'
		else p_seconds || ' s' end
$$;

create type ops.subject as (
	person_id bigint,
	group_id  bigint,
	name      text,
	problem   text
);

-- "me", person:ADDRESS, a Slack id or group:NAME.
create function ops.subject_of(r ops.request, p_who text) returns ops.subject
language plpgsql stable as $$
declare
	x ops.subject;
begin
	if coalesce(p_who, 'me') = 'me' then
		x.person_id := r.person_id;
	elsif p_who like 'group:%' then
		x.group_id := ops.group_named(substr(p_who, 7));
	else
		x.person_id := ops.find_person(regexp_replace(regexp_replace(p_who, '^person:', ''), '^<?@?([A-Z0-9]+)([|][^>]*)?>?$', '\1'));
	end if;
	x.name := coalesce(ops.person_text(x.person_id), 'group ' || (select g.name_key from dir.grp g where g.group_id = x.group_id));
	if x.name is null then
		x.problem := 'The directory does not know ' || p_who || ' (write an address, @somebody, or group:NAME).';
	end if;
	return x;
end $$;

-- The scope of a right to be given; null members are not given.  p_open: what is not given means any.
create function ops.scope_wanted(p_action text, p_where jsonb, p_open boolean) returns json
language plpgsql stable as $$
declare
	given jsonb := jsonb_strip_nulls(coalesce(p_where, '{}'));
	missing text;
	extra text;
begin
	select string_agg(ap.param, ' and ' order by ap.param) into missing from authz.action_param ap join authz.action a using (action_id)
		where a.name = p_action and ap.scoped and not given ? ap.param;
	select string_agg(k, ' and ' order by k) into extra from jsonb_object_keys(given) k
		where k not in (select ap.param from authz.action_param ap join authz.action a using (action_id) where a.name = p_action);
	if extra is not null then
		return ops.refused(p_action || ' is not limited by ' || extra || '.');
	elsif missing is not null and not p_open then
		return ops.refused(p_action || ' is limited by ' || missing || ': say which.');
	end if;
	return json_build_object('scope', (select coalesce(jsonb_object_agg(ap.param, case
			when not given ? ap.param then '{"any": true}'::jsonb
			when ap.type = 'int' then jsonb_build_object('min', given -> ap.param, 'max', given -> ap.param)
			else jsonb_build_object('values', jsonb_build_array(given ->> ap.param)) end), '{}')
		from authz.action_param ap join authz.action a using (action_id) where a.name = p_action and (ap.scoped or given ? ap.param)));
end $$;

-- What a request about rights would do, as a plan (docs/action-contract.md) with what is needed to do it in
-- "precondition", or { "refused": sentence }.
create function ops.access_plan(r ops.request, p_do text, w jsonb) returns json
language plpgsql stable as $$
declare
	x ops.subject;
	a authz.action;
	g authz.permit;
	l ops.link;
	scope json;
	seconds bigint := (w ->> 'for')::bigint;
	field text;
	unread boolean;
begin
	if p_do in ('grant', 'suspend') then
		x := ops.subject_of(r, w ->> 'who');
		if x.problem is not null then
			return ops.refused(x.problem);
		end if;
		unread := coalesce((select dir.unread(y) from dir.grp y where y.group_id = x.group_id), false);
	end if;
	if p_do in ('grant', 'break_glass') or (p_do = 'suspend' and w ->> 'action' is not null) then
		select * into a from authz.action y where y.name = w ->> 'action' and y.enabled;
		if not found then
			return ops.refused('There is no action ' || coalesce(w ->> 'action', '(none)') || '; `opsd grants list` has them.');
		end if;
	end if;
	if p_do in ('grant', 'suspend') and coalesce(seconds not between 60 and 86400, true) then
		return ops.refused('In chat a right lasts from a minute to 24 hours (for=2h); what lasts longer is in the reviewed file.');
	end if;
	if p_do = 'grant' then
		if a.risk > 2 then
			return ops.refused('Rights of risk 3 are given by the reviewed file only.');
		elsif unread then -- nor is it known whether somebody who approves it gains by it
			return ops.refused('Nobody knows yet who is in ' || x.name || ': give the right to people, or name the group in the '
				|| 'reviewed file.');
		end if;
		scope := ops.scope_wanted(a.name, w -> 'where', false);
		if scope -> 'refused' is not null then
			return scope;
		end if;
		field := 'right to ' || coalesce(w ->> 'can', 'request') || ' ' || a.name
			|| coalesce(' where ' || nullif(authz.scope_text((scope -> 'scope')::jsonb), ''), '');
		return json_build_object('target', json_build_object('own', 'rights', 'name', x.name),
			'changes', json_build_array(json_build_object('field', field, 'from', null, 'to', 'for ' || ops.seconds_text(seconds))),
			'warnings', '[]'::json, 'owners', '[]'::json,
			'precondition', json_build_object('uid', coalesce('p' || x.person_id, 'g' || x.group_id), 'scope', scope -> 'scope'));
	elsif p_do = 'break_glass' then
		if not exists (select 1 from authz.permit t join authz.action b using (action_id) where b.name = r.action
				and t.person_id = r.person_id and t.origin = 'file' and t.effect = 'allow' and t.capability = 'request'
				and t.valid @> clock_timestamp() and authz.scope_ok(t.grant_id, 'allow', b.action_id, r.scope::jsonb)) then
			return ops.refused('Break-glass is for the people who are named for it in the reviewed file, one by one: it must not '
				|| 'hang on a group.');
		end if;
		scope := ops.scope_wanted(a.name, w -> 'where', true);
		if scope -> 'refused' is not null then
			return scope;
		end if;
		seconds := least(coalesce(seconds, 3600), 3600);
		return json_build_object('target', json_build_object('own', 'rights', 'name', ops.person_text(r.person_id)),
			'changes', json_build_array(json_build_object('field', 'right to request ' || a.name
				|| coalesce(' where ' || nullif(authz.scope_text((scope -> 'scope')::jsonb), ''), '') || ' without asking anybody',
				'from', null, 'to', 'for ' || ops.seconds_text(seconds))),
			'warnings', json_build_array('Everybody in the audit channel is told now, and somebody else reviews it afterwards.'),
			'owners', '[]'::json, 'precondition', json_build_object('uid', 'p' || r.person_id, 'scope', scope -> 'scope'));
	elsif p_do = 'suspend' then
		return json_build_object('target', json_build_object('own', 'rights', 'name', x.name),
			'changes', json_build_array(json_build_object('field', coalesce(a.name, 'every action'), 'from', 'as granted',
				'to', 'blocked for ' || ops.seconds_text(seconds))),
			'warnings', case when unread then json_build_array('Nobody knows yet who is in ' || x.name || ': until its members are '
				|| 'read, at the next sync, everybody is blocked.') else '[]'::json end, 'owners', '[]'::json,
			'precondition', json_build_object('uid', coalesce('p' || x.person_id, 'g' || x.group_id)));
	elsif p_do = 'end' then
		select * into g from authz.permit y where y.stable_key = w ->> 'grant';
		if not found then
			return ops.refused('There is no grant ' || coalesce(w ->> 'grant', '(none)') || '; `access list` has those for a time.');
		end if;
		return json_build_object('target', json_build_object('own', 'end', 'name', 'grant ' || g.stable_key),
			'changes', case when g.origin <> 'file' and upper(g.valid) <= clock_timestamp() then '[]'::json
				else json_build_array(json_build_object('field', 'grant ' || g.stable_key, 'from', 'in force', 'to',
					case when g.origin <> 'file' then 'ended' else 'blocked for 24 h' end)) end,
			'warnings', case when g.origin = 'file' then json_build_array('It is in the reviewed file, and comes back after 24 hours '
				|| 'unless it is taken out there. Until then the block beats every other grant of the same action and scope to the '
				|| 'same group or person.') else '[]'::json end,
			'owners', '[]'::json, 'precondition', json_build_object('uid', g.stable_key));
	elsif p_do = 'relink' then
		select * into l from ops.link y where y.slack_team = r.team
			and y.slack_user = regexp_replace(w ->> 'user', '^<?@?([A-Z0-9]+)([|][^>]*)?>?$', '\1');
		if not found then
			return ops.refused('That Slack account is not linked to anybody.');
		end if;
		return json_build_object('target', json_build_object('own', 'link', 'name', 'Slack account ' || l.slack_user),
			'changes', json_build_array(json_build_object('field', 'linked to', 'from', ops.person_text(l.person_id) || ', ' || l.state,
				'to', 'nobody')),
			'warnings', json_build_array('The next thing that the account asks for links it anew, by its address then.'),
			'owners', '[]'::json, 'precondition', json_build_object('uid', 'l' || l.person_id));
	end if;
	return ops.refused('This cannot be done here.');
end $$;

-- Who besides the requester stands behind a request: those who approved its plan, none of them the one who gains by it.
create function ops.second_of(r ops.request, p_for ops.subject) returns bigint
language plpgsql stable as $$
begin
	return (select v.person_id from ops.vote v
		where v.request_id = r.id and v.round = (ops.round_of(r.id)).round and v.decision = 'approve'
		  and v.person_id <> all (ops.disguises(r.person_id))
		  and (p_for.person_id is null or v.person_id <> all (ops.disguises(p_for.person_id)))
		  and (p_for.group_id is null or not exists (
			select 1 from dir.membership m where m.group_id = p_for.group_id and m.person_id = v.person_id))
		order by v.voted_at limit 1);
end $$;

create function ops.permit_add(r ops.request, p_key text, p_effect text, p_can text, p_action integer, p_for ops.subject,
	p_scope jsonb, p_seconds bigint, p_origin text, p_by bigint, p_reason text) returns void
language plpgsql as $$
declare
	now_ timestamptz := clock_timestamp();
	id bigint;
begin
	insert into authz.permit (stable_key, effect, capability, action_id, group_id, person_id, valid, origin, created_by, reason)
		values (p_key, p_effect, p_can, p_action, p_for.group_id, p_for.person_id,
			tstzrange(now_, now_ + make_interval(secs => p_seconds)), p_origin, p_by, left(coalesce(p_reason, ''), 300))
		on conflict (stable_key) do nothing returning grant_id into id;
	insert into authz.permit_scope (grant_id, param, any_value, values_, int_min, int_max)
		select id, s.k, s.v ? 'any', case when s.v ? 'values' then array(select jsonb_array_elements_text(s.v -> 'values')) end,
			(s.v ->> 'min')::bigint, (s.v ->> 'max')::bigint
		from jsonb_each(p_scope) s(k, v) where id is not null;
end $$;

-- Does what was planned, for a request whose intent is on record; doing it again changes nothing.
create function ops.access_do(r ops.request, p_do text, w jsonb, p_observer json) returns json
language plpgsql as $$
declare
	x ops.subject;
	a authz.action;
	g authz.permit;
	second bigint;
	key text := case p_do when 'break_glass' then 'bg-' else 'chat-' end || r.id;
	plan json := ops.access_plan(r, p_do, w);
	seconds bigint := (w ->> 'for')::bigint;
	reason_ text := coalesce(r.shown, r.args) ->> 'reason';
	facts text;
begin
	if plan -> 'refused' is not null then
		return plan;
	elsif plan #>> '{precondition,uid}' is distinct from r.plan #>> '{precondition,uid}' then
		return ops.refused('What was asked for means something else now.');
	end if;
	if p_do in ('grant', 'suspend') then
		x := ops.subject_of(r, w ->> 'who');
	end if;
	select * into a from authz.action y where y.name = w ->> 'action';
	if p_do in ('grant', 'relink') then
		second := ops.second_of(r, x);
		if second is null then
			return ops.refused('This takes two people: somebody who neither asks for it nor gains by it must approve it.');
		end if;
	end if;
	case p_do
	when 'grant' then
		perform ops.permit_add(r, key, 'allow', coalesce(w ->> 'can', 'request'), a.action_id, x,
			(plan #> '{precondition,scope}')::jsonb, seconds, 'chat', second, reason_);
	when 'break_glass' then
		seconds := least(coalesce(seconds, 3600), 3600);
		perform ops.permit_add(r, key, 'allow', 'request', a.action_id, (r.person_id, null, null, null)::ops.subject,
			(plan #> '{precondition,scope}')::jsonb, seconds, 'break_glass', r.person_id, reason_);
		insert into ops.review (request_id, person_id, grant_key, reason, ends_at, remind_at)
			select r.id, r.person_id, key, reason_, upper(t.valid), upper(t.valid) from authz.permit t where t.stable_key = key
			on conflict do nothing;
		if found then
			perform ops.alarm(json_build_object('alarm', 'break_glass', 'user', r.slack_user, 'mention', 'channel',
				'what', plan #>> '{changes,0,field}', 'reason', reason_, 'request', r.id,
				'until_ms', (select ops.ms(v.ends_at) from ops.review v where v.request_id = r.id)), r.id);
		end if;
	when 'suspend' then
		for a in select y.* from authz.action y where y.enabled and (w ->> 'action' is null or y.name = w ->> 'action') loop
			perform ops.permit_add(r, key || ':' || a.name, 'forbid', 'request', a.action_id, x, '{}', seconds, 'chat', r.person_id,
				reason_);
		end loop;
	when 'end' then
		select * into g from authz.permit y where y.stable_key = w ->> 'grant' for update;
		if g.origin = 'file' then
			perform ops.permit_add(r, key, 'forbid', g.capability, g.action_id, (g.person_id, g.group_id, null, null)::ops.subject,
				authz.permit_scope_json(g.grant_id), 86400, 'chat', r.person_id, reason_);
		else
			update authz.permit set valid = tstzrange(lower(valid), greatest(clock_timestamp(), lower(valid) + interval '1 microsecond'))
				where grant_id = g.grant_id and upper(valid) > clock_timestamp();
			update ops.review set ends_at = clock_timestamp(), remind_at = clock_timestamp()
				where grant_key = g.stable_key and reviewed_at is null and ends_at > clock_timestamp();
		end if;
	when 'relink' then
		with gone as (
			delete from ops.link y where y.slack_team = r.team
				and y.slack_user = regexp_replace(w ->> 'user', '^<?@?([A-Z0-9]+)([|][^>]*)?>?$', '\1') returning y.*)
		insert into ops.link_past (slack_team, slack_user, person_id, email_key, how, bound_at, why)
			select slack_team, slack_user, person_id, email_key, how, bound_at, 'request ' || r.id from gone;
	end case;
	select '{' || string_agg(t.line, ',' order by t.line) || '}' into facts from (
		values ('"by":' || coalesce(second, r.person_id)), ('"do":' || ops.js(p_do)), ('"reason":' || ops.js(reason_)),
			('"what":' || ops.js(plan #>> '{changes,0,field}')), ('"to":' || ops.js(plan #>> '{changes,0,to}')),
			('"whose":' || ops.js(plan #>> '{target,name}'))) t(line);
	perform ops.audit_note(r.id, r.person_id, r.slack_user, p_observer, 'access.' || p_do, 'success', facts);
	return json_build_object('done', (plan #>> '{changes,0,field}') || ' ' || (plan #>> '{changes,0,to}'),
		'evidence', json_build_object('grant', key, 'second', second));
end $$;

-- The kinds of src/action/access.c.  p_what: grant.plan, grant.do, grant.look, …
create function ops.access(p_observer json, p_what text, p_request text, p_with jsonb) returns text
language plpgsql as $$
declare
	verb text := split_part(p_what, '.', 1);
	step text := split_part(p_what, '.', 2);
	r ops.request;
begin
	select * into r from ops.request q where q.id = p_request;
	if verb = 'list' then
		return ops.access_list()::text;
	elsif not found or r.person_id is null then
		return ops.refused('The request is not known.')::text;
	elsif step = 'plan' then
		return ops.access_plan(r, verb, p_with)::text;
	elsif step = 'look' then
		return json_build_object('done', exists (select 1 from ops.audit a
			where a.request_id = p_request and a.event = 'access.' || verb))::text;
	end if;
	perform 1 from ops.step s where s.request_id = r.id and s.state = 'intent' and s.kind = 'access.' || verb for update;
	if not found then
		raise exception 'access: % is not under way', p_request using errcode = 'OP011';
	end if;
	return ops.access_do(r, verb, p_with, p_observer)::text;
end $$;

-- What is in force for a time, and what ended within the last week.
create function ops.access_list() returns json
language sql stable as $$
	select coalesce(json_agg(json_build_array(x.key, x.whose, x.what, x.origin, x.ends, x.state) order by x.n), '[]') from (
		select p.stable_key as key, coalesce(ops.person_text(p.person_id), 'group ' || g.name_key) as whose,
			case p.effect when 'forbid' then 'must not ' else 'can ' end || p.capability || ' ' || a.name
				|| coalesce(' where ' || nullif(authz.scope_text(authz.permit_scope_json(p.grant_id)), ''), '') as what,
			replace(p.origin, '_', ' ') as origin, to_char(upper(p.valid) at time zone 'UTC', 'YYYY-MM-DD HH24:MI"Z"') as ends,
			case when p.valid @> clock_timestamp() then 'in force' when v.request_id is null then 'ended'
				when v.reviewed_at is null then 'ended, not reviewed' else 'ended, reviewed' end as state,
			row_number() over (order by p.valid @> clock_timestamp() desc, upper(p.valid) desc, p.stable_key) as n
		from authz.permit p join authz.action a using (action_id)
		left join dir.grp g on g.group_id = p.group_id
		left join ops.review v on v.grant_key = p.stable_key
		where p.origin <> 'file' and upper(p.valid) > clock_timestamp() - interval '7 days'
		order by n limit 99) x
$$;

-- What is due about rights for a time: their ends go on record, and what nobody has reviewed is brought up again.
create function ops.access_tick(p_observer json, p_limit integer) returns integer
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
	now_ timestamptz := clock_timestamp();
	g record;
	v ops.review;
	n integer := 0;
begin
	for g in select p.grant_id, p.stable_key, p.person_id, p.group_id, p.effect, p.capability, a.name as action from authz.permit p
			join authz.action a using (action_id)
			where p.origin <> 'file' and p.ended_at is null and upper(p.valid) <= now_ order by p.grant_id limit p_limit
			for update of p skip locked loop
		update authz.permit set ended_at = now_ where grant_id = g.grant_id;
		perform ops.audit_note(substr(g.stable_key, strpos(g.stable_key, '-R') + 1, 16), g.person_id, null, p_observer, 'access.ended',
			'success', '{"action":' || ops.js(g.action) || ',"can":' || ops.js(g.capability) || ',"effect":' || ops.js(g.effect)
			|| ',"grant":' || ops.js(g.stable_key) || '}');
		perform ops.alarm(json_build_object('alarm', 'access_ended', 'grant', g.stable_key, 'action', g.action, 'effect', g.effect,
			'user', (select min(l.slack_user) from ops.link l where l.person_id = g.person_id and l.state = 'live'),
			'whose', coalesce(ops.person_text(g.person_id), 'group ' || (select y.name_key from dir.grp y where y.group_id = g.group_id))),
			null);
		n := n + 1;
	end loop;
	for v in select * from ops.review y where y.remind_at <= now_ order by y.remind_at limit p_limit for update skip locked loop
		update ops.review set reminders = reminders + 1,
				remind_at = now_ + least(interval '1 hour' * (1 << least(v.reminders, 5)), interval '24 hours')
			where request_id = v.request_id;
		insert into ops.message (request_id, kind, channel, body, due_at)
			select v.request_id, 'review', coalesce(s.approval_channel, s.audit_channel), ops.review_json(v), now_ from ops.setting s
			where coalesce(s.approval_channel, s.audit_channel) is not null;
		perform ops.audit_note(v.request_id, v.person_id, null, p_observer, 'access.review_due', 'attempt',
			'{"grant":' || ops.js(v.grant_key) || ',"reminders":' || v.reminders || '}');
		n := n + 1;
	end loop;
	return n;
end $$;

create function ops.review_json(v ops.review) returns json
language sql stable as $$
	select json_build_object('request', v.request_id, 'grant', v.grant_key, 'reason', v.reason, 'reminders', v.reminders,
		'whose', ops.person_text(v.person_id), 'user', (select min(l.slack_user) from ops.link l where l.person_id = v.person_id),
		'what', (select a.name from authz.permit p join authz.action a using (action_id) where p.stable_key = v.grant_key),
		'used', (select coalesce(json_agg(json_build_object('request', q.id, 'command', q.command, 'state', q.state)
				order by q.created_at), '[]') from (
			select y.id, y.command, y.state, y.created_at from ops.audit e join ops.request y on y.id = e.request_id
			where e.event = 'request.started' and e.person_id = v.person_id and e.at >= v.ends_at - interval '61 minutes'
			  and e.body::json #>> '{decision,grant}' = v.grant_key order by y.created_at limit 20) q))
$$;

-- Somebody else has looked at a break-glass.  p_person: who, known afresh.
create function ops.review_done(p_request text, p_person bigint, p_user text, p_observer json) returns json
language plpgsql as $$
declare
	v ops.review;
	r ops.request;
begin
	select * into v from ops.review y where y.request_id = p_request for update;
	select * into r from ops.request q where q.id = p_request;
	if v.request_id is null or v.ends_at > clock_timestamp() then
		return json_build_object('code', 'review_not_yet');
	elsif v.reviewed_at is not null then
		return json_build_object('code', 'reviewed_already', 'by', ops.person_text(v.reviewed_by));
	elsif v.person_id = any (ops.disguises(p_person)) then
		return json_build_object('code', 'own_review');
	elsif (authz.decide(p_person, 'approve', r.action, r.scope::jsonb, r.risk)).allowed is not true then
		return json_build_object('code', 'not_reviewer');
	end if;
	update ops.review set reviewed_at = clock_timestamp(), reviewed_by = p_person, remind_at = null where request_id = p_request;
	perform ops.audit_note(p_request, p_person, p_user, p_observer, 'access.reviewed', 'success', '{"grant":' || ops.js(v.grant_key) || '}');
	perform ops.alarm(json_build_object('alarm', 'reviewed', 'user', p_user, 'grant', v.grant_key, 'request', p_request,
		'whose', ops.person_text(v.person_id)), null);
	return json_build_object('code', 'reviewed', 'by', ops.person_text(p_person), 'review', ops.review_json(v));
end $$;

-- Company sign-ins

-- The request that waits for its asker's sign-in, locked; null: it is not this replica's any more.
create function ops.signing_in(p_boot uuid, p_id text, p_fence bigint) returns ops.request
language sql as $$
	select q from ops.request q where q.id = p_id and q.fence = p_fence and q.claimed_by = p_boot
		and q.state = 'received' and q.code = 'step_up' for no key update
$$;

-- Before a code is shown: at most three an hour for one account, and one for a request.
create function ops.prove_begin(p_boot uuid, p_observer json, p_id text, p_fence bigint) returns text
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
	r ops.request;
begin
	r := ops.signing_in(p_boot, p_id, p_fence);
	if r.id is null then
		return '"taken_over"';
	end if;
	perform pg_advisory_xact_lock(hashtextextended('opsd sign-in ' || r.slack_user, 0));
	delete from ops.proof_try t where t.slack_user = r.slack_user and t.at < clock_timestamp() - interval '1 hour';
	if (select count(*) from ops.proof_try t where t.slack_user = r.slack_user) >= 3
			or exists (select 1 from ops.request q join ops.proof_try t on t.request_id = q.id and t.slack_user = q.slack_user
				where t.slack_user = r.slack_user and q.state = 'received' and q.code = 'step_up' and q.id <> p_id) then
		perform ops.audit_note(p_id, r.person_id, r.slack_user, p_observer, 'proof.refused', 'denied', '{"why":"too_many"}');
		return '"too_many"';
	end if;
	if exists (select 1 from ops.proof_try t where t.request_id = p_id and t.slack_user = r.slack_user) then
		return '"once"';
	end if;
	insert into ops.proof_try (request_id, slack_team, slack_user) values (p_id, r.team, r.slack_user);
	perform ops.audit_note(p_id, r.person_id, r.slack_user, p_observer, 'proof.asked', 'attempt', '{"risk":' || r.risk || '}');
	return '"ok"';
end $$;

-- A token was verified: its subject must be the very person whose Slack account asked, or pressed the button.  For this
-- request only (p_digest: for an approval of this plan of it); the link is proved by it besides.
create function ops.take_proof(p_id text, p_digest text, p_team text, p_user text, p_person bigint, p_observer json,
	p_source text, p_proof jsonb) returns text
language plpgsql as $$
declare
	named dir.person;
	l ops.link;
	code_ text := 'ok';
	facts text;
begin
	select p.* into named from dir.person p join dir.source s using (source_id)
		where s.name = p_source and p.external_id = p_proof ->> 'subject';
	select * into l from ops.link k where k.slack_team = p_team and k.slack_user = p_user for update;
	if named.person_id is distinct from p_person then
		code_ := 'another_person';
	elsif named.state <> 'active' or named.kind <> 'human' then
		code_ := 'person_not_active';
	elsif l.person_id is distinct from named.person_id or l.state = 'retired' then
		code_ := 'binding_changed';
	elsif exists (select 1 from ops.proof f where f.token_sha256 = p_proof ->> 'token') then
		code_ := 'token_used';
	else
		insert into ops.proof (request_id, person_id, digest, issuer, subject, token_sha256, signed_in_at)
			values (p_id, named.person_id, p_digest, p_proof ->> 'issuer', p_proof ->> 'subject', p_proof ->> 'token',
				to_timestamp(nullif((p_proof ->> 'signed_in_s')::bigint, 0)))
			on conflict (request_id, person_id, digest) do update set issuer = excluded.issuer, subject = excluded.subject,
				token_sha256 = excluded.token_sha256, signed_in_at = excluded.signed_in_at, proved_at = excluded.proved_at;
	end if;
	facts := '{' || '"code":' || ops.js(code_) || ',"issuer":' || ops.js(p_proof ->> 'issuer') || ',"named":'
		|| coalesce(named.person_id::text, 'null') || coalesce(',"plan":' || ops.js(nullif(p_digest, '')), '')
		|| ',"signed_in_s":' || coalesce(p_proof ->> 'signed_in_s', '0') || ',"subject":' || ops.js(p_proof ->> 'subject') || '}';
	if code_ <> 'ok' then
		perform ops.audit_note(p_id, p_person, p_user, p_observer, 'proof.refused', 'denied', facts);
		if code_ = 'another_person' then
			perform ops.alarm(json_build_object('alarm', 'proof_of_another', 'user', p_user, 'mention', 'here', 'request', p_id,
				'whose', coalesce(ops.person_text(named.person_id), 'somebody the directory does not know')), p_id);
		end if;
		return to_json(code_)::text;
	end if;
	update ops.link set how = 'idp', proved_external_id = named.external_id, proved_at = clock_timestamp(), state = 'live',
			state_reason = '' where slack_team = p_team and slack_user = p_user;
	perform ops.audit_note(p_id, p_person, p_user, p_observer, 'proof.given', 'success', facts);
	if l.state = 'suspended' then
		perform ops.audit_note(p_id, p_person, p_user, p_observer, 'link.released', 'success', '{"by":"proof"}');
	end if;
	return '"ok"';
end $$;

create function ops.prove(p_boot uuid, p_observer json, p_id text, p_fence bigint, p_source text, p_proof jsonb) returns text
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
	r ops.request;
begin
	r := ops.signing_in(p_boot, p_id, p_fence);
	if r.id is null then
		return '"taken_over"';
	end if;
	return ops.take_proof(p_id, '', r.team, r.slack_user, r.person_id, p_observer, p_source, p_proof);
end $$;

-- The same for an approval: who approves does not own the request, and may try again until the round is over.  The vote
-- itself comes after it, by the click that asked for the sign-in or by the next one.
create function ops.prove_vote_begin(p_observer json, p_id text, p_digest text, p_team text, p_user text) returns text
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
	r ops.request;
	who bigint := (select l.person_id from ops.link l where l.slack_team = p_team and l.slack_user = p_user);
	why text;
begin
	perform pg_advisory_xact_lock(hashtextextended('opsd sign-in ' || p_user, 0));
	select * into r from ops.request q where q.id = p_id;
	if r.state is distinct from 'approving' or (ops.round_of(p_id)).digest is distinct from p_digest then
		return '"stale_card"';
	end if;
	delete from ops.proof_try t where t.slack_user = p_user and t.at < clock_timestamp() - interval '1 hour';
	why := case
		when exists (select 1 from ops.proof_try t where t.slack_user = p_user and t.request_id = p_id
			and t.at > clock_timestamp() - interval '20 seconds') then 'open'
		when (select count(*) from ops.proof_try t where t.slack_user = p_user) >= 3 then 'too_many' end;
	if why is not null then
		perform ops.audit_note(p_id, who, p_user, p_observer, 'proof.refused', 'denied', '{"why":"' || why || '"}');
		return to_json(why)::text;
	end if;
	insert into ops.proof_try (request_id, slack_team, slack_user) values (p_id, p_team, p_user);
	perform ops.audit_note(p_id, who, p_user, p_observer, 'proof.asked', 'attempt', '{"plan":' || ops.js(p_digest)
		|| ',"risk":' || r.risk || '}');
	return '"ok"';
end $$;

create function ops.prove_vote(p_observer json, p_id text, p_digest text, p_team text, p_user text, p_source text, p_proof jsonb)
returns text
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
	return ops.take_proof(p_id, p_digest, p_team, p_user, (select l.person_id from ops.link l
		where l.slack_team = p_team and l.slack_user = p_user), p_observer, p_source, p_proof);
end $$;

grant execute on function ops.configure(text, text, boolean, smallint, smallint), ops.tell(jsonb, json),
	ops.access_tick(json, integer), ops.prove_begin(uuid, json, text, bigint),
	ops.prove(uuid, json, text, bigint, text, jsonb), ops.prove_vote_begin(json, text, text, text, text),
	ops.prove_vote(json, text, text, text, text, text, jsonb) to opsd_service;

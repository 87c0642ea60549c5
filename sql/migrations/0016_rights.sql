-- SPDX-License-Identifier: Apache-2.0
-- What a person may be told of rights: who am I, why may I not, who could help.
set local role opsd_owner;

-- Where this deployment speaks, for what is written without a replica that could say it.
create function ops.channels(p_audit text, p_approval text) returns void
language sql security definer set search_path = pg_catalog, pg_temp as $$
	update ops.setting set audit_channel = p_audit, approval_channel = p_approval
		where (audit_channel, approval_channel) is distinct from (p_audit, p_approval)
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
					ops.disguises(p_person), 5) a)) order by x.n), '[]')
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

-- Questions that people ask about their own rights; p_question: { "what": "whoami" | "why" | "why_request", "team", "user",
-- "verdict", "email", "action", "scope", "risk", "rules", "request" }.
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
	select * into r from ops.request q where q.id = p_question ->> 'request';
	if r.person_id is distinct from i.person_id or r.action is null then
		return '{"allowed":false,"code":"not_yours"}';
	end if;
	return ops.why_json(i.person_id, r.action, r.scope::jsonb, r.risk, null)::text;
end $$;

grant execute on function ops.channels(text, text), ops.tell(jsonb, json) to opsd_service;

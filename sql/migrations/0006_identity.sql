-- SPDX-License-Identifier: Apache-2.0
-- Slack user -> link -> person, and the decision with its evidence.
set local role opsd_owner;

create type ops.identity as (
	person_id    bigint,
	person_name  text,
	person_email text,
	code         text -- 'ok', or why not
);

-- The link of a Slack user, whatever Slack says of the address now.
create function ops.identify_by_link(p_team text, p_user text) returns ops.identity
language plpgsql stable as $$
declare
	i ops.identity;
begin
	select l.person_id, p.display_name, e.email_key,
			case l.state when 'live' then 'ok' when 'suspended' then 'binding_suspended' else 'second_account' end
		into i
		from ops.link l
		join dir.person p using (person_id)
		left join dir.person_email e on e.person_id = l.person_id and e.is_primary
		where l.slack_team = p_team and l.slack_user = p_user;
	if not found then
		i.code := 'unknown_person';
	end if;
	return i;
end $$;

-- A Slack user without a link, whose address is that of p_person: the link is made, unless the person has one.
create function ops.first_sight(p_team text, p_user text, p_email text, p_person bigint, p_name text,
	p_needs_proof boolean, p_observer json)
returns ops.identity
language plpgsql as $$
declare
	i ops.identity;
begin
	insert into ops.link (slack_team, slack_user, person_id, email_key, how)
		values (p_team, p_user, p_person, p_email, 'email') on conflict do nothing;
	if found then
		perform ops.audit_note(null, p_person, p_user, p_observer, 'link.created', 'success',
			'{"email":' || ops.js(p_email) || ',"how":"email","team":' || ops.js(p_team) || '}');
	else -- another replica made it just now, or the person has another account
		i := ops.identify_by_link(p_team, p_user);
		if i.code <> 'ok' or i.person_id <> p_person then
			return (null, null, null, case i.code when 'ok' then 'binding_changed'
				when 'unknown_person' then 'second_account' else i.code end)::ops.identity;
		end if;
	end if;
	return (p_person, p_name, p_email, case when p_needs_proof then 'needs_proof' else 'ok' end)::ops.identity;
end $$;

-- Who this Slack user is now.  p_verdict: what Slack says of the account ('ok' or why not); p_email: its
-- address in canonical form.  Makes the link on first sight; suspends it when address and link disagree.
create function ops.identify(p_team text, p_user text, p_verdict text, p_email text, p_risk integer, p_observer json)
returns ops.identity
language plpgsql as $$
declare
	i ops.identity;
	x record; -- the link, the owner of the address, and what they come to
begin
	select k.person_id as linked, k.how, k.state as link_state, p.person_id as owner, p.display_name, e.email_key,
			case
				when p_verdict is distinct from 'ok' then coalesce(p_verdict, 'not_a_member')
				when p_email is null then 'no_usable_address'
				when q.email_key is not null then 'quarantined'
				when p.person_id is null then 'unknown_address'
				when not coalesce(split_part(e.email_key, '@', 2) = any (s.allowed_domains), false) then 'no_usable_address'
				when p.state <> 'active' or p.kind <> 'human' then 'person_not_active'
				else 'ok' end as address,
			p_risk >= r.proof_from_risk and (k.how is null or k.how = 'email' or (k.how = 'idp'
				and coalesce(k.proved_at, '-infinity') < clock_timestamp() - r.proof_max_age)) as needs_proof
		into x
		from ops.setting r
		left join ops.link k on k.slack_team = p_team and k.slack_user = p_user
		left join dir.person_email e on e.email_key = p_email
		left join dir.person p on p.person_id = e.person_id
		left join dir.source s on s.source_id = p.source_id
		left join dir.email_quarantine q on q.email_key = p_email and q.released_at is null;
	if x.address = 'ok' and x.link_state = 'live' and x.linked = x.owner then
		return (x.linked, x.display_name, x.email_key,
			case when x.needs_proof then 'needs_proof' else 'ok' end)::ops.identity;
	end if;
	if x.address <> 'ok' then
		-- The address is only a trip-wire when the person was proved by a company sign-in.
		if p_verdict is distinct from 'ok' or x.how is distinct from 'idp' or x.link_state <> 'live'
				or (x.owner is not null and x.owner <> x.linked) then
			i.code := x.address;
			return i;
		end if;
		select x.linked, p.display_name, null, case when x.needs_proof then 'needs_proof' else 'ok' end
			into i from dir.person p where p.person_id = x.linked;
		return i;
	end if;
	if x.linked is null then
		return ops.first_sight(p_team, p_user, p_email, x.owner, x.display_name, x.needs_proof, p_observer);
	end if;
	if x.link_state <> 'live' then
		i.code := case x.link_state when 'suspended' then 'binding_suspended' else 'second_account' end;
		return i;
	end if;
	update ops.link set state = 'suspended', state_reason = 'the address now belongs to another person'
		where slack_team = p_team and slack_user = p_user and state = 'live';
	perform ops.audit_note(null, x.linked, p_user, p_observer, 'link.suspended', 'denied',
		'{"email":' || ops.js(p_email) || ',"owner":' || x.owner || ',"team":' || ops.js(p_team)
		|| ',"why":"the address now belongs to another person"}');
	i.code := 'binding_changed';
	return i;
end $$;

-- The decision's evidence as canonical JSON; for a refusal also what would be enough and who has it.
create function ops.decision_json(d authz.decision, p_person bigint, p_action text, p_scope jsonb) returns text
language plpgsql stable as $$
declare
	head text := coalesce('"age_s":' || extract(epoch from d.directory_age)::bigint, '"age_s":null')
		|| coalesce(',"generation":' || d.generation, '')
		|| coalesce(',"grant":' || to_json(d.grant_key)::text, '');
	groups text[];
	people text[];
	covers text;
begin
	if d.code <> 'no_matching_grant' then
		return '{' || head || coalesce(',"revision":' || d.revision, '') || '}';
	end if;
	select array_agg(distinct x.via) filter (where x.verdict = 'would be enough'),
			string_agg(distinct substr(x.verdict, 10), ' or ') filter (where x.mine and x.verdict like 'only for %')
		into groups, covers
		from authz.explain(p_person, 'request', p_action, p_scope) x
		where x.effect = 'allow';
	select array_agg(x.display_name) into people from (
		select distinct p.display_name from authz.action a
		join authz.permit g on g.action_id = a.action_id and g.capability = 'request' and g.effect = 'allow'
			and g.valid @> clock_timestamp() and g.group_id is not null
		join dir.membership m on m.group_id = g.group_id
		join dir.person p on p.person_id = m.person_id and p.state = 'active' and p.kind = 'human'
			and p.person_id <> p_person and p.display_name <> ''
		where a.name = p_action and authz.scope_ok(g.grant_id, 'allow', a.action_id, p_scope)
		order by p.display_name limit 3) x;
	return '{' || head
		|| coalesce(',"groups":' || ops.js_list(groups[1:5]), '')
		|| coalesce(',"people":' || ops.js_list(people), '')
		|| coalesce(',"revision":' || d.revision, '')
		|| coalesce(',"scope":' || to_json(covers)::text, '') || '}';
end $$;

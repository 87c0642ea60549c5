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
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
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

-- Who this Slack user is now.  p_verdict: what Slack says of the account ('ok' or why not); p_email: its
-- address in canonical form.  Makes the link on first sight; suspends it when address and link disagree.
create function ops.identify(p_team text, p_user text, p_verdict text, p_email text, p_risk integer, p_observer json)
returns ops.identity
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
	i ops.identity;
	o record; -- the owner of the address
	l record; -- the link
	rule record;
	n bigint;
begin
	if p_verdict is distinct from 'ok' then
		i.code := coalesce(p_verdict, 'not_a_member');
		return i;
	end if;
	select k.person_id, k.how, k.proved_at, k.state, s.proof_from_risk, s.proof_max_age
		into l
		from ops.setting s
		left join ops.link k on k.slack_team = p_team and k.slack_user = p_user;
	select p.person_id, p.display_name, p.state, p.kind, e.email_key,
			coalesce(split_part(e.email_key, '@', 2) = any (s.allowed_domains), false) as allowed,
			exists (select 1 from dir.email_quarantine q
				where q.email_key = e.email_key and q.released_at is null) as quarantined
		into o
		from dir.person_email e
		join dir.person p using (person_id)
		join dir.source s using (source_id)
		where e.email_key = p_email;
	if not found or not o.allowed or o.quarantined then
		i.code := case
			when p_email is null then 'no_usable_address'
			when o.person_id is null and exists (select 1 from dir.email_quarantine q
				where q.email_key = p_email and q.released_at is null) then 'quarantined'
			when o.person_id is null then 'unknown_address'
			when o.quarantined then 'quarantined'
			else 'no_usable_address' end;
		-- The address is only a trip-wire when the person was proved by a company sign-in.
		if l.how is distinct from 'idp' or l.state <> 'live' then
			return i;
		end if;
	elsif l.person_id is not null and l.person_id <> o.person_id then
		if l.state = 'live' then
			update ops.link set state = 'suspended', state_reason = 'the address now belongs to another person'
				where slack_team = p_team and slack_user = p_user and state = 'live';
			perform ops.audit_note(null, l.person_id, p_user, p_observer, 'link.suspended', 'denied',
				'{"email":' || ops.js(p_email) || ',"team":' || ops.js(p_team) || ',"why":"the address now belongs to person '
				|| o.person_id || '"}');
			i.code := 'binding_changed';
		else
			i.code := 'binding_suspended';
		end if;
		return i;
	end if;
	if l.person_id is null then
		if o.state <> 'active' or o.kind <> 'human' then
			i.code := 'person_not_active';
			return i;
		end if;
		insert into ops.link (slack_team, slack_user, person_id, email_key, how)
			values (p_team, p_user, o.person_id, p_email, 'email') on conflict do nothing;
		get diagnostics n = row_count;
		if n = 0 then -- made by another replica just now, or the person has another account
			i := ops.identify_by_link(p_team, p_user);
			if i.code = 'unknown_person' then
				i.code := 'second_account';
			end if;
			if i.code <> 'ok' or i.person_id <> o.person_id then
				i := row(null, null, null, case i.code when 'ok' then 'binding_changed' else i.code end);
				return i;
			end if;
		else
			perform ops.audit_note(null, o.person_id, p_user, p_observer, 'link.created', 'success',
				'{"email":' || ops.js(p_email) || ',"how":"email","team":' || ops.js(p_team) || '}');
		end if;
		l.how := 'email';
		l.state := 'live';
		l.person_id := o.person_id;
	end if;
	if l.state <> 'live' then
		i.code := case l.state when 'suspended' then 'binding_suspended' else 'second_account' end;
		return i;
	end if;
	i.person_id := l.person_id;
	if o.person_id is not null and i.code is null then
		i.person_name := o.display_name;
		i.person_email := o.email_key;
	else
		select p.display_name into i.person_name from dir.person p where p.person_id = l.person_id;
	end if;
	if p_risk >= l.proof_from_risk and (l.how = 'email'
			or (l.how = 'idp' and coalesce(l.proved_at, '-infinity') < clock_timestamp() - l.proof_max_age)) then
		i.code := 'needs_proof';
		return i;
	end if;
	i.code := 'ok';
	return i;
end $$;

-- The decision's evidence as canonical JSON; for a refusal also what would be enough and who has it.
create function ops.decision_json(d authz.decision, p_person bigint, p_action text, p_scope jsonb) returns text
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
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

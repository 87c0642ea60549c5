-- SPDX-License-Identifier: Apache-2.0
-- Slack user -> link -> person, and the decision with its evidence.
set local role opsd_owner;

create type ops.identity as (
	person_id    bigint,
	person_name  text,
	person_email text,
	code         text -- 'ok', or why not
);

-- How long after a sign-in for an approval the click that it was for may come.
create function ops.proof_of_vote_lasts() returns interval language sql immutable parallel safe as $$ select interval '15 minutes' $$;

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
-- The user is told of it, in a message of its own.
create function ops.first_sight(p_team text, p_user text, p_email text, p_person bigint, p_observer json) returns text
language plpgsql as $$
declare
	i ops.identity;
begin
	insert into ops.link (slack_team, slack_user, person_id, email_key, how)
		values (p_team, p_user, p_person, p_email, 'email') on conflict do nothing;
	if found then
		perform ops.audit_note(null, p_person, p_user, p_observer, 'link.created', 'success',
			'{"email":' || ops.js(p_email) || ',"how":"email","team":' || ops.js(p_team) || '}');
		insert into ops.message (request_id, kind, slack_user, body, due_at)
			values ('', 'link', p_user, json_build_object('email', p_email), clock_timestamp());
		return 'ok';
	end if;
	i := ops.identify_by_link(p_team, p_user); -- another replica made it just now, or the person has another account
	return case when i.code = 'ok' and i.person_id = p_person then 'ok' when i.code = 'ok' then 'binding_changed'
		when i.code = 'unknown_person' then 'second_account' else i.code end;
end $$;

-- The link and the directory disagree: it is suspended, for good, and the audit channel is told.
create function ops.suspend_link(p_team text, p_user text, p_why text, p_facts text, p_observer json) returns void
language plpgsql as $$
declare
	who bigint;
	now_ timestamptz := clock_timestamp();
begin
	update ops.link set state = 'suspended', state_reason = p_why
		where slack_team = p_team and slack_user = p_user and state = 'live' returning person_id into who;
	if not found then
		return;
	end if;
	perform ops.audit_note(null, who, p_user, p_observer, 'link.suspended', 'denied', p_facts);
	perform ops.alarm(json_build_object('alarm', 'link_suspended', 'user', p_user, 'why', p_why), null);
end $$;

-- Who this Slack user is now.  p_verdict: what Slack says of the account ('ok' or why not); p_email: its
-- address in canonical form.  Makes the link on first sight; suspends it when address and link disagree.
-- p_request: the request whose company sign-in of this person counts, its requester's or that of an approver of its plan
-- (which must be fresh); null: none does.  'step_up': a sign-in is needed and can be had; 'needs_proof': it is needed.
-- Both name the person.
create function ops.identify(p_team text, p_user text, p_verdict text, p_email text, p_risk integer, p_observer json,
	p_request text)
returns ops.identity
language plpgsql as $$
declare
	i ops.identity;
	x record; -- the link, the owner of the address, and what they come to
	code_ text;
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
			(p_risk >= r.proof_from_risk and (k.how is null or k.how <> 'idp'
				or coalesce(k.proved_at, '-infinity') < clock_timestamp() - r.proof_max_age))
				or (p_request is not null and p_risk >= r.step_up_from_risk) as needs_proof, r.can_step_up
		into x
		from ops.setting r
		left join ops.link k on k.slack_team = p_team and k.slack_user = p_user
		left join dir.person_email e on e.email_key = p_email
		left join dir.person p on p.person_id = e.person_id
		left join dir.source s on s.source_id = p.source_id
		left join dir.email_quarantine q on q.email_key = p_email and q.released_at is null;
	code_ := x.address;
	if code_ <> 'ok' then
		-- The address is only a trip-wire when the person was proved by a company sign-in.
		if p_verdict is distinct from 'ok' or x.how is distinct from 'idp' or x.link_state <> 'live'
				or (x.owner is not null and x.owner <> x.linked) then
			i.code := x.address;
			return i;
		end if;
		select x.linked, p.display_name, null, case when p.state <> 'active' or p.kind <> 'human' then 'person_not_active'
				else 'ok' end
			into i from dir.person p where p.person_id = x.linked;
		if i.code <> 'ok' then
			return (null, null, null, i.code)::ops.identity;
		end if;
	else
		i := (x.owner, x.display_name, x.email_key, 'ok')::ops.identity;
		if x.linked is null then
			code_ := ops.first_sight(p_team, p_user, p_email, x.owner, p_observer);
		elsif x.linked <> x.owner and x.link_state = 'live' then
			perform ops.suspend_link(p_team, p_user, 'the address now belongs to another person', '{"email":'
				|| ops.js(p_email) || ',"owner":' || x.owner || ',"team":' || ops.js(p_team)
				|| ',"why":"the address now belongs to another person"}', p_observer);
			code_ := 'binding_changed';
		elsif x.link_state <> 'live' then
			-- a sign-in of the very person it was made for releases it
			code_ := case when x.link_state <> 'suspended' then 'second_account'
				when x.linked = x.owner and x.needs_proof and x.can_step_up and p_request is not null then 'step_up'
				else 'binding_suspended' end;
		end if;
		if code_ not in ('ok', 'step_up') then
			return (null, null, null, code_)::ops.identity;
		end if;
		i.code := code_;
	end if;
	if i.code = 'ok' and x.needs_proof and not exists (
			select 1 from ops.proof f where f.request_id = p_request and f.person_id = i.person_id
			  and (f.digest = '' or (f.digest = (ops.round_of(p_request)).digest
				and f.proved_at > clock_timestamp() - ops.proof_of_vote_lasts()))) then
		i.code := case when x.can_step_up and p_request is not null then 'step_up' else 'needs_proof' end;
	end if;
	return i;
end $$;

-- All identities of one human, p_person among them: whoever had the same Slack account, and whoever a directory
-- gave the same address.  For "somebody else" the wide reading is the safe one.
create function ops.disguises(p_person bigint) returns bigint[]
language plpgsql stable as $$
begin
	return array(
		with recursive same(id) as (
			select p_person
			union
			select x.id from same s cross join lateral (
				select k.person_id as id from ops.link l join ops.link k on k.slack_user = l.slack_user
					where l.person_id = s.id
				union all
				select k.person_id from ops.link_past l join ops.link k on k.slack_user = l.slack_user
					where l.person_id = s.id
				union all
				select k.person_id from ops.link l join ops.link_past k on k.slack_user = l.slack_user
					where l.person_id = s.id
				union all select q.new_person from dir.email_quarantine q where q.old_person = s.id
				union all select q.old_person from dir.email_quarantine q where q.new_person = s.id) x
			where x.id is not null)
		select id from same order by id);
end $$;

-- The decision's evidence as canonical JSON: the rule, the membership it rests on, how old the copy of the directory
-- is, and how the person is known; for a refusal also what would be enough, who lets people in, and who has it.
create function ops.decision_json(d authz.decision, p_person bigint, p_action text, p_scope jsonb) returns text
language plpgsql stable as $$
declare
	age text := coalesce('"age_s":' || extract(epoch from d.directory_age)::bigint, '"age_s":null');
	generation text := coalesce(',"generation":' || d.generation, '');
	revision text := coalesce(',"revision":' || d.revision, '');
	x record;
	groups text[];
	owners text[];
	people text[];
	covers text;
	unread text[];
	closed text[];
	used authz.sod_use;
begin
	select case when l.person_id is not null then ',"link":{"how":"' || l.how || '","proved":'
				|| coalesce('"' || ops.iso(l.proved_at) || '"', 'null') || ',"since":"' || ops.iso(l.bound_at) || '"}' end as link,
			case when t.group_id is not null then ',"via":{"direct":' || coalesce(m.direct::text, 'null') || ',"group":'
					|| ops.js(g.name_key) || ',"since":' || coalesce(m.since_gen::text, 'null') || '}'
				when t.person_id is not null then ',"via":{"origin":"' || t.origin || '"}' end as via
		into x
		from (values (1)) one
		left join authz.permit t on t.grant_id = d.grant_id
		left join dir.grp g on g.group_id = t.group_id
		left join dir.membership m on m.group_id = t.group_id and m.person_id = p_person
		left join ops.link l on l.person_id = p_person and l.state = 'live'
		limit 1;
	if d.code = 'separated' then
		select u.* into used from authz.action a, authz.sod_conflict(p_person, a.action_id, p_scope, clock_timestamp()) u
			where a.name = p_action;
		return '{' || age || generation || coalesce(x.link, '') || revision || ',"separate":{"action":'
			|| coalesce((select ops.js(a.name) from authz.action a where a.action_id = used.action_id), 'null')
			|| ',"part":' || ops.js(used.part) || ',"request":' || ops.js(used.request_id) || '}}';
	elsif d.code not in ('no_matching_grant', 'members_unknown') then
		return '{' || age || generation || coalesce(',"grant":' || to_json(d.grant_key)::text, '') || coalesce(x.link, '')
			|| revision || coalesce(x.via, '') || '}';
	end if;
	-- whose members are not known now: those whom a forbid names, or those to whom a grant gives what is asked for
	select array_agg(distinct e.via) filter (where e.verdict = 'its members are read at the next sync'),
			array_agg(distinct e.via) filter (where e.verdict = 'its members cannot be read')
		into unread, closed
		from authz.explain(p_person, 'request', p_action, p_scope) e
		where e.effect = case d.code when 'members_unknown' then 'forbid' else 'allow' end;
	if d.code = 'members_unknown' then
		return '{' || age || coalesce(',"closed":' || ops.js_list(closed[1:5]), '') || generation
			|| ',"grant":' || ops.js(d.grant_key) || coalesce(x.link, '') || revision
			|| coalesce(',"unread":' || ops.js_list(unread[1:5]), '') || '}';
	end if;
	select array_agg(distinct e.via) filter (where e.verdict = 'would be enough'),
			string_agg(distinct substr(e.verdict, 10), ' or ') filter (where e.mine and e.verdict like 'only for %')
		into groups, covers
		from authz.explain(p_person, 'request', p_action, p_scope) e
		where e.effect = 'allow';
	owners := array(select distinct o.owner from authz.group_owner o join dir.grp g using (group_id)
		where g.state = 'active' and g.name_key = any (groups[1:5]) order by o.owner limit 3);
	select array_agg(y.display_name) into people from (
		select distinct p.display_name from authz.action a
		join authz.permit g on g.action_id = a.action_id and g.capability = 'request' and g.effect = 'allow'
			and g.valid @> clock_timestamp() and g.group_id is not null
		join dir.membership m on m.group_id = g.group_id
		join dir.person p on p.person_id = m.person_id and p.state = 'active' and p.kind = 'human'
			and p.person_id <> p_person and p.display_name <> ''
		where a.name = p_action and authz.scope_ok(g.grant_id, 'allow', a.action_id, p_scope)
		order by p.display_name limit 3) y;
	return '{' || age || coalesce(',"closed":' || ops.js_list(closed[1:5]), '') || generation
		|| coalesce(',"groups":' || ops.js_list(groups[1:5]), '')
		|| coalesce(x.link, '')
		|| coalesce(',"owners":' || ops.js_list(owners), '')
		|| coalesce(',"people":' || ops.js_list(people), '')
		|| revision
		|| coalesce(',"scope":' || to_json(covers)::text, '')
		|| coalesce(',"unread":' || ops.js_list(unread[1:5]), '') || '}';
end $$;

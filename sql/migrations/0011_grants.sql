-- SPDX-License-Identifier: Apache-2.0
-- Reviewed grants as a file: what would change, and the change, in one transaction.
--
-- The file owns every row of origin 'file' and no other; the catalog owns the actions.  These functions
-- run with the rights of the role that applies grants.
set local role opsd_owner;

-- "team in ads,web; count 0..50", the same text for the same scope.
create function authz.scope_text(p_scope jsonb) returns text
language sql immutable set search_path = pg_catalog, authz, pg_temp as $$
	select coalesce(string_agg(k || case
		when v ? 'any' then ' any'
		when v ? 'values' then ' in ' || (select string_agg(x, ',' order by x collate "C") from jsonb_array_elements_text(v -> 'values') x)
		else ' ' || coalesce(v ->> 'min', '') || '..' || coalesce(v ->> 'max', '') end, '; ' order by k collate "C"), '')
	from jsonb_each(p_scope) e(k, v)
$$;

create function authz.permit_scope_json(p_grant bigint) returns jsonb
language sql stable set search_path = pg_catalog, authz, pg_temp as $$
	select coalesce(jsonb_object_agg(s.param, case
		when s.any_value then '{"any": true}'::jsonb
		when s.values_ is not null then jsonb_build_object('values', to_jsonb(s.values_))
		else jsonb_strip_nulls(jsonb_build_object('min', s.int_min, 'max', s.int_max)) end), '{}')
	from authz.permit_scope s where s.grant_id = p_grant
$$;

-- One line says everything that a grant is: two grants are equal when their lines are.
create function authz.permit_text(p_effect text, p_subject text, p_can text, p_action text, p_scope text, p_valid tstzrange,
	p_reason text) returns text
language sql stable set search_path = pg_catalog, authz, pg_temp as $$
	select p_subject || case when p_effect = 'forbid' then ' must not ' else ' can ' end || p_can || ' ' || p_action
		|| case when p_scope <> '' then ' where ' || p_scope else '' end
		|| case when lower(p_valid) is not null
			then ' from ' || to_char(lower(p_valid) at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"') else '' end
		|| case when upper(p_valid) is not null
			then ' until ' || to_char(upper(p_valid) at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"') else '' end
		|| case when p_reason <> '' then ' (' || p_reason || ')' else '' end
$$;

-- The wanted rows with their subjects looked up, and what is there, as two temporary tables.
create function authz.grants_stage(p_rows jsonb, p_actions jsonb) returns void
language plpgsql set search_path = pg_catalog, authz, dir, pg_temp as $$
begin
	create temp table grant_action on commit drop as
		select a ->> 'name' as name, (a ->> 'risk')::smallint as risk,
			coalesce((a ->> 'approvals')::smallint, 0) as approvals, coalesce((a ->> 'third_starts')::boolean, false) as third,
			coalesce((a ->> 'last_resort')::boolean, false) as last_resort, coalesce(a -> 'groups', '[]') as groups,
			-- each separation once, whichever of the two names it
			coalesce((select jsonb_agg(distinct o) from (
				select x as o from jsonb_array_elements_text(a -> 'apart') x
				union select b ->> 'name' from jsonb_array_elements(p_actions) b where b -> 'apart' ? (a ->> 'name')) y), '[]')
				as apart,
			coalesce((select jsonb_agg(jsonb_build_object('name', s ->> 'name', 'type', s ->> 'type') order by s ->> 'name')
				from jsonb_array_elements(a -> 'scope') s), '[]') as scope
		from jsonb_array_elements(p_actions) a;
	create temp table grant_want on commit drop as
		select r ->> 'key' as key, r ->> 'effect' as effect, r ->> 'can' as can, r ->> 'action' as action,
			coalesce(r ->> 'group', r ->> 'group_id', r ->> 'person') as named,
			r ->> 'owner' as owner, r ? 'person' as is_person, r -> 'scope' as scope, coalesce(r ->> 'reason', '') as reason,
			tstzrange((r ->> 'from')::timestamptz, (r ->> 'until')::timestamptz) as valid,
			g.group_id, g.name_key, e.person_id
		from jsonb_array_elements(p_rows) r
		left join dir.grp g on g.state = 'active' and ((r ? 'group' and g.name_key = r ->> 'group'
			and (not r ? 'group_id' or g.external_id = r ->> 'group_id'))
			or (not r ? 'group' and g.external_id = r ->> 'group_id'))
		left join dir.person_email e on r ? 'person' and e.email_key = r ->> 'person';
	create temp table grant_have on commit drop as
		select p.grant_id, p.stable_key as key, p.effect, p.capability as can, a.name as action, p.group_id, p.person_id,
			authz.permit_scope_json(p.grant_id) as scope, p.valid, p.reason,
			case when p.group_id is not null then 'group ' || g.name_key else 'person ' || coalesce(e.email_key, p.person_id::text) end
				as subject
		from authz.permit p join authz.action a using (action_id)
		left join dir.grp g using (group_id)
		left join dir.person_email e on e.person_id = p.person_id and e.is_primary
		where p.origin = 'file';
	create temp table grant_diff on commit drop as
		select coalesce(w.key, h.key) as key, case when h.key is null then '+' when w.key is null then '-' else '~' end as op,
			w.text as new_text, h.text as old_text, h.grant_id
		from (select x.*, authz.permit_text(x.effect, case when x.is_person then 'person ' || x.named
				else 'group ' || coalesce(x.name_key, x.named) end, x.can, x.action, authz.scope_text(x.scope), x.valid, x.reason)
				as text from grant_want x) w
		full join (select y.*, authz.permit_text(y.effect, y.subject, y.can, y.action, authz.scope_text(y.scope), y.valid,
				y.reason) as text from grant_have y) h using (key)
		where w.text is distinct from h.text or w.group_id is distinct from h.group_id or w.person_id is distinct from h.person_id;
	perform authz.rule_groups_stage();
end $$;

-- [{ "key", "what" }]: why the file cannot be applied to this directory.
create function authz.grants_problems() returns jsonb
language plpgsql stable set search_path = pg_catalog, authz, dir, pg_temp as $$
begin
	return (with problem(key, what) as (
		select w.key, case
			when w.is_person then 'nobody in the directory has the address ' || w.named
			else 'the directory has no group ' || w.named || coalesce(': did you mean ' || (
				select g.name_key from dir.grp g where g.state = 'active'
					and (g.name_key like '%' || w.named || '%' or w.named like '%' || g.name_key || '%')
				order by length(g.name_key), g.name_key limit 1) || '?', ' (with that id)') end
		from grant_want w where w.group_id is null and w.person_id is null
		union all
		select w.key, 'several sources have a group ' || w.named || ': name it by group-id'
		from grant_want w where not w.is_person group by w.key, w.named having count(*) > 1
		union all
		select w.key, 'a grant to one person ends within 90 days: give it from and until' from grant_want w
		where w.is_person and w.effect = 'allow' and not coalesce(upper(w.valid) - lower(w.valid) <= interval '90 days', false)
		union all
		select w.key, 'the key is taken by a grant that was not made from a file' from grant_want w
		join authz.permit p on p.stable_key = w.key and p.origin <> 'file')
	select coalesce(jsonb_agg(distinct jsonb_build_object('key', key, 'what', what)), '[]') from problem);
end $$;

-- Who can do what by the rows of a table that has (effect, can, action, scope, group_id, person_id, valid).
create function authz.grants_people(p_wanted boolean)
returns table (person_id bigint, can text, action text, scope text)
language plpgsql stable set search_path = pg_catalog, authz, dir, pg_temp as $$
begin
	return query
	with rows_ as (
		select w.effect, w.can, w.action, w.scope, w.group_id, w.person_id, w.valid from grant_want w where p_wanted
		union all
		select h.effect, h.can, h.action, h.scope, h.group_id, h.person_id, h.valid from grant_have h where not p_wanted)
	select distinct p.person_id, r.can, r.action, authz.scope_text(r.scope)
	from (select x.person_id, y.can, y.action, y.scope, y.effect, y.valid from rows_ y join dir.membership x using (group_id)
		union all
		select y.person_id, y.can, y.action, y.scope, y.effect, y.valid from rows_ y where y.group_id is null) r
	join dir.person p on p.person_id = r.person_id and p.state = 'active' and p.kind = 'human'
	where r.effect = 'allow' and (upper(r.valid) is null or upper(r.valid) > clock_timestamp());
end $$;

create function authz.grants_brakes() returns jsonb
language plpgsql stable set search_path = pg_catalog, authz, dir, pg_temp as $$
begin
	return (with b(name, detail) as (
		select 'many_vanish', format('%s of %s grants would vanish', count(*) filter (where d.op = '-'), (select count(*) from grant_have))
		from grant_diff d
		having count(*) filter (where d.op = '-') > greatest(3, 0.2 * (select count(*) from grant_have))
		union all
		select 'last_approver', format('nobody could approve %s %s', a.name, coalesce('until the members of ' || (
				select string_agg(distinct g.name_key, ', ' order by g.name_key) from grant_want w join dir.grp g using (group_id)
				where w.action = a.name and w.can = 'approve' and w.effect = 'allow' and dir.unread(g))
				|| ' are read at the next sync', 'any more'))
		from (select distinct o.action as name from authz.grants_people(false) o
				join grant_action x on x.name = o.action and x.risk >= 2 where o.can = 'approve') a
		where not exists (select 1 from authz.grants_people(true) n where n.action = a.name and n.can = 'approve'))
	select coalesce(jsonb_agg(jsonb_build_object('name', name, 'detail', detail) order by name, detail), '[]') from b);
end $$;

create function authz.apart_json(p_action integer) returns jsonb
language sql stable set search_path = pg_catalog, authz, pg_temp as $$
	select coalesce(jsonb_agg(b.name order by b.name), '[]') from authz.sod_rule r
	join authz.action b on b.action_id = case when r.a = p_action then r.b else r.a end where p_action in (r.a, r.b)
$$;

-- What in the plan only two people together may do: giving more than was there, of actions of risk 2 and 3.
create function authz.grants_dangerous() returns text[]
language plpgsql stable set search_path = pg_catalog, authz, dir, pg_temp as $$
begin
	return (with risky(name) as (
		select n.name from grant_action n where n.risk >= 2 union select a.name from authz.action a where a.risk >= 2 and a.enabled),
	why(text) as (
		select 'grant ' || d.key || ' of ' || w.action from grant_diff d join grant_want w using (key) join risky r on r.name = w.action
			where d.op in ('+', '~') and w.effect = 'allow'
		union
		select 'forbid ' || d.key || ' of ' || h.action || ' goes' from grant_diff d join grant_have h using (key)
			join risky r on r.name = h.action left join grant_want w using (key)
			where h.effect = 'forbid' and (w.key is null or w.effect <> 'forbid' or d.op = '~')
		union
		select 'action ' || a.name || ' demands less' from authz.action a left join grant_action n using (name)
			where a.enabled and a.risk >= 2 and n.name is not null and (n.risk < a.risk or n.approvals < a.min_approvals
				or (not a.approver_may_execute and not n.third) or not authz.apart_json(a.action_id) <@ n.apart)
		union
		select 'group ' || x.name || ' approves ' || n.name || ', and is another one than before' from grant_rule x
			join grant_action n on n.groups ? x.given join risky r on r.name = n.name
			where x.old_id is not null and x.new_id is not null and x.old_id <> x.new_id)
	select coalesce(array_agg(text order by text collate "C"), '{}') from why);
end $$;

create function authz.grants_changes() returns text[]
language plpgsql stable set search_path = pg_catalog, authz, dir, pg_temp as $$
begin
	return (with line(text) as (
		select case d.op when '+' then '+ ' || d.key || ': ' || d.new_text
			when '-' then '- ' || d.key || ': ' || d.old_text
			when '~' then '~ ' || d.key || ': ' || d.old_text || ' -> ' || d.new_text end from grant_diff d
		union all
		select case when a.action_id is null then '+' else '~' end || ' action ' || n.name || ': risk ' || n.risk
			|| coalesce(', scope ' || (select string_agg(s ->> 'name', ',') from jsonb_array_elements(n.scope) s), '')
			|| case when n.last_resort then ', also by a stale directory' else '' end
			|| case when n.approvals > 0 then ', approvals ' || n.approvals else '' end
			|| case when n.third then ', a third person starts' else '' end
			|| case when n.apart <> '[]' then ', apart from ' || (select string_agg(x, ',' order by x collate "C")
				from jsonb_array_elements_text(n.apart) x) else '' end
		from grant_action n left join authz.action a using (name)
		where a.action_id is null or (a.risk, a.enabled) is distinct from (n.risk, true)
		  or (a.min_approvals, not a.approver_may_execute) is distinct from (n.approvals, n.third)
		  or (a.deny_after is not null) <> n.last_resort or authz.apart_json(a.action_id) <> n.apart or n.scope is distinct from (
			select coalesce(jsonb_agg(jsonb_build_object('name', p.param, 'type', p.type) order by p.param), '[]')
			from authz.action_param p where p.action_id = a.action_id and p.scoped)
		union all
		select '- action ' || a.name || ': no command uses it' from authz.action a
		where a.enabled and not exists (select 1 from grant_action n where n.name = a.name)
		union all
		select '~ group ' || w.name_key || ': owner ' || coalesce(w.owner, 'none') from (
			select x.group_id, x.name_key, max(x.owner) as owner from grant_want x where x.group_id is not null group by 1, 2) w
		left join authz.group_owner o using (group_id) where w.owner is distinct from o.owner
		union all
		select authz.rule_group_line(x.name, x.old_id, x.new_id, x.given is not null) from grant_rule x)
	select coalesce(array_agg(text order by text collate "C"), '{}') from line where text is not null);
end $$;

-- Who gains and who loses: [{ "can", "action", "scope", "people", "names" }], names from risk 2 on.
create function authz.grants_movers(p_gain boolean) returns jsonb
language plpgsql stable set search_path = pg_catalog, authz, dir, pg_temp as $$
begin
	return (with moved as (
		select x.* from authz.grants_people(p_gain) x except select y.* from authz.grants_people(not p_gain) y),
	counted as (
		select m.can, m.action, m.scope, count(*) as people, case when a.risk >= 2 then
				(array_agg(coalesce(e.email_key, p.external_id) order by coalesce(e.email_key, p.external_id)))[1:30] end as names
		from moved m join dir.person p using (person_id)
		left join dir.person_email e on e.person_id = p.person_id and e.is_primary
		left join grant_action a on a.name = m.action
		group by m.can, m.action, m.scope, a.risk)
	select coalesce(jsonb_agg(to_jsonb(c) order by c.action, c.can, c.scope), '[]') from counted c);
end $$;

create function authz.grants_plan(p_rows jsonb, p_actions jsonb) returns jsonb
language plpgsql set search_path = pg_catalog, authz, dir, pg_temp as $$
declare
	base bigint;
	lines text[];
	sha text;
begin
	perform pg_advisory_xact_lock(hashtextextended('opsd grants', 0));
	select coalesce(max(r.revision), 0) into base from authz.revision r;
	perform authz.grants_stage(p_rows, p_actions);
	lines := authz.grants_changes();
	sha := encode(sha256(convert_to(base || e'\n' || array_to_string(lines, e'\n'), 'UTF8')), 'hex');
	return jsonb_build_object('base', base, 'lines', to_jsonb(lines), 'changes', cardinality(lines),
		'sha256', sha,
		-- the first file makes the service: there is nobody yet who could be the second
		'dangerous', case when base > 0 then to_jsonb(authz.grants_dangerous()) else '[]' end,
		'approved_by', (select to_jsonb(min(v.approved_by)) from authz.plan_approval v where v.plan_sha256 = sha
			and v.approved_by <> session_user and v.at > clock_timestamp() - interval '1 hour'),
		'timed', (select coalesce(jsonb_agg(p.stable_key || ': ' || authz.permit_text(p.effect, case
				when p.group_id is not null then 'group ' || g.name_key else 'person ' || coalesce(e.email_key, p.person_id::text) end,
				p.capability, a.name, authz.scope_text(authz.permit_scope_json(p.grant_id)), p.valid, p.reason)
				order by p.stable_key), '[]')
			from authz.permit p join authz.action a using (action_id) left join dir.grp g using (group_id)
			left join dir.person_email e on e.person_id = p.person_id and e.is_primary
			where p.origin <> 'file' and p.valid @> clock_timestamp()),
		'grants', (select count(*) from grant_want), 'problems', authz.grants_problems(), 'brakes', authz.grants_brakes(),
		'gain', authz.grants_movers(true), 'lose', authz.grants_movers(false), 'unread', authz.grants_unread(),
		'unknown', authz.rule_groups_unknown());
end $$;

create function authz.grants_write_actions() returns void
language plpgsql set search_path = pg_catalog, authz, dir, pg_temp as $$
begin
	insert into authz.action (name, risk, min_approvals, approver_may_execute, deny_after)
		select n.name, n.risk, n.approvals, not n.third, case when n.last_resort then interval '100 years' end from grant_action n
	on conflict (name) do update set risk = excluded.risk, min_approvals = excluded.min_approvals,
			approver_may_execute = excluded.approver_may_execute, deny_after = excluded.deny_after, enabled = true
		where (action.risk, action.min_approvals, action.approver_may_execute, action.deny_after, action.enabled)
			is distinct from (excluded.risk, excluded.min_approvals, excluded.approver_may_execute, excluded.deny_after, true);
	delete from authz.sod_rule r using authz.action a, authz.action b
		where a.action_id = r.a and b.action_id = r.b
		  and not exists (select 1 from grant_action n where n.name = a.name and n.apart ? b.name);
	insert into authz.sod_rule (a, b)
		select a.action_id, b.action_id from grant_action n join authz.action a using (name),
			jsonb_array_elements_text(n.apart) x join authz.action b on b.name = x
		where a.action_id < b.action_id
	on conflict do nothing;
	update authz.action a set enabled = false
		where a.enabled and not exists (select 1 from grant_action n where n.name = a.name);
	delete from authz.action_param p using authz.action a, grant_action n
		where p.action_id = a.action_id and n.name = a.name and not exists (
			select 1 from jsonb_array_elements(n.scope) s where s ->> 'name' = p.param and s ->> 'type' = p.type and p.scoped);
	insert into authz.action_param (action_id, param, type, scoped)
		select a.action_id, s ->> 'name', s ->> 'type', true
		from grant_action n join authz.action a using (name), jsonb_array_elements(n.scope) s
	on conflict do nothing;
end $$;

-- After grants_plan in the same transaction.  p_plan: the digest that was reviewed, null: what was just planned.
create function authz.grants_apply(p_plan_now jsonb, p_plan text, p_accept boolean, p_commit text, p_reviewed_by text[])
returns bigint
language plpgsql set search_path = pg_catalog, authz, dir, pg_temp as $$
declare
	rev bigint := (p_plan_now ->> 'base')::bigint + 1;
begin
	if p_plan is not null and p_plan <> p_plan_now ->> 'sha256' then
		raise exception 'the plan is now % on revision %: plan and review again', p_plan_now ->> 'sha256', p_plan_now ->> 'base'
			using errcode = 'OP008';
	end if;
	if p_plan_now -> 'problems' <> '[]' or (p_plan_now -> 'brakes' <> '[]' and not p_accept) then
		raise exception 'this plan cannot be applied' using errcode = 'OP008';
	end if;
	if (p_plan_now ->> 'changes')::bigint = 0 then
		return rev - 1;
	end if;
	if p_plan_now -> 'dangerous' <> '[]' and not exists (select 1 from authz.plan_approval v
			where v.plan_sha256 = p_plan_now ->> 'sha256' and v.approved_by <> session_user
			  and v.at > clock_timestamp() - interval '1 hour') then
		raise exception 'this plan needs the approval of a second person' using errcode = 'OP008';
	end if;
	perform pg_advisory_xact_lock(hashtextextended('dirsync', 0)); -- no request starts half way
	insert into authz.revision (revision, git_commit, reviewed_by, applied_by, plan_sha256)
		values (rev, p_commit, p_reviewed_by, session_user, decode(p_plan_now ->> 'sha256', 'hex'));
	perform authz.grants_write_actions();
	delete from authz.permit p using grant_diff d where p.grant_id = d.grant_id;
	insert into authz.permit (stable_key, effect, capability, action_id, group_id, person_id, valid, origin, revision, reason)
		select w.key, w.effect, w.can, a.action_id, case when not w.is_person then w.group_id end,
			case when w.is_person then w.person_id end, w.valid, 'file', rev, w.reason
		from grant_want w join grant_diff d using (key) join authz.action a on a.name = w.action;
	insert into authz.permit_scope (grant_id, param, any_value, values_, int_min, int_max)
		select p.grant_id, s.k, s.v ? 'any',
			case when s.v ? 'values' then array(select jsonb_array_elements_text(s.v -> 'values')) end,
			(s.v ->> 'min')::bigint, (s.v ->> 'max')::bigint
		from grant_want w join grant_diff d using (key) join authz.permit p on p.stable_key = w.key,
			jsonb_each(w.scope) s(k, v);
	perform authz.rule_groups_write();
	delete from authz.group_owner o using grant_want w where o.group_id = w.group_id
		and not exists (select 1 from grant_want x where x.group_id = o.group_id and x.owner = o.owner);
	insert into authz.group_owner (group_id, owner)
		select w.group_id, max(w.owner) from grant_want w where w.owner is not null and w.group_id is not null group by 1
	on conflict (group_id) do update set owner = excluded.owner where group_owner.owner <> excluded.owner;
	return rev;
end $$;

-- After grants_plan in the same transaction: its caller, who is not the one who will apply it, has seen this plan.
create function authz.grants_approve(p_plan_now jsonb, p_plan text) returns bigint
language plpgsql set search_path = pg_catalog, authz, pg_temp as $$
begin
	if p_plan is distinct from p_plan_now ->> 'sha256' then
		raise exception 'the plan is now % on revision %: plan and review again', p_plan_now ->> 'sha256', p_plan_now ->> 'base'
			using errcode = 'OP008';
	end if;
	insert into authz.plan_approval (plan_sha256) values (p_plan);
	return (p_plan_now ->> 'base')::bigint;
end $$;

create function authz.grants_list() returns jsonb
language sql stable set search_path = pg_catalog, authz, dir, pg_temp as $$
	select jsonb_build_object('revision', (select coalesce(max(revision), 0) from authz.revision),
		'grants', coalesce(jsonb_agg(jsonb_build_object('key', p.stable_key, 'origin', p.origin, 'text', authz.permit_text(p.effect,
			case when p.group_id is not null then 'group ' || g.name_key else 'person ' || coalesce(e.email_key, p.person_id::text) end,
			p.capability, a.name, authz.scope_text(authz.permit_scope_json(p.grant_id)), p.valid, p.reason),
			'ended', coalesce(upper(p.valid) <= clock_timestamp(), false)) order by p.stable_key), '[]'))
	from authz.permit p join authz.action a using (action_id)
	left join dir.grp g using (group_id)
	left join dir.person_email e on e.person_id = p.person_id and e.is_primary
$$;

grant execute on function authz.scope_text(jsonb), authz.permit_scope_json(bigint),
	authz.permit_text(text, text, text, text, text, tstzrange, text), authz.grants_stage(jsonb, jsonb), authz.grants_problems(),
	authz.grants_people(boolean), authz.grants_brakes(), authz.grants_changes(), authz.grants_movers(boolean),
	authz.grants_plan(jsonb, jsonb), authz.grants_write_actions(), authz.grants_apply(jsonb, text, boolean, text, text[]),
	authz.grants_list(), authz.apart_json(integer), authz.grants_dangerous(), authz.grants_approve(jsonb, text) to opsd_grants;
grant select on authz.plan_approval to opsd_grants, opsd_auditor;
grant insert (plan_sha256) on authz.plan_approval to opsd_grants;
grant execute on function authz.scope_text(jsonb), authz.permit_scope_json(bigint),
	authz.permit_text(text, text, text, text, text, tstzrange, text), authz.grants_list() to opsd_auditor;

-- SPDX-License-Identifier: Apache-2.0
-- Who may do what: declared actions, reviewed grants, and the one function that decides.
--
-- Default deny; a forbid beats every allow.  An allow must name each scoped parameter of its action; one
-- that cannot be evaluated fails, a forbid that cannot be evaluated bites.  decide() is STABLE: person,
-- memberships and grants come from one snapshot.
set local role opsd_owner;

create table authz.action (
	action_id            integer generated always as identity primary key,
	name                 text collate "C" not null unique
		check (name ~ '^[a-z][a-z0-9_-]*(\.[a-z][a-z0-9_-]*){1,4}$' and octet_length(name) <= 100),
	risk                 smallint not null check (risk between 0 and 3),
	min_approvals        smallint not null default 0 check (min_approvals between 0 and 5),
	approver_may_execute boolean not null default true,
	step_up              boolean not null default false,
	deny_after           interval check (deny_after > interval '0'),
	enabled              boolean not null default true
);
comment on column authz.action.deny_after is 'Directory older than this: deny; null: authz.max_age(risk)';

create table authz.action_param (
	action_id integer not null references authz.action on delete cascade,
	param     text collate "C" not null,
	type      text not null check (type in ('enum', 'int')),
	scoped    boolean not null default true,
	primary key (action_id, param)
);
comment on column authz.action_param.scoped is 'Every allow must constrain it (or say any)';

create table authz.revision (
	revision    bigint primary key,
	git_commit  text not null,
	reviewed_by text[] not null,
	applied_by  text not null,
	applied_at  timestamptz not null default clock_timestamp(),
	plan_sha256 bytea not null unique
);

create table authz.permit ( -- "grant" is a reserved word
	grant_id   bigint generated always as identity primary key,
	stable_key text collate "C" not null unique,
	effect     text not null default 'allow' check (effect in ('allow', 'forbid')),
	capability text not null check (capability in ('request', 'approve', 'execute')),
	action_id  integer not null references authz.action,
	group_id   bigint references dir.grp,
	person_id  bigint references dir.person,
	valid      tstzrange not null default tstzrange(null, null),
	origin     text not null check (origin in ('file', 'chat', 'break_glass')),
	revision   bigint references authz.revision,
	created_by bigint references dir.person,
	reason     text not null default '',
	constraint one_subject check (num_nonnulls(group_id, person_id) = 1),
	constraint file_has_revision check ((origin = 'file') = (revision is not null)),
	-- coalesce: a check that comes to null passes
	constraint chat_is_short check (origin = 'file'
		or coalesce(upper(valid) - lower(valid) <= interval '24 hours', false)),
	constraint person_expires check (person_id is null or effect = 'forbid'
		or coalesce(upper(valid) - lower(valid) <= interval '90 days', false))
);
create index permit_by_group  on authz.permit (action_id, group_id)  where group_id is not null;
create index permit_by_person on authz.permit (person_id, action_id) where person_id is not null;
create index permit_group     on authz.permit (group_id) where group_id is not null;
comment on column authz.permit.stable_key is 'Identity of the line in the reviewed file';

create table authz.permit_scope (
	grant_id  bigint not null references authz.permit on delete cascade,
	param     text collate "C" not null,
	any_value boolean not null default false,
	values_   text[] collate "C",
	int_min   bigint,
	int_max   bigint,
	primary key (grant_id, param),
	check (any_value::int + (values_ is not null)::int + (num_nonnulls(int_min, int_max) > 0)::int = 1)
);

create table authz.sod_rule ( -- no one person in both roles of one request
	a integer not null references authz.action,
	b integer not null references authz.action,
	primary key (a, b),
	check (a < b)
);

create view authz.group_in_use with (security_barrier) as
	select distinct group_id from authz.permit where group_id is not null;

create function authz.max_age(p_risk integer) returns interval
language sql immutable parallel safe as $$
	select case when p_risk <= 0 then interval '72 hours' when p_risk = 1 then interval '24 hours'
		when p_risk = 2 then interval '6 hours' else interval '2 hours' end
$$;

create function authz.scope_ok(p_grant bigint, p_effect text, p_action integer, p_params jsonb) returns boolean
language sql stable parallel safe set search_path = pg_catalog, authz, pg_temp as $$
	select not exists (
		select 1 from authz.action_param ap
		left join authz.permit_scope s on s.grant_id = p_grant and s.param = ap.param
		where ap.action_id = p_action and (ap.scoped or s.grant_id is not null)
		  and not coalesce(case
			when s.grant_id is null then p_effect = 'forbid' -- unscoped allow is void, unscoped forbid covers all
			when s.any_value then jsonb_typeof(p_params -> ap.param) in ('string', 'number')
			when s.values_ is not null then
				jsonb_typeof(p_params -> ap.param) = 'string' and p_params ->> ap.param = any (s.values_)
			when jsonb_typeof(p_params -> ap.param) = 'number' and p_params ->> ap.param ~ '^-?[0-9]{1,15}$' then
				(p_params ->> ap.param)::bigint between coalesce(s.int_min, -999999999999999)
					and coalesce(s.int_max, 999999999999999)
			end, p_effect = 'forbid'))
$$;

create type authz.decision as (
	allowed       boolean,
	code          text,
	grant_id      bigint,
	grant_key     text,
	generation    bigint,
	revision      bigint,
	directory_age interval
);

-- p_risk: of the command, when it is higher than that of its action.
create function authz.decide(p_person bigint, p_cap text, p_action text, p_params jsonb, p_risk integer default 0)
returns authz.decision
language plpgsql stable security definer set search_path = pg_catalog, authz, dir, pg_temp as $$
declare
	d authz.decision;
	a record;
	pr record;
	r record;
	now_ timestamptz := clock_timestamp();
begin
	d.allowed := false;
	select x.action_id, x.enabled, coalesce(x.deny_after, authz.max_age(greatest(x.risk, p_risk))) as deny_after,
			exists (select 1 from jsonb_object_keys(case jsonb_typeof(p_params) when 'object' then p_params end) k
				where k not in (select ap.param from authz.action_param ap where ap.action_id = x.action_id)) as undeclared
		into a from authz.action x where x.name = p_action;
	if not found or not a.enabled then
		d.code := 'unknown_action';
		return d;
	end if;
	select p.state, p.kind, s.generation, s.fetch_started_at
		into pr from dir.person p join dir.source s using (source_id) where p.person_id = p_person;
	if not found then
		d.code := 'unknown_person';
		return d;
	end if;
	d.generation := pr.generation;
	d.directory_age := now_ - pr.fetch_started_at;
	select max(x.revision) into d.revision from authz.revision x;
	if pr.state <> 'active' or pr.kind <> 'human' then
		d.code := 'person_not_active';
		return d;
	end if;
	if d.directory_age is null or d.directory_age > a.deny_after or d.directory_age < interval '-5 minutes' then
		d.code := 'directory_stale';
		return d;
	end if;
	if a.undeclared then -- a grant cannot have been written with this parameter in mind
		d.code := 'undeclared_scope';
		return d;
	end if;
	for r in
		select g.grant_id, g.effect, g.stable_key from authz.permit g
		 where g.action_id = a.action_id and (g.capability = p_cap or g.effect = 'forbid') and g.valid @> now_
		   and (g.person_id = p_person
			or g.group_id = any (array(select m.group_id from dir.membership m where m.person_id = p_person)))
		 order by (g.effect = 'forbid') desc, g.grant_id
	loop
		if authz.scope_ok(r.grant_id, r.effect, a.action_id, p_params) then
			d.grant_id := r.grant_id;
			d.grant_key := r.stable_key;
			d.allowed := r.effect = 'allow';
			d.code := case when d.allowed then 'allowed' else 'forbidden' end;
			return d;
		end if;
	end loop;
	d.code := 'no_matching_grant';
	return d;
end $$;

create function authz.explain(p_person bigint, p_cap text, p_action text, p_params jsonb)
returns table (grant_key text, effect text, via text, verdict text, mine boolean)
language sql stable security definer set search_path = pg_catalog, authz, dir, pg_temp as $$
	with a as (select * from authz.action where name = p_action),
	c as (select g.*, g.valid @> clock_timestamp() in_time,
			authz.scope_ok(g.grant_id, g.effect, g.action_id, p_params) in_scope,
			coalesce(g.person_id = p_person, false) or coalesce(g.group_id = any (
				array(select m.group_id from dir.membership m where m.person_id = p_person)), false) is_mine
		from authz.permit g, a where g.action_id = a.action_id and (g.capability = p_cap or g.effect = 'forbid'))
	select c.stable_key, c.effect, case when c.group_id is null then 'a grant to one person' else gr.name_key end,
		case when not c.in_time and c.valid << tstzrange(clock_timestamp(), null) then
				'expired ' || to_char(upper(c.valid) at time zone 'UTC', 'YYYY-MM-DD HH24:MI"Z"')
			when not c.in_time then
				'starts ' || to_char(lower(c.valid) at time zone 'UTC', 'YYYY-MM-DD HH24:MI"Z"')
			when not c.in_scope then coalesce('only for ' || (
				select string_agg(s.param || '=' || coalesce(array_to_string(s.values_, ','),
					case when not s.any_value then coalesce(s.int_min::text, '') || '..' || coalesce(s.int_max::text, '') end,
					'anything'), ' ' order by s.param)
				from authz.permit_scope s where s.grant_id = c.grant_id), 'names no scope')
			when not c.is_mine then 'would be enough'
			else 'matches' end,
		c.is_mine
	from c left join dir.grp gr on gr.group_id = c.group_id
	where c.is_mine or (c.in_time and c.in_scope and c.effect = 'allow' and gr.state = 'active')
	order by c.is_mine desc, c.effect desc, c.stable_key
	limit 30
$$;

create function authz.approvers(p_action text, p_params jsonb, p_exclude bigint[])
returns table (person_id bigint, via_group bigint)
language sql stable security definer set search_path = pg_catalog, authz, dir, pg_temp as $$
	with g as materialized ( -- the scope once a grant, not once a member
		select g.group_id from authz.action a
		join authz.permit g on g.action_id = a.action_id and g.capability = 'approve' and g.effect = 'allow'
			and g.group_id is not null
		where a.name = p_action and a.enabled and g.valid @> clock_timestamp()
		  and authz.scope_ok(g.grant_id, 'allow', a.action_id, p_params))
	select m.person_id, min(m.group_id) from g
	join dir.membership m on m.group_id = g.group_id
	join dir.person p on p.person_id = m.person_id and p.state = 'active' and p.kind = 'human'
	where m.person_id <> all (p_exclude)
	group by m.person_id
$$;

grant select on authz.group_in_use to opsd_sync;
grant select, insert, update, delete on authz.action, authz.action_param, authz.permit, authz.permit_scope,
	authz.sod_rule to opsd_grants;
grant select, insert on authz.revision to opsd_grants;
grant select on all tables in schema authz to opsd_auditor;
grant execute on function authz.decide(bigint, text, text, jsonb, integer),
	authz.explain(bigint, text, text, jsonb), authz.approvers(text, jsonb, bigint[]),
	authz.max_age(integer) to opsd_grants, opsd_auditor;

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
	deny_after           interval check (deny_after > interval '0'),
	enabled              boolean not null default true
);
comment on column authz.action.deny_after is 'Directory older than this: deny; null: authz.max_age(risk)';

-- It demands approvals whatever a command says.  One expression: it is put straight into its caller.
create function authz.has_floor(a authz.action) returns boolean
language sql immutable parallel safe as $$ select a.min_approvals > 0 or not a.approver_may_execute $$;

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
	ended_at   timestamptz, -- of one made in chat: its end is on record
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
create index permit_forbid    on authz.permit (action_id) where effect = 'forbid' and group_id is not null;
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

create table authz.sod_rule ( -- no one person in both roles of one change
	a       integer not null references authz.action,
	b       integer not null references authz.action,
	within_ interval not null default interval '7 days' check (within_ > interval '0'),
	primary key (a, b),
	check (a < b)
);
comment on column authz.sod_rule.within_ is 'Uses of the two on the same scope, as far as both name it, belong to one change for so long';

-- Who took part in what, of the actions of sod_rule only: requesters, approvers and executors of what started.
create table authz.sod_use (
	person_id  bigint not null,
	action_id  integer not null,
	scope      jsonb not null,
	request_id text collate "C" not null,
	part       text not null check (part in ('request', 'approve', 'execute')),
	at         timestamptz not null default clock_timestamp(),
	primary key (person_id, action_id, request_id, part)
);

-- Who is asked for the right to be let into a group; of the reviewed file.
create table authz.group_owner (
	group_id bigint primary key references dir.grp,
	owner    text not null check (octet_length(owner) between 1 and 200)
);

-- A second person's word for a plan of the grants file that gives away something dangerous.
create table authz.plan_approval (
	plan_sha256 text collate "C" not null check (plan_sha256 ~ '^[0-9a-f]{64}$'),
	approved_by text not null default session_user,
	at          timestamptz not null default clock_timestamp(),
	primary key (plan_sha256, approved_by, at)
);

-- The groups that approval rules of the commands name, by the ids that were reviewed: who takes the name of one later
-- approves nothing.
create table authz.rule_group (
	name     text collate "C" primary key,
	group_id bigint not null references dir.grp
);

-- Whose members the sync reads.
create view authz.group_in_use with (security_barrier) as
	select p.group_id from authz.permit p
	where p.group_id is not null and coalesce(upper(p.valid) > clock_timestamp(), true)
	union
	select r.group_id from authz.rule_group r;

create function authz.max_age(p_risk integer) returns interval
language sql immutable parallel safe as $$
	select case when p_risk <= 0 then interval '72 hours' when p_risk = 1 then interval '24 hours'
		when p_risk = 2 then interval '6 hours' else interval '2 hours' end
$$;

create function authz.scope_ok(p_grant bigint, p_effect text, p_action integer, p_params jsonb) returns boolean
language plpgsql stable parallel safe as $$
begin -- plpgsql: its plan is kept, that of an SQL function would be made anew in each transaction
	return not exists (
		select 1 from authz.action_param ap
		left join authz.permit_scope s on s.grant_id = p_grant and s.param = ap.param
		where ap.action_id = p_action and (ap.scoped or s.grant_id is not null)
		  and not coalesce(case
			when s.grant_id is null then p_effect = 'forbid' -- unscoped allow is void, unscoped forbid covers all
			-- a value of the wrong type comes to null: not to be evaluated
			when s.any_value then nullif(jsonb_typeof(p_params -> ap.param) in ('string', 'number'), false)
			when s.values_ is not null then
				case jsonb_typeof(p_params -> ap.param) when 'string' then p_params ->> ap.param = any (s.values_) end
			when jsonb_typeof(p_params -> ap.param) = 'number' and p_params ->> ap.param ~ '^-?[0-9]{1,15}$' then
				(p_params ->> ap.param)::bigint between coalesce(s.int_min, -999999999999999)
					and coalesce(s.int_max, 999999999999999)
			end, p_effect = 'forbid'));
end $$;

-- What of the other side of a separation this person, under whatever identity, did to the same change; null: nothing.
create function authz.sod_conflict(p_person bigint, p_action integer, p_params jsonb, p_now timestamptz)
returns authz.sod_use
language plpgsql stable as $$
declare
	same bigint[] := ops.disguises(p_person);
	used authz.sod_use;
begin
	select u.* into used from authz.sod_rule r
		join authz.sod_use u on u.action_id = case when r.a = p_action then r.b else r.a end
		where p_action in (r.a, r.b) and u.person_id = any (same) and u.at > p_now - r.within_
		  and not exists (select 1 from jsonb_each(u.scope) x where p_params -> x.key <> x.value)
		order by u.at desc limit 1;
	return used;
end $$;

create type authz.decision as (
	allowed       boolean,
	code          text,
	grant_id      bigint,
	grant_key     text,
	generation    bigint,
	revision      bigint,
	directory_age interval
);

-- p_risk: of the command, when it is higher than that of its action.  Short statements: what one statement names is set
-- up each time, also what this person and action do not need; all of them see the snapshot of the caller.
create function authz.decide(p_person bigint, p_cap text, p_action text, p_params jsonb, p_risk integer default 0)
returns authz.decision
language plpgsql stable as $$
declare
	d authz.decision;
	now_ timestamptz := clock_timestamp();
	x record; -- the action, the person, and the snapshot that they are from
	g record; -- the grant that decides
begin
	select a.action_id, a.deny_after, greatest(a.risk, p_risk) as risk, p.person_id,
			p.state = 'active' and p.kind = 'human' as active, s.generation, now_ - s.fetch_started_at as age
		into x
		from (values (1)) one
		left join authz.action a on a.name = p_action and a.enabled
		left join dir.person p on p.person_id = p_person
		left join dir.source s on s.source_id = p.source_id;
	d.generation := x.generation;
	d.directory_age := x.age;
	d.revision := (select max(v.revision) from authz.revision v);
	select c.grant_id, c.effect, c.stable_key, c.origin, c.unread into g from (
		select y.* from (
			select t.grant_id, t.effect, t.stable_key, t.origin, false as unread from authz.permit t
			where t.action_id = x.action_id and (t.capability = p_cap or t.effect = 'forbid') and t.valid @> now_
			  and (t.person_id = p_person or t.group_id = any (
				array(select m.group_id from dir.membership m where m.person_id = p_person)))
			union all -- what is forbidden to a group is forbidden to whoever may be in it
			select t.grant_id, t.effect, t.stable_key, t.origin, true from authz.permit t
			join dir.grp u on u.group_id = t.group_id and u.state = 'active' and dir.unread(u)
			where t.action_id = x.action_id and t.effect = 'forbid' and t.group_id is not null and t.valid @> now_) y
		order by (y.effect = 'forbid') desc, y.unread, (y.origin = 'break_glass') desc, y.grant_id
		offset 0) c -- offset: scopes are looked at in this order, and no further than the first that fits
		where authz.scope_ok(c.grant_id, c.effect, x.action_id, p_params)
		limit 1;
	d.code := case
		when x.action_id is null then 'unknown_action'
		when x.person_id is null then 'unknown_person'
		when x.active is not true then 'person_not_active'
		when g.origin is distinct from 'break_glass' and (x.age is null or x.age < interval '-5 minutes'
			or x.age > coalesce(x.deny_after, authz.max_age(x.risk))) then 'directory_stale'
		-- a grant cannot have been written with this parameter in mind
		when jsonb_typeof(p_params) = 'object' and p_params - array(select ap.param from authz.action_param ap
			where ap.action_id = x.action_id) <> '{}' then 'undeclared_scope'
		when g.unread then 'members_unknown'
		when g.effect = 'forbid' then 'forbidden'
		when g.effect = 'allow' then 'allowed'
		else 'no_matching_grant' end;
	if d.code = 'allowed' and exists (select 1 from authz.sod_rule r where x.action_id in (r.a, r.b)) then
		if (authz.sod_conflict(p_person, x.action_id, p_params, now_)).person_id is not null then
			d.code := 'separated';
		end if;
	end if;
	d.allowed := d.code = 'allowed';
	if d.code in ('allowed', 'forbidden', 'members_unknown') then
		d.grant_id := g.grant_id;
		d.grant_key := g.stable_key;
	end if;
	return d;
end $$;

create function authz.explain(p_person bigint, p_cap text, p_action text, p_params jsonb)
returns table (grant_key text, effect text, via text, verdict text, mine boolean)
language sql stable as $$
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
			when not c.is_mine and dir.unread(gr) then case when gr.blind_from is null
				then 'its members are read at the next sync' else 'its members cannot be read' end
			when not c.is_mine then 'would be enough'
			else 'matches' end,
		c.is_mine
	from c left join dir.grp gr on gr.group_id = c.group_id
	where c.is_mine or (c.in_time and c.in_scope and gr.state = 'active' and (c.effect = 'allow' or dir.unread(gr)))
	order by c.is_mine desc, c.effect desc, c.stable_key
	limit 30
$$;

create function authz.approvers(p_action text, p_params jsonb, p_exclude bigint[])
returns table (person_id bigint, via_group bigint)
language sql stable as $$
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
	authz.sod_rule, authz.group_owner, authz.rule_group to opsd_grants;
grant select, insert on authz.revision to opsd_grants;
grant select on all tables in schema authz to opsd_auditor;
grant execute on function authz.decide(bigint, text, text, jsonb, integer),
	authz.explain(bigint, text, text, jsonb), authz.approvers(text, jsonb, bigint[]),
	authz.scope_ok(bigint, text, integer, jsonb),
	authz.max_age(integer) to opsd_grants, opsd_auditor;

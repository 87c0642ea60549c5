-- SPDX-License-Identifier: Apache-2.0
-- One run of the directory sync: stage, plan, brake, apply.
--
-- These functions run with the rights of the sync's own role.  sync_begin, the COPYs into the staging
-- tables, sync_plan and then sync_apply or sync_refuse share one transaction; sync_plan already writes
-- people, groups and addresses, so a refused plan is rolled back to the savepoint before it.
set local role opsd_owner;

alter table dir.source add column generated_at timestamptz;
alter table dir.source add column validator text, add column settings_digest text, add column read_at timestamptz;
comment on column dir.source.validator is 'ETag of the document that was applied whole; read_at: when it was last read, not skipped';
alter table dir.sync_run add column notes jsonb not null default '{}', add column told text;
comment on column dir.sync_run.told is 'What the audit channel was told of this run: alarm or clear';
comment on column dir.source.generated_at is 'What the last applied snapshot said of itself; an older one is refused';

-- An address that moves finds nobody until it is released; a released one that moves again is held again.
create function dir.quarantine(p_key text, p_old bigint, p_new bigint) returns void
language sql security definer set search_path = pg_catalog, dir, pg_temp as $$
	insert into dir.email_quarantine (email_key, old_person, new_person) values (p_key, p_old, p_new)
	on conflict (email_key) do update
		set old_person = excluded.old_person, new_person = excluded.new_person, since = clock_timestamp(),
			released_by = null, released_at = null
$$;

-- May the document that was applied be skipped when the source says that it is still that one?  Not after other
-- settings, a brake, something held or released, nor for longer than a day.
create function dir.sync_validator(p_source text, p_settings text) returns text
language sql stable set search_path = pg_catalog, dir, pg_temp as $$
	select s.validator from dir.source s
	cross join lateral (select r.state, r.brakes, r.finished_at from dir.sync_run r
		where r.source_id = s.source_id and r.state <> 'stale' order by r.run_id desc limit 1) r
	where s.name = p_source and s.settings_digest = p_settings and s.read_at > clock_timestamp() - interval '1 day'
		and r.state in ('applied', 'unchanged') and r.brakes = '[]'
		and not exists (select 1 from dir.email_quarantine q where q.released_at > r.finished_at)
$$;

create function dir.sync_open(p_source text, p_kind text, p_domains text[], p_age interval, p_error text, p_settings text,
	p_notes jsonb) returns bigint
language plpgsql set search_path = pg_catalog, dir, pg_temp as $$
declare
	src smallint;
	run bigint;
	failing text := p_notes ->> 'group';
begin
	insert into dir.source (name, kind, allowed_domains) values (p_source, p_kind, p_domains) on conflict (name) do nothing;
	update dir.source set kind = p_kind, allowed_domains = p_domains, settings_digest = p_settings,
			validator = case when settings_digest = p_settings then validator end
		where name = p_source and (kind, allowed_domains, settings_digest) is distinct from (p_kind, p_domains, p_settings);
	select s.source_id into strict src from dir.source s where s.name = p_source;
	if (select count(*) from (select r.notes ->> 'group' as id from dir.sync_run r where r.source_id = src
			order by r.run_id desc limit 2) x where x.id = failing) = 2 then
		p_error := left(p_error, 400) || format('; it is the third run in a row that this group stops: if it cannot be repaired '
			|| 'soon, set_aside: [ "%s" ] of this source goes on without it (docs/directory.md)', failing);
	end if;
	insert into dir.sync_run (source_id, fetch_started_at, state, finished_at, error, notes)
		values (src, clock_timestamp() - p_age, case when p_error is null then 'fetching' else 'failed' end,
			case when p_error is not null then clock_timestamp() end, p_error, coalesce(p_notes, '{}'))
		returning run_id into run;
	return run;
end $$;

create function dir.sync_close(p_run bigint, p_state text, p_error text) returns void
language sql set search_path = pg_catalog, dir, pg_temp as $$
	update dir.sync_run set state = p_state, error = p_error, finished_at = clock_timestamp()
		where run_id = p_run and state = 'fetching'
$$;

-- 'ok', or why this run is not the one that may write.
create function dir.sync_enter(p_run bigint, p_generated_at timestamptz) returns text
language plpgsql set search_path = pg_catalog, dir, pg_temp as $$
declare
	s record;
begin
	select r.fetch_started_at, x.source_id, x.name into strict s
		from dir.sync_run r join dir.source x using (source_id) where r.run_id = p_run;
	if not pg_try_advisory_xact_lock(hashtextextended('dirsync:' || s.name, 0)) then
		return 'busy';
	end if;
	if exists (select 1 from dir.source x where x.source_id = s.source_id
			and (x.fetch_started_at >= s.fetch_started_at or x.generated_at > p_generated_at)) then
		return 'stale';
	end if;
	return 'ok';
end $$;

-- The document is the one that was applied: the copy is as fresh as this run.
create function dir.sync_fresh(p_run bigint, p_channel text) returns text
language plpgsql set search_path = pg_catalog, dir, pg_temp as $$
declare
	entered text := dir.sync_enter(p_run, null);
begin
	if entered <> 'ok' then
		perform dir.sync_close(p_run, case entered when 'stale' then 'stale' else 'failed' end, entered);
		return entered;
	end if;
	update dir.source s set fetch_started_at = r.fetch_started_at
		from dir.sync_run r where r.run_id = p_run and s.source_id = r.source_id;
	update dir.sync_run r set state = 'unchanged', finished_at = clock_timestamp(), generation = s.generation
		from dir.source s where r.run_id = p_run and s.source_id = r.source_id;
	perform ops.owe_sync(p_run, p_channel);
	return 'unchanged';
end $$;

-- 'ok' with empty staging tables; 'busy': another run of this source; 'stale': a newer snapshot was applied.
create function dir.sync_begin(p_run bigint, p_generated_at timestamptz) returns text
language plpgsql set search_path = pg_catalog, dir, pg_temp as $$
declare
	entered text := dir.sync_enter(p_run, p_generated_at);
begin
	if entered <> 'ok' then
		return entered;
	end if;
	create temp table sync_user (ext text collate "C" primary key, state text not null, kind text not null,
		name text not null) on commit drop;
	create temp table sync_email (ext text collate "C" not null, email_key text collate "C" not null,
		is_primary boolean not null) on commit drop;
	create temp table sync_grp (ext text collate "C" primary key, name_key text collate "C" not null unique,
		everyone boolean not null, read boolean not null, aside boolean not null) on commit drop;
	create temp table sync_mu (gext text collate "C" not null, uext text collate "C" not null) on commit drop;
	create temp table sync_mg (pext text collate "C" not null, cext text collate "C" not null) on commit drop;
	return 'ok';
end $$;

-- Answers with how many people are new.  Update and insert apart: "on conflict" writes to each row that it meets.
create function dir.sync_plan_people(p_src smallint, p_gen bigint) returns bigint
language plpgsql set search_path = pg_catalog, dir, pg_temp as $$
declare
	fresh bigint;
begin
	insert into sync_line select case when p.person_id is null
			then format('+ person %s (%s, %s, %s)', u.ext, u.name, u.state, u.kind)
			else format('~ person %s (%s, %s, %s) -> (%s, %s, %s)', u.ext, p.display_name, p.state, p.kind,
				u.name, u.state, u.kind) end
		from sync_user u left join dir.person p on p.source_id = p_src and p.external_id = u.ext
		where p.person_id is null or (p.state, p.kind, p.display_name) is distinct from (u.state, u.kind, u.name);
	insert into sync_line select format('- person %s (%s)', p.external_id, p.display_name)
		from dir.person p where p.source_id = p_src and p.state <> 'gone'
			and not exists (select 1 from sync_user u where u.ext = p.external_id);
	update dir.person p set state = u.state, kind = u.kind, display_name = u.name, last_gen = p_gen,
			gone_gen = case when u.state = 'gone' then p_gen end
		from sync_user u where p.source_id = p_src and p.external_id = u.ext
			and (p.state, p.kind, p.display_name) is distinct from (u.state, u.kind, u.name);
	insert into dir.person (source_id, external_id, state, kind, display_name, first_gen, last_gen, gone_gen)
		select p_src, u.ext, u.state, u.kind, u.name, p_gen, p_gen, case when u.state = 'gone' then p_gen end from sync_user u
		where not exists (select 1 from dir.person p where p.source_id = p_src and p.external_id = u.ext);
	get diagnostics fresh = row_count;
	update dir.person p set state = 'gone', gone_gen = p_gen, last_gen = p_gen
		where p.source_id = p_src and p.state <> 'gone'
			and not exists (select 1 from sync_user u where u.ext = p.external_id);
	return fresh;
end $$;

create function dir.sync_plan_groups(p_src smallint, p_gen bigint) returns bigint
language plpgsql set search_path = pg_catalog, dir, pg_temp as $$
declare
	fresh bigint;
begin
	-- whether it holds everybody is known by its members only
	update sync_grp s set everyone = g.everyone from dir.grp g
		where g.source_id = p_src and g.external_id = s.ext and not s.read and g.everyone <> s.everyone;
	insert into sync_line select case
			when g.group_id is null and old.group_id is not null
				then format('! group %s now means another id: %s -> %s', s.name_key, old.external_id, s.ext)
			when g.group_id is null then format('+ group %s (%s)', s.name_key, s.ext)
			else format('~ group %s (%s, %s%s) -> (%s, active%s)', s.ext, g.name_key, g.state,
				case when g.everyone then ', everyone' else '' end, s.name_key,
				case when s.everyone then ', everyone' else '' end) end
		from sync_grp s left join dir.grp g on g.source_id = p_src and g.external_id = s.ext
		left join dir.grp old on old.source_id = p_src and old.name_key = s.name_key and old.state = 'active'
		where g.group_id is null or (g.name_key, g.state, g.everyone) is distinct from (s.name_key, 'active', s.everyone);
	insert into sync_line select format('- group %s (%s)', g.name_key, g.external_id)
		from dir.grp g where g.source_id = p_src and g.state <> 'gone'
			and not exists (select 1 from sync_grp s where s.ext = g.external_id);
	update dir.grp g set state = 'gone', gone_gen = p_gen, last_gen = p_gen
		where g.source_id = p_src and g.state <> 'gone'
			and not exists (select 1 from sync_grp s where s.ext = g.external_id);
	-- Two groups may have exchanged their names, which are unique.
	update dir.grp g set name_key = '~' || g.external_id from sync_grp s
		where g.source_id = p_src and g.external_id = s.ext and g.name_key <> s.name_key;
	update dir.grp g set name_key = s.name_key, state = 'active', everyone = s.everyone, gone_gen = null, last_gen = p_gen
		from sync_grp s where g.source_id = p_src and g.external_id = s.ext
			and (g.name_key, g.state, g.everyone) is distinct from (s.name_key, 'active', s.everyone);
	insert into dir.grp (source_id, external_id, name_key, state, everyone, in_scope_since_gen, first_gen, last_gen)
		select p_src, s.ext, s.name_key, 'active', s.everyone, case when s.read then p_gen end, p_gen, p_gen from sync_grp s
		where not exists (select 1 from dir.grp g where g.source_id = p_src and g.external_id = s.ext);
	get diagnostics fresh = row_count;
	perform dir.sync_plan_scope(p_src, p_gen);
	return fresh;
end $$;

create function dir.sync_plan_addresses(p_src smallint) returns void
language plpgsql set search_path = pg_catalog, dir, pg_temp as $$
begin
	create temp table sync_addr on commit drop as
		select e.email_key, min(p.person_id) as person_id, min(e.ext) as ext, bool_or(e.is_primary) as is_primary,
			min(e.ext) <> max(e.ext) as disputed, min(o.person_id) as owner, min(op.external_id) as owner_ext
		from sync_email e
		join dir.person p on p.source_id = p_src and p.external_id = e.ext
		left join dir.person_email o on o.email_key = e.email_key
		left join dir.person op on op.person_id = o.person_id
		group by e.email_key;
	create unique index on sync_addr (email_key);
	analyze sync_addr;
	-- Listed for two people, or now for another one than before: nobody's, until somebody has looked.
	create temp table sync_held_addr on commit drop as
		select a.email_key, a.owner, a.owner_ext, case when not a.disputed then a.person_id end as new_person,
			case when not a.disputed then a.ext end as new_ext, a.disputed
		from sync_addr a left join dir.email_quarantine q using (email_key)
		where a.disputed or (a.owner <> a.person_id
			and not coalesce(q.released_at is not null and q.old_person = a.owner and q.new_person = a.person_id, false));
	insert into sync_line select case when h.disputed
			then format('! address %s is listed for several people: nobody''s', h.email_key)
			else format('! address %s moves from %s to %s: quarantine', h.email_key, h.owner_ext, h.new_ext) end
		from sync_held_addr h left join dir.email_quarantine q on q.email_key = h.email_key and q.released_at is null
			and q.old_person is not distinct from h.owner and q.new_person is not distinct from h.new_person
		where q.email_key is null and (h.owner is not null or not h.disputed);
	perform dir.quarantine(h.email_key, h.owner, h.new_person)
		from sync_held_addr h left join dir.email_quarantine q on q.email_key = h.email_key and q.released_at is null
			and q.old_person is not distinct from h.owner and q.new_person is not distinct from h.new_person
		where q.email_key is null and h.owner is not null;

	create temp table sync_lost_addr on commit drop as
		select pe.email_key, pe.person_id, p.external_id as ext, pe.is_primary from dir.person_email pe
		join dir.person p using (person_id) join sync_user u on u.ext = p.external_id
		where p.source_id = p_src and not exists (select 1 from sync_addr a where a.email_key = pe.email_key);
	insert into sync_line select format('- address %s of %s', l.email_key, l.ext) from sync_lost_addr l;
	insert into sync_line select case
			when a.owner is null then format('+ address %s of %s', a.email_key, a.ext)
			when a.owner <> a.person_id then format('~ address %s released to %s', a.email_key, a.ext)
			else format('~ address %s of %s is %s', a.email_key, a.ext,
				case when a.is_primary then 'primary' else 'an alias' end) end
		from sync_addr a left join dir.person_email pe using (email_key)
		where not exists (select 1 from sync_held_addr h where h.email_key = a.email_key)
			and (pe.person_id, pe.is_primary) is distinct from (a.person_id, a.is_primary);

	delete from dir.person_email pe using sync_lost_addr l where l.email_key = pe.email_key;
	-- Not primary first: a person has one primary address at any moment.
	update dir.person_email pe set person_id = a.person_id, is_primary = false from sync_addr a
		where a.email_key = pe.email_key and (pe.person_id, pe.is_primary) is distinct from (a.person_id, a.is_primary)
			and not exists (select 1 from sync_held_addr h where h.email_key = a.email_key);
	insert into dir.person_email (email_key, person_id, is_primary)
		select a.email_key, a.person_id, false from sync_addr a
		where a.owner is null and not exists (select 1 from sync_held_addr h where h.email_key = a.email_key);
	update dir.person_email pe set is_primary = true from sync_addr a
		where a.email_key = pe.email_key and a.is_primary and not pe.is_primary and a.person_id = pe.person_id
			and not exists (select 1 from sync_held_addr h where h.email_key = a.email_key);
end $$;

-- Flattens and compares: sync_plan_row is what would change ('~': direct becomes indirect, or the other way),
-- sync_edge the direct nesting.  A pair that is listed twice counts once from sync_eff on.
create function dir.sync_plan_members(p_src smallint, p_gen bigint) returns void
language plpgsql set search_path = pg_catalog, dir, pg_temp as $$
begin
	create temp table sync_direct on commit drop as
		select g.group_id, p.person_id, true as direct from sync_mu m
		join dir.grp g on g.source_id = p_src and g.external_id = m.gext
		join dir.person p on p.source_id = p_src and p.external_id = m.uext
		union all -- as last known, all of them
		select m.group_id, m.person_id, m.direct from sync_scope z join dir.membership m using (group_id)
		join dir.person p using (person_id) where z.how = 'kept' and p.state <> 'gone';
	create temp table sync_edge on commit drop as
		select distinct a.group_id as parent_id, b.group_id as child_id from sync_mg m
		join dir.grp a on a.source_id = p_src and a.external_id = m.pext
		join dir.grp b on b.source_id = p_src and b.external_id = m.cext
		where a.group_id <> b.group_id;
	analyze sync_direct;
	analyze sync_edge;
	create temp table sync_closure on commit drop as -- union, not union all: it ends on cycles
		with recursive c(anc, des) as (
			select parent_id, child_id from sync_edge
			union
			select c.anc, e.child_id from c join sync_edge e on e.parent_id = c.des)
		select anc, des from c where anc <> des;
	analyze sync_closure;
	create temp table sync_eff on commit drop as
		select x.person_id, x.group_id, bool_or(x.direct) as direct from (
			select d.person_id, d.group_id, d.direct from sync_direct d
			union all
			select d.person_id, c.anc, false from sync_closure c join sync_direct d on d.group_id = c.des) x
		group by 1, 2;
	analyze sync_eff;
	create temp table sync_plan_row on commit drop as
		select case when m.person_id is null then '+' when e.person_id is null then '-' else '~' end::"char" as op,
			coalesce(e.person_id, m.person_id) as person_id, coalesce(e.group_id, m.group_id) as group_id,
			coalesce(e.direct, m.direct) as direct, false as scope
		from sync_eff e full join (select m.person_id, m.group_id, m.direct from dir.membership m
				join dir.grp g on g.group_id = m.group_id and g.source_id = p_src) m
			on (e.person_id, e.group_id) = (m.person_id, m.group_id)
		where m.person_id is null or e.person_id is null or m.direct <> e.direct;
	perform dir.sync_scope_rows(p_src);
	analyze sync_plan_row;
	-- A group in use that existed before and grows by much, or by a group: its additions wait.
	create temp table sync_hold on commit drop as
		select g.group_id, g.name_key, count(*) as adds,
			(select count(*) from dir.membership m where m.group_id = g.group_id) as had,
			exists (select 1 from sync_edge e where (e.parent_id = g.group_id
					or exists (select 1 from sync_closure c where (c.anc, c.des) = (g.group_id, e.parent_id)))
				and not exists (select 1 from dir.member_group o where (o.parent_id, o.child_id) = (e.parent_id, e.child_id)))
				as nested
		from sync_plan_row r join dir.grp g using (group_id) join authz.group_in_use u using (group_id)
		where r.op = '+' and not r.scope and g.first_gen < p_gen
		group by g.group_id;
	delete from sync_hold h where not (h.nested or (h.adds >= 10 and h.adds > h.had));
	perform dir.sync_scope_lines();
end $$;

-- p_active: active people before the plan; p_lost: how many of them it takes away.
create function dir.sync_brakes(p_src smallint, p_active bigint, p_lost bigint) returns jsonb
language plpgsql set search_path = pg_catalog, dir, pg_temp as $$
begin
	-- a group that comes into use gains nobody, and one that goes out of use loses nobody
	return (with live as (select count(*) as n from dir.membership m join dir.grp g using (group_id) where g.source_id = p_src
		and not exists (select 1 from sync_scope z where z.group_id = m.group_id and z.how in ('out', 'empty'))),
	d as (select count(*) filter (where op = '-') as del from sync_plan_row where not scope),
	per as (
		select g.group_id, g.name_key, g.state, count(*) filter (where r.op = '-') as del,
			count(*) filter (where r.op = '+') as add,
			(select count(*) from dir.membership m where m.group_id = g.group_id) as had
		from sync_plan_row r join dir.grp g using (group_id) join authz.group_in_use u using (group_id)
		where not r.scope
		group by g.group_id),
	moved as (select count(*) as n from sync_held_addr where not disputed),
	primaries as (select count(*) as n from sync_lost_addr where is_primary),
	b(name, tripped, detail) as (
		select 'empty_source', (live.n > 0 and not exists (select 1 from sync_eff e
					where not exists (select 1 from sync_scope z where z.group_id = e.group_id and z.how = 'in'))) or (p_active > 0 and not exists (select 1 from sync_user))
				or (live.n > 0 and not exists (select 1 from sync_grp)),
			'the source lists no people, no groups or no memberships' from live
		union all
		select 'total_removals', live.n >= 200 and d.del > greatest(50, 0.05 * live.n),
			format('%s of %s memberships would be removed', d.del, live.n) from live, d
		union all
		select 'people_lost', p_lost > greatest(20, 0.03 * p_active),
			format('%s of %s active people would no longer be active, or no longer be employees', p_lost, p_active)
		union all
		select 'primary_addresses', primaries.n > greatest(20, 0.02 * p_active),
			format('%s primary addresses would change', primaries.n) from primaries
		union all
		select 'addresses_moved', moved.n > greatest(5, 0.005 * p_active),
			format('%s addresses would move to another person', moved.n) from moved
		union all
		select 'in_use_group_vanished', true, format('group %s is named by grants and would be gone', g.name_key)
			from dir.grp g join authz.group_in_use u using (group_id)
			join dir.source s using (source_id)
			where g.source_id = p_src and g.state = 'gone' and (exists (select 1 from dir.membership m where m.group_id = g.group_id)
				or (g.gone_gen = s.generation + 1 and dir.unread(g)))
		union all
		select 'in_use_group_emptied', true, format('group %s would lose all of its %s members', name_key, had)
			from per where had > 0 and del = had and add = 0 and state = 'active'
		union all
		select 'in_use_group_halved', true, format('group %s would lose %s of its %s members', name_key, del, had)
			from per where had >= 6 and del >= 3 and del > 0.5 * had and not (del = had and add = 0))
	select coalesce(jsonb_agg(jsonb_build_object('name', name, 'detail', detail, 'hold', false) order by name, detail), '[]')
	from b where tripped);
end $$;

-- What a plan is known by: its lines, and for each group who comes and goes, by the ids of the source.
create function dir.sync_digest() returns text
language plpgsql set search_path = pg_catalog, dir, pg_temp as $$
begin
	return encode(sha256(convert_to(coalesce((select string_agg(l.line, e'\n' order by l.line) from sync_line l), '')
		|| coalesce((select string_agg(x.digest, e'\n' order by x.digest) from (
			select g.external_id || e'\n' || encode(sha256(convert_to(string_agg(r.op::text || p.external_id, e'\n'
				order by p.external_id), 'UTF8')), 'hex') as digest
			from sync_plan_row r join dir.person p using (person_id) join dir.grp g using (group_id)
			where r.op <> '~' group by g.group_id) x), ''), 'UTF8')), 'hex');
end $$;

-- The first lines of a plan: a first load has a million.
create function dir.sync_lines(p_limit integer) returns jsonb
language plpgsql set search_path = pg_catalog, dir, pg_temp as $$
begin
	return (select coalesce(jsonb_agg(y.line order by y.line), '[]') from (
		select x.line from (
			(select l.line from sync_line l order by l.line limit p_limit)
			union all
			(select format('%s member %s of %s%s%s', r.op, p.external_id, g.name_key,
					case when r.direct then '' else ' (through another group)' end,
					case when r.scope and r.op = '+' then ' (read for the first time)' when r.scope then ' (not read any more)'
						else '' end) collate "C"
				from sync_plan_row r join dir.person p using (person_id) join dir.grp g using (group_id)
				where r.op <> '~' order by r.op, p.external_id, g.name_key limit p_limit)) x
		order by x.line limit p_limit) y);
end $$;

create function dir.sync_plan(p_run bigint) returns jsonb
language plpgsql set search_path = pg_catalog, dir, pg_temp as $$
declare
	src smallint;
	gen bigint;
	active bigint;
	lost bigint;
	fresh bigint;
	m record;
	plan jsonb;
	brakes jsonb;
begin
	select s.source_id, s.generation + 1 into strict src, gen
		from dir.sync_run r join dir.source s using (source_id) where r.run_id = p_run;
	create temp table sync_line (line text collate "C" not null) on commit drop; -- but those of members
	analyze sync_user, sync_email, sync_grp, sync_mu, sync_mg;
	-- who is a guest now is lost too: a list of users that is cut off makes guests of members
	select count(*), count(*) filter (where u.ext is null or u.state <> 'active' or (p.kind = 'human' and u.kind <> 'human'))
		into active, lost
		from dir.person p left join sync_user u on u.ext = p.external_id
		where p.source_id = src and p.state = 'active';
	fresh := dir.sync_plan_people(src, gen) + dir.sync_plan_groups(src, gen);
	if fresh > 1000 or gen = 1 then
		perform dir.refresh_statistics();
	end if;
	perform dir.sync_plan_addresses(src);
	perform dir.sync_plan_members(src, gen);
	brakes := dir.sync_brakes(src, active, lost) || (
		select coalesce(jsonb_agg(jsonb_build_object('name', 'in_use_group_surge', 'hold', true, 'detail',
			format('group %s had %s members and would gain %s%s', h.name_key, h.had, h.adds,
				case when h.nested then ' through a newly nested group' else '' end)) order by h.name_key), '[]')
		from sync_hold h);
	select count(*) filter (where r.op = '+' and not r.scope) as adds, count(*) filter (where r.op = '-' and not r.scope) as removals,
			count(*) filter (where r.op = '+' and r.scope) as come, count(*) filter (where r.op = '-' and r.scope) as go
		into strict m from sync_plan_row r;
	select jsonb_build_object('generation', gen, 'brakes', brakes, 'sha256', dir.sync_digest(),
			'changes', count(*) + m.adds + m.removals + m.come + m.go, 'lines', dir.sync_lines(500),
			'aside', dir.sync_aside(src),
			'counts', jsonb_build_object(
				'people', (select count(*) from sync_user), 'groups', (select count(*) from sync_grp),
				'groups_read', (select count(*) from sync_grp g where g.read),
				'groups_in', (select count(*) from sync_scope z where z.how = 'in'),
				'groups_out', (select count(*) from sync_scope z where z.how in ('out', 'empty')),
				'members_in', m.come, 'members_out', m.go,
				'memberships', (select count(*) from sync_eff),
				'people_added', count(*) filter (where l.line like '+ person %'),
				'people_changed', count(*) filter (where l.line like '~ person %'),
				'people_gone', count(*) filter (where l.line like '- person %'),
				'active_lost', lost,
				'members_added', m.adds, 'members_removed', m.removals,
				'adds', count(*) filter (where l.line like '+%') + m.adds,
				'changes', count(*) filter (where l.line like '~%'),
				'removals', count(*) filter (where l.line like '-%') + m.removals,
				'warnings', count(*) filter (where l.line like '!%'),
				'addresses_held', (select count(*) from sync_held_addr),
				'losses', (select coalesce(jsonb_agg(jsonb_build_object('group', x.name_key, 'members', x.n) order by x.n desc,
						x.name_key), '[]') from (
					select g.name_key, count(*) as n from sync_plan_row r join dir.grp g using (group_id)
						join authz.group_in_use u using (group_id)
						where r.op = '-' and not r.scope group by g.group_id order by n desc, g.name_key limit 5) x)))
		into plan from sync_line l;
	return plan;
end $$;

-- p_accept: the plan's digest and the names of two people, to go on in spite of its brakes.
create function dir.sync_apply(p_run bigint, p_plan jsonb, p_generated_at timestamptz, p_validator text, p_channel text,
	p_accept text, p_by text[]) returns jsonb
language plpgsql set search_path = pg_catalog, dir, pg_temp as $$
declare
	src smallint;
	gen bigint;
	held bigint := 0;
	changed boolean;
	edges bigint;
	added bigint := 0;
	turned bigint;
	digest text := p_plan ->> 'sha256';
begin
	select s.source_id, s.generation + 1 into strict src, gen
		from dir.sync_run r join dir.source s using (source_id) where r.run_id = p_run;
	if p_accept is not null then
		perform dir.sync_check_accept(src, p_plan, p_accept, p_by);
	else
		create temp table sync_held_row on commit drop as
			select r.* from sync_plan_row r join sync_hold h using (group_id) where r.op = '+';
		get diagnostics held = row_count;
		delete from sync_plan_row r using sync_hold h where h.group_id = r.group_id and r.op = '+';
	end if;
	-- No request starts between two generations: those who start one take this lock shared.
	perform pg_advisory_xact_lock(hashtextextended('dirsync', 0));
	insert into dir.membership_change (generation, op, person_id, group_id, by_scope)
		select gen, r.op, r.person_id, r.group_id, r.scope from sync_plan_row r where gen > 1 and r.op <> '~'; -- a first load is summed up in sync_run
	delete from dir.membership m using sync_plan_row r
		where r.op = '-' and (r.person_id, r.group_id) = (m.person_id, m.group_id);
	insert into dir.membership (person_id, group_id, direct, since_gen)
		select r.person_id, r.group_id, r.direct, gen from sync_plan_row r where r.op = '+'
		order by r.person_id, r.group_id; -- as the primary key grows
	update dir.membership m set direct = r.direct from sync_plan_row r
		where r.op = '~' and (r.person_id, r.group_id) = (m.person_id, m.group_id);
	get diagnostics turned = row_count;
	delete from dir.member_group o using dir.grp g where g.group_id = o.parent_id and g.source_id = src
		and not exists (select 1 from sync_edge e where (e.parent_id, e.child_id) = (o.parent_id, o.child_id))
		and not exists (select 1 from sync_scope z where z.group_id = o.parent_id and z.how = 'kept');
	get diagnostics edges = row_count;
	insert into dir.member_group select e.parent_id, e.child_id from sync_edge e
		where held = 0 -- a new nesting stays new until its members were let in
			or not exists (select 1 from sync_hold h where h.group_id = e.parent_id
				or exists (select 1 from sync_closure c where (c.anc, c.des) = (h.group_id, e.parent_id)))
		on conflict do nothing;
	get diagnostics added = row_count;
	changed := (p_plan ->> 'changes')::bigint > held or edges + added + turned > 0;
	if held > 0 then -- what is left is the plan that two people may accept
		delete from sync_line;
		delete from sync_plan_row;
		insert into sync_plan_row select * from sync_held_row;
		digest := dir.sync_digest();
	end if;
	update dir.source s set generation = case when changed then gen else s.generation end,
			fetch_started_at = r.fetch_started_at, generated_at = p_generated_at, validator = p_validator,
			read_at = r.fetch_started_at
		from dir.sync_run r where r.run_id = p_run and s.source_id = src;
	update dir.sync_run r set state = case when changed then 'applied' else 'unchanged' end,
			finished_at = clock_timestamp(), generation = case when changed then gen else gen - 1 end,
			counts = p_plan -> 'counts', brakes = p_plan -> 'brakes', plan_sha256 = decode(digest, 'hex'),
			override_by = case when p_accept is not null then p_by end
		where r.run_id = p_run;
	perform ops.owe_sync(p_run, p_channel);
	return jsonb_build_object('changed', changed, 'held', held, 'sha256', digest, 'generation', case when changed then gen else gen - 1 end);
end $$;

create function dir.sync_check_accept(p_src smallint, p_plan jsonb, p_accept text, p_by text[]) returns void
language plpgsql set search_path = pg_catalog, dir, pg_temp as $$
declare
	stopped bigint;
begin
	if p_accept <> p_plan ->> 'sha256' then
		raise exception 'the plan is now %, not the accepted one: read it again', p_plan ->> 'sha256' using errcode = 'OP008';
	end if;
	if (select count(distinct p.person_id) from unnest(p_by) x
			join dir.person_email e on e.email_key = lower(btrim(x) collate "C")
			join dir.person p on p.person_id = e.person_id and p.state = 'active' and p.kind = 'human') < 2 then
		raise exception 'two active people of the directory must accept a plan that a brake has stopped: --by ADDRESS --by ADDRESS'
			using errcode = 'OP008';
	end if;
	select max(r.run_id) into stopped from dir.sync_run r
		where r.source_id = p_src and r.plan_sha256 = decode(p_accept, 'hex') and r.brakes <> '[]' and r.override_by is null
			and r.finished_at > clock_timestamp() - interval '1 hour';
	if stopped is null then
		raise exception 'this plan was not stopped within the last hour: run the sync, then accept what it shows'
			using errcode = 'OP008';
	end if;
	if exists (select 1 from dir.sync_run r where r.source_id = p_src and r.plan_sha256 = decode(p_accept, 'hex')
			and r.override_by is not null and r.run_id > stopped) then
		raise exception 'this plan was accepted already: run the sync, then accept what it shows' using errcode = 'OP008';
	end if;
end $$;

-- After the rollback to the savepoint: only what the source says of people it lists, and the record.
create function dir.sync_refuse(p_run bigint, p_plan jsonb, p_channel text) returns jsonb
language plpgsql set search_path = pg_catalog, dir, pg_temp as $$
declare
	src smallint;
	gen bigint;
	active bigint;
	left_ bigint;
	departures bigint;
begin
	select s.source_id, s.generation + 1 into strict src, gen
		from dir.sync_run r join dir.source s using (source_id) where r.run_id = p_run;
	select count(*), count(*) filter (where u.state <> 'active') into active, departures
		from dir.person p left join sync_user u on u.ext = p.external_id where p.source_id = src and p.state = 'active';
	left_ := 0;
	if departures <= greatest(20, 0.03 * active) then
		update dir.person p set state = u.state, last_gen = gen, gone_gen = case when u.state = 'gone' then gen end
			from sync_user u where p.source_id = src and p.external_id = u.ext and p.state = 'active' and u.state <> 'active';
		get diagnostics left_ = row_count;
	end if;
	update dir.source set generation = gen where source_id = src and left_ > 0;
	update dir.sync_run set state = 'refused', finished_at = clock_timestamp(), counts = p_plan -> 'counts',
			brakes = p_plan -> 'brakes', plan_sha256 = decode(p_plan ->> 'sha256', 'hex'),
			generation = case when left_ > 0 then gen else gen - 1 end,
			notes = notes || jsonb_build_object('departures', left_, 'departures_held', departures - left_)
		where run_id = p_run;
	perform ops.owe_sync(p_run, p_channel);
	return jsonb_build_object('departures', left_, 'departures_held', departures - left_);
end $$;

-- The audit entry of a run, and what the audit channel is told of it: an alarm when it was refused, incomplete or held
-- something back, again when the reason changes or four hours have passed, and a word when it is over.
create function ops.owe_sync(p_run bigint, p_channel text) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
	r dir.sync_run;
	s dir.source;
	last dir.sync_run;
	event text;
	facts jsonb;
	says text;
begin
	select * into strict r from dir.sync_run x where x.run_id = p_run and x.finished_at is not null for update;
	select * into strict s from dir.source x where x.source_id = r.source_id;
	if r.told is not null then
		return;
	end if;
	event := 'directory.' || case when r.state in ('applied', 'unchanged') and r.brakes <> '[]' and r.override_by is null
		then 'held' else r.state end;
	facts := jsonb_build_object('event', event, 'source', s.name, 'run', r.run_id, 'generation', r.generation,
		'counts', r.counts, 'brakes', r.brakes, 'notes', r.notes, 'error', r.error, 'accepted_by', to_jsonb(r.override_by),
		'age_s', extract(epoch from clock_timestamp() - s.fetch_started_at)::bigint);
	if r.state <> 'unchanged' or event = 'directory.held' then
		perform ops.audit_note(null, null, null, '{"job":"sync"}', event,
			case when event = 'directory.applied' then 'success' else 'failure' end,
			'{' || coalesce('"accepted_by":' || ops.js_list(r.override_by) || ',', '')
			|| '"brakes":' || coalesce(ops.js_list(array(select x ->> 'name' || ': ' || (x ->> 'detail')
				from jsonb_array_elements(r.brakes) x)), '[]')
			|| coalesce(',"error":' || ops.js(r.error), '') || coalesce(',"generation":' || r.generation, '')
			|| coalesce(',"groups_in":' || (r.counts ->> 'groups_in'), '')
			|| coalesce(',"groups_out":' || (r.counts ->> 'groups_out'), '')
			|| coalesce(',"members_added":' || (r.counts ->> 'members_added'), '')
			|| coalesce(',"members_in":' || (r.counts ->> 'members_in'), '')
			|| coalesce(',"members_out":' || (r.counts ->> 'members_out'), '')
			|| coalesce(',"members_removed":' || (r.counts ->> 'members_removed'), '')
			|| coalesce(',"people_added":' || (r.counts ->> 'people_added'), '')
			|| coalesce(',"people_gone":' || (r.counts ->> 'people_gone'), '')
			|| coalesce(',"plan":"' || encode(r.plan_sha256, 'hex') || '"', '')
			|| ',"run":' || r.run_id || ',"source":' || ops.js(s.name) || '}');
	end if;
	select * into last from dir.sync_run x where x.source_id = r.source_id and x.told is not null
		order by x.run_id desc limit 1;
	if event not in ('directory.applied', 'directory.unchanged') then
		-- numbers alone are no new reason
		if last.told = 'alarm' and last.finished_at > clock_timestamp() - interval '4 hours'
				and (last.state, regexp_replace(concat(last.error, last.brakes), '[0-9]+', '#', 'g'))
					= (r.state, regexp_replace(concat(r.error, r.brakes), '[0-9]+', '#', 'g')) then
			return;
		end if;
		says := 'alarm';
	elsif last.told = 'alarm' then
		says := 'clear';
		facts := jsonb_set(facts, '{event}', '"directory.clear"');
	else
		return;
	end if;
	update dir.sync_run x set told = says where x.run_id = p_run;
	if p_channel is not null then
		insert into ops.message (request_id, kind, channel, body, due_at)
			values ('sync-' || p_run, 'audit', p_channel, facts::json, clock_timestamp());
	end if;
end $$;

grant execute on function ops.owe_sync(bigint, text) to opsd_sync;
grant execute on function dir.quarantine(text, bigint, bigint), dir.sync_validator(text, text),
	dir.sync_open(text, text, text[], interval, text, text, jsonb), dir.sync_enter(bigint, timestamptz),
	dir.sync_fresh(bigint, text), dir.sync_close(bigint, text, text), dir.sync_begin(bigint, timestamptz),
	dir.sync_plan_people(smallint, bigint), dir.sync_plan_groups(smallint, bigint), dir.sync_plan_addresses(smallint),
	dir.sync_plan_members(smallint, bigint), dir.sync_brakes(smallint, bigint, bigint), dir.sync_digest(), dir.sync_lines(integer),
	dir.sync_plan(bigint),
	dir.sync_apply(bigint, jsonb, timestamptz, text, text, text, text[]),
	dir.sync_check_accept(smallint, jsonb, text, text[]), dir.sync_refuse(bigint, jsonb, text) to opsd_sync;

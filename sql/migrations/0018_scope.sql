-- SPDX-License-Identifier: Apache-2.0
-- Whose members the directory sync reads: only those of groups in use, which are named by a grant, by a forbid or by an
-- approval rule of the commands, and what these contain.
--
-- Of any other group nobody knows who is in it (dir.unread).  A group that comes into use is unknown until the next sync,
-- never empty and never half known: whoever it forbids something to is everybody until then, and whoever it allows
-- something is nobody.
set local role opsd_owner;

-- The sync

-- What a run needs to know before it reads the source: what it may skip, and whose members it reads.  Asked after its
-- start is noted, so that a run that knows less of the grants than another is never taken for the newer one.
create function dir.sync_before(p_source text, p_settings text) returns jsonb
language sql stable set search_path = pg_catalog, dir, pg_temp as $$
	select jsonb_build_object('validator', dir.sync_validator(p_source, p_settings), 'groups', (
		select coalesce(jsonb_agg(g.external_id order by g.external_id), '[]') from dir.grp g
		join dir.source s using (source_id) join authz.group_in_use u using (group_id) where s.name = p_source))
$$;

-- How the groups whose members were not read, or were not read until now, are to be taken: 'in': their members are new to
-- us, not to the group; 'out': nothing names the group any more; 'kept': set aside, its members are as last known;
-- 'empty': set aside for too long.  A group in use that was read before and is none of these has lost its members.
create function dir.sync_plan_scope(p_src smallint, p_gen bigint) returns void
language plpgsql set search_path = pg_catalog, dir, pg_temp as $$
begin
	create temp table sync_scope on commit drop as
		select x.* from (
			select g.group_id, case
					when s.read and g.in_scope_since_gen is null and g.first_gen < p_gen then 'in'
					when s.read or g.in_scope_since_gen is null then null
					when s.aside and coalesce(g.aside_since, o.fetch_started_at) > clock_timestamp() - interval '24 hours' then 'kept'
					when s.aside then 'empty'
					when u.group_id is null then 'out' end as how
			from sync_grp s join dir.grp g on g.source_id = p_src and g.external_id = s.ext
			join dir.source o on o.source_id = p_src
			left join authz.group_in_use u on u.group_id = g.group_id) x
		where x.how is not null;
	create unique index on sync_scope (group_id);
	analyze sync_scope;
	update dir.grp g set in_scope_since_gen = x.since, aside_since = x.aside
		from (select y.group_id, case when s.read then coalesce(y.in_scope_since_gen, p_gen)
				when s.aside then y.in_scope_since_gen end as since,
				case when s.aside and y.in_scope_since_gen is not null then coalesce(y.aside_since, o.fetch_started_at) end as aside
			from sync_grp s join dir.grp y on y.source_id = p_src and y.external_id = s.ext
			join dir.source o on o.source_id = p_src) x
		where g.group_id = x.group_id and (g.in_scope_since_gen, g.aside_since) is distinct from (x.since, x.aside);
end $$;

-- Marks what comes and goes with them: nobody joined or left.
create function dir.sync_scope_rows(p_src smallint) returns void
language plpgsql set search_path = pg_catalog, dir, pg_temp as $$
begin
	with blind as (
		select g.group_id, case when g.in_scope_since_gen is null then '-infinity' else g.aside_since + interval '24 hours' end as at
			from sync_grp s join dir.grp g on g.source_id = p_src and g.external_id = s.ext where s.aside)
	update dir.grp g set blind_from = w.at
		from dir.grp y left join (
			select x.group_id, min(x.at) as at from (
				select b.group_id, b.at from blind b
				union all
				select c.anc, b.at from blind b join sync_closure c on c.des = b.group_id) x group by 1) w using (group_id)
		where g.group_id = y.group_id and y.source_id = p_src and y.blind_from is distinct from w.at;
	if exists (select 1 from sync_scope z where z.how <> 'kept') then
		update sync_plan_row r set scope = true from sync_scope z where z.group_id = r.group_id and z.how <> 'kept';
	end if;
	if exists (select 1 from sync_scope z where z.how = 'empty') then -- nor through one that has been set aside for too long
		update sync_plan_row r set scope = true from sync_scope z, sync_closure c, dir.membership m
			where z.how = 'empty' and r.op = '-' and c.des = z.group_id and c.anc = r.group_id
			  and m.group_id = z.group_id and m.person_id = r.person_id;
	end if;
end $$;

-- What the plan says of them, once it is known who comes and goes.
create function dir.sync_scope_lines() returns void
language plpgsql set search_path = pg_catalog, dir, pg_temp as $$
begin
	insert into sync_line select format(case z.how
				when 'in' then '* group %s (%s) comes into use: its %s members are read'
				when 'out' then '* group %s (%s) is not in use any more: its %s members are not kept'
				else '* group %s (%s) has been set aside for more than 24 hours: it counts as empty, without its %s members' end,
			g.name_key, g.external_id, count(r.person_id))
		from sync_scope z join dir.grp g using (group_id) left join sync_plan_row r on r.group_id = z.group_id and r.scope
		where z.how <> 'kept'
		group by z.group_id, z.how, g.name_key, g.external_id
		having z.how <> 'empty' or count(r.person_id) > 0;
end $$;

-- What every plan says as long as it is so.
create function dir.sync_aside(p_src smallint) returns jsonb
language plpgsql set search_path = pg_catalog, dir, pg_temp as $$
begin
	return (select coalesce(jsonb_agg(format('group %s (%s)%s: ', g.name_key, g.external_id,
				case when s.aside then ' is set aside' else '' end) || case
			when s.aside and g.in_scope_since_gen is null then 'its members were never read, so nobody knows who is in it'
			when not s.aside then 'it holds a group that is set aside, so nobody knows who else is in it'
			when dir.unread(g) then 'it counts as empty, since its members were last read at '
				|| to_char(g.aside_since at time zone 'UTC', 'YYYY-MM-DD HH24:MI"Z"')
			else 'its members are as read at ' || to_char(g.aside_since at time zone 'UTC', 'YYYY-MM-DD HH24:MI"Z"')
				|| ', and count for 24 hours from then' end order by g.name_key), '[]')
		from sync_grp s join dir.grp g on g.source_id = p_src and g.external_id = s.ext
		where s.aside or (dir.unread(g) and g.blind_from is not null));
end $$;

-- The groups of approval rules, as the grants file was reviewed with them

-- After grants_stage has read the actions: each name with the id it is pinned to and the id it has now.
create function authz.rule_groups_stage() returns void
language plpgsql set search_path = pg_catalog, authz, dir, pg_temp as $$
begin
	create temp table grant_rule on commit drop as
		select coalesce(w.name, r.name) as name, w.given, r.group_id as old_id, (
				select min(g.group_id) from dir.grp g where g.state = 'active' and lower(g.name_key) = w.name having count(*) = 1) as new_id
		from (select lower(x.given collate "C") as name, min(x.given) as given from grant_action n,
			jsonb_array_elements_text(n.groups) x(given) group by 1) w
		full join authz.rule_group r on r.name = w.name;
end $$;

-- null: nothing changes.
create function authz.rule_group_line(p_name text, p_old bigint, p_new bigint, p_named boolean) returns text
language sql stable set search_path = pg_catalog, authz, dir, pg_temp as $$
	select case
		when not p_named then '- approving group ' || p_name || ': no command names it'
		when p_old is null then '+ approving group ' || p_name || ': id ' || n.external_id
		when p_new <> p_old then '~ approving group ' || p_name || ': id ' || o.external_id || ' -> ' || n.external_id end
	from (values (1)) one left join dir.grp o on o.group_id = p_old left join dir.grp n on n.group_id = p_new
$$;

-- Names of which the directory has no group, or several: nobody approves by them.
create function authz.rule_groups_unknown() returns jsonb
language plpgsql stable set search_path = pg_catalog, authz, dir, pg_temp as $$
begin
	return (select coalesce(jsonb_agg(x.name order by x.name), '[]') from grant_rule x
		where x.given is not null and x.new_id is null);
end $$;

create function authz.rule_groups_write() returns void
language plpgsql set search_path = pg_catalog, authz, dir, pg_temp as $$
begin
	delete from authz.rule_group r using grant_rule x where x.name = r.name and x.given is null;
	insert into authz.rule_group (name, group_id)
		select x.name, x.new_id from grant_rule x where x.given is not null and x.new_id is not null
	on conflict (name) do update set group_id = excluded.group_id where rule_group.group_id <> excluded.group_id;
end $$;

-- What changes for the members of groups of which nobody knows who is in them yet.
create function authz.grants_unread() returns jsonb
language plpgsql stable set search_path = pg_catalog, authz, dir, pg_temp as $$
begin
	return (with moved as (
		select '+' as op, w.key, w.effect, w.can, w.action, authz.scope_text(w.scope) as scope, w.group_id
			from grant_diff d join grant_want w using (key) where d.op in ('+', '~')
		union all
		select '-', h.key, h.effect, h.can, h.action, authz.scope_text(h.scope), h.group_id
			from grant_diff d join grant_have h using (key) where d.op in ('-', '~'))
	select coalesce(jsonb_agg(jsonb_build_object('op', m.op, 'key', m.key, 'effect', m.effect, 'can', m.can, 'action', m.action,
			'scope', m.scope, 'group', g.name_key, 'aside', g.blind_from is not null) order by m.action, m.can, m.scope, m.key, m.op), '[]')
		from moved m join dir.grp g using (group_id) where dir.unread(g));
end $$;

-- Addresses in quarantine

create function dir.held_addresses() returns jsonb
language sql stable set search_path = pg_catalog, dir, pg_temp as $$
	select coalesce(jsonb_agg(jsonb_build_object('address', q.email_key,
			'since', to_char(q.since at time zone 'UTC', 'YYYY-MM-DD HH24:MI"Z"'), 'source', s.name,
			'was', o.display_name, 'was_id', o.external_id, 'was_state', o.state,
			'new', n.display_name, 'new_id', n.external_id, 'new_state', n.state) order by q.since, q.email_key), '[]')
	from dir.email_quarantine q
	left join dir.person o on o.person_id = q.old_person
	left join dir.person n on n.person_id = q.new_person
	left join dir.source s on s.source_id = coalesce(n.source_id, o.source_id)
	where q.released_at is null
$$;

-- The address is the new person's from now on.  By the owner only, who has asked both.
create function dir.release_address(p_address text, p_reason text) returns jsonb
language plpgsql set search_path = pg_catalog, dir, pg_temp as $$
declare
	key text collate "C" := lower(btrim(p_address) collate "C");
	q dir.email_quarantine;
	n dir.person;
	source_ text;
	facts jsonb;
begin
	if coalesce(btrim(p_reason), '') = '' then
		raise exception 'say why the address is released' using errcode = 'OP011';
	end if;
	select * into q from dir.email_quarantine x where x.email_key = key;
	if q.email_key is null then
		return jsonb_build_object('code', 'not_held', 'address', key);
	elsif q.released_at is not null then
		return jsonb_build_object('code', 'released_already', 'address', key, 'by', q.released_by);
	end if;
	select p.* into n from dir.person p where p.person_id = q.new_person;
	if n.person_id is null then -- listed for several people at once
		return jsonb_build_object('code', 'disputed', 'address', key);
	elsif n.state = 'gone' then
		return jsonb_build_object('code', 'gone', 'address', key, 'new', n.display_name, 'new_id', n.external_id);
	end if;
	select s.name into strict source_ from dir.source s where s.source_id = n.source_id;
	if not pg_try_advisory_xact_lock(hashtextextended('dirsync:' || source_, 0)) then
		return jsonb_build_object('code', 'busy', 'address', key); -- a sync has judged the address already
	end if;
	perform pg_advisory_xact_lock(hashtextextended('dirsync', 0)); -- nothing starts half way
	update dir.email_quarantine x set released_by = session_user, released_at = clock_timestamp()
		where x.email_key = key and x.released_at is null and (x.old_person, x.new_person) is not distinct from (q.old_person, q.new_person);
	if not found then
		return jsonb_build_object('code', 'busy', 'address', key);
	end if;
	update dir.person_email e set person_id = n.person_id,
			is_primary = not exists (select 1 from dir.person_email y where y.person_id = n.person_id and y.is_primary)
		where e.email_key = key;
	perform ops.audit_note(null, n.person_id, null, '{"job":"owner"}', 'directory.address_released', 'success',
		'{"address":' || ops.js(key) || ',"by":' || ops.js(session_user::text) || ',"from":' || coalesce(q.old_person::text, 'null')
		|| ',"reason":' || ops.js(p_reason) || ',"source":' || ops.js(source_) || ',"to":' || n.person_id || '}');
	facts := jsonb_build_object('address', key, 'by', session_user::text, 'reason', p_reason, 'new', n.display_name, 'new_id', n.external_id,
		'was', (select o.display_name from dir.person o where o.person_id = q.old_person));
	perform ops.alarm((facts || '{"alarm":"address_released"}')::json, null);
	return facts || '{"code":"released"}';
end $$;

grant execute on function dir.sync_before(text, text), dir.sync_plan_scope(smallint, bigint), dir.sync_scope_rows(smallint), dir.sync_scope_lines(),
	dir.sync_aside(smallint) to opsd_sync;
grant execute on function authz.rule_groups_stage(), authz.rule_group_line(text, bigint, bigint, boolean),
	authz.rule_groups_unknown(), authz.rule_groups_write(), authz.grants_unread() to opsd_grants;
grant execute on function dir.held_addresses() to opsd_auditor;

-- SPDX-License-Identifier: Apache-2.0
-- The home tab of a person: what is temporary or waits, what waits for their approval, and the freezes in force.
set local role opsd_owner;

-- Requests that this person could approve, or give the start, and has not decided; those that end first come first.
create function ops.to_approve(p_person bigint, p_limit integer) returns json
language plpgsql stable as $$
declare
	mine bigint[] := ops.disguises(p_person);
begin
	return (select coalesce(json_agg(json_strip_nulls(json_build_object('facts', x.facts::json, 'expires_ms', ops.ms(x.expires_at),
			'channel', x.channel, 'ts', x.ts)) order by x.expires_at, x.id), '[]')
		from (select q.id, q.expires_at, m.channel, m.ts, ops.facts(q, null, null) as facts
			-- so many are looked at, and no more
			from (select y.* from ops.request y where y.wake_at is not null and y.state = 'approving'
				and y.expires_at > clock_timestamp() order by y.expires_at limit 200) q
			join ops.approval a on a.request_id = q.id and a.round = (ops.round_of(q.id)).round
			left join lateral (select n.channel, n.ts from ops.message n where n.request_id = q.id and n.kind = 'card'
				and n.ts is not null order by n.id desc limit 1) m on true
			where q.person_id <> all (mine)
			  and not exists (select 1 from ops.vote v where v.request_id = q.id and v.round = a.round and v.person_id = any (mine))
			  and exists (select 1 from jsonb_array_elements(a.rules) r
				where ops.may_approve(p_person, r, q.action, q.scope::jsonb, q.risk))
			order by q.expires_at, q.id limit p_limit) x);
end $$;

-- Up to p_limit of each and one more, which says that there are more.  null: not known who that is.
create function ops.home(p_team text, p_user text, p_limit integer) returns text
language plpgsql stable security definer set search_path = pg_catalog, pg_temp as $$
declare
	i ops.identity := ops.identify_by_link(p_team, p_user);
begin
	if i.code <> 'ok' then
		return null;
	end if;
	return json_build_object('active', ops.active(p_team, p_user, p_limit + 1)::json,
		'approve', ops.to_approve(i.person_id, p_limit + 1), 'freezes', ops.freezes());
end $$;

grant execute on function ops.home(text, text, integer) to opsd_service;

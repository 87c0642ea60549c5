-- SPDX-License-Identifier: Apache-2.0
-- Progress of requests.
set local role opsd_owner;

-- Progress

-- What a request is doing now, to its requester: one message, edited.  The newest text takes the place of one that was
-- not sent yet.  false: somebody else has taken the request over since.
create function ops.progress(p_boot uuid, p_id text, p_fence bigint, p_facts json) returns boolean
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
	now_ timestamptz := clock_timestamp();
	who record;
begin
	-- locked: of two that write at once, the one with the older fence must be the earlier
	select q.slack_user into who from ops.request q where q.id = p_id and q.fence = p_fence for share;
	if not found then
		return false;
	end if;
	insert into ops.message (request_id, kind, prio, slack_user, body, created_at, due_at, rev)
		values (p_id, 'progress', 1, who.slack_user, p_facts, now_, now_, 1)
		on conflict (request_id, kind) where kind in ('doubt', 'progress') do update set
			rev = ops.message.rev % 32000 + 1, body = excluded.body, delivered_at = null, dead_at = null,
			attempts = case when ops.message.due_at is null then 0 else ops.message.attempts end,
			due_at = coalesce(ops.message.due_at, now_);
	return true;
end $$;

grant execute on function
	ops.progress(uuid, text, bigint, json)
	to opsd_service;

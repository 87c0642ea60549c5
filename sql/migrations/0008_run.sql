-- SPDX-License-Identifier: Apache-2.0
-- Running: offer, start, settle, and what a replica does for all: hello, take over, renew, sweep.
--
-- Every transition is an UPDATE guarded by state and fence; the rest of a function hangs on its RETURNING, so
-- that a worker whose lease was taken over can write nothing.
set local role opsd_owner;

-- Registers a start; keeps the audit partitions a year ahead.
create function ops.hello(p_boot uuid, p_observer json, p_host text, p_version text, p_read_only boolean)
returns table (migration integer, server_version integer)
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
	insert into ops.replica (boot_id, host, version, read_only) values (p_boot, p_host, p_version, p_read_only)
		on conflict (boot_id) do update set seen_at = clock_timestamp();
	if p_read_only then
		perform ops.read_only(p_observer);
	end if;
	if to_regclass('ops.audit_' || to_char(clock_timestamp() + interval '11 months', 'YYYYMM')) is null then
		-- two replicas that start at once must not both make them
		perform pg_advisory_xact_lock(hashtextextended('opsd audit partitions', 0));
		perform ops.audit_ahead(12);
	end if;
	return query select max(m.number), current_setting('server_version_num')::integer from ops.migration m;
end $$;

create type ops.written as (
	ok         boolean, -- false: fenced off
	state      text,
	code       text,
	detail     text,
	audit_id   bigint, -- messages claimed for the caller
	reply_id   bigint,
	channel    text,
	slack_user text,
	url        text,
	created_ms bigint,
	owed       text
);

-- allowed | confirming -> confirming: the plan is recorded, the preview is owed to the requester.
create function ops.offer(p_boot uuid, p_observer json, p_id text, p_fence bigint, p_plan json, p_digest text,
	p_preview json, p_room integer)
returns ops.written
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
	now_ timestamptz := clock_timestamp();
	r ops.request;
	w ops.written;
	frozen json;
begin
	update ops.request q set state = 'confirming', plan = p_plan, digest = p_digest, claimed_by = null, unheard = false,
			expires_at = now_ + x.within, wake_at = now_ + x.within
		-- who is asked at another time than that of their own choice gets more of it
		from (select o.id, case when o.kind = 'revert' then interval '3 days' when o.starts_at <= now_ then interval '1 hour'
			else s.confirm_within end as within from ops.setting s, ops.request o where o.id = p_id) x
		where q.id = x.id and q.fence = p_fence and q.claimed_by = p_boot and q.state in ('allowed', 'confirming')
		returning q.* into r;
	if not found then
		select q.state = 'confirming' and q.digest = p_digest and q.claimed_by is null and q.fence = p_fence, q.state
			into w.ok, w.state from ops.request q where q.id = p_id; -- true: this was written, its answer was lost
		w.ok := coalesce(w.ok, false);
		return w;
	end if;
	frozen := ops.frozen(r, p_plan);
	insert into ops.message (request_id, kind, channel, slack_user, response_url, body, created_at, due_at, claimed_by,
		attempts)
	values (r.id, 'preview', r.channel, r.slack_user, r.response_url,
		case when frozen is null then p_preview else (p_preview::jsonb || jsonb_build_object('frozen', frozen))::json end, now_,
		case when p_room > 0 then now_ + ops.message_lease() else now_ end, case when p_room > 0 then p_boot end,
		case when p_room > 0 then 1 else 0 end)
	returning id into w.reply_id;
	if p_room <= 0 then
		w.reply_id := null;
	end if;
	perform ops.audit_request(r, p_observer, 'offered', 'attempt', ops.facts(r, null, null),
		'{"digest":' || ops.js(p_digest) || '}');
	w.ok := true;
	w.state := r.state;
	w.detail := frozen;
	w.channel := r.channel;
	w.slack_user := r.slack_user;
	w.url := r.response_url;
	w.created_ms := (extract(epoch from now_) * 1000)::bigint;
	return w;
end $$;

-- allowed | confirming -> running: decided again, approvals counted again, the intent is on record; only then may
-- the effect start.  The intent is also the lock of its target, and nothing starts that a freeze covers
-- (ops.not_started says why).  p_rules: the approval rules that hold now; null: none.  p_target: what no other request
-- may change meanwhile; null: nothing.  p_waits: how often that was not free before.
create function ops.start(p_boot uuid, p_observer json, p_id text, p_fence bigint, p_kind text, p_effect text,
	p_params json, p_plan json, p_digest text, p_rules jsonb, p_target text, p_waits integer, p_audit_channel text,
	p_room integer)
returns ops.written
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
	now_ timestamptz := clock_timestamp();
	r ops.request;
	d authz.decision;
	a ops.answer;
	w ops.written;
	round_ ops.approval;
	attempt_ smallint;
	demands record; -- of the action
begin
	-- not in the middle of a new directory, new grants or a freeze
	perform pg_advisory_xact_lock_shared(hashtextextended('dirsync', 0));
	select authz.has_floor(x) as floor_, exists (select 1 from authz.sod_rule s where x.action_id in (s.a, s.b)) as apart
		into demands
		from ops.request q join authz.action x on x.name = q.action where q.id = p_id;
	if demands.apart then -- one at a time: each sees what the other was part of
		perform pg_advisory_xact_lock(hashtextextended('opsd separation', 0));
	end if;
	if p_rules is not null or demands.floor_ then
		-- that a temporary change is set back was agreed to with it, as long as the value is ours
		p_rules := (select case when q.kind <> 'revert' or p_plan -> 'foreign' is not null then ops.rules_now(q, p_rules) end
			from ops.request q where q.id = p_id);
	end if;
	if p_rules is not null then -- decided before the state changes: a refused start leaves no trace of one
		select * into r from ops.request q where q.id = p_id and q.fence = p_fence and q.claimed_by = p_boot
			and q.state in ('allowed', 'confirming') and q.wake_at > now_ for no key update;
		if found then
			round_ := ops.round_of(p_id);
			if r.state = 'confirming' or round_.digest is distinct from p_digest then
				w.ok := true; -- nobody was asked about this plan
				w.state := r.state;
				w.code := 'needs_approval';
				w.detail := json_build_object('rules', p_rules)::text;
				return w;
			end if;
			if round_.expires_at <= clock_timestamp()
					or not ops.rules_met(ops.tally(r, p_rules, round_.round, p_digest)) then
				perform ops.ask_again(r, p_rules, p_observer);
				w.ok := true;
				w.state := 'approving';
				return w;
			end if;
		end if;
	end if;
	insert into ops.step (request_id, attempt, kind, effect, params, fence, intent_at, target)
		select p_id, coalesce(max(s.attempt), 0) + 1, p_kind, p_effect::ops.effect, p_params, p_fence, now_, p_target
		from ops.step s where s.request_id = p_id
		on conflict (target) where target is not null and state in ('intent', 'unknown') do nothing
		returning attempt into attempt_;
	-- A fresh lease is left as it is: wake_at is indexed, and an update that keeps it stays on its page.
	update ops.request q set state = 'running', plan = coalesce(p_plan, q.plan), digest = coalesce(p_digest, q.digest),
			unheard = false,
			ends_at = coalesce(now_ + make_interval(secs => (q.times ->> 'for_s')::bigint), q.ends_at),
			wake_at = case when q.wake_at < now_ + interval '50 seconds' then now_ + ops.request_lease()
				else q.wake_at end
		where q.id = p_id and q.fence = p_fence and q.claimed_by = p_boot and q.state in ('allowed', 'confirming')
		  and coalesce(q.wake_at, '-infinity') > now_ and (p_rules is null or round_.round is not null)
		  and not (q.unheard and q.attempts > 0) -- taken over: the person has not been asked yet
		  and attempt_ is not null
		  and not coalesce((select bool_or(ops.freeze_covers(f, q.action, q.scope, p_plan)) from ops.freeze f), false)
		returning * into r;
	if not found then
		delete from ops.step s where s.request_id = p_id and s.attempt = attempt_;
		return ops.not_started(p_boot, p_observer, p_id, p_fence, p_plan, p_target, p_waits, p_audit_channel, p_room);
	end if;
	if exists (select 1 from ops.link l where l.slack_team = r.team and l.slack_user = r.slack_user
			and l.person_id = r.person_id and l.state = 'live') then
		d := authz.decide(r.person_id, 'request', r.action, r.scope::jsonb, r.risk);
	else
		d.code := 'binding_suspended';
	end if;
	if r.ends_at <= now_ then
		d.allowed := false;
		d.code := 'end_has_passed';
	end if;
	if d.allowed is not true then
		delete from ops.step s where s.request_id = p_id and s.attempt = attempt_;
		a := ops.refuse(r, p_boot, p_observer, d.code, ops.decision_json(d, r.person_id, r.action, r.scope::jsonb),
			p_audit_channel, true, p_room);
		return (true, a.state, a.code, a.detail, null, null, null, null, null, null, a.owed)::ops.written;
	end if;
	if p_waits > 0 then
		perform ops.waited(r, null);
	end if;
	if (r.detail ->> 'grant', r.detail ->> 'generation', r.detail ->> 'revision')
			is distinct from (d.grant_key, d.generation::text, d.revision::text) then -- else it is known already
		r.detail := ops.decision_json(d, r.person_id, r.action, r.scope::jsonb)::json;
	end if;
	insert into ops.audit (at, request_id, person_id, slack_user, event, action, outcome, body)
	values (now_, p_id, r.person_id, r.slack_user, 'request.started', r.action, 'attempt',
		ops.entry(r, now_, p_observer, 'started', 'attempt', ops.facts(r, null, null), '{'
		|| coalesce('"approved_by":' || (select '[' || string_agg(v.person_id::text, ',' order by v.person_id) || ']'
			from ops.vote v where v.request_id = p_id and v.round = round_.round and v.decision = 'approve') || ',', '')
		|| '"digest":' || ops.js(p_digest) || ',"effect":"' || p_effect || '","generation":'
		|| coalesce(d.generation::text, 'null') || ',"grant":' || ops.js(d.grant_key) || ',"kind":' || ops.js(p_kind)
		|| ',"revision":' || coalesce(d.revision::text, 'null') || '}'));
	if demands.apart then
		perform ops.took_part(r, round_.round);
	end if;
	if r.ends_at is not null then -- "for" counts from here
		update ops.request q set times = (r.times::jsonb || jsonb_build_object('ends', ops.wall_text(r.ends_at, r.times ->> 'tz'),
				'ends_ms', ops.ms(r.ends_at)))::json
			where q.id = p_id returning q.times::text into w.detail;
	end if;
	return (true, 'running', d.code, w.detail, null, null, null, null, null, null, null)::ops.written;
end $$;

-- received | allowed | confirming | running (ours) -> succeeded | failed | unknown | …, with everything that is owed.
create function ops.settle(p_boot uuid, p_observer json, p_id text, p_fence bigint, p_state text, p_code text,
	p_outcome json, p_error text, p_plan json, p_digest text, p_announce json, p_reply json, p_audit_channel text,
	p_room integer)
returns ops.written
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
	now_ timestamptz := clock_timestamp();
	unknown_ boolean := p_state = 'unknown';
	was record;
	r ops.request;
	w ops.written;
begin
	if p_state not in ('succeeded', 'failed', 'unknown', 'denied', 'rejected', 'expired', 'cancelled') then
		raise exception 'settle: % is not an end', p_state using errcode = 'OP011';
	end if;
	-- the row as it was: its response_url goes into the reply and out of the row
	update ops.request q set state = p_state::ops.state, code = coalesce(p_code, q.code), outcome = p_outcome, error = p_error,
			plan = coalesce(p_plan, q.plan), digest = coalesce(p_digest, q.digest),
			args = coalesce(q.shown, q.args), claimed_by = null, attempts = 0, response_url = null,
			wake_at = case when unknown_ then now_ + interval '15 minutes' end,
			finished_at = case when not unknown_ then now_ end
		from ops.request old
		where q.id = p_id and old.id = p_id and q.fence = p_fence and q.claimed_by = p_boot
		  and q.state in ('received', 'allowed', 'confirming', 'running')
		returning q as row_, old.response_url as url into was;
	if not found then
		select q.fence = p_fence and q.state::text = p_state, q.state::text into w.ok, w.state from ops.request q where q.id = p_id;
		if w.ok then -- this was written, its answer was lost; the messages are due when their claim ends
			return w;
		end if;
		w.ok := false;
		perform ops.audit_note(p_id, null, null, p_observer, 'request.late_answer', 'unknown', p_announce::text);
		return w;
	end if;
	r := was.row_;
	w.url := was.url;
	if p_state = 'succeeded' and (p_outcome ->> 'follow')::boolean then
		perform ops.follow_begin(p_id, p_outcome);
	end if;
	if r.risk > 0 then
		update ops.step s set state = (case p_state when 'succeeded' then 'applied' when 'unknown' then 'unknown'
				else 'not_applied' end)::ops.step_state, done_at = now_, evidence = p_outcome -> 'evidence'
			where s.request_id = p_id and s.state = 'intent';
	end if;
	insert into ops.audit (at, request_id, person_id, slack_user, event, action, outcome, body)
	values (now_, p_id, r.person_id, r.slack_user, 'request.' || p_state, r.action, ops.final_outcome(p_state)::ops.outcome,
		ops.entry(r, now_, p_observer, p_state, ops.final_outcome(p_state), p_announce::text,
			(p_outcome -> 'evidence')::text));
	with m as (
		insert into ops.message (request_id, kind, channel, slack_user, response_url, body, created_at, due_at,
			claimed_by, attempts)
		select p_id, x.kind, x.channel, x.slack_user, x.url, x.body, now_,
			case when x.mine then now_ + ops.message_lease() else now_ end,
			case when x.mine then p_boot end, x.mine::integer
		-- the reply first: the person waits, the channel has its pace
		from (values ('audit'::ops.owed_kind, p_audit_channel, null::text, null::text, p_announce, p_room >= 2),
			('reply', r.channel, r.slack_user, w.url, p_reply, p_room >= 1)) x(kind, channel, slack_user, url, body, mine)
		where x.kind = 'reply' or x.channel is not null
		returning id, kind, claimed_by)
	select max(m.id) filter (where m.kind = 'audit'), max(m.id) filter (where m.kind = 'reply')
		into w.audit_id, w.reply_id from m where m.claimed_by is not null;
	if unknown_ then
		perform ops.doubt(p_id);
	end if;
	return (true, p_state, r.code, null, w.audit_id, w.reply_id, r.channel, r.slack_user, w.url,
		(extract(epoch from now_) * 1000)::bigint, null)::ops.written;
end $$;

-- Rows whose timer has come.  Offers that were not taken expire here; a request whose replica is gone is taken
-- over (and given up after five times: then a person must look); what is unknown is brought up again; what waits
-- for approval names more people, and expires; what waited for its time begins.
create function ops.claim_due(p_boot uuid, p_observer json, p_limit integer, p_audit_channel text)
returns setof text
language plpgsql security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
	set enable_seqscan = off set jit = off as $$
declare
	now_ timestamptz := clock_timestamp();
	r ops.request;
	url text;
	facts text;
	st text;
begin
	for r in
		with due as materialized (
			select q.* from ops.request q where q.wake_at <= now_ order by q.wake_at limit p_limit
			for no key update skip locked) -- the rows as they are once they are locked
		select * from due
	loop
		url := r.response_url;
		if r.state = 'unknown' then
			update ops.request q set attempts = least(q.attempts + 1, 1000),
					wake_at = now_ + case when q.attempts < 4 then interval '15 minutes' when q.attempts < 12
						then interval '1 hour' else interval '1 day' end
				where q.id = r.id returning * into r;
			facts := ops.facts(r, 'unknown', coalesce(r.error, 'nobody has said yet what came of it'));
			perform ops.audit_request(r, p_observer, 'reminded', 'unknown', facts, null);
			perform ops.owe(r, p_boot, p_audit_channel, facts, true, false, null, 0);
			continue;
		end if;
		if r.state = 'approving' and r.expires_at > now_ then
			perform ops.escalate(r, ops.round_of(r.id), p_observer);
			continue;
		end if;
		st := null;
		if r.kind = 'revert' and r.state = 'allowed' and r.unheard then
			-- whoever pressed "Set back now" may have been told that it was not recorded; when it is due, it is due
			update ops.request q set unheard = false, state = (case when q.starts_at > now_ then 'scheduled' else 'allowed' end)::ops.state,
					fence = q.fence + 1, claimed_by = case when q.starts_at <= now_ then q.claimed_by end,
					wake_at = greatest(q.starts_at, now_)
				where q.id = r.id returning * into r;
			if r.state = 'scheduled' then
				perform ops.audit_request(r, p_observer, 'disowned', 'failure', ops.facts(r, null,
					'nobody knows whether the click was acknowledged; it does not count'), null);
				continue;
			end if;
		end if;
		if r.state = 'scheduled' and (r.kind = 'revert' or r.starts_at > now_ - ops.start_grace()) then
			update ops.request q set state = 'allowed', fence = q.fence + 1, claimed_by = p_boot,
					wake_at = now_ + ops.request_lease()
				where q.id = r.id returning * into r;
			perform ops.audit_request(r, p_observer, 'due', 'attempt', ops.facts(r, null, null), null);
			return next ops.row_json(r);
			continue;
		end if;
		if r.state in ('confirming', 'approving', 'scheduled') and r.claimed_by is null then
			st := 'expired';
		elsif r.attempts >= 5 then
			st := case when r.state = 'running' and r.risk > 0 then 'unknown' else 'failed' end;
		end if;
		if st is null then
			update ops.request q set fence = q.fence + 1, claimed_by = p_boot, attempts = q.attempts + 1,
					wake_at = now_ + ops.request_lease()
				where q.id = r.id returning * into r;
			perform ops.audit_request(r, p_observer, 'taken_over', 'attempt', ops.facts(r, null, null), null);
			return next ops.row_json(r);
			continue;
		end if;
		update ops.request q set state = st::ops.state, fence = q.fence + 1, claimed_by = null, attempts = 0, response_url = null,
				args = coalesce(q.shown, q.args),
				error = case when st <> 'expired' then 'given up after five replicas left it unfinished'
					when r.state = 'scheduled' then 'nobody was there at its time, and late it is not started by itself' end,
				wake_at = case when st = 'unknown' then now_ + interval '15 minutes' end,
				finished_at = case when st <> 'unknown' then now_ end
			where q.id = r.id returning * into r;
		if st = 'unknown' then
			update ops.step s set state = 'unknown', done_at = now_ where s.request_id = r.id and s.state = 'intent';
			perform ops.doubt(r.id);
		end if;
		facts := ops.facts(r, st, r.error);
		perform ops.audit_request(r, p_observer, st, ops.final_outcome(st), facts, null);
		perform ops.owe(r, p_boot, p_audit_channel, facts, true, true, url, 0);
	end loop;
end $$;

-- Extends the leases that the caller still works under; answers with the ids that are not its own any more.
create function ops.renew(p_boot uuid, p_observer json, p_ids text[], p_fences bigint[]) returns text[]
language plpgsql security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
	set enable_seqscan = off set jit = off as $$
declare
	now_ timestamptz := clock_timestamp();
	lost text[];
	read_only_ boolean;
begin
	update ops.replica set seen_at = now_ where boot_id = p_boot returning read_only into read_only_;
	if read_only_ then
		perform ops.read_only(p_observer);
	end if;
	with x as materialized (select * from unnest(p_ids, p_fences) as x(id, fence)),
	u as (
		update ops.request q set wake_at = now_ + ops.request_lease(), unheard = q.unheard and q.attempts > 0 from x
			where q.id = x.id and q.fence = x.fence and q.claimed_by = p_boot
			  and q.state in ('received', 'allowed', 'confirming', 'running')
			returning q.id)
	select array_agg(x.id) into lost from x where x.id not in (select u.id from u);
	return coalesce(lost, '{}');
end $$;

-- Forgets what is kept for a time only; a small piece at a call, so that no call is long.  By arrays of keys, and with a
-- time that is fixed: else each call would walk over all that is kept.
create function ops.sweep(p_observer json, p_limit integer) returns integer
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
	now_ timestamptz := clock_timestamp();
	n integer;
	total integer := 0;
begin
	delete from ops.delivery where dedup = any (array(
		select v.dedup from ops.delivery v where v.received_at < now_ - interval '24 hours'
		limit p_limit for update skip locked));
	get diagnostics n = row_count;
	total := total + n;
	delete from ops.message where id = any (array(
		select m.id from ops.message m where m.created_at < now_ - interval '7 days'
			and m.delivered_at is not null
		limit p_limit for update skip locked));
	get diagnostics n = row_count;
	total := total + n;
	delete from ops.follow where request_id = any (array(
		select f.request_id from ops.follow f where f.ended is not null and f.begun_at < now_ - interval '7 days'
		limit p_limit for update skip locked));
	get diagnostics n = row_count;
	total := total + n + ops.thaw(p_observer);
	delete from ops.replica where seen_at < now_ - interval '7 days' and boot_id not in (
		select q.claimed_by from ops.request q where q.wake_at is not null and q.claimed_by is not null);
	return total;
end $$;

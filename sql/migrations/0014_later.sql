-- SPDX-License-Identifier: Apache-2.0
-- Later: times of day, requests that wait for their time, temporary changes and the reverts that end them.
--
-- A revert is a request of its own (kind 'revert', undoes: the change) that waits in the state scheduled from the moment
-- at which its change is on record, and then goes the way of any other: taken by whichever replica is there, planned,
-- decided, its intent committed before its effect.  One revert a change, by a unique index.  Extending, keeping and
-- reverting now move that row; the message with the buttons decides nothing.
set local role opsd_owner;

create unique index request_one_revert on ops.request (undoes) where kind = 'revert';
create index request_undone on ops.request (undoes) where undoes is not null;

-- How late something may start that waited for its time; then nobody was there, and it is not done blindly.
create function ops.start_grace() returns interval language sql immutable parallel safe as $$ select interval '15 minutes' $$;
-- How much longer one press of Extend makes it, and how long a revert that cannot be tried is tried.
create function ops.extend_by() returns interval language sql immutable parallel safe as $$ select interval '1 hour' $$;
create function ops.revert_grace() returns interval language sql immutable parallel safe as $$ select interval '24 hours' $$;

-- An id like those of the program: "R", the millisecond, 30 random bits.
create function ops.new_id() returns text
language plpgsql as $$
declare
	digits text := '0123456789ABCDEFGHJKMNPQRSTVWXYZ';
	ms bigint := ops.ms(clock_timestamp());
	dice bytea := uuid_send(gen_random_uuid());
	head text := '';
	tail text := '';
begin
	for i in 1..9 loop
		head := substr(digits, (ms % 32)::integer + 1, 1) || head;
		ms := ms / 32;
	end loop;
	for i in 0..5 loop -- the first six bytes are random throughout
		tail := tail || substr(digits, get_byte(dice, i) % 32 + 1, 1);
	end loop;
	return 'R' || head || tail;
end $$;

-- Times

create type ops.wall_time as (at timestamptz, problem text, rolled boolean);

-- "18:00": the next one after p_after; "2026-11-25T18:00": that one.  By the clocks of p_tz: one that they skip is
-- refused; of one that comes twice it is the later.
create function ops.wall_time(p_text text, p_tz text, p_after timestamptz) returns ops.wall_time
language plpgsql stable as $$
declare
	x ops.wall_time;
	clock timestamp;
begin
	x.rolled := false;
	if p_text ~ '^[0-9]{2}:[0-9]{2}$' then
		clock := (p_after at time zone p_tz)::date + p_text::time;
		if clock at time zone p_tz <= p_after then
			clock := clock + interval '1 day';
			x.rolled := true;
		end if;
	else
		clock := p_text::timestamp;
	end if;
	x.at := clock at time zone p_tz;
	x.problem := case when x.at at time zone p_tz <> clock then 'gap' when x.at <= p_after then 'past' end;
	return x;
end $$;

create function ops.wall_text(p_at timestamptz, p_tz text) returns text
language sql stable as $$ select to_char(p_at at time zone p_tz, 'Dy DD Mon HH24:MI') || ' (' || p_tz || ')' $$;

-- The zone, if the server knows it.
create function ops.zone_of(p_tz text) returns text
language plpgsql stable as $$
begin
	if p_tz is null or p_tz !~ '^[A-Za-z][A-Za-z0-9_+-]*(/[A-Za-z0-9_+-]+)*$' then
		return 'UTC';
	end if;
	perform clock_timestamp() at time zone p_tz;
	return p_tz;
exception when invalid_parameter_value then
	return 'UTC';
end $$;

-- The arguments for, until and at of a claimed request, resolved once: by the asker's zone and this clock.  Answers with
-- what a plan says of it ("when"), or with { "problem", "which", "tz" }; null: fenced off.
-- p_max: how long a change of this command may last, in seconds.
create function ops.set_times(p_boot uuid, p_id text, p_fence bigint, p_tz text, p_for bigint, p_until text, p_at text,
	p_max bigint)
returns text
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
	now_ timestamptz := clock_timestamp();
	tz text := ops.zone_of(p_tz);
	from_ timestamptz := now_;
	s ops.wall_time;
	e ops.wall_time;
	times_ json;
begin
	if p_at is not null then
		s := ops.wall_time(p_at, tz, now_);
		if s.problem is null and s.at > now_ + interval '30 days' then
			s.problem := 'too_far';
		end if;
		from_ := s.at;
	end if;
	if p_until is not null and s.problem is null then
		e := ops.wall_time(p_until, tz, from_);
		if e.problem is null and e.at > from_ + make_interval(secs => p_max) then
			e.problem := 'too_long';
		end if;
	end if;
	if s.problem is not null or e.problem is not null then
		return json_strip_nulls(json_build_object('problem', coalesce(s.problem, e.problem), 'which',
			case when s.problem is not null then 'at' else 'until' end, 'tz', tz, 'max_s', p_max))::text;
	end if;
	times_ := json_strip_nulls(json_build_object('ends', ops.wall_text(e.at, tz), 'ends_ms', ops.ms(e.at), 'for_s', p_for,
		'max_s', p_max, 'rolled', nullif(array_to_string(array[case when s.rolled then 'at' end,
			case when e.rolled then 'until' end], ' '), ''),
		'starts', ops.wall_text(s.at, tz), 'starts_ms', ops.ms(s.at), 'tz', tz));
	update ops.request q set starts_at = s.at, ends_at = e.at, times = times_
		where q.id = p_id and q.fence = p_fence and q.claimed_by = p_boot and q.state in ('allowed', 'confirming');
	return case when found then times_::text end;
end $$;

-- Waiting

-- A revert that cannot be done now waits a little, for as long as revert_grace.  r: locked and claimed.
create function ops.postpone(r ops.request, p_observer json, p_error text) returns boolean
language plpgsql as $$
declare
	now_ timestamptz := clock_timestamp();
	wait_ interval := least(greatest((now_ - r.starts_at) / 2, interval '1 minute'), interval '15 minutes');
begin
	if r.kind <> 'revert' or now_ + wait_ > r.starts_at + ops.revert_grace() then
		return false;
	end if;
	update ops.request q set state = 'scheduled', claimed_by = null, unheard = false, attempts = 0, wake_at = now_ + wait_,
			error = p_error
		where q.id = r.id returning * into r;
	perform ops.audit_request(r, p_observer, 'postponed', 'failure', ops.facts(r, null, p_error), null);
	return true;
end $$;

-- allowed | confirming -> scheduled: it waits for its time; when that has come, nothing is written and the state is the
-- old one.  p_error: a revert could not be planned now.
create function ops.schedule(p_boot uuid, p_observer json, p_id text, p_fence bigint, p_plan json, p_digest text,
	p_error text, p_room integer)
returns ops.written
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
	now_ timestamptz := clock_timestamp();
	r ops.request;
	url text;
	facts text;
	w ops.written;
begin
	select * into r from ops.request q where q.id = p_id and q.fence = p_fence and q.claimed_by = p_boot
		and q.state in ('allowed', 'confirming') and q.wake_at > now_ and not (q.unheard and q.attempts > 0) for no key update;
	if not found then
		select q.state = 'scheduled' and q.claimed_by is null and q.fence = p_fence, q.state
			into w.ok, w.state from ops.request q where q.id = p_id; -- true: this was written, its answer was lost
		w.ok := coalesce(w.ok, false);
		return w;
	end if;
	w.ok := true;
	w.state := r.state;
	if p_error is not null then
		if ops.postpone(r, p_observer, p_error) then
			w.state := 'scheduled';
		end if;
		return w;
	end if;
	if coalesce(r.starts_at <= now_, true) then
		return w;
	end if;
	-- By then nobody looks at the channel where it was asked for: the outcome goes to the person.
	url := r.response_url;
	update ops.request q set state = 'scheduled', plan = coalesce(p_plan, q.plan), digest = coalesce(p_digest, q.digest),
			claimed_by = null, unheard = false, attempts = 0, wake_at = r.starts_at, response_url = null
		where q.id = p_id returning * into r;
	w.state := r.state;
	-- What was approved stays so until it starts.
	update ops.approval a set expires_at = r.starts_at + ops.start_grace()
		where a.request_id = p_id and a.round = (ops.round_of(p_id)).round and a.digest = p_digest;
	facts := ops.facts(r, 'scheduled', null);
	perform ops.audit_request(r, p_observer, 'scheduled', 'attempt', facts, '{"digest":' || ops.js(p_digest) || '}');
	w.owed := ops.owe(r, p_boot, null, facts, false, true, url, p_room);
	update ops.request q set channel = null where q.id = p_id;
	return w;
end $$;

-- Temporary changes

-- When a revert comes, in its row.
create function ops.revert_at(r ops.request, p_at timestamptz) returns ops.request
language plpgsql as $$
declare
	tz text := ops.zone_of(r.times ->> 'tz');
begin
	r.starts_at := p_at;
	r.times := json_build_object('max_s', r.times -> 'max_s', 'starts', ops.wall_text(p_at, tz), 'starts_ms', ops.ms(p_at),
		'tz', tz);
	r.plan := ops.canonical(r.plan::jsonb || jsonb_build_object('when', r.times::jsonb))::json;
	return r;
end $$;

-- A temporary change is on record, or may have happened: its revert is put beside it.  It came to nothing: there is
-- nothing to revert.
create function ops.arm_revert() returns trigger
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
	now_ timestamptz := clock_timestamp();
	observer json := '{"by":"ops.arm_revert"}';
	v ops.request;
begin
	if new.state in ('succeeded', 'unknown') then
		if not exists (select 1 from ops.step s where s.request_id = new.id) then
			return null; -- it was so already
		end if;
		v := new; -- who, where, command, arguments and decision are those of the change
		v.id := ops.new_id();
		v.created_at := now_;
		v.state := 'scheduled';
		v.kind := 'revert';
		v.channel := null;
		v.response_url := null;
		v.undoes := new.id;
		v.text := null;
		v.digest := null;
		v.fence := 1;
		v.claimed_by := null;
		v.unheard := false;
		v.attempts := 0;
		v.expires_at := null;
		v.ends_at := null;
		v.outcome := null;
		v.error := null;
		v.finished_at := null;
		v.plan := json_build_object('target', new.plan -> 'target', 'changes', (
			select coalesce(json_agg(json_build_object('field', c -> 'field', 'from', c -> 'to', 'to', c -> 'from')), '[]')
			from json_array_elements(new.plan -> 'changes') c));
		v := ops.revert_at(v, greatest(new.ends_at, now_));
		v.wake_at := v.starts_at;
		insert into ops.request select v.* on conflict do nothing;
		if found then
			perform ops.audit_request(v, observer, 'scheduled', 'attempt', ops.facts(v, null, null), null);
		end if;
		return null;
	end if;
	update ops.request q set state = 'cancelled', finished_at = now_, wake_at = null, claimed_by = null, fence = q.fence + 1
		where q.undoes = new.id and q.kind = 'revert' and q.state in ('scheduled', 'confirming') returning * into v;
	if found then
		perform ops.audit_request(v, observer, 'cancelled', 'failure', ops.facts(v, 'cancelled',
			'the change did not happen, so there is nothing to set back'), null);
	end if;
	return null;
end $$;
create trigger arm_revert after update of state on ops.request for each row
	when (new.ends_at is not null and new.state >= 'unknown' and old.state is distinct from new.state)
	execute function ops.arm_revert();

-- A temporary change that was approved was approved for its time: longer takes somebody who may approve it, other than
-- the one who asked.
create function ops.may_not_prolong(r ops.request, p_person bigint) returns boolean
language plpgsql stable as $$
declare
	a ops.approval := ops.round_of(r.undoes);
begin
	return a.rules is not null and (p_person = any (ops.disguises((select p.person_id from ops.request p where p.id = r.undoes))) or exists (
		select 1 from jsonb_array_elements(a.rules) x
		where (x ->> 'need')::integer > 1 or not ops.may_approve(p_person, x, r.action, r.scope::jsonb, r.risk)));
end $$;

-- Buttons and words that move what has not started: extend, keep and back (now) of a temporary change, stop of anything.
-- p_id: of the change or of its revert.  p_token: what the button showed, the end in milliseconds or a digest.
-- Who clicked is known afresh.  row_json is set when the caller carries on with the request.
create function ops.steer(p_boot uuid, p_observer json, p_id text, p_envelope text, p_dedup text, p_kind text, p_team text,
	p_user text, p_verdict text, p_email text, p_token text, p_audit_channel text, p_room integer)
returns ops.answer
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
	now_ timestamptz;
	r ops.request;
	i ops.identity;
	d authz.decision;
	answer ops.answer;
	kind_ text := p_kind;
	code_ text;
begin
	insert into ops.delivery (dedup, envelope_id, request_id, kind, boot_id)
		values (p_dedup, p_envelope, p_id, p_kind, p_boot) on conflict do nothing;
	if not found then
		return ops.known(p_dedup, p_envelope);
	end if;
	select * into r from ops.request q where q.undoes = p_id and q.kind = 'revert' for no key update;
	if not found then
		select * into r from ops.request q where q.id = p_id for no key update;
	end if;
	now_ := clock_timestamp(); -- after the wait for the lock
	if r.id is null then
		answer.state := 'expired';
		answer.code := 'no_such_request';
		return answer;
	end if;
	answer := ops.answer_of(r);
	answer.detail := null;
	i := ops.identify(p_team, p_user, p_verdict, p_email, r.risk, p_observer, null);
	code_ := case when i.code <> 'ok' then i.code end;
	if code_ is null and r.kind = 'revert' then
		kind_ := case p_kind when 'stop' then 'keep' else p_kind end;
		d := authz.decide(i.person_id, 'request', r.action, r.scope::jsonb, r.risk);
		code_ := case
			when r.state not in ('scheduled', 'confirming', 'approving') or r.claimed_by is not null then 'too_late'
			when kind_ <> 'keep' and r.state = 'approving' then 'too_late'
			when kind_ = 'extend' and (r.state <> 'scheduled' or p_token is distinct from ops.ms(r.starts_at)::text)
				then 'stale_button'
			when kind_ = 'back' and r.state = 'confirming' and p_token is distinct from r.digest then 'stale_preview'
			when kind_ <> 'back' and r.state = 'scheduled' and ops.may_not_prolong(r, i.person_id) then 'needs_approver'
			-- who may approve it need not be allowed to ask for it
			when not d.allowed and (kind_ = 'back' or r.state <> 'scheduled' or (ops.round_of(r.undoes)).round is null)
				then d.code
			when kind_ = 'extend' and r.starts_at + ops.extend_by() - (select p.finished_at from ops.request p
				where p.id = r.undoes) > make_interval(secs => (r.times ->> 'max_s')::bigint) then 'too_long' end;
	elsif code_ is null then
		code_ := case
			when p_kind <> 'stop' then 'not_temporary'
			when i.person_id is distinct from r.person_id then 'not_requester'
			when r.state not in ('received', 'allowed', 'confirming', 'approving', 'scheduled') then 'too_late' end;
	end if;
	if code_ is not null then
		answer.code := code_;
		answer.detail := json_strip_nulls(json_build_object('state', r.state, 'at_ms', ops.ms(r.finished_at), 'max_s',
			r.times -> 'max_s', 'rules', case code_ when 'needs_approver' then (ops.round_of(r.undoes)).rules end))::text;
		perform ops.audit_note(r.id, i.person_id, p_user, p_observer, 'steer.refused', 'denied', '{"code":' || ops.js(code_)
			|| ',"envelope":' || ops.js(p_envelope) || ',"kind":' || ops.js(p_kind) || ',"team":' || ops.js(p_team) || '}');
		return answer;
	end if;
	answer := ops.steered(r, i, d, kind_, p_boot, p_observer, p_team, p_user, p_envelope, p_audit_channel, p_room);
	return answer;
end $$;

-- The same, allowed and the row locked.
create function ops.steered(r ops.request, i ops.identity, d authz.decision, p_kind text, p_boot uuid, p_observer json,
	p_team text, p_user text, p_envelope text, p_audit_channel text, p_room integer)
returns ops.answer
language plpgsql as $$
declare
	now_ timestamptz := clock_timestamp();
	answer ops.answer;
	mine boolean := i.person_id = r.person_id;
	by_ text := '{"envelope":' || ops.js(p_envelope) || ',"person":' || i.person_id || ',"team":' || ops.js(p_team)
		|| ',"user":' || ops.js(p_user) || '}';
	facts text;
begin
	if p_kind = 'extend' then
		r := ops.revert_at(r, greatest(r.starts_at, now_) + ops.extend_by());
		update ops.request q set starts_at = r.starts_at, times = r.times, plan = r.plan, wake_at = r.starts_at
			where q.id = r.id returning * into r;
		facts := ops.facts(r, 'extended', 'by ' || i.person_name);
		perform ops.audit_request(r, p_observer, 'extended', 'attempt', facts, by_);
	elsif p_kind = 'back' then -- whoever presses it is the one who acts
		update ops.request q set state = case q.state when 'scheduled' then 'allowed' else q.state end, fence = q.fence + 1,
				claimed_by = p_boot, attempts = 0, unheard = true, wake_at = now_ + ops.request_lease(), team = p_team, slack_user = p_user,
				person_id = i.person_id, person_name = i.person_name, person_email = i.person_email, code = d.code,
				detail = ops.decision_json(d, i.person_id, r.action, r.scope::jsonb)::json
			where q.id = r.id returning * into r;
		perform ops.audit_request(r, p_observer, case r.state when 'allowed' then 'due' else 'confirmed' end, 'attempt',
			ops.facts(r, null, null), by_);
		r.unheard := false; -- the caller hears it; only who takes it over does not know
		answer.row_json := ops.row_json(r);
	else
		update ops.request q set state = 'cancelled', finished_at = now_, wake_at = null, claimed_by = null,
				response_url = null, fence = q.fence + 1, args = coalesce(q.shown, q.args)
			where q.id = r.id returning * into r;
		facts := ops.facts(r, case p_kind when 'keep' then 'kept' else 'cancelled' end, 'by ' || i.person_name);
		perform ops.audit_request(r, p_observer, 'cancelled', 'failure', facts, by_);
	end if;
	if facts is not null then
		answer.owed := ops.owe(r, p_boot, p_audit_channel, facts, true, not mine, null, p_room);
	end if;
	answer.state := r.state;
	answer.fence := r.fence;
	answer.person_id := r.person_id;
	answer.detail := json_strip_nulls(json_build_object('starts', r.times ->> 'starts'))::text;
	return answer;
end $$;

-- The person was told that a press of a button was not recorded: what can be taken back is.
create function ops.unsteer(p_boot uuid, p_observer json, p_id text, p_kind text) returns text
language plpgsql as $$
declare
	r ops.request;
begin
	select * into r from ops.request q where q.undoes = p_id and q.kind = 'revert' for no key update;
	if not found then
		select * into r from ops.request q where q.id = p_id for no key update;
	end if;
	if p_kind = 'extend' and r.state = 'scheduled' then
		r := ops.revert_at(r, r.starts_at - ops.extend_by());
		update ops.request q set starts_at = r.starts_at, times = r.times, plan = r.plan, wake_at = r.starts_at,
				fence = q.fence + 1
			where q.id = r.id returning * into r;
	elsif p_kind = 'back' and r.state in ('allowed', 'confirming') and r.claimed_by = p_boot and r.attempts = 0
			and r.unheard then
		update ops.request q set unheard = false, state = (case q.state when 'allowed' then 'scheduled' else 'confirming' end)::ops.state,
				claimed_by = null, fence = q.fence + 1, attempts = 0,
				wake_at = case q.state when 'allowed' then q.starts_at else q.expires_at end
			where q.id = r.id returning * into r;
	else
		return 'too_late';
	end if;
	perform ops.audit_request(r, p_observer, 'disowned', 'failure', ops.facts(r, null,
		'the click was not acknowledged in time and does not count'), null);
	return 'released';
end $$;

-- Readers

-- What is temporary and what waits for its time, as far as this Slack user may see it: their own, and what they may ask
-- for or approve.  null: not known who that is.
create function ops.active(p_team text, p_user text, p_limit integer) returns text
language plpgsql stable security definer set search_path = pg_catalog, pg_temp as $$
declare
	i ops.identity := ops.identify_by_link(p_team, p_user);
begin
	if i.code <> 'ok' then
		return null;
	end if;
	return (select coalesce(json_agg(json_build_object('facts', x.facts::json, 'state', x.state, 'digest', x.digest, 'mine',
			x.person_id = i.person_id) order by x.at, x.id), '[]')
		from (select q.id, q.state, q.digest, q.person_id, ops.facts(q, null, null) as facts,
				coalesce(q.starts_at, q.created_at) as at
			from ops.request q
			where q.wake_at is not null and q.claimed_by is null
			  and (q.state = 'scheduled' or (q.kind = 'revert' and q.state in ('confirming', 'approving'))
				or (q.state in ('confirming', 'approving') and q.person_id = i.person_id))
			  and (q.person_id = i.person_id
				or (authz.decide(i.person_id, 'request', q.action, q.scope::jsonb, q.risk)).allowed
				or (authz.decide(i.person_id, 'approve', q.action, q.scope::jsonb, q.risk)).allowed)
			order by at, q.id limit p_limit) x)::text;
end $$;

-- What is needed to undo a request, and its revert; null: there is none of this id.
create function ops.undoable(p_id text) returns text
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
	select json_build_object('id', p.id, 'kind', p.kind, 'state', p.state, 'command', p.command, 'args', p.args, 'secret',
		p.shown is not null, 'plan', p.plan, 'changed', exists (select 1 from ops.step s where s.request_id = p.id),
		'revert', (select json_build_object('id', v.id, 'state', v.state, 'token', ops.ms(v.starts_at)::text)
			from ops.request v where v.undoes = p.id and v.kind = 'revert'))::text
	from ops.request p where p.id = p_id
$$;

grant execute on function
	ops.set_times(uuid, text, bigint, text, bigint, text, text, bigint),
	ops.schedule(uuid, json, text, bigint, json, text, text, integer),
	ops.steer(uuid, json, text, text, text, text, text, text, text, text, text, text, integer),
	ops.active(text, text, integer),
	ops.undoable(text)
	to opsd_service;

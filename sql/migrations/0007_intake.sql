-- SPDX-License-Identifier: Apache-2.0
-- What arrives from Slack: a new intent, a late decision, a click on a preview, and taking back what a
-- person was told was not recorded.  Each function is one transaction.
set local role opsd_owner;

create type ops.answer as (
	state        text,
	fence        bigint,
	person_id    bigint,
	person_name  text,
	person_email text,
	code         text,
	detail       text, -- JSON
	known_id     text, -- this intent is known already
	known_state  text,
	row_json     text, -- confirm: everything of the row
	owed         text  -- JSON array: messages claimed for the caller
);

create function ops.answer_of(r ops.request) returns ops.answer
language plpgsql stable as $$
declare
	answer ops.answer;
begin
	answer.state := r.state;
	answer.fence := r.fence;
	answer.person_id := r.person_id;
	answer.person_name := r.person_name;
	answer.person_email := r.person_email;
	answer.code := r.code;
	answer.detail := r.detail::text;
	return answer;
end $$;

-- What a delivery that came before is; from now on somebody was told so.
create function ops.known(p_dedup text, p_envelope text) returns ops.answer
language plpgsql as $$
declare
	answer ops.answer;
begin
	-- each by its own key: as one statement with OR and a join it is planned as a walk over every request there was
	select d.request_id into answer.known_id from ops.delivery d where d.dedup = p_dedup;
	if not found then
		select d.request_id into answer.known_id from ops.delivery d where d.envelope_id = p_envelope;
	end if;
	update ops.delivery d set told = true where d.request_id = answer.known_id and not d.told and not d.disowned
		and (d.dedup = p_dedup or d.envelope_id = p_envelope);
	select r.state::text into answer.known_state from ops.request r where r.id = answer.known_id;
	answer.known_state := coalesce(answer.known_state, 'cancelled');
	answer.state := answer.known_state;
	answer.fence := 0;
	return answer;
end $$;

-- One row per intent.  p_fresh: verdict and address were read within the last minute: then it is decided here.
-- p_takes_text: the acknowledgement can carry a refusal.  p_undoes: the request that this one is to set back.
create function ops.receive(p_boot uuid, p_observer json, p_id text, p_envelope text, p_dedup text, p_kind text,
	p_team text, p_user text, p_channel text, p_response_url text, p_text text, p_command text, p_action text,
	p_risk smallint, p_args json, p_shown json, p_scope json, p_cursor text, p_catalog text, p_rejection text,
	p_fresh boolean, p_verdict text, p_email text, p_name text, p_takes_text boolean, p_audit_channel text,
	p_room integer, p_undoes text)
returns ops.answer
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
	now_ timestamptz := clock_timestamp();
	r ops.request;
	i ops.identity;
	d authz.decision;
	st text := 'received';
	code_ text;
	detail_ text;
	undo_ text;
	open_ boolean;
	answer ops.answer;
begin
	if octet_length(p_id) not between 2 and 32 or octet_length(p_dedup) > 512 or octet_length(p_envelope) > 128
			or octet_length(p_team) > 64 or octet_length(p_user) > 64 or octet_length(p_text) > 32768
			or octet_length(p_cursor) > 8192 or p_risk not between 0 and 3 then
		raise exception 'receive: something is too long' using errcode = 'OP012';
	end if;
	insert into ops.delivery (dedup, envelope_id, request_id, kind, boot_id, received_at)
		values (p_dedup, p_envelope, p_id, p_kind, p_boot, now_) on conflict do nothing;
	if not found then
		-- A form keeps its key: sent again after its asker was told that nothing was recorded, it is a new try.
		update ops.delivery v set envelope_id = p_envelope, request_id = p_id, boot_id = p_boot, disowned = false,
				told = false, received_at = now_
			where v.dedup = p_dedup and v.disowned and v.kind = 'submit' and v.envelope_id <> p_envelope;
		if not found then
			return ops.known(p_dedup, p_envelope);
		end if;
	end if;
	if p_rejection is not null or p_command is null then
		st := 'rejected';
		i := ops.identify_by_link(p_team, p_user);
	elsif p_fresh then
		i := ops.identify(p_team, p_user, p_verdict, p_email, p_risk, p_observer, p_id);
		code_ := i.code;
		if code_ = 'ok' then
			d := authz.decide(i.person_id, 'request', p_action, p_scope::jsonb, p_risk);
			code_ := d.code;
			detail_ := ops.decision_json(d, i.person_id, p_action, p_scope::jsonb);
		end if;
		st := case when code_ = 'step_up' then 'received' when d.allowed is not true then 'denied'
			when p_risk = 0 then 'running' else 'allowed' end;
	end if;
	if p_undoes is not null and st in ('received', 'allowed') then
		-- one undo of a request, however many ask for it in the same moment: its row is the lock
		perform from ops.request q where q.id = p_undoes for no key update;
		select ops.canonical(jsonb_build_object('undo', jsonb_build_object('id', v.id, 'state', v.state, 'name', v.person_name)))
			into undo_ from ops.request v where v.undoes = p_undoes and v.kind = 'undo' and v.state <= 'succeeded' limit 1;
		if found then
			st := 'denied';
			code_ := 'undone_already';
			detail_ := undo_;
		end if;
	end if;
	open_ := st in ('received', 'allowed', 'running');
	insert into ops.request (id, created_at, state, team, slack_user, channel, response_url, kind, envelope_id,
		person_id, person_name, person_email, command, action, risk, args, shown, scope, text, cursor,
		catalog_digest, rejection, code, detail, fence, claimed_by, unheard, wake_at, finished_at, undoes)
	values (p_id, now_, st::ops.state, p_team, p_user, p_channel, case when open_ then p_response_url end, p_kind, p_envelope,
		i.person_id, coalesce(i.person_name, p_name), i.person_email, p_command, p_action, p_risk,
		case when open_ then p_args else coalesce(p_shown, p_args) end, p_shown, p_scope, p_text, p_cursor,
		p_catalog, p_rejection, code_, detail_::json, 1, case when open_ then p_boot end, open_,
		case when open_ then now_ + ops.request_lease() end, case when not open_ then now_ end, p_undoes)
	returning * into r;
	answer := ops.answer_of(r);
	if open_ then
		insert into ops.audit (at, request_id, person_id, slack_user, event, action, outcome, body)
		values (now_, p_id, r.person_id, p_user,
			case st when 'received' then 'request.received' else 'request.allowed' end, p_action, 'attempt',
			ops.entry(r, now_, p_observer, case st when 'received' then 'received' else 'allowed' end, 'attempt',
				ops.facts(r, null, null), null));
	else
		detail_ := ops.facts(r, st, p_rejection);
		perform ops.audit_request(r, p_observer, st, ops.final_outcome(st), detail_, null);
		answer.owed := ops.owe(r, p_boot, p_audit_channel, detail_, true,
			not p_takes_text and p_response_url is null, null, p_room);
	end if;
	return answer;
end $$;

-- A request is refused after it was acknowledged: final, audited, owed to both sides.
create function ops.refuse(r ops.request, p_boot uuid, p_observer json, p_code text, p_detail text,
	p_audit_channel text, p_reply boolean, p_room integer) returns ops.answer
language plpgsql as $$
declare
	answer ops.answer;
	url text := r.response_url;
	facts text;
begin
	update ops.request q set state = 'denied', code = p_code, detail = ops.canonical(p_detail::jsonb)::json, finished_at = clock_timestamp(),
			wake_at = null, claimed_by = null, response_url = null, args = coalesce(q.shown, q.args),
			person_id = r.person_id, person_name = r.person_name, person_email = r.person_email
		where q.id = r.id returning * into r;
	answer := ops.answer_of(r);
	facts := ops.facts(r, 'denied', null);
	perform ops.audit_request(r, p_observer, 'denied', 'denied', facts, null);
	answer.owed := ops.owe(r, p_boot, p_audit_channel, facts, true, p_reply, url, p_room);
	return answer;
end $$;

-- received -> allowed | running | denied, with what Slack says of the asker now.  No row: fenced off.
create function ops.decide_request(p_boot uuid, p_observer json, p_id text, p_fence bigint, p_verdict text,
	p_email text, p_name text, p_audit_channel text, p_room integer)
returns setof ops.answer
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
	r ops.request;
	i ops.identity;
	d authz.decision;
begin
	select * into r from ops.request q where q.id = p_id for no key update;
	if not found or r.fence <> p_fence or r.state not in ('received', 'allowed', 'running', 'denied') then
		return;
	end if;
	if r.state not in ('received', 'allowed') then -- asked again: the first answer was lost
		return next ops.answer_of(r);
		return;
	end if;
	i := ops.identify(r.team, r.slack_user, p_verdict, p_email, r.risk, p_observer, r.id);
	-- a revert needs no new sign-in: the one for its change was for its end too
	if (i.code = 'ok' or (r.kind = 'revert' and i.code in ('step_up', 'needs_proof'))) and r.state = 'allowed'
			and i.person_id = r.person_id then
		return next ops.answer_of(r); -- looked at again, long after it was asked for
		return;
	end if;
	r.person_id := coalesce(r.person_id, i.person_id);
	r.person_name := coalesce(i.person_name, r.person_name, p_name);
	r.person_email := coalesce(i.person_email, r.person_email);
	if i.code = 'step_up' and r.state = 'received' and (r.attempts = 0 or r.code is distinct from 'step_up') then
		update ops.request q set code = i.code, person_id = r.person_id, person_name = r.person_name,
				person_email = r.person_email, wake_at = clock_timestamp() + ops.request_lease()
			where q.id = p_id returning * into r;
		return next ops.answer_of(r);
		return;
	end if;
	i.code := case when i.code = 'step_up' then 'proof_interrupted' when i.code = 'ok' and i.person_id <> r.person_id
		then 'binding_changed' else i.code end;
	if i.code <> 'ok' then
		return next ops.refuse(r, p_boot, p_observer, i.code, null, p_audit_channel, true, p_room);
		return;
	end if;
	d := authz.decide(i.person_id, 'request', r.action, r.scope::jsonb, r.risk);
	if not d.allowed then
		return next ops.refuse(r, p_boot, p_observer, d.code,
			ops.decision_json(d, i.person_id, r.action, r.scope::jsonb), p_audit_channel, true, p_room);
		return;
	end if;
	update ops.request q set state = (case r.risk when 0 then 'running' else 'allowed' end)::ops.state, code = d.code,
			detail = ops.decision_json(d, i.person_id, r.action, r.scope::jsonb)::json, person_id = r.person_id,
			person_name = r.person_name, person_email = r.person_email, unheard = q.unheard and q.attempts > 0,
			wake_at = clock_timestamp() + ops.request_lease()
		where q.id = p_id returning * into r;
	perform ops.audit_request(r, p_observer, 'allowed', 'attempt', ops.facts(r, null, null), null);
	return next ops.answer_of(r);
end $$;

-- A click on Confirm (p_yes) or Cancel of the preview with this digest.  Only the requester, as a person.
create function ops.confirm(p_boot uuid, p_observer json, p_id text, p_envelope text, p_dedup text, p_kind text,
	p_team text, p_user text, p_response_url text, p_fresh boolean, p_verdict text, p_email text, p_yes boolean,
	p_digest text, p_audit_channel text, p_room integer)
returns ops.answer
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
	now_ timestamptz := clock_timestamp();
	r ops.request;
	i ops.identity;
	d authz.decision;
	answer ops.answer;
	facts text;
begin
	insert into ops.delivery (dedup, envelope_id, request_id, kind, boot_id, received_at)
		values (p_dedup, p_envelope, p_id, p_kind, p_boot, now_) on conflict do nothing;
	if not found then
		return ops.known(p_dedup, p_envelope);
	end if;
	select * into r from ops.request q where q.id = p_id for no key update;
	if not found then
		answer := row('expired', 0, null, null, null, null, null, p_id, 'expired', null, null);
		return answer;
	end if;
	answer := ops.answer_of(r);
	answer.row_json := ops.row_json(r);
	if r.state <> 'confirming' or r.claimed_by is not null or r.digest is distinct from p_digest then
		answer.known_id := r.id;
		answer.known_state := r.state;
		if r.state = 'confirming' and r.claimed_by is null then
			answer.code := 'stale_preview';
		end if;
		return answer;
	end if;
	if p_fresh then
		i := ops.identify(p_team, p_user, p_verdict, p_email, r.risk, p_observer, r.id);
	else -- who clicked is asked of Slack first
		i.code := 'not_a_member';
	end if;
	if i.person_id is distinct from r.person_id then -- the offer stays for the one who asked
		answer.state := 'denied';
		answer.code := case when i.code = 'ok' then 'not_requester' else i.code end;
		answer.detail := null;
		perform ops.audit_note(r.id, i.person_id, p_user, p_observer, 'confirm.denied', 'denied',
			'{"code":' || ops.js(answer.code) || ',"envelope":' || ops.js(p_envelope) || ',"team":' || ops.js(p_team)
			|| ',"yes":' || p_yes::text || '}');
		return answer;
	end if;
	r.response_url := coalesce(p_response_url, r.response_url);
	if r.expires_at <= now_ or not p_yes then
		update ops.request q set
				state = (case when r.expires_at <= now_ then 'expired' else 'cancelled' end)::ops.state,
				finished_at = now_, wake_at = null, response_url = null, args = coalesce(q.shown, q.args)
			where q.id = p_id returning * into r;
		facts := ops.facts(r, r.state::text, null);
		perform ops.audit_request(r, p_observer, r.state::text, 'failure', facts, '{"envelope":' || ops.js(p_envelope) || '}');
		answer.state := r.state;
		answer.owed := ops.owe(r, p_boot, p_audit_channel, facts, true, false, null, p_room);
		return answer;
	end if;
	if i.code = 'ok' then
		d := authz.decide(i.person_id, 'request', r.action, r.scope::jsonb, r.risk);
		i.code := d.code;
	end if;
	if i.code <> 'allowed' then
		answer := ops.refuse(r, p_boot, p_observer, i.code, case when d.code is not null then
			ops.decision_json(d, i.person_id, r.action, r.scope::jsonb) end, p_audit_channel, false, p_room);
		answer.row_json := ops.row_json(r);
		return answer;
	end if;
	update ops.request q set fence = q.fence + 1, claimed_by = p_boot, wake_at = now_ + ops.request_lease(),
			attempts = 0, unheard = true, response_url = r.response_url, code = d.code,
			detail = ops.decision_json(d, i.person_id, r.action, r.scope::jsonb)::json
		where q.id = p_id returning * into r;
	perform ops.audit_request(r, p_observer, 'confirmed', 'attempt', ops.facts(r, null, null),
		'{"digest":' || ops.js(p_digest) || ',"envelope":' || ops.js(p_envelope) || '}');
	answer := ops.answer_of(r);
	answer.row_json := ops.row_json(r);
	return answer;
end $$;

-- A delivery that is to be disowned has a row, and not one that is to be taken back.
create function ops.contradicted(p_boot uuid, p_id text, p_envelope text, p_dedup text, p_kind text, p_click boolean,
	p_said boolean) returns text
language plpgsql as $$
declare
	v ops.delivery;
	r ops.request;
begin
	select * into v from ops.delivery d where d.dedup = p_dedup;
	select * into r from ops.request q where q.id = v.request_id;
	if v.disowned then -- by another try, or by an earlier question of this one
		return case when r.id is null or (r.state = 'cancelled' and not p_click) then 'kept_out' else 'known' end;
	end if;
	if v.told and v.request_id = p_id and v.boot_id = p_boot and v.envelope_id = p_envelope then
		-- This very try, whose answer was lost, while another delivery was acknowledged: nobody runs it, so whoever takes
		-- it over now asks the person.
		update ops.request q set wake_at = clock_timestamp()
			where (q.id = p_id or q.undoes = p_id and q.kind = 'revert') and q.claimed_by = p_boot and q.attempts = 0
			  and (q.state in ('received', 'allowed', 'confirming') or q.state = 'running' and q.risk = 0);
	elsif p_said and not p_click and p_kind <> 'submit' then
		-- Another replica has it, and this one said that nothing was recorded: it is taken from the other, and the person asked.
		update ops.request q set unheard = true, attempts = greatest(q.attempts, 1::smallint), fence = q.fence + 1,
				wake_at = clock_timestamp()
			where q.id = v.request_id and q.state in ('received', 'allowed') and q.claimed_by is not null;
	end if;
	return 'known';
end $$;

-- The answer to a try was lost.  Makes true that it was not recorded: a delivery that comes later is known already, a
-- row that did get in is cancelled before it acts, a click that did get in is taken back.
create function ops.take_back(p_boot uuid, p_observer json, p_id text, p_envelope text, p_dedup text, p_kind text,
	p_click boolean, p_said boolean) returns text
language plpgsql as $$
declare
	d record;
	r ops.request;
	a ops.approval;
begin
	insert into ops.delivery (dedup, envelope_id, request_id, kind, boot_id, disowned)
		values (p_dedup, p_envelope, p_id, p_kind, p_boot, true) on conflict do nothing;
	if found then
		return 'kept_out';
	end if;
	-- Only the row of this very try: an earlier delivery of the same intent was acknowledged and goes on.
	update ops.delivery v set disowned = true
		where v.dedup = p_dedup and v.request_id = p_id and v.boot_id = p_boot and v.envelope_id = p_envelope
		  and not v.disowned and not v.told
		returning v.kind into d;
	if not found then
		return ops.contradicted(p_boot, p_id, p_envelope, p_dedup, p_kind, p_click, p_said);
	end if;
	if p_click and p_kind in ('approve', 'deny', 'withdraw', 'execute') then
		select * into r from ops.request q where q.id = p_id for no key update;
		if r.state = 'approving' or (r.state = 'allowed' and r.claimed_by = p_boot) then
			delete from ops.vote v where v.request_id = p_id and v.envelope_id = p_envelope;
			if found then
				a := ops.round_of(p_id);
				update ops.request q set state = 'approving', claimed_by = null, fence = q.fence + 1, attempts = 0,
						wake_at = ops.round_timer(a)
					where q.id = p_id returning * into r;
				perform ops.redraw(p_id);
				perform ops.audit_request(r, p_observer, 'disowned', 'failure', ops.facts(r, null,
					'the vote was not acknowledged in time and does not count'), '{"envelope":' || ops.js(p_envelope) || '}');
				return 'released';
			end if;
		end if;
		return 'too_late';
	end if;
	if p_click and p_kind in ('extend', 'keep', 'back', 'stop') then
		return ops.unsteer(p_boot, p_observer, p_id, p_kind);
	end if;
	if p_click then
		-- while the claim is still that of this click: whoever takes it over asks the person again
		update ops.request q set claimed_by = null, wake_at = q.expires_at, fence = q.fence + 1
			where q.id = p_id and q.state = 'confirming' and q.claimed_by = p_boot and q.attempts = 0 and q.unheard
			  and p_envelope = (select b.body::json -> 'evidence' ->> 'envelope' from ops.audit b
				where b.request_id = p_id and b.event = 'request.confirmed' order by b.id desc limit 1)
			returning * into r;
		if found then
			perform ops.audit_request(r, p_observer, 'disowned', 'failure', ops.facts(r, null,
				'the click was not acknowledged in time and does not count'), '{"envelope":' || ops.js(p_envelope) || '}');
			return 'released';
		end if;
		return 'too_late';
	end if;
	update ops.request q set state = 'cancelled', finished_at = clock_timestamp(), wake_at = null, claimed_by = null,
			response_url = null, fence = q.fence + 1, args = coalesce(q.shown, q.args)
		-- Once it was taken over, the person has been asked: what they say then counts.
		where q.id = p_id and q.fence = 1 and q.claimed_by = p_boot
		  and (q.state in ('received', 'allowed') or (q.state = 'running' and q.risk = 0))
		returning * into r;
	if not found then
		return 'too_late';
	end if;
	perform ops.audit_request(r, p_observer, 'cancelled', 'failure',
		ops.facts(r, 'cancelled', 'it was not recorded in time to be acknowledged'), null);
	return 'cancelled';
end $$;

-- The same, and what the request that stays is.  p_said: the person was told already that nothing was recorded; else what
-- they are told waits for this answer.
create function ops.disown(p_boot uuid, p_observer json, p_id text, p_envelope text, p_dedup text, p_kind text,
	p_click boolean, p_said boolean, out what text, out known_id text, out known_state text)
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
	what := ops.take_back(p_boot, p_observer, p_id, p_envelope, p_dedup, p_kind, p_click, p_said);
	if what in ('known', 'too_late') then
		select r.id, r.state::text into known_id, known_state from ops.delivery d join ops.request r on r.id = d.request_id
			where d.dedup = p_dedup;
	end if;
end $$;

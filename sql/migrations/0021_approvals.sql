-- SPDX-License-Identifier: Apache-2.0
-- Approvals: rounds of asking, votes, and the cards that show them.
--
-- A round is the asking for one plan; a plan whose meaning changes opens the next one, and votes count in
-- their round only.  The row of the request is locked before anything is judged, so that votes, cancel, expiry
-- and start come one after the other; the card on the screen decides nothing.
-- A rule is { "need": n, "can_approve": action | "group": name }, as the catalog's newest version gave it.
set local role opsd_owner;

create table ops.approval (
	request_id   text collate "C" not null,
	round        smallint not null check (round > 0),
	digest       text not null,
	rules        jsonb not null,
	changed      json, -- the changes as they were in the round before
	asked        bigint[] not null default '{}', -- persons who were named, in order
	asked_at     timestamptz not null default clock_timestamp(),
	escalated_at timestamptz,
	expires_at   timestamptz not null,
	primary key (request_id, round)
);
comment on table ops.approval is 'One asking of approvers about one plan of a request';

create table ops.vote (
	request_id  text collate "C" not null,
	round       smallint not null,
	person_id   bigint not null,
	digest      text not null,
	decision    text not null check (decision in ('approve', 'deny')),
	reason      text,
	slack_team  text collate "C" not null,
	slack_user  text collate "C" not null,
	envelope_id text collate "C" not null unique,
	voted_at    timestamptz not null default clock_timestamp(),
	primary key (request_id, round, person_id),
	foreign key (request_id, round) references ops.approval
);
comment on table ops.vote is 'One decision of one person in one round';

-- The content of a card is made when it is sent.  rev grows with each change, shown is the rev that was sent last.
alter table ops.message
	add column rev smallint not null default 0,
	add column shown smallint not null default 0,
	add column reposted boolean not null default false;
create index message_card on ops.message (request_id, id) where kind = 'card';

grant select on ops.approval, ops.vote to opsd_auditor;

-- Who may approve

-- What grants of the rule's action may be asked about: the scope of the request, as far as the action knows it.
create function ops.rule_scope(p_rule jsonb, p_action text, p_scope jsonb) returns jsonb
language plpgsql stable as $$
begin
	if p_rule ->> 'can_approve' = p_action then
		return p_scope;
	end if;
	return (select coalesce(jsonb_object_agg(k.key, k.value), '{}') from jsonb_each(p_scope) k
		where k.key in (select ap.param from authz.action_param ap join authz.action a using (action_id)
			where a.name = p_rule ->> 'can_approve'));
end $$;

-- The group that a rule names; null unless exactly one source has one of that name.
create function ops.rule_group(p_rule jsonb) returns bigint
language sql stable as $$
	select min(g.group_id) from dir.grp g
	where g.state = 'active' and g.name_key = lower((p_rule ->> 'group') collate "C") having count(*) = 1
$$;

create function ops.may_approve(p_person bigint, p_rule jsonb, p_action text, p_scope jsonb, p_risk integer)
returns boolean
language plpgsql stable as $$
begin
	if p_rule ? 'can_approve' then
		return coalesce((authz.decide(p_person, 'approve', p_rule ->> 'can_approve',
			ops.rule_scope(p_rule, p_action, p_scope), p_risk)).allowed, false);
	end if;
	return exists (select 1 from dir.membership m
		join dir.person p using (person_id)
		join dir.source s on s.source_id = p.source_id
		where m.person_id = p_person and m.group_id = ops.rule_group(p_rule) and p.state = 'active' and p.kind = 'human'
		  and s.fetch_started_at between clock_timestamp() - authz.max_age(p_risk)
			and clock_timestamp() + interval '5 minutes');
end $$;

-- People who may approve by this rule, in an order that differs from request to request; those Slack knows first.
create function ops.approvers(p_seed text, p_rule jsonb, p_action text, p_scope jsonb, p_risk integer,
	p_exclude bigint[], p_limit integer)
returns table (person_id bigint, name text, slack_user text)
language plpgsql stable as $$
begin
	return query
		with candidate as materialized (
			select c.id from (
				select m.person_id as id from dir.membership m
					where p_rule ? 'group' and m.group_id = ops.rule_group(p_rule)
				union
				select coalesce(g.person_id, m.person_id) from authz.action a
					join authz.permit g on g.action_id = a.action_id and g.capability = 'approve' and g.effect = 'allow'
						and g.valid @> clock_timestamp()
					left join dir.membership m on m.group_id = g.group_id
					where a.name = p_rule ->> 'can_approve' and a.enabled
			) c where c.id is not null and c.id <> all (p_exclude)),
		ordered as materialized (
			select p.person_id, p.display_name,
					(select min(l.slack_user) from ops.link l where l.person_id = p.person_id and l.state = 'live') as slack
				from candidate c join dir.person p on p.person_id = c.id
				where p.state = 'active' and p.kind = 'human'
				order by (3) is null, md5(p_seed || p.person_id)
				offset 0)
		select o.person_id, o.display_name, o.slack from ordered o
			where ops.may_approve(o.person_id, p_rule, p_action, p_scope, p_risk)
			limit p_limit;
end $$;

-- Each rule with "have": how many distinct people who may still approve did so in this round.
create function ops.tally(r ops.request, p_rules jsonb, p_round integer, p_digest text) returns jsonb
language plpgsql stable as $$
begin
	return (select coalesce(jsonb_agg(x.rule || jsonb_build_object('have', (
			select count(*) from ops.vote v
			where v.request_id = r.id and v.round = p_round and v.digest = p_digest and v.decision = 'approve'
			  and v.person_id <> r.person_id
			  and ops.may_approve(v.person_id, x.rule, r.action, r.scope::jsonb, r.risk))) order by x.n), '[]')
		from jsonb_array_elements(p_rules) with ordinality x(rule, n));
end $$;

create function ops.rules_met(p_tally jsonb) returns boolean
language sql immutable as $$
	select jsonb_array_length(p_tally) > 0
		and not exists (select 1 from jsonb_array_elements(p_tally) t where (t ->> 'have')::integer < (t ->> 'need')::integer)
$$;

create function ops.round_of(p_id text) returns ops.approval
language sql stable as $$
	select a from ops.approval a where a.request_id = p_id order by a.round desc limit 1
$$;

-- Cards

create function ops.people_json(p_persons bigint[]) returns json
language sql stable as $$
	select coalesce(json_agg(json_strip_nulls(json_build_object('name', p.display_name, 'user',
			(select min(l.slack_user) from ops.link l where l.person_id = p.person_id and l.state = 'live'))) order by x.n), '[]')
		from unnest(p_persons) with ordinality x(id, n) join dir.person p on p.person_id = x.id
$$;

create function ops.ms(p_at timestamptz) returns bigint
language sql stable as $$ select (extract(epoch from p_at) * 1000)::bigint $$;

-- The facts of a request with all that a card shows: rules, votes, who was asked, until when.
create function ops.card_facts(r ops.request, p_outdated boolean, p_reposted boolean) returns text
language plpgsql stable as $$
declare
	a ops.approval := ops.round_of(r.id);
begin
	return left(ops.facts(r, r.state::text, r.error), -1)
		|| ',"approval":' || json_build_object(
			'rules', case when r.state = 'approving' then ops.tally(r, a.rules, a.round, a.digest) else a.rules end,
			'votes', (select coalesce(json_agg(json_strip_nulls(json_build_object('user', v.slack_user, 'name', p.display_name,
					'decision', v.decision, 'reason', v.reason)) order by v.voted_at), '[]')
				from ops.vote v join dir.person p using (person_id) where v.request_id = r.id and v.round = a.round),
			'asked', ops.people_json(a.asked),
			'expires_ms', ops.ms(a.expires_at),
			'changed', a.changed,
			'outdated', p_outdated,
			'reposted', p_reposted)::text
		|| ',"digest":' || ops.js(a.digest)
		|| ',"state":"' || r.state::text || '"}';
end $$;

create function ops.card_body(p_message bigint, p_request text, p_reposted boolean) returns text
language plpgsql stable as $$
declare
	r ops.request;
begin
	select * into r from ops.request q where q.id = p_request;
	return coalesce(ops.card_facts(r, exists (select 1 from ops.message m
		where m.request_id = p_request and m.kind = 'card' and m.id > p_message), p_reposted), '{}');
end $$;

-- The cards of a request are owed anew.
create function ops.redraw(p_request text) returns void
language plpgsql as $$
begin
	update ops.message m set rev = m.rev + 1, body = '{}', delivered_at = null, dead_at = null,
			attempts = case when m.due_at is null then 0 else m.attempts end,
			due_at = coalesce(m.due_at, clock_timestamp())
		where m.request_id = p_request and m.kind = 'card';
end $$;

-- Whatever changes the state of a request, its cards follow.
create function ops.redraw_on_change() returns trigger
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
	perform ops.redraw(new.id);
	return null;
end $$;
create trigger redraw after update of state on ops.request for each row
	when (old.expires_at is not null and old.state is distinct from new.state) execute function ops.redraw_on_change();

-- Asking

-- The next moment at which an open round needs somebody: to name more people, or to end.
create function ops.round_timer(a ops.approval) returns timestamptz
language sql stable as $$
	select case when a.escalated_at is null and a.asked_at + (a.expires_at - a.asked_at) / 3 > clock_timestamp()
		then a.asked_at + (a.expires_at - a.asked_at) / 3 else a.expires_at end
$$;

-- Up to p_limit people to name, spread over the rules, beside those named already.
create function ops.pick(r ops.request, p_rules jsonb, p_limit integer) returns bigint[]
language plpgsql stable as $$
declare
	rule jsonb;
	picked bigint[] := '{}';
	each_ integer := greatest(1, p_limit / greatest(jsonb_array_length(p_rules), 1));
begin
	for rule in select * from jsonb_array_elements(p_rules) loop
		picked := picked || array(select x.person_id from ops.approvers(r.id, rule, r.action, r.scope::jsonb, r.risk,
			picked || r.person_id, greatest(each_, (rule ->> 'need')::integer)) x);
	end loop;
	return picked[1:p_limit];
end $$;

-- allowed | confirming -> approving: plan and rules are on record, a card is owed, the requester is told.
-- Refused at once when too few people could ever approve it.
create function ops.ask(p_boot uuid, p_observer json, p_id text, p_fence bigint, p_plan json, p_digest text, p_rules jsonb,
	p_changed json, p_channel text, p_seconds integer, p_audit_channel text, p_room integer)
returns ops.written
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
	now_ timestamptz := clock_timestamp();
	r ops.request;
	a ops.approval;
	rule jsonb;
	n integer;
	x ops.answer;
	w ops.written;
begin
	select * into r from ops.request q where q.id = p_id and q.fence = p_fence and q.claimed_by = p_boot
		and q.state in ('allowed', 'confirming') and q.wake_at > now_ for no key update;
	if not found then
		select q.state = 'approving' and q.digest = p_digest and q.claimed_by is null and q.fence = p_fence, q.state
			into w.ok, w.state from ops.request q where q.id = p_id; -- true: this was written, its answer was lost
		w.ok := coalesce(w.ok, false);
		return w;
	end if;
	w.ok := true;
	r.plan := p_plan;
	r.digest := p_digest;
	for rule in select * from jsonb_array_elements(p_rules) loop
		select count(*) into n from ops.approvers(p_id, rule, r.action, r.scope::jsonb, r.risk, array[r.person_id],
			(rule ->> 'need')::integer);
		if p_channel is null or n < (rule ->> 'need')::integer then
			x := ops.refuse(r, p_boot, p_observer, case when p_channel is null then 'no_approval_channel'
				else 'too_few_approvers' end, json_build_object('rule', rule || jsonb_build_object('have', n))::text,
				p_audit_channel, true, p_room);
			w.state := x.state;
			w.code := x.code;
			w.detail := x.detail;
			w.owed := x.owed;
			return w;
		end if;
	end loop;
	insert into ops.approval (request_id, round, digest, rules, changed, asked, asked_at, expires_at)
	values (p_id, coalesce((ops.round_of(p_id)).round, 0) + 1, p_digest, p_rules, p_changed, ops.pick(r, p_rules, 3), now_,
		now_ + make_interval(secs => (select min(coalesce((y ->> 'expires_s')::integer, p_seconds))
			from jsonb_array_elements(p_rules) y)))
	returning * into a;
	update ops.request q set state = 'approving', plan = p_plan, digest = p_digest, claimed_by = null, attempts = 0,
			expires_at = a.expires_at, wake_at = ops.round_timer(a)
		where q.id = p_id returning * into r;
	perform ops.redraw(p_id); -- an older card says that it is out of date
	insert into ops.message (request_id, kind, prio, channel, body, created_at, due_at, rev)
		values (p_id, 'card', 1, p_channel, '{}', now_, now_, 1);
	perform ops.audit_request(r, p_observer, 'asked', 'attempt', ops.facts(r, null, null), json_build_object('asked', a.asked,
		'digest', p_digest, 'expires', ops.iso(a.expires_at), 'round', a.round, 'rules', p_rules)::text);
	w.state := r.state;
	w.owed := ops.owe(r, p_boot, null, ops.card_facts(r, false, false), false, true, r.response_url, p_room);
	return w;
end $$;

-- Names up to ten people in the thread of the card, once a round.
create function ops.escalate(r ops.request, a ops.approval, p_observer json) returns void
language plpgsql as $$
declare
	now_ timestamptz := clock_timestamp();
	more bigint[];
	card ops.message;
begin
	if a.escalated_at is not null then
		update ops.request q set wake_at = a.expires_at where q.id = r.id;
		return;
	end if;
	more := array(select x from unnest(ops.pick(r, a.rules, 10)) x where x not in (
		select v.person_id from ops.vote v where v.request_id = r.id and v.round = a.round));
	update ops.approval y set escalated_at = now_, asked = array(select distinct z from unnest(a.asked || more) z)
		where y.request_id = a.request_id and y.round = a.round returning * into a;
	update ops.request q set wake_at = ops.round_timer(a) where q.id = r.id;
	select * into card from ops.message m where m.request_id = r.id and m.kind = 'card' order by m.id desc limit 1;
	insert into ops.message (request_id, kind, prio, channel, body, created_at, due_at)
		values (r.id, 'ask', 1, card.channel, json_build_object('request', r.id, 'command', r.command, 'asked',
			ops.people_json(more), 'expires_ms', ops.ms(a.expires_at)), now_, now_ + interval '1 second');
	perform ops.redraw(r.id);
	perform ops.audit_request(r, p_observer, 'escalated', 'attempt', ops.facts(r, null, null),
		json_build_object('asked', more)::text);
end $$;

-- Voting

-- What became of a request that is not to be approved any more: code and detail for the one who is late.
create function ops.too_late(r ops.request) returns json
language plpgsql stable as $$
begin
	return json_strip_nulls(json_build_object('state', r.state, 'at_ms', ops.ms(coalesce(r.finished_at,
			case when r.state = 'approving' then r.expires_at end)),
		'by', (select json_agg(p.display_name order by v.voted_at) from ops.vote v join dir.person p using (person_id)
			where v.request_id = r.id and v.round = (ops.round_of(r.id)).round
			  and v.decision = case when r.code = 'approver_denied' then 'deny' else 'approve' end)));
end $$;

-- A click on a card: approve, deny or withdraw.  Who clicked is known afresh (p_verdict, p_email).
-- row_json is set when this was the last approval and the caller carries on with the request.
create function ops.vote(p_boot uuid, p_observer json, p_id text, p_envelope text, p_dedup text, p_kind text, p_team text,
	p_user text, p_verdict text, p_email text, p_digest text, p_reason text, p_audit_channel text, p_room integer)
returns ops.answer
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
	now_ timestamptz;
	r ops.request;
	a ops.approval;
	i ops.identity;
	v ops.vote;
	answer ops.answer;
	facts text;
	code_ text;
begin
	insert into ops.delivery (dedup, envelope_id, request_id, kind, boot_id)
		values (p_dedup, p_envelope, p_id, p_kind, p_boot) on conflict do nothing;
	if not found then
		-- The form behind Deny keeps its key, as in ops.receive.
		update ops.delivery d set envelope_id = p_envelope, boot_id = p_boot, disowned = false,
				received_at = clock_timestamp()
			where d.dedup = p_dedup and d.disowned and d.kind = 'deny' and d.envelope_id <> p_envelope;
		if not found then
			return ops.known(p_dedup, p_envelope);
		end if;
	end if;
	select * into r from ops.request q where q.id = p_id for no key update;
	if not found then
		answer.state := 'expired';
		answer.code := 'too_late';
		answer.detail := '{"state":"expired"}';
		return answer;
	end if;
	now_ := clock_timestamp(); -- after the wait for the lock
	a := ops.round_of(p_id);
	answer.state := r.state;
	answer.fence := r.fence;
	if r.state <> 'approving' or a.expires_at <= now_ then
		answer.code := 'too_late';
		answer.detail := ops.too_late(r)::text;
		return answer;
	elsif a.digest is distinct from p_digest then
		answer.code := 'stale_card';
		return answer;
	end if;
	i := ops.identify(p_team, p_user, p_verdict, p_email, r.risk, p_observer);
	select * into v from ops.vote x where x.request_id = p_id and x.round = a.round and x.person_id = i.person_id;
	code_ := case
		when i.code <> 'ok' then i.code
		when p_kind = 'withdraw' then case when i.person_id = r.person_id then 'ok' else 'not_requester' end
		when i.person_id = r.person_id then 'own_request'
		when v.decision is not null then 'voted_already'
		when not exists (select 1 from jsonb_array_elements(a.rules) x
			where ops.may_approve(i.person_id, x, r.action, r.scope::jsonb, r.risk)) then 'not_approver'
		else 'ok' end;
	if code_ <> 'ok' then
		answer.code := code_;
		answer.detail := json_strip_nulls(json_build_object('decision', v.decision, 'rules', a.rules,
			'asked', ops.people_json(a.asked)))::text;
		perform ops.audit_note(p_id, i.person_id, p_user, p_observer, 'vote.refused', 'denied', '{"code":' || ops.js(code_)
			|| ',"digest":' || ops.js(p_digest) || ',"envelope":' || ops.js(p_envelope) || ',"team":' || ops.js(p_team)
			|| ',"vote":' || ops.js(p_kind) || '}');
		return answer;
	end if;
	if p_kind = 'withdraw' then
		update ops.request q set state = 'cancelled', finished_at = now_, wake_at = null, response_url = null,
				args = coalesce(q.shown, q.args)
			where q.id = p_id returning * into r;
		facts := ops.facts(r, 'cancelled', null);
		perform ops.audit_request(r, p_observer, 'cancelled', 'failure', facts, '{"envelope":' || ops.js(p_envelope) || '}');
		answer.state := r.state;
		answer.owed := ops.owe(r, p_boot, p_audit_channel, facts, true, true, null, p_room);
		return answer;
	end if;
	insert into ops.vote (request_id, round, person_id, digest, decision, reason, slack_team, slack_user, envelope_id)
		values (p_id, a.round, i.person_id, p_digest, p_kind, left(p_reason, 1000), p_team, p_user, p_envelope);
	perform ops.audit_note(p_id, i.person_id, p_user, p_observer, 'vote.' || p_kind, 'success', '{"digest":'
		|| ops.js(p_digest) || ',"email":' || ops.js(i.person_email) || ',"envelope":' || ops.js(p_envelope) || ',"name":'
		|| ops.js(i.person_name) || ',"reason":' || ops.js(p_reason) || ',"round":' || a.round || ',"team":' || ops.js(p_team)
		|| '}');
	if p_kind = 'deny' then
		answer := ops.refuse(r, p_boot, p_observer, 'approver_denied', json_build_object('by', i.person_name, 'reason', p_reason,
			'user', p_user)::text, p_audit_channel, true, p_room);
		answer.code := null; -- that is not why the voter would be refused
		return answer;
	end if;
	if not ops.rules_met(ops.tally(r, a.rules, a.round, a.digest)) then
		perform ops.redraw(p_id);
		return answer;
	end if;
	update ops.request q set state = 'allowed', fence = q.fence + 1, claimed_by = p_boot, wake_at = now_ + ops.request_lease()
		where q.id = p_id returning * into r;
	perform ops.audit_request(r, p_observer, 'approved', 'attempt', ops.facts(r, null, null), json_build_object('digest',
		a.digest, 'round', a.round, 'rules', ops.tally(r, a.rules, a.round, a.digest))::text);
	answer.state := r.state;
	answer.fence := r.fence;
	answer.row_json := ops.row_json(r);
	return answer;
end $$;

-- Replaced: what knows of one more state or step

-- Everything of a row that is needed to carry on with it.  approved: the digest that enough people approved.
create or replace function ops.row_json(r ops.request) returns text
language sql stable as $$
	select json_build_object('id', r.id, 'state', r.state, 'team', r.team, 'slack_user', r.slack_user, 'channel', r.channel,
		'response_url', r.response_url, 'kind', r.kind, 'person_id', r.person_id, 'person_name', r.person_name,
		'person_email', r.person_email, 'command', r.command, 'action', r.action, 'risk', r.risk, 'args', r.args,
		'scope', r.scope, 'text', r.text, 'cursor', r.cursor, 'catalog_digest', r.catalog_digest, 'code', r.code,
		'detail', r.detail, 'plan', r.plan, 'digest', r.digest, 'fence', r.fence, 'attempts', r.attempts,
		'approved', case when r.state = 'allowed' then (ops.round_of(r.id)).digest end,
		'approved_by', (select json_agg(p.display_name order by v.voted_at) from ops.vote v join dir.person p using (person_id)
			where v.request_id = r.id and v.round = (ops.round_of(r.id)).round and v.decision = 'approve'),
		'step', (select json_build_object('attempt', s.attempt, 'kind', s.kind, 'effect', s.effect, 'state', s.state)
			from ops.step s where s.request_id = r.id order by s.attempt desc limit 1))::text
$$;

-- Back from 'allowed': the approvals are not there any more, or not enough for the rules of now.
create function ops.ask_again(r ops.request, p_rules jsonb, p_observer json) returns void
language plpgsql as $$
declare
	a ops.approval;
begin
	update ops.approval y set rules = p_rules where y.request_id = r.id and y.round = (ops.round_of(r.id)).round
		returning * into a;
	update ops.request q set state = 'approving', claimed_by = null, attempts = 0, fence = q.fence + 1,
			wake_at = ops.round_timer(a)
		where q.id = r.id returning * into r;
	perform ops.audit_request(r, p_observer, 'approval_lost', 'denied', ops.facts(r, null, null), json_build_object('digest',
		a.digest, 'round', a.round, 'rules', ops.tally(r, a.rules, a.round, a.digest))::text);
end $$;

-- allowed | confirming -> running: decided again, approvals counted again, the intent is on record; only then may
-- the effect start.  p_rules: the approval rules that hold now; null: none.
drop function ops.start(uuid, json, text, bigint, text, text, json, json, text, text, integer);
create function ops.start(p_boot uuid, p_observer json, p_id text, p_fence bigint, p_kind text, p_effect text,
	p_params json, p_plan json, p_digest text, p_rules jsonb, p_audit_channel text, p_room integer)
returns ops.written
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
	now_ timestamptz := clock_timestamp();
	r ops.request;
	d authz.decision;
	a ops.answer;
	w ops.written;
	round_ ops.approval;
begin
	if p_rules is not null then -- decided before the state changes: a refused start leaves no trace of one
		select * into r from ops.request q where q.id = p_id and q.fence = p_fence and q.claimed_by = p_boot
			and q.state = 'allowed' and q.wake_at > now_ for no key update;
		if found then
			round_ := ops.round_of(p_id);
			if round_.digest is distinct from p_digest then
				raise exception 'start: % was not asked about this plan', p_id using errcode = 'OP013';
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
	-- A fresh lease is left as it is: wake_at is indexed, and an update that keeps it stays on its page.
	update ops.request q set state = 'running', plan = coalesce(p_plan, q.plan), digest = coalesce(p_digest, q.digest),
			wake_at = case when q.wake_at < now_ + interval '50 seconds' then now_ + ops.request_lease()
				else q.wake_at end
		where q.id = p_id and q.fence = p_fence and q.claimed_by = p_boot and q.state in ('allowed', 'confirming')
		  and coalesce(q.wake_at, '-infinity') > now_ and (p_rules is null or round_.round is not null)
		returning * into r;
	if not found then
		select q.state = 'running' and q.fence = p_fence and q.claimed_by = p_boot
				and coalesce(q.wake_at, '-infinity') > now_ and exists (
				select 1 from ops.step s where s.request_id = p_id and s.fence = p_fence), q.state
			into w.ok, w.state from ops.request q where q.id = p_id;
		w.ok := coalesce(w.ok, false);
		return w;
	end if;
	if exists (select 1 from ops.link l where l.slack_team = r.team and l.slack_user = r.slack_user
			and l.person_id = r.person_id and l.state = 'live') then
		d := authz.decide(r.person_id, 'request', r.action, r.scope::jsonb, r.risk);
	else
		d.code := 'binding_suspended';
	end if;
	if d.allowed is not true then
		a := ops.refuse(r, p_boot, p_observer, d.code, ops.decision_json(d, r.person_id, r.action, r.scope::jsonb),
			p_audit_channel, true, p_room);
		w.ok := true;
		w.state := a.state;
		w.code := a.code;
		w.detail := a.detail;
		w.owed := a.owed;
		return w;
	end if;
	insert into ops.step (request_id, attempt, kind, effect, params, fence, intent_at)
		select p_id, coalesce(max(s.attempt), 0) + 1, p_kind, p_effect::ops.effect, p_params, p_fence, now_
		from ops.step s where s.request_id = p_id;
	insert into ops.audit (at, request_id, person_id, slack_user, event, action, outcome, body)
	values (now_, p_id, r.person_id, r.slack_user, 'request.started', r.action, 'attempt',
		ops.entry(r, now_, p_observer, 'started', 'attempt', ops.facts(r, null, null), '{'
		|| coalesce('"approved_by":' || (select json_agg(v.person_id order by v.person_id) from ops.vote v
			where v.request_id = p_id and v.round = round_.round and v.decision = 'approve')::text || ',', '')
		|| '"digest":' || ops.js(p_digest) || ',"effect":"' || p_effect || '","generation":'
		|| coalesce(d.generation::text, 'null') || ',"grant":' || ops.js(d.grant_key) || ',"kind":' || ops.js(p_kind)
		|| ',"revision":' || coalesce(d.revision::text, 'null') || '}'));
	return (true, 'running', d.code, null, null, null, null, null, null, null, null)::ops.written;
end $$;

-- Rows whose timer has come.  Offers that were not taken expire here; a request whose replica is gone is taken
-- over (and given up after five times: then a person must look); what is unknown is brought up again; what waits
-- for approval names more people, and expires.
create or replace function ops.claim_due(p_boot uuid, p_observer json, p_limit integer, p_audit_channel text)
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
			select q.id from ops.request q where q.wake_at <= now_ order by q.wake_at limit p_limit
			for no key update skip locked)
		select q.* from due join ops.request q using (id)
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
		if r.state in ('confirming', 'approving') and r.claimed_by is null then
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
				error = case when st <> 'expired' then 'given up after five replicas left it unfinished' end,
				wake_at = case when st = 'unknown' then now_ + interval '15 minutes' end,
				finished_at = case when st <> 'unknown' then now_ end
			where q.id = r.id returning * into r;
		if st = 'unknown' then
			update ops.step s set state = 'unknown', done_at = now_ where s.request_id = r.id and s.state = 'intent';
		end if;
		facts := ops.facts(r, st, r.error);
		perform ops.audit_request(r, p_observer, st, ops.final_outcome(st), facts, null);
		perform ops.owe(r, p_boot, p_audit_channel, facts, true, true, url, 0);
	end loop;
end $$;

-- The person was told that nothing was recorded.  Makes it true: a delivery that comes later is known already,
-- a row that did get in is cancelled before it acts, a click that did get in is taken back.
create or replace function ops.disown(p_boot uuid, p_observer json, p_id text, p_envelope text, p_dedup text, p_kind text,
	p_click boolean) returns text
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
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
		  and not v.disowned
		returning v.kind into d;
	if not found then
		return 'known';
	end if;
	if p_click and p_kind in ('approve', 'deny', 'withdraw') then
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
	if p_click then
		update ops.request q set claimed_by = null, wake_at = q.expires_at, fence = q.fence + 1
			where q.id = p_id and q.state = 'confirming' and q.claimed_by = p_boot returning * into r;
		if found then
			perform ops.audit_request(r, p_observer, 'disowned', 'failure', ops.facts(r, null,
				'the click was not acknowledged in time and does not count'), '{"envelope":' || ops.js(p_envelope) || '}');
			return 'released';
		end if;
		return 'too_late';
	end if;
	update ops.request q set state = 'cancelled', finished_at = clock_timestamp(), wake_at = null, claimed_by = null,
			response_url = null, fence = q.fence + 1, args = coalesce(q.shown, q.args)
		where q.id = p_id and (q.state in ('received', 'allowed', 'confirming', 'approving') or (q.state = 'running' and q.risk = 0))
		returning * into r;
	if not found then
		return 'too_late';
	end if;
	perform ops.audit_request(r, p_observer, 'cancelled', 'failure',
		ops.facts(r, 'cancelled', 'it was not recorded in time to be acknowledged'), null);
	return 'cancelled';
end $$;

drop function ops.outbox_claim(uuid, integer);
-- Claims what is due, oldest first.  At most half of a claim is for the audit channel while people wait too: the
-- channel has its pace, and must not keep replies from those who asked.  attempts: earlier tries.  ts: of a card, the
-- message to edit; of a note, the card that it belongs to.
create function ops.outbox_claim(p_boot uuid, p_limit integer)
returns table (id bigint, kind text, request_id text, channel text, slack_user text, response_url text, body text,
	attempts integer, created_ms bigint, ts text)
language plpgsql security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
	set enable_seqscan = off set jit = off as $$
declare
	now_ timestamptz := clock_timestamp();
	left_ integer := p_limit;
	n integer;
begin
	for turn in 0..2 loop -- the channel, people, the channel again
		return query
			with due as materialized (
				select m.id from ops.message m where m.prio = turn % 2 and m.due_at <= now_
				order by m.due_at limit case turn when 0 then (p_limit + 1) / 2 else left_ end
				for no key update skip locked),
			u as (
				update ops.message m set due_at = now_ + ops.message_lease(), claimed_by = p_boot,
						attempts = least(m.attempts + 1, 1000), shown = m.rev
					from due where m.id = due.id
					returning m.*)
			select u.id, u.kind::text, u.request_id, u.channel, u.slack_user, u.response_url,
					case when u.kind = 'card' then ops.card_body(u.id, u.request_id, u.reposted) else u.body::text end,
					u.attempts - 1, (extract(epoch from u.created_at) * 1000)::bigint,
					case u.kind when 'card' then u.ts when 'ask' then (select c.ts from ops.message c
						where c.request_id = u.request_id and c.kind = 'card' order by c.id desc limit 1) end
				from u order by u.created_at, u.id;
		get diagnostics n = row_count;
		left_ := left_ - n;
		exit when left_ <= 0;
	end loop;
end $$;

-- What came of a batch: 'delivered', 'later' or 'dead' for each.  A message that was posted is delivered, whoever
-- holds it now; the other two ends count for its holder only.  After 20 tries 'later' means dead.
-- A card that changed meanwhile stays owed.
-- Answers with those that somebody else posted before: the caller's post is a twin.
create or replace function ops.outbox_mark(p_boot uuid, p_observer json, p_ids bigint[], p_ends text[], p_ts text[],
	p_later_ms bigint[], p_errors text[]) returns setof bigint
-- generic: a plan for the very length of these arrays costs more to make than it saves; no seqscan: the plan
-- may have been made while the table was empty
language plpgsql security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
	set enable_seqscan = off set jit = off as $$
declare
	now_ timestamptz := clock_timestamp();
	dead record;
	gone bigint[];
begin
	with x as materialized (
		select * from unnest(p_ids, p_ends, p_ts, p_later_ms, p_errors) as x(id, ending, ts, later_ms, error)),
	u as (
		update ops.message m set
				delivered_at = case when x.ending = 'delivered' and m.rev = m.shown then now_ end,
				dead_at = case when x.ending = 'dead' or (x.ending = 'later' and m.attempts >= 20) then now_ end,
				due_at = case when x.ending = 'later' and m.attempts < 20
					then now_ + make_interval(secs => greatest(x.later_ms, 0) / 1000.0)
					when x.ending = 'delivered' and m.rev <> m.shown then now_ end,
				attempts = case when x.ending = 'delivered' then 0 else m.attempts end,
				reposted = m.reposted or (m.kind = 'card' and coalesce(m.ts <> nullif(x.ts, ''), false)),
				claimed_by = null,
				ts = coalesce(nullif(x.ts, ''), m.ts),
				last_error = nullif(x.error, ''),
				body = case when x.ending <> 'delivered' or m.rev <> m.shown then m.body end,
				response_url = case when x.ending = 'later' and m.attempts < 20 then m.response_url end
			from x
			where m.id = x.id and m.delivered_at is null and m.dead_at is null
			  and (x.ending = 'delivered' or m.claimed_by = p_boot)
			returning m.id, m.dead_at)
	select array_agg(u.id) filter (where u.dead_at is not null) into gone from u;
	if gone is not null then
		for dead in select * from ops.message m where m.id = any (gone) order by m.id loop
			perform ops.audit_note(dead.request_id, null, dead.slack_user, p_observer, 'message.dead', 'failure',
				'{"attempts":' || dead.attempts || ',"channel":' || ops.js(dead.channel) || ',"error":'
				|| ops.js(dead.last_error) || ',"kind":"' || dead.kind || '","message":' || dead.id || '}');
		end loop;
	end if;
	-- a statement of its own: it sees what another one wrote while this one waited for the row
	return query select m.id from unnest(p_ids, p_ends, p_ts) as x(id, ending, ts)
		join ops.message m on m.id = x.id
		where x.ending = 'delivered' and x.ts <> '' and m.delivered_at is not null and m.ts <> x.ts;
end $$;

-- Makes the plans of the hot functions in a new session, so that the first person does not wait for them: runs
-- them once with nobody's data and takes all of it back.
create or replace function ops.warm() returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
	boot uuid := gen_random_uuid();
	id text := left('warm' || boot, 32);
	i ops.identity;
begin
	perform authz.scope_ok(0, 'allow', 0, '{}');
	perform authz.decide(0, 'request', 'none', '{}', 0);
	i := ops.identify('', '', 'ok', 'nobody@localhost', 0, '{}');
	perform ops.receive(boot, '{}', id, id, id, 'warm', '', '', null, null, '', 'warm', 'warm', 1::smallint, '{}', null,
		'{}', null, null, null, false, 'ok', null, null, true, null, 0);
	perform ops.decide_request(boot, '{}', id, 0, 'ok', null, null, null, 0);
	perform ops.start(boot, '{}', id, 0, 'warm', 'read', null, null, null, null, null, 0);
	perform ops.settle(boot, '{}', id, 1, 'failed', null, null, null, null, null, '{}', '{}', null, 1);
	perform ops.outbox_mark(boot, '{}', array[0], array['later'], array[''], array[0], array['']);
	raise exception 'all of it is taken back' using errcode = 'OP000';
exception
	when sqlstate 'OP000' then
		return;
end $$;

-- Can the rules be met?

-- Values that stand for all: those that grants name, the bounds they name, and one that no grant names.
create function ops.scope_samples(p_action text, p_approve text) returns setof jsonb
language plpgsql stable as $$
declare
	x record;
	scopes jsonb[] := array['{}'::jsonb];
begin
	for x in
		select ap.param, array(
				select distinct y.v from authz.action b join authz.permit g on g.action_id = b.action_id
					and (b.name = p_action and g.capability = 'request' or b.name = p_approve and g.capability = 'approve')
					join authz.permit_scope s on s.grant_id = g.grant_id and s.param = ap.param
					cross join lateral (
						select to_jsonb(t) from unnest(s.values_) t
						union select to_jsonb(s.int_min) where s.int_min is not null
						union select to_jsonb(s.int_max) where s.int_max is not null) y(v)
				union select case ap.type when 'int' then '0'::jsonb else '"(any other)"'::jsonb end) as vals
			from authz.action a join authz.action_param ap using (action_id) where a.name = p_action order by ap.param
	loop
		scopes := array(select s || jsonb_build_object(x.param, v) from unnest(scopes) s, unnest(x.vals) v limit 200);
	end loop;
	return query select * from unnest(scopes);
end $$;

-- Uses of a command that nobody could ever get approved by a rule: too few people for somebody who may ask.
-- p_rules: [{ "command", "action", "risk", "need", "can_approve" | "group" }].
create function ops.approval_deadlocks(p_rules jsonb)
returns table (command text, scope text, need integer, have integer, example text, requesters integer)
language plpgsql stable security definer set search_path = pg_catalog, pg_temp as $$
declare
	rule jsonb;
	sample jsonb;
	able bigint[];
	stuck bigint[];
begin
	for rule in select * from jsonb_array_elements(p_rules) loop
		need := (rule ->> 'need')::integer;
		for sample in select * from ops.scope_samples(rule ->> 'action', rule ->> 'can_approve') loop
			able := array(select x.person_id from ops.approvers('', rule, rule ->> 'action', sample, (rule ->> 'risk')::integer,
				'{}', need + 1) x);
			continue when cardinality(able) > need;
			stuck := array(select distinct c.id from (
					select coalesce(g.person_id, m.person_id) as id from authz.action a
						join authz.permit g on g.action_id = a.action_id and g.capability = 'request' and g.effect = 'allow'
						left join dir.membership m on m.group_id = g.group_id
						where a.name = rule ->> 'action') c
				where (cardinality(able) < need or c.id = any (able))
				  and (authz.decide(c.id, 'request', rule ->> 'action', sample, (rule ->> 'risk')::integer)).allowed);
			if cardinality(stuck) > 0 then
				command := rule ->> 'command';
				scope := (select string_agg(s.key || '=' || s.value, ' ' order by s.key) from jsonb_each_text(sample) s);
				have := cardinality(able);
				requesters := cardinality(stuck);
				example := (select p.display_name from dir.person p where p.person_id = stuck[1]);
				return next;
			end if;
		end loop;
	end loop;
end $$;

grant execute on function
	ops.ask(uuid, json, text, bigint, json, text, jsonb, json, text, integer, text, integer),
	ops.vote(uuid, json, text, text, text, text, text, text, text, text, text, text, text, integer),
	ops.start(uuid, json, text, bigint, text, text, json, json, text, jsonb, text, integer),
	ops.outbox_claim(uuid, integer),
	ops.approval_deadlocks(jsonb)
	to opsd_service;
grant execute on function ops.approval_deadlocks(jsonb) to opsd_grants, opsd_auditor;

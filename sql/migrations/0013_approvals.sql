-- SPDX-License-Identifier: Apache-2.0
-- Approvals: rounds of asking, votes, and the cards that show them.
--
-- A round is the asking for one plan; a plan whose meaning changes opens the next one, and votes count in
-- their round only.  The row of the request is locked before anything is judged, so that votes, cancel, expiry
-- and start come one after the other; the card on the screen decides nothing.
-- A rule is { "need": n, "can_approve": action | "group": name }, as the catalog's newest version gave it, or
-- { "need": 1, "can_execute": action } of the action itself: somebody who neither asked nor approved gives the start.
set local role opsd_owner;

-- Who may approve

-- What grants of the rule's action may be asked about: the scope of the request, as far as the action knows it.
create function ops.rule_scope(p_rule jsonb, p_action text, p_scope jsonb) returns jsonb
language plpgsql stable as $$
begin
	if coalesce(p_rule ->> 'can_approve', p_rule ->> 'can_execute') = p_action then
		return p_scope;
	end if;
	return (select coalesce(jsonb_object_agg(k.key, k.value), '{}') from jsonb_each(p_scope) k
		where k.key in (select ap.param from authz.action_param ap join authz.action a using (action_id)
			where a.name = p_rule ->> 'can_approve'));
end $$;

-- The rules of a command with those that its action has whatever the command says; null: none.
create function ops.with_floor(p_action text, p_rules jsonb) returns jsonb
language plpgsql stable as $$
declare
	floor_ record;
	rules jsonb := coalesce(p_rules, '[]');
begin
	select a.min_approvals, a.approver_may_execute into floor_ from authz.action a
		where a.name = p_action and authz.has_floor(a);
	if not found then
		return p_rules;
	end if;
	if floor_.min_approvals > 0 and not exists (select 1 from jsonb_array_elements(rules) x
			where x ->> 'can_approve' = p_action and (x ->> 'need')::integer >= floor_.min_approvals) then
		rules := rules || jsonb_build_object('need', floor_.min_approvals, 'can_approve', p_action);
	end if;
	if not floor_.approver_may_execute and not exists (select 1 from jsonb_array_elements(rules) x where x ? 'can_execute') then
		rules := rules || jsonb_build_object('need', 1, 'can_execute', p_action);
	end if;
	return rules;
end $$;

-- Null unless exactly one source has a group of that name.
create function ops.group_named(p_name text) returns bigint
language sql stable as $$
	select min(g.group_id) from dir.grp g
	where g.state = 'active' and lower(g.name_key) = lower(p_name collate "C") having count(*) = 1
$$;

-- The group that a rule names: the one that was reviewed with the grants, and only without that whichever has the name.
create function ops.rule_group(p_rule jsonb) returns bigint
language sql stable as $$
	select case when r.name is null then ops.group_named(p_rule ->> 'group') when g.state = 'active' then g.group_id end
	from (values (1)) one
	left join authz.rule_group r on r.name = lower((p_rule ->> 'group') collate "C")
	left join dir.grp g on g.group_id = r.group_id
$$;

-- The groups that could give approvers by a rule, and of which nobody knows who is in them yet; null: none.
create function ops.rule_unread(p_rule jsonb, p_action text, p_scope jsonb) returns text[]
language sql stable as $$
	select array_agg(distinct g.name_key order by g.name_key) from dir.grp g
	where g.state = 'active' and dir.unread(g) and (g.group_id = case when p_rule ? 'group' then ops.rule_group(p_rule) end
		or g.group_id in (
			select t.group_id from authz.action a join authz.permit t using (action_id)
			where a.name = coalesce(p_rule ->> 'can_approve', p_rule ->> 'can_execute')
			  and (t.capability = case when p_rule ? 'can_execute' then 'execute' else 'approve' end or t.effect = 'forbid')
			  and t.group_id is not null and t.valid @> clock_timestamp()
			  and authz.scope_ok(t.grant_id, t.effect, a.action_id, ops.rule_scope(p_rule, p_action, p_scope))))
$$;

-- The rules that hold for a request now; null: none.  Break-glass waives them: it is reviewed afterwards instead.
create function ops.rules_now(r ops.request, p_rules jsonb) returns jsonb
language plpgsql stable as $$
begin
	p_rules := ops.with_floor(r.action, p_rules);
	if p_rules is not null and exists (select 1 from authz.permit g join authz.action a using (action_id)
			where a.name = r.action and g.person_id = r.person_id and g.origin = 'break_glass' and g.effect = 'allow'
			  and g.valid @> clock_timestamp() and authz.scope_ok(g.grant_id, 'allow', a.action_id, r.scope::jsonb)) then
		return null;
	end if;
	return p_rules;
end $$;

-- Who took part in what starts now, for the actions that are to be kept apart from others.
create function ops.took_part(r ops.request, p_round smallint) returns void
language plpgsql as $$
begin
	insert into authz.sod_use (person_id, action_id, scope, request_id, part)
		select x.person_id, a.action_id, coalesce(r.scope::jsonb, '{}'), r.id, x.part from authz.action a, (
			select r.person_id, 'request' as part
			union all
			select v.person_id, v.decision from ops.vote v
				where v.request_id = r.id and v.round = p_round and v.decision <> 'deny') x
		where a.name = r.action
		on conflict do nothing;
end $$;

-- Why a person may approve (or give the start) by this rule, as JSON; null: the person may not.
create function ops.entitled(p_person bigint, p_rule jsonb, p_action text, p_scope jsonb, p_risk integer) returns text
language plpgsql stable as $$
declare
	scope jsonb;
	d authz.decision;
	member record;
begin
	if not p_rule ? 'group' then
		scope := ops.rule_scope(p_rule, p_action, p_scope);
		d := authz.decide(p_person, case when p_rule ? 'can_execute' then 'execute' else 'approve' end,
			coalesce(p_rule ->> 'can_approve', p_rule ->> 'can_execute'), scope, p_risk);
		return case when d.allowed then ops.decision_json(d, p_person, p_rule ->> 'can_approve', scope) end;
	end if;
	-- the group is the right; the decision says of the person and the directory what it says of everybody
	d := authz.decide(p_person, 'approve', p_action, p_scope, p_risk);
	if d.code not in ('allowed', 'no_matching_grant') then
		return null;
	end if;
	select m.direct, m.since_gen into member from dir.membership m
		where m.person_id = p_person and m.group_id = ops.rule_group(p_rule);
	if not found then
		return null;
	end if;
	return '{"age_s":' || extract(epoch from d.directory_age)::bigint || ',"generation":' || d.generation
		|| ',"via":{"direct":' || member.direct::text || ',"group":' || ops.js(p_rule ->> 'group') || ',"since":'
		|| member.since_gen || '}}';
end $$;

create function ops.may_approve(p_person bigint, p_rule jsonb, p_action text, p_scope jsonb, p_risk integer)
returns boolean
language plpgsql stable as $$
declare
	d authz.decision;
begin
	if not p_rule ? 'group' then
		return coalesce((authz.decide(p_person, case when p_rule ? 'can_execute' then 'execute' else 'approve' end,
			coalesce(p_rule ->> 'can_approve', p_rule ->> 'can_execute'), ops.rule_scope(p_rule, p_action, p_scope),
			p_risk)).allowed, false);
	end if;
	return ops.entitled(p_person, p_rule, p_action, p_scope, p_risk) is not null;
end $$;

-- People who may approve by this rule, in an order that differs from request to request; those Slack knows first.
-- Grants are judged once each, people only until there are enough: each branch below is read no further than that,
-- in the order of its input (offset 0 keeps it), and the second one only when the first gave too few.
create function ops.approvers(p_seed text, p_rule jsonb, p_action text, p_scope jsonb, p_risk integer,
	p_exclude bigint[], p_limit integer)
returns table (person_id bigint, name text, slack_user text)
language plpgsql stable as $$
declare
	right_ text := coalesce(p_rule ->> 'can_approve', p_rule ->> 'can_execute', p_action);
	cap text := case when p_rule ? 'can_execute' then 'execute' else 'approve' end;
	scope jsonb := case when p_rule ? 'group' then p_scope else ops.rule_scope(p_rule, p_action, p_scope) end;
	group_ bigint := case when p_rule ? 'group' then ops.rule_group(p_rule) end;
	seed bigint := hashtextextended(p_seed, 0);
begin
	return query
		with permit as materialized (
			select g.effect, g.group_id, g.person_id from authz.action a join authz.permit g using (action_id)
				where a.name = right_ and a.enabled and g.valid @> clock_timestamp()
				  and (g.effect = 'forbid' or g.capability = cap and not p_rule ? 'group')
				  and authz.scope_ok(g.grant_id, g.effect, a.action_id, scope)),
		candidate as (
			select m.person_id as id from dir.membership m where m.group_id = group_
			union
			select m.person_id from permit g join dir.membership m using (group_id) where g.effect = 'allow'
			union
			select g.person_id from permit g where g.effect = 'allow' and g.person_id is not null
			except all (
				select unnest(p_exclude)
				union all
				select m.person_id from permit g join dir.membership m using (group_id) where g.effect = 'forbid'
				union all
				select g.person_id from permit g where g.effect = 'forbid')),
		ordered as materialized (select c.id from candidate c order by hashint8extended(c.id, seed)),
		known as (
			select o.id, p.display_name, l.slack_user from ordered o
				cross join lateral (select min(k.slack_user) as slack_user from ops.link k
					where k.person_id = o.id and k.state = 'live') l
				cross join lateral (select y.display_name from dir.person y
					where y.person_id = o.id and y.state = 'active' and y.kind = 'human' offset 0) p
				where l.slack_user is not null
				offset 0),
		unknown as (
			select o.id, p.display_name, null::text from ordered o
				cross join lateral (select y.display_name from dir.person y
					where y.person_id = o.id and y.state = 'active' and y.kind = 'human' offset 0) p
				where not exists (select 1 from ops.link k where k.person_id = o.id and k.state = 'live')
				offset 0)
		select x.* from (
				select * from known k where ops.may_approve(k.id, p_rule, p_action, p_scope, p_risk)
				union all
				select * from unknown u where ops.may_approve(u.id, p_rule, p_action, p_scope, p_risk)) x
			limit p_limit;
end $$;

-- Each rule with "have": how many different humans who may still approve did so in this round, none of them the
-- requester under another identity.
create function ops.tally(r ops.request, p_rules jsonb, p_round integer, p_digest text) returns jsonb
language plpgsql stable as $$
declare
	asker bigint[] := ops.disguises(r.person_id);
begin
	return (select coalesce(jsonb_agg(x.rule || jsonb_build_object('have', (
			select count(distinct (ops.disguises(v.person_id))[1]) from ops.vote v
			where v.request_id = r.id and v.round = p_round and v.digest = p_digest
			  and v.decision = case when x.rule ? 'can_execute' then 'execute' else 'approve' end
			  and v.person_id <> all (asker)
			  and ops.may_approve(v.person_id, x.rule, r.action, r.scope::jsonb, r.risk))) order by x.n), '[]')
		from jsonb_array_elements(p_rules) with ordinality x(rule, n));
end $$;

-- Whether all is there but the start itself.
create function ops.approved_but_start(p_tally jsonb) returns boolean
language sql immutable as $$
	select not exists (select 1 from jsonb_array_elements(p_tally) t
		where not t ? 'can_execute' and (t ->> 'have')::integer < (t ->> 'need')::integer)
$$;

create function ops.rules_met(p_tally jsonb) returns boolean
language sql immutable as $$
	select jsonb_array_length(p_tally) > 0
		and not exists (select 1 from jsonb_array_elements(p_tally) t where (t ->> 'have')::integer < (t ->> 'need')::integer)
$$;

-- Cards

create function ops.people_json(p_persons bigint[]) returns json
language sql stable as $$
	select coalesce(json_agg(json_strip_nulls(json_build_object('name', p.display_name, 'user',
			(select min(l.slack_user) from ops.link l where l.person_id = p.person_id and l.state = 'live'))) order by x.n), '[]')
		from unnest(p_persons) with ordinality x(id, n) join dir.person p on p.person_id = x.id
$$;

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
		|| case when r.state = 'approving' then coalesce(',"frozen":' || ops.frozen(r, r.plan)::text, '') else '' end
		|| ',"digest":' || ops.js(a.digest)
		|| ',"state":"' || r.state::text || '"}';
end $$;

-- Volatile: the claim has locked the newest version of the message, and the request must be read as it is then, not
-- as it was when the claim began; else an old picture would be marked as the newest.
create function ops.card_body(p_message bigint, p_request text, p_reposted boolean) returns text
language plpgsql volatile as $$
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
			picked || ops.disguises(r.person_id), greatest(each_, (rule ->> 'need')::integer)) x);
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
	all_ bigint[] := '{}'; -- who could approve or give the start
	some_ bigint[];
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
	p_rules := ops.rules_now(r, p_rules);
	if p_rules is null then -- nobody has to be asked
		return (true, r.state, 'nobody_to_ask', null, null, null, null, null, null, null, null)::ops.written;
	end if;
	for rule in select * from jsonb_array_elements(p_rules) order by value ? 'can_execute' loop
		some_ := array(select y.person_id from ops.approvers(p_id, rule, r.action, r.scope::jsonb, r.risk,
			ops.disguises(r.person_id), (rule ->> 'need')::integer + 5) y);
		all_ := all_ || some_;
		n := cardinality(some_);
		if rule ? 'can_execute' then -- one more than those who approve
			n := least(n, (select count(distinct y) from unnest(all_) y) - (select max((y ->> 'need')::integer)
				from jsonb_array_elements(p_rules) y where not y ? 'can_execute'));
		end if;
		if p_channel is null or n < (rule ->> 'need')::integer then
			x := ops.refuse(r, p_boot, p_observer, case when p_channel is null then 'no_approval_channel'
				else 'too_few_approvers' end, json_build_object('rule', rule || jsonb_strip_nulls(jsonb_build_object('have', n,
					'unread', ops.rule_unread(rule, r.action, r.scope::jsonb))))::text,
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
		least(now_ + make_interval(secs => (select min(coalesce((y ->> 'expires_s')::integer, p_seconds))
			from jsonb_array_elements(p_rules) y)), case when r.starts_at > now_ then r.starts_at end))
	returning * into a;
	update ops.request q set state = 'approving', plan = p_plan, digest = p_digest, claimed_by = null, attempts = 0,
			unheard = false, expires_at = a.expires_at, wake_at = ops.round_timer(a)
		where q.id = p_id returning * into r;
	perform ops.redraw(p_id); -- an older card says that it is out of date
	insert into ops.message (request_id, kind, channel, body, created_at, due_at, rev)
		values (p_id, 'card', p_channel, '{}', now_, now_, 1);
	perform ops.audit_request(r, p_observer, 'asked', 'attempt', ops.facts(r, null, null), ops.canonical(jsonb_build_object(
		'asked', a.asked, 'digest', p_digest, 'expires', ops.iso(a.expires_at), 'round', a.round, 'rules', p_rules)));
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
	insert into ops.message (request_id, kind, channel, body, created_at, due_at)
		values (r.id, 'ask', card.channel, json_build_object('request', r.id, 'command', r.command, 'asked',
			ops.people_json(more), 'expires_ms', ops.ms(a.expires_at)), now_, now_ + interval '1 second');
	perform ops.redraw(r.id);
	perform ops.audit_request(r, p_observer, 'escalated', 'attempt', ops.facts(r, null, null),
		ops.canonical(jsonb_build_object('asked', more)));
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
-- 'step_up': it would count, but for a company sign-in; nothing is on record until it comes again with p_proved.
create function ops.vote(p_boot uuid, p_observer json, p_id text, p_envelope text, p_dedup text, p_kind text, p_team text,
	p_user text, p_verdict text, p_email text, p_digest text, p_reason text, p_audit_channel text, p_room integer,
	p_proved boolean default false)
returns ops.answer
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
	starts boolean := p_kind in ('approve', 'execute'); -- to stop something takes no sign-in
	now_ timestamptz;
	r ops.request;
	a ops.approval;
	i ops.identity;
	v ops.vote;
	same bigint[];
	why text; -- the evidence, rule by rule, as JSON
	answer ops.answer;
	facts text;
	code_ text;
begin
	if p_proved then -- the same click, whose sign-in is over
		perform 1 from ops.delivery d where d.dedup = p_dedup and d.envelope_id = p_envelope and d.boot_id = p_boot
			and not d.disowned for update;
	else
		insert into ops.delivery (dedup, envelope_id, request_id, kind, boot_id)
			values (p_dedup, p_envelope, p_id, p_kind, p_boot) on conflict do nothing;
	end if;
	if not found then
		-- The form behind Deny keeps its key, as in ops.receive.
		update ops.delivery d set envelope_id = p_envelope, boot_id = p_boot, disowned = false,
				told = false, received_at = clock_timestamp()
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
	i := ops.identify(p_team, p_user, p_verdict, p_email, case when starts then r.risk else 0 end, p_observer,
		case when starts then p_id end);
	same := ops.disguises(i.person_id);
	select * into v from ops.vote x where x.request_id = p_id and x.round = a.round and x.person_id = any (same);
	select '[' || string_agg('{"decision":' || y.decision || ',"rule":' || ops.js(y.rule) || '}', ',') || ']' into why from (
		select coalesce('group ' || (x ->> 'group'), 'approve ' || (x ->> 'can_approve'), 'execute ' || (x ->> 'can_execute'))
				as rule, ops.entitled(i.person_id, x, r.action, r.scope::jsonb, r.risk) as decision
		from jsonb_array_elements(a.rules) x where p_kind = 'deny' or x ? 'can_execute' = (p_kind = 'execute')) y
		where y.decision is not null;
	code_ := case
		when i.code not in ('ok', 'step_up') then i.code
		when p_kind = 'withdraw' then case when i.person_id = r.person_id then 'ok' else 'not_requester' end
		when r.person_id = any (same) then 'own_request'
		when v.decision = 'approve' and p_kind = 'execute' then 'approver_may_not_start'
		when v.decision is not null then 'voted_already'
		when why is null then 'not_approver'
		when p_kind = 'execute' and not ops.approved_but_start(ops.tally(r, a.rules, a.round, a.digest))
			then 'not_approved_yet'
		when p_kind in ('approve', 'execute') and ops.frozen(r, r.plan) is not null then 'frozen' -- it could not start
		when i.code = 'step_up' and p_proved then 'proof_failed'
		else i.code end;
	if code_ = 'step_up' then
		answer.code := code_;
		answer.detail := json_build_object('command', r.command, 'args', coalesce(r.shown, r.args))::text;
		return answer;
	elsif code_ <> 'ok' then
		answer.code := code_;
		answer.detail := json_strip_nulls(json_build_object('decision', v.decision, 'rules', a.rules,
			'asked', ops.people_json(a.asked), 'frozen', ops.frozen(r, r.plan)))::text;
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
	insert into ops.vote (request_id, round, person_id, digest, decision, reason, evidence, slack_team, slack_user,
			envelope_id)
		values (p_id, a.round, i.person_id, p_digest, p_kind, left(p_reason, 1000), why::json, p_team, p_user, p_envelope);
	perform ops.audit_note(p_id, i.person_id, p_user, p_observer, 'vote.' || p_kind, 'success', '{"decisions":'
		|| why || ',"digest":' || ops.js(p_digest) || ',"email":' || ops.js(i.person_email) || ',"envelope":' || ops.js(p_envelope) || ',"name":'
		|| ops.js(i.person_name) || coalesce((select ',"proved":"' || ops.iso(f.proved_at) || '"' from ops.proof f
			where f.request_id = p_id and f.person_id = i.person_id and f.digest = a.digest and starts), '')
		|| ',"reason":' || ops.js(p_reason) || ',"round":' || a.round || ',"team":' || ops.js(p_team)
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
	perform ops.audit_request(r, p_observer, 'approved', 'attempt', ops.facts(r, null, null), ops.canonical(
		jsonb_build_object('digest', a.digest, 'round', a.round, 'rules', ops.tally(r, a.rules, a.round, a.digest))));
	answer.state := r.state;
	answer.fence := r.fence;
	answer.row_json := ops.row_json(r);
	return answer;
end $$;

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
	perform ops.audit_request(r, p_observer, 'approval_lost', 'denied', ops.facts(r, null, null), ops.canonical(
		jsonb_build_object('digest', a.digest, 'round', a.round, 'rules', ops.tally(r, a.rules, a.round, a.digest))));
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
returns table (command text, scope text, need integer, have integer, example text, requesters integer, unread text[])
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
				unread := ops.rule_unread(rule, rule ->> 'action', sample);
				example := (select p.display_name from dir.person p where p.person_id = stuck[1]);
				return next;
			end if;
		end loop;
	end loop;
end $$;

grant execute on function
	ops.ask(uuid, json, text, bigint, json, text, jsonb, json, text, integer, text, integer),
	ops.vote(uuid, json, text, text, text, text, text, text, text, text, text, text, text, integer, boolean),
	ops.approval_deadlocks(jsonb)
	to opsd_service;
grant execute on function ops.approval_deadlocks(jsonb) to opsd_grants, opsd_auditor;

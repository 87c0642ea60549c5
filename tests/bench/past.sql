-- SPDX-License-Identifier: Apache-2.0
-- A year of requests that have ended, as the functions leave them: :rows of them, each with its step, its entries of the
-- audit log and, of the last week, its messages; of the last day, its deliveries.
set session_replication_role = replica;
set synchronous_commit = off;

create temp table past as
	select i, 'P' || lpad(i::text, 15, '0') as id, now() - i * (interval '365 days' / :rows) as at, 1000 + i % 500 as person,
			'team' || i % 40 || '.act' || i % 7 as action,
			case when i % 100 < 90 then 'succeeded' when i % 100 < 94 then 'failed' when i % 100 < 97 then 'denied'
				when i % 100 < 99 then 'expired' else 'cancelled' end::ops.state as state
		from generate_series(1, :rows) i;

insert into ops.request (id, created_at, state, team, slack_user, channel, kind, envelope_id, person_id, person_name,
	person_email, command, action, risk, args, scope, text, catalog_digest, code, plan, digest, fence, finished_at)
select p.id, p.at, p.state, 'T1', 'U' || p.person, 'C1', 'slash', 'env-' || p.i, p.person, 'Person ' || p.person,
	p.person || '@example.com', p.action, p.action, 1, '{"count":4,"team":"ads","reason":"the backlog of last night grows"}',
	'{"team":"ads"}', p.action || ' ads 4 the backlog of last night grows', 'digest', 'allowed',
	'{"target":{"kind":"Deployment","name":"w"},"changes":[{"field":"replicas","from":3,"to":4}]}', md5(p.id), 1,
	p.at + interval '1 s'
from past p;

insert into ops.step (request_id, attempt, kind, effect, fence, state, intent_at, done_at)
select p.id, 1, 'kube.scale', 'conditional', 1,
	case p.state when 'succeeded' then 'applied' else 'not_applied' end::ops.step_state, p.at, p.at
from past p where p.state in ('succeeded', 'failed');

insert into ops.audit (at, request_id, person_id, slack_user, event, action, outcome, body)
select p.at + e.n * interval '100 ms', p.id, p.person, 'U' || p.person, 'request.' || e.event, p.action,
	case e.event when 'allowed' then 'attempt' when 'started' then 'attempt' when 'succeeded' then 'success'
		when 'denied' then 'denied' else 'failure' end::ops.outcome,
	'{"action":"' || p.action || '","event":"request.' || e.event || '","facts":{"command":"' || p.action
	|| '","who":{"email":"' || p.person || '@example.com","user":"U' || p.person || '"}},"fence":1,"request":"' || p.id || '"}'
from past p cross join lateral (values (0, 'allowed'), (1, case when p.state in ('succeeded', 'failed') then 'started' end),
	(2, p.state::text)) e(n, event)
where e.event is not null;

insert into ops.message (request_id, kind, channel, slack_user, created_at, delivered_at, ts)
select p.id, k.kind, 'C1', 'U' || p.person, p.at, p.at, p.i || '.1'
from past p, (values ('audit'::ops.owed_kind), ('reply')) k(kind) where p.at > now() - interval '7 days';

insert into ops.delivery (dedup, envelope_id, request_id, kind, boot_id, received_at)
select 'past-' || p.i, 'env-' || p.i, p.id, 'slash', gen_random_uuid(), p.at from past p where p.at > now() - interval '1 day';

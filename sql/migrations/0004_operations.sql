-- SPDX-License-Identifier: Apache-2.0
-- The durable life of requests: replicas, links, requests, steps, deliveries, what Slack is owed, the audit log.
--
-- No foreign keys between these tables: every row is written by a function of 0006 to 0009 whose ids come
-- from the same statement, and each check would lock the request row once more.  JSON is stored as json,
-- not jsonb: the text that was decided on, in the order in which it was hashed, is what is kept.
-- Every open row has a timer, by CHECK, so that nothing can be forgotten.
-- The server reads each CHECK from its text again for every statement that writes, so there are few, short
-- ones: lists of names are enums, and lengths are looked at once, in ops.receive.
set local role opsd_owner;

-- In this order: the open ones up to 'unknown'.  A name never changes its meaning.  approving: the plan is shown to
-- approvers, and waits for their buttons.  scheduled: it waits for its time.
create type ops.state as enum ('received', 'allowed', 'confirming', 'approving', 'scheduled', 'running', 'unknown',
	'succeeded', 'failed', 'denied', 'rejected', 'expired', 'cancelled');
create type ops.effect as enum ('read', 'conditional', 'keyed', 'once');
create type ops.step_state as enum ('intent', 'applied', 'not_applied', 'unknown');
-- Edited in place, one message each: card, what approvers see; doubt, an unknown outcome with its buttons; progress, what a
-- request is doing, to its requester.  ask: a note below a card that names more people.  link: a person was linked.
-- review: somebody must look at what was done without asking.
create type ops.owed_kind as enum ('audit', 'reply', 'preview', 'card', 'ask', 'doubt', 'progress', 'link', 'review');
create type ops.outcome as enum ('attempt', 'success', 'failure', 'denied', 'unknown');

create table ops.replica (
	boot_id    uuid primary key, -- random at every start; never a pod or host name
	host       text not null,
	version    text not null,
	started_at timestamptz not null default clock_timestamp(),
	seen_at    timestamptz not null default clock_timestamp(),
	read_only  boolean not null default false -- by its configuration
) with (fillfactor = 50);

-- Freezes in force: what one covers does not start.  A row that has ended counts no more, and is removed by ops.sweep.
create table ops.freeze (
	id        text collate "C" primary key, -- the request that set it, or who else did
	what      jsonb not null, -- all must fit, with * for anything: action, cluster, namespace, name, or a name of the scope
	reason    text not null,
	person_id bigint,
	by_name   text not null,
	since     timestamptz not null default clock_timestamp(),
	ends_at   timestamptz check (ends_at > since)
);

create table ops.link (
	slack_team         text collate "C" not null,
	slack_user         text collate "C" not null,
	person_id          bigint not null references dir.person,
	email_key          text collate "C" not null,
	how                text not null check (how in ('email', 'idp', 'admin')),
	proved_external_id text collate "C",
	bound_at           timestamptz not null default clock_timestamp(),
	proved_at          timestamptz,
	state              text not null default 'live' check (state in ('live', 'suspended', 'retired')),
	state_reason       text not null default '',
	primary key (slack_team, slack_user)
);
create unique index link_one_live on ops.link (slack_team, person_id) where state = 'live';
create index link_by_person on ops.link (person_id);
create index link_by_user on ops.link (slack_user);
comment on table ops.link is 'The checked binding of a Slack user to a person';

create table ops.link_past (
	slack_team text collate "C" not null,
	slack_user text collate "C" not null,
	person_id  bigint not null,
	email_key  text collate "C" not null,
	how        text not null,
	bound_at   timestamptz not null,
	ended_at   timestamptz not null default clock_timestamp(),
	why        text not null
);
create index link_past_by_person on ops.link_past (person_id);
create index link_past_by_user on ops.link_past (slack_user);
comment on table ops.link_past is 'Links that an administrator took away: the account may be linked again';

-- A company sign-in for one request, or for one approval of it: then digest is that of the plan it was for.  The person
-- is the one whose directory id the token named.
create table ops.proof (
	request_id   text collate "C" not null,
	person_id    bigint not null,
	digest       text collate "C" not null default '',
	issuer       text not null,
	subject      text not null,
	token_sha256 text not null unique check (token_sha256 ~ '^[0-9a-f]{64}$'), -- each token once
	signed_in_at timestamptz, -- auth_time, when the provider says it
	proved_at    timestamptz not null default clock_timestamp(),
	primary key (request_id, person_id, digest)
);

create table ops.proof_try (
	request_id text collate "C" not null,
	slack_team text collate "C" not null,
	slack_user text collate "C" not null,
	at         timestamptz not null default clock_timestamp()
);
create index proof_try_by_user on ops.proof_try (slack_user, at);

create table ops.request (
	id             text collate "C" primary key,
	created_at     timestamptz not null default clock_timestamp(),
	state          ops.state not null,
	team           text collate "C" not null,
	slack_user     text collate "C" not null,
	channel        text collate "C",
	response_url   text, -- a secret; emptied at the end
	kind           text not null,
	envelope_id    text not null,
	person_id      bigint,
	person_name    text,
	person_email   text,
	command        text,
	action         text collate "C",
	risk           smallint not null,
	args           json,
	shown          json, -- args as they may be shown, when that differs; takes the place of args at the end
	scope          json,
	text           text,
	cursor         text,
	catalog_digest text,
	rejection      text,
	code           text,
	detail         json, -- the decision's evidence
	plan           json,
	digest         text,
	fence          bigint not null,
	claimed_by     uuid,
	attempts       smallint not null default 0, -- take-overs since a person was last heard, or reminders while unknown
	-- The replica that took it in (or a click on its preview) may have had no answer, and told the person that nothing
	-- was recorded.  Its own next write says otherwise; whoever takes it over before that asks the person.
	unheard        boolean not null default false,
	wake_at        timestamptz, -- the timer: lease end, end of the offer, reminder
	expires_at     timestamptz,
	starts_at      timestamptz, -- not before; of a revert: when the change ends
	ends_at        timestamptz, -- of a temporary change: when it is set back
	times          json, -- both in words, as a plan has them in "when"
	undoes         text collate "C", -- the request that it sets back
	outcome        json,
	error          text,
	finished_at    timestamptz,
	constraint request_open_has_timer check ((state <= 'unknown') = (wake_at is not null)
		and (state <= 'unknown') = (finished_at is null)),
	constraint request_running_is_claimed check (state <> 'running' or (claimed_by is not null and person_id is not null))
) with (fillfactor = 70, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000,
	autovacuum_vacuum_insert_scale_factor = 0, autovacuum_vacuum_insert_threshold = 50000,
	autovacuum_analyze_scale_factor = 0.02);
create index request_due on ops.request (wake_at) where wake_at is not null;

-- The intent before the effect, and what came of it.
create table ops.step (
	request_id text collate "C" not null,
	attempt    smallint not null,
	kind       text not null,
	effect     ops.effect not null,
	params     json, -- null: they hold a secret
	fence      bigint not null,
	state      ops.step_state not null default 'intent',
	intent_at  timestamptz not null default clock_timestamp(),
	done_at    timestamptz,
	evidence   json,
	target     text collate "C", -- what is changed; null: nothing that two could change at once
	primary key (request_id, attempt),
	constraint step_done check ((state = 'intent') = (done_at is null))
) with (fillfactor = 80, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000,
	autovacuum_vacuum_insert_scale_factor = 0, autovacuum_vacuum_insert_threshold = 50000);

-- The lock of a target: nobody starts on it while what came of the last effect is not on record.
create unique index step_one_change on ops.step (target) where target is not null and state in ('intent', 'unknown');

-- What Slack delivered within the last day: the same again is not a new intent.
create table ops.delivery (
	dedup       text collate "C" primary key,
	envelope_id text collate "C" not null unique,
	request_id  text collate "C" not null,
	kind        text not null,
	boot_id     uuid not null,
	disowned    boolean not null default false, -- the person was told that nothing was recorded
	told        boolean not null default false, -- another delivery of it was acknowledged because this one is here
	received_at timestamptz not null default clock_timestamp()
) with (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 20000,
	autovacuum_vacuum_insert_scale_factor = 0, autovacuum_vacuum_insert_threshold = 50000);
create index delivery_by_age on ops.delivery using brin (received_at) with (pages_per_range = 32, autosummarize = on);

-- What is owed to Slack.  due_at is the next try, or the end of the claim.
create table ops.message (
	id           bigint generated always as identity primary key,
	request_id   text collate "C" not null,
	kind         ops.owed_kind not null,
	-- Each has its own room in a sender, so that what Slack slows down keeps no other waiting (core/owed.h).
	lane         smallint not null generated always as (case when kind = 'audit' then 0
		when kind in ('card', 'ask', 'doubt', 'review', 'progress') then 2 else 1 end) stored,
	channel      text collate "C",
	slack_user   text collate "C",
	response_url text,
	body         json,
	created_at   timestamptz not null default clock_timestamp(),
	due_at       timestamptz,
	claimed_by   uuid,
	attempts     smallint not null default 0,
	delivered_at timestamptz,
	dead_at      timestamptz,
	ts           text,
	last_error   text,
	-- of one that is edited: rev grows with each change, shown is the rev that was sent last
	rev          smallint not null default 0,
	shown        smallint not null default 0,
	reposted     boolean not null default false,
	constraint message_open_has_timer check (case when due_at is null
		then (delivered_at is null) <> (dead_at is null) and response_url is null
		else delivered_at is null and dead_at is null and body is not null end)
) with (fillfactor = 80, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000,
	autovacuum_vacuum_insert_scale_factor = 0, autovacuum_vacuum_insert_threshold = 50000);
create index message_due on ops.message (lane, due_at) where due_at is not null;
create index message_card on ops.message (request_id, id) where kind = 'card';
create unique index message_edited on ops.message (request_id, kind) where kind in ('doubt', 'progress');
create index message_by_age on ops.message using brin (created_at) with (pages_per_range = 32, autosummarize = on);

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
	decision    text not null check (decision in ('approve', 'deny', 'execute')),
	reason      text,
	evidence    json, -- why this person may, by each rule that the vote counts for
	slack_team  text collate "C" not null,
	slack_user  text collate "C" not null,
	envelope_id text collate "C" not null unique,
	voted_at    timestamptz not null default clock_timestamp(),
	primary key (request_id, round, person_id),
	foreign key (request_id, round) references ops.approval
);
comment on table ops.vote is 'One decision of one person in one round';

-- One line of the audit log.  body: canonical JSON (sorted keys, compact), as text: it is what is sealed.
create table ops.audit (
	id         bigint generated always as identity,
	at         timestamptz not null,
	xid        xid8 not null default pg_current_xact_id(),
	request_id text collate "C",
	person_id  bigint,
	slack_user text collate "C",
	event      text collate "C" not null,
	action     text collate "C",
	outcome    ops.outcome not null,
	body       text not null
) partition by range (at);
create index audit_in_order on ops.audit (xid, id); -- of sealing, and of reading newest first
create index audit_by_request on ops.audit (request_id) where request_id is not null;
-- what people search by, newest first; those that three entries of each change need no line in leave them out
create index audit_by_person on ops.audit (person_id, xid, id) where person_id is not null;
create index audit_by_stranger on ops.audit (slack_user, xid, id) where person_id is null and slack_user is not null;
create index audit_by_action on ops.audit (action, xid, id) where action is not null;
create index audit_by_event on ops.audit (event, xid, id)
	where event not in ('request.allowed', 'request.started', 'request.succeeded');
create index audit_by_outcome on ops.audit (outcome, xid, id) where outcome in ('failure', 'denied', 'unknown');
create index audit_by_time on ops.audit using brin (at) with (pages_per_range = 32, autosummarize = on);

create trigger append_only before update or delete on ops.audit for each row execute function ops.forbid();
create trigger no_truncate before truncate on ops.audit for each statement execute function ops.forbid();

create table ops.audit_rest partition of ops.audit default;
create trigger no_truncate before truncate on ops.audit_rest for each statement execute function ops.forbid();
comment on table ops.audit_rest is 'Entries of a month without a partition: should stay empty';

create function ops.audit_partition(p_month date) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
	month_ timestamptz := date_trunc('month', p_month::timestamp) at time zone 'UTC';
	name text := 'audit_' || to_char(p_month, 'YYYYMM');
begin
	if to_regclass('ops.' || name) is not null then
		return;
	end if;
	execute format('create table ops.%I partition of ops.audit for values from (%L) to (%L)', name, month_,
		(date_trunc('month', p_month::timestamp) + interval '1 month') at time zone 'UTC');
	-- triggers for a statement are not inherited by partitions
	execute format('create trigger no_truncate before truncate on ops.%I for each statement execute function ops.forbid()',
		name);
end $$;

-- This month and the year ahead; each start of a replica keeps it so.
create function ops.audit_ahead(p_months integer) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
	for i in 0..p_months loop
		perform ops.audit_partition((date_trunc('month', clock_timestamp() at time zone 'UTC')
			+ make_interval(months => i))::date);
	end loop;
end $$;
do $$ begin perform ops.audit_ahead(12); end $$;

grant select on ops.link, ops.link_past, ops.proof, ops.request, ops.approval, ops.vote, ops.step, ops.delivery, ops.message, ops.audit, ops.replica, ops.setting,
	ops.migration to opsd_auditor;
grant select on ops.link to opsd_sync, opsd_grants;

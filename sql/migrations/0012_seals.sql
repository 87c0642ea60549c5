-- SPDX-License-Identifier: Apache-2.0
-- Seals of the audit log: ranges of transactions, each with a Merkle root (RFC 6962), chained by hash.
--
-- A seal takes all entries of the transactions from xid_from to below xid_to.  All those transactions are over
-- (xid_to is the snapshot's xmin), so that the set can never grow; entries need no order at writing.
-- What a seal cannot show is that the newest seals were cut off: their hashes are logged by every
-- replica as they are made, one an hour goes to the audit channel, and whoever keeps one can have the chain checked
-- against it.
set local role opsd_owner;

create table ops.audit_seal (
	seal_no   bigint primary key check (seal_no > 0),
	prev_no   bigint generated always as (nullif(seal_no - 1, 0)) stored,
	cluster   bigint not null, -- system identifier: transaction numbers start again in another cluster
	xid_from  xid8 not null,
	xid_to    xid8 not null,
	n         integer not null check (n >= 0),
	root      text not null check (root ~ '^[0-9a-f]{64}$'),
	prev_hash text check (prev_hash ~ '^[0-9a-f]{64}$'),
	hash      text not null check (hash ~ '^[0-9a-f]{64}$'),
	sealed_at timestamptz not null default clock_timestamp(),
	boot_id   uuid not null,
	check (xid_to > xid_from),
	check ((seal_no = 1) = (prev_hash is null)),
	unique (seal_no, xid_to),
	unique (seal_no, hash),
	foreign key (prev_no, xid_from) references ops.audit_seal (seal_no, xid_to),
	foreign key (prev_no, prev_hash) references ops.audit_seal (seal_no, hash)
);
create trigger append_only before update or delete on ops.audit_seal for each row execute function ops.forbid();
create trigger no_truncate before truncate on ops.audit_seal for each statement execute function ops.forbid();

-- Ed25519 over the header of a seal, by a key that the database does not hold.
create table ops.audit_signature (
	seal_no   bigint primary key references ops.audit_seal,
	key_id    text not null check (key_id ~ '^[0-9a-f]{16}$'),
	signature text not null check (signature ~ '^[0-9a-f]{128}$'),
	signed_at timestamptz not null default clock_timestamp()
);
create trigger append_only before update or delete on ops.audit_signature for each row execute function ops.forbid();
create trigger no_truncate before truncate on ops.audit_signature for each statement execute function ops.forbid();

-- Seals that were said in the audit channel: what is kept outside the database.
create table ops.audit_checkpoint (
	seal_no   bigint primary key references ops.audit_seal,
	posted_at timestamptz not null default clock_timestamp()
);
create trigger append_only before update or delete on ops.audit_checkpoint for each row execute function ops.forbid();
create trigger no_truncate before truncate on ops.audit_checkpoint for each statement execute function ops.forbid();

-- The bytes of an entry that are hashed: each column as text, "length:text,", null as "-,".
create function ops.ns(p_text text) returns text
language sql immutable parallel safe as $$
	select coalesce(octet_length(p_text)::text || ':' || p_text || ',', '-,')
$$;

create function ops.leaf_text(p_id bigint, p_at timestamptz, p_xid xid8, p_request text, p_person bigint, p_user text,
	p_event text, p_action text, p_outcome ops.outcome, p_body text) returns text
language sql stable parallel safe as $$
	select ops.ns(p_id::text) || ops.ns(to_char(p_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')) || ops.ns(p_xid::text)
		|| ops.ns(p_request) || ops.ns(p_person::text) || ops.ns(p_user) || ops.ns(p_event) || ops.ns(p_action)
		|| ops.ns(p_outcome::text) || ops.ns(p_body)
$$;

-- Level by level, a whole level in one statement; an odd last one goes up as it is.
create function ops.merkle_root(p_leaves bytea[]) returns bytea
language plpgsql immutable as $$
declare
	level bytea[] := p_leaves;
begin
	if coalesce(array_length(p_leaves, 1), 0) = 0 then
		return sha256(''::bytea);
	end if;
	while array_length(level, 1) > 1 loop
		level := array(
			select case when x.next is null then x.hash else sha256('\x01'::bytea || x.hash || x.next) end
			from (select u.i, u.hash, lead(u.hash) over (order by u.i) as next
				from unnest(level) with ordinality u(hash, i)) x
			where x.i % 2 = 1 order by x.i);
	end loop;
	return level[1];
end $$;

create function ops.seal_header(s ops.audit_seal) returns text
language sql immutable as $$
	select 'opsd audit seal 1' || E'\nnumber ' || s.seal_no || E'\ncluster ' || s.cluster || E'\nfrom ' || s.xid_from::text
		|| E'\nto ' || s.xid_to::text || E'\ncount ' || s.n || E'\nroot ' || s.root
		|| E'\nprevious ' || coalesce(s.prev_hash, '-') || E'\n'
$$;

-- Seals what is final and not sealed yet, about p_limit entries at most; an empty seal every 15 minutes, so that
-- silence is on record too.  No row: nothing to do, or another replica is at it.
create function ops.seal(p_boot uuid, p_limit integer) returns table (seal_no bigint, hash text, n integer)
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
	last ops.audit_seal;
	s ops.audit_seal;
	over xid8;
	leaves bytea[];
begin
	if not pg_try_advisory_xact_lock(hashtextextended('opsd audit seal', 0)) then
		return;
	end if;
	select * into last from ops.audit_seal x order by x.seal_no desc limit 1;
	s.seal_no := coalesce(last.seal_no, 0) + 1;
	s.prev_hash := last.hash;
	s.cluster := (select c.system_identifier from pg_control_system() c);
	s.xid_from := coalesce(last.xid_to, '0'::xid8);
	s.xid_to := pg_snapshot_xmin(pg_current_snapshot());
	if s.xid_to <= s.xid_from then
		return;
	end if;
	select a.xid into over from ops.audit a where a.xid >= s.xid_from and a.xid < s.xid_to
		order by a.xid, a.id offset p_limit limit 1;
	if over > s.xid_from then -- the rest goes into the next seal
		s.xid_to := over;
	end if;
	leaves := array(select sha256('\x00'::bytea || convert_to(ops.leaf_text(a.id, a.at, a.xid, a.request_id, a.person_id,
			a.slack_user, a.event, a.action, a.outcome, a.body), 'UTF8'))
		from ops.audit a
		where a.xid >= s.xid_from and a.xid < s.xid_to order by a.xid, a.id);
	s.n := coalesce(array_length(leaves, 1), 0);
	if s.n = 0 and last.sealed_at > clock_timestamp() - interval '15 minutes' then
		return;
	end if;
	s.root := encode(ops.merkle_root(leaves), 'hex');
	s.hash := encode(sha256(convert_to(ops.seal_header(s), 'UTF8')), 'hex');
	insert into ops.audit_seal (seal_no, cluster, xid_from, xid_to, n, root, prev_hash, hash, boot_id)
		values (s.seal_no, s.cluster, s.xid_from, s.xid_to, s.n, s.root, s.prev_hash, s.hash, p_boot);
	return query select s.seal_no, s.hash, s.n;
end $$;

-- For the verifier, which computes everything again from what these two show.
create function ops.seals_after(p_no bigint, p_limit integer)
returns table (seal_no bigint, cluster bigint, xid_from text, xid_to text, n integer, root text, prev_hash text, hash text,
	signature text, age_s bigint)
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
	select s.seal_no, s.cluster, s.xid_from::text, s.xid_to::text, s.n, s.root, s.prev_hash, s.hash, g.signature,
		extract(epoch from clock_timestamp() - s.sealed_at)::bigint
	from ops.audit_seal s left join ops.audit_signature g using (seal_no) where s.seal_no > p_no order by s.seal_no limit p_limit
$$;

-- The oldest seal that is not signed, for whoever has a key: after the newest that is.
create function ops.seal_unsigned()
returns table (seal_no bigint, cluster bigint, xid_from text, xid_to text, n integer, root text, prev_hash text, hash text)
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
	select s.seal_no, s.cluster, s.xid_from::text, s.xid_to::text, s.n, s.root, s.prev_hash, s.hash
	from ops.audit_seal s where s.seal_no > coalesce((select max(g.seal_no) from ops.audit_signature g), 0)
	order by s.seal_no limit 1
$$;

create function ops.seal_sign(p_no bigint, p_key text, p_signature text) returns boolean
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
	insert into ops.audit_signature (seal_no, key_id, signature) values (p_no, p_key, p_signature) on conflict do nothing;
	return found;
end $$;

create function ops.sealed_entries(p_from text, p_to text)
returns table (id text, at text, xid text, request_id text, person_id text, slack_user text, event text, action text,
	outcome text, body text)
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
	select a.id::text, to_char(a.at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), a.xid::text, a.request_id,
		a.person_id::text, a.slack_user, a.event, a.action, a.outcome::text, a.body
	from ops.audit a where a.xid >= p_from::xid8 and a.xid < p_to::xid8 order by a.xid, a.id
$$;

create function ops.unsealed() returns bigint
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
	select count(*) from ops.audit a
	where a.xid >= coalesce((select s.xid_to from ops.audit_seal s order by s.seal_no desc limit 1), '0'::xid8)
$$;

-- Owes the audit channel the newest seal (p_signed: that is signed), p_every seconds after the one before and only when
-- entries came since, however many replicas ask.  It is no entry of the log itself, or there would always be one.
-- Null: nothing to say.
create function ops.checkpoint(p_every integer, p_signed boolean) returns bigint
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
	last ops.audit_checkpoint;
	head ops.audit_seal;
	since bigint;
begin
	if not pg_try_advisory_xact_lock(hashtextextended('opsd audit checkpoint', 0)) then
		return null;
	end if;
	select * into last from ops.audit_checkpoint c order by c.seal_no desc limit 1;
	if last.posted_at > clock_timestamp() - make_interval(secs => p_every) then
		return null;
	end if;
	select * into head from ops.audit_seal s where s.seal_no = case when p_signed
		then (select max(g.seal_no) from ops.audit_signature g) else (select max(x.seal_no) from ops.audit_seal x) end;
	since := (select sum(s.n) from ops.audit_seal s where s.seal_no > coalesce(last.seal_no, 0) and s.seal_no <= head.seal_no);
	if coalesce(since, 0) = 0 or not exists (select from ops.setting t where t.audit_channel is not null) then
		return null;
	end if;
	insert into ops.audit_checkpoint (seal_no) values (head.seal_no);
	perform ops.alarm(json_build_object('event', 'audit.checkpoint', 'seal', head.seal_no, 'hash', head.hash, 'entries', since,
		'key', (select g.key_id from ops.audit_signature g where g.seal_no = head.seal_no)), null);
	return head.seal_no;
end $$;

grant execute on function ops.seal(uuid, integer), ops.seal_unsigned(), ops.seal_sign(bigint, text, text),
	ops.checkpoint(integer, boolean) to opsd_service;
grant execute on function ops.seals_after(bigint, integer), ops.sealed_entries(text, text), ops.unsealed()
	to opsd_service, opsd_auditor;
grant select on ops.audit_seal, ops.audit_signature, ops.audit_checkpoint to opsd_auditor;

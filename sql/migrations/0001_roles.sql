-- SPDX-License-Identifier: Apache-2.0
-- Roles and schemas: what no grant below names cannot be done by anybody but the owner.
--
-- The group roles have no password and no login; an operator makes one login role for each job and
-- makes it a member of one group.  opsd_service may touch no table at all: it calls functions.
-- Roles belong to the whole server, so they may exist already (another database of the same one).

do $$
declare
	name text;
begin
	foreach name in array array['opsd_owner', 'opsd_service', 'opsd_sync', 'opsd_grants', 'opsd_auditor'] loop
		if not exists (select 1 from pg_catalog.pg_roles where rolname = name) then
			begin
				execute format('create role %I nologin', name);
			exception when duplicate_object or unique_violation then
				null; -- another database of this server was migrated at the same moment
			end;
		end if;
	end loop;
	if not pg_has_role(current_user, 'opsd_owner', 'MEMBER') then
		execute format('grant opsd_owner to %I', current_user);
	end if;
end $$;

create schema dir authorization opsd_owner;
create schema authz authorization opsd_owner;
create schema ops authorization opsd_owner;
set local role opsd_owner;

grant usage on schema dir, authz, ops to opsd_sync, opsd_grants, opsd_auditor;
grant usage on schema ops to opsd_service;
-- A new function may be executed by everybody; here by nobody until it is granted.
alter default privileges revoke execute on functions from public;

create table ops.migration (
	number     integer primary key check (number > 0),
	name       text not null,
	sha256     text not null,
	applied_at timestamptz not null default clock_timestamp(),
	applied_by text not null default session_user
);
comment on table ops.migration is 'One row for each file of sql/migrations that was applied, written in its transaction';

create function ops.forbid() returns trigger
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
	raise exception '% on %.% is not allowed', tg_op, tg_table_schema, tg_table_name using errcode = 'OP009';
end $$;

-- Rules of this deployment that SQL needs; one row.
create table ops.setting (
	only_row         boolean primary key default true check (only_row),
	proof_from_risk  smallint not null default 3 check (proof_from_risk between 0 and 4),
	proof_max_age    interval not null default interval '90 days',
	step_up_from_risk smallint not null default 4 check (step_up_from_risk between 0 and 4),
	can_step_up      boolean not null default false,
	confirm_within   interval not null default interval '10 minutes',
	audit_channel    text, -- as the replica that started last is configured
	approval_channel text
);
insert into ops.setting default values;
comment on column ops.setting.proof_from_risk is
	'From this risk on a link made by e-mail address alone is not enough; 4: it always is';
comment on column ops.setting.step_up_from_risk is
	'From this risk on every request needs a company sign-in of its own; 4: none does';
comment on column ops.setting.can_step_up is 'A provider of sign-ins is configured: what needs proof can be had';

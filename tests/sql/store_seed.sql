-- SPDX-License-Identifier: Apache-2.0
-- A small company: Ana and Ben on call for ads, Sam of sre, a suspended one, a guest, a robot.
insert into dir.source (name, kind, allowed_domains, generation, fetch_started_at)
	values ('corp', 'file', '{example.com}', 7, clock_timestamp() - interval '2 seconds');
insert into dir.person (source_id, external_id, state, kind, display_name, first_gen, last_gen)
	select s.source_id, x.* from dir.source s, (values
		('u-ana', 'active', 'human', 'Ana', 1, 1),
		('u-ben', 'active', 'human', 'Ben', 1, 1),
		('u-sam', 'active', 'human', 'Sam', 1, 1),
		('u-sue', 'suspended', 'human', 'Sue', 1, 1),
		('u-gus', 'active', 'guest', 'Gus', 1, 1),
		('u-rob', 'active', 'service', 'Rob', 1, 1)) x;
insert into dir.person_email (email_key, person_id, is_primary)
	select lower(display_name) || '@example.com', person_id, true from dir.person;
insert into dir.person_email (email_key, person_id, is_primary)
	select 'ana@other.com', person_id, false from dir.person where display_name = 'Ana';
insert into dir.grp (source_id, external_id, name_key, state, in_scope_since_gen, first_gen, last_gen)
	select s.source_id, x.* from dir.source s, (values
		('g-ads', 'ads-oncall', 'active', 1, 1, 1), ('g-sre', 'sre', 'active', 1, 1, 1)) x;
insert into dir.membership (person_id, group_id, direct, since_gen)
	select p.person_id, g.group_id, true, 1 from dir.person p, dir.grp g
	where (g.name_key = 'ads-oncall' and p.display_name in ('Ana', 'Ben', 'Sue', 'Gus', 'Rob'))
	   or (g.name_key = 'sre' and p.display_name = 'Sam');
insert into authz.action (name, risk) values
	('datasets.list', 0), ('workers.scale', 1), ('workers.restart', 2), ('workers.drop', 3), ('workers.off', 1);
update authz.action set enabled = false where name = 'workers.off';
insert into authz.action_param (action_id, param, type, scoped)
	select action_id, 'team', 'enum', true from authz.action;
insert into authz.action_param (action_id, param, type, scoped)
	select action_id, 'count', 'int', false from authz.action where name = 'workers.scale';
insert into authz.revision (revision, git_commit, reviewed_by, applied_by, plan_sha256)
	values (93, 'abc', '{sam}', 'ben', '\x01');
insert into authz.permit (stable_key, capability, action_id, group_id, origin, revision)
	select g.name_key || '-' || a.name, 'request', a.action_id, g.group_id, 'file', 93
	from authz.action a, dir.grp g;
insert into authz.permit_scope (grant_id, param, values_)
	select grant_id, 'team', '{ads}' from authz.permit where stable_key like 'ads-%';
insert into authz.permit_scope (grant_id, param, int_max)
	select grant_id, 'count', 50 from authz.permit where stable_key = 'ads-oncall-workers.scale';
insert into authz.permit_scope (grant_id, param, any_value)
	select grant_id, 'team', true from authz.permit where stable_key like 'sre-%';

-- SPDX-License-Identifier: Apache-2.0
-- New words of two lists; a file of its own, since a new word can be used by later transactions only.
set local role opsd_owner;

-- approving: the plan is shown to approvers; waits for their buttons.  Before 'running', so that it counts as open.
alter type ops.state add value 'approving' after 'confirming';
-- card: what approvers see, one message that is edited; ask: a note below it that names more people.
alter type ops.owed_kind add value 'card';
alter type ops.owed_kind add value 'ask';

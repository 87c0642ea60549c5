/* SPDX-License-Identifier: Apache-2.0 */
/* fake_kinds - a table of action kinds for tests of the catalog: declarations without effects. */
#ifndef OPSD_TESTS_UNIT_FAKE_KINDS_H
#define OPSD_TESTS_UNIT_FAKE_KINDS_H

#include "base/err.h"
#include "base/str.h"
#include "core/action.h"

static const struct action_param fake_list_params[] = {
	{ .name = "cluster", .type = ACTION_TEXT, .required = true, .about = "a cluster" },
	{ .name = "kind", .type = ACTION_TEXT, .required = true, .about = "what to list" },
	{ .name = "selector", .type = ACTION_TEXT, .about = "labels" },
	{ .name = "limit", .type = ACTION_NUMBER, .about = "rows of a page" },
	{ .name = "rows", .type = ACTION_EXPR, .about = "the answer to rows" },
	{ .name = "query", .type = ACTION_OBJECT, .about = "filters" },
	{ .name = NULL },
};

static const struct action_param fake_scale_params[] = {
	{ .name = "cluster", .type = ACTION_TEXT, .required = true, .about = "a cluster" },
	{ .name = "namespace", .type = ACTION_TEXT, .required = true, .about = "where" },
	{ .name = "name", .type = ACTION_TEXT, .required = true, .about = "the workload" },
	{ .name = "replicas", .type = ACTION_NUMBER, .required = true, .about = "how many" },
	{ .name = "force", .type = ACTION_BOOL, .about = "even if owned" },
	{ .name = NULL },
};

/* Only this cluster exists. */
static bool fake_check(const json_t *with, const struct action_env *env, const char **ret_param,
		       struct err *err)
{
	(void)env;
	if (str_eq(jget_str(with, "cluster"), "main"))
		return true;
	*ret_param = "cluster";
	err_set(err, ERR_INVALID, "there is no cluster \"%s\"", jget_str(with, "cluster"));
	return false;
}

/* That there is one says that it can be set back. */
static struct call *fake_revert(struct action_env *env, const struct action_run *run,
				action_done_fn done, void *data)
{
	(void)env, (void)run, (void)done, (void)data;
	return NULL;
}

static const struct action_kind fake_list = { .name = "kube.list",
					      .about = "Lists objects",
					      .params = fake_list_params,
					      .effect = ACTION_READ,
					      .check = fake_check };
static const struct action_kind fake_scale = { .name = "kube.scale",
					       .about = "Changes replicas",
					       .params = fake_scale_params,
					       .effect = ACTION_CONDITIONAL,
					       .revert = fake_revert,
					       .check = fake_check };
static const struct action_kind fake_job = { .name = "kube.job",
					     .about = "Runs a task",
					     .params = fake_list_params,
					     .effect = ACTION_KEYED,
					     .check = fake_check };

static const struct action_kind *const fake_kinds[] = { &fake_job, &fake_list, &fake_scale, NULL };

#endif

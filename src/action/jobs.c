/* SPDX-License-Identifier: Apache-2.0 */
/* jobs.c - how a Job is, by its conditions and never by its counts; pure. */
#include <string.h>

#include "base/str.h"
#include "internal.h"

static const json_t *condition_true(const json_t *job, const char *type)
{
	json_t *condition;
	size_t i;

	json_array_foreach(
		jget(job, "status.conditions"), i,
		condition) if (str_eq(jget_str(condition, "type"), type) &&
			       str_eq(jget_str(condition, "status"), "True")) return condition;
	return NULL;
}

const char *job_state(const json_t *job)
{
	if (condition_true(job, "Complete") != NULL)
		return "complete";
	if (condition_true(job, "Failed") != NULL)
		return "failed";
	/* Decided, while pods still end. */
	if (condition_true(job, "SuccessCriteriaMet") != NULL ||
	    condition_true(job, "FailureTarget") != NULL)
		return "finishing";
	if (jget_bool(job, "spec.suspend", false))
		return "suspended";
	return jget_int(job, "status.active", 0) > 0 ? "running" : "waiting";
}

const char *job_failure(const json_t *job)
{
	const json_t *failed = condition_true(job, "Failed");

	return jget_str_or(failed, "message", jget_str_or(failed, "reason", ""));
}

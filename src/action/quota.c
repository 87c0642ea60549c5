/* SPDX-License-Identifier: Apache-2.0 */
/*
 * quota.c - whether the quotas of the namespace let the pods of a change start; pure.
 *
 * A quota holds pods back and not the change that asks for them, so only a forecast tells before.
 * What is counted of a pod is what the server counts (its containers, or the largest of those that
 * run before them).  Where admission may still fill in what decides, an amount by a LimitRange or a
 * default class, nothing is forecast: a warning that is wrong is worse than none.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/str.h"
#include "base/xalloc.h"
#include "internal.h"

enum { SENTENCE_MAX = 300 };

/* --- does the quota count such a pod? --- */

enum fit { FITS, FITS_NOT, FIT_UNKNOWN };

static bool sets_some(const json_t *container, const char *list)
{
	static const char *const names[] = { "cpu", "memory" };
	const json_t *amounts = json_object_get(json_object_get(container, "resources"), list);
	int64_t n;

	for (size_t i = 0; i < 2; i++)
		if (quantity_milli(json_string_value(json_object_get(amounts, names[i])), &n) &&
		    n > 0)
			return true;
	return false;
}

/* Sets it anything of CPU or memory?  If not, a LimitRange may. */
static bool best_effort(const json_t *spec)
{
	static const char *const lists[] = { "containers", "initContainers" };

	for (size_t l = 0; l < 2; l++) {
		json_t *container;
		size_t i;

		json_array_foreach(json_object_get(spec, lists[l]), i, container)
		{
			if (sets_some(container, "requests") || sets_some(container, "limits"))
				return false;
		}
	}
	return json_object_get(spec, "resources") == NULL;
}

static enum fit fit_if(bool fits)
{
	return fits ? FITS : FITS_NOT;
}

static enum fit class_fits(const char *operator, const json_t * values, const char *class)
{
	bool among = false;
	json_t *value;
	size_t i;

	if (str_empty(class)) /* the cluster may have a default one */
		return FIT_UNKNOWN;
	json_array_foreach((json_t *)(uintptr_t)values, i, value)
	{
		among = among || str_eq(json_string_value(value), class);
	}
	if (str_eq(operator, "In"))
		return fit_if(among);
	if (str_eq(operator, "NotIn"))
		return fit_if(!among);
	return str_eq(operator, "Exists")         ? FITS
	       : str_eq(operator, "DoesNotExist") ? FITS_NOT
						  : FIT_UNKNOWN;
}

static enum fit scope_fits(const char *scope, const json_t *rule, const json_t *spec)
{
	bool ends = jget(spec, "activeDeadlineSeconds") != NULL;

	if (str_eq(scope, "Terminating"))
		return fit_if(ends);
	if (str_eq(scope, "NotTerminating"))
		return fit_if(!ends);
	if (str_eq(scope, "BestEffort"))
		return best_effort(spec) ? FIT_UNKNOWN : FITS_NOT;
	if (str_eq(scope, "NotBestEffort"))
		return best_effort(spec) ? FIT_UNKNOWN : FITS;
	if (str_eq(scope, "PriorityClass"))
		return class_fits(jget_str_or(rule, "operator", "Exists"),
				  json_object_get(rule, "values"),
				  jget_str(spec, "priorityClassName"));
	return FIT_UNKNOWN;
}

static void narrow(enum fit *fit, enum fit one)
{
	if (one == FITS_NOT || *fit == FITS)
		*fit = one;
}

/* Of all its scopes. */
static enum fit quota_fits(const json_t *quota, const json_t *spec)
{
	json_t *scopes = jget(quota, "spec.scopes"), *scope;
	json_t *rules = jget(quota, "spec.scopeSelector.matchExpressions"), *rule;
	enum fit fit = FITS;
	size_t i;

	if (spec == NULL)
		return json_array_size(scopes) + json_array_size(rules) == 0 ? FITS : FIT_UNKNOWN;
	json_array_foreach(scopes, i, scope)
	{
		if (fit != FITS_NOT)
			narrow(&fit, scope_fits(json_string_value(scope), NULL, spec));
	}
	json_array_foreach(rules, i, rule)
	{
		if (fit != FITS_NOT)
			narrow(&fit, scope_fits(jget_str_or(rule, "scopeName", ""), rule, spec));
	}
	return fit;
}

/* --- how much of a resource a pod takes --- */

struct counted {          /* "requests.cpu" */
	const char *list; /* "requests", "limits"; NULL: the pod itself is counted */
	const char *name; /* "cpu" */
};

static bool usual(const char *name)
{
	return str_eq(name, "cpu") || str_eq(name, "memory") || str_eq(name, "ephemeral-storage");
}

/* false: it is no matter of pods. */
static bool counted_of(const char *resource, struct counted *ret)
{
	*ret = (struct counted){ NULL, NULL };
	if (str_eq(resource, "pods") || str_eq(resource, "count/pods"))
		return true;
	if (str_eq(resource, "requests.storage"))
		return false;
	if (usual(resource))
		*ret = (struct counted){ "requests", resource };
	else if (str_starts(resource, "requests."))
		*ret = (struct counted){ "requests", resource + strlen("requests.") };
	else if (str_starts(resource, "limits."))
		*ret = (struct counted){ "limits", resource + strlen("limits.") };
	return ret->list != NULL;
}

/* A request that is not set is what the limit is; of devices, none.  false: a LimitRange may say.
 */
static bool amount_of(const json_t *container, const struct counted *counted, int64_t *ret)
{
	const json_t *all = json_object_get(container, "resources");
	const json_t *value = json_object_get(json_object_get(all, counted->list), counted->name);

	if (value == NULL && str_eq(counted->list, "requests"))
		value = json_object_get(json_object_get(all, "limits"), counted->name);
	*ret = 0;
	return (value == NULL && !usual(counted->name)) ||
	       quantity_milli(json_string_value(value), ret);
}

static bool add(int64_t *sum, int64_t n)
{
	return !__builtin_add_overflow(*sum, n, sum);
}

/* Those that go on beside the containers are added to them, each other one runs before them. */
static bool of_starters(const json_t *spec, const struct counted *counted, int64_t *ret_beside,
			int64_t *ret_peak)
{
	int64_t beside = 0, peak = 0;
	json_t *container;
	size_t i;

	json_array_foreach(json_object_get(spec, "initContainers"), i, container)
	{
		int64_t n, at;

		if (!amount_of(container, counted, &n) || n < 0)
			return false;
		at = beside;
		if (!add(&at, n))
			return false;
		if (str_eq(jget_str(container, "restartPolicy"), "Always"))
			beside = at;
		if (at > peak)
			peak = at;
	}
	*ret_beside = beside;
	*ret_peak = peak;
	return true;
}

/* Of one pod; false: not known. */
static bool taken(const json_t *spec, const struct counted *counted, int64_t *ret)
{
	int64_t sum, beside, peak, n;
	json_t *container;
	size_t i;

	*ret = 1000;
	if (counted->list == NULL)
		return true;
	/* A class of runtimes adds to it, and amounts of the pod as a whole go before others. */
	if (jget(spec, "runtimeClassName") != NULL || jget(spec, "overhead") != NULL ||
	    jget(spec, "resources") != NULL || !of_starters(spec, counted, &beside, &peak) ||
	    json_array_size(json_object_get(spec, "containers")) == 0)
		return false;
	sum = beside;
	json_array_foreach(json_object_get(spec, "containers"), i, container)
	{
		if (!amount_of(container, counted, &n) || !add(&sum, n))
			return false;
	}
	*ret = sum > peak ? sum : peak;
	return true;
}

/* --- what the change needs --- */

static bool times(int64_t n, int64_t amount, int64_t *ret)
{
	return !__builtin_mul_overflow(n, amount, ret);
}

/* What the quota has to have left for it; false: not known. */
static bool needed(const struct pods_wish *wish, const json_t *quota, const struct counted *counted,
		   int64_t *ret)
{
	int64_t one, all, gone = 0, least;
	enum fit was =
		wish->was == NULL || wish->gone == 0 ? FITS_NOT : quota_fits(quota, wish->was);

	if (!taken(wish->spec, counted, &one) || was == FIT_UNKNOWN ||
	    (was == FITS && !taken(wish->was, counted, &gone)))
		return false;
	if (!times(wish->pods, one, &all) || !times(wish->gone, gone, &gone) ||
	    !times(wish->least, one, &least))
		return false;
	*ret = all - gone > least ? all - gone : least;
	return true;
}

static void put_shortage(struct buf *buf, const json_t *quota, const char *resource,
			 const struct pods_wish *wish)
{
	const char *is = json_string_value(json_object_get(jget(quota, "status.used"), resource));
	const char *may = json_string_value(json_object_get(jget(quota, "status.hard"), resource));
	int64_t used, hard, need;
	struct counted counted;
	char *text;

	if (!counted_of(resource, &counted) || !quantity_milli(is, &used) ||
	    !quantity_milli(may, &hard) || !needed(wish, quota, &counted, &need) || need <= 0 ||
	    need <= hard - used)
		return;
	text = quantity_text(need, counted.list != NULL && !str_eq(counted.name, "cpu"));
	(void)buf_printf(buf, "%s%s %s of %s used, this needs %s more%s", buf->len > 0 ? "; " : "",
			 resource, is, may, text, wish->when != NULL ? wish->when : "");
	free(text);
}

void quotas_say(struct owners *owners, const json_t *quotas, const struct pods_wish *wish)
{
	json_t *quota, *value;
	const char *resource;
	size_t i;

	json_array_foreach(json_object_get(quotas, "items"), i, quota)
	{
		struct buf buf;

		if (quota_fits(quota, wish->spec) != FITS)
			continue;
		buf_init(&buf, SENTENCE_MAX);
		json_object_foreach(jget(quota, "status.hard"), resource, value)
		{
			put_shortage(&buf, quota, resource, wish);
		}
		if (buf.len > 0)
			owners_warn(owners,
				    "Quota %s: %s. The change is accepted, but pods beyond the "
				    "quota do not start.",
				    jget_str_or(quota, "metadata.name", "?"), buf_text(&buf));
		buf_finish(&buf);
	}
}

/* --- of a workload --- */

static const json_t *spec_of(const json_t *workload)
{
	return jget(workload, "spec.template.spec");
}

void quotas_of_scale(struct planning *planning, int64_t to)
{
	struct pods_wish wish = { .spec = spec_of(planning->object),
				  .pods = to - jget_int(planning->object, "status.replicas", 0) };

	if (wish.pods > 0)
		quotas_say(&planning->owners, planning->quotas, &wish);
}

/* "25%" of n, or a number. */
static int64_t share(const json_t *value, const char *fallback, int64_t n, bool up)
{
	const char *text = value == NULL ? fallback : json_string_value(value);
	size_t digits = text == NULL ? 0 : strspn(text, "0123456789");
	int64_t percent = 0;

	if (json_is_integer(value))
		return json_integer_value(value);
	if (digits == 0 || digits > 3 || !str_eq(text + digits, "%"))
		return 0;
	for (size_t i = 0; i < digits; i++)
		percent = percent * 10 + (text[i] - '0');
	return (n * percent + (up ? 99 : 0)) / 100;
}

/* May an old pod end before its successor is there?  Else one more has to fit in. */
static bool ends_first(const json_t *workload, const char *kind, int64_t n)
{
	const json_t *rolling;

	if (!str_eq(kind, "Deployment"))
		return !str_eq(kind, "DaemonSet") ||
		       share(jget(workload, "spec.updateStrategy.rollingUpdate.maxSurge"), "0%", n,
			     true) == 0;
	rolling = jget(workload, "spec.strategy.rollingUpdate");
	return str_eq(jget_str(workload, "spec.strategy.type"), "Recreate") ||
	       share(json_object_get(rolling, "maxUnavailable"), "25%", n, false) > 0 ||
	       share(json_object_get(rolling, "maxSurge"), "25%", n, true) == 0;
}

void quotas_of_rollout(struct planning *planning, const json_t *template)
{
	const json_t *object = planning->object;
	const char *kind = planning->place->kind->kind;
	int64_t n = str_eq(kind, "DaemonSet") ? jget_int(object, "status.desiredNumberScheduled", 0)
					      : jget_int(object, "spec.replicas", 1);
	int64_t have = str_eq(kind, "DaemonSet") ? n : jget_int(object, "status.replicas", 0);
	bool first = ends_first(object, kind, n);
	struct pods_wish wish = { .spec = json_object_get(template, "spec"),
				  .pods = n,
				  .was = spec_of(object),
				  .gone = first || have < n ? have : have - 1,
				  .least = first ? 0 : 1 };

	if (n > 0)
		quotas_say(&planning->owners, planning->quotas, &wish);
}

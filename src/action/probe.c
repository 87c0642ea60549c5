/* SPDX-License-Identifier: Apache-2.0 */
/*
 * probe.c - opsd check --online: for each cluster who we are there and what we may not do, for each
 * API whether it answers.  One after the other.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/str.h"
#include "base/xalloc.h"
#include "internal.h"
#include "net/http.h"

enum { PROBE_MS = 5000, SAYS_MAX = 600 };

static const struct {
	const char *verb, *group, *resource;
} needed[] = {
	{ "get", "apps", "deployments" },
	{ "patch", "apps", "deployments" },
	{ "list", "apps", "statefulsets" },
	{ "patch", "apps", "statefulsets" },
	{ "get", "", "configmaps" },
	{ "patch", "", "configmaps" },
	{ "list", "autoscaling", "horizontalpodautoscalers" },
};

enum { NEEDED = sizeof(needed) / sizeof(needed[0]) };

struct probe {
	struct call call;
	struct action_env *env;
	struct call *inner;
	size_t cluster, api;
	char who[200];
	action_line_fn line;
	call_done_fn done;
	void *data;
};

static void next(struct probe *probe);

static void on_cancel(struct call *call)
{
	struct probe *probe = (struct probe *)call;

	call_cancel(&probe->inner);
	free(probe);
}

static void say(const struct probe *probe, bool good, const char *kind, const char *name,
		const char *says)
{
	char *what = xasprintf("%s %s", kind, name);

	probe->line(probe->data, good, what, says);
	free(what);
}

static void say_failed(const struct probe *probe, const char *kind, const char *name,
		       const struct err *err, const char *settings)
{
	bool unreached =
		err->kind == ERR_RETRY || err->kind == ERR_TIMEOUT || err->kind == ERR_UNCERTAIN;
	char *says =
		unreached ? xasprintf("%s; check %s.%s and the way there", err->msg, settings, name)
			  : xstrdup(err->msg);

	say(probe, false, kind, name, says);
	free(says);
}

static void on_rights(void *data, const struct gathered *items)
{
	struct probe *probe = data;
	struct kube *kube = env_cluster_at(probe->env, probe->cluster++);
	struct buf missing;
	bool first = true;

	probe->inner = NULL;
	buf_init(&missing, SAYS_MAX);
	(void)buf_printf(&missing, "reached as %s", probe->who);
	for (size_t i = 0; i < NEEDED; i++) {
		if (items[i].body != NULL && jget_bool(items[i].body, "status.allowed", false))
			continue;
		(void)buf_printf(&missing, "%s %s %s",
				 first ? "; not allowed in every namespace:" : ",", needed[i].verb,
				 needed[i].resource);
		first = false;
	}
	/* Roles of single namespaces, which this question does not see, may be all that is wanted.
	 */
	say(probe, true, "cluster", kube_name(kube), buf_text(&missing));
	buf_finish(&missing);
	next(probe);
}

static void ask_rights(struct probe *probe)
{
	struct kube *kube = env_cluster_at(probe->env, probe->cluster);
	struct kube_request requests[NEEDED];
	json_t *bodies[NEEDED];

	memset(requests, 0, sizeof(requests));
	for (size_t i = 0; i < NEEDED; i++) {
		bodies[i] = json_pack("{s:s, s:s, s:{s:{s:s, s:s, s:s}}}", "apiVersion",
				      "authorization.k8s.io/v1", "kind", "SelfSubjectAccessReview",
				      "spec", "resourceAttributes", "verb", needed[i].verb, "group",
				      needed[i].group, "resource", needed[i].resource);
		requests[i].method = "POST";
		requests[i].kind = kube_kind_find("SelfSubjectAccessReview");
		requests[i].body = bodies[i];
		requests[i].timeout_ms = PROBE_MS;
	}
	probe->inner = gather_start(kube, requests, NEEDED, on_rights, probe);
	for (size_t i = 0; i < NEEDED; i++)
		json_decref(bodies[i]);
}

static void on_review(void *data, const struct kube_answer *answer, const struct err *err)
{
	struct probe *probe = data;
	struct kube *kube = env_cluster_at(probe->env, probe->cluster);

	probe->inner = NULL;
	/* Older clusters than 1.28 do not know the question; the rights are asked for all the same.
	 */
	if (err != NULL && answer->problem != KUBE_NO_RESOURCE) {
		say_failed(probe, "cluster", kube_name(kube), err, "clusters");
		probe->cluster++;
		next(probe);
		return;
	}
	(void)snprintf(probe->who, sizeof(probe->who), "%s",
		       jget_str_or(answer->body, "status.userInfo.username", "somebody"));
	ask_rights(probe);
}

static void ask_who(struct probe *probe)
{
	json_t *body = json_pack("{s:s, s:s}", "apiVersion", "authentication.k8s.io/v1", "kind",
				 "SelfSubjectReview");
	struct kube_request request = { .method = "POST",
					.kind = kube_kind_find("SelfSubjectReview"),
					.body = body,
					.timeout_ms = PROBE_MS };

	probe->inner =
		kube_call(env_cluster_at(probe->env, probe->cluster), &request, on_review, probe);
	json_decref(body);
}

static void on_api(void *data, const struct http_response *response, const struct err *err)
{
	struct probe *probe = data;
	const struct api *api = env_api_at(probe->env, probe->api++);
	char says[160];

	probe->inner = NULL;
	if (err != NULL) {
		say_failed(probe, "API", api->name, err, "apis");
	} else {
		bool refused = response->status == 401 || response->status == 403;

		(void)snprintf(says, sizeof(says), "answers (%d%s%.60s%s)", response->status,
			       refused ? ": the token is not accepted, check apis." : "",
			       refused ? api->name : "", refused ? ".auth" : "");
		say(probe, !refused && response->status < 500, "API", api->name, says);
	}
	next(probe);
}

static void ask_api(struct probe *probe)
{
	const struct api *api = env_api_at(probe->env, probe->api);
	struct http_request request = {
		.method = "GET", .url = api->url, .bearer = api->bearer, .timeout_ms = PROBE_MS
	};

	probe->inner = http_start(api->http, &request, on_api, probe);
}

static void next(struct probe *probe)
{
	if (probe->cluster < env_clusters(probe->env)) {
		ask_who(probe);
	} else if (probe->api < env_apis(probe->env)) {
		ask_api(probe);
	} else {
		probe->done(probe->data, NULL);
		free(probe);
	}
}

static void on_first(void *data)
{
	struct probe *probe = data;

	probe->inner = NULL;
	next(probe);
}

struct call *action_env_probe(struct action_env *env, action_line_fn line, call_done_fn done,
			      void *data)
{
	struct probe *probe = xcalloc(1, sizeof(*probe));

	probe->call.cancel = on_cancel;
	probe->env = env;
	probe->line = line;
	probe->done = done;
	probe->data = data;
	probe->inner = call_defer(env_loop(env), on_first, probe);
	return &probe->call;
}

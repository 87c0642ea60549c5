/* SPDX-License-Identifier: Apache-2.0 */
/* kube_world.c - what the tests of kube/ and action/ share. */
#include "kube_world.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/diag.h"
#include "base/str.h"

static void on_watchdog(uv_timer_t *timer)
{
	(void)timer;
	fail_msg("the test did not end within its time");
}

static const char *need(const char *name)
{
	const char *value = getenv(name);

	if (value == NULL)
		fail_msg("run me by with_kube.py");
	return value;
}

static void open_env(struct world *world)
{
	json_t *clusters = json_pack("{s:{s:{s:s, s:s}}}", "main", "kubeconfig", "file",
				     need("KUBE_CONFIG"), "context", "main");
	json_t *apis = json_pack("{s:{s:s, s:{s:{s:s}}}}", "platform", "url", need("API_URL"),
				 "auth", "bearer", "env", "API_TOKEN");
	struct diags diags;
	struct err err;

	diags_init(&diags);
	world->env = action_env_create(&world->loop, clusters, apis, "", &diags);
	if (world->env == NULL)
		fail_msg("%s", diag_text(&diags.items[0]));
	diags_finish(&diags);
	world->kube =
		kube_create(&world->loop, "main", json_object_get(clusters, "main"), "", &err);
	if (world->kube == NULL)
		fail_msg("%s", err.msg);
	json_decref(clusters);
	json_decref(apis);
}

void world_open(struct world *world)
{
	const struct http_config control = { .name = "control", .plain_loopback = true };

	memset(world, 0, sizeof(*world));
	assert_int_equal(uv_loop_init(&world->loop), 0);
	(void)uv_timer_init(&world->loop, &world->watchdog);
	(void)uv_timer_start(&world->watchdog, on_watchdog, 250000, 0);
	uv_unref((uv_handle_t *)&world->watchdog);
	world->control = http_create(&world->loop, &control);
	world_do(world, "reset", "{}");
	json_decref(world_api(world, "reset", "{}"));
	world_do(world, "token", "{\"token\":\"kube-token-of-test\",\"file\":\"%s\"}",
		 need("KUBE_TOKEN"));
	open_env(world);
}

void world_close(struct world *world)
{
	http_destroy(world->control);
	kube_destroy(world->kube);
	action_env_destroy(world->env);
	uv_close((uv_handle_t *)&world->watchdog, NULL);
	(void)uv_run(&world->loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&world->loop), 0);
}

struct told {
	bool done;
	json_t *answer;
};

static void on_control(void *data, const struct http_response *response, const struct err *err)
{
	struct told *told = data;

	if (err != NULL)
		fail_msg("%s", err->msg);
	if (response->status != 200)
		fail_msg("control: %s", response->body);
	told->answer = json_loads(response->body, 0, NULL);
	told->done = true;
}

static json_t *control(struct world *world, const char *base, const char *call, const char *json,
		       va_list ap)
{
	static const char *const headers[] = { "Content-Type: application/json", NULL };
	char body[4096], url[200];
	struct told told = { 0 };
	struct http_request request = {
		.method = "POST", .url = url, .headers = headers, .body = body, .timeout_ms = 60000
	};

	(void)vsnprintf(body, sizeof(body), json, ap);
	(void)snprintf(url, sizeof(url), "%s/_/%s", base, call);
	request.body_len = strlen(body);
	(void)http_start(world->control, &request, on_control, &told);
	while (!told.done)
		(void)uv_run(&world->loop, UV_RUN_ONCE);
	return told.answer;
}

json_t *world_control(struct world *world, const char *call, const char *json, ...)
{
	json_t *answer;
	va_list ap;

	va_start(ap, json);
	answer = control(world, need("KUBE_CONTROL"), call, json, ap);
	va_end(ap);
	return answer;
}

void world_do(struct world *world, const char *call, const char *json, ...)
{
	va_list ap;

	va_start(ap, json);
	json_decref(control(world, need("KUBE_CONTROL"), call, json, ap));
	va_end(ap);
}

json_t *world_api(struct world *world, const char *call, const char *json, ...)
{
	json_t *answer;
	va_list ap;

	va_start(ap, json);
	answer = control(world, need("API_URL"), call, json, ap);
	va_end(ap);
	return answer;
}

void world_wait(struct world *world, const char *kind, const char *ns, const char *name,
		const char *want)
{
	json_t *answer = world_control(
		world, "wait",
		"{\"timeout\":60,\"kind\":\"%s\",\"ns\":\"%s\",\"name\":\"%s\",\"want\":%s}", kind,
		ns, name, want);

	if (json_is_null(json_object_get(answer, "found")))
		fail_msg("%s %s/%s did not become %s", kind, ns, name, want);
	json_decref(answer);
}

int world_count(struct world *world, const char *verb, const char *resource)
{
	json_t *answer = world_control(world, "requests", "{\"verb\":\"%s\",\"resource\":\"%s\"}",
				       verb, resource);
	int n = (int)json_array_size(json_object_get(answer, "requests"));

	json_decref(answer);
	return n;
}

int world_asked(struct world *world, const char *verb, const char *request_id)
{
	json_t *answer = world_control(world, "requests", "{\"verb\":\"%s\"}", verb), *asked;
	size_t i;
	int n = 0;

	json_array_foreach(json_object_get(answer, "requests"), i, asked)
	{
		const json_t *headers = json_object_get(asked, "headers");

		if (strcmp(jget_str_or(headers, "audit-id", ""), request_id) == 0)
			n++;
	}
	json_decref(answer);
	return n;
}

void end_free(struct end *end)
{
	json_decref(end->result);
	json_decref(end->warnings);
	memset(end, 0, sizeof(*end));
}

static void on_answer(void *data, const struct kube_answer *answer, const struct err *err)
{
	struct end *end = data;

	assert_false(end->done);
	end->done = true;
	end->failed = err != NULL;
	if (err != NULL)
		end->err = *err;
	end->result = json_incref((json_t *)(uintptr_t)answer->body);
	end->problem = answer->problem;
	end->status = answer->status;
	end->warnings = json_incref((json_t *)(uintptr_t)answer->warnings);
	(void)snprintf(end->audit_id, sizeof(end->audit_id), "%s", answer->audit_id);
	assert_non_null(answer->text);
}

struct end world_ask(struct world *world, const struct kube_request *request)
{
	struct end end = { 0 };

	(void)kube_call(world->kube, request, on_answer, &end);
	assert_false(end.done);
	while (!end.done)
		(void)uv_run(&world->loop, UV_RUN_ONCE);
	return end;
}

const struct action_kind *world_kind(const char *name)
{
	for (size_t i = 0; action_kinds[i] != NULL; i++)
		if (str_eq(action_kinds[i]->name, name))
			return action_kinds[i];
	fail_msg("no kind %s", name);
	return NULL;
}

static void on_result(void *data, const json_t *result, const struct err *err)
{
	struct end *end = data;

	assert_false(end->done);
	assert_true((result == NULL) == (err != NULL));
	end->done = true;
	end->failed = err != NULL;
	if (err != NULL)
		end->err = *err;
	end->result = json_incref((json_t *)(uintptr_t)result);
}

struct end world_act(struct world *world, const struct action_kind *kind, enum act_step step,
		     const char *with, const json_t *plan)
{
	json_t *values = json_loads(with, 0, NULL);
	struct action_run run = { .request_id = jget_str_or(values, "test_request", REQUEST_ID),
				  .with = values,
				  .args = json_object_get(values, "args"),
				  .plan = plan,
				  .since = json_object_get(values, "test_since"),
				  .cursor = jget_str(values, "test_cursor"),
				  .asked = !jget_bool(values, "test_unasked", false),
				  .known = jget_bool(values, "test_known", false),
				  .timeout_ms = 10000 };
	struct end end = { 0 };
	const action_fn fns[] = { [ACT_PLAN] = kind->plan,
				  [ACT_APPLY] = kind->apply,
				  [ACT_LOOK] = kind->look,
				  [ACT_REVERT] = kind->revert,
				  [ACT_FOLLOW] = kind->follow };
	action_fn fn = fns[step];

	assert_non_null(values);
	assert_non_null(fn);
	(void)fn(world->env, &run, on_result, &end);
	assert_false(end.done);
	while (!end.done)
		(void)uv_run(&world->loop, UV_RUN_ONCE);
	json_decref(values);
	return end;
}

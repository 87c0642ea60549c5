/* SPDX-License-Identifier: Apache-2.0 */
/* kube/creds, kube/plugin: tokens that change under load, and programs that say who we are. */
#include "kube_world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../../src/kube/internal.h"
#include "../fakes/stall.h"
#include "base/clock.h"
#include "base/secret.h"
#include "base/str.h"

#define TOKEN "kube-token-of-test"
#define ANSWER                                                                                     \
	"{\\\"apiVersion\\\":\\\"client.authentication.k8s.io/v1\\\",\\\"kind\\\":"                \
	"\\\"ExecCredential\\\",\\\"status\\\":"

enum { HANGS_MS = 2000 };

static char folder[] = "/tmp/opsd-creds-XXXXXX";

static char *path_of(const char *name)
{
	static char paths[4][200];
	static unsigned turn;
	char *path = paths[turn++ % 4];

	(void)snprintf(path, sizeof(paths[0]), "%s/%s", folder, name);
	return path;
}

static char *read_file(const char *name)
{
	static char text[8192];
	FILE *file = fopen(path_of(name), "r");
	size_t n = 0;

	if (file != NULL) {
		n = fread(text, 1, sizeof(text) - 1, file);
		(void)fclose(file);
	}
	text[n] = '\0';
	return text;
}

/* A cluster whose user is a program: sh with this script. */
static struct kube *by_plugin(struct world *world, const char *script, const char *more)
{
	FILE *file = fopen(path_of("config"), "w");
	json_t *node;
	struct kube *kube;
	struct err err;

	assert_non_null(file);
	(void)fprintf(
		file,
		"apiVersion: v1\nkind: Config\nclusters: [{name: c, cluster: {server: \"%s\"}}]\n"
		"contexts: [{name: main, context: {cluster: c, user: u}}]\n"
		"users:\n- name: u\n  user:\n    exec:\n      command: /bin/sh\n      apiVersion: "
		"client.authentication.k8s.io/v1\n      interactiveMode: Never\n      "
		"provideClusterInfo: true\n      args: [\"-c\", \"cd %s; %s\", sh%s]\n"
		"      env: [{name: WHO, value: \"opsd here\"}]\n",
		getenv("KUBE_URL"), folder, script, more);
	(void)fclose(file);
	node = json_pack("{s:{s:s, s:s}, s:[s]}", "kubeconfig", "file", path_of("config"),
			 "context", "main", "plugins", "/bin/sh");
	kube = kube_create(&world->loop, "main", node, "", &err);
	if (kube == NULL)
		fail_msg("%s", err.msg);
	json_decref(node);
	return kube;
}

static struct kube_request get_workers(void)
{
	struct kube_request request = { .method = "GET",
					.kind = kube_kind_find("Deployment"),
					.space = "ads",
					.name = "workers-dev",
					.timeout_ms = 30000 };

	return request;
}

struct several {
	unsigned done, failed;
	struct err err;
	enum kube_problem problem;
};

static void on_one(void *data, const struct kube_answer *answer, const struct err *err)
{
	struct several *several = data;

	several->done++;
	if (err == NULL)
		return;
	several->failed++;
	several->err = *err;
	several->problem = answer->problem;
}

static struct several ask(struct world *world, struct kube *kube, unsigned n, unsigned timeout_ms)
{
	struct kube_request request = get_workers();
	struct several several = { 0 };

	request.timeout_ms = timeout_ms;
	for (unsigned i = 0; i < n; i++)
		(void)kube_call(kube, &request, on_one, &several);
	while (several.done < n)
		(void)uv_run(&world->loop, UV_RUN_ONCE);
	return several;
}

#define GOOD "printf . >> runs; printf '" ANSWER "{\\\"token\\\":\\\"" TOKEN "\\\"}}'"

/* --- plugins --- */

static void test_one_run_for_all(void **state)
{
	struct several several;
	struct world world;
	struct kube *kube;

	(void)state;
	world_open(&world);
	(void)unlink(path_of("runs"));
	kube = by_plugin(&world, GOOD, "");
	assert_string_equal(read_file("runs"), ""); /* not before it is needed */
	several = ask(&world, kube, 20, 30000);
	if (several.failed > 0)
		fail_msg("%s", several.err.msg);
	several = ask(&world, kube, 5, 30000);
	assert_int_equal(several.failed, 0);
	assert_string_equal(read_file("runs"), ".");
	kube_destroy(kube);
	world_close(&world);
}

/* Arguments arrive as they are; the environment has what the plugin needs and no secret of ours. */
static void test_no_shell(void **state)
{
	struct several several;
	struct world world;
	struct kube *kube;
	const char *info;

	(void)state;
	world_open(&world); /* reads API_TOKEN as a secret */
	assert_non_null(getenv("API_TOKEN"));
	kube = by_plugin(&world,
			 "printf '%s\\\\n' \\\"$@\\\" > args; env > env; cat > input; " GOOD,
			 ", \"a  b\", \"$(touch hacked)\", \"; touch hacked\", \"*\"");
	several = ask(&world, kube, 1, 30000);
	if (several.failed > 0)
		fail_msg("%s", several.err.msg);
	assert_string_equal(read_file("args"), "a  b\n$(touch hacked)\n; touch hacked\n*\n");
	assert_int_equal(access(path_of("hacked"), F_OK), -1);
	assert_string_equal(read_file("input"), "");
	info = read_file("env");
	assert_non_null(strstr(info, "WHO=opsd here\n"));
	assert_non_null(strstr(info, "KUBERNETES_EXEC_INFO={\"kind\":\"ExecCredential\""));
	assert_non_null(strstr(info, "\"interactive\":false"));
	assert_non_null(strstr(info, getenv("KUBE_URL")));
	assert_null(strstr(info, "API_TOKEN="));
	assert_non_null(strstr(info, "PATH="));
	kube_destroy(kube);
	world_close(&world);
}

static void test_bad_plugins(void **state)
{
	static const struct {
		const char *script, *says;
	} rows[] = {
		{ "echo hello", "what it printed is no ExecCredential" },
		{ "true", "it printed nothing" },
		{ "echo first >&2; echo 'log in first' >&2; exit 3",
		  "/bin/sh failed (exit status 3): log in first" },
		{ "kill -9 $$", "was ended by signal 9" },
		{ "head -c 400000 /dev/zero", "printed more than 262144 bytes" },
		{ "printf '" ANSWER "{}}'", "neither a token nor a certificate" },
		{ "printf '" ANSWER "{\\\"clientCertificateData\\\":\\\"x\\\"}}'",
		  "a certificate without its key" },
		{ "printf '" ANSWER "{\\\"token\\\":\\\"a b\\\"}}'",
		  "characters that no token has" },
		{ "printf '" ANSWER "{\\\"token\\\":\\\"t\\\",\\\"expirationTimestamp\\\":"
		  "\\\"2020-01-01T00:00:00Z\\\"}}'",
		  "has expired already" },
		{ "printf '" ANSWER "{\\\"token\\\":\\\"t\\\",\\\"expirationTimestamp\\\":"
		  "\\\"soon\\\"}}'",
		  "is no time" },
		{ "printf '{\\\"kind\\\":\\\"ExecCredential\\\",\\\"apiVersion\\\":"
		  "\\\"client.authentication.k8s.io/v1beta1\\\"}'",
		  "another apiVersion" },
	};
	struct world world;

	(void)state;
	world_open(&world);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct kube *kube = by_plugin(&world, rows[i].script, "");
		struct several several = ask(&world, kube, 3, 30000);

		assert_int_equal(several.failed, 3);
		if (strstr(several.err.msg, rows[i].says) == NULL)
			fail_msg("\"%s\" is not in: %s", rows[i].says, several.err.msg);
		assert_non_null(strstr(several.err.msg, "cluster main: the credential plugin"));
		assert_int_equal(several.problem, KUBE_UNKNOWN_US);
		assert_int_equal(several.err.kind, ERR_RETRY); /* certainly nothing was sent */
		kube_destroy(kube);
	}
	assert_int_equal(world_count(&world, "get", "deployments"), 0);
	world_close(&world);
}

struct beat {
	uv_timer_t timer;
	uint64_t last, worst;
};

static void on_beat(uv_timer_t *timer)
{
	struct beat *beat = timer->data;
	uint64_t now = uv_hrtime();

	if (beat->last != 0 && now - beat->last > beat->worst)
		beat->worst = now - beat->last;
	beat->last = now;
}

/* One that ended may stay in the table until init has waited for it. */
static bool runs(int pid)
{
	char path[40], state = 'Z';
	FILE *file;

	(void)snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	file = fopen(path, "r");
	if (file == NULL)
		return false;
	if (fscanf(file, "%*d (%*[^)]) %c", &state) != 1)
		state = 'Z';
	(void)fclose(file);
	return state != 'Z';
}

/* One that hangs costs its asker the time that was given and nobody else anything; it and what it
 * started are gone afterwards. */
static void test_hanging(void **state)
{
	struct several several;
	struct beat beat = { .last = 0 };
	struct world world;
	struct kube *kube;
	struct end end;
	struct kube_request request = get_workers();
	uint64_t stalled_ms;
	int pid;

	(void)state;
	world_open(&world);
	(void)unlink(path_of("pid"));
	stalled_ms = stall_ms();
	kube = by_plugin(&world, "sleep 1000 & echo $! > pid; wait", "");
	(void)uv_timer_init(&world.loop, &beat.timer);
	beat.timer.data = &beat;
	(void)uv_timer_start(&beat.timer, on_beat, 0, 5);
	several = ask(&world, kube, 3, HANGS_MS);
	assert_int_equal(several.failed, 3);
	assert_int_equal(several.err.kind, ERR_TIMEOUT);
	assert_non_null(strstr(several.err.msg, "has not answered yet"));
	end = world_ask(&world, &request); /* of the other cluster */
	assert_good(end);
	end_free(&end);
	assert_true(beat.worst < (HANGS_MS / 2 + stall_ms() - stalled_ms) * 1000000ull);
	uv_close((uv_handle_t *)&beat.timer, NULL);
	while (strchr(read_file("pid"), '\n') == NULL)
		(void)uv_run(&world.loop, UV_RUN_NOWAIT);
	pid = (int)strtol(read_file("pid"), NULL, 10);
	assert_true(pid > 1 && runs(pid));
	kube_destroy(kube);
	world_close(&world);
	for (uint64_t until_ns = uv_hrtime() + 60000000000ull; runs(pid);)
		assert_true(uv_hrtime() < until_ns);
}

static struct err stopped;

static void on_stopped(void *data, struct kube_credential *credential, const struct err *err)
{
	assert_null(credential);
	stopped = *err;
	*(bool *)data = true;
}

static void test_stopped_in_time(void **state)
{
	char *argv[] = { (char *)"/bin/sh", (char *)"-c", (char *)"sleep 1000", NULL };
	char *env[] = { NULL };
	const struct kube_plugin plugin = {
		.argv = argv, .env = env, .version = (char *)"v", .timeout_ms = 100
	};
	struct world world;
	bool done = false;

	(void)state;
	world_open(&world);
	(void)kube_plugin_run(&world.loop, &plugin, on_stopped, &done);
	while (!done)
		(void)uv_run(&world.loop, UV_RUN_ONCE);
	assert_non_null(strstr(stopped.msg, "did not end within"));
	world_close(&world);
}

/* Nobody waits for a credential that runs out; one that ran out is not sent. */
static void test_expiry(void **state)
{
	struct several several;
	struct world world;
	struct kube *kube;

	(void)state;
	world_open(&world);
	(void)unlink(path_of("runs"));
	clock_fake(1764000000000); /* 2025-11-24T16:00:00Z */
	kube = by_plugin(&world,
			 "printf . >> runs; printf '" ANSWER "{\\\"token\\\":\\\"" TOKEN
			 "\\\",\\\"expirationTimestamp\\\":\\\"%sT17:00:00+00:00\\\"}}' "
			 "$(cat day)",
			 "");
	{
		FILE *file = fopen(path_of("day"), "w");

		assert_true(fputs("2025-11-24", file) >= 0);
		(void)fclose(file);
	}
	several = ask(&world, kube, 2, 30000);
	if (several.failed > 0)
		fail_msg("%s", several.err.msg);
	clock_fake_advance(3599 * 1000);
	several = ask(&world, kube, 2, 30000);
	assert_int_equal(several.failed, 0);
	assert_string_equal(read_file("runs"), ".");
	clock_fake_advance(2000);
	several = ask(&world, kube, 2, 30000); /* it has run out, and so has the new one */
	assert_int_equal(several.failed, 2);
	assert_non_null(strstr(several.err.msg, "has expired already"));
	assert_string_equal(read_file("runs"), "..");
	clock_real();
	kube_destroy(kube);
	world_close(&world);
}

static void test_refused_then_run_again(void **state)
{
	struct several several;
	struct world world;
	struct kube *kube;

	(void)state;
	world_open(&world);
	(void)unlink(path_of("runs"));
	kube = by_plugin(&world,
			 "printf . >> runs; printf '" ANSWER "{\\\"token\\\":\\\"%s\\\"}}' $(cat "
			 "now)",
			 "");
	world_do(&world, "token", "{\"token\":\"first\",\"file\":\"%s\"}", path_of("now"));
	several = ask(&world, kube, 1, 30000);
	if (several.failed > 0)
		fail_msg("%s", several.err.msg);
	world_do(&world, "token", "{\"token\":\"second\",\"file\":\"%s\"}", path_of("now"));
	several = ask(&world, kube, 10, 30000);
	if (several.failed > 0)
		fail_msg("%s", several.err.msg);
	assert_string_equal(read_file("runs"), "..");
	kube_destroy(kube);
	world_close(&world);
}

/* --- files --- */

/* Rotated as others do it, the old one refused from that moment on, while requests are under way:
 * none fails. */
static void test_rotation_under_load(void **state)
{
	struct kube_request request = get_workers();
	struct several several = { 0 };
	struct world world;
	unsigned started = 0;

	(void)state;
	world_open(&world);
	for (int turn = 0; turn < 40; turn++) {
		for (int i = 0; i < 10; i++, started++)
			(void)kube_call(world.kube, &request, on_one, &several);
		world_do(&world, "token", "{\"token\":\"rotated-%d\",\"file\":\"%s\"}", turn,
			 getenv("KUBE_TOKEN"));
		for (int i = 0; i < 10; i++, started++)
			(void)kube_call(world.kube, &request, on_one, &several);
		/* None lives through more changes than it renews its token. */
		for (unsigned seen = several.done;
		     several.done < (turn % 4 == 3 ? started : seen + 10);)
			(void)uv_run(&world.loop, UV_RUN_ONCE);
	}
	while (several.done < started)
		(void)uv_run(&world.loop, UV_RUN_ONCE);
	if (several.failed > 0)
		fail_msg("%u of %u: %s", several.failed, started, several.err.msg);
	world_close(&world);
}

/* --- for whom --- */

static void test_impersonation(void **state)
{
	json_t *groups = json_pack("[s, s]", "team-ads", "oncall");
	json_t *extra = json_pack("{s:[s]}", "slack-user", "U0ANA");
	const struct kube_person ana = {
		.name = "ana@example.com", .uid = "1000", .groups = groups, .extra = extra
	};
	json_t *node = json_pack("{s:{s:s, s:s}, s:b}", "kubeconfig", "file", getenv("KUBE_CONFIG"),
				 "context", "main", "impersonate", 1);
	struct kube_request request = get_workers();
	struct several several = { 0 };
	struct world world;
	struct kube *kube;
	struct err err;
	json_t *seen;
	const json_t *headers;

	(void)state;
	world_open(&world);
	kube = kube_create(&world.loop, "main", node, "", &err);
	assert_non_null(kube);
	request.person = &ana;
	(void)kube_call(kube, &request, on_one, &several);
	while (several.done < 1)
		(void)uv_run(&world.loop, UV_RUN_ONCE);
	assert_int_equal(several.problem, KUBE_FORBIDDEN);
	assert_non_null(strstr(several.err.msg, "opsd may not act for ana@example.com there"));
	world_do(&world, "rbac",
		 "{\"allow\":[{\"group\":\"\",\"resource\":\"users\",\"verb\":\"impersonate\"},"
		 "{\"group\":\"\",\"resource\":\"groups\",\"verb\":\"impersonate\"}]}");
	(void)kube_call(kube, &request, on_one, &several);
	while (several.done < 2)
		(void)uv_run(&world.loop, UV_RUN_ONCE);
	assert_non_null(strstr(several.err.msg, "ana@example.com may not get deployments"));
	world_do(&world, "rbac", "{\"people\":[\"oncall\"]}");
	(void)kube_call(kube, &request, on_one, &several);
	while (several.done < 3)
		(void)uv_run(&world.loop, UV_RUN_ONCE);
	assert_int_equal(several.failed, 2);
	seen = world_control(&world, "requests", "{\"verb\":\"get\",\"status\":200}");
	headers = json_object_get(json_array_get(json_object_get(seen, "requests"), 0), "headers");
	assert_string_equal(jget_str(headers, "impersonate-user"), "ana@example.com");
	assert_string_equal(jget_str(headers, "impersonate-uid"), "1000");
	assert_string_equal(jget_str(headers, "impersonate-group"), "team-ads,oncall");
	assert_string_equal(jget_str(headers, "impersonate-extra-slack-user"), "U0ANA");
	json_decref(seen);
	request.person = NULL; /* what opsd does for itself it does as itself */
	(void)kube_call(kube, &request, on_one, &several);
	while (several.done < 4)
		(void)uv_run(&world.loop, UV_RUN_ONCE);
	assert_int_equal(several.failed, 2);
	kube_destroy(kube);
	json_decref(node);
	json_decref(groups);
	json_decref(extra);
	world_close(&world);
}

static int drop_folder(void **state)
{
	static const char *const names[] = { "config", "runs", "args", "env",
					     "input",  "pid",  "day",  "now" };

	(void)state;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		(void)unlink(path_of(names[i]));
	return rmdir(folder);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_one_run_for_all),
		cmocka_unit_test(test_no_shell),
		cmocka_unit_test(test_bad_plugins),
		cmocka_unit_test(test_hanging),
		cmocka_unit_test(test_stopped_in_time),
		cmocka_unit_test(test_expiry),
		cmocka_unit_test(test_refused_then_run_again),
		cmocka_unit_test(test_rotation_under_load),
		cmocka_unit_test(test_impersonation),
	};
	int failed;

	assert_non_null(mkdtemp(folder));
	http_library_init();
	failed = cmocka_run_group_tests(tests, NULL, drop_folder);
	http_library_finish();
	return failed;
}

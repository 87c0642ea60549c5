/* SPDX-License-Identifier: Apache-2.0 */
/*
 * plugin.c - runs a credential plugin: without a shell, with an end to its time and its output.
 *
 * It gets our environment without our own secrets, its own variables and KUBERNETES_EXEC_INFO, and
 * nothing on its standard input.  It leads a process group of its own, which is ended as a whole.
 * The run is over when the program has ended and both of its outputs are closed; of the last we
 * wait no longer than a second, for a child of its own may hold them.
 */
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "base/secret.h"
#include "base/str.h"
#include "base/xalloc.h"
#include "internal.h"

enum {
	LINGER_MS = 1000,
	OUT_MAX = 256 * 1024,
	SAID_MAX = 4096, /* of standard error; what comes later replaces it */
	SHOWN_MAX = 160,
	HANDLES = 4,
};

struct run {
	struct call call;
	const struct kube_plugin *plugin;
	uv_process_t process;
	uv_pipe_t out, said;
	uv_timer_t timer;
	struct buf text, words;
	char chunk[4096];
	unsigned open; /* handles */
	unsigned left; /* until it is over: the program and its two outputs */
	bool spawned, ended, timed_out, too_long, over;
	int64_t status;
	int signal;
	kube_plugin_fn done; /* NULL: cancelled */
	void *data;
};

/* --- its end --- */

static void on_closed(uv_handle_t *handle)
{
	struct run *run = handle->data;

	if (--run->open > 0)
		return;
	if (run->text.data != NULL)
		explicit_bzero(run->text.data, run->text.len);
	buf_finish(&run->text);
	buf_finish(&run->words);
	free(run);
}

static void end_program(struct run *run)
{
	if (run->spawned && run->process.pid > 0)
		(void)kill(-run->process.pid, SIGKILL); /* and all that it started */
}

static void close_all(struct run *run)
{
	run->over = true;
	end_program(run);
	uv_close((uv_handle_t *)&run->out, on_closed);
	uv_close((uv_handle_t *)&run->said, on_closed);
	uv_close((uv_handle_t *)&run->timer, on_closed);
	if (run->ended || !run->spawned) /* else once it was waited for */
		uv_close((uv_handle_t *)&run->process, on_closed);
}

/* The last line that it wrote to its standard error, harmless. */
static void last_words(const struct run *run, char shown[SHOWN_MAX + 1])
{
	const char *text = buf_text(&run->words);
	size_t len = strlen(text), start, n = 0;

	while (len > 0 && (unsigned char)text[len - 1] <= 0x20)
		len--;
	for (start = len; start > 0 && text[start - 1] != '\n'; start--)
		;
	for (size_t i = start; i < len && n < SHOWN_MAX; i++)
		if ((unsigned char)text[i] >= 0x20 && (unsigned char)text[i] < 0x7f)
			shown[n++] = text[i];
	shown[n] = '\0';
	log_redact(shown);
}

static bool ended_well(const struct run *run, struct err *err)
{
	const char *name = run->plugin->argv[0];
	char said[SHOWN_MAX + 1];

	last_words(run, said);
	if (run->timed_out)
		err_set(err, ERR_RETRY,
			"the credential plugin %s did not end within %d s and was stopped", name,
			(int)run->plugin->timeout_ms / 1000);
	else if (run->too_long)
		err_set(err, ERR_RETRY,
			"the credential plugin %s printed more than %d bytes and was stopped", name,
			OUT_MAX);
	else if (run->signal != 0)
		err_set(err, ERR_RETRY, "the credential plugin %s was ended by signal %d", name,
			run->signal);
	else if (run->status != 0)
		err_set(err, ERR_RETRY, "the credential plugin %s failed (exit status %d)%s%s",
			name, (int)run->status, *said != '\0' ? ": " : "", said);
	else
		return true;
	return false;
}

static void finish(struct run *run)
{
	struct kube_credential credential = { 0 };
	struct err err;
	bool good = ended_well(run, &err) &&
		    kube_plugin_answer(run->plugin, buf_text(&run->text), run->text.len,
				       clock_wall_ms(), &credential, &err);

	(void)uv_timer_stop(&run->timer);
	close_all(run);
	run->done(run->data, good ? &credential : NULL, good ? NULL : &err);
	kube_credential_finish(&credential);
}

static void on_linger(uv_timer_t *timer)
{
	finish(timer->data);
}

static void one_less(struct run *run)
{
	if (--run->left == 0)
		finish(run);
	else if (run->ended)
		(void)uv_timer_start(&run->timer, on_linger, LINGER_MS, 0);
}

static void on_exit_status(uv_process_t *process, int64_t status, int signal_number)
{
	struct run *run = process->data;

	run->ended = true;
	run->status = status;
	run->signal = signal_number;
	if (run->over)
		uv_close((uv_handle_t *)process, on_closed);
	else
		one_less(run);
}

static void on_time(uv_timer_t *timer)
{
	struct run *run = timer->data;

	run->timed_out = true;
	finish(run);
}

/* --- what it prints --- */

static void on_room(uv_handle_t *handle, size_t size, uv_buf_t *ret)
{
	struct run *run = handle->data;

	(void)size;
	*ret = uv_buf_init(run->chunk, sizeof(run->chunk));
}

static void on_out(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
	struct run *run = stream->data;

	if (n > 0 && !buf_append(&run->text, buf->base, (size_t)n)) {
		run->too_long = true;
		finish(run);
	}
	if (n > 0)
		explicit_bzero(buf->base, (size_t)n);
	if (n < 0 && !run->over) {
		(void)uv_read_stop(stream);
		one_less(run);
	}
}

static void on_said(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
	struct run *run = stream->data;

	if (n > 0 && run->words.len + (size_t)n > SAID_MAX)
		buf_consume(&run->words, run->words.len + (size_t)n - SAID_MAX);
	if (n > 0)
		(void)buf_append(&run->words, buf->base, (size_t)n);
	if (n < 0 && !run->over) {
		(void)uv_read_stop(stream);
		one_less(run);
	}
}

/* --- its beginning --- */

static void add(char ***env, size_t *n, const char *text)
{
	*env = xrealloc(*env, (*n + 2) * sizeof(**env));
	(*env)[(*n)++] = xstrdup(text);
	(*env)[*n] = NULL;
}

/* Ours without what was read from it as a secret, then the plugin's own. */
static char **environment_of(const struct kube_plugin *plugin)
{
	char **env = NULL;
	size_t n = 0;

	for (char **item = environ; *item != NULL; item++) {
		const char *equals = strchr(*item, '=');
		char *name = xstrndup(*item, equals == NULL ? 0 : (size_t)(equals - *item));

		if (equals != NULL && !secret_in_env(name))
			add(&env, &n, *item);
		free(name);
	}
	for (char **item = plugin->env; *item != NULL; item++)
		add(&env, &n, *item); /* the last of a name counts: see below */
	return env;
}

/* Of two with one name the earlier goes, or the program would see that one. */
static void drop_doubles(char **env)
{
	for (size_t i = 0; env[i] != NULL; i++) {
		size_t len = strcspn(env[i], "=") + 1;

		for (size_t later = i + 1; env[later] != NULL; later++) {
			if (strncmp(env[i], env[later], len) != 0)
				continue;
			free(env[i]);
			env[i] = env[later];
			for (size_t at = later; env[at] != NULL; at++)
				env[at] = env[at + 1];
			break;
		}
	}
}

static void free_all(char **texts)
{
	for (char **text = texts; text != NULL && *text != NULL; text++)
		free(*text);
	free(texts);
}

static void on_not_started(uv_timer_t *timer)
{
	struct run *run = timer->data;
	struct err err;

	err_set(&err, ERR_RETRY, "the credential plugin %s cannot be run: %s%s%s",
		run->plugin->argv[0], uv_strerror((int)run->status),
		run->plugin->hint != NULL ? "; " : "",
		run->plugin->hint != NULL ? run->plugin->hint : "");
	close_all(run);
	run->done(run->data, NULL, &err);
}

static void spawn(struct run *run, uv_loop_t *loop)
{
	char **env = environment_of(run->plugin);
	uv_stdio_container_t stdio[3] = {
		{ .flags = UV_IGNORE }, /* /dev/null */
		{ .flags = UV_CREATE_PIPE | UV_WRITABLE_PIPE,
		  .data.stream = (uv_stream_t *)&run->out },
		{ .flags = UV_CREATE_PIPE | UV_WRITABLE_PIPE,
		  .data.stream = (uv_stream_t *)&run->said },
	};
	uv_process_options_t options = { .file = run->plugin->argv[0],
					 .args = run->plugin->argv,
					 .exit_cb = on_exit_status,
					 .flags = UV_PROCESS_DETACHED,
					 .stdio_count = 3,
					 .stdio = stdio };
	int status;

	drop_doubles(env);
	options.env = env;
	status = uv_spawn(loop, &run->process, &options);
	free_all(env);
	run->spawned = status == 0;
	run->status = status;
	(void)uv_timer_start(&run->timer, status == 0 ? on_time : on_not_started,
			     status == 0 ? run->plugin->timeout_ms : 0, 0);
	if (status != 0)
		return;
	(void)uv_read_start((uv_stream_t *)&run->out, on_room, on_out);
	(void)uv_read_start((uv_stream_t *)&run->said, on_room, on_said);
}

static void on_cancel(struct call *call)
{
	close_all((struct run *)call);
}

struct call *kube_plugin_run(uv_loop_t *loop, const struct kube_plugin *plugin, kube_plugin_fn done,
			     void *data)
{
	struct run *run = xcalloc(1, sizeof(*run));

	run->call.cancel = on_cancel;
	run->plugin = plugin;
	run->open = HANDLES;
	run->left = 3;
	run->done = done;
	run->data = data;
	buf_init(&run->text, OUT_MAX);
	buf_init(&run->words, SAID_MAX);
	(void)uv_pipe_init(loop, &run->out, 0);
	(void)uv_pipe_init(loop, &run->said, 0);
	(void)uv_timer_init(loop, &run->timer);
	run->process.data = run->out.data = run->said.data = run->timer.data = run;
	spawn(run, loop);
	return &run->call;
}

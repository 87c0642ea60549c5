/* SPDX-License-Identifier: Apache-2.0 */
/* main.c - the command line: options, then one function per command. */
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "app/libraries.h"
#include "app/options.h"
#include "base/str.h"

static const struct {
	const char *name;
	int (*run)(struct app_options *options);
	const char *usage, *about;
} commands[] = {
	{ "audit", cmd_audit,
	  "audit list [request=… person=… action=… outcome=… since=…] [limit=N] | verify "
	  "[NUMBER:HASH]",
	  "search and prove the audit log" },
	{ "catalog", cmd_catalog, "catalog test|docs|kinds|schema",
	  "the declarations' own tests, pages and schema" },
	{ "check", cmd_check, "check [--online] [--policy] [--print]",
	  "configuration, catalog, policy and their tests" },
	{ "directory", cmd_directory, "directory held | release ADDRESS reason=WHY",
	  "addresses that another person has now" },
	{ "explain", cmd_explain, "explain PERSON ACTION [k=v …]", "why somebody may or may not" },
	{ "freeze", cmd_freeze, "freeze list | [k=v …] [hours=N] reason=WHY",
	  "stop changes: action, cluster, namespace, name, team …" },
	{ "grants", cmd_grants, "grants plan|apply FILE, grants list",
	  "reviewed grants as a file" },
	{ "migrate", cmd_migrate, "migrate [--plan]", "apply the database migrations" },
	{ "serve", cmd_serve, "serve", "run the service until SIGTERM" },
	{ "sync", cmd_sync, "sync [--plan]", "one run of the directory sync" },
	{ "unfreeze", cmd_unfreeze, "unfreeze [ID] reason=WHY", "lift one freeze, or all" },
};

enum { N_COMMANDS = sizeof(commands) / sizeof(commands[0]) };

int app_fail(enum app_exit code, const char *fmt, ...)
{
	va_list ap;

	(void)fputs("opsd: ", stderr);
	va_start(ap, fmt);
	(void)vfprintf(stderr, fmt, ap);
	va_end(ap);
	(void)fputc('\n', stderr);
	return code;
}

static void usage(FILE *out)
{
	(void)fputs("opsd [--config FILE] [--json] COMMAND\n\n", out);
	for (size_t i = 0; i < N_COMMANDS; i++)
		(void)fprintf(out, "  %-42s %s\n", commands[i].usage, commands[i].about);
	(void)fputs("\nThe configuration is opsd.yaml here, else /etc/opsd/opsd.yaml.\n"
		    "Exit codes: 0 good, 1 a finding or refusal, 2 usage, 3 could not run.\n",
		    out);
}

static int run(struct app_options *options)
{
	const char *names[N_COMMANDS], *near;

	for (size_t i = 0; i < N_COMMANDS; i++) {
		names[i] = commands[i].name;
		if (strcmp(commands[i].name, options->command) == 0)
			return commands[i].run(options);
	}
	near = str_nearest(options->command, names, N_COMMANDS);
	return app_fail(APP_USAGE, "there is no command \"%s\"%s%s%s; opsd --help lists them",
			options->command, near != NULL ? ", did you mean \"" : "",
			near != NULL ? near : "", near != NULL ? "\"?" : "");
}

/* Options of the program stand before the command; --json may also stand anywhere after it. */
static int parse(int argc, char **argv, struct app_options *options)
{
	int i = 1, n = 0;

	for (; i < argc && argv[i][0] == '-'; i++) {
		if (str_eq(argv[i], "--config") && i + 1 < argc) {
			options->config = argv[++i];
		} else if (str_starts(argv[i], "--config=")) {
			options->config = argv[i] + strlen("--config=");
		} else if (str_eq(argv[i], "--json")) {
			options->json = true;
		} else if (str_eq(argv[i], "--help") || str_eq(argv[i], "-h")) {
			usage(stdout);
			return APP_GOOD;
		} else if (str_eq(argv[i], "--version")) {
			(void)puts("opsd " OPSD_VERSION);
			return APP_GOOD;
		} else {
			return app_fail(APP_USAGE, "unknown option \"%s\"; opsd --help lists them",
					argv[i]);
		}
	}
	if (i >= argc) {
		usage(stderr);
		return APP_USAGE;
	}
	options->command = argv[i++];
	options->argv = argv + i;
	for (; i < argc; i++) {
		if (str_eq(argv[i], "--json"))
			options->json = true;
		else
			options->argv[n++] = argv[i];
	}
	options->argc = n;
	return -1;
}

int main(int argc, char **argv)
{
	struct app_options options = { 0 };
	int code = parse(argc, argv, &options);

	if (code >= 0)
		return code;
	(void)signal(SIGPIPE, SIG_IGN);
	libraries_init();
	code = run(&options);
	libraries_finish();
	return code;
}

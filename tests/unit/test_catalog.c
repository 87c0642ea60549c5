/* SPDX-License-Identifier: Apache-2.0 */
/* test_catalog.c - the loader: what it takes, and where it says that something is wrong. */
#include "test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/diag.h"
#include "base/str.h"
#include "core/args.h"
#include "core/catalog.h"
#include "core/command.h"
#include "core/expr.h"
#include "core/help.h"
#include "fake_kinds.h"

static char dir[] = "/tmp/opsd-catalog-XXXXXX";
static struct diags diags;

static void path_of(const char *name, char path[128])
{
	(void)snprintf(path, 128, "%s/%s", dir, name);
}

static void put(const char *name, const char *text)
{
	char path[128];
	FILE *file;

	path_of(name, path);
	file = fopen(path, "w");
	assert_non_null(file);
	(void)fputs(text, file);
	(void)fclose(file);
}

static void drop(const char *name)
{
	char path[128];

	path_of(name, path);
	(void)unlink(path);
}

static int setup(void **state)
{
	(void)state;
	diags_init(&diags);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	diags_finish(&diags);
	drop("a.yaml");
	drop("b.yaml");
	return 0;
}

static int setup_all(void **state)
{
	(void)state;
	return mkdtemp(dir) != NULL ? 0 : -1;
}

static int teardown_all(void **state)
{
	(void)state;
	expr_forget();
	return rmdir(dir);
}

static struct catalog *load(void)
{
	return catalog_load(dir, fake_kinds, NULL, &diags);
}

static void print_diags(void)
{
	for (size_t i = 0; i < diags.n; i++)
		print_message("%s\n", diag_text(&diags.items[i]));
}

/* "3:5: says", the place may be left out. */
static void check_said(const char *place, const char *says)
{
	char want[300];

	(void)snprintf(want, sizeof(want), "%s/%s", dir, place);
	for (size_t i = 0; i < diags.n; i++) {
		const char *text = diag_text(&diags.items[i]);

		if (str_starts(text, want) && strstr(text, says) != NULL)
			return;
	}
	print_diags();
	fail_msg("nothing at %s says: %s", place, says);
}

static const char good[] =
	"prefix: workers\n"
	"about: Worker fleets\n"
	"commands:\n"
	"  scale:\n"
	"    about: Change how many workers a role runs\n"
	"    action: workers.scale\n"
	"    scope: { team: \"{team}\", role: \"{role}\", size: \"{count}\" }\n"
	"    risk: 2\n"
	"    params:\n"
	"      team: { type: string, pattern: \"[a-z][a-z0-9-]{1,30}\", "
	"from: { kube.list: { cluster: main, kind: Namespace } } }\n"
	"      role: { type: enum, values: [dev, prod], default: dev }\n"
	"      count: { type: integer, min: 0, max: 200 }\n"
	"      for: { type: duration, max: 24h, optional: true }\n"
	"      reason: { type: text, max: 300 }\n"
	"    guard:\n"
	"      - { when: \".count == 0\", deny: Use workers stop }\n"
	"    do:\n"
	"      kube.scale: { cluster: main, namespace: \"{team}\", name: \"workers-{role}\", "
	"replicas: \"{count}\" }\n"
	"    tests:\n"
	"      - { as: [team-ads], text: team=ads count=5 reason=load, expect: allow }\n"
	"      - { as: [team-ads], text: team=ads role=prod count=5 reason=load, "
	"expect: { approval: 1 } }\n"
	"      - { as: [], text: team=ads count=x, expect: invalid }\n"
	"  list:\n"
	"    about: Show the fleets\n"
	"    action: workers.read\n"
	"    risk: 0\n"
	"    do:\n"
	"      kube.list: { cluster: main, kind: Deployment, rows: \".items | map([.name])\" }\n";

static void test_good(void **state)
{
	struct catalog *catalog;
	const struct command *scale;
	json_t *actions, *want;

	(void)state;
	put("a.yaml", good);
	catalog = load();
	print_diags();
	assert_non_null(catalog);
	assert_int_equal(catalog_prefixes(catalog), 1);
	assert_string_equal(catalog_prefix_about(catalog, "workers"), "Worker fleets");
	assert_int_equal(catalog_commands(catalog), 2);
	assert_string_equal(catalog_command(catalog, 0)->title, "workers list");
	scale = catalog_find(catalog, "workers", "scale");
	assert_ptr_equal(scale, catalog_find_title(catalog, "workers scale"));
	assert_null(catalog_find_title(catalog, "workers scal"));
	assert_null(catalog_find_title(catalog, NULL));
	assert_int_equal(scale->line, 4);
	assert_int_equal(scale->n_params, 7);               /* with until and at */
	assert_string_equal(scale->params[0].name, "team"); /* the declared order */
	assert_string_equal(scale->params[4].name, "reason");
	assert_non_null(jget(scale->params[0].from, "kube.list") == NULL
				? json_object_get(scale->params[0].from, "kube.list")
				: scale->params[0].from);
	assert_string_equal(json_string_value(scale->params[1].fallback), "dev");
	assert_int_equal(scale->params[3].max, 86400);
	assert_string_equal(scale->kind->name, "kube.scale");
	assert_int_equal(scale->n_tests, 3);
	assert_int_equal(scale->tests[1].approvals, 1);
	assert_int_equal(scale->tests[1].line, 21);
	actions = catalog_actions(catalog);
	want = json_loads("[{\"name\":\"workers.read\",\"risk\":0,\"scope\":[]},"
			  "{\"name\":\"workers.scale\",\"risk\":2,\"scope\":["
			  "{\"name\":\"team\",\"type\":\"enum\"},"
			  "{\"name\":\"role\",\"type\":\"enum\"},"
			  "{\"name\":\"size\",\"type\":\"int\"}]}]",
			  0, NULL);
	assert_true(json_equal(actions, want));
	json_decref(actions);
	json_decref(want);
	assert_int_equal(strlen(catalog_digest(catalog)), 64);
	catalog_unref(catalog_ref(catalog));
	catalog_unref(catalog);
	catalog_unref(NULL);
}

/* The same files in another catalog have the same digest; a changed byte has another. */
static void test_digest(void **state)
{
	struct catalog *a, *b, *c;

	(void)state;
	put("a.yaml", good);
	a = load();
	b = load();
	assert_string_equal(catalog_digest(a), catalog_digest(b));
	put("b.yaml", "prefix: x\nabout: X\ncommands: { z: { about: z, action: x.z, risk: 0, "
		      "do: { kube.list: { cluster: main, kind: Pod } } } }\n");
	c = load();
	print_diags();
	assert_non_null(c);
	assert_string_not_equal(catalog_digest(a), catalog_digest(c));
	catalog_unref(a);
	catalog_unref(b);
	catalog_unref(c);
}

/* All mistakes of a file are reported in one go, each where it stands. */
static void test_all_mistakes(void **state)
{
	(void)state;
	put("a.yaml", "prefix: workers\n"                                               /* 1 */
		      "about: Worker fleets\n"                                          /* 2 */
		      "comands: {}\n"                                                   /* 3 */
		      "commands:\n"                                                     /* 4 */
		      "  scale:\n"                                                      /* 5 */
		      "    about: \"\"\n"                                               /* 6 */
		      "    action: Workers\n"                                           /* 7 */
		      "    scope: { team: \"{tema}\", n: \"{n}\" }\n"                   /* 8 */
		      "    risk: 7\n"                                                   /* 9 */
		      "    parms: {}\n"                                                 /* 10 */
		      "    params:\n"                                                   /* 11 */
		      "      team: { type: strin }\n"                                   /* 12 */
		      "      n: { type: integer, values: [a] }\n"                       /* 13 */
		      "      E: { type: enum }\n"                                       /* 14 */
		      "      p: { type: string, pattern: \"(\" }\n"                     /* 15 */
		      "      d: { type: integer, max: 3, default: 4 }\n"                /* 16 */
		      "      s: { type: text, secret: true, default: x }\n"             /* 17 */
		      "      f: { type: duration, max: 5 }\n"                           /* 18 */
		      "    guard:\n"                                                    /* 19 */
		      "      - { when: \".x == 1\", deny: never }\n"                    /* 20 */
		      "      - { when: \"env\", deny: \"{n} no\" }\n"                   /* 21 */
		      "    approval:\n"                                                 /* 22 */
		      "      - { when: \".plan.x\", need: 9, from: {}, expires: 1s }\n" /* 23 */
		      "    do:\n"                                                       /* 24 */
		      "      kube.scael: {}\n"                                          /* 25 */
		      "  stop: 5\n"                                                     /* 26 */
		      "  help:\n"                                                       /* 27 */
		      "    about: x\n");                                                /* 28 */
	assert_null(load());
	check_said("a.yaml:3:1: ", "unknown key \"comands\" of a file of commands, did you mean "
				   "\"commands\"?");
	check_said("a.yaml:6:12: ", "not empty");
	check_said("a.yaml:7:13: ", "like workers.scale");
	check_said("a.yaml:8:20: ",
		   "{tema} is no parameter of workers scale, did you mean {team}?");
	check_said("a.yaml:8:33: ", "needs \"min\" and \"max\"");
	check_said("a.yaml:9:11: ", "\"risk\" must be 0");
	check_said("a.yaml:10:5: ", "unknown key \"parms\" of a command, did you mean \"params\"?");
	check_said("a.yaml:12:21: ", "unknown type \"strin\", did you mean \"string\"?");
	check_said("a.yaml:13:35: ", "\"values\" goes with enum, not with type integer");
	check_said("a.yaml:14:10: ", "an enum needs \"values\"");
	check_said("a.yaml:14:7: ", "must be small letters");
	check_said("a.yaml:15:35: ", "");
	check_said("a.yaml:16:44: ", "the default does not fit");
	check_said("a.yaml:17:47: ", "a secret has no default");
	check_said("a.yaml:18:33: ", "like 30m or 24h");
	check_said("a.yaml:20:17: ", ".x is no parameter of workers scale");
	check_said("a.yaml:21:17: ", "\"env\" may not be used");
	check_said("a.yaml:21:", "{n} is replaced in");
	check_said("a.yaml:23:", "\"expires\" is a length of time from 5m to 3d");
	check_said("a.yaml:23:", "\"need\" must be 1 to 5");
	check_said("a.yaml:23:", "either can_approve or group");
	check_said("a.yaml:25:",
		   "unknown action kind \"kube.scael\", did you mean \"kube.scale\"?");
	check_said("a.yaml:26:9: ", "a command must be a mapping");
	check_said("a.yaml:27:3: ", "\"help\" is a word of opsd itself");
	check_said("a.yaml:27:3: ", "a command needs \"action\"");
}

static void put_command(const char *body)
{
	char text[2000];

	(void)snprintf(text, sizeof(text),
		       "prefix: w\nabout: W\ncommands:\n  c:\n    about: C\n    action: w.c\n%s",
		       body);
	put("a.yaml", text);
}

static void check_refused(const char *body, const char *place, const char *says)
{
	put_command(body);
	diags_finish(&diags);
	diags_init(&diags);
	assert_null(load());
	check_said(place, says);
}

static void test_do(void **state)
{
	(void)state;
	check_refused("    risk: 1\n    do: { kube.list: { cluster: main, kind: Pod } }\n",
		      "a.yaml:8:", "kube.list only reads: its risk must be 0");
	check_refused("    risk: 0\n    do: { kube.scale: { cluster: main, namespace: a, name: b, "
		      "replicas: 1 } }\n",
		      "a.yaml:8:", "kube.scale changes something: its risk must be 1 to 3");
	check_refused(
		"    risk: 0\n    do: { kube.list: { clustr: main, kind: Pod } }\n",
		"a.yaml:8:24: ", "unknown key \"clustr\" of kube.list, did you mean \"cluster\"?");
	check_refused("    risk: 0\n    do: { kube.list: { clustr: main, kind: Pod } }\n",
		      "a.yaml:8:", "kube.list needs \"cluster\": a cluster");
	check_refused("    risk: 0\n    do: { kube.list: { cluster: mian, kind: Pod } }\n",
		      "a.yaml:8:33: ", "there is no cluster \"mian\"");
	check_refused("    risk: 0\n    do: { kube.list: { cluster: 5, kind: Pod } }\n",
		      "a.yaml:8:33: ", "\"cluster\" of kube.list must be a text");
	check_refused("    risk: 0\n    params: { n: { type: integer, optional: true } }\n"
		      "    do: { kube.list: { cluster: main, kind: \"{n}\" } }\n",
		      "a.yaml:9:", "\"kind\" of kube.list must be a text");
	check_refused(
		"    risk: 0\n    params: { n: { type: enum, values: [a], optional: true } }\n"
		"    do: { kube.list: { cluster: main, kind: \"{n}\" } }\n",
		"a.yaml:9:", "{n} may be absent here");
	check_refused("    risk: 0\n    params: { n: { type: enum, values: [a] } }\n"
		      "    do: { kube.list: { cluster: main, kind: x, limit: \"{n}\" } }\n",
		      "a.yaml:9:", "\"limit\" of kube.list must be a number");
	check_refused("    risk: 0\n    params: { name: { type: string } }\n"
		      "    do: { kube.list: { cluster: main, kind: x, rows: \"map({name})\" } }\n",
		      "a.yaml:9:", "{name} is not replaced in expressions");
	check_refused(
		"    risk: 0\n    do: { kube.list: { cluster: main, kind: x, rows: \".a |\" } "
		"}\n",
		"a.yaml:8:", "syntax error");
	check_refused("    risk: 0\n    do: { kube.list: { cluster: main, kind: x, query: { a: "
		      "\"{b}\" } } }\n",
		      "a.yaml:8:", "{b} is no parameter of w c");
	check_refused("    risk: 0\n    do: {}\n", "a.yaml:8:", "must name one action kind");
	check_refused("    risk: 0\n    approval: [ { need: 1, from: { group: x } } ]\n"
		      "    do: { kube.list: { cluster: main, kind: Pod } }\n",
		      "a.yaml:8:", "nobody approves it");
}

static const char scaled[] = "    do: { kube.scale: { cluster: main, namespace: a, name: b, "
			     "replicas: 1 } }\n";

static void check_scaled(const char *body, const char *place, const char *says)
{
	char text[1500];

	(void)snprintf(text, sizeof(text), "    risk: 1\n%s%s", body, scaled);
	check_refused(text, place, says);
}

static void test_params_and_rules(void **state)
{
	(void)state;
	check_scaled("    params: { plan: { type: text } }\n",
		     "a.yaml:8:", "cannot be a parameter");
	check_scaled("    params: { a: { type: enum, values: [x, X] } }\n",
		     "a.yaml:8:", "listed twice");
	check_scaled("    params: { a: { type: enum, values: [1] } }\n",
		     "a.yaml:8:", "put it into quotes");
	check_scaled("    params: { a: { type: enum, values: [] } }\n",
		     "a.yaml:8:", "1 to 100 entries");
	check_scaled("    params: { a: { type: integer, min: 5, max: 4 } }\n",
		     "a.yaml:8:", "\"min\" is above \"max\"");
	check_scaled("    params: { a: { type: text, max: 5000 } }\n",
		     "a.yaml:8:", "1 to 1000 characters");
	check_scaled("    params: { a: { type: string, from: { kube.scale: { cluster: main, "
		     "namespace: a, name: b, replicas: 1 } } } }\n",
		     "a.yaml:8:", "values come from a kind that reads");
	check_scaled("    params: { a: { type: string, secret: true, pattern: a } }\n"
		     "    scope: { a: \"{a}\" }\n",
		     "a.yaml:9:", "{a} is secret");
	check_refused("    risk: 1\n    params: { a: { type: string, secret: true } }\n"
		      "    do: { kube.scale: { cluster: main, namespace: \"{a}\", name: b, "
		      "replicas: 1 } }\n",
		      "a.yaml:9:", "\"namespace\" of kube.scale is shown");
	check_scaled("    params: { a: { type: string } }\n    scope: { a: \"{a}\" }\n",
		     "a.yaml:9:", "needs a \"pattern\"");
	check_scaled("    params: { a: { type: text } }\n    scope: { a: \"{a}\" }\n",
		     "a.yaml:9:", "{a} is a text");
	check_scaled("    params: { a: { type: enum, values: [x], optional: true } }\n"
		     "    scope: { a: \"{a}\" }\n",
		     "a.yaml:9:", "no grant matches what is absent");
	check_scaled("    params: { a: { type: enum, values: [x] } }\n"
		     "    scope: { a: \"x-{a}\" }\n",
		     "a.yaml:9:", "not a mixture");
	check_scaled("    guard: [ { when: \".plan.x\", deny: never } ]\n",
		     "a.yaml:8:", "asked before there is a plan");
	check_scaled("    guard: [ { when: \"'a'\", deny: never } ]\n", "a.yaml:8:", "");
	check_scaled("    approval: [ { need: 1, from: { can_approve: w.d } } ]\n", "a.yaml:4",
		     "which no command needs, did you mean \"w.c\"?");
	check_scaled("    tests: [ { as: [x], text: a=1, expect: allow } ]\n",
		     "a.yaml:8:", "There is no parameter \"a\"");
	check_scaled("    tests: [ { as: [x], text: \"\", expect: invalid } ]\n",
		     "a.yaml:8:", "is understood, not invalid");
	check_scaled("    tests: [ { as: [x], text: \"\", expect: maybe } ]\n",
		     "a.yaml:8:", "\"expect\" is allow, deny, invalid");
	check_scaled("    tests: [ { as: x, text: \"\", expect: allow } ]\n",
		     "a.yaml:8:", "\"as\" must be a list");
}

static void test_files(void **state)
{
	const char *two = "prefix: w\nabout: W\ncommands:\n  d:\n    about: D\n    action: w.c\n"
			  "    risk: 0\n    params: { t: { type: enum, values: [a] } }\n"
			  "    scope: { t: \"{t}\" }\n"
			  "    do: { kube.list: { cluster: main, kind: Pod } }\n";

	(void)state;
	assert_null(load());
	assert_non_null(strstr(diag_text(&diags.items[0]), "holds no *.yaml file"));
	check_refused("    risk: 0\n    do: [\n", "a.yaml:", "");
	put_command("    risk: 0\n    do: { kube.list: { cluster: main, kind: Pod } }\n");
	put("b.yaml", two);
	diags_finish(&diags);
	diags_init(&diags);
	assert_null(load());
	check_said("b.yaml:1:9: ", "prefix \"w\" is also declared in");
	check_said("b.yaml:4", "w.c is scoped by nothing in w c, here by t");
	assert_null(catalog_load("/nonexistent/opsd", fake_kinds, NULL, &diags));
}

static void check_line(const struct catalog *catalog, const char *only, const char *text,
		       enum line_kind kind, const char *title)
{
	struct line line;

	args_line(catalog, only, text, &line);
	if (line.kind != kind)
		fail_msg("\"%s\": kind %d, not %d: %s", text, line.kind, kind, line.problem);
	if (kind == LINE_UNKNOWN) {
		assert_true(strlen(line.problem) > 0);
		if (title == NULL)
			assert_int_equal(line.n_nearest, 0);
		else if (line.n_nearest == 0 || !str_eq(line.nearest[0]->title, title))
			fail_msg("\"%s\": nearest is %s", text,
				 line.n_nearest > 0 ? line.nearest[0]->title : "none");
		return;
	}
	assert_true(str_eq(line.command != NULL ? line.command->title : NULL, title));
}

/* for, until and at: every change takes them, and nobody else's parameter has such a name. */
static void test_times(void **state)
{
	static const char head[] = "prefix: a\nabout: b\ncommands:\n";
	static const char plain[] =
		"  c: { about: d, action: a.c, risk: 1, params: { size: { type: integer, min: 0, "
		"max: "
		"9 "
		"} },\n       do: { kube.scale: { cluster: main, namespace: x, name: w, replicas: "
		"\"{size}\" } } }\n"
		"  j: { about: d, action: a.j, risk: 1,\n       do: { kube.job: { cluster: main, "
		"kind: x } } }\n"
		"  r: { about: d, action: a.r, risk: 0,\n       do: { kube.list: { cluster: main, "
		"kind: x } } }\n";
	static const char *const own[] = {
		"{ until: { type: time } }",
		"{ at: { type: text } }",
		"{ for: { type: text } }",
		"{ for: { type: duration, default: 2h } }",
	};
	char text[2000];
	struct catalog *catalog;
	const struct command *command;
	struct args_problems problems;
	json_t *args;

	(void)state;
	(void)snprintf(text, sizeof(text), "%s%s", head, plain);
	put("a.yaml", text);
	catalog = load();
	print_diags();
	assert_non_null(catalog);
	command = catalog_find(catalog, "a", "c");
	assert_int_equal(command->n_params, 4);
	assert_true(command_param(command, "for")->implied);
	args = args_from_text(command, "5 for=2h at=22:00", &problems);
	assert_int_equal(jget_int(args, "for", 0), 7200);
	assert_string_equal(jget_str(args, "at"), "22:00");
	json_decref(args);
	assert_null(args_from_text(command, "5 for=8d", &problems));
	assert_string_equal(problems.items[0].text, "for must be a duration from 1m to 7d, like "
						    "for=2h (you wrote \"8d\").");
	assert_null(args_from_text(command, "5 until=25:00", &problems));
	assert_string_equal(problems.items[0].text,
			    "until must be a time, 18:00 or 2026-11-25T18:00, like until=18:00 "
			    "(you wrote \"25:00\").");
	assert_null(args_from_text(command, "5 for=2h until=18:00", &problems));
	assert_string_equal(problems.items[0].text, "Say either for or until when it shall last.");
	/* what cannot be set back may still wait; a read does neither */
	command = catalog_find(catalog, "a", "j");
	assert_null(args_from_text(command, "for=2h", &problems));
	assert_string_equal(problems.items[0].text,
			    "a j takes no for=: what it does cannot be set back.");
	args = args_from_text(command, "at=2027-01-01T08:00", &problems);
	assert_string_equal(jget_str(args, "at"), "2027-01-01T08:00");
	json_decref(args);
	assert_null(args_from_text(catalog_find(catalog, "a", "r"), "at=22:00", &problems));
	assert_string_equal(problems.items[0].text, "a r takes no at=: it only reads.");
	catalog_unref(catalog);
	for (size_t i = 0; i < sizeof(own) / sizeof(own[0]); i++) {
		diags_finish(&diags);
		diags_init(&diags);
		(void)snprintf(
			text, sizeof(text),
			"%s  c: { about: d, action: a.c, risk: 1, params:\n    %s,\n    do: { "
			"kube.scale: { cluster: main, namespace: x, name: w, replicas: 1 } } }\n",
			head, own[i]);
		put("a.yaml", text);
		assert_null(load());
		check_said("a.yaml:5:7", own[i][2] == 'f' ? "\"for\" is how long a change lasts"
							  : "cannot be a parameter");
	}
	diags_finish(&diags);
	diags_init(&diags);
	put("a.yaml", "prefix: undo\nabout: b\ncommands: {}\n");
	assert_null(load());
	check_said("a.yaml:1:9", "\"undo\" is a word of opsd itself");
}

static void test_lines(void **state)
{
	struct catalog *catalog;
	struct line line;

	(void)state;
	put("a.yaml", good);
	catalog = load();
	assert_non_null(catalog);
	args_line(catalog, NULL, " workers   scale  team=ads role=dev", &line);
	assert_int_equal(line.kind, LINE_COMMAND);
	assert_string_equal(line.command->title, "workers scale");
	assert_string_equal(line.rest, "team=ads role=dev");
	args_line(catalog, "workers", "scale team=ads", &line);
	assert_int_equal(line.kind, LINE_COMMAND);
	assert_string_equal(line.rest, "team=ads");
	check_line(catalog, NULL, "Workers List", LINE_COMMAND, "workers list");
	check_line(catalog, NULL, "/ops workers list", LINE_COMMAND, "workers list");
	check_line(catalog, NULL, "", LINE_HELP, NULL);
	check_line(catalog, NULL, " help ", LINE_HELP, NULL);
	check_line(catalog, NULL, "?", LINE_HELP, NULL);
	check_line(catalog, NULL, "help workers", LINE_HELP, NULL);
	check_line(catalog, NULL, "workers", LINE_HELP, NULL);
	check_line(catalog, NULL, "workers help", LINE_HELP, NULL);
	check_line(catalog, NULL, "help workers scale", LINE_HELP, "workers scale");
	check_line(catalog, NULL, "workers scale help", LINE_HELP, "workers scale");
	check_line(catalog, NULL, "workers scale --help", LINE_HELP, "workers scale");
	check_line(catalog, "workers", "", LINE_HELP, NULL);
	check_line(catalog, "workers", "help scale", LINE_HELP, "workers scale");
	check_line(catalog, NULL, "wrokers scale team=ads", LINE_UNKNOWN, "workers scale");
	check_line(catalog, NULL, "workers sclae team=ads", LINE_UNKNOWN, "workers scale");
	check_line(catalog, NULL, "workers.scale team=ads", LINE_UNKNOWN, "workers scale");
	check_line(catalog, NULL, "scale team=ads", LINE_UNKNOWN, "workers scale");
	check_line(catalog, NULL, "lsit", LINE_UNKNOWN, "workers list");
	check_line(catalog, "workers", "sclae", LINE_UNKNOWN, "workers scale");
	check_line(catalog, NULL, "xyzzy", LINE_UNKNOWN, NULL);
	check_line(catalog, NULL, "help xyzzy", LINE_UNKNOWN, NULL);
	args_line(catalog, NULL, " Undo  R1KH2M8Q4ZT7WX0A ", &line);
	assert_int_equal(line.kind, LINE_OWN);
	assert_string_equal(line.word, "undo");
	assert_string_equal(line.rest, "R1KH2M8Q4ZT7WX0A ");
	check_line(catalog, NULL, "active", LINE_OWN, NULL);
	args_line(catalog, "workers", "undo", &line); /* a command of its own does not know it */
	assert_int_equal(line.kind, LINE_UNKNOWN);
	check_line(catalog, NULL, "\xff\xff \xc3", LINE_UNKNOWN, NULL);
	catalog_unref(catalog);
	/* Commands of "ops" go by their name alone, unless that is a prefix. */
	put("b.yaml", "prefix: ops\nabout: O\ncommands:\n"
		      "  hold: { about: H, action: ops.hold, risk: 0, do: { kube.list: { cluster: "
		      "main, kind: Pod } } }\n"
		      "  workers: { about: W, action: ops.w, risk: 0, do: { kube.list: { cluster: "
		      "main, kind: Pod } } }\n");
	catalog = load();
	assert_non_null(catalog);
	args_line(catalog, NULL, "Hold a=1 b", &line);
	assert_int_equal(line.kind, LINE_COMMAND);
	assert_string_equal(line.command->title, "ops hold");
	assert_string_equal(line.rest, "a=1 b");
	check_line(catalog, NULL, "ops hold", LINE_COMMAND, "ops hold");
	check_line(catalog, NULL, "/ops ops hold", LINE_COMMAND, "ops hold");
	check_line(catalog, NULL, "hold help", LINE_HELP, "ops hold");
	check_line(catalog, NULL, "workers", LINE_HELP, NULL);
	check_line(catalog, "workers", "hold", LINE_UNKNOWN, "ops workers");
	catalog_unref(catalog);
}

static void test_help(void **state)
{
	struct catalog *catalog;
	json_t *all, *one, *may = json_pack("[s]", "workers.read"), *params;

	(void)state;
	put("a.yaml", good);
	catalog = load();
	all = help_commands(catalog, NULL, NULL);
	assert_int_equal(json_array_size(all), 2);
	json_decref(all);
	all = help_commands(catalog, "workers", may);
	assert_int_equal(json_array_size(all), 1);
	assert_string_equal(jget_str(json_array_get(all, 0), "title"), "workers list");
	json_decref(all);
	one = help_commands(catalog, "workers scale", NULL);
	assert_int_equal(json_array_size(one), 1);
	assert_string_equal(jget_str(json_array_get(one, 0), "usage"),
			    "workers scale team= [role=] count= [for=] reason=");
	assert_string_equal(jget_str(json_array_get(one, 0), "example"),
			    "workers scale team=ads count=5 reason=load");
	params = json_object_get(json_array_get(one, 0), "params");
	assert_int_equal(json_array_size(params), 7);
	assert_string_equal(jget_str(json_array_get(params, 5), "name"), "until");
	assert_string_equal(jget_str(json_array_get(params, 2), "kind"),
			    "a whole number from 0 to 200");
	json_decref(one);
	json_decref(may);
	catalog_unref(catalog);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_good, setup, teardown),
		cmocka_unit_test_setup_teardown(test_digest, setup, teardown),
		cmocka_unit_test_setup_teardown(test_all_mistakes, setup, teardown),
		cmocka_unit_test_setup_teardown(test_do, setup, teardown),
		cmocka_unit_test_setup_teardown(test_params_and_rules, setup, teardown),
		cmocka_unit_test_setup_teardown(test_files, setup, teardown),
		cmocka_unit_test_setup_teardown(test_times, setup, teardown),
		cmocka_unit_test_setup_teardown(test_lines, setup, teardown),
		cmocka_unit_test_setup_teardown(test_help, setup, teardown),
	};

	return cmocka_run_group_tests(tests, setup_all, teardown_all);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* internal - what the kinds of sources share: settings, one question with its tries, tokens. */
#ifndef OPSD_DIRECTORY_INTERNAL_H
#define OPSD_DIRECTORY_INTERNAL_H

#include <stdbool.h>

#include "base/err.h"
#include "directory/source.h"
#include "net/http.h"

enum {
	SOURCE_TEXT_MAX = 600,
	SOURCE_PAGE_MAX = 64 << 20, /* bytes of one page */
	SOURCE_ACTIVE = 8,          /* questions at once */
};

struct walk_kind;

struct source_kind {
	const char *name;
	const char *const *keys; /* NULL-ended: its settings besides those that all have */
	const char *url;         /* where its API is; NULL: url must be set, "": it has none */
	unsigned per_minute;     /* questions, below the vendor's quota; 0: no limit */
	bool metadata;           /* may ask the cloud who this machine is */
	bool (*check)(struct source *source, struct err *err); /* its own settings, texts only */
	const struct walk_kind *walk; /* how its listings are read; NULL: by fetch */
	struct call *(*fetch)(struct source *source, const char *validator, source_done_fn done,
			      void *data);
	/* Is this refusal worth another try?  What should the operator do about it?  May be NULL.
	 */
	bool (*passing)(int status, const json_t *body);
	const char *(*advice)(int status, const json_t *body);
};

extern const struct source_kind source_file, source_google, source_graph, source_ldap, source_okta,
	source_scim, source_slack;

struct source {
	const struct source_kind *kind;
	uv_loop_t *loop;
	struct http *http;
	json_t *node;
	json_t *scope;            /* { id: true } of groups in use */
	char *name, *dir, *label; /* label: "directory.sources.company" */
	char *url;                /* without a slash at its end */
	char *ca_file;
	const char **domains; /* of node */
	size_t n_domains;
	unsigned per_minute, tries, minutes;
	int64_t free_ms; /* when the next question may be sent */
	bool probing;    /* only to see whether it is to be had */
};

/* ---- settings ---- */

const char *source_text(const struct source *source, const char *path); /* NULL: not set */
bool source_need(const struct source *source, const char *path, struct err *err);
char *source_path(const struct source *source, const char *path); /* of a file; the caller frees */
/* { env } or { file } at path; the caller frees with secret_free.  NULL: err. */
char *source_secret(const struct source *source, const char *path, struct err *err);
bool source_need_secret(const struct source *source, const char *path, struct err *err);
/* base ("https://…", no slash at the end) is the peer that url leads to. */
bool source_same_peer(const char *url, const char *base);

/* What a probe says: how much came. */
void notes_count(json_t *notes, size_t people, size_t groups);

/* ---- whose members are read ---- */

/* For kinds with the settings members and set_aside (SOURCE_SCOPE_KEYS). */
#define SOURCE_SCOPE_KEYS "members", "set_aside"
/* In use, or named by members. */
bool source_reads(const struct source *source, const char *id, const char *name);
bool source_sets_aside(const struct source *source, const char *id);

/* ---- one question ---- */

struct ask {
	const char *what; /* "users, page 3" */
	const char *url;
	const char *bearer;
	const char *form, *json;    /* sent by POST; NULL: a GET */
	const char *const *headers; /* NULL-ended, or NULL */
	const char *advice;         /* what to do about a refusal; NULL: the kind knows */
};

struct ask_answer {
	int status;
	const json_t *json; /* lent; NULL when it is none */
	const struct http_response *response;
};

/*
 * Tries again what may pass (no connection, 429, 5xx, what the kind says) with growing waits and
 * as long as the peer asks for.  err NULL: status 200 and a JSON object or array under a type that
 * says so.  Else err is the sentence; answer is given with it when there was one that is no try.
 */
typedef void (*ask_done_fn)(void *data, const struct ask_answer *answer, const struct err *err);
struct call *ask_start(struct source *source, const struct ask *ask, ask_done_fn done, void *data);

/* ---- tokens ---- */

#define TOKEN_BY_JWT "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

struct token_ask {                  /* one of the questions that lead to a token */
	unsigned step;              /* set: 0 is the first question */
	const char *what;           /* "the access token" */
	char *url;                  /* freed */
	char *form, *json, *bearer; /* freed with secret_free */
	const char *const *headers; /* static, like advice; see struct ask */
	const char *advice;
	bool more; /* its answer leads to another question, not to a token */
};

/* Fills the next question, from the answer to the one before (NULL: it is the first one); false:
 * err. */
typedef bool (*token_ask_fn)(const struct source *source, const json_t *before,
			     struct token_ask *ask, struct err *err);

typedef void (*token_done_fn)(void *data, const char *text, int64_t life_s, const json_t *body,
			      const struct err *err);
struct call *token_start(struct source *source, token_ask_fn next, token_done_fn done, void *data);

bool token_usable(const char *text); /* may stand in a header */

/* name=value pairs, escaped, ended by NULL.  The caller frees with secret_free. */
char *token_form(const char *const *pairs);

#endif

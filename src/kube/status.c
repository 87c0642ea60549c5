/* SPDX-License-Identifier: Apache-2.0 */
/*
 * status.c - an answer of the cluster that is no success, to a problem for code and a sentence for
 * people.
 *
 * The order is: HTTP status, then the Status object's reason, its causes, its message.  The message
 * of a change that could not be decoded holds the whole object; it is never shown, nor is anything
 * of a Secret.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/log.h"
#include "base/str.h"
#include "base/xalloc.h"
#include "internal.h"
#include "kube/kind.h"

enum { SHOWN_MAX = 300, PLAIN_MAX = 200, CAUSES_SHOWN = 5, STATUS_MAX = 1 << 20 };

struct reading {
	const struct kube_asked *asked;
	const struct kube_said *said;
	json_t *body; /* the Status object, or NULL */
	const char *reason, *message;
	char *where;
	char shown[SHOWN_MAX + 1]; /* of message, harmless */
};

static bool only_reads(const struct kube_asked *asked)
{
	return str_eq(asked->method, "GET") || str_eq(asked->method, "HEAD");
}

bool kube_asked_reads(const struct kube_asked *asked)
{
	return only_reads(asked) || asked->dry_run;
}

char *kube_asked_text(const struct kube_asked *asked)
{
	bool namespaced = asked->kind != NULL && asked->kind->namespaced && asked->space != NULL;

	if (asked->kind == NULL)
		return xasprintf("cluster %s: %s", asked->cluster, asked->path);
	if (asked->name == NULL && namespaced)
		return xasprintf("cluster %s: %s in namespace %s", asked->cluster,
				 asked->kind->plural, asked->space);
	if (asked->name == NULL)
		return xasprintf("cluster %s: %s", asked->cluster, asked->kind->plural);
	return xasprintf("cluster %s: %s %s%s%s", asked->cluster, asked->kind->kind,
			 namespaced ? asked->space : "", namespaced ? "/" : "", asked->name);
}

static const char *verb_of(const struct kube_asked *asked)
{
	if (asked->watches)
		return "watch";
	if (only_reads(asked))
		return asked->name != NULL || asked->kind == NULL ? "get" : "list";
	if (str_eq(asked->method, "POST"))
		return "create";
	if (str_eq(asked->method, "PUT"))
		return "update";
	return str_eq(asked->method, "DELETE") ? "delete" : "patch";
}

/* At most max bytes of text, whole characters, no control characters, secrets masked. */
static void clip(char *out, const char *text, size_t max)
{
	size_t n = 0, len = strlen(text), step;
	uint32_t cp;

	while (n < len && (step = str_utf8_next(text + n, len - n, &cp)) > 0 && n + step <= max) {
		memcpy(out + n, text + n, step);
		if (cp < 0x20 || cp == 0x7f)
			out[n] = ' ';
		n += step;
	}
	out[n] = '\0';
	log_redact(out);
}

static bool secretive(const struct reading *r)
{
	return r->asked->kind != NULL && str_eq(r->asked->kind->kind, "Secret");
}

static json_t *causes_of(const struct reading *r)
{
	return jget(r->body, "details.causes");
}

static const json_t *find_cause(const struct reading *r, const char *key, const char *value)
{
	json_t *cause;
	size_t i;

	json_array_foreach(causes_of(r), i,
			   cause) if (str_eq(jget_str(cause, key), value)) return cause;
	return NULL;
}

static bool cause_is(const struct reading *r, const char *key, const char *value)
{
	return find_cause(r, key, value) != NULL;
}

/* Does the message hold the whole object? */
static bool echoes(const struct reading *r)
{
	return cause_is(r, "field", "patch") || strstr(r->message, "patch: Invalid value") != NULL;
}

/* What may be shown of the message. */
static void choose_shown(struct reading *r)
{
	static const char strict[] = "strict decoding error: ";
	const char *text = r->message, *last = NULL;

	for (const char *at = strstr(text, strict); at != NULL; at = strstr(at + 1, strict))
		last = at;
	if (last != NULL)
		clip(r->shown, last + sizeof(strict) - 1, SHOWN_MAX);
	else if (echoes(r) || secretive(r))
		clip(r->shown, "a value has the wrong type or is not allowed", SHOWN_MAX);
	else
		clip(r->shown, text, SHOWN_MAX);
}

static void choose_plain(struct reading *r)
{
	const char *text = r->said->text + strspn(r->said->text, " \r\n\t");

	if (*text == '<')
		(void)snprintf(r->shown, sizeof(r->shown),
			       "a proxy in front of the cluster answered %d", r->said->status);
	else if (*text == '\0' || secretive(r))
		(void)snprintf(r->shown, sizeof(r->shown), "HTTP status %d", r->said->status);
	else
		clip(r->shown, text, PLAIN_MAX);
}

static void read_status(struct reading *r)
{
	struct err ignored;

	r->reason = r->message = "";
	r->body = json_parse(r->said->text, r->said->len, STATUS_MAX, &ignored);
	if (!str_eq(jget_str(r->body, "kind"), "Status")) {
		json_decref(r->body);
		r->body = NULL;
		choose_plain(r);
		return;
	}
	r->reason = jget_str_or(r->body, "reason", "");
	r->message = jget_str_or(r->body, "message", "");
	choose_shown(r);
}

/* Of "Invalid value: {…the object…}: field is immutable" what comes after the object, which says
 * nothing and may say too much. */
static const char *without_object(const char *message)
{
	const char *value = strstr(message, "Invalid value: "), *after = NULL;

	if (value == NULL || strchr(value, '{') == NULL)
		return message;
	for (const char *at = strchr(value, '}'); at != NULL; at = strchr(at + 1, '}')) {
		const char *colon = at + 1 + (at[1] == '"');

		if (colon[0] == ':' && colon[1] == ' ')
			after = colon + 2;
	}
	return after != NULL ? after : "the value is not allowed";
}

/* "field: message; …" of at most five causes. */
static void put_causes(const struct reading *r, struct buf *buf)
{
	json_t *cause;
	size_t i;

	json_array_foreach(causes_of(r), i, cause)
	{
		char text[SHOWN_MAX + 1];

		if (i == CAUSES_SHOWN)
			break;
		clip(text, secretive(r) ? "" : without_object(jget_str_or(cause, "message", "")),
		     SHOWN_MAX / 2);
		(void)buf_printf(buf, "%s%s%s%s", i == 0 ? "" : "; ",
				 jget_str_or(cause, "field", "?"), *text == '\0' ? "" : ": ", text);
	}
}

static enum kube_problem not_found(const struct reading *r, struct err *err)
{
	const char *plural = r->asked->kind != NULL ? r->asked->kind->plural : r->asked->path;
	/* Without a name in the details it is the path that is not known. */
	bool resource = jget_str(r->body, "details.name") == NULL || r->asked->name == NULL ||
			strstr(r->message, "could not find the requested resource") != NULL;

	if (resource && r->asked->subresource != NULL)
		err_set(err, ERR_INVALID, "%s: %s have no /%s on this cluster", r->where, plural,
			r->asked->subresource);
	else if (resource)
		err_set(err, ERR_INVALID, "%s: this cluster has no such resource (%s)", r->where,
			plural);
	else
		err_set(err, ERR_INVALID, "%s does not exist", r->where);
	return resource ? KUBE_NO_RESOURCE : KUBE_NOT_FOUND;
}

static enum kube_problem forbidden(const struct reading *r, struct err *err)
{
	const struct kube_asked *asked = r->asked;
	const char *says = strstr(r->message, "is forbidden: ");
	char shown[SHOWN_MAX + 1];

	if (cause_is(r, "reason", "NamespaceTerminating")) {
		err_set(err, ERR_DENIED, "%s: the namespace is being deleted", r->where);
		return KUBE_QUOTA;
	}
	/* Without "cannot" it is a limit and no missing permission. */
	if (says != NULL && strstr(says, " cannot ") == NULL) {
		clip(shown, says + strlen("is forbidden: "), SHOWN_MAX);
		err_set(err, ERR_DENIED, "%s: the cluster refuses it: %s", r->where, shown);
		return KUBE_QUOTA;
	}
	if (strstr(r->message, " cannot impersonate") != NULL) {
		err_set(err, ERR_DENIED,
			"cluster %s: opsd may not act for %s there; a cluster administrator can "
			"allow it (RBAC: apiGroups [\"\"], resources [\"users\", \"groups\"], "
			"verbs "
			"[\"impersonate\"]), or set impersonate: false",
			asked->cluster, asked->person != NULL ? asked->person : "others");
		return KUBE_FORBIDDEN;
	}
	if (asked->kind == NULL) {
		err_set(err, ERR_DENIED, "%s: opsd may not read this", r->where);
		return KUBE_FORBIDDEN;
	}
	err_set(err, ERR_DENIED,
		"%s: %s may not %s %s%s%s%s%s here; a cluster administrator can allow it (RBAC: "
		"apiGroups [\"%s\"], resources [\"%s%s%s\"], verbs [\"%s\"])",
		r->where, asked->person != NULL ? asked->person : "opsd", verb_of(asked),
		asked->kind->plural, asked->subresource != NULL ? "/" : "",
		asked->subresource != NULL ? asked->subresource : "",
		asked->space != NULL ? " in namespace " : "",
		asked->space != NULL ? asked->space : "", kube_kind_group(asked->kind),
		asked->kind->plural, asked->subresource != NULL ? "/" : "",
		asked->subresource != NULL ? asked->subresource : "", verb_of(asked));
	return KUBE_FORBIDDEN;
}

static enum kube_problem conflict(const struct reading *r, struct err *err)
{
	if (str_eq(r->reason, "AlreadyExists")) {
		err_set(err, ERR_INVALID, "%s exists already", r->where);
		return KUBE_EXISTS;
	}
	if (cause_is(r, "reason", "FieldManagerConflict")) {
		struct buf buf;

		buf_init(&buf, SHOWN_MAX);
		put_causes(r, &buf);
		err_set(err, ERR_INVALID, "%s: the field belongs to another manager: %s", r->where,
			buf_text(&buf));
		buf_finish(&buf);
		return KUBE_OWNED;
	}
	err_set(err, ERR_INVALID, "%s was changed by somebody else meanwhile; look again",
		r->where);
	return KUBE_CONFLICT;
}

static enum kube_problem invalid(const struct reading *r, struct err *err)
{
	struct buf buf;

	if (json_array_size(causes_of(r)) == 0 &&
	    strstr(r->message, "the server rejected our request") != NULL) {
		err_set(err, ERR_INVALID,
			"%s is no longer as it was when the change was prepared; look again",
			r->where);
		return KUBE_UNTRUE;
	}
	if (echoes(r) || json_array_size(causes_of(r)) == 0) {
		err_set(err, ERR_INVALID, "%s: the cluster refuses it: %s", r->where, r->shown);
		return KUBE_INVALID;
	}
	buf_init(&buf, SHOWN_MAX * 2);
	put_causes(r, &buf);
	err_set(err, ERR_INVALID, "%s: the cluster refuses it: %s", r->where, buf_text(&buf));
	buf_finish(&buf);
	return KUBE_INVALID;
}

/* Who it is, without what it says: a policy may quote what it looked at. */
static void put_refuser(const struct reading *r, char *out, size_t size)
{
	const char *name = strstr(r->message, "ValidatingAdmissionPolicy '");
	const char *end;

	if (name == NULL)
		name = strstr(r->message, "admission webhook \"");
	end = name == NULL ? NULL : strstr(name, " denied ");
	(void)snprintf(out, size, "%.*s; its words may quote the Secret and are not shown",
		       end == NULL ? 0 : (int)(end - name), name == NULL ? "" : name);
}

/* A webhook or policy may answer with any status. */
static bool policy(const struct reading *r, struct err *err)
{
	char who[SHOWN_MAX];
	const char *denied = strstr(r->message, " denied the request");
	bool ours = denied != NULL && strstr(r->message, "admission webhook") != NULL;

	if (!ours && (strstr(r->message, "ValidatingAdmissionPolicy") == NULL ||
		      strstr(r->message, "denied request") == NULL))
		return false;
	if (secretive(r))
		put_refuser(r, who, sizeof(who));
	err_set(err, ERR_DENIED, "%s: a policy of the cluster refuses it: %s", r->where,
		secretive(r) ? who : r->shown);
	return true;
}

static enum kube_problem failing(const struct reading *r, struct err *err)
{
	bool reads = kube_asked_reads(r->asked);

	if (strstr(r->message, "failed calling webhook") != NULL) {
		err_set(err, ERR_RETRY,
			"%s: an admission webhook of the cluster does not work; nothing was "
			"changed: %s",
			r->where, r->shown);
		return KUBE_UNAVAILABLE;
	}
	if (reads) {
		err_set(err, ERR_RETRY, "%s: the cluster's API is not available: %s", r->where,
			r->shown);
		return KUBE_UNAVAILABLE;
	}
	err_set(err, ERR_UNCERTAIN, "%s: the cluster gave no clear answer (%d): %s", r->where,
		r->said->status, r->shown);
	return KUBE_NOT_CLEAR;
}

static enum kube_problem blocked(const struct reading *r, struct err *err)
{
	const json_t *budget = find_cause(r, "reason", "DisruptionBudget");
	char shown[SHOWN_MAX + 1];

	if (budget != NULL) { /* which one, and how many it needs, is in the cause */
		clip(shown, jget_str_or(budget, "message", r->shown), SHOWN_MAX);
		err_set(err, ERR_INVALID, "%s: %s", r->where, shown);
		return KUBE_POLICY;
	}
	err_set(err, ERR_RETRY, "%s: the cluster is busy; nothing was changed: %s", r->where,
		r->shown);
	return KUBE_BUSY;
}

static enum kube_problem problem_of(const struct reading *r, struct err *err)
{
	if (policy(r, err))
		return KUBE_POLICY;
	if (r->said->status >= 500)
		return failing(r, err);
	switch (r->said->status) {
	case 401:
		err_set(err, ERR_DENIED,
			"cluster %s no longer accepts opsd's credentials; renew its token",
			r->asked->cluster);
		return KUBE_UNKNOWN_US;
	case 403:
		return forbidden(r, err);
	case 404:
		return not_found(r, err);
	case 409:
		return conflict(r, err);
	case 410:
		err_set(err, ERR_RETRY, "%s: the list has moved on; ask again", r->where);
		return KUBE_EXPIRED;
	case 422:
		return invalid(r, err);
	case 429:
		return blocked(r, err);
	case 405:
		err_set(err, ERR_INVALID, "%s cannot be changed this way", r->where);
		return KUBE_INVALID;
	case 413:
		err_set(err, ERR_INVALID, "%s: too large for the cluster", r->where);
		return KUBE_INVALID;
	default:
		err_set(err, ERR_INVALID, "%s: the cluster could not read the request (%d): %s",
			r->where, r->said->status, r->shown);
		return KUBE_INVALID;
	}
}

enum kube_problem kube_status_error(const struct kube_asked *asked, const struct kube_said *said,
				    struct err *ret_err)
{
	struct reading r = { .asked = asked, .said = said, .where = kube_asked_text(asked) };
	enum kube_problem problem;

	read_status(&r);
	problem = problem_of(&r, ret_err);
	log_redact(ret_err->msg);
	json_decref(r.body);
	free(r.where);
	return problem;
}

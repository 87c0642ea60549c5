/* SPDX-License-Identifier: Apache-2.0 */
/* gitops.c - Argo CD and Flux, which keep an object as Git has it: found by what they wrote on the
 * object, and what they will do to a change by their own objects, where opsd may read those. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "base/xalloc.h"
#include "core/args.h"
#include "internal.h"

enum { SENTENCE_MAX = 400, REVISION_MAX = 60 };

#define ARGO_TRACKING "argocd.argoproj.io/tracking-id"
#define FLUX "kustomize.toolkit.fluxcd.io/"

/* --- finding them --- */

/* "app:group/Kind:namespace/name" that describes this very object; a copied one does not count. */
static bool tracks(const char *tracking, const struct place *place)
{
	const char *group = kube_kind_group(place->kind);
	char *tail = xasprintf(":%s/%s:%s/%s", group, place->kind->kind,
			       place->space != NULL ? place->space : "", place->name);
	bool same = str_ends(tracking, tail);

	free(tail);
	return same;
}

static bool managed_by(const json_t *object, const char *manager)
{
	json_t *entry;
	size_t i;

	json_array_foreach(jget(object, "metadata.managedFields"), i,
			   entry) if (str_eq(jget_str(entry, "manager"), manager)) return true;
	return false;
}

/* Takes space and name. */
static struct keeper *add(struct gitops *git, const char *kind, char *space, char *name)
{
	struct keeper *keeper = &git->keepers[git->n++];

	*keeper = (struct keeper){ .kind = kube_kind_find(kind), .space = space, .name = name };
	return keeper;
}

/* By its own annotation, which names the application ("name", or "namespace_name" outside of Argo
 * CD's own namespace); by the label only where Argo CD has written here, for charts set it too. */
static void find_argo_cd(struct gitops *git, const char *home, const struct place *place,
			 const json_t *object)
{
	const char *text = object_note(object, "metadata.annotations", ARGO_TRACKING), *at;
	char *whole;

	if (text != NULL && tracks(text, place))
		whole = xstrndup(text, strcspn(text, ":"));
	else if (managed_by(object, "argocd-controller"))
		whole = xstrdup_null(
			object_note(object, "metadata.labels", "app.kubernetes.io/instance"));
	else
		return;
	at = whole == NULL ? NULL : strchr(whole, '_');
	if (at != NULL)
		(void)add(git, "Application", xstrndup(whole, (size_t)(at - whole)),
			  xstrdup(at + 1));
	else
		add(git, "Application", xstrdup(home), xstrdup_null(whole))->home = true;
	free(whole);
}

/* Told to leave the object alone? */
static bool let_go(const json_t *object)
{
	const char *mode = object_note(object, "metadata.annotations", FLUX "ssa");

	return str_eq(object_note(object, "metadata.annotations", FLUX "reconcile"), "disabled") ||
	       str_eq(mode, "Ignore") || str_eq(mode, "IfNotPresent");
}

static void find_flux(struct gitops *git, const json_t *object)
{
	static const struct {
		const char *kind, *name, *space;
	} rows[] = {
		{ "Kustomization", FLUX "name", FLUX "namespace" },
		{ "HelmRelease", "helm.toolkit.fluxcd.io/name",
		  "helm.toolkit.fluxcd.io/namespace" },
	};

	for (size_t i = 0; i < 2; i++) {
		const char *name = object_note(object, "metadata.labels", rows[i].name);
		const char *space = object_note(object, "metadata.labels", rows[i].space);

		if (name == NULL || (i == 0 && let_go(object)))
			continue;
		if (space != NULL)
			(void)add(git, rows[i].kind, xstrdup(space), xstrdup(name));
	}
}

void gitops_find(struct gitops *git, const char *argo_cd, const struct place *place,
		 const json_t *object)
{
	memset(git, 0, sizeof(*git));
	find_argo_cd(git, argo_cd, place, object);
	find_flux(git, object);
}

void gitops_finish(struct gitops *git)
{
	for (size_t i = 0; i < git->n; i++) {
		free(git->keepers[i].space);
		free(git->keepers[i].name);
	}
	git->n = 0;
}

bool gitops_wrote(const struct gitops *git, const char *manager)
{
	static const struct {
		const char *manager, *kind;
	} rows[] = { { "argocd-controller", "Application" },
		     { "kustomize-controller", "Kustomization" },
		     { "helm-controller", "HelmRelease" } };

	for (size_t r = 0; r < sizeof(rows) / sizeof(rows[0]); r++)
		for (size_t i = 0; i < git->n && str_eq(manager, rows[r].manager); i++)
			if (str_eq(git->keepers[i].kind->kind, rows[r].kind))
				return true;
	return false;
}

/* --- what they will do --- */

static bool has_text(const json_t *list, const char *text)
{
	json_t *item;
	size_t i;

	json_array_foreach((json_t *)(uintptr_t)list, i,
			   item) if (str_eq(json_string_value(item), text)) return true;
	return false;
}

struct change { /* of one field of an object */
	const struct place *place;
	const json_t *object;
	const json_t *path; /* as managedFields has it; NULL: not known */
	char *pointer;      /* the same as "/spec/replicas"; NULL: it leads into a list */
};

struct rule_keys { /* of a rule that says which differences do not count */
	const char *kind, *name, *pointers;
};

static bool ignored(const json_t *rules, const struct rule_keys *keys, const struct change *change)
{
	const struct place *place = change->place;
	json_t *rule;
	size_t i;

	json_array_foreach((json_t *)(uintptr_t)rules, i, rule)
	{
		if (change->pointer != NULL &&
		    str_eq(jget_str_or(rule, keys->kind, place->kind->kind), place->kind->kind) &&
		    str_eq(jget_str_or(rule, keys->name, place->name), place->name) &&
		    has_text(json_object_get(rule, keys->pointers), change->pointer))
			return true;
	}
	return false;
}

static void argo_does(const json_t *application, const struct change *change, char *says)
{
	const json_t *automated = jget(application, "spec.syncPolicy.automated");
	bool respects = has_text(jget(application, "spec.syncPolicy.syncOptions"),
				 "RespectIgnoreDifferences=true");
	static const struct rule_keys keys = { "kind", "name", "jsonPointers" };
	bool on = automated != NULL && jget_bool(automated, "enabled", true);
	const char *text;

	if (application == NULL)
		text = "keeps this object as Git has it: with self-heal the value is set back "
		       "within seconds, else at the next sync; change it in Git for good";
	else if (ignored(jget(application, "spec.ignoreDifferences"), &keys, change))
		text = respects ? "leaves this field alone"
				: "does not mind this difference, but its next sync of the object "
				  "may write over it; change it in Git for good";
	else if (on && jget_bool(automated, "selfHeal", false))
		text = "heals itself: the value is set back within seconds; change it in Git "
		       "instead";
	else
		text = on ? "syncs by itself: the value stays until the next change in Git; change "
			    "it there for good"
			  : "syncs only when somebody says so: the value stays until then; change "
			    "it in Git for good";
	(void)snprintf(says, SENTENCE_MAX, "%s", text);
}

/* "10m" of "10m0s"; what cannot be read stays as it is.  The caller frees. */
static char *interval_of(const json_t *object)
{
	const char *text = jget_str_or(object, "spec.interval", "");
	int64_t seconds;

	return args_duration(text, &seconds) ? args_duration_text(seconds)
					     : xasprintf("%.20s", text);
}

/* Did Flux itself write this field last?  Then Git has it. */
static bool in_git(const struct change *change)
{
	json_t *entry;
	size_t i;

	json_array_foreach(jget(change->object, "metadata.managedFields"), i, entry)
	{
		if (str_eq(jget_str(entry, "manager"), "kustomize-controller") &&
		    owners_holds(entry, change->path))
			return true;
	}
	return false;
}

/* "main@sha1:1a2b3c4" of "main@sha1:1a2b3c4d5e6f…". */
static int revision_len(const char *text)
{
	const char *colon = strchr(text, ':');
	size_t len = strlen(text), end = colon == NULL ? REVISION_MAX : (size_t)(colon - text) + 8;

	return (int)(len < end ? len : end);
}

static void kustomization_does(const json_t *object, const struct change *change, char *says)
{
	const char *revision = jget_str_or(object, "status.lastAppliedRevision", "");
	char *interval = interval_of(object);

	if (object == NULL)
		(void)snprintf(says, SENTENCE_MAX,
			       "sets it back at its next reconcile, often within 10 minutes, if "
			       "Git holds this field");
	else if (jget_bool(object, "spec.suspend", false))
		(void)snprintf(says, SENTENCE_MAX,
			       "is suspended: the change stays until somebody resumes it");
	else
		(void)snprintf(says, SENTENCE_MAX,
			       "sets it back within %s%s%s%.*s; change it in Git for good",
			       interval, in_git(change) ? "" : " if Git holds this field",
			       *revision != '\0' ? ", now at " : "", revision_len(revision),
			       revision);
	free(interval);
}

static void release_does(const json_t *object, const struct change *change, char *says)
{
	static const struct rule_keys keys = { "target.kind", "target.name", "paths" };
	bool heals = str_eq(jget_str(object, "spec.driftDetection.mode"), "enabled") &&
		     !ignored(jget(object, "spec.driftDetection.ignore"), &keys, change);
	char *interval = interval_of(object);

	if (object == NULL)
		(void)snprintf(says, SENTENCE_MAX,
			       "sets it back at its next upgrade, or within minutes if it "
			       "corrects drift; change its values for good");
	else if (jget_bool(object, "spec.suspend", false))
		(void)snprintf(says, SENTENCE_MAX,
			       "is suspended: the change stays until somebody resumes it");
	else if (heals)
		(void)snprintf(says, SENTENCE_MAX,
			       "corrects drift: it sets this back within %s; change its values "
			       "instead",
			       interval);
	else
		(void)snprintf(says, SENTENCE_MAX,
			       "does not correct this: the change stays until its next upgrade; "
			       "change its values for good");
	free(interval);
}

/* "/spec/replicas" of [ "f:spec", "f:replicas" ]; NULL where it leads into a list.  The caller
 * frees. */
static char *pointer_of(const json_t *path)
{
	char *pointer = NULL;
	json_t *step;
	size_t i;

	json_array_foreach((json_t *)(uintptr_t)path, i, step)
	{
		const char *text = json_string_value(step);
		char *longer =
			str_starts(text, "f:")
				? xasprintf("%s/%s", pointer != NULL ? pointer : "", text + 2)
				: NULL;

		free(pointer);
		pointer = longer;
		if (pointer == NULL)
			break;
	}
	return pointer;
}

void gitops_say(struct owners *owners, const struct gitops *git, const struct place *place,
		const json_t *object, const json_t *path)
{
	static const struct {
		const char *kind, *who;
		void (*does)(const json_t *object, const struct change *change, char *says);
	} rows[] = { { "Application", "Argo CD application", argo_does },
		     { "Kustomization", "Flux Kustomization", kustomization_does },
		     { "HelmRelease", "Flux HelmRelease", release_does } };
	struct change change = {
		.place = place, .object = object, .path = path, .pointer = pointer_of(path)
	};

	for (size_t i = 0; i < git->n; i++) {
		const struct keeper *keeper = &git->keepers[i];
		char who[SENTENCE_MAX], says[SENTENCE_MAX];
		size_t r = 0;

		while (!str_eq(rows[r].kind, keeper->kind->kind))
			r++;
		if (keeper->name == NULL)
			(void)snprintf(who, sizeof(who), "Argo CD");
		else
			(void)snprintf(who, sizeof(who), "%s %s%s%s", rows[r].who,
				       keeper->home ? "" : keeper->space, keeper->home ? "" : "/",
				       keeper->name);
		rows[r].does(keeper->object, &change, says);
		owners_add(owners, who, NULL, "%s", says);
	}
	free(change.pointer);
}

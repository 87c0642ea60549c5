/* SPDX-License-Identifier: Apache-2.0 */
/* action/gitops: who keeps an object as Git has it, and what they will do to a change of it. */
#include "test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../src/action/internal.h"
#include "base/xalloc.h"

#define KS "kustomize.toolkit.fluxcd.io/"
#define HELM "helm.toolkit.fluxcd.io/"
#define FLUX "\"labels\":{\"" KS "name\":\"apps\",\"" KS "namespace\":\"flux-system\"}"
#define RELEASE "\"labels\":{\"" HELM "name\":\"web\",\"" HELM "namespace\":\"ads\"}"
#define ARGO(id) "\"annotations\":{\"argocd.argoproj.io/tracking-id\":\"" id "\"}"
#define FIELD "{\"f:spec\":{\"f:replicas\":{}}}"
#define WROTE(manager) "\"managedFields\":[{\"manager\":\"" manager "\",\"fieldsV1\":" FIELD "}]"

static const struct place place = { .space = "ads", .name = "web" };

static struct place here(void)
{
	struct place own = place;

	own.kind = kube_kind_find("Deployment");
	return own;
}

/* metadata of the object, and where to ask: "kind space name" of each. */
static void test_found(void **state)
{
	static const struct {
		const char *metadata, *asked;
	} rows[] = {
		{ "", "" },
		{ ARGO("fleet:apps/Deployment:ads/web"), "Application gitops fleet " },
		{ ARGO("ops_fleet:apps/Deployment:ads/web"), "Application ops fleet " },
		{ ARGO("fleet:apps/Deployment:ads/other"), "" }, /* copied from another */
		{ "\"labels\":{\"app.kubernetes.io/instance\":\"web\"}", "" },
		{ "\"labels\":{\"app.kubernetes.io/instance\":\"web\"}," WROTE("argocd-controller"),
		  "Application gitops web " },
		{ WROTE("argocd-controller"), "Application gitops ? " },
		{ FLUX, "Kustomization flux-system apps " },
		{ FLUX ",\"annotations\":{\"" KS "reconcile\":\"disabled\"}", "" },
		{ FLUX ",\"annotations\":{\"" KS "ssa\":\"Ignore\"}", "" },
		{ FLUX ",\"annotations\":{\"" KS "ssa\":\"Merge\"}",
		  "Kustomization flux-system apps " },
		{ RELEASE, "HelmRelease ads web " },
	};
	const struct place own = here();

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char *text = xasprintf("{\"metadata\":{%s}}", rows[i].metadata);
		json_t *object = json_loads(text, 0, NULL);
		char asked[200] = "";
		struct gitops git;

		assert_non_null(object);
		gitops_find(&git, "gitops", &own, object);
		for (size_t k = 0; k < git.n; k++) {
			const struct keeper *keeper = &git.keepers[k];
			size_t len = strlen(asked);

			(void)snprintf(asked + len, sizeof(asked) - len, "%s %s %s ",
				       keeper->kind->kind, keeper->space,
				       keeper->name != NULL ? keeper->name : "?");
		}
		if (strcmp(asked, rows[i].asked) != 0)
			fail_msg("row %zu: %s", i, asked);
		gitops_finish(&git);
		json_decref(object);
		free(text);
	}
}

#define AUTOMATED(more) "{\"spec\":{\"syncPolicy\":{\"automated\":{" more "}}}}"
#define IGNORES(rule, policy)                                                                      \
	"{\"spec\":{\"ignoreDifferences\":[{" rule "\"jsonPointers\":[\"/spec/replicas\"]}],"      \
	"\"syncPolicy\":{" policy "}}}"
#define HEAL "\"automated\":{\"selfHeal\":true}"
#define DRIFT(rule)                                                                                \
	"{\"spec\":{\"interval\":\"15m\",\"driftDetection\":{\"mode\":\"enabled\",\"ignore\":["    \
	"{\"paths\":[\"/spec/replicas\"]" rule "}]}}}"

/* What is said of a change of /spec/replicas, by the keeper's own object. */
static const struct {
	const char *metadata, *keeper; /* "null": not read */
	const char *who, *says;
} said[] = {
	{ ARGO("fleet:apps/Deployment:ads/web"), "null", "Argo CD application fleet",
	  "keeps this object as Git has it: with self-heal the value is set back within "
	  "seconds, else at the next sync; change it in Git for good" },
	{ ARGO("ops_fleet:apps/Deployment:ads/web"), AUTOMATED("\"selfHeal\":true"),
	  "Argo CD application ops/fleet",
	  "heals itself: the value is set back within seconds; change it in Git instead" },
	{ ARGO("fleet:apps/Deployment:ads/web"), AUTOMATED("\"enabled\":false"),
	  "Argo CD application fleet",
	  "syncs only when somebody says so: the value stays until then; change it in Git "
	  "for good" },
	{ ARGO("fleet:apps/Deployment:ads/web"), IGNORES("", HEAL), "Argo CD application fleet",
	  "does not mind this difference, but its next sync of the object may write over "
	  "it; change it in Git for good" },
	{ ARGO("fleet:apps/Deployment:ads/web"), IGNORES("\"name\":\"other\",", HEAL),
	  "Argo CD application fleet",
	  "heals itself: the value is set back within seconds; change it in Git instead" },
	{ ARGO("fleet:apps/Deployment:ads/web"),
	  IGNORES("\"kind\":\"Deployment\",",
		  HEAL ",\"syncOptions\":[\"RespectIgnoreDifferences=true\"]"),
	  "Argo CD application fleet", "leaves this field alone" },
	{ WROTE("argocd-controller"), "null", "Argo CD",
	  "keeps this object as Git has it: with self-heal the value is set back within "
	  "seconds, else at the next sync; change it in Git for good" },
	{ FLUX, "null", "Flux Kustomization flux-system/apps",
	  "sets it back at its next reconcile, often within 10 minutes, if Git holds this "
	  "field" },
	{ FLUX, "{\"spec\":{\"interval\":\"10m0s\"}}", "Flux Kustomization flux-system/apps",
	  "sets it back within 10m if Git holds this field; change it in Git for good" },
	{ FLUX "," WROTE("kustomize-controller"),
	  "{\"spec\":{\"interval\":\"1h0m0s\"},\"status\":{\"lastAppliedRevision\":"
	  "\"main@sha1:1a2b3c4d5e6f7a8b\"}}",
	  "Flux Kustomization flux-system/apps",
	  "sets it back within 1h, now at main@sha1:1a2b3c4; change it in Git for good" },
	{ FLUX, "{\"spec\":{\"interval\":\"10m0s\",\"suspend\":true}}",
	  "Flux Kustomization flux-system/apps",
	  "is suspended: the change stays until somebody resumes it" },
	{ RELEASE, "null", "Flux HelmRelease ads/web",
	  "sets it back at its next upgrade, or within minutes if it corrects drift; "
	  "change "
	  "its values for good" },
	{ RELEASE, "{\"spec\":{\"interval\":\"5m\"}}", "Flux HelmRelease ads/web",
	  "does not correct this: the change stays until its next upgrade; change its "
	  "values "
	  "for good" },
	{ RELEASE, "{\"spec\":{\"interval\":\"5m\",\"driftDetection\":{\"mode\":\"warn\"}}}",
	  "Flux HelmRelease ads/web",
	  "does not correct this: the change stays until its next upgrade; change its "
	  "values "
	  "for good" },
	{ RELEASE, DRIFT(",\"target\":{\"kind\":\"DaemonSet\"}"), "Flux HelmRelease ads/web",
	  "corrects drift: it sets this back within 15m; change its values instead" },
	{ RELEASE, DRIFT(",\"target\":{\"kind\":\"Deployment\"}"), "Flux HelmRelease ads/web",
	  "does not correct this: the change stays until its next upgrade; change its "
	  "values "
	  "for good" },
	{ RELEASE, "{\"spec\":{\"interval\":\"5m\",\"suspend\":true}}", "Flux HelmRelease ads/web",
	  "is suspended: the change stays until somebody resumes it" },
};

static void test_says(void **state)
{
	json_t *path = json_pack("[s, s]", "f:spec", "f:replicas");
	const struct place own = here();

	(void)state;
	for (size_t i = 0; i < sizeof(said) / sizeof(said[0]); i++) {
		char *text = xasprintf("{\"metadata\":{%s}}", said[i].metadata);
		json_t *object = json_loads(text, 0, NULL);
		json_t *keeper = json_loads(said[i].keeper, JSON_DECODE_ANY, NULL);
		struct owners owners = { json_array(), json_array() };
		const json_t *first;
		struct gitops git;

		assert_non_null(keeper);
		gitops_find(&git, "argocd", &own, object);
		assert_int_equal(git.n, 1);
		git.keepers[0].object = json_is_null(keeper) ? NULL : keeper;
		/* Whoever it is, the record of the same field tells nothing more. */
		owners_of_object(&owners, &own, object, path, &git);
		assert_int_equal(json_array_size(owners.owners), 1);
		first = json_array_get(owners.owners, 0);
		if (strcmp(jget_str_or(first, "who", ""), said[i].who) != 0 ||
		    strcmp(jget_str_or(first, "says", ""), said[i].says) != 0)
			fail_msg("row %zu: %s: %s", i, jget_str(first, "who"),
				 jget_str(first, "says"));
		json_decref(owners.owners);
		json_decref(owners.warnings);
		gitops_finish(&git);
		json_decref(keeper);
		json_decref(object);
		free(text);
	}
	json_decref(path);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_found),
					    cmocka_unit_test(test_says) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}

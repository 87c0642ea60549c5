/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rbac - the least that the commands of a catalog need of a cluster, as Kubernetes' own roles.
 *
 * Made of what each action kind says it needs (core/action.h) and of what each command fills in: a
 * kind, a namespace or a name that stands there, or the values of an enum, narrows the rule.
 */
#ifndef OPSD_ACTION_RBAC_H
#define OPSD_ACTION_RBAC_H

#include <stdbool.h>
#include <stddef.h>

struct catalog;
struct err;

struct rbac_wish {
	const char *cluster;                 /* as the catalog names it */
	const char *account, *account_space; /* opsd's service account */
	const char *const *spaces;           /* the namespaces of "{team}": one binding each */
	size_t n_spaces;
	const char *argo_cd, *flux; /* the namespaces of those two */
	bool bare;                  /* without what only makes opsd say more */
	bool impersonate;           /* opsd acts for those who ask */
};

/* YAML: ClusterRole, Role and their bindings; the caller frees.  NULL: err, such as a kind of
 * object that only the person says. */
char *action_rbac(const struct catalog *catalog, const struct rbac_wish *wish, struct err *err);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* action.c - the table of all kinds, sorted by name. */
#include "internal.h"

/* clang-format off */
const struct action_kind *const action_kinds[] = {
	&action_access_break_glass,
	&action_access_end,
	&action_access_grant,
	&action_access_list,
	&action_access_relink,
	&action_access_suspend,
	&action_http_call,
	&action_http_list,
	&action_http_task,
	&action_kube_autoscale,
	&action_kube_config,
	&action_kube_cordon,
	&action_kube_cronjob,
	&action_kube_delete,
	&action_kube_drain,
	&action_kube_events,
	&action_kube_job,
	&action_kube_keda,
	&action_kube_list,
	&action_kube_logs,
	&action_kube_patch,
	&action_kube_restart,
	&action_kube_scale,
	&action_kube_secret,
	&action_kube_set,
	&action_kube_status,
	&action_kube_undo,
	&action_opsd_freeze,
	&action_opsd_resolve,
	&action_opsd_unfreeze,
	NULL,
};
/* clang-format on */

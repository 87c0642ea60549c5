/* SPDX-License-Identifier: Apache-2.0 */
/* web_internal - what is known of methods and error codes: web_errors.c, for web.c. */
#ifndef OPSD_SLACK_WEB_INTERNAL_H
#define OPSD_SLACK_WEB_INTERNAL_H

#include <stdbool.h>

#include "slack/web.h"

struct err;

bool slack_method_reads(const char *method); /* may be sent again after an unclear end */
bool slack_method_takes_json(const char *method);
bool slack_method_posts(const char *method); /* appears in a channel: paced */

/* The sentence of a failed call: the method, where to, Slack's code, what it means, what to do. */
void slack_web_sentence(const char *method, const json_t *args, const struct slack_answer *answer,
			int status, struct err *err);

#endif

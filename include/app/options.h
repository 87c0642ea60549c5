/* SPDX-License-Identifier: Apache-2.0 */
/* options - the command line: opsd [--config FILE] [--json] COMMAND [ARGUMENT …]; one function per
 * command. */
#ifndef OPSD_APP_OPTIONS_H
#define OPSD_APP_OPTIONS_H

#include <stdbool.h>

struct app_options {
	const char *config; /* NULL: opsd.yaml, then /etc/opsd/opsd.yaml */
	bool json;
	const char *command;
	int argc; /* what follows the command */
	char **argv;
};

enum app_exit { APP_GOOD, APP_FINDING, APP_USAGE, APP_COULD_NOT };

/* Each returns an exit code (enum app_exit, or the command's own as its page says). */
int cmd_serve(struct app_options *options);
int cmd_check(struct app_options *options);
int cmd_migrate(struct app_options *options);
int cmd_sync(struct app_options *options);
int cmd_grants(struct app_options *options);
int cmd_audit(struct app_options *options);
int cmd_directory(struct app_options *options);
int cmd_explain(struct app_options *options);
int cmd_catalog(struct app_options *options);
int cmd_freeze(struct app_options *options);
int cmd_unfreeze(struct app_options *options);

/* "opsd: sentence" on stderr and the exit code, for the one place where a command fails. */
int app_fail(enum app_exit code, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#endif

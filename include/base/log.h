/* SPDX-License-Identifier: Apache-2.0 */
/*
 * log - one JSON object a line on stderr: ts, level, msg, then the fields.
 *
 * The request id always goes in the field "request".  Every text registered by log_mask() is
 * replaced by "***" wherever it would appear; so is anything that looks like a Slack token
 * (xoxb-, xoxp-, xapp-, xoxe.) and any hooks.slack.com path.  A line is at most 8 KiB.
 */
#ifndef OPSD_BASE_LOG_H
#define OPSD_BASE_LOG_H

#include <stdbool.h>
#include <stdint.h>

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };

struct log_field {
	const char *key; /* NULL ends the list */
	const char *str; /* NULL: a number (num) */
	int64_t num;
};

#define LOG_STR(k, v) ((struct log_field){ .key = (k), .str = (v) != NULL ? (v) : "" })
#define LOG_INT(k, v) ((struct log_field){ .key = (k), .num = (int64_t)(v) })
#define LOG_END ((struct log_field){ .key = NULL })

#define log_debug(...) log_write(LOG_DEBUG, __VA_ARGS__, LOG_END)
#define log_info(...) log_write(LOG_INFO, __VA_ARGS__, LOG_END)
#define log_warn(...) log_write(LOG_WARN, __VA_ARGS__, LOG_END)
#define log_error(...) log_write(LOG_ERROR, __VA_ARGS__, LOG_END)

/* Fields are struct log_field by value, ended by LOG_END: use the macros above. */
void log_write(enum log_level level, const char *msg, ...);

void log_set_level(enum log_level level);
bool log_enabled(enum log_level level);
void log_set_fd(int fd); /* tests; default 2 */
bool log_level_from_name(const char *name, enum log_level *ret_level);

void log_mask(const char *secret); /* copied; shorter than 6 bytes is ignored */
void log_mask_clear(void);

/* Copies text with every secret replaced by "***"; for error texts that come from outside. */
void log_redact(char *text);

#endif

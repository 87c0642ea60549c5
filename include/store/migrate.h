/* SPDX-License-Identifier: Apache-2.0 */
/*
 * migrate - applies sql/migrations in order, each file in one transaction that also records it.
 *
 * The files are in the program.  A file that was applied never changes: another digest, a number
 * the program does not know, or a gap below an applied number ends the run before it does anything.
 */
#ifndef OPSD_STORE_MIGRATE_H
#define OPSD_STORE_MIGRATE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/call.h"
#include "base/json.h"

struct db;

struct migration {
	int number;         /* 1 … */
	const char *name;   /* 0001_roles.sql */
	const char *sha256; /* hex, of the file */
	const char *sql;
};

extern const struct migration store_migrations[]; /* made at build time, by number */
extern const size_t store_migrations_n;

/* { "applied": [ names, before this run ], "pending": [ names ], "done": [ names, by this run ] };
 * with plan_only nothing is done.  The value is lent; NULL when err is set. */
typedef void (*store_migrate_fn)(void *data, const json_t *value, const struct err *err);
struct call *store_migrate_start(struct db *db, const struct migration *list, size_t n,
				 bool plan_only, store_migrate_fn done, void *data);

#endif

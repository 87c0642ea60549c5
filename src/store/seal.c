/* SPDX-License-Identifier: Apache-2.0 */
/*
 * seal.c - the audit log, sealed and verified.  The database makes the seals (0012_seals.sql); here
 * each hash is logged, so that a copy is outside, and the whole chain is computed again from the
 * entries.  Hash inputs: leaf 0x00 and the columns as "length:text,"; node 0x01 and two children.
 */
#include "store/audit.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/digest.h"
#include "base/err.h"
#include "base/log.h"
#include "base/str.h"
#include "base/xalloc.h"
#include "store_internal.h"

enum {
	SEAL_LIMIT = 5000,
	SEAL_MS = 9000,
	VERIFY_MS = 30 * 1000,
	SEALS_A_PAGE = 200,
	ENTRY_COLUMNS = 10,
	ENTRY_MAX = 4 << 20,
	HASH_BYTES = 32,
};

struct hash {
	unsigned char bytes[HASH_BYTES];
};

/* making seals */

static void on_sealed(void *data, const struct db_answer *answer, const struct err *err)
{
	struct store *store = data;
	const struct db_result *rows;

	store->seal_call = NULL;
	if (err != NULL) {
		log_warn("audit log not sealed", LOG_STR("error", err->msg));
		return;
	}
	rows = answer->results[0];
	if (db_rows(rows) == 0)
		return;
	log_info("audit log sealed", LOG_INT("seal", db_int(rows, 0, 0)),
		 LOG_STR("hash", db_text(rows, 0, 1)), LOG_INT("entries", db_int(rows, 0, 2)));
	if (db_int(rows, 0, 2) > SEAL_LIMIT / 2)
		store_seal(store); /* there is more */
}

void store_seal(struct store *store)
{
	char limit[PARAMS_NUMBER_LEN];
	const char *const values[] = { store->boot_id, limit };
	const struct db_statement statement = { .name = "ops_seal",
						.sql = "SELECT * FROM ops.seal($1, $2)",
						.n = 2,
						.params = values };

	if (store->seal_call != NULL)
		return;
	(void)snprintf(limit, sizeof(limit), "%d", SEAL_LIMIT);
	store->seal_call = db_start(store->work, &statement, 1, SEAL_MS, on_sealed, store);
}

/* hashes */

static struct hash hash_of(const void *data, size_t len)
{
	char hex[DIGEST_HEX_LEN];
	struct hash hash;
	unsigned byte;

	digest_hex(data, len, hex);
	for (size_t i = 0; i < HASH_BYTES; i++) {
		(void)sscanf(hex + 2 * i, "%2x", &byte);
		hash.bytes[i] = (unsigned char)byte;
	}
	return hash;
}

static void hash_hex(const struct hash *hash, char ret_hex[DIGEST_HEX_LEN])
{
	for (size_t i = 0; i < HASH_BYTES; i++)
		(void)snprintf(ret_hex + 2 * i, 3, "%02x", hash->bytes[i]);
}

static struct hash leaf_of(const struct db_result *rows, size_t row)
{
	struct hash hash;
	struct buf buf;

	buf_init(&buf, ENTRY_MAX);
	buf_append(&buf, "\0", 1);
	for (size_t i = 0; i < ENTRY_COLUMNS; i++) {
		const char *text = db_text(rows, row, i);

		if (text == NULL) {
			buf_puts(&buf, "-,");
		} else {
			buf_printf(&buf, "%zu:", strlen(text));
			buf_puts(&buf, text);
			buf_puts(&buf, ",");
		}
	}
	hash = hash_of(buf.data, buf.len);
	buf_finish(&buf);
	return hash;
}

/* RFC 6962's tree: level by level, an odd last one goes up as it is. */
static struct hash root_of(struct hash *level, size_t n)
{
	unsigned char pair[1 + 2 * HASH_BYTES] = { 1 };

	if (n == 0)
		return hash_of("", 0);
	for (; n > 1; n = (n + 1) / 2) {
		for (size_t i = 0; i < n / 2; i++) {
			memcpy(pair + 1, level[2 * i].bytes, HASH_BYTES);
			memcpy(pair + 1 + HASH_BYTES, level[2 * i + 1].bytes, HASH_BYTES);
			level[i] = hash_of(pair, sizeof(pair));
		}
		if (n % 2 == 1)
			level[n / 2] = level[n - 1];
	}
	return level[0];
}

/* verifying */

struct seal {
	int64_t no, n;
	char *cluster, *from, *to, *root, *previous, *hash;
};

struct verify {
	struct call call;
	struct call *inner;
	struct db *db;
	struct seal seals[SEALS_A_PAGE];
	size_t n_seals, at;
	int64_t seen, entries; /* good so far */
	char last_hash[DIGEST_HEX_LEN];
	char last_to[PARAMS_NUMBER_LEN];
	int64_t expect_no; /* 0: none */
	char expect_hash[DIGEST_HEX_LEN];
	bool expect_met;
	char problem[ERR_MSG_MAX]; /* "": none yet */
	store_json_fn done;
	void *data;
};

static void ask_seals(struct verify *verify);
static void ask_entries(struct verify *verify);

static void forget_seals(struct verify *verify)
{
	for (size_t i = 0; i < verify->n_seals; i++) {
		struct seal *seal = &verify->seals[i];

		free(seal->cluster);
		free(seal->from);
		free(seal->to);
		free(seal->root);
		free(seal->previous);
		free(seal->hash);
	}
	verify->n_seals = verify->at = 0;
}

static void verify_cancel(struct call *call)
{
	struct verify *verify = (struct verify *)call;

	call_cancel(&verify->inner);
	forget_seals(verify);
	free(verify);
}

static void finish(struct verify *verify, const struct err *err, int64_t unsealed)
{
	store_json_fn done = verify->done;
	void *data = verify->data;
	json_t *value = NULL;

	if (err == NULL) {
		if (verify->problem[0] == '\0' && verify->expect_no > 0 && !verify->expect_met)
			(void)snprintf(verify->problem, sizeof(verify->problem),
				       "Seal %" PRId64
				       " with hash %s is not in the chain: it was cut "
				       "off or made anew.",
				       verify->expect_no, verify->expect_hash);
		value = json_pack("{s:b, s:I, s:I, s:I, s:s, s:s?}", "good",
				  verify->problem[0] == '\0', "seals", (json_int_t)verify->seen,
				  "entries", (json_int_t)verify->entries, "unsealed",
				  (json_int_t)unsealed, "hash", verify->last_hash, "problem",
				  verify->problem[0] != '\0' ? verify->problem : NULL);
	}
	forget_seals(verify);
	free(verify);
	done(data, value, err);
	json_decref(value);
}

static void on_unsealed(void *data, const struct db_answer *answer, const struct err *err)
{
	struct verify *verify = data;
	struct err mine;

	verify->inner = NULL;
	if (err != NULL)
		store_db_err(answer, err, &mine);
	finish(verify, err != NULL ? &mine : NULL,
	       err != NULL ? 0 : db_int(answer->results[0], 0, 0));
}

static void ask_unsealed(struct verify *verify)
{
	const struct db_statement statement = { .name = "ops_unsealed",
						.sql = "SELECT ops.unsealed()" };

	verify->inner = db_start(verify->db, &statement, 1, VERIFY_MS, on_unsealed, verify);
}

/* What the seal says of itself, and that it follows the one before it. */
static const char *seal_fault(const struct verify *verify, const struct seal *seal)
{
	char hex[DIGEST_HEX_LEN];
	char *header;

	if (seal->no != verify->seen + 1)
		return "a seal before it is missing";
	if (!str_eq(seal->previous, verify->seen == 0 ? NULL : verify->last_hash))
		return "it does not name the hash of the seal before it";
	if (verify->seen > 0 && !str_eq(seal->from, verify->last_to))
		return "there is a gap between it and the seal before it";
	header = xasprintf("opsd audit seal 1\nnumber %" PRId64 "\ncluster %s\nfrom %s\nto %s\n"
			   "count %" PRId64 "\nroot %s\nprevious %s\n",
			   seal->no, seal->cluster, seal->from, seal->to, seal->n, seal->root,
			   seal->previous != NULL ? seal->previous : "-");
	digest_hex(header, strlen(header), hex);
	free(header);
	return str_eq(hex, seal->hash) ? NULL : "its hash is not that of its header";
}

static const char *entries_fault(const struct seal *seal, const struct db_result *rows)
{
	size_t n = db_rows(rows);
	struct hash *leaves, root;
	char hex[DIGEST_HEX_LEN];

	if ((int64_t)n != seal->n)
		return "entries were added or removed";
	leaves = xcalloc(n + 1, sizeof(*leaves));
	for (size_t i = 0; i < n; i++)
		leaves[i] = leaf_of(rows, i);
	root = root_of(leaves, n);
	free(leaves);
	hash_hex(&root, hex);
	return str_eq(hex, seal->root) ? NULL : "an entry was changed";
}

static void on_entries(void *data, const struct db_answer *answer, const struct err *err)
{
	struct verify *verify = data;
	const struct seal *seal = &verify->seals[verify->at];
	const char *fault;
	struct err mine;

	verify->inner = NULL;
	if (err != NULL) {
		store_db_err(answer, err, &mine);
		finish(verify, &mine, 0);
		return;
	}
	fault = seal_fault(verify, seal);
	if (fault == NULL)
		fault = entries_fault(seal, answer->results[0]);
	if (fault != NULL) {
		(void)snprintf(verify->problem, sizeof(verify->problem), "Seal %" PRId64 ": %s.",
			       seal->no, fault);
		ask_unsealed(verify);
		return;
	}
	verify->seen++;
	verify->entries += seal->n;
	(void)snprintf(verify->last_hash, sizeof(verify->last_hash), "%s", seal->hash);
	(void)snprintf(verify->last_to, sizeof(verify->last_to), "%s", seal->to);
	if (seal->no == verify->expect_no && str_eq(seal->hash, verify->expect_hash))
		verify->expect_met = true;
	if (++verify->at < verify->n_seals)
		ask_entries(verify);
	else
		ask_seals(verify);
}

static void ask_entries(struct verify *verify)
{
	const struct seal *seal = &verify->seals[verify->at];
	const char *const values[] = { seal->from, seal->to };
	const struct db_statement statement = { .name = "ops_sealed_entries",
						.sql = "SELECT * FROM ops.sealed_entries($1, $2)",
						.n = 2,
						.params = values };

	verify->inner = db_start(verify->db, &statement, 1, VERIFY_MS, on_entries, verify);
}

static void on_seals(void *data, const struct db_answer *answer, const struct err *err)
{
	struct verify *verify = data;
	struct err mine;

	verify->inner = NULL;
	if (err != NULL) {
		store_db_err(answer, err, &mine);
		finish(verify, &mine, 0);
		return;
	}
	forget_seals(verify);
	for (size_t i = 0; i < db_rows(answer->results[0]) && i < SEALS_A_PAGE; i++) {
		const struct db_result *rows = answer->results[0];

		verify->seals[i] = (struct seal){ .no = db_int(rows, i, 0),
						  .cluster = xstrdup_null(db_text(rows, i, 1)),
						  .from = xstrdup_null(db_text(rows, i, 2)),
						  .to = xstrdup_null(db_text(rows, i, 3)),
						  .n = db_int(rows, i, 4),
						  .root = xstrdup_null(db_text(rows, i, 5)),
						  .previous = xstrdup_null(db_text(rows, i, 6)),
						  .hash = xstrdup_null(db_text(rows, i, 7)) };
		verify->n_seals++;
	}
	if (verify->n_seals > 0)
		ask_entries(verify);
	else
		ask_unsealed(verify);
}

static void ask_seals(struct verify *verify)
{
	char after[PARAMS_NUMBER_LEN], limit[PARAMS_NUMBER_LEN];
	const char *const values[] = { after, limit };
	const struct db_statement statement = { .name = "ops_seals_after",
						.sql = "SELECT * FROM ops.seals_after($1, $2)",
						.n = 2,
						.params = values };

	(void)snprintf(after, sizeof(after), "%" PRId64, verify->seen);
	(void)snprintf(limit, sizeof(limit), "%d", SEALS_A_PAGE);
	verify->inner = db_start(verify->db, &statement, 1, VERIFY_MS, on_seals, verify);
}

struct call *store_audit_verify(struct db *db, int64_t expect_no, const char *expect_hash,
				store_json_fn done, void *data)
{
	struct verify *verify = xcalloc(1, sizeof(*verify));

	verify->call.cancel = verify_cancel;
	verify->db = db;
	verify->expect_no = expect_no;
	(void)snprintf(verify->expect_hash, sizeof(verify->expect_hash), "%s",
		       expect_hash != NULL ? expect_hash : "");
	verify->done = done;
	verify->data = data;
	ask_seals(verify);
	return &verify->call;
}

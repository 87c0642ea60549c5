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
#include "base/signing.h"
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
	UNSIGNED_S = 300, /* a seal may be so old and not signed yet */
};

struct hash {
	unsigned char bytes[HASH_BYTES];
};

static void sign_next(struct store *store);

/* making seals */

static void on_checkpoint(void *data, const struct db_answer *answer, const struct err *err)
{
	struct store *store = data;

	store->checkpoint_call = NULL;
	if (err != NULL)
		log_warn("seal not said in the audit channel", LOG_STR("error", err->msg));
	else if (db_int(answer->results[0], 0, 0) > 0)
		log_info("seal said in the audit channel",
			 LOG_INT("seal", db_int(answer->results[0], 0, 0)));
}

/* The database knows when it is time, and which replica was first. */
static void say_checkpoint(struct store *store)
{
	char every[PARAMS_NUMBER_LEN];
	const char *const values[] = { every, store->signing != NULL ? "t" : "f" };
	const struct db_statement statement = { .name = "ops_checkpoint",
						.sql = "SELECT ops.checkpoint($1, $2)",
						.n = 2,
						.params = values };

	if (store->checkpoint_s == 0 || store->checkpoint_call != NULL)
		return;
	(void)snprintf(every, sizeof(every), "%" PRId64, store->checkpoint_s);
	store->checkpoint_call =
		db_start(store->work, &statement, 1, SEAL_MS, on_checkpoint, store);
}

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
	if (db_rows(rows) > 0)
		log_info("audit log sealed", LOG_INT("seal", db_int(rows, 0, 0)),
			 LOG_STR("hash", db_text(rows, 0, 1)),
			 LOG_INT("entries", db_int(rows, 0, 2)));
	if (db_rows(rows) > 0 && db_int(rows, 0, 2) > SEAL_LIMIT / 2) {
		store_seal(store); /* there is more */
		return;
	}
	if (store->signing != NULL)
		sign_next(store);
	else
		say_checkpoint(store);
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
	int64_t no, n, age_s;
	char *cluster, *from, *to, *root, *previous, *hash;
	char *signature; /* NULL: not signed */
};

static void seal_read(struct seal *seal, const struct db_result *rows, size_t i)
{
	*seal = (struct seal){ .no = db_int(rows, i, 0),
			       .cluster = xstrdup_null(db_text(rows, i, 1)),
			       .from = xstrdup_null(db_text(rows, i, 2)),
			       .to = xstrdup_null(db_text(rows, i, 3)),
			       .n = db_int(rows, i, 4),
			       .root = xstrdup_null(db_text(rows, i, 5)),
			       .previous = xstrdup_null(db_text(rows, i, 6)),
			       .hash = xstrdup_null(db_text(rows, i, 7)) };
}

static void seal_forget(struct seal *seal)
{
	free(seal->cluster);
	free(seal->from);
	free(seal->to);
	free(seal->root);
	free(seal->previous);
	free(seal->hash);
	free(seal->signature);
	*seal = (struct seal){ 0 };
}

/* What is hashed and signed. */
static char *seal_header(const struct seal *seal)
{
	return xasprintf("opsd audit seal 1\nnumber %" PRId64 "\ncluster %s\nfrom %s\nto %s\n"
			 "count %" PRId64 "\nroot %s\nprevious %s\n",
			 seal->no, seal->cluster, seal->from, seal->to, seal->n, seal->root,
			 seal->previous != NULL ? seal->previous : "-");
}

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
	char expect_hash[DIGEST_HEX_LEN], expect_key[SIGNING_ID_LEN];
	bool expect_met;
	const struct signing_key *keys; /* NULL: signatures are not looked at */
	int64_t signed_seen;
	char problem[ERR_MSG_MAX]; /* "": none yet */
	store_json_fn done;
	void *data;
};

static void ask_seals(struct verify *verify);
static void ask_entries(struct verify *verify);

static void forget_seals(struct verify *verify)
{
	for (size_t i = 0; i < verify->n_seals; i++)
		seal_forget(&verify->seals[i]);
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
		if (verify->problem[0] == '\0' && verify->keys != NULL && verify->seen > 0 &&
		    verify->signed_seen == 0)
			(void)snprintf(verify->problem, sizeof(verify->problem),
				       "No seal is signed.");
		value = json_pack("{s:b, s:I, s:I, s:I, s:I, s:s, s:s?}", "good",
				  verify->problem[0] == '\0', "signed",
				  (json_int_t)verify->signed_seen, "seals",
				  (json_int_t)verify->seen, "entries", (json_int_t)verify->entries,
				  "unsealed", (json_int_t)unsealed, "hash", verify->last_hash,
				  "problem", verify->problem[0] != '\0' ? verify->problem : NULL);
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
	header = seal_header(seal);
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

/* From the first signed seal on each is signed, but the newest while that is under way. */
static const char *signature_fault(struct verify *verify, const struct seal *seal)
{
	const char *key = seal->no == verify->expect_no && verify->expect_key[0] != '\0'
				  ? verify->expect_key
				  : NULL;
	char *header;
	bool fits;

	if (seal->signature == NULL && key != NULL)
		return "it is not signed, though the key of its signature was noted";
	if (seal->signature == NULL)
		return verify->signed_seen > 0 && seal->age_s > UNSIGNED_S ? "it is not signed"
									   : NULL;
	header = seal_header(seal);
	fits = signing_fits(verify->keys, key, header, seal->signature);
	free(header);
	verify->signed_seen++;
	if (fits)
		return NULL;
	return key != NULL ? "its signature is not by the key that was noted"
			   : "its signature is not by the given key";
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
	if (fault == NULL && verify->keys != NULL)
		fault = signature_fault(verify, seal);
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

		seal_read(&verify->seals[i], rows, i);
		verify->seals[i].signature = xstrdup_null(db_text(rows, i, 8));
		verify->seals[i].age_s = db_int(rows, i, 9);
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

/* signing: only what was computed from the entries by this very process */

struct signing_turn {
	struct store *store;
	struct seal seal;
};

static void turn_free(struct signing_turn *turn)
{
	turn->store->sign_turn = NULL;
	seal_forget(&turn->seal);
	free(turn);
}

void store_sign_cancel(struct store *store)
{
	call_cancel(&store->sign_call);
	if (store->sign_turn != NULL)
		turn_free(store->sign_turn);
}

static void on_signed(void *data, const struct db_answer *answer, const struct err *err)
{
	struct store *store = data;

	(void)answer;
	store->sign_call = NULL;
	if (err != NULL)
		log_warn("seal not signed", LOG_STR("error", err->msg));
	else
		sign_next(store); /* until none is left */
}

static void put_signature(struct store *store, const struct seal *seal)
{
	char *header = seal_header(seal), no[PARAMS_NUMBER_LEN], hex[SIGNATURE_HEX_LEN];
	const char *const values[] = { no, signing_id(store->signing), hex };
	const struct db_statement statement = { .name = "ops_seal_sign",
						.sql = "SELECT ops.seal_sign($1, $2, $3)",
						.n = 3,
						.params = values };

	(void)snprintf(no, sizeof(no), "%" PRId64, seal->no);
	signing_sign(store->signing, header, hex);
	free(header);
	store->sign_call = db_start(store->work, &statement, 1, SEAL_MS, on_signed, store);
}

static void on_turn_entries(void *data, const struct db_answer *answer, const struct err *err)
{
	struct signing_turn *turn = data;
	struct store *store = turn->store;
	char hex[DIGEST_HEX_LEN], *header = seal_header(&turn->seal);
	const char *fault = NULL;

	store->sign_call = NULL;
	digest_hex(header, strlen(header), hex);
	free(header);
	if (err != NULL)
		log_warn("seal not signed", LOG_STR("error", err->msg));
	else if (!str_eq(hex, turn->seal.hash))
		fault = "its hash is not that of its header";
	else
		fault = entries_fault(&turn->seal, answer->results[0]);
	if (fault != NULL)
		log_error("AUDIT LOG CHANGED: a seal does not fit its entries and is not signed",
			  LOG_INT("seal", turn->seal.no), LOG_STR("error", fault));
	else if (err == NULL)
		put_signature(store, &turn->seal);
	turn_free(turn);
}

static void on_turn(void *data, const struct db_answer *answer, const struct err *err)
{
	struct store *store = data;
	struct signing_turn *turn;
	const char *values[2];
	struct db_statement statement = { .name = "ops_sealed_entries",
					  .sql = "SELECT * FROM ops.sealed_entries($1, $2)",
					  .n = 2,
					  .params = values };

	store->sign_call = NULL;
	if (err == NULL && db_rows(answer->results[0]) == 0)
		say_checkpoint(store); /* all are signed */
	if (err != NULL || db_rows(answer->results[0]) == 0)
		return;
	turn = xcalloc(1, sizeof(*turn));
	turn->store = store;
	store->sign_turn = turn;
	seal_read(&turn->seal, answer->results[0], 0);
	values[0] = turn->seal.from;
	values[1] = turn->seal.to;
	store->sign_call = db_start(store->work, &statement, 1, VERIFY_MS, on_turn_entries, turn);
}

static void sign_next(struct store *store)
{
	const struct db_statement statement = { .name = "ops_seal_unsigned",
						.sql = "SELECT * FROM ops.seal_unsigned()" };

	if (store->sign_call == NULL)
		store->sign_call = db_start(store->work, &statement, 1, SEAL_MS, on_turn, store);
}

struct call *store_audit_verify(struct db *db, const struct store_verify *what, store_json_fn done,
				void *data)
{
	struct verify *verify = xcalloc(1, sizeof(*verify));

	verify->call.cancel = verify_cancel;
	verify->db = db;
	verify->expect_no = what->expect_no;
	verify->keys = what->keys;
	(void)snprintf(verify->expect_hash, sizeof(verify->expect_hash), "%s",
		       what->expect_hash != NULL ? what->expect_hash : "");
	(void)snprintf(verify->expect_key, sizeof(verify->expect_key), "%s",
		       what->expect_key != NULL ? what->expect_key : "");
	verify->done = done;
	verify->data = data;
	ask_seals(verify);
	return &verify->call;
}

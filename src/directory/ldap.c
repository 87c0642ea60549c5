/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ldap.c - an LDAP server or Active Directory, read by a thread since libldap blocks.
 *
 * Direct members are read and flattened later: chains that the server walks are slow, and cycles
 * are legal.  An id is objectGUID or entryUUID: a DN changes when somebody marries or moves.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/secret.h"
#include "base/str.h"
#include "base/xalloc.h"
#include "internal.h"
#include "net/ldapc.h"
#include "roster.h"

#define uthash_malloc(size) xmalloc(size)
#include <uthash.h>

enum {
	WAIT_S = 60,
	WAIT_MAX_S = 600,
	PAGE = 500,
	PAGE_MAX = 1000,
	PROBE_PAGE = 10,
	PROBE_WAIT_S = 10,
	GUID_LEN = 16,
	UAC_DISABLED = 2,
	ROUNDS_MAX = 3
};

static const char *const keys[] = {
	"bind_dn",     "password",      "schema", "people_base",  "people_filter",
	"groups_base", "groups_filter", "page",   "wait_seconds", SOURCE_SCOPE_KEYS,
	NULL
};

static const struct schema {
	const char *name, *people, *groups; /* filters */
	const char *id, *group_name;
	const char *person_attributes[8], *group_attributes[6];
	const char *members[3];     /* attributes of a group that hold DNs */
	const char *login, *logins; /* of a person, and those of a group; NULL: there are none */
} schemas[] = {
	{ .name = "ad",
	  .people = "(&(objectCategory=person)(objectClass=user))",
	  .groups = "(objectClass=group)",
	  .id = "objectGUID",
	  .group_name = "sAMAccountName",
	  .person_attributes = { "objectGUID", "displayName", "cn", "mail", "proxyAddresses",
				 "userAccountControl" },
	  .group_attributes = { "objectGUID", "sAMAccountName", "member" },
	  .members = { "member" } },
	{ .name = "openldap",
	  .people = "(objectClass=inetOrgPerson)",
	  .groups = "(|(objectClass=groupOfNames)(objectClass=groupOfUniqueNames)"
		    "(objectClass=posixGroup))",
	  .id = "entryUUID",
	  .group_name = "cn",
	  .person_attributes = { "entryUUID", "displayName", "cn", "mail", "nsAccountLock",
				 "pwdAccountLockedTime", "uid" },
	  .group_attributes = { "entryUUID", "cn", "member", "uniqueMember", "memberUid" },
	  .members = { "member", "uniqueMember" },
	  .login = "uid",
	  .logins = "memberUid" },
};

struct group { /* one that is listed, by the key of its DN */
	UT_hash_handle hh;
	char *id, *dn;
	bool wanted, done;
	char key[];
};

struct job { /* the thread's own until it has ended */
	struct call call;
	uv_work_t work;
	uv_timer_t second; /* looks after the thread; the memory goes in its close callback */
	struct ldapc_watch watch;
	bool cancelled;
	const struct schema *schema;
	char *label, *url, *ca_file, *bind_dn, *password;
	char *people_base, *people_filter, *groups_base, *groups_filter;
	unsigned page, minutes, wait_s;
	bool probing;
	int64_t until_ms;
	struct source scope; /* its settings of whose members are read, and no more */
	bool all;            /* members come with the list of groups */
	struct ldapc *ldap;
	struct roster *roster;
	struct group *groups;
	struct directory *directory;
	bool read; /* well */
	json_t *notes;
	struct err err;
	source_done_fn done;
	void *data;
};

static const struct schema *find_schema(const char *name)
{
	for (size_t i = 0; i < sizeof(schemas) / sizeof(schemas[0]); i++)
		if (str_eq(schemas[i].name, name))
			return &schemas[i];
	return NULL;
}

static bool check(struct source *source, struct err *err)
{
	int64_t page = jget_int(source->node, "page", PAGE);
	int64_t wait = jget_int(source->node, "wait_seconds", WAIT_S);

	if (!ldapc_url_ok(source->url, err))
		return false;
	if (find_schema(source_text(source, "schema")) == NULL) {
		err_set(err, ERR_INVALID, "schema must be ad or openldap");
		return false;
	}
	if (page < 1 || page > PAGE_MAX) {
		err_set(err, ERR_INVALID, "page must be a whole number from 1 to %d", PAGE_MAX);
		return false;
	}
	if (wait < 1 || wait > WAIT_MAX_S) {
		err_set(err, ERR_INVALID, "wait_seconds must be a whole number from 1 to %d",
			WAIT_MAX_S);
		return false;
	}
	return source_need(source, "bind_dn", err) && source_need_secret(source, "password", err) &&
	       source_need(source, "people_base", err) && source_need(source, "groups_base", err);
}

/* ---- entries ---- */

/* A NUL would cut a text, and make it another one. */
static bool is_text(const struct ldapc_value *value)
{
	return strlen(value->data) == value->len;
}

/* The first value of an attribute as text, or NULL; the caller frees. */
static char *text_of(const struct ldapc_entry *entry, const char *attribute)
{
	struct ldapc_values values;
	char *text = NULL;

	ldapc_values(entry, attribute, &values);
	if (values.n > 0 && is_text(&values.items[0]))
		text = xstrdup(values.items[0].data);
	ldapc_values_free(&values);
	return text;
}

/* AD's form: the first three parts have their least byte first. */
static char *guid_text(const struct ldapc_value *value)
{
	static const unsigned char order[GUID_LEN] = { 3, 2, 1,  0,  5,  4,  7,  6,
						       8, 9, 10, 11, 12, 13, 14, 15 };
	char text[2 * GUID_LEN + 5];
	size_t len = 0;

	if (value->len != GUID_LEN)
		return NULL;
	for (size_t i = 0; i < GUID_LEN; i++) {
		if (i == 4 || i == 6 || i == 8 || i == 10)
			text[len++] = '-';
		(void)snprintf(text + len, 3, "%02x", (unsigned char)value->data[order[i]]);
		len += 2;
	}
	text[len] = '\0';
	return xstrdup(text);
}

static char *id_of(const struct job *job, const struct ldapc_entry *entry, struct err *err)
{
	struct ldapc_values values;
	char *id = NULL;

	ldapc_values(entry, job->schema->id, &values);
	if (values.n == 1 && str_eq(job->schema->id, "objectGUID"))
		id = guid_text(&values.items[0]);
	else if (values.n == 1 && is_text(&values.items[0]))
		id = xstrdup(values.items[0].data);
	ldapc_values_free(&values);
	if (id == NULL)
		err_set(err, ERR_INVALID, "%s has no usable %s: bind_dn must be allowed to read it",
			ldapc_dn(entry), job->schema->id);
	return id;
}

/* What the server says of a person who may not sign in. */
static bool is_disabled(const struct ldapc_entry *entry)
{
	char *uac = text_of(entry, "userAccountControl");
	char *lock = text_of(entry, "nsAccountLock");
	char *until = text_of(entry, "pwdAccountLockedTime");
	int64_t bits;
	bool disabled = (uac != NULL && (!str_to_i64(uac, &bits) || (bits & UAC_DISABLED) != 0)) ||
			(lock != NULL && !str_ieq(lock, "false")) ||
			str_eq(until, "000001010000Z"); /* locked for good */

	free(uac);
	free(lock);
	free(until);
	return disabled;
}

static int by_text(const void *a, const void *b)
{
	return strcmp(((const struct ldapc_value *)a)->data, ((const struct ldapc_value *)b)->data);
}

/* Several mail values have no order: the first by spelling is the primary one. */
static char *mail_of(const struct ldapc_entry *entry)
{
	struct ldapc_values values;
	char *mail = NULL;

	ldapc_values(entry, "mail", &values);
	if (values.n > 0) {
		qsort(values.items, values.n, sizeof(*values.items), by_text);
		mail = is_text(&values.items[0]) ? xstrdup(values.items[0].data) : NULL;
	}
	ldapc_values_free(&values);
	return mail;
}

static bool add_aliases(struct job *job, const struct ldapc_entry *entry, const char *id,
			const char *attribute, const char *prefix, struct err *err)
{
	struct ldapc_values values;
	bool good = true;

	ldapc_values(entry, attribute, &values);
	for (size_t i = 0; good && i < values.n; i++) {
		const char *text = values.items[i].data;

		if (is_text(&values.items[i]) && strncasecmp(text, prefix, strlen(prefix)) == 0)
			good = roster_alias(job->roster, id, text + strlen(prefix), err);
	}
	ldapc_values_free(&values);
	return good;
}

static void add_logins(struct job *job, const struct ldapc_entry *entry, const char *id)
{
	struct ldapc_values values;

	if (job->schema->login == NULL)
		return;
	ldapc_values(entry, job->schema->login, &values);
	for (size_t i = 0; i < values.n; i++)
		if (is_text(&values.items[i]))
			roster_login(job->roster, id, values.items[i].data);
	ldapc_values_free(&values);
}

static bool add_person(void *data, const struct ldapc_entry *entry, struct err *err)
{
	struct job *job = data;
	char *id = id_of(job, entry, err), *name, *mail, *key;
	struct directory_person person = { .id = id, .kind = "human" };
	bool good;

	if (id == NULL)
		return false;
	name = text_of(entry, "displayName");
	if (name == NULL)
		name = text_of(entry, "cn");
	mail = mail_of(entry);
	key = ldapc_dn_key(ldapc_dn(entry));
	person.name = name != NULL ? name : "";
	person.state = is_disabled(entry) ? "suspended" : "active";
	person.email = mail;
	good = roster_person(job->roster, &person, key, err) &&
	       add_aliases(job, entry, id, "mail", "", err) &&
	       add_aliases(job, entry, id, "proxyAddresses", "smtp:", err);
	if (good)
		add_logins(job, entry, id);
	free(id);
	free(name);
	free(mail);
	free(key);
	return good;
}

static bool add_members(struct job *job, const char *id, const struct ldapc_values *values,
			struct err *err)
{
	for (size_t i = 0; i < values->n; i++) {
		char *key = ldapc_dn_key(is_text(&values->items[i]) ? values->items[i].data : "");
		bool good = roster_member(job->roster, id, key, MEMBER_EITHER, err);
		struct group *inside;

		HASH_FIND(hh, job->groups, key, strlen(key), inside);
		if (inside != NULL)
			inside->wanted = true;
		free(key);
		if (!good)
			return false;
	}
	return true;
}

/* As posixGroup has them: sign-in names, as they are spelt, of people only. */
static bool add_uids(struct job *job, const struct ldapc_entry *entry, const char *id,
		     struct err *err)
{
	struct ldapc_values values;
	bool good = true;

	if (job->schema->logins == NULL)
		return true;
	ldapc_values(entry, job->schema->logins, &values);
	for (size_t i = 0; good && i < values.n; i++)
		good = roster_member(job->roster, id,
				     is_text(&values.items[i]) ? values.items[i].data : "",
				     MEMBER_LOGIN, err);
	ldapc_values_free(&values);
	return good;
}

struct more { /* the rest of a long list of members */
	struct job *job;
	const char *id, *attribute;
	int64_t from, next;
};

static bool add_range(void *data, const struct ldapc_entry *entry, struct err *err)
{
	struct more *more = data;
	struct ldapc_values values;
	bool good;

	ldapc_values(entry, more->attribute, &values);
	good = add_members(more->job, more->id, &values, err);
	more->next = values.next;
	ldapc_values_free(&values);
	if (!good || (more->next >= 0 && more->next <= more->from)) {
		if (good)
			err_set(err, ERR_INVALID, "%s: the ranges of %s go in circles",
				ldapc_dn(entry), more->attribute);
		return false;
	}
	return true;
}

/* Above 1500 members AD gives them in ranges. */
static bool add_rest(struct more *more, const char *dn, struct err *err)
{
	struct job *job = more->job;
	char range[80];
	const char *const attributes[] = { range, NULL };
	const struct ldapc_search search = { .base = dn,
					     .filter = "(objectClass=*)",
					     .attributes = attributes,
					     .base_only = true,
					     .until_ms = job->until_ms };

	while (more->next >= 0 && !job->probing) {
		more->from = more->next;
		(void)snprintf(range, sizeof(range), "%s;range=%lld-*", more->attribute,
			       (long long)more->from);
		more->next = -2; /* no entry: it is gone */
		if (!ldapc_search(job->ldap, &search, add_range, more, err))
			return false;
		if (more->next == -2) {
			err_set(err, ERR_RETRY, "%s went while its members were read", dn);
			return false;
		}
	}
	return true;
}

static bool read_members(struct job *job, const char *id, const struct ldapc_entry *entry,
			 struct err *err)
{
	bool good = true;

	roster_read(job->roster, id);
	for (size_t i = 0; good && job->schema->members[i] != NULL; i++) {
		struct more more = { .job = job, .id = id, .attribute = job->schema->members[i] };
		struct ldapc_values values;

		ldapc_values(entry, more.attribute, &values);
		good = add_members(job, id, &values, err);
		more.next = values.next;
		ldapc_values_free(&values);
		good = good && add_rest(&more, ldapc_dn(entry), err);
	}
	return good && add_uids(job, entry, id, err);
}

static void remember(struct job *job, const char *id, const char *dn, const char *key, bool wanted)
{
	size_t len = strlen(key);
	struct group *group;

	HASH_FIND(hh, job->groups, key, len, group);
	if (group != NULL)
		return;
	group = xcalloc(1, sizeof(*group) + len + 1);
	group->id = xstrdup(id);
	group->dn = xstrdup(dn);
	group->wanted = wanted;
	memcpy(group->key, key, len);
	HASH_ADD(hh, job->groups, key, (unsigned)len, group);
}

static bool add_group(void *data, const struct ldapc_entry *entry, struct err *err)
{
	struct job *job = data;
	char *id = id_of(job, entry, err), *name, *key;
	struct directory_group group = { .id = id, .unread = true };
	bool good;

	if (id == NULL)
		return false;
	name = text_of(entry, job->schema->group_name);
	key = ldapc_dn_key(ldapc_dn(entry));
	group.name = name != NULL ? name : "";
	group.aside = source_sets_aside(&job->scope, id);
	good = roster_group(job->roster, &group, key, err);
	if (good && job->all)
		good = group.aside || read_members(job, id, entry, err);
	else if (good && !group.aside)
		remember(job, id, ldapc_dn(entry), key, source_reads(&job->scope, id, group.name));
	free(id);
	free(name);
	free(key);
	return good;
}

struct one { /* a group whose members are read */
	struct job *job;
	const struct group *group;
	bool found;
};

static bool add_one(void *data, const struct ldapc_entry *entry, struct err *err)
{
	struct one *one = data;
	char *id = id_of(one->job, entry, err);
	bool same = str_eq(id, one->group->id);

	if (id != NULL && !same)
		err_set(err, ERR_RETRY, "%s became another group", one->group->dn);
	free(id);
	one->found = true;
	return same && read_members(one->job, one->group->id, entry, err);
}

static bool read_one(struct job *job, const struct group *group, struct err *err)
{
	struct one one = { .job = job, .group = group };
	const struct ldapc_search search = { .base = group->dn,
					     .filter = "(objectClass=*)",
					     .attributes = job->schema->group_attributes,
					     .base_only = true,
					     .until_ms = job->until_ms };
	bool good = ldapc_search(job->ldap, &search, add_one, &one, err);

	if (good && !one.found)
		err_set(err, ERR_RETRY, "%s went while it was read", group->dn);
	if (good && one.found)
		return true;
	err_prefix(err, "members of %.100s", group->id);
	json_object_set_new(job->notes, "group", json_string(group->id));
	return false;
}

/* Of the groups in use, and of what they contain, which is known when they have been read. */
static bool read_wanted(struct job *job, struct err *err)
{
	struct group *group, *next;

	for (bool more = true; more;) {
		more = false;
		HASH_ITER(hh, job->groups, group, next)
		{
			if (!group->wanted || group->done)
				continue;
			group->done = more = true;
			if (!read_one(job, group, err))
				return false;
		}
	}
	return true;
}

static void forget_groups(struct job *job)
{
	struct group *group, *next;

	HASH_ITER(hh, job->groups, group, next)
	{
		HASH_DEL(job->groups, group);
		free(group->id);
		free(group->dn);
		free(group);
	}
}

/* ---- the thread ---- */

static bool read_all(struct job *job, struct err *err)
{
	const char *const listed[] = { job->schema->id, job->schema->group_name, NULL };
	const struct ldapc_search people = { .base = job->people_base,
					     .filter = job->people_filter,
					     .attributes = job->schema->person_attributes,
					     .page = job->page,
					     .first_only = job->probing,
					     .until_ms = job->until_ms };
	const struct ldapc_search groups = { .base = job->groups_base,
					     .filter = job->groups_filter,
					     .attributes = job->all ? job->schema->group_attributes
								    : listed,
					     .page = job->page,
					     .first_only = job->probing,
					     .until_ms = job->until_ms };

	return ldapc_search(job->ldap, &groups, add_group, job, err) && read_wanted(job, err) &&
	       ldapc_search(job->ldap, &people, add_person, job, err);
}

/* Once from the start; ERR_RETRY: something changed meanwhile. */
static bool read_once(struct job *job, struct err *err)
{
	bool good;

	job->roster = roster_create();
	json_object_clear(job->notes);
	good = read_all(job, err);
	if (good && job->probing)
		notes_count(job->notes, roster_people(job->roster), roster_groups(job->roster));
	else if (good)
		job->directory = roster_finish(job->roster, STRANGER_LEFT_OUT, job->notes, err);
	roster_destroy(job->roster);
	forget_groups(job);
	return job->read = good && (job->probing || job->directory != NULL);
}

static void on_work(uv_work_t *work)
{
	struct job *job = work->data;
	const struct ldapc_config config = { .url = job->url,
					     .ca_file = job->ca_file,
					     .bind_dn = job->bind_dn,
					     .password = job->password,
					     .wait_s = job->wait_s,
					     .watch = &job->watch };

	if (job->password == NULL)
		return; /* err is set */
	job->until_ms = clock_mono_ms() + (int64_t)job->minutes * 60000;
	job->ldap = ldapc_open(&config, &job->err);
	for (int round = 0; job->ldap != NULL && round < ROUNDS_MAX; round++)
		if (read_once(job, &job->err) || job->err.kind != ERR_RETRY)
			break;
	ldapc_close(job->ldap);
}

static void on_second(uv_timer_t *second)
{
	ldapc_watch_look(&((struct job *)second->data)->watch);
}

static void job_free(uv_handle_t *second)
{
	struct job *job = second->data;
	char *texts[] = {
		job->label,       job->url,           job->ca_file,     job->bind_dn,
		job->people_base, job->people_filter, job->groups_base, job->groups_filter
	};

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		free(texts[i]);
	secret_free(job->password);
	directory_destroy(job->directory);
	json_decref(job->scope.node);
	json_decref(job->scope.scope);
	json_decref(job->notes);
	ldapc_watch_finish(&job->watch);
	free(job);
}

static void on_worked(uv_work_t *work, int status)
{
	struct job *job = work->data;
	const struct source_answer answer = { .directory = job->directory, .notes = job->notes };

	(void)status;
	if (!job->cancelled && !job->read) {
		if (!str_starts(job->err.msg, job->label))
			err_prefix(&job->err, "%s", job->label);
		job->err.kind = ERR_INVALID;
		job->done(job->data, &answer, &job->err);
	} else if (!job->cancelled) {
		job->directory = NULL; /* the receiver's */
		job->done(job->data, &answer, NULL);
	}
	uv_close((uv_handle_t *)&job->second, job_free);
}

static void on_cancel(struct call *call)
{
	((struct job *)call)->cancelled = true; /* the thread's last answer is thrown away */
}

static char *text_or(const struct source *source, const char *path, const char *fallback)
{
	const char *text = source_text(source, path);

	return xstrdup(text != NULL ? text : fallback);
}

static struct call *fetch(struct source *source, const char *validator, source_done_fn done,
			  void *data)
{
	struct job *job = xcalloc(1, sizeof(*job));

	(void)validator;
	job->call.cancel = on_cancel;
	job->work.data = job;
	job->schema = find_schema(source_text(source, "schema"));
	job->scope.node = json_deep_copy(source->node);
	job->scope.scope = json_deep_copy(source->scope);
	job->all = source->probing || str_eq(source_text(source, "members"), "all");
	job->label = xstrdup(source->label);
	job->url = xstrdup(source->url);
	job->ca_file = xstrdup_null(source->ca_file);
	job->bind_dn = text_or(source, "bind_dn", "");
	job->people_base = text_or(source, "people_base", "");
	job->people_filter = text_or(source, "people_filter", job->schema->people);
	job->groups_base = text_or(source, "groups_base", "");
	job->groups_filter = text_or(source, "groups_filter", job->schema->groups);
	job->page = (unsigned)jget_int(source->node, "page", PAGE);
	job->minutes = source->minutes;
	job->wait_s = (unsigned)jget_int(source->node, "wait_seconds", WAIT_S);
	job->probing = source->probing;
	if (job->probing) {
		job->page = job->page < PROBE_PAGE ? job->page : PROBE_PAGE;
		job->wait_s = job->wait_s < PROBE_WAIT_S ? job->wait_s : PROBE_WAIT_S;
		job->minutes = 1;
	}
	ldapc_watch_init(&job->watch);
	(void)uv_timer_init(source->loop, &job->second);
	job->second.data = job;
	(void)uv_timer_start(&job->second, on_second, 1000, 1000);
	job->notes = json_object();
	job->done = done;
	job->data = data;
	job->password = source_secret(source, "password", &job->err);
	(void)uv_queue_work(source->loop, &job->work, on_work, on_worked);
	return &job->call;
}

const struct source_kind source_ldap = {
	.name = "ldap", .keys = keys, .check = check, .fetch = fetch
};

/* SPDX-License-Identifier: Apache-2.0 */
/* secret.c - secrets by name, and small files.  What is read here is masked in the log from then
 * on. */
#include "base/secret.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "base/log.h"
#include "base/xalloc.h"

enum { SECRET_MAX = 64 * 1024, MASK_LINE_MIN = 20, ENV_NAMES_MAX = 256, ENV_NAME_MAX = 128 };

static char env_names[ENV_NAMES_MAX][ENV_NAME_MAX];
static size_t n_env_names;

static void note_env(const char *name)
{
	if (secret_in_env(name))
		return;
	if (n_env_names == ENV_NAMES_MAX || strlen(name) >= ENV_NAME_MAX)
		abort(); /* a configuration has some ten of them */
	memcpy(env_names[n_env_names++], name, strlen(name) + 1);
}

bool secret_in_env(const char *name)
{
	for (size_t i = 0; i < n_env_names; i++)
		if (strcmp(env_names[i], name) == 0)
			return true;
	return false;
}

/* One of several lines, such as a key's, is as secret as the whole; so is a URL's password. */
static void mask(const char *text)
{
	const char *at = strstr(text, "://"), *colon, *end;

	log_mask(text);
	if (at != NULL && strchr(text, '\n') == NULL) {
		at += 3;
		end = at + strcspn(at, "@/?#");
		colon = *end == '@' ? memchr(at, ':', (size_t)(end - at)) : NULL;
		if (colon != NULL) {
			char *password = xstrndup(colon + 1, (size_t)(end - colon - 1));

			log_mask(password);
			secret_free(password);
		}
	}
	if (strchr(text, '\n') == NULL)
		return;
	for (at = text; *at != '\0'; at += strspn(at, "\r\n")) {
		size_t len = strcspn(at, "\r\n");

		if (len >= MASK_LINE_MIN && strncmp(at, "-----", 5) != 0) {
			char *line = xstrndup(at, len);

			log_mask(line);
			secret_free(line);
		}
		at += len;
	}
}

static bool read_all(int fd, char *data, size_t cap, size_t *ret_len)
{
	size_t len = 0;

	while (len < cap) {
		ssize_t n = read(fd, data + len, cap - len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return false;
		if (n == 0)
			break;
		len += (size_t)n;
	}
	*ret_len = len;
	return true;
}

char *file_read(const char *path, size_t max, size_t *ret_len, struct err *err)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	struct stat st;
	char *data = NULL;
	size_t len = 0;

	if (fd < 0) {
		err_set(err, ERR_INVALID, "cannot open %s: %s", path, strerror(errno));
		return NULL;
	}
	if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) {
		err_set(err, ERR_INVALID, "cannot read %s: not a regular file", path);
		goto fail;
	}
	data = xcalloc(
		1, max + 2); /* one more than allowed, and the NUL: untouched pages cost nothing */
	if (!read_all(fd, data, max + 1, &len)) {
		err_set(err, ERR_INVALID, "cannot read %s: %s", path, strerror(errno));
		goto fail;
	}
	if (len > max) {
		err_set(err, ERR_INVALID, "%s is longer than the %zu bytes allowed", path, max);
		goto fail;
	}
	(void)close(fd);
	data[len] = '\0';
	*ret_len = len;
	return data;
fail:
	(void)close(fd);
	free(data);
	return NULL;
}

/* The two ways of naming a secret, or NULL and err. */
static char *read_named(const char *env, const char *file, struct err *err)
{
	size_t len;
	char *text;

	if (file != NULL) {
		text = file_read(file, SECRET_MAX, &len, err);
		if (text != NULL && strlen(text) != len) {
			err_set(err, ERR_INVALID, "secret file %s holds a NUL byte", file);
			secret_free(text);
			return NULL;
		}
		return text;
	}
	if (strlen(env) >= ENV_NAME_MAX) {
		err_set(err, ERR_INVALID, "the name of environment variable %s is too long", env);
		return NULL;
	}
	text = getenv(env);
	if (text == NULL) {
		err_set(err, ERR_INVALID, "environment variable %s is not set", env);
		return NULL;
	}
	if (strlen(text) > SECRET_MAX) {
		err_set(err, ERR_INVALID,
			"environment variable %s is longer than the %d bytes allowed", env,
			SECRET_MAX);
		return NULL;
	}
	return xstrdup(text);
}

char *secret_read(const json_t *node, struct err *err)
{
	const char *env = json_string_value(json_object_get(node, "env"));
	const char *file = json_string_value(json_object_get(node, "file"));
	size_t len;
	char *text;

	if ((env == NULL) == (file == NULL) || json_object_size(node) != 1) {
		err_set(err, ERR_INVALID,
			"a secret is named, never written here: use { env: NAME } or { file: PATH "
			"}");
		return NULL;
	}
	text = read_named(env, file, err);
	if (text == NULL)
		return NULL;
	len = strlen(text);
	while (len > 0 && (text[len - 1] == '\n' || text[len - 1] == '\r'))
		text[--len] = '\0';
	if (len == 0) {
		err_set(err, ERR_INVALID, "%s %s is empty",
			env != NULL ? "environment variable" : "secret file",
			env != NULL ? env : file);
		free(text);
		return NULL;
	}
	mask(text);
	if (env != NULL)
		note_env(env);
	return text;
}

void secret_free(char *text)
{
	if (text == NULL)
		return;
	explicit_bzero(text, strlen(text));
	free(text);
}

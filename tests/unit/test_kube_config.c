/* SPDX-License-Identifier: Apache-2.0 */
/* kube/config: kubeconfig files as they occur, and what is said of those that cannot be used. */
#include "test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../../src/kube/internal.h"
#include "base/err.h"
#include "base/xalloc.h"
#include "make_pem.h"

static char folder[64];
static char cert[PEM_SIZE], key[PEM_SIZE];

static void write_file(const char *name, const char *text)
{
	char path[128];
	FILE *file;

	(void)snprintf(path, sizeof(path), "%s/%s", folder, name);
	file = fopen(path, "w");
	assert_non_null(file);
	assert_int_equal(fputs(text, file) < 0, 0);
	assert_int_equal(fclose(file), 0);
}

static bool read_node(struct kube_target *target, const char *json, struct err *err)
{
	json_t *node = json_loads(json, 0, NULL);
	bool good;

	assert_non_null(node);
	memset(err, 0, sizeof(*err));
	good = kube_target_read(target, "main", node, folder, err);
	json_decref(node);
	return good;
}

#define NODE "{\"kubeconfig\":{\"file\":\"config\",\"context\":\"main\"}}"
#define HEAD "apiVersion: v1\nkind: Config\ncurrent-context: other\n"
#define CONTEXTS                                                                                   \
	"contexts:\n- name: main\n  context: {cluster: c, user: u, namespace: ads}\n"              \
	"- name: other\n  context: {cluster: c, user: u}\n"

/* QUJD is ABC */
static void test_all_of_it(void **state)
{
	char coded[2 * PEM_SIZE], *config;
	struct kube_target target;
	struct err err;

	(void)state;
	(void)EVP_EncodeBlock((unsigned char *)coded, (const unsigned char *)cert,
			      (int)strlen(cert));
	config = xasprintf(
		HEAD CONTEXTS
		"clusters:\n- name: c\n  cluster:\n    server: https://10.0.0.1:6443/k8s/c-1/\n"
		"    certificate-authority-data: |\n      QU\n      JD\n"
		"    tls-server-name: kube.example\n    proxy-url: socks5://127.0.0.1:1080\n"
		"    extensions: []\n"
		"users:\n- name: u\n  user:\n    tokenFile: token\n"
		"    client-certificate-data: %s\n    client-key: key.pem\n",
		coded);
	write_file("config", config);
	free(config);
	if (!read_node(&target, NODE, &err))
		fail_msg("%s", err.msg);
	assert_string_equal(target.server, "https://10.0.0.1:6443/k8s/c-1");
	assert_string_equal(target.ca_pem, "ABC");
	assert_string_equal(target.cert_pem, cert);
	assert_string_equal(target.key_pem, key);
	assert_null(target.cert_file); /* fixed */
	assert_non_null(strstr(target.key_file, "/key.pem"));
	assert_string_equal(target.server_name, "kube.example");
	assert_string_equal(target.proxy, "socks5h://127.0.0.1:1080");
	assert_string_equal(target.space, "ads");
	assert_null(target.token);
	assert_non_null(strstr(target.token_file, "/token"));
	assert_int_equal(target.token_file[0], '/'); /* beside the kubeconfig */
	assert_false(target.insecure);
	kube_target_finish(&target);
}

#define API "client.authentication.k8s.io/"

struct row {
	const char *cluster, *user, *says;
};

static const struct row refused[] = {
	{ "server: http://10.0.0.1:8080", "token: x", "http:// is allowed to this machine only" },
	{ "{}", "token: x", "the cluster has no server" },
	{ "server: https://k\n    certificate-authority-data: '%%%'", "token: x",
	  "certificate-authority-data is not base64" },
	{ "server: https://k\n    certificate-authority: none.pem", "token: x", "none.pem" },
	{ "server: https://k\n    insecure-skip-tls-verify: true\n    certificate-authority-data: "
	  "QUJD",
	  "token: x", "exclude each other" },
	{ "server: https://k\n    proxy-url: ftp://x", "token: x", "proxy-url must begin" },
	{ "server: https://k", "exec: {command: aws, apiVersion: v1}", "apiVersion must be" },
	{ "server: https://k", "exec: {command: /bin/sh, apiVersion: " API "v1}",
	  "interactiveMode is missing" },
	{ "server: https://k",
	  "exec: {command: /bin/sh, apiVersion: " API "v1, interactiveMode: Always}",
	  "nobody at a terminal" },
	{ "server: https://k",
	  "exec: {command: no-such-plugin, apiVersion: " API "v1beta1, installHint: 'get it'}",
	  "no-such-plugin is not in PATH; get it" },
	{ "server: https://k", "exec: {command: sh, apiVersion: " API "v1beta1}",
	  "allow it beside kubeconfig with plugins: [\"/" },
	{ "server: https://k", "exec: {command: /bin/sh, apiVersion: " API "v1beta1, args: [1]}",
	  "args must be texts" },
	{ "server: https://k", "auth-provider: {name: gcp}", "was removed from Kubernetes" },
	{ "server: https://k", "username: a\n    password: b", "not accepted by Kubernetes" },
	{ "server: https://k", "as-groups: [a]\n    token: x", "need as" },
	{ "server: https://k", "token: 12345", "put it in quotes" },
	{ "server: https://k", "client-certificate-data: QUJD", "belong together" },
	{ "server: https://k", "client-certificate: cert.pem\n    client-key: none.pem",
	  "none.pem" },
	{ "server: https://k", "client-certificate: cert.pem\n    client-key: other.pem",
	  "the key is not that of the certificate" },
	{ "server: https://k", "client-certificate: other.pem\n    client-key: key.pem",
	  "it holds no certificate" },
	{ "server: https://k\n    insecure-skip-tls-verify: yes\n    "
	  "certificate-authority-data: QUJD",
	  "token: x", "exclude each other" },
	{ "*nothing", "token: x", "stands for nothing that came before" },
};

static void test_refusals(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
		struct kube_target target;
		char text[1000];
		struct err err;

		(void)snprintf(text, sizeof(text),
			       HEAD CONTEXTS "clusters:\n- name: c\n  cluster:\n    %s\n"
					     "users:\n- name: u\n  user:\n    %s\n",
			       refused[i].cluster, refused[i].user);
		write_file("config", text);
		if (read_node(&target, NODE, &err))
			fail_msg("accepted: %s", text);
		if (strstr(err.msg, refused[i].says) == NULL)
			fail_msg("\"%s\" is not in: %s", refused[i].says, err.msg);
		assert_non_null(strstr(err.msg, "clusters.main: "));
		kube_target_finish(&target);
	}
}

/* As programs write them: anchors, null lists, words for booleans. */
static void test_generated(void **state)
{
	struct kube_target target;
	struct err err;

	(void)state;
	write_file("config", HEAD CONTEXTS
		   "clusters:\n- name: d\n  cluster: &here {server: https://k, "
		   "insecure-skip-tls-verify: yes}\n- {name: c, cluster: *here}\n"
		   "users:\n- name: u\n  user:\n    exec:\n      apiVersion: " API "v1beta1\n"
		   "      command: sh\n      args: null\n      env: null\n      "
		   "provideClusterInfo: true\n");
	if (!read_node(&target,
		       "{\"kubeconfig\":{\"file\":\"config\",\"context\":\"main\"},"
		       "\"plugins\":[\"/usr/bin/sh\",\"/bin/sh\",\"/usr/local/bin/sh\"]}",
		       &err))
		fail_msg("%s", err.msg);
	assert_true(target.insecure);
	assert_non_null(target.plugin);
	assert_int_equal(target.plugin->argv[0][0], '/');
	assert_null(target.plugin->argv[1]);
	assert_non_null(strstr(target.plugin->env[0], "\"server\":\"https://k\""));
	kube_target_finish(&target);
	/* what stands there makes the plugin superfluous */
	write_file("config", HEAD CONTEXTS "clusters: [{name: c, cluster: {server: https://k}}]\n"
					   "users: [{name: u, user: {token: t, exec: {command: x}, "
					   "as: ana, as-groups: [g]}}]\n");
	if (!read_node(&target, NODE, &err))
		fail_msg("%s", err.msg);
	assert_null(target.plugin);
	assert_string_equal(target.as.name, "ana");
	assert_int_equal(json_array_size(target.as.groups), 1);
	kube_target_finish(&target);
	assert_false(read_node(&target,
			       "{\"kubeconfig\":{\"file\":\"config\",\"context\":\"main\"},"
			       "\"impersonate\":true}",
			       &err));
	assert_non_null(strstr(err.msg, "exclude each other"));
	kube_target_finish(&target);
}

/* Of several files the first that defines a name defines it whole; paths are beside that file. */
static void test_merging(void **state)
{
	static const char by_env[] =
		"{\"kubeconfig\":{\"env\":\"TEST_KUBECONFIG\",\"context\":\"main\"}}";
	struct kube_target target;
	char list[500], other[140];
	struct err err;

	(void)state;
	(void)snprintf(other, sizeof(other), "%s/other", folder);
	assert_int_equal(mkdir(other, 0700), 0);
	write_file("config", "contexts: [{name: main, context: {cluster: c, user: u}}]\n"
			     "users: [{name: u, user: {tokenFile: first}}]\n");
	write_file("other/config",
		   "contexts: [{name: main, context: {cluster: z, user: z, namespace: z}}]\n"
		   "clusters: [{name: c, cluster: {server: https://second, "
		   "certificate-authority: ca.pem}}]\n"
		   "users: [{name: u, user: {token: second, client-key: none}}]\n");
	write_file("other/ca.pem", "CA");
	(void)snprintf(list, sizeof(list), "%s/absent:%s/config::%s/other/config", folder, folder,
		       folder);
	(void)setenv("TEST_KUBECONFIG", list, 1);
	if (!read_node(&target, by_env, &err))
		fail_msg("%s", err.msg);
	assert_string_equal(target.server, "https://second");
	assert_null(target.ca_pem); /* read by who uses it, for it may change */
	assert_non_null(strstr(target.ca_file, "/other/ca.pem")); /* beside the second file */
	assert_string_equal(target.space, "default");
	assert_null(target.token); /* nothing of the second user */
	assert_non_null(strstr(target.token_file, "/first"));
	kube_target_finish(&target);
	(void)setenv("TEST_KUBECONFIG", "/nowhere/config", 1);
	assert_false(read_node(&target, by_env, &err));
	assert_non_null(strstr(err.msg, "none of the files of TEST_KUBECONFIG is there"));
	kube_target_finish(&target);
	write_file("config", "a: b: c\n"); /* there, and not readable: no silent skipping */
	(void)setenv("TEST_KUBECONFIG", list, 1);
	assert_false(read_node(&target, by_env, &err));
	kube_target_finish(&target);
	write_file("other/config", "");
	for (size_t i = 0; i < 2; i++) {
		(void)snprintf(other, sizeof(other), "%s/other/%s", folder,
			       i == 0 ? "config" : "ca.pem");
		(void)unlink(other);
	}
	(void)snprintf(other, sizeof(other), "%s/other", folder);
	assert_int_equal(rmdir(other), 0);
}

static void test_contexts(void **state)
{
	struct kube_target target;
	struct err err;

	(void)state;
	write_file("config", HEAD CONTEXTS
		   "clusters:\n- name: c\n  cluster: {server: https://k}\nusers: null\n");
	assert_false(read_node(&target, NODE, &err));
	assert_non_null(strstr(err.msg, "names the user \"u\", which is not there"));
	kube_target_finish(&target);
	assert_false(read_node(
		&target, "{\"kubeconfig\":{\"file\":\"config\",\"context\":\"mian\"}}", &err));
	assert_non_null(strstr(err.msg, "no context \"mian\"; it has: main, other"));
	kube_target_finish(&target);
	assert_false(read_node(&target, "{\"kubeconfig\":{\"file\":\"config\"}}", &err));
	assert_non_null(strstr(err.msg, "current-context is never used"));
	kube_target_finish(&target);
	assert_false(read_node(
		&target, "{\"kubeconfig\":{\"file\":\"absent\",\"context\":\"main\"}}", &err));
	assert_non_null(strstr(err.msg, "absent"));
	kube_target_finish(&target);
}

static void test_settings(void **state)
{
	static const struct {
		const char *node, *says; /* NULL: good */
	} rows[] = {
		{ "{\"server\":\"https://k:6443\",\"ca_file\":\"ca.pem\",\"token_file\":\"t\"}",
		  NULL },
		{ "{\"server\":\"http://127.0.0.1:1\"}", NULL },
		{ "{\"server\":\"http://k:1\"}", "this machine only" },
		{ "{\"server\":\"https://k?x=1\"}", "no query" },
		{ "{}", "say where it is by one of" },
		{ "[]", "must be a mapping" },
		{ "{\"server\":\"https://k\",\"in_cluster\":true}", "say where it is by one of" },
		{ "{\"server\":\"https://k\",\"token\":\"x\"}", "unknown setting token" },
		{ "{\"server\":\"https://k\",\"ca_fiel\":\"x\"}", "did you mean ca_file?" },
		{ "{\"in_cluster\":true}", "does not run in a pod" },
	};

	(void)state;
	(void)unsetenv("KUBERNETES_SERVICE_HOST");
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct kube_target target;
		struct err err;
		bool good = read_node(&target, rows[i].node, &err);

		if (good != (rows[i].says == NULL) ||
		    (!good && strstr(err.msg, rows[i].says) == NULL))
			fail_msg("%s: %s", rows[i].node, err.msg);
		if (good)
			assert_string_equal(target.space, "default");
		kube_target_finish(&target);
	}
}

static void test_pod(void **state)
{
	struct kube_target target;
	struct err err;

	(void)state;
	(void)setenv("KUBERNETES_SERVICE_HOST", "fd00::1", 1);
	(void)setenv("KUBERNETES_SERVICE_PORT", "443", 1);
	assert_true(read_node(&target, "{\"in_cluster\":true}", &err));
	assert_string_equal(target.server, "https://[fd00::1]:443");
	assert_string_equal(target.token_file,
			    "/var/run/secrets/kubernetes.io/serviceaccount/token");
	kube_target_finish(&target);
}

static int make_folder(void **state)
{
	char other_cert[PEM_SIZE], other_key[PEM_SIZE];

	(void)state;
	(void)snprintf(folder, sizeof(folder), "/tmp/opsd-kube-XXXXXX");
	if (mkdtemp(folder) == NULL)
		return -1;
	make_pem(cert, key);
	make_pem(other_cert, other_key);
	write_file("cert.pem", cert);
	write_file("key.pem", key);
	write_file("other.pem", other_key);
	return 0;
}

static int drop_folder(void **state)
{
	static const char *const names[] = { "config", "cert.pem", "key.pem", "other.pem" };
	char path[128];

	(void)state;
	for (size_t i = 0; i < 4; i++) {
		(void)snprintf(path, sizeof(path), "%s/%s", folder, names[i]);
		(void)unlink(path);
	}
	return rmdir(folder);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_all_of_it), cmocka_unit_test(test_refusals),
		cmocka_unit_test(test_contexts),  cmocka_unit_test(test_settings),
		cmocka_unit_test(test_pod),       cmocka_unit_test(test_generated),
		cmocka_unit_test(test_merging),
	};

	return cmocka_run_group_tests(tests, make_folder, drop_folder);
}

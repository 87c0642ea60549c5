/* SPDX-License-Identifier: Apache-2.0 */
/* catalog_schema.c - the JSON schema of a file of commands, from the tables that the loader reads.
 */
#include <string.h>

#include "catalog_internal.h"

static json_t *type_schema(enum key_type type)
{
	static const char *const names[] = {
		[KEY_TEXT] = "string",   [KEY_NUMBER] = "integer", [KEY_BOOL] = "boolean",
		[KEY_OBJECT] = "object", [KEY_LIST] = "array",
	};

	return type == KEY_ANY ? json_object() : json_pack("{s:s}", "type", names[type]);
}

/* A mapping with these keys and no others. */
static json_t *keys_schema(const struct key *keys)
{
	json_t *properties = json_object(), *required = json_array();

	for (; keys->name != NULL; keys++) {
		json_t *schema = type_schema(keys->type);

		json_object_set_new(schema, "description", json_string(keys->about));
		json_object_set_new(properties, keys->name, schema);
		if (keys->required)
			json_array_append_new(required, json_string(keys->name));
	}
	return json_pack("{s:s, s:o, s:o, s:b}", "type", "object", "properties", properties,
			 "required", required, "additionalProperties", 0);
}

static json_t *property(json_t *schema, const char *name)
{
	return json_object_get(json_object_get(schema, "properties"), name);
}

/* Names of one form, each with a value of this schema; takes schema. */
static void set_named(json_t *at, const char *pattern, json_t *schema)
{
	json_object_set_new(at, "patternProperties", json_pack("{s:o}", pattern, schema));
	json_object_set_new(at, "additionalProperties", json_false());
}

static void set_items(json_t *at, json_t *schema)
{
	json_object_set_new(at, "items", schema);
}

/* Numbers and truths may stand as "{parameter}". */
static json_t *action_param_schema(const struct action_param *param)
{
	static const char *const names[] = {
		[ACTION_TEXT] = "string",   [ACTION_NUMBER] = "number", [ACTION_BOOL] = "boolean",
		[ACTION_OBJECT] = "object", [ACTION_EXPR] = "string",   [ACTION_LIST] = "array",
		[ACTION_VALUE] = "string",
	};
	bool template = param->type == ACTION_NUMBER || param->type == ACTION_BOOL;
	json_t *schema = json_pack("{s:s}", "description", param->about);

	if (param->type == ACTION_VALUE)
		json_object_set_new(schema, "type",
				    json_pack("[s, s, s]", "string", "number", "boolean"));
	else if (template)
		json_object_set_new(schema, "type",
				    json_pack("[s, s]", names[param->type], "string"));
	else
		json_object_set_new(schema, "type", json_string(names[param->type]));
	return schema;
}

static json_t *kind_schema(const struct action_kind *kind)
{
	json_t *properties = json_object(), *required = json_array();

	for (const struct action_param *p = kind->params; p->name != NULL; p++) {
		json_object_set_new(properties, p->name, action_param_schema(p));
		if (p->required)
			json_array_append_new(required, json_string(p->name));
	}
	return json_pack("{s:s, s:s, s:o, s:o, s:b}", "type", "object", "description", kind->about,
			 "properties", properties, "required", required, "additionalProperties", 0);
}

/* One of the kinds. */
static json_t *do_schema(const struct action_kind *const *kinds)
{
	json_t *properties = json_object();

	for (; *kinds != NULL; kinds++)
		json_object_set_new(properties, (*kinds)->name, kind_schema(*kinds));
	return json_pack("{s:s, s:o, s:b, s:i, s:i}", "type", "object", "properties", properties,
			 "additionalProperties", 0, "minProperties", 1, "maxProperties", 1);
}

static json_t *param_schema(const struct action_kind *const *kinds)
{
	json_t *schema = keys_schema(catalog_param_keys), *types = json_array();

	for (size_t i = 0; catalog_param_types[i] != NULL; i++)
		json_array_append_new(types, json_string(catalog_param_types[i]));
	json_object_set_new(property(schema, "type"), "enum", types);
	json_object_set_new(json_object_get(schema, "properties"), "from", do_schema(kinds));
	return schema;
}

static json_t *expect_schema(void)
{
	return json_pack("{s:[{s:[s, s, s]}, {s:s, s:{s:{s:s}}, s:[s], s:b}]}", "anyOf", "enum",
			 "allow", "deny", "invalid", "type", "object", "properties", "approval",
			 "type", "integer", "required", "approval", "additionalProperties", 0);
}

static json_t *command_schema(const struct action_kind *const *kinds)
{
	json_t *schema = keys_schema(catalog_command_keys);
	json_t *approval = keys_schema(catalog_approval_keys), *test;

	json_object_update_new(property(approval, "from"), keys_schema(catalog_from_keys));
	test = keys_schema(catalog_test_keys);
	json_object_update_new(property(test, "expect"), expect_schema());
	set_items(property(test, "as"), json_pack("{s:s}", "type", "string"));
	json_object_update_new(property(schema, "risk"),
			       json_pack("{s:i, s:i}", "minimum", 0, "maximum", 3));
	set_named(property(schema, "params"), "^[a-z][a-z0-9_]*$", param_schema(kinds));
	set_named(property(schema, "scope"), "^[a-z][a-z0-9_]*$",
		  json_pack("{s:[s, s]}", "type", "string", "integer"));
	set_items(property(schema, "guard"), keys_schema(catalog_guard_keys));
	set_items(property(schema, "approval"), approval);
	set_items(property(schema, "tests"), test);
	json_object_update_new(property(schema, "do"), do_schema(kinds));
	return schema;
}

json_t *catalog_schema(const struct action_kind *const *kinds)
{
	json_t *schema = keys_schema(catalog_file_keys);

	json_object_set_new(schema, "$schema",
			    json_string("http://json-schema.org/draft-07/schema#"));
	json_object_set_new(schema, "title", json_string("opsd commands"));
	set_named(property(schema, "commands"), "^[a-z][a-z0-9-]*$", command_schema(kinds));
	return schema;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* idtoken.c - the checks in their order; the first that fails refuses. */
#include "core/idtoken.h"

#include <string.h>

#include "base/err.h"
#include "base/str.h"

enum { SKEW_S = 60, SUBJECT_MAX = 255 };

static bool issuer_fits(const char *iss, const char *issuer)
{
	return str_eq(iss, issuer) || (str_eq(issuer, "https://accounts.google.com") &&
				       str_eq(iss, "accounts.google.com"));
}

static bool audience_fits(const json_t *claims, const char *client)
{
	const json_t *aud = json_object_get(claims, "aud");
	const char *azp = jget_str(claims, "azp");

	if (json_is_array(aud) && json_array_size(aud) == 1)
		aud = json_array_get(aud, 0);
	return str_eq(json_string_value(aud), client) && (azp == NULL || str_eq(azp, client));
}

static const char *fault_of(const json_t *claims, const struct idtoken_rules *rules)
{
	int64_t exp = jget_int(claims, "exp", 0), iat = jget_int(claims, "iat", 0);
	const char *nonce = jget_str(claims, "nonce");

	if (!issuer_fits(jget_str(claims, "iss"), rules->issuer))
		return "another issuer";
	if (!audience_fits(claims, rules->client_id))
		return "it was made for another program";
	if (exp <= rules->now_s - SKEW_S)
		return "it has expired";
	if (iat < rules->started_s - SKEW_S || iat > rules->now_s + SKEW_S)
		return "it was not made in this sign-in";
	if (nonce != NULL && !str_eq(nonce, rules->nonce))
		return "it belongs to another sign-in";
	if (rules->hosted_domain != NULL && !str_eq(jget_str(claims, "hd"), rules->hosted_domain))
		return "it is not of an account of the company";
	if (rules->tenant != NULL && !str_eq(jget_str(claims, "tid"), rules->tenant))
		return "it is of another tenant";
	if (jget_str(claims, "email") != NULL &&
	    json_object_get(claims, "email_verified") != NULL &&
	    !jget_bool(claims, "email_verified", false))
		return "its address is not verified";
	return NULL;
}

const char *idtoken_subject(const json_t *claims, const struct idtoken_rules *rules,
			    struct err *err)
{
	const char *subject = jget_str(claims, rules->subject), *fault = fault_of(claims, rules);

	if (fault == NULL && (str_empty(subject) || strlen(subject) > SUBJECT_MAX))
		fault = "it does not say who signed in";
	if (fault == NULL)
		return subject;
	err_set(err, ERR_DENIED, "The sign-in does not count: %s.", fault);
	return NULL;
}

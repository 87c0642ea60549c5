/* SPDX-License-Identifier: Apache-2.0 */
/* libraries.c - what must happen once, before any thread. */
#include "app/libraries.h"

#include <stdlib.h>
#include <uv.h>

#include "base/json.h"
#include "net/http.h"

void libraries_init(void)
{
	/* Variables that libraries read behind our back: opsd honours its own configuration only.
	 */
	static const char *const unwanted[] = { "http_proxy",  "https_proxy", "HTTP_PROXY",
						"HTTPS_PROXY", "all_proxy",   "ALL_PROXY",
						"no_proxy",    "NO_PROXY",    "PGHOST",
						"PGPORT",      "PGUSER",      "PGPASSWORD",
						"PGDATABASE",  "PGSERVICE",   "PGPASSFILE",
						"PGSSLMODE",   "PGOPTIONS",   "PGSERVICEFILE" };

	for (size_t i = 0; i < sizeof(unwanted) / sizeof(unwanted[0]); i++)
		(void)unsetenv(unwanted[i]);
	json_object_seed(0);
	http_library_init();
}

void libraries_finish(void)
{
	http_library_finish();
	uv_library_shutdown();
}

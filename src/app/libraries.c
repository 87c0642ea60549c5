/* SPDX-License-Identifier: Apache-2.0 */
/* libraries.c - what must happen once, before any thread. */
#include "app/libraries.h"

#include <link.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
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

/* Segments that are never written hold nothing that is not in their file. */
static int give_back(struct dl_phdr_info *object, size_t size, void *data)
{
	uintptr_t page = *(const uintptr_t *)data;

	(void)size;
	if (object->dlpi_name[0] != '\0' && strchr(object->dlpi_name, '/') == NULL)
		return 0; /* the kernel's own, without a file */
	for (size_t i = 0; i < object->dlpi_phnum; i++) {
		const ElfW(Phdr) *segment = &object->dlpi_phdr[i];
		uintptr_t from = object->dlpi_addr + segment->p_vaddr;
		uintptr_t to = from + segment->p_memsz;

		if (segment->p_type != PT_LOAD || (segment->p_flags & PF_W) != 0)
			continue;
		from &= ~(page - 1);
		(void)madvise((void *)from, to - from, MADV_DONTNEED);
	}
	return 0;
}

void libraries_rest(void)
{
	uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);

	(void)dl_iterate_phdr(give_back, &page);
}

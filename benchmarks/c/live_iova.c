/* SPDX-License-Identifier: MIT */
/*
 * Ours: live domains of libiova, through its public header and a real call; of the library as
 * it is built by default, and of one built without restartable sequences.
 */
#include <dlfcn.h>
#include <string.h>

#include "bench.h"
#include "iova.h"
#include "live_loops.h"

#define GRANULE UINT64_C(4096)

enum variant { UNCHECKED, CHECKED, NINE_UNCHECKED, NINE_CHECKED, VARIANTS };
enum build { DEFAULT, LOCKS, BUILDS };

struct api {
	enum iova_status (*open)(const struct iova_live_config *, iova_live **);
	enum iova_status (*alloc)(iova_live *, uint64_t, uint64_t, uint64_t, uint64_t *);
	enum iova_status (*free)(iova_live *, uint64_t, uint64_t);
};

static struct api apis[BUILDS];
static iova_live *domains[BUILDS * VARIANTS][WORKLOADS];
/* Of the contender and workload that run. */
static struct api api;
static iova_live *domain;

static inline uint64_t take(unsigned order)
{
	uint64_t address;
	if (api.alloc(domain, GRANULE << order, UINT64_MAX, 0, &address) != IOVA_OK)
		abort();
	return address;
}

static inline void give(uint64_t address, unsigned order)
{
	if (api.free(domain, address, GRANULE << order) != IOVA_OK)
		abort();
}

DEFINE_LIVE_LOOPS(iova, take, give);

static void enter(const struct contender *contender, enum workload workload)
{
	iova_live **own = &domains[contender->variant][workload];
	enum variant variant = contender->variant % VARIANTS;
	struct iova_live_config config = {
		.unchecked = variant == UNCHECKED || variant == NINE_UNCHECKED,
		.classes = variant >= NINE_UNCHECKED ? 9 : IOVA_DEFAULT_CLASSES,
	};
	api = apis[contender->variant / VARIANTS];
	if (!*own)
		must(api.open(&config, own) == IOVA_OK, "no live domain");
	domain = *own;
}

static void look_up(void *library, const char *name, void *function, size_t bytes)
{
	void *symbol = dlsym(library, name);
	must(symbol != NULL, name);
	memcpy(function, &symbol, bytes);
}

static void load(struct api *into, const char *path)
{
	void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
	must(library != NULL, "libiova could not be loaded");
	look_up(library, "iova_live_open", &into->open, sizeof(into->open));
	look_up(library, "iova_live_alloc", &into->alloc, sizeof(into->alloc));
	look_up(library, "iova_live_free", &into->free, sizeof(into->free));
}

size_t iova_contenders(struct contender *to, const char *path, const char *path_of_locks)
{
	static const char *const names[BUILDS * VARIANTS] = {
		"iova, unchecked",
		"iova, checked",
		"iova, nine classes, unchecked",
		"iova, nine classes, checked",
		"iova with locks, unchecked",
		"iova with locks, checked",
		"iova with locks, nine classes, unchecked",
		"iova with locks, nine classes, checked",
	};
	load(&apis[DEFAULT], path);
	load(&apis[LOCKS], path_of_locks);
	for (unsigned i = 0; i < BUILDS * VARIANTS; i++) {
		bool nine = i % VARIANTS >= NINE_UNCHECKED;
		to[i] = (struct contender){ names[i], &iova_loops, i,
					    nine ? 1u << W4_LARGE : ALL_WORKLOADS, enter,
					    NULL, NULL };
	}
	return BUILDS * VARIANTS;
}

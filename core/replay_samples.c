/* SPDX-License-Identifier: MIT */
#include "replay_samples.h"

#include <string.h>

void samples_init(struct sample_store *store, const struct replay_config *config,
		  const struct iova_memory *memory)
{
	*store = (struct sample_store){ .config = config, .memory = memory };
}

static size_t table_every(const struct sample_store *store)
{
	return store->config->table_every ? store->config->table_every : 1;
}

size_t samples_tables(const struct sample_store *store, size_t samples)
{
	size_t every = table_every(store);
	return samples / every + (samples % every != 0);
}

uint32_t replay_cpu_rows(const struct replay_config *config)
{
	bool grouped = config->cpu_rows && config->cpu_rows < config->cpus_possible;
	return grouped ? config->cpu_rows : config->cpus_possible;
}

static size_t cpu_bytes(const struct sample_store *store, size_t tables)
{
	return store->config->sample_cpus ?
		       tables * replay_cpu_rows(store->config) * sizeof(uint32_t) :
		       0;
}

static size_t map_bytes(const struct sample_store *store, size_t tables)
{
	return tables * 2 * store->config->map_bins * sizeof(uint32_t);
}

void samples_fini(struct sample_store *store)
{
	size_t n = store->capacity, tables = samples_tables(store, n);
	if (store->rows)
		memory_put(store->memory, IOVA_MEMORY_REPLAY, store->rows,
			   n * sizeof(struct replay_sample));
	if (store->cpu_pages)
		memory_put(store->memory, IOVA_MEMORY_REPLAY, store->cpu_pages,
			   cpu_bytes(store, tables));
	if (store->maps)
		memory_put(store->memory, IOVA_MEMORY_REPLAY, store->maps,
			   map_bytes(store, tables));
	store->rows = NULL;
	store->cpu_pages = store->maps = NULL;
}

/* A table of no bytes stays NULL. */
static bool get_table(const struct sample_store *store, void **table, size_t bytes)
{
	if (bytes == 0)
		return true;
	*table = memory_get(store->memory, IOVA_MEMORY_REPLAY, bytes);
	return *table != NULL;
}

static enum replay_status grow(struct sample_store *store)
{
	size_t n = store->capacity ? 2 * store->capacity : 64;
	size_t tables = samples_tables(store, n);
	struct sample_store larger = *store;
	larger.rows = NULL;
	larger.cpu_pages = larger.maps = NULL;
	larger.capacity = n;
	void *rows = NULL, *cpus = NULL, *maps = NULL;
	bool ok = get_table(store, &rows, n * sizeof(struct replay_sample)) &&
		  get_table(store, &cpus, cpu_bytes(store, tables)) &&
		  get_table(store, &maps, map_bytes(store, tables));
	larger.rows = rows;
	larger.cpu_pages = cpus;
	larger.maps = maps;
	if (!ok) {
		samples_fini(&larger);
		return REPLAY_NO_MEMORY;
	}
	size_t used = store->count;
	tables = samples_tables(store, used);
	if (used) {
		memcpy(rows, store->rows, used * sizeof(struct replay_sample));
		if (cpus)
			memcpy(cpus, store->cpu_pages, cpu_bytes(store, tables));
		if (maps)
			memcpy(maps, store->maps, map_bytes(store, tables));
	}
	samples_fini(store);
	*store = larger;
	return REPLAY_OK;
}

enum replay_status samples_add(struct sample_store *store, struct sample_slot *at)
{
	if (store->count == store->config->max_samples)
		return REPLAY_SAMPLES;
	if (store->count == store->capacity) {
		enum replay_status status = grow(store);
		if (status != REPLAY_OK)
			return status;
	}
	size_t i = store->count++;
	*at = (struct sample_slot){ .sample = &store->rows[i] };
	if (i % table_every(store) != 0)
		return REPLAY_OK;
	at->tables = true;
	i /= table_every(store);
	if (store->cpu_pages) {
		at->cpu_pages = store->cpu_pages + i * replay_cpu_rows(store->config);
		memset(at->cpu_pages, 0, cpu_bytes(store, 1));
	}
	if (store->maps) {
		at->allocated = store->maps + i * 2 * store->config->map_bins;
		at->cached = at->allocated + store->config->map_bins;
		memset(at->allocated, 0, map_bytes(store, 1));
	}
	return REPLAY_OK;
}

/* ------------------------------------------------------------------ a domain's part */

static uint32_t entries(const struct magazine *magazine)
{
	return magazine ? magazine->count : 0;
}

static void add_cpu_pages(const struct sample_store *store, const struct sample_slot *at,
			  const struct iova_domain *domain)
{
	uint32_t rows = replay_cpu_rows(store->config);
	for (uint32_t cpu = 0; cpu < domain->cpus_possible; cpu++) {
		uint32_t row = replay_cpu_row(cpu, rows, domain->cpus_possible);
		for (uint32_t k = 0; k < domain->classes; k++) {
			const struct cpu_cache *cache = cpu_cache_of(domain, cpu, k);
			at->cpu_pages[row] += (entries(cache->loaded) + entries(cache->previous))
					      << k;
		}
	}
}

/* Spread lo..hi over the bins it covers, cut to the map's window. A bin stays at its most. */
static void add_to_map(const struct replay_config *config, uint32_t *bins, uint64_t lo, uint64_t hi)
{
	/* No range but the anchor reaches 2^64-1; without it a bin's width does not wrap. */
	uint64_t first = config->map_first;
	uint64_t last = config->map_last < ANCHOR_PFN ? config->map_last : ANCHOR_PFN - 1;
	if (hi < first || lo > last)
		return;
	lo = (lo > first ? lo : first) - first;
	hi = (hi < last ? hi : last) - first;
	uint64_t width = (last - first) / config->map_bins + 1;
	for (uint64_t bin = lo / width; lo <= hi; bin++) {
		uint64_t room = width - lo % width, left = hi - lo + 1;
		uint64_t part = left < room ? left : room;
		bool fits = part <= UINT32_MAX - bins[bin];
		bins[bin] = fits ? bins[bin] + (uint32_t)part : UINT32_MAX;
		lo += part;
	}
}

static void add_magazine_to_map(const struct sample_store *store, uint32_t *bins, uint32_t size_class,
				const struct magazine *magazine, uint64_t count)
{
	for (uint64_t i = 0; i < count; i++)
		add_to_map(store->config, bins, magazine->pfn[i],
			   magazine->pfn[i] + (UINT64_C(1) << size_class) - 1);
}

static void add_cached(const struct sample_store *store, uint32_t *bins,
		       const struct iova_domain *domain)
{
	for (uint32_t k = 0; k < domain->classes; k++) {
		for (uint32_t cpu = 0; cpu < domain->cpus_possible; cpu++) {
			const struct cpu_cache *cache = cpu_cache_of(domain, cpu, k);
			add_magazine_to_map(store, bins, k, cache->loaded, entries(cache->loaded));
			add_magazine_to_map(store, bins, k, cache->previous,
					    entries(cache->previous));
		}
		const struct magazine *m;
		for (uintptr_t at = domain->rcache[k].depot.head; (m = link_magazine(at));
		     at = m->link)
			add_magazine_to_map(store, bins, k, m, link_capacity(at));
	}
}

static void add_allocated(const struct sample_store *store, uint32_t *bins,
			  const struct iova_domain *domain)
{
	struct index_path path;
	index_seek(&domain->tree.index, store->config->map_first, &path);
	do {
		struct iova_range range = index_range(&path);
		if (range.hi == ANCHOR_PFN || range.lo > store->config->map_last)
			return;
		add_to_map(store->config, bins, range.lo, range.hi);
	} while (index_next(&domain->tree.index, &path));
}

void samples_add_domain(const struct sample_store *store, const struct sample_slot *at,
			const struct iova_domain *domain)
{
	if (at->cpu_pages && domain->caches)
		add_cpu_pages(store, at, domain);
	if (!at->allocated)
		return;
	add_allocated(store, at->allocated, domain);
	if (domain->caches)
		add_cached(store, at->cached, domain);
}

/* SPDX-License-Identifier: MIT */
/* replay_samples - the time series of a replay: growing tables of samples. */
#ifndef IOVA_REPLAY_SAMPLES_H
#define IOVA_REPLAY_SAMPLES_H

#include "domain.h"
#include "replay.h"

struct sample_store {
	const struct replay_config *config;
	const struct iova_memory *memory;
	size_t count, capacity;
	struct replay_sample *rows;
	uint32_t *cpu_pages; /* [table][cpu row] or NULL */
	uint32_t *maps;	     /* [table][2][bin] or NULL */
};

/* Where one sample goes. */
struct sample_slot {
	struct replay_sample *sample;
	bool tables; /* go with it */
	uint32_t *cpu_pages, *allocated, *cached;
};

/* Both arguments must outlive the store. */
void samples_init(struct sample_store *store, const struct replay_config *config,
		  const struct iova_memory *memory);
void samples_fini(struct sample_store *store);
/* REPLAY_NO_MEMORY or REPLAY_SAMPLES; else room for one more, its tables zeroed. */
enum replay_status samples_add(struct sample_store *store, struct sample_slot *at);
/* Tables that go with the first so many samples. */
size_t samples_tables(const struct sample_store *store, size_t samples);
/* Add a domain's part to the per-CPU and map tables. Walks caches and tree as asked for. */
void samples_add_domain(const struct sample_store *store, const struct sample_slot *at,
			const struct iova_domain *domain);

#endif

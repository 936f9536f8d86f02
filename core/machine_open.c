/* SPDX-License-Identifier: MIT */
/*
 * machine_open - a machine is made of its configuration, and destroyed.
 *
 * Its parts are made in turn until one fails; a machine that is half made is destroyed like
 * any other, so destroying asks of each part whether it is there.
 */
#include "machine_inner.h"

#include <string.h>

/* -------------------------------------------------------------------------- memory */

static void *zeroed(struct machine *m, size_t count, size_t size)
{
	void *table = memory_get(&m->memory, IOVA_MEMORY_REPLAY, count * size);
	if (table)
		memset(table, 0, count * size);
	else
		m->status = REPLAY_NO_MEMORY;
	return table;
}

static void put(struct machine *m, void *table, size_t count, size_t size)
{
	if (table)
		memory_put(&m->memory, IOVA_MEMORY_REPLAY, table, count * size);
}

/* -------------------------------------------------------------------------- making */

static void make_replay(struct machine *m)
{
	const struct machine_config *config = &m->config;
	m->starts = zeroed(m, config->domain_count, sizeof(*m->starts));
	if (!m->starts)
		return;
	for (uint32_t i = 0; i < config->domain_count; i++)
		m->starts[i] = (struct replay_domain_config){ config->domains[i].granule,
							      config->domains[i].start_pfn };
	struct iova_memory memory = {
		.allocate = record_allocate, .release = record_release_memory, .context = m
	};
	m->hooks = (struct iova_lock_hooks){ record_acquire, record_release, m };
	struct replay_config replay = {
		.cpus_possible = config->cpus_possible,
		.cpus_online = config->cpus_online,
		.classes = config->classes,
		.params = config->params,
		.domain_count = config->domain_count,
		.domains = m->starts,
		.designs = config->designs,
		.recorded_reclaim = true, /* jobs run on simulated CPUs */
		.count_steps = true,
		.sample_ns = config->sample_ns,
		.max_samples = config->max_samples,
		.table_every = config->table_every,
		.sample_cpus = config->sample_cpus,
		.cpu_rows = config->cpu_rows,
		.map_bins = config->map_bins,
		.map_first = config->map_first,
		.map_last = config->map_last,
		.memory = &memory,
		.locks = &m->hooks,
		.stop = config->stop,
	};
	m->status = replay_create(&replay, &m->replay);
	m->cpu_rows = replay_cpu_rows(&replay);
	if (config->sample_cpus && config->cpu_rows)
		m->handovers = zeroed(m, (size_t)m->cpu_rows * m->cpu_rows, sizeof(*m->handovers));
}

static void init_list(struct list *list)
{
	list->first = list->last = NOBODY;
}

static void make_cpus(struct machine *m)
{
	m->cpus = zeroed(m, m->config.cpus_possible, sizeof(*m->cpus));
	for (uint32_t i = 0; m->cpus && i < m->config.cpus_possible; i++) {
		m->cpus[i].node = i / m->config.cpus_per_node;
		init_list(&m->cpus[i].interrupts);
		init_list(&m->cpus[i].tasks);
	}
}

static size_t locks_of_domain(const struct machine *m, const struct sim_domain *d)
{
	return (size_t)m->config.cpus_possible * m->config.classes + m->config.classes + 1 +
	       d->ring_count;
}

/* What an idle domain does not need. */
static void make_busy(struct machine *m, struct sim_domain *d)
{
	const struct machine_domain *config = d->config;
	size_t cpu_locks = (size_t)m->config.cpus_possible * m->config.classes;
	if (d->locks)
		return;
	d->ring_count = !config->lazy ? 0 : config->single_ring ? 1 : m->config.cpus_possible;
	d->locks = zeroed(m, locks_of_domain(m, d), sizeof(*d->locks));
	for (size_t i = 0; d->locks && i < locks_of_domain(m, d); i++) {
		d->locks[i].waiters = d->locks[i].owner = NOBODY;
		d->locks[i].kind = i < cpu_locks		      ? MACHINE_LOCK_CPU :
				   i < cpu_locks + m->config.classes  ? MACHINE_LOCK_DEPOT :
				   i == cpu_locks + m->config.classes ? MACHINE_LOCK_TREE :
									MACHINE_LOCK_RING;
	}
	if (d->ring_count)
		d->rings = zeroed(m, d->ring_count, sizeof(*d->rings));
	for (uint32_t i = 0; d->rings && i < d->ring_count; i++) {
		struct linux_ring *ring = &d->rings[i];
		ring->slots = config->single_ring ? LINUX_SINGLE_RING_SLOTS : LINUX_RING_SLOTS;
		ring->entries = zeroed(m, ring->slots, sizeof(*ring->entries));
	}
}

static void make_domains(struct machine *m)
{
	const struct machine_config *config = &m->config;
	m->domains = zeroed(m, config->domain_count, sizeof(*m->domains));
	for (uint32_t i = 0; m->domains && i < config->domain_count; i++) {
		struct sim_domain *d = &m->domains[i];
		d->config = &config->domains[i];
		d->ledger = &m->replay->domains[i];
		d->timer_at = IOVA_NEVER;
		for (uint32_t k = 0; k < IOVA_MAX_CLASSES; k++)
			d->job_at[k] = d->job_due[k] = IOVA_NEVER;
	}
	for (uint32_t f = 0; m->domains && f < config->flow_count; f++)
		for (uint32_t i = 0; i < config->flows[f].domains; i++)
			make_busy(m, &m->domains[config->flows[f].domain + i]);
}

static void make_sizes(struct machine *m, struct sim_flow *flow)
{
	uint64_t sum = 0, weights = 0;
	for (uint32_t i = 0; i < flow->config->size_count; i++)
		weights += flow->config->sizes[i].weight;
	for (uint32_t i = 0; i < flow->config->size_count; i++) {
		const struct machine_size *size = &flow->config->sizes[i];
		unsigned order = order_of(size->pages);
		sum += size->weight;
		flow->sizes[i] = (struct size_choice){
			.up_to = (uint64_t)(((page_time)UINT64_MAX * sum) / weights),
			.pages = size->pages,
			.rounded = order < m->config.classes ? UINT64_C(1) << order : size->pages,
			.size_class = order,
		};
	}
}

static void make_flow(struct machine *m, uint32_t number, uint32_t first_lane)
{
	struct sim_flow *flow = &m->flows[number];
	const struct machine_flow *config = &m->config.flows[number];
	uint64_t seed = m->config.seed;
	*flow = (struct sim_flow){
		.config = config,
		.number = number,
		.first_lane = first_lane,
		.lanes = config->submitters * config->depth,
		.random = next_random(&seed) ^ ((uint64_t)number << 56 | number),
	};
	init_list(&flow->waiting);
	init_list(&flow->parked);
	make_sizes(m, flow);
	flow->complete_cpu = zeroed(m, m->config.cpus_possible, sizeof(*flow->complete_cpu));
	flow->submitters = zeroed(m, config->submitters, sizeof(*flow->submitters));
	for (uint32_t i = 0; flow->complete_cpu && i < m->config.cpus_possible; i++) {
		uint64_t queue = (uint64_t)i * config->queues / m->config.cpus_possible;
		flow->complete_cpu[i] = config->complete_cpus[queue];
	}
	for (uint32_t i = 0; flow->submitters && i < config->submitters; i++) {
		struct submitter *submitter = &flow->submitters[i];
		submitter->cpu = config->submit_cpus[i % config->submit_cpu_count];
		if (config->migrate)
			submitter->moves_at = next_random(&flow->random) % config->migrate;
	}
}

static void make_lanes_of(struct machine *m, const struct sim_flow *flow)
{
	for (uint32_t i = 0; i < flow->lanes; i++) {
		uint32_t submitter = i / flow->config->depth;
		m->lanes[flow->first_lane + i] = (struct lane){
			.domain = flow->config->domain + submitter % flow->config->domains,
			.cpu = (uint16_t)flow->submitters[submitter].cpu,
			.flow = (uint8_t)flow->number,
		};
	}
}

static void make_flows(struct machine *m)
{
	uint32_t flows = m->config.flow_count;
	m->flows = zeroed(m, flows, sizeof(*m->flows));
	for (uint32_t f = 0; m->flows && f < flows; f++) {
		make_flow(m, f, m->lane_count);
		m->lane_count += m->flows[f].lanes;
	}
	if (m->status != REPLAY_OK)
		return;
	m->lanes = zeroed(m, m->lane_count, sizeof(*m->lanes));
	for (uint32_t f = 0; m->lanes && f < flows; f++)
		make_lanes_of(m, &m->flows[f]);
}

static void make_queue(struct machine *m)
{
	const struct machine_config *config = &m->config;
	m->first_timer = m->lane_count;
	m->first_job = m->first_timer + config->domain_count;
	m->first_rebind = m->first_job + config->domain_count * IOVA_MAX_CLASSES;
	m->work_count = m->first_rebind + config->flow_count;
	m->next = zeroed(m, m->work_count, sizeof(*m->next));
	/* One event a lane, CPU, timer and job; of a flow one to turn and two to rebind. */
	m->queue.capacity = m->work_count + config->cpus_possible + 2 * config->flow_count;
	struct event *table = zeroed(m, m->queue.capacity + QUEUE_OFFSET, sizeof(*table));
	m->queue.heap = table ? table + QUEUE_OFFSET : NULL;
	if (config->sample_ns > 0)
		m->samples = zeroed(m, config->max_samples, sizeof(*m->samples));
}

static void bear_domains(struct machine *m)
{
	/* The clock begins, so that the first sample finds the domains made. */
	for (uint32_t i = 0; m->status == REPLAY_OK && i < m->config.domain_count; i++)
		bear_domain(m, i);
}

static void make_all(struct machine *m)
{
	void (*const parts[])(struct machine *) = { make_replay, make_cpus,    make_domains,
						    make_flows,	 make_queue,   bear_domains,
						    begin_flows };
	for (size_t i = 0; i < COUNT_OF_ARRAY(parts) && m->status == REPLAY_OK; i++)
		parts[i](m);
	if (m->status == REPLAY_OK)
		machine_take_samples(m); /* of the beginning */
}

enum replay_status machine_create(const struct machine_config *config, struct machine **result)
{
	const struct iova_memory *memory = config->memory ? config->memory : iova_memory_heap();
	if (!machine_config_is_valid(config))
		return REPLAY_BAD_CONFIG;
	struct machine *m = memory_get(memory, IOVA_MEMORY_REPLAY, sizeof(*m));
	if (!m)
		return REPLAY_NO_MEMORY;
	memset(m, 0, sizeof(*m));
	m->config = *config;
	m->memory = *memory;
	m->rows_wanted = ROWS_AN_EVENT;
	m->interrupted = NOBODY;
	make_all(m);
	if (m->status != REPLAY_OK) {
		enum replay_status status = m->status;
		machine_destroy(m);
		return status;
	}
	*result = m;
	return REPLAY_OK;
}

/* ------------------------------------------------------------------------ unmaking */

static void put_origins(struct machine *m, struct origins *origins)
{
	put(m, origins->of, origins->capacity, sizeof(*origins->of));
}

static void put_spares(struct machine *m)
{
	for (uint32_t n = 0; n < SPARE_SIZES; n++) {
		struct spare *spare;
		while ((spare = m->spare[n]) != NULL) {
			m->spare[n] = spare->next;
			memory_put(&m->memory, IOVA_MEMORY_MAGAZINE, spare,
				   sizeof(uint64_t) << n);
		}
	}
}

static void put_domain(struct machine *m, struct sim_domain *d)
{
	for (uint32_t i = 0; d->rings && i < d->ring_count; i++)
		put(m, d->rings[i].entries, d->rings[i].slots, sizeof(*d->rings[i].entries));
	put(m, d->rings, d->ring_count, sizeof(*d->rings));
	put(m, d->locks, locks_of_domain(m, d), sizeof(*d->locks));
	for (uint32_t k = 0; k < IOVA_MAX_CLASSES; k++)
		put_origins(m, &d->full[k]), put_origins(m, &d->empty[k]);
}

static void put_flow(struct machine *m, struct sim_flow *flow)
{
	put(m, flow->complete_cpu, m->config.cpus_possible, sizeof(*flow->complete_cpu));
	if (flow->config)
		put(m, flow->submitters, flow->config->submitters, sizeof(*flow->submitters));
}

void machine_destroy(struct machine *m)
{
	if (!m)
		return;
	const struct machine_config *config = &m->config;
	replay_destroy(m->replay);
	put_spares(m);
	for (uint32_t i = 0; m->domains && i < config->domain_count; i++)
		put_domain(m, &m->domains[i]);
	for (uint32_t f = 0; m->flows && f < config->flow_count; f++)
		put_flow(m, &m->flows[f]);
	for (uint32_t i = 0; m->cpus && i < config->cpus_possible; i++) {
		struct tape *tape = &m->cpus[i].act.tape;
		put(m, tape->steps, tape->capacity, sizeof(*tape->steps));
	}
	put(m, m->starts, config->domain_count, sizeof(*m->starts));
	put(m, m->cpus, config->cpus_possible, sizeof(*m->cpus));
	put(m, m->domains, config->domain_count, sizeof(*m->domains));
	put(m, m->flows, config->flow_count, sizeof(*m->flows));
	put(m, m->lanes, m->lane_count, sizeof(*m->lanes));
	put(m, m->next, m->work_count, sizeof(*m->next));
	if (m->queue.heap)
		put(m, m->queue.heap - QUEUE_OFFSET, m->queue.capacity + QUEUE_OFFSET,
		    sizeof(*m->queue.heap));
	put(m, m->samples, config->max_samples, sizeof(*m->samples));
	put(m, m->free_slots, m->free_slot_capacity, sizeof(*m->free_slots));
	put(m, m->handovers, (size_t)m->cpu_rows * m->cpu_rows, sizeof(*m->handovers));
	struct iova_memory memory = m->memory;
	memory_put(&memory, IOVA_MEMORY_REPLAY, m, sizeof(*m));
}

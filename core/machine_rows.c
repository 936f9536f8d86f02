/* SPDX-License-Identifier: MIT */
/* machine_rows - the calls a machine made, as rows of the event table. */
#include "machine_inner.h"

size_t rows_left(const struct machine *m)
{
	return m->events ? m->events->room - m->events->count : SIZE_MAX;
}

void wait_for_room(struct machine *m, const struct sim_cpu *cpu, size_t rows)
{
	m->interrupted = cpu_number(m, cpu);
	m->rows_wanted = rows;
}

struct row {
	uint64_t seq, t, t_end; /* ps */
	uint32_t cpu, domain, slot;
	enum replay_op op;
	uint8_t flags;
	uint64_t size, limit, pfn, last;
};

static void write_row(struct machine *m, const struct row *row)
{
	struct machine_events *e = m->events;
	size_t i = e->count++;
	assert_cheap(i < e->room);
	e->seq[i] = row->seq;
	e->t[i] = (int64_t)(row->t / PS_PER_NS);
	e->t_end[i] = (int64_t)(row->t_end / PS_PER_NS);
	e->cpu[i] = (uint16_t)row->cpu;
	e->op[i] = (uint8_t)row->op;
	e->flags[i] = row->flags;
	e->domain[i] = row->domain;
	e->slot[i] = row->slot;
	e->size[i] = row->size;
	e->limit[i] = row->limit;
	e->pfn[i] = row->pfn;
	e->last[i] = row->last;
}

void write_call(struct machine *m, const struct sim_cpu *cpu, enum replay_op op)
{
	const struct activity *act = &cpu->act;
	struct row row = {
		.seq = act->seq,
		.t = act->call_begun,
		.t_end = act->t,
		.cpu = cpu_number(m, cpu),
		.domain = act->domain->event_number,
		.slot = act->range.pfn ? act->range.slot : NO_SLOT,
		.op = op,
		.size = act->range.size,
		.pfn = act->range.pfn,
	};
	if (op == OP_ALLOC) {
		row.limit = act->refused_limit ? act->refused_limit : act->limit;
		if (act->refused_limit) {
			struct row refused = row;
			refused.pfn = 0;
			refused.flags = FLAG_REACHED_TREE;
			write_row(m, &refused);
			row.seq++;
			row.limit = act->limit;
			row.flags = FLAG_ONLY_IF_PREVIOUS_FAILED;
		}
		if (act->flush)
			row.flags |= FLAG_FLUSH_RETRY;
		if (act->reached_tree)
			row.flags |= FLAG_REACHED_TREE;
	}
	write_row(m, &row);
}

static void write_rare(struct machine *m, const struct sim_domain *d, uint32_t cpu,
		       enum replay_op op, struct iova_range range)
{
	uint64_t t = (uint64_t)m->replay->now * PS_PER_NS;
	write_row(m, &(struct row){
		.seq = m->seq++,
		.t = t,
		.t_end = t,
		.cpu = cpu,
		.domain = d->event_number,
		.slot = NO_SLOT,
		.op = op,
		.pfn = range.lo,
		.last = range.hi,
	});
}

/* Seen beside the calls: of no domain that could be told. */
static void write_seen(struct machine *m, const struct sim_cpu *cpu, enum replay_op op,
		       struct iova_range range)
{
	write_row(m, &(struct row){
		.seq = m->seq++,
		.t = cpu->act.t,
		.t_end = cpu->act.t,
		.cpu = cpu_number(m, cpu),
		.domain = MACHINE_NO_DOMAIN,
		.slot = NO_SLOT,
		.op = op,
		.pfn = range.lo,
		.last = range.hi,
	});
}

void write_unmap(struct machine *m, const struct sim_cpu *cpu, const struct lane *lane)
{
	uint64_t pages = m->flows[lane->flow].sizes[lane->size].pages;
	write_seen(m, cpu, OP_UNMAP, (struct iova_range){ lane->pfn, lane->pfn + pages - 1 });
}

void write_timer(struct machine *m, const struct sim_cpu *cpu)
{
	write_seen(m, cpu, OP_FLUSH_TIMER, (struct iova_range){ 0, 0 });
}

void write_birth(struct machine *m, const struct sim_domain *d, uint32_t cpu)
{
	const struct machine_domain *config = d->config;
	write_rare(m, d, cpu, OP_CREATE, (struct iova_range){ config->start_pfn, 0 });
	write_rare(m, d, cpu, OP_MAKE_CACHES, (struct iova_range){ 0, 0 });
	for (uint32_t i = 0; i < config->reserved_count; i++)
		write_rare(m, d, cpu, OP_RESERVE, config->reserved[i]);
}

void write_end(struct machine *m, const struct sim_domain *d, uint32_t cpu)
{
	write_rare(m, d, cpu, OP_DESTROY, (struct iova_range){ 0, 0 });
}

/* --------------------------------------------------------------------------- slots */

uint32_t take_slot(struct machine *m)
{
	if (m->free_slot_count)
		return m->free_slots[--m->free_slot_count];
	return m->slot_count++;
}

static bool grow(struct machine *m)
{
	uint32_t capacity = m->free_slot_capacity ? 2 * m->free_slot_capacity : 1024;
	uint32_t *grown = memory_get(&m->memory, IOVA_MEMORY_REPLAY, capacity * sizeof(*grown));
	if (!grown) {
		m->status = REPLAY_NO_MEMORY;
		return false;
	}
	for (uint32_t i = 0; i < m->free_slot_count; i++)
		grown[i] = m->free_slots[i];
	if (m->free_slots)
		memory_put(&m->memory, IOVA_MEMORY_REPLAY, m->free_slots,
			   m->free_slot_capacity * sizeof(*grown));
	m->free_slots = grown;
	m->free_slot_capacity = capacity;
	return true;
}

void put_slot(struct machine *m, uint32_t slot)
{
	if (m->free_slot_count < m->free_slot_capacity || grow(m))
		m->free_slots[m->free_slot_count++] = slot;
}

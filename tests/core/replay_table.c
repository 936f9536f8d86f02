/* SPDX-License-Identifier: MIT */
#include "replay_table.h"

struct table table;
struct test_memory memory;
const struct iova_design *designs[2];

static const struct replay_domain_config two_domains[] = { { 4096, 1 }, { 4096, 1 } };

void add(struct row row)
{
	size_t i = table.count++;
	CHECK(i < ROWS);
	table.t[i] = row.t;
	table.cpu[i] = row.cpu;
	table.op[i] = row.op;
	table.flags[i] = row.flags;
	table.domain[i] = row.domain;
	table.slot[i] = row.slot;
	table.n[i] = row.n;
	table.size[i] = row.size;
	table.limit[i] = row.limit;
	table.pfn[i] = row.pfn;
	table.last[i] = row.last;
	table.result[i] = 0;
}

void add_alloc(int64_t t, uint16_t cpu, uint32_t slot, uint64_t size)
{
	add((struct row){ t, OP_ALLOC, cpu, slot, size, .limit = LIMIT32 });
}

void add_free(int64_t t, uint16_t cpu, uint32_t slot)
{
	add((struct row){ t, OP_FREE, cpu, slot, .size = 0 });
}

void add_depot(int64_t t, uint32_t magazines)
{
	uint32_t n = (magazines + 1) * (uint32_t)FULL + 1;
	for (uint32_t slot = 0; slot < n; slot++)
		add_alloc(t, 0, slot, 1);
	for (uint32_t slot = 0; slot < n; slot++)
		add_free(t, 0, slot);
}

struct replay_events rows_from(size_t first, size_t count)
{
	return (struct replay_events){
		.count = count,
		.t = table.t + first,
		.cpu = table.cpu + first,
		.op = table.op + first,
		.flags = table.flags + first,
		.domain = table.domain + first,
		.size = table.size + first,
		.limit = table.limit + first,
		.pfn = table.pfn + first,
		.last = table.last + first,
		.slot = table.slot + first,
		.n = table.n + first,
		.result = table.result + first,
	};
}

/* ---------------------------------------------------------------------- the replays */

struct replay_config plain(void)
{
	designs[0] = designs[1] = iova_design_named("linux-6.12");
	return (struct replay_config){
		.cpus_possible = 2,
		.cpus_online = 2,
		.classes = IOVA_DEFAULT_CLASSES,
		.domain_count = 1,
		.domains = two_domains,
		.designs = designs,
		.memory = &memory.table,
	};
}

struct replay *begin(struct replay_config config)
{
	struct replay *replay = NULL;
	test_memory_init(&memory);
	table.count = 0;
	CHECK_EQ(replay_create(&config, &replay), REPLAY_OK);
	return replay;
}

void end(struct replay *replay)
{
	replay_destroy(replay);
	CHECK_EQ(test_memory_held(&memory), 0);
}

void feed(struct replay *replay)
{
	struct replay_events events = rows_from(0, table.count);
	size_t row = SIZE_MAX;
	enum replay_status status = replay_feed(replay, &events, &row);
	CHECK_TEXT(replay_status_text(status), replay_status_text(REPLAY_OK));
	CHECK_EQ(row, table.count);
	table.count = 0;
}

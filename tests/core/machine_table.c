/* SPDX-License-Identifier: MIT */
/*
 * machine_table - the rows of a machine's event table: read in pieces, sorted into the order in
 * which the core executed them, and fed to a replay, which must find each address again.
 */
#include "machine_support.h"

/* ----------------------------------------------------------------------------- rows */

struct one_row rows[MAX_ROWS];
size_t row_count;

/* What machine_run() writes, as large as it may ask for. */
static struct columns {
	uint64_t seq[MACHINE_MIN_ROOM], size[MACHINE_MIN_ROOM], limit[MACHINE_MIN_ROOM],
		pfn[MACHINE_MIN_ROOM], last[MACHINE_MIN_ROOM];
	int64_t t[MACHINE_MIN_ROOM], t_end[MACHINE_MIN_ROOM];
	uint32_t domain[MACHINE_MIN_ROOM], slot[MACHINE_MIN_ROOM], n[MACHINE_MIN_ROOM];
	uint16_t cpu[MACHINE_MIN_ROOM];
	uint8_t op[MACHINE_MIN_ROOM], flags[MACHINE_MIN_ROOM];
} columns;

static struct machine_events table_of(size_t count)
{
	return (struct machine_events){
		.room = MACHINE_MIN_ROOM,
		.count = count,
		.seq = columns.seq,
		.t = columns.t,
		.t_end = columns.t_end,
		.cpu = columns.cpu,
		.op = columns.op,
		.flags = columns.flags,
		.domain = columns.domain,
		.slot = columns.slot,
		.size = columns.size,
		.limit = columns.limit,
		.pfn = columns.pfn,
		.last = columns.last,
	};
}

static void keep_rows(const struct machine_events *table, size_t first)
{
	for (size_t i = first; i < table->count; i++) {
		CHECK(row_count < MAX_ROWS);
		rows[row_count++] = (struct one_row){
			.seq = table->seq[i],
			.size = table->size[i],
			.limit = table->limit[i],
			.pfn = table->pfn[i],
			.last = table->last[i],
			.t = table->t[i],
			.t_end = table->t_end[i],
			.domain = table->domain[i],
			.slot = table->slot[i],
			.cpu = table->cpu[i],
			.op = table->op[i],
			.flags = table->flags[i],
		};
	}
}

static int by_seq(const void *a, const void *b)
{
	const struct one_row *left = a, *right = b;
	return (left->seq > right->seq) - (left->seq < right->seq);
}

void run_rows(struct machine *machine, uint64_t until, uint64_t operations, size_t filled)
{
	bool done = false;
	size_t calls = 0;
	while (!done) {
		/* All domains' births want a whole table, and so does a rebind. */
		bool whole = calls == 0 || machine_wants_a_table(machine);
		struct machine_events table = table_of(whole ? 0 : filled);
		size_t first = table.count;
		CHECK_EQ(machine_run(machine, until, operations, &table, &done), REPLAY_OK);
		keep_rows(&table, first);
		CHECK(++calls < 10000000);
	}
	qsort(rows, row_count, sizeof(rows[0]), by_seq);
}

const struct one_row *nth_row(enum replay_op op, size_t n)
{
	for (size_t i = 0; i < row_count; i++)
		if (rows[i].op == op && n-- == 0)
			return &rows[i];
	check_true(false, "there is such a row", __FILE__, __LINE__);
	return NULL;
}

size_t rows_of(enum replay_op op)
{
	size_t n = 0;
	for (size_t i = 0; i < row_count; i++)
		n += rows[i].op == op;
	return n;
}

/* --------------------------------------------------------------------------- replay */

static void check_order_of_rows(void)
{
	for (size_t i = 1; i < row_count; i++) {
		CHECK(rows[i - 1].seq < rows[i].seq);
		CHECK(rows[i - 1].t <= rows[i].t);
		CHECK(rows[i].t <= rows[i].t_end);
	}
}

static uint32_t domains_of_rows(void)
{
	uint32_t most = 0;
	for (size_t i = 0; i < row_count; i++)
		if (rows[i].domain != MACHINE_NO_DOMAIN && rows[i].domain > most)
			most = rows[i].domain;
	return most + 1;
}

static struct replay_events columns_of_rows(size_t first, size_t count, uint64_t *result)
{
	for (size_t i = 0; i < count; i++) {
		const struct one_row *row = &rows[first + i];
		columns.t[i] = row->t;
		columns.cpu[i] = row->cpu;
		columns.op[i] = row->op;
		columns.flags[i] = row->flags;
		columns.domain[i] = row->domain;
		columns.slot[i] = row->slot;
		columns.size[i] = row->size;
		columns.limit[i] = row->limit;
		columns.pfn[i] = row->pfn;
		columns.last[i] = row->last;
	}
	return (struct replay_events){
		.count = count,
		.t = columns.t,
		.cpu = columns.cpu,
		.op = columns.op,
		.flags = columns.flags,
		.domain = columns.domain,
		.size = columns.size,
		.limit = columns.limit,
		.pfn = columns.pfn,
		.last = columns.last,
		.slot = columns.slot,
		.n = columns.n,
		.result = result,
	};
}

static void check_same_ranges(size_t first, size_t count, const uint64_t *result)
{
	for (size_t i = 0; i < count; i++)
		if (rows[first + i].op == OP_ALLOC)
			CHECK_EQ(result[i], rows[first + i].pfn);
}

/* Rows before the first call that the core has executed and that has not ended. */
static size_t rows_without_gaps(const struct machine *machine)
{
	uint64_t first = machine_first_open_call(machine);
	size_t n = 0;
	while (n < row_count && rows[n].seq < first)
		n++;
	return n;
}

void check_replay_of_rows(const struct setup *setup, const struct machine *machine)
{
	enum { AT_A_TIME = 1024, MOST_DOMAINS = 8192 };
	static struct replay_domain_config domains[MOST_DOMAINS];
	static const struct iova_design *designs[MOST_DOMAINS];
	uint64_t result[AT_A_TIME];
	size_t rows_to_feed = rows_without_gaps(machine);
	check_order_of_rows();
	struct replay_config config = {
		.cpus_possible = setup->config.cpus_possible,
		.cpus_online = setup->config.cpus_online,
		.classes = setup->config.classes,
		.params = setup->config.params,
		.domain_count = domains_of_rows(),
		.domains = domains,
		.designs = designs,
	};
	CHECK(config.domain_count <= MOST_DOMAINS);
	for (uint32_t i = 0; i < config.domain_count; i++) {
		domains[i] = (struct replay_domain_config){ setup->domains[0].granule, 1 };
		designs[i] = setup->designs[0];
	}
	struct replay *replay = NULL;
	CHECK_EQ(replay_create(&config, &replay), REPLAY_OK);
	for (size_t first = 0; first < rows_to_feed; first += AT_A_TIME) {
		size_t left = rows_to_feed - first, done;
		size_t count = left < AT_A_TIME ? left : AT_A_TIME;
		struct replay_events events = columns_of_rows(first, count, result);
		CHECK_TEXT(replay_status_text(replay_feed(replay, &events, &done)),
			   replay_status_text(REPLAY_OK));
		check_same_ranges(first, count, result);
	}
	struct replay_totals totals = replay_read_totals(replay);
	CHECK_EQ(totals.skipped_frees, 0);
	CHECK_EQ(totals.warnings, 0);
	replay_destroy(replay);
}

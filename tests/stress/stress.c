/* SPDX-License-Identifier: MIT */
/*
 * stress - everything at once, for as long as one likes, under ownership stamps.
 *
 * Models drivers that share an IOMMU domain: workers map and unmap buffers of mixed sizes,
 * singly, in bursts and in batches, at fixed addresses, some below a device's limit; what
 * one mapped another may unmap; some unmap lazily, and a thread flushes the IOTLB for
 * them. Meanwhile caches are emptied, places reserved, figures read, and the reclaimer
 * gives magazines back every millisecond. Rounds of a second differ in what they are set
 * up with, and every other one ends with a close in the middle of the traffic.
 *
 * What fails the test: a page given to two owners, or before its flush; a refusal that
 * should not be, or the wrong one; a domain in which something is lost in the end. Under
 * ThreadSanitizer also any race.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <time.h>

#include "live.h"
#include "shadow.h"
#include "support.h"

#define PAGE SHADOW_PAGE
#define MAX_WORKERS 64u
#define HELD 256u
#define BURST 400u
#define MAIL_SLOTS 64u
#define ROUND_NS (1000 * MS)
#define MOST_RESERVED 100u
#define LOW_LIMIT (SHADOW_FIRST + SHADOW_PAGES / 2 * PAGE - 1)
#define STOP_NS (60 * 1000 * MS)

/* A range that is held, in one word: its pages fit where a page's offset would be. */
typedef uint64_t loan;

static struct {
	iova_live *live;
	struct iova_live_config config;
	bool stopping;	     /* atomic */
	uint64_t highest;    /* atomic: ticket */
	uint64_t reserved;   /* pages */
	loan mail[MAIL_SLOTS]; /* atomic: ranges on their way from one worker to another */
} round_;

static uint64_t operations; /* atomic */

/* ------------------------------------------------------------------------- helpers */

static loan loan_of(uint64_t address, uint64_t pages)
{
	return address | pages;
}

static uint64_t address_of(loan range)
{
	return range & ~(PAGE - 1);
}

static uint64_t pages_in(loan range)
{
	return range & (PAGE - 1);
}

/* Frames that a request of so many pages covers. */
static uint64_t covered(uint64_t pages)
{
	return pages > 32 ? pages : UINT64_C(1) << order_of(pages);
}

/* 60 % of one page, few large ones, some beyond the caches' sizes. */
static uint64_t some_pages(struct random *random)
{
	static const uint64_t large[] = { 2, 2, 3, 4, 7, 8, 16, 31, 32, 40 };
	uint64_t n = random_below(random, 25);
	return n < COUNT_OF_ARRAY(large) ? large[n] : 1;
}

static bool is_over(void)
{
	return sync_load(&round_.stopping);
}

/* Closed is a good answer once the round is over, and no other time. */
static bool is_closed_in_time(enum iova_status status)
{
	if (status != IOVA_CLOSED)
		return false;
	CHECK(is_over());
	return true;
}

/* --------------------------------------------------------------------------- workers */

struct worker {
	pthread_t thread;
	uint64_t number; /* 1 .. */
	struct random random;
	loan held[HELD];
};

static uint64_t below(struct worker *worker, uint64_t n)
{
	return random_below(&worker->random, n);
}

static void give_back(struct worker *worker, loan range)
{
	uint64_t address = address_of(range), pages = pages_in(range);
	uint64_t stated = below(worker, 2) ? pages * PAGE : (pages - 1) * PAGE + 1;
	shadow_give(address, covered(pages), worker->number, NOBODY);
	enum iova_status status = iova_live_free(round_.live, address, stated);
	if (!is_closed_in_time(status))
		CHECK_EQ(status, IOVA_OK);
}

static void flush_for(uint64_t ticket)
{
	uint64_t number = flush_begins();
	flush_is_done(number);
	enum iova_status status = iova_live_flushed(round_.live, ticket);
	if (!is_closed_in_time(status))
		CHECK_EQ(status, IOVA_OK);
}

static void note_ticket(uint64_t ticket)
{
	uint64_t highest = sync_load(&round_.highest);
	while (highest < ticket && !sync_cas(&round_.highest, &highest, ticket))
		;
}

static void give_back_lazily(struct worker *worker, loan range)
{
	uint64_t address = address_of(range), pages = pages_in(range), ticket;
	uint64_t waiting = waiting_from_now();
	shadow_give(address, covered(pages), worker->number, waiting);
	enum iova_status status = iova_live_defer(round_.live, address, pages * PAGE, &ticket);
	if (is_closed_in_time(status))
		return;
	if (status == IOVA_OK) {
		note_ticket(ticket);
		return;
	}
	CHECK_EQ(status, IOVA_FLUSH_NEEDED);
	shadow_give(address, covered(pages), waiting, worker->number);
	flush_for(ticket);
	give_back(worker, range);
}

/* Leave a range to whoever comes by, and take what another left. */
static loan exchange_mail(struct worker *worker, loan range)
{
	if (range)
		shadow_give(address_of(range), covered(pages_in(range)), worker->number,
			    MAX_WORKERS + 1);
	range = sync_exchange(&round_.mail[below(worker, MAIL_SLOTS)], range);
	if (range)
		shadow_give(address_of(range), covered(pages_in(range)), MAX_WORKERS + 1,
			    worker->number);
	return range;
}

static void part_with(struct worker *worker, loan range)
{
	if (below(worker, 3) == 0)
		range = exchange_mail(worker, range);
	if (!range)
		return;
	if (below(worker, 4) == 0)
		give_back_lazily(worker, range);
	else
		give_back(worker, range);
}

static bool is_short_of(enum iova_status status)
{
	return status == IOVA_NO_SPACE || (round_.config.budget && status == IOVA_OVER_BUDGET);
}

/* 0: there was no room. */
static loan get_one(struct worker *worker, uint64_t pages)
{
	bool is_low = below(worker, 4) == 0, is_aligned = below(worker, 50) == 0;
	uint64_t limit = is_low ? LOW_LIMIT : UINT64_MAX, align = is_aligned ? 64 * PAGE : 0;
	uint64_t address;
	enum iova_status status = iova_live_alloc(round_.live, pages * PAGE, limit, align, &address);
	if (is_closed_in_time(status) || is_short_of(status))
		return 0;
	CHECK_EQ(status, IOVA_OK);
	CHECK(!is_low || address + pages * PAGE - 1 <= LOW_LIMIT);
	CHECK_EQ(address % (PAGE << order_of(pages)), 0);
	CHECK(!is_aligned || address % align == 0);
	shadow_take(address, covered(pages), worker->number);
	return loan_of(address, pages);
}

/* A range at an address of the worker's choice; most are taken. */
static loan get_at_once(struct worker *worker)
{
	uint64_t pages = UINT64_C(1) << below(worker, 5);
	uint64_t address = SHADOW_FIRST + PAGE * below(worker, SHADOW_PAGES - pages);
	enum iova_status status = iova_live_alloc_at(round_.live, address, pages * PAGE);
	if (is_closed_in_time(status) || is_short_of(status) || status == IOVA_RESERVED)
		return 0;
	CHECK_EQ(status, IOVA_OK);
	shadow_take(address, pages, worker->number);
	return loan_of(address, pages);
}

static void use_slot(struct worker *worker)
{
	loan *slot = &worker->held[below(worker, HELD)];
	if (*slot) {
		part_with(worker, *slot);
		*slot = 0;
	} else if (below(worker, 200) == 0) {
		*slot = get_at_once(worker);
	} else {
		*slot = get_one(worker, some_pages(&worker->random));
	}
}

/* Many at once, by single calls, and then quickly back. */
static void burst(struct worker *worker)
{
	loan items[BURST];
	uint64_t pages = some_pages(&worker->random), n = 1 + below(worker, BURST);
	for (uint64_t i = 0; i < n; i++)
		items[i] = get_one(worker, pages);
	for (uint64_t i = 0; i < n; i++)
		if (items[i])
			give_back(worker, items[i]);
}

static void batch(struct worker *worker)
{
	uint64_t address[BURST], pages = some_pages(&worker->random), n = below(worker, BURST);
	size_t bad = BURST;
	enum iova_status status =
		iova_live_alloc_many(round_.live, n, pages * PAGE, UINT64_MAX, address);
	if (is_closed_in_time(status) || is_short_of(status))
		return;
	CHECK_EQ(status, IOVA_OK);
	for (uint64_t i = 0; i < n; i++)
		shadow_take(address[i], covered(pages), worker->number);
	for (uint64_t i = 0; i < n; i++)
		shadow_give(address[i], covered(pages), worker->number, NOBODY);
	status = iova_live_free_many(round_.live, n, address, pages * PAGE, &bad);
	if (!is_closed_in_time(status))
		CHECK_EQ(status, IOVA_OK);
}

static void check_refusal(enum iova_status status, enum iova_status expected)
{
	if (!is_closed_in_time(status))
		CHECK_EQ(status, expected);
}

/* What a checked domain refuses, of a range that is held. */
static void misuse(struct worker *worker)
{
	loan range = worker->held[below(worker, HELD)];
	uint64_t address = address_of(range), size = pages_in(range) * PAGE, ticket;
	if (!range || round_.config.unchecked)
		return;
	iova_live *live = round_.live;
	check_refusal(iova_live_free(live, address, size + 64 * PAGE), IOVA_SIZE_MISMATCH);
	check_refusal(iova_live_defer(live, address, size + 64 * PAGE, &ticket), IOVA_SIZE_MISMATCH);
	check_refusal(iova_live_free(live, address + 1, size), IOVA_NOT_ALLOCATED);
	enum iova_status placed = iova_live_alloc_at(live, address, PAGE);
	if (!is_short_of(placed))
		check_refusal(placed, IOVA_RESERVED);
	if (size > PAGE)
		check_refusal(iova_live_free(live, address + PAGE, PAGE), IOVA_NOT_ALLOCATED);
}

static void *work(void *context)
{
	struct worker *worker = context;
	uint64_t done = 0;
	while (!is_over()) {
		uint64_t what = below(worker, 1000);
		if (what == 0)
			burst(worker);
		else if (what < 4)
			batch(worker);
		else if (what < 20)
			misuse(worker);
		else
			use_slot(worker);
		done++;
	}
	for (unsigned i = 0; i < HELD; i++)
		if (worker->held[i])
			give_back(worker, worker->held[i]);
	sync_add(&operations, done);
	return NULL;
}

/* ------------------------------------------------------------------ flusher, onlookers */

static bool on_flush(void *context)
{
	(void)context;
	uint64_t number = flush_begins();
	sched_yield();
	flush_is_done(number);
	return true;
}

static void nap(uint64_t ns)
{
	struct timespec time = { 0, (long)ns };
	nanosleep(&time, NULL);
}

static void *flush_now_and_then(void *context)
{
	(void)context;
	while (!is_over()) {
		uint64_t ticket = sync_load(&round_.highest);
		if (ticket)
			flush_for(ticket);
		nap(MS / 5);
	}
	return NULL;
}

static void reserve_somewhere(struct random *random)
{
	uint64_t address = SHADOW_FIRST + PAGE * random_below(random, SHADOW_PAGES);
	if (round_.reserved >= MOST_RESERVED || sync_load(stamp_of(address)) == RESERVED_FOR_GOOD)
		return;
	enum iova_status status = iova_live_reserve(round_.live, address, address);
	if (status == IOVA_OK) {
		shadow_take(address, 1, RESERVED_FOR_GOOD);
		round_.reserved++;
	} else if (!is_closed_in_time(status)) {
		CHECK_EQ(status, IOVA_RESERVED);
	}
}

static void look(struct random *random)
{
	struct iova_live_stats stats;
	struct iova_span spans[64], span;
	uint64_t bytes = SHADOW_PAGES * PAGE;
	if (is_closed_in_time(iova_live_read(round_.live, &stats)))
		return;
	CHECK(stats.free_bytes <= bytes && stats.largest_gap_bytes <= bytes);
	size_t n = iova_live_ranges(round_.live, spans, COUNT_OF_ARRAY(spans));
	for (size_t i = 1; i < n && i < COUNT_OF_ARRAY(spans); i++)
		CHECK(spans[i].first > spans[i - 1].last);
	uint64_t address = SHADOW_FIRST + random_below(random, bytes);
	(void)iova_live_find(round_.live, address, &span);
	CHECK(span.first <= address && span.last >= address);
	for (uint32_t k = 0; k <= IOVA_MAX_CLASSES; k++)
		(void)iova_live_counters(round_.live, k);
}

static void *look_on(void *context)
{
	struct random random = { *(const uint64_t *)context };
	for (unsigned i = 0; !is_over(); i++) {
		look(&random);
		if (i % 3 == 0) {
			enum iova_status status = iova_live_flush_caches(round_.live);
			if (!is_closed_in_time(status))
				CHECK_EQ(status, IOVA_OK);
		}
		if (i % 5 == 0)
			reserve_somewhere(&random);
		nap(MS);
	}
	return NULL;
}

/* ---------------------------------------------------------------------------- rounds */

static uint64_t params[IOVA_MAX_PARAMS];

/* Designs in turn; those that reclaim do it each millisecond and keep nothing. */
static const struct iova_design *choose_design(uint64_t number)
{
	static const char *const names[] = { "linux-7.3", "linux-6.12", "linux-7.3", "linux-6.1" };
	const struct iova_design *design = iova_design_named(names[number % COUNT_OF_ARRAY(names)]);
	for (uint32_t i = 0; i < design->param_count; i++) {
		params[i] = design->params[i].initial;
		if (!strcmp(design->params[i].name, "delay_ms"))
			params[i] = 1;
		if (!strcmp(design->params[i].name, "threshold"))
			params[i] = 0;
	}
	return design;
}

static void open_round(uint64_t number)
{
	static const struct iova_span window = { SHADOW_FIRST, SHADOW_LAST };
	memset(&round_, 0, sizeof(round_));
	memset(shadow, 0, sizeof(shadow));
	round_.config = (struct iova_live_config){
		.windows = &window,
		.window_count = 1,
		.design = choose_design(number),
		.params = params,
		.unchecked = number % 3 == 2,
		.budget = number % 5 == 3 ? 2000 : 0,
		.cpus = number % 7 == 5 ? 1 : 0,
		.on_flush = number % 2 ? on_flush : NULL,
	};
	CHECK_EQ(iova_live_open(&round_.config, &round_.live), IOVA_OK);
}

/* All threads are gone, and all their ranges freed. */
static void check_nothing_is_lost(void)
{
	struct iova_live_stats stats;
	for (unsigned i = 0; i < MAIL_SLOTS; i++)
		if (round_.mail[i])
			CHECK_EQ(iova_live_free(round_.live, address_of(round_.mail[i]),
						pages_in(round_.mail[i]) * PAGE),
				 IOVA_OK);
	if (round_.highest)
		flush_for(round_.highest);
	CHECK(reclaimer_stop(STOP_NS));
	CHECK_SOUND(iova_check(round_.live->domain));
	CHECK_EQ(iova_live_flush_caches(round_.live), IOVA_OK);
	CHECK_EQ(iova_live_read(round_.live, &stats), IOVA_OK);
	CHECK_EQ(stats.live, 0);
	CHECK_EQ(stats.deferred, 0);
	CHECK_EQ(stats.cached, 0);
	CHECK_EQ(stats.free_bytes, (SHADOW_PAGES - round_.reserved) * PAGE);
	CHECK_EQ(stats.totals.warnings, 0);
}

static void run_round(uint64_t number, uint64_t seed, unsigned threads, uint64_t until)
{
	static struct worker workers[MAX_WORKERS];
	pthread_t flusher, onlooker;
	bool closes = number % 2 == 0;
	open_round(number);
	for (unsigned i = 0; i < threads; i++) {
		workers[i] = (struct worker){ .number = i + 1, .random = { seed + number * 1000 + i } };
		CHECK_EQ(pthread_create(&workers[i].thread, NULL, work, &workers[i]), 0);
	}
	CHECK_EQ(pthread_create(&flusher, NULL, flush_now_and_then, NULL), 0);
	CHECK_EQ(pthread_create(&onlooker, NULL, look_on, &seed), 0);
	while (platform_now() < until)
		nap(MS);
	sync_store(&round_.stopping, true);
	if (closes)
		iova_live_close(round_.live);
	for (unsigned i = 0; i < threads; i++)
		CHECK_EQ(pthread_join(workers[i].thread, NULL), 0);
	CHECK_EQ(pthread_join(flusher, NULL), 0);
	CHECK_EQ(pthread_join(onlooker, NULL), 0);
	if (!closes)
		check_nothing_is_lost();
	iova_live_destroy(round_.live);
}

static uint64_t option(int argc, char **argv, const char *name, uint64_t otherwise)
{
	for (int i = 1; i + 1 < argc; i += 2)
		if (!strcmp(argv[i], name))
			return strtoull(argv[i + 1], NULL, 10);
	return otherwise;
}

int main(int argc, char **argv)
{
	uint64_t seconds = option(argc, argv, "--seconds", 10);
	uint64_t threads = option(argc, argv, "--threads", 4);
	uint64_t seed = option(argc, argv, "--seed", platform_now());
	if (argc % 2 == 0 || threads < 1 || threads > MAX_WORKERS) {
		printf("usage: %s [--seconds N] [--threads 1..%u] [--seed S]\n", argv[0], MAX_WORKERS);
		return 2;
	}
	uint64_t now = platform_now(), end = now + seconds * 1000 * MS, number = 0;
	for (; now < end; now = platform_now(), number++) {
		snprintf(check_context, sizeof(check_context),
			 "round %" PRIu64 " of --threads %" PRIu64 " --seed %" PRIu64, number, threads,
			 seed);
		run_round(number, seed, (unsigned)threads, now + ROUND_NS < end ? now + ROUND_NS : end);
	}
	printf("stress: %" PRIu64 " rounds, %" PRIu64 " operations, seed %" PRIu64 ": ok\n", number,
	       operations, seed);
	return 0;
}

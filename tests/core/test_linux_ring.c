/* SPDX-License-Identifier: MIT */
/* One ring of Linux's flush queue: what it holds, releases and loses, also against a model. */
#include "linux_ring.h"

#include "support.h"

static struct random_plan plan;

static struct linux_ring make_ring(uint32_t slots)
{
	struct linux_ring ring = { .slots = slots };
	ring.entries = calloc(slots, sizeof(*ring.entries));
	CHECK(ring.entries != NULL);
	return ring;
}

static uint32_t put(struct linux_ring *ring, uint64_t pfn, uint64_t started)
{
	return ring_store(ring, (struct ring_entry){
					.pfn = pfn, .size = 2, .started = started, .slot = 7 });
}

static void a_new_ring_is_empty(void)
{
	struct linux_ring ring = make_ring(LINUX_RING_SLOTS);
	CHECK_EQ(ring_length(&ring), 0);
	CHECK(!ring_is_full(&ring));
	CHECK(!ring_is_ripe(&ring, UINT64_MAX));
	free(ring.entries);
}

static void entries_come_out_as_they_went_in(void)
{
	struct linux_ring ring = make_ring(LINUX_RING_SLOTS);
	CHECK_EQ(put(&ring, 100, 3), 0);
	CHECK_EQ(put(&ring, 50, 4), 0);
	CHECK_EQ(ring_length(&ring), 2);
	struct ring_entry entry = ring_take(&ring);
	CHECK_EQ(entry.pfn, 100);
	CHECK_EQ(entry.size, 2);
	CHECK_EQ(entry.started, 3);
	CHECK_EQ(entry.slot, 7);
	CHECK_EQ(ring_take(&ring).pfn, 50);
	CHECK_EQ(ring_length(&ring), 0);
	free(ring.entries);
}

static void an_entry_is_ripe_when_more_flushes_have_finished_than_had_started(void)
{
	struct linux_ring ring = make_ring(LINUX_RING_SLOTS);
	put(&ring, 1, 5);
	CHECK(!ring_is_ripe(&ring, 4));
	CHECK(!ring_is_ripe(&ring, 5));
	CHECK(ring_is_ripe(&ring, 6));
	free(ring.entries);
}

static void only_the_oldest_entry_is_looked_at(void)
{
	struct linux_ring ring = make_ring(LINUX_RING_SLOTS);
	put(&ring, 1, 9);
	put(&ring, 2, 0);
	CHECK(!ring_is_ripe(&ring, 1));
	ring_take(&ring);
	CHECK(ring_is_ripe(&ring, 1));
	free(ring.entries);
}

static void all_slots_but_one_can_be_used(void)
{
	struct linux_ring ring = make_ring(LINUX_RING_SLOTS);
	for (uint64_t i = 0; i < 254; i++)
		CHECK_EQ(put(&ring, i + 1, 0), 0);
	CHECK(!ring_is_full(&ring));
	CHECK_EQ(put(&ring, 255, 0), 0);
	CHECK(ring_is_full(&ring));
	CHECK_EQ(ring_length(&ring), 255);
	free(ring.entries);
}

static void an_entry_stored_into_a_full_ring_loses_all_256(void)
{
	struct linux_ring ring = make_ring(LINUX_RING_SLOTS);
	for (uint64_t i = 0; i < 255; i++)
		CHECK_EQ(put(&ring, i + 1, 0), 0);
	CHECK_EQ(put(&ring, 256, 0), 256);
	CHECK_EQ(ring_length(&ring), 0);
	CHECK(!ring_is_full(&ring));
	CHECK(!ring_is_ripe(&ring, UINT64_MAX));
	/* It goes on as an empty one. */
	CHECK_EQ(put(&ring, 300, 0), 0);
	CHECK_EQ(ring_take(&ring).pfn, 300);
	free(ring.entries);
}

static void a_single_ring_has_32767_usable_slots(void)
{
	struct linux_ring ring = make_ring(LINUX_SINGLE_RING_SLOTS);
	for (uint64_t i = 0; i < 32767; i++) {
		CHECK(!ring_is_full(&ring));
		CHECK_EQ(put(&ring, i + 1, 0), 0);
	}
	CHECK(ring_is_full(&ring));
	CHECK_EQ(put(&ring, 1, 0), 32768);
	free(ring.entries);
}

static void the_timer_waits_10_ms_or_a_second(void)
{
	CHECK_EQ(LINUX_RING_DELAY_NS, 10 * MS);
	CHECK_EQ(LINUX_SINGLE_RING_DELAY_NS, 1000 * MS);
}

/* The model: entries in a row, of which those between two positions are held. */
static void against_a_model(uint64_t seed, uint64_t slots, bool trace)
{
	enum { MOST = 20000 };
	static struct {
		uint64_t pfn, started;
	} entry[MOST];
	struct random random = { seed };
	struct linux_ring ring = make_ring((uint32_t)slots);
	uint64_t first = 0, next = 0, started = 0, finished = 0, lost = 0;
	while (next < MOST) {
		bool ripe = first < next && entry[first].started < finished;
		CHECK_EQ(ring_is_ripe(&ring, finished), ripe);
		CHECK_EQ(ring_length(&ring), next - first);
		CHECK_EQ(ring_is_full(&ring), next - first == slots - 1);
		uint64_t what = random_below(&random, 100);
		if (trace)
			printf("%" PRIu64 " held %" PRIu64 "\n", what, next - first);
		if (what < 60) {
			bool full = next - first == slots - 1;
			entry[next].pfn = random_next(&random);
			entry[next].started = started;
			uint32_t gone = put(&ring, entry[next].pfn, started);
			next++;
			CHECK_EQ(gone, full ? slots : 0);
			first = full ? next : first;
			lost += gone;
		} else if (what < 90 && ripe) {
			struct ring_entry got = ring_take(&ring);
			CHECK_EQ(got.pfn, entry[first].pfn);
			CHECK_EQ(got.started, entry[first].started);
			first++;
		} else if (what < 95) {
			started++;
		} else if (finished < started) {
			finished++;
		}
	}
	CHECK(lost > 0);
	free(ring.entries);
}

static void random_stores_and_releases_agree_with_the_model(void)
{
	const uint64_t sizes[] = { 2, 4, 8, 256 };
	random_run(&plan, sizes, COUNT_OF_ARRAY(sizes), 20, against_a_model);
}

int main(int argc, char **argv)
{
	plan = random_plan_from(argc, argv);
	TEST(a_new_ring_is_empty);
	TEST(entries_come_out_as_they_went_in);
	TEST(an_entry_is_ripe_when_more_flushes_have_finished_than_had_started);
	TEST(only_the_oldest_entry_is_looked_at);
	TEST(all_slots_but_one_can_be_used);
	TEST(an_entry_stored_into_a_full_ring_loses_all_256);
	TEST(a_single_ring_has_32767_usable_slots);
	TEST(the_timer_waits_10_ms_or_a_second);
	TEST(random_stores_and_releases_agree_with_the_model);
	return 0;
}

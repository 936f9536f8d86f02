/* SPDX-License-Identifier: MIT */
/*
 * The flush queue: what is queued comes out once, in order, unchanged, and not before a
 * flush that covers it; a full ring refuses. Random cases, CPUs x seeds, are compared with
 * lists that never wrap around.
 */
#include "threads.h"

#include "flush_queue.h"

static struct random_plan plan;

static void queue_init(struct flush_queue *queue, struct test_memory *memory, uint32_t cpus)
{
	test_memory_init(memory);
	flush_queue_init(queue, cpus, &memory->table);
}

static void queue_fini(struct flush_queue *queue, struct test_memory *memory)
{
	flush_queue_fini(queue);
	CHECK_EQ(test_memory_held(memory), 0);
}

/* A range whose other figures follow from its pfn. */
static enum iova_status put(struct flush_queue *queue, uint32_t cpu, uint64_t pfn,
			    uint64_t *ticket)
{
	return flush_queue_put(queue, cpu, pfn, 3 * pfn + 1, 5 * pfn, ticket);
}

static uint64_t put_one(struct flush_queue *queue, uint32_t cpu, uint64_t pfn)
{
	uint64_t ticket = 0;
	CHECK_EQ(put(queue, cpu, pfn, &ticket), IOVA_OK);
	return ticket;
}

static void check_slot(const struct flush_slot *slot, uint64_t pfn)
{
	CHECK_EQ(slot->pfn, pfn);
	CHECK_EQ(slot->size, 3 * pfn + 1);
	CHECK_EQ(slot->queued, 5 * pfn);
}

static uint32_t collect_all(struct flush_queue *queue, uint32_t cpu, struct flush_slot *slots)
{
	return flush_queue_collect(queue, cpu, slots, FLUSH_SLOTS);
}

/* ------------------------------------------------------------------------------ rings */

static void a_ring_holds_255_and_then_refuses(void)
{
	struct test_memory memory;
	struct flush_queue queue;
	struct flush_slot slots[FLUSH_SLOTS];
	uint64_t ticket = 0;
	queue_init(&queue, &memory, 2);
	for (uint64_t i = 0; i < 255; i++)
		CHECK_EQ(put_one(&queue, 0, 1000 + i), i + 1);
	CHECK_EQ(put(&queue, 0, 7, &ticket), IOVA_FLUSH_NEEDED);
	CHECK_EQ(ticket, 255);
	CHECK_EQ(put_one(&queue, 1, 8), 256); /* the other CPU's has room */
	CHECK_EQ(put(&queue, 0, 7, &ticket), IOVA_FLUSH_NEEDED);
	CHECK_EQ(ticket, 256);
	CHECK_EQ(flush_queue_length(&queue), 256);

	/* A flush alone makes no room: what it covers must be collected. */
	CHECK_EQ(flush_queue_finish(&queue, ticket), IOVA_OK);
	CHECK_EQ(put(&queue, 0, 7, &ticket), IOVA_FLUSH_NEEDED);
	CHECK_EQ(collect_all(&queue, 0, slots), 255);
	for (uint64_t i = 0; i < 255; i++) {
		check_slot(&slots[i], 1000 + i);
		CHECK_EQ(slots[i].ticket, i + 1);
	}
	CHECK_EQ(put_one(&queue, 0, 7), 257);
	queue_fini(&queue, &memory);
}

static void a_ring_wraps_around_many_times(void)
{
	struct test_memory memory;
	struct flush_queue queue;
	struct flush_slot slots[FLUSH_SLOTS];
	uint64_t in = 0, out = 0;
	queue_init(&queue, &memory, 1);
	for (uint64_t round = 0; round < 3000; round++) {
		uint64_t batch = 1 + round * 7 % 255;
		for (uint64_t i = 0; i < batch; i++, in++)
			CHECK_EQ(put_one(&queue, 0, in), in + 1);
		CHECK_EQ(collect_all(&queue, 0, slots), 0);
		CHECK_EQ(flush_queue_finish(&queue, in), IOVA_OK);
		CHECK_EQ(collect_all(&queue, 0, slots), batch);
		for (uint64_t i = 0; i < batch; i++, out++)
			check_slot(&slots[i], out);
	}
	CHECK_EQ(flush_queue_length(&queue), 0);
	CHECK_EQ(test_memory_held(&memory), 2);
	queue_fini(&queue, &memory);
}

static void tickets_rise_by_one_over_all_CPUs(void)
{
	struct test_memory memory;
	struct flush_queue queue;
	queue_init(&queue, &memory, 64);
	for (uint64_t i = 0; i < 1000; i++)
		CHECK_EQ(put_one(&queue, (uint32_t)(i * i % 64), i), i + 1);
	CHECK_EQ(flush_queue_length(&queue), 1000);
	queue_fini(&queue, &memory); /* drops them */
}

static void collecting_takes_what_there_is_room_for_from_the_head(void)
{
	struct test_memory memory;
	struct flush_queue queue;
	struct flush_slot slots[FLUSH_SLOTS];
	queue_init(&queue, &memory, 2);
	CHECK_EQ(collect_all(&queue, 1, slots), 0); /* no ring is made for this */
	CHECK_EQ(test_memory_held(&memory), 0);
	for (uint64_t i = 0; i < 20; i++)
		put_one(&queue, 0, i);
	CHECK_EQ(flush_queue_finish(&queue, 15), IOVA_OK);
	CHECK_EQ(flush_queue_collect(&queue, 0, slots, 0), 0);
	CHECK_EQ(flush_queue_collect(&queue, 0, slots, 9), 9);
	check_slot(&slots[8], 8);
	CHECK_EQ(flush_queue_collect(&queue, 0, slots, 9), 6);
	check_slot(&slots[0], 9);
	check_slot(&slots[5], 14);
	CHECK_EQ(flush_queue_collect(&queue, 0, slots, 9), 0);
	CHECK_EQ(flush_queue_length(&queue), 5);
	queue_fini(&queue, &memory);
}

static void the_oldest_is_the_one_at_the_head(void)
{
	struct test_memory memory;
	struct flush_queue queue;
	struct flush_slot slot;
	uint64_t ticket;
	queue_init(&queue, &memory, 2);
	CHECK_EQ(flush_queue_oldest(&queue, 0), IOVA_NEVER);
	for (uint64_t i = 0; i < 3; i++)
		CHECK_EQ(flush_queue_put(&queue, 0, i, 1, 700 + i, &ticket), IOVA_OK);
	CHECK_EQ(flush_queue_oldest(&queue, 0), 700);
	CHECK_EQ(flush_queue_oldest(&queue, 1), IOVA_NEVER);
	CHECK_EQ(flush_queue_finish(&queue, 3), IOVA_OK);
	for (uint64_t i = 0; i < 3; i++) {
		CHECK_EQ(flush_queue_oldest(&queue, 0), 700 + i);
		CHECK_EQ(flush_queue_collect(&queue, 0, &slot, 1), 1);
	}
	CHECK_EQ(flush_queue_oldest(&queue, 0), IOVA_NEVER);
	queue_fini(&queue, &memory);
}

/* ---------------------------------------------------------------------------- flushes */

static void nothing_is_released_before_its_flush(void)
{
	struct test_memory memory;
	struct flush_queue queue;
	struct flush_slot slots[FLUSH_SLOTS];
	queue_init(&queue, &memory, 3);
	for (uint64_t i = 0; i < 30; i++) /* tickets 1, 4, 7 ... on CPU 0 */
		put_one(&queue, (uint32_t)(i % 3), i);
	for (uint32_t cpu = 0; cpu < 3; cpu++)
		CHECK_EQ(collect_all(&queue, cpu, slots), 0);
	for (uint64_t flushed = 1; flushed <= 30; flushed++) {
		CHECK_EQ(flush_queue_finish(&queue, flushed), IOVA_OK);
		for (uint32_t cpu = 0; cpu < 3; cpu++) {
			bool covered = (flushed - 1) % 3 == cpu;
			CHECK_EQ(collect_all(&queue, cpu, slots), covered);
			if (covered)
				check_slot(&slots[0], flushed - 1);
		}
		CHECK_EQ(flush_queue_length(&queue), 30 - flushed);
	}
	queue_fini(&queue, &memory);
}

static void flushes_may_finish_out_of_order(void)
{
	struct test_memory memory;
	struct flush_queue queue;
	struct flush_slot slots[FLUSH_SLOTS];
	queue_init(&queue, &memory, 1);
	for (uint64_t i = 0; i < 20; i++)
		put_one(&queue, 0, i);
	CHECK_EQ(flush_queue_finish(&queue, 10), IOVA_OK);
	CHECK_EQ(flush_queue_finish(&queue, 3), IOVA_OK);
	CHECK_EQ(flush_queue_finish(&queue, 10), IOVA_OK);
	CHECK_EQ(collect_all(&queue, 0, slots), 10);
	CHECK_EQ(flush_queue_finish(&queue, 12), IOVA_OK);
	CHECK_EQ(collect_all(&queue, 0, slots), 2);
	queue_fini(&queue, &memory);
}

static void a_ticket_that_was_never_given_out_is_refused(void)
{
	struct test_memory memory;
	struct flush_queue queue;
	struct flush_slot slots[FLUSH_SLOTS];
	queue_init(&queue, &memory, 1);
	CHECK_EQ(flush_queue_finish(&queue, 0), IOVA_INVALID);
	CHECK_EQ(flush_queue_finish(&queue, 1), IOVA_INVALID);
	for (uint64_t i = 0; i < 5; i++)
		put_one(&queue, 0, i);
	CHECK_EQ(flush_queue_finish(&queue, 6), IOVA_INVALID);
	CHECK_EQ(flush_queue_finish(&queue, UINT64_MAX), IOVA_INVALID);
	CHECK_EQ(collect_all(&queue, 0, slots), 0);
	CHECK_EQ(flush_queue_finish(&queue, 5), IOVA_OK);
	CHECK_EQ(flush_queue_finish(&queue, 0), IOVA_INVALID);
	CHECK_EQ(collect_all(&queue, 0, slots), 5);
	queue_fini(&queue, &memory);
}

/* ------------------------------------------------------------------------------- fork */

static void a_frozen_queue_is_locked_until_it_is_thawed(void)
{
	for (unsigned in_child = 0; in_child < 2; in_child++) {
		struct test_memory memory;
		struct flush_queue queue;
		queue_init(&queue, &memory, 3);
		put_one(&queue, 0, 1);
		put_one(&queue, 1, 2);
		flush_queue_freeze(&queue);
		CHECK(!mutex_try(&queue.rings[0]->lock));
		CHECK(!mutex_try(&queue.rings[1]->lock));
		put_one(&queue, 2, 3); /* a ring made meanwhile is not frozen */
		if (in_child) /* its maker was using it and is not there any more */
			CHECK(mutex_try(&queue.rings[2]->lock));
		flush_queue_thaw(&queue, in_child);
		for (uint32_t cpu = 0; cpu < 3; cpu++) {
			CHECK_EQ(queue.rings[cpu]->lock.state, 0);
			put_one(&queue, cpu, 4);
		}
		CHECK_EQ(flush_queue_length(&queue), 6);
		queue_fini(&queue, &memory);
	}
}

static void a_ring_that_somebody_uses_is_not_unlocked_by_a_thaw(void)
{
	struct test_memory memory;
	struct flush_queue queue;
	queue_init(&queue, &memory, 2);
	flush_queue_freeze(&queue);
	put_one(&queue, 1, 1);
	CHECK(mutex_try(&queue.rings[1]->lock)); /* made and taken while the others are frozen */
	flush_queue_thaw(&queue, false);
	CHECK(!mutex_try(&queue.rings[1]->lock));
	mutex_release(&queue.rings[1]->lock);
	/* Nor by the next one, if it was frozen once. */
	flush_queue_freeze(&queue);
	flush_queue_thaw(&queue, false);
	CHECK(mutex_try(&queue.rings[1]->lock));
	flush_queue_thaw(&queue, false);
	CHECK(!mutex_try(&queue.rings[1]->lock));
	mutex_release(&queue.rings[1]->lock);
	queue_fini(&queue, &memory);
}

/* -------------------------------------------------------------------------- no memory */

static void without_memory_nothing_is_queued_and_no_ticket_given(void)
{
	struct test_memory memory;
	struct flush_queue queue;
	struct flush_slot slots[FLUSH_SLOTS];
	uint64_t ticket = 77;
	test_memory_init(&memory);
	flush_queue_init(&queue, 4, &memory.table);
	CHECK_EQ(memory.questions, 0);
	for (unsigned refused = 1; refused <= 2; refused++) { /* the heads of all rings, a ring */
		memory.refuse_at = refused;
		memory.questions = 0;
		CHECK_EQ(put(&queue, 0, 6, &ticket), IOVA_NO_MEMORY);
	}
	put_one(&queue, 0, 5);
	memory.refuse_next[IOVA_MEMORY_CACHES] = 1;
	CHECK_EQ(put(&queue, 1, 6, &ticket), IOVA_NO_MEMORY);
	CHECK_EQ(ticket, 77);
	CHECK_EQ(flush_queue_length(&queue), 1);
	CHECK_EQ(flush_queue_finish(&queue, 2), IOVA_INVALID);
	memory.refuse_next[IOVA_MEMORY_CACHES] = 1;
	CHECK_EQ(put_one(&queue, 0, 7), 2); /* this ring is there: it needs none */
	memory.refuse_next[IOVA_MEMORY_CACHES] = 0;
	CHECK_EQ(put_one(&queue, 1, 8), 3);
	CHECK_EQ(flush_queue_finish(&queue, 3), IOVA_OK);
	CHECK_EQ(collect_all(&queue, 0, slots), 2);
	CHECK_EQ(collect_all(&queue, 1, slots), 1);
	queue_fini(&queue, &memory);
}

static void a_queue_that_was_never_made_can_be_ended(void)
{
	struct flush_queue queue = { .rings = NULL };
	flush_queue_fini(&queue);
	CHECK(queue.rings == NULL);
}

/* ------------------------------------------------------------------- random histories */

#define MOST_CPUS 8u
#define MOST_PUTS 6000u

/* What each CPU ever queued, and how much of it was collected. */
struct model {
	uint64_t ticket[MOST_CPUS][MOST_PUTS];
	uint32_t in[MOST_CPUS], out[MOST_CPUS];
	uint64_t issued, finished;
};

static void random_put(struct flush_queue *queue, struct model *model, uint32_t cpu)
{
	uint64_t ticket = 0, pfn = model->issued + 1;
	enum iova_status status = put(queue, cpu, pfn, &ticket);
	bool full = model->in[cpu] - model->out[cpu] == FLUSH_USABLE;
	CHECK_EQ(status, full ? IOVA_FLUSH_NEEDED : IOVA_OK);
	CHECK_EQ(ticket, model->issued + !full);
	if (full)
		return;
	model->issued++;
	model->ticket[cpu][model->in[cpu]++] = ticket;
}

static void random_finish(struct flush_queue *queue, struct model *model, struct random *random)
{
	uint64_t back = random_bits(random, 12);
	uint64_t ticket = model->issued + 2 > back ? model->issued + 2 - back : model->issued;
	bool given = ticket >= 1 && ticket <= model->issued;
	CHECK_EQ(flush_queue_finish(queue, ticket), given ? IOVA_OK : IOVA_INVALID);
	if (given && ticket > model->finished)
		model->finished = ticket;
}

static void random_collect(struct flush_queue *queue, struct model *model, uint32_t cpu,
			   uint32_t room)
{
	struct flush_slot slots[FLUSH_SLOTS];
	uint32_t n = 0, out = model->out[cpu];
	while (n < room && out + n < model->in[cpu] &&
	       model->ticket[cpu][out + n] <= model->finished)
		n++;
	CHECK_EQ(flush_queue_collect(queue, cpu, slots, room), n);
	for (uint32_t i = 0; i < n; i++) {
		CHECK_EQ(slots[i].ticket, model->ticket[cpu][out + i]);
		check_slot(&slots[i], slots[i].ticket);
	}
	model->out[cpu] += n;
}

static void check_model(struct flush_queue *queue, const struct model *model, uint32_t cpu)
{
	uint64_t length = 0, pages = 0;
	for (uint32_t i = 0; i < queue->cpus; i++) {
		length += model->in[i] - model->out[i];
		for (uint32_t at = model->out[i]; at < model->in[i]; at++)
			pages += 3 * model->ticket[i][at] + 1;
	}
	CHECK_EQ(flush_queue_length(queue), length);
	CHECK_EQ(flush_queue_pages(queue), pages);
	bool empty = model->in[cpu] == model->out[cpu];
	CHECK_EQ(flush_queue_oldest(queue, cpu),
		 empty ? IOVA_NEVER : 5 * model->ticket[cpu][model->out[cpu]]);
}

static void random_history(uint64_t seed, uint64_t cpus, bool trace)
{
	static struct model model;
	struct random random = { seed * 1000003 + cpus };
	struct test_memory memory;
	struct flush_queue queue;
	/* Of 100 steps, so many put: rings stay near empty, or near full. */
	uint64_t puts = 60 + random_below(&random, 39);
	memset(&model, 0, sizeof(model));
	queue_init(&queue, &memory, (uint32_t)cpus);
	for (unsigned i = 0; i < MOST_PUTS; i++) {
		uint32_t cpu = (uint32_t)random_below(&random, cpus);
		uint64_t dice = random_below(&random, 100);
		if (trace)
			printf("CPU %" PRIu32 " dice %" PRIu64 " issued %" PRIu64 "\n", cpu, dice,
			       model.issued);
		if (dice < puts)
			random_put(&queue, &model, cpu);
		else if (dice % 3 == 0)
			random_finish(&queue, &model, &random);
		else
			random_collect(&queue, &model, cpu,
				       (uint32_t)random_below(&random, FLUSH_SLOTS + 1));
		if (i % 64 == 0)
			check_model(&queue, &model, cpu);
	}
	queue_fini(&queue, &memory);
}

static void random_histories_agree_with_lists(void)
{
	static const uint64_t cpus[] = { 1, 2, 3, 8 };
	random_run(&plan, cpus, COUNT_OF_ARRAY(cpus), 20, random_history);
}

/* ---------------------------------------------------------------------------- threads */

#define PUTS_PER_THREAD 20000u

struct traffic {
	struct shared_memory shared;
	struct flush_queue queue;
	pthread_barrier_t meeting;
	uint64_t begun; /* highest ticket that a flush was made for */
	uint8_t collected[THREADS][PUTS_PER_THREAD];
};

/* The pfn names the thread that queued it and its place among that thread's. */
static uint64_t pfn_of(unsigned thread, uint64_t i)
{
	return i << 1 | thread;
}

static void flush_up_to(struct traffic *traffic, uint64_t ticket)
{
	uint64_t begun = sync_load(&traffic->begun);
	while (begun < ticket && !sync_cas(&traffic->begun, &begun, ticket))
		;
	CHECK_EQ(flush_queue_finish(&traffic->queue, ticket), IOVA_OK);
}

static void collect_some(struct traffic *traffic, uint32_t cpu, uint32_t room)
{
	struct flush_slot slots[FLUSH_SLOTS];
	uint32_t n = flush_queue_collect(&traffic->queue, cpu, slots, room);
	for (uint32_t i = 0; i < n; i++) {
		check_slot(&slots[i], slots[i].pfn);
		CHECK(slots[i].ticket <= sync_load(&traffic->begun));
		CHECK(i == 0 || slots[i].ticket > slots[i - 1].ticket);
		uint8_t *seen = &traffic->collected[slots[i].pfn & 1][slots[i].pfn >> 1];
		CHECK_EQ(sync_add(seen, (uint8_t)1), 0);
	}
}

static void put_flush_and_collect(void *context, unsigned thread)
{
	struct traffic *traffic = context;
	struct random random = { 11 + thread };
	pthread_barrier_wait(&traffic->meeting);
	for (uint64_t i = 0; i < PUTS_PER_THREAD;) {
		uint32_t cpu = (uint32_t)random_below(&random, 2);
		uint64_t ticket = 0;
		enum iova_status status = put(&traffic->queue, cpu, pfn_of(thread, i), &ticket);
		CHECK(status == IOVA_OK || status == IOVA_FLUSH_NEEDED);
		i += status == IOVA_OK;
		if (status == IOVA_FLUSH_NEEDED || random_below(&random, 50) == 0)
			flush_up_to(traffic, ticket);
		if (status == IOVA_FLUSH_NEEDED || random_below(&random, 70) == 0)
			collect_some(traffic, (uint32_t)random_below(&random, 2),
				     1 + (uint32_t)random_below(&random, FLUSH_SLOTS));
	}
}

static void each_slot_of_two_threads_is_collected_once_and_after_its_flush(void)
{
	static struct traffic traffic;
	shared_memory_init(&traffic.shared);
	flush_queue_init(&traffic.queue, 2, &traffic.shared.table);
	CHECK_EQ(pthread_barrier_init(&traffic.meeting, NULL, THREADS), 0);
	run_threads(put_flush_and_collect, &traffic);

	CHECK_EQ(traffic.queue.issued, THREADS * PUTS_PER_THREAD);
	CHECK_EQ(traffic.queue.finished, traffic.begun);
	flush_up_to(&traffic, traffic.queue.issued);
	for (uint32_t cpu = 0; cpu < 2; cpu++)
		collect_some(&traffic, cpu, FLUSH_SLOTS);
	CHECK_EQ(flush_queue_length(&traffic.queue), 0);
	for (unsigned thread = 0; thread < THREADS; thread++)
		for (uint64_t i = 0; i < PUTS_PER_THREAD; i++)
			CHECK_EQ(traffic.collected[thread][i], 1);
	flush_queue_fini(&traffic.queue);
	CHECK_EQ(pthread_barrier_destroy(&traffic.meeting), 0);
	shared_memory_fini(&traffic.shared);
}

static void put_first(void *context, unsigned thread)
{
	struct traffic *traffic = context;
	meet_at_allocation = &traffic->meeting;
	uint64_t ticket = put_one(&traffic->queue, 0, pfn_of(thread, 0));
	CHECK(ticket == 1 || ticket == 2);
}

static void two_threads_that_make_a_ring_at_once_share_it(void)
{
	static struct traffic traffic;
	shared_memory_init(&traffic.shared);
	flush_queue_init(&traffic.queue, 1, &traffic.shared.table);
	CHECK_EQ(pthread_barrier_init(&traffic.meeting, NULL, THREADS), 0);
	run_threads(put_first, &traffic);

	CHECK_EQ(test_memory_held(&traffic.shared.memory), 2);
	CHECK_EQ(flush_queue_length(&traffic.queue), 2);
	flush_up_to(&traffic, 2);
	collect_some(&traffic, 0, FLUSH_SLOTS);
	CHECK_EQ(traffic.collected[0][0], 1);
	CHECK_EQ(traffic.collected[1][0], 1);
	flush_queue_fini(&traffic.queue);
	CHECK_EQ(pthread_barrier_destroy(&traffic.meeting), 0);
	shared_memory_fini(&traffic.shared);
}

int main(int argc, char **argv)
{
	plan = random_plan_from(argc, argv);
	TEST(random_histories_agree_with_lists);
	if (plan.one)
		return 0;
	TEST(a_ring_holds_255_and_then_refuses);
	TEST(a_ring_wraps_around_many_times);
	TEST(tickets_rise_by_one_over_all_CPUs);
	TEST(collecting_takes_what_there_is_room_for_from_the_head);
	TEST(the_oldest_is_the_one_at_the_head);
	TEST(nothing_is_released_before_its_flush);
	TEST(flushes_may_finish_out_of_order);
	TEST(a_ticket_that_was_never_given_out_is_refused);
	TEST(a_frozen_queue_is_locked_until_it_is_thawed);
	TEST(a_ring_that_somebody_uses_is_not_unlocked_by_a_thaw);
	TEST(without_memory_nothing_is_queued_and_no_ticket_given);
	TEST(a_queue_that_was_never_made_can_be_ended);
	TEST(two_threads_that_make_a_ring_at_once_share_it);
	TEST(each_slot_of_two_threads_is_collected_once_and_after_its_flush);
	return 0;
}

/* SPDX-License-Identifier: MIT */
/* The machine's queue of events: earliest first, ties by what happens. */
#include "machine_queue.h"

#include "support.h"

static struct random_plan plan;

enum { MOST = 4096 };

static struct event room[MOST + QUEUE_OFFSET];

static struct event_queue empty_queue(size_t capacity)
{
	return (struct event_queue){ .heap = room + QUEUE_OFFSET, .capacity = capacity };
}

static void check_next(struct event_queue *queue, uint64_t time, uint64_t what)
{
	CHECK_EQ(queue_next(queue), time);
	struct event event = queue_pop(queue);
	CHECK_EQ(event.time, time);
	CHECK_EQ(event.what, what);
}

static void an_empty_queue_has_nothing_ever(void)
{
	struct event_queue queue = empty_queue(1);
	CHECK_EQ(queue_next(&queue), UINT64_MAX);
	queue_push(&queue, 5, 1);
	check_next(&queue, 5, 1);
	CHECK_EQ(queue_next(&queue), UINT64_MAX);
}

static void the_earliest_comes_first(void)
{
	const uint64_t times[] = { 30, 10, 50, 20, 40 };
	struct event_queue queue = empty_queue(5);
	for (uint64_t i = 0; i < 5; i++)
		queue_push(&queue, times[i], i);
	check_next(&queue, 10, 1);
	check_next(&queue, 20, 3);
	check_next(&queue, 30, 0);
	check_next(&queue, 40, 4);
	check_next(&queue, 50, 2);
}

static void of_the_same_moment_the_lesser_kind_comes_first_then_the_lesser_number(void)
{
	const uint64_t kind = UINT64_C(1) << 32;
	struct event_queue queue = empty_queue(5);
	queue_push(&queue, 7, 2 * kind + 1);
	queue_push(&queue, 7, 9);
	queue_push(&queue, 7, kind + UINT32_MAX);
	queue_push(&queue, 7, 3);
	queue_push(&queue, 6, 7 * kind);
	check_next(&queue, 6, 7 * kind);
	check_next(&queue, 7, 3);
	check_next(&queue, 7, 9);
	check_next(&queue, 7, kind + UINT32_MAX);
	check_next(&queue, 7, 2 * kind + 1);
}

static void times_are_compared_in_all_their_bits(void)
{
	struct event_queue queue = empty_queue(3);
	queue_push(&queue, UINT64_MAX, 0);
	queue_push(&queue, UINT64_C(1) << 63, 5);
	queue_push(&queue, 1, UINT64_MAX);
	check_next(&queue, 1, UINT64_MAX);
	check_next(&queue, UINT64_C(1) << 63, 5);
	check_next(&queue, UINT64_MAX, 0);
}

static int by_time_and_what(const void *a, const void *b)
{
	const struct event *left = a, *right = b;
	if (left->time != right->time)
		return left->time < right->time ? -1 : 1;
	return (left->what > right->what) - (left->what < right->what);
}

/* The reference: an array that is sorted anew before each look. */
static void against_a_sorted_array(uint64_t seed, uint64_t size, bool trace)
{
	static struct event reference[MOST];
	struct random random = { seed };
	struct event_queue queue = empty_queue(size);
	size_t count = 0;
	for (uint64_t step = 0; step < 20 * size; step++) {
		bool push = count == 0 || (count < size && random_below(&random, 100) < 55);
		if (push) {
			/* Few times, so that there are ties; each event is of another kind. */
			struct event event = { .time = random_below(&random, size / 2 + 1),
					       .what = random_below(&random, 8) << 32 | step };
			queue_push(&queue, event.time, event.what);
			reference[count++] = event;
		} else {
			qsort(reference, count, sizeof(reference[0]), by_time_and_what);
			check_next(&queue, reference[0].time, reference[0].what);
			memmove(reference, reference + 1, --count * sizeof(reference[0]));
		}
		if (trace)
			printf("%s, %zu left\n", push ? "pushed" : "popped", count);
		CHECK_EQ(queue.count, count);
	}
	qsort(reference, count, sizeof(reference[0]), by_time_and_what);
	for (size_t i = 0; i < count; i++)
		check_next(&queue, reference[i].time, reference[i].what);
}

static void random_events_come_in_the_order_of_a_sorted_array(void)
{
	const uint64_t sizes[] = { 1, 2, 5, 6, 21, 85, 200 };
	random_run(&plan, sizes, COUNT_OF_ARRAY(sizes), 10, against_a_sorted_array);
}

int main(int argc, char **argv)
{
	plan = random_plan_from(argc, argv);
	TEST(an_empty_queue_has_nothing_ever);
	TEST(the_earliest_comes_first);
	TEST(of_the_same_moment_the_lesser_kind_comes_first_then_the_lesser_number);
	TEST(times_are_compared_in_all_their_bits);
	TEST(random_events_come_in_the_order_of_a_sorted_array);
	return 0;
}

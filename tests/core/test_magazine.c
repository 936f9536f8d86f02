/* SPDX-License-Identifier: MIT */
/* What a magazine is, alone and on a list: its size, its count, its capacity. */
#include "depot.h"
#include "support.h"

/* Where magazines of any capacity lie: a block for each, and more than the largest needs. */
static _Alignas(64) uint64_t blocks[4][64];

static struct magazine *magazine_in(unsigned block, uint32_t capacity)
{
	struct magazine *magazine = (struct magazine *)(void *)blocks[block];
	CHECK(magazine_bytes(capacity) <= sizeof(blocks[block]));
	magazine->count = 0;
	magazine->capacity = capacity;
	return magazine;
}

static void a_magazine_is_a_power_of_two_with_its_link_in_the_place_of_its_count(void)
{
	struct magazine *magazine = magazine_in(0, 7);
	CHECK((void *)&magazine->link == (void *)&magazine->count);
	CHECK_EQ(sizeof(magazine->link), sizeof(magazine->count) + sizeof(magazine->capacity));
	CHECK_EQ(magazine_bytes(7), 64);
	CHECK_EQ(magazine_bytes(127), 1024);
	for (uint64_t capacity = 0; capacity < 2048; capacity++)
		CHECK(magazine_can_hold(capacity) ==
		      (capacity == 3 || capacity == 7 || capacity == 15 || capacity == 31 ||
		       capacity == 63 || capacity == 127 || capacity == 255 ||
		       capacity == 511 || capacity == 1023));
	CHECK(magazine_can_hold(FULL));
}

static void a_magazine_has_room_until_it_is_full(void)
{
	struct magazine *magazine = magazine_in(0, 15);
	CHECK(!magazine_has_entries(magazine));
	for (uint64_t i = 0; i < 15; i++) {
		CHECK(magazine_has_room(magazine));
		magazine_push(magazine, i);
	}
	CHECK(!magazine_has_room(magazine));
	CHECK(magazine_has_entries(magazine));
	CHECK(!magazine_has_room(NULL));
	CHECK(!magazine_has_entries(NULL));
}

static void a_popped_magazine_has_its_count_and_capacity_again(void)
{
	static const uint32_t capacities[] = { 31, 7, 63, 15 };
	struct depot depot = { 0 };
	for (unsigned i = 0; i < 4; i++) {
		struct magazine *magazine = magazine_in(i, capacities[i]);
		magazine->count = capacities[i];
		depot_push(&depot, magazine);
	}
	CHECK_EQ(depot.length, 4);
	CHECK_EQ(depot.cached, 31 + 7 + 63 + 15);
	for (unsigned i = 4; i-- > 0;) {
		struct magazine *magazine = depot_pop(&depot);
		CHECK(magazine == (void *)blocks[i]);
		CHECK_EQ(magazine->count, capacities[i]);
		CHECK_EQ(magazine->capacity, capacities[i]);
	}
	CHECK(depot_pop(&depot) == NULL);
	CHECK_EQ(depot.length, 0);
	CHECK_EQ(depot.cached, 0);
	CHECK_EQ(depot.peak, 4);
}

static void empty_magazines_lie_on_a_list_of_their_own(void)
{
	struct depot depot = { 0 };
	depot_push_empty(&depot, magazine_in(0, 7));
	depot_push_empty(&depot, magazine_in(1, 31));
	CHECK_EQ(depot.length, 0);
	CHECK(depot_pop(&depot) == NULL);
	CHECK_EQ(depot.empties, 2);
	struct magazine *magazine = depot_pop_empty(&depot);
	CHECK(magazine == (void *)blocks[1]);
	CHECK_EQ(magazine->count, 0);
	CHECK_EQ(magazine->capacity, 31);
	CHECK(depot_pop_empty(&depot) == (void *)blocks[0]);
	CHECK(depot_pop_empty(&depot) == NULL);
	CHECK_EQ(depot.empties, 0);
}

int main(void)
{
	TEST(a_magazine_is_a_power_of_two_with_its_link_in_the_place_of_its_count);
	TEST(a_magazine_has_room_until_it_is_full);
	TEST(a_popped_magazine_has_its_count_and_capacity_again);
	TEST(empty_magazines_lie_on_a_list_of_their_own);
	return 0;
}

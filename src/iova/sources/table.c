#include "table.h"

#include <stdlib.h>

enum { FIRST_PLACES = 1024 };

static uint64_t mixed(uint64_t x)
{
    x ^= x >> 32;
    x *= 0xe9846af9b1a615d;
    x ^= x >> 32;
    x *= 0xe9846af9b1a615d;
    x ^= x >> 28;
    return x;
}

static size_t home_of(const struct table *table, uint64_t word, uint32_t number)
{
    return mixed(word ^ table->seed ^ (uint64_t)number << 40) & table->mask;
}

static bool holds(const struct table_entry *entry, uint64_t word, uint32_t number)
{
    return entry->word == word && entry->number == number;
}

static struct table_entry *empty_places(size_t count)
{
    struct table_entry *entries = calloc(count, sizeof(*entries));

    for (size_t i = 0; entries && i < count; i++)
        entries[i].value = TABLE_EMPTY;
    return entries;
}

bool table_init(struct table *table, uint64_t seed)
{
    table->entries = empty_places(FIRST_PLACES);
    table->mask = FIRST_PLACES - 1;
    table->used = 0;
    table->seed = seed;
    return table->entries != NULL;
}

void table_free(struct table *table)
{
    free(table->entries);
    table->entries = NULL;
}

/* Where the key is, or the empty place where it would go. */
static size_t place_of(const struct table *table, uint64_t word, uint32_t number)
{
    size_t i = home_of(table, word, number);

    while (table->entries[i].value != TABLE_EMPTY && !holds(&table->entries[i], word, number))
        i = (i + 1) & table->mask;
    return i;
}

uint32_t table_get(const struct table *table, uint64_t word, uint32_t number)
{
    return table->entries[place_of(table, word, number)].value;
}

static bool grow(struct table *table)
{
    const size_t places = table->mask + 1;
    struct table_entry *old = table->entries;
    struct table_entry *new = empty_places(places * 2);

    if (!new)
        return false;
    table->entries = new;
    table->mask = places * 2 - 1;
    for (size_t i = 0; i < places; i++) {
        if (old[i].value != TABLE_EMPTY)
            new[place_of(table, old[i].word, old[i].number)] = old[i];
    }
    free(old);
    return true;
}

bool table_put(struct table *table, uint64_t word, uint32_t number, uint32_t value, uint32_t *before)
{
    if (table->used * 2 > table->mask && !grow(table))
        return false;
    struct table_entry *entry = &table->entries[place_of(table, word, number)];
    *before = entry->value;
    table->used += entry->value == TABLE_EMPTY;
    *entry = (struct table_entry){word, number, value};
    return true;
}

/* Moves back what probed over the hole, until a place is empty. */
static void close_hole(struct table *table, size_t hole)
{
    for (size_t i = (hole + 1) & table->mask; table->entries[i].value != TABLE_EMPTY; i = (i + 1) & table->mask) {
        const size_t home = home_of(table, table->entries[i].word, table->entries[i].number);
        if (((i - home) & table->mask) >= ((i - hole) & table->mask)) {
            table->entries[hole] = table->entries[i];
            hole = i;
        }
    }
    table->entries[hole].value = TABLE_EMPTY;
}

uint32_t table_take(struct table *table, uint64_t word, uint32_t number)
{
    const size_t place = place_of(table, word, number);
    const uint32_t value = table->entries[place].value;

    if (value != TABLE_EMPTY) {
        close_hole(table, place);
        table->used--;
    }
    return value;
}

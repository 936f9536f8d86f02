/* A hash table from (word, number) to number, for live ranges and for addresses of domains.
 *
 * Open addressing with linear probing; a removal moves later entries back, so there are no tombstones
 * and the table's size is bounded by the most entries it held. The seed keeps an input from being made
 * to collide; the table is never walked, so no result depends on it.
 */
#ifndef IOVA_SOURCES_TABLE_H
#define IOVA_SOURCES_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct table_entry {
    uint64_t word;
    uint32_t number;
    uint32_t value; /* TABLE_EMPTY: no entry */
};

#define TABLE_EMPTY UINT32_MAX

struct table {
    struct table_entry *entries;
    size_t mask; /* places - 1; the number of places is a power of two */
    size_t used;
    uint64_t seed;
};

bool table_init(struct table *table, uint64_t seed);
void table_free(struct table *table);

/* The value, or TABLE_EMPTY. */
uint32_t table_get(const struct table *table, uint64_t word, uint32_t number);

/* Sets the value (below TABLE_EMPTY). *before is the value it replaces, or TABLE_EMPTY. False: no memory. */
bool table_put(struct table *table, uint64_t word, uint32_t number, uint32_t value, uint32_t *before);

/* Removes the entry: its value, or TABLE_EMPTY. */
uint32_t table_take(struct table *table, uint64_t word, uint32_t number);

#endif

/* The importer: text of ftrace or perf in, in pieces of any size, columns of events out.
 *
 * Memory in, arrays out; no input or output of its own. Its memory is bounded by a window of records, the open
 * calls, and the rows (calls.h). The result does not depend on where the text was cut into pieces.
 *
 *   text -> lines (here) -> record (line.h) -> window in time order (here) -> rows (calls.h)
 *
 * Lines of a trace are in time order over all CPUs, but a live pipe can swap neighbours. Records pass
 * through a window that sorts by time, equal times in text order, whenever an order was broken in it. What comes later
 * than the window can mend is malformed.
 *
 * Every line is counted exactly once: lines = headers + loss_lines + the events' counts + unknown + malformed.
 */
#ifndef IOVA_SOURCES_SCAN_H
#define IOVA_SOURCES_SCAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "calls.h"
#include "digits.h"
#include "line.h"
#include "vocabulary.h"

enum {
    SCAN_MAX_LINE = 16384,   /* bytes; a longer line is malformed and skipped */
    SCAN_MAX_PROBLEMS = 20,  /* malformed lines that are kept; all are counted */
    SCAN_MAX_EXCERPT = 120,  /* bytes of a malformed line that are kept */
    SCAN_MAX_UNKNOWN = 64,   /* names of unknown events that are kept; all are counted */
};

/* Records over which a broken order is mended for sure. Tests build with a small one. */
#ifndef SCAN_WINDOW
#define SCAN_WINDOW 8192
#endif

struct scan_problem {
    uint64_t line;
    uint64_t column; /* 1-based byte; 0: the line as a whole */
    const char *problem;
    uint64_t excerpt_column; /* of the excerpt's first byte; 0: the excerpt is no quotation */
    uint16_t excerpt_len;
    char excerpt[SCAN_MAX_EXCERPT];
};

struct scan_unknown {
    uint64_t count;
    uint8_t len;
    char name[LINE_MAX_NAME];
};

struct scan_counts {
    uint64_t lines;
    uint64_t headers; /* comments, blank lines, what trace-cmd says of the buffers, stack dumps */
    uint64_t loss_lines;
    uint64_t events[VOCABULARY_EVENTS]; /* in the order of `vocabulary` */
    uint64_t unknown;
    uint64_t malformed;
    uint64_t lost; /* events that the text says are missing; 1 where it does not say how many */
    uint64_t out_of_order;
    uint64_t announced; /* entries that the headers say follow */
    uint64_t comments;  /* of the headers, those that begin with # */
    uint64_t header_cpus; /* the largest CPU count a header names; 0: none */
};

struct scanner {
    struct calls calls;
    struct scan_counts counts;
    struct scan_problem problems[SCAN_MAX_PROBLEMS];
    size_t problem_count;
    struct scan_unknown unknown[SCAN_MAX_UNKNOWN];
    size_t unknown_count;

    uint64_t lost_in_all; /* what a summary at the text's end says; the same losses may stand in it one by one */
    bool no_memory;
    bool too_long; /* the line in `carry` is longer than it */
    bool sorted;   /* both halves of the window are in order */
    bool released; /* something left the window, the last at released_t */
    int64_t released_t;
    int64_t last_t; /* the latest so far */
    struct record *older;
    struct record *newer;
    size_t older_count;
    size_t newer_count;
    struct record *scratch; /* room for both halves, twice, for the sort */
    struct line_memory memory;
    size_t carry_len;
    char carry[SCAN_MAX_LINE + TEXT_SLACK]; /* the start of a line that the last piece cut */
};

/* NULL: no memory. The seed only guards against collisions; results do not depend on it. */
struct scanner *scan_new(uint64_t seed, enum line_layout layout);
void scan_free(struct scanner *scanner);

/* Takes the next piece of the text. False: no memory, and the scanner can only be freed. */
bool scan_feed(struct scanner *scanner, const char *text, size_t len);

/* For who reads no text (ring.h), between pieces or instead of them. Times must not go back; every event counts as a
 * line. `event` indexes `vocabulary`. False: no memory. */
bool scan_take(struct scanner *scanner, struct record *record, int event);

/* An event of a number that nobody named. */
void scan_unknown_id(struct scanner *scanner, unsigned id);

/* Something that could not be used; where it stands is told by the number of the event before it. */
void scan_malformed(struct scanner *scanner, const char *problem);

/* Events that are missing here. */
void scan_lost(struct scanner *scanner, uint64_t lost);

/* After the last piece. A last line without line end may be cut short: if it is an event, it is malformed. */
bool scan_finish(struct scanner *scanner);

#endif

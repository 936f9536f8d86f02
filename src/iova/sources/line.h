/* One line of ftrace text in, one record out. Knows nothing of other lines.
 *
 * Which bracket is the CPU? A line is `task-pid [cpu] flags seconds: event: payload`, and two parts of
 * it can be written by anyone: the task's name (up to 15 bytes of any kind) and the payload of a
 * phase marker (any text at all). So neither the first nor the last `[...]` can be trusted as such. We
 * take the FIRST place where the whole header matches a strict grammar:
 *
 *   -PID, perhaps a thread group `(...)`, spaces, `[` digits `]`, spaces, perhaps one flags word,
 *   spaces, digits `.` exactly 6 or 9 digits `: `, spaces, an identifier, `:`, then a space or the end.
 *
 * The first, since a payload stands after the true header. And a task name cannot hold such a header: the
 * shortest one, `-1 [0] 0.000000: e: `, needs 19 bytes. A name that holds the start of one fails at its own
 * `-pid`, for `-` is in no word of the grammar after the pid. Should a line with a longer name ever pass, its
 * payload holds the true header, which is no list of `name=value`: the line is then malformed, which is reported.
 *
 * The layout of perf is another one, and the same holds for it:
 *
 *   a space, TID or PID/TID, spaces, `[` digits `]`, spaces, digits `.` exactly 6 or 9 digits `: `, spaces, perhaps
 *   digits and spaces, perhaps a group and `:`, an identifier, `:`, then a space or the end.
 *
 * A header that is complete but for its time (a counter, or cycles) makes the line malformed at once;
 * the search does not go on into the payload.
 */
#ifndef IOVA_SOURCES_LINE_H
#define IOVA_SOURCES_LINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "record.h"
#include "vocabulary.h"

/* CPUs of the largest kernel configuration; a larger number is malformed, so that per-CPU state is bounded. */
enum { LINE_MAX_CPUS = 8192, LINE_MAX_NAME = 63 };

enum line_outcome {
    LINE_RECORD,    /* `record` is filled */
    LINE_IGNORED,   /* an event we know and do not use */
    LINE_UNKNOWN,   /* an event of another name: `name`, `name_len` */
    LINE_MALFORMED, /* `problem`, `column` */
    LINE_ABOUT,     /* no event: something the recorder says */
    LINE_LOSS,      /* the same, of events that are missing: `lost` */
};

/* Who printed the text. */
enum line_layout {
    LAYOUT_FTRACE, /* tracefs, trace-cmd report */
    LAYOUT_PERF,   /* perf script */
};

/* What came of a line. `event` indexes `vocabulary` for LINE_RECORD and LINE_IGNORED. */
struct line_result {
    enum line_outcome outcome;
    int event;
    const char *name;
    size_t name_len;
    const char *problem; /* a string constant */
    size_t column;       /* 1-based byte */
    uint64_t lost;
};

/* What lines repeat: remembered as text, so that the next line with the very same text needs no parsing there. It
 * changes how fast a line is read and never what is read.
 *
 * The task: everything up to the time. Whether a header starts at an earlier bracket is decided by this text alone, as
 * such a header would have to end before the task's `-`.
 * The second: the digits of the time up to the point.
 * The probe: `(address)`, and the first field if that is the domain. */
struct line_memory {
    enum line_layout layout;
    struct vocabulary_keys keys;
    struct {
        uint32_t pid;
        uint16_t cpu;
        uint8_t len;
        char text[64];
    } task;
    struct {
        uint64_t word;
        uint64_t mask;
        int64_t ns;
        uint8_t len; /* with the point; 0: none */
    } second;
    struct {
        uint64_t iovad;
        uint8_t len;
        bool has_iovad;
        char text[96];
    } probe[VOCABULARY_EVENTS];
};

/* What is wrong with the numbers of a record whose fields are all there, as a string constant; or NULL. */
const char *record_problem(const struct record *record);

/* An empty memory. */
void line_prepare(struct line_memory *memory, enum line_layout layout);

/* Parses text..end, without its line end. TEXT_SLACK bytes from `end` on must be readable, the first of them a line
 * end (digits.h). `record->line` is left to the caller. */
void line_parse(struct line_memory *memory, const char *text, const char *end, struct record *record,
                struct line_result *result);

#endif

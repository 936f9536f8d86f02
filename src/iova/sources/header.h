/* The head of a trace line: `task-pid [cpu] flags seconds: event:`, or perf's. Its grammar is in line.h. */
#ifndef IOVA_SOURCES_HEADER_H
#define IOVA_SOURCES_HEADER_H

#include "cursor.h"

enum time_kind {
    TIME_NONE,
    TIME_SECONDS,
    TIME_OTHER, /* what a clock that does not count seconds prints */
};

struct header {
    const char *cpu;
    const char *time;
    const char *name;
    const char *name_end;
    const char *payload;
    uint64_t cpu_number;
    enum time_kind time_kind;
};

/* Finds the header, and fills the record's time, CPU and pid and the result's event (-1: of another name). False: the
 * line is malformed. The result's outcome may be LINE_ABOUT or LINE_LOSS then: such a line has no name. */
bool header_read(const struct cursor *c, struct header *h);

#endif

#include "scan.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "digits.h"

/* ---------------------------------------------------------------- problems and unknown names */

static struct scan_problem *new_problem(struct scanner *s, uint64_t line, const char *problem)
{
    s->counts.malformed++;
    if (s->problem_count == SCAN_MAX_PROBLEMS)
        return NULL;
    struct scan_problem *p = &s->problems[s->problem_count++];
    *p = (struct scan_problem){.line = line, .problem = problem};
    return p;
}

/* Quotes the start of the line, or what surrounds a column far to the right. */
static void malformed_line(struct scanner *s, const char *text, const char *end, const char *problem, size_t column)
{
    struct scan_problem *p = new_problem(s, s->counts.lines, problem);

    if (!p)
        return;
    const size_t len = (size_t)(end - text);
    const size_t from = column > SCAN_MAX_EXCERPT ? column - SCAN_MAX_EXCERPT / 2 : 0;
    p->column = column;
    p->excerpt_column = from + 1;
    p->excerpt_len = (uint16_t)(len - from < SCAN_MAX_EXCERPT ? len - from : SCAN_MAX_EXCERPT);
    memcpy(p->excerpt, text + from, p->excerpt_len);
}

/* A record's text is gone by now; what it said is put in the words of the text. */
static void malformed_record(struct scanner *s, const struct record *r, const char *problem)
{
    const int event = vocabulary_of_kind(r->kind);
    const uint64_t line = s->counts.lines - (uint32_t)((uint32_t)s->counts.lines - r->line);
    struct scan_problem *p = new_problem(s, line, problem);

    s->counts.events[event]--;
    if (!p)
        return;
    const int len = snprintf(p->excerpt, sizeof(p->excerpt), "[%03u] %lld.%09u: %s:", (unsigned)r->cpu,
                             (long long)(r->t / 1000000000), (unsigned)(r->t % 1000000000), vocabulary[event].name);
    p->excerpt_len = (uint16_t)(len < SCAN_MAX_EXCERPT ? len : SCAN_MAX_EXCERPT - 1);
}

static void count_unknown(struct scanner *s, const char *name, size_t len)
{
    s->counts.unknown++;
    for (size_t i = 0; i < s->unknown_count; i++) {
        if (s->unknown[i].len == len && memcmp(s->unknown[i].name, name, len) == 0) {
            s->unknown[i].count++;
            return;
        }
    }
    if (s->unknown_count == SCAN_MAX_UNKNOWN)
        return;
    struct scan_unknown *u = &s->unknown[s->unknown_count++];
    u->count = 1;
    u->len = (uint8_t)len;
    memcpy(u->name, name, len);
}

/* ---------------------------------------------------------------- headers and losses */

static bool starts_with(const char **at, const char *end, const char *lead)
{
    const size_t len = strlen(lead);

    if ((size_t)(end - *at) < len || memcmp(*at, lead, len) != 0)
        return false;
    *at += len;
    return true;
}

static void add_lost(struct scanner *s, uint64_t lost)
{
    s->counts.lost = lost > UINT64_MAX - s->counts.lost ? UINT64_MAX : s->counts.lost + lost;
}

static void add_announced(struct scanner *s, uint64_t kept)
{
    s->counts.announced = kept > UINT64_MAX - s->counts.announced ? UINT64_MAX : s->counts.announced + kept;
}

static void saw_cpus(struct scanner *s, uint64_t cpus)
{
    if (cpus > s->counts.header_cpus && cpus <= LINE_MAX_CPUS)
        s->counts.header_cpus = cpus;
}

/* `# entries-in-buffer/entries-written: 5/7   #P:4`; numbers that cannot be read may hide a loss. */
static void read_comment(struct scanner *s, const char *p, const char *end)
{
    uint64_t kept, written, cpus;

    if (!starts_with(&p, end, "# entries-in-buffer/entries-written: "))
        return;
    if (!read_decimal(&p, &kept) || !starts_with(&p, end, "/") || !read_decimal(&p, &written)) {
        add_lost(s, 1);
        return;
    }
    if (written > kept)
        add_lost(s, written - kept);
    add_announced(s, kept);
    p = skip_spaces(p);
    if (starts_with(&p, end, "#P:") && read_decimal(&p, &cpus))
        saw_cpus(s, cpus);
}

/* `CPU:2 [LOST 12 EVENTS]`, `CPU:0 [12 EVENTS DROPPED]`, both also without the number */
static bool read_loss(struct scanner *s, const char *p, const char *end)
{
    uint64_t number = 1;

    if (!starts_with(&p, end, "CPU:") || !read_decimal(&p, &number) || !starts_with(&p, end, " ["))
        return false;
    number = 1;
    if (starts_with(&p, end, "LOST ")) {
        if (read_decimal(&p, &number) && !starts_with(&p, end, " "))
            return false;
        if (!starts_with(&p, end, "EVENTS]"))
            return false;
    } else {
        if (read_decimal(&p, &number) && !starts_with(&p, end, " "))
            return false;
        if (!starts_with(&p, end, "EVENTS DROPPED]"))
            return false;
    }
    if (p != end)
        return false;
    s->counts.loss_lines++;
    add_lost(s, number);
    return true;
}

/* `cpus=4`, `version = 7`, `CPU 3 is empty`; ` => function` of a stack dump, `<stack trace>` */
static bool read_other_header(struct scanner *s, const char *p, const char *end)
{
    uint64_t number;

    if (starts_with(&p, end, "cpus=")) {
        if (!read_decimal(&p, &number) || p != end)
            return false;
        saw_cpus(s, number);
        return true;
    }
    if (starts_with(&p, end, "version = "))
        return read_decimal(&p, &number) && p == end;
    if (starts_with(&p, end, "CPU "))
        return read_decimal(&p, &number) && starts_with(&p, end, " is empty") && p == end;
    p = skip_spaces(p);
    return p == end || starts_with(&p, end, "=> ");
}

/* `Processed 7373 samples and lost 46.67%!`: how many is 46.67 % of 7373. */
static bool read_lost_share(const char *p, const char *end, uint64_t *lost)
{
    uint64_t processed, whole, hundredths;

    if (!starts_with(&p, end, "Processed ") || !read_decimal(&p, &processed))
        return false;
    if (!starts_with(&p, end, " samples and lost ") || !read_decimal(&p, &whole) || !starts_with(&p, end, ".") ||
        !read_decimal(&p, &hundredths) || !starts_with(&p, end, "%!") || p != end)
        return false;
    const double share = ((double)whole + (double)hundredths / 100) / 100;
    *lost = share <= 1 && processed < UINT32_MAX ? (uint64_t)((double)processed * share + 0.5) : 1;
    *lost += *lost == 0;
    return true;
}

/* What perf writes on standard error, where that was put into the text as well; `Processed 12 events and lost 3
 * chunks!` does not say how many events a chunk had. */
static bool read_perf_loss(struct scanner *s, const char *p, const char *end)
{
    uint64_t lost = 1, events;

    if (s->memory.layout != LAYOUT_PERF)
        return false;
    if (!read_lost_share(p, end, &lost)) {
        if (!starts_with(&p, end, "Processed ") || !read_decimal(&p, &events) ||
            !starts_with(&p, end, " events and lost ") || !read_decimal(&p, &lost) ||
            !starts_with(&p, end, " chunks!") || p != end)
            return false;
    }
    s->counts.loss_lines++;
    if (lost > s->lost_in_all)
        s->lost_in_all = lost;
    return true;
}

/* A line of a call chain in perf's text (a tab, and the address of a function), or what it says around a loss. */
static bool is_perf_header(const struct scanner *s, const char *p, const char *end)
{
    uint64_t address;

    if (s->memory.layout != LAYOUT_PERF)
        return false;
    if (starts_with(&p, end, "Warning:") || starts_with(&p, end, "Check IO/CPU overload!"))
        return p == end;
    if (!starts_with(&p, end, "\t"))
        return false;
    p = skip_spaces(p);
    return read_hex(&p, &address) && p < end && *p == ' ';
}

/* Whether the line is about the trace, not in it. */
static bool take_header(struct scanner *s, const char *text, const char *end)
{
    if (text < end && *text == '#') {
        read_comment(s, text, end);
        s->counts.comments++;
        s->counts.headers++;
        return true;
    }
    if (read_loss(s, text, end) || read_perf_loss(s, text, end))
        return true;
    if (!read_other_header(s, text, end) && !is_perf_header(s, text, end))
        return false;
    s->counts.headers++;
    return true;
}

/* ---------------------------------------------------------------- the window */

/* The window is two halves; new records go into the newer one. When that is full, the older one is released. */

static void take_record(struct scanner *s, const struct record *record)
{
    const char *problem = NULL;
    const enum calls_outcome outcome = calls_take(&s->calls, record, &problem);

    s->no_memory |= outcome == CALLS_NO_MEMORY;
    if (outcome == CALLS_MALFORMED)
        malformed_record(s, record, problem);
}

/* Merges two runs in order into `to`; of equal times the first run's come first. */
static void merge(const struct record *a, size_t a_len, const struct record *b, size_t b_len, struct record *to)
{
    while (a_len && b_len) {
        if (b->t < a->t) {
            *to++ = *b++;
            b_len--;
        } else {
            *to++ = *a++;
            a_len--;
        }
    }
    memcpy(to, a, a_len * sizeof(*a));
    memcpy(to + a_len, b, b_len * sizeof(*b));
}

/* Sorts from..from+count, using as much room at `room`; where the result is. Equal times keep their order. */
static struct record *sort_by_time(struct record *from, struct record *room, size_t count)
{
    for (size_t run = 1; run < count; run *= 2) {
        for (size_t at = 0; at < count; at += 2 * run) {
            const size_t a_len = count - at < run ? count - at : run;
            const size_t b_len = count - at - a_len < run ? count - at - a_len : run;
            merge(from + at, a_len, from + at + a_len, b_len, room + at);
        }
        struct record *sorted = room;
        room = from;
        from = sorted;
    }
    return from;
}

/* Puts both halves in order. */
static void sort_window(struct scanner *s)
{
    struct record *both = s->scratch;
    const size_t count = s->older_count + s->newer_count;

    memcpy(both, s->older, s->older_count * sizeof(*both));
    memcpy(both + s->older_count, s->newer, s->newer_count * sizeof(*both));
    both = sort_by_time(both, s->scratch + 2 * SCAN_WINDOW, count);
    memcpy(s->older, both, s->older_count * sizeof(*both));
    memcpy(s->newer, both + s->older_count, s->newer_count * sizeof(*both));
    s->sorted = true;
}

static void release_older(struct scanner *s)
{
    if (!s->sorted)
        sort_window(s);
    for (size_t i = 0; i < s->older_count && !s->no_memory; i++)
        take_record(s, &s->older[i]);
    if (s->older_count) {
        s->released = true;
        s->released_t = s->older[s->older_count - 1].t;
    }
    struct record *free_half = s->older;
    s->older = s->newer;
    s->older_count = s->newer_count;
    s->newer = free_half;
    s->newer_count = 0;
}

/* The record after the newer half's last is complete. */
static void push(struct scanner *s)
{
    const int64_t t = s->newer[s->newer_count].t;

    if (t < s->last_t) {
        s->sorted = false;
        s->counts.out_of_order++;
    } else {
        s->last_t = t;
    }
    if (++s->newer_count == SCAN_WINDOW)
        release_older(s);
}

/* ---------------------------------------------------------------- lines */

static void take_event(struct scanner *s, const char *text, const char *end, bool cut)
{
    struct record *record = &s->newer[s->newer_count];
    struct line_result result;

    record->line = (uint32_t)s->counts.lines;
    line_parse(&s->memory, text, end, record, &result);
    switch (result.outcome) {
    case LINE_RECORD:
        if (cut) {
            malformed_line(s, text, end, "the last line has no line end, so it may be cut short", 0);
        } else if (s->released && record->t < s->released_t) {
            malformed_line(s, text, end, "the time goes back too far to be put in order; sort the text by time", 0);
        } else {
            s->counts.events[result.event]++;
            push(s);
        }
        break;
    case LINE_IGNORED:
        s->counts.events[result.event]++;
        break;
    case LINE_UNKNOWN:
        count_unknown(s, result.name, result.name_len);
        break;
    case LINE_MALFORMED:
        malformed_line(s, text, end, result.problem, result.column);
        break;
    case LINE_ABOUT:
        s->counts.headers++;
        break;
    case LINE_LOSS:
        s->counts.loss_lines++;
        add_lost(s, result.lost);
        break;
    }
}

/* For line_parse(). `cut`: no line end was found. */
static void take_line(struct scanner *s, const char *text, const char *end, bool cut)
{
    s->counts.lines++;
    if (end > text && end[-1] == '\r')
        end--;
    if (end - text > SCAN_MAX_LINE) {
        malformed_line(s, text, end, "the line is too long", 0);
        return;
    }
    const bool may_be_header = text == end || *text != ' ' || end - text < 40;
    if (may_be_header && take_header(s, text, end))
        return;
    take_event(s, text, end, cut);
}

static void carry(struct scanner *s, const char *text, size_t len)
{
    const size_t room = SCAN_MAX_LINE - s->carry_len;

    if (len > room) {
        s->too_long = true;
        len = room;
    }
    memcpy(s->carry + s->carry_len, text, len);
    s->carry_len += len;
}

static void take_carried(struct scanner *s, bool cut)
{
    if (s->too_long) {
        s->counts.lines++;
        malformed_line(s, s->carry, s->carry + s->carry_len, "the line is too long", 0);
    } else {
        s->carry[s->carry_len] = '\n';
        take_line(s, s->carry, s->carry + s->carry_len, cut);
    }
    s->too_long = false;
    s->carry_len = 0;
}

bool scan_feed(struct scanner *s, const char *text, size_t len)
{
    const char *p = text;
    const char *end = text + len;
    const char *newline;

    while (!s->no_memory && (newline = memchr(p, '\n', (size_t)(end - p))) != NULL) {
        if (s->carry_len == 0 && end - newline >= TEXT_SLACK) {
            take_line(s, p, newline, false);
        } else {
            carry(s, p, (size_t)(newline - p));
            take_carried(s, false);
        }
        p = newline + 1;
    }
    carry(s, p, (size_t)(end - p));
    return !s->no_memory;
}

/* ---------------------------------------------------------------- what is no text */

/* Whatever came as text comes before this. */
static void empty_window(struct scanner *s)
{
    while (s->older_count || s->newer_count)
        release_older(s);
}

bool scan_take(struct scanner *s, struct record *record, int event)
{
    const char *problem;

    empty_window(s);
    s->counts.lines++;
    s->counts.events[event]++;
    record->line = (uint32_t)s->counts.lines;
    if (record->kind == KIND_IGNORED)
        return !s->no_memory;
    problem = record_problem(record);
    if (!problem && s->released && record->t < s->released_t)
        problem = "the time goes back";
    if (problem) {
        malformed_record(s, record, problem);
        return !s->no_memory;
    }
    s->released = true;
    s->released_t = record->t;
    take_record(s, record);
    return !s->no_memory;
}

void scan_unknown_id(struct scanner *s, unsigned id)
{
    char name[16];

    s->counts.lines++;
    count_unknown(s, name, (size_t)snprintf(name, sizeof(name), "id_%u", id & 0xffff));
}

void scan_malformed(struct scanner *s, const char *problem)
{
    s->counts.lines++;
    new_problem(s, s->counts.lines, problem);
}

void scan_lost(struct scanner *s, uint64_t lost)
{
    add_lost(s, lost);
}

bool scan_finish(struct scanner *s)
{
    if (s->carry_len)
        take_carried(s, true);
    release_older(s);
    release_older(s);
    if (s->lost_in_all > s->counts.lost)
        s->counts.lost = s->lost_in_all;
    calls_finish(&s->calls);
    return !s->no_memory;
}

struct scanner *scan_new(uint64_t seed, enum line_layout layout)
{
    struct scanner *s = calloc(1, sizeof(*s));

    if (!s)
        return NULL;
    s->sorted = true;
    s->last_t = INT64_MIN;
    line_prepare(&s->memory, layout);
    s->older = malloc(SCAN_WINDOW * sizeof(*s->older));
    s->newer = malloc(SCAN_WINDOW * sizeof(*s->newer));
    s->scratch = malloc(4 * SCAN_WINDOW * sizeof(*s->scratch));
    if (s->older && s->newer && s->scratch && calls_init(&s->calls, seed))
        return s;
    scan_free(s);
    return NULL;
}

void scan_free(struct scanner *s)
{
    if (!s)
        return;
    calls_free(&s->calls);
    free(s->older);
    free(s->newer);
    free(s->scratch);
    free(s);
}

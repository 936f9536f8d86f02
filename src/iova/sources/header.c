#include "header.h"

#include "vocabulary.h"

static bool is_flag(char c)
{
    return is_identifier(c) || c == '.' || c == '#';
}

/* ---------------------------------------------------------------- task */

/* What stands before the spaces before the bracket, without a thread group in parentheses. */
static const char *task_end(const char *text, const char *bracket)
{
    const char *p = bracket;

    while (p > text && p[-1] == ' ')
        p--;
    if (p == text || p[-1] != ')')
        return p;
    do {
        p--;
    } while (p > text && *p != '(');
    while (p > text && p[-1] == ' ')
        p--;
    return p;
}

/* Whether a task as perf prints it, `name tid` or `name pid/tid`, ends before the spaces before the bracket. */
static bool perf_task_before(const char *text, const char *bracket, uint32_t *tid)
{
    const char *p = bracket;

    while (p > text && p[-1] == ' ')
        p--;
    const char *end = p;
    while (p > text && is_digit(p[-1]))
        p--;
    if (p == bracket || p == end || end - p > 8 || p == text)
        return false;
    decimal8(peek8(p), tid);
    if (p[-1] == '/') {
        end = --p;
        while (p > text && is_digit(p[-1]))
            p--;
        if (p == end)
            return false;
    }
    if (p > text && p[-1] == '-') /* a task that was gone: -1 */
        p--;
    return p > text + 1 && p[-1] == ' ';
}

/* Whether the task, with its `-pid`, ends before the spaces before the bracket. */
static bool task_before(const char *text, const char *bracket, uint32_t *pid)
{
    const char *end = task_end(text, bracket);
    const char *p = end;

    while (p > text && is_digit(p[-1]))
        p--;
    if (bracket == text || bracket[-1] != ' ' || p == end || end - p > 8 || p == text || p[-1] != '-')
        return false;
    decimal8(peek8(p), pid);
    return true;
}

/* ---------------------------------------------------------------- time */

/* `digits.`: -1 in *ns if it has no place in the range of times. */
static const char *read_seconds(const char *p, int64_t *ns)
{
    uint64_t seconds;

    if (read_decimal(&p, &seconds)) {
        *ns = seconds < INT64_MAX / 1000000000 ? (int64_t)seconds * 1000000000 : -1;
        return p;
    }
    *ns = -1;
    while (is_digit(*p))
        p++;
    return p;
}

/* Six or nine digits. */
static const char *read_fraction(const char *p, int64_t *ns)
{
    uint32_t value;
    const unsigned digits = decimal8(peek8(p), &value);

    p += digits;
    *ns = digits == 6 ? (int64_t)value * 1000 : -1;
    if (digits < 8 || !is_digit(*p))
        return p;
    *ns = (int64_t)value * 10 + (*p++ - '0');
    if (is_digit(*p))
        *ns = -1;
    while (is_digit(*p))
        p++;
    return p;
}

/* A time in the second of the line before, with six decimals: the usual case. */
static bool read_time_of_same_second(const char **at, const struct cursor *c)
{
    const struct line_memory *m = c->memory;
    const char *p = *at + m->second.len;
    uint32_t value;

    if (!m->second.len || (peek8(*at) & m->second.mask) != m->second.word)
        return false;
    if (decimal8(peek8(p), &value) != 6 || p[6] != ':' || p[7] != ' ')
        return false;
    c->record->t = m->second.ns + (int64_t)value * 1000;
    *at = p + 7;
    return true;
}

static void remember_second(const struct cursor *c, const char *time, size_t len, int64_t ns)
{
    if (len > 8)
        return;
    c->memory->second.len = (uint8_t)len;
    c->memory->second.mask = len == 8 ? UINT64_MAX : (1ULL << (8 * len)) - 1;
    c->memory->second.word = peek8(time) & c->memory->second.mask;
    c->memory->second.ns = ns;
}

/* `digits.digits: ` at *at. */
static enum time_kind read_time(const char **at, const struct cursor *c)
{
    const char *p = *at;
    int64_t seconds, fraction = -1;

    if (!is_digit(*p))
        return TIME_NONE;
    if (read_time_of_same_second(at, c))
        return TIME_SECONDS;
    p = read_seconds(p, &seconds);
    if (*p == '.') {
        if (seconds >= 0)
            remember_second(c, *at, (size_t)(p + 1 - *at), seconds);
        p = read_fraction(p + 1, &fraction);
    }
    if (c->end - p < 2 || p[0] != ':' || p[1] != ' ')
        return TIME_NONE;
    const bool too_long_for_a_name = p - *at >= 4;
    *at = p + 1;
    if (seconds >= 0 && fraction >= 0) {
        c->record->t = seconds + fraction;
        return TIME_SECONDS;
    }
    return too_long_for_a_name ? TIME_OTHER : TIME_NONE;
}

/* ---------------------------------------------------------------- the whole */

static const char *read_cpu(const char *p, const struct cursor *c, struct header *h)
{
    h->cpu = p;
    if (!read_decimal(&p, &h->cpu_number) || c->end - p < 2 || p[0] != ']' || p[1] != ' ')
        return NULL;
    return skip_spaces(p + 1);
}

/* The time, perhaps after one word of flags. */
static const char *read_flags_and_time(const char *p, const struct cursor *c, struct header *h)
{
    h->time = p;
    h->time_kind = read_time(&p, c);
    if (h->time_kind == TIME_NONE) {
        while (p < c->end && is_flag(*p))
            p++;
        if (p == h->time || p - h->time > 8 || p == c->end || *p != ' ')
            return NULL;
        h->time = p = skip_spaces(p);
        h->time_kind = read_time(&p, c);
    }
    return h->time_kind == TIME_NONE ? NULL : skip_spaces(p);
}

/* `identifier:` of an event that is not ours: its colon, or NULL. */
static const char *end_of_other_name(const char *p, const struct cursor *c)
{
    const char *name = p;

    while (p < c->end && (is_identifier(*p) || (*p == '-' && c->memory->layout == LAYOUT_PERF)))
        p++;
    return p > name && p < c->end && *p == ':' ? p : NULL;
}

/* What perf prints before an event's name: a count of what was sampled, and the name's group. */
static const char *skip_group(const char *p, const struct cursor *c)
{
    const char *word = p;

    while (p < c->end && is_digit(*p))
        p++;
    if (p > word && p < c->end && *p == ' ')
        word = p = skip_spaces(p);
    while (p < c->end && (is_identifier(*p) || *p == '-'))
        p++;
    return p + 1 < c->end && *p == ':' && p[1] != ' ' ? p + 1 : word;
}

/* `PERF_RECORD_LOST lost 12` and other lines of perf that are no event of the kernel's. */
static bool read_perf_record(const char *p, const struct cursor *c)
{
    static const char lead[] = "PERF_RECORD_", lost[] = "LOST";
    const char *end = p + sizeof(lead) - 1;

    if ((size_t)(c->end - p) < sizeof(lead) || memcmp(p, lead, sizeof(lead) - 1) != 0)
        return false;
    c->result->outcome = LINE_ABOUT;
    if ((size_t)(c->end - end) < sizeof(lost) - 1 || memcmp(end, lost, sizeof(lost) - 1) != 0)
        return true;
    c->result->outcome = LINE_LOSS;
    c->result->lost = 1; /* where no number can be read */
    p = memchr(end, ' ', (size_t)(c->end - end));
    while (p && !is_digit(*(p = skip_spaces(p))))
        p = memchr(p, ' ', (size_t)(c->end - p));
    if (p)
        read_decimal(&p, &c->result->lost);
    return true;
}

/* A name and its colon, then a space or the end. */
static bool read_name(const char *p, const struct cursor *c, struct header *h)
{
    if (c->memory->layout == LAYOUT_PERF) {
        h->name = h->name_end = p;
        if (read_perf_record(p, c))
            return true;
        p = skip_group(p, c);
    }
    const int event = vocabulary_find(&c->memory->keys, p, c->end);

    c->result->event = event;
    h->name = p;
    h->name_end = event >= 0 ? p + vocabulary[event].name_len : end_of_other_name(p, c);
    if (!h->name_end || (h->name_end + 1 < c->end && h->name_end[1] != ' '))
        return false;
    h->payload = skip_spaces(h->name_end + 1);
    return true;
}

static bool header_at(const char *bracket, const struct cursor *c, struct header *h)
{
    const char *p = read_cpu(bracket + 1, c, h);

    p = p ? read_flags_and_time(p, c, h) : NULL;
    return p && read_name(p, c, h);
}

/* The header of a line whose task was seen in the line before. */
static bool header_of_same_task(const struct cursor *c, struct header *h)
{
    const struct line_memory *m = c->memory;
    const char *p = c->text + m->task.len;

    if (!same_text(c->text, c->end, m->task.text, m->task.len))
        return false;
    h->time = p;
    h->time_kind = read_time(&p, c);
    if (h->time_kind != TIME_SECONDS || !read_name(skip_spaces(p), c, h))
        return false;
    h->cpu_number = m->task.cpu;
    c->record->pid = m->task.pid;
    return true;
}

static void remember_task(const struct cursor *c, const struct header *h)
{
    const size_t len = (size_t)(h->time - c->text);

    if (h->cpu_number >= LINE_MAX_CPUS || len > sizeof(c->memory->task.text))
        return;
    c->memory->task.cpu = (uint16_t)h->cpu_number;
    c->memory->task.pid = c->record->pid;
    c->memory->task.len = (uint8_t)len;
    memcpy(c->memory->task.text, c->text, len);
}

static bool find_header(const struct cursor *c, struct header *h)
{
    const bool is_perf = c->memory->layout == LAYOUT_PERF;
    const char *p = c->text;

    if (header_of_same_task(c, h))
        return true;
    while ((p = memchr(p, '[', (size_t)(c->end - p))) != NULL) {
        if ((is_perf ? perf_task_before : task_before)(c->text, p, &c->record->pid) && header_at(p, c, h)) {
            remember_task(c, h);
            return true;
        }
        p++;
    }
    return malformed(c, c->text,
                     is_perf ? "this is no `task tid [cpu] seconds: group:event:` line of perf script"
                             : "this is no `task-pid [cpu] seconds: event:` line");
}

static bool check_header(const struct cursor *c, const struct header *h)
{
    if (h->time_kind == TIME_OTHER)
        return malformed(c, h->time, "the time is not in seconds with 6 or 9 decimals, or too large");
    if (h->cpu_number >= LINE_MAX_CPUS)
        return malformed(c, h->cpu, "the CPU's number is too large");
    if (h->name_end - h->name > LINE_MAX_NAME)
        return malformed(c, h->name, "the event's name is too long");
    c->record->cpu = (uint16_t)h->cpu_number;
    return true;
}

bool header_read(const struct cursor *c, struct header *h)
{
    return find_header(c, h) && check_header(c, h);
}

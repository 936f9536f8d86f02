/* Where the parsing of a line is, shared by its parts. */
#ifndef IOVA_SOURCES_CURSOR_H
#define IOVA_SOURCES_CURSOR_H

#include <stdbool.h>
#include <string.h>

#include "digits.h"
#include "line.h"

struct cursor {
    struct line_memory *memory;
    const char *text;
    const char *end;
    struct record *record;
    struct line_result *result;
};

/* Notes a problem at a place; always false. */
static inline bool malformed(const struct cursor *c, const char *at, const char *problem)
{
    c->result->outcome = LINE_MALFORMED;
    c->result->problem = problem;
    c->result->column = (size_t)(at - c->text) + 1;
    return false;
}

static inline bool is_identifier(char c)
{
    return is_digit(c) || c == '_' || (unsigned char)((c | 0x20) - 'a') < 26;
}

/* Whether a remembered text stands here, with more behind it. */
static inline bool same_text(const char *p, const char *end, const char *text, size_t len)
{
    return len && (size_t)(end - p) > len && memcmp(p, text, len) == 0;
}

#endif

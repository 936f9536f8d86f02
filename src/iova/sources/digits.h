/* Numbers in text, eight characters at a time.
 *
 * A word holds eight characters, the first in its lowest byte. Characters that are no digits get a bit in their
 * byte's top place; the lowest such bit gives the number of digits. Additions can carry out of a byte only if that
 * byte is no digit, and so only into bytes that no longer count.
 *
 * Everything here may read TEXT_SLACK bytes from where it starts, so a text must be followed by that many readable
 * bytes. The first of them must be a line end, which stops every number.
 */
#ifndef IOVA_SOURCES_DIGITS_H
#define IOVA_SOURCES_DIGITS_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#define EACH_BYTE(value) (0x0101010101010101ULL * (value))

enum { TEXT_SLACK = 8 };

static inline uint64_t peek8(const char *p)
{
    uint64_t word;

    memcpy(&word, p, sizeof(word));
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    word = __builtin_bswap64(word);
#endif
    return word;
}

static inline bool is_digit(char c)
{
    return (unsigned char)(c - '0') < 10;
}

/* How many bytes stand before the first marked one. */
static inline unsigned bytes_before(uint64_t marks)
{
    return marks ? (unsigned)__builtin_ctzll(marks) / 8 : 8;
}

static inline const char *skip_spaces(const char *p)
{
    unsigned spaces;

    do {
        spaces = bytes_before(peek8(p) ^ EACH_BYTE(' '));
        p += spaces;
    } while (spaces == 8);
    return p;
}

/* Puts the digits' values in the high bytes, zeros before them: eight digits with leading zeros. */
static inline uint64_t right_aligned(uint64_t values, unsigned digits)
{
    return digits ? values << (64 - 8 * digits) : 0;
}

/* Reads up to eight decimal digits at the word's start. */
static inline unsigned decimal8(uint64_t word, uint32_t *value)
{
    const uint64_t d = word ^ EACH_BYTE('0');
    const unsigned digits = bytes_before(((d + EACH_BYTE(0x76)) | d) & EACH_BYTE(0x80));
    uint64_t v = right_aligned(d, digits);

    v = (v * 10 + (v >> 8)) & 0x00ff00ff00ff00ffULL;
    v = (v * 100 + (v >> 16)) & 0x0000ffff0000ffffULL;
    v = v * 10000 + (v >> 32);
    *value = (uint32_t)v;
    return digits;
}

/* Reads up to eight hexadecimal digits at the word's start. */
static inline unsigned hex8(uint64_t word, uint32_t *value)
{
    const uint64_t d = word ^ EACH_BYTE('0');
    const uint64_t x = (word | EACH_BYTE(0x20)) ^ EACH_BYTE(0x60); /* a..f: 1..6 */
    const uint64_t no_decimal = (d + EACH_BYTE(0x76)) | d;
    const uint64_t no_letter = ~(x + EACH_BYTE(0x7f)) | (x + EACH_BYTE(0x79)) | x;
    const unsigned digits = bytes_before(no_decimal & no_letter & EACH_BYTE(0x80));
    uint64_t v = right_aligned((word & EACH_BYTE(0x0f)) + (word >> 6 & EACH_BYTE(1)) * 9, digits);

    v = (v << 4 | v >> 8) & 0x00ff00ff00ff00ffULL;
    v = (v << 8 | v >> 16) & 0x0000ffff0000ffffULL;
    v = v << 16 | v >> 32;
    *value = (uint32_t)v;
    return digits;
}

/* Decimal digits from *at, moving *at past them. False: none, or more than 64 bits; *at is then as it was. */
static inline bool read_decimal(const char **at, uint64_t *value)
{
    const char *p = *at;
    uint32_t part;

    if (is_digit(p[0]) && !is_digit(p[1])) {
        *value = (uint64_t)(p[0] - '0');
        *at = p + 1;
        return true;
    }
    const unsigned digits = decimal8(peek8(p), &part);
    uint64_t sum = part;
    if (digits == 0)
        return false;
    p += digits;
    for (; digits == 8 && is_digit(*p); p++) {
        const uint64_t digit = (uint64_t)(*p - '0');
        if (sum > (UINT64_MAX - digit) / 10)
            return false;
        sum = sum * 10 + digit;
    }
    *value = sum;
    *at = p;
    return true;
}

/* The same for hexadecimal digits, without the 0x. */
static inline bool read_hex(const char **at, uint64_t *value)
{
    uint32_t part;
    unsigned digits = hex8(peek8(*at), &part);
    const char *p = *at + digits;
    uint64_t sum = part;

    while (digits == 8 && *p > ' ') {
        digits = hex8(peek8(p), &part);
        if (digits && sum >> (64 - 4 * digits))
            return false;
        sum = sum << (4 * digits) | part;
        p += digits;
    }
    if (p == *at)
        return false;
    *value = sum;
    *at = p;
    return true;
}

/* Decimal, or hexadecimal after 0x. */
static inline bool read_number(const char **at, uint64_t *value)
{
    const char *p = *at;

    if (p[0] != '0' || p[1] != 'x')
        return read_decimal(at, value);
    p += 2;
    if (!read_hex(&p, value))
        return false;
    *at = p;
    return true;
}

#endif

// What Verilator's writer of FST files needs of LZ4, without the library, whose headers many machines lack: blocks that every reader
// of the format takes. liblz4.a, beside this file, is an empty archive for the linker.
#ifndef LZ4_H
#define LZ4_H

#include <stdint.h>
#include <string.h>

static inline int LZ4_compressBound(int size) { return size + size / 255 + 16; }

// A length of 15 or more goes on in bytes, each 255 but the last.
static inline char* lz4_length(char* to, int length) {
    for (length -= 15; length >= 255; length -= 255) *to++ = (char)255;
    *to++ = (char)length;
    return to;
}

// Literals, then a match of at least 4 bytes, unless it is 0, at a distance back.
static inline char* lz4_sequence(char* to, const char* from, int literals, int match, int distance) {
    char* const token = to++;
    *token = (char)((literals < 15 ? literals : 15) << 4);
    if (literals >= 15) to = lz4_length(to, literals);
    memcpy(to, from, literals);
    to += literals;
    if (!match) return to;
    *to++ = (char)(distance & 255);
    *to++ = (char)(distance >> 8);
    *token |= (char)(match - 4 < 15 ? match - 4 : 15);
    return match - 4 >= 15 ? lz4_length(to, match - 4) : to;
}

static inline int LZ4_compress_default(const char* from, char* to, int size, int room) {
    enum { HASH_BITS = 12, FARTHEST = 65535, LAST_MATCH = 12, LAST_LITERALS = 5 };
    if (room < LZ4_compressBound(size)) return 0;
    int seen[1 << HASH_BITS];  // where four bytes of this hash began last
    memset(seen, -1, sizeof seen);
    char* const begin = to;
    int literal = 0, at = 0;
    while (at < size - LAST_MATCH) {
        uint32_t four;
        memcpy(&four, from + at, 4);
        int* const place = &seen[(four * 2654435761u) >> (32 - HASH_BITS)];
        const int before = *place;
        *place = at;
        if (before < 0 || at - before > FARTHEST || memcmp(from + before, from + at, 4)) {
            ++at;
            continue;
        }
        int length = 4;
        while (at + length < size - LAST_LITERALS && from[before + length] == from[at + length]) ++length;
        to = lz4_sequence(to, from + literal, at - literal, length, at - before);
        literal = at += length;
    }
    return (int)(lz4_sequence(to, from + literal, size - literal, 0, 0) - begin);
}

#endif

// Every pair of binary16 operands through the multiplier, against the processor's own product: exact in binary32, so there
// is one right answer, and for NaN the canonical one. Arguments: first and last value of the first operand.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "Vtop.h"

static float widen(uint16_t bits) {
    uint32_t sign = uint32_t(bits & 0x8000) << 16, exponent = bits >> 10 & 31, fraction = bits & 1023;
    float value;
    if (exponent == 0) {
        value = fraction / 16777216.0f;  // subnormal: units of 2^-24
        uint32_t word;
        memcpy(&word, &value, 4);
        word |= sign;
        memcpy(&value, &word, 4);
        return value;
    }
    uint32_t word = sign | (exponent == 31 ? 0x7F800000 : (exponent + 112) << 23) | fraction << 13;
    memcpy(&value, &word, 4);
    return value;
}

int main(int, char** argv) {
    std::vector<float> values(65536);
    for (int bits = 0; bits < 65536; ++bits) values[bits] = widen(bits);
    Vtop top;
    uint64_t compared = 0, different = 0;
    for (int a = atoi(argv[1]); a <= atoi(argv[2]); ++a) {
        for (int b = 0; b < 65536; ++b) {
            top.a = a;
            top.b = b;
            top.eval();
            float product = values[a] * values[b];
            uint32_t expected;
            memcpy(&expected, &product, 4);
            if (product != product) expected = 0x7FC00000;
            ++compared;
            if (top.o != expected && different++ < 5) fprintf(stderr, "%04x * %04x: %08x, not %08x\n", a, b, top.o, expected);
        }
    }
    printf("%llu %llu\n", (unsigned long long)compared, (unsigned long long)different);
}

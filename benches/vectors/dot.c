/* The floor: a plain dot-product loop over the same bytes, no top-k, no Python.
 * cc -O3 -march=native -ffast-math dot.c -o dot && ./dot f16 10000 384
 * prints the median nanoseconds of one pass over all rows. */
#ifdef __F16C__
#include <immintrin.h>
#endif
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static uint64_t now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

#define PASS(NAME, ROW, QUERY, SUM)                                                                \
    __attribute__((noinline)) static void NAME(const ROW *rows, const QUERY *q, float *out,       \
                                               size_t n, size_t d) {                              \
        for (size_t i = 0; i < n; i++) {                                                           \
            const ROW *r = rows + i * d;                                                           \
            SUM s = 0;                                                                             \
            for (size_t j = 0; j < d; j++) s += (SUM)r[j] * (SUM)q[j];                             \
            out[i] = (float)s;                                                                     \
        }                                                                                          \
    }

PASS(pass_f32, float, float, float)
#ifdef __F16C__
/* gcc 12 converts halves one by one: the loop is written with the processor's conversion. */
__attribute__((noinline)) static void pass_f16(const _Float16 *rows, const float *q, float *out, size_t n, size_t d) {
    for (size_t i = 0; i < n; i++) {
        const _Float16 *r = rows + i * d;
        __m256 a = _mm256_setzero_ps(), b = a;
        size_t j = 0;
        for (; j + 16 <= d; j += 16) {
            a += _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(r + j))) * _mm256_loadu_ps(q + j);
            b += _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(r + j + 8))) * _mm256_loadu_ps(q + j + 8);
        }
        a += b;
        float s = 0;
        for (int k = 0; k < 8; k++) s += a[k];
        for (; j < d; j++) s += (float)r[j] * q[j];
        out[i] = s;
    }
}
#else
PASS(pass_f16, _Float16, float, float)
#endif
PASS(pass_i8, int8_t, int8_t, int32_t)

static int compare(const void *a, const void *b) {
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

int main(int argc, char **argv) {
    if (argc != 4) return 2;
    size_t n = strtoul(argv[2], 0, 10), d = strtoul(argv[3], 0, 10);
    size_t width = !strcmp(argv[1], "f32") ? 4 : !strcmp(argv[1], "f16") ? 2 : 1;
    void *rows = aligned_alloc(64, (n * d * width + 63) / 64 * 64);
    void *query = aligned_alloc(64, (d * 4 + 63) / 64 * 64);
    float *out = malloc(n * sizeof *out);
    for (size_t i = 0; i < n * d; i++) {
        float x = (float)rand() / (float)RAND_MAX - 0.5f;
        if (width == 4) ((float *)rows)[i] = x;
        else if (width == 2) ((_Float16 *)rows)[i] = (_Float16)x;
        else ((int8_t *)rows)[i] = (int8_t)(x * 254);
    }
    for (size_t j = 0; j < d; j++) {
        if (width == 1) ((int8_t *)query)[j] = (int8_t)(j * 37);
        else ((float *)query)[j] = (float)j / (float)d - 0.5f;
    }
    size_t rounds = 400000000 / (n * d) + 21;
    if (rounds > 20001) rounds = 20001;
    uint64_t *times = malloc(rounds * sizeof *times);
    volatile float keep = 0;
    for (size_t r = 0; r < rounds; r++) {
        uint64_t start = now();
        if (width == 4) pass_f32(rows, query, out, n, d);
        else if (width == 2) pass_f16(rows, query, out, n, d);
        else pass_i8(rows, query, out, n, d);
        times[r] = now() - start;
        keep += out[r % n];
    }
    qsort(times, rounds, sizeof *times, compare);
    printf("%llu\n", (unsigned long long)times[rounds / 2]);
    return 0;
}

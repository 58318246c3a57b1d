// SPDX-License-Identifier: Apache-2.0

#include "bfloat16.h"

#if defined(__x86_64__)
#include <immintrin.h>

#define BF16 __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,avx512bf16")))

bool bf16_is_supported(void) {
  __builtin_cpu_init();
  return __builtin_cpu_supports("avx512bf16") && __builtin_cpu_supports("avx512f")
      && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl")
      && __builtin_cpu_supports("avx512dq");
}

// Terms that are worked through at a time: a right panel of so many takes 24 KB of the first cache level.
enum { DEPTH_PAIRS = 192 };
// Left panels that stay in the second level meanwhile, 144 rows.
enum { LEFT_PANELS = 12 };
// Right panels, 256 columns, whose block of the product stays there too until its sums are complete.
enum { RIGHT_PANELS = 8 };

// Neighboring floats of two rows, rounded: 16 pairs.
BF16 static inline __m512i interleave(__m512 low, __m512 high) {
  __m512i l = _mm512_cvtepu16_epi32((__m256i)_mm512_cvtneps_pbh(low));
  __m512i h = _mm512_cvtepu16_epi32((__m256i)_mm512_cvtneps_pbh(high));
  return _mm512_or_si512(l, _mm512_slli_epi32(h, 16));
}

// The vectors lie side by side: two terms of 16 vectors at a time.
BF16 static void pack_beside(const float *source, ptrdiff_t count, ptrdiff_t depth,
                             ptrdiff_t stride, ptrdiff_t width, uint32_t *panel) {
  for (ptrdiff_t j = 0; j < width; j += 16) {
    ptrdiff_t held = count - j, room = width - j;
    __mmask16 load = held >= 16 ? 0xffff : held <= 0 ? 0 : (1u << held) - 1;
    __mmask16 store = room >= 16 ? 0xffff : (1u << room) - 1;
    for (ptrdiff_t p = 0; p < depth; p += 2) {
      const float *row = source + p * stride + j;
      __m512 low = _mm512_maskz_loadu_ps(load, row);
      __m512 high = p + 1 < depth ? _mm512_maskz_loadu_ps(load, row + stride) : _mm512_setzero_ps();
      _mm512_mask_storeu_epi32(panel + p / 2 * width + j, store, interleave(low, high));
    }
  }
}

// 16 rows of 16 words, transposed in place.
BF16 static inline void transpose16(__m512i r[16]) {
  __m512i t[16];
  for (int i = 0; i < 16; i += 2) {
    t[i] = _mm512_unpacklo_epi32(r[i], r[i + 1]);
    t[i + 1] = _mm512_unpackhi_epi32(r[i], r[i + 1]);
  }
  for (int i = 0; i < 16; i += 4) {
    for (int k = 0; k < 2; k++) {
      r[i + 2 * k] = _mm512_unpacklo_epi64(t[i + k], t[i + 2 + k]);
      r[i + 2 * k + 1] = _mm512_unpackhi_epi64(t[i + k], t[i + 2 + k]);
    }
  }
  // Now r[4g + c] holds column c + 4q of rows 4g … 4g + 3 in its quarter q.
  for (int c = 0; c < 4; c++) {
    __m512i a = _mm512_shuffle_i32x4(r[c], r[4 + c], 0x44);
    __m512i b = _mm512_shuffle_i32x4(r[c], r[4 + c], 0xee);
    __m512i d = _mm512_shuffle_i32x4(r[8 + c], r[12 + c], 0x44);
    __m512i e = _mm512_shuffle_i32x4(r[8 + c], r[12 + c], 0xee);
    t[c] = _mm512_shuffle_i32x4(a, d, 0x88);
    t[4 + c] = _mm512_shuffle_i32x4(a, d, 0xdd);
    t[8 + c] = _mm512_shuffle_i32x4(b, e, 0x88);
    t[12 + c] = _mm512_shuffle_i32x4(b, e, 0xdd);
  }
  for (int i = 0; i < 16; i++) r[i] = t[i];
}

// Each vector lies by itself: 32 terms of 16 vectors at a time.
BF16 static void pack_along(const float *source, ptrdiff_t count, ptrdiff_t depth,
                            ptrdiff_t stride, ptrdiff_t width, uint32_t *panel) {
  for (ptrdiff_t j = 0; j < width; j += 16) {
    ptrdiff_t room = width - j;
    __mmask16 store = room >= 16 ? 0xffff : (1u << room) - 1;
    for (ptrdiff_t p = 0; p < depth; p += 32) {
      ptrdiff_t held = depth - p;
      __mmask32 load = held >= 32 ? 0xffffffff : (1u << held) - 1;
      __m512i rows[16];
      for (int i = 0; i < 16; i++) {
        if (j + i < count) {
          const float *row = source + (j + i) * stride + p;
          __m512 low = _mm512_maskz_loadu_ps((__mmask16)load, row);
          __m512 high = _mm512_maskz_loadu_ps((__mmask16)(load >> 16), row + 16);
          rows[i] = (__m512i)_mm512_cvtne2ps_pbh(high, low);
        } else {
          rows[i] = _mm512_setzero_si512();
        }
      }
      transpose16(rows);
      ptrdiff_t pairs = held >= 32 ? 16 : (held + 1) / 2;
      for (ptrdiff_t q = 0; q < pairs; q++) {
        _mm512_mask_storeu_epi32(panel + (p / 2 + q) * width + j, store, rows[q]);
      }
    }
  }
}

BF16 void bf16_pack(const float *source, ptrdiff_t outer, ptrdiff_t depth, ptrdiff_t outer_stride,
                    ptrdiff_t depth_stride, ptrdiff_t width, ptrdiff_t first, ptrdiff_t end,
                    uint32_t *panels) {
  for (ptrdiff_t i = first; i < end; i++) {
    ptrdiff_t count = outer - i * width < width ? outer - i * width : width;
    const float *from = source + i * width * outer_stride;
    uint32_t *panel = panels + i * width * ((depth + 1) / 2);
    if (outer_stride == 1) {
      pack_beside(from, count, depth, depth_stride, width, panel);
    } else {
      pack_along(from, count, depth, outer_stride, width, panel);
    }
  }
}

// Twelve rows of two vectors are as many chains as registers hold.
BF16 static inline void tile(const uint32_t *left, const uint32_t *right, ptrdiff_t pairs,
                             ptrdiff_t rows, __mmask16 low, __mmask16 high, const float *start,
                             ptrdiff_t start_stride, float *c, ptrdiff_t ldc) {
  __m512 sum[BF16_LEFT][2];
#pragma clang loop unroll(full)
  for (int r = 0; r < BF16_LEFT; r++) {
    sum[r][0] = sum[r][1] = _mm512_setzero_ps();
    if (start && r < rows) {
      sum[r][0] = _mm512_maskz_loadu_ps(low, start + r * start_stride);
      sum[r][1] = _mm512_maskz_loadu_ps(high, start + r * start_stride + 16);
    }
  }
  for (ptrdiff_t p = 0; p < pairs; p++) {
    __m512bh b0 = (__m512bh)_mm512_loadu_si512(right + p * BF16_RIGHT);
    __m512bh b1 = (__m512bh)_mm512_loadu_si512(right + p * BF16_RIGHT + 16);
#pragma clang loop unroll(full)
    for (int r = 0; r < BF16_LEFT; r++) {
      __m512bh a = (__m512bh)_mm512_set1_epi32((int)left[p * BF16_LEFT + r]);
      sum[r][0] = _mm512_dpbf16_ps(sum[r][0], a, b0);
      sum[r][1] = _mm512_dpbf16_ps(sum[r][1], a, b1);
    }
  }
#pragma clang loop unroll(full)
  for (int r = 0; r < BF16_LEFT; r++) {
    if (r < rows) {
      _mm512_mask_storeu_ps(c + r * ldc, low, sum[r][0]);
      _mm512_mask_storeu_ps(c + r * ldc + 16, high, sum[r][1]);
    }
  }
}

BF16 void bf16_multiply(const uint32_t *left, const uint32_t *right, ptrdiff_t m, ptrdiff_t n,
                        ptrdiff_t depth, ptrdiff_t row_panel, ptrdiff_t row_end,
                        ptrdiff_t column_panel, ptrdiff_t column_end, const float *bias,
                        bool accumulate, float *c, ptrdiff_t ldc) {
  ptrdiff_t pairs = (depth + 1) / 2;
  for (ptrdiff_t i0 = row_panel; i0 < row_end; i0 += LEFT_PANELS) {
    ptrdiff_t i1 = i0 + LEFT_PANELS < row_end ? i0 + LEFT_PANELS : row_end;
    for (ptrdiff_t j0 = column_panel; j0 < column_end; j0 += RIGHT_PANELS) {
      ptrdiff_t j1 = j0 + RIGHT_PANELS < column_end ? j0 + RIGHT_PANELS : column_end;
      for (ptrdiff_t p = 0; p < pairs; p += DEPTH_PAIRS) {
        ptrdiff_t terms = pairs - p < DEPTH_PAIRS ? pairs - p : DEPTH_PAIRS;
        for (ptrdiff_t j = j0; j < j1; j++) {
          ptrdiff_t columns = n - j * BF16_RIGHT;
          __mmask32 mask = columns >= 32 ? 0xffffffff : (1u << columns) - 1;
          const uint32_t *b = right + (j * pairs + p) * BF16_RIGHT;
          for (ptrdiff_t i = i0; i < i1; i++) {
            float *target = c + i * BF16_LEFT * ldc + j * BF16_RIGHT;
            bool old = accumulate || p > 0;
            const float *start = old ? target : bias ? bias + j * BF16_RIGHT : NULL;
            ptrdiff_t rows = m - i * BF16_LEFT < BF16_LEFT ? m - i * BF16_LEFT : BF16_LEFT;
            tile(left + (i * pairs + p) * BF16_LEFT, b, terms, rows, (__mmask16)mask,
                 (__mmask16)(mask >> 16), start, old ? ldc : 0, target, ldc);
          }
        }
      }
    }
  }
}

#else

bool bf16_is_supported(void) { return false; }

void bf16_pack(const float *source, ptrdiff_t outer, ptrdiff_t depth, ptrdiff_t outer_stride,
               ptrdiff_t depth_stride, ptrdiff_t width, ptrdiff_t first, ptrdiff_t end,
               uint32_t *panels) {
  __builtin_trap();
}

void bf16_multiply(const uint32_t *left, const uint32_t *right, ptrdiff_t m, ptrdiff_t n,
                   ptrdiff_t depth, ptrdiff_t row_panel, ptrdiff_t row_end, ptrdiff_t column_panel,
                   ptrdiff_t column_end, const float *bias, bool accumulate, float *c,
                   ptrdiff_t ldc) {
  __builtin_trap();
}

#endif

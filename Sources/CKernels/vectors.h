// SPDX-License-Identifier: Apache-2.0

// Vectors of LANES floats. Included by each_target.h, several times.
typedef float NAME(V) __attribute__((ext_vector_type(LANES)));
typedef int NAME(mask) __attribute__((ext_vector_type(LANES)));
typedef struct {
  NAME(V) v;
} __attribute__((packed, aligned(4), may_alias)) NAME(unaligned);

TARGET INLINE NAME(V) NAME(load)(const float *p) { return ((const NAME(unaligned) *)p)->v; }
TARGET INLINE void NAME(store)(NAME(V) x, float *p) { ((NAME(unaligned) *)p)->v = x; }

// min(count, LANES) floats, and zeros.
TARGET INLINE NAME(V) NAME(load_some)(const float *p, ptrdiff_t count) {
  if (count >= LANES) return NAME(load)(p);
#if LANES == 16
  return (NAME(V))_mm512_maskz_loadu_ps((__mmask16)((1u << count) - 1), p);
#endif
  float part[LANES] = {0};
  for (ptrdiff_t i = 0; i < count; i++) part[i] = p[i];
  return NAME(load)(part);
}

// The first min(count, LANES) floats.
TARGET INLINE void NAME(store_some)(NAME(V) x, float *p, ptrdiff_t count) {
  if (count >= LANES) {
    NAME(store)(x, p);
  } else {
#if LANES == 16
    _mm512_mask_storeu_ps(p, (__mmask16)((1u << count) - 1), (__m512)x);
    return;
#endif
    for (ptrdiff_t i = 0; i < count; i++) p[i] = x[i];
  }
}

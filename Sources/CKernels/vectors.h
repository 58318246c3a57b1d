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
  float part[LANES] = {0};
  for (ptrdiff_t i = 0; i < count; i++) part[i] = p[i];
  return NAME(load)(part);
}

// The first min(count, LANES) floats.
TARGET INLINE void NAME(store_some)(NAME(V) x, float *p, ptrdiff_t count) {
  if (count >= LANES) {
    NAME(store)(x, p);
  } else {
    for (ptrdiff_t i = 0; i < count; i++) p[i] = x[i];
  }
}

// SPDX-License-Identifier: Apache-2.0

import COpenBLAS

extension SIMD where Scalar: FloatingPoint {
  /// self + a · b, fused where the target has an instruction for it.
  ///
  /// Without one (x86 at its baseline, as in a package that passes no flags) `addingProduct` is a call of the C library
  /// for every entry; an optimized build then rounds twice. A debug build keeps the fused chain, so that tests see
  /// what `-march=native` computes.
  @inline(__always)
  func plusProduct(_ a: Self, _ b: Self) -> Self {
    #if DEBUG
      return addingProduct(a, b)
    #else
      return SUITE_HAS_FMA != 0 ? addingProduct(a, b) : self + a * b
    #endif
  }
}

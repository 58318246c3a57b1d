import LinearAlgebra

extension SpectralClip {
  /// Clips `count` small matrices g[i][rows, columns], stored one after another in `batch`, in place,
  /// exactly and without reports: the form for sampled gradients of small problems.
  ///
  /// `tau` gives the threshold of a matrix from its σ_1; `sigmaMax[i]` receives σ_1(g[i]). 3×3
  /// matrices go four at a time through SIMD lanes; the entries must then be finite.
  public static func clip(
    batch: inout [Double], count: Int, rows: Int, columns: Int, sigmaMax: inout [Double],
    tau: (_ sigmaMax: Double) -> Double
  ) throws {
    let size = rows * columns
    precondition(
      batch.count == count * size && sigmaMax.count == count,
      "\(count) matrices[\(rows), \(columns)] in \(batch.count) entries, \(sigmaMax.count) values")
    if rows == 3 && columns == 3 {
      return Small3x3.clip(&batch, count: count, sigmaMax: &sigmaMax, tau: tau)
    }
    let exact = try SpectralClip(.exactSVD)
    try withoutActuallyEscaping(tau) { tau in
      try batch.withUnsafeMutableBufferPointer { buffer in
        guard let base = buffer.baseAddress else { return }
        for i in 0..<count {
          let view = MutableMatrixView(rows: rows, columns: columns, base: base + i * size)
          let report = try exact.clip(view, at: .fromSigmaMax(tau))
          sigmaMax[i] = report.sigmaMax ?? report.sigmaMaxBound
        }
      }
    }
  }

  /// The same at one fixed threshold and without the σ_1: nothing is decomposed where the Frobenius
  /// norms show that no matrix reaches beyond τ.
  public static func clip(
    batch: inout [Double], count: Int, rows: Int, columns: Int, at tau: Double
  ) throws {
    let size = rows * columns
    precondition(
      batch.count == count * size, "\(count) matrices[\(rows), \(columns)] in \(batch.count)")
    let inside = batch.withUnsafeBufferPointer { batch in
      for i in 0..<count {
        var sum = 0.0
        for j in (i &* size)..<(i &* size &+ size) { sum += batch[j] * batch[j] }
        if !(sum <= tau * tau) { return false }
      }
      return true
    }
    if inside { return }
    var sigmaMax = [Double](repeating: 0, count: count)
    try clip(batch: &batch, count: count, rows: rows, columns: columns, sigmaMax: &sigmaMax) { _ in
      tau
    }
  }
}

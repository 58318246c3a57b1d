// SPDX-License-Identifier: Apache-2.0

import CSpectralClip
import Clipping
import Foundation
import LinearAlgebra

/// Why a call is refused: one of the header's numbers.
struct Refusal: Error {
  let status: Int32

  init(_ status: Int) { self.status = Int32(status) }
}

/// Runs `body` and turns what it throws into a status.
func status(of body: () throws -> Void) -> Int32 {
  do {
    try body()
    return Int32(SPECTRALCLIP_OK)
  } catch let refusal as Refusal {
    return refusal.status
  } catch LinearAlgebraError.notFinite {
    return Int32(SPECTRALCLIP_NOT_FINITE)
  } catch ClippingError.invalidThreshold {
    return Int32(SPECTRALCLIP_BAD_THRESHOLD)
  } catch is ClippingError {
    return Int32(SPECTRALCLIP_BAD_PARAMETER)
  } catch {
    return Int32(SPECTRALCLIP_NOT_CONVERGED)
  }
}

func unwrap<T>(_ value: T?) throws -> T {
  guard let value else { throw Refusal(SPECTRALCLIP_NULL_POINTER) }
  return value
}

/// What `spectralclip_options` says, checked.
struct Options {
  var operation = SpectralClip.exact
  var seed: UInt64 = 0
  var threads = 1

  init(_ raw: UnsafePointer<spectralclip_options>?) throws {
    guard let raw = raw?.pointee else { return }
    guard 0...65_536 ~= raw.rank, 0...65_536 ~= raw.oversampling, 0...64 ~= raw.power_iterations,
      1...1024 ~= raw.threads
    else { throw Refusal(SPECTRALCLIP_BAD_PARAMETER) }
    if raw.rank > 0 {
      operation = try .randomized(
        rank: Int(raw.rank), oversampling: Int(raw.oversampling),
        powerIterations: Int(raw.power_iterations))
    }
    (seed, threads) = (raw.seed, Int(raw.threads))
  }
}

/// A caller's matrix[rows, columns] whose rows begin `stride` entries apart, checked.
struct Strided<Scalar: RealScalar> {
  let base: UnsafeMutablePointer<Scalar>
  let rows: Int, columns: Int, stride: Int

  init(_ base: UnsafeMutableRawPointer?, _ rows: Int64, _ columns: Int64, _ stride: Int64) throws {
    let address = try unwrap(base)
    guard rows >= 1, columns >= 1 else { throw Refusal(SPECTRALCLIP_BAD_SIZE) }
    guard stride >= columns else { throw Refusal(SPECTRALCLIP_BAD_STRIDE) }
    guard UInt(bitPattern: address) % UInt(MemoryLayout<Scalar>.alignment) == 0 else {
      throw Refusal(SPECTRALCLIP_MISALIGNED)
    }
    let (entries, isOver) = rows.multipliedReportingOverflow(by: columns)
    let (span, isFar) = rows.multipliedReportingOverflow(by: stride)
    // LAPACK counts in 32 bits, its work space too.
    guard !isOver, !isFar, entries <= Int64(Int32.max), min(rows, columns) <= 16_384,
      span <= Int64.max / 16,
      !UInt(bitPattern: address)
        .addingReportingOverflow(UInt(span) * UInt(MemoryLayout<Scalar>.stride)).overflow
    else { throw Refusal(SPECTRALCLIP_TOO_LARGE) }
    (self.rows, self.columns, self.stride) = (Int(rows), Int(columns), Int(stride))
    self.base = address.assumingMemoryBound(to: Scalar.self)
  }

  /// The first address and the one past the last entry.
  var addresses: Range<UInt> {
    let start = UInt(bitPattern: base)
    let count = (rows - 1) * stride + columns
    return start..<start + UInt(count * MemoryLayout<Scalar>.stride)
  }

  /// Bytes that clipping may need beside the matrix: copies in Double and the square of the shorter side.
  var workSpace: Int { 8 * (4 * rows * columns + 4 * min(rows, columns) * min(rows, columns)) }

  func checkFinite() throws {
    if stride == columns {
      return try MatrixView(rows: rows, columns: columns, base: UnsafePointer(base)).checkFinite()
    }
    for row in 0..<rows {
      try MatrixView(rows: 1, columns: columns, base: UnsafePointer(base + row * stride))
        .checkFinite()
    }
  }

  /// Lends the entries, without gaps, to `body`: themselves, or a copy where there are gaps.
  func withEntries<R>(_ body: (MutableMatrixView<Scalar>) throws -> R) rethrows -> R {
    if stride == columns || rows == 1 {
      return try body(MutableMatrixView(rows: rows, columns: columns, base: base))
    }
    var elements = [Scalar]()
    elements.reserveCapacity(rows * columns)
    for row in 0..<rows {
      elements.append(
        contentsOf: UnsafeBufferPointer(start: base + row * stride, count: columns))
    }
    var matrix = Matrix(rows: rows, columns: columns, elements: elements)
    elements = []
    let result = try matrix.withMutableView(body)
    matrix.withView { view in
      for row in 0..<rows {
        (base + row * stride).update(from: view.base + row * columns, count: columns)
      }
    }
    return result
  }
}

/// Refuses where the machine would not give so many bytes.
func requireMemory(_ bytes: Int) throws {
  // A kernel that promises more than there is would end the process at the first use.
  guard UInt64(bytes) <= ProcessInfo.processInfo.physicalMemory, let probe = malloc(bytes) else {
    throw Refusal(SPECTRALCLIP_OUT_OF_MEMORY)
  }
  free(probe)
}

extension spectralclip_report {
  init(_ statistics: ClipStatistics) {
    self.init(
      sigma_max: statistics.sigmaMax ?? .nan, tau: statistics.tau,
      norm_before: statistics.normBefore ?? .nan, norm_after: statistics.normAfter ?? .nan,
      clipped: Int64(statistics.clippedCount), remaining: Int64(statistics.remainingCount),
      values: Int64(statistics.valueCount))
  }
}

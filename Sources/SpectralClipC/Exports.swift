// SPDX-License-Identifier: Apache-2.0

// The functions of spectralclip.h; the header documents them. They are public so that an optimized build keeps them.

import CSpectralClip
import Clipping
import Foundation
import LinearAlgebra

/// `spectralclip_message` of the header.
@_cdecl("spectralclip_message")
public func message(_ status: Int32) -> UnsafePointer<CChar>? {
  let text: StaticString =
    switch Int(status) {
    case SPECTRALCLIP_OK: "no error"
    case SPECTRALCLIP_NULL_POINTER: "a pointer that is needed is NULL"
    case SPECTRALCLIP_BAD_SIZE: "rows, columns and the number of layers are whole numbers >= 1"
    case SPECTRALCLIP_BAD_STRIDE: "the row stride is smaller than the number of columns"
    case SPECTRALCLIP_TOO_LARGE:
      "the matrix is too large: at most 2^31 - 1 entries, and 16384 on its shorter side"
    case SPECTRALCLIP_MISALIGNED: "a matrix does not begin at a multiple of its entries' size"
    case SPECTRALCLIP_OVERLAP: "the memory of two layers overlaps, from first to last entry"
    case SPECTRALCLIP_NOT_FINITE: "the matrix holds a NaN or an infinity"
    case SPECTRALCLIP_BAD_THRESHOLD: "a threshold is a number >= 0 (infinity: no clipping)"
    case SPECTRALCLIP_BAD_PARAMETER: "a parameter is out of its range"
    case SPECTRALCLIP_BAD_HANDLE: "no clipper has this handle"
    case SPECTRALCLIP_BAD_STATE: "the bytes are not the state of a clipper like this one"
    case SPECTRALCLIP_BUFFER_TOO_SMALL: "the buffer is too small for the state"
    case SPECTRALCLIP_OUT_OF_MEMORY: "not enough memory"
    case SPECTRALCLIP_NOT_CONVERGED: "a decomposition did not converge"
    default: "unknown status"
    }
  return UnsafeRawPointer(text.utf8Start).assumingMemoryBound(to: CChar.self)
}

/// `spectralclip_version` of the header.
@_cdecl("spectralclip_version")
public func version() -> UnsafePointer<CChar>? {
  let text: StaticString = "0.2.0"  // examples/c/check holds it against CITATION.cff
  return UnsafeRawPointer(text.utf8Start).assumingMemoryBound(to: CChar.self)
}

/// `spectralclip_float` of the header.
@_cdecl("spectralclip_float")
public func clipFloat(
  _ g: UnsafeMutablePointer<Float>?, _ rows: Int64, _ columns: Int64, _ stride: Int64,
  _ tau: Double, _ options: UnsafePointer<spectralclip_options>?,
  _ report: UnsafeMutablePointer<spectralclip_report>?
) -> Int32 {
  status { try clip(Strided<Float>(g, rows, columns, stride), tau, options, report) }
}

/// `spectralclip_double` of the header.
@_cdecl("spectralclip_double")
public func clipDouble(
  _ g: UnsafeMutablePointer<Double>?, _ rows: Int64, _ columns: Int64, _ stride: Int64,
  _ tau: Double, _ options: UnsafePointer<spectralclip_options>?,
  _ report: UnsafeMutablePointer<spectralclip_report>?
) -> Int32 {
  status { try clip(Strided<Double>(g, rows, columns, stride), tau, options, report) }
}

private func clip<Scalar>(
  _ matrix: Strided<Scalar>, _ tau: Double, _ options: UnsafePointer<spectralclip_options>?,
  _ report: UnsafeMutablePointer<spectralclip_report>?
) throws {
  guard tau >= 0 else { throw Refusal(SPECTRALCLIP_BAD_THRESHOLD) }
  let options = try Options(options)
  try requireMemory(matrix.workSpace)
  let statistics = try withSingleThreadedBLAS {
    try matrix.withEntries {
      try options.operation.clip(
        $0, at: .fixed(tau), sketch: RandomStream(seed: options.seed, name: "sketch"))
    }
  }
  report?.pointee = spectralclip_report(statistics)
}

/// `spectralclip_create_constant` of the header.
@_cdecl("spectralclip_create_constant")
public func createConstant(
  _ layers: Int64, _ tau: Double, _ options: UnsafePointer<spectralclip_options>?,
  _ handle: UnsafeMutablePointer<Int64>?
) -> Int32 {
  create(.constant(tau), layers, options, handle)
}

/// `spectralclip_create_ema` of the header.
@_cdecl("spectralclip_create_ema")
public func createEMA(
  _ layers: Int64, _ coefficient: Double, _ options: UnsafePointer<spectralclip_options>?,
  _ handle: UnsafeMutablePointer<Int64>?
) -> Int32 {
  create(.ema(coefficient: coefficient), layers, options, handle)
}

/// `spectralclip_create_quantile` of the header.
@_cdecl("spectralclip_create_quantile")
public func createQuantile(
  _ layers: Int64, _ level: Double, _ window: Int64,
  _ options: UnsafePointer<spectralclip_options>?, _ handle: UnsafeMutablePointer<Int64>?
) -> Int32 {
  guard 1...(1 << 24) ~= window else { return Int32(SPECTRALCLIP_BAD_PARAMETER) }
  return create(.quantile(level: level, window: Int(window)), layers, options, handle)
}

private func create(
  _ rule: ThresholdRule, _ layers: Int64, _ options: UnsafePointer<spectralclip_options>?,
  _ handle: UnsafeMutablePointer<Int64>?
) -> Int32 {
  status {
    let handle = try unwrap(handle)
    handle.pointee = Registry.add(try Clipper(rule, layers: layers, Options(options)))
  }
}

/// `spectralclip_step_float` of the header.
@_cdecl("spectralclip_step_float")
public func stepFloat(
  _ handle: Int64, _ gradients: UnsafePointer<spectralclip_matrix>?, _ layers: Int64,
  _ reports: UnsafeMutablePointer<spectralclip_report>?
) -> Int32 {
  status { try Registry.clipper(handle).step(gradients, layers, reports, Float.self) }
}

/// `spectralclip_step_double` of the header.
@_cdecl("spectralclip_step_double")
public func stepDouble(
  _ handle: Int64, _ gradients: UnsafePointer<spectralclip_matrix>?, _ layers: Int64,
  _ reports: UnsafeMutablePointer<spectralclip_report>?
) -> Int32 {
  status { try Registry.clipper(handle).step(gradients, layers, reports, Double.self) }
}

/// `spectralclip_save` of the header.
@_cdecl("spectralclip_save")
public func save(
  _ handle: Int64, _ bytes: UnsafeMutableRawPointer?, _ size: UnsafeMutablePointer<Int>?
)
  -> Int32
{
  status {
    let size = try unwrap(size)
    let state = try Registry.clipper(handle).saved()
    let room = size.pointee
    size.pointee = state.count
    guard let bytes else { return }
    // A size_t beyond Int.max arrives here as a negative number; no buffer is so large.
    guard room >= state.count else { throw Refusal(SPECTRALCLIP_BUFFER_TOO_SMALL) }
    state.copyBytes(to: bytes.assumingMemoryBound(to: UInt8.self), count: state.count)
  }
}

/// `spectralclip_restore` of the header.
@_cdecl("spectralclip_restore")
public func restore(_ handle: Int64, _ bytes: UnsafeRawPointer?, _ size: Int) -> Int32 {
  status {
    let bytes = try unwrap(bytes)
    let clipper = try Registry.clipper(handle)
    guard 0...(1 << 40) ~= size else { throw Refusal(SPECTRALCLIP_BAD_STATE) }
    try requireMemory(max(1, 4 * size))
    try clipper.restore(Data(bytes: bytes, count: size))
  }
}

/// `spectralclip_destroy` of the header.
@_cdecl("spectralclip_destroy")
public func destroy(_ handle: Int64) -> Int32 { status { try Registry.remove(handle) } }

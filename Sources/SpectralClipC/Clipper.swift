// SPDX-License-Identifier: Apache-2.0

import CSpectralClip
import Clipping
import Foundation
import LinearAlgebra
import Synchronization

/// What a handle stands for: one clip a layer, each with its threshold.
final class Clipper: @unchecked Sendable {
  private let lock = NSLock()
  private let options: Options
  private var layers: [LayerwiseSpectralClip]
  private var pool = WorkerPool.single
  private var process: pid_t = 0

  init(_ rule: ThresholdRule, layers: Int64, _ options: Options) throws {
    guard 1...1_000_000 ~= layers else { throw Refusal(SPECTRALCLIP_BAD_SIZE) }
    self.options = options
    self.layers = try (0..<Int(layers)).map {
      try LayerwiseSpectralClip(
        rule, options.operation, layers: ["\($0)"], seed: options.seed)
    }
  }

  /// Clips all layers; nothing is changed unless every matrix passes.
  func step<Scalar: RealScalar>(
    _ raw: UnsafePointer<spectralclip_matrix>?, _ count: Int64,
    _ reports: UnsafeMutablePointer<spectralclip_report>?, _ type: Scalar.Type
  ) throws {
    try lock.withLock {
      guard count == layers.count else { throw Refusal(SPECTRALCLIP_BAD_SIZE) }
      let matrices = try UnsafeBufferPointer(start: unwrap(raw), count: layers.count).map {
        try Strided<Scalar>($0.entries, $0.rows, $0.columns, $0.row_stride)
      }
      let ranges = matrices.map(\.addresses).sorted { $0.lowerBound < $1.lowerBound }
      for (one, next) in zip(ranges, ranges.dropFirst()) where one.upperBound > next.lowerBound {
        throw Refusal(SPECTRALCLIP_OVERLAP)
      }
      for matrix in matrices { try matrix.checkFinite() }
      let order = matrices.indices.sorted { matrices[$0].workSpace > matrices[$1].workSpace }
      try requireMemory(order.prefix(options.threads).reduce(0) { $0 + matrices[$1].workSpace })
      var updated = layers
      var outcomes = [Result<ClipStatistics, any Error>?](repeating: nil, count: layers.count)
      withSingleThreadedBLAS {
        updated.withUnsafeMutableBufferPointer { updated in
          outcomes.withUnsafeMutableBufferPointer { outcomes in
            threads().forEach(pieces: order.count) { (piece: Int) in
              let index = order[piece]
              outcomes[index] = Result {
                try matrices[index].withEntries { try updated[index].clip($0, layer: "\(index)") }
              }
            }
          }
        }
      }
      let statistics = try outcomes.compactMap { try $0?.get() }
      layers = updated
      for (index, statistics) in statistics.enumerated() {
        reports?[index] = spectralclip_report(statistics)
      }
    }
  }

  /// A forked child has none of its parent's threads and starts its own.
  private func threads() -> WorkerPool {
    let wanted = min(options.threads, layers.count)
    if wanted > 1 && process != getpid() {
      // Its threads are the parent's, so it is never stopped here.
      if process != 0 { _ = Unmanaged.passRetained(pool) }
      (pool, process) = (WorkerPool(threads: wanted), getpid())
    }
    return pool
  }

  // MARK: - State: a mark, a checksum, a property list

  private static let mark = Data("SPCLIP01".utf8)

  func saved() throws -> Data {
    let encoder = PropertyListEncoder()
    encoder.outputFormat = .binary
    let body = try lock.withLock { try encoder.encode(layers) }
    return Self.mark + withUnsafeBytes(of: Self.checksum(body).littleEndian) { Data($0) } + body
  }

  func restore(_ data: Data) throws {
    let head = Self.mark.count + 8
    guard data.count > head, data.prefix(Self.mark.count) == Self.mark else {
      throw Refusal(SPECTRALCLIP_BAD_STATE)
    }
    let body = Data(data.dropFirst(head))
    let sum = data[Self.mark.count..<head].reversed().reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
    guard sum == Self.checksum(body),
      let found = try? PropertyListDecoder().decode([LayerwiseSpectralClip].self, from: body)
    else { throw Refusal(SPECTRALCLIP_BAD_STATE) }
    try lock.withLock {
      guard found.count == layers.count,
        zip(found, layers).allSatisfy({ $0.isContinuation(of: $1) })
      else { throw Refusal(SPECTRALCLIP_BAD_STATE) }
      layers = found
    }
  }

  /// FNV-1a, 64 bits: against accidents, not against forgers.
  private static func checksum(_ data: Data) -> UInt64 {
    data.reduce(0xcbf2_9ce4_8422_2325) { ($0 ^ UInt64($1)) &* 0x100_0000_01b3 }
  }
}

/// The clippers that live, by their handles, which are never given out twice.
enum Registry {
  private static let clippers = Mutex((last: Int64(0), living: [Int64: Clipper]()))

  static func add(_ clipper: Clipper) -> Int64 {
    clippers.withLock {
      $0.last += 1
      $0.living[$0.last] = clipper
      return $0.last
    }
  }

  static func clipper(_ handle: Int64) throws -> Clipper {
    guard let clipper = clippers.withLock({ $0.living[handle] }) else {
      throw Refusal(SPECTRALCLIP_BAD_HANDLE)
    }
    return clipper
  }

  static func remove(_ handle: Int64) throws {
    guard clippers.withLock({ $0.living.removeValue(forKey: handle) }) != nil else {
      throw Refusal(SPECTRALCLIP_BAD_HANDLE)
    }
  }
}

// SPDX-License-Identifier: Apache-2.0

import Foundation
import Testing

@testable import Storage

/// A temporary folder of a test's own, removed with it.
final class Scratch {
  let path: String

  init() throws {
    path = "\(FileManager.default.temporaryDirectory.path)/storage-tests-\(UUID().uuidString)"
    try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
  }

  deinit { try? FileManager.default.removeItem(atPath: path) }

  func file(_ name: String) -> String { "\(path)/\(name)" }

  /// Everything in the folder, temporaries included, by name.
  var names: [String] {
    ((try? FileManager.default.contentsOfDirectory(atPath: path)) ?? []).sorted()
  }

  /// A file with the given bytes.
  func file(_ name: String, holding data: Data) throws -> String {
    try data.write(to: URL(fileURLWithPath: file(name)))
    return file(name)
  }
}

/// The bytes of a file.
func content(_ path: String) throws -> Data { try Data(contentsOf: URL(fileURLWithPath: path)) }

/// The one-line error that `body` throws, checked for its parts.
@discardableResult
func expectError<Result>(
  _ parts: String..., at path: String? = nil, sourceLocation: SourceLocation = #_sourceLocation,
  _ body: () throws -> Result
) -> String {
  do {
    _ = try body()
    Issue.record("no error, expected one with \(parts)", sourceLocation: sourceLocation)
    return ""
  } catch let error as StorageError {
    let line = error.description
    for part in parts where !line.contains(part) {
      Issue.record("\(line): does not say \(part)", sourceLocation: sourceLocation)
    }
    #expect(!line.contains("\n") && !error.hint.isEmpty, sourceLocation: sourceLocation)
    if let path { #expect(error.path == path, sourceLocation: sourceLocation) }
    return line
  } catch {
    Issue.record("not a StorageError: \(error)", sourceLocation: sourceLocation)
    return ""
  }
}

/// A writer that has room for `room` bytes and then fails as a full disk does.
func fullDisk(after room: Int) -> SystemCalls.Writer {
  var left = room
  return { descriptor, bytes, count in
    if left == 0 {
      errno = ENOSPC
      return -1
    }
    let written = write(descriptor, bytes, min(count, left))
    left -= max(written, 0)
    return written
  }
}

/// A record with every type, rank and kind of attribute, axes and telemetry.
func sampleRecord() -> Record {
  let steps = 200
  var record = Record(attributes: [
    "experiment": "trace-regression", "method": "spektral · τ=0.5 · 谱", "seed": 11,
    "lr": 0.125, "empty": "", "config": .string("line: 1\nline: 2\n"),
    "odd": .doubles([.nan, -0.0, .infinity, -.infinity, .leastNonzeroMagnitude]),
    "none": .doubles([]),
    "shape": .ints([3, 4, .min, .max]), "names": .strings(["α", "", "plain"]),
  ])
  record.add(
    .init(
      "step", .int64((0..<steps).map { Int64($0 * 10) }), longName: "step", units: "1",
      dimensions: ["step"]))
  record.add(
    .init(
      "bias_sq_exact", .double((0..<steps).map { 1 / Double($0 + 1) }),
      longName: "squared bias, exact", units: "1", dimensions: ["step"]))
  record.add(
    .init(
      "sigma", .float((0..<steps * 3).map { Float($0).squareRoot() }), shape: [steps, 3],
      longName: "singular values", dimensions: ["step", "layer"]))
  record.add(.init("layer", .string(["wte", "h.0 – größe", ""]), dimensions: ["layer"]))
  record.add(
    .init(
      "odd", .double([.nan, .signalingNaN, -.nan, -0.0, .infinity, .leastNonzeroMagnitude]),
      shape: [2, 1, 3]))
  record.add(.init("scalar", .double([42]), shape: []))
  record.add(.init("nothing", .float([]), shape: [0]))
  record.add(.init("nothing2", .int32([]), shape: [0, 3]))
  record.add(.init("four", .int32((0..<120).map { $0 - 60 }), shape: [2, 3, 4, 5]))
  record.add(.init("bytes", .uint8((0...255).map { $0 }), shape: [16, 16]))
  record.add(.init("größe τ", .string(["ü"]), shape: []))
  var group = Record.Group("zeta", attributes: ["note": "first added, last by name"])
  group.add(.init("x", .double([1, 2, 3]), units: "s", dimensions: ["layer"]))
  record[group: "zeta"] = group
  record[group: "alpha"] = Record.Group("alpha")
  record.telemetry.attributes["host"] = "somewhere"
  record.telemetry.add(.init("seconds", .double([0.25, 0.5]), units: "s"))
  return record
}

// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Foundation
import LinearAlgebra
import Storage

/// `spectral info`: what a file holds, or what this program runs on.
struct Info: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "List the tensors of a file or what a record holds; without FILE, the environment.")

  @Argument(help: "A safetensors file, an HDF5 file, or a record of this suite.")
  var file: String?

  func run() throws {
    for line in try lines() { try Terminal.line(line) }
  }

  private func lines() throws -> [String] {
    guard let file else { return try Self.environment() }
    let tensors = try TensorFile(file)
    var rest: [String] = []
    if tensors.isRecord {
      do {
        return Self.record(try Record.read(from: file), path: file)
      } catch let error as StorageError {
        rest = ["no record: \(error.what)"]
      }
    }
    return Self.tensors(of: tensors)
      + tensors.metadata.map { "metadata \($0.name): \(abbreviated($0.value))" } + rest
  }

  // MARK: - The environment

  static func environment() throws -> [String] {
    // LAPACK may be mapped into the process by its first call only.
    _ = try singularValues(Matrix<Double>.identity(4))
    let blas = BLASEnvironment.pinned()
    let coreType = ProcessInfo.processInfo.environment["OPENBLAS_CORETYPE"] ?? ""
    var table = TextTable(.left, .left)
    table.add("BLAS core", blas.core)
    table.add("BLAS build", blas.config)
    table.add("BLAS threads", "\(blas.threads)")
    table.add("LAPACK library", blas.lapackLibrary)
    table.add("OPENBLAS_CORETYPE", coreType.isEmpty ? "not set" : coreType)
    table.add("warning", blas.warning ?? "none")
    return table.lines
  }

  // MARK: - Tensor files

  static func tensors(of file: TensorFile) -> [String] {
    var table = TextTable(.left, .left, .right, .left)
    for entry in file.entries {
      table.add(
        entry.name, entry.type.name, shapeText(entry.shape), entry.obstacle ?? entry.rounding ?? "")
    }
    // In double: what tensors claim together may exceed what an integer holds.
    let elements = file.entries.reduce(0.0) { $0 + Double($1.count) }
    let bytes = file.entries.reduce(Double?(0)) { sum, entry in
      sum.flatMap { sum in entry.type.width.map { sum + Double(entry.count) * Double($0) } }
    }
    func text(_ number: Double) -> String { String(format: "%.0f", number) }
    let total =
      "total \(counted(file.entries.count, "tensor", "tensors")), "
      + "\(text(elements)) \(elements == 1 ? "element" : "elements")"
      + (bytes.map { ", \(text($0)) bytes" } ?? "")
    return ["\(file.path): \(file.format.rawValue)"] + table.lines + [total]
  }

  // MARK: - Records

  static func record(_ record: Record, path: String) -> [String] {
    let groups = record.groups.filter { $0.name != Record.telemetryName }
    let dataSets = record.root.dataSets.count + groups.reduce(0) { $0 + $1.dataSets.count }
    var lines = ["\(path): record (\(Record.schema))"]
    for group in [record.root] + groups { lines += Self.lines(of: group) }
    lines.append("total \(counted(dataSets, "data set", "data sets"))")
    if let telemetry = record[group: Record.telemetryName] { lines += Self.lines(of: telemetry) }
    return lines
  }

  private static func lines(of group: Record.Group) -> [String] {
    let indent = group.name.isEmpty ? "" : "  "
    var attributes = TextTable(.left, .left)
    for attribute in group.attributes {
      attributes.add(attribute.name, abbreviated(attribute.value.description))
    }
    var dataSets = TextTable(.left, .left, .right, .left, .left, .left)
    for dataSet in group.dataSets {
      dataSets.add(
        dataSet.name, dataSet.values.typeName, shapeText(dataSet.shape), dataSet.values.range,
        dataSet.units.isEmpty ? "" : "[\(dataSet.units)]", dataSet.longName)
    }
    let title = group.name.isEmpty ? [] : ["group \(group.name)"]
    return title + (attributes.lines + dataSets.lines).map { indent + $0 }
  }
}

extension Record.Values {
  /// `0.5 … 3`, `2 NaN` where there are some, the first text, or `empty`.
  fileprivate var range: String {
    func span<Number: Comparable>(_ values: [Number], _ show: (Number) -> String) -> String {
      guard let low = values.min(), let high = values.max() else { return "empty" }
      return low == high ? show(low) : "\(show(low)) … \(show(high))"
    }
    func span<Real: BinaryFloatingPoint>(reals values: [Real]) -> String {
      let numbers = values.filter { !$0.isNaN }
      let nans = values.count - numbers.count
      if nans == 0 { return span(numbers) { short(Double($0)) } }
      return (numbers.isEmpty ? "" : span(numbers) { short(Double($0)) } + ", ") + "\(nans) NaN"
    }
    switch self {
    case .double(let values): return span(reals: values)
    case .float(let values): return span(reals: values)
    case .int64(let values): return span(values) { "\($0)" }
    case .int32(let values): return span(values) { "\($0)" }
    case .uint8(let values): return span(values) { "\($0)" }
    case .string(let values):
      return values.first.map { abbreviated("\"\($0)\"", limit: 24) } ?? "empty"
    }
  }
}

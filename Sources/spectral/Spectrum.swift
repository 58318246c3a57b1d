// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Foundation
import LinearAlgebra
import Storage

/// `spectral spectrum`: the singular values of the matrices in a file.
struct Spectrum: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Print the singular values of the matrices in a file, largest first.",
    discussion: """
      Computed in double precision. The effective rank is exp(H), where H is the entropy \
      -sum p ln p of the normalised squared singular values p_i = s_i²/sum s²: r equal values \
      give r; a matrix of zeros gives 0. With --json one object: {"file", "tensors": [{"name", \
      "shape", "dtype", "singular_values", "frobenius_norm", "effective_rank"}]}, tensors in the \
      order of the file; a number beyond the range of a double is null. With --svg the spectra are drawn as well, on a \
      logarithmic axis over the index: the seven with the largest singular values.
      """)

  @Argument(help: "An HDF5 or safetensors file.")
  var input: String
  @Option(
    parsing: .unconditional,
    help: "How many singular values to print (default: 8 in the table, all with --json).")
  var top: Int?
  @Flag(help: "Print one JSON object.")
  var json = false
  @Option(help: "Draw the spectra into this SVG file; missing folders are created.")
  var svg: String?
  @Option(help: TensorSelection.help)
  var tensors = TensorSelection.matrices

  func validate() throws {
    if let top, top < 1 { throw ValidationError("--top \(top): use a whole number >= 1") }
  }

  func run() throws {
    if let svg { try AtomicFile.checkPlace(svg) }
    let file = try TensorFile(input)
    let spectra = try tensors.entries(of: file).map { entry in
      try withTensor(entry, of: file) { try MatrixSpectrum(entry, $0) }
    }
    if let svg {
      let picture = try SpectrumPicture(
        title: URL(fileURLWithPath: input).lastPathComponent, spectra, at: input)
      try AtomicFile.write(picture.text, to: svg)
      if picture.left > 0 {
        note("note: \(svg): \(picture.left) more with smaller singular values are not drawn")
      }
    }
    if json {
      try Terminal.line(Self.json(file: input, spectra, top: top ?? .max), beside: svg ?? "")
    } else if !spectra.isEmpty {
      for line in Self.table(spectra, top: top ?? 8).lines {
        try Terminal.line(line, beside: svg ?? "")
      }
    }
  }

  static func table(_ spectra: [MatrixSpectrum], top: Int) -> TextTable {
    var table = TextTable([
      ("tensor", .left), ("shape", .right), ("type", .left), ("norm", .right),
      ("eff. rank", .right), ("singular values", .left),
    ])
    for spectrum in spectra {
      let shown = spectrum.values.prefix(top).map(short).joined(separator: " ")
      let rest = spectrum.values.count - min(top, spectrum.values.count)
      table.add(
        spectrum.entry.name, shapeText(spectrum.entry.shape), spectrum.entry.type.name,
        short(spectrum.frobeniusNorm), short(spectrum.effectiveRank),
        rest > 0 ? "\(shown) … \(rest) more" : shown)
    }
    return table
  }

  static func json(file: String, _ spectra: [MatrixSpectrum], top: Int) -> String {
    let tensors = spectra.map { spectrum in
      let shape = spectrum.entry.shape.map(String.init).joined(separator: ",")
      let values = spectrum.values.prefix(top).map(number).joined(separator: ",")
      return "{\"name\":\(quoted(spectrum.entry.name)),\"shape\":[\(shape)],"
        + "\"dtype\":\(quoted(spectrum.entry.type.name)),\"singular_values\":[\(values)],"
        + "\"frobenius_norm\":\(number(spectrum.frobeniusNorm)),"
        + "\"effective_rank\":\(number(spectrum.effectiveRank))}"
    }
    return "{\"file\":\(quoted(file)),\"tensors\":[\(tensors.joined(separator: ","))]}"
  }

  /// The shortest digits that give the same double again.
  private static func number(_ value: Double) -> String { value.isFinite ? "\(value)" : "null" }

  private static func quoted(_ text: String) -> String {
    var result = "\""
    for scalar in text.unicodeScalars {
      switch scalar {
      case "\"", "\\": result += "\\\(scalar)"
      case let control where control.value < 0x20:
        result += String(format: "\\u%04x", control.value)
      default: result.unicodeScalars.append(scalar)
      }
    }
    return result + "\""
  }
}

/// The singular values of one tensor's matrix and what follows from them.
struct MatrixSpectrum {
  let entry: TensorEntry
  /// σ_1 >= σ_2 >= …; empty for an empty matrix.
  let values: [Double]
  let frobeniusNorm: Double

  init(_ entry: TensorEntry, _ values: TensorValues) throws {
    let work =
      switch values {
      case .float(let values): matrix(values, shape: entry.shape).converted(to: Double.self)
      case .double(let values): matrix(values, shape: entry.shape)
      }
    try work.checkFinite()
    self.entry = entry
    self.values = try singularValues(work)
    frobeniusNorm = work.frobeniusNorm
  }

  /// exp of the entropy of σ_i²/Σσ²; 0 where all σ are 0.
  var effectiveRank: Double { LinearAlgebra.effectiveRank(ofSingularValues: values) }
}

// SPDX-License-Identifier: Apache-2.0

import Clipping
import Foundation
import LinearAlgebra
import Storage
import Testing

/// The built `spectral`, run as a user runs it.
@Suite struct SpectralToolTests {
  let tool: SpectralTool

  init() throws {
    tool = try SpectralTool()
    // As the tool does: the last bits of a product depend on the number of BLAS threads.
    #expect(BLASEnvironment.pinned().threads == 1)
  }

  /// What the library makes of the tensor, in the tensor's precision.
  private func expected(
    _ tensor: TensorFile.Tensor, by clip: SpectralClip, at tau: Double, seed: UInt64
  ) throws -> TensorValues {
    let (rows, columns) = SpectralClip.matrixShape(of: tensor.shape)
    func clipped<Scalar: RealScalar>(_ values: [Scalar]) throws -> [Scalar] {
      var matrix = Matrix(rows: rows, columns: columns, elements: values)
      let sketch = RandomStream(seed: seed, name: "sketch/\(tensor.name)")
      try clip.clip(&matrix, at: tau, sketch: sketch)
      return matrix.elements
    }
    switch tensor.values {
    case .float(let values): return .float(try clipped(values))
    case .double(let values): return .double(try clipped(values))
    }
  }

  /// The bits, so that equal means equal.
  private func bits(_ values: TensorValues) -> [UInt64] {
    switch values {
    case .float(let values): values.map { UInt64($0.bitPattern) }
    case .double(let values): values.map(\.bitPattern)
    }
  }

  // MARK: - clip

  @Test(arguments: [TensorFile.Format.safetensors, .hdf5], ["exact", "randomized"])
  func clipIsTheLibrarysClip(format: TensorFile.Format, method: String) throws {
    let randomized = method == "randomized"
    let clip =
      try randomized
      ? SpectralClip.randomized(rank: 2, oversampling: 1, powerIterations: 3) : .exact
    let options =
      randomized ? "--rank 2 --oversampling 1 --power-iterations 3 --seed 42".words : []
    for (selection, chosen) in [
      ("matrices", ["layer/w", "layer/d", "small", "none"]),
      ("all", ["layer/w", "layer/d", "small", "conv", "bias", "none"]),
    ] {
      let input = try tool.write("in-\(selection)", format)
      let output = tool.file("new/folder/\(selection)")
      let run = try tool.run(
        ["clip", input, "--tau", "1.5", "--tensors", selection, "--method", method]
          + options + ["--out", output])
      #expect(run.status == 0, "\(run)")
      let (before, after) = (try TensorFile(input), try TensorFile(output))
      #expect(after.format == format && after.entries == before.entries)
      for tensor in SpectralTool.tensors {
        let want =
          chosen.contains(tensor.name)
          ? try expected(tensor, by: clip, at: 1.5, seed: 42) : tensor.values
        let got = try after.values(tensor.name)
        #expect(bits(got) == bits(want), "\(tensor.name), \(selection), \(format), \(method)")
        let inTable = run.output.contains { $0.hasPrefix("\(tensor.name) ") }
        #expect(inTable == chosen.contains(tensor.name), "\(tensor.name): \(run)")
      }
      // Norm clipping of (3, -4, 0, 0, 12), whose norm is 13.
      if selection == "all" {
        let line = run.output.first { $0.hasPrefix("bias") }
        #expect(line?.words == "bias 5 13 1.5 1/1 13 -> 1.5".words, "\(run)")
      }
    }
  }

  @Test func outputMayBeTheInput() throws {
    let (input, output) = (try tool.write("in"), tool.file("out"))
    #expect(try tool.run("clip", input, "--tau", "0.5", "--out", output).status == 0)
    #expect(try content(input) != content(output))
    #expect(try tool.run("clip", input, "--tau", "0.5", "--out", input).status == 0)
    #expect(try content(input) == content(output))
  }

  @Test(arguments: [TensorFile.Format.safetensors, .hdf5])
  func whatNeedsNoClipStaysBitForBit(format: TensorFile.Format) throws {
    let (input, output) = (try tool.write("in", format), tool.file("out"))
    let run = try tool.run("clip", input, "--tau", "inf", "--tensors", "all", "--out", output)
    #expect(run.status == 0, "\(run)")
    #expect(try content(input) == content(output))
  }

  @Test func aFileWithoutMatricesIsCopiedAndSaidToBeOne() throws {
    let (input, output) = (tool.file("in"), tool.file("out"))
    try TensorFile.write(
      [.init("bias", shape: [2], .float([3, 4]))], format: .safetensors, to: input)
    let run = try tool.run("clip", input, "--tau", "1", "--out", output)
    #expect(run.status == 0 && run.errors == ["note: \(input): no matrices, 1 other tensor"])
    #expect(try content(input) == content(output))
  }

  // MARK: - Faults

  @Test func faultsOfFilesAreOneLineAndLeaveTheOutputAlone() throws {
    let whole = try content(tool.write("whole"))
    let hdf5 = try content(tool.write("whole.h5", .hdf5))
    var hugeHeader = whole
    hugeHeader.replaceSubrange(0..<8, with: [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f])
    let faults: [(name: String, data: Data?, says: String)] = [
      ("missing", nil, "no such file"),
      ("empty", Data(), "empty file"),
      ("cut", whole.dropLast(9), "get the file again"),
      ("cut-header", whole.prefix(40), "get the file again"),
      ("huge-header", hugeHeader, "header"),
      ("wrong-magic", Data("not a file of tensors".utf8), "neither HDF5 nor safetensors"),
      ("cut.h5", hdf5.prefix(hdf5.count / 2), "whole HDF5 file"),
    ]
    let output = tool.file("out")
    try Data("precious".utf8).write(to: URL(fileURLWithPath: output))
    for (name, data, says) in faults {
      let input = tool.file(name)
      if let data { try data.write(to: URL(fileURLWithPath: input)) }
      let before = tool.names
      for arguments in [
        ["clip", input, "--tau", "1", "--out", output], ["spectrum", input], ["info", input],
      ] {
        let run = try tool.run(arguments)
        expectFault(run, says, input)
        #expect(run.output.isEmpty, "\(run)")
      }
      #expect(tool.names == before)
    }
    #expect(try content(output) == Data("precious".utf8))
  }

  @Test(arguments: [TensorFile.Format.safetensors, .hdf5])
  func entriesThatAreNotFiniteAreNamed(format: TensorFile.Format) throws {
    let (input, output) = (tool.file("in"), tool.file("out"))
    var values = [Double](repeating: 1, count: 12)
    values[2 * 4 + 1] = .nan
    let matrices: [TensorFile.Tensor] = [
      .init("good", shape: [1, 2], .float([3, 4])), .init("bad", shape: [3, 4], .double(values)),
    ]
    try TensorFile.write(matrices, format: format, to: input)
    for method in [[], "--method randomized --rank 1".words] {
      let run = try tool.run(["clip", input, "--tau", "1", "--out", output] + method)
      expectFault(run, "bad", "row 2, column 1", input)
    }
    expectFault(try tool.run("spectrum", input), "bad", "row 2, column 1", input)
    #expect(tool.names == ["in"])
  }

  @Test func aFolderThatCannotBeWritten() throws {
    let input = try tool.write("in")
    let underAFile = "\(input)/out"
    expectFault(try tool.run("clip", input, "--tau", "1", "--out", underAFile), "not a folder")
    // The superuser may write anywhere.
    if geteuid() != 0 {
      let folder = tool.file("locked")
      try FileManager.default.createDirectory(
        atPath: folder, withIntermediateDirectories: false, attributes: [.posixPermissions: 0o555])
      let run = try tool.run("clip", input, "--tau", "1", "--out", "\(folder)/out")
      expectFault(run, "permission denied")
    }
    #expect(tool.names.filter { $0 != "locked" } == ["in"])
  }

  @Test(arguments: [
    ("--tau -1", "--tau -1"), ("--tau nan", "--tau nan"), ("", "--tau"),
    ("--tau 1 --rank 3", "--rank"), ("--tau 1 --oversampling 3", "--oversampling"),
    ("--tau 1 --power-iterations 3", "--power-iterations"), ("--tau 1 --seed 3", "--seed"),
    ("--tau 1 --method randomized", "--rank"),
    ("--tau 1 --method randomized --rank 0", "--rank 0"),
    ("--tau 1 --method randomized --rank 2 --oversampling -1", "--oversampling -1"),
    ("--tau 1 --method randomized --rank 2 --power-iterations -1", "--power-iterations -1"),
    ("--tau 1 --method other", "other"),
  ])
  func wrongUsage(options: String, says: String) throws {
    let input = try tool.write("in")
    let run = try tool.run(["clip", input, "--out", tool.file("out")] + options.words)
    #expect(run.status == 64 && run.errors.first?.contains(says) == true, "\(run)")
    #expect(tool.names == ["in"])
  }

  @Test func theRandomizedClipSaysWhatItLeaves() throws {
    var values = [Float](repeating: 0, count: 36)
    for i in 0..<6 { values[7 * i] = Float(9 - i) }
    let input = tool.file("in")
    try TensorFile.write(
      [.init("w", shape: [6, 6], .float(values))], format: .safetensors, to: input)
    func run(_ rank: String) throws -> SpectralTool.Run {
      try tool.run(
        ["clip", input, "--tau", "1", "--out", tool.file("out"), "--rank", rank]
          + "--method randomized".words)
    }
    #expect(try run("2").output.contains { $0.hasPrefix("w: at least 4 more above tau remain") })
    #expect(try !run("6").output.contains { $0.contains("remain") })
  }

  // MARK: - spectrum

  @Test func spectrumAsJSON() throws {
    let input = tool.file("a \"quoted\"\n\u{1} name")
    let matrices: [TensorFile.Tensor] = [
      .init("z", shape: [2, 3], .float([0, 4, 0, 3, 0, 0])),
      .init("a", shape: [3, 3], .double([2, 0, 0, 0, -2, 0, 0, 0, 2])),
      .init("none", shape: [0, 4], .float([])), .init("zero", shape: [2, 1], .float([0, 0])),
      .init("vector", shape: [2], .float([3, 4])),
    ]
    try TensorFile.write(matrices, format: .safetensors, to: input)
    let spectra = try spectra(input, "--tensors", "all")
    #expect(spectra.file == input)
    #expect(spectra.tensors.map(\.name) == ["z", "a", "none", "zero", "vector"])
    #expect(spectra.tensors.map(\.dtype) == ["F32", "F64", "F32", "F32", "F32"])
    #expect(spectra.tensors.map(\.shape) == [[2, 3], [3, 3], [0, 4], [2, 1], [2]])
    let entropy = -(0.64 * log(0.64) + 0.36 * log(0.36))
    let wanted: [(sigma: [Double], norm: Double, rank: Double)] = [
      ([4, 3], 5, exp(entropy)), ([2, 2, 2], 12.0.squareRoot(), 3), ([], 0, 0), ([0], 0, 0),
      ([5], 5, 1),
    ]
    for (got, want) in zip(spectra.tensors, wanted) {
      // One nonzero entry a row and column: a few roundings of norms and scalings, no more.
      #expect(got.singular_values.count == want.sigma.count)
      for (value, sigma) in zip(got.singular_values, want.sigma) {
        #expect(abs(value - sigma) <= 8 * sigma.ulp, "\(got)")
      }
      #expect(abs(got.frobenius_norm - want.norm) <= 8 * want.norm.ulp, "\(got)")
      #expect(abs(got.effective_rank - want.rank) <= 32 * want.rank.ulp, "\(got)")
    }
    let counts = try self.spectra(input, "--top", "1").tensors.map(\.singular_values.count)
    #expect(counts == [1, 1, 0, 1])
  }

  @Test func spectrumOfAFileWithoutMatrices() throws {
    let input = tool.file("in")
    try TensorFile.write([], format: .safetensors, to: input)
    #expect(try spectra(input).tensors.isEmpty)
    let table = try tool.run("spectrum", input)
    #expect(table.status == 0 && table.output.isEmpty && table.errors.count == 1, "\(table)")
    #expect(try tool.run("spectrum", input, "--top", "0").status == 64)
  }

  private struct Spectra: Decodable {
    struct Tensor: Decodable {
      let name: String
      let shape: [Int]
      let dtype: String
      let singular_values: [Double]
      let frobenius_norm: Double
      let effective_rank: Double
    }
    let file: String
    let tensors: [Tensor]
  }

  private func spectra(_ input: String, _ options: String...) throws -> Spectra {
    let run = try tool.run(["spectrum", input, "--json"] + options)
    #expect(run.status == 0, "\(run)")
    return try JSONDecoder().decode(
      Spectra.self, from: Data(run.output.joined(separator: "\n").utf8))
  }

  // MARK: - info

  @Test func infoListsTensorsAndMetadata() throws {
    let input = tool.file("in")
    try SafetensorsFile.write(
      [
        SafetensorsTensor("w", shape: [2, 3], floats: [1, 2, 3, 4, 5, 6], as: .bf16),
        SafetensorsTensor("ids", shape: [4], ints: [1, 2, 3, 4]),
      ], metadata: [.init(name: "format", value: "pt")], to: input)
    #expect(
      try tool.run("info", input).output.map(\.words) == [
        ["\(input):", "safetensors"], ["w", "BF16", "2×3"], ["ids", "I64", "4"],
        "total 2 tensors, 10 elements, 44 bytes".words, "metadata format: pt".words,
      ])
    let plain = try tool.run("info", tool.write("in.h5", .hdf5))
    #expect(plain.status == 0 && plain.output.first?.hasSuffix(": HDF5") == true, "\(plain)")
    #expect(plain.output.contains { $0.words == ["layer/w", "F32", "9×6"] }, "\(plain)")
  }

  @Test func infoShowsARecord() throws {
    let path = tool.file("a.h5")
    try record(value: 0.5).write(to: path)
    let lines = try tool.run("info", path).output.map(\.words)
    #expect(lines.contains(["seed", "11"]), "\(lines)")
    #expect(
      lines.contains("bias double 3 0.5 … 2, 1 NaN [1] squared bias".words), "\(lines)")
    #expect(lines.contains { $0.first == "config" && $0.contains("…") && $0.count < 80 })
    #expect(lines.suffix(2) == [["group", "telemetry"], ["seconds", "1.25"]], "\(lines)")
  }

  @Test func infoWithoutAFileIsTheEnvironment() throws {
    let run = try tool.run(["info"], environment: ["OPENBLAS_CORETYPE": "Haswell"])
    #expect(run.status == 0)
    #expect(run.output.contains { $0.words == ["BLAS", "threads", "1"] }, "\(run)")
    #expect(run.output.contains { $0.words == ["OPENBLAS_CORETYPE", "Haswell"] }, "\(run)")
    #expect(run.errors.first?.hasPrefix("warning: OPENBLAS_CORETYPE=Haswell") == true, "\(run)")
  }

  // MARK: - diff

  private func record(value: Double, seconds: Double = 1.25) -> Record {
    var record = Record(attributes: [
      "seed": 11, "config": .string(String(repeating: "steps: 1\n", count: 100)),
    ])
    record.add(.init("bias", .double([value, .nan, 2]), longName: "squared bias", units: "1"))
    record.telemetry.attributes["seconds"] = .double(seconds)
    return record
  }

  @Test func diffOfRecordsAndFolders() throws {
    let (a, b) = (tool.file("a"), tool.file("b"))
    for name in ["x.h5", "deep/y.h5"] {
      try record(value: 0.5).write(to: "\(a)/\(name)")
      try record(value: 0.5, seconds: 9).write(to: "\(b)/\(name)")
    }
    var run = try tool.run("diff", a, b)
    #expect(run.status == 0 && run.output == ["equal: 2 records"], "\(run)")
    run = try tool.run("diff", "\(a)/x.h5", "\(b)/x.h5")
    #expect(run.status == 0 && run.output == ["equal: 1 record"], "\(run)")

    try record(value: 0.25).write(to: "\(b)/deep/y.h5")
    try record(value: 0.25).write(to: "\(b)/z.h5")
    run = try tool.run("diff", a, b)
    #expect(run.status == 1 && run.output.count == 2, "\(run)")
    #expect(run.output.first?.hasPrefix("deep/y.h5: bias[0]: 0.5 ") == true, "\(run)")
    #expect(run.output.last == "z.h5: only in \(b)", "\(run)")
    run = try tool.run("diff", b, a)
    #expect(run.status == 1 && run.output.last == "z.h5: only in \(b)", "\(run)")
    run = try tool.run("diff", "\(a)/deep/y.h5", "\(b)/deep/y.h5")
    #expect(run.status == 1 && run.output.count == 1, "\(run)")
  }

  @Test func diffOfNothingIsAFault() throws {
    let folder = tool.file("folder")
    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    expectFault(try tool.run("diff", folder, folder), "no records")
    expectFault(try tool.run("diff", folder, tool.file("missing")), "missing", "no such file")
    let file = try tool.write("plain.h5", .hdf5)
    expectFault(try tool.run("diff", folder, file), "a folder")
    expectFault(try tool.run("diff", file, file), "not a record")
  }
}

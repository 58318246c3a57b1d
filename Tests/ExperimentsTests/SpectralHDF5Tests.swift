// SPDX-License-Identifier: Apache-2.0

import Foundation
import Storage
import Testing

/// What the built `spectral` does with HDF5 files that are odd, damaged or made to do harm.
@Suite struct SpectralHDF5Tests {
  let tool: SpectralTool

  init() throws { tool = try SpectralTool() }

  /// A file of 2×3 floats in HDF5's first format (h5py, libver "earliest"), one bit of it changed.
  private func damaged(byte: Int, bit: Int) throws -> String {
    let whole = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
      .appendingPathComponent("Goldens/hdf5-1.0-format.h5")
    var data = try Data(contentsOf: whole)
    data[byte] ^= 1 << UInt8(bit)
    let path = tool.file("damaged.h5")
    try data.write(to: URL(fileURLWithPath: path))
    return path
  }

  /// HDF5 1.10.8 ends by a signal when it reads the values; a library that does not may as well read them.
  @Test(arguments: [0, 1], ["spectrum", "clip"])
  func aCrashOfTheLibraryIsOneLine(bit: Int, command: String) throws {
    let path = try damaged(byte: 920, bit: bit)
    let output = tool.file("out.h5")
    let run = try tool.run(
      [command, path] + (command == "clip" ? ["--tau", "1", "--out", output] : []))
    guard run.status != 0 else { return #expect(run.errors.allSatisfy { $0.hasPrefix("note: ") }) }
    expectFault(run, path)
    #expect(tool.names == ["damaged.h5"])
  }

  @Test func damagedRecordsAreOneLine() throws {
    let path = tool.file("a.h5")
    var record = Record(attributes: ["title": "a title among the texts"])
    record.add(.init("x", .double([1, 2, 3])))
    try record.write(to: path)
    var data = try content(path)
    let title = try #require(data.range(of: Data("a title".utf8)))
    data[title.lowerBound] ^= 1
    try data.write(to: URL(fileURLWithPath: path))
    expectFault(try tool.run("diff", path, path), "damaged: its checksum does not match")
    try data.prefix(data.count / 2).write(to: URL(fileURLWithPath: path))
    expectFault(try tool.run("diff", path, path), path)
  }

  @Test(arguments: [TensorFile.Format.hdf5, .safetensors])
  func clipTellsSpellingsOfANameApart(format: TensorFile.Format) throws {
    let (composed, combining) = ("w\u{e9}", "we\u{301}")
    let (input, output) = (tool.file("in"), tool.file("out"))
    try TensorFile.write(
      [
        .init(composed, shape: [2, 2], .double([4, 0, 0, 0.5])),
        .init(combining, shape: [1, 3], .double([0.25, 0, 0])),
      ], format: format, to: input)
    let run = try tool.run("clip", input, "--tau", "1", "--out", output)
    #expect(run.status == 0, "\(run)")
    #expect(try TensorFile(output).doubles(composed) == [1, 0, 0, 0.5])
    #expect(try TensorFile(output).doubles(combining) == [0.25, 0, 0])
  }

  @Test(arguments: [TensorFile.Format.hdf5, .safetensors])
  func aFileOfManyTensors(format: TensorFile.Format) throws {
    let count = 3000
    let (input, output) = (tool.file("in"), tool.file("out"))
    try TensorFile.write(
      (0..<count).map { .init("layer\($0)", shape: [1, 2], .float([Float($0), 0])) },
      format: format, to: input)
    let run = try tool.run("clip", input, "--tau", "100", "--out", output)
    #expect(run.status == 0 && run.output.count == count + 3, "\(run.errors)")
    let file = try TensorFile(output)
    #expect(try file.floats("layer7") == [7, 0] && file.floats("layer2999") == [100, 0])
  }
}

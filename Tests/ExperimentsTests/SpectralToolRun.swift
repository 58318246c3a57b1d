// SPDX-License-Identifier: Apache-2.0

import Foundation
import LinearAlgebra
import Storage
import Testing

/// The executable beside the tests, and a temporary folder of a test's own.
final class SpectralTool {
  let executable: URL
  let folder: String

  init() throws {
    executable = try Self.find()
    folder = "\(FileManager.default.temporaryDirectory.path)/spectral-tool-\(UUID().uuidString)"
    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
  }

  deinit { try? FileManager.default.removeItem(atPath: folder) }

  func file(_ name: String) -> String { "\(folder)/\(name)" }

  /// Everything in the folder, temporaries included, by name.
  var names: [String] {
    ((try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []).sorted()
  }

  /// Products lie in the folder of the test bundle, which the test process was started from.
  private static func find() throws -> URL {
    for argument in CommandLine.arguments where argument.contains(".xctest") {
      var place = URL(fileURLWithPath: argument)
      while place.path != "/" {
        place.deleteLastPathComponent()
        let candidate = place.appendingPathComponent("spectral")
        var isFolder: ObjCBool = false
        if FileManager.default.fileExists(atPath: candidate.path, isDirectory: &isFolder),
          !isFolder.boolValue
        {
          return candidate
        }
      }
    }
    throw ToolMissing()
  }

  struct ToolMissing: Error, CustomStringConvertible {
    var description: String { "no executable spectral beside \(CommandLine.arguments)" }
  }

  // MARK: - A file to work on

  /// Two matrices, one within tau = 1.5, and what a clip of matrices leaves alone.
  static var tensors: [TensorFile.Tensor] {
    let stream = RandomStream(seed: 7, name: "spectral-tool-tests")
    return [
      .init("layer/w", shape: [9, 6], .float(stream.normals(54))),
      .init("layer/d", shape: [4, 11], .double(stream.normals(44))),
      .init("small", shape: [2, 3], .double([0.1, 0, 0, 0, 0.2, 0])),
      .init("conv", shape: [4, 2, 3], .float(stream.normals(24, from: 100))),
      .init("bias", shape: [5], .float([3, -4, 0, 0, 12])),
      .init("scalar", shape: [], .double([9])),
      .init("none", shape: [0, 4], .float([])),
    ]
  }

  /// Writes them as a file of the folder and returns its path.
  @discardableResult
  func write(_ name: String, _ format: TensorFile.Format = .safetensors) throws -> String {
    let path = file(name)
    try TensorFile.write(Self.tensors, format: format, to: path)
    return path
  }

  // MARK: - Running

  /// What a run left: exit status and the lines of both outputs.
  struct Run {
    let status: Int32
    let output: [String]
    let errors: [String]
  }

  func run(_ arguments: String...) throws -> Run { try run(arguments) }

  /// Runs the tool with the BLAS kernels of this process, so that results can be equal to the last bit; an
  /// OPENBLAS_CORETYPE that is given adds a warning.
  func run(
    _ arguments: [String], environment extra: [String: String] = [:]
  ) throws -> Run {
    var environment = ProcessInfo.processInfo.environment
    let core = BLASEnvironment.pinned().core
    environment["OPENBLAS_CORETYPE"] = core
    environment["SPECTRAL_BLAS_KERNELS"] = extra["OPENBLAS_CORETYPE"] == nil ? core : nil
    environment.merge(extra) { $1 }
    let process = Process()
    process.executableURL = executable
    process.arguments = arguments
    process.environment = environment
    // Files, not pipes: nothing can fill up, whatever is written.
    let (output, errors) = (try Capture(), try Capture())
    process.standardInput = FileHandle.nullDevice
    process.standardOutput = output.handle
    process.standardError = errors.handle
    try process.run()
    process.waitUntilExit()
    #expect(process.terminationReason == .exit, "\(arguments) crashed")
    return Run(
      status: process.terminationStatus, output: try output.lines(), errors: try errors.lines())
  }

  /// A file outside the test's folder that takes one output of the process.
  private struct Capture {
    let path = "\(FileManager.default.temporaryDirectory.path)/spectral-out-\(UUID().uuidString)"
    let handle: FileHandle

    init() throws {
      try Data().write(to: URL(fileURLWithPath: path))
      handle = try FileHandle(forWritingTo: URL(fileURLWithPath: path))
    }

    func lines() throws -> [String] {
      try handle.close()
      let text = String(decoding: try content(path), as: UTF8.self)
      try FileManager.default.removeItem(atPath: path)
      return text.split(separator: "\n").map(String.init)
    }
  }
}

extension String {
  /// The parts between spaces.
  var words: [String] { split(separator: " ").map(String.init) }
}

/// The bytes of a file.
func content(_ path: String) throws -> Data { try Data(contentsOf: URL(fileURLWithPath: path)) }

/// Exit status 1 and one line on standard error with all `parts`.
func expectFault(
  _ run: SpectralTool.Run, _ parts: String..., sourceLocation: SourceLocation = #_sourceLocation
) {
  #expect(run.status == 1 && run.errors.count == 1, "\(run)", sourceLocation: sourceLocation)
  for part in parts {
    #expect(
      run.errors.first?.contains(part) == true, "\(part): \(run)", sourceLocation: sourceLocation)
  }
}

extension SpectralTool {
  /// That `grad` printed the loss and wrote exactly the gradients that a golden file has as "gradient.NAME"; a gradient smaller
  /// than `floor` counts as that.
  func expectGradients(
    _ run: Run, of golden: String, loss lossTolerance: Double, within tolerance: Double,
    floor: Double = 0
  ) throws {
    let want = try SafetensorsFile(golden)
    let found = try SafetensorsFile(file("g.safetensors"))
    let line = try #require(run.output.first)
    let json = try #require(
      JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: Double])
    let loss = try want.doubles("loss")[0]
    #expect(abs((json["loss"] ?? .nan) - loss) <= lossTolerance * loss)
    #expect(
      found.entries.map { "gradient." + $0.name }.sorted()
        == want.entries.map(\.name).filter { $0.hasPrefix("gradient.") }.sorted())
    for entry in found.entries {
      let name = "gradient.\(entry.name)"
      let (got, golden) = (try found.floats(entry.name), try want.floats(name))
      #expect(try want.entry(name).shape == entry.shape)
      let size = golden.reduce(0) { $0 + Double($1 * $1) }.squareRoot()
      let error = zip(got, golden).reduce(0) { $0 + pow(Double($1.0 - $1.1), 2) }.squareRoot()
      #expect(error <= tolerance * max(size, floor), "\(entry.name): \(error) of \(size)")
    }
  }
}

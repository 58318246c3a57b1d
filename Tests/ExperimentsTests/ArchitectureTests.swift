// SPDX-License-Identifier: Apache-2.0

import Foundation
import Testing

@testable import Lab

/// Where code belongs (CONTRIBUTING.md), as far as a search over the sources can see it.
@Suite struct ArchitectureTests {
  @Test func theVersionIsTheSameEverywhere() throws {
    for (file, words) in [
      ("CITATION.cff", "\nversion: \(suiteVersion)\n"), ("CHANGELOG.md", "\n## \(suiteVersion)"),
    ] {
      let text = try String(
        contentsOf: Self.root.appendingPathComponent(file), encoding: .utf8)
      #expect(text.contains(words), "\(file)")
    }
  }

  private static let root = URL(fileURLWithPath: #filePath)
    .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()

  /// Lines of code (comments left out) of all Swift sources, with their path below Sources/.
  private static func lines() throws -> [(file: String, line: String)] {
    let sources = root.appendingPathComponent("Sources").path
    let walker = try #require(FileManager.default.enumerator(atPath: sources))
    var lines: [(String, String)] = []
    for case let file as String in walker where file.hasSuffix(".swift") {
      let text = try String(contentsOfFile: sources + "/" + file, encoding: .utf8)
      for line in text.split(separator: "\n") {
        let code = line.trimmingCharacters(in: .whitespaces)
        if !code.hasPrefix("//") { lines.append((file, code)) }
      }
    }
    return lines
  }

  /// What users are told when something is wrong is not lost when code moves: the longest fixed part of every message stands in
  /// error-phrases.txt, and somewhere in the sources. A message that is changed on purpose is changed there, too.
  @Test func everyErrorMessageIsStillThere() throws {
    let sources = try Self.lines().map(\.line).joined(separator: "\n")
    let file = Self.root.appendingPathComponent("Tests/ExperimentsTests/Goldens/error-phrases.txt")
    let phrases = try String(contentsOf: file, encoding: .utf8).split(separator: "\n")
    #expect(phrases.count >= 300)
    for phrase in phrases { #expect(sources.contains(phrase), "\(phrase)") }
  }

  /// Code names its license in its first lines; for everything else REUSE.toml does.
  @Test func everySourceNamesItsLicense() throws {
    let words = "SPDX-License-Identifier: Apache-2.0"
    let endings = [".swift", ".c", ".h", ".py", ".gp"]
    var count = 0
    for folder in ["Sources", "Tests", "Benchmarks", "examples", "experiments", "figures", "data"] {
      let top = Self.root.appendingPathComponent(folder).path
      let walker = try #require(FileManager.default.enumerator(atPath: top))
      for case let file as String in walker where !file.hasPrefix(".") {
        let path = "\(top)/\(file)"
        guard let reader = FileHandle(forReadingAtPath: path) else { continue }
        let head = (try? reader.read(upToCount: 200)) ?? Data()
        let isScript = !file.contains(".") && head.starts(with: Data("#!".utf8))
        guard isScript || endings.contains(where: file.hasSuffix) else { continue }
        count += 1
        #expect(String(decoding: head, as: UTF8.self).contains(words), "\(path)")
      }
    }
    #expect(count >= 500)
  }

  /// Programs of experiments have the one command line, with its protection from foreign files and its version.
  @Test func programsAreOfOneKind() throws {
    var programs = Set<String>()
    let lines = try Self.lines()
    for (index, line) in lines.enumerated() where line.line == "@main" {
      let (file, next) = (line.file, lines[index + 1].line)
      if ["spectral/", "fuzz/"].contains(where: file.hasPrefix) { continue }
      programs.insert(file)
      #expect(
        next.hasSuffix(": ExperimentCommand {") || next.hasSuffix(": ExperimentGroup {"),
        "\(file): \(next)")
    }
    #expect(programs.count >= 15)
  }

  @Test(arguments: [
    // pattern, the folders where it belongs
    (#"\b(LAPACKE|cblas)_\w"#, ["LinearAlgebra/"]),
    (#"\bopenblas_\w"#, ["LinearAlgebra/"]),
    (#"\b(bf16_\w|panel_multiply)"#, ["LinearAlgebra/"]),
    (#"\bwinograd_\w"#, ["Autodiff/Operations/"]),
    (#"\bH5[A-Z]\w*\("#, ["Storage/"]),
    (#"\bsuite_mpi_\w"#, ["MPIRanks/"]),
    (#"\bexit\("#, ["spectral/", "Lab/ExperimentCommand"]),
    (
      #"(^|\s)print\("#,
      ["spectral/", "fuzz/", "Lab/ExperimentCommand"]
    ),
    (
      #"\bDate\(|DispatchTime|clock_gettime|gettimeofday"#,
      ["Training/Stopwatch", "Training/Telemetry"]
    ),
    (#"SystemRandomNumberGenerator|\.random\(in:"#, []),
    (#"\btry!|fatalError\("#, []),
  ])
  func codeStaysWhereItBelongs(_ pattern: String, _ places: [String]) throws {
    let expression = try NSRegularExpression(pattern: pattern)
    var seen = 0
    for (file, line) in try Self.lines() {
      seen += 1
      let found =
        expression.firstMatch(in: line, range: NSRange(line.startIndex..., in: line)) != nil
      let belongs = places.contains { file.hasPrefix($0) }
      #expect(!found || belongs, "\(file): \(line)")
    }
    #expect(seen > 1000, "only \(seen) lines were looked at")
  }

  @Test func importsOnlyGoDownTheFloors() throws {
    let floors: [[String]] = [
      ["CKernels", "COpenBLAS", "CLAPACKE", "CHDF5", "CMPI", "CSpectralClip"],
      ["LinearAlgebra", "Storage"],
      ["Clipping", "Autodiff"], ["Datasets", "Models", "Optimizers", "SpectralClipC"],
      ["Training", "Theory"],
      ["MPIRanks"], ["Lab"], ["Experiments"],
      [
        "bad-token-spectra", "trace-regression", "clip-cost", "mlp-heavy-tails", "mlp-heatmap",
        "nanogpt-shakespeare", "gpt2-fineweb", "cifar10-resnet18", "theory-bounds", "smoothness",
        "delta-gclip-vae", "delta-gclip-resnet18", "delta-gclip-vit", "delta-gclip-bert",
        "per-sample-clipping",
        "spectral", "fuzz",
      ],
    ]
    func floor(_ module: String) -> Int? { floors.firstIndex { $0.contains(module) } }
    for (file, line) in try Self.lines() {
      let words = line.split(separator: " ")
      guard words.first == "import", words.count == 2, let to = floor(String(words[1])) else {
        continue
      }
      let module = String(file.split(separator: "/")[0])
      let from = try #require(floor(module), "\(module) stands on no floor")
      #expect(to < from, "\(file) imports \(words[1])")
    }
  }
}

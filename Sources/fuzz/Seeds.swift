// SPDX-License-Identifier: Apache-2.0

import Foundation
import Storage

// Small valid files of every format, made by the executables where they write the format, else by hand.

extension Format {
  /// All formats, each with a folder of its own below `place`.
  static func all(in place: String, _ bench: Bench) throws -> [Format] {
    let maker = SeedMaker(place: place, bench: bench)
    return try [
      maker.safetensors(), maker.hdf5(), maker.models(), maker.record(), maker.results(),
      maker.unfinished("checkpoint"),
      maker.unfinished("journal"), maker.settings(), maker.tuned(), maker.bytePairs(),
      maker.shards(),
      maker.cifar(), maker.cifar100(), maker.idx(), maker.gpt2Basic(), maker.manifest(),
    ]
  }
}

private struct SeedMaker {
  let place: String
  let bench: Bench

  /// Makes the folder of a format: a project of its own, as the executables look for one.
  private func folder(_ name: String, _ files: [String: Data] = [:]) throws -> String {
    let folder = "\(place)/\(name)"
    for (path, content) in files.merging(["Package.swift": Data()], uniquingKeysWith: { $1 }) {
      let url = URL(fileURLWithPath: "\(folder)/\(path)")
      try FileManager.default.createDirectory(
        at: url.deletingLastPathComponent(), withIntermediateDirectories: true)
      try content.write(to: url)
    }
    try FileManager.default.createDirectory(
      atPath: "\(folder)/experiments", withIntermediateDirectories: true)
    return folder
  }

  private func text(_ lines: String...) -> Data {
    Data((lines.joined(separator: "\n") + "\n").utf8)
  }

  /// Runs a command that must succeed.
  private func make(_ command: [String], in folder: String) throws {
    let ending = try bench.run(command, in: folder, seconds: 300)
    guard ending.status == 0 else {
      throw StorageError(
        "\(bench.spelled(command)) failed: \(ending.error)", at: folder, hint: "build first")
    }
  }

  // MARK: - Tensors

  /// name, type, shape, bytes → a safetensors file.
  private func tensors(_ entries: [(String, String, [Int], Data)]) -> Data {
    var (header, body) = (["\"__metadata__\":{\"format\":\"pt\"}"], Data())
    for (name, type, shape, bytes) in entries {
      header.append(
        "\"\(name)\":{\"dtype\":\"\(type)\",\"shape\":\(shape),"
          + "\"data_offsets\":[\(body.count),\(body.count + bytes.count)]}")
      body += bytes
    }
    var json = Data("{\(header.joined(separator: ","))}".utf8)
    while json.count % 8 != 0 { json.append(0x20) }
    return withUnsafeBytes(of: UInt64(json.count).littleEndian) { Data($0) } + json + body
  }

  private func numbers<T>(_ count: Int, _ value: (Int) -> T) -> Data {
    (0..<count).map(value).withUnsafeBytes { Data($0) }
  }

  private func floats(_ count: Int) -> Data {
    numbers(count) { Float(($0 * 37 + 11) % 23) / 8 - 1 }
  }

  private func tensorCommands(_ input: String, _ output: String) -> [[String]] {
    [
      ["spectral", "info", input], ["spectral", "spectrum", input, "--json"],
      ["spectral", "clip", input, "--tau", "1", "--out", output],
      [
        "spectral", "clip", input, "--tau", "0.5", "--method", "randomized", "--rank", "2", "--out",
        output,
      ],
    ]
  }

  func safetensors() throws -> Format {
    let file = tensors([
      ("a", "F32", [3, 4], floats(12)), ("b", "F64", [2, 2], numbers(4) { Double($0) - 1.5 }),
      ("c", "BF16", [2, 3], numbers(6) { UInt16(0x3f80 + $0) }),
      ("d", "I64", [3], numbers(3) { $0 }),
      ("e.f", "F16", [1, 2, 2], numbers(4) { UInt16(0x3c00 + $0) }),
    ])
    return Format(
      name: "safetensors", folder: try folder("safetensors", ["x.safetensors": file]),
      targets: ["x.safetensors"], commands: tensorCommands("x.safetensors", "y.safetensors"))
  }

  func hdf5() throws -> Format {
    let folder = try folder("hdf5")
    let record = Record(
      attributes: ["text": .string("é")],
      dataSets: [
        .init("a", .float((0..<12).map { Float($0) }), shape: [3, 4], longName: "", units: "1"),
        .init("b", .double([1, 2, 3, 4]), shape: [2, 2], longName: "", units: "1"),
        .init("words", .string(["x", "yz"]), shape: [2], longName: "", units: "1"),
      ])
    try record.write(to: folder + "/x.h5")
    return Format(
      name: "hdf5", folder: folder, targets: ["x.h5"], commands: tensorCommands("x.h5", "y.h5"))
  }

  /// Weights and batches of a GPT-2 and of the MLP.
  func models() throws -> Format {
    let width = 4
    var gpt: [(String, String, [Int], Data)] = []
    func add(_ name: String, _ shape: Int...) {
      gpt.append((name, "F32", shape, floats(shape.reduce(1, *))))
    }
    add("wte.weight", 7, width)
    add("wpe.weight", 5, width)
    for (name, inputs, outputs) in [
      ("attn.c_attn", width, 3 * width), ("attn.c_proj", width, width),
      ("mlp.c_fc", width, 4 * width),
      ("mlp.c_proj", 4 * width, width),
    ] {
      add("h.0.\(name).weight", inputs, outputs)
      add("h.0.\(name).bias", outputs)
    }
    for name in ["h.0.ln_1", "h.0.ln_2", "ln_f"] {
      add(name + ".weight", width)
      add(name + ".bias", width)
    }
    let ids = numbers(6) { Int64($0) }
    let mlp = (1...4).map { layer -> (String, String, [Int], Data) in
      let rows = layer == 4 ? 1 : 100
      return ("network.W_\(layer).weight", "F32", [rows, 100], floats(rows * 100))
    }
    let folder = try folder(
      "models",
      [
        "gpt2.safetensors": tensors(gpt), "mlp.safetensors": tensors(mlp),
        "tokens.safetensors": tensors([
          ("input", "I64", [2, 3], ids), ("target", "I64", [2, 3], ids),
        ]),
        "batch.safetensors": tensors([
          ("input", "F32", [2, 100], floats(200)), ("target", "F32", [2, 1], floats(2)),
        ]),
      ])
    func grad(_ model: [String], _ batch: String) -> [String] {
      ["spectral", "grad", "--model"] + model + ["--batch", batch, "--out", "g.safetensors"]
    }
    return Format(
      name: "models", folder: folder,
      targets: ["gpt2.safetensors", "mlp.safetensors", "tokens.safetensors", "batch.safetensors"],
      commands: [
        grad(["gpt2", "--heads", "2", "--weights", "gpt2.safetensors"], "tokens.safetensors"),
        grad(["mlp", "--weights", "mlp.safetensors"], "batch.safetensors"),
      ])
  }

  // MARK: - Records and what unfinished runs leave

  private static let trace = [
    "trace-regression", "--profile", "fuzz", "--method", "quantile", "--seeds", "11", "--jobs", "1",
    "--results", "results",
  ]
  private static let traceFolder = "results/trace-regression/fuzz"

  private func traceFiles(steps: Int) -> [String: Data] {
    ["experiments/trace-regression/fuzz.yaml": text("steps: \(steps)", "seeds: [11]")]
  }

  func record() throws -> Format {
    let folder = try folder(
      "record",
      traceFiles(steps: 200).merging(
        [
          "experiments/clip-cost/fuzz.yaml": text("sizes: [8x12]", "ranks: [1, 2]", "repeats: 2"),
          "caption.md": text("{{n}} of {{profile}}, {{steps}}: {{stamp}}"),
        ], uniquingKeysWith: { $1 }))
    try make(["trace-regression", "--profile", "fuzz", "--results", "results"], in: folder)
    try make(["clip-cost", "--profile", "fuzz", "--results", "results"], in: folder)
    let (trace, cost) = (
      "\(Self.traceFolder)/quantile-seed11.h5", "results/clip-cost/fuzz/exact-seed1.h5"
    )
    try FileManager.default.copyItem(atPath: "\(folder)/\(trace)", toPath: folder + "/whole.h5")
    return Format(
      name: "record", folder: folder, targets: [trace, cost],
      commands: [
        ["spectral", "info", trace], ["spectral", "diff", "whole.h5", trace],
        ["spectral", "tabulate", Self.traceFolder, "--out", "table.tsv"],
        ["spectral", "tabulate", "results/clip-cost/fuzz", "--out", "table.tsv"],
        ["spectral", "caption", Self.traceFolder, "caption.md", "--out", "c.md"],
        ["spectral", "claims", "--results", "results", "--out", "claims.md"],
        ["spectral", "costs", "--results", "results"], ["spectral", "migrate", Self.traceFolder],
      ])
  }

  /// The project's checked-in records, two seeds of one profile an experiment.
  func results() throws -> Format {
    let files = FileManager.default
    let folder = try folder("results", ["caption.md": text("{{n}} of {{profile}}: {{stamp}}")])
    var targets: [String] = []
    for source in try RecordSweep.folders(in: "results") {
      let parts = source.split(separator: "/")
      // Experiment by experiment, so that claims are made of one alone.
      let place = "\(parts[1])/\(parts[1])/\(parts[2])"
      try files.createDirectory(atPath: "\(folder)/\(place)", withIntermediateDirectories: true)
      for file in try files.contentsOfDirectory(atPath: source).sorted()
      where ["1", "2", "11", "12"].contains(where: { file.hasSuffix("-seed\($0).h5") }) {
        try files.copyItem(
          atPath: "\(source)/\(file)", toPath: "\(folder)/\(place)/\(file)")
        targets.append("\(place)/\(file)")
      }
    }
    return Format(
      name: "results", folder: folder, targets: targets,
      commands: [
        ["spectral", "tabulate", "FOLDER", "--out", "table.tsv"],
        ["spectral", "caption", "FOLDER", "caption.md", "--out", "c.md"],
        ["spectral", "claims", "--results", "RESULTS", "--out", "claims.md"],
        ["spectral", "costs", "--results", "RESULTS"], ["spectral", "info", "FILE"],
      ], changesRecords: true)
  }

  /// A run that was killed: its checkpoint, or its journal beside the record that it finished.
  func unfinished(_ kind: String) throws -> Format {
    let folder = try folder(kind, traceFiles(steps: 3000))
    try make(Self.trace, in: folder)
    let path = "\(Self.traceFolder)/quantile-seed11.h5"
    let expected = try Record.read(from: "\(folder)/\(path)")
    if kind == "checkpoint" {
      // The longer run is killed as soon as it has saved its state; its checkpoint does for the shorter one.
      for attempt in 1...200 {
        try? FileManager.default.removeItem(atPath: "\(folder)/results")
        _ = try bench.run(
          Self.trace + ["--checkpoint-seconds", "0"], in: folder, seconds: 0.05 * Double(attempt))
        if FileManager.default.fileExists(
          atPath: "\(folder)/\(Self.traceFolder)/quantile-seed11.checkpoint")
          && !FileManager.default.fileExists(atPath: "\(folder)/\(path)")
        {
          break
        }
      }
    } else {
      try FileManager.default.removeItem(atPath: "\(folder)/\(path)")
    }
    let target = kind == "checkpoint" ? "quantile-seed11.checkpoint" : "journal.log"
    return Format(
      name: kind, folder: folder, targets: ["\(Self.traceFolder)/\(target)"],
      commands: [Self.trace], takesAnything: kind == "journal", expected: (path, expected))
  }

  // MARK: - Settings

  func settings() throws -> Format {
    let folder = try folder(
      "yaml",
      [
        "experiments/trace-regression/fuzz.yaml": text(
          "# a comment", "steps: 300", "seeds: [11, 12]", "methods: [quantile, ema]"),
        "experiments/clip-cost/fuzz.yaml": text(
          "sizes: [8x12, 6x5]", "ranks: [1, 2]", "repeats: 2"),
      ])
    return Format(
      name: "yaml", folder: folder,
      targets: ["experiments/trace-regression/fuzz.yaml", "experiments/clip-cost/fuzz.yaml"],
      commands: [
        ["trace-regression", "--profile", "fuzz", "--dry-run"],
        ["clip-cost", "--profile", "fuzz", "--dry-run"],
      ])
  }

  func tuned() throws -> Format {
    let folder = try folder(
      "tuned",
      [
        "experiments/mlp-heavy-tails/fuzz.yaml": text(
          "hidden: [4, 4, 4]", "inputs: 5", "samples: 40", "batchSize: 8", "steps: 20",
          "recordEvery: 10", "methods: [adam-none, sgdm-norm]", "seeds: [1]"),
        "experiments/mlp-heavy-tails/tuned.yaml": text(
          "methods:", "  adam-none:", "    learningRate: 0.001", "  sgdm-norm:",
          "    learningRate: 0.01", "    maximumNorm: 1"),
      ])
    return Format(
      name: "tuned", folder: folder,
      targets: ["experiments/mlp-heavy-tails/tuned.yaml", "experiments/mlp-heavy-tails/fuzz.yaml"],
      commands: [["mlp-heavy-tails", "--profile", "fuzz", "--dry-run"]])
  }

  // MARK: - Data sets

  /// A whole run: plans need no data.
  private static func run(_ program: String) -> [String] {
    [program, "--profile", "fuzz", "--data", "data", "--results", "results", "--jobs", "1"]
  }

  private static let gpt = """
    layers: 1
    heads: 1
    width: 4
    contextLength: 4
    batchSize: 1
    microBatches: 1
    steps: 2
    warmup: 1
    recordEvery: 1
    evaluationSequences: 1
    finalSequences: 1
    methods: [gpt2-sgdm-norm]
    hyperparameters: {gpt2-sgdm-norm: {learningRate: 0.01, maximumNorm: 1}}
    seeds: [1]

    """

  private func language(
    _ name: String, _ settings: String, _ files: [String: Data]
  ) throws -> Format {
    let data = Dictionary(uniqueKeysWithValues: files.map { ("data/\($0)", $1) })
    let profile = ["experiments/gpt2-fineweb/fuzz.yaml": Data((Self.gpt + settings).utf8)]
    return Format(
      name: name, folder: try folder(name, data.merging(profile, uniquingKeysWith: { $1 })),
      targets: data.keys.sorted(),
      commands: [Self.run("gpt2-fineweb")])
  }

  /// GPT-2's vocabulary with three merges, and a text.
  func bytePairs() throws -> Format {
    // The characters that stand for bytes: printable ones for themselves, the others from U+0100 on.
    let printable = Array(0x21...0x7e) + Array(0xa1...0xac) + Array(0xae...0xff)
    let others = (0..<256).filter { !printable.contains($0) }
    let characters = (printable + others.indices.map { 0x100 + $0 }).compactMap {
      Unicode.Scalar($0)
    }
    var ids = Dictionary(uniqueKeysWithValues: characters.enumerated().map { (String($1), $0) })
    for (index, token) in ["th", "the", "in", "<|endoftext|>"].enumerated() {
      ids[token] = 256 + index
    }
    let article = " = Title = \n the cat in the hat \n"
    return try language(
      "bpe", "corpus: wikitext2\nmerges: 3\n",
      [
        "gpt2-bpe/encoder.json": try JSONEncoder().encode(ids),
        "gpt2-bpe/vocab.bpe": text("#version: 0.2", "t h", "th e", "i n"),
        "wikitext2-valid-test/valid.txt": Data(String(repeating: article, count: 12).utf8),
        "wikitext2-valid-test/test.txt": Data(String(repeating: article, count: 8).utf8),
      ])
  }

  func shards() throws -> Format {
    let header = numbers(256) { [20_240_520, 1, 100][safe: $0].map { Int32($0) } ?? 0 }
    let tokens = numbers(100) { UInt16($0 % 50) }
    return try language(
      "shards", "corpus: bin\n", ["bin/train.bin": header + tokens, "bin/val.bin": tokens])
  }

  private func images(_ name: String, _ source: String, _ files: [String: Data]) throws -> Format {
    let data = Dictionary(uniqueKeysWithValues: files.map { ("data/\($0)", $1) })
    let profile = text(
      "images: \(source)", "trainingImages: 20", "testImages: 4", "widthDivisor: 32",
      "lossScale: 62",
      "epochs: 1", "batchSize: 4", "methods: [cifarnet-none]", "seeds: [1]",
      "hyperparameters: {cifarnet-none: {learningRate: 0.02, momentum: 0.7}}")
    let files = data.merging(
      ["experiments/cifar10-resnet18/fuzz.yaml": profile], uniquingKeysWith: { $1 })
    return Format(
      name: name, folder: try folder(name, files), targets: data.keys.sorted(),
      commands: [Self.run("cifar10-resnet18")])
  }

  func cifar() throws -> Format {
    // Four images of a label and 3072 intensities each.
    let batch = numbers(4 * 3073) { (i: Int) -> UInt8 in
      let value = i % 3073 == 0 ? i / 3073 : i * 7 % 251
      return UInt8(value)
    }
    let names = (1...5).map { "data_batch_\($0).bin" } + ["test_batch.bin"]
    return try images(
      "cifar", "cifar10-lossless-subset",
      Dictionary(uniqueKeysWithValues: names.map { ("cifar10-lossless-subset/\($0)", batch) }))
  }

  func cifar100() throws -> Format {
    // Of an image a coarse and a fine label, then its intensities.
    func file(_ count: Int) -> Data {
      numbers(count * 3074) { (i: Int) -> UInt8 in
        let (image, place) = (i / 3074, i % 3074)
        return UInt8(place == 0 ? image % 20 : place == 1 ? image * 5 % 100 : i * 7 % 251)
      }
    }
    return try images(
      "cifar100", "cifar100",
      ["cifar-100-binary/train.bin": file(24), "cifar-100-binary/test.bin": file(4)])
  }

  func idx() throws -> Format {
    let count: UInt8 = 30
    let pixels = numbers(Int(count) * 28 * 28) { (i: Int) -> UInt8 in UInt8(i * 7 % 251) }
    return try images(
      "idx", "fashion-mnist",
      [
        "fashion-mnist-subset/train-images-idx3-ubyte":
          Data([0, 0, 8, 3, 0, 0, 0, count, 0, 0, 0, 28, 0, 0, 0, 28] as [UInt8]) + pixels,
        "fashion-mnist-subset/train-labels-idx1-ubyte":
          Data([0, 0, 8, 1, 0, 0, 0, count] as [UInt8]) + Data((0..<count).map { $0 % 10 }),
      ])
  }

  func gpt2Basic() throws -> Format {
    let (vocabulary, block, width) = (256, 8, 4)
    // Embeddings; a layer's two norms, four square matrices and two of the MLP with biases; norm; head.
    let linear = 4 * (width + 1) * width + 4 * width * (width + 1) + width * (4 * width + 1)
    let norms = 3 * 2 * width
    let count = (vocabulary + block) * width + linear + norms + vocabulary * (width + 1)
    var tokens = numbers(1) { _ in UInt32(vocabulary) }
    for id in 0..<vocabulary {
      tokens += numbers(1) { _ in UInt32(1) }
      tokens += numbers(16) { $0 == 0 ? UInt8(id) : 0 }
      tokens += numbers(1) { _ in UInt32(id) }
    }
    let files: [String: Data] = [
      "GPT2CFG.TXT": text(
        "vocab_size=\(vocabulary)", "n_positions=\(block)", "n_layer=1", "n_head=1",
        "n_embd=\(width)",
        "hidden_dim=\(4 * width)"),
      "GPT2WT.BIN": floats(count),
      "VOCAB.BIN": tokens,
      "gold_curriculum_v4.txt": text("the cat sat on the mat and looked at the hat"),
    ]
    let data = Dictionary(uniqueKeysWithValues: files.map { ("data/gpt2-basic-463k/\($0)", $1) })
    let profile = text(
      "model: gpt2-basic", "corpus: gpt2-basic", "context: 4", "batchSizes: [1]", "confidence: 0",
      "detailBatchSize: 1", "batches: 1", "calibrationBatches: 1", "seeds: [1]")
    return Format(
      name: "gpt2-basic",
      folder: try folder(
        "gpt2-basic",
        data.merging(["experiments/bad-token-spectra/fuzz.yaml": profile], uniquingKeysWith: { $1 })
      ),
      targets: data.keys.sorted(),
      commands: [Self.run("bad-token-spectra")])
  }

  func manifest() throws -> Format {
    let script = "data/fetch"
    let manifest = text(
      "# set\tfile\tbytes\tSHA-256\tURL\tlicence",
      "set\tfile.txt\t5\t-\thttps://localhost/file.txt\tMIT",
      "other\tarchive.tar.gz\t10\t\(String(repeating: "0", count: 64))\thttps://localhost/a\tMIT")
    guard let fetch = FileManager.default.contents(atPath: script) else {
      throw StorageError("is missing", at: script, hint: "run this from the project's folder")
    }
    let folder = try folder(
      "manifest",
      ["manifest.tsv": manifest, "fetch": fetch, "data/set/file.txt": Data("five\n".utf8)])
    return Format(
      name: "manifest", folder: folder, targets: ["manifest.tsv"],
      commands: [["/bin/bash", "fetch", "--list"], ["/bin/bash", "fetch", "set/file.txt"]])
  }
}

extension Array {
  fileprivate subscript(safe index: Int) -> Element? { indices.contains(index) ? self[index] : nil }
}

// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Datasets
import Foundation
import LinearAlgebra
import Models
import Storage
import Testing
import Training

@testable import Experiments
@testable import Lab

/// `--keep-weights`: the model beside its record.
@Suite struct KeepWeightsTests {
  init() { _ = BLASEnvironment.pinned() }

  private static let method = "sgdm-spectral"
  private static let values: Hyperparameters = ["learningRate": 0.01, "tau": 0.05]

  /// On a few tokens of its own, below `results`.
  private func runner(
    _ results: String, keepWeights: Bool = true
  ) throws -> Runner<NanoGPT> {
    try FileManager.default.createDirectory(
      atPath: results + "/bin", withIntermediateDirectories: true)
    for name in ["train", "val"] {
      let tokens = (0..<200).map { UInt16($0 * $0 % 11) }
      try TokenFile.write(tokens, to: "\(results)/bin/\(name).bin", as: .plain)
    }
    var config = NanoGPT.defaults
    (config.layers, config.heads, config.width, config.contextLength) = (1, 2, 8, 9)
    (config.batchSize, config.steps, config.recordEvery) = (4, 5, 5)
    (config.dropout, config.corpus) = (0, .binary)
    (config.evaluationSequences, config.finalSequences) = (3, 3)
    (config.methods, config.seeds) = ([Self.method], [1])
    config.hyperparameters[Self.method] = Self.values
    return Runner(
      config: config, profile: "test", results: results, dataFolder: results,
      telemetry: Telemetry(root: nil, threads: 1, jobs: 1), keepWeights: keepWeights)
  }

  @Test func theWeightsAreThoseOfTheRun() throws {
    let scratch = Scratch()
    let runner = try runner(scratch.path)
    #expect(try runner.run().computed == 1)
    let path = runner.weightsPath(Self.method, 1)
    #expect(path == "\(runner.folder)/sgdm-spectral-seed1.safetensors")
    let kept = try GPT(loading: path, form: .nanoGPT, heads: 2)
    let settings = runner.config.settings
    let data = try LanguageTask.load(settings, folder: scratch.path)
    let training = try TrainingRun<LanguageTask>(
      settings, NanoGPT.arms.named(Self.method, place: "test"), Self.values, data, seed: 1)
    for _ in 0..<5 {
      #expect(training.task.model.values != kept.values)
      try training.advance()
    }
    #expect(training.task.model.values == kept.values && kept.shape.vocabulary == data.vocabulary)
    // A table of the folder is not disturbed by them.
    #expect(try RecordSet(folder: runner.folder).records.count == 1)
  }

  @Test func aRecordWithoutItsWeightsIsComputedAnew() throws {
    let scratch = Scratch()
    let (with, without) = (
      try runner(scratch.path), try runner(scratch.path, keepWeights: false)
    )
    let path = with.weightsPath(Self.method, 1)
    #expect(try without.run() == .init(computed: 1, reused: 0))
    #expect(!FileManager.default.fileExists(atPath: path))
    #expect(try with.run() == .init(computed: 1, reused: 0))
    let bytes = try Data(contentsOf: URL(fileURLWithPath: path))
    #expect(try with.run() == .init(computed: 0, reused: 1))
    try FileManager.default.removeItem(atPath: path)
    #expect(try without.run() == .init(computed: 0, reused: 1))
    #expect(try with.run() == .init(computed: 1, reused: 0))
    #expect(try Data(contentsOf: URL(fileURLWithPath: path)) == bytes)
    // Weights of another run, as a run leaves them that ends before it writes its record: they are not this record's.
    try SafetensorsFile.write(
      [SafetensorsTensor("w", shape: [1], floats: [1])], isSealed: true, to: path)
    #expect(try with.run() == .init(computed: 1, reused: 0))
    #expect(try Data(contentsOf: URL(fileURLWithPath: path)) == bytes)
    // One bit of a weight: refused where it is read, computed anew where it is wanted.
    var damaged = bytes
    damaged[bytes.count - 3] ^= 1
    try damaged.write(to: URL(fileURLWithPath: path))
    let error = #expect(throws: StorageError.self) {
      try GPT(loading: path, form: .nanoGPT, heads: 2)
    }
    #expect(error?.what == "damaged: its checksum does not match")
    #expect(try with.run() == .init(computed: 1, reused: 0))
    #expect(try Data(contentsOf: URL(fileURLWithPath: path)) == bytes)
  }

  @Test func aRecordOfOtherDataIsKeptAside() throws {
    let scratch = Scratch()
    let runner = try runner(scratch.path, keepWeights: true)
    func resolved() throws -> Runner<NanoGPT> {
      Runner(
        config: try NanoGPT.resolve(
          runner.config,
          RunFolders(folder: "x", profile: "test", data: scratch.path, results: scratch.path)),
        profile: "test", results: scratch.path, dataFolder: scratch.path,
        telemetry: Telemetry(root: nil, threads: 1, jobs: 1), keepWeights: true)
    }
    let first = try resolved()
    #expect(try first.run().computed == 1)
    let old = try Record.read(from: first.path(Self.method, 1))
    let weights = try Data(contentsOf: URL(fileURLWithPath: first.weightsPath(Self.method, 1)))
    try TokenFile.write(
      (0..<200).map { UInt16($0 % 11) }, to: "\(scratch.path)/bin/train.bin", as: .plain)
    #expect(try resolved().run() == .init(computed: 1, reused: 0))
    let new = try Record.read(from: first.path(Self.method, 1))
    #expect(new.attributes["key"] != old.attributes["key"])
    let aside = try FileManager.default.contentsOfDirectory(atPath: first.folder + "/other-data")
      .sorted()
    #expect(aside.count == 2 && aside[1].hasSuffix(".safetensors"))
    let place = URL(fileURLWithPath: "\(first.folder)/other-data/\(aside[1])")
    #expect(try Data(contentsOf: place) == weights)
    let kept = try Record.read(from: "\(first.folder)/other-data/\(aside.first ?? "")")
    #expect(kept.firstDifference(from: old) == nil)
    #expect(try RecordSet(folder: first.folder).records.count == 1)
    #expect(try resolved().run() == .init(computed: 0, reused: 1))
  }

  private struct Keeping: ExperimentCommand {
    typealias Body = BadTokenSpectra
    @OptionGroup var options: ExperimentOptions
  }

  @Test func anExperimentThatTrainsNothingRefuses() throws {
    #expect(NanoGPT.keepsWeights && GPT2FineWeb.keepsWeights)
    let scratch = Scratch()
    let command = try Keeping.parse(["--keep-weights", "--dry-run", "--results", scratch.path])
    let text = message { try command.run() }
    #expect(text.contains("--keep-weights") && text.contains("bad-token-spectra"), "\(text)")
    #expect(!FileManager.default.fileExists(atPath: scratch.path))
  }
}

/// `spectral migrate`: records that an older build made.
@Suite struct RecordMigrationTests {
  /// A record of this build, put into the form of the older one: names of settings, arm and data set, lines of
  /// hyper-parameters, another key, settings missing that were not there yet.
  private func old(_ record: Record) throws -> Record {
    var config = try record.string(attribute: "config")
      .replacingOccurrences(of: "contextLength:", with: "block:")
    let lines = config.split(separator: "\n").map(String.init)
    config = lines.filter { line in
      !["form:", "warmup:", "hyperparameters:", "  sgdm-", "    "].contains { line.hasPrefix($0) }
    }.joined(separator: "\n")
    config += "\nsettings:\n- sgdm-norm-fair learningRate=0.01 maximumNorm=0.5\n"
    config = config.replacingOccurrences(of: "sgdm-norm-same-set", with: "sgdm-norm-fair")
    var attributes = record.attributes
    attributes["config"] = .string(config)
    attributes["method"] = .string("sgdm-norm-fair")
    attributes["key"] = .string("0")
    let dataSets = record.root.dataSets.map { set in
      Record.DataSet(
        set.name == "clipped_fraction" ? "clipped_share" : set.name, set.values, shape: set.shape,
        longName: set.longName, units: set.units, dimensions: set.dimensions)
    }
    var result = Record(attributes: attributes, dataSets: dataSets)
    result.telemetry = record.telemetry
    return result
  }

  @Test func anOldRecordIsTakenForTheNewOne() throws {
    let scratch = Scratch()
    var config = NanoGPT.defaults
    (config.layers, config.heads, config.width, config.contextLength) = (1, 2, 8, 9)
    (config.batchSize, config.steps, config.recordEvery, config.corpus) = (4, 3, 3, .standIn)
    (config.evaluationSequences, config.finalSequences) = (3, 3)
    (config.methods, config.seeds) = (["sgdm-norm-same-set"], [1])
    config.hyperparameters["sgdm-norm-same-set"] = ["learningRate": 0.01, "maximumNorm": 0.5]
    let set = try run(NanoGPT.self, config, scratch.path)
    let new = set.records[0]
    let file = try #require(new.source)
    let oldFile = file.replacingOccurrences(of: "same-set", with: "fair")
    try old(new).write(to: oldFile)
    try FileManager.default.removeItem(atPath: file)
    let migration = RecordMigration.clipping
    #expect(try migration.migrate(folder: set.folder, .clipping) == 1)
    #expect(!FileManager.default.fileExists(atPath: oldFile))
    #expect(try Record.read(from: file).firstDifference(from: new) == nil)
    #expect(try migration.migrate(folder: set.folder, .clipping) == 0)
    // The runner takes it for its own: nothing is computed.
    let runner = Runner<NanoGPT>(
      config: config, profile: "test", results: scratch.path,
      telemetry: Telemetry(root: nil, threads: 1, jobs: 1))
    #expect(try runner.run() == .init(computed: 0, reused: 1))
  }

  /// Nothing that a record says of itself moves another file, and no record is lost.
  @Test func recordsThatWouldTakeAnothersPlaceAreRefusedBeforeAnyIsTouched() throws {
    let file = Paths().results + "/nanogpt-shakespeare/quick/sgdm-norm-seed1.h5"
    let whole = try Record.read(from: file)
    func named(_ method: String, seed: Int = 1, more: Record.DataSet? = nil) -> Record {
      var attributes = whole.attributes
      (attributes["method"], attributes["seed"]) = (.string(method), .int(seed))
      var record = Record(attributes: attributes, dataSets: whole.root.dataSets)
      if let more { record.add(more) }
      record.telemetry = whole.telemetry
      return record
    }
    let method = try whole.string(attribute: "method")
    let old = try #require(RecordMigration.clipping.dataSets.first { whole.root[$0.value] != nil })
    let twice = Record.DataSet(old.key, .double([1]), dimensions: ["own"])
    for records in [
      [("a.h5", named(method, seed: -1))], [("a.h5", named("../../escaped/ema"))],
      [("a.h5", named(""))], [("a.h5", named(String(repeating: "x", count: 300)))],
      [("a.h5", named(method, more: twice))],
      [("a.h5", named(method)), ("b.h5", named(method))],
      [("a.h5", named(method)), ("\(method)-seed1.h5", named(method))],
    ] {
      let scratch = Scratch()
      for (name, record) in records { try record.write(to: "\(scratch.path)/\(name)") }
      let error = #expect(throws: (any Error).self) {
        try RecordMigration.clipping.migrate(folder: scratch.path, .clipping)
      }
      #expect(error is StorageError || error is ConfigError)
      #expect(
        try FileManager.default.contentsOfDirectory(atPath: scratch.path).sorted()
          == records.map(\.0).sorted())
    }
  }

  @Test func anUnknownExperimentIsRefused() throws {
    let record = Record(attributes: [
      "experiment": .string("another"), "method": .string("a"), "seed": .int(1),
    ])
    #expect(throws: ConfigError.self) { try RecordMigration.clipping.migrated(record, .clipping) }
  }
}

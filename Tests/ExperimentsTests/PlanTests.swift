// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Foundation
import LinearAlgebra
import Storage
import Testing
import Training

@testable import Experiments
@testable import Lab

/// What `--dry-run` says: without data, and from pieces that are small however large the run is.
@Suite struct PlanTests {
  init() { _ = BLASEnvironment.pinned() }

  private static func planned<E: Experiment>(
    _ type: E.Type, _ profile: String
  ) throws -> (seconds: Double?, jobs: Int) {
    let paths = Paths()
    let file = paths.config(experiment: E.name, profile: profile)
    let text = try String(contentsOfFile: file, encoding: .utf8)
    let folders = RunFolders(
      folder: URL(fileURLWithPath: file).deletingLastPathComponent().path, profile: profile,
      data: "/nonexistent", results: "/nonexistent")
    let config = try E.planned(E.defaults.overlaid(yaml: text, file: file), folders)
    let runner = Runner<E>(
      config: config, profile: profile, results: "/nonexistent", dataFolder: "/nonexistent",
      telemetry: Telemetry(root: nil, threads: 1, jobs: 1))
    return (try runner.estimatedSeconds(records: paths.results), runner.jobs.count)
  }

  /// Every profile of every experiment has runs; what must not be measured comes from the checked-in records.
  @Test func everyProfileIsPlannedWithoutData() throws {
    let paths = Paths()
    for experiment in Suite.clipping.experiments {
      func plan<E: Experiment>(_ type: E.Type) throws {
        for profile in paths.profiles(of: E.name) {
          let file = paths.config(experiment: E.name, profile: profile)
          let text = try String(contentsOfFile: file, encoding: .utf8)
          let config = try E.planned(
            E.defaults.overlaid(yaml: text, file: file),
            RunFolders(
              folder: URL(fileURLWithPath: file).deletingLastPathComponent().path,
              profile: profile, data: "/nonexistent", results: "/nonexistent"))
          #expect(!E.jobs(of: config).isEmpty, "\(E.name) \(profile)")
        }
      }
      try plan(experiment)
    }
    for (seconds, jobs) in [
      try Self.planned(TheoryBounds.self, "quick"), try Self.planned(TheoryBounds.self, "paper"),
      try Self.planned(BadTokenSpectra.self, "full"),
      try Self.planned(BadTokenSpectra.self, "gpt2-basic"),
    ] {
      #expect(seconds.map { $0 > 0 && $0.isFinite } == true && jobs > 0)
    }
  }

  /// A larger run is expected to take longer in about the ratio of its work.
  @Test func estimatesGrowWithTheWork() throws {
    let (quick, paper) = (
      try Self.planned(MLPHeavyTails.self, "smoke"), try Self.planned(MLPHeavyTails.self, "paper")
    )
    let ratio = try #require(paper.seconds) / (try #require(quick.seconds))
    #expect(ratio > 10, "\(ratio)")
  }

  /// However large the model, what is tried is small: 124 M parameters and 1 024 tokens become a pass of a few thousand million
  /// multiplications, and the factors make up for it.
  @Test func aRehearsalOfALargeModelIsSmall() {
    let full = LanguageSettings.gpt2
    let rehearsal = full.rehearsal
    let small = rehearsal.settings
    let c = Double(small.width)
    let tokens = Double(small.batchSize / small.microBatches * small.contextLength)
    #expect(tokens * (12 * c * c * Double(small.layers) + c * 12 * c) < 4e9)
    #expect(small.placeholder.vocabulary < 50_257 && small.width == full.width)
    #expect(rehearsal.pass > 50 && rehearsal.update == 12 / Double(small.layers))
    // One that is small is taken as it is.
    var own = LanguageSettings.nanoGPT
    (own.layers, own.heads, own.width, own.contextLength, own.batchSize) = (2, 2, 32, 16, 4)
    #expect(own.rehearsal.settings.layers == 2 && own.rehearsal.pass == 1)
    #expect(own.rehearsal.update == 1)
  }

  /// A search looks at validation data once a trial, not at every point.
  @Test func theRecordsOfASimilarRunTellWhereNothingCanBeTried() throws {
    let quick = try Self.planned(TheoryBounds.self, "quick").seconds
    let paper = try Self.planned(TheoryBounds.self, "paper").seconds
    #expect(try #require(paper) > 3 * (try #require(quick)))
    let (config, folder) = (TheoryBounds.defaults, "/nonexistent")
    #expect(TheoryBounds.recordedSeconds(of: config, in: folder) == nil)
  }
}

/// Where programs look for the project.
@Suite struct PathsTests {
  private func project(_ name: String, in place: String) throws -> String {
    let folder = "\(place)/\(name)"
    try AtomicFile.write("", to: folder + "/Package.swift")
    try FileManager.default.createDirectory(
      atPath: folder + "/experiments", withIntermediateDirectories: true)
    return folder
  }

  @Test func theNearestOneCountsUnlessAnotherIsNamed() throws {
    let scratch = Scratch()
    let (one, two) = (
      try project("one", in: scratch.path), try project("two", in: scratch.path)
    )
    func root(
      _ environment: [String: String] = [:], in folder: String, _ executable: String? = nil
    ) -> String? {
      Paths(environment: environment, workingFolder: folder, executable: executable).root
    }
    #expect(root(in: one + "/a/b") == one)
    #expect(root(in: "/", one + "/.build/release/spectral") == one)
    #expect(root(in: two, one + "/.build/release/spectral") == two)
    #expect(root(["SPECTRAL_HOME": one], in: two) == one)
    #expect(root(["SPECTRAL_HOME": ""], in: two) == two)
    #expect(root(in: "/") == nil && root(in: "/", "/usr/bin/spectral") == nil)
    // Installed elsewhere.
    let prefix = scratch.path + "/prefix"
    #expect(root(in: "/", prefix + "/bin/spectral") == nil)
    try AtomicFile.write(one + "\n", to: prefix + "/share/spectral-clipping/project")
    #expect(root(in: "/", prefix + "/bin/spectral") == one)
  }
}

// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Foundation
import Testing

@testable import Experiments
@testable import Lab

@Suite struct ConfigFileTests {
  private typealias Config = TraceRegression.Config

  private func message(_ yaml: String, _ overrides: [String] = []) -> String {
    do {
      _ = try TraceRegression.defaults.overlaid(yaml: yaml, file: "x.yaml", overrides: overrides)
      return ""
    } catch { return "\(error)" }
  }

  /// What stands in a file may hold line breaks; an error about it is one line all the same.
  @Test func anErrorIsOneLineWhateverAFileSays() throws {
    let error = #expect(throws: ConfigError.self) {
      try Suite.clipping.experiment(named: "a\nb\u{2028}c\u{1b}[31m")
    }
    #expect(
      try #require(error).description.hasPrefix("experiment 'a b c [31m': unknown; known are "))
  }

  @Test func defaultsAreOverlaidByTheFileAndThenByOverrides() throws {
    let config = try TraceRegression.defaults.overlaid(
      yaml: "steps: 7\nnoise: 0.5\n", file: "x.yaml",
      overrides: ["steps=9", "seeds=[4, 5]", "rng=numpy", "emaVariant=paper"])
    #expect(config.steps == 9)
    #expect(config.noise == 0.5)
    #expect(config.seeds == [4, 5])
    #expect(config.rng == .numpy)
    #expect(config.emaVariant == .paper)
    #expect(config.methods == TraceRegression.defaults.methods)
    #expect(
      try TraceRegression.defaults.overlaid(yaml: "", file: "x.yaml", overrides: [])
        == TraceRegression.defaults)
    #expect(
      try TraceRegression.defaults.overlaid(yaml: config.yaml, file: "x.yaml", overrides: [])
        == config)
  }

  @Test func anUnknownKeyNamesTheNearest() {
    let text = message("stepz: 7")
    #expect(text.contains("x.yaml"))
    #expect(text.contains("'stepz'"))
    #expect(text.contains("did you mean 'steps'"))
    #expect(!text.contains("\n"))
    #expect(message("", ["stepz=7"]).contains("--set stepz=7"))
  }

  @Test(arguments: [
    ("steps: many", "steps"), ("steps: 0", "steps"), ("noise: -1", "noise"),
    ("terms: 0", "terms"), ("methods: [constant--1]", "tau = -1"),
    ("methods: [median]", "median"), ("quantileLevel: 1.5", "level"),
    ("emaCoefficient: 1", "coefficient"), ("rng: dice", "rng"), ("- 1\n- 2", "key: value"),
    ("steps: [1", "YAML"), ("learningRateScale: .nan", "learningRateScale"),
  ])
  func everyFaultIsOneLineThatNamesTheSetting(yaml: String, name: String) {
    let text = message(yaml)
    #expect(text.contains(name), "\(text)")
    #expect(!text.isEmpty && !text.contains("\n"), "\(text)")
  }

  @Test func aNameThatIsFarFromAllIsNotGuessed() {
    #expect(!message("wholly: 7").contains("did you mean"))
    #expect(message("Steps: 7").contains("did you mean 'steps'"))
  }

  /// YAML 1.1 reads these as 8, 64, 750 and 90.
  @Test(arguments: [
    "steps: 010", "denseSteps: 0100", "steps: 12:30", "seeds: [1:30]", "steps: 0x10",
    "steps: 1_000",
  ])
  func numbersAreDecimalOrRefused(_ yaml: String) {
    #expect(message(yaml).contains("is not a decimal number"), "\(message(yaml))")
    let override = yaml.replacing(": ", with: "=", maxReplacements: 1)
    #expect(message("", [override]).contains("is not a decimal number"))
  }

  @Test func aliasesAreRefusedBeforeTheyGrow() {
    var text = "seeds: [&a [1,1,1,1,1,1,1,1,1]"
    for (name, before) in zip("bcdefghijklm", "abcdefghijkl") {
      text += ", &\(name) [" + Array(repeating: "*\(before)", count: 9).joined(separator: ",") + "]"
    }
    for bomb in [
      text + "]\n", text.replacing("seeds", with: "methods") + "]\n", "a: &x 1\nb: *x\n",
      "steps: !own 7\n", "!!int steps: 7\n",
    ] {
      #expect(message(bomb).contains("anchors, aliases"), "\(message(bomb))")
    }
    #expect(message("noise: 1e-400").contains("told from 0"))
    #expect(message("# Q&A, *all*! !x\nrng: 'numpy' # &b *b\nsteps: 7 # it's\n") == "")
    #expect(message(String(repeating: "#", count: 2 << 20)).contains("no settings"))
    #expect(message(String(repeating: "[", count: 100_000)) != "")
  }

  @Test func seedsAndMethodsAreDifferentOnes() {
    for (yaml, mention) in [
      ("seeds: []", "seeds"), ("seeds: [1, 2, 1]", "seeds"), ("methods: []", "methods"),
      ("methods: [ema, ema]", "methods"), ("seeds: [9223372036854775808]", "2^63"),
      ("seeds: [-1]", "seeds"),
    ] { #expect(message(yaml).contains(mention), "\(yaml): \(message(yaml))") }
    #expect(message("seeds: [9223372036854775807]") == "")
  }

  @Test func aListNeedsNoBracketsInAnOverride() throws {
    func config(_ overrides: String...) throws -> Config {
      try TraceRegression.defaults.overlaid(yaml: "", file: "x.yaml", overrides: overrides)
    }
    #expect(try config("seeds=4,5", "methods=ema, quantile").seeds == [4, 5])
    #expect(try config("seeds=4,5", "methods=ema, quantile").methods == ["ema", "quantile"])
    #expect(try config("seeds=4") == config("seeds=[4]"))
    #expect(try config("rng=numpy").rng == .numpy)
    for (wrong, mention) in [
      ("seeds=4,,5", "seeds"), ("seeds=", "seeds"), ("seeds=010,8", "decimal"),
      ("seeds=4]", "YAML"), ("methods=ema,median", "median"), ("steps=7,8", "steps"),
    ] {
      let text = message("", [wrong])
      #expect(text.contains(mention) && !text.contains("\n"), "\(wrong): \(text)")
    }
  }

  @Test func methodsAreListedWithThoseOfTheProfileMarked() throws {
    var config = MLPHeavyTails.defaults
    config.methods = ["adam-norm"]
    let lines = CurveCommand.methodLines(of: config)
    #expect(lines.count == MLPHeavyTails.arms.count)
    #expect(lines.filter { $0.hasPrefix("* ") }.count == 1)
    #expect(lines.contains { $0.hasPrefix("* adam-norm ") })
    #expect(lines.allSatisfy { !$0.hasSuffix(" ") })
    #expect(
      AnyCommand.methodLines(of: TraceRegression.defaults)
        == TraceRegression.defaults.methods.map { "* \($0)" })
  }

  private struct CurveCommand: ExperimentCommand {
    typealias Body = MLPHeavyTails
    @OptionGroup var options: ExperimentOptions
  }

  /// A program of several experiments takes the first one without its name, and every command has the suite's version.
  @Test func programsOfSeveralExperiments() throws {
    let main = try #require(
      CurvesAndMore.parseAsRoot(["--profile", "smoke"]) as? Subcommand<MLPHeavyTails>)
    #expect(main.options.profile == "smoke")
    #expect(try CurvesAndMore.parseAsRoot(["curves"]) is Subcommand<MLPHeavyTails>)
    let search = try #require(
      CurvesAndMore.parseAsRoot(["search", "--threads", "2"]) as? Subcommand<MLPSearch>)
    #expect(search.options.threads == 2)
    #expect(try CurvesAndMore.parseAsRoot(["truncation"]) is Subcommand<CIFAR10Truncation>)
    #expect(try CurvesAndMore.parseAsRoot(["scatter"]) is Subcommand<Smoothness>)
    for configuration in [CurvesAndMore.configuration, Subcommand<MLPSearch>.configuration] {
      #expect(configuration.version == suiteVersion)
    }
    #expect(CurvesAndMore.configuration.commandName == "mlp-heavy-tails")
  }

  private struct CurvesAndMore: ExperimentGroup {
    typealias Main = MLPHeavyTails
    static let others: [any Experiment.Type] = [
      MLPSearch.self, CIFAR10Truncation.self, Smoothness.self,
    ]
  }

  @Test func seedsAsACommandLineHasThem() throws {
    typealias Command = AnyCommand
    #expect(try Command.seeds("1-3,7") == "[1, 2, 3, 7]")
    #expect(try Command.seeds("11") == "[11]")
    for wrong in ["", "3-1", "1-", "-1", "a", "010", "1,,2", "1-2-3", "1-99999999", "٣"] {
      #expect(throws: ConfigError.self, "\(wrong)") { try Command.seeds(wrong) }
    }
  }

  private struct AnyCommand: ExperimentCommand {
    typealias Body = TraceRegression
    @OptionGroup var options: ExperimentOptions
  }

  @Test func listsWithoutEndAreRefused() {
    let list = (1...10_001).map(String.init).joined(separator: ",")
    for key in ["seeds", "hidden"] {
      #expect(throws: ConfigError.self) {
        try MLPHeavyTails.defaults.overlaid(
          yaml: "", file: "x.yaml", overrides: ["\(key)=\(list)"])
      }
    }
  }

  /// Every number of every experiment's settings at values that no one means: a clear error or settings, never a trap.
  @Test func absurdSettingsAreErrors() throws {
    for experiment in Suite.clipping.experiments { try tryAbsurdities(experiment) }
  }

  private func tryAbsurdities<E: Experiment>(_ experiment: E.Type) throws {
    let absurd = ["-1", "1000000000000", "9223372036854775808", ".nan", "1e400", "[]", "x"]
    let old = Dictionary(
      uniqueKeysWithValues: try E.defaults.lines.map { line in
        let parts = line.components(separatedBy: " = ")
        return (parts[0], parts[1])
      })
    for key in try E.defaults.names {
      for value in absurd {
        do {
          let config = try E.defaults.overlaid(
            yaml: "", file: "x.yaml", overrides: ["\(key)=\(value)"])
          // What was accepted can be planned.
          for job in E.jobs(of: config) {
            #expect(E.work(of: job, config) >= 0, "\(E.name) \(key)=\(value)")
          }
          _ = try config.lines
          let old = old[key] ?? ""
          if Int(old) != nil || value == ".nan" && Double(old) != nil {
            #expect(
              !["-1", "1000000000000", ".nan"].contains(value), "\(E.name) took \(key)=\(value)")
          }
        } catch {
          let text = "\(error)"
          #expect(
            !text.isEmpty && !text.contains("\n") && text.utf8.count < 1000,
            "\(E.name) \(key)=\(value): \(text)")
        }
      }
    }
  }

  /// Records that were made before a setting came are found again.
  @Test func aLaterSettingCountsOnlyWhereItDiffers() throws {
    var config = NanoGPT.defaults
    #expect(try config.names.contains("sketchStart") && config.yaml.contains("sketchStart: normal"))
    #expect(try !config.lines.contains { $0.hasPrefix("sketchStart") })
    config.sketchStart = .lastBasis
    #expect(try config.lines.contains("sketchStart = lastBasis"))
  }

  @Test func editDistanceCountsEdits() {
    #expect(editDistance("", "abc") == 3)
    #expect(editDistance("kitten", "sitting") == 3)
    #expect(editDistance("steps", "steps") == 0)
  }
}

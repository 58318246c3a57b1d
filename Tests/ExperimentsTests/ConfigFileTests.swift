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

  @Test func editDistanceCountsEdits() {
    #expect(editDistance("", "abc") == 3)
    #expect(editDistance("kitten", "sitting") == 3)
    #expect(editDistance("steps", "steps") == 0)
  }
}

// SPDX-License-Identifier: Apache-2.0

import Foundation
import LinearAlgebra
import Storage
import Testing

@testable import Experiments
@testable import Lab
@testable import spectral

/// Tables, their way through gnuplot, and the list of figures.
@Suite struct TableTests {
  private static let root = Paths().root ?? "."

  /// The rows of experiments/figures.tsv, by column.
  private static func figures() throws -> [[String: String]] {
    let text = try String(contentsOfFile: root + "/experiments/figures.tsv", encoding: .utf8)
    let rows = text.split(separator: "\n").map {
      $0.split(separator: "\t", omittingEmptySubsequences: false).map(String.init)
    }
    return try rows.dropFirst().map { row in
      try #require(row.count == rows[0].count, "\(row)")
      return Dictionary(uniqueKeysWithValues: zip(rows[0], row))
    }
  }

  /// The figures that have checked-in records: script, and the folder that `make figures` draws from.
  private static func drawn() throws -> [(script: String, folder: String)] {
    var seen: Set<String> = []
    return try figures().compactMap { row in
      guard let script = row["script"], script != "-", seen.insert(row["figure"] ?? "").inserted,
        let experiment = row["experiment"], let profile = row["profile"]
      else { return nil }
      let profiles = profile == "*" ? ClaimsReport.profiles : [profile]
      return profiles.map { "\(root)/results/\(experiment)/\($0)" }
        .first { FileManager.default.fileExists(atPath: $0) }.map { (script, $0) }
    }
  }

  /// gnuplot's SVG of a table; what it says on standard error must not be of a missing column.
  private func svgs(
    of table: Table, _ variables: String, _ script: String, in scratch: borrowing Scratch
  )
    throws -> [String: Data]
  {
    let folder = "\(scratch.path)/\(UUID().uuidString)"
    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    try AtomicFile.write(table.text, to: folder + "/t.tsv")
    try AtomicFile.write(variables, to: folder + "/t.tsv.vars")
    let process = Process()
    process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
    process.arguments = [
      "gnuplot", "-e", "table='\(folder)/t.tsv'; out='\(folder)/picture'; format='svg'",
      "figures/\(script).gp",
    ]
    process.currentDirectoryURL = URL(fileURLWithPath: Self.root)
    let errors = Pipe()
    process.standardError = errors
    process.standardInput = FileHandle.nullDevice
    try process.run()
    let said = String(
      decoding: try errors.fileHandleForReading.readToEnd() ?? Data(), as: UTF8.self)
    process.waitUntilExit()
    #expect(process.terminationStatus == 0, "\(script): \(said)")
    #expect(!said.contains("no column with header"), "\(script): \(said)")
    let names = try FileManager.default.contentsOfDirectory(atPath: folder)
      .filter { $0.hasSuffix(".svg") }
    return try Dictionary(
      uniqueKeysWithValues: names.map {
        ($0, try Data(contentsOf: URL(fileURLWithPath: "\(folder)/\($0)")))
      })
  }

  /// Blocks backwards, columns in the order of their names read backwards.
  private func shuffled(_ table: Table) -> Table {
    var other = table
    other.blocks = table.blocks.reversed().map { block in
      block.reordered(
        block.columns.indices.sorted {
          String(block.columns[$0].name.reversed()) < String(block.columns[$1].name.reversed())
        })
    }
    return other
  }

  private func expectSamePictures(
    _ table: Table, _ variables: (Table) -> String, _ script: String, in scratch: borrowing Scratch
  ) throws {
    let other = shuffled(table)
    #expect(other.text != table.text)
    let (plain, moved) = (
      try svgs(of: table, variables(table), script, in: scratch),
      try svgs(of: other, variables(other), script, in: scratch)
    )
    #expect(!plain.isEmpty && plain == moved, "\(script)")
  }

  @Test func figuresDoNotDependOnTheOrderOfColumns() throws {
    let figures = try Self.drawn()
    #expect(figures.count >= 10, "checked-in records")
    let scratch = Scratch()
    for figure in figures {
      let set = try RecordSet(folder: figure.folder)
      try expectSamePictures(
        Suite.clipping.experiment(of: set).table(of: set), { $0.gnuplotVariables(of: set) },
        figure.script, in: scratch)
    }
    let summary = try SummaryFigure(.clipping, results: Self.root + "/results")
    try expectSamePictures(
      summary.table, { $0.gnuplotVariables(stamp: summary.stamp) }, "summary", in: scratch)
  }

  /// What a script's panel of final values shows; nil where it has no such panel.
  private static func finalQuantity(of script: String) throws -> String? {
    let text = try String(contentsOfFile: "\(root)/figures/\(script).gp", encoding: .utf8)
    if text.contains("load \"figures/language.gp\"") { return try finalQuantity(of: "language") }
    return text.firstMatch(of: #/\nfinal = "([^"]+)"/#).map { String($0.1) }
  }

  /// The table with some columns times `factor`, every loss unless told otherwise.
  private func scaled(
    _ table: Table, by factor: Double,
    where isScaled: (String) -> Bool = { $0.contains("loss.") && !$0.hasSuffix(".rank") }
  ) -> Table {
    var other = table
    other.blocks = table.blocks.map { block in
      var result = Table.Block(block.name)
      for column in block.columns {
        switch column.cells {
        case .numbers(let values):
          result.add(column.name, isScaled(column.name) ? values.map { factor * $0 } : values)
        case .text(let values): result.add(column.name, text: values)
        }
      }
      return result
    }
    return other
  }

  /// Of a figure's records those of the three seeds that most arms have, beside all; nil for fewer seeds.
  private static func threeSeeds(of folder: String) throws -> (
    seeds: [Int], set: RecordSet, all: RecordSet
  )? {
    let all = try RecordSet(folder: folder)
    guard all.seeds.count >= 3 else { return nil }
    let held = Dictionary(
      grouping: try all.records.map { try $0.int(attribute: "seed") }, by: { $0 })
    let seeds = held.sorted { ($1.value.count, $0.key) < ($0.value.count, $1.key) }.prefix(3)
      .map(\.key)
    let set = try RecordSet(
      folder: "memory",
      records: all.records.filter { try seeds.contains($0.int(attribute: "seed")) })
    return (seeds, set, all)
  }

  /// The picture of `table` as text.
  private func picture(
    of table: Table, _ set: RecordSet, _ script: String, in scratch: borrowing Scratch
  ) throws -> String {
    let pictures = try svgs(of: table, table.gnuplotVariables(of: set), script, in: scratch)
    return String(decoding: try #require(pictures["picture.svg"]), as: UTF8.self)
  }

  /// n is what is drawn, in every figure with a panel of final values: of three seeds, a ring for each arm and seed, or an arrowhead
  /// at the edge, wherever the losses lie. Their table is that of all seeds, less the columns of the others; and a legend says which
  /// arm has no curve because runs of it diverged.
  @Test func everySeedOfThreeIsDrawnWhateverTheRange() throws {
    let scratch = Scratch()
    var tried = 0
    for figure in try Self.drawn() {
      guard let (seeds, set, all) = try Self.threeSeeds(of: figure.folder) else { continue }
      let experiment = try Suite.clipping.experiment(of: set)
      let (table, whole) = (try experiment.table(of: set), try experiment.table(of: all))
      for block in table.blocks where block.name != "final" {
        for column in block.columns {
          guard let place = column.name.range(of: ".seed") else { continue }
          #expect(seeds.map(String.init).contains(String(column.name[place.upperBound...])))
          let values = block.numbers(column.name)
          let others = whole[block: block.name]?.numbers(column.name) ?? []
          #expect(
            values.count <= others.count
              && zip(values, others).allSatisfy { $0 == $1 || ($0.isNaN && $1.isNaN) },
            "\(figure.script), \(block.name), \(column.name)")
        }
      }
      guard let final = try Self.finalQuantity(of: figure.script) else { continue }
      tried += 1
      let ends = try #require(table[block: "final"])
      let drawn = seeds.map { seed in
        ends.numbers("\(final).seed\(seed)").count { !$0.isNaN }
      }.reduce(0, +)
      #expect(drawn == set.records.count, "\(figure.script)")
      let diverged = set.records.contains {
        if case .double(let value)? = $0.attributes[final] { !value.isFinite } else { false }
      }
      for scale in [1.0, 10, 0.01] {
        let text = try picture(of: scaled(table, by: scale), set, figure.script, in: scratch)
        // A ring is gnuplot's point type 6 in the color of figures/finals.gp.
        let rings = text.matches(of: #/#gpPt5'[^>]*rgb\( *48, *48, *48\)/#).count
        #expect(
          rings + text.components(separatedBy: "▷").count - 1 == drawn,
          "\(figure.script) at \(scale)")
        if figure.script == "lstm-ptb" {
          #expect(text.contains("(runs diverged)") == diverged, "at \(scale)")
        }
      }
    }
    #expect(tried >= 6, "checked-in records of three seeds")
  }

  /// And in the figures of points and of cells, a mark for each.
  @Test(arguments: [
    ("smoothness", #"#gpPt6'"#, ["grad_norm", "smoothness_max"]),
    ("mlp-heatmap", #"<polygon fill = 'rgb\(208, 208, 208\)'"#, ["loss", "gap"]),
  ])
  func everyPointAndCellOfThreeSeedsIsDrawn(
    _ script: String, _ mark: String, _ quantities: [String]
  ) throws {
    let scratch = Scratch()
    let figure = try #require(Self.drawn().first { $0.script == script })
    let (seeds, set, _) = try #require(try Self.threeSeeds(of: figure.folder))
    let table = try Suite.clipping.experiment(of: set).table(of: set)
    let blocks =
      script == "smoothness"
      ? set.methods : ["norm", "spectral", "quantile", "gap"].filter { table[block: $0] != nil }
    let rows = try blocks.map { name in
      let block = try #require(table[block: name])
      if script == "smoothness" {
        #expect(Set(block.numbers("seed")) == Set(seeds.map(Double.init)))
      }
      return block.numbers(block.columns[0].name).count
    }.reduce(0, +)
    #expect(rows > 100)
    for scale in [1.0, 10, 0.01] {
      let other = scaled(table, by: scale) { quantities.contains($0) }
      let text = try picture(of: other, set, script, in: scratch)
      #expect(text.matches(of: try Regex(mark)).count == rows, "at \(scale)")
    }
  }

  @Test func everyExperimentIsInTheListOfFiguresAndWhatItNamesIsThere() throws {
    let rows = try Self.figures()
    let experiments = Set(Suite.clipping.experiments.map { $0.name })
    #expect(Set(rows.compactMap { $0["experiment"] }) == experiments.union(["-"]))
    for row in rows {
      let (figure, profile) = (row["figure"] ?? "", row["profile"] ?? "")
      for (kind, suffix) in [("script", ".gp")] where row[kind] != "-" {
        let file = "\(Self.root)/figures/\(row[kind] ?? "")\(suffix)"
        #expect(FileManager.default.fileExists(atPath: file), "\(figure): \(file)")
      }
      if profile != "*" {
        let file = Paths().config(experiment: row["experiment"] ?? "", profile: profile)
        #expect(FileManager.default.fileExists(atPath: file), "\(figure): \(file)")
      }
      for need in (row["needs"] ?? "-").split(separator: " ") where need != "-" {
        #expect(rows.contains { $0["figure"] == String(need) }, "\(figure) needs \(need)")
      }
    }
  }

  @Test func textOfARecordIsDataToGnuplot() throws {
    let scratch = Scratch()
    let witness = scratch.path + "/witness"
    let hostile = "x'\"`touch \(witness)`\n!touch \(witness)\t{/Bold #} <script> @v \u{7}"
    #expect(Table.quoted("it's") == "'it''s'")
    #expect(!Table.quoted(hostile).contains("\n"))
    let cell = Table.cell(hostile)
    #expect(!cell.contains("\t") && !cell.contains("\n") && !cell.contains("\""))
    #expect(Table.cell("#x") == " #x" && Table.cell("") == "-" && Table.cell("NaN") == " NaN")

    // A record whose every text is hostile is drawn like another; nothing runs.
    let config = "methods: [\"\(Table.word(hostile).filter { $0 != "\"" })\"]"
    let records = (1...2).map { seed in
      Record(
        attributes: [
          "config": .string(config), "method": .string(hostile), "title": .string(hostile),
          "profile": .string(hostile), "data": .string(hostile), "seed": .int(seed),
          "tail_bias_sq_exact": .double(0.5),
        ],
        dataSets: [.init("step", .int64([0, 1, 2]))]
          + ["bias_sq_monte_carlo_mean", "bias_sq_exact_mean", "bias_sq_exact"].map {
            .init($0, .double([3, 2, 1]))
          })
    }
    let set = try RecordSet(folder: "memory", records: records)
    let table = try TraceRegression.table(of: set)
    let pictures = try svgs(
      of: table, table.gnuplotVariables(of: set), "trace-regression", in: scratch)
    #expect(pictures.count == 1)
    #expect(!FileManager.default.fileExists(atPath: witness))
    let picture = String(decoding: pictures.values.first ?? Data(), as: UTF8.self)
    #expect(!picture.contains("<script"))
    let head = Tabulate.head(title: "a < b & c", stamp: hostile)
    #expect(head.hasPrefix("<title>a &lt; b &amp; c</title>\n<desc>") && !head.contains("<script"))
    #expect(head.split(separator: "\n").count == 2)
  }

  @Test func blocksAreFoundByNameAndTheirColumnsAreEquallyLong() throws {
    var table = Table()
    var block = Table.Block("two words")
    block.add("x", [1, .nan])
    block.add("name", text: ["a", "b\tc"])
    table.add(block)
    table.add(Table.Block("empty"))
    table.set("n", .number(2))
    table.set("list", .texts(["a", "b's"]))
    table.set("none", .texts([]))
    #expect(table.text == "# [two_words]\nx\tname\n1.0\ta\nNaN\tb c\n")
    #expect(table[block: "two_words"]?.numbers("x")[0] == 1)
    #expect(table[block: "two_words"]?.texts("name") == ["a", "b\tc"])
    let set = try RecordSet(folder: "memory", records: [])
    let variables = table.gnuplotVariables(of: set)
    #expect(variables.contains("blocks = '[two_words]'\nn = 2.0\nn_list = 2\n"))
    #expect(variables.contains("array list[2] = ['a', 'b''s']\nn_none = 0\n"))
  }

  @Test func armsOfAPanelAreToldApart() {
    let names = [
      "adam-none", "adam-norm", "sgdm-norm", "sgdm-spectral-const", "sgdm-spectral-ema",
      "sgdm-spectral-quantile", "muon",
    ]
    let styles = ArmStyle.styles(names)
    #expect(Set(styles.map { "\($0.color) \($0.dash)" }).count == names.count)
    // Without color, too: by the dash alone, and by the mark alone.
    #expect(Set(styles.map(\.dash)).count == names.count)
    #expect(Set(styles.map(\.mark)).count == names.count)
    // An arm looks the same in the panel of another optimizer.
    let norm = ArmStyle.styles(["gpt2-adam-norm", "gpt2-adam-spectral", "gpt2-adam-norm-same-set"])
    #expect(norm[0] == styles[2] && norm[1] == styles[3])
    #expect(norm[2].color == norm[0].color && Set(norm.map(\.dash)).count == 3)
    // A second arm of a role that stands before another role's first leaves that one as it is; arms without a role differ.
    let mixed = ArmStyle.styles(["norm-a", "norm-b", "spectral", "x", "y", "norm-c", "z"])
    #expect(mixed[0] == norm[0] && mixed[2] == norm[1])
    #expect(Set(mixed.map(\.dash)).count == 7 && Set(mixed.map(\.mark)).count == 7)
  }

  @Test func aPanelHoldsAtMostSevenLines() {
    let arms = (1...15).map { TableArm(name: "a\($0)", title: "a", group: "g") }
    let groups = TableArm.split(arms).map(\.group)
    #expect(Set(groups).count == 3)
    for group in Set(groups) { #expect(groups.count { $0 == group } <= TableArm.linesPerPanel) }
  }
}

import Lab
import Foundation
import LinearAlgebra
import Storage

/// Tables of Figs 2a and 5b.
enum ImageTable {
  /// The series of a block, in its order: each has mean (of losses the geometric one), low, high (95 % Student's t over
  /// the seeds) and each seed.
  static let quantities = ["val_accuracy", "train_loss", "val_loss", "clip_error"]

  /// One block a method: epoch, then `quantities`; then one block with a row for each method: its number, final accuracy
  /// and final accuracy over several views (mean, low, high, seeds each), milliseconds of clip and of the whole in
  /// a step (`RunStatistics`), title.
  static func text(of set: RecordSet) throws -> String {
    var text = ""
    var finals = "# final: number, accuracy, accuracy over views, clip ms, step ms, title\n"
    let seeds = set.seeds.count
    /// As many columns for every method, also where one has fewer seeds.
    func columns(_ values: [Double], areLosses: Bool = false) -> String {
      ((areLosses ? RunStatistics.geometricMean(values).columns : RecordSet.interval(values))
        + values + Array(repeating: .nan, count: seeds - values.count))
        .map { "\t" + number($0) }.joined()
    }
    for (index, method) in set.methods.enumerated() {
      let records = try set.records(of: method)
      let epochs = try records[0].ints("step").map {
        Double($0) / Double(try records[0].int(attribute: "steps_per_epoch"))
      }
      let series = try quantities.map { name in
        try records.map { try name == "clip_error" ? meanClipError($0) : $0.doubles(name) }
      }
      text += "# \(method)\n"
      for (row, epoch) in epochs.enumerated() {
        text += number(epoch)
        for (name, quantity) in zip(quantities, series) {
          text += columns(quantity.map { $0[row] }, areLosses: name.hasSuffix("_loss"))
        }
        text += "\n"
      }
      text += "\n\n"
      let accuracies = try ["final_val_accuracy", "final_augmented_accuracy"].map {
        try set.values($0, of: method)
      }
      let times = try milliseconds(records)
      finals +=
        "\(index + 1)" + accuracies.map { columns($0) }.joined() + "\t\(number(times.clip))"
        + "\t\(number(times.step))\t\(try set.title(of: method))\n"
    }
    return text + finals
  }

  /// At each point, the mean over the convolutions.
  private static func meanClipError(_ record: Record) throws -> [Double] {
    let (values, points) = (try record.doubles("clip_error"), try record.ints("step").count)
    let layers = values.count / max(1, points)
    return (0..<points).map { Statistics.mean(values[($0 * layers)..<(($0 + 1) * layers)]) }
  }

  /// Milliseconds of an undisturbed step, in the clip alone and whole; NaN if all diverged.
  static func milliseconds(_ records: [Record]) throws -> (clip: Double, step: Double) {
    try (
      1000 * RunStatistics.clipSecondsPerStep(records), 1000 * RunStatistics.secondsPerStep(records)
    )
  }

  /// The numbers of a caption.
  static func captionValues(of set: RecordSet) throws -> [(String, String)] {
    let record = set.records[0]
    let config = try CIFAR10ResNet18.config(of: set).settings
    let lines = try set.methods.map { method in
      let accuracies = try set.values("final_val_accuracy", of: method)
      let diverged = accuracies.count { !$0.isFinite }
      let times = try milliseconds(set.records(of: method))
      return try set.title(of: method)
        + (diverged > 0
          ? ": \(diverged) of \(accuracies.count) runs diverged"
          : String(
            format: " %.1f %% (clip %.2g of %.3g ms a step)", 100 * Statistics.mean(accuracies),
            times.clip, times.step))
    }
    let parameters = try ImageNetwork.allCases.compactMap { network -> String? in
      let own = try set.records.first {
        try $0.string(attribute: "network") == network.rawValue
      }
      return try own.map { "\(network.title) \(try $0.int(attribute: "parameters"))" }
    }
    return [
      ("finals", lines.joined(separator: "; ")),
      (
        "spread",
        set.seeds.count > 1
          ? "mean over n = \(set.seeds.count) seeds with 95 % Student's t bands" : "one seed"
      ),
      ("parameters", parameters.joined(separator: ", ")),
      ("data", try record.string(attribute: "data")),
      ("trainingImages", "\(config.trainingImages)"), ("testImages", "\(config.testImages)"),
      ("epochs", "\(config.epochs)"), ("batchSize", "\(config.batchSize)"),
      ("imagesSummed", "\(config.imagesSummed)"), ("narrowing", "\(config.narrowing)"),
      ("rank", "\(config.rank)"), ("oversampling", "\(config.oversampling)"),
      ("powerIterations", "\(config.powerIterations)"),
      ("steps", "\(try record.ints("step").last ?? 0)"),
    ]
  }
}

extension CurveExperiment where Task == ImageTask {
  package static func table(of set: RecordSet) throws -> String { try ImageTable.text(of: set) }
  package static func captionValues(of set: RecordSet) throws -> [(String, String)] {
    try ImageTable.captionValues(of: set)
  }
}

import Storage

/// A record of values along the recorded steps of a training run, some of them layer by layer.
///
/// A run that diverged has no values for its later steps; they are padded with NaN, so that the axes of all
/// runs of an experiment stay equal.
package struct StepRecord {
  package private(set) var record: Record
  private let steps: [Int]
  private let layers: [String]

  /// The axes: every recorded step k + 1 of `count` steps, and `layers`, which `layerName` describes.
  package init(
    attributes: Attributes, count: Int, every: Int, layers: [String], layerName: String
  ) {
    record = Record(attributes: attributes)
    steps = (0..<count).filter { Self.isRecorded($0, every: every, of: count) }.map { $0 + 1 }
    self.layers = layers
    record.add(
      .init(
        "step", .int64(steps.map { Int64($0) }), longName: "training steps done", units: "1"))
    record.add(.init("layer", .string(layers), longName: layerName))
  }

  /// Whether step k = 0, …, count - 1 is a point: the first, every `every`-th, and the last.
  package static func isRecorded(_ k: Int, every: Int, of count: Int) -> Bool {
    k == 0 || (k + 1) % every == 0 || k == count - 1
  }

  /// One value a point.
  package mutating func add(_ name: String, _ values: [Double], _ longName: String) {
    record.add(
      .init(name, .double(padded(values)), longName: longName, units: "1", dimensions: ["step"]))
  }

  /// One value a point and layer.
  package mutating func addLayers(_ name: String, _ values: [Double], _ longName: String) {
    record.add(
      .init(
        name, .float(padded(values, layers.count).map { Float($0) }),
        shape: [steps.count, layers.count], longName: longName, units: "1",
        dimensions: ["step", "layer"]))
  }

  /// Seconds since the start at every point; a time, so it goes to the telemetry.
  package mutating func addTimes(_ name: String, _ values: [Double], _ longName: String) {
    record.telemetry.add(.init(name, .double(padded(values)), longName: longName, units: "s"))
  }

  /// How the seconds of the run were spent.
  package mutating func addSeconds(
    forward: Double, backward: Double, update: (clip: Double, optimizer: Double)
  ) {
    record.telemetry.attributes["seconds_forward"] = .double(forward)
    record.telemetry.attributes["seconds_backward"] = .double(backward)
    record.telemetry.attributes["seconds_clip"] = .double(update.clip)
    record.telemetry.attributes["seconds_optimizer"] = .double(update.optimizer)
  }

  private func padded(_ values: [Double], _ width: Int = 1) -> [Double] {
    values + Array(repeating: .nan, count: steps.count * width - values.count)
  }
}

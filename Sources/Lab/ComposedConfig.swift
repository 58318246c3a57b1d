// SPDX-License-Identifier: Apache-2.0

/// The settings of an experiment on a workload: the workload's and the experiment's own, read and written as one flat mapping.
///
///     var config = NanoGPT.defaults
///     config.steps = 500            // the workload's
///     config.seeds = [1, 2]         // the experiment's
@dynamicMemberLookup
package struct ComposedConfig<Settings: WorkloadSettings, Own: ExperimentConfig>: ExperimentConfig {
  /// The workload's.
  package var settings: Settings
  /// The experiment's own.
  package var own: Own

  /// The settings given.
  package init(_ settings: Settings, _ own: Own) { (self.settings, self.own) = (settings, own) }

  /// The workload's settings, as if they were the configuration's.
  package subscript<Value>(dynamicMember path: WritableKeyPath<Settings, Value>) -> Value {
    get { settings[keyPath: path] }
    set { settings[keyPath: path] = newValue }
  }

  /// The experiment's own settings likewise.
  package subscript<Value>(dynamicMember path: WritableKeyPath<Own, Value>) -> Value {
    get { own[keyPath: path] }
    set { own[keyPath: path] = newValue }
  }

  package var methods: [String] {
    get { own.methods }
    set { own.methods = newValue }
  }

  package var seeds: [UInt64] {
    get { own.seeds }
    set { own.seeds = newValue }
  }

  /// One flat mapping.
  package init(from decoder: any Decoder) throws {
    (settings, own) = (try Settings(from: decoder), try Own(from: decoder))
  }

  /// One flat mapping.
  package func encode(to encoder: any Encoder) throws {
    try settings.encode(to: encoder)
    try own.encode(to: encoder)
  }

  package static var later: [String: String] { Settings.later.merging(Own.later) { $1 } }
  package static var limits: [String: ClosedRange<Int>] {
    Settings.limits.merging(Own.limits) { $1 }
  }

  package func validate() throws {
    try settings.validate()
    try own.validate()
  }

  package func restricted(to method: String) -> ComposedConfig {
    ComposedConfig(settings, own.restricted(to: method))
  }
}

// SPDX-License-Identifier: Apache-2.0

import Foundation
import Storage
import Yams

/// The file `experiments/<name>/tuned.yaml`: what a search chose.
package enum TunedHyperparameters {
  /// Reads a file with one mapping `methods:` from arms to hyper-parameters.
  ///
  /// Throws a `ConfigError` for a file that cannot be read, an arm that does not exist and a hyper-parameter that is
  /// missing, unknown or meaningless.
  package static func read(_ file: String, arms: [Arm]) throws -> ArmHyperparameters {
    guard let text = FileBytes.text(file) else {
      throw ConfigError(
        file, "cannot be read", hint: "run the experiment's search, or give `hyperparameters`")
    }
    guard let entries = try plainNode(of: text, at: file)?["methods"]?.mapping else {
      throw ConfigError(
        file, "has no mapping 'methods'", hint: "write 'methods:' and below it one method each")
    }
    var values = ArmHyperparameters()
    for (key, node) in entries {
      let arm = try arms.named(key.string ?? "", place: file)
      let place = "\(file), method '\(arm.name)'"
      var own = Hyperparameters()
      for (parameter, value) in node.mapping ?? [:] {
        guard let number = value.float else {
          throw ConfigError(
            place, "'\(parameter.string ?? "")' is no number", hint: "write learningRate: 0.01")
        }
        own[parameter.string ?? ""] = number
      }
      try arm.check(own, place: place)
      values[arm.name] = own
    }
    return values
  }

  /// The text of such a file, arms in the order of `arms`.
  package static func text(
    comment: String, _ values: ArmHyperparameters, arms: [Arm]
  ) throws -> String {
    var text = "# \(comment)\nmethods:\n"
    for arm in arms {
      guard let own = values[arm.name] else { continue }
      text += "  \(arm.name):\n"
      for parameter in arm.hyperparameters {
        text += "    \(parameter.name): \(try own(parameter.name))\n"
      }
    }
    return text
  }

  /// `given` with an entry for each of `methods`: an arm that is tuned as another takes that one's values; what is not
  /// given is read from the file.
  package static func fill(
    _ given: ArmHyperparameters, methods: [String], arms: [Arm], file: String
  ) throws -> ArmHyperparameters {
    var result = given
    var fromFile: ArmHyperparameters?
    for name in methods where given[name] == nil {
      let arm = try arms.named(name, place: "setting 'methods'")
      if let own = given[arm.tunedAs] {
        result[name] = own
        continue
      }
      let tuned = try fromFile ?? read(file, arms: arms)
      fromFile = tuned
      guard let own = tuned[arm.tunedAs] else {
        throw ConfigError(
          file, "has no method '\(arm.tunedAs)', which this configuration runs",
          hint: "run the experiment's search for it, or leave the method out")
      }
      result[name] = own
    }
    return result
  }
}

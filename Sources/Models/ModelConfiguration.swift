// SPDX-License-Identifier: Apache-2.0

import Foundation
import Storage

/// What the shapes in a file of weights do not say: how many heads, which code base, which vocabulary. The members are those of
/// Hugging Face's config.json; this suite's files carry the same text in their safetensors metadata, as "config".
public struct ModelConfiguration: Sendable, Equatable {
  /// The members, in order.
  package var members: [JSON.Member]
  /// Where it was read.
  private var place = "config"
  /// What to do about a wrong one.
  private var hint = "correct it"

  /// The members given.
  package init(_ members: [(name: String, value: JSON)]) {
    self.members = members.map { JSON.Member(name: $0.name, value: $0.value) }
  }

  /// The name under which the metadata of a file have it.
  static let metadataName = "config"
  /// The file that has it beside the weights.
  static let fileName = "config.json"

  /// What the metadata of `file` say, else what config.json beside it says; nil without either.
  ///
  /// Throws a `StorageError` for a text that is not an object of JSON.
  public init?(of file: TensorFile) throws {
    if let own = file.metadata.first(where: { $0.name == Self.metadataName }) {
      try self.init(parsing: Data(own.value.utf8), at: file.path, hint: "write the weights anew")
      return
    }
    let folder = URL(fileURLWithPath: file.path).deletingLastPathComponent().path
    let path = "\(folder)/\(Self.fileName)"
    guard FileManager.default.fileExists(atPath: path) else { return nil }
    let size = (try? FileManager.default.attributesOfItem(atPath: path)[.size] as? Int) ?? 0
    guard size <= 1 << 24 else {
      throw StorageError(
        "\(size) bytes are no configuration", at: path, hint: "move it away and give --heads")
    }
    try self.init(
      parsing: FileBytes.read(path), at: path,
      hint: "correct it, or move it away and give --heads")
  }

  private init(parsing text: Data, at place: String, hint: String) throws {
    let json: JSON
    do { json = try JSON(parsing: text) } catch let fault as JSON.Fault {
      throw StorageError(
        "the configuration is not JSON: \(fault.what) at byte \(fault.offset)", at: place,
        hint: hint)
    }
    guard case .object(let members) = json else {
      throw StorageError("the configuration is not an object", at: place, hint: hint)
    }
    (self.members, self.place, self.hint) = (members, place, hint)
  }

  /// As config.json has it, a line a member.
  package var text: String {
    "{\n"
      + members.map { "  \(JSON.quoted($0.name)): \($0.value.text)" }.joined(separator: ",\n")
      + "\n}\n"
  }

  /// On one line.
  package var line: String { JSON.object(members).text }

  /// The whole number that stands under the first of `names` that is there.
  public func int(_ names: String...) -> Int? { int(names) }

  private func int(_ names: [String]) -> Int? {
    for name in names {
      if case .number(let digits)? = JSON.object(members)[name] { return Int(digits) }
    }
    return nil
  }

  /// The text of that name.
  public func text(_ name: String) -> String? {
    guard case .string(let text)? = JSON.object(members)[name] else { return nil }
    return text
  }

  /// Attention heads, under any of the names that are in use.
  public var heads: Int? { int("n_head", "num_attention_heads", "num_heads") }

  /// The approximations of GELU by a hyperbolic tangent, and GELU itself, as Hugging Face calls them.
  static let gelus = (
    tanh: ["gelu_new", "gelu_pytorch_tanh", "gelu_fast", "gelu_python_tanh", "gelu_accurate"],
    erf: ["gelu", "gelu_python"]
  )

  /// Throws a `StorageError` where it says that something is computed otherwise than here: under that name a text that is none of
  /// `texts`, or a number or truth value that is not the one given.
  func check(
    _ name: String, says texts: [String] = [], number: Double? = nil, flag: Bool? = nil
  ) throws {
    let (said, ours): (String, String)
    switch JSON.object(members)[name] {
    case .string(let text)? where !texts.isEmpty && !texts.contains(text):
      (said, ours) = (text, texts[0])
    case .number(let digits)? where number.map { Double(digits) != $0 } ?? false:
      (said, ours) = (digits, number.map { "\($0)" } ?? "")
    case .bool(let value)? where flag.map { $0 != value } ?? false:
      (said, ours) = ("\(value)", "\(!value)")
    default: return
    }
    throw StorageError(
      "says \(name) \(said), and here it is \(ours): such a model is not in this suite",
      at: place, hint: hint)
  }

  /// Throws a `StorageError` where it says another number than the shapes: then it is of another model, and its heads are too.
  func check(_ names: String..., is size: Int) throws {
    guard let said = int(names), said != size else { return }
    let name = names.first { JSON.object(members)[$0] != nil } ?? names[0]
    throw StorageError(
      "says \(name) \(said), and the weights have \(size): it is of another model", at: place,
      hint: "put the right one there, or move it away and give --heads")
  }
}

/// The attention heads of a model of `width` channels from `file`: as given, else as its configuration says, else the only
/// number that is possible.
///
/// With a `convention` that many channels a head are taken where nothing says more, and `note` is told. Throws a `StorageError`
/// for heads that do not divide the width, and where several numbers would do.
func resolvedHeads(
  _ given: Int?, width: Int, _ configuration: ModelConfiguration?, convention: Int? = nil,
  at path: String, note: (String) -> Void = { _ in }
) throws -> Int {
  let said = given ?? configuration?.heads
  let possible = (1...max(1, min(width, 4096))).filter { width % $0 == 0 }
  if let said {
    guard said >= 1, width % said == 0 else {
      throw StorageError(
        "\(said) heads do not divide the width \(width)", at: path, hint: "give --heads")
    }
    return said
  }
  if let convention {
    let heads = max(1, width / convention)
    guard width % heads == 0 else {
      throw StorageError(
        "\(heads) heads do not divide the width \(width)", at: path, hint: "give --heads")
    }
    note(
      "\(path): neither its metadata nor a config.json says how many heads it has; \(heads) taken, \(width / heads) channels each "
        + "(--heads says otherwise)")
    return heads
  }
  guard possible.count == 1 else {
    throw StorageError(
      "its shapes do not say how many heads it has, and neither metadata nor a config.json do",
      at: path,
      hint: "give --heads, one of \(possible.prefix(12).map(String.init).joined(separator: ", "))")
  }
  return possible[0]
}

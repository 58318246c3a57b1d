// SPDX-License-Identifier: Apache-2.0

import Foundation
import LinearAlgebra
import Storage

/// Texts with a label each.
public struct LabeledTexts: Equatable, Sendable {
  /// Where they come from: a file, of which text i is line i + 1.
  public let place: String
  /// The texts.
  public private(set) var texts: [String]
  /// The number of each text's label.
  public private(set) var labels: [Int]

  /// How many.
  public var count: Int { texts.count }

  /// Texts and labels as given, as many of both.
  public init(place: String, texts: [String], labels: [Int]) {
    precondition(texts.count == labels.count, "\(texts.count) texts, \(labels.count) labels")
    (self.place, self.texts, self.labels) = (place, texts, labels)
  }

  /// Reads lines `text;label`, UTF-8, of which the last semicolon parts the two.
  ///
  /// Throws a `StorageError` that names the line for one without a label or with one that is none of `names`, and for a file that
  /// cannot be read, is empty or not UTF-8.
  public init(file path: String, labels names: [String]) throws {
    let hint = "move it away and get it again (make data-emotion)"
    guard let all = String(validating: try FileBytes.read(path), as: UTF8.self) else {
      throw StorageError("is not UTF-8", at: path, hint: hint)
    }
    var lines = all.lines
    if lines.last?.isEmpty ?? false { lines.removeLast() }
    guard !lines.isEmpty else { throw StorageError("is empty, no text", at: path, hint: hint) }
    (place, texts, labels) = (path, [], [])
    for (number, line) in lines.enumerated() {
      guard let cut = line.lastIndex(of: ";") else {
        throw StorageError("line \(number + 1) has no label (text;label)", at: path, hint: hint)
      }
      let name = line[line.index(after: cut)...].trimmingCharacters(in: .whitespacesAndNewlines)
      guard let label = names.firstIndex(of: name) else {
        throw StorageError(
          "line \(number + 1) has the label '\(name)'", at: path,
          hint: "labels are \(names.joined(separator: ", "))")
      }
      texts.append(String(line[..<cut]))
      labels.append(label)
    }
  }

  /// The first `count` of them, or all if they are fewer.
  public func first(_ count: Int) -> LabeledTexts {
    LabeledTexts(
      place: place, texts: Array(texts.prefix(count)), labels: Array(labels.prefix(count)))
  }
}

/// Emotion (Saravia et al. 2018): short English messages, each with one of six emotions, in three parts.
public struct EmotionTexts: Sendable {
  /// What figures call it.
  public let name: String
  /// Whether it was generated because the files are not there, or because that was asked for.
  public let isStandIn: Bool
  /// SHA-256 of the files.
  public let digest: String
  /// Its parts: 16 000, 2000 and 2000 texts.
  public let training: LabeledTexts, validation: LabeledTexts, test: LabeledTexts

  /// The six emotions, in the order of their numbers.
  public static let labels = ["sadness", "joy", "love", "anger", "fear", "surprise"]

  /// What can be loaded.
  public enum Source: String, Codable, Sendable, CaseIterable {
    /// `emotion/{train,val,test}.txt`.
    case emotion
    /// Generated texts, which need no file.
    case standIn = "stand-in"
  }

  /// Reads `source` below `folder`, or generates the stand-in if none of its files is there.
  ///
  /// Throws a `StorageError` for files that are damaged, or of which some are missing.
  public static func load(_ source: Source, folder: String) throws -> EmotionTexts {
    let paths = ["train", "val", "test"].map { "\(folder)/emotion/\($0).txt" }
    guard source == .emotion, paths.contains(where: FileManager.default.fileExists) else {
      let parts = [("training", 2000), ("validation", 500), ("test", 500)].map(standIn)
      return EmotionTexts(
        name: "generated stand-in for Emotion", isStandIn: true, digest: "",
        training: parts[0], validation: parts[1], test: parts[2])
    }
    for path in paths where !FileManager.default.fileExists(atPath: path) {
      throw StorageError(
        "is missing, a part of Emotion", at: path, hint: "get it (make data-emotion)")
    }
    let parts = try paths.map { try LabeledTexts(file: $0, labels: labels) }
    return EmotionTexts(
      name: "Emotion", isStandIn: false,
      digest: try paths.map { try Digest.sha256(ofFile: $0) }.joined(separator: " "),
      training: parts[0], validation: parts[1], test: parts[2])
  }

  /// Texts of 4 to 19 words of two syllables in no language: one of the eight words of its label, among 200 that say nothing.
  private static func standIn(_ part: String, _ count: Int) -> LabeledTexts {
    let syllables = "bdfgklmnprstvz".flatMap { c in "aeiou".map { "\(c)\($0)" } }
    func word(_ number: Int) -> String {
      syllables[number / syllables.count] + syllables[number % syllables.count]
    }
    let stream = RandomStream(seed: 1, name: "stand-in emotion/\(part)")
    var (texts, own) = ([String](), [Int]())
    for index in 0..<count {
      var random = stream.element(index)
      let label = random.integer(below: labels.count)
      let length = 4 + random.integer(below: 16)
      let telling = random.integer(below: length)
      texts.append(
        (0..<length).map { place in
          word(
            place == telling
              ? 200 + 8 * label + random.integer(below: 8) : random.integer(below: 200))
        }.joined(separator: " "))
      own.append(label)
    }
    return LabeledTexts(place: "the generated \(part) texts", texts: texts, labels: own)
  }
}

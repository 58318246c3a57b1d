// SPDX-License-Identifier: Apache-2.0

import LinearAlgebra

// Data that mean nothing, made in no time and without files: what a step costs does not depend on what a text says.

extension LanguageData {
  /// `count` random tokens to train on and as many held out, in a vocabulary as large as that of `source`, but no larger than
  /// `limit`.
  public static func placeholder(
    _ source: Source, count: Int, merges: Int = 50_000, fileTokens: FileTokens = .characters,
    limit: Int = .max
  ) -> LanguageData {
    let vocabulary = min(source.vocabulary(merges: merges, fileTokens), limit)
    let stream = RandomStream(seed: 0, name: "placeholder")
    let tokens = (0..<count).map { UInt16(stream.integer(below: vocabulary, at: $0)) }
    return LanguageData(
      name: "random tokens", isStandIn: true, vocabulary: vocabulary, training: tokens,
      validation: tokens, digest: ""
    ) { _ in "" }
  }
}

extension LanguageData.Source {
  /// How many tokens its vocabulary has, or may have where only the files can say it.
  public func vocabulary(merges: Int, _ fileTokens: LanguageData.FileTokens) -> Int {
    switch self {
    case .shakespeare, .standIn: 65
    case .wikiText: 257 + merges
    case .fineWeb, .binary: 50_257
    case .gpt2Basic: 512
    case .pennTreebank: 10_000
    case .file: fileTokens == .gpt2 ? 257 + merges : 100
    }
  }
}

extension ImageData {
  /// Random images of the shape of those of `source`, in ten classes.
  public static func placeholder(_ source: Source, training: Int, test: Int) -> ImageData {
    let isGray =
      switch source {
      case .fashionMNIST, .fashionMNISTOrStandIn, .grayStandIn: true
      default: false
      }
    let (side, channels) = isGray ? (28, 1) : (32, 3)
    func images(_ count: Int, _ name: String) -> LabeledImages {
      let stream = RandomStream(seed: 0, name: "placeholder/\(name)")
      let size = side * side * channels
      return LabeledImages(
        height: side, width: side, channels: channels,
        pixels: stream.uniforms(count * size, as: Float.self).map { UInt8(255 * $0) },
        labels: (0..<count).map { UInt8($0 % 10) })
    }
    let part = images(training, "training")
    return ImageData(
      name: "random images", isStandIn: true, classes: (0..<10).map { "\($0)" }, training: part,
      test: images(test, "test"),
      normalization: ImageNormalization(
        mean: Array(repeating: 0.5, count: channels),
        deviation: Array(repeating: 0.25, count: channels)), digest: "")
  }
}

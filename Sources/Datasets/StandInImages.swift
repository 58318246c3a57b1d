// SPDX-License-Identifier: Apache-2.0

import LinearAlgebra

/// Generated images in the shape of CIFAR-10, of ten classes that a network can tell apart.
///
/// A class is the direction of a grating (five of them, each with its mirror image) and the colour of a blob
/// (two). Everything else is drawn for each image: background, phase, strength and sign of the grating, place,
/// size and strength of the blob, and a noise as strong as the grating. All arithmetic is on integers, so
/// the images are the same everywhere.
struct StandInImages {
  static let trainingCount = 5_000
  static let testCount = 1_000
  static let classes = ["level", "flat", "diagonal", "steep", "upright"].flatMap { direction in
    ["warm", "cold"].map { "\(direction) grating, \($0) blob" }
  }

  /// The test images follow the training images, generated once a process.
  static let all = images(0..<(trainingCount + testCount))

  private static let side = 32
  /// Wave vectors [across, down] in 64ths of a period a pixel: about eight pixels a period.
  private static let waves = [(0, 8), (3, 7), (6, 6), (7, 3), (8, 0)]
  private static let stream = RandomStream(seed: 1, name: "stand-in images")
  /// Words to cut the noise of an image out of, at random.
  private static let noise: [UInt16] = {
    var words = [UInt16](repeating: 0, count: 1 << 18)
    words.withUnsafeMutableBufferPointer { stream.child("noise").fill(bits: $0, from: 0) }
    return words
  }()

  /// The images of these numbers; an image depends on its number alone.
  static func images(_ numbers: Range<Int>) -> LabeledImages {
    let size = side * side * 3
    var labels: [UInt8] = []
    let pixels = [UInt8](unsafeUninitializedCapacity: numbers.count * size) { buffer, initialized in
      noise.withUnsafeBufferPointer { noise in
        guard let pixels = buffer.baseAddress, let noise = noise.baseAddress else { return }
        labels = numbers.enumerated().map { draw($1, noise, into: pixels + $0 * size) }
      }
      initialized = numbers.count * size
    }
    return LabeledImages(height: side, width: side, channels: 3, pixels: pixels, labels: labels)
  }

  /// Draws an image into pixels[side, side, 3] and returns its class.
  private static func draw(
    _ number: Int, _ noise: UnsafePointer<UInt16>, into pixels: UnsafeMutablePointer<UInt8>
  ) -> UInt8 {
    var random = stream.element(number)
    func between(_ low: Int, _ high: Int) -> Int { low + random.integer(below: high - low + 1) }
    let label = between(0, classes.count - 1)
    let (across, down) = (waves[label / 2].0 * (2 * between(0, 1) - 1), waves[label / 2].1)
    let (phase, strength) = (between(0, 63), between(20, 40))
    let (red, green, blue) = (between(80, 175), between(80, 175), between(80, 175))
    let (x0, y0, radius) = (between(6, 25), between(6, 25), between(4, 7))
    let tint = between(25, 50) * (label % 2 == 0 ? 1 : -1)
    let noise = noise + between(0, Self.noise.count - side * side)
    var target = pixels
    for y in 0..<side {
      for x in 0..<side {
        // A triangle wave between -16 and 16.
        let wave = abs((across &* x &+ down &* y &+ phase) & 63 &- 32) &- 16
        let level = strength &* wave / 16
        let distance = (x &- x0) &* (x &- x0) &+ (y &- y0) &* (y &- y0)
        let blob = distance <= radius &* radius ? tint : 0
        // Five bits a channel: a standard deviation of 18 about zero.
        let bits = Int(noise[y &* side &+ x])
        let noises = (bits & 31, bits &>> 5 & 31, bits &>> 10 & 31)
        target[0] = UInt8(clamping: red &+ level &+ blob &+ 2 &* noises.0 &- 31)
        target[1] = UInt8(clamping: green &+ level &+ 2 &* noises.1 &- 31)
        target[2] = UInt8(clamping: blue &+ level &- blob &+ 2 &* noises.2 &- 31)
        target += 3
      }
    }
    return UInt8(label)
  }
}

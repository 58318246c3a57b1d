// SPDX-License-Identifier: Apache-2.0

import LinearAlgebra
import Testing

@testable import Datasets

@Suite struct ImageTransformTests {
  @Test func equalsPyTorchsFlipPadCropFlip() throws {
    let goldens = try ImageGoldens.read()
    #expect(goldens.maps.count == 100)
    for golden in goldens.maps {
      let transform = ImageBatches.transform(
        isFlipped: golden.isFlipped, rowShift: golden.rowShift, columnShift: golden.columnShift,
        isOdd: golden.isOdd)
      let map = indexMap(transform, height: goldens.height, width: goldens.width)
      #expect(map == golden.map, "\(golden)")
    }
  }

  @Test func viewsAverageAsTheAuthorsDo() throws {
    let goldens = try ImageGoldens.read()
    let (image, weight) = (goldens.views.image, goldens.views.weight)
    for level in TestTimeAugmentation.allCases {
      #expect(level.views.map(\.weight).reduce(0, +) == 1)
      let output = level.views.reduce(0.0) { sum, view in
        let map = indexMap(view.transform, height: goldens.height, width: goldens.width)
        return sum + view.weight * Double(zip(weight, map).map { $0 * image[$1] }.reduce(0, +))
      }
      // Small integers times multiples of 1/8: exact.
      #expect(output == goldens.views.outputs[level.rawValue], "level \(level.rawValue)")
    }
    #expect(TestTimeAugmentation.allCases.map(\.views.count) == [1, 2, 6])
  }
}

@Suite struct ImageNormalizationTests {
  @Test func equalsPyTorchsToTheBit() throws {
    let goldens = try ImageGoldens.read()
    for golden in goldens.normalized {
      let images = golden.images
      let last = (images.count - 1)..<images.count
      let x = written(images, last, goldens.normalization(channels: golden.channels))
      #expect(x == golden.values)
    }
    #expect(goldens.normalization(channels: 3) == .cifar10)
  }

  @Test func measuresMeanAndDeviation() {
    // Channel 0: 0, 0, 255, 255; channel 1: 51 throughout.
    let images = LabeledImages(
      height: 1, width: 2, channels: 2, pixels: [0, 51, 255, 51, 0, 51, 255, 51], labels: [0, 1])
    let normalization = ImageNormalization(of: images)
    #expect(normalization.mean == [0.5, 0.2] && normalization.deviation == [0.5, 1])
    #expect(written(images, [1], normalization) == [-1, 0, 1, 0])
  }
}

@Suite struct ImageBatchesTests {
  private static let stream = RandomStream(seed: 1, name: "images")
  private static let normalization = ImageNormalization(mean: [0.5, 0.25], deviation: [0.5, 1])
  /// Pixels that no two images share.
  private static func images(_ count: Int) -> LabeledImages {
    let size = 5 * 6 * 2
    return LabeledImages(
      height: 5, width: 6, channels: 2,
      pixels: (0..<(count * size)).map { UInt8(truncatingIfNeeded: $0 &* 37 &+ $0 / 256) },
      labels: (0..<count).map { UInt8($0 % 7) })
  }

  private static func batches(
    _ count: Int, size: Int, _ augmentation: ImageAugmentation = .init(), seed: UInt64 = 1
  ) -> ImageBatches {
    ImageBatches(
      images(count), size: size, augmentation: augmentation, normalization: normalization,
      stream: RandomStream(seed: seed, name: "images"))
  }

  private struct Batch: Equatable {
    var x: [Float], labels: [Int32]
  }

  private static func fill(
    _ batches: inout ImageBatches, _ step: Int, pool: WorkerPool = .single
  ) -> Batch {
    var batch = Batch(
      x: Array(repeating: .nan, count: batches.size * batches.images.imageSize),
      labels: Array(repeating: -1, count: batches.size))
    batch.x.withUnsafeMutableBufferPointer { x in
      batch.labels.withUnsafeMutableBufferPointer { labels in
        guard let x = x.baseAddress, let labels = labels.baseAddress else { return }
        batches.fill(step: step, x, labels: labels, pool: pool)
      }
    }
    return batch
  }

  @Test func anEpochShowsImagesOnceAndDropsTheRest() {
    var batches = Self.batches(23, size: 5)
    #expect(batches.batchesPerEpoch == 4)
    let epochs = (0..<3).map { epoch in (0..<4).flatMap { batches.batch(step: 4 * epoch + $0) } }
    for epoch in epochs { #expect(Set(epoch).count == 20 && epoch.allSatisfy { 0..<23 ~= $0 }) }
    #expect(Set(epochs).count == 3)
  }

  @Test func aBatchIsItsImagesTransformed() {
    var batches = Self.batches(23, size: 5)
    for step in [0, 3, 5, 11] {
      let chosen = Array(batches.batch(step: step))
      let batch = Self.fill(&batches, step)
      #expect(batch.labels == chosen.map { Int32($0 % 7) })
      for (b, image) in chosen.enumerated() {
        let transform = batches.transform(image: image, epoch: step / 4)
        let map = indexMap(transform, height: 5, width: 6)
        for (pixel, source) in map.enumerated() {
          for channel in 0..<2 {
            let value = batches.images.pixels[(image * 30 + source) * 2 + channel]
            let expected =
              (Float(value) / 255 - Self.normalization.mean[channel])
              / Self.normalization.deviation[channel]
            let got = batch.x[(b * 30 + pixel) * 2 + channel]
            #expect(got == expected, "step \(step), image \(image), pixel \(pixel), \(transform)")
          }
        }
      }
    }
  }

  @Test func epochsResumeAnywhereAndThreadsDoNotMatter() {
    var through = Self.batches(41, size: 10)
    let all = (0..<12).map { Self.fill(&through, $0) }
    let pool = WorkerPool(threads: 3)
    for start in [0, 1, 6, 11] {
      var resumed = Self.batches(41, size: 10)
      for step in start..<12 {
        #expect(Self.fill(&resumed, step, pool: pool) == all[step], "from \(start), step \(step)")
      }
    }
    var other = Self.batches(41, size: 10, seed: 2)
    #expect((0..<12).allSatisfy { Self.fill(&other, $0) != all[$0] })
  }

  @Test func flipsAlternateFromAFairCoin() {
    let batches = Self.batches(4000, size: 10, ImageAugmentation(translate: 0))
    let epochs = (0..<4).map { epoch in
      (0..<4000).map { batches.transform(image: $0, epoch: epoch).isMirrored }
    }
    #expect(epochs[0] == epochs[2] && epochs[1] == epochs[3])
    #expect(zip(epochs[0], epochs[1]).allSatisfy { $0 != $1 })
    // 2000 with a standard deviation of 32.
    let heads = epochs[0].count { $0 }
    #expect(abs(heads - 2000) <= 4 * 32, "\(heads)")
    #expect(batches.transform(image: 0, epoch: 0).rowShift == 0)
  }

  @Test func shiftsAreUniformAndIndependent() {
    let batches = Self.batches(1, size: 1, ImageAugmentation(flip: .none, translate: 2))
    var counts = [Int](repeating: 0, count: 25)
    var agreements = 0
    for image in 0..<2000 {
      let shifts = (0..<5).map { batches.transform(image: image, epoch: $0) }
      for shift in shifts {
        #expect(abs(shift.rowShift) <= 2 && abs(shift.columnShift) <= 2 && !shift.isMirrored)
        counts[(shift.rowShift + 2) * 5 + shift.columnShift + 2] += 1
      }
      agreements += zip(shifts, shifts.dropFirst()).count { $0 == $1 }
    }
    // 10 000 shifts, 400 of each with a standard deviation of 20; 8000 pairs of epochs, 320 equal ± 18.
    #expect(counts.allSatisfy { abs($0 - 400) <= 4 * 20 }, "\(counts)")
    #expect(abs(agreements - 320) <= 4 * 18, "\(agreements)")
  }

  @Test func randomFlipsAreAFairCoinAnEpoch() {
    let batches = Self.batches(2000, size: 10, ImageAugmentation(flip: .random, translate: 0))
    let epochs = (0..<3).map { epoch in
      (0..<2000).map { batches.transform(image: $0, epoch: epoch).isMirrored }
    }
    // 1000 with a standard deviation of 22, of heads and of agreements between two epochs.
    for epoch in epochs { #expect(abs(epoch.count { $0 } - 1000) <= 4 * 22) }
    for (a, b) in [(0, 1), (0, 2), (1, 2)] {
      let agreements = zip(epochs[a], epochs[b]).count { $0 == $1 }
      #expect(abs(agreements - 1000) <= 4 * 22, "epochs \(a) and \(b): \(agreements)")
    }
  }

  /// torchvision's RandomCrop(padding: 1): torch.nn.functional.pad(x, (1, 1, 1, 1)) and a window of it.
  @Test func beyondABlackBorderIsIntensityZero() {
    let image = LabeledImages(
      height: 2, width: 3, channels: 1, pixels: [10, 20, 30, 40, 50, 60], labels: [0])
    let normalization = ImageNormalization(mean: [0.5], deviation: [0.25])
    func shown(_ row: Int, _ column: Int, _ isMirrored: Bool) -> [Int] {
      written(image, 0..<1, normalization) { _ in
        ImageTransform(
          rowShift: row, columnShift: column, isMirrored: isMirrored, border: .black)
      }.map { Int(((0.25 * $0 + 0.5) * 255).rounded()) }
    }
    #expect(shown(0, 0, false) == [10, 20, 30, 40, 50, 60])
    #expect(shown(-1, 1, false) == [0, 0, 0, 20, 30, 0])
    #expect(shown(1, -1, false) == [0, 40, 50, 0, 0, 0])
    #expect(shown(1, -1, true) == [50, 40, 0, 0, 0, 0])
  }

  @Test func withoutAugmentationImagesStayAsTheyAre() {
    var batches = Self.batches(9, size: 4, .none)
    let batch = Self.fill(&batches, 3)
    let chosen = batches.batch(step: 3)
    #expect(batch.x == written(batches.images, chosen, Self.normalization))
    let range = written(batches.images, 2..<4, Self.normalization)
    #expect(range == written(batches.images.images(2..<4), 0..<2, Self.normalization))
  }
}

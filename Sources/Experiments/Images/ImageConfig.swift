import Lab
import Datasets

/// Settings of Figs 2a and 5b; the defaults are the paper's, its code's where the text is silent.
package struct ImageConfig: ExperimentConfig {
  /// The images.
  package var images = ImageData.Source.cifar10
  /// Training images that are used, at most.
  package var trainingImages = 50_000
  /// Test images that are used, at most.
  package var testImages = 10_000
  /// Both networks' widths are the authors' divided by it.
  package var narrowing = 1
  /// Epochs: 8 in the text, 20 in the code.
  package var epochs = 8
  /// Epochs in which the whitening bias is trained.
  package var whiteningEpochs = 3
  /// Images a step.
  package var batchSize = 2000
  /// Parts that a batch is computed in; norms take their statistics from a part.
  package var parts = 1
  /// The loss is the mean over the batch times this: with the batch's 2 000 the authors' sum, with 1 the mean. Logits are
  /// divided by the head's width, so a network narrowed by n moves n times as fast; 2 000/n makes up for it.
  package var imagesSummed = 2000
  /// Probability that is taken from the label and spread over all classes.
  package var labelSmoothing = 0.2
  /// Mirror images.
  package var flip = ImageAugmentation.Flip.alternating
  /// Shifts up to so many pixels.
  package var translate = 2
  /// Views of a test image in the final accuracy: 0 the image, 1 with its mirror image, 2 and shifted by a pixel.
  package var finalViews = TestTimeAugmentation.mirrorAndTranslate
  /// Initial rate of shifts and biases.
  package var biasRate = 0.053
  /// Initial rate of the head.
  package var headRate = 0.67
  /// Nesterov momentum of both.
  package var headMomentum = 0.85
  /// Nesterov momentum of the convolutions, where it is not searched for.
  package var filterMomentum = 0.7716
  /// Weight decay of biases and head, already times their rate: 2e-6 for each of the authors' 2 000 images.
  package var decay = 4e-3
  /// Algorithm 2: singular values that may be clipped.
  package var rank = 10
  /// Algorithm 2: further sketch vectors.
  package var oversampling = 5
  /// Algorithm 2: power iterations.
  package var powerIterations = 1
  /// "method name=value …", one line a method; methods without one take chosen.yaml's values.
  package var settings: [String] = []
  /// Filled in from the data.
  package var dataName = ""
  /// Filled in from the data.
  package var dataDigest = ""
  /// The methods to run.
  package var methods = ImageNetwork.allCases.flatMap { network in
    ["none", "norm", "spectral"].map { "\(network.rawValue)-\($0)" }
  }
  /// One run a method and seed.
  package var seeds: [UInt64] = [1, 2, 3]

  /// The paper's settings.
  package init() {}

  /// Throws a `ConfigError` for a value outside its range.
  package func validate() throws {
    func check(_ key: String, _ value: some Any, _ holds: Bool, _ expected: String) throws {
      guard holds else { throw ConfigError.value(key, value, expected) }
    }
    for (key, value) in [
      ("trainingImages", trainingImages), ("testImages", testImages), ("epochs", epochs),
      ("batchSize", batchSize), ("parts", parts), ("imagesSummed", imagesSummed), ("rank", rank),
    ] { try check(key, value, value >= 1, "a whole number >= 1") }
    for (key, value) in [
      ("whiteningEpochs", whiteningEpochs), ("oversampling", oversampling),
      ("powerIterations", powerIterations),
    ] { try check(key, value, value >= 0, "a whole number >= 0") }
    try check("narrowing", narrowing, [1, 2, 4, 8, 16, 32, 64].contains(narrowing), "1, 2, … 64")
    try check(
      "parts", parts, batchSize % max(1, parts) == 0, "a divisor of the \(batchSize) images")
    try check("translate", translate, (0..<16).contains(translate), "a whole number in [0, 15]")
    try check(
      "batchSize", batchSize, batchSize <= trainingImages,
      "at most the \(trainingImages) training images")
    for (key, value) in [("biasRate", biasRate), ("headRate", headRate)] {
      try check(key, value, value > 0 && value.isFinite, "a number > 0")
    }
    try check("decay", decay, decay >= 0 && decay.isFinite, "a number >= 0")
    for (key, value) in [
      ("labelSmoothing", labelSmoothing), ("headMomentum", headMomentum),
      ("filterMomentum", filterMomentum),
    ] { try check(key, value, value >= 0 && value < 1, "a number in [0, 1)") }
    for method in methods { _ = try ImageMethod.named(method, place: "setting 'methods'") }
    for line in settings { _ = try MethodSetting<ImageMethod>(line: line) }
  }

  /// Only the method's own hyper-parameters.
  package func restricted(to method: String) -> ImageConfig {
    var own = self
    own.settings = MethodSetting<ImageMethod>.lines(of: method, in: settings)
    return own
  }

  var problem: ImageProblem {
    ImageProblem(
      narrowing: narrowing, batchSize: batchSize, parts: parts, epochs: epochs,
      whiteningEpochs: whiteningEpochs, imagesSummed: imagesSummed,
      labelSmoothing: labelSmoothing,
      augmentation: ImageAugmentation(flip: flip, translate: translate), biasRate: biasRate,
      headRate: headRate, headMomentum: headMomentum, filterMomentum: filterMomentum,
      decay: decay, rank: rank, oversampling: oversampling, powerIterations: powerIterations)
  }

  /// The images that are used.
  ///
  /// Throws a `StorageError` for files that are missing or damaged, and for fewer training images than a batch.
  func load(_ folder: String) throws -> ImageData {
    try ImageData.load(images, folder: folder, batch: batchSize)
      .first(training: trainingImages, test: testImages)
  }

  /// The same with name and digest of the data, and the numbers of images that are there.
  func identified(_ folder: String) throws -> ImageConfig {
    var config = self
    let data = try load(folder)
    (config.dataName, config.dataDigest) = (data.name, data.digest)
    (config.trainingImages, config.testImages) = (data.training.count, data.test.count)
    return config
  }
}

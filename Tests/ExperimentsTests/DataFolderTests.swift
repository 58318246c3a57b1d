// SPDX-License-Identifier: Apache-2.0

import Datasets
import Foundation
import Testing

@testable import Experiments
@testable import Lab

@Suite struct DataFolderTests {
  private func address(_ data: PreparedImages) -> UnsafeRawPointer? {
    data.data.training.pixels.withUnsafeBytes { $0.baseAddress }
  }

  @Test func runsShareWhatIsLoaded() throws {
    let folder = DataFolder("nowhere")
    var settings = CIFAR10ResNet18.defaults.settings
    settings.trainingImages = 100
    let first = try folder.source(of: ImageTask.self, settings)
    #expect(try address(folder.source(of: ImageTask.self, settings)) == address(first))
    #expect(
      try address(DataFolder("nowhere").source(of: ImageTask.self, settings)) != address(first))
    settings.trainingImages = 101
    #expect(try folder.source(of: ImageTask.self, settings).data.training.count == 101)
  }

  @Test func whatFailedIsTriedAgain() throws {
    let scratch = Scratch()
    let folder = DataFolder("nowhere")
    var settings = LanguageSettings.nanoGPT
    settings.corpus = .file("\(scratch.path)/text.txt")
    #expect(throws: (any Error).self) { try folder.source(of: LanguageTask.self, settings) }
    try FileManager.default.createDirectory(
      atPath: scratch.path, withIntermediateDirectories: true)
    let text = String(repeating: "to be or not to be, ", count: 200)
    try text.write(toFile: "\(scratch.path)/text.txt", atomically: true, encoding: .utf8)
    #expect(try folder.source(of: LanguageTask.self, settings).training.count == 3600)
  }
}

// SPDX-License-Identifier: Apache-2.0

import Foundation

/// Where questions about HDF5 files are answered: in a process of their own where the program offers one, because a
/// damaged or hostile file can crash or hang the C library, otherwise here.
final class HDF5Process: @unchecked Sendable {
  static let shared = HDF5Process { HDF5Child.isOffered ? try HDF5Child() : nil }

  private let patience: Int
  private let start: @Sendable () throws -> HDF5Child?
  // The rest is used under `lock` only.
  private let lock = NSLock()
  private var child: HDF5Child?
  private lazy var here = HDF5Service()

  /// `start` starts a process, or says that there is none.
  /// `patience` is the number of seconds that any question may take.
  init(patience: Int = 20, start: @escaping @Sendable () throws -> HDF5Child?) {
    self.patience = patience
    self.start = start
  }

  private static let hint = "the file is damaged or made to do harm: get it again"

  /// Asks, and returns the answer with `count` values that belong to it.
  ///
  /// `bytes` is how much there is to read or to write: time is given by it. A process that died or fell silent is
  /// replaced at the next question.
  func ask<Element: BitwiseCopyable>(
    _ question: HDF5Question, values: UnsafeRawBufferPointer = .init(start: nil, count: 0),
    bytes: Int, count: Int, of: Element.Type = Element.self
  ) throws -> (head: PacketReader, values: [Element]) {
    try lock.withLock {
      let (head, elements): ([UInt8], [Element]?)
      if let child = try child ?? start() {
        (head, elements) = try ask(child, question, values, bytes: bytes, count: count)
      } else {
        let answer = here.answer(question.packet.bytes, values: values)
        head = answer.head.bytes
        elements =
          answer.body.count == count * MemoryLayout<Element>.stride
          ? [Element](unsafeUninitializedCapacity: count) { buffer, initialized in
            answer.body.copyBytes(to: UnsafeMutableRawBufferPointer(buffer))
            initialized = count
          } : nil
      }
      var reader = PacketReader(head)
      do {
        if try reader.int() != 0 {
          throw StorageError(try reader.text(), at: try reader.text(), hint: try reader.text())
        }
        guard let elements else {
          throw StorageError(
            "has changed since it was opened", at: question.path,
            hint: "wait until nothing writes the file, then run again")
        }
        return (reader, elements)
      } catch is PacketReader.Malformed { throw Self.nonsense(question.path) }
    }
  }

  /// The same where no values belong to the answer.
  func ask(_ question: HDF5Question, bytes: Int) throws -> PacketReader {
    try ask(question, bytes: bytes, count: 0, of: UInt8.self).head
  }

  static func nonsense(_ path: String) -> StorageError {
    StorageError("the HDF5 library lost its way in it", at: path, hint: hint)
  }

  private func ask<Element: BitwiseCopyable>(
    _ child: HDF5Child, _ question: HDF5Question, _ values: UnsafeRawBufferPointer, bytes: Int,
    count: Int
  ) throws -> ([UInt8], [Element]?) {
    self.child = nil
    // Slower than any disk; a loaded machine may take its time.
    let seconds = patience + bytes / 10_000_000
    do {
      let answer: ([UInt8], [Element]?) = try child.ask(
        question.packet.bytes, values, seconds: seconds, count: count)
      self.child = child
      return answer
    } catch let failure as HDF5Socket.Failure {
      let signal = child.end()
      throw StorageError(
        failure == .silent || signal == SIGXCPU
          ? "the HDF5 library found no end in it within \(seconds) s"
          : "the HDF5 library crashed on it (signal \(signal))",
        at: question.path, hint: Self.hint)
    }
  }
}

// SPDX-License-Identifier: Apache-2.0

import CHDF5
import Foundation
import Testing

@testable import Storage

/// What becomes of a question when the process that was asked does not answer.
@Suite struct HDF5ProcessTests {
  let scratch: Scratch

  init() throws { scratch = try Scratch() }

  /// A line of shell in place of this program.
  private func process(_ line: String) -> HDF5Process {
    HDF5Process(patience: 1) { try HDF5Child(executable: "/bin/sh", arguments: ["-c", line]) }
  }

  @Test(arguments: [
    ("kill -SEGV $$", "crashed on it (signal 11)"), ("exit 3", "crashed on it"),
    ("sleep 60", "found no end in it within 1 s"), ("echo nonsense >&0; sleep 60", "it"),
    // Three sizes of which the first is beyond all reason.
    (#"printf '%24s' x >&0; sleep 60"#, "crashed on it"),
  ])
  func isOneLine(line: String, part: String) throws {
    let process = process(line)
    for _ in 0..<2 {
      expectError(part, "damaged or made to do harm", at: "some.h5") {
        try process.ask(.list(path: "some.h5"), bytes: 0)
      }
    }
    // More than a socket holds.
    let values = [UInt8](repeating: 1, count: 10_000_000)
    expectError("it", at: "some.h5") {
      try values.withUnsafeBytes {
        _ = try process.ask(
          .replace(path: "some.h5", names: ["w"], bytes: [$0.count], kind: .float), values: $0,
          bytes: 0, count: 0,
          of: UInt8.self)
      }
    }
  }

  @Test func aProgramThatCannotBeStarted() {
    let process = HDF5Process { try HDF5Child(executable: "/nowhere") }
    expectError("cannot start a process", at: "/nowhere") {
      try process.ask(.list(path: "some.h5"), bytes: 0)
    }
  }

  @Test func answersThatAreCutOffOrChangedAreNoTrap() throws {
    var packet = Packet()
    let record = sampleRecord()
    packet.add(record)
    var whole = PacketReader(packet.bytes)
    #expect(try whole.record() == record)
    for length in stride(from: 0, to: packet.bytes.count, by: 7) {
      var reader = PacketReader(Array(packet.bytes.prefix(length)))
      #expect(throws: PacketReader.Malformed.self) { try reader.record() }
    }
    for place in stride(from: 0, to: packet.bytes.count, by: 11) {
      for value: UInt8 in [0, 0x7f, 0xff] {
        var bytes = packet.bytes
        bytes[place] = value
        var reader = PacketReader(bytes)
        _ = try? reader.record()
      }
    }
  }

  @Test func aFileThatChangesBetweenTheQuestions() throws {
    let path = scratch.file("a.h5")
    try TensorFile.write([.init("w", shape: [3], .float([1, 2, 3]))], format: .hdf5, to: path)
    let file = try TensorFile(path)
    try TensorFile.write([.init("w", shape: [2], .float([1, 2]))], format: .hdf5, to: path)
    _ = try TensorFile(path)
    expectError("has changed since it was opened", at: path) { try file.floats("w") }
  }
}

// SPDX-License-Identifier: Apache-2.0

import Foundation
import Testing

@testable import Storage

@Suite struct AtomicFileTests {
  let scratch: Scratch

  init() throws { scratch = try Scratch() }

  private let old = Data("the old content".utf8)

  @Test func writesAndReplaces() throws {
    let path = scratch.file("a/b/c.txt")
    for size in [0, 1, 4096, 3_000_000] {
      let data = Data((0..<size).map { UInt8(truncatingIfNeeded: $0 * 31) })
      try AtomicFile.write(data, to: path)
      #expect(try content(path) == data)
    }
    try AtomicFile.write("τ\n", to: path)
    #expect(try content(path) == Data("τ\n".utf8))
    #expect(try FileManager.default.contentsOfDirectory(atPath: scratch.file("a/b")) == ["c.txt"])
  }

  @Test func aPathWithoutFolder() {
    #expect(SystemCalls.parentFolder(of: "c.txt") == ".")
    #expect(SystemCalls.parentFolder(of: "/c.txt") == "/")
    #expect(SystemCalls.parentFolder(of: "a/b/c.txt") == "a/b")
    #expect(SystemCalls.parentFolder(of: "c") == "." && SystemCalls.parentFolder(of: "/c") == "/")
    #expect(
      SystemCalls.parentFolder(of: "a//b/") == "a" && SystemCalls.parentFolder(of: "//") == "/")
    #expect(SystemCalls.parentFolder(of: "") == ".")
  }

  @Test(arguments: [0, 1, 999, 1000])
  func aFullDiskLeavesTheOldFile(room: Int) throws {
    let path = try scratch.file("a.txt", holding: old)
    expectError("disk full", at: path) {
      try AtomicFile.write(to: path, writer: fullDisk(after: room)) {
        try $0.write(Data(repeating: 7, count: 1001))
      }
    }
    #expect(try content(path) == old)
    #expect(scratch.names == ["a.txt"])
  }

  @Test func writesInPiecesAndThroughInterrupts() throws {
    var calls = 0
    let path = scratch.file("a.bin")
    let data = Data((0..<1000).map { UInt8(truncatingIfNeeded: $0) })
    let writer: SystemCalls.Writer = { descriptor, bytes, count in
      calls += 1
      if calls % 2 == 0 {
        errno = EINTR
        return -1
      }
      return write(descriptor, bytes, min(count, 7))
    }
    try AtomicFile.write(to: path, writer: writer) { try $0.write(data) }
    #expect(try content(path) == data)
    #expect(calls > 200)
  }

  @Test func theDeviceThatIsAlwaysFull() throws {
    let device = "/dev/full"
    guard FileManager.default.fileExists(atPath: device) else { return }
    let descriptor = try SystemCalls.openFile(device, O_WRONLY, doing: "write")
    defer { close(descriptor) }
    let sink = AtomicFile.Sink(
      descriptor: descriptor, path: device, writer: SystemCalls.systemWriter)
    expectError("disk full", at: device) { try sink.write(Data([1])) }
  }

  @Test func aFailingBodyLeavesTheOldFile() throws {
    struct Failure: Error {}
    let path = try scratch.file("a.h5", holding: old)
    #expect(throws: Failure.self) {
      try AtomicFile.withTemporary(for: path) { temporary in
        #expect(SystemCalls.parentFolder(of: temporary) == scratch.path)
        try Data("half".utf8).write(to: URL(fileURLWithPath: temporary))
        throw Failure()
      }
    }
    #expect(try content(path) == old)
    #expect(scratch.names == ["a.h5"])
  }

  @Test func placesThatCannotBeWritten() throws {
    let file = try scratch.file("file", holding: old)
    expectError("is a file, not a folder", at: "\(file)/x") {
      try AtomicFile.write("x", to: "\(file)/x")
    }
    try FileManager.default.createDirectory(
      atPath: scratch.file("folder"), withIntermediateDirectories: true)
    expectError("cannot write", "folder", at: scratch.file("folder")) {
      try AtomicFile.write("x", to: scratch.file("folder"))
    }
    let long = scratch.file(String(repeating: "n", count: 256))
    for (path, reason) in [
      ("", "no such file"), (scratch.file("new/"), "it is a folder"),
      (scratch.file("folder"), "it is a folder"), (long, "name too long"),
      ("\(file)/x/y", "is a file, not a folder"),
    ] {
      expectError("cannot write", reason, at: path.isEmpty ? "''" : path) {
        try AtomicFile.checkPlace(path)
      }
      expectError(reason) { try AtomicFile.write("x", to: path) }
    }
    try AtomicFile.checkPlace(scratch.file("new/folders/x"))
    try AtomicFile.checkPlace(file)
    #expect(scratch.names == ["file", "folder"])
    // The administrator may write everywhere.
    if geteuid() != 0 {
      let locked = scratch.file("folder")
      chmod(locked, 0o555)
      expectError("permission denied", at: "\(locked)/x") {
        try AtomicFile.write("x", to: "\(locked)/x")
      }
      expectError("permission denied", at: locked) {
        try AtomicFile.checkPlace("\(locked)/new/x")
      }
      chmod(locked, 0o755)
    }
  }

  @Test(arguments: [
    (ENOSPC, "disk full"), (EROFS, "read-only file system"), (EACCES, "permission denied"),
    (ENOENT, "no such file"), (EDQUOT, "quota"), (E2BIG, "Argument list too long"),
  ])
  func systemErrorsAreOneLine(code: Int32, reason: String) {
    let line = expectError("results/a.h5: cannot write: ", reason) {
      throw StorageError.system(code, "write", at: "results/a.h5")
    }
    #expect(line.contains("; "))
    let broken = StorageError("one\ntwo", at: "a\nb", hint: "three\r\nfour")
    #expect(broken.description == "a b: one two; three four")
    #expect(broken.localizedDescription == broken.description)
  }

  @Test func aLinkStaysALink() throws {
    let target = try scratch.file("target", holding: old)
    let link = scratch.file("link")
    try FileManager.default.createSymbolicLink(atPath: link, withDestinationPath: "target")
    try AtomicFile.write("new", to: link)
    #expect(try content(target) == Data("new".utf8))
    #expect(try FileManager.default.destinationOfSymbolicLink(atPath: link) == "target")
  }

  @Test func linksAreFollowedToTheirEndAlsoWhereNothingIsThere() throws {
    func link(_ name: String, to target: String) throws {
      try FileManager.default.createSymbolicLink(
        atPath: scratch.file(name), withDestinationPath: target)
    }
    try link("first", to: "second")
    try link("second", to: scratch.file("third"))
    try link("third", to: "target")
    try AtomicFile.write("new", to: scratch.file("first"))
    #expect(try content(scratch.file("target")) == Data("new".utf8))
    #expect(scratch.names == ["first", "second", "target", "third"])
    for name in ["first", "second", "third"] {
      let path = scratch.file(name)
      #expect((try? FileManager.default.destinationOfSymbolicLink(atPath: path)) != nil, "\(name)")
    }
    try link("a", to: "b")
    try link("b", to: "a")
    expectError("cannot follow the links", at: scratch.file("a")) {
      try AtomicFile.write("x", to: scratch.file("a"))
    }
  }

  @Test(arguments: [0o600, 0o444, 0o755] as [mode_t]) func theModeStays(_ mode: mode_t) throws {
    let path = try scratch.file("a.txt", holding: old)
    chmod(path, mode)
    try AtomicFile.write("new", to: path)
    var status = stat()
    #expect(stat(path, &status) == 0 && status.st_mode & 0o7777 == mode)
    #expect(try content(path) == Data("new".utf8))
  }

  @Test func aDeviceOrAPipeIsWrittenToAndStays() throws {
    try AtomicFile.write("x", to: "/dev/null")
    var status = stat()
    #expect(stat("/dev/null", &status) == 0 && status.st_mode & S_IFMT == S_IFCHR)
    expectError("disk full", at: "/dev/full") { try AtomicFile.write("x", to: "/dev/full") }
    let pipe = scratch.file("pipe")
    #expect(mkfifo(pipe, 0o600) == 0)
    let reader = open(pipe, O_RDWR)  // so that neither side waits for the other
    defer { close(reader) }
    try AtomicFile.write("through the pipe", to: pipe)
    var buffer = [UInt8](repeating: 0, count: 100)
    let count = read(reader, &buffer, buffer.count)
    #expect(String(decoding: buffer.prefix(max(0, count)), as: UTF8.self) == "through the pipe")
    #expect(stat(pipe, &status) == 0 && status.st_mode & S_IFMT == S_IFIFO)
    #expect(scratch.names == ["pipe"])
  }

  /// What a signal handler calls: it removes what is being written, and nothing that is finished.
  @Test func temporariesAreKnownToSignalHandlers() throws {
    let (kept, gone) = (
      try scratch.file("kept", holding: old), try scratch.file("gone", holding: old)
    )
    let temporaries = Temporaries()
    temporaries.remove(temporaries.insert(kept))
    let number = try #require(temporaries.insert(gone))
    temporaries.removeAll()
    temporaries.remove(number)
    #expect(scratch.names == ["kept"])
    #expect(temporaries.insert(String(repeating: "x", count: Int(PATH_MAX))) == nil)
  }

  /// A name is a row of bytes: accents that join a slash, and letters of several bytes, are no more than that.
  @Test(arguments: [
    "a\u{301}", "\u{301}b", String(repeating: "\u{1F468}\u{200D}\u{1F469}", count: 22),
    String(repeating: "é", count: 120),
  ])
  func namesAreBytes(_ name: String) throws {
    try AtomicFile.write("x", to: scratch.file(name))
    #expect(try content(scratch.file(name)) == Data("x".utf8))
    try AtomicFile.write("y", to: scratch.file(name))
    #expect(scratch.names.count == 1)
  }

  @Test func manyWritersOneFile() async throws {
    let path = scratch.file("a.txt")
    let failures = await withTaskGroup(of: Bool.self) { group in
      for number in 0..<32 {
        group.addTask {
          let text = String(repeating: "\(number % 10)", count: 5000)
          return (try? AtomicFile.write(text, to: path)) == nil
        }
      }
      return await group.reduce(into: 0) { $0 += $1 ? 1 : 0 }
    }
    #expect(failures == 0)
    let result = try content(path)
    #expect(result.count == 5000 && Set(result).count == 1)
    #expect(scratch.names == ["a.txt"])
  }
}

// SPDX-License-Identifier: Apache-2.0

import Foundation
import Storage
import Testing

/// data/fetch on file:// addresses, which need no network.
@Suite(.enabled(if: FetchFolder.canRun)) struct DataFetchTests {
  @Test func downloadsOnce() throws {
    let folder = try FetchFolder()
    try folder.writeManifest(digest: folder.digest)
    let first = try folder.fetch("set")
    #expect(first.status == 0 && first.error.isEmpty && first.output.contains("checksum right"))
    #expect(try folder.read("set/file") == folder.source)
    #expect(try folder.names(in: "set") == ["file"])
    try folder.remove("source")  // not needed any more
    let second = try folder.fetch("set/file")
    #expect(second.status == 0 && second.output.contains("there already"))
  }

  @Test func continuesWhatWasInterrupted() throws {
    let folder = try FetchFolder()
    try folder.writeManifest(digest: folder.digest)
    try folder.write("set/file.part", folder.source.prefix(70_000))
    // Right only if these bytes are not fetched again.
    try folder.write("source", Data(count: 70_000) + folder.source.dropFirst(70_000))
    #expect(try folder.fetch("set").status == 0)
    #expect(try folder.read("set/file") == folder.source)
  }

  @Test func aWholePartIsOnlyChecked() throws {
    let folder = try FetchFolder()
    try folder.writeManifest(digest: folder.digest)
    try folder.write("set/file.part", folder.source)
    try folder.remove("source")
    #expect(try folder.fetch("set").status == 0)
    #expect(try folder.names(in: "set") == ["file"])
  }

  @Test func aWrongDownloadDoesNotGetTheName() throws {
    let folder = try FetchFolder()
    try folder.writeManifest(digest: String(repeating: "0", count: 64))
    for _ in 0..<2 {
      try folder.expectFailure("set", "set/file.part", "wrong checksum", "delete it and run again")
      #expect(try folder.names(in: "set") == ["file.part"])
    }
    try folder.writeManifest(digest: folder.digest, bytes: folder.source.count + 1)
    try folder.expectFailure("set", "bytes instead of \(folder.source.count + 1)")
  }

  @Test func aWrongFileIsSetAside() throws {
    let folder = try FetchFolder()
    try folder.writeManifest(digest: folder.digest)
    let wrong = Data(folder.source.reversed())
    try folder.write("set/file", wrong)
    try folder.expectFailure("set", "set/file: wrong checksum", "file.wrong now", "run again")
    #expect(try folder.names(in: "set") == ["file.wrong"])
    #expect(try folder.read("set/file.wrong") == wrong)
    #expect(try folder.fetch("set").status == 0)
    #expect(try folder.read("set/file") == folder.source)
  }

  @Test(arguments: ["file:///nonexistent/file", "http://127.0.0.1:1/file"])
  func noServerIsOneLine(url: String) throws {
    let folder = try FetchFolder()
    try folder.writeManifest(digest: folder.digest, url: url)
    try folder.write("set/file.part", folder.source.prefix(10))
    try folder.expectFailure(
      "set", url, "not downloaded: curl: (", "check the network", "file.part")
    #expect(try folder.read("set/file.part") == folder.source.prefix(10))
    try folder.writeManifest(digest: "-", url: url)
    try folder.expectFailure("set", url)
  }

  @Test func aPipeIsNoSource() throws {
    let folder = try FetchFolder()
    #expect(mkfifo(folder.root + "/pipe", 0o600) == 0)
    try folder.writeManifest(digest: folder.digest, url: "file://\(folder.root)/pipe")
    try folder.expectFailure("set", "/pipe: is no file", "MANIFEST.tsv")
  }

  /// With a curl in front of the real one that answers --head as huggingface.co does.
  @Test func anUnknownChecksumComesFromTheServer() throws {
    let folder = try FetchFolder()
    try folder.writeManifest(digest: "-")
    try folder.answerHead("HTTP/2 302\r\ncontent-length: 9\r\n")
    try folder.expectFailure("set", "none from the server", "MANIFEST.tsv")
    try folder.answerHead("X-Linked-Etag: \"\(String(repeating: "0", count: 64))\"\r\n")
    try folder.expectFailure("set", "file.part: wrong checksum")
    #expect(try folder.names(in: "set") == ["file.part"])
    try folder.answerHead("HTTP/2 302\r\nx-linked-etag: \"\(folder.digest)\"\r\nvary: Origin\r\n")
    #expect(try folder.fetch("set").status == 0)
    #expect(try folder.names(in: "set") == ["file"])
    try folder.answerHead("")
    #expect(try folder.fetch("set").output.contains("there already"))
  }

  @Test func archivesAreUnpackedBesideThemselves() throws {
    let folder = try FetchFolder()
    try folder.write("made/batches/one.bin", Data([1, 2, 3]))
    try folder.write("made/batches/two.bin", Data([4]))
    try folder.pack("tar -czf source -C made batches")
    try folder.writeManifest(forSourceAs: "set.tar.gz")
    #expect(try folder.fetch("set").output.hasSuffix("set.tar.gz: unpacked\n"))
    #expect(try folder.names(in: "set") == ["one.bin", "set.tar.gz", "two.bin"])
    #expect(try folder.read("set/one.bin") == Data([1, 2, 3]))
    #expect(try !folder.fetch("set").output.contains("unpacked"))
    // What an interrupted call left behind is made anew, what is missing comes back.
    try folder.remove("set/two.bin")
    try folder.write("set/set.tar.gz.unpacking/two.bin", Data())
    #expect(try folder.fetch("set").output.hasSuffix("set.tar.gz: unpacked\n"))
    #expect(try folder.names(in: "set") == ["one.bin", "set.tar.gz", "two.bin"])
    #expect(try folder.read("set/two.bin") == Data([4]))
  }

  @Test func compressedFilesAreUnpackedOrRefused() throws {
    let folder = try FetchFolder()
    let plain = folder.source
    try folder.pack("gzip source && mv source.gz source")
    try folder.writeManifest(forSourceAs: "values.gz")
    #expect(try folder.fetch("set").output.hasSuffix("values.gz: unpacked\n"))
    #expect(try folder.names(in: "set") == ["values", "values.gz"])
    #expect(try folder.read("set/values") == plain)
    for name in ["broken.gz", "broken.tar.gz"] {
      try folder.write("source", Data("no archive".utf8))
      try folder.writeManifest(forSourceAs: name)
      let result = try folder.fetch("set")
      #expect(
        result.status == 1
          && result.error.contains("\(name): cannot be unpacked: gzip: ")
          && result.error.contains(": not in gzip format; install tar")
          && result.error.split(separator: "\n").count == 1)
    }
    #expect(!(try folder.names(in: "set")).contains("broken"))
  }

  /// A colon in a path means another machine to tar; a link in an archive would lead out of the folder.
  @Test func archivesOfLinksAreRefusedAndColonsAreText() throws {
    let folder = try FetchFolder()
    try folder.write("made/batches/one.bin", Data([1, 2, 3]))
    try folder.pack("ln -s /etc/passwd made/batches/link; tar -czf source -C made batches")
    try folder.writeManifest(forSourceAs: "links.tar.gz")
    let result = try folder.fetch("set")
    #expect(result.status == 1 && result.error.contains("holds something else than files"))
    #expect(try folder.names(in: "set") == ["links.tar.gz"])
    try folder.pack("tar -czf source -C made batches/one.bin")
    try folder.writeManifest(forSourceAs: "set.tar.gz")
    let colon = folder.root + "/da:ta"
    #expect(try folder.fetch("set", data: colon).output.hasSuffix("set.tar.gz: unpacked\n"))
    #expect(try folder.read("../da:ta/set/one.bin") == Data([1, 2, 3]))
  }

  @Test func oddPlacesAreOneLine() throws {
    let folder = try FetchFolder()
    try folder.writeManifest(digest: folder.digest)
    try AtomicFile.write("a file", to: folder.root + "/file")
    let result = try folder.fetch("set", data: folder.root + "/file")
    #expect(
      result.status == 1 && result.error.contains("/file/set: mkdir: cannot create directory")
        && result.error.split(separator: "\n").count == 1, "\(result.error)")
    try FileManager.default.removeItem(atPath: folder.root + "/MANIFEST.tsv")
    #expect(mkfifo(folder.root + "/MANIFEST.tsv", 0o600) == 0)
    try folder.expectFailure("set", "MANIFEST.tsv: cannot be read")
  }

  @Test func listsTheSets() throws {
    let folder = try FetchFolder()
    try folder.writeManifest(digest: folder.digest)
    #expect(try folder.fetch("--list").output.hasSuffix(" 0.1 MB  0 of 1 files\n"))
    _ = try folder.fetch("set")
    let output = try folder.fetch("--list").output
    #expect(output.hasPrefix("set ") && output.hasSuffix(" 0.1 MB  complete\n"))
  }

  @Test func mistakesAreOneLine() throws {
    let folder = try FetchFolder()
    try folder.expectFailure("set", "MANIFEST.tsv: cannot be read")
    try folder.writeManifest(digest: folder.digest)
    try folder.expectFailure("sets", "no sets in it", "--list")
    try folder.expectFailure("set/other", "no set/other in it")
    try folder.expectFailure(nil, "no set named", "--list")
    try folder.link("dirname")
    folder.path = folder.root + "/bin"
    try folder.expectFailure("set", "missing: curl sha256sum", "install curl and coreutils")
  }

  /// Fields of a manifest are text: none is run, evaluated or taken for an option, and no file lands elsewhere.
  @Test(arguments: [
    ["files[$(touch CANARY)]", "2"], ["1+1", "2"], ["-1", "2"], ["$(touch CANARY)", "2"],
    ["007", "2"],
    ["../outside", "1"], ["/tmp/outside", "1"], ["-Kfile", "1"], ["a/b", "1"], ["..", "1"],
    ["$(touch CANARY)", "1"], ["`touch CANARY`", "0"], ["../outside", "0"], ["-K", "0"],
    ["-KCANARY", "4"], ["--output=CANARY", "4"], ["https://x/$(touch CANARY) y", "4"],
    ["javascript:x", "4"], ["", "4"], ["abc", "3"], ["$(touch CANARY)", "3"],
  ])
  func aHostileManifestIsRefused(_ change: [String]) throws {
    let folder = try FetchFolder()
    let canary = folder.root + "/canary"
    var row = ["set", "file", "100000", folder.digest, "file://\(folder.root)/data/source", "none"]
    row[try #require(Int(change[1]))] = change[0].replacing("CANARY", with: canary)
    try AtomicFile.write(
      row.joined(separator: "\t") + "\n", to: folder.root + "/MANIFEST.tsv")
    for argument in ["--list", "set"] {
      try folder.expectFailure(argument, "MANIFEST.tsv, line 1")
    }
    #expect(!FileManager.default.fileExists(atPath: canary))
    #expect(
      try FileManager.default.contentsOfDirectory(atPath: folder.root).sorted() == [
        "MANIFEST.tsv", "bin", "data",
      ])
  }

  @Test func onlyHTTPSUnlessTold() throws {
    let folder = try FetchFolder()
    try folder.writeManifest(digest: folder.digest)
    folder.protocols = "https"
    try folder.expectFailure("set", "does not begin with https", "PROTOCOLS")
  }

  @Test func theManifestIsWellFormed() throws {
    let path = FetchFolder.script.replacing("/fetch", with: "/MANIFEST.tsv")
    let text = String(decoding: try FileBytes.read(path), as: UTF8.self)
    let rows = text.split(separator: "\n").filter { !$0.hasPrefix("#") }
      .map { $0.split(separator: "\t", omittingEmptySubsequences: false) }
    #expect(rows.count == 43 && Set(rows.map { $0[0...1].joined(separator: "/") }).count == 43)
    for row in rows {
      #expect(row.count == 6 && !row.contains("") && (Int(row[2]) ?? 0) > 0, "\(row)")
      let isDigest = row[3].count == 64 && row[3].allSatisfy(\.isHexDigit)
      #expect(isDigest || row[3] == "-" && row[4].hasPrefix("https://huggingface.co/"), "\(row)")
      // A file may have its set's name put before the one at its source.
      let sourceName = row[1].hasPrefix("ptb.") ? row[1].dropFirst(4) : row[1]
      #expect(row[4].hasPrefix("https://") && row[4].hasSuffix("/\(sourceName)"), "\(row)")
    }
  }
}

/// A source to download from, a manifest and a data folder, removed with it.
private final class FetchFolder {
  static let script = URL(fileURLWithPath: #filePath)
    .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
    .appendingPathComponent("data/fetch").path
  static let systemPath = ProcessInfo.processInfo.environment["PATH"] ?? "/usr/bin:/bin"
  static let canRun = ["bash", "curl", "gzip", "sha256sum", "tar"].allSatisfy { find($0) != nil }

  let root = "\(FileManager.default.temporaryDirectory.path)/fetch-tests-\(UUID().uuidString)"
  let source = Data((0..<100_000).map { UInt8(truncatingIfNeeded: $0 &* $0 >> 7) })
  let digest: String
  var path: String
  var protocols = "https,http,file"

  init() throws {
    digest = Digest.sha256(of: source)
    path = "\(root)/bin:\(Self.systemPath)"
    try AtomicFile.write(source, to: root + "/data/source")
    try FileManager.default.createDirectory(
      atPath: root + "/bin", withIntermediateDirectories: true)
  }

  deinit { try? FileManager.default.removeItem(atPath: root) }

  static func find(_ tool: String) -> String? {
    systemPath.split(separator: ":").map { "\($0)/\(tool)" }
      .first(where: FileManager.default.isExecutableFile(atPath:))
  }

  func writeManifest(
    digest: String, bytes: Int? = nil, url: String? = nil, file: String = "file"
  ) throws {
    let row = [
      "set", file, "\(bytes ?? source.count)", digest, url ?? "file://\(root)/data/source", "none",
    ]
    try AtomicFile.write(
      "# a comment\n" + row.joined(separator: "\t") + "\n", to: root + "/MANIFEST.tsv")
  }

  func answerHead(_ headers: String) throws {
    let curl = try #require(Self.find("curl"))
    try AtomicFile.write(headers, to: root + "/headers")
    let script = """
      #!/usr/bin/env bash
      if [[ " $* " = *" --head "* ]]; then exec cat '\(root)/headers'; else exec '\(curl)' "$@"; fi

      """
    try AtomicFile.write(script, to: root + "/bin/curl")
    try FileManager.default.setAttributes(
      [.posixPermissions: 0o755], ofItemAtPath: root + "/bin/curl")
  }

  /// With the size and the digest of what the source holds now.
  func writeManifest(forSourceAs file: String) throws {
    let now = try read("source")
    try writeManifest(digest: Digest.sha256(of: now), bytes: now.count, file: file)
  }

  /// Runs a line of the shell in the folder of the source.
  func pack(_ line: String) throws {
    let process = Process()
    process.executableURL = URL(fileURLWithPath: try #require(Self.find("bash")))
    process.arguments = ["-c", line]
    process.currentDirectoryURL = URL(fileURLWithPath: root + "/data")
    try process.run()
    process.waitUntilExit()
    #expect(process.terminationStatus == 0, "\(line)")
  }

  func link(_ tool: String) throws {
    try FileManager.default.createSymbolicLink(
      atPath: "\(root)/bin/\(tool)", withDestinationPath: #require(Self.find(tool)))
  }

  func write(_ name: String, _ data: Data) throws {
    try AtomicFile.write(data, to: "\(root)/data/\(name)")
  }

  func read(_ name: String) throws -> Data { try FileBytes.read("\(root)/data/\(name)") }

  func remove(_ name: String) throws {
    try FileManager.default.removeItem(atPath: "\(root)/data/\(name)")
  }

  func names(in folder: String) throws -> [String] {
    try FileManager.default.contentsOfDirectory(atPath: "\(root)/data/\(folder)").sorted()
  }

  func fetch(
    _ arguments: String..., data: String? = nil
  ) throws -> (status: Int32, output: String, error: String) { try run(arguments, data: data) }

  /// Checks that the call ends with 1, one line that says all the `parts`, and no file.
  func expectFailure(
    _ argument: String?, _ parts: String..., sourceLocation: SourceLocation = #_sourceLocation
  ) throws {
    let result = try run(argument.map { [$0] } ?? [])
    #expect(result.status == 1 && result.output.isEmpty, sourceLocation: sourceLocation)
    #expect(result.error.split(separator: "\n").count == 1, sourceLocation: sourceLocation)
    for part in parts {
      #expect(result.error.contains(part), sourceLocation: sourceLocation)
    }
    #expect(
      !FileManager.default.fileExists(atPath: root + "/data/set/file"),
      sourceLocation: sourceLocation)
  }

  private func run(
    _ arguments: [String], data: String? = nil
  ) throws -> (status: Int32, output: String, error: String) {
    let process = Process()
    let (output, error) = (Pipe(), Pipe())
    process.executableURL = URL(fileURLWithPath: try #require(Self.find("bash")))
    process.arguments = [Self.script] + arguments
    process.environment = [
      "PATH": path, "MANIFEST": root + "/MANIFEST.tsv", "DATA_DIR": data ?? root + "/data",
      "PROTOCOLS": protocols,
    ]
    process.standardInput = FileHandle.nullDevice
    (process.standardOutput, process.standardError) = (output, error)
    try process.run()
    // Each pipe holds far more than the few lines that come.
    let texts = [output, error].map {
      String(decoding: $0.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
    }
    process.waitUntilExit()
    return (process.terminationStatus, texts[0], texts[1])
  }
}

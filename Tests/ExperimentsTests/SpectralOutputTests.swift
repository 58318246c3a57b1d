// SPDX-License-Identifier: Apache-2.0

import Foundation
import Lab
import LinearAlgebra
import Storage
import Testing

/// Where the outputs of `spectral` go: files, streams, terminals, places that take none, and what signals leave.
@Suite struct SpectralOutputTests {
  let tool: SpectralTool

  init() throws { tool = try SpectralTool() }

  /// Runs the tool in a shell that redirects its outputs.
  private func shell(_ words: String) throws -> (status: Int32, errors: String) {
    let (process, pipe) = (Process(), Pipe())
    process.executableURL = URL(fileURLWithPath: "/bin/sh")
    process.arguments = [
      "-c", words.replacingOccurrences(of: "spectral", with: "'\(tool.executable.path)'"),
    ]
    process.currentDirectoryURL = URL(fileURLWithPath: tool.folder)
    process.standardOutput = FileHandle.nullDevice
    process.standardError = pipe
    try process.run()
    let errors = String(decoding: pipe.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
    process.waitUntilExit()
    #expect(process.terminationReason == .exit, "\(words) crashed: \(errors)")
    return (process.terminationStatus, errors)
  }

  @Test func outputThatCannotBeWrittenIsAnError() throws {
    try tool.write("a.safetensors")
    let full = try shell("spectral info a.safetensors > /dev/full")
    #expect(full.status == 1 && full.errors.contains("standard output: cannot write: disk full"))
    let closed = try shell("spectral info a.safetensors >&-")
    #expect(closed.status == 1 && closed.errors.contains("standard output"), "\(closed)")
    // A reader that has gone before anything is written.
    let gone = try shell(
      "{ sleep 0.3; spectral info a.safetensors 2>/dev/null; echo status $? >&2; } | true")
    #expect(gone.errors == "status 1\n", "\(gone)")
  }

  @Test(arguments: ["--help", "--version", "clip --help"])
  func whatIsAskedForIsOutputLikeAnyOther(_ arguments: String) throws {
    #expect(try shell("spectral \(arguments)").status == 0)
    let full = try shell("spectral \(arguments) > /dev/full")
    #expect(full.status == 1 && full.errors.contains("standard output: cannot write: disk full"))
    let closed = try shell("spectral \(arguments) >&-")
    #expect(closed.status == 1 && closed.errors.contains("standard output"), "\(closed)")
    #expect(try shell("spectral clip --nothing").status == 64)
  }

  @Test func foldersThatAreNotThereAreFaults() throws {
    for words in [
      ["report", "--results"], ["report", "--fresh"], ["costs", "--results"], ["migrate"],
    ] { expectFault(try tool.run(words + [tool.file("none")]), "none: is no folder of results") }
  }

  /// Each command that reads records takes the folder that its help names, of today's records, and refuses one without.
  @Test func foldersOfRecordsAreTakenAndEmptyOnesAreFaults() throws {
    let manager = FileManager.default
    try manager.createDirectory(
      atPath: tool.file("bias/trace-regression"), withIntermediateDirectories: true)
    let profile = "trace-regression/paper"
    try manager.copyItem(
      atPath: Paths().results + "/" + profile, toPath: tool.file("bias/" + profile))
    try manager.createDirectory(atPath: tool.file("empty"), withIntermediateDirectories: true)
    let page = ["report", "--out", tool.file("page")]
    for (words, folder) in [
      (page + ["--results"], "bias"), (page + ["--results", tool.file("bias"), "--fresh"], "bias"),
      (["claims", "--out", tool.file("CLAIMS.md"), "--results"], "bias"),
      (["costs", "--results"], "bias"), (["migrate"], "bias/" + profile),
    ] {
      let taken = try tool.run(words + [tool.file(folder)])
      #expect(taken.status == 0 && taken.errors.isEmpty, "\(words): \(taken)")
      expectFault(try tool.run(words + [tool.file("empty")]), "empty: holds no records")
    }
    // As the shell spells results/*/*, where a page of claims lies beside the profiles.
    try Data("claims".utf8).write(
      to: URL(fileURLWithPath: tool.file("bias/trace-regression/CLAIMS.md")))
    #expect(try shell("spectral migrate bias/*/* > migrated").status == 0)
    #expect(
      String(decoding: try content(tool.file("migrated")), as: UTF8.self)
        == "bias/trace-regression/paper: 0 records changed\n")
    #expect(try shell("spectral migrate bias/*/*.md").errors.contains("holds no records"))
  }

  @Test func aStreamThatGoesToAFileIsNotReplaced() throws {
    try tool.write("a.safetensors")
    for path in [
      "/dev/stdout", "/dev/fd/1", "/dev//fd/1", "//proc/self/fd/1", "/dev/../proc/self/fd/1",
      "stream", "/dev/fd/3", "//proc/self/fd/3",
    ] {
      let run = try shell("spectral clip a.safetensors --tau 1 --out \(path) > stream 3>> other")
      #expect(run.status == 1 && run.errors.contains("is what the output of"), "\(path): \(run)")
      #expect(try content(tool.file("stream")).isEmpty && content(tool.file("other")).isEmpty)
    }
    // A pipe gets the file and nothing else.
    let piped = try shell("spectral clip a.safetensors --tau 1 --out /dev/stdout | cat > b")
    #expect(piped.status == 0 && piped.errors.contains("copied unchanged"))
    #expect(try shell("spectral clip a.safetensors --tau 1 --out c").status == 0)
    #expect(try content(tool.file("b")) == content(tool.file("c")))
  }

  /// Few open files are one line, before a library traps: few at all, or few besides those that the program began with.
  @Test(arguments: [
    "ulimit -n 8", "ulimit -n 50", "ulimit -n 64; exec 3<. 4<. 5<. 6<. 7<. 8<. 9<.",
  ])
  func fewOpenFilesAreOneLine(_ start: String) throws {
    let run = try shell("\(start); spectral info")
    #expect(
      run.status == 1 && run.errors.contains("further open files are too few; allow")
        && run.errors.split(separator: "\n").count == 1, "\(run)")
    let soft = start.replacingOccurrences(of: "ulimit", with: "ulimit -S")
    #expect(try shell("\(soft); spectral info").status == 0)
  }

  @Test(arguments: [
    "--tau 1e400", "--tau 1e-400", "--tau 0x1p-2000", "--tau 0xep-2000",
    "--tau 1 --method randomized --rank 1 --power-iterations 1001",
    "--tau 1 --method randomized --rank 1 --power-iterations 9223372036854775807",
  ])
  func numbersBeyondReasonAreRefused(_ options: String) throws {
    try tool.write("a.safetensors")
    #expect(try shell("spectral clip a.safetensors --out b \(options)").status == 64)
    #expect(try shell("spectral clip a.safetensors --out b --tau inf").status == 0)
  }

  /// Names of tensors and files do nothing to a terminal.
  @Test func controlCharactersAreNotPrinted() throws {
    let nasty = "w\u{1b}[31m\n"
    try TensorFile.write(
      [.init(nasty, shape: [1, 1], .float([2]))], format: .safetensors,
      to: tool.file("a.safetensors"))
    for command in [
      "clip a.safetensors --tau 1 --out b", "spectrum a.safetensors", "info a.safetensors",
    ] {
      let run = try shell("spectral \(command) > said")
      let said = try content(tool.file("said"))
      #expect(run.status == 0 && said.count > 10 && !said.contains(0x1b), "\(run)")
    }
    let failed = try shell("spectral info 'none\u{1b}[31m'")
    #expect(failed.status == 1 && !failed.errors.contains("\u{1b}"), "\(failed)")
  }

  /// What cannot be written in the end is said before anything is computed.
  @Test(arguments: ["''", "no/", "folder", "a.safetensors/b", String(repeating: "n", count: 256)])
  func aPlaceThatCannotBeWrittenIsToldFirst(_ out: String) throws {
    try tool.write("a.safetensors")
    try FileManager.default.createDirectory(
      atPath: tool.file("folder"), withIntermediateDirectories: true)
    // The input is looked for only afterwards.
    let run = try shell("spectral clip missing.safetensors --tau 1 --out \(out)")
    #expect(
      run.status == 1 && run.errors.contains("cannot ") && !run.errors.contains("missing"),
      "\(run)")
  }

  /// Whatever ends the program and can be caught, also twice in a row, takes its temporary along.
  @Test(arguments: ["TERM", "USR2", "XCPU", "SYS", "64", "TERM TERM"])
  func signalsLeaveNoTemporary(_ signals: String) throws {
    let values = [Float](repeating: 1, count: 1 << 22)
    try TensorFile.write(
      [.init("w", shape: [1 << 11, 1 << 11], .float(values))], format: .safetensors,
      to: tool.file("a.safetensors"))
    let kills = signals.split(separator: " ").map { "kill -\($0) $!" }.joined(separator: "; ")
    let run = try shell(
      """
      spectral clip a.safetensors --tau 1 --method randomized --rank 1 --out b.safetensors > /dev/null & 
      while kill -0 $! 2> /dev/null && ! ls .b* > /dev/null 2>&1; do sleep 0.005; done
      { \(kills); } 2> /dev/null
      wait $!
      """)
    #expect(run.status > 128 || tool.names.contains("b.safetensors"), "\(run)")
    #expect(!tool.names.contains { $0.hasSuffix(".tmp") }, "\(tool.names)")
  }

  @Test func messagesThatCannotBeWrittenEndNothing() throws {
    try tool.write("a.safetensors")
    for errors in ["2>/dev/full", "2>&-"] {
      #expect(try shell("spectral info a.safetensors \(errors)").status == 0, "\(errors)")
      #expect(try shell("spectral info missing.safetensors \(errors)").status == 1, "\(errors)")
    }
    // All three closed: no file may take their numbers.
    let run = try shell("spectral clip a.safetensors --tau 1 --out b.safetensors <&- >&- 2>&-")
    #expect(run.status == 1)
    #expect(try TensorFile(tool.file("b.safetensors")).entries.count == SpectralTool.tensors.count)
  }

  @Test func anOutputPathOfOneLetter() throws {
    try tool.write("a.safetensors")
    let run = try shell("spectral clip a.safetensors --tau 1 --out t")
    #expect(run.status == 0 && tool.names == ["a.safetensors", "t"], "\(run)")
  }
}

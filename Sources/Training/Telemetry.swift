// SPDX-License-Identifier: Apache-2.0

import Foundation
import LinearAlgebra
import Storage

/// What is true of this process and machine but not of the result: goes to the group `telemetry`.
public struct Telemetry: Sendable {
  /// The BLAS that was pinned at the start.
  public let blas: BLASEnvironment
  /// Short commit of the checkout, with "-dirty" when it has changes; "unknown" outside one.
  public let commit: String
  /// SHA-256 of all Swift and C sources; "unknown" outside a checkout.
  public let sourceDigest: String
  /// Threads inside a run.
  public let threads: Int
  /// Runs side by side.
  public let jobs: Int

  /// Pins BLAS to one thread and describes process and checkout; `root` is the project's folder.
  public init(root: String?, threads: Int, jobs: Int) {
    blas = BLASEnvironment.pinned()
    commit = root.flatMap(Self.commit(of:)) ?? "unknown"
    sourceDigest = root.flatMap(Self.digest(ofSourcesIn:)) ?? "unknown"
    self.threads = threads
    self.jobs = jobs
  }

  /// The group `telemetry` of a record whose computation took `seconds`.
  public func group(seconds: Double, resumed: Bool) -> Record.Group {
    var attributes = Attributes()
    attributes["seconds"] = .double(seconds)
    attributes["resumed"] = .int(resumed ? 1 : 0)
    attributes["peak_memory_bytes"] = .int(Self.peakMemoryBytes)
    attributes["written"] = .string(ISO8601DateFormatter().string(from: Date()))
    attributes["host"] = .string(ProcessInfo.processInfo.hostName)
    attributes["cpu"] = .string(Self.cpu)
    attributes["cores"] = .int(ProcessInfo.processInfo.processorCount)
    attributes["system"] = .string(ProcessInfo.processInfo.operatingSystemVersionString)
    attributes["threads"] = .int(threads)
    attributes["jobs"] = .int(jobs)
    attributes["commit"] = .string(commit)
    attributes["source_digest"] = .string(sourceDigest)
    attributes["blas_core"] = .string(blas.core)
    attributes["blas_config"] = .string(blas.config)
    attributes["lapack_library"] = .string(blas.lapackLibrary)
    attributes["svd_fallbacks"] = .int(SVDFallback.count)
    attributes["warning"] = .string(blas.warning ?? "")
    return Record.Group(Record.telemetryName, attributes: attributes)
  }

  /// The CPU's name as the kernel tells it.
  public static var cpu: String {
    let info = (try? String(contentsOfFile: "/proc/cpuinfo", encoding: .utf8)) ?? ""
    let line = info.split(separator: "\n").first { $0.hasPrefix("model name") }
    return line?.split(separator: ":").last.map { $0.trimmingCharacters(in: .whitespaces) }
      ?? "unknown"
  }

  /// The most memory this process has held, in bytes.
  public static var peakMemoryBytes: Int {
    var usage = rusage()
    #if os(Linux)
      getrusage(__rusage_who_t(RUSAGE_SELF.rawValue), &usage)
      return usage.ru_maxrss * 1024
    #else
      getrusage(RUSAGE_SELF, &usage)
      return usage.ru_maxrss
    #endif
  }

  private static func commit(of root: String) -> String? {
    guard let hash = output(of: ["git", "-C", root, "rev-parse", "--short", "HEAD"]) else {
      return nil
    }
    let changes = output(
      of: [
        "git", "-C", root, "status", "--porcelain", "--", "Sources", "experiments", "Package.swift",
      ])
    return hash + (changes?.isEmpty ?? true ? "" : "-dirty")
  }

  private static func digest(ofSourcesIn root: String) -> String? {
    let folder = root + "/Sources"
    guard let walker = FileManager.default.enumerator(atPath: folder) else { return nil }
    var text = ""
    for case let file as String in walker
    where [".swift", ".c", ".h"].contains(where: file.hasSuffix) { text += file + "\n" }
    let files = text.split(separator: "\n").sorted()
    guard !files.isEmpty else { return nil }
    var content = Data()
    for file in files {
      content += Data("\(file)\n".utf8)
      content += FileManager.default.contents(atPath: folder + "/" + file) ?? Data()
    }
    return Digest.sha256(of: content)
  }

  /// What a command printed, trimmed, or nil if it cannot be run or fails.
  private static func output(of command: [String]) -> String? {
    let process = Process()
    process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
    process.arguments = command
    let pipe = Pipe()
    process.standardOutput = pipe
    process.standardError = FileHandle.nullDevice
    guard (try? process.run()) != nil else { return nil }
    let data = pipe.fileHandleForReading.readDataToEndOfFile()
    process.waitUntilExit()
    guard process.terminationStatus == 0 else { return nil }
    return String(decoding: data, as: UTF8.self).trimmingCharacters(in: .whitespacesAndNewlines)
  }
}

import Foundation

/// SHA-256 in lower-case hexadecimal, by one call of `sha256sum` (coreutils).
public enum Digest {
  /// The digest of `data`.
  public static func sha256(of data: Data) throws -> String {
    try sha256(of: data, searching: searchPath)
  }

  /// The digest of the UTF-8 bytes of `text`.
  public static func sha256(of text: String) throws -> String {
    try sha256(of: Data(text.utf8))
  }

  /// The digest of the file at `path`.
  public static func sha256(ofFile path: String) throws -> String {
    try sha256(ofFile: path, searching: searchPath)
  }

  // MARK: - The call

  static let tool = "sha256sum"

  static var searchPath: String {
    ProcessInfo.processInfo.environment["PATH"] ?? "/usr/local/bin:/usr/bin:/bin"
  }

  static func sha256(ofFile path: String, searching folders: String) throws -> String {
    let descriptor = try SystemCalls.openFile(path, O_RDONLY, doing: "read")
    defer { close(descriptor) }
    _ = try SystemCalls.fileSize(descriptor, path: path)
    return try run(on: descriptor, path: path, searching: folders)
  }

  /// The bytes go through an unlinked temporary file rather than a pipe: a pipe can block on both
  /// sides, and one whose reader has died ends the process by a signal.
  static func sha256(of data: Data, searching folders: String) throws -> String {
    let folder = NSTemporaryDirectory()
    var template = Array((folder + "/digest-XXXXXX").utf8CString)
    let descriptor = mkstemp(&template)
    if descriptor < 0 { throw StorageError.system(errno, "create a temporary file", at: folder) }
    defer { close(descriptor) }
    unlink(template)
    let sink = AtomicFile.Sink(
      descriptor: descriptor, path: folder, writer: SystemCalls.systemWriter)
    try sink.write(data)
    if lseek(descriptor, 0, SEEK_SET) != 0 {
      throw StorageError.system(errno, "read a temporary file", at: folder)
    }
    return try run(on: descriptor, path: "(\(data.count) bytes in memory)", searching: folders)
  }

  private static func run(
    on descriptor: Int32, path: String, searching folders: String
  ) throws -> String {
    let candidates = folders.split(separator: ":").map { "\($0)/\(tool)" }
    guard let executable = candidates.first(where: { access($0, X_OK) == 0 }) else {
      throw StorageError(
        "cannot compute the SHA-256 digest: \(tool) is not on PATH", at: path,
        hint: "install coreutils")
    }
    let output = Pipe()
    let process = Process()
    process.executableURL = URL(fileURLWithPath: executable)
    process.standardInput = FileHandle(fileDescriptor: descriptor, closeOnDealloc: false)
    process.standardOutput = output
    process.standardError = FileHandle.nullDevice
    do {
      try process.run()
    } catch {
      throw StorageError(
        "cannot start \(executable): \(error.localizedDescription)", at: path,
        hint: "check the installation of coreutils")
    }
    let text = String(decoding: output.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
    process.waitUntilExit()
    let digest = text.prefix(while: { $0 != " " })
    guard process.terminationStatus == 0, digest.utf8.count == 64, digest.allSatisfy(\.isHexDigit)
    else {
      throw StorageError(
        "\(tool) ended with status \(process.terminationStatus)", at: path,
        hint: "check that the file can be read")
    }
    return String(digest)
  }
}

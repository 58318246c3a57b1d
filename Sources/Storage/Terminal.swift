// SPDX-License-Identifier: Apache-2.0

import Foundation

/// What a program says: results on standard output, where a failure is an error, and messages on standard error, where
/// it is nothing to end a run for.
public enum Terminal {
  /// Programs call it first of all: a stream that was closed becomes one that nothing can be written to, so that no file
  /// takes its number; a reader that has gone, or a file that grows beyond its limit, is an error and no signal; and
  /// whatever signal ends the program, no temporary file stays.
  public static func prepare() {
    signal(SIGPIPE, SIG_IGN)
    signal(SIGXFSZ, SIG_IGN)
    Temporaries.listen()
    for descriptor in [STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO]
    where fcntl(descriptor, F_GETFD) == -1 && errno == EBADF {
      _ = open("/dev/null", descriptor == STDIN_FILENO ? O_WRONLY : O_RDONLY)
    }
  }

  /// Writes a line of results, or several, to standard output; other control characters than the ends of lines, which would do
  /// something to a terminal, become spaces.
  ///
  /// Throws a `StorageError` for a full disk, a reader that has gone, or a closed stream.
  public static func line(_ text: String) throws {
    let lines = text.split(separator: "\n", omittingEmptySubsequences: false).map {
      oneLine(String($0))
    }
    try write(lines.joined(separator: "\n") + "\n", to: STDOUT_FILENO, path: "standard output")
  }

  /// The same of a command that has written `file`; where that is the pipe behind standard output, which then holds a file and
  /// nothing else, the line goes to standard error.
  public static func line(_ text: String, beside file: String) throws {
    var (own, other) = (stat(), stat())
    if fstat(STDOUT_FILENO, &own) == 0, stat(file, &other) == 0, own.st_dev == other.st_dev,
      own.st_ino == other.st_ino, own.st_mode & S_IFMT != S_IFCHR
    {
      message("\(oneLine(text))\n")
    } else {
      try line(text)
    }
  }

  /// Writes a message as it is to standard error, if that is possible.
  public static func message(_ text: String) {
    try? write(text, to: STDERR_FILENO, path: "standard error")
  }

  /// The columns of the terminal that messages go to, 80 where it does not say.
  public static var messageColumns: Int {
    var size = winsize()
    guard ioctl(STDERR_FILENO, UInt(TIOCGWINSZ), &size) == 0, size.ws_col > 0 else { return 80 }
    return Int(size.ws_col)
  }

  private static func write(_ text: String, to descriptor: Int32, path: String) throws {
    var text = text
    try text.withUTF8 {
      try SystemCalls.writeAll(
        UnsafeRawBufferPointer($0), to: descriptor, path: path, writer: SystemCalls.systemWriter)
    }
  }
}

/// Text without line breaks and other control characters, for a terminal, a cell or a legend: they become spaces, and the two of a
/// Windows line break one.
package func oneLine(_ text: String) -> String {
  let breaks: [Unicode.GeneralCategory] = [.control, .lineSeparator, .paragraphSeparator]
  return String(
    text.map { character in
      character.unicodeScalars.contains { breaks.contains($0.properties.generalCategory) }
        ? " " : character
    })
}

// SPDX-License-Identifier: Apache-2.0

import Foundation
import Synchronization

/// A process of this same program that does nothing but answer questions about HDF5 files.
///
/// A program offers it by calling `servesInstead()` before anything else; one that does not reads HDF5 files itself.
public final class HDF5Child {
  private static let argument = "answer-hdf5-questions"
  private static let offered = Atomic(false)

  static var isOffered: Bool { offered.load(ordering: .relaxed) }

  private let process: pid_t
  private let socket: HDF5Socket

  // MARK: - In the program

  /// Starts the process, a copy of this program.
  init(executable: String = "/proc/self/exe", arguments: [String] = [argument]) throws {
    #if os(Linux)
      var ends: [Int32] = [-1, -1]
      let stream = Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue)
      if socketpair(AF_UNIX, stream, 0, &ends) != 0 {
        throw StorageError.system(errno, "connect to a process", at: "HDF5")
      }
      defer { close(ends[1]) }
      var actions = posix_spawn_file_actions_t()
      posix_spawn_file_actions_init(&actions)
      defer { posix_spawn_file_actions_destroy(&actions) }
      posix_spawn_file_actions_adddup2(&actions, ends[1], 0)
      // What a crash prints is of no use to anybody.
      for output: Int32 in [1, 2] {
        posix_spawn_file_actions_addopen(&actions, output, "/dev/null", O_WRONLY, 0)
      }
      var arguments = Self.strings([CommandLine.arguments.first ?? ""] + arguments)
      defer { arguments.forEach { free($0) } }
      // Nothing is multiplied there, and threads would only take memory.
      let inherited = ProcessInfo.processInfo.environment
        .filter { $0.key != "OPENBLAS_NUM_THREADS" }.map { "\($0.key)=\($0.value)" }
      var environment = Self.strings(inherited + ["OPENBLAS_NUM_THREADS=1"])
      defer { environment.forEach { free($0) } }
      var process: pid_t = 0
      var code = posix_spawn(&process, executable, &actions, nil, &arguments, &environment)
      // A machine short of processes or memory may have some again in a moment.
      for attempt: UInt32 in 1...6 where code == EAGAIN || code == ENOMEM {
        usleep(50_000 << attempt)
        code = posix_spawn(&process, executable, &actions, nil, &arguments, &environment)
      }
      if code != 0 {
        close(ends[0])
        throw StorageError.system(code, "start a process that reads HDF5", at: executable)
      }
      self.process = process
      socket = HDF5Socket(descriptor: ends[0])
    #else
      throw StorageError.system(ENOTSUP, "start a process that reads HDF5", at: "HDF5")
    #endif
  }

  /// C strings with a null pointer behind them.
  private static func strings(_ texts: [String]) -> [UnsafeMutablePointer<CChar>?] {
    texts.map { strdup($0) } + [nil]
  }

  /// Ends the process, and returns the signal that it had died of by itself, or 0.
  func end() -> Int32 {
    socket.close()
    var status: Int32 = 0
    // One that crashes takes a moment to be gone.
    for _ in 0..<50 {
      if waitpid(process, &status, WNOHANG) != 0 { return status & 0x7f }
      usleep(1000)
    }
    kill(process, SIGKILL)
    while waitpid(process, &status, 0) < 0 && errno == EINTR {}
    return 0
  }

  /// Asks and waits for the answer; no values where there are not `count` of them.
  func ask<Element: BitwiseCopyable>(
    _ question: [UInt8], _ values: UnsafeRawBufferPointer, seconds: Int, count: Int
  ) throws -> ([UInt8], [Element]?) {
    try socket.send([question.count, values.count, seconds], seconds: seconds)
    try socket.send(question, seconds: seconds)
    try socket.send(values, seconds: seconds)
    let sizes: [Int] = try socket.receive(3, seconds: seconds)
    guard (0...Self.largestHead).contains(sizes[0]) else { throw HDF5Socket.Failure.closed }
    let head: [UInt8] = try socket.receive(sizes[0], seconds: seconds)
    if sizes[1] == count * MemoryLayout<Element>.stride {
      return (head, try socket.receive(count, seconds: seconds))
    }
    // An error comes without values; anything else is not waited for.
    if sizes[1] != 0 { throw HDF5Socket.Failure.closed }
    return (head, nil)
  }

  private static let largestHead = 1 << 31

  // MARK: - In the process

  /// Whether this process was started to answer questions, which it has done when this returns; the program should
  /// then end. Otherwise HDF5 files are read by such a process from now on.
  public static func servesInstead() -> Bool {
    #if os(Linux)
      guard CommandLine.arguments.dropFirst().elementsEqual([argument]) else {
        offered.store(true, ordering: .relaxed)
        return false
      }
      // Interrupts concern the program; this process goes when the program does.
      for signal in [SIGINT, SIGTERM, SIGHUP] { Foundation.signal(signal, SIG_IGN) }
      limit(RLIMIT_CORE, to: 0)
      limit(RLIMIT_AS, to: max(2 << 30, ProcessInfo.processInfo.physicalMemory / 2))
      serve(HDF5Socket(descriptor: 0))
      return true
    #else
      return false
    #endif
  }

  #if os(Linux)
    private static func serve(_ socket: HDF5Socket) {
      let service = HDF5Service()
      // Ends when the program closes its end of the socket, or has died.
      while let sizes: [Int] = try? socket.receive(3), sizes[0] >= 0, sizes[1] >= 0,
        let question: [UInt8] = try? socket.receive(sizes[0]),
        let values: [UInt8] = try? socket.receive(sizes[1])
      {
        limit(RLIMIT_CPU, to: UInt64(processorSeconds() + max(sizes[2], 0) + 1))
        let (head, body) = values.withUnsafeBytes { service.answer(question, values: $0) }
        do {
          try socket.send([head.bytes.count, body.count, 0])
          try socket.send(head.bytes)
          try body.withUnsafeBytes { try socket.send($0) }
        } catch { return }
      }
    }

    /// Lowers what this process may take; what can only be raised again is the soft limit.
    private static func limit(_ resource: __rlimit_resource, to value: UInt64) {
      let resource = __rlimit_resource_t(resource.rawValue)
      var limits = rlimit()
      getrlimit(resource, &limits)
      limits.rlim_cur = min(rlim_t(value), limits.rlim_max)
      setrlimit(resource, &limits)
    }

    private static func processorSeconds() -> Int {
      var usage = rusage()
      getrusage(__rusage_who_t(RUSAGE_SELF.rawValue), &usage)
      return usage.ru_utime.tv_sec + usage.ru_stime.tv_sec
    }
  #endif
}

/// One end of the socket between a program and its HDF5 process.
struct HDF5Socket {
  enum Failure: Error {
    /// The other side has gone.
    case closed
    /// The other side did nothing for too long.
    case silent
  }

  let descriptor: Int32

  func close() { _ = Foundation.close(descriptor) }

  func send<Element: BitwiseCopyable>(_ elements: [Element], seconds: Int? = nil) throws {
    try elements.withUnsafeBytes { try send($0, seconds: seconds) }
  }

  /// Sends all of `bytes`; a part is taken every `seconds` at least.
  func send(_ bytes: UnsafeRawBufferPointer, seconds: Int? = nil) throws {
    guard let base = bytes.baseAddress else { return }
    var done = 0
    while done < bytes.count {
      #if os(Linux)
        let flags = Int32(MSG_DONTWAIT) | Int32(MSG_NOSIGNAL)
      #else
        let flags = Int32(MSG_DONTWAIT)
      #endif
      let count = Foundation.send(descriptor, base + done, bytes.count - done, flags)
      if count >= 0 {
        done += count
      } else {
        try wait(errno, for: POLLOUT, seconds: seconds)
      }
    }
  }

  /// Receives `count` elements; a part comes every `seconds` at least.
  func receive<Element: BitwiseCopyable>(_ count: Int, seconds: Int? = nil) throws -> [Element] {
    try [Element](unsafeUninitializedCapacity: count) { buffer, initialized in
      let length = count * MemoryLayout<Element>.stride
      var done = 0
      while done < length, let base = UnsafeMutableRawPointer(buffer.baseAddress) {
        let received = recv(descriptor, base + done, length - done, Int32(MSG_DONTWAIT))
        if received > 0 {
          done += received
        } else if received == 0 {
          throw Failure.closed
        } else {
          try wait(errno, for: POLLIN, seconds: seconds)
        }
      }
      initialized = count
    }
  }

  /// After a call that failed with `code`: waits until it may be tried again.
  private func wait(_ code: Int32, for event: Int32, seconds: Int?) throws {
    if code == EINTR { return }
    guard code == EAGAIN || code == EWOULDBLOCK else { throw Failure.closed }
    var descriptors = pollfd(fd: descriptor, events: Int16(event), revents: 0)
    let milliseconds = Int32(clamping: seconds.map { $0 * 1000 } ?? -1)
    if poll(&descriptors, 1, milliseconds) == 0 { throw Failure.silent }
  }
}

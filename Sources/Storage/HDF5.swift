// SPDX-License-Identifier: Apache-2.0

import CHDF5
import Foundation

/// The HDF5 library behind one lock: its state belongs to the process, whoever calls it.
enum HDF5 {
  private static let lock = NSRecursiveLock()

  /// Runs `body` alone among all users of HDF5 in this process; may be nested.
  static func exclusively<Result>(_ body: () throws -> Result) rethrows -> Result {
    lock.lock()
    defer { lock.unlock() }
    H5open()
    // Nothing is loaded because a file, or a variable of the environment, names it.
    H5PLset_loading_state(0)
    // Nothing is printed: errors are thrown. A thread-safe build keeps this switch per thread.
    H5Eset_auto2(chdf5_error_stack(), nil, nil)
    return try body()
  }

  /// Passes an id, a status or a count on, or throws with the library's deepest message.
  @discardableResult
  static func check<Status: SignedInteger>(
    _ status: Status, _ action: @autoclosure () -> String
  ) throws -> Status {
    if status < 0 { throw HDF5Failure("cannot \(action())", deepestMessage()) }
    return status
  }

  /// Runs `body` with an open id and closes it. The status of closing counts: what the library
  /// still held back is written there, and a full disk may show nowhere else.
  static func using<Result>(
    _ id: hid_t, closing close: (hid_t) -> herr_t, _ what: String,
    _ body: (hid_t) throws -> Result
  ) throws -> Result {
    let result: Result
    do {
      result = try body(id)
    } catch {
      _ = close(id)
      throw error
    }
    try check(close(id), "finish \(what)")
    return result
  }

  /// The innermost entry of the library's error stack.
  private static func deepestMessage() -> String {
    var message = ""
    withUnsafeMutablePointer(to: &message) { pointer in
      _ = H5Ewalk2(
        chdf5_error_stack(), H5E_WALK_UPWARD,
        { _, entry, context in
          if let entry, let text = entry.pointee.desc, let context {
            context.assumingMemoryBound(to: String.self).pointee = String(cString: text)
          }
          return 1  // the first entry is enough
        }, pointer)
    }
    return message
  }

  /// The number of elements of `shape`, or an error where that many cannot be held in memory.
  static func elementCount(_ shape: [Int], width: Int) throws -> Int {
    guard let bytes = Storage.elementCount(of: shape + [width]),
      bytes <= Int(ProcessInfo.processInfo.physicalMemory),
      let count = Storage.elementCount(of: shape)
    else {
      throw HDF5Failure("cannot read shape \(shape)", "it exceeds the memory of this machine")
    }
    return count
  }

  /// The size of the file in which an open object lies.
  static func fileSize(of object: hid_t) throws -> Int {
    let file = try check(H5Iget_file_id(object), "find the file of an object")
    defer { H5Fclose(file) }
    var size: hsize_t = 0
    try check(H5Fget_filesize(file, &size), "measure the file")
    return Int(clamping: size)
  }
}

/// A failed HDF5 call before the path is known; the file level turns it into a `StorageError`.
struct HDF5Failure: Error {
  /// What is wrong: `cannot write x`.
  let action: String
  let detail: String

  init(_ action: String, _ detail: String) {
    self.action = action
    self.detail = detail
  }

  /// The error about a file; a system error deep inside, say a full disk, is told as such.
  func error(at path: String, hint: String) -> StorageError {
    if let number = detail.firstMatch(of: /errno = ([0-9]+)/)?.1, let code = Int32(number) {
      return StorageError.system(code, action.replacing("cannot ", with: ""), at: path)
    }
    return StorageError(detail.isEmpty ? action : "\(action): \(detail)", at: path, hint: hint)
  }
}

/// Runs `body` under the lock and says which file a failure concerns.
func withHDF5<Result>(_ path: String, hint: String, _ body: () throws -> Result) throws -> Result {
  do {
    return try HDF5.exclusively(body)
  } catch let failure as HDF5Failure {
    throw failure.error(at: path, hint: hint)
  }
}

// MARK: - Element types

/// A Swift number type with its HDF5 counterpart.
protocol HDF5Number: BitwiseCopyable {
  static var hdf5Type: hid_t { get }
  static var zero: Self { get }
}

/// One in which the values of tensors are handed over.
protocol HDF5TensorNumber: HDF5Number {
  static var kind: HDF5Kind { get }
}

extension Double: HDF5TensorNumber {
  static var hdf5Type: hid_t { chdf5_native_double() }
  static var kind: HDF5Kind { .double }
}
extension Float: HDF5TensorNumber {
  static var hdf5Type: hid_t { chdf5_native_float() }
  static var kind: HDF5Kind { .float }
}
extension Int64: HDF5TensorNumber {
  static var hdf5Type: hid_t { chdf5_native_int64() }
  static var kind: HDF5Kind { .int64 }
}
extension Int32: HDF5Number { static var hdf5Type: hid_t { chdf5_native_int32() } }
extension UInt8: HDF5Number { static var hdf5Type: hid_t { chdf5_native_uint8() } }

/// What is stored, as far as this module tells types apart.
enum HDF5Type: Equatable {
  /// Of IEEE 754, 2, 4 or 8 bytes.
  case float(bytes: Int)
  /// The upper half of a float.
  case bfloat16
  case integer(bytes: Int, signed: Bool)
  case string
  case other(String)

  /// The type of an open data set or attribute.
  init(of type: hid_t) throws {
    let size = H5Tget_size(type)
    let kind = H5Tget_class(type)
    switch kind {
    case H5T_FLOAT: self = try Self.float(type, size: size)
    case H5T_INTEGER: self = .integer(bytes: size, signed: H5Tget_sign(type) == H5T_SGN_2)
    case H5T_STRING: self = .string
    default:
      let names = [
        H5T_TIME: "time", H5T_BITFIELD: "bit field", H5T_OPAQUE: "opaque",
        H5T_COMPOUND: "compound", H5T_REFERENCE: "reference", H5T_ENUM: "enumeration",
        H5T_VLEN: "variable length", H5T_ARRAY: "array",
      ]
      guard let name = names[kind] else { throw HDF5Failure("cannot read a type", "unknown class") }
      self = .other(name)
    }
  }

  /// By the bits of exponent and mantissa: types of one size can hold different numbers.
  private static func float(_ type: hid_t, size: Int) throws -> HDF5Type {
    var (sign, exponentPlace, exponent, mantissaPlace, mantissa) = (0, 0, 0, 0, 0)
    try HDF5.check(
      H5Tget_fields(type, &sign, &exponentPlace, &exponent, &mantissaPlace, &mantissa),
      "read a type")
    switch (size, exponent, mantissa) {
    case (8, 11, 52), (4, 8, 23), (2, 5, 10): return .float(bytes: size)
    case (2, 8, 7): return .bfloat16
    case (1, 5, 2): return .other("F8_E5M2")
    case (1, 4, 3): return .other("F8_E4M3")
    default: return .other("F\(8 * size) of \(exponent) and \(mantissa) bits")
    }
  }
}

extension H5T_class_t: @retroactive Hashable {}

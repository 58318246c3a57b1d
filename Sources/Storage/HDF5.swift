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
    var count = 1
    var bytes = width
    for extent in shape {
      let (product, overflow) = bytes.multipliedReportingOverflow(by: max(extent, 0))
      if extent < 0 || overflow || product > Int(ProcessInfo.processInfo.physicalMemory) {
        throw HDF5Failure("cannot read shape \(shape)", "it exceeds the memory of this machine")
      }
      bytes = product
      count *= extent
    }
    return count
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

extension Double: HDF5Number { static var hdf5Type: hid_t { chdf5_native_double() } }
extension Float: HDF5Number { static var hdf5Type: hid_t { chdf5_native_float() } }
extension Int32: HDF5Number { static var hdf5Type: hid_t { chdf5_native_int32() } }
extension Int64: HDF5Number { static var hdf5Type: hid_t { chdf5_native_int64() } }
extension UInt8: HDF5Number { static var hdf5Type: hid_t { chdf5_native_uint8() } }

/// What is stored, as far as this module tells types apart.
enum HDF5Type: Equatable {
  case float(bytes: Int)
  case integer(bytes: Int, signed: Bool)
  case string
  case other(String)

  /// The type of an open data set or attribute.
  init(of type: hid_t) throws {
    let size = H5Tget_size(type)
    let kind = H5Tget_class(type)
    switch kind {
    case H5T_FLOAT: self = .float(bytes: size)
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
}

extension H5T_class_t: @retroactive Hashable {}

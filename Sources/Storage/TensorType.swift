// SPDX-License-Identifier: Apache-2.0

/// The element type of a tensor by its safetensors name: `F32`, `BF16`, `I64`, ….
///
/// Any name can be listed and copied; what can be read as numbers is what `reading` says.
public struct TensorType: Hashable, Sendable, CustomStringConvertible {
  /// The name in capitals, as safetensors writes it.
  public let name: String

  /// A type by its name, known or not.
  public init(_ name: String) { self.name = name }

  /// 64-bit reals.
  public static let f64 = TensorType("F64")
  /// 32-bit reals.
  public static let f32 = TensorType("F32")
  /// 16-bit reals of IEEE 754.
  public static let f16 = TensorType("F16")
  /// The upper halves of 32-bit reals.
  public static let bf16 = TensorType("BF16")
  /// 64-bit whole numbers.
  public static let i64 = TensorType("I64")
  /// 32-bit whole numbers.
  public static let i32 = TensorType("I32")
  /// Bytes.
  public static let u8 = TensorType("U8")

  /// The bytes of one element; nil for a type not known here.
  public var width: Int? {
    switch name {
    case "F64", "I64", "U64", "C64": 8
    case "F32", "I32", "U32": 4
    case "F16", "BF16", "I16", "U16": 2
    case "U8", "I8", "BOOL", "F8_E5M2", "F8_E4M3", "F8_E8M0", "F8_E4M3FNUZ", "F8_E5M2FNUZ": 1
    default: nil
    }
  }

  /// How values of this type are held in Swift.
  public enum Reading: Sendable {
    /// As `Double`: F64.
    case double
    /// As `Float`, exactly: F32, F16, BF16.
    case float
    /// As `Int`, exactly: I64, I32, U8.
    case integer
  }

  /// How values of this type are read; nil where this module cannot.
  public var reading: Reading? {
    switch self {
    case .f64: .double
    case .f32, .f16, .bf16: .float
    case .i64, .i32, .u8: .integer
    default: nil
    }
  }

  /// The name.
  public var description: String { name }
}

/// Reals of a tensor in the precision that its type asks for.
public enum TensorValues: Equatable, Sendable {
  /// For F32, F16 and BF16.
  case float([Float])
  /// For F64.
  case double([Double])

  /// The number of elements.
  public var count: Int {
    switch self {
    case .float(let values): values.count
    case .double(let values): values.count
    }
  }
}

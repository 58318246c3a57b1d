// SPDX-License-Identifier: Apache-2.0

/// Whether `text`, decimal or hexadecimal, is a number that a `Double` takes for 0 though it is not: 1e-400.
package func underflows(_ text: String) -> Bool {
  let number = text.lowercased()
  let exponent: Character = number.contains("x") ? "p" : "e"
  return Double(number) == 0
    && number.prefix { $0 != exponent }.contains { $0.isHexDigit && $0 != "0" }
}

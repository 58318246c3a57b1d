// SPDX-License-Identifier: Apache-2.0

/// The product of the extents of `shape`, nil where an extent is negative or an `Int` cannot hold the product of those that are not
/// zero: whoever multiplies some of them, as for the columns of a matrix without rows, is safe as well.
public func elementCount(of shape: [Int]) -> Int? {
  var count = 1
  for extent in shape where extent != 0 {
    let (product, overflow) = count.multipliedReportingOverflow(by: extent)
    if overflow || extent < 0 { return nil }
    count = product
  }
  return shape.contains(0) ? 0 : count
}

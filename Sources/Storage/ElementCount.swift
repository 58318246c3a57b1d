// SPDX-License-Identifier: Apache-2.0

/// The product of the extents of `shape`, nil where an `Int` cannot hold it or an extent is negative.
public func elementCount(of shape: [Int]) -> Int? {
  var count = 1
  for extent in shape {
    let (product, overflow) = count.multipliedReportingOverflow(by: extent)
    if overflow || extent < 0 { return nil }
    count = product
  }
  return count
}

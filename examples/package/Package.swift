// swift-tools-version: 6.0
// SPDX-License-Identifier: Apache-2.0
import PackageDescription

// A package of its own that uses the suite's clip by path; a program elsewhere names it by URL.
let package = Package(
  name: "clip-one",
  platforms: [.macOS(.v15)],
  dependencies: [.package(name: "spectral-clipping", path: "../..")],
  targets: [
    .executableTarget(
      name: "clip-one",
      dependencies: [
        .product(name: "Clipping", package: "spectral-clipping"),
        .product(name: "LinearAlgebra", package: "spectral-clipping"),
      ])
  ]
)

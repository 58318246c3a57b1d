// swift-tools-version: 6.0
import PackageDescription

// Three floors; imports only go down (DESIGN in README.md and CONTRIBUTING.md).
// No unsafeFlags here, so the package stays usable as a dependency: release flags
// (-march=native) come from the Makefile.
let package = Package(
  name: "spectral-clipping",
  platforms: [.macOS(.v15)],
  products: [
    .library(name: "Clipping", targets: ["Clipping"]),
    .library(name: "Autodiff", targets: ["Autodiff"]),
    .library(name: "LinearAlgebra", targets: ["LinearAlgebra"]),
    .library(name: "Storage", targets: ["Storage"]),
    .executable(name: "bad-token-spectra", targets: ["bad-token-spectra"]),
    .executable(name: "trace-regression", targets: ["trace-regression"]),
    .executable(name: "clip-cost", targets: ["clip-cost"]),
    .executable(name: "mlp-heavy-tails", targets: ["mlp-heavy-tails"]),
    .executable(name: "mlp-heatmap", targets: ["mlp-heatmap"]),
    .executable(name: "nanogpt-shakespeare", targets: ["nanogpt-shakespeare"]),
    .executable(name: "gpt2-fineweb", targets: ["gpt2-fineweb"]),
    .executable(name: "cifar10-resnet18", targets: ["cifar10-resnet18"]),
    .executable(name: "theory-bounds", targets: ["theory-bounds"]),
    .executable(name: "spectral", targets: ["spectral"]),
  ],
  dependencies: [
    .package(url: "https://github.com/apple/swift-argument-parser", from: "1.5.0"),
    .package(url: "https://github.com/jpsim/Yams", from: "6.0.0"),
  ],
  targets: [
    // MARK: - C libraries: module map and shim header, nothing else
    .systemLibrary(
      name: "COpenBLAS", pkgConfig: "openblas", providers: [.apt(["libopenblas-dev"])]),
    .systemLibrary(name: "CLAPACKE", pkgConfig: "lapacke", providers: [.apt(["liblapacke-dev"])]),
    .systemLibrary(name: "CHDF5", pkgConfig: "hdf5", providers: [.apt(["libhdf5-dev"])]),

    // MARK: - Floor 1: numbers
    .target(name: "LinearAlgebra", dependencies: ["COpenBLAS", "CLAPACKE"]),
    .target(name: "Storage", dependencies: ["CHDF5"]),

    // MARK: - Floor 2: learning
    .target(name: "Clipping", dependencies: ["LinearAlgebra"]),
    .target(name: "Datasets", dependencies: ["LinearAlgebra", "Storage"]),
    .target(name: "Autodiff", dependencies: ["LinearAlgebra"]),
    .target(name: "Models", dependencies: ["Autodiff", "LinearAlgebra", "Storage"]),
    .target(name: "Optimizers", dependencies: ["Autodiff", "LinearAlgebra"]),
    .target(
      name: "Training",
      dependencies: ["Autodiff", "Clipping", "LinearAlgebra", "Optimizers", "Storage"]),

    // MARK: - Floor 3: this paper
    .target(name: "Theory", dependencies: ["Clipping", "LinearAlgebra"]),
    .target(
      name: "Experiments",
      dependencies: [
        "Autodiff", "Clipping", "Datasets", "LinearAlgebra", "Models", "Optimizers", "Storage",
        "Theory", "Training", .product(name: "ArgumentParser", package: "swift-argument-parser"),
        .product(name: "Yams", package: "Yams"),
      ]),
    .executableTarget(
      name: "bad-token-spectra",
      dependencies: [
        "Experiments", .product(name: "ArgumentParser", package: "swift-argument-parser"),
      ]),
    .executableTarget(
      name: "trace-regression",
      dependencies: [
        "Experiments", .product(name: "ArgumentParser", package: "swift-argument-parser"),
      ]),
    .executableTarget(
      name: "clip-cost",
      dependencies: [
        "Experiments", .product(name: "ArgumentParser", package: "swift-argument-parser"),
      ]),
    .executableTarget(
      name: "mlp-heavy-tails",
      dependencies: [
        "Experiments", .product(name: "ArgumentParser", package: "swift-argument-parser"),
      ]),
    .executableTarget(
      name: "mlp-heatmap",
      dependencies: [
        "Experiments", .product(name: "ArgumentParser", package: "swift-argument-parser"),
      ]),
    .executableTarget(
      name: "nanogpt-shakespeare",
      dependencies: [
        "Experiments", .product(name: "ArgumentParser", package: "swift-argument-parser"),
      ]),
    .executableTarget(
      name: "gpt2-fineweb",
      dependencies: [
        "Experiments", .product(name: "ArgumentParser", package: "swift-argument-parser"),
      ]),
    .executableTarget(
      name: "cifar10-resnet18",
      dependencies: [
        "Experiments", .product(name: "ArgumentParser", package: "swift-argument-parser"),
      ]),
    .executableTarget(
      name: "theory-bounds",
      dependencies: [
        "Experiments", .product(name: "ArgumentParser", package: "swift-argument-parser"),
      ]),
    .executableTarget(
      name: "spectral",
      dependencies: [
        "Autodiff", "Clipping", "Datasets", "Experiments", "LinearAlgebra", "Models", "Storage",
        .product(name: "ArgumentParser", package: "swift-argument-parser"),
      ]),

    .executableTarget(
      name: "suite-bench",
      dependencies: ["Clipping", "Experiments", "LinearAlgebra", "Storage", "Theory", "Training"],
      path: "Benchmarks/suite-bench"),

    // MARK: - Tests, one target per module
    .testTarget(
      name: "LinearAlgebraTests", dependencies: ["LinearAlgebra"], exclude: ["Goldens"]),
    .testTarget(name: "StorageTests", dependencies: ["Storage"]),
    .testTarget(name: "AutodiffTests", dependencies: ["Autodiff", "LinearAlgebra"]),
    .testTarget(name: "ClippingTests", dependencies: ["Clipping", "LinearAlgebra"]),
    .testTarget(
      name: "DatasetsTests", dependencies: ["Datasets", "LinearAlgebra", "Storage"],
      exclude: ["Goldens"]),
    .testTarget(
      name: "ModelsTests",
      dependencies: ["Autodiff", "LinearAlgebra", "Models", "Optimizers", "Storage"],
      exclude: ["Goldens"]),
    .testTarget(
      name: "OptimizersTests", dependencies: ["Autodiff", "LinearAlgebra", "Optimizers"]),
    .testTarget(name: "TheoryTests", dependencies: ["LinearAlgebra", "Storage", "Theory"]),
    .testTarget(
      name: "TrainingTests",
      dependencies: [
        "Autodiff", "Clipping", "LinearAlgebra", "Models", "Optimizers", "Storage", "Training",
      ], exclude: ["Goldens"]),
    .testTarget(
      name: "ExperimentsTests",
      dependencies: [
        "Autodiff", "Clipping", "Datasets", "Experiments", "LinearAlgebra", "Models", "Storage",
        "Training", "spectral",
        .product(name: "ArgumentParser", package: "swift-argument-parser"),
      ], exclude: ["Goldens"]),
  ],
  swiftLanguageModes: [.v6]
)

// swift-tools-version: 6.0
// SPDX-License-Identifier: Apache-2.0
import PackageDescription

// Four floors; imports only go down (CONTRIBUTING.md draws them). No unsafeFlags here, so the package stays usable as
// a dependency: release flags (-march=native) come from the Makefile.

let arguments = Target.Dependency.product(name: "ArgumentParser", package: "swift-argument-parser")
let yams = Target.Dependency.product(name: "Yams", package: "Yams")

/// One executable a figure, table or family of theorems.
let experiments = [
  "bad-token-spectra", "trace-regression", "clip-cost", "mlp-heavy-tails", "mlp-heatmap",
  "nanogpt-shakespeare", "gpt2-fineweb", "cifar10-resnet18", "theory-bounds", "smoothness",
  "delta-gclip-vae", "delta-gclip-resnet18", "delta-gclip-vit", "delta-gclip-bert",
  "per-sample-clipping",
]
/// What a program outside may import.
let libraries = [
  "LinearAlgebra", "Storage", "Clipping", "Datasets", "Autodiff", "Models", "Optimizers",
  "Training", "Theory",
]

/// `make MPI=1` sets it: one run on many machines. Without it nothing of MPI is built.
let usesMPI = Context.environment["MPI"] == "1"

let package = Package(
  name: "spectral-clipping",
  platforms: [.macOS(.v15)],
  products: libraries.map { .library(name: $0, targets: [$0]) }
    + [.library(name: "spectralclip", type: .dynamic, targets: ["SpectralClipC"])]
    + (experiments + ["spectral", "fuzz"]).map { .executable(name: $0, targets: [$0]) },
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
    .systemLibrary(name: "CCrypto", pkgConfig: "libcrypto", providers: [.apt(["libssl-dev"])]),

    // MARK: - Floor 1: numbers
    .target(name: "CKernels"),  // C of our own: see its headers for why
    .target(name: "LinearAlgebra", dependencies: ["CKernels", "COpenBLAS", "CLAPACKE"]),
    .target(name: "Storage", dependencies: ["CHDF5", "CCrypto"]),

    // MARK: - Floor 2: learning
    .target(name: "Clipping", dependencies: ["LinearAlgebra"], exclude: ["README.md"]),
    // For programs in other languages: the header, and the functions that it declares.
    .systemLibrary(name: "CSpectralClip"),
    .target(
      name: "SpectralClipC",
      dependencies: ["CSpectralClip", "Clipping", "LinearAlgebra"]
    ),
    .target(name: "Datasets", dependencies: ["LinearAlgebra", "Storage"]),
    .target(name: "Autodiff", dependencies: ["CKernels", "LinearAlgebra"]),
    .target(name: "Models", dependencies: ["Autodiff", "LinearAlgebra", "Storage"]),
    .target(name: "Optimizers", dependencies: ["Autodiff", "LinearAlgebra"]),
    .target(
      name: "Training",
      dependencies: ["Autodiff", "Clipping", "LinearAlgebra", "Optimizers", "Storage"]),

    // MARK: - Floor 3: the lab, which knows no paper
    .target(
      name: "Lab",
      dependencies: [
        "Autodiff", "Clipping", "LinearAlgebra", "Optimizers", "Storage", "Training", arguments,
        yams,
      ] + (usesMPI ? ["MPIRanks"] : []),
      swiftSettings: usesMPI ? [.define("MPI")] : []),

    // MARK: - Floor 4: the papers
    .target(name: "Theory", dependencies: ["Clipping", "LinearAlgebra"]),
    .target(
      name: "Experiments",
      dependencies: [
        "Autodiff", "Clipping", "Datasets", "Lab", "LinearAlgebra", "Models", "Optimizers",
        "Storage", "Theory", "Training", yams,
      ]),
    .executableTarget(
      name: "spectral",
      dependencies: [
        "Autodiff", "Clipping", "Datasets", "Experiments", "Lab", "LinearAlgebra", "Models",
        "Storage", arguments,
      ]),
    .executableTarget(
      name: "fuzz",
      dependencies: ["Experiments", "Lab", "LinearAlgebra", "Storage", "Training", arguments]),
    .executableTarget(
      name: "suite-bench",
      dependencies: [
        "Clipping", "Experiments", "Lab", "LinearAlgebra", "Storage", "Theory", "Training",
      ],
      path: "Benchmarks/suite-bench"),

    // MARK: - Tests, one target a module
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
      dependencies: ["Autodiff", "Clipping", "LinearAlgebra", "Models", "Optimizers", "Storage"],
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
        "Autodiff", "Clipping", "Datasets", "Experiments", "Lab", "LinearAlgebra", "Models",
        "Storage", "Training", "spectral", arguments,
      ], exclude: ["Goldens"]),
  ]
    + experiments.map {
      .executableTarget(name: $0, dependencies: ["Experiments", "Lab", arguments])
    }
    + (usesMPI
      ? [
        .systemLibrary(
          name: "CMPI", pkgConfig: "ompi-c", providers: [.apt(["libopenmpi-dev"])]),
        .target(name: "MPIRanks", dependencies: ["CMPI", "Training"]),
      ] : []),
  swiftLanguageModes: [.v6]
)

// SPDX-License-Identifier: Apache-2.0

import Clipping
import Lab
import Optimizers

/// The arms of the CIFAR-10 experiments: who moves the convolutions, and how their gradients are clipped.
package enum ImageArms {
  private typealias Clip = @Sendable (ArmSite) throws -> any GradientTransform
  private static let norm = Hyperparameter.logarithmic("maximumNorm", 0.01, 10)
  private static let tau = Hyperparameter.logarithmic("tau", 1e-3, 5)
  private static let none: Clip = { _ in NoClip() }
  private static let spectral: Clip = { try $0.spectral(.constant($0("tau"))) }

  private static func arm(
    _ network: ImageNetwork, _ suffix: String, _ title: String, source: String,
    _ more: Hyperparameter..., highestRate: Double = 0.8,
    optimizer: @escaping @Sendable (ArmSite) throws -> any Optimizer = {
      SGD(momentum: try $0("momentum"), nesterov: true)
    }, clip: @escaping Clip
  ) -> Arm {
    Arm(
      "\(network.rawValue)-\(suffix)", "\(network.title): \(title)", source: source,
      [.logarithmic("learningRate", 0.01, highestRate)] + more, optimizer, moving: .filters,
      clip: clip
    ).with {
      $0.model = network.rawValue
      $0.clippedSet = .filters
    }
  }

  /// The arms of Fig 2a for a network. Ranges of the first three are the authors' (their sweep files); the others have the
  /// clipped arms' rates.
  private static func curves(_ network: ImageNetwork) -> [Arm] {
    [
      arm(
        network, "none", "SGDM", source: "paper, Fig 2a",
        .linear("momentum", 0.5, 0.95, limits: 0...0.999),
        highestRate: 0.2, clip: none),
      arm(network, "norm", "SGDM, norm clip", source: "paper, Fig 2a", norm) {
        try NormClip(maximumNorm: $0("maximumNorm"), formula: .torch)
      },
      arm(
        network, "spectral", "SGDM, spectral clip", source: "paper, Fig 2a", tau, clip: spectral),
      arm(
        network, "ema", "SGDM, spectral EMA",
        source: "paper, Algorithm 1; order of the authors' clipping library"
      ) { try $0.spectral(.ema(coefficient: 0.9, .repository)) },
      arm(
        network, "quantile", "SGDM, spectral quantile",
        source: "paper, Algorithm 3; order statistic of the authors' clipping library",
        .linear("level", 0.5, 0.99, limits: 0...1)
      ) { try $0.spectral(.quantile(level: $0("level"), window: 100, .lowerOrderStatistic)) },
      arm(
        network, "muon", "Muon", source: "torch.optim.Muon; momentum of airbench94_muon",
        optimizer: { _ in Muon(form: .torch, momentum: 0.6) }, clip: none),
      arm(
        network, "mucon", "MuCon", source: "arXiv 2605.26459: Muon with clipped singular values",
        tau, optimizer: { _ in SGD(momentum: 0) }
      ) { try MomentumSpectralClip($0.spectral(.constant($0("tau"))), momentum: 0.6) },
      arm(network, "delta", "SGDM, δ-GClip, δ = 0.001", source: "arXiv 2404.08624", norm) {
        try DeltaNormClip(maximumNorm: $0("maximumNorm"), minimumFactor: 1e-3)  // its paper's δ
      },
    ]
  }

  /// The arms of Fig 5b: the spectral arm with its own hyper-parameters, decomposed in other ways.
  private static func truncations(_ network: ImageNetwork) -> [Arm] {
    func variant(_ suffix: String, _ title: String, clip: @escaping Clip) -> Arm {
      arm(network, suffix, title, source: "paper, Fig 5b", tau, clip: clip)
        .with { $0.tunedAs = "\(network.rawValue)-spectral" }
    }
    return [variant("exact", "exact") { try $0.spectral(.constant($0("tau")), .exact) }]
      + [1, 5, 10, 20].map { rank in
        variant("rank\(rank)", "rank \(rank)") {
          try $0.spectral(.constant($0("tau")), $0.decomposition.with(rank: rank))
        }
      }
  }

  /// The arms that have curves in Fig 2a and rows in Table 2.
  package static let curves: [Arm] = ImageNetwork.allCases.flatMap(curves)
  /// Those of Fig 5b.
  package static let truncations: [Arm] = ImageNetwork.allCases.flatMap(truncations)
  /// Every arm.
  package static let all: [Arm] = curves + truncations
}

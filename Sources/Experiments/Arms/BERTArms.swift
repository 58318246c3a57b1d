// SPDX-License-Identifier: Apache-2.0

import Lab
import Optimizers

/// The arms of the encoder that is fine-tuned: the two of arXiv 2404.08624, GClip, and the spectral paper's clip in the place of theirs,
/// which leaves the embeddings alone as in its GPT-2. The authors' values are not public but for AdamW's rate, so all are searched.
package enum BERTArms {
  private static let ranges = DeltaGClipArms.Ranges(
    factor: .logarithmic("minimumFactor", 1e-3, 0.3))

  /// Every arm.
  package static let all: [Arm] =
    [
      Arm(
        "adamw", "AdamW", source: DeltaGClipArms.source,
        [.logarithmic("learningRate", 1e-5, 1e-2)]
      ) { _ in Adam(weightDecay: 0.01, isDecoupled: true) },  // torch's default
      DeltaGClipArms.gclip(ranges),
      DeltaGClipArms.delta("delta-gclip", "δ-GClip", ranges),
    ]
    + DeltaGClipArms.spectral(ranges).map { arm in
      arm.with { $0.clippedSet = .exceptEmbeddings }
    }
}

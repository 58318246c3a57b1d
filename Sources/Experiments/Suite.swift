import Lab

extension Suite {
  /// Every experiment there is, in the order of the paper.
  package static let clipping = Suite([
    BadTokenSpectra.self, TraceRegression.self, ClipCost.self, MLPHeavyTails.self, MLPSearch.self,
    MLPHeatMap.self, CIFAR10ResNet18.self, CIFAR10Truncation.self, CIFAR10Search.self,
    NanoGPT.self, NanoGPTSearch.self, GPT2FineWeb.self, GPT2Search.self, TheoryBounds.self,
  ])
}

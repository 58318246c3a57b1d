/// Channels side by side. Comparisons are written for each width, because masks of a generic one are taken apart.
protocol ChannelVector: SIMD where Scalar == Float {
  /// Replaces `best` by `y`, and `winner` by `index`, where y is larger or NaN.
  static func compare(_ y: Self, _ index: Float, _ best: inout Self, _ winner: inout Self)
  /// These values where `winner` is `index`, else 0.
  func kept(where winner: Self, is index: Float) -> Self
  /// Eight floats, and zeros.
  init(eight p: UnsafePointer<Float>)
  /// The first eight floats.
  var eight: SIMD8<Float> { get }
}

extension SIMD8<Float>: ChannelVector {
  @inline(__always)
  static func compare(_ y: Self, _ index: Float, _ best: inout Self, _ winner: inout Self) {
    let wins = (y .> best) .| (y .!= y)
    best.replace(with: y, where: wins)
    winner.replace(with: Self(repeating: index), where: wins)
  }
  @inline(__always)
  func kept(where winner: Self, is index: Float) -> Self {
    replacing(with: 0, where: winner .!= Self(repeating: index))
  }
  @inline(__always)
  init(eight p: UnsafePointer<Float>) { self = load(p) }
  @inline(__always)
  var eight: SIMD8<Float> { self }
}

extension SIMD16<Float>: ChannelVector {
  @inline(__always)
  static func compare(_ y: Self, _ index: Float, _ best: inout Self, _ winner: inout Self) {
    let wins = (y .> best) .| (y .!= y)
    best.replace(with: y, where: wins)
    winner.replace(with: Self(repeating: index), where: wins)
  }
  @inline(__always)
  func kept(where winner: Self, is index: Float) -> Self {
    replacing(with: 0, where: winner .!= Self(repeating: index))
  }
  @inline(__always)
  init(eight p: UnsafePointer<Float>) {
    self.init(lowHalf: load(p), highHalf: SIMD8(repeating: 0))
  }
  @inline(__always)
  var eight: SIMD8<Float> { lowHalf }
}

/// A whole vector from any address.
@inline(__always)
func load<V: SIMD>(_ p: UnsafePointer<Float>) -> V where V.Scalar == Float {
  UnsafeRawPointer(p).loadUnaligned(as: V.self)
}

/// min(count, all) floats, and zeros.
@inline(__always)
func load<V: ChannelVector>(_ p: UnsafePointer<Float>, _ count: Int) -> V {
  if count >= V.scalarCount { return load(p) }
  if count == 8 { return V(eight: p) }
  var result = V(repeating: 0)
  for i in 0..<count { result[i] = p[i] }
  return result
}

/// A whole vector to any address.
@inline(__always)
func store<V: SIMD>(_ value: V, _ p: UnsafeMutablePointer<Float>) where V.Scalar == Float {
  UnsafeMutableRawPointer(p).storeBytes(of: value, as: V.self)
}

/// The first min(count, all) floats.
@inline(__always)
func store<V: ChannelVector>(_ value: V, _ p: UnsafeMutablePointer<Float>, _ count: Int) {
  if count >= V.scalarCount { return store(value, p) }
  if count == 8 { return store(value.eight, p) }
  for i in 0..<count { p[i] = value[i] }
}

/// Calls body(first, count) for 0 ..< n, a vector at a time: all but the last count are whole.
@inline(__always)
func forVectors<V: ChannelVector>(_ type: V.Type, _ n: Int, _ body: (Int, Int) -> Void) {
  var j = 0
  while j < n {
    body(j, min(V.scalarCount, n &- j))
    j &+= V.scalarCount
  }
}

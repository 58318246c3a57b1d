// SPDX-License-Identifier: Apache-2.0

/// A named stream of random numbers whose every element can be computed on its own.
///
/// A stream is the triple (`seed`, `name`, `step`). Its elements are blocks of ``Philox4x32``:
///
///     key     = seed XOR mix64(fnv1a64(UTF-8 of name))
///     counter = (law · 2^60 + block number) + step · 2^64
///
/// both cut into 32-bit words, least significant first. The laws have the numbers of `Lane`; a
/// single element `i` has the blocks k · 2^52 + i, k = 0, …, 255.
///
/// `mix64` is SplitMix64's finaliser, a bijection, and `fnv1a64` the 64-bit Fowler-Noll-Vo hash. So
/// under one seed two names share numbers only if their FNV hashes collide, two steps never share
/// any, and the laws of one stream (uniform or normal, `Float` or `Double`, 16-bit words, single
/// elements, cursor) never do either. Two pairs (seed, name) collide with probability 2^-64.
///
/// A child's name is appended after a slash: `stream.child("weights").child("wte")` is the stream
/// named `"init/weights/wte"`, if `stream` is `"init"`.
///
///     let noise = RandomStream(seed: 11, name: "noise")
///     let z: Double = noise.at(step: t).normal(at: 42)
public struct RandomStream: Sendable, Hashable {
  /// The seed of the experiment.
  public let seed: UInt64
  /// What the stream is for.
  public let name: String
  /// The step of the run that the stream serves.
  public let step: UInt64
  /// Derived from seed and name.
  let key: UInt64

  /// Creates the stream `name` of `seed` at `step`.
  public init(seed: UInt64, name: String, step: UInt64 = 0) {
    self.init(
      seed: seed, name: name, step: step, key: seed ^ Hashing.mix64(Hashing.fnv1a64(name.utf8)))
  }

  private init(seed: UInt64, name: String, step: UInt64, key: UInt64) {
    self.seed = seed
    self.name = name
    self.step = step
    self.key = key
  }

  /// The same stream at another step; `step` must not be negative.
  public func at(step: some BinaryInteger) -> RandomStream {
    RandomStream(seed: seed, name: name, step: UInt64(step), key: key)
  }

  /// The stream named "`self.name`/`child`", at the same step.
  public func child(_ child: String) -> RandomStream {
    RandomStream(seed: seed, name: name + "/" + child, step: step)
  }

  // MARK: - Random access

  /// Element `index` of the uniform law on [0, 1), a multiple of 2^-53 (`Double`) or 2^-24
  /// (`Float`).
  public func uniform<Real: RandomReal>(at index: Int, as type: Real.Type = Real.self) -> Real {
    Real.uniform(self, at: index)
  }

  /// Element `index` of the standard normal law; `BoxMuller` says how accurate.
  public func normal<Real: RandomReal>(at index: Int, as type: Real.Type = Real.self) -> Real {
    Real.normal(self, at: index)
  }

  /// Element `index` of any law: what `law` makes of the element's own generator.
  public func draw<Law: Distribution>(_ law: Law, at index: Int) -> Law.Value {
    var generator = element(index)
    return law.sample(using: &generator)
  }

  /// Element `index` of the uniform law on 0, …, n - 1, without bias.
  public func integer(below n: Int, at index: Int) -> Int {
    var generator = element(index)
    return generator.integer(below: n)
  }

  /// The generator of the single element `index`: 512 words that no other element shares.
  public func element(_ index: Int) -> RandomCursor { RandomCursor(self, element: index) }

  /// A sequential generator over the stream, independent of its random-access elements.
  public func cursor() -> RandomCursor { RandomCursor(self, element: nil) }

  // MARK: - Sequential filling

  /// Fills `buffer` with the uniform elements `index`, `index + 1`, …, equal to
  /// ``uniform(at:as:)``.
  public func fill<Real: RandomReal>(
    uniform buffer: UnsafeMutableBufferPointer<Real>, from index: Int = 0
  ) {
    Real.fill(uniform: buffer, self, from: index)
  }

  /// Fills `buffer` with the normal elements `index`, `index + 1`, …, equal to ``normal(at:as:)``.
  public func fill<Real: RandomReal>(
    normal buffer: UnsafeMutableBufferPointer<Real>, from index: Int = 0
  ) {
    Real.fill(normal: buffer, self, from: index)
  }

  /// Fills `buffer` with uniform 16-bit words, elements `index`, `index + 1`, … of a law of their own;
  /// `index` must be a multiple of 64.
  ///
  /// Eight blocks of Philox side by side, eight words a block: the source of dropout masks.
  public func fill(bits buffer: UnsafeMutableBufferPointer<UInt16>, from index: Int) {
    precondition(index & 63 == 0, "16-bit words from \(index): not a multiple of 64")
    guard let target = buffer.baseAddress else { return }
    var block = UInt64(index / 8)
    var start = 0
    while start < buffer.count {
      let words = Philox4x32.eightBlocks(
        low: Lane.bits.rawValue &<< 60 | block, high: step, key: key)
      withUnsafeBytes(of: words) { bytes in
        let count = min(64, buffer.count &- start)
        UnsafeMutableRawBufferPointer(start: target + start, count: 2 &* count)
          .copyMemory(from: UnsafeRawBufferPointer(rebasing: bytes[..<(2 &* count)]))
      }
      start &+= 64
      block &+= 8
    }
  }

  /// The uniform elements `index ..< index + count`.
  public func uniforms<Real: RandomReal>(
    _ count: Int, from index: Int = 0, as type: Real.Type = Real.self
  ) -> [Real] {
    TensorMemory.expect(count, of: Real.self)
    return [Real](unsafeUninitializedCapacity: count) { buffer, initialized in
      fill(uniform: UnsafeMutableBufferPointer(rebasing: buffer[..<count]), from: index)
      initialized = count
    }
  }

  /// The normal elements `index ..< index + count`.
  public func normals<Real: RandomReal>(
    _ count: Int, from index: Int = 0, as type: Real.Type = Real.self
  ) -> [Real] {
    TensorMemory.expect(count, of: Real.self)
    return [Real](unsafeUninitializedCapacity: count) { buffer, initialized in
      fill(normal: UnsafeMutableBufferPointer(rebasing: buffer[..<count]), from: index)
      initialized = count
    }
  }

  // MARK: - Counters

  /// The families of counters of one stream; a raw value, once published, keeps its meaning.
  enum Lane: UInt64 {
    case uniformDouble = 0
    case uniformFloat = 1
    case normalDouble = 2
    case normalFloat = 3
    case element = 4
    case cursor = 5
    case bits = 6
  }

  /// The 128 bits of block `block` (below 2^60) of a lane.
  @inline(__always)
  func words(_ lane: Lane, _ block: UInt64) -> (UInt64, UInt64) {
    Philox4x32.words(low: lane.rawValue &<< 60 | block, high: step, key: key)
  }
}

extension RandomStream: Codable {
  private enum CodingKeys: String, CodingKey { case seed, name, step }

  /// Decodes seed, name and step; the key follows from them.
  public init(from decoder: any Decoder) throws {
    let container = try decoder.container(keyedBy: CodingKeys.self)
    self.init(
      seed: try container.decode(UInt64.self, forKey: .seed),
      name: try container.decode(String.self, forKey: .name),
      step: try container.decode(UInt64.self, forKey: .step))
  }

  /// Encodes seed, name and step.
  public func encode(to encoder: any Encoder) throws {
    var container = encoder.container(keyedBy: CodingKeys.self)
    try container.encode(seed, forKey: .seed)
    try container.encode(name, forKey: .name)
    try container.encode(step, forKey: .step)
  }
}

/// The two hashes that turn a stream's name into a key.
enum Hashing {
  /// Fowler-Noll-Vo 1a, 64 bits.
  static func fnv1a64(_ bytes: some Sequence<UInt8>) -> UInt64 {
    bytes.reduce(0xCBF2_9CE4_8422_2325) { ($0 ^ UInt64($1)) &* 0x100_0000_01B3 }
  }

  /// The finaliser of SplitMix64 (Stafford's mix 13): a bijection of 64-bit words.
  static func mix64(_ word: UInt64) -> UInt64 {
    var z = word
    z = (z ^ z &>> 30) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ z &>> 27) &* 0x94D0_49BB_1331_11EB
    return z ^ z &>> 31
  }
}

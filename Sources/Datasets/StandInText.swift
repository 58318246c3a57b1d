// SPDX-License-Identifier: Apache-2.0

import LinearAlgebra

/// A text in the shape of tiny Shakespeare from a small probabilistic grammar, in no language.
///
/// Scenes of a few speakers; speeches of verse lines that begin with a capital; sentences of words
/// made of syllables. What a model can learn, from near to far: syllables, words and their
/// frequencies, the order of the parts of speech, the length of a line, a verb's ending (its
/// subject's last vowel, then `th`), the names and the two nouns that a scene keeps coming back
/// to, and that nobody speaks twice in a row.
struct StandInText {
  /// As many characters as tiny Shakespeare has.
  static let length = 1_115_394
  /// The text, generated once a process.
  static let text: String = {
    var generator = StandInText()
    return generator.generate()
  }()

  private typealias Word = StandInLexicon.Word

  private var random = RandomStream(seed: 1, name: "stand-in text").cursor()
  private let lexicon: StandInLexicon
  /// The speakers and the favourite nouns of the scene.
  private var cast: [Word] = []
  private var topics: [Word] = []

  private var bytes: [UInt8] = []
  /// Characters in the line so far and the most that it may have.
  private var column = 0
  private var width = 0
  private var beginsSentence = true

  private init() { lexicon = StandInLexicon(using: &random) }

  private mutating func generate() -> String {
    bytes.reserveCapacity(Self.length + 65536)
    while bytes.count < Self.length { scene() }
    return String(decoding: bytes.prefix(Self.length - 1), as: UTF8.self) + "\n"
  }

  // MARK: - Grammar

  private mutating func scene() {
    let order = random.permutation(lexicon.names.count)
    cast = order.prefix(2 + random.integer(below: 3)).map { lexicon.names[$0] }
    topics = [draw(lexicon.nouns), draw(lexicon.nouns)]
    var speaker = 0
    for _ in 0..<(6 + random.integer(below: 15)) {
      speaker = another(than: speaker)
      speech(of: speaker)
    }
  }

  private mutating func speech(of speaker: Int) {
    bytes += cast[speaker].map(StandInLexicon.capital)
    mark(":")
    endLine()
    beginsSentence = true
    if chance(0.3) {
      put(cast[another(than: speaker)])
      mark(",")
    }
    for _ in 0..<(1 + random.integer(below: 5)) { sentence() }
    endLine()
    endLine()
  }

  private mutating func sentence() {
    clause()
    while chance(0.35) {
      mark(chance(0.7) ? "," : ";")
      put(draw(lexicon.conjunctions))
      clause()
    }
    mark(chance(0.7) ? "." : chance(0.6) ? "!" : "?")
    beginsSentence = true
  }

  private mutating func clause() {
    let subject = nounPhrase()
    if chance(0.15) { put(draw(lexicon.adverbs)) }
    put(draw(lexicon.verbs) + StandInLexicon.ending(after: subject))
    if chance(0.6) { nounPhrase() }
    if chance(0.3) {
      put(draw(lexicon.prepositions))
      nounPhrase()
    }
  }

  /// Returns its last word, a name, a pronoun or a noun.
  @discardableResult private mutating func nounPhrase() -> Word {
    let kind = random.uniform(as: Double.self)
    let head: Word
    if kind < 0.1 {
      head = cast[random.integer(below: cast.count)]
    } else if kind < 0.3 {
      head = draw(lexicon.pronouns)
    } else {
      put(draw(lexicon.articles))
      if chance(0.4) { put(draw(lexicon.adjectives)) }
      head = chance(0.3) ? topics[random.integer(below: topics.count)] : draw(lexicon.nouns)
    }
    put(head)
    return head
  }

  // MARK: - Chance

  private mutating func chance(_ probability: Double) -> Bool { random.uniform() < probability }

  private mutating func draw(_ words: StandInLexicon.Class) -> Word { words.sample(using: &random) }

  private mutating func another(than speaker: Int) -> Int {
    (speaker + 1 + random.integer(below: cast.count - 1)) % cast.count
  }

  // MARK: - Typesetting

  /// Sets a word after a blank or on a new line, with a capital where a line or sentence begins.
  private mutating func put(_ word: Word) {
    if column > 0, column + 1 + word.count > width { endLine() }
    if column > 0 {
      bytes.append(UInt8(ascii: " "))
    } else {
      width = 36 + random.integer(below: 16)
    }
    bytes.append(column == 0 || beginsSentence ? StandInLexicon.capital(word[0]) : word[0])
    bytes += word.dropFirst()
    column += word.count + 1
    beginsSentence = false
  }

  private mutating func mark(_ character: Unicode.Scalar) {
    bytes.append(UInt8(ascii: character))
    column += 1
  }

  private mutating func endLine() {
    bytes.append(UInt8(ascii: "\n"))
    column = 0
  }
}

// SPDX-License-Identifier: Apache-2.0

import LinearAlgebra

/// The words of the stand-in text: no two alike, made of random syllables; names have a capital.
struct StandInLexicon {
  typealias Word = [UInt8]

  /// Words by falling frequency: the k-th has a weight of 1 / k (Zipf's law).
  struct Class: Distribution {
    let words: [Word]
    /// Sums of the weights up to each word.
    private let sums: [Double]

    init(_ words: [Word]) {
      self.words = words
      var sum = 0.0
      sums = words.indices.map {
        sum += 1 / Double($0 + 1)
        return sum
      }
    }

    func sample(using generator: inout some RandomNumberGenerator) -> Word {
      let point = generator.uniform() * sums[sums.count - 1]
      var (low, high) = (0, sums.count - 1)
      while low < high {
        let middle = (low + high) / 2
        if sums[middle] > point { high = middle } else { low = middle + 1 }
      }
      return words[low]
    }
  }

  let articles, pronouns, conjunctions, prepositions, adverbs, verbs, adjectives, nouns: Class
  let names: [Word]

  init(using generator: inout some RandomNumberGenerator) {
    var maker = WordMaker()
    func words(_ count: Int, _ syllables: ClosedRange<Int>) -> [Word] {
      (0..<count).map { _ in maker.word(syllables, &generator) }
    }
    articles = Class(words(4, 1...1))
    pronouns = Class(words(6, 1...1))
    conjunctions = Class(words(5, 1...1))
    prepositions = Class(words(8, 1...2))
    adverbs = Class(words(30, 2...3))
    verbs = Class(words(120, 1...2))
    adjectives = Class(words(80, 2...3))
    nouns = Class(words(240, 1...3))
    names = words(40, 2...3).map { [Self.capital($0[0])] + $0.dropFirst() }
  }

  /// What the verb takes from its subject: the subject's last vowel.
  static func ending(after subject: Word) -> Word {
    subject.filter(WordMaker.vowels.contains).suffix(1) + WordMaker.verbEnding
  }

  static func capital(_ letter: UInt8) -> UInt8 { letter & ~0x20 }

  /// Makes words that it has not made before.
  private struct WordMaker {
    static let vowels = Array("aeiou".utf8)
    static let verbEnding = Array("th".utf8)
    private static let onsets = list("b br c d dr f g gr h k l m n p pr r s st t tr th v w")
    private static let codas = list("l m n nd r rt s st t th")
    private var known: Set<Word> = []

    private static func list(_ text: String) -> [Word] {
      text.split(separator: " ").map { Array($0.utf8) }
    }

    mutating func word(
      _ syllables: ClosedRange<Int>, _ generator: inout some RandomNumberGenerator
    ) -> Word {
      while true {
        var word: Word = []
        let count = syllables.lowerBound + generator.integer(below: syllables.count)
        for syllable in 1...count {
          word += Self.onsets[generator.integer(below: Self.onsets.count)]
          word.append(Self.vowels[generator.integer(below: Self.vowels.count)])
          // A closed syllable is rare inside a word, common at its end.
          if generator.uniform() < (syllable < count ? 0.2 : 0.7) {
            word += Self.codas[generator.integer(below: Self.codas.count)]
          }
        }
        if known.insert(word).inserted { return word }
      }
    }
  }
}

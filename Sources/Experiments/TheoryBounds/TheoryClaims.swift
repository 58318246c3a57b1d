extension TheoryBounds {
  /// See `Experiment`.
  public static func table(of set: RecordSet) throws -> String { "" }
  /// See `Experiment`.
  public static func captionValues(of set: RecordSet) throws -> [(String, String)] { [] }
  /// See `Experiment`.
  public static let claims: [Claim] = []
}

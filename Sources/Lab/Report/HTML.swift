// SPDX-License-Identifier: Apache-2.0

/// A piece of HTML. Text becomes HTML only through `text`, which escapes it, so no outside text is ever markup.
struct HTML: ExpressibleByStringLiteral {
  /// The markup.
  let markup: String

  /// Markup of our own: a literal in the source.
  init(stringLiteral literal: StaticString) { markup = "\(literal)" }

  /// Markup that is known to be whole.
  init(trusted markup: String) { self.markup = markup }

  /// Text as it is to be read.
  static func text(_ text: String) -> HTML { HTML(trusted: escape(text)) }

  /// <name attributes>children</name>; a nil value leaves an attribute out.
  static func tag(
    _ name: StaticString, _ attributes: KeyValuePairs<StaticString, String?> = [:],
    _ children: HTML...
  ) -> HTML {
    tag(name, attributes, children)
  }

  /// The same.
  static func tag(
    _ name: StaticString, _ attributes: KeyValuePairs<StaticString, String?> = [:],
    _ children: [HTML]
  ) -> HTML {
    let written = attributes.compactMap { name, value in
      value.map { " \(name)=\"\(escape($0))\"" }
    }.joined()
    return HTML(
      trusted: "<\(name)\(written)>\(children.map(\.markup).joined())</\(name)>")
  }

  /// A caption: its Markdown has bold text and nothing else.
  static func caption(_ markdown: String) -> HTML {
    let parts = markdown.components(separatedBy: "**")
    return HTML(
      trusted: parts.enumerated().map { index, part in
        let text = escape(part)
        return index % 2 == 1 && index < parts.count - 1 ? "<strong>\(text)</strong>" : text
      }.joined())
  }

  private static func escape(_ text: String) -> String {
    var result = ""
    for scalar in text.unicodeScalars {
      switch scalar {
      case "&": result += "&amp;"
      case "<": result += "&lt;"
      case ">": result += "&gt;"
      case "\"": result += "&quot;"
      case "'": result += "&#39;"
      case "\n", "\t": result.unicodeScalars.append(scalar)
      default:
        result.unicodeScalars.append(
          scalar.properties.generalCategory == .control ? "\u{FFFD}" : scalar)
      }
    }
    return result
  }
}

/// A gnuplot picture made fit to stand in a page beside others.
struct InlinePicture {
  /// Larger ones stand beside the page.
  static let largest = 120_000

  /// The picture, its identifiers prefixed by `name`; nil where it is large, or holds what could run.
  static func html(_ svg: String, name: String, title: String) -> HTML? {
    guard svg.utf8.count <= largest, let start = svg.range(of: "<svg") else { return nil }
    let lower = svg.lowercased()
    for word in ["<script", "<foreignobject", "javascript:", "<iframe", "<!entity"]
    where lower.contains(word) { return nil }
    guard lower.firstMatch(of: #/\son[a-z]+\s*=/#) == nil else { return nil }
    var text = String(svg[start.lowerBound...])
    text.replace(#/id=(["'])([^"']+)["']/#) { "id=\($0.1)\(name)-\($0.2)\($0.1)" }
    text.replace(#/href=(["'])#([^"']+)["']/#) { "href=\($0.1)#\(name)-\($0.2)\($0.1)" }
    text.replace(#/url\(#([^)]+)\)/#) { "url(#\(name)-\($0.1))" }
    guard let open = text.range(of: "<svg"), let title = HTML.text(title).markup.nonEmpty else {
      return nil
    }
    text.replaceSubrange(open, with: "<svg role=\"img\" aria-label=\"\(title)\"")
    return HTML(trusted: text)
  }
}

extension String {
  fileprivate var nonEmpty: String? { isEmpty ? nil : self }
}

// SPDX-License-Identifier: Apache-2.0

// A record as it goes between a program and its HDF5 process.

extension Packet {
  mutating func add(_ record: Record) {
    add([record.root] + record.groups) { packet, group in
      packet.add(group.name)
      packet.add(Array(group.attributes)) {
        $0.add($1.name)
        $0.add($1.value)
      }
      packet.add(group.dataSets) { $0.add($1) }
    }
  }

  private mutating func add(_ value: AttributeValue) {
    func add<Element: BitwiseCopyable>(_ number: Int, _ elements: [Element]) {
      self.add(number)
      self.add(elements)
    }
    switch value {
    case .string(let text): add(0, Array(text.utf8))
    case .int(let number): add(1, [number])
    case .double(let number): add(2, [number])
    case .strings(let texts):
      self.add(3)
      self.add(texts) { $0.add($1) }
    case .ints(let numbers): add(4, numbers)
    case .doubles(let numbers): add(5, numbers)
    }
  }

  private mutating func add(_ set: Record.DataSet) {
    func add<Element: BitwiseCopyable>(_ number: Int, _ elements: [Element]) {
      self.add(number)
      self.add(elements)
    }
    for text in [set.name, set.longName, set.units] { self.add(text) }
    self.add(set.shape)
    self.add(set.dimensions) { $0.add($1) }
    switch set.values {
    case .double(let values): add(0, values)
    case .float(let values): add(1, values)
    case .int64(let values): add(2, values)
    case .int32(let values): add(3, values)
    case .uint8(let values): add(4, values)
    case .string(let values):
      self.add(5)
      self.add(values) { $0.add($1) }
    }
  }
}

extension PacketReader {
  mutating func record() throws -> Record {
    let groups = try array { reader in
      let name = try reader.text()
      var attributes = Attributes()
      for (name, value) in try reader.array({ (try $0.text(), try $0.attribute()) }) {
        guard !name.isEmpty else { throw Malformed() }
        attributes[name] = value
      }
      return (name: name, attributes: attributes, dataSets: try reader.array { try $0.dataSet() })
    }
    guard let root = groups.first else { throw Malformed() }
    var record = Record(attributes: root.attributes, dataSets: root.dataSets)
    for group in groups.dropFirst() {
      guard !group.name.isEmpty, group.name != ".", !group.name.hasSlash else {
        throw Malformed()
      }
      record[group: group.name] = Record.Group(
        group.name, attributes: group.attributes, dataSets: group.dataSets)
    }
    return record
  }

  private mutating func attribute() throws -> AttributeValue {
    func first<Element>(_ elements: [Element]) throws -> Element {
      guard let first = elements.first else { throw Malformed() }
      return first
    }
    switch try int() {
    case 0: return .string(try text())
    case 1: return .int(try first(array()))
    case 2: return .double(try first(array()))
    case 3: return .strings(try array { try $0.text() })
    case 4: return .ints(try array())
    case 5: return .doubles(try array())
    default: throw Malformed()
    }
  }

  private mutating func dataSet() throws -> Record.DataSet {
    let (name, longName, units) = (try text(), try text(), try text())
    let shape: [Int] = try array()
    let dimensions = try array { try $0.text() }
    let values: Record.Values
    switch try int() {
    case 0: values = .double(try array())
    case 1: values = .float(try array())
    case 2: values = .int64(try array())
    case 3: values = .int32(try array())
    case 4: values = .uint8(try array())
    case 5: values = .string(try array { try $0.text() })
    default: throw Malformed()
    }
    let fault = Record.DataSet.fault(
      name, count: values.count, shape: shape, dimensions: dimensions)
    if fault != nil { throw Malformed() }
    return Record.DataSet(
      name, values, shape: shape, longName: longName, units: units, dimensions: dimensions)
  }
}

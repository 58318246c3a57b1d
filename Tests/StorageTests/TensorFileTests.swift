// SPDX-License-Identifier: Apache-2.0

import CHDF5
import Foundation
import Testing

@testable import Storage

@Suite struct TensorFileTests {
  let scratch: Scratch

  init() throws { scratch = try Scratch() }

  private let tensors: [TensorFile.Tensor] = [
    .init("h.1/w", shape: [20, 30], .float((0..<600).map { Float($0).squareRoot() })),
    .init("h.0/größe", shape: [2, 1, 2], .double([0.1, .nan, -0.0, .infinity])),
    .init("scalar", shape: [], .float([3])),
    .init("none", shape: [0, 4], .double([])),
    .init("b", shape: [2], .float([1, 2])),
  ]

  @Test(arguments: [TensorFile.Format.hdf5, .safetensors])
  func newFilesComeBack(format: TensorFile.Format) throws {
    let path = scratch.file("new")
    try TensorFile.write(tensors, format: format, to: path)
    let file = try TensorFile(path)
    #expect(file.format == format)
    #expect(file.entries.map(\.name) == tensors.map(\.name))
    #expect(file.entries.map(\.shape) == tensors.map(\.shape))
    #expect(file.entries.map(\.type) == [.f32, .f64, .f32, .f64, .f32])
    for tensor in tensors {
      #expect(try file.values(tensor.name).hasBits(of: tensor.values), "\(tensor.name)")
    }
    #expect(try file.doubles("b") == [1, 2])
    expectError("F64 cannot be read as Float", at: path) { try file.floats("none") }
    expectError("no tensor x", at: path) { try file.values("x") }
  }

  @Test(arguments: [TensorFile.Format.hdf5, .safetensors])
  func copiesReplaceWhatIsNamed(format: TensorFile.Format) throws {
    let path = scratch.file("in")
    let copy = scratch.file("deep/out")
    try TensorFile.write(tensors, format: format, to: path)
    let file = try TensorFile(path)
    try file.copy(to: copy, replacing: [:])
    #expect(try content(copy) == (try content(path)))
    let new = (0..<600).map { Float($0) * -0.5 }
    try file.copy(to: copy, replacing: ["h.1/w": .float(new), "none": .double([])])
    let back = try TensorFile(copy)
    #expect(back.entries == file.entries)
    for tensor in tensors {
      let want = tensor.name == "h.1/w" ? TensorValues.float(new) : tensor.values
      #expect(try back.values(tensor.name).hasBits(of: want), "\(tensor.name)")
    }
    // In place.
    try file.copy(to: path, replacing: ["b": .float([8, 9])])
    #expect(try TensorFile(path).floats("b") == [8, 9])
    expectError("no tensor x", at: path) { try file.copy(to: copy, replacing: ["x": .float([])]) }
    #expect(try TensorFile(copy).floats("b") == [1, 2])
  }

  @Test func safetensorsCopiesKeepTypesAndMetadata() throws {
    let path = scratch.file("in.safetensors")
    let odd = Data([1, 0, 1])
    try SafetensorsFile.write(
      [
        .init(TensorEntry(name: "mask", type: TensorType("BOOL"), shape: [3]), bytes: odd),
        .init("h", shape: [2], floats: [1, 2], as: .f16),
        .init("b", shape: [2], floats: [1, 2], as: .bf16),
      ], metadata: [.init(name: "format", value: "pt")], to: path)
    let file = try TensorFile(path)
    let copy = scratch.file("out.safetensors")
    try file.copy(to: copy, replacing: ["h": .float([0.1, 70000]), "b": .float([0.1, .nan])])
    let back = try SafetensorsFile(copy)
    #expect(back.entries == file.entries)
    #expect(back.metadata == [.init(name: "format", value: "pt")])
    #expect(try back.bytes("mask") == odd)
    #expect(try back.floats("h") == [0.0999755859375, .infinity])
    let b = try back.floats("b")
    #expect(b[0] == 0.10009765625 && b[1].isNaN)
    expectError("type BOOL cannot be read as reals", at: path) { try file.values("mask") }
  }

  @Test func hdf5CopiesKeepEverythingElse() throws {
    let path = scratch.file("record.h5")
    let record = sampleRecord()
    try record.write(to: path)
    let file = try TensorFile(path)
    #expect(file.entries.contains { $0.name == "telemetry/seconds" && $0.type == .f64 })
    #expect(file.entries.contains { $0.name == "layer" && $0.type == TensorType("string") })
    #expect(try file.doubles("bytes").last == 255)
    expectError("string cannot be read as Double", at: path) { try file.doubles("layer") }
    let copy = scratch.file("copy.h5")
    try file.copy(to: copy, replacing: ["sigma": .float((0..<600).map { Float($0) })])
    let back = try Record.read(from: copy)
    #expect(record.firstDifference(from: back)?.hasPrefix("sigma[0, 2]: ") == true)
    var patched = Record(attributes: back.attributes)
    for set in back.root.dataSets {
      patched.add(set.name == "sigma" ? try record.dataSet("sigma") : set)
    }
    for group in back.groups { patched[group: group.name] = group }
    #expect(patched == record)
  }

  @Test func foreignHDF5() throws {
    // 16-bit reals, a group in a circle, a link to nowhere and a null data space.
    let data = try HDF5.exclusively {
      try HDF5File.image { file in
        let half = H5Tcopy(chdf5_native_float())
        defer { H5Tclose(half) }
        H5Tset_fields(half, 15, 10, 5, 0, 10)
        H5Tset_size(half, 2)
        H5Tset_ebias(half, 15)
        try HDF5Values.withSpace([3]) { space in
          let set = H5Dcreate2(
            file, "half", half, space, chdf5_default(), chdf5_default(), chdf5_default())
          H5Dwrite(
            set, chdf5_native_float(), chdf5_all(), chdf5_all(), chdf5_default(),
            [1.5, -2, 65504] as [Float])
          H5Dclose(set)
        }
        try HDF5File.createGroup("g", in: file) { group in
          try HDF5Values.write([1, 2] as [Int64], shape: [2], name: "i", in: group)
          H5Lcreate_hard(file, ".", group, "circle", chdf5_default(), chdf5_default())
          H5Lcreate_soft("/nowhere", group, "soft", chdf5_default(), chdf5_default())
        }
        let null = H5Screate(H5S_NULL)
        let set = H5Dcreate2(
          file, "null", chdf5_native_float(), null, chdf5_default(), chdf5_default(),
          chdf5_default())
        H5Dclose(set)
        H5Sclose(null)
      }
    }
    let path = try scratch.file("foreign.h5", holding: data)
    let file = try TensorFile(path)
    #expect(
      file.entries == [
        .init(name: "half", type: .f16, shape: [3]), .init(name: "g/i", type: .i64, shape: [2]),
      ])
    #expect(try file.floats("half") == [1.5, -2, 65504])
    try file.copy(to: path, replacing: ["half": .float([0.1, .infinity, 3])])
    #expect(try TensorFile(path).floats("half") == [0.0999755859375, .infinity, 3])
    // The same behind a user block, as MATLAB writes.
    for (block, isFound) in [(512, true), (511, false), (1024, true)] {
      let path = try scratch.file("block", holding: Data(count: block) + data)
      #expect(try HDF5File.hasMagic(FileReader(path)) == isFound)
    }
  }

  @Test func filesOfNeitherFormat() throws {
    let empty = try scratch.file("empty", holding: Data())
    expectError("empty file", at: empty) { try TensorFile(empty) }
    let text = try scratch.file("text", holding: Data("hello, world".utf8))
    expectError(
      "neither HDF5 nor safetensors (first bytes 68 65 6c 6c 6f 2c 20 77 6f)", at: text
    ) { try TensorFile(text) }
    let stub = try scratch.file("stub", holding: HDF5File.magic.prefix(5))
    expectError("truncated HDF5 file of 5 bytes", at: stub) { try TensorFile(stub) }
    expectError("no such file", at: scratch.file("x")) { try TensorFile(scratch.file("x")) }
    expectError("is a folder", at: scratch.path) { try TensorFile(scratch.path) }
  }

  @Test func hdf5CutOffAnywhereIsAnError() throws {
    let whole = scratch.file("whole.h5")
    try TensorFile.write(tensors, format: .hdf5, to: whole)
    let data = try content(whole)
    let path = scratch.file("cut.h5")
    for length in stride(from: 0, to: data.count, by: 37) {
      try data.prefix(length).write(to: URL(fileURLWithPath: path))
      expectError(at: path) { try TensorFile(path) }
    }
  }

  @Test func aFailedCallInsideHDF5ThatIsAFullDisk() {
    let failure = HDF5Failure("cannot write w", "file write failed: errno = 28, message = 'x'")
    #expect(failure.error(at: "a.h5", hint: "").description.hasPrefix("a.h5: cannot write w: disk"))
  }
}

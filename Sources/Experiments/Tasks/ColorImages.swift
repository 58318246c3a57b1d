import Datasets
import Lab

/// Color images that are cut and resized on the way to the network.
package struct ColorImages: WorkloadSource {
  package let data: ImageData
  package var name: String { data.name }
  package var digest: String { data.digest }
  package var isStandIn: Bool { data.isStandIn }

  package func holdingOut() -> ColorImages { ColorImages(data: data.holdingOut()) }
}

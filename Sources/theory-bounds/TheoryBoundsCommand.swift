import ArgumentParser
import Experiments

@main
struct TheoryBoundsCommand: ExperimentCommand {
  typealias Body = TheoryBounds
  @OptionGroup var options: ExperimentOptions
}

import ArgumentParser
import Experiments
import Lab

@main
struct MLPHeatMapCommand: ExperimentCommand {
  typealias Body = MLPHeatMap
  @OptionGroup var options: ExperimentOptions
}

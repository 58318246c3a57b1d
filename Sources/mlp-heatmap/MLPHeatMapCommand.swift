import ArgumentParser
import Experiments

@main
struct MLPHeatMapCommand: ExperimentCommand {
  typealias Body = MLPHeatMap
  @OptionGroup var options: ExperimentOptions
}

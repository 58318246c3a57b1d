import ArgumentParser
import Experiments

@main
struct ClipCostCommand: ExperimentCommand {
  typealias Body = ClipCost
  @OptionGroup var options: ExperimentOptions
}

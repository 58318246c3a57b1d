import ArgumentParser
import Experiments

@main
struct TraceRegressionCommand: ExperimentCommand {
  typealias Body = TraceRegression
  @OptionGroup var options: ExperimentOptions
}

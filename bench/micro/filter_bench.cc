// What a filter costs per name: the watcher and the scanner ask it for every key.
#include <benchmark/benchmark.h>

#include "engine/model/filter.h"

namespace {

using repl::Filter;
using repl::FilterRule;

const std::string deep = "home/user/projects/replication/engine/model/filter_implementation.cc";

void membership(benchmark::State& state, const std::vector<FilterRule>& rules,
                const std::vector<std::string>& only) {
  const Filter filter = *Filter::make(rules, only);
  for (auto _ : state) benchmark::DoNotOptimize(filter.membership(deep, false));
}

std::vector<FilterRule> names(int count) {
  std::vector<FilterRule> rules;
  for (int i = 0; i < count; ++i) rules.push_back({false, "*.ext" + std::to_string(i)});
  return rules;
}

void everything(benchmark::State& state) { membership(state, {}, {}); }
void suffixes(benchmark::State& state) {
  membership(state, names(static_cast<int>(state.range(0))), {});
}
void double_stars(benchmark::State& state) {
  membership(state, {{false, "cache/**/objects/*.o"}, {false, "**/target/***"}}, {});
}
void only_anchored(benchmark::State& state) { membership(state, {}, {"/home/user/projects/*"}); }
void same_below(benchmark::State& state) {
  const Filter filter = *Filter::make({{false, "/home/*/cache/"}, {false, "*.tmp"}}, {});
  for (auto _ : state) benchmark::DoNotOptimize(filter.same_below("home/a/b/c", "home/d/e/f"));
}

BENCHMARK(everything);
BENCHMARK(suffixes)->Arg(1)->Arg(10)->Arg(100);
BENCHMARK(double_stars);
BENCHMARK(only_anchored);
BENCHMARK(same_below);

}  // namespace

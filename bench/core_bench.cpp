// SPDX-License-Identifier: Apache-2.0
// What the agent itself computes: the index's image, by Google Benchmark. No kernel is asked.
#include <random>

#include <benchmark/benchmark.h>

#include "core/prefix_index.h"

namespace sluice {
namespace {

std::vector<IndexKey> keys(std::size_t count) {
    std::mt19937_64 random(1);
    std::vector<IndexKey> made;
    for (std::size_t i = 0; i < count; ++i)
        made.push_back({random(), random() & 0xffffffffU, sluice_index_kind(0, 33)});
    return made;
}

template <class Bucket>
void build(benchmark::State& state) {
    const auto all = keys(static_cast<std::size_t>(state.range(0)));
    for (auto _ : state) {
        PrefixIndex<Bucket> index(1);
        index.reserve(all.size());
        for (const IndexKey& key : all) index.put(key, 1);
        benchmark::DoNotOptimize(index.buckets().data());
    }
    state.SetItemsProcessed(state.iterations() * state.range(0));
}
BENCHMARK(build<sluice_index_v4>)->Range(1000, 1'000'000)->Unit(benchmark::kMillisecond);
BENCHMARK(build<sluice_index_v6>)->Range(1000, 1'000'000)->Unit(benchmark::kMillisecond);

// One prefix goes and comes back.
template <class Bucket>
void change(benchmark::State& state) {
    const auto all = keys(static_cast<std::size_t>(state.range(0)));
    PrefixIndex<Bucket> index(1);
    for (const IndexKey& key : all) index.put(key, 1);
    std::size_t at = 0;
    for (auto _ : state) {
        index.touched(0) = {false, {}};
        index.erase(all[at]);
        index.put(all[at], 2);
        at = (at + 7919) % all.size();
    }
}
BENCHMARK(change<sluice_index_v4>)->Range(1000, 1'000'000);
BENCHMARK(change<sluice_index_v6>)->Range(1000, 1'000'000);

}  // namespace
}  // namespace sluice

BENCHMARK_MAIN();
